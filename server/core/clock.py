"""Time: milliseconds since the epoch, and the forms callers read. Does not decide when anything expires."""

import time
from collections.abc import Callable
from datetime import UTC, datetime

from google.protobuf.timestamp_pb2 import Timestamp

Clock = Callable[[], int]
"""Milliseconds since the epoch."""


def now_ms() -> int:
    """Return the current time in milliseconds since the epoch."""
    return time.time_ns() // 1_000_000


_BEGAN_MS = (time.time_ns() - time.monotonic_ns()) // 1_000_000


def steady(clock: Clock) -> Clock:
    """Return the same clock for waiting: the system's, without the jumps when it is set."""
    return _steady_ms if clock is now_ms else clock


def _steady_ms() -> int:
    return _BEGAN_MS + time.monotonic_ns() // 1_000_000


def timestamp(ms: int) -> Timestamp:
    """Return a Timestamp for milliseconds since the epoch."""
    return Timestamp(seconds=ms // 1000, nanos=ms % 1000 * 1_000_000)


def ms_of(stamp: Timestamp) -> int:
    """Return the milliseconds since the epoch of a Timestamp."""
    return stamp.seconds * 1000 + stamp.nanos // 1_000_000


def rfc3339(stamp: Timestamp) -> str:
    """Return a time as documented, and as Envoy prints it: `2024-01-15T10:30:00Z`, with milliseconds if there
    are any."""
    seconds = datetime.fromtimestamp(stamp.seconds, UTC).isoformat()[:19]  # strftime takes ten times as long
    fraction = f".{stamp.nanos // 1_000_000:03d}" if stamp.nanos else ""
    return f"{seconds}{fraction}Z"


def parse_rfc3339(text: str) -> int:
    """Return milliseconds since the epoch. Raises ValueError when `text` is no RFC 3339 time; no offset means
    UTC."""
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return round(moment.timestamp() * 1000)
