"""Server-sent events: one event is one piece of bytes, lines end in a line feed. Knows the events of no door."""

from secrets import token_urlsafe
from typing import Any

import orjson

DONE = b"data: [DONE]\n\n"
COMMENT = b":\n\n"
"""A comment line, which clients ignore."""


_STEP = 256


def filled_up(event: dict[str, Any]) -> dict[str, Any]:
    """Return the event with an `obfuscation`: random text that makes its size a multiple of 256 bytes."""
    size = len(orjson.dumps({**event, "obfuscation": ""}))
    return {**event, "obfuscation": token_urlsafe(_STEP)[: -size % _STEP]}


def data(event: Any) -> bytes:
    """Return an event without a name."""
    return b"data: %b\n\n" % orjson.dumps(event)


def named(name: str, event: Any) -> bytes:
    """Return an event with a name."""
    return b"event: %b\ndata: %b\n\n" % (name.encode(), orjson.dumps(event))
