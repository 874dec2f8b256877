"""What is counted of a server. The meter here counts nothing, for a server without `--metrics`; that of
`prometheus.py` counts.

Every method is called where something happens, and must be cheap. No argument is the text of a caller but the names
of providers and models, which a meter must bound.
"""

from collections.abc import Callable
from typing import Protocol


class MethodMeter(Protocol):
    """Counts the calls of one gRPC method."""

    def begin(self) -> None:
        """Count a call that has come."""
        ...

    def end(self, code: str, seconds: float) -> None:
        """Count a call that has ended, by the name of its gRPC status."""
        ...


class Meter:
    """Counts nothing."""

    def method(self, method: str, *, streams: bool) -> MethodMeter | None:
        """Return what counts the calls of `/package.Service/Method`; None when nothing does."""
        return None

    def gauge(self, name: str, meaning: str, value: Callable[[], float]) -> None:
        """Show what `value` returns whenever metrics are read."""

    def text(self) -> str:
        """Return all metrics in Prometheus' text format."""
        return ""

    def first_token(self, provider: str, seconds: float) -> None:
        """Count the wait for a stream's first token, from the arrival of its call."""

    def inter_token(self, provider: str, seconds: float) -> None:
        """Count the time between two pieces of a stream, as they came from the provider."""

    def provider_called(self, provider: str, status: str, seconds: float) -> None:
        """Count a call of a provider, retries included, by how it ended."""

    def spent(self, provider: str, model: str, tokens: dict[str, int], usd: float) -> None:
        """Count tokens by kind, and what they cost."""

    def committed(self, writes: int, seconds: float) -> None:
        """Count one commit of the database. Called in any thread."""

    def delivered(self, kind: str, outcome: str) -> None:
        """Count an attempt of a delivery: delivered, failed, or dead."""


NO_METER = Meter()
