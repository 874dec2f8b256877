"""Alternates between model and tools: as long as the server can run every tool call of an answer, it runs
them and calls the model again.

Otherwise the calls go back to the caller. Reports each round when it is over; stores nothing.
"""

import asyncio
from collections import defaultdict
from collections.abc import Sequence
from io import StringIO
from typing import Any

from google.protobuf.struct_pb2 import ListValue, Value

from generated.parley.v1.chat_pb2 import ContentDelta, ToolCallDelta
from generated.parley.v1.message_pb2 import Message, ProviderState
from server.agents.handoffs import Destination
from server.agents.ignored_settings import of_parallel_calls
from server.agents.tools import ToolCall, ToolResult, ToolRunner
from server.backends.backend import Backend, Emit, Finish, ModelEvent, Ran, StateEvent
from server.content.json_values import from_python
from server.content.messages import mark_run
from server.core.errors import InvalidArgument
from server.core.ids import new_id
from server.exchange.answer import MOST_ROUNDS_REACHED
from server.exchange.context import Context
from server.exchange.run import EmitAnswer, RoundFinished

MOST_ROUNDS = 8
MOST_CALLS = 16
"""Per round; further calls get an error result."""


_TOO_MANY = ToolResult(f"Not run: at most {MOST_CALLS} tools are run at once.", "too_many_calls")
_NO_MORE = ToolResult("Not run: the request allows no more tool calls (max_tool_calls).", "too_many_calls")
_TOO_LONG = "CONTEXT_LENGTH_EXCEEDED"


class ToolLoop:
    """Generates the whole answer of an exchange."""

    def __init__(self, backend: Backend, tools: ToolRunner) -> None:
        self._backend = backend
        self._tools = tools

    async def generate(self, context: Context, message_id: str, emit: EmitAnswer) -> None:
        """Emit the events of the models, and each round when it is over. Promises the same as
        `Backend.generate`.

        Deltas of calls that the server may run are withheld until it is known who runs them: the caller has
        to answer every call that is emitted.
        """
        for number in range(MOST_ROUNDS + 1):
            if number:
                await context.prepare(number, last=number == MOST_ROUNDS)
            received = _Received(context, is_first=not number)

            async def pass_on(events: Sequence[ModelEvent], received: _Received = received) -> None:
                if passed := received.add(_one_at_a_time(context, events)):
                    await emit(passed)

            await self._call(context, pass_on)
            if not received.is_for_server:
                if received.withheld:
                    await emit(received.withheld)
                return
            if number == MOST_ROUNDS:  # the last round allows no calls: nobody could answer these
                await emit([Finish(choice=0, reason=MOST_ROUNDS_REACHED)])
                return
            over = await self._run(context, received, message_id)
            message_id = over.next_message_id
            await emit([over])

    async def _call(self, context: Context, emit: Emit) -> None:
        """Call the model; while its provider reports that the context is too long, shorten it and try again,
        if it may be cut."""
        while True:
            try:
                return await self._backend.generate(context.request, emit)
            except InvalidArgument as error:  # never after the first delta
                if error.reason != _TOO_LONG or not context.truncates or not context.shorten():
                    raise

    async def _run(self, context: Context, received: "_Received", message_id: str) -> RoundFinished:
        calls = received.calls()
        run = calls[: context.reserve_calls(min(len(calls), MOST_CALLS))]
        wanted = (context.offers[call.name].runs for call in run)
        destination = next((runs for runs in wanted if isinstance(runs, Destination)), None)
        member = await context.behind(destination) if destination else None
        handed = (destination, member) if destination and member else None
        results = await asyncio.gather(*(self._result(context, call, handed and destination) for call in run))
        results += [_TOO_MANY if len(run) == MOST_CALLS else _NO_MORE] * (len(calls) - len(run))
        messages = [
            _calling(message_id, received, calls),
            *map(_answering, calls, results),
        ]
        mark_run(messages)
        found: dict[str, Any] = {}
        for result in results:
            found |= result.variables
            context.warn(result.warnings)
        context.add(messages, found, handed)
        return RoundFinished(messages, new_id())

    async def _result(self, context: Context, call: ToolCall, destination: Destination | None) -> ToolResult:
        runs = context.offers[call.name].runs
        if not isinstance(runs, Destination):
            return await self._tools.run(
                runs or {}, call, context.variables, context.about, context.outgoing, context.allowance
            )
        if runs is destination:
            return ToolResult(f"Handed over to {runs.name}.")
        return ToolResult(
            f"Not handed over to {runs.name}: {destination.name if destination else 'nobody'} took over.",
            "not_handed_over",
        )


def _one_at_a_time(context: Context, events: Sequence[ModelEvent]) -> Sequence[ModelEvent]:
    """Return the events without the calls behind the first, where the request takes one at a time: not every
    provider keeps to that."""
    if context.request.parallel_tool_calls is not False:
        return events
    kept = [event for event in events if not (isinstance(event, ToolCallDelta) and event.index)]
    if len(kept) < len(events):
        context.warn([of_parallel_calls()])
    return kept


class _Received:
    """The events of one round, and which of them are withheld."""

    def __init__(self, context: Context, *, is_first: bool) -> None:
        self._runs = {name for name, offer in context.offers.items() if offer.runs is not None}
        self._is_first = is_first
        self._names: dict[int, str] = {}
        self._deltas: list[ToolCallDelta] = []
        self._finish: Finish | None = None
        self._state_event: StateEvent | None = None
        self._needs_caller = False
        self._alone = context.request.n == 1
        self._text = StringIO()
        self.logprobs = ListValue()
        """Of the tokens of the text."""

    @property
    def is_for_server(self) -> bool:
        """Whether the answer is complete and the server runs all its calls."""
        ended = self._finish is not None and self._finish.reason not in ("length", "content_filter")
        return ended and bool(self._deltas) and not self._needs_caller

    @property
    def text(self) -> str:
        return self._text.getvalue()

    @property
    def withheld(self) -> list[ModelEvent]:
        return [*self._deltas, *(event for event in (self._state_event, self._finish) if event)]

    @property
    def state(self) -> ProviderState | None:
        """The provider state to send back with the answer."""
        return self._state_event.state if self._state_event else None

    def add(self, events: Sequence[ModelEvent]) -> Sequence[ModelEvent]:
        """Record events, and return those that can be emitted now, in their order."""
        if not self._alone:
            return events
        passed: list[ModelEvent] = []
        for event in events:
            if isinstance(event, ContentDelta):
                if self._runs:  # otherwise there is no round to report it in
                    self._text.write(event.text)
                    if event.HasField("logprobs"):
                        self.logprobs.values.extend(event.logprobs.values)
                passed.append(event)
            elif isinstance(event, ToolCallDelta):
                passed += self._add_call(event)
            elif isinstance(event, Finish):
                self._finish = event
            elif isinstance(event, StateEvent):
                self._state_event = event
            elif self._is_first or not isinstance(event, Ran):
                passed.append(event)
        return passed

    def _add_call(self, delta: ToolCallDelta) -> list[ToolCallDelta]:
        """Withhold a call that the server may run. The first call of another kind means that the caller
        answers all of them."""
        name = self._names.setdefault(delta.index, delta.name)
        if name in self._runs and not self._needs_caller:
            self._deltas.append(delta)
            return []
        self._needs_caller = True
        withheld, self._deltas = self._deltas, []
        return [*withheld, delta]

    def calls(self) -> list[ToolCall]:
        """Return the complete calls in order."""
        ids: dict[int, str] = {}
        arguments: defaultdict[int, list[str]] = defaultdict(list)
        for delta in self._deltas:
            ids[delta.index] = ids.get(delta.index) or delta.id
            arguments[delta.index].append(delta.arguments)
        return [
            ToolCall(ids[index] or f"call_{new_id()}", self._names[index], "".join(arguments[index]) or "{}")
            for index in sorted(ids)
        ]


def _calling(message_id: str, received: _Received, calls: list[ToolCall]) -> Message:
    message = Message(id=message_id, role="assistant", provider_state=received.state)
    if text := received.text:
        message.content.CopyFrom(Value(string_value=text))
    if received.logprobs.values:
        message.logprobs.CopyFrom(received.logprobs)
    message.tool_calls.CopyFrom(
        from_python(
            [
                {
                    "id": call.id,
                    "type": "function",
                    "function": {"name": call.name, "arguments": call.arguments},
                }
                for call in calls
            ]
        )
    )
    return message


def _answering(call: ToolCall, result: ToolResult) -> Message:
    message = Message(
        id=new_id(),
        role="tool",
        tool_call_id=call.id,
        name=call.name,
        content=Value(string_value=result.text),
    )
    if result.failure:
        message.metadata.update({"failure": result.failure})
    return message
