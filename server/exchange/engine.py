"""Runs one exchange: context → model and tools → events → commit.

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
from server.content.reasoning import kept_of
from server.core.clock import Clock, timestamp
from server.core.config import Price
from server.core.errors import InvalidArgument, NotFound, ServiceError, UpstreamError, UpstreamIncomplete
from server.core.ids import new_id
from server.core.outbound.client import Outgoing
from server.core.telemetry.meter import NO_METER, Meter
from server.core.telemetry.notes import note_chat, note_outcome
from server.exchange.answer import MOST_OUTPUT_REACHED, MOST_ROUNDS_REACHED
from server.exchange.capacity import Capacity
from server.exchange.context import Context
from server.exchange.costs import costs_of, input_tokens, tokens_of
from server.exchange.instructing import check_turn
from server.exchange.listed_prices import listed_costs
from server.exchange.outgoing import OutgoingMessages, forwarded
from server.exchange.recorded import on_record, recorded
from server.exchange.recovery import Recovery
from server.exchange.remembered import Remembered
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
"""After so many, other tasks run: a model whose answer is ready at once would keep callers from leaving and the
server from stopping."""


_ENDINGS = {
    "length": _CUT,
    "content_filter": _FILTERED,
    MOST_ROUNDS_REACHED: _ROUNDS,
    MOST_OUTPUT_REACHED: _FULL,
}
"""The errors of answers that were cut short, by finish reason."""


class _OutputFull(Exception):
    """Ends the call of a model whose answer has reached its largest size."""


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
        meter: Meter = NO_METER,
    ) -> None:
        self._meter = meter
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

        Raises UpstreamError when the model fails before its first token, and SessionBusy when earlier
        exchanges of the session take too long; then nothing is on record. When the caller disconnects, the
        model call is cancelled and the text generated so far is stored. An exchange that an earlier call
        recorded under the same Idempotency-Key is not run again.
        """
        if on_record():
            return (await recorded(self._store.chats, turn.caller.scope)).outcome
        run = await self.begin(turn)
        async with run.locks:
            await self.drive(run)
        return run.outcome

    async def prepare(self, turn: Turn) -> Outcome:
        """Load an exchange and run no model. Its input is what it leaves to go on from; nothing goes on record."""
        run = await self.begin(turn)
        async with run.locks:
            run.outcome.chat.status = "completed"
            self._remember(run, [])
        return run.outcome

    async def count_input(self, turn: Turn) -> int:
        """Return about how many tokens the model would be given, its tools included; calls no model."""
        run = await self._load(turn, AsyncExitStack(), streamed=False)
        return input_tokens(run.request)

    async def begin(self, turn: Turn, *, streamed: bool = False) -> Run:
        """Wait for the session's earlier exchanges, then load the context. The caller closes `locks`. A
        `streamed` exchange is driven with an `emit`."""
        async with AsyncExitStack() as locks:
            if turn.begins is not None:
                turn = await self._locked(turn, turn.begins, locks)
            if turn.session is not None:
                turn = await self._locked(turn, turn.session.session.id, locks)
            return await self._load(turn, locks, streamed=streamed)

    async def _locked(self, turn: Turn, name: str, locks: AsyncExitStack) -> Turn:
        """Return the turn as it stands after the wait for the lock, with the answer of an exchange that was
        broken off before it."""
        await locks.enter_async_context(self._session_queue.locked(f"{turn.caller.org_id}:{name}", turn.noun))
        if turn.renew is None:
            return turn
        renewed = await turn.renew(turn)
        if renewed.session is not None and renewed.session.in_progress is not None:
            await self._recovery.one(turn.caller.org_id, renewed.session.in_progress)
            renewed = await turn.renew(turn)
        return renewed

    async def _load(self, turn: Turn, locks: AsyncExitStack, *, streamed: bool) -> Run:
        history = await self._history(turn)
        if not (history or turn.input_messages or turn.summarises):
            raise InvalidArgument.of(turn.input_field, f"is required: the {turn.noun} has no messages yet")
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
        """Run the model, `emit` events as they happen, and commit the exchange; the run is sealed just before
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
            # A message of the outbox is answered again instead: half an answer would reach nobody.
            if (answer.begun or run.begun) and not run.turn.settles:
                outcome.chat.status = "cancelled" if run.why is CANCELLED else "incomplete"
                run.progress = Progress.SEALED
                await self.commit(run, run.why)
            raise
        run.progress = Progress.SEALED
        await self.commit(run, error)

    async def _generate(self, run: Run, emit: Emit | None) -> None:
        """Consume the model's events until the output is full; when no model is wanted, the input instead."""

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

    async def _history(self, turn: Turn) -> list[Message]:
        """Return the context, which is read only if its size is within the limits."""
        size, history = await self._within(
            turn, self._capacity.most_read(turn.caller, summary=turn.summarises)
        )
        if turn.summarises:
            self._capacity.check_summary(size)
        else:
            self._capacity.check(turn.caller, size, turn.input_messages)
        assert history is not None
        return history

    async def _within(self, turn: Turn, most_bytes: int) -> tuple[int, list[Message] | None]:
        if turn.session is not None:
            return await self._store.sessions.within(turn.session, most_bytes)
        if turn.previous is not None:
            return await self._store.chats.within(turn.previous, most_bytes)
        if turn.remembered is not None:
            return turn.remembered.size, list(turn.remembered.messages)
        return 0, []

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
        note_chat(chat.id)
        turn.agent.describe(chat)
        if joined := turn.session or turn.new_session:
            chat.session_id = joined.session.id
        if turn.previous is not None:
            chat.previous_chat_id = turn.previous.id
        elif turn.remembered is not None:
            chat.previous_chat_id = turn.remembered.chat.id
        return chat

    def _stamped(self, turn: Turn, history: Sequence[Message]) -> list[Message]:
        """Return the messages of the input with ids and times."""
        now = self._clock()
        began = history[0].time if history and history[0].HasField("time") else now
        return [_stamp(message, now, began) for message in turn.input_messages]

    async def commit(self, run: Run, error: ChatError | None) -> None:
        """Commit the exchange and complete the chat that callers get."""
        outcome, now = run.outcome, self._clock()
        answered, alternatives = run.answer.messages(), run.answer.alternatives()
        self._stamp_now(run, [*answered, *alternatives])
        outcome.finish_reasons = run.answer.finish_reasons()
        if outcome.usage == Usage(0, 0) and not run.forwards:
            outcome.usage = _estimate(run.request, [*answered, *alternatives])
            run.spent = {(run.request.provider, run.request.model): outcome.usage}
            run.calls = [*run.spent.items()]
        chat = outcome.chat
        chat.updated_at.CopyFrom(timestamp(now))
        listed = listed_costs(run.calls, now)
        chat.costs.extend(costs_of(self._prices, run.spent, listed))
        chat.cost = sum(part.cost for part in chat.costs)
        self._count(run, chat)
        if error is not None:
            chat.error.CopyFrom(error)
        note_outcome(
            outcome.usage.prompt_tokens, outcome.usage.completion_tokens, error.code if error else None
        )
        if run.turn.summarises:
            answered = [summary_of(answered[-1], "user" if run.turn.caller.is_publishable else "system")]
        if run.turn.carriage:
            run.deliveries = self._outgoing_messages.carry(chat, run.turn.carriage, answered)
        if run.turn.persists:
            await self._record(run, answered, alternatives)
        if outcome.error is None:
            self._remember(run, answered)
        outcome.kept |= kept_of([*answered, *alternatives])
        chat.output.extend(present(message) for message in (*answered, *alternatives))
        fit(chat)

    def _count(self, run: Run, chat: Chat) -> None:
        for ((provider, model), usage), part in zip(run.spent.items(), chat.costs, strict=False):
            tokens = {
                "prompt": usage.prompt_tokens,
                "completion": usage.completion_tokens,
                "cached": usage.cached_tokens,
                "reasoning": usage.reasoning_tokens,
            }
            self._meter.spent(provider, model, tokens, part.cost)

    def _remember(self, run: Run, answered: Sequence[Message]) -> None:
        """Hand over what the exchange leaves, before its messages become what callers see of them."""
        if run.turn.remember is not None:
            run.turn.remember(
                Remembered.of(
                    run.outcome.chat,
                    run.turn.agent.private,
                    run.context.state,
                    [*run.history, *run.input_messages],
                    answered,
                    run.turn.remembered,
                )
            )

    async def _record(self, run: Run, answered: Sequence[Message], alternatives: Sequence[Message]) -> None:
        try:
            await self._store.chats.record(self.stored(run, answered, alternatives))
        except NotFound as error:  # deleted meanwhile
            raise NotFound.of(run.turn.noun) if error.reason == _NO_SESSION else error from None

    def stored(
        self, run: Run, answered: Sequence[Message] = (), alternatives: Sequence[Message] = ()
    ) -> Exchange:
        """Return the record of the exchange; without an answer, the record of its beginning."""
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
        """Give ids and times to the answered messages that have none yet."""
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
    """Estimate the tokens when the provider reports none: about four characters each."""
    return Usage(input_tokens(request), tokens_of(answered), estimated=True)
