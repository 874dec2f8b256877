"""Model and tools in turns: while every tool call of an answer is one that the server runs, it runs them and
asks again.

Otherwise the calls go back to the caller. Tells of a round when it is over; stores nothing.
"""

import asyncio
from collections import defaultdict
from collections.abc import AsyncGenerator
from contextlib import aclosing
from io import StringIO
from typing import Any

from google.protobuf.struct_pb2 import Value

from generated.parley.v1.chat_pb2 import ContentDelta, ToolCallDelta
from generated.parley.v1.message_pb2 import Message, ProviderState
from server.agents.handoffs import Destination
from server.agents.tools import ToolCall, ToolResult, ToolRunner
from server.backends.backend import Backend, Finish, ModelEvent, Ran, StateEvent
from server.content.json_values import from_python
from server.content.messages import mark_run
from server.core.errors import InvalidArgument
from server.core.ids import new_id
from server.exchange.answer import MOST_ROUNDS_REACHED
from server.exchange.context import Context
from server.exchange.run import RoundFinished

MOST_ROUNDS = 8
MOST_CALLS = 16
"""Run in one round; a model that asks for more is told so."""


_TOO_MANY = ToolResult(f"Not run: at most {MOST_CALLS} tools are run at once.", "too_many_calls")
_NO_MORE = ToolResult(
    "Not run: as many tools were called as the request allows (max_tool_calls).", "too_many_calls"
)
_TOO_LONG = "CONTEXT_LENGTH_EXCEEDED"


class ToolLoop:
    """Generates the whole answer of an exchange."""

    def __init__(self, backend: Backend, tools: ToolRunner) -> None:
        self._backend = backend
        self._tools = tools

    async def generate(self, context: Context, message_id: str) -> AsyncGenerator[ModelEvent | RoundFinished]:
        """Yield what the models send, and each round when it is over. Promises what `Backend.generate` does.

        Deltas of calls that the server may run are held back until it is known who runs them: what is told as
        a call is for the caller to answer.
        """
        for number in range(MOST_ROUNDS + 1):
            if number:
                await context.prepare(number, last=number == MOST_ROUNDS)
            output = _RoundOutput(context)
            generated = (
                self._shortening(context) if context.truncates else self._backend.generate(context.request)
            )
            async with aclosing(generated) as events:
                async for event in events:
                    for emitted in output.consume(event):
                        if not (number and isinstance(emitted, Ran)):
                            yield emitted
            if not output.is_for_server:
                for event in output.withheld:
                    yield event
                return
            if number == MOST_ROUNDS:  # it was to call none: nobody runs these, and nobody can answer them
                yield Finish(choice=0, reason=MOST_ROUNDS_REACHED)
                return
            over = await self._run(context, output, message_id)
            message_id = over.next_message_id
            yield over

    async def _shortening(self, context: Context) -> AsyncGenerator[ModelEvent]:
        """What the model sends; it is asked again with less as long as its provider says that its context is
        too long."""
        while True:
            try:
                async with aclosing(self._backend.generate(context.request)) as events:
                    async for event in events:
                        yield event
                return
            except InvalidArgument as error:  # never after the first delta
                if error.reason != _TOO_LONG or not context.shorten():
                    raise

    async def _run(self, context: Context, output: "_RoundOutput", message_id: str) -> RoundFinished:
        calls = output.calls()
        run = calls[: context.reserve_calls(min(len(calls), MOST_CALLS))]
        wanted = (context.offers[call.name].runs for call in run)
        destination = next((runs for runs in wanted if isinstance(runs, Destination)), None)
        member = await context.behind(destination) if destination else None
        handed = (destination, member) if destination and member else None
        results = await asyncio.gather(*(self._result(context, call, handed and destination) for call in run))
        results += [_TOO_MANY if len(run) == MOST_CALLS else _NO_MORE] * (len(calls) - len(run))
        messages = [_calling(message_id, output.text, calls, output.state), *map(_answering, calls, results)]
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


class _RoundOutput:
    """What a model said in one round, and what of it is held back."""

    def __init__(self, context: Context) -> None:
        self._runs = {name for name, offer in context.offers.items() if offer.runs is not None}
        self._names: dict[int, str] = {}
        self._deltas: list[ToolCallDelta] = []
        self._finish: Finish | None = None
        self._state_event: StateEvent | None = None
        self._needs_caller = False
        self._alone = context.request.n == 1
        self._text = StringIO()

    @property
    def is_for_server(self) -> bool:
        """Whether it is complete and every call of it is run by the server."""
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
        """What the provider wants back with it."""
        return self._state_event.state if self._state_event else None

    def consume(self, event: ModelEvent) -> list[ModelEvent]:
        """Take note of an event; what can be told now, in the order in which it came."""
        if not self._alone:
            return [event]
        if isinstance(event, ToolCallDelta):
            return self._consume_call(event)
        if isinstance(event, Finish):
            self._finish = event
            return []
        if isinstance(event, StateEvent):
            self._state_event = event
            return []
        if isinstance(event, ContentDelta) and self._runs:  # else there is no round to tell it in
            self._text.write(event.text)
        return [event]

    def _consume_call(self, delta: ToolCallDelta) -> list[ModelEvent]:
        """With the first call that is not the server's it is known that the caller is to answer all of
        them."""
        name = self._names.setdefault(delta.index, delta.name)
        if name in self._runs and not self._needs_caller:
            self._deltas.append(delta)
            return []
        self._needs_caller = True
        withheld, self._deltas = self._deltas, []
        return [*withheld, delta]

    def calls(self) -> list[ToolCall]:
        """The calls, whole and in order."""
        ids: dict[int, str] = {}
        arguments: defaultdict[int, list[str]] = defaultdict(list)
        for delta in self._deltas:
            ids[delta.index] = ids.get(delta.index) or delta.id
            arguments[delta.index].append(delta.arguments)
        return [
            ToolCall(ids[index] or f"call_{new_id()}", self._names[index], "".join(arguments[index]) or "{}")
            for index in sorted(ids)
        ]


def _calling(message_id: str, text: str, calls: list[ToolCall], state: ProviderState | None) -> Message:
    message = Message(id=message_id, role="assistant", provider_state=state)
    if text:
        message.content.CopyFrom(Value(string_value=text))
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
