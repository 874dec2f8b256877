"""`scripts/bench`: measures the goals, prints a table, writes a JSON report if asked. Exits 0 though one be
missed."""

import json
import os
import platform
from pathlib import Path

import click
import uvloop
from rich.console import Console
from rich.progress import track
from rich.table import Table

from tests.bench.goals import GOALS, Goal, Sizes


@click.command()
@click.argument("names", nargs=-1, type=click.Choice(list(GOALS)))
@click.option("--rounds", default=5, show_default=True, help="How often each side has its turn.")
@click.option("--calls", default=1_000, show_default=True, help="Calls in a turn.")
@click.option("--idle-streams", default=1_000, show_default=True)
@click.option(
    "--messages", default=500_000, show_default=True, help="To how many the table of messages grows."
)
@click.option(
    "--report", type=click.Path(path_type=Path, dir_okay=False), help="Where to write the figures as JSON."
)
def main(
    names: tuple[str, ...], rounds: int, calls: int, idle_streams: int, messages: int, report: Path | None
) -> None:
    """Measure NAMES, or everything, against peers that take turns with the service in the same run."""
    sizes = Sizes(rounds, calls, idle_streams, messages)
    goals = uvloop.run(measured(list(names or GOALS), sizes))
    Console().print(table(goals))
    if report is not None:
        report.write_text(
            json.dumps(
                {
                    "machine": f"{platform.machine()}, {os.cpu_count()} cores",
                    **sizes._asdict(),
                    "goals": [goal._asdict() for goal in goals],
                },
                indent=2,
                ensure_ascii=False,
            )
            + "\n"
        )


async def measured(names: list[str], sizes: Sizes) -> list[Goal]:
    found = []
    for name in track(names, description="measuring", console=Console(stderr=True)):
        found += await GOALS[name](sizes)
    return found


def table(goals: list[Goal]) -> Table:
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


if __name__ == "__main__":
    main()
