"""`scripts/bench`: measures the goals, prints a table, writes a report if asked. Exits 0 though one be
missed."""

import os
import time
from pathlib import Path

import click
import uvloop
from rich.console import Console
from rich.table import Table

from server.cli.plots import Bars
from tests.bench.goals import GOALS
from tests.bench.load import seconds_of_others
from tests.bench.page import write_report
from tests.bench.real import REAL_GOALS
from tests.bench.results import Found, Goal, Run
from tests.bench.sizes import QUICK, Sizes

ALL = {**REAL_GOALS, **GOALS}
GROUPS = {"real": [*REAL_GOALS, "start"], "offline": list(GOALS)}


def _peers(context: click.Context, option: click.Parameter, value: str) -> tuple[str, ...]:
    named = tuple(filter(None, value.split(",")))
    if unknown := set(named) - set(Sizes().peers):
        raise click.BadParameter(f"{', '.join(sorted(unknown))} is none of {', '.join(Sizes().peers)}")
    return named


@click.command()
@click.argument("names", nargs=-1, type=click.Choice([*GROUPS, *ALL]))
@click.option("--quick", is_flag=True, help="Fewer rounds and calls: a look, not a measurement.")
@click.option("--rounds", type=click.IntRange(1), help="How often each side has its turn.  [default: 3]")
@click.option("--tokens", type=click.IntRange(2), help="Of an answer of the real model.  [default: 64]")
@click.option("--streams", type=click.IntRange(1), help="Chats at a time with a real model.  [default: 32]")
@click.option(
    "--waves", type=click.IntRange(1), help="How often each of them is asked in a turn.  [default: 3]"
)
@click.option("--first-calls", type=click.IntRange(2), help="First tokens of each.  [default: 100]")
@click.option("--calls", type=click.IntRange(100), help="Calls in a turn, offline model.  [default: 1000]")
@click.option("--idle-streams", type=click.IntRange(50), help="[default: 1000]")
@click.option(
    "--messages", type=click.IntRange(10_000), help="To how many messages the table grows.  [default: 500000]"
)
@click.option(
    "--peers",
    default=",".join(Sizes().peers),
    show_default=True,
    callback=_peers,
    help="Whom the service takes turns with, with a real model.",
)
@click.option(
    "--priority",
    type=click.IntRange(-20, 19),
    help="The nice value of everyone measured; below 0, as root, where others use the machine too.",
)
@click.option(
    "--report",
    type=click.Path(path_type=Path, file_okay=False),
    help="The folder to write bench.json and bench.html to.",
)
def main(names: tuple[str, ...], quick: bool, report: Path | None, **options: object) -> None:
    """Measure NAMES, or everything, against peers that take turns with the service in the same run.

    `real` means all goals with a real model: `tokens` are R1 to R4, `capacity` is R5, `gaps` R6, `thinking`
    R7, `start` S8. `offline` means all goals with the built-in model.
    """
    sizes = (QUICK if quick else Sizes())._replace(
        **{name: value for name, value in options.items() if value is not None}
    )
    if sizes.priority:
        os.setpriority(os.PRIO_PROCESS, 0, sizes.priority)
    wanted = dict.fromkeys(name for given in names or GROUPS for name in GROUPS.get(given, [given]))
    found = uvloop.run(measured(list(wanted), sizes))
    console = Console()
    console.print(goals_table([one for one in found if isinstance(one, Goal)]))
    for bars in (one for one in found if isinstance(one, Bars)):
        console.print(bars_table(bars))
    if report is not None:
        click.echo(f"written: {write_report(report, sizes, found)}")


async def measured(names: list[str], sizes: Sizes) -> Found:
    found: Found = []
    for name in names:
        began, others = time.perf_counter(), seconds_of_others()
        found += await ALL[name](sizes)
        took = time.perf_counter() - began
        run = Run(name, took, (seconds_of_others() - others) / took)
        click.echo(f"{name}: {run.seconds:.0f} s, with {run.others:.2f} cores used by others", err=True)
        found.append(run)
    return found


def goals_table(goals: list[Goal]) -> Table:
    shown = Table("", "what", "goal", "measured", "")
    for goal in goals:
        shown.add_row(
            goal.id,
            goal.title,
            goal.goal,
            f"{goal.measured:.3g} {goal.unit}",
            "met" if goal.is_met else "missed",
        )
    return shown


def bars_table(bars: Bars) -> Table:
    shown = Table(bars.title, bars.unit)
    for name, value in bars.values.items():
        shown.add_row(name, f"{value:.3g}")
    return shown


if __name__ == "__main__":
    main()
