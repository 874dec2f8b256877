"""What a start does not see of a large SQLite file, looked at while that is served. `parley check` sees all
of it, and more.

First the file is compared with its sums. It stands still meanwhile: SQLite does not write the log into it as
long as somebody reads who began when the log was empty. Then all tables and indexes are read, a table a piece
at a time. The log cannot shrink while the file is compared, nor while one index is read; what would take too
much log is left out.
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
"""Of SQLite, between two looks at the log: some tens of milliseconds."""
_DAMAGED = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


@contextlib.contextmanager
def inspected(path: Path, large: int = LARGE) -> Iterator["Inspection | None"]:
    """See what a start touches of a file of more than `large` bytes, before anybody opens it; the rest is to
    be seen by `find_damage`. None for another file, which a start sees all of.

    Raises DatabaseError when the file is damaged. To be left when this process has closed the file.
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
    """Of one file, once. Until it has been compared, or closed, the file is the one that was last closed."""

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
        """Have the file stand still, if it has sums. Raises DatabaseError when it does not begin soundly or
        is cut."""
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
        else:  # somebody was faster, and may have changed it
            self._connection.execute("COMMIT")

    async def find_damage(self) -> list[str]:
        """Look at the file; what was left out. Raises DatabaseError when it is damaged: then nobody opens it
        again."""
        thread = ThreadPoolExecutor(1, "inspection")
        looking = asyncio.get_running_loop().run_in_executor(thread, self._look)
        try:
            return await asyncio.shield(looking)
        finally:
            self._enough.set()
            await asyncio.wait([looking])  # a connection must not be closed under a query
            thread.shutdown()
            self.close()
            # nobody else asks when the caller has gone away; the file is condemned in any case
            looking.exception()

    def close(self) -> None:
        """Let the file go. May be called twice."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        if self._shared is not None:
            os.close(self._shared)
            self._shared = None

    @property
    def _reading(self) -> sqlite3.Connection:
        """What the file is read by, from `begin` to `close`."""
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
        """Every page of a table or an index, as SQLite reads it."""
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
        """Whether the statement that runs is to be broken off."""
        return self._enough.is_set() or log_bytes(self._path) > self._most_log

    def _most_log_from_here(self) -> int:
        """The length that the log may have at the end of what begins now. Its file does not get shorter by
        itself."""
        return log_bytes(self._path) + MOST_LOG_BYTES

    def _read_table(self, table: str, sql: str) -> None:
        columns = self._reading.execute(f'PRAGMA table_info("{table}")').fetchall()
        names = ["rowid"]
        if sql.rstrip().upper().endswith("WITHOUT ROWID"):
            names = [
                f'"{name}"' for _, name, *_, place in sorted(columns, key=lambda column: column[-1]) if place
            ]
        key, places = ", ".join(names), ", ".join("?" * len(names))
        # The last letter of a value: for that SQLite reads all pages that the value is on.
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
        """All of it at once: an index has no key of its own to go on from."""
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
