"""Server-sent events: one event is one piece of bytes, lines end in a line feed. Knows no event of any door."""

from typing import Any

import orjson

DONE = b"data: [DONE]\n\n"
COMMENT = b":\n\n"
"""What clients pass over."""


def data(event: Any) -> bytes:
    return b"data: %b\n\n" % orjson.dumps(event)


def named(name: str, event: Any) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (name.encode(), orjson.dumps(event))
