"""The sizes and times that bound one call of a model provider.

Does not enforce them; `event_stream.py` and `client.py` count bytes, `calls.py` the rest.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Bounds of one call, beside the request's own `timeout_seconds`."""

    attempts: int = 3
    """Maximum number of attempts, the first included."""
    connect_seconds: float = 10.0
    """Time limit for name resolution, connection and TLS of one attempt."""
    stall_seconds: float = 120.0
    """Longest silence. Comments and pings end it; reasoning models are quiet for a minute or more."""
    longest_wait_seconds: float = 60.0
    """Longest Retry-After that is waited for; a longer one is passed on to the caller."""
    event_bytes: int = 1 << 20
    """Size limit of one event of a stream, including its line ends and comments."""
    body_bytes: int = 512 << 20
    """Size limit of one answer, including framing; a token takes some 300 bytes of it."""
    error_bytes: int = 64 << 10
    """Bytes read of an error's body."""
    generated_characters: int = 4 << 20
    """Size limit of the text and tool arguments of one call, all choices together."""

    @property
    def document_bytes(self) -> int:
        """Size limit of an answer in one document. JSON takes up to six bytes for a character, and has members
        besides the generated text."""
        return min(self.body_bytes, 6 * self.generated_characters + self.event_bytes)
