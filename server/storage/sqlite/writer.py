"""Commits writes: group commit over one SQLite connection, alternately in the event loop and in a thread of
its own.

A write is acknowledged after its commit is on disk. Writes that arrive during a commit share the next one,
which makes FULL durability cost what NORMAL does. Knows no table; holds no SQL but PRAGMAs and transaction
control.

The statements of brief writes run in the loop, and only the commit, which waits for the disk, in the thread:
there each statement would take the interpreter from the loop and give it back, which costs more than the
statement. Whenever there is an obstacle, such as another process that writes, the thread runs them, and
waits.
"""

import asyncio
import contextlib
import contextvars
import fcntl
import os
import queue
import sqlite3
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from server.storage.database import Connection
from server.storage.sqlite.errors import concerns_the_file, finish_statements, is_of_the_disk, storage_error

if TYPE_CHECKING:  # the database has a writer
    from server.storage.sqlite.database import SqliteConnection

BUSY_MS = 10_000
_MOST_PER_COMMIT = 256
_MOST_IN_THE_LOOP = 64
_ERASE_BUSY_MS = 100
_AGAIN_SECONDS = 1.0
_PACE_SECONDS = 0.002
"""From the beginning of one commit to the next, while there are many writes."""
_MANY = 1.1
"""Average writes per commit above which commits are paced: a single write must not wait for others that never
come."""

T = TypeVar("T")
Result = tuple[Any, BaseException | None]
"""The result of a write: what its work returned, or why nothing of it was written."""


class Write(NamedTuple):
    """A write in the queue, and the future of its result."""

    work: Callable[[Connection], Any]
    loop: asyncio.AbstractEventLoop
    answer: asyncio.Future[Any]
    erases: bool
    brief: bool
    """Whether its statements may be run in the loop."""


class _Handed(NamedTuple):
    """Writes for the thread to commit."""

    batch: list[Write]
    results: list[Result] | None
    """None when nothing has run yet; otherwise the transaction is open."""


class Writer:
    """Makes the writes of one database. `connection` is used only by the writer, from the first write on; its
    busy timeout is BUSY_MS then."""

    def __init__(self, connection: "SqliteConnection", lock: Path) -> None:
        self._connection = connection
        self._busy_ms = BUSY_MS
        self._write_lock = _WriteLock(lock)
        self._gate = threading.Lock()
        self._waiting: list[Write] = []
        self._working = False
        """Whether the connection is in use, or about to be: by the loop or the thread."""
        self._beginner: asyncio.AbstractEventLoop | None = None
        """The loop that is about to use it."""
        self._handing = False
        """Whether a loop has taken writes that the thread has not received yet."""
        self._closing = False
        self._began_at = 0.0
        self._in_a_commit = 1.0
        """Moving average of the writes per commit."""
        self._handed: queue.SimpleQueue[_Handed | None] = queue.SimpleQueue()
        self._unerased = False
        self._failing = False
        self.watch: Callable[[bool], None] = _nobody
        """Called in the thread when writes begin to fail because of the disk, and when they succeed again."""
        self.measure: Callable[[int, float], None] = _unmeasured
        """Told in the thread of each commit: how many writes it had, and how many seconds it took."""
        self._committing = 0
        self._thread = threading.Thread(target=self._run, name="sqlite-writer", daemon=True)
        self._thread.start()

    @property
    def waiting(self) -> int:
        """How many writes wait for a commit, or are in one."""
        return len(self._waiting) + self._committing

    def put(self, write: Write) -> None:
        """Add a write. Must be called in its loop."""
        with self._gate:
            self._waiting.append(write)
            if self._working and not (self._beginner and self._beginner.is_closed()):
                return
            self._working, self._beginner = True, write.loop
        self._begin_soon(write.loop)

    def close(self) -> None:
        """Make the waiting writes, then stop. Their callers are answered if their loop is still running."""
        with self._gate:
            self._closing = True
        self._handed.put(None)
        self._thread.join()
        self._write_lock.close()

    def _begin_soon(self, loop: asyncio.AbstractEventLoop) -> None:
        """Begin together with the other writes of this turn of the loop, or at the end of the current
        pace."""
        pause = self._began_at + _PACE_SECONDS - time.monotonic()
        if pause > 0 and self._in_a_commit > _MANY:
            loop.call_later(pause, self._begin, context=contextvars.Context())
        else:
            loop.call_soon(self._begin, context=contextvars.Context())

    def _next_batch(self, most: int) -> list[Write]:
        batch, self._waiting = self._waiting[:most], self._waiting[most:]
        return batch

    def _begin(self) -> None:
        """Run the waiting writes as far as possible in the loop, and pass them to the thread."""
        with self._gate:
            self._beginner = None
            if self._closing:  # the thread takes the rest
                return
            brief = all(write.brief for write in self._waiting[:_MOST_IN_THE_LOOP])
            batch = self._next_batch(_MOST_IN_THE_LOOP if brief else _MOST_PER_COMMIT)
            self._handing = True
        self._began_at = time.monotonic()
        self._in_a_commit += 0.2 * (len(batch) - self._in_a_commit)
        self._handed.put(_Handed(batch, self._run_here(batch) if brief else None))

    def _run_here(self, batch: list[Write]) -> list[Result] | None:
        """Return the results of the writes, in a transaction that is left open; None when the thread must run
        them."""
        if not self._write_lock.try_acquire():
            return None
        try:
            self._wait_at_most(0)
            self._connection.execute("BEGIN IMMEDIATE")
            return [self._attempt(write) for write in batch]
        except Exception:  # the thread runs them again, and reports the error if it persists
            self._roll_back()
            self._write_lock.end()
            return None

    def _run(self) -> None:
        while (handed := self._next()) is not None:
            self._handing = False
            self._finish(handed)
            self._go_on()
        if self._handing:
            last = self._handed.get()
            assert last is not None
            self._finish(last)
        while batch := self._next_batch(_MOST_PER_COMMIT):
            self._finish(_Handed(batch, None))

    def _next(self) -> _Handed | None:
        """Wait for something to commit, and meanwhile for a chance to erase, or for the disk to accept writes
        again."""
        while self._unerased or self._failing:
            try:
                return self._handed.get(timeout=_AGAIN_SECONDS)
            except queue.Empty:
                self._tend()
        return self._handed.get()

    def _tend(self) -> None:
        with self._gate:
            if self._working:
                return
            self._working = True
        if self._unerased:
            self._erase()
        if self._failing:
            self._probe()
        self._go_on()

    def _go_on(self) -> None:
        """Begin the writes that wait by now; when their loop is gone, no caller waits for them."""
        while True:
            with self._gate:
                self._working = bool(self._waiting)
                if not self._working or self._closing:
                    return
                loop = self._beginner = self._waiting[0].loop
            try:
                loop.call_soon_threadsafe(self._begin_soon, loop, context=contextvars.Context())
                return
            except RuntimeError:
                with self._gate:
                    self._beginner, batch = None, self._next_batch(_MOST_PER_COMMIT)
                self._finish(_Handed(batch, None))

    def _finish(self, handed: _Handed) -> None:
        """Commit, and answer the callers."""
        batch, results = handed
        self._committing, began = len(batch), time.perf_counter()
        try:
            if results is None:
                with self._write_lock:
                    results = self._committed(lambda: [self._attempt(write) for write in batch])
            else:
                try:
                    self._commit()
                finally:
                    self._write_lock.end()
        except sqlite3.Error as error:
            results = [(None, storage_error(error))] * len(batch)
        self._committing = 0
        if batch:
            self.measure(len(batch), time.perf_counter() - began)
        if any(write.erases for write in batch):
            self._erase()
        for loop in {write.loop for write in batch}:
            answers = [
                (write.answer, *result)
                for write, result in zip(batch, results, strict=True)
                if write.loop is loop
            ]
            with contextlib.suppress(RuntimeError):  # the loop is gone, and with it the callers
                loop.call_soon_threadsafe(_answer, answers)

    def _committed(self, work: Callable[[], T]) -> T:
        """Return the result of `work`, once it is on disk. Raises sqlite3.Error when nothing was written."""
        try:
            self._wait_at_most(BUSY_MS)
            self._connection.execute("BEGIN IMMEDIATE")
            result = work()
        except sqlite3.Error as error:
            self._failed(error)
            raise
        self._commit()
        return result

    def _commit(self) -> None:
        """Commit. Raises sqlite3.Error when nothing was written."""
        try:
            self._connection.execute("COMMIT")
        except sqlite3.Error as error:
            self._failed(error)
            raise
        self._now(failing=False)

    def _failed(self, error: sqlite3.Error) -> None:
        self._roll_back()
        self._now(failing=self._failing or is_of_the_disk(error))

    def _attempt(self, write: Write) -> Result:
        self._connection.execute("SAVEPOINT write")
        try:
            result: Result = write.work(self._connection), None
        except sqlite3.Error as error:
            if concerns_the_file(error):
                raise
            finish_statements(error)
            self._connection.execute("ROLLBACK TO write")
            result = None, storage_error(error) if isinstance(error, sqlite3.IntegrityError) else error
        # a bug in one write must not take the writer thread, or its neighbours, with it
        except Exception as error:
            finish_statements(error)
            self._connection.execute("ROLLBACK TO write")
            result = None, error
        self._connection.execute("RELEASE write")
        return result

    def _wait_at_most(self, milliseconds: int) -> None:
        """Set how long statements wait for another process's lock on the file."""
        if milliseconds != self._busy_ms:
            self._connection.execute(f"PRAGMA busy_timeout = {milliseconds}")
            self._busy_ms = milliseconds

    def _roll_back(self) -> None:
        if self._connection.in_transaction:
            with contextlib.suppress(sqlite3.Error):  # SQLite may have rolled back by itself
                self._connection.execute("ROLLBACK")

    def _probe(self) -> None:
        """Write a page unchanged: callers that know that writes fail send none, so a recovery would never be
        noticed."""
        version = "PRAGMA user_version"
        with contextlib.suppress(sqlite3.Error):
            self._committed(
                lambda: self._connection.execute(
                    f"{version} = {self._connection.execute(version).fetchone()[0]}"
                )
            )

    def _now(self, *, failing: bool) -> None:
        if failing != self._failing:
            self._failing = failing
            with contextlib.suppress(RuntimeError):  # the loop of the watcher is gone
                self.watch(not failing)

    def _erase(self) -> None:
        """Truncate the log, which contains the deleted text until other writes overwrite it."""
        self._unerased = True
        with contextlib.suppress(sqlite3.Error):
            self._wait_at_most(_ERASE_BUSY_MS)  # short reads end by then, snapshots do not
            self._unerased = self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0] != 0


class _WriteLock:
    """Held as `with lock:` while this process writes: others wait in the kernel's queue, first come, first
    served.

    SQLite itself makes them poll with growing pauses, so that one of them can starve. That remains when the
    lock's file cannot be created.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: int | None = None

    def __enter__(self) -> None:
        with contextlib.suppress(OSError):
            fcntl.flock(self._opened(), fcntl.LOCK_EX)

    def __exit__(self, *_: object) -> None:
        self.end()

    def try_acquire(self) -> bool:
        """Return whether this process may write now; if so, it must `end` that."""
        try:
            fcntl.flock(self._opened(), fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError:
            return True
        return True

    def end(self) -> None:
        if self._file is not None:
            fcntl.flock(self._file, fcntl.LOCK_UN)

    def close(self) -> None:
        if self._file is not None:
            os.close(self._file)

    def _opened(self) -> int:
        if self._file is None:
            self._file = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600)
        return self._file


def _nobody(_: bool) -> None:
    """Watch nothing."""


def _unmeasured(_: int, __: float) -> None:
    """Measures nothing."""


def _answer(answers: list[tuple[asyncio.Future[Any], Any, BaseException | None]]) -> None:
    for future, result, error in answers:
        if future.done():  # the caller is gone
            continue
        if error is None:
            future.set_result(result)
        else:
            future.set_exception(error)
