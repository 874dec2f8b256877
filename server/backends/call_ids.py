"""Assigns the ids under which tool calls are sent: in the form that the provider accepts, each for one call
of the history.

A history may have calls of several providers, and several servers use the same ids in every answer. Stores
nothing.
"""

import hashlib
import re
from collections import defaultdict, deque
from collections.abc import Iterable
from typing import Any, NamedTuple


class Form(NamedTuple):
    """The ids that a provider accepts, and the form of generated replacements."""

    pattern: re.Pattern[str]
    prefix: str = "call_"
    digits: int = 24


_ANY = Form(re.compile(".+", re.DOTALL))
_OPENAI = Form(re.compile(".{1,40}", re.DOTALL))
_FORMS = {
    "openai": _OPENAI,
    "azure-openai": _OPENAI,
    "anthropic": Form(re.compile("[a-zA-Z0-9_-]{1,64}")),
    "mistral": Form(re.compile("[a-zA-Z0-9]{9}"), "", 9),
}


class CallIds:
    """The ids of one request, whose messages are converted in their order."""

    def __init__(self, provider: str) -> None:
        self._form = _FORMS.get(provider, _ANY)
        self._used: set[str] = set()
        self._tried: defaultdict[str, int] = defaultdict(int)
        self._unanswered: dict[str, deque[str]] = {}

    def of_calls(self, calls: Iterable[dict[str, Any]]) -> list[str]:
        """Return the ids under which the calls of a message are sent: their own where possible."""
        self._unanswered = defaultdict(deque)
        sent = []
        for call in calls:
            sent.append(self._unused(call["id"]))
            self._unanswered[call["id"]].append(sent[-1])
        return sent

    def of_result(self, call_id: str) -> str:
        """Return the id under which the call was sent that the next result of this id answers."""
        waiting = self._unanswered.get(call_id)
        return waiting.popleft() if waiting else call_id

    def _unused(self, call_id: str) -> str:
        """Return an unused id, always the same for the same history: a provider's prompt cache would miss
        otherwise."""
        found = call_id
        while found in self._used or not self._form.pattern.fullmatch(found):
            self._tried[call_id] += 1
            made = hashlib.sha256(f"{self._tried[call_id]} {call_id}".encode()).hexdigest()
            found = self._form.prefix + made[: self._form.digits]
        self._used.add(found)
        return found
