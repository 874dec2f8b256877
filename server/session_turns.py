"""One exchange at a time in a session: the next begins once the one before is on record, first come, first served.

Within a server that order is exact; between servers of one database, which ask again and again, each gets its turn. Whoever
waits too long is refused. Knows sessions by their ids only; loads and runs nothing.
"""

import asyncio
from collections import Counter, defaultdict
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from server.errors import SessionBusy
from server.storage.peers import Peers

_FIRST_PAUSE = 0.005
_LONGEST_PAUSE = 0.05


class SessionTurns:
    def __init__(self, peers: Peers, wait_seconds: float = 30) -> None:
        self._peers = peers
        self._wait_seconds = wait_seconds
        self._queues: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._wanted: Counter[str] = Counter()
        """How many hold or wait for each: the last one takes the queue away."""

    @asynccontextmanager
    async def held(self, session_id: str) -> AsyncIterator[None]:
        """While this is entered no other exchange of the session runs. Raises SessionBusy when it takes too long."""
        async with AsyncExitStack() as held:
            try:
                async with asyncio.timeout(self._wait_seconds):
                    had_to_wait = await held.enter_async_context(self._first_here(session_id))
                    await held.enter_async_context(self._first_of_all(f"turn:{session_id}", had_to_wait))
            except TimeoutError:
                raise SessionBusy(self._wait_seconds) from None
            yield

    def wanted(self, session_id: str) -> int:
        """How many exchanges of a session run here or wait."""
        return self._wanted[session_id]

    @asynccontextmanager
    async def _first_here(self, session_id: str) -> AsyncIterator[bool]:
        """The place at the head of this server's queue; whether it had to be waited for."""
        self._wanted[session_id] += 1
        try:
            queue = self._queues[session_id]
            had_to_wait = queue.locked()
            async with queue:
                yield had_to_wait
        finally:
            self._wanted[session_id] -= 1
            if not self._wanted[session_id]:
                del self._wanted[session_id], self._queues[session_id]

    @asynccontextmanager
    async def _first_of_all(self, turn: str, had_to_wait: bool) -> AsyncIterator[None]:
        # A server whose own queue is long would take the lock again and again, while another's pause never ends in time.
        # So only one waits for the lock itself, and who comes out of a queue waits for that place first.
        if had_to_wait or not await self._peers.try_lock(turn):
            await self._wait_for(f"next:{turn}")
            try:
                await self._wait_for(turn)
            finally:
                await self._peers.unlock(f"next:{turn}")
        try:
            yield
        finally:
            await self._peers.unlock(turn)

    async def _wait_for(self, name: str) -> None:
        pause = _FIRST_PAUSE
        while not await self._peers.try_lock(name):
            await asyncio.sleep(pause)
            pause = min(pause * 1.5, _LONGEST_PAUSE)
