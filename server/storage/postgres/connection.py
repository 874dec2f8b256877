"""One psycopg connection for works: they do not await, and run in greenlets that wait for their results.

Statements whose result is not requested yet are buffered, and sent together. Opens and closes nothing.
"""

import contextlib
import itertools
import re
import select
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from functools import lru_cache
from typing import Any, TypeVar

import psycopg
from greenlet import getcurrent, greenlet
from psycopg.types.numeric import Int8BinaryDumper, NumericBinaryLoader

from server.storage.database import Column

_BATCH = 500
_SESSION = (
    "SET lock_timeout = '10s'; SET idle_in_transaction_session_timeout = '60s'; SET client_encoding = 'UTF8'"
)
_TYPES = {"text": "TEXT", "bigint": "INTEGER", "double precision": "REAL", "bytea": "BLOB"}

T = TypeVar("T")
Driver = psycopg.AsyncConnection[Any]


class PostgresConnection:
    """The connection that works receive. `streams` means that iterated rows are fetched in batches."""

    def __init__(self, driver: Driver, *, streams: bool = False) -> None:
        self.driver = driver
        self.streams = streams
        self._waiting: list[PostgresCursor] = []
        self._failure: psycopg.Error | None = None

    def execute(self, sql: str, parameters: Sequence[Any] = (), /) -> "PostgresCursor":
        cursor = PostgresCursor(self, translated(sql), parameters)
        self._waiting.append(cursor)
        return cursor

    def executemany(self, sql: str, parameters: Iterable[Sequence[Any]], /) -> None:
        for one in parameters:
            self.execute(sql, one)

    def lock(self, name: str) -> None:
        # Not a row's lock: the row may not exist yet, such as that of an unused key.
        self.execute("SELECT pg_advisory_xact_lock(hashtextextended(?, 0))", [name])

    def columns(self, table: str) -> list[Column]:
        rows = self.execute(
            "SELECT column_name::text, data_type::text, "
            "is_nullable = 'NO' AND column_default IS NULL AND is_identity = 'NO' "
            "FROM information_schema.columns WHERE table_schema = current_schema() AND table_name = ? "
            "ORDER BY ordinal_position",
            [table],
        )
        return [Column(name, _TYPES[type_], is_required) for name, type_, is_required in rows.fetchall()]

    def forgo(self, cursor: "PostgresCursor") -> None:
        """Remove a statement that is run in another way."""
        self._waiting.remove(cursor)

    async def send(self) -> None:
        """Send the buffered statements together, and fetch their results. After an error nothing more is
        sent."""
        if self._failure:
            raise self._failure
        waiting, self._waiting = self._waiting, []
        try:
            if len(waiting) == 1:
                await waiting[0].send()
            else:
                async with self.driver.pipeline():
                    for cursor in waiting:
                        await cursor.send()
            for cursor in waiting:
                await cursor.fetch()
        except psycopg.Error as error:
            self._failure = error
            raise


class PostgresCursor:
    """One statement, sent at the latest when its result is requested."""

    def __init__(self, connection: PostgresConnection, sql: str, parameters: Sequence[Any]) -> None:
        self._connection = connection
        self._sql = sql
        self._parameters = parameters
        self._driver: psycopg.AsyncRawCursor[Any] | None = None
        self._rows: Iterator[Any] | None = None

    @property
    def rowcount(self) -> int:
        return self._sent().rowcount

    @property
    def status(self) -> str | None:
        return self._driver.statusmessage if self._driver else None

    def fetchone(self) -> Any:
        return next(self._found(), None)

    def fetchall(self) -> list[Any]:
        return list(self._found())

    def __iter__(self) -> Iterator[Any]:
        return self._streamed() if self._connection.streams and self._driver is None else self._found()

    async def send(self) -> None:
        self._driver = psycopg.AsyncRawCursor(self._connection.driver)
        await self._driver.execute(self._sql, self._parameters, binary=True)

    async def fetch(self) -> None:
        if self._driver is not None and self._driver.description:
            self._rows = iter(await self._driver.fetchall())

    def _sent(self) -> psycopg.AsyncRawCursor[Any]:
        if self._driver is None:
            wait_for(self._connection.send())
        assert self._driver is not None
        return self._driver

    def _found(self) -> Iterator[Any]:
        self._sent()
        return self._rows if self._rows is not None else iter(())

    def _streamed(self) -> Iterator[Any]:
        self._connection.forgo(self)
        driver = psycopg.AsyncRawServerCursor(self._connection.driver, "parley_rows")
        wait_for(driver.execute(self._sql, self._parameters, binary=True))
        while rows := wait_for(driver.fetchmany(_BATCH)):
            yield from rows
        wait_for(driver.close())


async def configure(driver: Driver) -> None:
    """Configure a new connection: values have the same Python types as SQLite's."""
    # One width for all numbers: otherwise a statement with three numbers would be prepared in 27 versions.
    driver.adapters.register_dumper(int, Int8BinaryDumper)
    driver.adapters.register_loader("numeric", _WholeLoader)  # sums of bigint
    await driver.execute(_SESSION)


async def was_ended(driver: Driver) -> bool:
    """Return whether the server closed an idle connection. Called before anything is sent, so no result is
    uncertain."""
    # an idle connection is readable when it was closed, and otherwise hardly ever
    if not driver.closed and _is_readable(driver):
        with contextlib.suppress(psycopg.OperationalError):
            await driver.execute("SELECT 1")
    return driver.closed


def _is_readable(driver: Driver) -> bool:
    poll = select.poll()
    poll.register(driver, select.POLLIN)
    return bool(poll.poll(0))


class _WholeLoader(NumericBinaryLoader):
    def load(self, data: Any) -> Any:
        return int(super().load(data))


@lru_cache(maxsize=4096)
def translated(sql: str) -> str:
    """Translate `?`, `?1` and x'00' to PostgreSQL's syntax."""
    numbers = itertools.count(1)
    sql = re.sub(r"\bx'([0-9a-f]+)'", r"'\\x\1'::bytea", sql)
    return re.sub(r"\?(\d*)", lambda match: f"${match[1] or next(numbers)}", sql)


async def bridged(work: Callable[[], T]) -> T:
    """Run `work`, which does not await, and await what it passes to `wait_for`."""
    child = greenlet(work)
    child.gr_context = getcurrent().gr_context
    result: Any = child.switch()
    while not child.dead:
        try:
            value = await result
        except BaseException as error:
            result = child.throw(error)
        else:
            result = child.switch(value)
    ended: T = result
    return ended


def wait_for(doing: Awaitable[T]) -> T:
    """Return the result of `doing`, from inside a work."""
    waiting = getcurrent().parent
    assert waiting is not None
    ended: T = waiting.switch(doing)
    return ended
