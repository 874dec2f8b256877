"""Cuts the body of a model's answer into events: a stream of server-sent events, or one JSON document.

Several servers answer with one document to a request for a stream, or with a stream to a request for a
document, whatever the Content-Type. An event stream cannot begin like JSON, so the first bytes distinguish
them. Bounds its buffers; does not interpret events, and does not wait for anything.
"""

import re
from typing import NamedTuple

from server.core.outbound.limits import Limits

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_EVENT_ENDS = (b"\n\n", b"\r\n\r\n", b"\r\r")
_LINE_END = re.compile(rb"\r\n|\n|\r")


class Event(NamedTuple):
    """One event of a stream that has data."""

    name: str
    """Its type; empty when it has none."""
    data: bytes


class EventReader:
    """Cuts the body of one answer. Sets `is_too_large` once the body or an event exceeds its limit; events
    that were complete before count."""

    def __init__(self, limits: Limits) -> None:
        self._body_left = limits.body_bytes
        self._event_bytes = limits.event_bytes
        self._document_bytes = limits.document_bytes
        self.is_too_large = False
        self._begun = False
        self._head = b""
        """The first bytes, until they show which kind of body it is."""
        self._partial: list[bytes] = []
        """The pieces of the incomplete line."""
        self._after_return = False
        self._document: list[bytes] | None = None
        self._in_document = 0
        self._in_event = 0
        self._tail = b""
        self._name = b""
        self._data: list[bytes] = []

    def feed(self, piece: bytes) -> list[Event]:
        """Return the events that this piece completes."""
        self._body_left -= len(piece)
        if self._body_left < 0:
            self.is_too_large = True
            return []
        if not self._begun:
            piece = self._beginning(piece)
            if not piece:
                return []
        if self._document is not None:
            self._document.append(piece)
            self._in_document += len(piece)
            self.is_too_large = self._in_document > self._document_bytes
            return []
        self._count(piece)
        between = not (self._partial or self._data or self._name or self._after_return)
        if between and piece.endswith(b"\n\n") and b"\r" not in piece:
            return self._whole_events(piece)
        return self._lines(piece)

    @property
    def document(self) -> bytes | None:
        """The JSON document, when the body is one."""
        return None if self._document is None else b"".join(self._document)

    def _beginning(self, piece: bytes) -> bytes:
        """Return the bytes to read once the kind of body is known; blank lines and a byte order mark may come
        before it."""
        head = self._head + piece
        self._head = b""
        if len(head) < len(_BYTE_ORDER_MARK) and _BYTE_ORDER_MARK.startswith(head):
            self._head = head
            return b""
        found = head.removeprefix(_BYTE_ORDER_MARK).lstrip()
        if not found:
            self._head = head[:3] if head.startswith(_BYTE_ORDER_MARK) else b""
            return b""
        if found.startswith((b"{", b"[")):
            self._document = []
        self._begun = True
        return found

    def _count(self, piece: bytes) -> None:
        """Count the bytes since the last event's end, line ends and comments included."""
        if piece.endswith(b"\n\n"):
            self._in_event, self._tail = 0, b"\n\n"
            return
        seen = self._tail + piece
        self._tail = seen[-3:]  # an event's end can be split over pieces
        end = max(seen.rfind(mark) + len(mark) if mark in seen else 0 for mark in _EVENT_ENDS)
        self._in_event = len(seen) - end if end else self._in_event + len(piece)
        self.is_too_large = self._in_event > self._event_bytes

    def _whole_events(self, piece: bytes) -> list[Event]:
        """Return the events of a piece that is nothing but whole events, which is the usual case."""
        events: list[Event] = []
        for block in piece.split(b"\n\n"):
            if block.startswith(b"data: ") and b"\n" not in block:
                events.append(Event("", block[6:]))
            elif block:
                for line in block.split(b"\n"):
                    self._line(line, events)
                self._line(b"", events)
        return events

    def _lines(self, piece: bytes) -> list[Event]:
        if self._after_return:
            piece = piece.removeprefix(b"\n")  # the second half of a line end
        self._after_return = piece.endswith(b"\r") or (self._after_return and not piece)
        if b"\n" not in piece and b"\r" not in piece:
            self._partial.append(piece)
            return []
        *lines, rest = _LINE_END.split(b"".join((*self._partial, piece)))
        self._partial = [rest] if rest else []
        events: list[Event] = []
        for line in lines:
            self._line(line, events)
        return events

    def _line(self, line: bytes, events: list[Event]) -> None:
        if not line:
            if self._data:
                events.append(Event(self._name.decode(errors="replace"), b"\n".join(self._data)))
                self._data = []
            self._name = b""
            return
        name, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if name == b"data":
            self._data.append(value)
        elif name == b"event":
            self._name = value
