"""`Peers` for servers that share a PostgreSQL database: advisory locks (locks.py), and LISTEN on a connection
of its own.

Work under a lock that is lost continues beside that of the server that acquired it; storage keeps both
consistent by locks of its own transactions.
"""

import asyncio
import contextlib
from collections.abc import Callable
from contextlib import AbstractContextManager

import psycopg

from server.storage.peers import Words
from server.storage.postgres.connecting import connect, longer
from server.storage.postgres.locks import CHANNEL, Locks


class PostgresPeers:
    """See `Peers`. Only `try_lock` raises: StorageUnavailable when the database cannot be reached."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._locks = Locks(url)
        self._heard = Words()
        self._listening: asyncio.Task[None] | None = None

    async def try_lock(self, name: str) -> bool:
        return await self._locks.acquire(name)

    async def unlock(self, name: str) -> None:
        self._locks.release(name)

    def notify(self, topic: str) -> None:
        self._locks.notify(topic)

    def on_word(self, topic: str, received: Callable[[], object]) -> AbstractContextManager[None]:
        self._begin_listening()
        return self._heard.on_word(topic, received)

    def listen(self, topic: str) -> AbstractContextManager[asyncio.Event]:
        self._begin_listening()
        return self._heard.listen(topic)

    async def aclose(self) -> None:
        """Release every lock, and send the pending notifications."""
        if self._listening:
            self._listening.cancel()
            await asyncio.wait([self._listening])
        await self._locks.aclose()

    def _begin_listening(self) -> None:
        if self._listening is None:
            self._listening = asyncio.create_task(self._listen())

    async def _listen(self) -> None:
        pause = 0.0
        while True:
            with contextlib.suppress(psycopg.Error):
                async with await connect(self._url) as driver:
                    await driver.execute(f"LISTEN {CHANNEL}")
                    self._heard.hear_all()  # words until now were missed
                    pause = 0.0
                    async for word in driver.notifies():
                        self._heard.hear(word.payload)
            await asyncio.sleep(pause)
            pause = longer(pause)
