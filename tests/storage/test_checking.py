"""What `parley check` and `parley db stats` find out about a database."""

import sqlite3
from contextlib import closing

import pytest

from server.storage.database import DatabaseError
from server.storage.sqlite.checking import findings
from server.storage.sqlite.stats import stats
from server.storage.store import open_store


@pytest.fixture
def engine() -> str:
    """Files are SQLite's alone."""
    return "sqlite"


BROKEN = {
    "message missing": (
        "DELETE FROM messages WHERE seq = 1 AND thread_id = (SELECT min(thread_id) FROM chats)",
        "lacks messages",
    ),
    "session missing": ("DELETE FROM sessions", "is in a session that does not exist"),
    "gap": (
        "UPDATE messages SET seq = seq + 9 WHERE thread_id = (SELECT thread_id FROM sessions) AND seq > 0",
        "has a gap",
    ),
    "fork of nothing": ("UPDATE forks SET parent_seq = 99", "continues messages that do not exist"),
    "messages that nothing needs": (
        "INSERT INTO messages VALUES ('nobody', 'stray', 0, x'')",
        "stray has messages",
    ),
    "events of a chat that is over": (
        "INSERT INTO chat_events SELECT org_id, id, 1, x'' FROM chats LIMIT 1",
        "its events",
    ),
    "body": ("UPDATE chats SET body = x'ffff' WHERE session_id IS NULL", "body cannot be read"),
    "document": ("UPDATE sessions SET variables = '{'", "variables cannot be read"),
    "foreign key": ("UPDATE keys SET org_id = 'nobody'", "keys row"),
    "no table of ours": ("DROP TABLE _sqlite_migrations", "has no tables of parley"),
    "older": ("DELETE FROM _sqlite_migrations WHERE name = 'outbox'", "is older than this program"),
}


@pytest.fixture
async def used(store, recorder, tmp_path):
    """A database with a chain, a fork and a session."""
    first = await recorder.add("one")
    await recorder.add("two", previous=first)
    await recorder.add("another two", previous=first)
    session = await recorder.open_session("said before")
    await recorder.add("three", session=session)
    return tmp_path / "parley.db"


def changed(path, sql):
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        assert connection.execute(sql).rowcount != 0


async def test_database_in_use_is_sound(used):
    assert findings(used) == []


async def test_database_is_sound_after_deletions(used, store, recorder):
    chats = store.database.reader.execute("SELECT id FROM chats ORDER BY id").fetchall()
    await store.chats.delete(recorder.scope, chats[0][0])

    assert findings(used) == []


@pytest.mark.parametrize(("sql", "expected"), BROKEN.values(), ids=BROKEN)
async def test_what_cannot_be_is_found(sql, expected, used):
    changed(used, sql)

    found = findings(used)

    assert any(expected in finding for finding in found)
    assert all("\n" not in finding for finding in found)


async def test_damaged_page_is_found(used, store):
    store.close()
    with closing(sqlite3.connect(used)) as connection:
        page = connection.execute(
            "SELECT pageno FROM dbstat WHERE name = 'messages' AND pagetype = 'leaf'"
        ).fetchone()[0]
    with used.open("r+b") as file:
        file.seek((page - 1) * 4096)
        file.write(b"\xff" * 4096)

    assert findings(used)


def test_database_that_is_not_there_is_an_error_and_is_not_made(tmp_path):
    with pytest.raises(DatabaseError, match="there is no database"):
        findings(tmp_path / "parley.db")

    assert list(tmp_path.iterdir()) == []


async def test_stats_count_rows_and_bytes_of_every_table(used, clock):
    found = stats(used)

    assert found["tables"]["chats"]["rows"] == 4
    assert found["tables"]["chats"]["oldest"] == found["tables"]["chats"]["newest"] == clock.now
    assert found["tables"]["messages"]["rows"] == 9
    assert (
        sum(table["bytes"] for table in found["tables"].values())
        <= found["bytes"]
        == found["pages"] * found["pageSize"]
    )
    assert all(table["bytes"] >= 4096 for table in found["tables"].values())
    assert found["walBytes"] > 0


def test_stats_of_an_empty_database_have_no_oldest(tmp_path):
    open_store(tmp_path).close()

    chats = stats(tmp_path / "parley.db")["tables"]["chats"]

    assert (chats["rows"], chats["oldest"], chats["newest"]) == (0, None, None)
