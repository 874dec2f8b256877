"""What servers that speak chat completions want back with their messages: reasoning, and what their tool calls carry.

Tells nobody what is in it.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import orjson

from generated.parley.v1.message_pb2 import ExtraContent, ProviderState
from server.backends.backend import Kept
from server.backends.calls import Call

# Gemini 3 refuses calls without a signature, and takes this one for calls that another model made:
# ai.google.dev/gemini-api/docs/thought-signatures
_NO_SIGNATURE = {"google": {"thought_signature": "skip_thought_signature_validator"}}


class Reasoning:
    """Reads what is to be kept of one choice. `state` is None when no tools are offered, and so nothing has to be."""

    def __init__(self, state: ProviderState | None, call: Call) -> None:
        self._state = state
        self._call = call
        self._text: list[str] = []

    def add(self, delta: Mapping[str, Any]) -> None:
        if self._state is not None and isinstance(text := delta.get("reasoning_content"), str):
            self._text.append(self._call.accept(text))

    def extra_of(self, call: Mapping[str, Any]) -> str:
        """The `extra_content` of a tool call, as JSON; nothing when it has none."""
        if not isinstance(extra := call.get("extra_content"), dict):
            return ""
        try:
            return self._call.accept(orjson.dumps(extra).decode())
        except TypeError:  # half of a character, or nested too deeply
            raise self._call.unreadable() from None

    def kept(self, choice: int, extras: Mapping[str, str]) -> Iterator[Kept]:
        """What is to be kept with the choice, if there is anything; `extras` by the ids of the calls."""
        if self._state is None:
            return
        self._state.extra_content.extend(
            ExtraContent(call_id=call_id, json=extra) for call_id, extra in extras.items() if extra)
        if any(self._text):
            self._state.reasoning_content = "".join(self._text)
        if self._state.extra_content or self._state.HasField("reasoning_content"):
            yield Kept(choice, self._state)


def add_state(sent: dict[str, Any], state: ProviderState | None, provider: str) -> None:
    """Send back what the provider wants with its own messages, and what it accepts with those that others made."""
    calls = sent.get("tool_calls", ())
    extras = {extra.call_id: extra.json for extra in state.extra_content} if state else {}
    for call in calls:
        if call["id"] in extras:
            call["extra_content"] = orjson.loads(extras[call["id"]])
    if provider == "google" and calls and not extras:  # it signs the first of parallel calls alone
        calls[0]["extra_content"] = _NO_SIGNATURE
    if state and state.HasField("reasoning_content"):
        sent["reasoning_content"] = state.reasoning_content
    elif provider == "deep-seek" and calls:  # refuses calls without the member: api-docs.deepseek.com/guides/thinking_mode
        sent["reasoning_content"] = ""
