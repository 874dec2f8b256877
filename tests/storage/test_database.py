"""The SQLite file: what a write promises, whoever else writes, fails, goes away or holds the file."""

import asyncio
import gc
import queue
import sqlite3
import threading
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest

from server.core.errors import FailedPrecondition, NotFound, ResourceExhausted, StorageUnavailable
from server.storage.database import DatabaseError
from server.storage.keys import Caller
from server.storage.sqlite import database as sqlite
from server.storage.sqlite.database import SqliteDatabase
from server.storage.sqlite.errors import storage_error
from server.storage.sqlite.writer import Write
from server.storage.store import open_store, opened


@pytest.fixture(params=[False, True], ids=["in the thread", "in the loop"])
def database(request, tmp_path):
    """Whose writes are run in its thread, or, where nothing is in the way, in the loop."""
    database = SqliteDatabase(tmp_path / "test.db")
    database.migrate(
        lambda connection: connection.execute("CREATE TABLE said (n INTEGER PRIMARY KEY, text TEXT NOT NULL)")
    )
    database.write = partial(database.write, brief=request.param)
    yield database
    database.close()


class Gate:
    """A write that holds the writer thread until it is opened, so that what is written meanwhile waits."""

    def __init__(self):
        self.reached = threading.Event()
        self.opened = threading.Event()

    def __call__(self, connection):
        self.reached.set()
        assert self.opened.wait(20)

    def write(self, database):
        """The task that waits for it."""
        return asyncio.create_task(database.write(self, brief=False))


def statements(database):
    """What the writer runs from now on."""
    seen = []
    database._connection.set_trace_callback(seen.append)
    return seen


def insert(number, text="x"):
    return lambda connection: connection.execute("INSERT INTO said VALUES (?, ?)", [number, text]).lastrowid


def numbers(database):
    return [row[0] for row in database.reader.execute("SELECT n FROM said ORDER BY n")]


def raising(error, after):
    """A write that has written when it raises."""

    def work(connection):
        after(connection)
        raise error

    return work


async def together(database, *works):
    """Run writes that share one commit; their results, exceptions included."""
    gate = Gate()
    first = gate.write(database)
    await asyncio.to_thread(gate.reached.wait, 20)
    tasks = [asyncio.create_task(database.write(work)) for work in works]
    await asyncio.sleep(0)
    gate.opened.set()
    await first
    return await asyncio.gather(*tasks, return_exceptions=True)


# --- what a write promises ----------------------------------------------------------------------------------


async def test_write_returns_what_its_work_returns_and_is_readable_at_once(database):
    assert await database.write(insert(7)) == 7

    assert numbers(database) == [7]


async def test_write_is_committed_when_it_is_acknowledged(database, tmp_path):
    await database.write(insert(1))

    other = sqlite3.connect(tmp_path / "test.db")
    assert other.execute("SELECT n FROM said").fetchall() == [(1,)]
    other.close()


async def test_writes_that_arrive_together_share_a_commit(database):
    seen = statements(database)

    results = await together(database, *(insert(number) for number in range(60)))

    assert results == [*range(60)]
    assert seen.count("COMMIT") == 2  # the gate's, and everyone else's


async def test_more_writes_than_one_commit_takes_need_more(database):
    most = 64 if database.write.keywords["brief"] else 256
    seen = statements(database)

    await together(database, *(insert(number) for number in range(most + 1)))

    assert seen.count("COMMIT") == 3
    assert len(numbers(database)) == most + 1


async def test_writes_are_done_in_the_order_in_which_they_came(database):
    order = []

    await together(database, *((lambda _, n=number: order.append(n)) for number in range(50)))

    assert order == [*range(50)]


async def test_read_that_turns_out_to_be_long_is_broken_off_in_the_loop_and_run_in_a_thread(
    database, monkeypatch
):
    monkeypatch.setattr(sqlite, "_HERE_SECONDS", -1)
    threads_used, ended = [], []

    def work(connection):
        threads_used.append(threading.current_thread().name)
        total = sum(
            n
            for (n,) in connection.execute(
                "WITH RECURSIVE some (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM some WHERE n < 1000) SELECT n FROM some"
            )
        )
        ended.append(threading.current_thread().name)
        return total

    assert await database.read(work) == 500_500
    assert threads_used == [threading.current_thread().name, *ended]
    assert ended[0].startswith("sqlite-reader")
    assert database.reader.execute("SELECT count(*) FROM json_each('[1, 2, 3]')").fetchone() == (3,)


async def test_short_read_is_run_in_the_loop_whatever_the_time(database, monkeypatch):
    monkeypatch.setattr(sqlite, "_HERE_SECONDS", -1)
    await database.write(insert(7))

    assert await database.read(
        lambda connection: (
            connection.execute("SELECT n FROM said WHERE n = 7").fetchone(),
            threading.current_thread(),
        )
    ) == ((7,), threading.current_thread())


async def test_stray_write_on_the_reading_connection_is_refused(database):
    with pytest.raises(sqlite3.OperationalError, match="readonly"):
        database.reader.execute("INSERT INTO said VALUES (1, 'x')")


# --- failures -----------------------------------------------------------------------------------------------

FAILURES = {
    "service error": (NotFound("gone"), NotFound),
    "bug": (ZeroDivisionError(), ZeroDivisionError),
}
BROKEN_SQL = {
    "constraint": ("INSERT INTO said VALUES (1, NULL)", StorageUnavailable),
    "no such table": ("INSERT INTO unsaid VALUES (1)", sqlite3.OperationalError),
    "syntax": ("INSERT INTO INTO", sqlite3.OperationalError),
    "wrong type": ("INSERT INTO said VALUES ('one', 'x')", StorageUnavailable),
    "too few values": ("INSERT INTO said VALUES (?, ?)", sqlite3.ProgrammingError),
}


@pytest.mark.parametrize(("error", "seen"), FAILURES.values(), ids=FAILURES)
async def test_failing_write_undoes_its_own_changes_only(database, error, seen):
    first, failed, last = await together(database, insert(1), raising(error, after=insert(2)), insert(3))

    assert (first, type(failed), last) == (1, seen, 3)
    assert numbers(database) == [1, 3]


@pytest.mark.parametrize(("sql", "seen"), BROKEN_SQL.values(), ids=BROKEN_SQL)
async def test_wrong_sql_in_one_write_undoes_its_own_changes_only(database, sql, seen):
    def work(connection):
        insert(2)(connection)
        connection.execute(sql)

    first, failed, last = await together(database, insert(1), work, insert(3))

    assert (first, type(failed), last) == (1, seen, 3)
    assert numbers(database) == [1, 3]


async def test_text_that_is_not_unicode_fails_alone(database):
    _, failed, _ = await together(database, insert(1), insert(2, "\ud800"), insert(3))

    assert isinstance(failed, UnicodeEncodeError)
    assert numbers(database) == [1, 3]


async def test_every_write_of_a_batch_may_fail(database):
    results = await together(database, *[raising(NotFound("gone"), after=insert(9))] * 3)

    assert [type(result) for result in results] == [NotFound] * 3
    assert await database.write(insert(1)) == 1
    assert numbers(database) == [1]


async def test_writer_goes_on_after_a_failure(database):
    with pytest.raises(ZeroDivisionError):
        await database.write(raising(ZeroDivisionError(), after=insert(1)))

    assert await database.write(insert(1)) == 1


async def test_full_disk_is_an_error_writes_nothing_and_ends_when_there_is_room(database):
    pages = database.reader.execute("PRAGMA page_count").fetchone()[0]
    await database.write(insert(1))
    database._connection.execute(f"PRAGMA max_page_count = {pages}")

    results = await together(database, insert(2), insert(3, "x" * 100_000), insert(4))

    assert [(type(error), error.reason) for error in results] == [(ResourceExhausted, "DISK_FULL")] * 3
    assert numbers(database) == [1]
    database._connection.execute("PRAGMA max_page_count = 100000")
    assert await database.write(insert(5, "x" * 100_000)) == 5


async def test_watcher_is_called_when_the_disk_refuses_writes_and_when_it_accepts_them_again(
    database, monkeypatch
):
    monkeypatch.setattr("server.storage.sqlite.writer._AGAIN_SECONDS", 0.01)
    observed: queue.Queue[bool] = queue.Queue()
    database.watch = observed.put
    database._connection.execute("PRAGMA max_page_count = 2")

    with pytest.raises(ResourceExhausted):
        await database.write(insert(1, "x" * 100_000))

    assert await asyncio.to_thread(observed.get, timeout=20) is False
    # nobody wrote since: a page of its own was enough
    assert await asyncio.to_thread(observed.get, timeout=20) is True
    assert observed.empty()


async def test_failures_that_are_not_the_disks_go_to_their_callers_only(database):
    observed = []
    database.watch = observed.append
    database._connection.execute("PRAGMA query_only = ON")
    with pytest.raises(FailedPrecondition):
        await database.write(insert(1))
    database._connection.execute("PRAGMA query_only = OFF")
    with pytest.raises(ZeroDivisionError):
        await database.write(raising(ZeroDivisionError(), after=insert(1)))

    await database.write(insert(2))

    assert observed == []


async def test_read_only_file_is_an_error(database):
    database._connection.execute("PRAGMA query_only = ON")

    with pytest.raises(FailedPrecondition) as error:
        await database.write(insert(1))

    assert error.value.reason == "READ_ONLY"
    assert numbers(database) == []


def sqlite_error(path, provoke):
    """The error that SQLite itself raises."""
    connection = sqlite3.connect(path, timeout=0, isolation_level=None)
    holder = sqlite3.connect(path, timeout=0, isolation_level=None)
    holder.execute("CREATE TABLE IF NOT EXISTS t (x UNIQUE)")
    try:
        with pytest.raises(sqlite3.Error) as error:
            provoke(connection, holder)
        return error.value
    finally:
        connection.close()
        holder.close()


def busy(connection, holder):
    holder.execute("BEGIN IMMEDIATE")
    connection.execute("BEGIN IMMEDIATE")


def read_only(connection, _):
    connection.execute("PRAGMA query_only = ON")
    connection.execute("INSERT INTO t VALUES (1)")


def full(connection, _):
    connection.execute("PRAGMA max_page_count = 1")
    connection.execute("INSERT INTO t VALUES (?)", [b"x" * 100_000])


def constraint(connection, _):
    connection.execute("INSERT INTO t VALUES (1), (1)")


ERRORS = {
    "busy": (busy, StorageUnavailable, "STORAGE_UNAVAILABLE", 1),
    "read-only": (read_only, FailedPrecondition, "READ_ONLY", None),
    "full": (full, ResourceExhausted, "DISK_FULL", None),
    "constraint": (constraint, StorageUnavailable, "STORAGE_UNAVAILABLE", None),
}


@pytest.mark.parametrize(("provoke", "kind", "reason", "retry_after"), ERRORS.values(), ids=ERRORS)
def test_caller_gets_the_cause_but_not_in_the_words_of_sqlite(tmp_path, provoke, kind, reason, retry_after):
    error = sqlite_error(tmp_path / "other.db", provoke)

    observed = storage_error(error)

    assert (type(observed), observed.reason, observed.retry_after) == (kind, reason, retry_after)
    assert str(error) not in observed.message


# --- callers that go away, others that hold the file --------------------------------------------------------


async def test_caller_that_goes_away_neither_loses_its_write_nor_breaks_the_batch(database):
    gate = Gate()
    first = gate.write(database)
    await asyncio.to_thread(gate.reached.wait, 20)
    gone, stays = (asyncio.create_task(database.write(insert(number))) for number in (1, 2))
    await asyncio.sleep(0)
    gone.cancel()
    with pytest.raises(asyncio.CancelledError):
        await gone
    gate.opened.set()

    assert await stays == 2
    await first
    assert numbers(database) == [1, 2]


async def test_failure_that_nobody_waits_for_any_more_is_not_an_unhandled_one(database):
    unhandled = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: unhandled.append(context))
    gate = Gate()
    first = gate.write(database)
    await asyncio.to_thread(gate.reached.wait, 20)
    gone = asyncio.create_task(database.write(raising(NotFound("gone"), after=insert(1))))
    await asyncio.sleep(0)
    gone.cancel()
    gate.opened.set()
    await asyncio.gather(first, gone, return_exceptions=True)
    await database.write(insert(2))
    gc.collect()
    loop.set_exception_handler(None)

    assert unhandled == []
    assert numbers(database) == [2]


async def test_write_that_a_loop_left_behind_is_made_with_the_next(database):
    gone = asyncio.new_event_loop()
    database._writer.put(Write(insert(1), gone, gone.create_future(), erases=False, brief=True))
    gone.close()

    await database.write(insert(2))

    assert numbers(database) == [1, 2]


async def test_write_waits_while_another_connection_holds_the_file(database, tmp_path):
    locked, release = threading.Event(), threading.Event()

    def lock_file():
        connection = sqlite3.connect(tmp_path / "test.db", isolation_level=None)
        connection.execute("BEGIN IMMEDIATE")
        locked.set()
        release.wait(20)
        connection.execute("ROLLBACK")
        connection.close()

    holder = threading.Thread(target=lock_file)
    holder.start()
    await asyncio.to_thread(locked.wait, 20)
    writes = [asyncio.create_task(database.write(insert(number))) for number in range(64)]
    await asyncio.sleep(0)
    assert not any(write.done() for write in writes)
    release.set()

    assert await asyncio.gather(*writes) == [*range(64)]
    holder.join()


async def test_reads_go_on_while_a_write_runs(database):
    await database.write(insert(1))
    gate = Gate()

    def work(connection):
        insert(2)(connection)
        gate(connection)

    write = asyncio.create_task(database.write(work, brief=False))
    await asyncio.to_thread(gate.reached.wait, 20)
    during = numbers(database)
    gate.opened.set()
    await write

    assert (during, numbers(database)) == ([1], [1, 2])


# --- closing and opening ------------------------------------------------------------------------------------


async def test_close_finishes_the_writes_that_wait(database, tmp_path):
    gate = Gate()
    writes = [
        gate.write(database),
        *(asyncio.create_task(database.write(insert(number))) for number in range(20)),
    ]
    await asyncio.to_thread(gate.reached.wait, 20)
    closing = threading.Thread(target=database.close)
    closing.start()
    gate.opened.set()

    assert (await asyncio.gather(*writes))[1:] == [*range(20)]
    await asyncio.to_thread(closing.join)
    reopened = SqliteDatabase(tmp_path / "test.db")
    assert numbers(reopened) == [*range(20)]
    reopened.close()


async def test_closing_twice_is_closing_once(database):
    database.close()
    database.close()


async def test_write_after_close_is_refused(database):
    database.close()

    with pytest.raises(StorageUnavailable, match="closing"):
        await database.write(insert(1))


def test_acknowledged_means_on_disk(database):
    pragmas = {
        name: [
            connection.execute(f"PRAGMA {name}").fetchone()[0]
            for connection in (database._connection, database.reader)
        ]
        for name in ("journal_mode", "synchronous", "foreign_keys", "busy_timeout", "query_only")
    }

    assert pragmas == {
        "journal_mode": ["wal", "wal"],
        "synchronous": [2, 2],
        "foreign_keys": [1, 1],
        "busy_timeout": [10_000, 10_000],
        "query_only": [0, 1],
    }


def with_rows(path):
    """A database of several pages, without a WAL beside it."""
    store = open_store(path)
    store.database.migrate(
        lambda connection: connection.execute(
            "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n LIMIT 500) "
            "INSERT INTO messages SELECT 'o', x, 0, zeroblob(500) FROM n"
        )
    )
    store.close()
    return path / "parley.db"


def overwrite(path, at, content):
    with path.open("r+b") as file:
        file.seek(at)
        file.write(content)


DAMAGE = {
    "no database": lambda path: path.write_bytes(b"not a database, but long enough to be looked at " * 100),
    "header": lambda path: overwrite(path, 0, b"\0" * 100),
    "schema page": lambda path: overwrite(path, 100, b"\xff" * 3000),
    "page of a table": lambda path: overwrite(
        path, path.stat().st_size // 4096 * 4096 // 2 // 4096 * 4096, b"\xff" * 4096
    ),
    "cut in the middle": lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]),
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_damaged_file_is_refused_with_a_remedy(tmp_path, damage):
    damage(with_rows(tmp_path))
    threads = threading.active_count()

    with pytest.raises(DatabaseError, match=r"parley\.db is damaged.*parley restore FILE"):
        open_store(tmp_path)

    gc.collect()  # a connection left open would warn
    assert threading.active_count() == threads


def test_undamaged_file_is_opened_again_as_it_was(tmp_path):
    with_rows(tmp_path)

    store = open_store(tmp_path)

    assert store.database.reader.execute("SELECT count(*) FROM messages").fetchone() == (500,)
    store.close()


def test_folder_that_cannot_be_made_is_refused(tmp_path):
    (tmp_path / "file").write_text("")

    with pytest.raises(DatabaseError, match="cannot be made"):
        open_store(tmp_path / "file" / "data")


def test_secret_of_the_keys_is_made_once_and_readable_by_its_owner_only(tmp_path):
    open_store(tmp_path).close()
    made = (tmp_path / "key-secret").read_bytes()

    open_store(tmp_path).close()

    assert len(made) == 32
    assert (tmp_path / "key-secret").read_bytes() == made
    assert (tmp_path / "key-secret").stat().st_mode & 0o777 == 0o600
    assert {path.name for path in tmp_path.iterdir()} == {"parley.db", "parley.db-sums", "key-secret"}


def test_keys_of_servers_that_start_at_once_in_a_new_folder_all_hold(tmp_path):
    async def key_made(name: str) -> str:
        async with opened(tmp_path) as store:
            return (await store.keys.create(name, "api")).key

    async def callers(keys: list[str]) -> list[Caller | None]:
        async with opened(tmp_path) as store:
            return [await store.keys.caller(key) for key in keys]

    def started(number: int) -> str:
        together.wait()
        return asyncio.run(key_made(f"org{number}"))

    together = threading.Barrier(8)
    with ThreadPoolExecutor(8) as threads:
        keys = list(threads.map(started, range(8)))

    assert None not in asyncio.run(callers(keys))
    assert [path.name for path in tmp_path.iterdir() if "secret" in path.name] == ["key-secret"]


# --- works that fail half-read ------------------------------------------------------------------------------


def _fails_half_read(connection):
    """Selects what it does not read, as a work does whose statements go out together."""
    unread = connection.execute("SELECT text FROM said")
    raise NotFound(f"nothing is there, after {type(unread).__name__}")


async def _failed(doing):
    """The error, held as a task or a log holds it."""
    try:
        await doing
    except NotFound as error:
        return error


async def _filled(database):
    await database.write(
        lambda connection: connection.executemany("INSERT INTO said (text) VALUES (?)", ["a", "b"])
    )


@pytest.mark.parametrize("how", ["write", "read", "read in a thread"])
async def test_work_that_failed_before_it_had_read_all_holds_no_view_of_the_file(database, tmp_path, how):
    await _filled(database)
    other = SqliteDatabase(tmp_path / "test.db")
    doing = (
        database.write(_fails_half_read)
        if how == "write"
        else database.read(_fails_half_read, long=how != "read")
    )
    held = await _failed(doing)

    await other.write(lambda connection: connection.execute("INSERT INTO said (text) VALUES ('other')"))
    await database.write(lambda connection: connection.execute("INSERT INTO said (text) VALUES ('own')"))
    count = "SELECT count(*) FROM said"
    seen = [
        await database.read(lambda connection: connection.execute(count).fetchone()[0], long=long)
        for long in (False, True)
    ]

    assert isinstance(held, NotFound)
    assert seen == [4, 4]
    other.close()
