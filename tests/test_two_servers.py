"""Two servers on one database: turns, streams, idempotency keys and deliveries belong to both, and to one at
a time.

Both run in this process, each with a store of its own, which is as much apart as two processes are.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass

import grpc
import pytest

from generated.parley.v1.chat_pb2 import Chat, ChatEvent
from generated.parley.v1.chat_service_pb2 import (
    CreateChatRequest,
    DeleteChatRequest,
    GetChatRequest,
    WatchChatRequest,
)
from generated.parley.v1.chat_service_pb2_grpc import ChatServiceStub
from generated.parley.v1.response_service_pb2 import (
    CancelResponseRequest,
    CreateResponseRequest,
    GetResponseRequest,
)
from generated.parley.v1.response_service_pb2_grpc import ResponseServiceStub
from generated.parley.v1.session_service_pb2 import CreateSessionRequest
from generated.parley.v1.session_service_pb2_grpc import SessionServiceStub
from server.app import App
from server.content.json_values import from_python
from server.core.config import Address, Settings
from server.exchange.remote import cancellation_of, lock_of
from server.storage.scope import Scope
from server.storage.store import Store, opened
from tests.contract.test_streams import BEGINNING
from tests.upstream import STALL, Answer, OpenAIUpstream, chunk, openai_stream, openai_text

MANY = 8


@dataclass
class Server:
    store: Store
    chats: ChatServiceStub
    responses: ResponseServiceStub
    sessions: SessionServiceStub


@dataclass
class Pair:
    """Two servers, and an org with an assistant whose model is `upstream`."""

    one: Server
    other: Server
    upstream: OpenAIUpstream
    agent: str
    org_id: str
    metadata: tuple[tuple[str, str], ...]

    def call_arguments(self, text: str = "Hi", **members: object) -> dict[str, object]:
        return {
            "request": CreateChatRequest(
                assistant_id=None if "session_id" in members else self.agent,
                input=from_python(text),
                **members,
            ),
            "metadata": self.metadata,
        }

    async def new_session(self) -> str:
        made = await self.one.sessions.CreateSession(
            CreateSessionRequest(assistant_id=self.agent), metadata=self.metadata
        )
        return made.id

    def stream(self, server: Server, **members: object) -> grpc.aio.UnaryStreamCall:
        return server.chats.StreamChat(**self.call_arguments(**members))

    def watch(self, server: Server, chat_id: str, **members: object) -> grpc.aio.UnaryStreamCall:
        return server.chats.WatchChat(WatchChatRequest(id=chat_id, **members), metadata=self.metadata)


@pytest.fixture
async def stack() -> AsyncIterator[AsyncExitStack]:
    async with AsyncExitStack() as stack:
        yield stack


@pytest.fixture(params=["sqlite", "postgres"])
def place(request, tmp_path) -> dict[str, object]:
    """Where the data of both is."""
    if request.param == "sqlite":
        return {"data": tmp_path}
    server = request.getfixturevalue("postgres")
    server.empty(server.common)
    return {"data": tmp_path, "database": server.common}


@pytest.fixture
def pair_of(stack, place):
    async def start(answers: Answer | list[Answer], **settings: object) -> Pair:
        upstream = await stack.enter_async_context(OpenAIUpstream(answers))
        one, other = [await _started(stack, place | settings) for _ in range(2)]
        key = await one.store.keys.create("org", "api")
        agent = await one.store.assistants.create(
            key.org_id, {"model": {"provider": "custom-llm", "url": upstream.base_url, "model": "m"}}
        )
        return Pair(one, other, upstream, agent.id, key.org_id, (("authorization", f"Bearer {key.key}"),))

    return start


async def _started(stack: AsyncExitStack, given: dict[str, object]) -> Server:
    settings = Settings(grpc=Address(host="127.0.0.1", port=0), upstream_allow_hosts="127.0.0.1", **given)
    store = await stack.enter_async_context(opened(settings.data, settings.database))
    app = App(settings, store)
    await app.start()
    stack.push_async_callback(app.stop, 0)
    channel = await stack.enter_async_context(grpc.aio.insecure_channel(f"127.0.0.1:{app.grpc_port}"))
    return Server(store, ChatServiceStub(channel), ResponseServiceStub(channel), SessionServiceStub(channel))


async def begun(call: grpc.aio.UnaryStreamCall, text: str = "Hello wor") -> list[ChatEvent]:
    """What is told until this text has been said."""
    events: list[ChatEvent] = []
    while "".join(event.delta.text for event in events) != text:
        events.append(await call.read())
    return events


async def rest_of(call: grpc.aio.UnaryStreamCall) -> list[ChatEvent]:
    events = []
    while (event := await call.read()) is not grpc.aio.EOF:
        events.append(event)
    return events


def comparable(events: list[ChatEvent]) -> list[bytes]:
    """What must be the same wherever it is read. Only who runs a chat shows its whole context in the first
    event."""
    shown = []
    for event in events:
        copy = ChatEvent.FromString(event.SerializeToString())
        del copy.started.messages[:]
        if not event.HasField("started"):
            copy.ClearField("started")
        shown.append(copy.SerializeToString(deterministic=True))
    return shown


async def test_turns_of_a_session_never_interleave(pair_of):
    pair = await pair_of([openai_text(f"answer {number}") for number in range(MANY)])
    session = await pair.new_session()
    servers = [pair.one, pair.other] * MANY
    await asyncio.gather(
        *(
            servers[number].chats.CreateChat(**pair.call_arguments(f"question {number}", session_id=session))
            for number in range(MANY)
        )
    )

    contexts = [
        [message["content"] for message in request.body["messages"]] for request in pair.upstream.requests
    ]
    stored = await pair.one.store.sessions.find(Scope(pair.org_id), session)
    history = [message.content.string_value for message in await pair.one.store.sessions.history(stored)]
    assert contexts == [history[: 2 * number + 1] for number in range(MANY)]
    assert history[1::2] == [f"answer {number}" for number in range(MANY)]


async def test_turn_waits_for_one_on_the_other_server_and_is_refused_in_the_end(pair_of):
    pair = await pair_of([Answer([*BEGINNING, STALL]), openai_text("Now")], turn_wait_seconds=0.1)
    session = await pair.new_session()
    streaming = pair.stream(pair.one, session_id=session)
    await begun(streaming)

    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await pair.other.chats.CreateChat(**pair.call_arguments(session_id=session))
    streaming.cancel()
    await pair.upstream.disconnected.wait()

    assert refused.value.code() == grpc.StatusCode.ABORTED
    while True:  # until the first one is on record
        try:
            chat = await pair.other.chats.CreateChat(**pair.call_arguments(session_id=session))
            break
        except grpc.aio.AioRpcError as busy:
            assert busy.code() == grpc.StatusCode.ABORTED
    assert chat.output[0].content.string_value == "Now"


async def test_stream_is_watched_from_the_other_server_and_cancelled_there(pair_of):
    pair = await pair_of(Answer([*BEGINNING, STALL]))
    streaming = pair.stream(pair.one)
    received = await begun(streaming)
    watching, late = [
        pair.watch(pair.other, received[0].chat_id, **members) for members in ({}, {"after": 1})
    ]
    watched, later = await begun(watching), await begun(late, " wor")

    cancelled = await pair.other.responses.CancelResponse(
        CancelResponseRequest(response_id=received[0].chat_id), metadata=pair.metadata
    )

    received += await rest_of(streaming)
    watched += await rest_of(watching)
    later += await rest_of(late)
    assert cancelled.status == "cancelled"
    assert (received[-1].completed.status, received[-1].completed.error.code) == ("cancelled", "cancelled")
    assert comparable(watched)[:-1] == comparable(received)[:-1]
    assert (watched[-1].sequence, watched[-1].completed.status) == (received[-1].sequence, "cancelled")
    assert comparable(later) == comparable(watched)[2:]
    async with asyncio.timeout(5):
        await pair.upstream.disconnected.wait()


async def test_cancellation_is_heeded_though_its_lock_could_not_be_had_at_first(pair_of, monkeypatch):
    """Whoever runs the chat takes that lock for a moment, to look whether it is held."""
    pair = await pair_of(Answer([*BEGINNING, STALL]))
    received = await begun(pair.stream(pair.one))
    peers, wanted, refused = pair.other.store.peers, cancellation_of(received[0].chat_id), []
    try_lock = peers.try_lock

    async def refused_once(name: str) -> bool:
        if name == wanted and not refused:
            refused.append(name)
            return False
        return await try_lock(name)

    monkeypatch.setattr(peers, "try_lock", refused_once)
    cancelled = await pair.other.responses.CancelResponse(
        CancelResponseRequest(response_id=received[0].chat_id), metadata=pair.metadata
    )

    assert (refused, cancelled.status) == ([wanted], "cancelled")


async def test_response_in_the_background_is_read_on_from_the_other_server(pair_of):
    more = asyncio.Event()
    pair = await pair_of(
        openai_stream(chunk({"content": "one "}), more, chunk({"content": "two"}), chunk(finish="stop"))
    )
    created = await pair.one.responses.CreateResponse(
        CreateResponseRequest(assistant_id=pair.agent, input=from_python("Hi"), background=True),
        metadata=pair.metadata,
    )
    more.set()
    events = [
        event
        async for event in pair.other.responses.WatchResponse(
            GetResponseRequest(response_id=created.id, starting_after=0), metadata=pair.metadata
        )
    ]

    assert created.status == "in_progress"
    assert [event.sequence_number for event in events] == list(range(1, len(events) + 1))
    assert events[-1].type == "response.completed"


async def test_server_that_starts_leaves_alone_what_the_other_runs(pair_of, stack, place):
    pair = await pair_of(Answer([*BEGINNING, STALL]))
    streaming = pair.stream(pair.one)
    received = await begun(streaming)

    third = await _started(stack, place)

    chat = await third.chats.GetChat(GetChatRequest(id=received[0].chat_id), metadata=pair.metadata)
    assert chat.status == "in_progress"


async def test_reader_of_an_exchange_of_a_dead_server_completes_it(pair_of):
    pair = await pair_of(Answer([*BEGINNING, STALL]))
    streaming = pair.stream(pair.one)
    received = await begun(streaming)
    await pair.one.store.peers.unlock(lock_of(received[0].chat_id))  # as the kernel does when a process dies

    watched = await rest_of(pair.watch(pair.other, received[0].chat_id))

    assert (watched[-1].completed.status, watched[-1].completed.error.code) == (
        "incomplete",
        "server_stopped",
    )
    assert "".join(event.delta.text for event in watched) == "Hello wor"


async def test_exchange_of_a_dead_server_is_completed_without_a_reader(pair_of, monkeypatch):
    monkeypatch.setattr("server.exchange.recovery._LOOKS_AGAIN_SECONDS", 0.05)
    pair = await pair_of(Answer([*BEGINNING, STALL]))
    received = await begun(pair.stream(pair.one))
    await pair.one.store.peers.unlock(lock_of(received[0].chat_id))

    async with asyncio.timeout(20):
        chat = Chat(status="in_progress")
        while chat.status == "in_progress":
            chat = await pair.other.chats.GetChat(
                GetChatRequest(id=received[0].chat_id), metadata=pair.metadata
            )

    assert (chat.status, chat.error.code) == ("incomplete", "server_stopped")


async def test_what_runs_elsewhere_and_is_deleted_ends_in_an_event_that_says_so(pair_of):
    pair = await pair_of(Answer([*BEGINNING, STALL]))
    streaming = pair.stream(pair.one)
    received = await begun(streaming)
    watching = pair.watch(pair.other, received[0].chat_id)
    await begun(watching)

    await pair.other.chats.DeleteChat(DeleteChatRequest(id=received[0].chat_id), metadata=pair.metadata)

    assert [event.failed.error.code for event in await rest_of(watching)] == ["chat_deleted"]
    assert (await streaming.read()).failed.error.code == "chat_deleted"
    async with asyncio.timeout(5):
        await pair.upstream.disconnected.wait()


async def test_idempotency_key_is_in_use_on_both(pair_of):
    pair = await pair_of([Answer([*BEGINNING, STALL]), openai_text("once")])
    key = (*pair.metadata, ("idempotency-key", "k1"))
    streaming = pair.one.chats.StreamChat(pair.call_arguments()["request"], metadata=key)
    await begun(streaming)

    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await pair.other.chats.StreamChat(pair.call_arguments()["request"], metadata=key).read()
    streaming.cancel()
    second = (*pair.metadata, ("idempotency-key", "k2"))
    answers = [
        await server.chats.CreateChat(pair.call_arguments()["request"], metadata=second)
        for server in (pair.one, pair.other)
    ]

    assert refused.value.code() == grpc.StatusCode.ABORTED
    assert answers[0] == answers[1]
    assert len(pair.upstream.requests) == 2
