"""Notifies the tasks that work for a key when it is revoked or has expired.

One statement checks all keys in use, every half second, and at once when another server reports a revocation.
Ends nothing itself.
"""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import structlog

from server.core.errors import ServiceError
from server.storage.keys import REVOKED, Caller, Keys
from server.storage.peers import Peers

log = structlog.get_logger()

_LOOKS_AGAIN_SECONDS = 0.5


class KeyEnds:
    """Checks keys from `start` until `close`."""

    def __init__(self, keys: Keys, peers: Peers) -> None:
        self._keys = keys
        self._peers = peers
        self._working: dict[str, set[Callable[[], None]]] = {}
        """The callbacks by the id of the key."""
        self._task: asyncio.Task[None] | None = None

    @contextmanager
    def subscribe(self, caller: Caller | None, end: Callable[[], None]) -> Iterator[None]:
        """Call `end` at every check that finds the caller's key ended, while this context is entered. A
        caller without a key is never notified."""
        if caller is None:
            yield
            return
        ends = self._working.setdefault(caller.key_id, set())
        ends.add(end)
        try:
            yield
        finally:
            ends.discard(end)
            if not ends and self._working.get(caller.key_id) is ends:
                del self._working[caller.key_id]

    def start(self) -> None:
        """Start the checks."""
        self._task = asyncio.create_task(self._run())

    async def close(self) -> None:
        """Stop the checks."""
        if self._task:
            self._task.cancel()
            await asyncio.wait([self._task])

    async def look(self) -> None:
        """Check all keys in use once, and notify the subscribers of those that have ended."""
        if not self._working:
            return
        for key_id in await self._keys.ended(list(self._working)):
            for end in list(self._working.get(key_id, ())):
                end()

    async def _run(self) -> None:
        with self._peers.listen(REVOKED) as word:
            while True:
                with suppress(TimeoutError):
                    async with asyncio.timeout(_LOOKS_AGAIN_SECONDS):
                        await word.wait()
                word.clear()
                try:
                    await self.look()
                except ServiceError as error:  # the database is unreadable: the state of no key is known
                    log.warning("keys_not_looked_at", reason=error.reason)
