"""One exchange in a task of its own: its events, emitted once they are on disk, to any number of readers.

Runs it through the engine; knows no door's wire form and no SQL. `journal.py` puts events on disk,
`event_buffer.py` has those that readers want.
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
"""The errors of exchanges that end early and thereby fail."""
_FEW_EVENTS = 8
"""How many events may wait for the disk for the model to wait too: more than a model of usual speed sends in a
period of the journal."""
_BROKEN = ChatError(code="internal_error", message="The server could not finish the answer.")


class LiveExchange:
    """An exchange whose events can be read as they happen. Used as `async with streams.start(turn) as
    stream`.

    Leaving it early cancels the model call and stores the partial answer, unless it runs in the background or
    others read it; reading nothing while the model waits does the same. Its run's `progress` says how far it
    is.
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
        """Whether its beginning is on disk, and whether all of it is. While neither is, a failure is raised,
        not emitted."""
        self._attached = 1
        """The number of readers; counted by the readers, as an abandoned generator would be noticed too
        late."""
        self._read_elsewhere_until = 0.0
        self._failure: ServiceError | None = None
        self._written: asyncio.Future[None] | None = None
        self._is_in_a_row = False
        """Whether the event loop has done nothing else since the model's last events."""
        self._run: Run
        self.running: asyncio.Task[None] | None = None
        self._answering: asyncio.Task[None] | None = None
        self._is_called = False

    async def __aenter__(self) -> "LiveExchange":
        """Begin, and wait for the first event. Raises as `Engine.run` and as `counted`."""
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
        """Keep the exchange running while this is entered, even when the caller that began it leaves."""
        self._attached += 1
        try:
            yield
        finally:
            await self._left()

    @property
    def chat_id(self) -> str:
        """The id of the exchange's chat."""
        return self._run.outcome.chat.id

    @property
    def _key(self) -> tuple[str, str]:
        return self._turn.caller.org_id, self.chat_id

    @property
    def outcome(self) -> Outcome:
        """The result of the exchange; complete only after the last batch."""
        return self._run.outcome

    @property
    def error(self) -> ServiceError | None:
        """Why the last event is `failed`; only after the last batch."""
        return self._failure

    @property
    def request(self) -> CreateResponseRequest:
        """The request in the Responses form."""
        return self._turn.request or CreateResponseRequest()

    async def cancel(self, why: ChatError) -> None:
        """Stop the model and store the partial answer. When the exchange is nearly over, wait for its end
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
        """Yield all events so far, then those since the last batch: one event, or the ones that queued up
        meanwhile.

        The last batch always ends in a terminal event; never raises.
        """
        return self._buffer.read(self._from_disk, paces=True)

    def watched(self) -> AsyncGenerator[list[ChatEvent]]:
        """Yield the same for readers that the model does not wait for: a slow one continues from disk."""
        return self._buffer.read(self._from_disk)

    def serialized(self, event: ChatEvent) -> bytes:
        """Return the bytes of one of its events; made once for all its readers."""
        return self._buffer.data_of(event)

    async def _from_disk(self, place: int) -> AsyncGenerator[list[ChatEvent]]:
        """Yield emitted events from `place` on that are no longer in the buffer: some of them, or all up to
        the end once the exchange is over."""
        outcome = self.outcome
        if place == 0:
            yield [replay.started(outcome.chat, outcome)]
        elif events := await self._chats.events(self._turn.caller.org_id, self.chat_id, place):
            for batch in replay.batched(replay.complete(event, self._common) for event in events):
                yield batch
        else:
            assert self.running is not None
            await asyncio.wait([self.running])
            for batch in replay.rest(outcome, self._run.answer.pieces, place, self._buffer.last):
                yield batch

    async def _drive(self) -> None:
        """Run the exchange from its first token to its terminal event."""
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
            # The partial answer was recorded; its ending is on the chat. A cancellation that nothing here
            # requested is a bug.
            self._is_committed = self._run.sealed
            if not self._ends_early:
                await self._break(None)
        except ServiceError as failure:
            if self._ends_early and self._run.why is not DELETED:
                log.error("a partial answer could not be stored", exc_info=failure)
            self._failure = self._failure or failure
        except Exception as failure:  # the last handler of this task: the error would be lost
            await self._break(failure)
        self._run.progress = Progress.SEALED
        await self._journal.remove(self)

    async def _break(self, failure: Exception | None) -> None:
        """Log a bug, and store the partial answer as failed."""
        log.error("exchange broke", exc_info=failure)
        self._failure = Internal()
        if self._number and not self._run.sealed:
            self._run.progress = Progress.SEALED
            self._run.outcome.chat.status = "failed"
            try:
                await self._engine.commit(self._run, _BROKEN)
                self._is_committed = True
            except ServiceError as worse:
                log.error("a partial answer could not be stored", exc_info=worse)

    def _end(self) -> None:
        """Emit the events that are on disk but not emitted, then the terminal event."""
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
        elif chat.status == "in_progress":  # cancelled before anything was generated or stored
            chat.status = "incomplete"
            chat.error.CopyFrom(self._run.why)
        self._add({"failed" if self._failure else "completed": chat})

    async def _emit(self, events: list[dict[str, Any]]) -> None:
        """Put events on disk and emit them; wait for that, and while too much is unread. Meanwhile further
        events from the model gather in its connection, to be read at once."""
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
            await asyncio.sleep(0)  # let the cancellation take effect before the model sends more

    async def _until_written(self) -> None:
        """Wait for the journal, unless the model has more at once or is fast: it would be slowed down to a few events
        per commit."""
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
        """Implement `journal.Source`."""
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
        """Implement `journal.Source`."""
        self._is_recorded = True
        self._complete(number)
        self._buffer.emit(number)
        self._resume()
        self._spread_word()

    def _complete(self, number: int) -> None:
        """Give the first `number` waiting events the members that are the same in all events, which the disk
        has once."""
        for one in self._buffer.waiting[:number]:
            replay.complete(one.event, self._common)

    def failed(self, failure: ServiceError | None) -> None:
        """Implement `journal.Source`. Events in the final commit need not be in the journal."""
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
        """Note that callers of other servers read this, or want it cancelled."""
        self._read_elsewhere_until = time.monotonic() + 2 * LOOKS_AGAIN_AFTER
        self._is_called = True
        if self._answering is None:
            self._answering = asyncio.create_task(self._answer_calls())

    async def _answer_calls(self) -> None:
        """Find out what other servers want, one check at a time: a check takes the locks that it tests."""
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
        """Notify other servers of new events, if any of their callers reads this."""
        if time.monotonic() < self._read_elsewhere_until:
            self._peers.notify(news_of(self.chat_id))
