"""Deleted is gone: whatever made a record, whoever deletes it and whenever, no table has a word of it
afterwards.

Every record is made under an Idempotency-Key, and everything that a caller may say in it has the word that is
looked for: in every column of every table, as the catalog of the database has them.
"""

import asyncio
import base64
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import suppress
from itertools import product
from typing import Any

import grpc
import pytest
from google.protobuf.descriptor_pool import Default
from google.protobuf.json_format import MessageToDict, ParseDict
from google.protobuf.message_factory import GetMessageClass

from server.core.clock import now_ms
from server.core.ids import new_id
from server.storage.database import Connection
from server.storage.retention import Retention
from server.storage.scope import Scope
from server.storage.sqlite.backups import DATABASE
from server.storage.sqlite.checking import findings
from tests.conftest import Org, Service, delivered_until, rows_of, running
from tests.contract.test_streams import BEGINNING
from tests.upstream import STALL, Answer, OpenAIUpstream, Upstream, chunk, failure, sse

WORD = "zyxwvuts"
OFFLINE = {"provider": "offline", "model": "offline-1"}
GREETING = {"role": "user", "content": WORD}


@pytest.fixture(scope="module", params=["sqlite", "postgres"])
async def service(request, tmp_path_factory) -> AsyncIterator[Service]:
    """One of our own, as `parley check` is to find nothing in its file."""
    folder = tmp_path_factory.mktemp("deleted")
    database = request.getfixturevalue("postgres").new_database() if request.param == "postgres" else None
    async with running(
        folder, database=database, upstream_allow_hosts="127.0.0.1", delivery_attempts=1
    ) as started:
        yield started
        assert database or findings(folder / DATABASE) == []


class Client:
    """Calls every method by its name, over gRPC, with an Idempotency-Key of its own for each call."""

    def __init__(self, channel: grpc.aio.Channel, org: Org, agent: str) -> None:
        self._channel = channel
        self.org = org
        self.agent = agent

    async def call(self, name: str, /, **members: Any) -> dict[str, Any]:
        method, request = _method(name, members)
        answer = await self._channel.unary_unary(
            f"/{method.containing_service.full_name}/{method.name}",
            request_serializer=type(request).SerializeToString,
            response_deserializer=GetMessageClass(method.output_type).FromString,
        )(request, metadata=self._metadata())
        return MessageToDict(answer)

    def stream(self, name: str, /, **members: Any) -> grpc.aio.UnaryStreamCall:
        method, request = _method(name, members)
        return self._channel.unary_stream(
            f"/{method.containing_service.full_name}/{method.name}",
            request_serializer=type(request).SerializeToString,
            response_deserializer=GetMessageClass(method.output_type).FromString,
        )(request, metadata=self._metadata())

    def _metadata(self) -> tuple[tuple[str, str], ...]:
        return (("authorization", f"Bearer {self.org.secret}"), ("idempotency-key", new_id()))


def _method(name: str, members: dict[str, Any]) -> tuple[Any, Any]:
    service, _, method = name.partition("/")
    found = Default().FindServiceByName(f"parley.v1.{service}Service").FindMethodByName(method)
    return found, ParseDict(members, GetMessageClass(found.input_type)())


@pytest.fixture
async def client(channel, org) -> Client:
    return Client(channel, org, org.assistant_id)


_COLUMNS = {
    True: "SELECT tables.name, columns.name FROM sqlite_master AS tables JOIN pragma_table_info(tables.name) AS columns "
    "WHERE tables.type = 'table'",
    False: "SELECT table_name, column_name FROM information_schema.columns WHERE table_schema = 'public' "
    "AND data_type NOT IN ('smallint', 'integer', 'bigint', 'double precision', 'timestamp with time zone')",
}
"""The catalog of either engine, by whether it is SQLite, whose columns may hold anything."""


def _texts(value: Any) -> Iterator[bytes]:
    if isinstance(value, str):
        yield value.encode()
    elif isinstance(value, bytes | memoryview):
        yield bytes(value)


async def traces(service: Service) -> set[tuple[str, str]]:
    """Tables and columns that have the word."""
    forms = [WORD.encode(), *(base64.b64encode(b"x" * shift + WORD.encode())[4:-4] for shift in range(3))]

    def work(connection: Connection) -> set[tuple[str, str]]:
        return {
            (table, column)
            for table, column in connection.execute(_COLUMNS[service.settings.database is None]).fetchall()
            for (value,) in connection.execute(f"SELECT {column} FROM {table}").fetchall()
            for text in _texts(value)
            if any(form in text for form in forms)
        }

    return await service.store.database.read(work)


# What is made. Each returns the ids of what is to be deleted, the first to be deleted first.


async def document(client: Client, noun: str, **members: Any) -> str:
    made = await client.call(f"{noun}/Create{noun}", document={"name": WORD, **members})
    await client.call(f"{noun}/Update{noun}", id=made["id"], patch={"note": f"{WORD} again"})
    return made["id"]


DOCUMENTS: dict[str, dict[str, Any]] = {
    "Assistant": {
        "firstMessage": WORD,
        "model": {**OFFLINE, "messages": [{"role": "system", "content": WORD}]},
    },
    "Squad": {"members": [{"assistant": {"name": WORD, "model": OFFLINE}}]},
    "Tool": {"type": "function", "function": {"name": "n", "description": WORD}},
}


async def chat(client: Client, **members: Any) -> str:
    return (await client.call("Chat/CreateChat", input=WORD, name=WORD, **members))["id"]


async def plain_chat(client: Client) -> list[str]:
    return [await chat(client, assistantId=client.agent)]


async def chat_with_overrides(client: Client) -> list[str]:
    return [
        await chat(
            client,
            assistantId=client.agent,
            assistantOverrides={
                "variableValues": {"a": WORD},
                "model": {**OFFLINE, "messages": [{"role": "system", "content": WORD}]},
            },
        )
    ]


async def chat_with_its_own_assistant(client: Client) -> list[str]:
    return [
        await chat(
            client,
            assistant={
                "name": WORD,
                "model": OFFLINE,
                "credentials": [{"provider": "openai", "apiKey": WORD}],
            },
        )
    ]


async def chat_with_calls(client: Client) -> list[str]:
    tool = {"type": "function", "function": {"name": f"get_{WORD}", "description": WORD}}
    made = await client.call(
        "Completion/CreateChatCompletion",
        agent_id=client.agent,
        messages=[GREETING],
        tools=[tool],
        tool_choice={"type": "function", "function": {"name": f"get_{WORD}"}},
    )
    return [made["id"]]


async def streamed_chat(client: Client) -> list[str]:
    events = [event async for event in client.stream("Chat/StreamChat", input=WORD, assistantId=client.agent)]
    return [events[0].chat_id]


async def chain(client: Client) -> list[str]:
    first = await chat(client, assistantId=client.agent)
    return [first, await chat(client, previousChatId=first), await chat(client, previousChatId=first)]


async def chain_from_its_end(client: Client) -> list[str]:
    return (await chain(client))[::-1]


async def response(client: Client) -> list[str]:
    made = await client.call(
        "Response/CreateResponse",
        input=WORD,
        assistantId=client.agent,
        instructions=WORD,
        metadata={"a": WORD},
        user=WORD,
    )
    return [made["id"]]


async def response_in_the_background(client: Client) -> list[str]:
    made = await client.call(
        "Response/CreateResponse", input=WORD, assistantId=client.agent, instructions=WORD, background=True
    )
    _ = [event async for event in client.stream("Response/WatchResponse", response_id=made["id"])]
    return [made["id"]]


async def compaction(client: Client) -> list[str]:
    (first,) = await response(client)
    made = await client.call("Response/CompactResponse", previous_response_id=first, assistantId=client.agent)
    return [made["id"], first]


async def completion(client: Client) -> list[str]:
    made = await client.call(
        "Completion/CreateChatCompletion", agent_id=client.agent, messages=[GREETING], metadata={"a": WORD}
    )
    return [made["id"]]


CHATS = (
    plain_chat,
    chat_with_overrides,
    chat_with_its_own_assistant,
    chat_with_calls,
    streamed_chat,
    chain,
    chain_from_its_end,
    response,
    response_in_the_background,
    compaction,
    completion,
)


async def session(client: Client) -> str:
    made = await client.call(
        "Session/CreateSession",
        assistantId=client.agent,
        name=WORD,
        metadata={"a": WORD},
        customer={"name": WORD},
        messages=[GREETING],
        assistantOverrides={"variableValues": {"a": WORD}},
    )
    await chat(client, sessionId=made["id"])
    _ = [event async for event in client.stream("Chat/StreamChat", input=WORD, sessionId=made["id"])]
    await client.call("Session/UpdateSession", id=made["id"], name=f"{WORD} 2", messages=[GREETING])
    await client.call(
        "Completion/CreateChatCompletion",
        agent_id=client.agent,
        messages=[GREETING],
        store_in_session=made["id"],
    )
    return made["id"]


async def agent_chat(client: Client) -> str:
    made = await client.call(
        "AgentChat/CreateAgentChat", agentId=client.agent, userId=WORD, metadata={"a": WORD}
    )
    await client.call("AgentChat/CreateMessage", chat_id=made["id"], content=WORD)
    _ = [event async for event in client.stream("AgentChat/StreamMessage", chat_id=made["id"], content=WORD)]
    return made["id"]


async def conversation(client: Client) -> str:
    made = (await client.call("Conversation/CreateConversation", items=[GREETING], metadata={"a": WORD}))[
        "id"
    ]
    await client.call("Conversation/UpdateConversation", conversation_id=made, metadata={"b": WORD})
    added = await client.call("Conversation/CreateItems", conversation_id=made, items=[GREETING])
    await client.call("Conversation/DeleteItem", conversation_id=made, item_id=added["data"][0]["id"])
    await client.call("Response/CreateResponse", input=WORD, assistantId=client.agent, conversation=made)
    return made


SESSIONS = (session, agent_chat, conversation)


# How it is deleted.


async def swept(client: Client, service: Service, _: str) -> None:
    await Retention(service.store, 1.0, lambda: now_ms() + 40 * 86_400_000).sweep()


Delete = Callable[[Client, Service, str], Awaitable[Any]]
OF_CHATS: dict[str, Delete] = {
    "DeleteChat": lambda client, _, made: client.call("Chat/DeleteChat", id=made),
    "DeleteResponse": lambda client, _, made: client.call("Response/DeleteResponse", response_id=made),
    "retention": swept,
}
OF_SESSIONS: dict[str, Delete] = {
    "DeleteSession": lambda client, _, made: client.call("Session/DeleteSession", id=made),
    "DeleteAgentChat": lambda client, _, made: client.call("AgentChat/DeleteAgentChat", chat_id=made),
    "DeleteConversation": lambda client, _, made: client.call(
        "Conversation/DeleteConversation", conversation_id=made
    ),
    "retention": swept,
}


@pytest.mark.parametrize("noun", DOCUMENTS)
async def test_document_is_gone(service, client, noun):
    made = await document(client, noun, **DOCUMENTS[noun])
    assert {table for table, _ in await traces(service)} == {f"{noun.lower()}s", "idempotency_keys"}

    await client.call(f"{noun}/Delete{noun}", id=made)

    assert await traces(service) == set()


@pytest.mark.parametrize(("make", "delete"), [*product(CHATS, OF_CHATS)])
async def test_chat_is_gone(service, client, make, delete):
    made = await make(client)
    assert {"chats", "messages", "idempotency_keys"} <= {table for table, _ in await traces(service)}

    for one in made:
        await OF_CHATS[delete](client, service, one)

    assert await traces(service) == set()


@pytest.mark.parametrize(("make", "delete"), [*product(SESSIONS, OF_SESSIONS)])
async def test_session_is_gone(service, client, make, delete):
    made = await make(client)
    assert {"sessions", "chats", "messages", "idempotency_keys"} <= {
        table for table, _ in await traces(service)
    }

    await OF_SESSIONS[delete](client, service, made)

    assert await traces(service) == set()


@pytest.mark.parametrize("stream", [False, True])
async def test_what_is_not_stored_was_never_there(service, client, stream):
    members = {"input": WORD, "assistantId": client.agent, "store": False}
    if stream:
        events = [event async for event in client.stream("Response/StreamResponse", **members)]
        assert events[-1].type == "response.completed"
    else:
        assert (await client.call("Response/CreateResponse", **members))["status"] == "completed"

    assert await traces(service) == set()


async def test_what_is_replaced_or_taken_out_of_a_session_is_gone(service, client):
    items = [{"role": "user", "content": f"{WORD} {number}"} for number in range(2)]
    made = await client.call("Session/CreateSession", assistantId=client.agent, messages=items)
    added = await client.call("Conversation/CreateItems", conversation_id=made["id"], items=items)
    await client.call("Session/UpdateSession", id=made["id"], messages=[{"role": "user", "content": "anew"}])
    assert await traces(service) == set()

    added = await client.call("Conversation/CreateItems", conversation_id=made["id"], items=items)
    for item in added["data"]:
        await client.call("Conversation/DeleteItem", conversation_id=made["id"], item_id=item["id"])
    assert await traces(service) == set()


async def test_event_that_cannot_be_delivered_keeps_no_word(service, client):
    async with Upstream(failure(404)) as failing:
        made = await client.call(
            "Assistant/CreateAssistant",
            document={"model": OFFLINE, "server": {"url": f"{failing.base_url}/events"}},
        )
        one = await chat(client, assistantId=made["id"])
        await client.call("Chat/DeleteChat", id=one)

        async def dead() -> bool | None:
            states = await rows_of(
                service.store, "SELECT state FROM outbox WHERE org_id = ?", [client.org.id]
            )
            return states == [("dead",)] * 2 or None

        await delivered_until(service.store, dead)

    assert await traces(service) == set()


# While it streams

STREAMS: dict[str, tuple[str, dict[str, Any], dict[str, Delete]]] = {
    "chat": ("Chat/StreamChat", {"assistantId": "agent"}, OF_CHATS),
    "response": ("Response/StreamResponse", {"assistantId": "agent"}, OF_CHATS),
    "completion": ("Completion/StreamChatCompletion", {"agent_id": "agent"}, OF_CHATS),
    "chat in a session": ("Chat/StreamChat", {"sessionId": "session"}, OF_CHATS | OF_SESSIONS),
    "response in a session": ("Response/StreamResponse", {"sessionId": "session"}, OF_CHATS | OF_SESSIONS),
    "message": ("AgentChat/StreamMessage", {"chat_id": "session"}, OF_CHATS | OF_SESSIONS),
}
_WHILE_IT_STREAMS = [
    (name, delete) for name, (_, _, deletes) in STREAMS.items() for delete in deletes if delete != "retention"
]


async def begun(client: Client, name: str, agent: str) -> tuple[grpc.aio.UnaryStreamCall, str, str | None]:
    """A stream that has told its beginning, its chat and its session."""
    method, members, _ = STREAMS[name]
    session = None
    if "session" in members.values():
        session = (await client.call("Session/CreateSession", assistantId=agent, messages=[GREETING]))["id"]
    members = {key: session if value == "session" else agent for key, value in members.items()}
    request_members = (
        {"content": WORD}
        if name == "message"
        else {"messages": [GREETING]}
        if name == "completion"
        else {"input": WORD}
    )
    stream = client.stream(method, **members, **request_members)
    while " wor" not in str(await stream.read()):
        pass
    chats = await rows_of_chats(client)
    return stream, chats[0], session


async def rows_of_chats(client: Client) -> list[str]:
    listed = await client.call("Chat/ListChats")
    return [one["id"] for one in listed["results"]]


async def ending(stream: grpc.aio.UnaryStreamCall) -> tuple[str, str]:
    """What is told last, and the status."""
    last = None
    with suppress(grpc.aio.AioRpcError):
        while (event := await stream.read()) is not grpc.aio.EOF:
            last = event
    return str(last), (await stream.code()).name


@pytest.fixture
async def silent():
    """A model that begins to answer, and then says nothing more."""
    async with OpenAIUpstream(Answer([*BEGINNING, STALL])) as upstream:
        yield upstream


@pytest.fixture
async def talking():
    """A model that begins to answer, goes on when `more` is set, and stops in the middle."""
    more = asyncio.Event()
    async with OpenAIUpstream(Answer([*BEGINNING, more, *sse(chunk({"content": "ld"})), STALL])) as upstream:
        yield upstream, more


async def agent_of(service: Service, org: Org, upstream: OpenAIUpstream) -> str:
    made = await service.store.assistants.create(
        org.id, {"model": {"provider": "custom-llm", "url": upstream.base_url, "model": "m"}}
    )
    return made.id


@pytest.mark.parametrize(("name", "delete"), _WHILE_IT_STREAMS)
async def test_what_is_deleted_while_it_streams_ends_in_an_error_and_is_gone(
    service, client, silent, name, delete
):
    stream, made, session = await begun(client, name, await agent_of(service, client.org, silent))

    await STREAMS[name][2][delete](client, service, session if delete in OF_SESSIONS else made)

    last, status = await ending(stream)
    async with asyncio.timeout(5):
        await silent.disconnected.wait()
    assert status == "NOT_FOUND"
    if name != "completion":  # whose error is the status alone
        assert "The chat was deleted before its answer was complete." in last
    if session and delete not in OF_SESSIONS:
        await client.call("Session/DeleteSession", id=session)
    assert await traces(service) == set()
    assert await rows_of(service.store, "SELECT 1 FROM chat_events WHERE org_id = ?", [client.org.id]) == []


@pytest.mark.parametrize("name", STREAMS)
async def test_what_is_deleted_under_a_stream_by_anybody_ends_it_with_the_next_event(
    service, client, talking, name
):
    """As a sweep of another server may, which knows of no stream here."""
    upstream, more = talking
    stream, made, session = await begun(client, name, await agent_of(service, client.org, upstream))

    if session:
        await service.store.sessions.delete(Scope(client.org.id), session)
    else:
        await service.store.chats.delete(Scope(client.org.id), made)
    more.set()

    last, status = await ending(stream)
    assert status == "NOT_FOUND"
    if name != "completion":
        assert "The chat was deleted before its answer was complete." in last
    assert await traces(service) == set()
    assert await rows_of(service.store, "SELECT 1 FROM chat_events WHERE org_id = ?", [client.org.id]) == []


async def test_stream_that_is_deleted_as_it_ends_ends_in_an_error(service, client, monkeypatch):
    """Deleted between the last word and the commit of the whole."""
    more = asyncio.Event()
    async with OpenAIUpstream(Answer([*BEGINNING, more, *sse(chunk(finish="stop"), "[DONE]")])) as upstream:
        record = service.store.chats.record

        async def late(exchange: Any) -> None:
            await service.store.chats.delete(Scope(client.org.id), exchange.chat.id)
            await record(exchange)

        monkeypatch.setattr(service.store.chats, "record", late)
        stream, _, _ = await begun(client, "chat", await agent_of(service, client.org, upstream))
        more.set()

        last, status = await ending(stream)

    assert ("The chat was deleted before its answer was complete." in last, status) == (True, "NOT_FOUND")
    assert await traces(service) == set()


@pytest.mark.parametrize("path", ["/chat", "/v1/responses"])
async def test_stream_over_http_ends_in_an_error_event(service, org, http, silent, path):
    sent = {"assistantId": await agent_of(service, org, silent), "input": WORD, "stream": True}
    async with http.stream("POST", path, json=sent, headers=org.bearer) as answer:
        lines = answer.aiter_lines()
        async for line in lines:
            if " wor" in line:
                break
        made = (await http.get("/chat", headers=org.bearer)).json()["results"][0]["id"]
        assert (await http.delete(f"/chat/{made}", headers=org.bearer)).status_code == 200
        rest = "\n".join([line async for line in lines])

    assert "The chat was deleted before its answer was complete." in rest
    assert "chat_deleted" in rest


async def test_events_that_an_earlier_version_left_are_gone_after_the_start(tmp_path):
    async with running(tmp_path) as first:
        org = await first.new_org()
        await first.store.database.write(
            lambda connection: (
                connection.execute(
                    "INSERT INTO chat_events (org_id, chat_id, sequence, body) VALUES (?, 'gone', 1, ?)",
                    [org.id, b""],
                )
                and None
            )
        )
    assert findings(tmp_path / DATABASE) == ["chat gone is over or gone, but its events still exist"]

    async with running(tmp_path):
        pass

    assert findings(tmp_path / DATABASE) == []
