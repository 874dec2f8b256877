"""Server-sent events: one event is one piece of bytes, lines end in a line feed. Knows no event of any
door."""

from secrets import token_urlsafe
from typing import Any

import orjson

DONE = b"data: [DONE]\n\n"
COMMENT = b":\n\n"
"""What clients pass over."""


_STEP = 256


def filled_up(event: dict[str, Any]) -> dict[str, Any]:
    """The event with an `obfuscation`: random text that makes its size a multiple of 256 bytes."""
    size = len(orjson.dumps({**event, "obfuscation": ""}))
    return {**event, "obfuscation": token_urlsafe(_STEP)[: -size % _STEP]}


def data(event: Any) -> bytes:
    return b"data: %b\n\n" % orjson.dumps(event)


def named(name: str, event: Any) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (name.encode(), orjson.dumps(event))
