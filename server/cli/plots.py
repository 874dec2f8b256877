"""Plots of a report as SVG, and the style of its page: bars, and lines over a linear axis. Measures nothing.

A page of these needs nothing from elsewhere, no script either, and follows the reader's dark or light mode.
"""

import html
import math
from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

WIDTH, HEIGHT = 640, 300
LEFT, RIGHT, TOP, BOTTOM = 60, 24, 30, 48
COLORS = tuple(f"var(--color-{number})" for number in range(1, 7))
"""Of the things that are compared, in the order in which they are first seen."""

STYLE = """
:root { color-scheme: light dark; --page: #fff; --text: #18181b; --line: #d4d4d8; --dim: #63636b; --card: #f4f4f5;
  --met: #15803d; --missed: #b91c1c; --color-1: #0b7285; --color-2: #c2410c; --color-3: #6d28d9; --color-4: #4d7c0f;
  --color-5: #a16207; --color-6: #be185d; }
@media (prefers-color-scheme: dark) { :root { --page: #18181b; --text: #e4e4e7; --line: #3f3f46; --dim: #a1a1aa;
  --card: #27272a; --met: #4ade80; --missed: #f87171; --color-1: #22b8cf; --color-2: #fb923c; --color-3: #a78bfa;
  --color-4: #a3e635; --color-5: #facc15; --color-6: #f472b6; } }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 1360px; margin: 2rem auto; padding: 0 1rem;
  background: var(--page); color: var(--text); }
h1, h2 { line-height: 1.2; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; margin: 1rem 0; }
th, td { border-bottom: 1px solid var(--line); padding: .3rem .8rem; text-align: left; }
th { color: var(--dim); font-weight: 600; white-space: nowrap; }
td.number, th.number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
.met { color: var(--met); } .missed { color: var(--missed); font-weight: 600; }
.plots { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 520px), 1fr)); gap: 1.5rem; }
figure { margin: 0; min-width: 0; } figcaption { font-weight: 600; }
.key { white-space: nowrap; margin-right: .8rem; }
svg { display: block; width: 100%; height: auto; }
svg text { font: 12px system-ui, sans-serif; fill: currentColor; } svg .dim { fill: var(--dim); }
svg line { stroke: var(--line); } svg polyline { fill: none; stroke-width: 2; stroke-linejoin: round;
  vector-effect: non-scaling-stroke; }
svg .limit { stroke: var(--missed); stroke-dasharray: 5 4; } svg .shade { fill: var(--line); opacity: .4; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .2rem 1rem; } dt { color: var(--dim); }
dd { margin: 0; min-width: 0; overflow-wrap: anywhere; }
@media (max-width: 640px) { svg text { font-size: 19px; } th, td { padding: .3rem .5rem; } }
"""


class Bars(NamedTuple):
    """One figure of each contender."""

    title: str
    unit: str
    values: Mapping[str, float]


class Lines(NamedTuple):
    """One line of points (x, y) for each contender.

    `limit` is a y that is not to be exceeded, `ticks` are the labels of the x axis where its numbers are not
    what a reader wants, `shaded` is a range of x that does not count. Lines that are `dashed` leave one behind
    them to be seen.
    """

    title: str
    x: str
    y: str
    points: Mapping[str, Sequence[tuple[float, float]]]
    limit: float | None = None
    ticks: Sequence[tuple[float, str]] = ()
    shaded: tuple[float, float] | None = None
    dashed: Collection[str] = ()


def document(title: str, body: str) -> str:
    """Return a whole page. Its policy forbids every request, that for an icon included."""
    policy = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
        f'<meta name="viewport" content="width=device-width"><link rel="icon" href="data:,">'
        f"<title>{html.escape(title)}</title><style>{STYLE}</style></head><body><main>{body}</main></body></html>\n"
    )


def figures(plots: Sequence[Bars | Lines], colors: dict[str, str]) -> str:
    """Return the plots side by side; names without a color yet are given one."""
    return f'<div class="plots">{"".join(_figure(plot, colors) for plot in plots)}</div>'


def _figure(plot: Bars | Lines, colors: dict[str, str]) -> str:
    for name in plot.values if isinstance(plot, Bars) else plot.points:
        colors.setdefault(name, COLORS[len(colors) % len(COLORS)])
    drawn = bars_plot(plot, colors) if isinstance(plot, Bars) else lines_plot(plot, colors)
    return f"<figure><figcaption>{html.escape(plot.title)}</figcaption>{drawn}</figure>"


def bars_plot(bars: Bars, colors: Mapping[str, str]) -> str:
    """Return a horizontal bar for each value."""
    row, label = 30, 190
    most = max(bars.values.values(), default=0) or 1
    drawn = []
    for number, (name, value) in enumerate(bars.values.items()):
        y = number * row
        width = (WIDTH - label - 90) * value / most
        drawn.append(
            f'<text x="{label - 8}" y="{y + 19}" text-anchor="end">{html.escape(name)}</text>'
            f'<rect x="{label}" y="{y + 5}" width="{width:.1f}" height="20" style="fill:{colors[name]}"/>'
            f'<text x="{label + width + 6:.1f}" y="{y + 19}">{short(value)} {html.escape(bars.unit)}</text>'
        )
    return _svg(len(bars.values) * row, bars.title, drawn)


def lines_plot(lines: Lines, colors: Mapping[str, str]) -> str:
    """Return the lines in one frame, with their legend."""
    every = [point for points in lines.points.values() for point in points]
    named = dict(lines.ticks) or {tick: short(tick) for tick in ticks([x for x, _ in every])}
    first, last = min(named), max(named)
    y_ticks = ticks([y for _, y in every] + ([] if lines.limit is None else [lines.limit]))

    def place(x: float, y: float) -> tuple[float, float]:
        across = (x - first) / (last - first or 1)
        up = (y - y_ticks[0]) / (y_ticks[-1] - y_ticks[0])
        return LEFT + across * (WIDTH - LEFT - RIGHT), HEIGHT - BOTTOM - up * (HEIGHT - TOP - BOTTOM)

    drawn = []
    if lines.shaded:
        (left, _), (right, _) = (place(x, 0) for x in lines.shaded)
        height = HEIGHT - TOP - BOTTOM
        drawn.append(
            f'<rect class="shade" x="{left:.1f}" y="{TOP}" width="{right - left:.1f}" height="{height}"/>'
        )
    for tick in y_ticks:
        left, y = place(first, tick)
        drawn.append(f'<line x1="{left}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
        drawn.append(
            f'<text class="dim" x="{left - 6}" y="{y + 4:.1f}" text-anchor="end">{short(tick)}</text>'
        )
    for tick, label in named.items():
        x, y = place(tick, y_ticks[0])
        drawn.append(
            f'<text class="dim" x="{x:.1f}" y="{y + 18:.1f}" text-anchor="middle">{html.escape(label)}</text>'
        )
    if lines.limit is not None:
        left, y = place(first, lines.limit)
        drawn.append(f'<line class="limit" x1="{left}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
    drawn.append(
        f'<text class="dim" x="{WIDTH - RIGHT}" y="{HEIGHT - 8}" text-anchor="end">{html.escape(lines.x)}</text>'
        f'<text class="dim" x="{LEFT - 40}" y="{TOP - 14}">{html.escape(lines.y)}</text>'
    )
    for name, points in lines.points.items():
        placed = " ".join("{:.1f},{:.1f}".format(*place(*point)) for point in points)
        dashes = ";stroke-dasharray:5 5" if name in lines.dashed else ""
        drawn.append(f'<polyline points="{placed}" style="stroke:{colors[name]}{dashes}"/>')
    return _svg(HEIGHT, lines.title, drawn) + _legend(lines.points, colors)


def pairs(about: Mapping[str, object]) -> str:
    """Return a list of names, each with its value."""
    listed = "".join(f"<dt>{html.escape(name)}<dd>{html.escape(str(value))}" for name, value in about.items())
    return f"<dl>{listed}</dl>"


def table(title: str, rows: str) -> str:
    """Return a table of these rows, which a reader can scroll, also by keys, where it is too wide."""
    name = html.escape(title)
    return f'<div class="wide" role="region" aria-label="{name}" tabindex="0"><table>{rows}</table></div>'


def short(value: float) -> str:
    """Return a number with as many digits as a reader of a plot needs."""
    return f"{value:.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def ticks(values: Sequence[float], about: int = 5) -> list[float]:
    """Return round numbers, some five steps, from at most the least value to at least the greatest."""
    least, most = min(values, default=0.0), max(values, default=1.0)
    step = (most - least or abs(most) or 1.0) / about
    magnitude = 10 ** math.floor(math.log10(step))
    step = magnitude * min(
        (round_ for round_ in (1, 2, 2.5, 5, 10) if round_ * magnitude >= step), default=10
    )
    first, last = math.floor(least / step), math.ceil(most / step)
    return [number * step for number in range(first, max(last, first + 1) + 1)]


def _legend(names: Mapping[str, object], colors: Mapping[str, str]) -> str:
    keys = (
        f'<span class="key"><span style="color:{colors[name]}">■</span> {html.escape(name)}</span>'
        for name in names
    )
    return f"<div>{' '.join(keys)}</div>"


def _svg(height: int, title: str, drawn: Sequence[str]) -> str:
    return f'<svg viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{html.escape(title)}">{"".join(drawn)}</svg>'
