"""Runs one exchange at a time in a session: the next begins once the previous one is on record, first come,
first served.

Within a server that order is exact; servers of one database poll, and each gets its turn. An exchange that
waits too long is refused. Knows sessions by their ids only; loads and runs nothing.
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
    """Lets the exchanges of a session run one after the other; each waits up to `wait_seconds`."""

    def __init__(self, peers: Peers, wait_seconds: float = 30) -> None:
        self._peers = peers
        self._wait_seconds = wait_seconds
        self._queues: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._wanted: Counter[str] = Counter()
        """The number of exchanges that hold or wait for each queue: the last one deletes the queue."""

    @asynccontextmanager
    async def locked(self, session_id: str, noun: str = "session") -> AsyncIterator[None]:
        """Keep other exchanges of the session from running while this is entered.

        Raises SessionBusy, which calls the session `noun`, after `wait_seconds`.
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
        """Return the number of exchanges of a session that run or wait in this process."""
        return self._wanted[session_id]

    @property
    def waiting(self) -> int:
        """How many exchanges wait for another of their session."""
        return self._wanted.total() - len(self._wanted)

    async def _acquire(self, turn: str, queue: asyncio.Lock, noun: str) -> None:
        had_to_wait = queue.locked()
        with ExitStack() as given_back:
            try:
                async with asyncio.timeout(self._wait_seconds):
                    await queue.acquire()
                    given_back.callback(queue.release)
                    # A server with a long queue would take the lock again and again, while another server's
                    # pause never ends in time. So an exchange that had to queue lines up behind the other
                    # servers.
                    if had_to_wait or not await self._peers.try_lock(turn):
                        await self._wait_among_servers(turn)
            except TimeoutError:
                raise SessionBusy(self._wait_seconds, noun) from None
            given_back.pop_all()

    async def _wait_among_servers(self, turn: str) -> None:
        """Wait for the lock; one server at a time does, the others wait for that place."""
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
