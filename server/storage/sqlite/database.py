"""The SQLite file: one connection for writes, from which `storage/sqlite/writer.py` makes commits, and one
for short reads.

Knows no table; holds no SQL but PRAGMAs and transaction control.
"""

import asyncio
import contextlib
import math
import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from server.core.errors import FailedPrecondition, StorageUnavailable
from server.storage.database import Column, Connection, DatabaseError, with_also
from server.storage.sqlite import folder
from server.storage.sqlite.errors import concerns_the_file, finish_statements, storage_error
from server.storage.sqlite.modes import create_private
from server.storage.sqlite.sums import check_sums, delete_sums, save_sums
from server.storage.sqlite.wal import check_log
from server.storage.sqlite.writer import BUSY_MS, Write, Writer

T = TypeVar("T")
LARGE = 256 << 20
"""Bytes from which on a start does not read the whole file: up to here that takes a quarter of a second."""
_HERE_SECONDS = 0.0004
"""How long a read runs in the event loop before it counts as long. The processing of its rows counts as
well."""
_STEPS = 50
"""SQLite's virtual machine steps between two checks of the time: half a dozen rows."""
LONG_READERS = 2
"""Threads for reads too long for the event loop, each with a connection."""


class SqliteConnection(sqlite3.Connection):
    """A connection with the methods that works need."""

    def lock(self, name: str) -> None:
        """Do nothing: there is one writer, so there is nothing to wait for."""

    def columns(self, table: str) -> list[Column]:
        """Return the columns of a table, and whether a new row must provide each."""
        info = self.execute(f"PRAGMA table_info({table})").fetchall()
        keys = [(name, type_) for _, name, type_, _, _, key in info if key]
        # SQLite gives the next number itself
        given = keys if [type_ for _, type_ in keys] == ["INTEGER"] else []
        return [
            Column(name, type_, bool(not_null or key) and default is None and (name, type_) not in given)
            for _, name, type_, not_null, default, key in info
        ]


class SqliteDatabase:
    """One SQLite file. Short reads run in the event loop, long ones in a thread, and writes where the writer
    chooses."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._shared = share(path)
        try:
            delete_sums(path)
            self._connection = connect(path)
            self._reader = connect(path)
        except BaseException:
            os.close(self._shared)
            raise
        self._until = math.inf
        """Deadline of the statement that runs on the reader, in time.perf_counter()."""
        self._reader.set_progress_handler(lambda: time.perf_counter() > self._until, _STEPS)
        # a stray write here would escape the writer's transactions
        self._reader.execute("PRAGMA query_only = ON")
        self._readers = ThreadPoolExecutor(LONG_READERS, "sqlite-reader")
        self._of_thread = threading.local()
        self._threads_readers: list[SqliteConnection] = []
        self._closed = False
        self._writer = Writer(self._connection, path.with_suffix(".lock"))

    @property
    def watch(self) -> Callable[[bool], None]:
        """Called in the writer's thread when writes begin to fail because of the disk, and when they succeed
        again."""
        return self._writer.watch

    @watch.setter
    def watch(self, watch: Callable[[bool], None]) -> None:
        self._writer.watch = watch

    @property
    def measure(self) -> Callable[[int, float], None]:
        """As `Database.measure`; called in the writer's thread."""
        return self._writer.measure

    @measure.setter
    def measure(self, measure: Callable[[int, float], None]) -> None:
        self._writer.measure = measure

    @property
    def writes_waiting(self) -> int:
        return self._writer.waiting

    @property
    def reader(self) -> SqliteConnection:
        """The connection that `read` uses."""
        return self._reader

    async def read(self, work: Callable[[Connection], T], *, long: bool = False) -> T:
        """Run `work`, which only reads: in the event loop, which is cheaper than a thread, or in a thread
        when it is long.

        A work that turns out to be long is interrupted, and runs in a thread from its start.
        """
        if not long:
            self._until = time.perf_counter() + _HERE_SECONDS
            try:
                return work(self._reader)
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode != sqlite3.SQLITE_INTERRUPT:
                    raise
            except Exception as error:
                finish_statements(error)
                raise
            finally:
                self._until = math.inf
        return await asyncio.get_running_loop().run_in_executor(
            self._readers, lambda: self._in_one_view(work)
        )

    def _in_one_view(self, work: Callable[[Connection], T]) -> T:
        reader = self._reader_of_thread()
        reader.execute("BEGIN")
        try:
            return work(reader)
        except Exception as error:
            finish_statements(error)
            raise
        finally:
            reader.execute("COMMIT")

    def _reader_of_thread(self) -> SqliteConnection:
        reader = getattr(self._of_thread, "reader", None)
        if reader is None:
            reader = self._of_thread.reader = connect(self._path)
            reader.execute("PRAGMA query_only = ON")
            reader.execute("PRAGMA cache_size = -8192")
            self._threads_readers.append(reader)
        return reader

    async def write(
        self,
        work: Callable[[Connection], T],
        *,
        erases: bool = False,
        brief: bool = False,
        line: str | None = None,
    ) -> T:
        """Run `work` in a write transaction and return its result once that is on disk. Writes run in the
        order of their calls.

        An exception from `work` undoes its own changes only, never those of other writes in the same commit.
        When a write `erases`, its deleted text is overwritten in the file, and the log is truncated; while a
        snapshot is open, shortly after it ends. Copies that SQLite left when it moved rows within the file
        stay until `vacuum`, or until they are overwritten.
        """
        if self._closed:
            raise StorageUnavailable("the database is closing; try again")
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[T] = loop.create_future()
        self._writer.put(Write(with_also(work), loop, answer, erases, brief))
        return await answer

    def snapshot(self) -> "SqliteSnapshot":
        """Return a view of the database as of now, for reads too long for the event loop: `async with
        database.snapshot() as snapshot`."""
        return SqliteSnapshot(self._path)

    def check(self, large: int = LARGE) -> None:
        """Raise DatabaseError when the file is damaged: SQLite itself would notice only on reading the
        damaged page.

        For a file of more than `large` bytes it checks the schema, the roots of the tables and the length.
        """
        is_sound = begins_sound if self._path.stat().st_size > large else _is_sound
        if not is_sound(self._reader, self._path):
            raise unusable(self._path)

    def migrate(self, apply: Callable[[sqlite3.Connection], None]) -> None:
        """Run migrations, before anything else uses the database. Raises DatabaseError when it cannot be
        written."""
        try:
            # A writer from the start, so that a process that starts at the same moment is waited for, not met
            # midway.
            self._connection.execute("BEGIN IMMEDIATE")
            apply(self._connection)
            self._connection.execute("COMMIT")
        except sqlite3.OperationalError as error:
            if self._connection.in_transaction:
                with contextlib.suppress(sqlite3.Error):  # SQLite may have rolled back by itself
                    self._connection.execute("ROLLBACK")
            if not concerns_the_file(error):
                raise
            raise DatabaseError(
                f"{self._path} cannot be brought up to date: {storage_error(error).message}"
            ) from error

    async def vacuum(self) -> None:
        """Rewrite the whole file, while no other process writes.

        SQLite overwrites deleted text in place, but not the copies that it left in unused parts of pages when
        it moved rows.
        """
        try:
            self._connection.execute("VACUUM")
            self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        except sqlite3.Error as error:
            raise storage_error(error) from None

    async def aclose(self) -> None:
        """As `close`."""
        self.close()

    def close(self) -> None:
        """Finish the waiting writes, then close. May be called twice."""
        if self._closed:
            return
        self._closed = True
        self._writer.close()
        self._readers.shutdown()
        for reader in self._threads_readers:
            reader.close()
        self._reader.close()
        self._connection.close()
        save_sums(self._path, self._shared)
        os.close(self._shared)


@contextlib.contextmanager
def locked_file(path: Path) -> Iterator[SqliteConnection]:
    """Lock a file against other writers. Raises DatabaseError when another process writes to it."""
    check_sums(path)
    check_log(path)
    connection = connect(path)
    with contextlib.closing(connection):
        try:
            connection.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError as error:
            raise DatabaseError(f"{path} is locked by another process") from error
        yield connection


class SqliteSnapshot:
    """One read transaction, on a connection and in a thread of its own. While it is open the log cannot
    shrink."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._thread = ThreadPoolExecutor(1, "sqlite-snapshot")

    async def __aenter__(self) -> "SqliteSnapshot":
        await self._in_thread(self._open)
        return self

    async def __aexit__(self, *_: object) -> None:
        # Queued after the query that may still run when the caller was cancelled: a connection must not be
        # closed during a query.
        self._thread.submit(self._close)
        self._thread.shutdown(wait=False)

    async def run(self, work: Callable[[Connection], T]) -> T:
        """Run `work`, which only reads."""
        return await self._in_thread(lambda: work(self._connection))

    async def _in_thread(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    def _open(self) -> None:
        self._connection = connect(self._path)
        self._connection.execute("PRAGMA query_only = ON")
        self._connection.execute("BEGIN")
        # the view begins with the first read
        self._connection.execute("SELECT 1 FROM sqlite_master").fetchone()

    def _close(self) -> None:
        self._connection.close()


def share(path: Path) -> int:
    """Use a database's folder until the descriptor is closed. Raises DatabaseError while it is replaced."""
    try:
        return folder.share(path.parent)
    except FailedPrecondition as error:
        raise DatabaseError(error.message) from None
    except OSError as error:
        raise DatabaseError(f"{path} cannot be opened: {error.strerror}") from None


def connect(path: Path) -> SqliteConnection:
    """Open a file, or create a private one, with the settings of every connection. Raises DatabaseError."""
    connection = None
    try:
        with contextlib.suppress(OSError):  # SQLite reports why
            create_private(path)
        connection = sqlite3.connect(
            path,
            check_same_thread=False,
            isolation_level=None,
            cached_statements=512,
            factory=SqliteConnection,
        )
        connection.execute(f"PRAGMA busy_timeout = {BUSY_MS}")  # wait out a backup or an administrator's lock
        connection.execute("PRAGMA journal_mode = WAL")  # readers keep reading while a write runs
        # acknowledged means on disk: NORMAL loses commits on power cut
        connection.execute("PRAGMA synchronous = FULL")
        # deleted text is overwritten in the file, not only unlinked
        connection.execute("PRAGMA secure_delete = ON")
        connection.execute("PRAGMA foreign_keys = ON")  # off by default in SQLite
        connection.execute("PRAGMA cache_size = -65536")  # 64 MiB of pages: contexts are read again and again
        connection.execute("PRAGMA temp_store = MEMORY")  # sorting a list needs no file
    except sqlite3.DatabaseError as error:
        if connection:
            connection.close()
        raise unusable(path, error) from error
    return connection


def _is_sound(connection: sqlite3.Connection, _: Path) -> bool:
    try:
        finding: str = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
        return finding == "ok"
    except sqlite3.DatabaseError:
        return False


def begins_sound(connection: sqlite3.Connection, path: Path) -> bool:
    """Whether the schema and a row of each table can be read, and no page is missing, unless it is in the
    log."""
    try:
        for (table,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
            connection.execute(f'SELECT 1 FROM "{table}" LIMIT 1').fetchone()
        pages, page_bytes = (
            connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "page_size")
        )
    except sqlite3.DatabaseError:
        return False
    return path.stat().st_size >= pages * page_bytes or log_bytes(path) > 0


def log_bytes(path: Path) -> int:
    """Return the bytes of a database file's log."""
    try:
        return os.stat(f"{path}-wal").st_size
    except FileNotFoundError:
        return 0


def unusable(path: Path, error: sqlite3.Error | None = None) -> DatabaseError:
    """Return the error for a file that cannot be opened, or that is damaged."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code in (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM):
        return DatabaseError(
            f"{path} cannot be opened and written; check who may write to it and to its folder"
        )
    return DatabaseError(
        f"{path} is damaged or is not a database; restore it from a backup by "
        "`parley restore FILE --replace`, or move it away to begin anew"
    )
