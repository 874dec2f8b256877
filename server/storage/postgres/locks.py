"""Advisory locks and notifications of one server, over one connection of its own.

Requests that come while a round trip is under way go out together in the next one, so that their number costs
statements and not round trips. Waits for nothing that another server holds, and listens to nobody.

The locks end with the connection. When it is lost a new one is opened, without waiting for a request, and the
locks are acquired again; those that another server acquired meanwhile are given up.
"""

import asyncio
import contextlib
from collections.abc import Sequence
from typing import NamedTuple

import psycopg
import structlog

from server.storage.postgres.connecting import connect, longer
from server.storage.postgres.connection import Driver, was_ended
from server.storage.postgres.errors import postgres_error

CHANNEL = "parley"
_CONNECT_SECONDS = 10.0
_ANSWER_SECONDS = 5.0
"""Beyond this a connection is taken for dead: its statements wait for no lock."""
_LOOK_SECONDS = 1.0

_KEY = "hashtextextended(name, 1)"
_NAMES = "FROM unnest($1::text[]) WITH ORDINALITY AS named(name, place) ORDER BY place"
_ACQUIRE = f"SELECT pg_try_advisory_lock({_KEY}) {_NAMES}"
_RELEASE = f"SELECT count(pg_advisory_unlock({_KEY})) FROM unnest($1::text[]) AS name"
_NOTIFY = f"SELECT count(pg_notify('{CHANNEL}', word)) FROM unnest($1::text[]) AS word"

log = structlog.get_logger()


class _Request(NamedTuple):
    name: str
    acquired: asyncio.Future[bool]


class Locks:
    """The locks of this server, by name. Nothing is opened before the first request."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._driver: Driver | None = None
        self._held: set[str] = set()
        self._asked: set[str] = set()
        self._requested: list[_Request] = []
        self._released: dict[str, None] = {}
        self._words: dict[str, None] = {}
        self._wake = asyncio.Event()
        self._working: asyncio.Task[None] | None = None
        self._is_closing = False
        self._pause = 0.0

    async def acquire(self, name: str) -> bool:
        """Acquire a lock that nobody holds, this server included; False when it is held. Raises
        StorageUnavailable, without waiting, while the database is known to be away."""
        if name in self._released:  # not sent yet
            del self._released[name]
            return True
        # At once: PostgreSQL would grant a second request of this connection.
        if name in self._held or name in self._asked:
            return False
        if self._pause:
            raise postgres_error(psycopg.OperationalError())
        request = _Request(name, asyncio.get_running_loop().create_future())
        self._requested.append(request)
        self._asked.add(name)
        self._begin()
        try:
            return await request.acquired
        finally:
            self._asked.discard(name)

    def release(self, name: str) -> None:
        """Release a lock, soon. Never fails: a lock whose connection is lost is free."""
        if name in self._held:
            self._released[name] = None
            self._begin()

    def notify(self, word: str) -> None:
        """Notify every server that listens, soon."""
        self._words[word] = None
        self._begin()

    async def aclose(self) -> None:
        """Send what is waiting, release every lock, and close the connection."""
        self._is_closing = True
        self._wake.set()
        if self._working is not None:
            await asyncio.wait([self._working])
        if self._driver is not None:
            # PostgreSQL would hold the locks until it notices that the connection is closed.
            with contextlib.suppress(psycopg.Error, TimeoutError):
                async with asyncio.timeout(_LOOK_SECONDS):
                    await self._driver.execute("SELECT pg_advisory_unlock_all()")
            await self._driver.close()

    def _begin(self) -> None:
        self._wake.set()
        if self._working is None:
            self._working = asyncio.create_task(self._work())

    async def _work(self) -> None:
        while True:
            if not (self._is_asked() or self._pause or self._is_closing):
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(_LOOK_SECONDS if self._held else None):
                        await self._wake.wait()
            self._wake.clear()
            if self._is_closing and not self._is_asked():
                return
            await self._round()

    def _is_asked(self) -> bool:
        return bool(self._requested or self._released or self._words)

    async def _round(self) -> None:
        """One round trip with everything that waits, over a connection that is open."""
        try:
            driver = await self._connected()
        except (psycopg.Error, TimeoutError) as error:
            self._refuse(error)
            if self._is_closing:
                self._released, self._words = {}, {}
                return
            self._pause = longer(self._pause)
            await asyncio.sleep(self._pause)
            return
        self._pause = 0.0
        requested = [request for request in self._requested if not request.acquired.done()]
        released, words = list(self._released), list(self._words)
        self._requested, self._released, self._words = [], {}, {}
        self._held.difference_update(released)
        try:
            acquired = await self._sent(driver, released, [request.name for request in requested], words)
        except (psycopg.Error, TimeoutError) as error:
            await driver.close()  # and with it whatever these statements did to locks
            self._requested = requested
            self._words = dict.fromkeys([*words, *self._words])
            self._refuse(error)
            return
        for request, is_acquired in zip(requested, acquired, strict=True):
            if is_acquired:
                self._held.add(request.name)
            if not request.acquired.done():
                request.acquired.set_result(is_acquired)
            elif is_acquired:  # whoever asked has left
                self._released[request.name] = None

    async def _sent(
        self, driver: Driver, released: list[str], requested: list[str], words: list[str]
    ) -> Sequence[bool]:
        """Whether each requested lock was acquired. Those released are free before, and words are said after."""
        statements = [
            (sql, names)
            for sql, names in ((_RELEASE, released), (_ACQUIRE, requested), (_NOTIFY, words))
            if names
        ]
        async with asyncio.timeout(_ANSWER_SECONDS), contextlib.AsyncExitStack() as stack:
            if len(statements) > 1:
                await stack.enter_async_context(driver.pipeline())
            cursors = {sql: psycopg.AsyncRawCursor(driver) for sql, _ in statements}
            for sql, names in statements:
                await cursors[sql].execute(sql, [names])
            return [row[0] for row in await cursors[_ACQUIRE].fetchall()] if requested else []

    async def _connected(self) -> Driver:
        async with asyncio.timeout(_CONNECT_SECONDS):
            if self._driver is None or self._driver.closed or await was_ended(self._driver):
                driver = await connect(self._url)
                try:
                    await self._acquire_again(driver)
                except BaseException:
                    await driver.close()
                    raise
                self._driver = driver
            return self._driver

    async def _acquire_again(self, driver: Driver) -> None:
        wanted = [name for name in self._held if name not in self._released]
        acquired = await self._sent(driver, [], wanted, []) if wanted else []
        lost = [name for name, is_acquired in zip(wanted, acquired, strict=True) if not is_acquired]
        self._released.clear()
        self._held.clear()
        self._held.update(wanted)
        self._held.difference_update(lost)
        if wanted:
            log.warning("locks_acquired_again", count=len(wanted) - len(lost))
        for name in lost:
            log.error("lock_lost", name=name, reason="another server acquired it while the database was away")

    def _refuse(self, error: Exception) -> None:
        """Answer what waits. Words wait for the next connection."""
        requested, self._requested = self._requested, []
        for request in requested:
            if not request.acquired.done():
                request.acquired.set_exception(
                    postgres_error(error if isinstance(error, psycopg.Error) else psycopg.OperationalError())
                )
