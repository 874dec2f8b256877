"""Reads an exchange that another server runs, as that server puts it on disk. Runs nothing.

Notifications between the servers announce new events. They may be lost, so every server also looks by itself,
once a second.
"""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext, suppress
from itertools import islice

from generated.parley.v1.chat_pb2 import Chat, ChatEvent
from generated.parley.v1.message_pb2 import Message
from generated.parley.v1.response_service_pb2 import CreateResponseRequest
from server.content.reasoning import kept_of
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

# The names contain no org: a running chat was made by a server, with a new id. Imported chats are over.


def news_of(chat_id: str) -> str:
    """Return the topic that announces new events of a chat."""
    return f"chat:{chat_id}"


def call_for(chat_id: str) -> str:
    """Return the topic for the server that runs a chat: its events are wanted, or its cancellation."""
    return f"call:{chat_id}"


def lock_of(chat_id: str) -> str:
    """Return the name of the lock held by the server that runs a chat."""
    return f"chat:{chat_id}"


def cancellation_of(chat_id: str) -> str:
    """Return the name of the lock held by a server that wants a chat cancelled."""
    return f"cancel:{chat_id}"


def deletion_of(chat_id: str) -> str:
    """Return the name of the lock held by a server that is about to delete a chat."""
    return f"delete:{chat_id}"


async def end_elsewhere(
    chats: Chats,
    peers: Peers,
    recover: Callable[[str, str], Awaitable[None]],
    scope: Scope,
    chat_id: str,
    wanted: str,
) -> None:
    """End an exchange that another server runs, and wait for its end up to 10 seconds.

    `wanted` is its `cancellation_of` or `deletion_of`. An exchange that a dead server left behind is
    completed here.
    """
    acquired = False
    with peers.listen(news_of(chat_id)) as news, suppress(NotFound, TimeoutError):
        try:
            async with asyncio.timeout(_ENDED_WITHIN):
                while not (await chats.find(scope, chat_id)).is_over:
                    # Each time: another server may want the same and give up, and the running server takes
                    # the lock to test whether it is held.
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
    """An exchange that another server runs, read like a LiveExchange."""

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
        self._now = Replay.of(chat, stored.record)
        """The state on disk; the whole exchange once it is over."""
        self._recover = recover
        self._place = 0

    @property
    def outcome(self) -> Outcome:
        """The result on disk; complete only after the last batch."""
        return self._now.outcome

    @property
    def error(self) -> ServiceError | None:
        """Why the last event is `failed`; only after the last batch."""
        return self._now.error

    @property
    def request(self) -> CreateResponseRequest:
        """The request in the Responses form."""
        return self._now.request

    def reading(self) -> AbstractAsyncContextManager[None]:
        """Return an empty context: the server that runs it does not depend on readers here."""
        return nullcontext()

    async def batches(self) -> AsyncGenerator[list[ChatEvent]]:
        """Yield all events on disk, then new ones. The last batch ends in a terminal event."""
        chat, outcome, common = self._now.chat, self.outcome, replay.common(self._now.chat)
        self._place = 1
        yield [replay.started(chat, outcome)]
        with self._peers.listen(news_of(chat.id)) as news:
            while True:
                news.clear()
                if events := await self._chats.events(chat.org_id, chat.id, self._place):
                    self._place += len(events)
                    await self._keep_states(events)
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
        """Return the bytes of an event."""
        return readable(event)

    async def _ending(self) -> Iterable[ChatEvent] | None:
        """Return the remaining events once the exchange is over, otherwise None."""
        chat = self._now.chat
        try:
            stored = await self._chats.find(self._scope, chat.id)
            if not stored.is_over:
                return None
            self._now = Replay.of(await self._chats.whole(stored), stored.record)
        except NotFound:
            chat.status = "failed"
            chat.error.CopyFrom(DELETED)
            return [replay.event(chat, self._place, failed=chat)]
        return islice(self._now.events(), self._place, None)

    async def _keep_states(self, events: Sequence[ChatEvent]) -> None:
        """Load what providers want back with the rounds among these events, for readers who get it sealed."""
        if not self.request.include or not any(event.HasField("round") for event in events):
            return
        chat = self._now.chat
        if (unfinished := await self._chats.unfinished(chat.org_id, chat.id)) is None:
            with suppress(NotFound):  # it is over meanwhile, or deleted
                stored = await self._chats.find(self._scope, chat.id)
                self._now.kept |= kept_of((await self._chats.whole(stored)).output)
            return
        rounds = [event.round for event in unfinished.events if event.HasField("round")]
        for round_, state in zip(rounds, unfinished.provider_states, strict=False):
            self._now.kept[round_.messages[0].id] = Message(provider_state=state)

    async def _wait(self, news: asyncio.Event) -> None:
        """Wait for more events. An exchange that a dead server left behind is completed here."""
        chat_id = self._now.chat.id
        self._peers.notify(call_for(chat_id))
        try:
            async with asyncio.timeout(LOOKS_AGAIN_AFTER):
                await news.wait()
        except TimeoutError:
            await self._recover(self._scope.org_id, chat_id)
