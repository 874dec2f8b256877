"""The connections of one server to PostgreSQL, how they are shared, and whether it can be reached at all.

Writes can wait for one another's locks, reads cannot: so writes leave some connections to reads, and those of
one org some to those of others. While the database is away calls fail at once instead of waiting for a
connection, and one task looks for it, at least once a second. Runs no work and knows no SQL of others.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from weakref import WeakValueDictionary

import psycopg
from psycopg_pool import AsyncConnectionPool

from server.storage.postgres.connecting import connect, longer, parameters
from server.storage.postgres.connection import Driver, configure, was_ended

_WAIT_SECONDS = 10
"""For a connection, while all are in use."""
_SHARE_SECONDS = 10
"""For a write, while its org uses all that it may."""
_SPARE = 5
"""One of so many connections, at least one, is for reads only, and as many for writes of other orgs."""
_PATIENCE_SECONDS = 1.0
"""How long a database that was lost may take to come back before calls fail: a restart takes less."""


class Shares:
    """Divides connections among writes: some stay free of them, and some stay free of those of any one org."""

    def __init__(self, connections: int) -> None:
        spare = max(1, connections // _SPARE)
        writes = max(1, connections - spare)
        self._writes = asyncio.Semaphore(writes)
        self._most_of_one = max(1, writes - spare)
        self._orgs: WeakValueDictionary[str, asyncio.Semaphore] = WeakValueDictionary()

    @contextlib.asynccontextmanager
    async def of(self, org_id: str) -> AsyncIterator[None]:
        """Hold one of an org's connections for a write; first come, first served. Raises LockNotAvailable when
        all of them are in use for too long."""
        own = self._orgs.get(org_id) or self._orgs.setdefault(org_id, asyncio.Semaphore(self._most_of_one))
        async with contextlib.AsyncExitStack() as held:
            try:
                async with asyncio.timeout(_SHARE_SECONDS):
                    await held.enter_async_context(own)
                    await held.enter_async_context(self._writes)
            except TimeoutError:
                raise psycopg.errors.LockNotAvailable from None
            yield


class Pool:
    """`connections` at most, opened as they are needed. `reached` is called with False when the database is away,
    and with True when it is back."""

    def __init__(self, url: str, connections: int, reached: Callable[[bool], object]) -> None:
        self._url = url
        self._reached = reached
        self._shares = Shares(connections)
        self._pool = AsyncConnectionPool(
            url,
            min_size=1,
            max_size=connections,
            open=False,
            timeout=_WAIT_SECONDS,
            reconnect_timeout=_PATIENCE_SECONDS,
            reconnect_failed=self._failed,
            kwargs={"autocommit": True, **parameters(url)},
            configure=configure,
        )
        self._waiting: set[asyncio.Timeout] = set()
        self._looking: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Begin to connect."""
        await self._pool.open()

    async def check(self) -> None:
        """Replace the connections that are lost; several often are together."""
        await self._pool.check()

    @contextlib.asynccontextmanager
    async def writing(self, org_id: str) -> AsyncIterator[Driver]:
        """A connection as `driver`, for a write of this org. Raises LockNotAvailable when too many of its writes
        take too long."""
        async with self._shares.of(org_id), self.driver() as driver:
            yield driver

    @contextlib.asynccontextmanager
    async def driver(self) -> AsyncIterator[Driver]:
        """A connection that was open when nothing was sent yet. Raises psycopg.OperationalError while the database
        is away, and PoolTimeout when all connections are in use for too long."""
        driver: Driver | None = await self._taken()
        try:
            while driver is None or await was_ended(driver):
                ended, driver = driver, None
                if ended is not None:
                    await self._pool.putconn(ended)
                driver = await self._taken()
            yield driver
        finally:
            if driver is not None:  # else the caller left between two of them
                await self._pool.putconn(driver)

    async def aclose(self) -> None:
        """Close the connections."""
        if self._looking is not None:
            self._looking.cancel()
            await asyncio.wait([self._looking])
        await self._pool.close()

    async def _taken(self) -> Driver:
        if self._looking is not None:
            raise psycopg.OperationalError
        try:
            async with asyncio.timeout(None) as limit:
                self._waiting.add(limit)
                try:
                    return await self._pool.getconn()
                finally:
                    self._waiting.discard(limit)
        except TimeoutError:
            if not limit.expired():
                raise
            raise psycopg.OperationalError from None

    def _failed(self, pool: object) -> None:
        if self._looking is None and not self._pool.get_stats().get("pool_size"):
            self._looking = asyncio.create_task(self._look())
            self._reached(False)
            now = asyncio.get_running_loop().time()
            for limit in self._waiting:
                limit.reschedule(now)

    async def _look(self) -> None:
        pause = 0.0
        while True:
            pause = longer(pause)
            await asyncio.sleep(pause)
            with contextlib.suppress(psycopg.Error):
                await (await connect(self._url)).close()
                self._looking = None
                self._reached(True)
                return
