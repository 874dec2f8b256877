"""What a client is made with: the connection, the key, deadlines and repeats. Opens nothing."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import grpc

_KEY = re.compile(r"[!-~]+")


@dataclass(frozen=True)
class Retry:
    """How often and after how long a call is repeated, and a stream resumed. Delays double, with jitter."""

    attempts: int = 8
    """The first one counts. Of a stream: the attempts since its last event."""
    first_delay: float = 0.2
    longest_delay: float = 5.0

    def __post_init__(self) -> None:
        if self.attempts < 1:
            raise ValueError(f"attempts is {self.attempts} and must be at least 1; 1 repeats nothing")
        if not 0 < self.first_delay <= self.longest_delay:
            raise ValueError("first_delay must be more than 0, and longest_delay at least as long")


@dataclass(frozen=True)
class Options:
    """Everything but the address. TLS with the system's certificates unless said otherwise."""

    api_key: str = field(repr=False)
    plaintext: bool = False
    """Without TLS: whoever sees the traffic sees the key."""
    root_certificates: bytes | None = None
    """The certificates of an own CA, in PEM."""
    timeout: float | None = 60.0
    """Seconds that a unary call may take with all its repeats; None for no deadline."""
    retry: Retry = Retry()
    keepalive: float | None = 30.0
    """Seconds between pings while a call waits, so that a connection that is silently gone is noticed; None for
    none."""
    most_received_bytes: int = 4 * 1024 * 1024
    most_sent_bytes: int | None = None
    channel_options: Sequence[tuple[str, Any]] = ()
    """gRPC channel arguments, which come last and so win."""

    def __post_init__(self) -> None:
        if not _KEY.fullmatch(self.api_key):
            raise ValueError("api_key must be visible ASCII characters without spaces; it goes into a header")
        if self.plaintext and self.root_certificates is not None:
            raise ValueError("plaintext and root_certificates are mutually exclusive: give one of them")
        if self.timeout is not None and self.timeout <= 0:
            raise ValueError(f"timeout is {self.timeout} and must be more than 0; None sets no deadline")

    @property
    def metadata(self) -> tuple[tuple[str, str], ...]:
        """What goes with every call."""
        return (("authorization", f"Bearer {self.api_key}"),)

    def credentials(self) -> grpc.ChannelCredentials:
        """Those of a channel with TLS."""
        return grpc.ssl_channel_credentials(self.root_certificates)

    def arguments(self) -> list[tuple[str, Any]]:
        """The channel arguments. A connection is tried again soon, so that a restart is a short pause."""
        chosen: list[tuple[str, Any]] = [
            ("grpc.max_receive_message_length", self.most_received_bytes),
            ("grpc.initial_reconnect_backoff_ms", 100),
            ("grpc.min_reconnect_backoff_ms", 100),
            ("grpc.max_reconnect_backoff_ms", 2000),
        ]
        if self.most_sent_bytes is not None:
            chosen.append(("grpc.max_send_message_length", self.most_sent_bytes))
        if self.keepalive is not None:
            chosen.append(("grpc.keepalive_time_ms", int(self.keepalive * 1000)))
        return [*chosen, *self.channel_options]
