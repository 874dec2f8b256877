"""One exchange: context → model and tools → events → commit.

Every door runs its exchanges here, streamed ones through `streams.py`. Knows no door's wire form, no SQL and
no provider's protocol.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import Any

from generated.parley.v1.chat_pb2 import Chat, ChatError
from generated.parley.v1.message_pb2 import Message
from server.agents.knowledge import KnowledgeBases
from server.backends.backend import ModelEvent, ModelRequest, Usage
from server.backends.state import empty_state
from server.content.budget import MOST_OUTPUT_BYTES
from server.content.compaction import summary_of, summary_request
from server.content.fitting import fit, present
from server.content.messages import text_of
from server.core.clock import Clock, timestamp
from server.core.config import Price
from server.core.errors import NotFound, ServiceError, UpstreamError, UpstreamIncomplete
from server.core.ids import new_id
from server.core.outbound.client import Outgoing
from server.exchange.answer import MOST_OUTPUT_REACHED, MOST_ROUNDS_REACHED
from server.exchange.capacity import Capacity
from server.exchange.context import Context
from server.exchange.costs import costs_of
from server.exchange.instructing import check_turn
from server.exchange.outgoing import OutgoingMessages, forwarded
from server.exchange.recorded import on_record, recorded
from server.exchange.recovery import Recovery
from server.exchange.repeated_calls import with_states
from server.exchange.run import Outcome, Progress, RoundFinished, Run
from server.exchange.session_queue import SessionQueue
from server.exchange.tool_loop import MOST_ROUNDS, ToolLoop
from server.exchange.turn import Turn
from server.storage.chats import Exchange
from server.storage.store import Store

STALLED = ChatError(code="client_stalled", message="The caller read nothing of the answer for too long.")
CANCELLED = ChatError(code="cancelled", message="The answer was cancelled on request.")
_CUT = ChatError(code="max_output_tokens", message="The answer reached the most tokens it may have.")
_NO_SESSION = "SESSION_NOT_FOUND"
_FULL = ChatError(
    code=MOST_OUTPUT_REACHED,
    message=f"The answer reached the {MOST_OUTPUT_BYTES} bytes that the output of one exchange may have.",
)
_FILTERED = ChatError(code="content_filter", message="The model provider withheld the rest of the answer.")
_ROUNDS = ChatError(
    code=MOST_ROUNDS_REACHED, message=f"The model went on calling tools after {MOST_ROUNDS} rounds of them."
)

Emit = Callable[[list[dict[str, Any]]], Awaitable[None]]
"""Takes the members of events, and returns when there is room for more."""
_EVENTS_IN_A_ROW = 64
"""A model that has its answer ready would keep the event loop to itself: nobody could leave, or stop the
server."""


_ENDINGS = {
    "length": _CUT,
    "content_filter": _FILTERED,
    MOST_ROUNDS_REACHED: _ROUNDS,
    MOST_OUTPUT_REACHED: _FULL,
}
"""The errors of answers that a finish reason says are cut short."""


class _OutputFull(Exception):
    """Ends the call of a model whose answer is as long as it may be."""


class Engine:
    """Runs exchanges: each is begun, driven and committed."""

    def __init__(
        self,
        store: Store,
        tool_loop: ToolLoop,
        prices: Mapping[str, Price],
        clock: Clock,
        model_timeout_seconds: float,
        outgoing_messages: OutgoingMessages | None = None,
        knowledge: KnowledgeBases | None = None,
        session_queue: SessionQueue | None = None,
        recovery: Recovery | None = None,
        capacity: Capacity | None = None,
    ) -> None:
        self._store = store
        self._tool_loop = tool_loop
        self._prices = prices
        self._clock = clock
        self._model_timeout_seconds = model_timeout_seconds
        self._knowledge = knowledge or KnowledgeBases()
        self._outgoing_messages = outgoing_messages or OutgoingMessages(None)
        self._session_queue = session_queue or SessionQueue(store.peers)
        self._recovery = recovery or Recovery(store.chats, store.peers)
        self._capacity = capacity or Capacity()

    async def run(self, turn: Turn) -> Outcome:
        """Run an exchange to its end.

        Raises UpstreamError when the model failed before its first token, and SessionBusy when earlier
        exchanges of the session took too long; then nothing is on record. When the caller goes away the model
        call is cancelled and what was generated is kept. What this call has put on record before, under its
        Idempotency-Key, is not run again.
        """
        if on_record():
            return (await recorded(self._store.chats, turn.caller.scope)).outcome
        run = await self.begin(turn)
        async with run.locks:
            await self.drive(run)
        return run.outcome

    async def begin(self, turn: Turn, *, streamed: bool = False) -> Run:
        """Wait for the session's earlier exchanges, then load what the model is to read. The caller closes
        `locks`. A `streamed` one is driven with something to emit to."""
        async with AsyncExitStack() as locks:
            if turn.begins is not None:
                turn = await self._locked(turn, turn.begins, locks)
            if turn.session is not None:
                turn = await self._locked(turn, turn.session.session.id, locks)
            return await self._load(turn, locks, streamed=streamed)

    async def _locked(self, turn: Turn, name: str, locks: AsyncExitStack) -> Turn:
        """The turn as it is when it has waited."""
        await locks.enter_async_context(self._session_queue.locked(f"{turn.caller.org_id}:{name}", turn.noun))
        if turn.session is not None:
            await self._recovery.last_of(turn.caller.org_id, turn.session.session.id)
        return await turn.renew(turn) if turn.renew else turn

    async def _load(self, turn: Turn, locks: AsyncExitStack, *, streamed: bool) -> Run:
        size = await self._size(turn)
        if turn.summarises:
            self._capacity.check_summary(size)
        else:
            self._capacity.check(turn.caller, size, turn.input_messages)
        history = await self._history(turn)
        await check_turn(turn, history)
        whole = await self._with_states(turn)
        if whole is not turn.input_messages:
            turn = replace(turn, input_messages=whole)
        if turn.summarises:
            turn = replace(turn, input_messages=[summary_request([*history, *turn.input_messages])])
            history = []
        chat = self._new_chat(turn)
        input_messages = self._stamped(turn, history)
        outgoing = Outgoing()
        known = await self._knowledge.query(
            turn.agent.settings.knowledge_base, [*history, *input_messages], outgoing
        )
        if known.report is not None:
            chat.knowledge.CopyFrom(known.report)
        context = Context(
            turn,
            chat,
            [*known.messages, *history],
            input_messages,
            self._clock(),
            self._model_timeout_seconds,
            outgoing,
            streams=streamed,
        )
        await context.prepare(0, last=False)
        return Run(turn, chat, history, input_messages, context, locks.pop_all(), streamed=streamed)

    async def drive(self, run: Run, emit: Emit | None = None) -> None:
        """Run the model, `emit` what happens as it happens, and put the exchange on disk; it is sealed just before
        that."""
        answer, outcome = run.answer, run.outcome
        error: ChatError | None = None
        try:
            await self._generate(run, emit)
            if answer.unfinished:
                raise UpstreamIncomplete("the model provider's answer ended before it was complete")
            outcome.chat.status, error = answer.status_and_reason(_ENDINGS)
        except ServiceError as failure:
            if not (answer.begun or run.begun):
                raise
            outcome.error, outcome.chat.status = failure, "incomplete" if answer.begun else "failed"
            code = failure.error_code if isinstance(failure, UpstreamError) else failure.reason.lower()
            error = ChatError(code=code, message=failure.message)
        except asyncio.CancelledError:
            # What answers a row of the outbox is run again instead: nobody would get the half of it.
            if (answer.begun or run.begun) and not run.turn.settles:
                outcome.chat.status = "cancelled" if run.why is CANCELLED else "incomplete"
                run.progress = Progress.SEALED
                await self.commit(run, run.why)
            raise
        run.progress = Progress.SEALED
        await self.commit(run, error)

    async def _generate(self, run: Run, emit: Emit | None) -> None:
        """What the model sends, up to where the output is full; where no model is wanted, the input."""

        in_a_row = 0

        async def consume(events: Sequence[ModelEvent | RoundFinished]) -> None:
            nonlocal in_a_row
            for at in range(0, len(events), _EVENTS_IN_A_ROW):
                part = events[at : at + _EVENTS_IN_A_ROW]
                in_a_row += len(part)
                if in_a_row >= _EVENTS_IN_A_ROW:
                    in_a_row = 0
                    await asyncio.sleep(0)
                await self._consume(run, part, emit)

        try:
            if run.forwards:
                await consume(forwarded(run.input_messages))
            else:
                await self._tool_loop.generate(run.context, run.outcome.message_id, consume)
        except _OutputFull:
            run.answer.cut(MOST_OUTPUT_REACHED)

    async def _consume(
        self, run: Run, events: Sequence[ModelEvent | RoundFinished], emit: Emit | None
    ) -> None:
        emitted: list[dict[str, Any]] = []
        for event in events:
            if isinstance(event, RoundFinished):
                self._stamp_now(run, event.messages)
            if members := run.consume(event):
                emitted.append(members)
            if run.is_full:
                break
        if emitted and emit:
            await emit(emitted)
        if run.is_full:
            raise _OutputFull

    async def _size(self, turn: Turn) -> int:
        """How much the context counts for; it is read only when that is not too much."""
        if turn.session is not None:
            return await self._store.sessions.size(turn.session)
        if turn.previous is not None:
            return await self._store.chats.size(turn.previous)
        return 0

    async def _history(self, turn: Turn) -> list[Message]:
        if turn.session is not None:
            return await self._store.sessions.history(turn.session)
        if turn.previous is not None:
            return await self._store.chats.history(turn.previous)
        return []

    async def _with_states(self, turn: Turn) -> Sequence[Message]:
        settings = turn.agent.member.settings
        made_by = empty_state(settings.provider, settings.model, settings.url)
        return await with_states(self._store.chats, turn.caller.scope, made_by, turn.input_messages)

    def _new_chat(self, turn: Turn) -> Chat:
        now = timestamp(self._clock())
        chat = Chat(
            id=new_id(),
            org_id=turn.caller.org_id,
            created_at=now,
            updated_at=now,
            status="in_progress",
            input=turn.input,
            name=turn.name,
            stream=bool(turn.stream),
        )
        turn.agent.describe(chat)
        if joined := turn.session or turn.new_session:
            chat.session_id = joined.session.id
        if turn.previous is not None:
            chat.previous_chat_id = turn.previous.id
        return chat

    def _stamped(self, turn: Turn, history: Sequence[Message]) -> list[Message]:
        """The messages of the input, with ids and times."""
        now = self._clock()
        began = history[0].time if history and history[0].HasField("time") else now
        return [_stamp(message, now, began) for message in turn.input_messages]

    async def commit(self, run: Run, error: ChatError | None) -> None:
        """Put the exchange on disk and complete the chat that is told."""
        outcome, now = run.outcome, self._clock()
        answered, alternatives = run.answer.messages(), run.answer.alternatives()
        self._stamp_now(run, [*answered, *alternatives])
        outcome.finish_reasons = run.answer.finish_reasons()
        if outcome.usage == Usage(0, 0) and not run.forwards:
            outcome.usage = _estimate(run.request, [*answered, *alternatives])
            run.spent = {(run.request.provider, run.request.model): outcome.usage}
        chat = outcome.chat
        chat.updated_at.CopyFrom(timestamp(now))
        chat.costs.extend(costs_of(self._prices, run.spent))
        chat.cost = sum(part.cost for part in chat.costs)
        if error is not None:
            chat.error.CopyFrom(error)
        if run.turn.summarises:
            answered = [summary_of(answered[-1], "user" if run.turn.caller.is_publishable else "system")]
        if run.turn.carriage:
            run.deliveries = self._outgoing_messages.carry(chat, run.turn.carriage, answered)
        if run.turn.persists:
            await self._record(run, answered, alternatives)
        chat.output.extend(present(message) for message in (*answered, *alternatives))
        fit(chat)

    async def _record(self, run: Run, answered: Sequence[Message], alternatives: Sequence[Message]) -> None:
        try:
            await self._store.chats.record(self.stored(run, answered, alternatives))
        except NotFound as error:  # it was deleted meanwhile
            raise NotFound.of(run.turn.noun) if error.reason == _NO_SESSION else error from None

    def stored(
        self, run: Run, answered: Sequence[Message] = (), alternatives: Sequence[Message] = ()
    ) -> Exchange:
        """The exchange as it is put on disk; without an answer, as it is put there when it begins."""
        turn, outcome = run.turn, run.outcome
        chat = Chat()
        chat.CopyFrom(outcome.chat)
        del chat.messages[:]
        over = bool(answered)
        pieces = run.answer.pieces if run.streamed else []
        return Exchange(
            chat=chat,
            key_id=turn.caller.key_id,
            input_messages=[] if turn.summarises else run.input_messages,
            answered=list(answered),
            alternatives=list(alternatives),
            previous=None if turn.summarises else turn.previous,
            new_session=turn.new_session,
            begun=run.begun,
            private=turn.agent.private,
            provider=run.request.provider,
            model=run.request.model,
            prompt_tokens=outcome.usage.prompt_tokens,
            completion_tokens=outcome.usage.completion_tokens,
            deliveries=run.deliveries,
            settles=turn.settles,
            record=outcome.record(
                turn, [] if over else run.input_messages, pieces if over else [], run.context.state
            ),
        )

    def _stamp_now(self, run: Run, messages: Sequence[Message]) -> None:
        """Give ids and times to what was answered and has none yet."""
        now, input_messages = self._clock(), run.input_messages
        began = (
            input_messages[0].time - input_messages[0].seconds_from_start * 1000 if input_messages else now
        )
        for message in messages:
            if not message.HasField("time"):
                _stamp(message, now, began)


def _stamp(message: Message, now: float, began: float) -> Message:
    message.id = message.id or new_id()
    message.time = now
    message.seconds_from_start = (now - began) / 1000
    return message


def _estimate(request: ModelRequest, answered: Sequence[Message]) -> Usage:
    """Tokens when the provider told none: about four characters each."""
    read = sum(len(text_of(message)) for message in request.messages)
    written = sum(len(text_of(message)) for message in answered)
    return Usage(-(-read // 4), -(-written // 4), estimated=True)
