"""The reasoning of servers that speak chat completions: what is emitted of it, and what they want back with
their messages, their tool calls' extra members included.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import orjson

from generated.parley.v1.chat_pb2 import ReasoningDelta
from generated.parley.v1.message_pb2 import ExtraContent, ProviderState
from server.backends.backend import StateEvent
from server.backends.calls import Call
from server.backends.dialects import dialect_of
from server.content.json_values import encodable

# Gemini 3 refuses calls without a signature, and accepts this one for calls from another model:
# ai.google.dev/gemini-api/docs/thought-signatures
_NO_SIGNATURE = {"google": {"thought_signature": "skip_thought_signature_validator"}}
_IN_PIECES = ("reasoning.text", "reasoning.summary")
_STREAMED = ("text", "summary")


class Reasoning:
    """Reads the reasoning of one choice. `state` is None when no tools are offered, and so nothing has to be
    sent back."""

    def __init__(self, state: ProviderState | None, call: Call) -> None:
        self._state = state
        self._call = call
        self._text: list[str] = []
        self._details: list[_Detail] = []
        self._part = -1
        self._begun: tuple[str, Any] | None = None
        """The member, and the index of the detail, that the latest part is made of."""

    def add(self, choice: int, delta: Mapping[str, Any]) -> Iterator[ReasoningDelta]:
        """Note what has to be sent back, and yield what is new. Servers that send the same text under several
        names have it counted once."""
        if self._state is not None and isinstance(text := delta.get("reasoning_content"), str):
            self._text.append(self._call.accept(text))
        details = delta.get("reasoning_details")
        details = [one for one in details if isinstance(one, dict)] if isinstance(details, list) else []
        if self._state is not None:
            for detail in details:
                self._add_detail(detail)
        for name, index, text in _texts(delta, details):
            if (name, index) != self._begun:
                self._begun, self._part = (name, index), self._part + 1
            # what is sent back was counted above
            counted = self._state is not None and name != "reasoning"
            yield ReasoningDelta(
                choice=choice,
                text=encodable(text) if counted else self._call.accept(text),
                part=self._part,
                summary=name == "summary",
            )

    def _add_detail(self, detail: dict[str, Any]) -> None:
        """Add a detail: they arrive in pieces, but are sent back whole."""
        if not (self._details and self._details[-1].goes_on(detail)):
            self._details.append(_Detail())
        self._details[-1].add(detail, self._call)

    def extra_of(self, call: Mapping[str, Any]) -> str:
        """Return the `extra_content` of a tool call as JSON; empty when it has none."""
        if not isinstance(extra := call.get("extra_content"), dict):
            return ""
        return self._call.accept(_json(extra, self._call))

    def state_events(self, choice: int, extras: Mapping[str, str]) -> Iterator[StateEvent]:
        """Yield the state to store with the choice, if it is not empty; `extras` by the ids of the calls."""
        if self._state is None:
            return
        self._state.extra_content.extend(
            ExtraContent(call_id=call_id, json=extra) for call_id, extra in extras.items() if extra
        )
        if any(self._text):
            self._state.reasoning_content = "".join(self._text)
        self._state.reasoning_details.extend(_json(detail.whole(), self._call) for detail in self._details)
        if (
            self._state.extra_content
            or self._state.reasoning_details
            or self._state.HasField("reasoning_content")
        ):
            yield StateEvent(choice, self._state)


def _texts(delta: Mapping[str, Any], details: Sequence[dict[str, Any]]) -> Iterator[tuple[str, Any, str]]:
    """Yield the texts of reasoning in a delta, each with the member and the index of the detail that has it."""
    found = [
        (name, detail.get("index"), detail[name])
        for detail in details
        for name in _STREAMED
        if isinstance(detail.get(name), str)
    ]
    for name in () if found else ("reasoning_content", "reasoning"):
        if isinstance(text := delta.get(name), str) and text:
            found = [(name, None, text)]
            break
    yield from (one for one in found if one[2])


class _Detail:
    """One of OpenRouter's `reasoning_details`: openrouter.ai/docs/use-cases/reasoning-tokens"""

    def __init__(self) -> None:
        self._members: dict[str, Any] = {}
        self._pieces: dict[str, list[str]] = {name: [] for name in _STREAMED}

    def goes_on(self, detail: Mapping[str, Any]) -> bool:
        """Whether a detail is another piece of this one."""
        return detail.get("type") in _IN_PIECES and all(
            detail.get(name) == self._members.get(name) for name in ("type", "index")
        )

    def add(self, detail: Mapping[str, Any], call: Call) -> None:
        for name, value in detail.items():
            if name in _STREAMED and isinstance(value, str):
                self._pieces[name].append(call.accept(value))
            elif value is not None or name not in self._members:
                call.accept(_json(value, call))
                self._members[name] = value

    def whole(self) -> dict[str, Any]:
        return self._members | {name: "".join(pieces) for name, pieces in self._pieces.items() if pieces}


def _json(value: Any, call: Call) -> str:
    try:
        return orjson.dumps(value).decode()
    except TypeError:  # half of a surrogate pair, or nested too deeply
        raise call.unreadable() from None


def add_state(sent: dict[str, Any], state: ProviderState | None, provider: str) -> None:
    """Add to a message the state that its provider sent, and the placeholders that it accepts for other
    models' messages."""
    calls = sent.get("tool_calls", ())
    extras = {extra.call_id: extra.json for extra in state.extra_content} if state else {}
    for call in calls:
        if call["id"] in extras:
            call["extra_content"] = orjson.loads(extras[call["id"]])
    # it signs the first of parallel calls only
    if provider == "google" and calls and "extra_content" not in calls[0]:
        calls[0]["extra_content"] = _NO_SIGNATURE
    if not dialect_of(provider).reasoning:
        return
    if state and state.reasoning_details:
        sent["reasoning_details"] = [orjson.loads(detail) for detail in state.reasoning_details]
    if state and state.HasField("reasoning_content"):
        sent["reasoning_content"] = state.reasoning_content
    # refuses tool rounds without the member: api-docs.deepseek.com/guides/thinking_mode
    elif provider == "deep-seek":
        sent["reasoning_content"] = ""
