"""What lists and other reads cost in a file of 200,000 chats: as much as in a small one, and little in the
event loop.

So it is with a conversation of 20,000 messages, and with one of 200 messages of 50 kB.
"""

import ast
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import server
from generated.parley.v1.agent_chat_service_pb2 import ListAgentChatsRequest
from generated.parley.v1.assistant_service_pb2 import ListAssistantsRequest
from generated.parley.v1.chat_service_pb2 import ListChatsRequest
from generated.parley.v1.session_service_pb2 import ListSessionsRequest
from server.storage.chat_events import EventBatch
from server.storage.chats import _FILTERS as CHAT_FILTERS
from server.storage.listing import listing_of
from server.storage.sessions import _FILTERS as SESSION_FILTERS
from server.storage.sqlite.database import SqliteDatabase, connect
from server.storage.store import Store, open_store
from server.wire.history.lines import History
from tests.storage.records import Recorder, StandingClock

MANY, FEW = 200_000, 200
A_SESSION_EACH = 10
"""Chats that are in one session."""
IN_LOOP_MS = 1
RUNS = 5

# Copies of one chat, of its messages and of its session; one of each a millisecond.
_NUMBERS = "WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < ?1) "
_ID = "printf('00000000-0000-7000-8000-%012x', {})"
_COPIED = {
    "chats": {
        "id": _ID.format("n"),
        "thread_id": _ID.format("n"),
        "created_at": "created_at + n",
        "session_id": _ID.format(f"n / {A_SESSION_EACH}"),
        "first_seq": "0",
        "output_seq": "1",
        "last_seq": "1",
        "assistant_id": _ID.format("n % 2"),
    },
    "messages": {"thread_id": _ID.format("n")},
    "sessions": {
        "id": _ID.format("n"),
        "thread_id": _ID.format("n") + " || 's'",
        "created_at": "created_at + n",
        "assistant_id": _ID.format("n % 2"),
        "user_id": "'u' || n % 2",
        "name": "'n' || n % 2",
        "agent_type": "'t' || n % 2",
        "phone_number_id": "'p' || n % 2",
        "customer_number": "'+' || n % 2",
    },
}


def copy(connection, org_id, table, numbers):
    columns = [column.name for column in connection.columns(table)]
    values = [_COPIED[table].get(name, name) for name in columns]
    connection.execute(
        f"{_NUMBERS} INSERT INTO {table} ({', '.join(columns)}) SELECT {', '.join(values)} FROM numbers "
        f"CROSS JOIN (SELECT * FROM {table} WHERE org_id = ?2) AS one",
        [numbers, org_id],
    )


async def of_size(store: Store, clock: StandingClock, chats: int) -> Recorder:
    recorder = await Recorder.of_new_org(store, clock)
    await recorder.add("hello")
    await recorder.open_session()

    def work(connection):
        for table, numbers in (("sessions", chats // A_SESSION_EACH), ("messages", chats), ("chats", chats)):
            copy(connection, recorder.key.org_id, table, numbers)

    await store.database.write(work)
    return recorder


class Orgs:
    """Some in one file: one with many chats, one with few, and those with one long conversation."""

    def __init__(self, store: Store, many: Recorder, few: Recorder, long: dict[str, Recorder]) -> None:
        self.store, self.many, self.few, self.long = store, many, few, long


LONG = {"many messages": (20_000, "hello"), "large messages": (200, "x" * 50_000)}
"""Of a conversation: how many messages, and what is in each."""


async def with_conversation(store: Store, clock: StandingClock, messages: int, text: str) -> Recorder:
    """One session, each of whose messages but the last two is also a chat of it that is over; and one chain
    of chats."""
    recorder = await Recorder.of_new_org(store, clock)
    first = await recorder.add(text)
    session = await recorder.open_session()
    of_session = await recorder.add(text, session=session)
    org_id = recorder.key.org_id

    def work(connection):
        for thread_id in (first.thread_id, of_session.thread_id):
            connection.execute(
                f"{_NUMBERS} INSERT INTO messages (org_id, thread_id, seq, body) SELECT org_id, thread_id, "
                "n + 1, body FROM numbers CROSS JOIN (SELECT * FROM messages WHERE org_id = ?2 "
                "AND thread_id = ?3 AND seq = 0) AS one",
                [messages - 2, org_id, thread_id],
            )
        columns = [column.name for column in connection.columns("chats")]
        values = [{"id": _ID.format("n"), "created_at": "created_at - n"}.get(name, name) for name in columns]
        connection.execute(
            f"{_NUMBERS} INSERT INTO chats ({', '.join(columns)}) SELECT {', '.join(values)} FROM numbers "
            "CROSS JOIN (SELECT * FROM chats WHERE id = ?2) AS one",
            [messages, of_session.id],
        )
        connection.execute(
            "UPDATE chats SET last_seq = ?1 - 1, output_seq = ?1 - 1 WHERE id IN (?2, ?3)",
            [messages, first.id, of_session.id],
        )

    await store.database.write(work)
    recorder.chat_ids, recorder.session_id = [first.id, of_session.id], session.session.id
    return recorder


@pytest.fixture(scope="module")
async def orgs(tmp_path_factory):
    clock = StandingClock()
    store = open_store(tmp_path_factory.mktemp("many"), None, clock)
    yield Orgs(
        store,
        await of_size(store, clock, MANY),
        await of_size(store, clock, FEW),
        {name: await with_conversation(store, clock, *of) for name, of in LONG.items()},
    )
    await store.aclose()


def steps_of(store, statement):
    """How many hundred steps SQLite takes."""
    steps = 0
    connection = connect(store.database._path)

    def step():
        nonlocal steps
        steps += 1

    connection.set_progress_handler(step, 100)
    try:
        connection.execute(*statement).fetchall()
    finally:
        connection.close()
    return steps


ID_1 = "00000000-0000-7000-8000-000000000001"
LISTS = {
    "chats": ("chats", ListChatsRequest, CHAT_FILTERS, {}),
    "chats, oldest first": ("chats", ListChatsRequest, CHAT_FILTERS, {"sort_order": "ASC"}),
    "chats by a cursor": ("chats", ListChatsRequest, CHAT_FILTERS, {"cursor": f"2.1700000000100.{ID_1}"}),
    "chats of an assistant": ("chats", ListChatsRequest, CHAT_FILTERS, {"assistant_id": ID_1}),
    "chats of a session": ("chats", ListChatsRequest, CHAT_FILTERS, {"session_id": ID_1}),
    "chats after another": ("chats", ListChatsRequest, CHAT_FILTERS, {"previous_chat_id": ID_1}),
    "chats updated since": (
        "chats",
        ListChatsRequest,
        CHAT_FILTERS,
        {"updated_at_gt": "2100-01-01T00:00:00Z"},
    ),
    "chats of no squad": ("chats", ListChatsRequest, CHAT_FILTERS, {"squad_id": ID_1}),
    "sessions": ("sessions", ListSessionsRequest, SESSION_FILTERS, {}),
    "sessions of an assistant": ("sessions", ListSessionsRequest, SESSION_FILTERS, {"assistant_id": ID_1}),
    "sessions of a name": ("sessions", ListSessionsRequest, SESSION_FILTERS, {"name": "n1"}),
    "sessions of a phone number": (
        "sessions",
        ListSessionsRequest,
        SESSION_FILTERS,
        {"phone_number_id": "p1"},
    ),
    "sessions of a customer": ("sessions", ListSessionsRequest, SESSION_FILTERS, {"number": "+1"}),
    "agents' chats of a user": ("sessions", ListAgentChatsRequest, SESSION_FILTERS, {"user_id": "u1"}),
    "agents' chats of an agent type": (
        "sessions",
        ListAgentChatsRequest,
        SESSION_FILTERS,
        {"agent_type": "t1"},
    ),
}


@pytest.mark.parametrize(("table", "request_type", "filters", "members"), LISTS.values(), ids=LISTS)
async def test_page_of_a_long_list_costs_what_one_of_a_short_list_does(
    orgs, table, request_type, filters, members
):
    def steps(recorder):
        listing = listing_of(request_type(limit=10, **members), recorder.scope, filters)
        return steps_of(orgs.store, listing.select("*", table))

    assert steps(orgs.many) <= 1.5 * steps(orgs.few) + 1


@pytest.mark.parametrize("table", ["chats", "sessions"])
async def test_total_of_a_long_list_costs_what_one_of_a_short_list_does(orgs, table):
    def steps(recorder):
        return steps_of(orgs.store, listing_of(ListChatsRequest(), recorder.scope, {}).count_all(table))

    assert steps(orgs.many) <= steps(orgs.few) + 1


async def test_deep_page_number_passes_what_it_skips_in_an_index(orgs):
    listing = listing_of(ListChatsRequest(limit=20, page=5000), orgs.many.scope, CHAT_FILTERS)
    plan = orgs.store.database.reader.execute(
        f"EXPLAIN QUERY PLAN {listing.select('body', 'chats')[0]}", listing.select("body", "chats")[1]
    ).fetchall()

    assert any("USING COVERING INDEX chats_usage (org_id=?)" in row[-1] for row in plan)


def reads_in_loop() -> Iterator[str]:
    """The functions that read in the event loop, as the source has them."""
    for path in Path(server.__file__).parent.rglob("*.py"):
        yield from _reads_in(ast.parse(path.read_text()), path.stem, "")


def _reads_in(node: ast.AST, module: str, name: str) -> Iterator[str]:
    for child in ast.iter_child_nodes(node):
        inner = (
            f"{name}.{child.name}"
            if isinstance(child, ast.ClassDef | ast.AsyncFunctionDef | ast.FunctionDef)
            else name
        )
        if _is_read_in_loop(child):
            yield f"{module}{inner}"
        yield from _reads_in(child, module, inner)


def _is_read_in_loop(node: ast.AST) -> bool:
    return (
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr == "read"
        and ast.unparse(node.func.value).endswith("database")
        and bool(node.args)
        and not any(word.arg == "long" and ast.unparse(word.value) == "True" for word in node.keywords)
    )


@pytest.fixture
def durations(monkeypatch):
    """The least milliseconds of each function's reads in the event loop."""
    least: dict[str, float] = {}
    read = SqliteDatabase.read

    async def timed(self, work, *, long=False):
        if long:
            return await read(self, work, long=True)
        caller = sys._getframe(1).f_code
        name = f"{Path(caller.co_filename).stem}.{caller.co_qualname}"
        begun = time.thread_time()
        result = await read(self, work)
        least[name] = min(least.get(name, 1000), 1000 * (time.thread_time() - begun))
        return result

    monkeypatch.setattr(SqliteDatabase, "read", timed)
    return least


NOT_ON_SQLITE = {"store.connect_database", "store.connect_store", "probe.postgres_schema"}
BY_NOTHING = {"state.ServerState.not_ready"}
"""Reads no record."""


async def test_no_read_in_the_event_loop_takes_a_millisecond(orgs, durations):
    recorder, store = orgs.many, orgs.store
    scope = recorder.scope
    session = await recorder.open_session()
    running = recorder.exchange("running", session_id=session.session.id, status="in_progress")
    await store.chats.begin(running, EventBatch(scope.org_id, running.chat.id, []))
    made = [
        await store.assistants.create(scope.org_id, {"name": f"a{number}", "firstMessage": "x" * 1000})
        for number in range(1000)
    ]
    key = (await store.keys.create("other", "api")).key

    for _ in range(RUNS):
        store.keys._known.clear()
        await store.keys.caller(key)
        await store.keys.ended([recorder.key.id])
        await store.keys.list()
        await store.keys.org_ids()
        await store.keys.has_orgs()
        await store.keys.org_id("other")
        await store.idempotency._dead_elsewhere((scope.org_id, "", "k"))
        await store.outbox.due(100, [], [])
        await store.outbox.until_due()
        assert not [row async for row in History(store.database).read([])]
        for document in made[:10]:
            await store.assistants.get(scope.org_id, document.id)
        await store.assistants.ids_of(scope.org_id, "a1", 11)
        await store.assistants.names(scope.org_id, 1000)
        await store.assistants.names_of(scope.org_id, [document.id for document in made])
        await store.assistants.list(scope.org_id, ListAssistantsRequest())
        await store.chats.in_progress()
        await store.chats.sweep_events()
        await store.chats.running_in(scope.org_id, session.session.id)
        await store.chats.unfinished(scope.org_id, running.chat.id)
        await store.chats.events(scope.org_id, running.chat.id, 0)
        chat = await store.chats.find(scope, ID_1)
        await store.chats.within(chat, 10**9)
        await store.chats.history(chat)
        await store.chats.input_messages(chat)
        await store.chats.whole(chat)
        await store.sessions.get(scope, ID_1)
        found = await store.sessions.find(scope, ID_1)
        await store.sessions.to_join(scope, ID_1)
        await store.sessions.within(found, 10**9)
        await store.sessions.history(found)
        await store.sessions.latest(found)
        await store.sessions.carried(scope.org_id, ["p1"], "+1")

    assert set(reads_in_loop()) - set(durations) - NOT_ON_SQLITE - BY_NOTHING == set()
    assert {name: milliseconds for name, milliseconds in durations.items() if milliseconds > IN_LOOP_MS} == {}


@pytest.mark.parametrize("which", LONG)
async def test_no_read_of_a_long_conversation_in_the_event_loop_takes_a_millisecond(orgs, durations, which):
    recorder, store = orgs.long[which], orgs.store
    scope, (messages, _) = recorder.scope, LONG[which]

    for _ in range(RUNS):
        for chat_id in recorder.chat_ids:
            chat = await store.chats.find(scope, chat_id)
            size, read = await store.chats.within(chat, 10**9)
            assert size > messages * 100 and read is not None and len(read) == messages
            assert await store.chats.within(chat, size - 1) == (size, None)
            assert len(await store.chats.history(chat)) == messages
            assert len(await store.chats.input_messages(chat)) == messages - 1
            assert (await store.chats.whole(chat)).output
        assert (await store.sessions.to_join(scope, recorder.session_id)).in_progress is None
        assert await store.chats.running_in(scope.org_id, recorder.session_id) == []
        session = await store.sessions.find(scope, recorder.session_id)
        size, read = await store.sessions.within(session, 10**9)
        assert size > messages * 100 and read is not None and len(read) == messages
        assert await store.sessions.within(session, size - 1) == (size, None)
        assert len(await store.sessions.history(session)) == messages
        shown, is_whole = await store.sessions.latest(session)
        assert len(shown) == messages if is_whole else len(shown) > 50
        costs = (await store.sessions.get(scope, recorder.session_id)).costs
        assert [cost.prompt_tokens for cost in costs] == [3 * (messages + 1)]

    assert {name: milliseconds for name, milliseconds in durations.items() if milliseconds > IN_LOOP_MS} == {}


@pytest.mark.parametrize("noun", ["chats", "sessions"])
async def test_totals_are_kept_as_records_come_and_go(recorder, noun):
    before = (await recorder.open_session()).session.id
    await recorder.add("a")
    chat = await recorder.add("b", session=await recorder.open_session())
    await (await Recorder.of_new_org(recorder.store, recorder.clock)).add("another org's")
    await recorder.store.sessions.delete(recorder.scope, before)
    storage, request = {
        "chats": (recorder.store.chats, ListChatsRequest),
        "sessions": (recorder.store.sessions, ListSessionsRequest),
    }[noun]

    assert (await storage.list(recorder.scope, request()))[1].total_items == {"chats": 2, "sessions": 1}[noun]
    await recorder.store.sessions.delete(recorder.scope, chat.session_id)
    assert (await storage.list(recorder.scope, request()))[1].total_items == {"chats": 1, "sessions": 0}[noun]
