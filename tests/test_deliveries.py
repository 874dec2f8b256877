"""The outbox and the loop that empties it: order, retries, dead rows, restarts."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest

from server.delivery.loop import Deliveries, NotDelivered, Patience
from server.storage.outbox import Delivery, Waiting
from server.storage.store import Store, connect_store, open_store
from tests.conftest import delivered_until, rows_of

KIND = "test"
Opened = Callable[[], Awaitable[Store]]
AT_ONCE = Patience(attempts=3, base_seconds=0, most_seconds=0)


class Clock:
    """A clock that tests set."""

    def __init__(self) -> None:
        self.now = 1_700_000_000_000

    def __call__(self) -> int:
        return self.now


class Scripted:
    """A sink that fails as scripted, then takes everything; `blocked` makes it wait."""

    def __init__(self, *failures: Exception) -> None:
        self.failures = list(failures)
        self.tried: list[bytes] = []
        self.ids: list[str] = []
        self.news = asyncio.Event()
        self.blocked: dict[bytes, asyncio.Event] = {}

    async def send(self, waiting: Waiting) -> None:
        self.tried.append(waiting.body)
        self.ids.append(waiting.id)
        self.news.set()
        if waiting.body in self.blocked:
            await self.blocked[waiting.body].wait()
        if self.failures:
            raise self.failures.pop(0)

    async def has_tried(self, count: int) -> list[bytes]:
        async with asyncio.timeout(10):
            while len(self.tried) < count:
                self.news.clear()
                await self.news.wait()
        return self.tried


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(params=["sqlite", "postgres"])
async def opened(request: pytest.FixtureRequest, tmp_path: Path, clock: Clock) -> AsyncIterator[Opened]:
    """Opens stores on one database."""
    if request.param == "postgres":
        server = request.getfixturevalue("postgres")
        server.empty(server.common)
    async with AsyncExitStack() as stores:

        async def opened() -> Store:
            store = (
                open_store(tmp_path, clock=clock)
                if request.param == "sqlite"
                else await connect_store(server.common, clock=clock)
            )
            stores.push_async_callback(store.aclose)
            return store

        yield opened


@pytest.fixture
async def store(opened: Opened) -> Store:
    return await opened()


@pytest.fixture
async def org_id(store: Store) -> str:
    return (await store.keys.create("org", "api")).org_id


@asynccontextmanager
async def delivering(
    store: Store, sink: Scripted, clock: Clock, patience: Patience = AT_ONCE
) -> AsyncIterator[None]:
    deliveries = Deliveries(store.outbox, {KIND: sink}, patience, store.peers)
    deliveries.start()
    try:
        yield
    finally:
        await deliveries.close()


async def put(store: Store, org_id: str, *bodies: bytes, lane: str = "lane", **members: object) -> None:
    deliveries = [Delivery(org_id=org_id, kind=KIND, lane=lane, body=body, **members) for body in bodies]
    await store.database.write(lambda connection: store.outbox.put(connection, deliveries))
    store.outbox.wake()


async def rows(store: Store, until: int) -> list[tuple]:
    """What is in the outbox, once `until` rows are left and none of them waits."""

    async def found() -> list[tuple] | None:
        rows = await rows_of(store, "SELECT body, state, attempts, reason FROM outbox ORDER BY seq")
        return rows if len(rows) == until and all(state != "waiting" for _, state, _, _ in rows) else None

    return await delivered_until(store, found)


async def test_lane_is_delivered_in_order_and_leaves_nothing(store: Store, org_id: str, clock: Clock) -> None:
    sink = Scripted()
    await put(store, org_id, b"1", b"2", b"3")
    async with delivering(store, sink, clock):
        await put(store, org_id, b"4")

        assert await sink.has_tried(4) == [b"1", b"2", b"3", b"4"]
        assert await rows(store, 0) == []


async def test_lane_that_is_stuck_holds_up_no_other(store: Store, org_id: str, clock: Clock) -> None:
    sink = Scripted()
    sink.blocked[b"slow"] = asyncio.Event()
    await put(store, org_id, b"slow", b"behind", lane="a")
    async with delivering(store, sink, clock):
        await sink.has_tried(1)
        await put(store, org_id, b"other", lane="b")
        assert await sink.has_tried(2) == [b"slow", b"other"]
        sink.blocked[b"slow"].set()

        assert await sink.has_tried(3) == [b"slow", b"other", b"behind"]


async def test_failed_delivery_is_tried_again_under_the_same_id_before_the_next(
    store: Store, org_id: str, clock: Clock
) -> None:
    sink = Scripted(NotDelivered("it was busy", again=True), NotDelivered("it was busy", again=True))
    await put(store, org_id, b"1", b"2")
    async with delivering(store, sink, clock):
        assert await sink.has_tried(4) == [b"1", b"1", b"1", b"2"]
        assert len(set(sink.ids[:3])) == 1
        assert await rows(store, 0) == []


@pytest.mark.parametrize(
    ("failures", "attempts"),
    [
        ([NotDelivered("it was busy", again=True)] * 3, 3),
        ([NotDelivered("it was busy", again=False)], 1),
    ],
    ids=["after its last attempt", "when no other can help"],
)
async def test_delivery_is_dead_with_its_reason_and_the_lane_goes_on(
    failures: list[Exception], attempts: int, store: Store, org_id: str, clock: Clock
) -> None:
    sink = Scripted(*failures)
    await put(store, org_id, b"1", b"2", target={"secret": "s3cret"})
    async with delivering(store, sink, clock):
        await sink.has_tried(attempts + 1)

        assert await rows(store, 1) == [(b"", "dead", attempts, "it was busy")]
        assert await rows_of(store, "SELECT target FROM outbox") == [(b"{}",)]


async def test_dead_delivery_is_kept_a_week_or_as_long_as_its_chat(
    store: Store, org_id: str, clock: Clock
) -> None:
    sink = Scripted(*[NotDelivered("no", again=False)] * 3)
    await put(store, org_id, b"event")
    await put(store, org_id, b"message", chat_id="chat")
    async with delivering(store, sink, clock):
        await rows(store, 2)
        clock.now += 8 * 86_400_000
        await put(store, org_id, b"later")

        assert [body for body, *_ in await rows(store, 2)] == [b"message", b""]


async def test_text_of_an_unexpected_exception_is_kept_nowhere(
    store: Store, org_id: str, clock: Clock
) -> None:
    sink = Scripted(*[ValueError("SECRET")] * 3)
    await put(store, org_id, b"1")
    async with delivering(store, sink, clock):
        assert await rows(store, 1) == [(b"", "dead", 3, "an internal error")]


async def test_recorded_delivery_is_kept_and_never_sent(store: Store, org_id: str, clock: Clock) -> None:
    sink = Scripted()
    await put(store, org_id, b"kept", recorded=True)
    await put(store, org_id, b"sent")
    async with delivering(store, sink, clock):
        assert await sink.has_tried(1) == [b"sent"]
        assert await rows(store, 1) == [(b"kept", "recorded", 0, None)]


async def test_delivery_waits_as_long_as_it_is_asked_to(store: Store, org_id: str, clock: Clock) -> None:
    sink = Scripted(NotDelivered("it was busy", again=True, wait_seconds=60))
    await put(store, org_id, b"1")
    async with delivering(store, sink, clock):
        await sink.has_tried(1)
        assert await delivered_until(store, store.outbox.until_due) == 60
        clock.now += 60_000
        store.outbox.wake()

        assert await sink.has_tried(2) == [b"1", b"1"]


async def test_clock_that_is_set_back_makes_no_delivery_wait(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, sink = open_store(tmp_path), Scripted(NotDelivered("it was busy", again=True, wait_seconds=0.1))
    org_id = (await store.keys.create("org", "api")).org_id
    sink.blocked[b"1"] = asyncio.Event()
    async with delivering(store, sink, Clock()):
        await put(store, org_id, b"1", b"2")
        await sink.has_tried(1)
        yesterday = time.time_ns() - 86_400_000_000_000
        monkeypatch.setattr(time, "time_ns", lambda: yesterday)
        sink.blocked[b"1"].set()

        assert await sink.has_tried(3) == [b"1", b"1", b"2"]
        assert await rows(store, 0) == []
    await store.aclose()


async def test_what_a_clock_that_was_ahead_has_put_is_delivered_by_the_next_server(
    store: Store, org_id: str, clock: Clock
) -> None:
    clock.now += 30 * 86_400_000
    await put(store, org_id, b"1")
    clock.now -= 30 * 86_400_000
    sink = Scripted()
    async with delivering(store, sink, clock):
        assert await sink.has_tried(1) == [b"1"]


async def test_what_was_under_way_is_delivered_by_the_next_server_and_the_attempt_counts(
    store: Store, org_id: str, clock: Clock
) -> None:
    first, second = (
        Scripted(),
        Scripted(NotDelivered("it was busy", again=True), NotDelivered("it was busy", again=True)),
    )
    first.blocked[b"1"] = asyncio.Event()
    await put(store, org_id, b"1")
    async with delivering(store, first, clock):
        await first.has_tried(1)
    async with delivering(store, second, clock):
        assert await rows(store, 1) == [(b"", "dead", 3, "it was busy")]

    assert second.ids == first.ids * 2


async def test_what_a_failed_transaction_put_is_not_delivered(
    store: Store, org_id: str, clock: Clock
) -> None:
    def work(connection: object) -> None:
        store.outbox.put(connection, [Delivery(org_id=org_id, kind=KIND, lane="lane", body=b"undone")])
        raise ValueError

    with pytest.raises(ValueError):
        await store.database.write(work)
    await put(store, org_id, b"done")
    sink = Scripted()
    async with delivering(store, sink, clock):
        assert await rows(store, 0) == []

    assert sink.tried == [b"done"]


async def test_receipt_is_received_once_by_each_org(store: Store, org_id: str, clock: Clock) -> None:
    other = (await store.keys.create("other", "api")).org_id
    deliveries = [Delivery(org_id=one, kind=KIND, lane="lane", body=b"1") for one in (org_id, org_id, other)]

    assert [await store.outbox.receive(one, "SM1") for one in deliveries] == [True, False, True]


@pytest.mark.parametrize(
    ("patience", "pauses"),
    [
        (Patience(attempts=4, base_seconds=0), [0, 0, 0, None]),
        (Patience(attempts=3, base_seconds=2, fixed=True), [2, 2, None]),
    ],
)
def test_pauses(patience: Patience, pauses: list[float | None]) -> None:
    assert [patience.pause(attempt, None) for attempt in range(1, len(pauses) + 1)] == pauses


def test_pauses_double_up_to_the_most() -> None:
    pauses = [Patience(base_seconds=1, most_seconds=60).pause(attempt, None) for attempt in range(1, 15)]

    assert all(2**number <= pause <= 2**number + 1 for number, pause in enumerate(pauses[:5]))
    assert pauses[-1] == 60


async def test_of_two_servers_one_delivers_and_the_other_takes_over(
    opened: Opened, store: Store, org_id: str, clock: Clock
) -> None:
    second, sinks = await opened(), (Scripted(), Scripted())
    async with AsyncExitStack() as one:
        await one.enter_async_context(delivering(store, sinks[0], clock))
        await put(store, org_id, b"0")
        await sinks[0].has_tried(1)
        async with delivering(second, sinks[1], clock):
            for number in range(1, 20):
                await put([store, second][number % 2], org_id, b"%d" % number)
            await sinks[0].has_tried(20)
            before = list(sinks[1].tried)
            await one.aclose()
            await put(store, org_id, b"20")
            await sinks[1].has_tried(1)

    assert sinks[0].tried == [b"%d" % number for number in range(20)]
    assert (before, sinks[1].tried) == ([], [b"20"])
