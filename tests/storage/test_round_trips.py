"""How many round trips to PostgreSQL each kind of call takes: counted where statements are sent, never timed."""

from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any

import pytest
from google.protobuf.struct_pb2 import Value

from generated.parley.v1.assistant_service_pb2 import ListAssistantsRequest
from generated.parley.v1.chat_pb2 import ChatEvent, ContentDelta
from generated.parley.v1.chat_service_pb2 import ListChatsRequest
from generated.parley.v1.session_service_pb2 import ListSessionsRequest
from server.agents.agents import Agents
from server.agents.who import StoredAssistant, Who
from server.backends.backend import Emit, Finish, ModelRequest
from server.content.inputs import parse_input
from server.core.outbound.guard import AllowedHosts
from server.delivery.server_events import ServerEvents
from server.exchange.asked import After, Asked, InSession, Where
from server.exchange.engine import Engine
from server.exchange.recovery import Recovery
from server.exchange.resolve import TurnResolver
from server.exchange.streams import Streams
from server.exchange.tool_loop import ToolLoop
from server.storage.chat_events import EventBatch
from server.storage.keys import Caller
from server.storage.postgres.connection import PostgresConnection
from server.storage.postgres.locks import Locks
from server.storage.store import Store
from tests.storage.records import Place, Recorder, StandingClock

ASSISTANT = {"name": "a", "model": {"provider": "scripted", "model": "m"}}
FEW, MANY = 2, 12


class Answering:
    """A backend that answers in one event."""

    async def generate(self, request: ModelRequest, emit: Emit) -> None:
        await emit([ContentDelta(text="yes"), Finish(0, "stop")])

    async def close(self) -> None: ...


class Trips:
    """Round trips since the last look."""

    def __init__(self) -> None:
        self.count = 0

    async def of(self, call: Coroutine[Any, Any, object]) -> int:
        self.count = 0
        await call
        return self.count


@pytest.fixture
def engine() -> str:
    return "postgres"


@pytest.fixture
def trips(monkeypatch: pytest.MonkeyPatch) -> Trips:
    trips = Trips()
    send, acquire = PostgresConnection.send, Locks.acquire

    async def counted_send(self: PostgresConnection) -> None:
        trips.count += 1
        await send(self)

    async def counted_acquire(self: Locks, name: str) -> bool:
        trips.count += 1
        return await acquire(self, name)

    monkeypatch.setattr(PostgresConnection, "send", counted_send)
    monkeypatch.setattr(Locks, "acquire", counted_acquire)
    return trips


class Talk:
    """The engine over a store whose changes are announced, for one key and one assistant."""

    def __init__(self, store: Store, caller: Caller, assistant_id: str, clock: StandingClock) -> None:
        self.store = store
        self._caller, self._assistant_id = caller, assistant_id
        self._resolver = TurnResolver(store, Agents(store), clock)
        self._engine = Engine(store, ToolLoop(Answering(), None), {}, clock, 600)
        self._streams = Streams(self._engine, store.chats, store.peers, Recovery(store.chats, store.peers))
        self.last_id = ""

    async def send(self, where: Where | None = None) -> None:
        self.last_id = (await self._engine.run(await self._turn(where))).chat.id

    async def stream(self, where: Where | None = None) -> None:
        async with self._streams.start(await self._turn(where)) as exchange:
            self.last_id = [event async for batch in exchange.batches() for event in batch][-1].chat_id

    async def new_session(self) -> str:
        agent = await self._resolver._agents.stored(self._caller, self._assistant_id)
        new = self._resolver.new_session(self._caller, agent)
        await self.store.sessions.create(new)
        return new.session.id

    async def _turn(self, where: Where | None) -> Any:
        given, who = Value(string_value="hi"), Who(None if where else StoredAssistant(self._assistant_id))
        return await self._resolver.resolve(
            Asked(caller=self._caller, who=who, where=where, input=given, input_messages=parse_input(given))
        )


@pytest.fixture
async def talk(store: Store, clock: StandingClock) -> AsyncIterator[Talk]:
    key = await store.keys.create("org", "api")
    assistant = await store.assistants.create(key.org_id, ASSISTANT)
    announcing = store.announcing_with(ServerEvents(AllowedHosts([]), clock).compose)
    talk = Talk(announcing, Caller(key.org_id, key.id, key.kind), assistant.id, clock)
    await talk.send()  # the settings and the server of the assistant are known from now on
    with store.peers.listen("anything") as heard:  # a stream that began before would look for words it missed
        await heard.wait()
    yield talk


async def test_exchange_on_its_own_takes_three_round_trips(talk: Talk, trips: Trips) -> None:
    assert await trips.of(talk.send()) == 3


async def test_exchange_of_a_session_takes_six_round_trips(talk: Talk, trips: Trips) -> None:
    session = InSession(await talk.new_session())

    assert [await trips.of(talk.send(session)) for _ in range(3)] == [6] * 3


async def test_exchange_of_a_chain_takes_four_round_trips(talk: Talk, trips: Trips) -> None:
    assert [await trips.of(talk.send(After(talk.last_id, "previousChatId"))) for _ in range(3)] == [4] * 3


async def test_stream_takes_more_for_the_lock_of_its_chat_and_for_its_beginning(
    talk: Talk, trips: Trips
) -> None:
    session = InSession(await talk.new_session())

    assert await trips.of(talk.stream()) == 3 + 1 + 1
    assert [await trips.of(talk.stream(session)) for _ in range(2)] == [6 + 1 + 2] * 2


async def test_events_of_many_streams_are_on_disk_in_one_round_trip(recorder: Recorder, trips: Trips) -> None:
    running = [recorder.exchange("running", status="in_progress") for _ in range(3)]
    for exchange in running:
        await recorder.store.chats.begin(exchange, EventBatch(recorder.key.org_id, exchange.chat.id, []))
    written: list[bool] = []

    async def journal(number: int) -> None:
        event = ChatEvent(sequence=number, delta=ContentDelta(text="a"))
        written[:] = await recorder.store.chats.journal(
            [EventBatch(recorder.key.org_id, exchange.chat.id, [event]) for exchange in running]
        )

    assert await trips.of(journal(1)) == 1
    assert written == [True] * 3
    await recorder.store.chats.delete(recorder.scope, running[1].chat.id)
    await journal(2)
    assert written == [True, False, True]


LISTS: dict[str, tuple[Callable[[Recorder], Coroutine[Any, Any, object]], int]] = {
    "chats": (lambda of: of.store.chats.list(of.scope, ListChatsRequest()), 2),
    "sessions": (lambda of: of.store.sessions.list(of.scope, ListSessionsRequest()), 2),
    "assistants": (lambda of: of.store.assistants.list(of.key.org_id, ListAssistantsRequest()), 2),
}


@pytest.mark.parametrize("number", [FEW, MANY])
@pytest.mark.parametrize(("listing", "expected"), LISTS.values(), ids=LISTS)
async def test_page_takes_as_many_round_trips_for_many_records_as_for_few(
    place: Place,
    recorder: Recorder,
    trips: Trips,
    listing: Callable[[Recorder], Coroutine[Any, Any, object]],
    expected: int,
    number: int,
) -> None:
    for name in range(number):
        await recorder.add("a", session=await recorder.open_session())
        await recorder.store.assistants.create(recorder.key.org_id, {"name": str(name)})
    recorder.store = await place.open()  # has read no assistant yet

    assert await trips.of(listing(recorder)) == expected
