"""A file that a disk has changed while nobody used it is refused; one that was killed, or that we changed, is
not."""

import os
import subprocess
import sys

import pytest

from server.storage.database import DatabaseError
from server.storage.sqlite.backups import back_up, restore
from server.storage.sqlite.checking import findings
from server.storage.store import open_store
from tests.storage.records import Recorder


@pytest.fixture
def engine() -> str:
    """Files are SQLite's alone."""
    return "sqlite"


@pytest.fixture
async def closed(tmp_path, clock):
    """A database that was closed in order, with words in it; its file, and what is in that."""
    store = open_store(tmp_path / "data", clock=clock)
    recorder = await Recorder.of_new_org(store, clock)
    for number in range(20):
        await recorder.add(f"the answer is {number} " * 100)
    store.close()
    return tmp_path / "data" / "parley.db"


def flip(path, place):
    with path.open("r+b") as file:
        file.seek(place)
        [old] = file.read(1)
        file.seek(place)
        file.write(bytes([old ^ 4]))


def test_changed_bit_anywhere_is_noticed_by_every_opener_of_the_file_and_nothing_is_changed(closed, tmp_path):
    size = closed.stat().st_size
    words = closed.read_bytes().index(b"the answer is")
    for place in (words, 30, size - 1, *range(0, size, size // 20)):
        flip(closed, place)
        for opens in (lambda: open_store(closed.parent), lambda: back_up(closed.parent, tmp_path / "backup")):
            with pytest.raises(DatabaseError, match="is damaged: its block"):
                opens()
        [found] = findings(closed)
        assert f"block {place // 65536} " in found
        flip(closed, place)

    open_store(closed.parent).close()
    assert findings(closed) == []


@pytest.mark.parametrize("change", [-4096, 4096], ids=["cut", "grown"])
def test_other_length_is_noticed(change, closed):
    os.truncate(closed, closed.stat().st_size + change)

    with pytest.raises(DatabaseError, match="is damaged: its block"):
        open_store(closed.parent)


async def test_there_are_no_sums_while_the_file_is_used_and_none_of_what_was_used_by_two(closed, clock):
    sums = closed.with_name("parley.db-sums")
    assert sums.stat().st_mode & 0o777 == 0o600
    first, second = (open_store(closed.parent, clock=clock) for _ in range(2))
    await Recorder.of_new_org(first, clock)
    first.close()
    assert not sums.exists()
    second.close()
    assert sums.exists()


@pytest.mark.parametrize("raw", [b"", b"x", b"\0" * 8])
def test_sums_that_are_not_whole_condemn_nothing(raw, closed):
    closed.with_name("parley.db-sums").write_bytes(raw)

    open_store(closed.parent).close()


def test_restored_database_is_not_held_against_the_sums_of_the_one_before(closed, tmp_path):
    backup = back_up(closed.parent, tmp_path / "backup").path
    flip(closed, 5000)

    restore(backup, closed.parent, replace=True)

    open_store(closed.parent).close()


def test_store_that_closes_beside_another_of_its_process_leaves_that_one_its_locks(tmp_path):
    first = open_store(tmp_path)
    open_store(tmp_path).close()
    # Another process that is the last one, as it thinks, takes the log away when it closes.
    program = (
        "import sqlite3, sys; c = sqlite3.connect(sys.argv[1]); "
        "c.execute('SELECT count(*) FROM sqlite_master').fetchone(); c.close()"
    )
    subprocess.run([sys.executable, "-c", program, tmp_path / "parley.db"], check=True)

    assert (tmp_path / "parley.db-wal").exists()
    first.close()
