"""The SQLite file: one writer thread with group commit, and a connection for short reads.

A write is acknowledged after its commit is on disk. Writes that arrive while a commit is under way share the next one, which
makes FULL durability cost what NORMAL does. Knows no table; holds no SQL but PRAGMAs and transaction control.
"""

import asyncio
import contextlib
import fcntl
import os
import queue
import sqlite3
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from server.errors import FailedPrecondition, ResourceExhausted, ServiceError, StorageUnavailable
from server.storage import folder
from server.storage.database import Column, Connection, DatabaseError, with_also

_MOST_PER_COMMIT = 256
_BUSY_MS = 10_000
_OF_THE_FILE = frozenset({
    sqlite3.SQLITE_BUSY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_FULL, sqlite3.SQLITE_INTERRUPT,
    sqlite3.SQLITE_IOERR, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_NOMEM, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_PROTOCOL,
    sqlite3.SQLITE_READONLY})
_ERASE_BUSY_MS = 100
_AGAIN_SECONDS = 1.0

T = TypeVar("T")


class SqliteConnection(sqlite3.Connection):
    """With what works need besides."""

    def lock(self, name: str) -> None:
        """Nothing to wait for: there is one writer."""

    def columns(self, table: str) -> list[Column]:
        info = self.execute(f"PRAGMA table_info({table})").fetchall()
        keys = [(name, type_) for _, name, type_, _, _, key in info if key]
        given = keys if [type_ for _, type_ in keys] == ["INTEGER"] else []  # SQLite gives the next number itself
        return [Column(name, type_, bool(not_null or key) and default is None and (name, type_) not in given)
                for _, name, type_, not_null, default, key in info]


class _Write(NamedTuple):
    work: Callable[[Connection], Any]
    loop: asyncio.AbstractEventLoop
    answer: asyncio.Future[Any]
    erases: bool


class SqliteDatabase:
    """One SQLite file. Reads run in the event loop's thread, writes in the writer's."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._held = _shared(path)
        try:
            self._writer = _connect(path)
            self._reader = _connect(path)
            self._turn = _WriteTurn(path.with_suffix(".lock"))
        except BaseException:
            os.close(self._held)
            raise
        self._reader.execute("PRAGMA query_only = ON")  # a stray write here would escape the writer's transactions
        self._queue: queue.SimpleQueue[_Write | None] = queue.SimpleQueue()
        self._closed = False
        self._unerased = False
        self._failing = False
        self.watch: Callable[[bool], None] = _nobody
        """Told in the writer's thread when writes begin to fail because of the disk, and when they succeed again."""
        self._thread = threading.Thread(target=self._run, name="sqlite-writer", daemon=True)
        self._thread.start()

    @property
    def reader(self) -> SqliteConnection:
        """The connection that `read` uses."""
        return self._reader

    async def read(self, work: Callable[[Connection], T]) -> T:
        """Run `work`, which only reads, and for less than 100 µs: here and now, which costs less than a hop to a thread."""
        return work(self._reader)

    async def write(self, work: Callable[[Connection], T], *, erases: bool = False, line: str | None = None) -> T:
        """Run `work` in a write transaction and return its result once that is on disk. All writes are in one line.

        What `work` raises undoes its own changes only, never those of the writes it shares a commit with. What a write that
        `erases` deletes is then overwritten in the file, and its log is cut off; while a snapshot is open, shortly after it.
        Copies that SQLite left when it moved rows within the file stay until `vacuum`, or until they are overwritten.
        """
        if self._closed:
            raise StorageUnavailable("the database is closing; try again")
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[T] = loop.create_future()
        self._queue.put(_Write(with_also(work), loop, answer, erases))
        # Shielded: a caller that goes away must not leave the writer answering a cancelled future with half a batch.
        return await asyncio.shield(answer)

    def snapshot(self) -> "SqliteSnapshot":
        """The database as it is now, for reads too long for the event loop: `async with database.snapshot() as snapshot`."""
        return SqliteSnapshot(self._path)

    def check(self) -> None:
        """Raises DatabaseError when the file is damaged: SQLite itself would only notice on reading the damaged page."""
        try:
            found = self._reader.execute("PRAGMA quick_check(1)").fetchone()[0]
        except sqlite3.DatabaseError:
            found = "damaged"
        if found != "ok":
            raise _unusable(self._path)

    def migrate(self, apply: Callable[[sqlite3.Connection], None]) -> None:
        """Run migrations, before anything else uses the database. Raises DatabaseError when it cannot be written."""
        try:
            # At once a writer, so that a process that starts at the same moment is waited for and not met half-way.
            self._writer.execute("BEGIN IMMEDIATE")
            apply(self._writer)
            self._writer.execute("COMMIT")
        except sqlite3.OperationalError as error:
            self._roll_back()
            if not _concerns_the_file(error):
                raise
            raise DatabaseError(f"{self._path} cannot be brought up to date: {storage_error(error).message}") from error

    async def vacuum(self) -> None:
        """Write the whole file anew, while nobody else writes.

        SQLite overwrites what is deleted where it is, not the copies it left in unused parts of pages when it moved rows.
        """
        try:
            self._writer.execute("VACUUM")
            self._writer.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        except sqlite3.Error as error:
            raise storage_error(error) from None

    async def aclose(self) -> None:
        self.close()

    def close(self) -> None:
        """Finish the writes that wait, then close. May be called twice."""
        if self._closed:
            return
        self._closed = True
        self._queue.put(None)
        self._thread.join()
        self._reader.close()
        self._writer.close()
        self._turn.close()
        os.close(self._held)

    def _run(self) -> None:
        closing = False
        while not closing and (first := self._first()) is not None:
            with self._turn:
                batch, closing = self._batch(first)
                self._commit(batch)

    def _batch(self, first: _Write) -> tuple[list[_Write], bool]:
        """The write to begin with and all that wait behind it, and whether the database is closing."""
        batch: list[_Write] = []
        item: _Write | None = first
        while item is not None:
            batch.append(item)
            if len(batch) == _MOST_PER_COMMIT:
                return batch, False
            try:
                item = self._queue.get_nowait()
            except queue.Empty:
                return batch, False
        return batch, True

    def _first(self) -> _Write | None:
        """Wait for a write, and meanwhile for a chance to erase, or for the disk to take writes again."""
        while self._unerased or self._failing:
            try:
                return self._queue.get(timeout=_AGAIN_SECONDS)
            except queue.Empty:
                if self._unerased:
                    self._erase()
                if self._failing:
                    self._probe()
        return self._queue.get()

    def _probe(self) -> None:
        """Write a page as it is: who is told that writes fail sends none, so their success would never be noticed."""
        version = "PRAGMA user_version"
        with contextlib.suppress(sqlite3.Error):
            self._committed([lambda: self._writer.execute(f"{version} = {self._writer.execute(version).fetchone()[0]}")])

    def _committed(self, works: list[Callable[[], T]]) -> list[T]:
        """What works return, once it is on disk. Raises sqlite3.Error when nothing was written."""
        try:
            self._writer.execute("BEGIN IMMEDIATE")
            results = [work() for work in works]
            self._writer.execute("COMMIT")
        except sqlite3.Error as error:
            self._roll_back()
            self._now(failing=self._failing or _is_of_the_disk(error))
            raise
        self._now(failing=False)
        return results

    def _now(self, *, failing: bool) -> None:
        if failing != self._failing:
            self._failing = failing
            with contextlib.suppress(RuntimeError):  # the loop of whoever watched is gone
                self.watch(not failing)

    def _erase(self) -> None:
        """Cut off the log, which has the deleted text until other writes come over it."""
        self._unerased = True
        with contextlib.suppress(sqlite3.Error):
            self._writer.execute(f"PRAGMA busy_timeout = {_ERASE_BUSY_MS}")  # short reads end by then, snapshots do not
            self._unerased = self._writer.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0] != 0
            self._writer.execute(f"PRAGMA busy_timeout = {_BUSY_MS}")

    def _commit(self, batch: list[_Write]) -> None:
        try:
            results = self._committed([partial(self._attempt, write) for write in batch])
        except sqlite3.Error as error:
            refusal = storage_error(error)
            results = [(None, refusal)] * len(batch)
        if any(write.erases for write in batch):
            self._erase()
        for loop in {write.loop for write in batch}:
            answers = [(write.answer, *result) for write, result in zip(batch, results, strict=True) if write.loop is loop]
            with contextlib.suppress(RuntimeError):  # the loop is gone, and with it whoever waited
                loop.call_soon_threadsafe(_answer, answers)

    def _attempt(self, write: _Write) -> tuple[Any, BaseException | None]:
        self._writer.execute("SAVEPOINT write")
        try:
            result = write.work(self._writer), None
        except sqlite3.Error as error:
            if _concerns_the_file(error):
                raise
            self._writer.execute("ROLLBACK TO write")
            result = None, storage_error(error) if isinstance(error, sqlite3.IntegrityError) else error
        except Exception as error:  # a bug in one write must not take the writer thread, or its neighbours, with it
            self._writer.execute("ROLLBACK TO write")
            result = None, error
        self._writer.execute("RELEASE write")
        return result

    def _roll_back(self) -> None:
        if self._writer.in_transaction:
            with contextlib.suppress(sqlite3.Error):  # SQLite may have rolled back by itself
                self._writer.execute("ROLLBACK")


class _WriteTurn:
    """`with turn:` while this process writes: others wait in the kernel's queue, first come, first served.

    SQLite lets them try again and again, each time after a longer pause, so that one of them can starve. That is what is
    left when the file for it cannot be made.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: int | None = None

    def __enter__(self) -> None:
        with contextlib.suppress(OSError):
            if self._file is None:
                self._file = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600)
            fcntl.flock(self._file, fcntl.LOCK_EX)

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            fcntl.flock(self._file, fcntl.LOCK_UN)

    def close(self) -> None:
        if self._file is not None:
            os.close(self._file)


@contextlib.contextmanager
def held(path: Path) -> Iterator[SqliteConnection]:
    """A file that nobody else can write to meanwhile. Raises DatabaseError when somebody does."""
    connection = _connect(path)
    with contextlib.closing(connection):
        try:
            connection.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError as error:
            raise DatabaseError(f"{path} is locked by another process") from error
        yield connection


class SqliteSnapshot:
    """One read transaction, on a connection and in a thread of its own. While it is open the log cannot shrink."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._thread = ThreadPoolExecutor(1, "sqlite-snapshot")

    async def __aenter__(self) -> "SqliteSnapshot":
        await self._in_thread(self._open)
        return self

    async def __aexit__(self, *_: object) -> None:
        # Queued behind what still runs when the caller was cancelled: a connection must not be closed under a query.
        self._thread.submit(self._close)
        self._thread.shutdown(wait=False)

    async def run(self, work: Callable[[Connection], T]) -> T:
        """Run `work`, which only reads."""
        return await self._in_thread(lambda: work(self._connection))

    async def _in_thread(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    def _open(self) -> None:
        self._connection = _connect(self._path)
        self._connection.execute("PRAGMA query_only = ON")
        self._connection.execute("BEGIN")
        self._connection.execute("SELECT 1 FROM sqlite_master").fetchone()  # the view begins with the first read

    def _close(self) -> None:
        self._connection.close()


def _nobody(_: bool) -> None:
    """Watches nothing."""


def _shared(path: Path) -> int:
    try:
        return folder.share(path.parent)
    except FailedPrecondition as error:
        raise DatabaseError(error.message) from None
    except OSError as error:
        raise DatabaseError(f"{path} cannot be opened: {error.strerror}") from None


def _answer(answers: list[tuple[asyncio.Future[Any], Any, BaseException | None]]) -> None:
    for future, result, error in answers:
        if future.done():
            continue
        if error is None:
            future.set_result(result)
        else:
            future.set_exception(error)


def _connect(path: Path) -> SqliteConnection:
    connection = None
    try:
        connection = sqlite3.connect(path, check_same_thread=False, isolation_level=None, cached_statements=512,
                                     factory=SqliteConnection)
        connection.execute(f"PRAGMA busy_timeout = {_BUSY_MS}")  # wait out a backup or an administrator's lock
        connection.execute("PRAGMA journal_mode = WAL")  # readers keep reading while a write runs
        connection.execute("PRAGMA synchronous = FULL")  # acknowledged means on disk: NORMAL loses commits on power cut
        connection.execute("PRAGMA secure_delete = ON")  # deleted text is overwritten in the file, not only unlinked
        connection.execute("PRAGMA foreign_keys = ON")  # off by default in SQLite
        connection.execute("PRAGMA cache_size = -65536")  # 64 MiB of pages: contexts are read again and again
        connection.execute("PRAGMA temp_store = MEMORY")  # sorting a list needs no file
    except sqlite3.DatabaseError as error:
        if connection:
            connection.close()
        raise _unusable(path, error) from error
    return connection


def _unusable(path: Path, error: sqlite3.Error | None = None) -> DatabaseError:
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code in (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM):
        return DatabaseError(f"{path} cannot be opened and written; check who may write to it and to its folder")
    return DatabaseError(f"{path} is damaged or is not a database; restore it from a backup by "
                         "`parley restore FILE --replace`, or move it away to begin anew")


def _concerns_the_file(error: sqlite3.Error) -> bool:
    """Whether every write of a commit fails with this one; others are one write's own, such as wrong SQL."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF in _OF_THE_FILE


def _is_of_the_disk(error: sqlite3.Error) -> bool:
    """Whether other writes will fail too, and not because of a lock or of who may write."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    return code in _OF_THE_FILE - {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_INTERRUPT,
                                   sqlite3.SQLITE_READONLY}


def storage_error(error: sqlite3.Error) -> ServiceError:
    """What a caller is told of an SQLite error; its text stays here."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code == sqlite3.SQLITE_FULL:
        return ResourceExhausted("the disk is full; nothing was written", reason="DISK_FULL")
    if code == sqlite3.SQLITE_READONLY:
        return FailedPrecondition("the database is read-only; nothing was written", reason="READ_ONLY")
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return StorageUnavailable("the database is busy; nothing was written, try again", retry_after=1)
    return StorageUnavailable("the database could not be written; nothing was stored")
