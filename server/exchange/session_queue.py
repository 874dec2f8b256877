"""One exchange at a time in a session: the next begins once the one before is on record, first come, first
served.

Within a server that order is exact; between servers of one database, which ask again and again, each gets its
turn. Whoever waits too long is refused. Knows sessions by their ids only; loads and runs nothing.
"""

import asyncio
from collections import Counter, defaultdict
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager

from server.core.errors import SessionBusy
from server.storage.peers import Peers

_FIRST_PAUSE = 0.005
_LONGEST_PAUSE = 0.05


class SessionQueue:
    """Lets the exchanges of a session run one after the other."""

    def __init__(self, peers: Peers, wait_seconds: float = 30) -> None:
        self._peers = peers
        self._wait_seconds = wait_seconds
        self._queues: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._wanted: Counter[str] = Counter()
        """How many hold or wait for each: the last one takes the queue away."""

    @asynccontextmanager
    async def locked(self, session_id: str, noun: str = "session") -> AsyncIterator[None]:
        """While this is entered no other exchange of the session runs.

        Raises SessionBusy, which calls the session `noun`, when it takes too long.
        """
        turn, queue = f"turn:{session_id}", self._queues[session_id]
        self._wanted[session_id] += 1
        try:
            await self._acquire(turn, queue, noun)
            try:
                yield
            finally:
                try:
                    await self._peers.unlock(turn)
                finally:
                    queue.release()
        finally:
            self._wanted[session_id] -= 1
            if not self._wanted[session_id]:
                del self._wanted[session_id], self._queues[session_id]

    def wanted(self, session_id: str) -> int:
        """How many exchanges of a session run here or wait."""
        return self._wanted[session_id]

    async def _acquire(self, turn: str, queue: asyncio.Lock, noun: str) -> None:
        had_to_wait = queue.locked()
        with ExitStack() as given_back:
            try:
                async with asyncio.timeout(self._wait_seconds):
                    await queue.acquire()
                    given_back.callback(queue.release)
                    # A server whose own queue is long would take the lock again and again, while another's
                    # pause never ends in time. So who comes out of a queue goes behind whoever waits
                    # elsewhere.
                    if had_to_wait or not await self._peers.try_lock(turn):
                        await self._wait_among_servers(turn)
            except TimeoutError:
                raise SessionBusy(self._wait_seconds, noun) from None
            given_back.pop_all()

    async def _wait_among_servers(self, turn: str) -> None:
        """One server at a time waits for the lock itself, the others for that place."""
        place = f"next:{turn}"
        await self._wait_for(place)
        try:
            await self._wait_for(turn)
        finally:
            await self._peers.unlock(place)

    async def _wait_for(self, name: str) -> None:
        pause = _FIRST_PAUSE
        while not await self._peers.try_lock(name):
            await asyncio.sleep(pause)
            pause = min(pause * 1.5, _LONGEST_PAUSE)
