"""All rows of the fault suite, run one after the other with a progress bar; the table and the report at the
end.

Exits non-zero when anything was lost, left hanging, or not as promised. What a row does is in the modules
beside this one.
"""

import argparse
import asyncio
import os
import platform
import shutil
import tempfile
import time
import traceback
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from tests.fault import clients, cuts, disks, kills, readers, stops, upstreams, workers
from tests.fault.trial import Row, Trial

ROWS: list[Row] = [
    *kills.ROWS,
    *cuts.ROWS,
    *disks.ROWS,
    *upstreams.ROWS,
    *clients.ROWS,
    *readers.ROWS,
    *stops.ROWS,
    *workers.ROWS,
]
_COLUMNS = ("tried", "survived", "lost", "hanging")


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="scripts/fault", description="Break what can break, and count what is lost."
    )
    parser.add_argument("--quick", action="store_true", help="a tenth of the counts")
    parser.add_argument("--only", metavar="ROW", action="append", help="only rows whose name has this in it")
    parser.add_argument(
        "--report",
        metavar="FILE",
        type=Path,
        help="write the table as JSON; rows of an earlier one that were not run stay",
    )
    options = parser.parse_args()
    rows = [
        row
        for row in ROWS
        if not options.only or any(part.lower() in row.name.lower() for part in options.only)
    ]
    if not rows:
        parser.error(f"no row of that name; there are: {', '.join(row.name for row in ROWS)}")
    results = _run(rows, quick=options.quick)
    Console(width=140).print(_table(results))
    if options.report:
        _write(options.report, results)
    return 0 if all(result["held"] or "skipped" in result for result in results) else 1


def _run(rows: list[Row], *, quick: bool) -> list[dict[str, Any]]:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns) as bar:
        return [_result(row, row.quick if quick else row.count, bar) for row in rows]


def _result(row: Row, count: int, bar: Progress) -> dict[str, Any]:
    result: dict[str, Any] = {
        "row": row.name,
        "promise": row.promise,
        "made": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    if lacks := row.lacks():
        bar.console.print(f"skipped: {row.name}: needs {lacks}")
        return {**result, "skipped": f"needs {lacks}"}
    task = bar.add_task(row.name, total=count)
    folder = Path(tempfile.mkdtemp(prefix="parley-fault-"))
    trial, began = Trial(folder, count, lambda: bar.advance(task)), time.monotonic()
    bar.console.print(f"{datetime.now(UTC):%H:%M:%S} {row.name}")
    try:
        asyncio.run(row.work(trial))
    except Exception as error:  # the other rows are still to be run, and this one did not hold
        bar.console.print(traceback.format_exc())
        trial.wrong.append(f"the row broke: {type(error).__name__}")
        trial.tried += 1
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return {
        **result,
        **{name: getattr(trial, name) for name in _COLUMNS},
        "held": trial.passed,
        "figures": trial.figures,
        "wrong": trial.wrong[:10],
        "seconds": round(time.monotonic() - began, 1),
    }


def _table(results: list[dict[str, Any]]) -> Table:
    table = Table("row", *_COLUMNS, "figures", "s", title="Faults")
    for result in results:
        if "skipped" in result:
            table.add_row(result["row"], *["-"] * len(_COLUMNS), f"skipped: {result['skipped']}", "")
            continue
        more = ", ".join(f"{name} {value}" for name, value in result["figures"].items())
        table.add_row(
            result["row"],
            *(str(result[name]) for name in _COLUMNS),
            "; ".join([more, *result["wrong"]]),
            str(round(result["seconds"])),
            style=None if result["held"] else "bold red",
        )
    return table


def markdown(report: dict[str, Any]) -> str:
    """The table of a report as docs/operations.md has it."""
    head = ["fault", "what must hold", *_COLUMNS]
    lines = [
        head,
        ["---"] * len(head),
        *(
            [result["row"], result["promise"], *(str(result.get(name, "skipped")) for name in _COLUMNS)]
            for result in report["rows"]
        ),
    ]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _write(report: Path, results: list[dict[str, Any]]) -> None:
    before = orjson.loads(report.read_bytes())["rows"] if report.exists() else []
    by_name = {result["row"]: result for result in [*before, *results]}
    rows = [by_name[row.name] for row in ROWS if row.name in by_name]
    machine = {
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "cores": os.cpu_count(),
    }
    report.write_bytes(orjson.dumps({**machine, "rows": rows}, option=orjson.OPT_INDENT_2) + b"\n")
