"""`Peers` for servers that share a PostgreSQL database: advisory locks on one connection, LISTEN and NOTIFY
on another.

Both connections are opened when first needed, and again when lost. A lost connection loses its locks: they
are acquired again on reconnection, except those that another server acquired meanwhile. Work under such a
lock continues beside that of the other server; storage keeps both consistent by locks of its own
transactions.
"""

import asyncio
import contextlib
from collections.abc import Callable, Coroutine
from contextlib import AbstractContextManager
from typing import Any

import psycopg
import structlog

from server.core.errors import StorageUnavailable
from server.storage.peers import Words
from server.storage.postgres.connection import Driver, was_ended
from server.storage.postgres.errors import postgres_error

_CHANNEL = "parley"
_AGAIN_SECONDS = 0.5
_CONNECT_SECONDS = 5
_RELEASE_SECONDS = 1

log = structlog.get_logger()


class PostgresPeers:
    """See `Peers`. Locks raise StorageUnavailable when the database cannot be reached."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._owned: set[str] = set()
        self._driver: Driver | None = None
        self._locking = asyncio.Lock()
        self._heard = Words()
        self._words: set[str] = set()
        self._listening: asyncio.Task[None] | None = None
        self._under_way: set[asyncio.Task[Any]] = set()

    async def try_lock(self, name: str) -> bool:
        if name in self._owned:
            return False
        # at once: a second caller in this process must not reach the database, which would grant the lock
        self._owned.add(name)
        acquired = False
        try:
            acquired = bool(await self._query("SELECT pg_try_advisory_lock(hashtextextended($1, 1))", name))
        except asyncio.CancelledError:
            self._begin(self._release(name))  # it may have been taken all the same
            raise
        finally:
            if not acquired:
                self._owned.discard(name)
        return acquired

    async def unlock(self, name: str) -> None:
        if name in self._owned:
            try:
                await self._release(name)
            finally:
                self._owned.discard(name)

    def notify(self, topic: str) -> None:
        self._words.add(topic)
        if len(self._words) == 1:
            self._begin(self._notify())

    def on_word(self, topic: str, received: Callable[[], object]) -> AbstractContextManager[None]:
        self._begin_listening()
        return self._heard.on_word(topic, received)

    def listen(self, topic: str) -> AbstractContextManager[asyncio.Event]:
        self._begin_listening()
        return self._heard.listen(topic)

    def _begin_listening(self) -> None:
        if self._listening is None:
            self._listening = asyncio.create_task(self._listen())

    async def aclose(self) -> None:
        """Release every lock, and send the pending notifications."""
        await asyncio.gather(*self._under_way, return_exceptions=True)
        if self._listening:
            self._listening.cancel()
            await asyncio.wait([self._listening])
        if self._driver:
            await self._release_all(self._driver)
            await self._driver.close()

    async def _query(self, sql: str, *parameters: Any) -> Any:
        try:
            async with self._locking:
                driver = await self._connected()
                row = await (await psycopg.AsyncRawCursor(driver).execute(sql, parameters)).fetchone()
        except psycopg.Error as error:
            raise postgres_error(error) from None
        return row and row[0]

    async def _connected(self) -> Driver:
        if self._driver is None or await was_ended(self._driver):
            lost = self._driver is not None
            self._driver = await _connect(self._url)
            if lost:
                await self._reacquire_locks(self._driver)
        return self._driver

    async def _reacquire_locks(self, driver: Driver) -> None:
        for name in list(self._owned):
            cursor = await psycopg.AsyncRawCursor(driver).execute(
                "SELECT pg_try_advisory_lock(hashtextextended($1, 1))", [name]
            )
            acquired = await cursor.fetchone()
            assert acquired is not None
            if not acquired[0]:
                log.error("lock lost", name=name)

    def _begin(self, doing: Coroutine[Any, Any, Any]) -> None:
        task = asyncio.create_task(doing)
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)

    async def _release(self, name: str) -> None:
        await self._query("SELECT pg_advisory_unlock(hashtextextended($1, 1))", name)

    async def _release_all(self, driver: Driver) -> None:
        """Release the locks at once: PostgreSQL would hold them until it notices that the connection is
        closed."""
        with contextlib.suppress(psycopg.Error, TimeoutError):
            async with asyncio.timeout(_RELEASE_SECONDS), self._locking:
                await driver.execute("SELECT pg_advisory_unlock_all()")

    async def _notify(self) -> None:
        words, self._words = list(self._words), set()
        try:
            await self._query(
                "SELECT count(pg_notify($1, word)) FROM unnest($2::text[]) AS word", _CHANNEL, words
            )
        except StorageUnavailable:
            log.warning("peers could not be told", words=words)  # they look now and then

    async def _listen(self) -> None:
        while True:
            try:
                driver = await _connect(self._url)
                async with driver:
                    await driver.execute(f"LISTEN {_CHANNEL}")
                    self._heard.hear_all()  # whatever was said until now was not heard
                    async for word in driver.notifies():
                        self._heard.hear(word.payload)
            except psycopg.Error:
                await asyncio.sleep(_AGAIN_SECONDS)


async def _connect(url: str) -> Driver:
    connecting = asyncio.ensure_future(
        psycopg.AsyncConnection.connect(url, autocommit=True, connect_timeout=_CONNECT_SECONDS)
    )
    try:
        return await asyncio.shield(connecting)
    except asyncio.CancelledError:  # psycopg would leave what it has opened by then open
        with contextlib.suppress(psycopg.Error):
            await (await connecting).close()
        raise
