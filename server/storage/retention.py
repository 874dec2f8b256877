"""Deletes expired records in small batches, so that other writes never wait long.

Sessions and chats only when the operator has set a number of days; keys, receipts and other promised expiries
in any case.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial

import structlog

from server.core.clock import Clock
from server.core.errors import NotFound, ServiceError
from server.storage.scope import Scope
from server.storage.store import Store

log = structlog.get_logger()

_LOCK = "retention"
_DAY_MS = 86_400_000
_FIRST_SECONDS = 10.0
_EVERY_SECONDS = 3600.0
_PAUSE_SECONDS = 0.02
_SESSIONS = 5  # each takes 0.1 ms for every chat in it
_CHATS = 20


class Retention:
    """Sweeps now and then from `start` until `close`; of several servers on one database, one at a time."""

    def __init__(self, store: Store, days: float | None, clock: Clock) -> None:
        self._store = store
        self._days = days
        self._clock = clock
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Start sweeping."""
        self._task = asyncio.create_task(self._run())

    async def close(self) -> None:
        """Stop sweeping."""
        if self._task:
            self._task.cancel()
            await asyncio.wait([self._task])

    async def sweep(self) -> dict[str, int]:
        """Delete everything that is due; return the number of each kind. Does nothing while another server
        sweeps."""
        if not await self._store.peers.try_lock(_LOCK):
            return {}
        try:
            return await self._sweep()
        finally:
            await self._store.peers.unlock(_LOCK)

    async def _sweep(self) -> dict[str, int]:
        swept = {
            "idempotency_keys": await _batches(self._store.idempotency.sweep),
            "deliveries": await _batches(self._store.outbox.sweep),
        }
        if self._days is not None:
            until = self._clock() - round(self._days * _DAY_MS)
            orgs = await self._store.keys.org_ids()
            swept["sessions"] = sum(
                [await _batches(partial(self._sessions, org_id, until)) for org_id in orgs]
            )
            swept["chats"] = sum([await _batches(partial(self._chats, org_id, until)) for org_id in orgs])
        return swept

    async def _sessions(self, org_id: str, until: int) -> int:
        found = await self._store.sessions.expired(org_id, until, _SESSIONS)
        return await self._store.sessions.delete_expired(org_id, found, until) if found else 0

    async def _chats(self, org_id: str, until: int) -> int:
        found = await self._store.chats.alone_before(org_id, until, _CHATS)
        # one commit for all
        return sum(await asyncio.gather(*(self._chat(org_id, chat_id) for chat_id in found)))

    async def _chat(self, org_id: str, chat_id: str) -> int:
        with suppress(NotFound):
            await self._store.chats.delete(Scope(org_id), chat_id)
            return 1
        return 0

    async def _run(self) -> None:
        pause = _FIRST_SECONDS
        while True:
            await asyncio.sleep(pause)
            pause = _EVERY_SECONDS
            try:
                swept = await self.sweep()
            except ServiceError as error:
                log.warning("sweep_failed", reason=error.reason)
            else:
                if any(swept.values()):
                    log.info("swept", **swept)


async def _batches(batch: Callable[[], Awaitable[int]]) -> int:
    """Run batches until nothing is left, with room for other writes in between."""
    swept = 0
    while found := await batch():
        swept += found
        await asyncio.sleep(_PAUSE_SECONDS)
    return swept
