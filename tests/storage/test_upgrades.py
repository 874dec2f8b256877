"""A database of an older schema: brought up to date, it has all that it had, and it goes on. On both
engines."""

from contextlib import contextmanager

import pytest
from sqlite_utils import Migrations

from generated.parley.v1.chat_pb2 import Chat, ChatEvent, ContentDelta
from generated.parley.v1.chat_record_pb2 import ChatRecord
from generated.parley.v1.chat_service_pb2 import ListChatsRequest
from generated.parley.v1.response_service_pb2 import CreateResponseRequest
from server.content.json_values import struct_from, to_python
from server.storage.chat_events import EventBatch
from server.storage.outbox import Delivery
from server.storage.postgres import migrations as postgres_migrations
from server.storage.sqlite import migrations
from server.storage.sqlite.checking import findings
from server.wire.history.lines import History, Line
from tests.storage.records import TABLES, PostgresPlace, Recorder, SqlitePlace, all_rows, message, texts

STEPS = {"keys_with_org": "keys led by org", "ids_of_orgs": "ids of orgs"}
"""Migrations of SQLite and those of PostgreSQL that do the same."""


@pytest.fixture(params=STEPS)
def older(monkeypatch, request):
    """The program before a migration, until it is called."""
    with _before(monkeypatch, request.param, STEPS[request.param]) as undo:
        yield undo


@contextmanager
def _before(monkeypatch, on_sqlite, on_postgres):
    """The program before these migrations, until what this gives is called."""
    known, on_both = migrations.migrations._migrations, postgres_migrations.MIGRATIONS
    before = Migrations("parley")
    before._migrations = known[: [one.name for one in known].index(on_sqlite)]
    with monkeypatch.context() as patched:
        patched.setattr(migrations, "migrations", before)
        patched.setattr(
            postgres_migrations, "MIGRATIONS", on_both[: [name for name, _ in on_both].index(on_postgres)]
        )
        yield patched.undo


@pytest.fixture
async def elsewhere(engine, request, clock, tmp_path):
    """A place that nobody has opened yet."""
    if engine == "sqlite":
        place = SqlitePlace(clock, tmp_path / "old")
    else:
        place = PostgresPlace(clock, request.getfixturevalue("postgres").new_database())
    yield place
    await place.close()


class Org:
    """Something of everything that is in threads, of one org; `shown` is what a caller sees of it."""

    def __init__(self, recorder: Recorder) -> None:
        self.recorder = recorder
        self.chats, self.sessions, self.running = [], [], ""

    async def fill(self) -> None:
        recorder, store = self.recorder, self.recorder.store
        root = await recorder.add("root")
        end = await recorder.add("end", root)
        forked = await recorder.add("forked", root)
        twig = await recorder.add("twig", forked)
        last = await recorder.add("last", forked)
        # two threads without chats: one continues the other, and one that
        for gone in (root, end, forked, twig):
            await store.chats.delete(recorder.scope, gone.id)
        session = await recorder.open_session("said before")
        inside = await recorder.add("in the session", session=session)
        out = await recorder.add("out of it", inside)
        await recorder.add("more", session=session)
        patched = await recorder.open_session("old words")
        unchanged = await recorder.add("of the old words", session=patched)
        await store.sessions.append(
            recorder.scope, (await recorder.open_session()).session.id, [message("user", "hm")]
        )
        await store.sessions.update(recorder.scope, patched.session.id, lambda _: None, [])
        exchange = recorder.exchange("running", last, status="in_progress")
        self.running = exchange.chat.id
        first = ChatEvent(chat_id=self.running, sequence=1, delta=ContentDelta(text="Hel"))
        await store.chats.begin(exchange, EventBatch(recorder.key.org_id, self.running, [first]))
        await store.database.write(
            lambda connection: store.outbox.put(
                connection,
                [
                    Delivery(org_id=recorder.key.org_id, kind="x", lane="one of all orgs", body=b"1")
                    for _ in range(2)
                ],
            )
        )
        self.chats = [chat.id for chat in (last, inside, out, unchanged)]
        self.sessions = [session.session.id, patched.session.id]

    async def shown(self, store):
        scope, unfinished = (
            self.recorder.scope,
            await store.chats.unfinished(self.recorder.key.org_id, self.running),
        )
        return (
            [texts((await store.chats.get(scope, chat)).messages) for chat in self.chats],
            [texts((await store.sessions.get(scope, session)).messages) for session in self.sessions],
            [event.delta.text for event in unfinished.events],
            unfinished.previous.id,
        )

    async def go_on(self, store) -> None:
        """Until nothing is left."""
        recorder = Recorder(store, self.recorder.clock, self.recorder.key)
        last = await store.chats.find(recorder.scope, self.chats[0])
        assert await recorder.history(await recorder.add("now", last)) == [
            "root",
            "re: root",
            "forked",
            "re: forked",
            "last",
            "re: last",
            "now",
            "re: now",
        ]
        for chat in (self.chats[0], self.chats[2], recorder.last_id, self.running):
            await store.chats.delete(recorder.scope, chat)
        for session in self.sessions:
            await store.sessions.delete(recorder.scope, session)


async def test_everything_is_there_after_the_upgrade_and_goes_on(
    store, clock, elsewhere, older, engine, tmp_path
):
    orgs = [Org(await Recorder.of_new_org(store, clock)) for _ in range(2)]
    for org in orgs:
        await org.fill()
    rows, shown = await all_rows(store.database), [await org.shown(store) for org in orgs]
    await _made_with_the_older_schema(elsewhere, rows)
    older()

    upgraded = await elsewhere.open()

    assert await all_rows(upgraded.database) == rows
    assert [await org.shown(upgraded) for org in orgs] == shown
    if engine == "sqlite":
        assert findings(tmp_path / "old" / "parley.db") == []
    copy = (await Recorder.of_new_org(upgraded, clock)).key.org_id
    lines = await exported(upgraded, orgs[0].recorder.key.org_id)
    await History(upgraded.database).ingest(
        copy, [Line(number, text) for number, text in enumerate(lines, 1)]
    )
    for org in orgs:
        await org.go_on(upgraded)
    assert await exported(upgraded, copy) == lines
    left = await all_rows(upgraded.database)
    unchanged = {table: [row for row in left[table].rows if copy not in row] for table in TABLES}
    assert [len(unchanged[table]) for table in ("chats", "messages", "forks", "chat_events")] == [0, 2, 0, 0]


async def exported(store, org_id):
    return [
        line async for lines in History(store.database).export(org_id, None, secrets=True) for line in lines
    ]


async def _made_with_the_older_schema(place, rows):
    """The same rows in it, and some that nothing needs."""

    def work(connection):
        for table in TABLES:
            here = [column.name for column in connection.columns(table)]
            for row in rows[table].rows:
                unchanged = {
                    name: value for name, value in zip(rows[table].columns, row, strict=True) if name in here
                }
                connection.execute(
                    f"INSERT INTO {table} ({', '.join(unchanged)}) VALUES ({', '.join('?' * len(unchanged))})",
                    [*unchanged.values()],
                )
        if "org_id" not in {column.name for column in connection.columns("messages")}:
            connection.execute("UPDATE outbox SET due_at = NULL WHERE seq <> (SELECT min(seq) FROM outbox)")
            connection.execute("INSERT INTO messages (thread_id, seq, body) VALUES ('nobody', 0, ?)", [b""])
            connection.execute(
                "INSERT INTO forks (thread_id, parent_id, parent_seq) VALUES ('nobody', 'nobody', 0)"
            )
            connection.execute(
                "INSERT INTO chat_events (chat_id, sequence, body) VALUES ('nobody', 0, ?)", [b""]
            )

    old = await place.open()
    await old.database.write(work)
    await old.aclose()


SECRETS = {
    "model": {"provider": "x"},
    "server": {"url": "https://me:SECRET@host", "headers": {"authorization": "SECRET"}},
}
MASKED = {
    "model": {"provider": "x"},
    "server": {"url": "https://****@host", "headers": {"authorization": "****"}},
}


async def test_secrets_that_an_older_version_kept_are_hidden_and_everything_else_stays(
    store, elsewhere, clock, monkeypatch
):
    recorder = await Recorder.of_new_org(store, clock)
    chats = [await recorder.add(str(number)) for number in range(60)]
    session = await recorder.open_session("hi", assistant=struct_from(SECRETS))
    with_secrets = [chats[0], chats[55]]
    for chat in with_secrets:
        await store.database.write(lambda connection, chat=chat: _put_secrets(connection, chat))
    rows = await all_rows(store.database)
    with _before(monkeypatch, "secrets_hidden", "secrets hidden") as updated:
        await _made_with_the_older_schema(elsewhere, rows)
        updated()

    upgraded = await elsewhere.open()

    after = await all_rows(upgraded.database)
    assert b"SECRET" not in repr(after).encode()
    assert len(set(map(repr, rows["chats"].rows)) - set(map(repr, after["chats"].rows))) == len(with_secrets)
    for chat in with_secrets:
        found = await upgraded.chats.find(recorder.scope, chat.id)
        assert to_python(found.chat.assistant) == MASKED
        assert found.record == ChatRecord(
            model="m",
            request=CreateResponseRequest(
                model="m", tools=[struct_from({"type": "mcp", "authorization": "****"})]
            ),
        )
    assert (
        to_python((await upgraded.sessions.find(recorder.scope, session.session.id)).session.assistant)
        == MASKED
    )


def _put_secrets(connection, stored):
    """What older versions kept: the whole request, and headers in clear."""
    document = struct_from(SECRETS)
    body = Chat()
    body.CopyFrom(stored.chat)
    body.assistant.CopyFrom(document)
    record = ChatRecord(
        model="m",
        request=CreateResponseRequest(
            model="m",
            assistant=document,
            squad=document,
            assistant_overrides=document,
            tools=[struct_from({"type": "mcp", "authorization": "SECRET"})],
        ),
    )
    connection.execute(
        "UPDATE chats SET body = ?, record = ? WHERE id = ?",
        [body.SerializeToString(), record.SerializeToString(), stored.id],
    )


async def test_totals_count_what_was_there_before_they_were_kept(monkeypatch, store, elsewhere, clock):
    recorder = await Recorder.of_new_org(store, clock)
    for text in "abc":
        await recorder.add(text)
    with _before(monkeypatch, "long_lists", "long lists") as undo:
        await _made_with_the_older_schema(elsewhere, await all_rows(store.database))
        undo()

    recorder.store = await elsewhere.open()
    await recorder.add("d")

    assert (await recorder.store.chats.list(recorder.scope, ListChatsRequest()))[1].total_items == 4


async def test_chats_of_an_older_schema_are_found_by_their_update(monkeypatch, store, elsewhere, clock):
    recorder = await Recorder.of_new_org(store, clock)
    await recorder.add("before")
    clock.now += 1_000
    rows = await all_rows(store.database)
    with _before(monkeypatch, "chats_by_update", "chats by update") as undo:
        await _made_with_the_older_schema(elsewhere, rows)
        undo()

    recorder.store = await elsewhere.open()

    assert await all_rows(recorder.store.database) == rows
    await recorder.add("after")
    found, _ = await recorder.store.chats.list(
        recorder.scope, ListChatsRequest(updated_at_gt="2023-11-14T22:13:20Z")
    )
    assert [texts(chat.messages) for chat in found] == [["after"]]
