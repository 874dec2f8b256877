"""The thinking blocks of Anthropic's Messages API: emitted as summaries, stored as they arrive, and sent back in
their places.

The API refuses a tool round without them, and summarizes what its models think.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from generated.parley.v1.chat_pb2 import ReasoningDelta
from generated.parley.v1.message_pb2 import ThinkingBlock
from server.backends.backend import ModelRequest, StateEvent
from server.backends.calls import Call
from server.backends.state import new_state

_THINKING = ("thinking", "redacted_thinking")


class Thoughts:
    """Reads the thinking of one answer."""

    def __init__(self, request: ModelRequest, call: Call) -> None:
        self._call = call
        self._state = new_state(request) if request.tools else None
        """None when no tools are offered, and so nothing has to be stored."""
        self._open: dict[int, _Thought] = {}
        self._begun = 0
        self.characters = 0
        """Length of the answer's text so far."""

    def begin(self, place: int, block: dict[str, Any], *, calls_before: int) -> Iterator[ReasoningDelta]:
        """Begin a block; blocks of other types are ignored. That the model thinks is emitted even when the API omits
        or encrypts what."""
        if block.get("type") not in _THINKING:
            return
        self._open[place] = thought = _Thought(
            ThinkingBlock(characters_before=self.characters, calls_before=calls_before), self._begun
        )
        self._begun += 1
        if block["type"] == "redacted_thinking":
            thought.block.data = self._text(block.get("data"))
        yield ReasoningDelta(part=thought.part, summary=True)
        yield from self.add(place, block)

    def add(self, place: int, members: dict[str, Any]) -> Iterator[ReasoningDelta]:
        """Add a delta to the block with this index, if that is a thinking block."""
        if thought := self._open.get(place):
            text = self._text(members.get("thinking"))
            thought.text.append(text)
            thought.signature.append(self._text(members.get("signature")))
            if text:
                yield ReasoningDelta(text=text, part=thought.part, summary=True)

    def end(self, place: int) -> None:
        """Complete a block; blocks of other types are ignored."""
        if (thought := self._open.pop(place, None)) and self._state is not None:
            self._state.thinking.append(thought.whole())

    def state_events(self) -> Iterator[StateEvent]:
        """Yield the state to store with the answer, if it has thinking."""
        if self._state is not None and self._state.thinking:
            yield StateEvent(0, self._state)

    def _text(self, text: Any) -> str:
        return self._call.accept(text) if isinstance(text, str) else ""


class _Thought:
    """A thinking block that is being received."""

    def __init__(self, block: ThinkingBlock, part: int) -> None:
        self.block = block
        self.part = part
        self.text: list[str] = []
        self.signature: list[str] = []

    def whole(self) -> ThinkingBlock:
        self.block.thinking, self.block.signature = "".join(self.text), "".join(self.signature)
        return self.block


def may_think(thinking: dict[str, Any] | None, turns: Sequence[dict[str, Any]]) -> bool:
    """Whether a request may enable thinking and contain earlier thinking blocks.

    With thinking enabled, an open tool round must begin with a thinking block, which a round from another
    provider lacks: platform.claude.com/docs/en/build-with-claude/extended-thinking, "Extended thinking with
    tool use".
    """
    kind = (thinking or {}).get("type")
    if kind != "enabled":
        return kind != "disabled"
    first = None
    for turn in reversed(turns):
        if turn["role"] == "assistant":
            first = turn
        # the user says something: a new turn begins
        elif any(block["type"] != "tool_result" for block in turn["content"]):
            break
    calls = first is not None and any(block["type"] == "tool_use" for block in first["content"])
    return first is None or not calls or first["content"][0]["type"] in _THINKING


def without_thinking(turns: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the turns without their thinking blocks."""
    return [
        {**turn, "content": [block for block in turn["content"] if block["type"] not in _THINKING]}
        for turn in turns
    ]


def with_thinking(
    text: str, thinking: Iterable[ThinkingBlock], content: list[dict[str, Any]], calls: list[dict[str, Any]]
) -> list[dict[str, Any]]:
    """Return the blocks of a message with its thinking blocks, in the original order: the API accepts no
    other."""
    blocks: list[dict[str, Any]] = []
    at = called = 0
    for thought in thinking:
        if at < thought.characters_before:
            blocks += _text_between(text, at, thought.characters_before)
            at = thought.characters_before
        if called < thought.calls_before:
            blocks += calls[called : thought.calls_before]
            called = thought.calls_before
        blocks.append(_block(thought))
    return blocks + (_text_between(text, at, len(text)) if at else content) + calls[called:]


def _text_between(text: str, start: int, end: int) -> list[dict[str, Any]]:
    return [{"type": "text", "text": text[start:end]}] if text[start:end].strip() else []


def _block(thought: ThinkingBlock) -> dict[str, Any]:
    if thought.HasField("data"):
        return {"type": "redacted_thinking", "data": thought.data}
    return {"type": "thinking", "thinking": thought.thinking, "signature": thought.signature}
