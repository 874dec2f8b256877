"""One exchange in a task of its own: its events told once they are on disk, to any number of readers.

Runs it through the engine; knows no door's wire form and no SQL.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import AbstractContextManager, ExitStack, asynccontextmanager
from functools import partial
from typing import Any

import structlog

from generated.parley.v1.chat_pb2 import ChatError, ChatEvent
from generated.parley.v1.response_service_pb2 import CreateResponseRequest
from server.core.errors import Internal, NotFound, ServiceError, Unauthenticated
from server.exchange import replay
from server.exchange.engine import CANCELLED, STALLED, Engine
from server.exchange.journal import Entry, Journal
from server.exchange.reading import SubscribeKeyEnd
from server.exchange.remote import LOOKS_AGAIN_AFTER, call_for, cancellation_of, deletion_of, lock_of, news_of
from server.exchange.replay import DELETED, KEY_ENDED
from server.exchange.run import GONE, Outcome, Run
from server.exchange.turn import Turn
from server.storage.chats import Chats
from server.storage.peers import Peers

log = structlog.get_logger()

_FAILURES: dict[str, Callable[[str], ServiceError]] = {
    DELETED.code: partial(NotFound, reason="CHAT_DELETED"),
    KEY_ENDED.code: partial(Unauthenticated, reason="KEY_ENDED"),
}
"""The errors of what ends early and has failed by that."""
_BROKEN = ChatError(code="internal_error", message="The server could not finish the answer.")


class LiveExchange:
    """An exchange whose events can be read as they happen. Used as `async with streams.start(turn) as
    stream`.

    Leaving it early cancels the model call and keeps what there is, unless it runs in the background or
    others read it; so does reading nothing while the model waits to say more.
    """

    def __init__(
        self,
        engine: Engine,
        chats: Chats,
        peers: Peers,
        live: dict[tuple[str, str], "LiveExchange"],
        turn: Turn,
        counted: AbstractContextManager[None],
        subscribe_key_end: SubscribeKeyEnd,
        journal: Journal,
        unread_seconds: float,
        *,
        background: bool,
    ) -> None:
        self._counted = counted
        self._subscribe_key_end = subscribe_key_end
        self._engine = engine
        self._chats = chats
        self._peers = peers
        self._live = live
        self._turn = turn
        self._background = background
        self._journal = journal
        self._unread_seconds = unread_seconds
        self._number = 0
        self._common: dict[str, Any] = {}
        self._cancelled = False
        self._persisted = False
        """Whether anything of it is on disk; until then a failure is raised, not told."""
        self._over = False
        self._attached = 1
        """How many read it; told by the readers, as a generator that is left would be noticed too late."""
        self._read_elsewhere_until = 0.0
        self._changed = asyncio.Event()
        self._failure: ServiceError | None = None
        self._run: Run
        self.running: asyncio.Task[None] | None = None
        self._persister: asyncio.Task[None]
        self._peer_watcher: asyncio.Task[None]

    async def __aenter__(self) -> "LiveExchange":
        """Begin, and wait for the first event. Raises as `Engine.run`, and as what counts it."""
        with ExitStack() as counting:
            counting.enter_context(self._counted)
            self._run = await self._engine.begin(self._turn)
            async with self._run.locks as locks:
                await self._peers.try_lock(lock_of(self.chat_id))
                locks.push_async_callback(self._peers.unlock, lock_of(self.chat_id))
                self._run.locks = locks.pop_all()
            counting.enter_context(
                self._subscribe_key_end(self._turn.caller, lambda: self._end_early(KEY_ENDED))
            )
            over = counting.pop_all()
        self._live[self._key] = self
        if self._background:
            self._start()
        self._persister = asyncio.create_task(self._persist())
        self._peer_watcher = asyncio.create_task(self._watch_peers())
        self.running = asyncio.create_task(self._drive())
        self.running.add_done_callback(lambda _: over.close())
        try:
            if not await self._journal.until_emitted():
                raise self._failure or Internal()
        except BaseException:
            await self.__aexit__()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        self._journal.unpace()
        await self._left()

    async def _left(self) -> None:
        self._attached -= 1
        if not self._background and not self._attached:
            await self.cancel(GONE)

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[None]:
        """While this is entered the exchange goes on, even when whoever began it leaves."""
        self._attached += 1
        try:
            yield
        finally:
            await self._left()

    @property
    def chat_id(self) -> str:
        return self._run.outcome.chat.id

    @property
    def _key(self) -> tuple[str, str]:
        return self._turn.caller.org_id, self.chat_id

    @property
    def outcome(self) -> Outcome:
        """What the exchange came to; whole only after the last batch."""
        return self._run.outcome

    @property
    def error(self) -> ServiceError | None:
        """Why the last event is `failed`; only after the last batch."""
        return self._failure

    @property
    def request(self) -> CreateResponseRequest:
        """What was asked for in the Responses form."""
        return self._turn.request or CreateResponseRequest()

    async def cancel(self, why: ChatError) -> None:
        """Stop the model and keep what there is. When the exchange is as good as over, wait for its end
        instead."""
        if self.running is None or self._over:
            return
        self._end_early(why)
        await asyncio.wait([self.running])

    def _end_early(self, why: ChatError) -> None:
        if self.running is None or self._over or self._run.sealed or self._cancelled:
            return
        self._run.why = why
        if failure := _FAILURES.get(why.code):
            self._failure = failure(why.message)
        self._stop()

    async def batches(self) -> AsyncGenerator[list[ChatEvent]]:
        """All that happened so far, then what happened since the last batch: one event, or what queued up
        meanwhile.

        The last batch ends in a terminal event, whatever happened; never raises.
        """
        async for batch in self.watched():
            yield batch
            self._journal.consumed(len(batch))

    def watched(self) -> AsyncGenerator[list[ChatEvent]]:
        """The same, for readers that nobody waits for: who falls behind reads on from disk."""
        return self._journal.read(self._persisted_from)

    def serialized(self, event: ChatEvent) -> bytes:
        return self._journal.data_of(event)

    async def _persisted_from(self, place: int) -> AsyncGenerator[list[ChatEvent]]:
        """What was told from this place on and is not held any more: some of it, or when it is over all up to
        the end."""
        outcome = self.outcome
        if place == 0:
            yield [replay.started(outcome.chat, outcome)]
        elif events := await self._chats.events(self._turn.caller.org_id, self.chat_id, place):
            for batch in replay.batched(replay.complete(event, self._common) for event in events):
                yield batch
        else:
            assert self.running is not None
            await asyncio.wait([self.running])
            for batch in replay.rest(outcome.chat, self._run.answer.pieces, place, self._journal.last):
                yield batch

    async def _drive(self) -> None:
        """The exchange from its first token to its terminal event."""
        try:
            async with self._run.locks:
                await self._until_persisted()
        finally:
            self._peer_watcher.cancel()
            self._end()

    async def _until_persisted(self) -> None:
        try:
            await self._engine.drive(self._run, self._consume)
            self._persisted = True
        except asyncio.CancelledError:
            # What there is was kept; how it ended is on the chat. A cancellation that nobody asked for is a
            # bug.
            self._persisted = self._persisted or self._run.sealed
            if not self._cancelled:
                await self._break(None)
        except ServiceError as failure:
            if self._cancelled and self._run.why is not DELETED:
                log.error("what was left of an exchange could not be kept", exc_info=failure)
            self._failure = self._failure or failure
        except Exception as failure:  # a task of its own: nobody else would hear of it
            await self._break(failure)
        self._run.sealed = True
        self._changed.set()
        await asyncio.wait([self._persister])

    async def _break(self, failure: Exception | None) -> None:
        """Something here is wrong: log it, and keep what there is as failed."""
        log.error("exchange broke", exc_info=failure)
        self._failure = Internal()
        if self._number and not self._run.sealed:
            self._run.sealed = True
            self._run.outcome.chat.status = "failed"
            try:
                await self._engine.commit(self._run, _BROKEN)
                self._persisted = True
            except ServiceError as worse:
                log.error("what was left of an exchange could not be kept", exc_info=worse)

    def _end(self) -> None:
        """Tell what is left, then how it ended."""
        outcome = self._run.outcome
        self._failure = self._failure or outcome.error
        self._live.pop(self._key, None)
        if self._persisted and not self._number:
            self._start()
        if self._persisted:
            if self._failure and not outcome.chat.HasField("error"):
                outcome.chat.status = "failed"
                outcome.chat.error.CopyFrom(DELETED if isinstance(self._failure, NotFound) else _BROKEN)
            elif outcome.chat.status == "in_progress":  # cancelled before anything was said or kept
                outcome.chat.status = "incomplete"
                outcome.chat.error.CopyFrom(self._run.why)
            self._add(**{"failed" if self._failure else "completed": outcome.chat})
        self._over = True
        self._emit(self._journal.waiting() if self._persisted else [])

    async def _consume(self, members: dict[str, Any]) -> None:
        """Note what happened, and wait while too much is unread."""
        if not self._number:
            self._start()
        self._add(**members)
        if not await self._journal.until_room(self._unread_seconds):
            self._end_early(STALLED)

    def _start(self) -> None:
        outcome, self._common = self._run.outcome, replay.common(self._run.outcome.chat)
        self._journal.add(replay.started(outcome.chat, outcome))
        self._number = 1
        self._changed.set()

    def _add(self, **members: Any) -> None:
        self._journal.add(ChatEvent(**self._common, sequence=self._number, **members))
        self._number += 1
        self._changed.set()

    async def _persist(self) -> None:
        """Put events on disk as they happen, then tell them; the first ones together with the beginning of
        the chat.

        Writes are queued in order and without a pause after the look at `sealed`, so none comes after the
        last commit.
        """
        while True:
            await self._changed.wait()
            self._changed.clear()
            if self._run.sealed:
                return
            batch = self._journal.waiting()
            beginning = None if self._run.begun else self._engine.stored(self._run)
            self._run.begun = True
            state = self._run.context.state
            states = [
                self._run.answer.round_state(entry.event.round.messages[0].id)
                for entry in batch
                if entry.event.HasField("round")
            ]
            try:
                if self._turn.persists:
                    await self._chats.persist_events(
                        self._turn.caller.org_id,
                        self.chat_id,
                        [entry.event for entry in batch],
                        beginning,
                        state,
                        states,
                    )
            except ServiceError as failure:
                if self._persisted and isinstance(failure, NotFound):
                    self._end_early(DELETED)
                else:
                    self._failure = failure
                    if not self._run.sealed:
                        self._stop()
                return
            self._persisted = True
            self._emit(batch)

    async def _watch_peers(self) -> None:
        """Notice that other servers' callers read this, or want it cancelled."""
        with self._peers.listen(call_for(self.chat_id)) as called:
            while True:
                await called.wait()
                called.clear()
                self._read_elsewhere_until = time.monotonic() + 2 * LOOKS_AGAIN_AFTER
                for wanted, why in (
                    (deletion_of(self.chat_id), DELETED),
                    (cancellation_of(self.chat_id), CANCELLED),
                ):
                    if await self._peers.try_lock(wanted):
                        await self._peers.unlock(wanted)
                    else:
                        await self.cancel(why)

    def _stop(self) -> None:
        self._cancelled = True
        assert self.running is not None
        self.running.cancel()

    def _emit(self, batch: list[Entry]) -> None:
        self._journal.emit(batch, ends=self._over)
        if time.monotonic() < self._read_elsewhere_until:
            self._peers.notify(news_of(self.chat_id))
