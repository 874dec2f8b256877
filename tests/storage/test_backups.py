"""Backups of a database in use, putting one in its place, and the copies that are kept before migrations."""

import asyncio
import os
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from sqlite_utils import Migrations

from server.core.errors import FailedPrecondition
from server.storage.database import DatabaseError
from server.storage.sqlite import migrations
from server.storage.sqlite.backups import back_up, restore
from server.storage.sqlite.checking import findings
from server.storage.store import open_store
from tests.storage.records import Recorder

ROOT = Path(__file__).parents[2]


@pytest.fixture
def engine() -> str:
    """Files are SQLite's alone."""
    return "sqlite"


def files(folder):
    return {path.name for path in folder.iterdir()}


def opened(path):
    return closing(sqlite3.connect(path))


def count(path, table):
    with opened(path) as connection:
        return connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0]


async def made(recorder, chats=3):
    for number in range(chats):
        await recorder.add(f"hello {number}")


KILLED = """
import os, signal, sys
from pathlib import Path
from server.storage.sqlite import backups

backups._check = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
data, other = map(Path, sys.argv[2:])
{"backup": lambda: backups.back_up(data, other / "killed.db"),
 "migration": lambda: backups.save_copy(data / "parley.db", 3),
 "restore": lambda: backups.restore(data / "parley.db", other)}[sys.argv[1]]()
"""


def killed(command, data, other):
    """Let a process be killed when its copy is complete and has no name yet."""
    ended = subprocess.run(
        [sys.executable, "-c", KILLED, command, str(data), str(other)], cwd=ROOT, check=False
    )
    assert ended.returncode == -signal.SIGKILL


# --- backup -------------------------------------------------------------------------------------------------


async def test_backup_is_one_file_for_its_owner_with_what_was_acknowledged(store, recorder, tmp_path):
    await made(recorder)
    (tmp_path / "out").mkdir()

    backup = back_up(tmp_path, tmp_path / "out" / "b.db")

    assert files(tmp_path / "out") == {"b.db"}
    assert backup.path.stat().st_mode & 0o777 == 0o600
    assert backup.size == backup.path.stat().st_size
    assert count(backup.path, "chats") == 3


@pytest.mark.parametrize("command", ["backup", "migration", "restore"])
async def test_what_a_killed_process_leaves_is_swept_by_the_next(command, store, recorder, tmp_path):
    await made(recorder)
    data, other = tmp_path / "data", tmp_path / "other"
    other.mkdir()
    restore(back_up(tmp_path, tmp_path / "b.db").path, data)
    killed(command, data, other)
    left = {
        path.name
        for folder in (data, other)
        for path in folder.iterdir()
        if path.suffix == ".parley-unfinished"
    }
    assert len(left) == 1

    back_up(data, other / "next.db")
    open_store(data).close()

    assert not left & (files(data) | files(other))
    assert findings(other / "next.db") == []


async def test_what_another_process_is_about_to_finish_is_not_swept(store, recorder, tmp_path):
    await made(recorder, 50)
    swept = []

    def meanwhile(*_):
        if not swept:
            swept.append(back_up(tmp_path, tmp_path / "meanwhile.db"))

    first = back_up(tmp_path, tmp_path / "first.db", progress=meanwhile)

    assert [findings(backup.path) for backup in (first, *swept)] == [[], []]


async def test_backup_while_others_write_is_of_one_moment_and_holds_up_nobody(store, recorder, tmp_path):
    await made(recorder, 50)
    written, stop = [], asyncio.Event()

    async def write():
        while not stop.is_set():
            written.append((await recorder.add("x" * 2000)).id)

    steps = []
    writing = asyncio.create_task(write())

    def step(left, _):
        steps.append((left, len(written)))

    first, second = [
        await asyncio.to_thread(back_up, tmp_path, tmp_path / f"{n}.db", progress=step) for n in (1, 2)
    ]
    stop.set()
    await writing

    assert findings(first.path) == findings(second.path) == []
    assert 50 <= count(first.path, "chats") <= count(second.path, "chats") <= 50 + len(written)
    assert [left for left, _ in steps].count(0) == 2  # neither began again because of a write


async def test_backup_replaces_a_file_only_on_request(store, recorder, tmp_path):
    target = tmp_path / "b.db"
    target.write_text("mine")

    with pytest.raises(FailedPrecondition, match="already exists"):
        back_up(tmp_path, target)

    assert target.read_text() == "mine"
    back_up(tmp_path, target, replace=True)
    assert findings(target) == []
    assert not [name for name in files(tmp_path) if name.endswith(".new")]


async def test_backup_that_cannot_be_written_says_so_and_leaves_nothing(store, recorder, tmp_path):
    with pytest.raises(DatabaseError, match="cannot be written"):
        back_up(tmp_path, tmp_path / "nowhere" / "b.db")


async def test_backup_of_a_damaged_database_is_refused_and_leaves_nothing(store, recorder, tmp_path):
    await made(recorder, 60)
    store.close()
    path = tmp_path / "parley.db"
    with path.open("r+b") as file:
        file.seek(path.stat().st_size // 4096 // 2 * 4096)
        file.write(b"\xff" * 4096)

    with pytest.raises(DatabaseError, match="is damaged"):
        back_up(tmp_path, tmp_path / "b.db")

    assert not [name for name in files(tmp_path) if name.startswith("b.db")]


# --- restore ------------------------------------------------------------------------------------------------


async def test_restored_elsewhere_the_keys_and_the_chats_are_known(store, recorder, tmp_path):
    await made(recorder)
    back_up(tmp_path, tmp_path / "b.db")

    done = restore(tmp_path / "b.db", tmp_path / "other")

    assert done.has_secret and done.set_aside is None
    assert files(tmp_path / "other") == {"parley.db", "key-secret"}
    assert (tmp_path / "other" / "key-secret").stat().st_mode & 0o777 == 0o600
    again = open_store(tmp_path / "other")
    assert (await again.keys.caller(recorder.key.key)).key_id == recorder.key.id
    assert count(tmp_path / "other" / "parley.db", "chats") == 3
    assert findings(tmp_path / "other" / "parley.db") == []
    again.close()


async def test_restoring_is_refused_while_the_folder_is_in_use(store, recorder, tmp_path):
    back_up(tmp_path, tmp_path / "b.db")

    with pytest.raises(FailedPrecondition, match="in use; stop"):
        restore(tmp_path / "b.db", tmp_path, replace=True)


async def test_restoring_over_a_database_must_be_wanted_and_keeps_that_one_aside(store, recorder, tmp_path):
    await made(recorder, 1)
    back_up(tmp_path, tmp_path / "b.db")
    await made(recorder, 2)
    store.close()
    with pytest.raises(FailedPrecondition, match="--replace"):
        restore(tmp_path / "b.db", tmp_path)

    done = restore(tmp_path / "b.db", tmp_path, replace=True)

    assert (count(tmp_path / "parley.db", "chats"), count(done.set_aside, "chats")) == (1, 3)


async def test_damaged_database_is_replaced_and_its_log_is_not_taken_for_the_new_ones(
    store, recorder, tmp_path
):
    await made(recorder)
    back_up(tmp_path, tmp_path / "b.db")
    store.close()
    (tmp_path / "parley.db").write_bytes(b"damage" * 1000)
    (tmp_path / "parley.db-wal").write_bytes(b"log of the damaged one" * 1000)
    with pytest.raises(DatabaseError, match="parley restore FILE"):
        open_store(tmp_path)

    done = restore(tmp_path / "b.db", tmp_path, replace=True)

    assert done.set_aside.read_bytes() == b"damage" * 1000
    again = open_store(tmp_path)
    assert await again.keys.caller(recorder.key.key) is not None
    again.close()


WRONG = {
    "text": lambda path: path.write_text("no database" * 1000),
    "another database": lambda path: sqlite3.connect(path).execute("CREATE TABLE t (x)").connection.close(),
    "missing": lambda path: None,
    "cut": lambda path: path.write_bytes(path.with_name("b.db").read_bytes()[:-5000]),
}


@pytest.mark.parametrize("make", WRONG.values(), ids=WRONG)
async def test_what_is_no_backup_is_refused_and_changes_nothing(make, store, recorder, tmp_path):
    await made(recorder)
    back_up(tmp_path, tmp_path / "b.db")
    store.close()
    make(tmp_path / "wrong.db")
    before = files(tmp_path)

    with pytest.raises(DatabaseError):
        restore(tmp_path / "wrong.db", tmp_path, replace=True)

    assert files(tmp_path) - before == set()
    assert count(tmp_path / "parley.db", "chats") == 3


async def test_database_cannot_be_opened_while_it_is_being_replaced(tmp_path):
    from server.storage.sqlite import folder

    with folder.alone(tmp_path):
        with pytest.raises(DatabaseError, match="being restored"):
            open_store(tmp_path)


# --- migrations ---------------------------------------------------------------------------------------------


@pytest.fixture
def newer(monkeypatch):
    """A version of the program with one migration more."""
    more = Migrations("parley")
    more._migrations = [*migrations.migrations._migrations]

    @more()
    def one_more(db):
        db.execute("CREATE TABLE more (x)")

    def use():
        monkeypatch.setattr(migrations, "migrations", more)

    return use


async def test_copy_is_kept_before_a_database_is_migrated(store, recorder, tmp_path, newer):
    await made(recorder)
    store.close()
    number = len(migrations.migrations._migrations) + 1
    newer()

    open_store(tmp_path).close()

    stored = tmp_path / f"parley.db.before-{number}"
    assert (count(stored, "chats"), count(tmp_path / "parley.db", "chats")) == (3, 3)
    assert stored.stat().st_mode & 0o777 == 0o600
    assert count(tmp_path / "parley.db", "more") == 0
    with pytest.raises(sqlite3.OperationalError, match="no such table"):
        count(stored, "more")
    assert restore(stored, tmp_path, replace=True).has_secret is False
    again = open_store(tmp_path)
    assert await again.keys.caller(recorder.key.key) is not None
    again.close()


async def test_new_and_up_to_date_databases_are_not_copied(tmp_path):
    open_store(tmp_path).close()
    open_store(tmp_path).close()

    assert files(tmp_path) == {"parley.db", "parley.db-sums", "key-secret"}


async def test_migration_that_fails_leaves_the_database_as_it_was(
    store, recorder, tmp_path, newer, monkeypatch
):
    await made(recorder)
    store.close()
    newer()
    migrations.migrations._migrations[-1].fn = lambda db: (
        db.execute("DELETE FROM chats"),
        db.execute("NONSENSE"),
    )

    with pytest.raises(sqlite3.OperationalError, match="syntax error"):
        open_store(tmp_path)

    assert count(tmp_path / "parley.db", "chats") == 3


async def test_only_the_last_copies_are_kept_and_not_for_long(tmp_path):
    copies = [tmp_path / f"parley.db.before-{number}" for number in range(1, 5)]
    for age, copy in enumerate(reversed(copies)):
        copy.write_text("")
        os.utime(copy, ns=(copy.stat().st_mtime_ns - age * 4 * 86_400 * 10**9,) * 2)

    open_store(tmp_path).close()
    assert files(tmp_path) & {copy.name for copy in copies} == {"parley.db.before-3", "parley.db.before-4"}

    os.utime(copies[2], (0, 0))
    open_store(tmp_path).close()
    assert files(tmp_path) & {copy.name for copy in copies} == {"parley.db.before-4"}


async def test_database_of_a_newer_program_is_refused(store, tmp_path, newer, monkeypatch):
    store.close()
    older = migrations.migrations
    newer()
    open_store(tmp_path).close()
    monkeypatch.setattr(migrations, "migrations", older)

    with pytest.raises(DatabaseError, match=r"newer than this program \(one_more\)"):
        open_store(tmp_path)


async def test_backup_of_a_newer_program_is_refused(store, tmp_path, newer, monkeypatch):
    store.close()
    older = migrations.migrations
    newer()
    open_store(tmp_path).close()
    back_up(tmp_path, tmp_path / "b.db")
    monkeypatch.setattr(migrations, "migrations", older)

    with pytest.raises(DatabaseError, match="newer than this program"):
        restore(tmp_path / "b.db", tmp_path / "other")


async def test_recorder_finds_its_chats_in_the_restored_database(store, recorder, clock, tmp_path):
    chat = await recorder.add("hello")
    await recorder.add("again", previous=chat)
    back_up(tmp_path, tmp_path / "b.db")
    restore(tmp_path / "b.db", tmp_path / "other")

    again = open_store(tmp_path / "other", clock=clock)
    there = Recorder(again, clock, recorder.key)
    assert await there.history(await again.chats.find(there.scope, recorder.last_id)) == [
        "hello",
        "re: hello",
        "again",
        "re: again",
    ]
    again.close()
