"""The report of a load as JSON: the figures, and what a reader has to know to trust them.

`docs/load-report.schema.json` describes it. Durations are in milliseconds.
"""

import math
import os
import platform
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any, NamedTuple

from server.cli.load.histogram import Histogram
from server.cli.load.measured import LATE_SECONDS, Durations, Measured
from server.cli.load.plan import Plan

_NAMED = {"p50Ms": 50.0, "p90Ms": 90.0, "p95Ms": 95.0, "p99Ms": 99.0, "p999Ms": 99.9, "maxMs": 100.0}
_LATE_SHARE = 0.01
_BUSY_CORES = 0.85


class Ran(NamedTuple):
    """How a load went for the generator itself."""

    began: datetime
    seconds: float
    processor_seconds: float
    interrupted: bool


def report_of(measured: Measured, ran: Ran) -> dict[str, Any]:
    """Return the report."""
    plan = measured.plan
    seconds = max(min(ran.seconds, plan.whole) - plan.uncounted, 0.0)
    answered = max(seconds, measured.last_end - measured.start - plan.uncounted)
    due = measured.succeeded + measured.failed + measured.unfinished
    unsent = sum(count for (kind, *_), count in measured.errors.items() if kind == "unsent")
    return {
        "version": 1,
        "parley": version("parley-server"),
        "beganAt": _time(ran.began),
        "seconds": round(ran.seconds, 3),
        "interrupted": ran.interrupted,
        "plan": _plan(plan),
        "calls": {
            "due": due,
            "succeeded": measured.succeeded,
            "failed": measured.failed,
            "unsent": unsent,
            "unfinished": measured.unfinished,
            "uncounted": measured.uncounted,
        },
        "errorRatio": measured.error_ratio,
        "perSecond": {
            "due": _ratio(due, seconds),
            "succeeded": _ratio(measured.succeeded, answered),
        },
        "late": {
            "calls": measured.late,
            "afterMs": LATE_SECONDS * 1e3,
            **_percentiles(measured.lateness),
        },
        "total": _durations(measured.total()),
        "kinds": {kind: _durations(durations) for kind, durations in measured.kinds.items()},
        "errors": [
            {
                "kind": kind,
                "code": code,
                "call": call,
                "count": count,
                "example": measured.examples[kind, code, call],
            }
            for (kind, code, call), count in measured.errors.most_common()
        ],
        "timeline": _timeline(measured),
        "generator": {
            "python": platform.python_version(),
            "system": f"{platform.system()} {platform.release()}",
            "cores": os.cpu_count() or 1,
            "coresUsed": _ratio(ran.processor_seconds, ran.seconds),
        },
        "warnings": _warnings(measured, ran, due),
    }


def _plan(plan: Plan) -> dict[str, Any]:
    """What was asked for, without the key."""
    loop = (
        {"loop": "open", "rate": plan.rate, "arrivals": plan.arrivals}
        if plan.users is None
        else {"loop": "closed", "users": plan.users, "thinkSeconds": plan.think}
    )
    return {
        "url": plan.url,
        "door": plan.door,
        "assistant": plan.assistant,
        **loop,
        "mix": dict(plan.mix),
        "rampSeconds": plan.ramp,
        "warmUpSeconds": plan.warm_up,
        "forSeconds": plan.seconds,
        "timeoutSeconds": plan.timeout,
        "mostInFlight": plan.most_in_flight,
        "seed": plan.seed,
    }


def _durations(durations: Durations) -> dict[str, Any]:
    return {
        "latency": _distribution(durations.latency),
        "service": _distribution(durations.service),
        "firstToken": _distribution(durations.first_token),
        "gaps": _distribution(durations.gaps),
        "failed": _distribution(durations.failed),
    }


def _distribution(histogram: Histogram) -> dict[str, Any]:
    return {**_percentiles(histogram), "curve": _curve(histogram), "hdr": histogram.encoded()}


def _percentiles(histogram: Histogram) -> dict[str, Any]:
    values = histogram.percentiles([*_NAMED.values()])
    return {
        "count": histogram.count,
        "meanMs": round(histogram.mean, 3),
        **dict(zip(_NAMED, values, strict=True)),
    }


def _curve(histogram: Histogram) -> list[list[float]]:
    """Points of percentile and milliseconds, ten for each further nine that so many durations can tell."""
    if not histogram.count:
        return []
    steps = math.floor(10 * math.log10(histogram.count))
    wanted = [100 - 100 * 10 ** (-step / 10) for step in range(steps + 1)]
    values = histogram.percentiles(wanted)
    return [[round(percent, 6), value] for percent, value in zip(wanted, values, strict=True)]


def _timeline(measured: Measured) -> dict[str, Any]:
    intervals = []
    for number, interval in enumerate(measured.intervals):
        p50, p99, most = interval.latency.percentiles([50, 99, 100])
        intervals.append(
            {
                "atSeconds": number * measured.interval_seconds,
                "due": interval.due,
                "succeeded": interval.latency.count,
                "failed": interval.failed,
                "late": interval.late,
                "p50Ms": p50,
                "p99Ms": p99,
                "maxMs": most,
            }
        )
    return {"intervalSeconds": measured.interval_seconds, "intervals": intervals}


def _warnings(measured: Measured, ran: Ran, due: int) -> list[str]:
    found = []
    plan = measured.plan
    if ran.interrupted:
        found.append(
            f"Interrupted after {ran.seconds:.1f} s of {plan.whole:g} s; "
            f"{measured.unfinished} calls were under way and are in no figure."
        )
    if measured.was_full:
        found.append(
            f"Calls waited because {plan.most_in_flight} were under way (--most-in-flight); their latency "
            "includes that wait."
        )
    cores = _ratio(ran.processor_seconds, ran.seconds)
    if due and measured.late > _LATE_SHARE * due:
        most = measured.lateness.percentiles([100])[0]
        reason = "has one at most" if cores > _BUSY_CORES else "shares this machine with others"
        found.append(
            f"{measured.late} of {due} calls began late, by up to {most:.0f} ms. The generator used {cores:.2g} "
            f"cores, and {reason}. Latencies count from the time when a call was to begin, so they include "
            "that; use a lower --rate, or machines of the generator's own."
        )
    elif cores > _BUSY_CORES:
        found.append(
            f"The generator used {cores:.2g} cores, and has one at most: part of the durations is its own. Use a "
            "lower --rate, or several generators."
        )
    if plan.users is not None:
        found.append(
            "A closed loop: a user waits for an answer before the next call, so a stall delays calls that "
            "other callers would have made. Use --rate to see what they would have seen."
        )
    return found


def _ratio(count: float, seconds: float) -> float:
    return round(count / seconds, 3) if seconds > 0 else 0.0


def _time(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
