"""The streamed exchanges of this server, read by the callers that began them and by others, live or later.

`exchange/live.py` runs each; knows no door's wire form and no SQL.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import AbstractContextManager, asynccontextmanager, nullcontext
from weakref import WeakValueDictionary

from generated.parley.v1.chat_pb2 import ChatError, ChatEvent
from generated.parley.v1.session_pb2 import Session
from server.exchange.engine import CANCELLED, Engine
from server.exchange.event_buffer import EventBuffer, Readers, Share, Unread
from server.exchange.journal import Journal
from server.exchange.live import LiveExchange
from server.exchange.reading import SubscribeKeyEnd, until_key_ends
from server.exchange.recorded import Recorded, on_record
from server.exchange.recovery import STOPPED, Recovery
from server.exchange.remote import Watching, cancellation_of, deletion_of, end_elsewhere
from server.exchange.replay import DELETED, Replay
from server.exchange.run import ReadableExchange
from server.exchange.turn import Turn
from server.storage.chats import Chats
from server.storage.keys import Caller
from server.storage.peers import Peers
from server.storage.scope import Scope
from server.storage.stored_chats import StoredChat

UNREAD_SECONDS = 60.0
MOST_READERS = 100


class Streams:
    """The streamed exchanges that run in this server.

    `counted` is entered while one runs in the background, and may refuse it: no open call counts for it then.
    `subscribe_key_end` is entered while one runs or is read, with a callback for the end of the caller's key.
    A caller that reads nothing for `unread_seconds` counts as disconnected. A chat has at most
    `most_readers`, besides the caller that began it.
    """

    def __init__(
        self,
        engine: Engine,
        chats: Chats,
        peers: Peers,
        recovery: Recovery,
        counted: Callable[[Caller], AbstractContextManager[None]] = lambda caller: nullcontext(),
        subscribe_key_end: SubscribeKeyEnd = lambda caller, end: nullcontext(),
        unread_seconds: float = UNREAD_SECONDS,
        most_readers: float = MOST_READERS,
    ) -> None:
        self._engine = engine
        self._chats = chats
        self._peers = peers
        self._recovery = recovery
        self._counted = counted
        self._subscribe_key_end = subscribe_key_end
        self._unread_seconds = unread_seconds
        self._readers = Readers(most_readers)
        self._unread = Unread()
        self._journal = Journal(chats)
        self.share = Share()
        """Acquired before each write by readers of exchanges that others began."""
        self._replays: WeakValueDictionary[tuple[str, str], Replay] = WeakValueDictionary()
        self._live: dict[tuple[str, str], LiveExchange] = {}
        """By org and chat id, as the replays."""

    def start(self, turn: Turn, *, background: bool = False) -> "LiveExchange | Recorded":
        """Return an exchange whose events can be read as they happen. In the background it runs on without a
        reader.

        An exchange that an earlier call recorded under the same Idempotency-Key is replayed from the record
        and not run again.
        """
        if on_record():
            return Recorded(self._chats, turn.caller.scope)
        counted = self._counted(turn.caller) if background else nullcontext()
        buffer = EventBuffer(self._unread, turn.caller.key_id, paced=not background)
        return LiveExchange(
            self._engine,
            self._chats,
            self._peers,
            self._live,
            turn,
            counted,
            self._subscribe_key_end,
            self._journal,
            buffer,
            self._unread_seconds,
            background=background,
        )

    @asynccontextmanager
    async def reading(self, scope: Scope, chat_id: str | None) -> AsyncIterator[ReadableExchange]:
        """Give one more reader the exchange of a chat, and keep that running meanwhile. Replays are shared by
        all their readers.

        Raises NotFound, and RateLimited when the chat has too many readers.
        """
        with self._readers.one_more(scope, chat_id):
            exchange = await self._read(scope, await self._chats.find(scope, chat_id))
            async with exchange.reading():
                yield exchange

    async def _read(self, scope: Scope, stored: StoredChat) -> ReadableExchange:
        chat = stored.chat.org_id, stored.id
        exchange = self._replays.get(chat) or await self.exchange(scope, stored)
        return self._replays.setdefault(chat, exchange) if isinstance(exchange, Replay) else exchange

    async def exchange(self, scope: Scope, stored: StoredChat) -> ReadableExchange:
        """Return the exchange of a chat: as it runs, here or in another server, or from the record."""
        if live := self._live.get((stored.chat.org_id, stored.id)):
            return live
        chat = await self._chats.whole(stored)
        if stored.is_over:
            return Replay.of(chat, stored.record)
        return Watching(self._chats, self._peers, scope, stored, chat, self._recovery.one)

    def read(self, caller: Caller, exchange: ReadableExchange) -> AsyncGenerator[list[ChatEvent]]:
        """Yield its batches to a reader that has entered `reading`; the last one reports when the caller's
        key has ended."""
        return until_key_ends(self._subscribe_key_end, caller, exchange)

    async def cancel(self, scope: Scope, chat_id: str, why: ChatError = CANCELLED) -> None:
        """End the exchange of a chat, wherever it runs, and wait for that; `why` is CANCELLED, or DELETED
        when the chat is about to be deleted."""
        if live := self._live.get((scope.org_id, chat_id)):
            await live.cancel(why)
            return
        wanted = deletion_of(chat_id) if why is DELETED else cancellation_of(chat_id)
        await end_elsewhere(self._chats, self._peers, self._recovery.one, scope, chat_id, wanted)

    async def end_in(self, session: Session) -> None:
        """End the running exchanges of a session that is about to be deleted. Those that begin later fail at
        their commit."""
        for chat_id in await self._chats.running_in(session.org_id, session.id):
            await self.cancel(Scope(session.org_id), chat_id, DELETED)

    async def finish(self, within_seconds: float) -> None:
        """Wait up to `within_seconds` for running exchanges."""
        if running := [stream.running for stream in self._live.values() if stream.running]:
            await asyncio.wait(running, timeout=within_seconds)

    async def close(self) -> None:
        """Stop all running exchanges; their partial answers are stored."""
        for stream in list(self._live.values()):
            await stream.cancel(STOPPED)
