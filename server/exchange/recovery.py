"""Completes exchanges that no server runs any more: records them as incomplete, with everything that was
emitted. Runs none.

A server holds the lock of an exchange that it runs until the exchange is over, and loses its locks when it is
killed.
"""

import asyncio
from contextlib import suppress

import structlog

from generated.parley.v1.chat_pb2 import ChatError
from server.core.errors import NotFound, ServiceError
from server.exchange.remote import lock_of
from server.exchange.replay import broken_off
from server.storage.chats import Chats
from server.storage.peers import Peers

log = structlog.get_logger()

STOPPED = ChatError(
    code="server_stopped",
    message=(
        "The server stopped before the answer was complete. The partial answer is stored: read the chat by "
        "its id, or continue from it."
    ),
)
_LOOKS_AGAIN_SECONDS = 30.0
_AT_ONCE = 100
"""Their locks are asked for in one round trip."""


class Recovery:
    """Completes exchanges that no server runs any more."""

    def __init__(self, chats: Chats, peers: Peers) -> None:
        self._chats = chats
        self._peers = peers
        self._looking: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Complete all of them now, and again every 30 seconds: another server may be killed later. Deletes
        orphaned events."""
        await self.all()
        try:
            if swept := await self._chats.sweep_events():
                log.info("orphaned_events_swept", batches=swept)
        except ServiceError as error:
            log.error("orphaned_events_not_swept", reason=error.reason)
        self._looking = asyncio.create_task(self._look_again())

    async def close(self) -> None:
        """Stop the periodic completion."""
        if self._looking:
            self._looking.cancel()

    async def all(self) -> None:
        """Complete all chats in progress that no server runs. A failure of the store is logged."""
        try:
            chats = await self._chats.in_progress()
            for first in range(0, len(chats), _AT_ONCE):
                await asyncio.gather(*(self.one(*chat) for chat in chats[first : first + _AT_ONCE]))
        except ServiceError as error:  # a disk that refuses writes can still be read
            log.error("exchanges_not_completed", reason=error.reason)

    async def one(self, org_id: str, chat_id: str) -> None:
        """Complete a chat in progress, unless a server runs it."""
        if await self._peers.try_lock(lock_of(chat_id)):
            try:
                if unfinished := await self._chats.unfinished(org_id, chat_id):
                    with suppress(NotFound):  # deleted meanwhile
                        await self._chats.record(broken_off(unfinished, STOPPED))
            finally:
                await self._peers.unlock(lock_of(chat_id))

    async def _look_again(self) -> None:
        while True:
            await asyncio.sleep(_LOOKS_AGAIN_SECONDS)
            await self.all()
