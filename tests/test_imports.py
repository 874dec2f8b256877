"""Histories taken in: every noun comes back, wherever it breaks off all is whole, and nothing is taken that
fails later."""

import functools
import random
import threading
from collections import Counter
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import grpc
import httpx
import orjson
import pytest

from generated.parley.v1.chat_service_pb2 import WatchChatRequest
from generated.parley.v1.chat_service_pb2_grpc import ChatServiceStub
from generated.parley.v1.history_service_pb2 import ExportHistoryRequest, ImportHistoryRequest
from generated.parley.v1.history_service_pb2_grpc import HistoryServiceStub
from server.core.ids import new_id, parse_id
from server.storage.history import TABLES
from server.storage.sqlite.checking import findings
from server.storage.store import open_store
from server.wire.history import files as history_files
from server.wire.history import lines as histories
from server.wire.history.files import ingest_file
from server.wire.history.lines import History, Imported, Line
from tests.conftest import Org, Service

PARTS = [
    {"type": "text", "text": "Look"},
    {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}},
]
CREDENTIALS = [
    {"provider": "openai", "apiKey": "sk-very-secret-indeed"},
    {"provider": "x", "keys": ["sk-one", "sk-two"]},
]
TOOL = {
    "type": "function",
    "function": {"name": "look", "parameters": {"type": "object"}},
    "server": {"url": "https://example.com", "secret": "very-secret-indeed"},
}


async def create_everything(http: httpx.AsyncClient, org: Org) -> dict[str, str]:
    """Something of every noun; the ids of one each."""
    made: dict[str, str] = {}

    async def post(path: str, **body: Any) -> str:
        answer = await http.post(path, headers=org.bearer, json=body)
        assert answer.is_success, answer.text
        return parse_id(answer.json()["id"]) or ""

    assistant = {"assistantId": org.assistant_id}
    made["tool"] = await post("/tool", **TOOL)
    made["assistant"] = await post(
        "/assistant",
        name="own",
        credentials=CREDENTIALS,
        server={"secret": "s", "url": "u"},
        model={
            "provider": "offline",
            "model": "offline-1",
            "toolIds": [made["tool"]],
            "messages": [{"role": "system", "content": "Hi {{name}}"}],
            "tools": [TOOL],
        },
    )
    made["squad"] = await post("/squad", name="team", members=[assistant, {"assistant": {"name": "inner"}}])
    made["session"] = await post(
        "/session",
        **assistant,
        name="box",
        metadata={"z": 1, "a": [1.5, None]},
        customer={"number": "+14155550100"},
        phoneNumberId="main",
        messages=[{"role": "user", "content": "before"}, {"role": "assistant", "content": ""}],
    )
    in_squad = await post("/session", squadId=made["squad"])
    made["conversation"] = await post(
        "/v1/conversations",
        metadata={"k": "v"},
        items=[
            {"role": "user", "content": "item"},
            {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"},
            {"type": "function_call_output", "call_id": "c", "output": "done"},
        ],
    )
    transient = {"name": "transient", "credentials": CREDENTIALS}
    for body in (
        {**assistant, "input": "plain", "name": "named"},
        {**assistant, "input": [{"role": "user", "content": PARTS}]},
        {"assistant": transient, "input": "t", "assistantOverrides": {"variableValues": {"name": "Ada"}}},
        {"squad": {"members": [{"assistant": transient}]}, "input": "s"},
        {"sessionId": made["session"], "input": "one"},
        {"sessionId": made["session"], "input": "two"},
        {"sessionId": in_squad, "input": "squad"},
    ):
        made["chat"] = await post("/chat", **body)
    streamed = {**assistant, "input": "streamed in pieces", "stream": True}
    assert (await http.post("/chat", headers=org.bearer, json=streamed)).is_success
    made["streamed"] = (await http.get("/chat", headers=org.bearer)).json()["results"][0]["id"]
    made["response"] = await post(
        "/v1/responses",
        model="demo",
        input="Hi",
        instructions="Be brief",
        metadata={"k": "v"},
        tools=[{"type": "function", "name": "f", "parameters": {}}],
        tool_choice="auto",
        text={"format": {"type": "text"}},
        reasoning={"effort": "low"},
        temperature=0.5,
    )
    await post("/v1/responses", model="demo", input="Hi", conversation=made["conversation"])
    completions = f"/api/v1/compatibility/openai/v1/assistants/{org.assistant_id}/chat/completions"
    messages_sent = [{"role": "user", "content": "Hello"}]
    await post(completions, messages=messages_sent, n=2)
    made["choices"] = (await http.get("/chat", headers=org.bearer)).json()["results"][0]["id"]
    await post(completions, messages=messages_sent, create_session=True)
    for chat in (await http.get("/chat", headers=org.bearer)).json()["results"]:
        for _ in range(2):
            await post("/chat", previousChatId=chat["id"], input="fork")
    messages_sent = [{"role": "user", "content": "replaced"}]
    assert (
        await http.patch(f"/session/{in_squad}", headers=org.bearer, json={"messages": messages_sent})
    ).is_success
    assert (await http.delete(f"/chat/{chat['id']}", headers=org.bearer)).is_success
    return made


async def exported(history: HistoryServiceStub, org: Org) -> list[str]:
    answers = history.ExportHistory(ExportHistoryRequest(), metadata=org.metadata)
    return [line async for answer in answers for line in answer.lines]


@pytest.fixture
async def empty(service: Service) -> Org:
    org = await service.new_org()
    await service.store.assistants.delete(org.id, org.assistant_id)
    return org


@pytest.mark.parametrize("secrets", [False, True], ids=["over gRPC", "by the command"])
async def test_every_noun_comes_back_byte_for_byte(
    http: httpx.AsyncClient, service: Service, org: Org, empty: Org, secrets: bool
) -> None:
    made = await create_everything(http, org)
    history = History(service.store.database)

    async def lines_of(one: Org) -> list[str]:
        return [line async for lines in history.export(one.id, None, secrets=secrets) for line in lines]

    lines = await lines_of(org)
    imported = await history.ingest(empty.id, [Line(number, text) for number, text in enumerate(lines, 1)])

    assert {orjson.loads(line)["kind"] for line in lines} == {*TABLES, "history"}
    assert (imported.imported, imported.skipped) == (len(lines) - 1, 0)
    assert await lines_of(empty) == lines
    for path in paths_of(made):
        shown, same = [
            (await http.get(path, headers=one.bearer)).text.replace(one.id, "") for one in (org, empty)
        ]
        if secrets or not any(f"/{noun}/" in path for noun in ("assistant", "squad", "tool")):
            assert orjson.loads(same) == orjson.loads(shown)
    for body in ({"previousChatId": made["response"]}, {"sessionId": made["session"]}):
        assert (await http.post("/chat", headers=empty.bearer, json={**body, "input": "on"})).is_success


def paths_of(made: dict[str, str]) -> Iterator[str]:
    for noun in ("assistant", "squad", "tool", "session", "chat"):
        yield f"/{noun}/{made[noun]}"
    yield f"/v1/responses/{made['response']}"
    yield f"/v1/responses/{made['response']}/input_items"
    yield f"/v1/conversations/{made['conversation']}"
    yield f"/v1/conversations/{made['conversation']}/items"


# --- what breaks off ----------------------------------------------------------------------------------------


def in_the_older_order(lines: list[str]) -> list[str]:
    """As files were that put all chats before all forks, and those before all messages."""
    kinds = ["history", *TABLES]
    return sorted(lines, key=lambda line: kinds.index(orjson.loads(line)["kind"]))


@pytest.mark.parametrize("order", ["as exported", "older", "any"])
async def test_import_that_breaks_off_leaves_whole_conversations_and_is_simply_run_again(
    http: httpx.AsyncClient,
    service: Service,
    org: Org,
    tmp_path: Path,
    order: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    await create_everything(http, org)
    source = History(service.store.database)
    lines = [line async for batch in source.export(org.id, None, secrets=True) for line in batch]
    shuffled = random.Random(1).sample(lines[1:], len(lines) - 1)
    given = {"as exported": lines, "older": in_the_older_order(lines), "any": [lines[0], *shuffled]}[order]
    monkeypatch.setattr(history_files, "_MOST_LINES", 1)  # a piece at a time
    store = open_store(tmp_path)
    made = (await store.keys.create("acme", "api")).org_id
    breaking, imported = Breaking(store.database), 0

    for left in range(200):
        breaking.left = 1 + left // 4
        try:
            found = await ingest_file(
                breaking, lambda: store.keys.org_of("acme"), BytesIO("\n".join(given).encode())
            )
        except Killed:
            assert findings(tmp_path / "parley.db") == []
            continue
        imported = found.imported + found.skipped
        break

    assert imported == len(lines) - 1
    assert findings(tmp_path / "parley.db") == []
    assert [line async for batch in breaking.export(made, None, secrets=True) for line in batch] == lines
    store.close()


class Killed(Exception):
    """The process ends here."""


class Breaking(History):
    """Is killed after some writes."""

    left = 0

    async def ingest(self, org_id: str, lines: list[Line]) -> Imported:
        imported = await super().ingest(org_id, lines)
        if imported.imported:
            self.left -= 1
            if not self.left:
                raise Killed
        return imported


# --- what is refused ----------------------------------------------------------------------------------------

ODD = [
    None,
    "",
    "x",
    "NaN",
    0,
    -1,
    3,
    2**53,
    1.5,
    1e308,
    True,
    [],
    {},
    [{}],
    {"a": 1},
    [None],
    "0" * 36,
    "x" * 41,
]


def mutants(line: str) -> Iterator[tuple[str, str]]:
    """The line with each of its members, one at a time, gone or something else; and which."""
    row = orjson.loads(line)
    kind = row.pop("kind")
    for path, holder, name in list(places(row, kind)):
        stored = holder[name]
        for value in ODD:
            holder[name] = value
            yield f"{path} = {value!r}", orjson.dumps({"kind": kind, **row}).decode()
        holder[name] = stored
        if isinstance(holder, dict):
            del holder[name]
            yield f"{path} is gone", orjson.dumps({"kind": kind, **row}).decode()
            holder[name] = stored


def places(value: Any, path: str) -> Iterator[tuple[str, Any, Any]]:
    members = value.items() if isinstance(value, dict) else enumerate(value)
    for name, member in list(members):
        yield f"{path}.{name}", value, name
        if isinstance(member, dict | list):
            yield from places(member, f"{path}.{name}")


def cases(lines: list[str], made: dict[str, str]) -> Iterator[tuple[list[str], str, list[str], list[str]]]:
    """A line of each kind, with what comes before and after it, and the paths that show it."""
    rows = [orjson.loads(line) for line in lines]

    def of(kind: str, **members: Any) -> list[str]:
        return [
            line
            for line, row in zip(lines, rows, strict=True)
            if row["kind"] == kind and members.items() <= row.items()
        ]

    for noun in ("assistant", "squad", "tool"):
        yield [], *of(noun, id=made[noun]), [], [f"/{noun}", f"/{noun}/{made[noun]}"]
    for identifier in (made["session"], made["conversation"]):
        yield (
            [],
            *of("session", id=identifier),
            [],
            [
                "/session",
                f"/session/{identifier}",
                f"/v1/conversations/{identifier}",
                f"/v1/conversations/{identifier}/items",
            ],
        )
    for chat in (made["response"], made["streamed"], made["choices"]):
        [line] = of("chat", id=chat)
        row = orjson.loads(line)
        words = of("message", threadId=row["threadId"])[: row["lastSeq"] + 1]
        reads = [
            "/chat",
            f"/chat/{chat}",
            f"/v1/responses/{chat}",
            f"/v1/responses/{chat}/input_items",
            f"/v1/responses/{chat}?stream=true",
        ]
        yield words, line, [], reads
        yield [], words[0], [*words[1:], line], reads
        yield words[:-1], words[-1], [line], reads


async def test_no_line_is_taken_that_fails_later(
    http: httpx.AsyncClient, channel: grpc.aio.Channel, org: Org, empty: Org
) -> None:
    made, history, chats = (
        await create_everything(http, org),
        HistoryServiceStub(channel),
        ChatServiceStub(channel),
    )
    lines = await exported(history, org)
    chance, outcomes = random.Random(1), Counter[str]()
    for before, line, after, reads in cases(lines, made):
        for mutation, mutant in chance.sample(list(mutants(line)), 15):
            try:
                request = ImportHistoryRequest(lines=[*before, mutant, *after])
                await history.ImportHistory(request, metadata=empty.metadata)
            except grpc.aio.AioRpcError as error:
                assert error.code() in (
                    grpc.StatusCode.INVALID_ARGUMENT,
                    grpc.StatusCode.FAILED_PRECONDITION,
                ), mutation
                assert error.details().startswith("line "), mutation
                outcomes["refused"] += 1
                continue
            outcomes["taken"] += 1
            for path in reads:
                answer = await http.get(path, headers=empty.bearer)
                assert answer.status_code < 500, (mutation, path, answer.text)
            if reads[0] == "/chat":
                await check_export(chats, reads[1].removeprefix("/chat/"), empty)
            await exported(history, empty)
            assert (await http.delete(reads[1], headers=empty.bearer)).status_code < 500, mutation
            await forget_all(http, empty)

    assert min(outcomes["refused"], outcomes["taken"]) > 30
    assert len(await exported(history, empty)) == 1


async def check_export(chats: ChatServiceStub, chat_id: str, org: Org) -> None:
    """Read the events of a chat, which may say that it failed."""
    try:
        async for _ in chats.WatchChat(WatchChatRequest(id=chat_id), metadata=org.metadata):
            pass
    except grpc.aio.AioRpcError as error:
        assert error.code() in (grpc.StatusCode.NOT_FOUND, grpc.StatusCode.UNAVAILABLE)


async def forget_all(http: httpx.AsyncClient, org: Org) -> None:
    """Also what a changed id hid."""
    for noun in ("assistant", "squad", "tool", "session", "chat"):
        found = (await http.get(f"/{noun}", headers=org.bearer)).json()
        for record in found if isinstance(found, list) else found["results"]:
            await http.delete(f"/{noun}/{record['id']}", headers=org.bearer)


WRONG = {
    "private of another shape": (
        "session",
        {"private": {"assistant": []}},
        "private.assistant must be an object",
    ),
    "private with more": ("session", {"private": {"other": {}}}, "private.other is not a member"),
    "name of 41 characters": ("session", {"name": "x" * 41}, "name must be at most 40 characters"),
    "session that ends at once": (
        "session",
        {"expirationSeconds": 0},
        "expirationSeconds must be greater than or equal",
    ),
    "status": ("session", {"status": "gone"}, "status must be one of active, completed"),
    "other number": ("session", {"customerNumber": "+1"}, "customerNumber must be body.customer.number"),
    "time after all times": (
        "session",
        {"createdAt": 2**53},
        "createdAt must be milliseconds since the epoch, at most",
    ),
    "chat that runs": ("chat", {"status": "in_progress"}, "status must be one of completed, incomplete"),
    "answer before its question": ("chat", {"outputSeq": 0, "firstSeq": 1}, "lastSeq must not come before"),
    "negative cost": ("chat", {"cost": -1}, "cost must not be negative"),
    "other time": ("chat", {"createdAt": 1}, "createdAt must be the time that body.createdAt is"),
    "assistant that is none": ("chat", {"assistantId": "x"}, "assistantId must be a UUID"),
    "other assistant": ("chat", {"assistantId": new_id()}, "assistantId must be what the body"),
    "pieces of no answer": (
        "chat",
        {"record.pieces": [{"choice": 9}]},
        "record.pieces[0] is not in what was answered",
    ),
    "NaN": ("chat", {"body.cost": "NaN"}, "body.cost must be a finite number"),
    "temperature": (
        "chat",
        {"record.request": {"temperature": 3}},
        "record.request.temperature must be greater",
    ),
    "words in the body": ("chat", {"body.messages": [{"role": "user"}]}, "body.messages must be empty"),
    "deep": (
        "chat",
        {"body.input": [[[[]]] * 1], "body.assistantOverrides": {"variableValues": 1}},
        "body.assistantOverrides.variableValues must be an object",
    ),
    "too much": ("chat", {"body.input": [[]] * 100_001}, "has more than 100000 values"),
    "integer that no double is": (
        "message",
        {"body.metadata": {"id": 2**53 + 1}},
        "has 9007199254740993, which is an integer that a double does not hold exactly",
    ),
    "role": ("message", {"body.role": "king"}, "body.role must be in list"),
    "content": ("message", {"body.content": 1}, "body.content must be a string or an array of parts"),
    "part": ("message", {"body.content": [{"type": "image_url"}]}, "body.content[0].image_url must be"),
    "nothing said": ("message", {"body.content": None}, "body.content must be a string or an array"),
    "tool calls": ("message", {"body.tool_calls": [{}]}, "body.tool_calls[0].function.name must be a string"),
    "NUL": (
        "message",
        {"body.content": [{"type": "x", "y": "\0"}]},
        "body.content[0].y must not contain the character NUL",
    ),
    "masked": (
        "assistant",
        {"document": {"credentials": [{"provider": "openai", "apiKey": "****"}]}},
        "document.credentials[0].apiKey is masked",
    ),
    "id in the document": ("assistant", {"document": {"id": "x"}}, "document.id is for the server to set"),
    "NUL in a document": (
        "assistant",
        {"document": {"note": "\0"}},
        "document.note must not contain the character NUL",
    ),
    "temperature of a document": (
        "assistant",
        {"document": {"model": {"temperature": "hot"}}},
        "document.model.temperature must be a number",
    ),
    "tool of no type": ("tool", {"document": {"type": 1}}, "document.type must be a string"),
    "squad of nobody": ("squad", {"document": {"members": []}}, "document.members"),
}


@pytest.mark.parametrize(("kind", "members", "problem"), WRONG.values(), ids=WRONG)
async def test_row_that_could_not_have_been_made_is_refused_by_its_member(
    history_of_everything: tuple[list[str], HistoryServiceStub],
    empty: Org,
    kind: str,
    members: dict[str, Any],
    problem: str,
) -> None:
    lines, history = history_of_everything
    rows = [orjson.loads(line) for line in lines]
    at = next(
        at for at, row in enumerate(rows) if row["kind"] == kind and row.get("record", {}).get("pieces") != []
    )
    for path, value in members.items():
        *holders, name = path.split(".")
        functools.reduce(dict.__getitem__, holders, rows[at])[name] = value

    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await history.ImportHistory(
            ImportHistoryRequest(lines=[orjson.dumps(row).decode() for row in rows]), metadata=empty.metadata
        )

    assert refused.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert refused.value.details().startswith(f"line {at + 1}: {problem}")
    assert len(await exported(history, empty)) == 1


@pytest.fixture
async def history_of_everything(
    http: httpx.AsyncClient, channel: grpc.aio.Channel, org: Org
) -> tuple[list[str], HistoryServiceStub]:
    await create_everything(http, org)
    history = HistoryServiceStub(channel)
    return await exported(history, org), history


async def test_lines_are_read_and_written_outside_of_the_event_loop(
    service: Service, org: Org, empty: Org, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads: dict[str, set[int]] = {}

    def note(name: str) -> None:
        work, seen = getattr(histories, name), threads.setdefault(name, set())
        monkeypatch.setattr(histories, name, lambda *given: seen.add(threading.get_ident()) or work(*given))

    note("_row")
    note("_line")
    history = History(service.store.database)
    lines = [line async for batch in history.export(org.id, None, secrets=True) for line in batch]
    await history.ingest(empty.id, [Line(number, text) for number, text in enumerate(lines, 1)])

    assert all(threads.values())
    assert threading.get_ident() not in threads["_row"] | threads["_line"]


async def test_lines_are_read_some_at_a_time() -> None:
    """So that nobody waits long for another's, and a caller that has gone away is not read on for."""
    lines = [Line(number, "x" * 40_000) for number in range(10)]

    slices = list(histories._slices(lines, lambda line: len(line.text)))

    assert [len(some) for some in slices] == [2] * 5
