"""The report of a load in a few lines, for a terminal or a log."""

from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.table import Table

_COLUMNS = ("p50Ms", "p90Ms", "p99Ms", "p999Ms", "maxMs")
_SERIES = {"latency": "", "firstToken": "first token", "gaps": "gaps", "failed": "failed"}


def print_summary(report: Mapping[str, Any]) -> None:
    """Print it to the standard output."""
    console = Console(soft_wrap=True, highlight=False)
    calls, late = report["calls"], report["late"]
    console.print(
        f"{calls['due']} calls, {calls['succeeded']} answered ({report['perSecond']['succeeded']:.4g} a second), "
        f"{calls['failed']} failed ({100 * report['errorRatio']:.3g} %), "
        f"{late['calls']} begun more than {late['afterMs']:g} ms late"
    )
    shown = Table("milliseconds", "calls", "p50", "p90", "p99", "p99.9", "max")
    for column in shown.columns[1:]:
        column.justify = "right"
    for kind, one in report["kinds"].items():
        for name, about in _SERIES.items():
            if one[name]["count"]:
                values = (f"{one[name][key]:.1f}" for key in _COLUMNS)
                shown.add_row(f"{kind} {about}", str(one[name]["count"]), *values)
    console.print(shown)
    for one in report["errors"]:
        example = " ".join(one["example"].split())[:120]
        console.print(
            f"{one['count']} × {one['kind']} {one['code']} ({one['call']}): {example}", markup=False
        )
    for text in report["warnings"]:
        console.print(f"Warning: {text}", markup=False)
