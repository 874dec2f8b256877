"""An exchange that another server runs, read as that puts it on disk. Runs nothing.

Words between the servers say that there is more. They may be lost, so everybody also looks by himself, once a
second.
"""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable
from contextlib import AbstractAsyncContextManager, nullcontext, suppress
from itertools import islice

from generated.parley.v1.chat_pb2 import Chat, ChatEvent
from generated.parley.v1.response_service_pb2 import CreateResponseRequest
from server.content.fitting import presented
from server.content.walk import readable
from server.core.errors import NotFound, ServiceError
from server.exchange import replay
from server.exchange.replay import DELETED, Replay, batched
from server.exchange.run import Outcome
from server.storage.chats import Chats
from server.storage.peers import Peers
from server.storage.scope import Scope
from server.storage.stored_chats import StoredChat

LOOKS_AGAIN_AFTER = 1.0
_REPEATS_CALL_AFTER = 0.2
_ENDED_WITHIN = 10.0

# The names need no org: a chat that runs was made by a server, with an id that no chat had. What is imported
# is over.


def news_of(chat_id: str) -> str:
    """The word that more of a chat is on disk."""
    return f"chat:{chat_id}"


def call_for(chat_id: str) -> str:
    """The word to whoever runs a chat: that its news are wanted, or that it is to be cancelled."""
    return f"call:{chat_id}"


def lock_of(chat_id: str) -> str:
    """What is held by whoever runs a chat."""
    return f"chat:{chat_id}"


def cancellation_of(chat_id: str) -> str:
    """What is held by whoever wants a chat cancelled."""
    return f"cancel:{chat_id}"


def deletion_of(chat_id: str) -> str:
    """What is held by whoever is about to delete a chat."""
    return f"delete:{chat_id}"


async def end_elsewhere(
    chats: Chats,
    peers: Peers,
    recover: Callable[[str, str], Awaitable[None]],
    scope: Scope,
    chat_id: str,
    wanted: str,
) -> None:
    """Have an exchange end that another server runs, and wait for that, though not for ever.

    `wanted` is `cancellation_of` or `deletion_of` it. What a dead server has left behind is completed here.
    """
    acquired = False
    with peers.listen(news_of(chat_id)) as news, suppress(NotFound, TimeoutError):
        try:
            async with asyncio.timeout(_ENDED_WITHIN):
                while not (await chats.find(scope, chat_id)).is_over:
                    # Each time: another may want the same and give up, and whoever runs it takes the lock to
                    # look whether it is held.
                    acquired = acquired or await peers.try_lock(wanted)
                    news.clear()
                    peers.notify(call_for(chat_id))
                    with suppress(TimeoutError):
                        async with asyncio.timeout(_REPEATS_CALL_AFTER):
                            await news.wait()
                    await recover(scope.org_id, chat_id)
        finally:
            if acquired:
                await peers.unlock(wanted)


class Watching:
    """Such an exchange, read like a LiveExchange."""

    def __init__(
        self,
        chats: Chats,
        peers: Peers,
        scope: Scope,
        stored: StoredChat,
        chat: Chat,
        recover: Callable[[str, str], Awaitable[None]],
    ) -> None:
        self._chats = chats
        self._peers = peers
        self._scope = scope
        self._now = Replay(chat, stored.record)
        """As it stands on disk: when it is over, whole."""
        self._recover = recover
        self._place = 0

    @property
    def outcome(self) -> Outcome:
        return self._now.outcome

    @property
    def error(self) -> ServiceError | None:
        return self._now.error

    @property
    def request(self) -> CreateResponseRequest:
        return self._now.request

    def reading(self) -> AbstractAsyncContextManager[None]:
        """Whoever runs it does not depend on who reads it here."""
        return nullcontext()

    async def batches(self) -> AsyncGenerator[list[ChatEvent]]:
        """All that is on disk, then what comes there. The last batch ends in a terminal event."""
        chat, outcome, common = self._now.chat, self.outcome, replay.common(self._now.chat)
        self._place = 1
        yield [replay.started(chat, outcome)]
        with self._peers.listen(news_of(chat.id)) as news:
            while True:
                news.clear()
                if events := await self._chats.events(chat.org_id, chat.id, self._place):
                    self._place += len(events)
                    for batch in batched(replay.complete(event, common) for event in events):
                        yield batch
                elif (rest := await self._ending()) is not None:
                    for batch in batched(rest):
                        yield batch
                    return
                else:
                    await self._wait(news)

    watched = batches

    def serialized(self, event: ChatEvent) -> bytes:
        return readable(event)

    async def _ending(self) -> Iterable[ChatEvent] | None:
        """What is left of it when it is over, else None."""
        chat = self._now.chat
        try:
            stored = await self._chats.find(self._scope, chat.id)
            if not stored.is_over:
                return None
            self._now = Replay(presented(await self._chats.whole(stored)), stored.record)
        except NotFound:
            chat.status = "failed"
            chat.error.CopyFrom(DELETED)
            return [replay.event(chat, self._place, failed=chat)]
        return islice(self._now.events(), self._place, None)

    async def _wait(self, news: asyncio.Event) -> None:
        """Wait for more. What a dead server has left behind is completed here."""
        chat_id = self._now.chat.id
        self._peers.notify(call_for(chat_id))
        try:
            async with asyncio.timeout(LOOKS_AGAIN_AFTER):
                await news.wait()
        except TimeoutError:
            await self._recover(self._scope.org_id, chat_id)
