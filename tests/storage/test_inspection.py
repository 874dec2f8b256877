"""A large file is served before all of it was read; what is damaged in it is found meanwhile, and refused
from then on."""

import asyncio
import contextlib
import errno
import os
import shutil
from contextlib import closing

import pytest

from server.storage.database import DatabaseError
from server.storage.sqlite import inspection, sums
from server.storage.sqlite.backups import back_up, restore
from server.storage.sqlite.checking import findings
from server.storage.sqlite.inspection import inspected
from server.storage.store import open_store
from tests.storage.records import Recorder

PAGE = 4096


@pytest.fixture
def engine() -> str:
    """Files are SQLite's alone."""
    return "sqlite"


@pytest.fixture
async def closed(tmp_path, clock):
    """A database that was closed in order, with chats, a session, an assistant and long words in it."""
    store = open_store(tmp_path / "data", clock=clock)
    recorder = await Recorder.of_new_org(store, clock)
    session = await recorder.open_session("hello")
    for number in range(10):
        await recorder.add(f"the answer is {number} " * 1000, session=session)
    await store.assistants.create(recorder.key.org_id, {"name": "a", "firstMessage": "x" * 10_000})
    store.close()
    return tmp_path / "data" / "parley.db"


def overwrite(path, place, content):
    with path.open("r+b") as file:
        file.seek(place)
        file.write(content)


def without_sums(path):
    """As a kill leaves it."""
    path.with_name("parley.db-sums").unlink()


@contextlib.contextmanager
def served(path, large=0):
    """Everything that a start does, before anybody looks at the rest; the store, and what is to look."""
    with (
        inspected(path, large) as looks,
        closing(open_store(path.parent, checked=looks is not None)) as store,
    ):
        yield store, looks


def bytes_read():
    with open("/proc/self/io") as file:
        return int(file.readline().split()[1])


@pytest.mark.parametrize("has_sums", [True, False], ids=["closed", "killed"])
def test_start_reads_little_of_a_large_file(closed, has_sums):
    with closing(open_store(closed.parent)) as store:
        store.database.migrate(
            lambda connection: connection.execute(
                "INSERT INTO messages SELECT 'o', 'long', value, zeroblob(1000000) FROM json_each('[0,1,2,3,4,5,6,7,8,9]')"
            )
        )
    if not has_sums:
        without_sums(closed)
    begun = bytes_read()
    with served(closed, large=1 << 20):
        assert bytes_read() - begun < 2_000_000 < 10_000_000 < closed.stat().st_size
    begun = bytes_read()
    open_store(closed.parent, large=closed.stat().st_size).close()
    assert bytes_read() - begun > 10_000_000


def test_small_file_is_left_to_the_start(closed):
    with inspected(closed) as looks:
        assert looks is None
    with inspected(closed.with_name("none.db"), 0) as looks:
        assert looks is None


DAMAGE = {
    "no database": lambda path: path.write_bytes(b"not a database, but long enough to be looked at " * 100),
    "header": lambda path: overwrite(path, 0, b"\0" * 100),
    "schema page": lambda path: overwrite(path, 100, b"\xff" * 3000),
    "cut": lambda path: os.truncate(path, path.stat().st_size // 2 // PAGE * PAGE),
}


@pytest.mark.parametrize("has_sums", [True, False], ids=["closed", "killed"])
@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_what_a_start_touches_is_refused_by_the_start(closed, damage, has_sums):
    if not has_sums:
        without_sums(closed)
    damage(closed)

    with pytest.raises(DatabaseError, match=r"parley\.db is damaged.*parley restore FILE"), served(closed):
        pass
    with pytest.raises(DatabaseError, match=r"parley\.db is damaged.*parley restore FILE"):
        open_store(closed.parent, large=0)


async def test_changed_letter_is_found_while_the_file_is_served_and_nobody_takes_the_file_then(
    closed, tmp_path
):
    backup = back_up(closed.parent, tmp_path / "backup").path
    place = closed.read_bytes().index(b"the answer is 7")
    overwrite(closed, place, b"T")

    with served(closed) as (_, looks):
        with pytest.raises(DatabaseError, match=f"block {place // 65536} of 64 KiB has changed"):
            await looks.find_damage()

    for opens in (lambda: open_store(closed.parent), lambda: back_up(closed.parent, tmp_path / "other")):
        with pytest.raises(
            DatabaseError, match=r"was found to be damaged while it was served.*parley restore FILE"
        ):
            opens()
    with pytest.raises(DatabaseError, match="was found to be damaged"), inspected(closed, 0):
        pass
    [found] = findings(closed)
    assert "parley.db-damaged" in found

    restore(backup, closed.parent, replace=True)

    open_store(closed.parent).close()


async def test_file_stands_still_while_it_is_compared_and_what_is_written_meanwhile_is_kept(closed, clock):
    before = closed.read_bytes()
    with served(closed) as (store, looks):
        recorder = await Recorder.of_new_org(store, clock)
        for _ in range(20):
            await recorder.add("word " * 5000)
        store.database.reader.execute("PRAGMA wal_checkpoint(PASSIVE)")
        assert closed.read_bytes()[100:] == before[100:]

        assert await looks.find_damage() == []

        store.database._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        assert closed.with_name("parley.db-wal").stat().st_size == 0
        assert closed.read_bytes() != before
    assert findings(closed) == []
    assert closed.with_name("parley.db-sums").exists()


async def test_comparison_ends_when_the_log_grows_too_long(closed, clock, monkeypatch):
    monkeypatch.setattr(inspection, "MOST_LOG_BYTES", 100_000)
    overwrite(closed, closed.read_bytes().index(b"the answer is 7"), b"T")
    with served(closed) as (store, looks):
        await (await Recorder.of_new_org(store, clock)).add("word " * 50_000)

        [left_out] = await looks.find_damage()

        assert left_out.startswith("its blocks of 64 KiB from 0 on, of ")
        store.database._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        assert closed.with_name("parley.db-wal").stat().st_size == 0


async def test_unreadable_disk_is_reported(closed, monkeypatch):
    def fail(*_):
        raise OSError(errno.EIO, "Input/output error")

    with served(closed) as (_, looks):
        monkeypatch.setattr(os, "pread", fail)

        assert await looks.find_damage() == ["the rest could not be read: Input/output error"]


async def test_index_is_left_when_the_log_grows_too_long_and_the_rest_is_read(closed, monkeypatch):
    monkeypatch.setattr(inspection, "MOST_LOG_BYTES", -1)
    monkeypatch.setattr(inspection, "_STEPS", 20)
    without_sums(closed)
    with served(closed) as (_, looks):
        monkeypatch.setattr(inspection.Inspection, "_read_table", lambda *_: None)

        assert "the rest of the index chats_usage was not read" in await looks.find_damage()


async def test_every_page_that_has_rows_is_read(closed):
    without_sums(closed)
    whole = closed.read_bytes()
    unseen = 0
    for page in range(len(whole) // PAGE):
        closed.write_bytes(whole)
        overwrite(closed, page * PAGE, b"\xff" * PAGE)
        try:
            with inspected(closed, 0) as looks:
                await looks.find_damage()
            unseen += 1
        except DatabaseError:
            closed.with_name("parley.db-damaged").unlink(missing_ok=True)
    # The last page of each long value has nothing but its letters: of 10 chats, their 20 messages and the
    # assistant.
    assert unseen == 31


async def test_looking_ends_when_its_caller_goes_away_and_the_file_can_then_be_closed_in_order(closed):
    with served(closed) as (_, looks):
        looking = asyncio.create_task(looks.find_damage())
        await asyncio.sleep(0)
        looking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await looking
    assert closed.with_name("parley.db-sums").exists()


def test_large_file_that_a_kill_left_with_a_log_is_opened(closed, tmp_path):
    with closing(open_store(closed.parent)) as store:
        store.database.migrate(
            lambda connection: connection.execute(
                "INSERT INTO messages SELECT 'o', value, 0, zeroblob(500) FROM json_each('[1, 2, 3]')"
            )
        )
        shutil.copytree(closed.parent, tmp_path / "killed")

    with served(tmp_path / "killed" / "parley.db") as (store, _):
        assert store.database.reader.execute(
            "SELECT count(*) FROM messages WHERE org_id = 'o'"
        ).fetchone() == (3,)


def test_file_that_takes_too_long_to_read_gets_no_sums_when_it_is_closed(closed, monkeypatch):
    monkeypatch.setattr(sums, "_MOST_BYTES", closed.stat().st_size - 1)
    begun = bytes_read()
    open_store(closed.parent, large=0, checked=True).close()

    assert bytes_read() - begun < closed.stat().st_size
    assert not closed.with_name("parley.db-sums").exists()
