"""How far a model provider is trusted: the sizes and times that bound one call of it.

Does not enforce them; `event_stream.py` and `client.py` count bytes, `calls.py` the rest.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Bounds of one call, beside the request's own `timeout_seconds`."""

    attempts: int = 3
    """How often a call is sent in all."""
    connect_seconds: float = 10.0
    """For name resolution, connection and TLS, of one attempt."""
    stall_seconds: float = 120.0
    """Longest silence. Comments and pings end it; reasoning models are quiet for a minute or more."""
    longest_wait_seconds: float = 60.0
    """A Retry-After beyond this is passed on to the caller instead of waited for."""
    event_bytes: int = 1 << 20
    """One event of a stream, its line ends and comments included."""
    body_bytes: int = 512 << 20
    """One answer, framing included; a token takes some 300 bytes of it."""
    error_bytes: int = 64 << 10
    """What is read of an error's body."""
    generated_characters: int = 4 << 20
    """Text and tool arguments of one call, all choices together."""

    @property
    def document_bytes(self) -> int:
        """One answer that comes whole. JSON takes up to six bytes for a character, and has members beside
        what was generated."""
        return min(self.body_bytes, 6 * self.generated_characters + self.event_bytes)
