"""Checks the rest of a large SQLite file while it is served, as a start checks only a part of it. `parley
check` checks all of it, and more.

First the file is compared with its checksums. It does not change meanwhile: SQLite moves no log entries into
it while a reader is open that began with an empty log. Then all tables and indexes are read, tables in
pieces. The log cannot shrink while the file is compared, nor while one index is read; a step for which it
would grow too large is left out.
"""

import asyncio
import contextlib
import os
import re
import sqlite3
import threading
import zlib
from array import array
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from server.storage.database import DatabaseError
from server.storage.sqlite.database import LARGE, begins_sound, connect, log_bytes, share, unusable
from server.storage.sqlite.sums import (
    BLOCK_BYTES,
    changed,
    check_length,
    check_not_condemned,
    condemn,
    has_sums,
    saved_sums,
)
from server.storage.sqlite.wal import check_log

MOST_LOG_BYTES = 256 << 20
"""A start after a kill reads the log at 60 MiB a second."""
_ROWS = 200
_WHERE = re.compile(r"\sWHERE\s")
_STEPS = 1_000_000
"""SQLite's virtual machine steps between two checks of the log: some tens of milliseconds."""
_DAMAGED = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


@contextlib.contextmanager
def inspected(path: Path, large: int = LARGE) -> Iterator["Inspection | None"]:
    """Check the beginning of a file of more than `large` bytes before it is opened; `find_damage` checks the
    rest. Yields None for another file, which a start checks completely.

    Raises DatabaseError when the file is damaged. Leave this after the process has closed the file.
    """
    if not path.is_file() or path.stat().st_size <= large:
        yield None
        return
    check_not_condemned(path)
    check_log(path)
    file = os.open(path, os.O_RDONLY)
    try:
        with contextlib.closing(Inspection(path, file)) as inspection:
            inspection.begin()
            yield inspection
    finally:
        os.close(file)  # last of all: SQLite loses its own locks on a file that its process closes


class Inspection:
    """An inspection of one file, done once. Until it has been compared, or closed, the file stays as it was
    last closed."""

    def __init__(self, path: Path, file: int) -> None:
        self._path = path
        self._file = file
        self._enough = threading.Event()
        self._left_out: list[str] = []
        self._most_log = self._most_log_from_here()
        self._shared: int | None = share(path)
        self._connection: sqlite3.Connection | None = None
        self._sums: array[int] | None = None

    def begin(self) -> None:
        """Hold the file unchanged, if it has checksums. Raises DatabaseError when its beginning is damaged or
        it is truncated."""
        sums = saved_sums(self._path)
        if sums is not None:
            check_length(self._path, sums)
        self._connection = connect(self._path)
        self._connection.execute("PRAGMA query_only = ON")
        self._connection.execute("PRAGMA cache_size = -8192")
        self._connection.execute("PRAGMA cell_size_check = ON")
        self._connection.execute("BEGIN")
        if not begins_sound(self._connection, self._path):
            raise unusable(self._path)
        if sums is not None and has_sums(self._path) and not log_bytes(self._path):
            self._sums = sums
        else:  # another process was faster, and may have changed it
            self._connection.execute("COMMIT")

    async def find_damage(self) -> list[str]:
        """Inspect the file, and return the parts left out. Raises DatabaseError when it is damaged; then no
        process opens it again."""
        thread = ThreadPoolExecutor(1, "inspection")
        looking = asyncio.get_running_loop().run_in_executor(thread, self._look)
        try:
            return await asyncio.shield(looking)
        finally:
            self._enough.set()
            await asyncio.wait([looking])  # a connection must not be closed during a query
            thread.shutdown()
            self.close()
            # mark the exception as retrieved, in case the caller is gone; the file is condemned in any case
            looking.exception()

    def close(self) -> None:
        """Release the file. May be called twice."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        if self._shared is not None:
            os.close(self._shared)
            self._shared = None

    @property
    def _reading(self) -> sqlite3.Connection:
        """The connection that reads the file, from `begin` to `close`."""
        assert self._connection is not None
        return self._connection

    def _look(self) -> list[str]:
        try:
            self._compare()
            self._read_all()
        except DatabaseError as error:
            condemn(self._path, str(error))
            raise
        except OSError as error:
            self._left_out.append(f"the rest could not be read: {error.strerror}")
        except sqlite3.Error as error:
            if not self._enough.is_set():
                self._left_out.append(f"the rest could not be read: {error.sqlite_errorname}")
        return self._left_out

    def _compare(self) -> None:
        if self._sums is not None:
            self._compare_with(self._sums)
            self._reading.execute("COMMIT")

    def _compare_with(self, sums: "array[int]") -> None:
        for number, known in enumerate(sums):
            if self._enough.is_set():
                return
            if log_bytes(self._path) > self._most_log:
                self._left_out.append(
                    f"its blocks of 64 KiB from {number} on, of {len(sums)}, were not compared"
                )
                return
            if zlib.crc32(os.pread(self._file, BLOCK_BYTES, number * BLOCK_BYTES)) != known:
                raise changed(self._path, number)

    def _read_all(self) -> None:
        """Read every page of every table and index through SQLite."""
        try:
            made = self._reading.execute(
                # tables first
                "SELECT type, tbl_name, name, sql FROM sqlite_master ORDER BY type DESC"
            ).fetchall()
            for kind, table, name, sql in made:
                if kind == "table":
                    self._read_table(table, sql)
                elif kind == "index":
                    self._read_index(table, name, sql or "")
        except sqlite3.DatabaseError as error:
            if error.sqlite_errorcode & 0xFF in _DAMAGED:
                raise unusable(self._path) from error
            raise

    def _is_to_end(self) -> bool:
        """Whether to interrupt the running statement."""
        return self._enough.is_set() or log_bytes(self._path) > self._most_log

    def _most_log_from_here(self) -> int:
        """Return the limit of the log for the next step. Its file does not shrink by itself."""
        return log_bytes(self._path) + MOST_LOG_BYTES

    def _read_table(self, table: str, sql: str) -> None:
        columns = self._reading.execute(f'PRAGMA table_info("{table}")').fetchall()
        names = ["rowid"]
        if sql.rstrip().upper().endswith("WITHOUT ROWID"):
            names = [
                f'"{name}"' for _, name, *_, place in sorted(columns, key=lambda column: column[-1]) if place
            ]
        key, places = ", ".join(names), ", ".join("?" * len(names))
        # The last character of a value: to get it, SQLite reads all pages of the value.
        values = ", ".join(f'count(substr("{name}", -1))' for _, name, *_ in columns)
        end: tuple[Any, ...] | None = ()
        while end is not None and not self._enough.is_set():
            start, after = end, f"({key}) > ({places})" if end else "TRUE"
            end = self._reading.execute(
                f'SELECT {key} FROM "{table}" WHERE {after} ORDER BY {key} LIMIT 1 OFFSET {_ROWS}', start
            ).fetchone()
            until = f"({key}) <= ({places})" if end else "TRUE"
            self._reading.execute(
                f'SELECT {values} FROM "{table}" WHERE {after} AND {until}', [*start, *(end or ())]
            ).fetchone()

    def _read_index(self, table: str, index: str, sql: str) -> None:
        """Read an index in one query: it has no key of its own from which to continue."""
        _, *condition = _WHERE.split(sql, 1)
        self._most_log = self._most_log_from_here()
        self._reading.set_progress_handler(self._is_to_end, _STEPS)
        try:
            self._reading.execute(
                f'SELECT total(1) FROM "{table}" INDEXED BY "{index}" WHERE {"".join(condition) or "TRUE"}'
            ).fetchone()
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_INTERRUPT or self._enough.is_set():
                raise
            self._left_out.append(f"the rest of the index {index} was not read")
        finally:
            self._reading.set_progress_handler(None, 0)
