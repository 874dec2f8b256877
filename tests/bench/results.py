"""What a measurement finds: goals, met or missed, and plots of the figures behind them."""

from collections.abc import Sequence
from typing import NamedTuple

from server.cli.plots import Bars, Lines


class Goal(NamedTuple):
    """One line of the table."""

    id: str
    title: str
    goal: str
    measured: float
    unit: str
    is_met: bool


class Run(NamedTuple):
    """How long a measurement took, and how many cores other processes used meanwhile: times that were taken
    on a busy machine say little."""

    name: str
    seconds: float
    others: float


Found = list[Goal | Bars | Lines | Run]


def at_least(id: str, what: str, least: float, measured: float, unit: str = "×") -> Goal:
    return Goal(id, what, f"≥ {least:g} {unit}", measured, unit, measured >= least)


def at_most(id: str, what: str, most: float, measured: float, unit: str) -> Goal:
    return Goal(id, what, f"≤ {most:g} {unit}", measured, unit, measured <= most)


def quantile(values: Sequence[float], share: float) -> float:
    """The value that this share of them does not exceed."""
    ordered = sorted(values)
    return ordered[min(int(len(ordered) * share), len(ordered) - 1)]


def distribution(values: Sequence[float], points: int = 100) -> list[tuple[float, float]]:
    """Points of the cumulative distribution, in percent, up to its 99th."""
    return [(quantile(values, number / points), 100 * number / points) for number in range(points)]
