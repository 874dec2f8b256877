"""Clients of Parley: `Client` blocks, `AsyncClient` runs on an event loop; both have a property per service."""

from parley_client._aio import AsyncStream
from parley_client._sync import Stream
from parley_client.client import AsyncClient, Client
from parley_client.errors import (
    Aborted,
    Cancelled,
    DeadlineExceeded,
    FailedPrecondition,
    Internal,
    InvalidArgument,
    NotFound,
    ParleyError,
    PermissionDenied,
    ResourceExhausted,
    Unauthenticated,
    Unavailable,
    Violation,
)
from parley_client.options import Options, Retry

__all__ = [
    "Aborted",
    "AsyncClient",
    "AsyncStream",
    "Cancelled",
    "Client",
    "DeadlineExceeded",
    "FailedPrecondition",
    "Internal",
    "InvalidArgument",
    "NotFound",
    "Options",
    "ParleyError",
    "PermissionDenied",
    "ResourceExhausted",
    "Retry",
    "Stream",
    "Unauthenticated",
    "Unavailable",
    "Violation",
]
