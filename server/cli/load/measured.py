"""What the calls of a load were like: durations, errors by kind, and how both moved over time.

A call's latency counts from the moment when it was to begin, so that a server that stalls shows in all calls
that were to begin meanwhile, and a generator that is late hides nothing.
"""

import math
from collections import Counter
from dataclasses import dataclass, field
from typing import NamedTuple

from server.cli.load.calls import Answer, Failed
from server.cli.load.histogram import Histogram
from server.cli.load.plan import Plan

LATE_SECONDS = 0.01
"""A call that begins later than this after its time is late: the timers of the system are finer."""
_MOST_INTERVALS = 150


class Call(NamedTuple):
    """One call, in seconds on the load's clock. `sent` is None when it was never sent."""

    kind: str
    due: float
    sent: float | None
    ended: float
    answer: Answer
    failure: Failed | None = None


@dataclass
class Durations:
    """Of the calls of one kind, or of all. Those of failed calls are apart: a fast refusal is no fast
    answer."""

    latency: Histogram = field(default_factory=Histogram)
    service: Histogram = field(default_factory=Histogram)
    """From the moment of sending."""
    first_token: Histogram = field(default_factory=Histogram)
    gaps: Histogram = field(default_factory=Histogram)
    failed: Histogram = field(default_factory=Histogram)

    def add(self, other: "Durations") -> None:
        """Count what another one has counted too."""
        self.latency.add(other.latency)
        self.service.add(other.service)
        self.first_token.add(other.first_token)
        self.gaps.add(other.gaps)
        self.failed.add(other.failed)


@dataclass
class Interval:
    """The calls that were to begin in some seconds."""

    due: int = 0
    failed: int = 0
    late: int = 0
    latency: Histogram = field(default_factory=Histogram)


class Measured:
    """All calls of a load. Those of the ramp and the warm-up are in the intervals alone."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.interval_seconds = max(1, math.ceil(plan.whole / _MOST_INTERVALS))
        self.intervals: list[Interval] = []
        self.kinds = {kind: Durations() for kind in plan.mix}
        self.errors: Counter[tuple[str, str, str]] = Counter()
        """By kind of error, code and kind of call."""
        self.examples: dict[tuple[str, str, str], str] = {}
        self.lateness = Histogram()
        self.late = 0
        self.unfinished = 0
        """Calls that were under way when the load was interrupted."""
        self.uncounted = 0
        """Calls of the ramp and the warm-up."""
        self.was_full = False
        """Whether a call waited because as many were under way as may be."""
        self.start = self.last_end = 0.0

    def total(self) -> Durations:
        """The durations of all kinds together."""
        total = Durations()
        for one in self.kinds.values():
            total.add(one)
        return total

    def record(self, call: Call) -> None:
        """Count a call that is over, or that was never sent."""
        self.last_end = max(self.last_end, call.ended)
        late = call.sent is None or call.sent - call.due > LATE_SECONDS
        begin = round(call.due - self.start, 6)  # as the plan has it: sums of times are not exact
        interval = self._interval(begin)
        interval.due += 1
        interval.late += late
        interval.failed += call.failure is not None
        if call.failure is None:
            interval.latency.record(call.ended - call.due)
        if begin < self.plan.uncounted:
            self.uncounted += 1
            return
        self.late += late
        self.lateness.record((call.ended if call.sent is None else call.sent) - call.due)
        self._count(call)

    def _count(self, call: Call) -> None:
        durations = self.kinds[call.kind]
        if call.failure is not None:
            about = (call.failure.kind, call.failure.code, call.kind)
            self.errors[about] += 1
            self.examples.setdefault(about, call.failure.message)
            durations.failed.record(call.ended - call.due)
            return
        durations.latency.record(call.ended - call.due)
        durations.service.record(call.ended - (call.due if call.sent is None else call.sent))
        if call.answer.first is not None:
            durations.first_token.record(call.answer.first - call.due)
        for gap in call.answer.gaps:
            durations.gaps.record(gap)

    @property
    def succeeded(self) -> int:
        """Counted calls that were answered as they should be."""
        return sum(one.latency.count for one in self.kinds.values())

    @property
    def failed(self) -> int:
        """Counted calls that were not, those never sent included."""
        return self.errors.total()

    @property
    def error_ratio(self) -> float:
        """The share of failed calls; 0 when there were none at all."""
        ended = self.succeeded + self.failed
        return self.failed / ended if ended else 0.0

    def _interval(self, begin: float) -> Interval:
        number = int(begin / self.interval_seconds)
        while len(self.intervals) <= number:
            self.intervals.append(Interval())
        return self.intervals[number]
