"""PostgreSQL through psycopg's pool. Works run in greenlets, which wait where the same code on SQLite would
block.

Statements whose result is not requested yet are buffered, and sent together: a transaction that reads nothing
is one round trip, COMMIT included. Transactions are READ COMMITTED; a work that writes what it has read takes
a lock first (`Connection.lock`), and runs again after a deadlock. Knows no table.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from typing import Any, TypeVar

import psycopg
from psycopg_pool import PoolClosed, PoolTimeout
from tenacity import AsyncRetrying, retry_if_exception, stop_after_attempt, wait_random

from server.core.errors import StorageUnavailable
from server.storage.database import Connection, acting_for, with_also
from server.storage.postgres.connecting import connect
from server.storage.postgres.connection import Driver, PostgresConnection, bridged, configure
from server.storage.postgres.errors import (
    Lost,
    Uncertain,
    did_nothing,
    is_a_bug,
    is_of_the_server,
    postgres_error,
    unusable,
)
from server.storage.postgres.pool import Pool

_ATTEMPTS = 8

T = TypeVar("T")


class PostgresDatabase:
    """One PostgreSQL database. Any number of servers may use it concurrently."""

    def __init__(self, url: str, connections: int) -> None:
        """The database must be opened before use, and closed."""
        self._url = url
        self._pool = Pool(url, connections, lambda reached: self._now(failing=not reached))
        self._again = AsyncRetrying(
            retry=retry_if_exception(did_nothing),
            stop=stop_after_attempt(_ATTEMPTS),
            wait=wait_random(0, 0.05),
            reraise=True,
        )
        self._writing: set[asyncio.Task[Any]] = set()
        self._lines: dict[str | None, asyncio.Task[Any]] = {}
        """The last write of each line."""
        self._closed = False
        self._failing = False
        self.watch: Callable[[bool], None] = _nobody
        self.measure: Callable[[int, float], None] = _unmeasured

    @property
    def writes_waiting(self) -> int:
        return len(self._writing)

    @classmethod
    async def connect(cls, url: str, connections: int) -> "PostgresDatabase":
        """Connect to a database. Raises DatabaseError when it cannot be reached."""
        try:
            driver = await connect(url)
            await driver.close()
        except psycopg.Error as error:
            raise unusable(url, error) from None
        database = cls(url, connections)
        await database._pool.open()
        return database

    async def migrate(self, apply: Callable[[Connection], None]) -> None:
        """Run migrations. Raises DatabaseError when that is impossible."""
        try:
            await self._run(self._write, apply)
        except (psycopg.Error, PoolTimeout) as error:
            raise unusable(self._url, error) from None

    async def read(self, work: Callable[[Connection], T], *, long: bool = False) -> T:
        return await self._translating_errors(self._run(self._read, work))

    async def write(
        self,
        work: Callable[[Connection], T],
        *,
        erases: bool = False,
        brief: bool = False,
        line: str | None = None,
    ) -> T:
        """Deleted text stays in the files until VACUUM, as usual in PostgreSQL, and in its log until that is
        recycled."""
        if self._closed:
            raise StorageUnavailable("the database is closing; try again")
        task = asyncio.create_task(self._after(self._lines.get(line), with_also(work)))
        self._writing.add(task)
        task.add_done_callback(self._written)
        if line is not None:
            self._lines[line] = task
            task.add_done_callback(lambda task: self._lines.get(line) is task and self._lines.pop(line))
        return await asyncio.shield(task)  # a caller that goes away does not undo its write, as with SQLite

    @contextlib.asynccontextmanager
    async def snapshot(self) -> AsyncIterator["PostgresSnapshot"]:
        """Open a snapshot on a separate connection, because it may take long and the pool is small."""
        try:
            driver = await connect(self._url)
        except psycopg.Error as error:
            raise postgres_error(error) from None
        try:
            await configure(driver)
            # the reader of an export may be slow
            await driver.execute("SET idle_in_transaction_session_timeout = 0")
            await driver.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
            yield PostgresSnapshot(driver)
        finally:
            await driver.close()

    async def vacuum(self) -> None:
        """Free the space of deleted rows. Their text is overwritten when pages are reused, not at once."""

        async def run() -> None:
            async with self._pool.driver() as driver:
                await driver.execute("VACUUM")

        await self._translating_errors(run())

    async def aclose(self) -> None:
        if not self._closed:
            self._closed = True
            await asyncio.gather(*self._writing, return_exceptions=True)
            await self._pool.aclose()

    async def _run(
        self, attempt: Callable[[Callable[[Connection], T]], Awaitable[T]], work: Callable[[Connection], T]
    ) -> T:
        try:
            return await attempt(work)  # tenacity costs what a third of a read does
        except psycopg.OperationalError as error:
            if not did_nothing(error):
                raise
        return await self._again(attempt, work)

    async def _after(self, earlier: asyncio.Task[Any] | None, work: Callable[[Connection], T]) -> T:
        if earlier is not None:
            await asyncio.wait([earlier])
        return await self._translating_errors(self._watched(self._run(self._write, work)))

    async def _read(self, work: Callable[[Connection], T]) -> T:
        async with self._pool.driver() as driver:
            connection = PostgresConnection(driver)
            try:
                return await bridged(lambda: work(connection))
            except psycopg.OperationalError as error:
                raise await self._lost(driver, error) from None

    async def _write(self, work: Callable[[Connection], T]) -> T:
        async with self._pool.writing(acting_for.get()) as driver:
            connection = PostgresConnection(driver)
            connection.execute("BEGIN")
            try:
                result = await bridged(lambda: work(connection))
            except psycopg.OperationalError as error:
                raise await self._lost(driver, error) from None
            except BaseException:
                await _roll_back(driver)
                raise
            began = time.perf_counter()
            await _commit(driver, connection)
            self.measure(1, time.perf_counter() - began)
            return result

    async def _watched(self, writing: Awaitable[T]) -> T:
        try:
            result = await writing
        except (psycopg.Error, PoolTimeout) as error:
            self._now(failing=self._failing or isinstance(error, PoolTimeout) or is_of_the_server(error))
            raise
        self._now(failing=False)
        return result

    def _now(self, *, failing: bool) -> None:
        if failing != self._failing:
            self._failing = failing
            self.watch(not failing)

    async def _lost(self, driver: Driver, error: psycopg.OperationalError) -> psycopg.Error:
        """Return the error of a work that changed nothing; several connections are often lost together."""
        await _roll_back(driver)
        if driver.closed:
            await self._pool.check()
            return Lost()
        return error

    async def _translating_errors(self, doing: Coroutine[Any, Any, T]) -> T:
        """Translate errors of the database for callers, without PostgreSQL's texts."""
        try:
            return await doing
        except (psycopg.Error, PoolTimeout, PoolClosed) as error:
            if is_a_bug(error):
                raise
            raise postgres_error(error) from None

    def _written(self, task: asyncio.Task[Any]) -> None:
        self._writing.discard(task)
        if not task.cancelled():
            task.exception()  # retrieved, even when the caller is gone


class PostgresSnapshot:
    """One REPEATABLE READ transaction."""

    def __init__(self, driver: Driver) -> None:
        self._connection = PostgresConnection(driver, streams=True)

    async def run(self, work: Callable[[Connection], T]) -> T:
        try:
            return await bridged(lambda: work(self._connection))
        except psycopg.Error as error:
            if is_a_bug(error):
                raise
            raise postgres_error(error) from None


def _nobody(_: bool) -> None:
    """Watches nothing."""


def _unmeasured(_: int, __: float) -> None:
    """Measures nothing."""


async def _commit(driver: Driver, connection: PostgresConnection) -> None:
    commit = connection.execute("COMMIT")
    try:
        await connection.send()
    except psycopg.OperationalError as error:
        if driver.closed:
            raise Uncertain from None
        await _roll_back(driver)
        raise error
    except BaseException:
        await _roll_back(driver)
        raise
    if commit.status != "COMMIT":
        raise psycopg.InternalError("a transaction was rolled back at its end")


async def _roll_back(driver: Driver) -> None:
    with contextlib.suppress(psycopg.Error):
        await driver.rollback()
