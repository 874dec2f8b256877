"""How much is measured."""

from typing import NamedTuple

from tests.bench.upstream import REAL, Pace


class Sizes(NamedTuple):
    """What the options of `scripts/bench` set."""

    rounds: int = 3
    """How often each side has its turn."""
    calls: int = 1_000
    """In a turn against the offline model."""
    messages: int = 500_000
    peers: tuple[str, ...] = ("fastapi", "litellm", "floor", "envoy")
    tokens: int = REAL.tokens
    """Of an answer of the real model."""
    streams: int = 32
    """At a time, with a real model."""
    waves: int = 3
    """How often each of them is asked in a turn."""
    first_calls: int = 100
    gap_streams: int = 100
    idle_streams: int = 1_000
    precision: float = 0.08
    """Of the streams that one core carries."""
    attempts: int = 2
    """At a number of streams, before they are too many: others use the machine too."""
    priority: int = 0
    is_quick: bool = False

    @property
    def pace(self) -> Pace:
        return REAL._replace(tokens=self.tokens)


QUICK = Sizes(
    rounds=1,
    calls=300,
    messages=50_000,
    waves=1,
    first_calls=20,
    idle_streams=500,
    precision=0.25,
    is_quick=True,
)
