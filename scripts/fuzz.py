"""The long fuzz runs: our own parsers under atheris, the HTTP paths under schemathesis, HTTP itself with
malformed requests, and the cost of every member of every request as it grows.

Prints the runs and their results, and exits with 1 when there was any failure. The cases are in tests/fuzz;
their short forms run with all other tests.
"""

import argparse
import asyncio
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PARTS = {
    "answers": 5,
    "documents": 4,
    "errors": 2,
    "filters": 7,
    "forms": 7,
    "history": 3,
    "ids": 20,
    "json_values": 6,
    "messages": 6,
    "requests": 30,
    "templates": 5,
    "tools": 4,
    "typed_requests": 2,
}
"""How the runs are shared out among the parsers: a run of some takes a hundred times as long as one of
others."""
COUNT = re.compile(r"#(\d+)\s")
PROGRESS_SECONDS = 5


def main() -> int:
    """Run the chosen fuzz runs and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n\n")[0])
    kinds = parser.add_subparsers(dest="kind", required=True)
    parsers = kinds.add_parser("parsers", help="our own parsers, under atheris")
    parsers.add_argument("runs", type=int, nargs="?", default=10_000_000)
    parsers.add_argument("--only", choices=PARTS, help="one parser, which then gets all the runs")
    http = kinds.add_parser("http", help="every path, under schemathesis, through Envoy")
    http.add_argument(
        "cases", type=int, nargs="?", default=5_000, help="at least so many; passes are made until then"
    )
    http.add_argument("--seed", type=int, default=1)
    http.add_argument(
        "--phases",
        default="fuzzing,stateful",
        help="those of schemathesis; `coverage` too is thorough, and "
        "takes hours: an assistant is in many requests, and it tries each member of it in each",
    )
    raw = kinds.add_parser("raw", help="malformed HTTP, through Envoy")
    raw.add_argument("requests", type=int, nargs="?", default=10_000)
    raw.add_argument("--seed", type=int, default=1)
    cost = kinds.add_parser(
        "cost", help="the time that a call takes as one member of its request grows, of each member"
    )
    cost.add_argument(
        "size", type=int, nargs="?", default=1_000, help="of the member; then twice and four times that"
    )
    cost.add_argument(
        "--only", default="", help="cases whose name has this in it, such as CreateChat or `squad:`"
    )
    cost.add_argument(
        "--levels", type=int, default=1, help="of the members of documents in one another; 4 is all of them"
    )
    arguments = parser.parse_args()
    if arguments.kind == "cost":
        return asyncio.run(fuzz_cost(arguments.size, arguments.only, arguments.levels))
    if arguments.kind == "parsers":
        return fuzz_parsers(arguments.runs, arguments.only)
    if arguments.kind == "http":
        return asyncio.run(fuzz_http(arguments.cases, arguments.seed, arguments.phases.split(",")))
    return asyncio.run(fuzz_raw(arguments.requests, arguments.seed))


# --- parsers ------------------------------------------------------------------------------------------------


def fuzz_parsers(runs: int, only: str | None) -> int:
    parts = {only: 1} if only else PARTS
    folder, done, broken = Path(tempfile.mkdtemp(prefix="parley-fuzz-")), 0, []
    for name, part in parts.items():
        count, seconds, code = fuzz_parser(name, -(-runs * part // sum(parts.values())), folder / name)
        done += count
        broken += [name] * (code != 0)
        print(
            f"{name:15} {count:>10,} runs {seconds:>5.0f} s  "
            + (f"uncaught: see {folder / name}.log" if code else "ok"),
            flush=True,
        )
    print(f"{done:,} runs in all, {len(broken)} of {len(parts)} parsers with something uncaught")
    return 1 if broken else 0


def fuzz_parser(name: str, runs: int, folder: Path) -> tuple[int, float, int]:
    """Run one parser; how many runs, how long, and the exit code. What atheris says goes to a log beside the
    folder."""
    folder.mkdir()
    began, count, progress = time.monotonic(), 0, shown_now_and_then()
    command = [sys.executable, "-m", "tests.fuzz.long_run", name, str(runs), str(folder)]
    with (
        folder.with_suffix(".log").open("w") as log,
        subprocess.Popen(
            command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace"
        ) as process,
    ):
        for line in process.stdout or ():
            log.write(line)
            if found := COUNT.match(line):
                count = int(found[1])
            progress(f"{name}: {count:,} of {runs:,}")
    return count, time.monotonic() - began, process.returncode


# --- the HTTP paths -----------------------------------------------------------------------------------------


async def fuzz_http(cases: int, seed: int, phases: list[str]) -> int:
    # Loaded here: pytest, schemathesis and the whole server, of which the parsers' runs need nothing.
    from tests.conftest import running
    from tests.fuzz import http

    report, progress = http.Report(), shown_now_and_then()

    def show(before: int, part: http.Report) -> None:
        progress(f"{before + part.cases:,} cases")

    with tempfile.TemporaryDirectory(prefix="parley-fuzz-") as folder:
        async with running(Path(folder)) as service:
            org = await service.new_org()
            before = -1
            while before < report.cases < cases:
                before = report.cases
                for door, key in (("agents", org.secret), ("assistants", org.api)):
                    so_far = report.cases
                    report.add(
                        await asyncio.to_thread(
                            http.fuzz,
                            service.http_url,
                            key,
                            door,
                            seed=seed,
                            examples=20,
                            phases=phases,
                            progress=partial(show, so_far),
                        )
                    )
                seed += 1
    for text in report.unexplained:
        print(text, end="\n\n")
    print(f"{report.cases:,} cases, by status {dict(sorted(report.statuses.items()))}")
    for reason, count in report.explained.most_common():
        print(f"{count:>6,} explained: {reason}")
    print(f"{len(report.unexplained):>6,} unexplained")
    return 1 if report.unexplained else 0


# --- HTTP itself --------------------------------------------------------------------------------------------


async def fuzz_raw(requests: int, seed: int) -> int:
    from tests.conftest import running
    from tests.fuzz import raw

    with tempfile.TemporaryDirectory(prefix="parley-fuzz-") as folder:
        async with running(Path(folder)) as service:
            org = await service.new_org()
            port = int(service.http_url.rpartition(":")[2])
            report = await raw.send(port, org.api, requests, seed=seed, progress=shown_now_and_then())
            answers = await raw.answers(port, org.api)
    for status, request in report.wrong:
        print(status, request)
    print(
        f"{requests:,} requests, by status {dict(sorted(report.statuses.items()))} (0: closed, or waited for more)"
    )
    print(
        f"{len(report.wrong)} answered as a fault of ours; after them the service {'answers' if answers else 'is gone'}"
    )
    return 1 if report.wrong or not answers else 0


# --- what requests cost -------------------------------------------------------------------------------------


async def fuzz_cost(size: int, only: str, levels: int) -> int:
    from tests.conftest import running
    from tests.fuzz import cost

    cases = [case for method in cost.methods() for case in cost.cases_of(method, levels) if only in str(case)]
    progress, measured, failed = shown_now_and_then(), [], []
    with tempfile.TemporaryDirectory(prefix="parley-fuzz-") as folder:
        async with running(Path(folder), call_seconds=60) as service, cost.caller_of(service) as caller:
            records = await caller.records()
            for number, case in enumerate(cases, 1):
                seconds = await cost.seconds_of(caller, case, size, records)
                measured.append((seconds[-1], case))
                if cost.is_too_slow(seconds):
                    failed.append(
                        f"{case}: {' → '.join(f'{one:.3f} s' for one in seconds)} from {size} to {4 * size}"
                    )
                progress(f"{number:,} of {len(cases):,} members, {len(failed)} too slow")
    slowest = sorted(measured, key=lambda one: -one[0])[:10]
    print("slowest:", *(f"{seconds:.3f} s {case}" for seconds, case in slowest), sep="\n")
    print(*failed, f"{len(cases):,} members, {len(failed)} of which cost more than in proportion", sep="\n")
    return 1 if failed or not cases else 0


def shown_now_and_then() -> Callable[[str], None]:
    """Shows a line of progress, in place of the last one, when that is some seconds old."""
    shown = time.monotonic()

    def show(text: str) -> None:
        nonlocal shown
        if time.monotonic() - shown > PROGRESS_SECONDS:
            shown = time.monotonic()
            print(f"\r{text} ", end="", file=sys.stderr, flush=True)

    return show


if __name__ == "__main__":
    sys.exit(main())
