"""A log that has lost commits which were on disk is noticed before SQLite drops them; what a power cut tore
is no damage.

Every log here is what SQLite wrote, with a few bytes changed.
"""

import shutil
import sqlite3
import struct
from contextlib import closing

import pytest

from server.storage.database import DatabaseError
from server.storage.sqlite.backups import back_up
from server.storage.sqlite.checking import findings
from server.storage.sqlite.wal import check_log, lost_behind
from server.storage.store import open_store
from tests.storage.records import Recorder

FRAME, PAGE = 24, 4096


@pytest.fixture
def engine() -> str:
    """Files are SQLite's alone."""
    return "sqlite"


@pytest.fixture
def left(tmp_path):
    """What kill -9 leaves: a file whose five commits, of one frame and more, are in the log alone."""
    used, left = tmp_path / "used", tmp_path / "left"
    used.mkdir()
    with closing(connected(used / "a.db")) as connection:
        connection.execute("CREATE TABLE said (n INTEGER PRIMARY KEY, text)")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        for number in range(5):
            add(connection, number)
        shutil.copytree(used, left)
    return left / "a.db"


def connected(path):
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    return connection


def add(connection, number):
    connection.execute("INSERT INTO said VALUES (?, ?)", [number, "x" * 3000 * (1 + number % 2)])


def log_of(path):
    return path.with_name(f"{path.name}-wal")


def frames_of(path):
    return (log_of(path).stat().st_size - 32) // (FRAME + PAGE)


def commits_of(path):
    """The frames that end a commit, counted from 1."""
    raw = log_of(path).read_bytes()
    places = range(32, len(raw), FRAME + PAGE)
    return [number for number, place in enumerate(places, 1) if struct.unpack_from(">I", raw, place + 4)[0]]


def flip(path, frame, byte=FRAME + 100):
    """Change one bit of a frame, counted from 1."""
    with log_of(path).open("r+b") as log:
        log.seek(32 + (frame - 1) * (FRAME + PAGE) + byte)
        [old] = log.read(1)
        log.seek(-1, 1)
        log.write(bytes([old ^ 4]))


def stored(path):
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute("SELECT count(*) FROM said").fetchone()[0]


def test_sound_log_is_sound_and_is_left_as_it_is(left):
    before = log_of(left).read_bytes()

    assert len(commits_of(left)) == 5
    assert lost_behind(left) is None
    assert log_of(left).read_bytes() == before
    assert stored(left) == 5


@pytest.mark.parametrize("byte", [2, 5, 9, 15, 17, 23, FRAME, FRAME + 100, FRAME + PAGE - 1])
def test_bit_of_any_commit_but_the_last_is_noticed(left, byte):
    last = commits_of(left)[-2]
    untouched = log_of(left).read_bytes()
    for frame in range(1, last + 1):
        flip(left, frame, byte)
        assert lost_behind(left) is not None, frame
        log_of(left).write_bytes(untouched)


@pytest.mark.parametrize("byte", range(32))
def test_bit_of_the_head_is_noticed(left, byte):
    flip(left, 1, byte - 32)

    assert lost_behind(left) == 1


def test_what_sqlite_would_drop_is_what_is_noticed(left):
    flip(left, commits_of(left)[1])

    with pytest.raises(DatabaseError, match=r"a\.db-wal is damaged at frame .*parley restore"):
        check_log(left)
    assert stored(left) == 1


def test_last_commit_that_a_power_cut_tore_is_no_damage(left):
    """Its first frame is torn, and what was behind it is there: writes reach the disk in any order until they
    are synced."""
    first_of_last = commits_of(left)[-2] + 1
    for frame in range(first_of_last, frames_of(left) + 1):
        untouched = log_of(left).read_bytes()
        flip(left, frame)
        assert lost_behind(left) is None
        log_of(left).write_bytes(untouched)


def test_log_that_went_on_over_a_torn_commit_is_sound(left):
    """What the torn commit left has the salts of the log, and stands behind what was written later."""
    with closing(connected(left)) as connection:
        connection.execute("PRAGMA wal_autocheckpoint = 0")
        connection.execute("BEGIN")
        for number in range(10, 30):
            add(connection, number)
        connection.execute("COMMIT")
        torn = left.parent.parent / "torn"
        shutil.copytree(left.parent, torn)
    path = torn / left.name
    flip(path, commits_of(path)[-2] + 1)
    (torn / f"{left.name}-shm").unlink()
    with closing(connected(path)) as connection:
        connection.execute("PRAGMA wal_autocheckpoint = 0")
        add(connection, 50)
        assert len(commits_of(path)) > 6
        assert lost_behind(path) is None


@pytest.mark.parametrize("raw", [b"", b"x", b"\0" * 32, b"\xff" * 5000])
def test_what_sqlite_would_not_read_at_all_is_no_log(tmp_path, raw):
    log_of(tmp_path / "a.db").write_bytes(raw)

    assert lost_behind(tmp_path / "a.db") is None
    assert lost_behind(tmp_path / "none.db") is None


async def test_log_that_is_begun_anew_while_it_is_read_is_sound(left):
    with closing(connected(left)) as connection:
        for number in range(100, 140):
            connection.execute("PRAGMA wal_checkpoint(RESTART)")
            add(connection, number)
            assert lost_behind(left) is None


async def test_store_with_a_damaged_log_is_not_opened_checked_as_sound_or_backed_up_and_nothing_is_changed(
    tmp_path, clock
):
    used, data = tmp_path / "used", tmp_path / "data"
    store = open_store(used, clock=clock)
    recorder = await Recorder.of_new_org(store, clock)
    for _ in range(3):
        await recorder.add("hello")
    shutil.copytree(used, data, ignore=lambda *_: ["run"])
    store.close()
    path = data / "parley.db"
    flip(path, commits_of(path)[-3])
    before = {file.name: file.read_bytes() for file in data.iterdir()}

    for opens in (lambda: open_store(data, clock=clock), lambda: back_up(data, tmp_path / "backup")):
        with pytest.raises(DatabaseError, match="wal is damaged"):
            opens()
    [found] = findings(path)

    assert "wal is damaged" in found
    assert {file.name: file.read_bytes() for file in data.iterdir()} == before
