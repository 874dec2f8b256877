"""The report of a load as one page of HTML, made of its JSON alone. Asks for nothing, runs no script."""

import html
import math
from collections.abc import Mapping
from typing import Any

from server.cli.plots import COLORS, Lines, document, figures, pairs, short, table

_STYLE = """
.cards { display: grid; grid-template-columns: repeat(auto-fit, minmax(135px, 1fr)); gap: .8rem; margin: 1rem 0; }
.card { background: var(--card); border-radius: .5rem; padding: .6rem .9rem; }
.card b { display: block; font-size: 1.35rem; font-variant-numeric: tabular-nums; } .card > span { color: var(--dim); }
.warnings { border-left: 4px solid var(--missed); background: var(--card); padding: .6rem 1rem .6rem 2rem; }
.about { color: var(--dim); overflow-wrap: anywhere; } td.name { white-space: nowrap; }
td.text { overflow-wrap: anywhere; min-width: 14rem; }
"""
_COLUMNS = {"p50": "p50Ms", "p90": "p90Ms", "p95": "p95Ms", "p99": "p99Ms", "p99.9": "p999Ms", "max": "maxMs"}
_SERIES = {
    "latency": "latency",
    "service": "from sending",
    "firstToken": "first token",
    "gaps": "gaps between tokens",
    "failed": "failed calls",
}

_COLORS = {"due": COLORS[0], "answered": COLORS[1], "failed": "var(--missed)"}
_NOTE = (
    '<p class="about">Latency, and the first token, count from the moment when a call was to begin; '
    "“from sending” counts from when it was sent.</p>"
)


def page_of(report: Mapping[str, Any]) -> str:
    """Return the page."""
    plan = report["plan"]
    amount = f"{plan['rate']:g} calls a second" if plan["loop"] == "open" else f"{plan['users']} users"
    mix = ", ".join(f"{kind}={weight}" for kind, weight in plan["mix"].items())
    warnings = "".join(f"<li>{html.escape(text)}" for text in report["warnings"])
    return document(
        "Parley: load",
        f"<style>{_STYLE}</style><h1>Load: {html.escape(amount)}</h1>"
        f'<p class="about">{html.escape(plan["url"])} · {plan["door"]} · {html.escape(mix)} · '
        f"{plan['forSeconds']:g} s · {html.escape(report['beganAt'])}</p>"
        + _cards(report)
        + (f'<ul class="warnings">{warnings}</ul>' if warnings else "")
        + figures(_plots(report), dict(_COLORS))
        + f"<h2>Durations in milliseconds</h2>{_NOTE}{_table(report)}"
        + _errors(report)
        + f"<h2>Plan</h2>{_about({**plan, 'mix': mix})}"
        + f"<h2>Generator</h2>{_about({'parley': report['parley'], **report['generator']})}",
    )


def _about(values: Mapping[str, Any]) -> str:
    shown = {name: f"{value:g}" if isinstance(value, float) else value for name, value in values.items()}
    return pairs({name: value for name, value in shown.items() if value is not None})


def _cards(report: Mapping[str, Any]) -> str:
    calls, total = report["calls"], report["total"]
    ratio = report["errorRatio"]
    shown = {
        "calls": f"{calls['due']}",
        "answered a second": short(report["perSecond"]["succeeded"]),
        "errors": f'<span class="{"missed" if ratio else "met"}">{100 * ratio:.3g} %</span>',
        "median": f"{short(total['latency']['p50Ms'])} ms",
        "99th percentile": f"{short(total['latency']['p99Ms'])} ms",
        "longest": f"{short(total['latency']['maxMs'])} ms",
    }
    if total["firstToken"]["count"]:
        shown["first token, median"] = f"{short(total['firstToken']['p50Ms'])} ms"
    if total["gaps"]["count"]:
        shown["gap, 99th percentile"] = f"{short(total['gaps']['p99Ms'])} ms"
    shown["began late"] = f"{report['late']['calls']}"
    cards = "".join(
        f'<div class="card"><b>{value}</b><span>{name}</span></div>' for name, value in shown.items()
    )
    return f'<div class="cards">{cards}</div>'


def _plots(report: Mapping[str, Any]) -> list[Lines]:
    total, timeline = report["total"], report["timeline"]
    intervals, step = timeline["intervals"], timeline["intervalSeconds"]
    answered = [one for one in intervals if one["succeeded"]]
    plan = report["plan"]
    uncounted = plan["rampSeconds"] + plan["warmUpSeconds"]
    shaded = (0.0, min(uncounted, max(1, len(intervals) - 1) * step)) if uncounted else None
    note = "s; shaded: not counted" if shaded else "s"
    plots = [
        _percentiles(
            "Latency of answered calls",
            {_SERIES[name]: total[name]["curve"] for name in ("latency", "service")},
        )._replace(dashed={_SERIES["service"]}),
        Lines(
            "Latency by the time a call was to begin",
            note,
            "ms",
            {
                name: [(one["atSeconds"], one[key]) for one in answered]
                for name, key in (("longest", "maxMs"), ("99th percentile", "p99Ms"), ("median", "p50Ms"))
            },
            shaded=shaded,
            dashed={"99th percentile"},
        ),
        Lines(
            "Calls by the time they were to begin",
            note,
            "a second",
            {
                name: [(one["atSeconds"], one[key] / step) for one in intervals]
                for name, key in (("due", "due"), ("answered", "succeeded"), ("failed", "failed"))
            },
            shaded=shaded,
            dashed={"answered"},
        ),
    ]
    if len(report["kinds"]) > 1:
        by_kind = {kind: one["latency"]["curve"] for kind, one in report["kinds"].items()}
        plots.insert(1, _percentiles("Latency by kind of call", by_kind))
    for name, title in (("firstToken", "Time to the first token"), ("gaps", "Gaps between tokens")):
        curves = {kind: one[name]["curve"] for kind, one in report["kinds"].items()}
        plots.append(_percentiles(title, curves))
    return [plot for plot in plots if any(plot.points.values())]


def _percentiles(title: str, curves: Mapping[str, list[list[float]]]) -> Lines:
    """A plot whose axis gives each further nine the same room."""
    points = {
        name: [(-math.log10(1 - percent / 100), value) for percent, value in curve]
        for name, curve in curves.items()
        if curve
    }
    most = max((line[-1][0] for line in points.values()), default=1.0)
    named = [(0.0, "0"), (math.log10(2), "50"), (1.0, "90")]
    named += [
        (float(nines), f"99.{'9' * (nines - 2)}".rstrip(".")) for nines in range(2, math.floor(most) + 2)
    ]
    return Lines(title, "percentile", "ms", points, ticks=named)


def _table(report: Mapping[str, Any]) -> str:
    kinds = {"all": report["total"], **report["kinds"]} if len(report["kinds"]) > 1 else report["kinds"]
    head = "".join(f'<th class="number">{name}' for name in ("count", "mean", *_COLUMNS))
    rows = "".join(
        f'<tr><td class="name">{html.escape(kind)}<td class="name">{shown}<td class="number">{one[name]["count"]}'
        + "".join(f'<td class="number">{short(one[name][key])}' for key in ("meanMs", *_COLUMNS.values()))
        for kind, one in kinds.items()
        for name, shown in _SERIES.items()
        if one[name]["count"]
    )
    return table("Durations", f"<tr><th>kind<th>what{head}{rows}")


def _errors(report: Mapping[str, Any]) -> str:
    if not report["errors"]:
        return ""
    rows = "".join(
        f"<tr><td>{html.escape(one['kind'])}<td>{html.escape(one['code'])}<td>{html.escape(one['call'])}"
        f'<td class="number">{one["count"]}<td class="text">{html.escape(one["example"])}'
        for one in report["errors"]
    )
    head = '<tr><th>kind<th>code<th>call<th class="number">count<th>example'
    return "<h2>Errors</h2>" + table("Errors", head + rows)
