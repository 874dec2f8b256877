"""Answers that an input repeats item by item behind their reasoning: one message again, as its provider wants it
back.

Parses no items (`inputs.py`).
"""

from collections.abc import Mapping, Sequence
from typing import Any

from google.protobuf.struct_pb2 import Value

from generated.parley.v1.message_pb2 import Message, Reasoning, ReasoningPart
from server.content.messages import mark_run, text_of, tool_calls_of
from server.content.sealing import Opened


class RepeatedAnswers:
    """Puts the items of each answer behind a reasoning item with provider state into one message."""

    def __init__(self, opened: Mapping[int, Opened]) -> None:
        self._opened = opened
        self._answer: Message | None = None
        """The answer whose items follow."""
        self._results: list[Message] = []
        """Those of its calls that the server ran."""
        self._text = ""
        self._before: list[int] = []
        """Number of characters of its text before each of its calls."""

    def begin(self, index: int, item: Mapping[str, Any], messages: Sequence[Message]) -> None:
        """Take a reasoning item at this place of the input, behind these messages."""
        content = self._opened.get(index)
        if content is None or not content.state.provider:
            self._answer = None
        elif content.is_behind:
            if messages and messages[-1].role == "assistant":
                messages[-1].provider_state.CopyFrom(content.state)
            self._answer = None
        else:
            self._answer = Message(
                role="assistant", provider_state=content.state, reasoning=_reasoning_of(item)
            )
            self._results, self._text, self._before = [], "", []

    def take(self, found: Sequence[Message]) -> list[Message] | None:
        """Make the messages of an item part of the answer. Return the messages that are new by that; None when
        the item is no part of one."""
        answer, (message, *results) = self._answer, found
        if answer is None or message.role != "assistant" or (self._results and not results):
            self._answer = None
            return None
        is_new = not (self._text or self._before or answer.refusal)
        if message.HasField("tool_calls"):
            self._add_calls(answer, message)
        elif message.content.HasField("string_value") or is_new or text_of(message):
            self._add_text(answer, message)
        for result in results:
            mark_run([message, result])
            self._results.append(result)
        if results:
            answer.run_by_server.SetInParent()
        return [*([answer] if is_new else []), *results]

    def _add_calls(self, answer: Message, message: Message) -> None:
        self._before += [len(self._text)] * len(tool_calls_of(message))
        answer.tool_calls.list_value.values.extend(message.tool_calls.list_value.values)
        self._mark()

    def _add_text(self, answer: Message, message: Message) -> None:
        self._text += text_of(message)
        if message.refusal:
            answer.refusal = message.refusal
        answer.content.CopyFrom(Value(string_value=self._text))
        self._mark()

    def _mark(self) -> None:
        """Note where the calls began, unless all text came before them."""
        assert self._answer is not None
        self._answer.ClearField("text_before_calls")
        if any(place < len(self._text) for place in self._before):
            self._answer.text_before_calls.extend(self._before)


def _reasoning_of(item: Mapping[str, Any]) -> Reasoning:
    """The texts of a reasoning item. Whoever sends them may read them."""
    parts = {name: given for name in ("summary", "content") if isinstance(given := item.get(name), list)}
    return Reasoning(
        parts=[
            ReasoningPart(text=part["text"], summary=name == "summary", exposed=True)
            for name, given in parts.items()
            for part in given
            if isinstance(part, dict) and isinstance(part.get("text"), str) and "\0" not in part["text"]
        ]
    )
