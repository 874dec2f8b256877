"""The bytes of an answer on their way to an SDK: each piece is told as a sign of life, and a whole answer
becomes a stream.

Several servers answer one JSON document although a stream was asked for, whatever they say its type is. An
event stream cannot begin like one, so the first bytes tell them apart. Does not know what an answer says.
"""

from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import httpx2
import orjson

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"

Events = Callable[[Any], Iterator[tuple[str, Any]]]
"""Makes a whole answer the events of a stream, each with its name; raises ValueError for what is no
answer."""


def read_through(response: httpx2.Response, note_progress: Callable[[], None], events: Events) -> None:
    """Let the SDK read the answer as a stream, and call `note_progress` at every piece that comes."""
    response.stream = _Body(response.stream, note_progress, events)


class _Body(httpx2.AsyncByteStream):
    """What an SDK reads. Closing it closes what it reads itself."""

    def __init__(self, stream: Any, note_progress: Callable[[], None], events: Events) -> None:
        self._stream = stream
        self._note_progress = note_progress
        self._events = events
        self._head = b""
        self._begun = False
        self._whole: list[bytes] = []
        """The pieces of a JSON document."""

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for piece in self._stream:
            self._note_progress()
            if self._whole:
                self._whole.append(piece)
            elif passed_on := piece if self._begun else self._beginning(piece):
                yield passed_on
        if self._whole:
            for name, event in self._events(orjson.loads(b"".join(self._whole))):
                yield b"event: " + name.encode() + b"\ndata: " + orjson.dumps(event) + b"\n\n"

    async def aclose(self) -> None:
        await self._stream.aclose()

    def _beginning(self, piece: bytes) -> bytes:
        """What there is to pass on once it is known what the answer is: blank lines and a byte order mark
        come before it."""
        self._head += piece
        if _BYTE_ORDER_MARK.startswith(self._head):
            return b""
        found = self._head.removeprefix(_BYTE_ORDER_MARK).lstrip()
        self._head = b""
        if not found:
            return b""
        if found.startswith((b"{", b"[")):
            self._whole.append(found)
            return b""
        self._begun = True
        return found
