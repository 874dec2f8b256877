"""One exchange in a task of its own: its events, emitted once they are on disk, to any number of readers.

Runs it through the engine; knows no door's wire form and no SQL. `journal.py` puts events on disk, `event_buffer.py`
has those that readers want.
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
from server.exchange.event_buffer import EventBuffer
from server.exchange.journal import Journal
from server.exchange.reading import SubscribeKeyEnd
from server.exchange.remote import LOOKS_AGAIN_AFTER, call_for, cancellation_of, deletion_of, lock_of, news_of
from server.exchange.replay import DELETED, KEY_ENDED
from server.exchange.run import GONE, Outcome, Progress, Run
from server.exchange.turn import Turn
from server.storage.chat_events import EventBatch
from server.storage.chats import Chats
from server.storage.peers import Peers

log = structlog.get_logger()

_FAILURES: dict[str, Callable[[str], ServiceError]] = {
    DELETED.code: partial(NotFound, reason="CHAT_DELETED"),
    KEY_ENDED.code: partial(Unauthenticated, reason="KEY_ENDED"),
}
"""The errors of what ends early and has failed by that."""
_FEW_EVENTS = 8
"""That wait for the disk while the model waits too: more than a model of usual speed sends in a period of the
journal."""
_BROKEN = ChatError(code="internal_error", message="The server could not finish the answer.")


class LiveExchange:
    """An exchange whose events can be read as they happen. Used as `async with streams.start(turn) as stream`.

    Leaving it early cancels the model call and keeps what there is, unless it runs in the background or others read
    it; so does reading nothing while the model waits to say more. How far it is stands in its run's `progress`.
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
        buffer: EventBuffer,
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
        self._buffer = buffer
        self._unread_seconds = unread_seconds
        self._number = 0
        self._common: dict[str, Any] = {}
        self._ends_early = False
        self._is_recorded = self._is_committed = False
        """Whether its beginning is on disk, and whether all of it is. While neither is, a failure is raised, not
        emitted."""
        self._attached = 1
        """How many read it; counted by the readers, as a generator that is left would be noticed too late."""
        self._read_elsewhere_until = 0.0
        self._failure: ServiceError | None = None
        self._written: asyncio.Future[None] | None = None
        self._is_in_a_row = False
        """Whether the event loop did nothing else since the model sent something."""
        self._run: Run
        self.running: asyncio.Task[None] | None = None
        self._answering: asyncio.Task[None] | None = None
        self._is_called = False

    async def __aenter__(self) -> "LiveExchange":
        """Begin, and wait for the first event. Raises as `Engine.run`, and as what counts it."""
        with ExitStack() as counting:
            counting.enter_context(self._counted)
            self._run = await self._engine.begin(self._turn, streamed=True)
            async with self._run.locks as locks:
                await self._peers.try_lock(lock_of(self.chat_id))
                locks.push_async_callback(self._peers.unlock, lock_of(self.chat_id))
                self._run.locks = locks.pop_all()
            counting.enter_context(
                self._subscribe_key_end(self._turn.caller, lambda: self._end_early(KEY_ENDED))
            )
            counting.enter_context(self._peers.on_word(call_for(self.chat_id), self._called))
            over = counting.pop_all()
        self._live[self._key] = self
        self.running = asyncio.create_task(self._drive())
        self.running.add_done_callback(lambda _: over.close())
        try:
            if not await self._buffer.until_emitted():
                raise self._failure or Internal()
        except BaseException:
            await self.__aexit__()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        self._buffer.unpace()
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
        if self.running is None or self._run.progress is Progress.OVER:
            return
        self._end_early(why)
        await asyncio.wait([self.running])

    def _end_early(self, why: ChatError) -> None:
        if self.running is None or self._run.sealed or self._ends_early:
            return
        self._run.why = why
        if failure := _FAILURES.get(why.code):
            self._failure = failure(why.message)
        self._stop()

    def batches(self) -> AsyncGenerator[list[ChatEvent]]:
        """All that happened so far, then what happened since the last batch: one event, or what queued up
        meanwhile.

        The last batch ends in a terminal event, whatever happened; never raises.
        """
        return self._buffer.read(self._from_disk, paces=True)

    def watched(self) -> AsyncGenerator[list[ChatEvent]]:
        """The same, for readers that nobody waits for: who falls behind reads on from disk."""
        return self._buffer.read(self._from_disk)

    def serialized(self, event: ChatEvent) -> bytes:
        """The bytes of one of its events; made once for all its readers."""
        return self._buffer.data_of(event)

    async def _from_disk(self, place: int) -> AsyncGenerator[list[ChatEvent]]:
        """What was emitted from this place on and is not in the buffer any more: some of it, or when it is over all
        up to the end."""
        outcome = self.outcome
        if place == 0:
            yield [replay.started(outcome.chat, outcome)]
        elif events := await self._chats.events(self._turn.caller.org_id, self.chat_id, place):
            for batch in replay.batched(replay.complete(event, self._common) for event in events):
                yield batch
        else:
            assert self.running is not None
            await asyncio.wait([self.running])
            for batch in replay.rest(outcome.chat, self._run.answer.pieces, place, self._buffer.last):
                yield batch

    async def _drive(self) -> None:
        """The exchange from its first token to its terminal event."""
        try:
            async with self._run.locks:
                await self._until_recorded()
        finally:
            self._end()

    async def _until_recorded(self) -> None:
        try:
            if self._background:
                await self._begin([])
            await self._engine.drive(self._run, self._emit)
            self._is_committed = True
        except asyncio.CancelledError:
            # What there is was recorded; how it ended is on the chat. A cancellation that nobody asked for is a bug.
            self._is_committed = self._run.sealed
            if not self._ends_early:
                await self._break(None)
        except ServiceError as failure:
            if self._ends_early and self._run.why is not DELETED:
                log.error("what was left of an exchange could not be kept", exc_info=failure)
            self._failure = self._failure or failure
        except Exception as failure:  # a task of its own: nobody else would hear of it
            await self._break(failure)
        self._run.progress = Progress.SEALED
        await self._journal.remove(self)

    async def _break(self, failure: Exception | None) -> None:
        """Something here is wrong: log it, and keep what there is as failed."""
        log.error("exchange broke", exc_info=failure)
        self._failure = Internal()
        if self._number and not self._run.sealed:
            self._run.progress = Progress.SEALED
            self._run.outcome.chat.status = "failed"
            try:
                await self._engine.commit(self._run, _BROKEN)
                self._is_committed = True
            except ServiceError as worse:
                log.error("what was left of an exchange could not be kept", exc_info=worse)

    def _end(self) -> None:
        """Emit what is on disk and was not emitted, then how it ended."""
        self._failure = self._failure or self._run.outcome.error
        self._live.pop(self._key, None)
        if not self._is_committed:
            self._buffer.drop_waiting()
            self._number = self._buffer.end
        if self._is_recorded or self._is_committed:
            if not self._number:
                self._start()
            self._add_terminal()
        self._run.progress = Progress.OVER
        self._complete(len(self._buffer.waiting))
        self._buffer.close()
        self._spread_word()

    def _add_terminal(self) -> None:
        chat = self._run.outcome.chat
        if self._failure and not chat.HasField("error"):
            chat.status = "failed"
            chat.error.CopyFrom(DELETED if isinstance(self._failure, NotFound) else _BROKEN)
        elif chat.status == "in_progress":  # cancelled before anything was said or kept
            chat.status = "incomplete"
            chat.error.CopyFrom(self._run.why)
        self._add({"failed" if self._failure else "completed": chat})

    async def _emit(self, events: list[dict[str, Any]]) -> None:
        """Have events put on disk and emitted, and wait for that, and while too much is unread: meanwhile what the model
        goes on to send gathers in its connection, and is read at once."""
        if not self._run.begun:
            await self._begin(events)
            return
        for members in events:
            self._add(members)
        if self._turn.persists:
            self._journal.add(self, at_once=not self._buffer.has_room)
            await self._until_written()
        else:
            self.journaled(len(self._buffer.waiting))
        if not self._buffer.has_room and not await self._buffer.until_room(self._unread_seconds):
            self._end_early(STALLED)
            await asyncio.sleep(0)  # nothing more of the model is let in

    async def _until_written(self) -> None:
        """Wait for the journal, unless the model has more at once or is fast: it would be slowed down to so many events a
        commit."""
        loop = asyncio.get_running_loop()
        if not self._is_in_a_row and len(self._buffer.waiting) <= _FEW_EVENTS:
            self._written = loop.create_future()
            await self._written
        self._is_in_a_row = True
        loop.call_soon(self._end_row)

    def _end_row(self) -> None:
        self._is_in_a_row = False

    async def _begin(self, events: list[dict[str, Any]]) -> None:
        """Put the beginning of the exchange on disk together with its first events."""
        self._start()
        for members in events:
            self._add(members)
        beginning = self._engine.stored(self._run)
        self._run.begun = True
        if self._turn.persists:
            try:
                await self._chats.begin(beginning, self._waiting())
            except ServiceError as failure:
                self._failure = failure
                raise
        self.journaled(len(self._buffer.waiting))

    def batch(self) -> EventBatch | None:
        """As `journal.Source` wants it."""
        return None if self._run.sealed else self._waiting()

    def _waiting(self) -> EventBatch:
        events = [one.event for one in self._buffer.waiting]
        states = [
            self._run.answer.round_state(event.round.messages[0].id)
            for event in events
            if event.HasField("round")
        ]
        return EventBatch(*self._key, events, self._run.context.state, states)

    def journaled(self, number: int) -> None:
        """As `journal.Source` wants it."""
        self._is_recorded = True
        self._complete(number)
        self._buffer.emit(number)
        self._resume()
        self._spread_word()

    def _complete(self, number: int) -> None:
        """Give so many of those that wait the members that are the same in all events, and that the disk has once."""
        for one in self._buffer.waiting[:number]:
            replay.complete(one.event, self._common)

    def failed(self, failure: ServiceError | None) -> None:
        """As `journal.Source` wants it. What the last commit has need not be on disk by itself."""
        self._resume()
        if self._run.sealed:
            return
        if failure is None:
            self._end_early(DELETED)
        else:
            self._failure = failure
            self._stop()

    def _resume(self) -> None:
        if self._written is not None and not self._written.done():
            self._written.set_result(None)

    def _start(self) -> None:
        outcome, self._common = self._run.outcome, replay.common(self._run.outcome.chat)
        self._buffer.add(replay.started(outcome.chat, outcome))
        self._number = 1

    def _add(self, members: dict[str, Any]) -> None:
        self._buffer.add(ChatEvent(sequence=self._number, **members))
        self._number += 1

    def _called(self) -> None:
        """Note that other servers' callers read this, or want it cancelled."""
        self._read_elsewhere_until = time.monotonic() + 2 * LOOKS_AGAIN_AFTER
        self._is_called = True
        if self._answering is None:
            self._answering = asyncio.create_task(self._answer_calls())

    async def _answer_calls(self) -> None:
        """Look what they want, once at a time: a look takes the locks that it looks at."""
        try:
            while self._is_called:
                self._is_called = False
                for wanted, why in (
                    (deletion_of(self.chat_id), DELETED),
                    (cancellation_of(self.chat_id), CANCELLED),
                ):
                    if await self._peers.try_lock(wanted):
                        await self._peers.unlock(wanted)
                    else:
                        await self.cancel(why)
        finally:
            self._answering = None

    def _stop(self) -> None:
        self._ends_early = True
        assert self.running is not None
        self.running.cancel()

    def _spread_word(self) -> None:
        """Tell other servers that there is more to read, if anybody reads it there."""
        if time.monotonic() < self._read_elsewhere_until:
            self._peers.notify(news_of(self.chat_id))
