"""Accumulates a model's answer during one exchange, choice by choice. Publishes nothing and stores
nothing."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from io import StringIO
from typing import Any, Final

from google.protobuf.struct_pb2 import ListValue, Value

from generated.parley.v1.chat_pb2 import ChatError, ContentDelta, ReasoningDelta, ToolCallDelta
from generated.parley.v1.chat_record_pb2 import StreamPiece
from generated.parley.v1.message_pb2 import Message, ProviderState, Reasoning, ReasoningPart
from server.backends.backend import Finish, FinishReason, StateEvent
from server.content.custom_tools import sent_call
from server.content.json_values import from_python
from server.content.messages import tool_calls_of
from server.exchange.calls_key import key_of

MOST_ROUNDS_REACHED: Final = "max_tool_rounds"
"""Finish reason and error code of an answer whose model still calls tools in the last round, which allows
none."""

MOST_OUTPUT_REACHED: Final = "max_output_bytes"
"""Finish reason and error code of an answer that reaches the largest output that one exchange may have."""
_BROKEN_OFF = (None, MOST_ROUNDS_REACHED, MOST_OUTPUT_REACHED)


@dataclass(slots=True)
class _Call:
    text_before: int
    """Characters of the text that came before the call began."""
    id: str = ""
    name: str = ""
    custom: bool = False
    arguments: StringIO = field(default_factory=StringIO)
    """Those of a function; of a custom tool its input."""

    @property
    def stored(self) -> dict[str, Any]:
        text = self.arguments.getvalue()
        return sent_call({"id": self.id, "name": self.name, "input" if self.custom else "arguments": text})


@dataclass(slots=True)
class _Reasoning:
    part: ReasoningPart
    """All of it but the text."""
    text: StringIO = field(default_factory=StringIO)


@dataclass(slots=True)
class _Choice:
    rounds: list[Message] = field(default_factory=list)
    """The messages of the finished tool rounds."""
    text: StringIO = field(default_factory=StringIO)
    spoke: bool = False
    """Whether any text has come, even an empty one."""
    refusal: StringIO = field(default_factory=StringIO)
    """The part of the text that is a refusal."""
    logprobs: ListValue = field(default_factory=ListValue)
    """Of the tokens of the text."""
    calls: dict[int, _Call] = field(default_factory=dict)
    reasoning: dict[int, _Reasoning] = field(default_factory=dict)
    """By the index of the part."""
    state: ProviderState | None = None
    """The provider state to send back with the current message."""
    finish_reason: str | None = None


class Answer:
    """The choices of one exchange; a single choice may have rounds of tools before its last message."""

    def __init__(self, n: int, message_id: str) -> None:
        self._choices = [_Choice() for _ in range(n)]
        self._message_id = message_id
        """Id that was announced for the first choice's next message."""
        self.pieces: list[StreamPiece] = []
        """Where each delta begins and ends, so that a replay cuts the answer the same way. Equal pieces share
        one message: read only."""

    @property
    def begun(self) -> bool:
        """Whether the answer has any content."""
        return any(
            choice.spoke or choice.reasoning or choice.calls or choice.rounds for choice in self._choices
        )

    @property
    def unfinished(self) -> bool:
        """Whether any choice has not ended."""
        return any(choice.finish_reason is None for choice in self._choices)

    def add_text(self, delta: ContentDelta) -> None:
        """Add text to a choice. Text after a refusal joins it: a message is an answer, then perhaps a
        refusal."""
        choice, text = self._choice(delta.choice), delta.text
        choice.text.write(text)
        if delta.refusal or choice.refusal.tell():
            delta.refusal = True
            choice.refusal.write(text)
        choice.spoke = True
        logprobs = 0
        if delta.HasField("logprobs"):
            logprobs = len(delta.logprobs.values)
            choice.logprobs.values.extend(delta.logprobs.values)
        self.pieces.append(_piece(delta.choice, None, len(text), logprobs))

    def add_tool_call(self, delta: ToolCallDelta) -> None:
        """Add a delta to a choice's tool call of its index, and begin that call with its first delta."""
        choice = self._choice(delta.choice)
        call = choice.calls.setdefault(delta.index, _Call(choice.text.tell()))
        call.id = call.id or delta.id
        call.name = call.name or delta.name
        call.custom = call.custom or delta.custom
        call.arguments.write(delta.arguments)
        self.pieces.append(_piece(delta.choice, delta.index, len(delta.arguments)))

    def add_reasoning(self, delta: ReasoningDelta) -> None:
        """Append to a part of the reasoning; an unknown part begins here, behind the text and calls so far."""
        choice = self._choice(delta.choice)
        if delta.part not in choice.reasoning:
            choice.reasoning[delta.part] = _Reasoning(
                ReasoningPart(
                    summary=delta.summary,
                    characters_before=choice.text.tell(),
                    calls_before=len(choice.calls),
                    exposed=delta.exposed,
                )
            )
        choice.reasoning[delta.part].text.write(delta.text)
        self.pieces.append(_piece(delta.choice, None, len(delta.text), reasoning=delta.part))

    def add_state(self, event: StateEvent) -> None:
        """Set the provider state of the current message of a choice."""
        self._choice(event.choice).state = event.state

    def add_round(self, messages: Sequence[Message], next_message_id: str) -> None:
        """End the current message with the calls and results of its round, and begin the next one."""
        choice = self._choice(0)
        if choice.reasoning:
            messages[0].reasoning.CopyFrom(_reasoning(choice))
        choice.reasoning = {}
        choice.rounds += messages
        choice.text, choice.spoke, choice.calls, choice.state = StringIO(), False, {}, None
        choice.refusal, choice.logprobs = StringIO(), ListValue()
        self._message_id = next_message_id
        self.pieces.append(StreamPiece(length=len(messages), next_message_id=next_message_id))

    def round_state(self, message_id: str) -> ProviderState:
        """Return the provider state of a round's calls; empty when there is none."""
        states = (message.provider_state for message in self._choices[0].rounds if message.id == message_id)
        return next(states, ProviderState())

    def place_of(self, choice: int) -> int:
        """Return the index of the output message to which a delta of this choice belongs."""
        return choice or len(self._choices[0].rounds)

    def finish(self, finish: Finish) -> None:
        """End a choice."""
        self._choice(finish.choice).finish_reason = finish.reason

    def cut(self, reason: FinishReason) -> None:
        """End every unfinished choice with `reason`."""
        for choice in self._choices:
            choice.finish_reason = choice.finish_reason or reason

    def finish_reasons(self) -> list[str]:
        """Return one finish reason per choice, in the terms of the completions door."""
        return [
            "length" if choice.finish_reason in _BROKEN_OFF[1:] else choice.finish_reason or "stop"
            for choice in self._choices
        ]

    def status_and_reason(self, errors: Mapping[str, ChatError]) -> tuple[str, ChatError | None]:
        """Return completed, or incomplete with the error of the first choice that was cut short."""
        for choice in self._choices:
            if choice.finish_reason is not None and choice.finish_reason in errors:
                return "incomplete", errors[choice.finish_reason]
        return "completed", None

    def messages(self) -> list[Message]:
        """Return the messages of the first choice, round by round. An answer that broke off before its last
        message has none."""
        choice = self._choices[0]
        said = choice.spoke or choice.calls or choice.reasoning
        if choice.rounds and choice.finish_reason in _BROKEN_OFF and not said:
            return list(choice.rounds)
        last = _message(choice)
        last.id = self._message_id
        return [*choice.rounds, last]

    def alternatives(self) -> list[Message]:
        """Return the messages of the other choices."""
        return [_message(choice) for choice in self._choices[1:]]

    def _choice(self, index: int) -> _Choice:
        while index >= len(self._choices):  # a provider may send more choices than requested
            self._choices.append(_Choice())
        return self._choices[index]


@lru_cache(maxsize=4096)
def _piece(
    choice: int, tool_call: int | None, length: int, logprobs: int = 0, reasoning: int | None = None
) -> StreamPiece:
    """Return one shared message for equal pieces: an answer may have hundreds of thousands."""
    return StreamPiece(
        choice=choice, tool_call=tool_call, length=length, logprobs=logprobs, reasoning=reasoning
    )


def _reasoning(choice: _Choice) -> Reasoning:
    for one in choice.reasoning.values():
        one.part.text = one.text.getvalue()
    return Reasoning(parts=[one.part for _, one in sorted(choice.reasoning.items())])


def _message(choice: _Choice) -> Message:
    message = Message(role="assistant", reasoning=_reasoning(choice) if choice.reasoning else None)
    text = choice.text.getvalue()
    if choice.calls:
        message.tool_calls.CopyFrom(from_python([call.stored for _, call in sorted(choice.calls.items())]))
        if any(call.text_before < len(text) for call in choice.calls.values()):
            message.text_before_calls.extend([call.text_before for _, call in sorted(choice.calls.items())])
    if choice.state is not None:
        message.provider_state.CopyFrom(choice.state)
        if choice.calls:
            message.calls_key = key_of(tool_calls_of(message), choice.state)
    if refusal := choice.refusal.getvalue():
        message.refusal = refusal
    if choice.logprobs.values:
        message.logprobs.CopyFrom(choice.logprobs)
    if text or not choice.calls:
        message.content.CopyFrom(Value(string_value=text))
    return message
