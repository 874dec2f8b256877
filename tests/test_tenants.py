"""Two orgs of one server, of which one takes the ids of the other: neither gets anything that is the
other's."""

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import grpc
import httpx
import orjson
import pytest
from google.protobuf.struct_pb2 import Value

from generated.parley.v1.chat_pb2 import ChatEvent
from generated.parley.v1.chat_service_pb2 import CreateChatRequest, WatchChatRequest
from generated.parley.v1.chat_service_pb2_grpc import ChatServiceStub
from generated.parley.v1.history_service_pb2 import ExportHistoryRequest, ImportHistoryRequest
from generated.parley.v1.history_service_pb2_grpc import HistoryServiceStub
from server.core.ids import new_id
from server.storage.history import TABLES
from tests.conftest import Org, Service
from tests.upstream import Answer, OpenAIUpstream, Upstream, chunk, sse

MARK = "only-of-the-first"
Insert = Callable[[Org, str, str, dict[str, Any]], Awaitable[None]]


@pytest.fixture(params=["imported", "made with the same version"])
def insert_copy(request: pytest.FixtureRequest, service: Service, channel: grpc.aio.Channel) -> Insert:
    """Put a document of this noun and id into an org."""

    async def by_import(org: Org, noun: str, document_id: str, document: dict[str, Any]) -> None:
        line = {"kind": noun, "id": document_id, "createdAt": 1, "updatedAt": 1, "document": document}
        await HistoryServiceStub(channel).ImportHistory(
            ImportHistoryRequest(lines=[orjson.dumps(line).decode()]), metadata=org.metadata
        )

    async def by_creation(org: Org, noun: str, document_id: str, document: dict[str, Any]) -> None:
        await getattr(service.store, f"{noun}s").create(org.id, document, document_id)

    return by_import if request.param == "imported" else by_creation


def assistant(upstream: Upstream, name: str) -> dict[str, Any]:
    prompt = {"role": "system", "content": f"My name is {name}."}
    return {
        "name": name,
        "server": {"url": f"{upstream.base_url}/{name}"},
        "model": {"provider": "offline", "model": "offline-1", "messages": [prompt]},
    }


async def created(http: httpx.AsyncClient, org: Org, path: str, body: dict[str, Any]) -> dict[str, Any]:
    response = await http.post(path, json=body, headers=org.bearer)
    assert response.is_success, response.text
    return response.json()


async def answer(http: httpx.AsyncClient, org: Org, **named: str) -> str:
    body = {**named, "input": "What is my name?"}
    return (await created(http, org, "/chat", body))["output"][0]["content"]


async def test_deleted_assistant_is_nothing_of_who_has_its_id_now(
    http: httpx.AsyncClient, org: Org, other_org: Org, insert_copy: Insert
) -> None:
    async with Upstream(Answer()) as upstream:
        made = await created(http, org, "/assistant", assistant(upstream, MARK))
        assert await answer(http, org, assistantId=made["id"]) == f"Your name is {MARK}."
        await upstream.arrived(1)
        await http.delete(f"/assistant/{made['id']}", headers=org.bearer)

        await insert_copy(other_org, "assistant", made["id"], assistant(upstream, "Grace"))

        assert await answer(http, other_org, assistantId=made["id"]) == "Your name is Grace."
        listed = await http.get("/assistant", headers=other_org.bearer)
        shown = await http.get(f"/assistant/{made['id']}", headers=other_org.bearer)
        _, event = await upstream.arrived(2)

    assert MARK not in shown.text + listed.text
    assert shown.json()["name"] == "Grace"
    assert event.path.endswith("/Grace")


async def test_deleted_squad_is_nothing_of_who_has_its_id_now(
    http: httpx.AsyncClient, org: Org, other_org: Org, insert_copy: Insert
) -> None:
    async with Upstream(Answer()) as upstream:
        members = [{"assistant": assistant(upstream, MARK)}]
        made = await created(http, org, "/squad", {"name": MARK, "members": members})
        assert await answer(http, org, squadId=made["id"]) == f"Your name is {MARK}."
        await http.delete(f"/squad/{made['id']}", headers=org.bearer)

        await insert_copy(
            other_org, "squad", made["id"], {"members": [{"assistant": assistant(upstream, "Grace")}]}
        )

        assert await answer(http, other_org, squadId=made["id"]) == "Your name is Grace."
        listed = await http.get("/squad", headers=other_org.bearer)
        shown = await http.get(f"/squad/{made['id']}", headers=other_org.bearer)

    assert MARK not in shown.text + listed.text


async def test_deleted_tool_is_nothing_of_who_has_its_id_now(
    http: httpx.AsyncClient, org: Org, other_org: Org, insert_copy: Insert
) -> None:
    tool = {"type": "function", "function": {"name": "get_weather", "description": MARK}}
    made = await created(http, org, "/tool", tool)
    await http.get(f"/tool/{made['id']}", headers=org.bearer)
    await http.delete(f"/tool/{made['id']}", headers=org.bearer)

    await insert_copy(other_org, "tool", made["id"], {"type": "function", "function": {"name": "own"}})

    listed = await http.get("/tool", headers=other_org.bearer)
    shown = await http.get(f"/tool/{made['id']}", headers=other_org.bearer)
    assert MARK not in shown.text + listed.text
    assert shown.json()["function"]["name"] == "own"


async def test_document_that_was_deleted_and_imported_anew_is_what_was_imported(
    channel: grpc.aio.Channel, http: httpx.AsyncClient, org: Org
) -> None:
    line = {"kind": "assistant", "id": new_id(), "createdAt": 1, "updatedAt": 1}
    for name in ("first", "second"):
        lines = [orjson.dumps({**line, "document": {"name": name}}).decode()]
        await HistoryServiceStub(channel).ImportHistory(
            ImportHistoryRequest(lines=lines), metadata=org.metadata
        )
        shown = await http.get(f"/assistant/{line['id']}", headers=org.bearer)
        assert shown.json()["name"] == name
        await http.delete(f"/assistant/{line['id']}", headers=org.bearer)


async def exported(history: HistoryServiceStub, org: Org) -> list[str]:
    answers = history.ExportHistory(ExportHistoryRequest(), metadata=org.metadata)
    return [line async for answer in answers for line in answer.lines]


async def rest_of(stream: grpc.aio.UnaryStreamCall) -> AsyncIterator[ChatEvent]:
    while (event := await stream.read()) is not grpc.aio.EOF:
        yield event


async def test_chat_that_runs_is_nothing_of_who_has_its_id(
    service: Service, channel: grpc.aio.Channel, http: httpx.AsyncClient, org: Org, other_org: Org
) -> None:
    chats, history, goes_on = ChatServiceStub(channel), HistoryServiceStub(channel), asyncio.Event()
    session = await created(http, other_org, "/session", {"assistantId": other_org.assistant_id})
    own = await created(http, other_org, "/chat", {"sessionId": session["id"], "input": "Hello"})
    lines = [line for line in await exported(history, other_org) if orjson.loads(line)["kind"] != "assistant"]
    slow = Answer(
        sse(
            chunk({"content": MARK}),
            goes_on,
            chunk({"content": " to the end"}),
            chunk(finish="stop"),
            "[DONE]",
        )
    )
    async with OpenAIUpstream(slow) as upstream:
        model = {"provider": "custom-llm", "model": "m", "url": upstream.base_url}
        theirs = await created(http, org, "/session", {"assistant": {"model": model}})
        request = CreateChatRequest(session_id=theirs["id"], input=Value(string_value="Hi"))
        stream = chats.StreamChat(request, metadata=org.metadata)
        running = (await stream.read()).chat_id

        rewritten = [line.replace(own["id"], running).replace(session["id"], theirs["id"]) for line in lines]
        answer = await history.ImportHistory(
            ImportHistoryRequest(lines=rewritten), metadata=other_org.metadata
        )
        watched = [
            event
            async for event in chats.WatchChat(WatchChatRequest(id=running), metadata=other_org.metadata)
        ]
        cancelled = await http.post(f"/v1/responses/{running}/cancel", headers=other_org.bearer)
        turn = await created(http, other_org, "/chat", {"sessionId": theirs["id"], "input": "More"})
        deleted = [
            await http.delete(f"/chat/{running}", headers=other_org.bearer),
            await http.delete(f"/session/{theirs['id']}", headers=other_org.bearer),
        ]
        goes_on.set()
        reported = [event async for event in rest_of(stream)]

    assert (answer.imported, answer.skipped) == (len(lines) - 1, 0)
    assert MARK not in str(watched) + cancelled.text + str(turn)
    assert [response.status_code for response in (cancelled, *deleted)] == [200] * 3
    assert turn["output"][0]["content"] == "You said: More"
    assert reported[-1].completed.output[0].message == f"{MARK} to the end"
    shown = await http.get(f"/session/{theirs['id']}", headers=org.bearer)
    assert [message["content"] for message in shown.json()["messages"]] == ["Hi", f"{MARK} to the end"]


async def test_import_says_nothing_of_what_other_orgs_have(
    channel: grpc.aio.Channel, http: httpx.AsyncClient, org: Org, other_org: Org
) -> None:
    history = HistoryServiceStub(channel)
    for path, body in [
        ("/assistant", {"name": "a"}),
        ("/squad", {"members": [{"assistantId": org.assistant_id}]}),
        ("/tool", {"type": "function", "function": {"name": "t"}}),
        ("/session", {"assistantId": org.assistant_id}),
    ]:
        made = await created(http, org, path, body)
    chat = await created(http, org, "/chat", {"sessionId": made["id"], "input": "Hello"})
    await created(http, org, "/chat", {"previousChatId": chat["id"], "input": "Hello"})
    lines = await exported(history, org)
    assert {orjson.loads(line)["kind"] for line in lines} == {*TABLES, "history"}
    new: dict[str, str] = {}
    free = [
        re.sub("[0-9a-f]{8}-[0-9a-f-]{27}", lambda known: new.setdefault(known[0], new_id()), line)
        for line in lines
    ]

    answers = [
        await history.ImportHistory(ImportHistoryRequest(lines=sent), metadata=other_org.metadata)
        for sent in (free, lines)
    ]

    assert answers[0] == answers[1]
    assert answers[0].imported == len(lines) - 1
    assert await exported(history, org) == lines
