"""One exchange at a time in a session: the next begins once the one before is on record, first come, first served.

Whoever waits too long is refused. Knows sessions by their ids only; loads and runs nothing.
"""

import asyncio
from collections import Counter, defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from server.errors import SessionBusy


class SessionTurns:
    def __init__(self, wait_seconds: float = 30) -> None:
        self._wait_seconds = wait_seconds
        self._locks: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._wanted: Counter[str] = Counter()
        """How many hold or wait for each: the last one takes the lock away."""

    @asynccontextmanager
    async def held(self, session_id: str) -> AsyncIterator[None]:
        """While this is entered no other exchange of the session runs. Raises SessionBusy when it takes too long."""
        self._wanted[session_id] += 1
        try:
            lock = self._locks[session_id]
            await self._acquire(lock)
            try:
                yield
            finally:
                lock.release()
        finally:
            self._wanted[session_id] -= 1
            if not self._wanted[session_id]:
                del self._wanted[session_id], self._locks[session_id]

    def wanted(self, session_id: str) -> int:
        """How many exchanges of a session run here or wait."""
        return self._wanted[session_id]

    async def _acquire(self, lock: asyncio.Lock) -> None:
        try:
            async with asyncio.timeout(self._wait_seconds):
                await lock.acquire()
        except TimeoutError:
            raise SessionBusy(self._wait_seconds) from None
