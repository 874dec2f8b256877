"""The thinking blocks of Anthropic's Messages API: stored as they come, and sent back in their places.

The API refuses a round of tools without them. Publishes none of their content.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

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
        """None when no tools are offered, and so nothing has to be kept."""
        self._open: dict[int, _Thought] = {}
        self.characters = 0
        """How much text the answer has so far."""

    def begin(self, place: int, block: dict[str, Any], *, calls_before: int) -> None:
        """A block begins; it may be of another type."""
        if block.get("type") not in _THINKING or self._state is None:
            return
        self._open[place] = thought = _Thought(
            ThinkingBlock(characters_before=self.characters, calls_before=calls_before)
        )
        if block["type"] == "redacted_thinking":
            thought.block.data = self._text(block.get("data"))
        self.add(place, block)

    def add(self, place: int, members: dict[str, Any]) -> None:
        """Add what a delta has for the block at this place, if that is one of thinking."""
        if thought := self._open.get(place):
            thought.text.append(self._text(members.get("thinking")))
            thought.signature.append(self._text(members.get("signature")))

    def end(self, place: int) -> None:
        """A block is whole; it may be of another type."""
        if self._state is not None and (thought := self._open.pop(place, None)):
            self._state.thinking.append(thought.whole())

    def state_events(self) -> Iterator[StateEvent]:
        """What is to be kept with the answer, if it has thinking."""
        if self._state is not None and self._state.thinking:
            yield StateEvent(0, self._state)

    def _text(self, text: Any) -> str:
        return self._call.accept(text) if isinstance(text, str) else ""


class _Thought:
    """A block of thinking that is being sent."""

    def __init__(self, block: ThinkingBlock) -> None:
        self.block = block
        self.text: list[str] = []
        self.signature: list[str] = []

    def whole(self) -> ThinkingBlock:
        self.block.thinking, self.block.signature = "".join(self.text), "".join(self.signature)
        return self.block


def may_think(thinking: dict[str, Any] | None, turns: Sequence[dict[str, Any]]) -> bool:
    """Whether the model can be asked to think now, and be sent what it has thought.

    With thinking enabled, a round of tools that is open has to begin with a thinking block, which one of
    another provider's has not: platform.claude.com/docs/en/build-with-claude/extended-thinking, "Extended
    thinking with tool use".
    """
    kind = (thinking or {}).get("type")
    if kind != "enabled":
        return kind != "disabled"
    first = None
    for turn in reversed(turns):
        if turn["role"] == "assistant":
            first = turn
        # something was said: another turn begins
        elif any(block["type"] != "tool_result" for block in turn["content"]):
            break
    calls = first is not None and any(block["type"] == "tool_use" for block in first["content"])
    return first is None or not calls or first["content"][0]["type"] in _THINKING


def without_thinking(turns: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    return [
        {**turn, "content": [block for block in turn["content"] if block["type"] not in _THINKING]}
        for turn in turns
    ]


def with_thinking(
    text: str, thinking: Iterable[ThinkingBlock], content: list[dict[str, Any]], calls: list[dict[str, Any]]
) -> list[dict[str, Any]]:
    """The blocks of a message with those of its thinking, in the order in which they came: the API wants no
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
