"""Tracks a tool call while a server compatible with OpenAI sends it: which delta continues it, and which
begins another.

Emits nothing (`openai.py` does).
"""

import json
from typing import Any

_MOST_TRIES = 32


class ToolCall:
    """One call that is being received."""

    def __init__(self, place: Any, call_id: str | None) -> None:
        self.place = place
        """The provider's own index of it."""
        self.id = call_id
        """The provider's own id of it."""
        self.index: int | None = None
        """Its index among the emitted calls; None until it is emitted."""
        self.name: str | None = None
        self.custom = False
        """Whether its tool is a custom one, whose input comes in place of arguments."""
        self.arguments: list[str] = []
        self.emitted_id: str | None = None
        self.extra = ""
        """Its `extra_content`, as JSON."""
        self._tries = 0

    @property
    def has_arguments(self) -> bool:
        """Whether any text of the arguments has arrived."""
        return any(self.arguments)

    def is_followed(self, place: Any, call_id: str | None, name: str | None) -> bool:
        """Whether a delta without this call's id begins another call: several servers give all calls of an
        answer one index.

        Others send an id or the name with every piece, so these alone do not begin a new one.
        """
        if self.name is None:
            return place is None and None not in (call_id, self.id)
        if call_id and self.id:
            return place is None or bool(name) or self._is_whole
        return bool(name) and (name != self.name or self._is_whole)

    @property
    def _is_whole(self) -> bool:
        """Whether the arguments so far are a JSON object. The number of tries is limited: each one parses all
        of them."""
        if (
            self.custom
            or self._tries >= _MOST_TRIES
            or not self.arguments
            or not self.arguments[-1].rstrip().endswith("}")
        ):
            return False
        self._tries += 1
        try:
            return isinstance(json.loads("".join(self.arguments)), dict)
        except (ValueError, RecursionError):
            return False
