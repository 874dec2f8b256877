"""The long fuzz runs: `parsers` are our own parsers under atheris. Prints a line a target; ends with 1 when one was broken.

What is tried is in tests/fuzz; the short forms of it run with all other tests.
"""

import argparse
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PARTS = {
    "answers": 5, "documents": 4, "errors": 2, "filters": 7, "forms": 7, "history": 3, "ids": 12, "json_values": 20,
    "messages": 10, "requests": 16, "templates": 10, "tools": 8, "typed_requests": 4,
}
"""How the runs are shared out among the targets: a run of some takes a hundred times as long as one of others."""
COUNT = re.compile(r"#(\d+)\s")
PROGRESS_SECONDS = 5


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    kinds = parser.add_subparsers(dest="kind", required=True)
    parsers = kinds.add_parser("parsers", help="our own parsers, under atheris")
    parsers.add_argument("runs", type=int, nargs="?", default=10_000_000)
    parsers.add_argument("--only", choices=PARTS, help="one target, which then gets all the runs")
    arguments = parser.parse_args()
    return fuzz_parsers(arguments.runs, arguments.only)


def fuzz_parsers(runs: int, only: str | None) -> int:
    parts = {only: 1} if only else PARTS
    folder, done, broken = Path(tempfile.mkdtemp(prefix="parley-fuzz-")), 0, []
    for name, part in parts.items():
        wanted = -(-runs * part // sum(parts.values()))
        count, seconds, code = fuzz(name, wanted, folder / name)
        done += count
        broken += [name] * (code != 0)
        print(f"{name:15} {count:>10,} runs {seconds:>5.0f} s  " + ("uncaught: see " + str(folder / name) if code else "ok"),
              flush=True)
    print(f"{done:,} runs in all, {len(broken)} of {len(parts)} targets with something uncaught")
    return 1 if broken else 0


def fuzz(name: str, runs: int, folder: Path) -> tuple[int, float, int]:
    """Run one target; how many runs, how long, and its exit code. What it says goes to `log` in the folder."""
    folder.mkdir()
    began, shown, count = time.monotonic(), 0.0, 0
    command = [sys.executable, "-m", "tests.fuzz.long_run", name, str(runs), str(folder)]
    with (folder.parent / f"{name}.log").open("w") as log, subprocess.Popen(
            command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace") as process:
        for line in process.stdout:
            log.write(line)
            if found := COUNT.match(line):
                count = int(found[1])
            if time.monotonic() - shown > PROGRESS_SECONDS:
                shown = time.monotonic()
                print(f"{name}: {count:,} of {runs:,}", end="\r", file=sys.stderr)
    return count, time.monotonic() - began, process.returncode


if __name__ == "__main__":
    sys.exit(main())
