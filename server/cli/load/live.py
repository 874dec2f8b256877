"""What a load shows while it runs: a table that changes on a terminal, else a line now and then. Judges nothing."""

import asyncio
from collections.abc import Callable

import click
from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table

from server.cli.load.calls import now
from server.cli.load.measured import Measured
from server.cli.load.run import Load

_LINE_SECONDS = 5.0
_FRAME_SECONDS = 0.5


async def show_progress(load: Load, measured: Measured) -> None:
    """Show how the load goes on until this is cancelled, on the standard error."""
    console = Console(stderr=True)
    if not console.is_terminal:
        await _repeat(max(_LINE_SECONDS, measured.plan.whole / 20), lambda: _line(load, measured))
    with Live(console=console, auto_refresh=False, transient=True) as live:
        await _repeat(_FRAME_SECONDS, lambda: live.update(_frame(load, measured), refresh=True))


async def _repeat(seconds: float, show: Callable[[], None]) -> None:
    while True:
        await asyncio.sleep(seconds)
        show()


def _line(load: Load, measured: Measured) -> None:
    p50, p99 = measured.total().latency.percentiles([50, 99])
    click.echo(
        f"{_elapsed(measured):.0f}/{measured.plan.whole:g} s  answered {measured.succeeded}  "
        f"failed {measured.failed}  under way {load.in_flight}  late {measured.late}  "
        f"p50 {p50:.1f} ms  p99 {p99:.1f} ms",
        err=True,
    )


def _frame(load: Load, measured: Measured) -> Group:
    elapsed, plan = _elapsed(measured), measured.plan
    phase = "ramp" if elapsed < plan.ramp else "warm-up" if elapsed < plan.uncounted else "measured"
    phase = "last answers" if elapsed > plan.whole else phase
    about = Table.grid(padding=(0, 3))
    about.add_row(
        f"{min(elapsed, plan.whole):.0f} of {plan.whole:g} s, {phase}",
        f"answered {measured.succeeded}",
        f"[{'red' if measured.failed else 'green'}]failed {measured.failed}[/]",
        f"under way {load.in_flight}",
        f"[{'yellow' if measured.late else 'default'}]late {measured.late}[/]",
        f"uncounted {measured.uncounted}" if plan.uncounted else "",
    )
    bar = Table.grid()
    bar.add_row(ProgressBar(total=plan.whole, completed=min(elapsed, plan.whole), width=60))
    return Group(about, bar, _durations(measured), *_errors(measured))


def _durations(measured: Measured) -> Table:
    shown = Table("", "calls", "p50 ms", "p99 ms", "max ms", "first p50", "first p99", "gap p99")
    for column in shown.columns[1:]:
        column.justify = "right"
    for kind, one in measured.kinds.items():
        row = [f"{value:.1f}" for value in one.latency.percentiles([50, 99, 100])]
        for histogram, wanted in ((one.first_token, [50.0, 99.0]), (one.gaps, [99.0])):
            values = histogram.percentiles(wanted)
            row += [f"{value:.1f}" if histogram.count else "" for value in values]
        shown.add_row(kind, str(one.latency.count), *row)
    return shown


def _errors(measured: Measured) -> list[str]:
    return [
        f"[red]{kind} {code}[/] {call}: {count}"
        for (kind, code, call), count in measured.errors.most_common(5)
    ]


def _elapsed(measured: Measured) -> float:
    return now() - measured.start
