"""`parley load` as its user runs it: against the service through both doors, and against a server in trouble.

What it measures is tested in `tests/test_load_parts.py`.
"""

import json
import re
import signal
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from axe_playwright_python.async_playwright import Axe
from click.testing import CliRunner
from jsonschema import Draft202012Validator

from server.cli.load.page import page_of
from server.cli.load.plan import KINDS, STREAMS
from server.cli.main import main
from tests.browser import NEEDED, Watched, chromium
from tests.conftest import Org, Service
from tests.documents import ROOT
from tests.load_server import serving, whole
from tests.processes import Ended, run, running

SCHEMA = json.loads((ROOT / "docs" / "load-report.schema.json").read_bytes())
EVERY = ",".join(KINDS)


def checked(report: Any) -> Any:
    """A report that is as its schema says."""
    Draft202012Validator.check_schema(SCHEMA)
    assert [error.message for error in Draft202012Validator(SCHEMA).iter_errors(report)] == []
    return report


def written(folder: Path) -> Any:
    return checked(json.loads((folder / "report.json").read_bytes()))


async def load(*options: object, **environment: object) -> Ended:
    return await run("parley", "load", *options, **environment)


def refused(*options: object, **environment: str) -> str:
    """The one line that the command says, which calls nothing."""
    ended = CliRunner().invoke(main, ["load", *map(str, options)], env=environment)
    assert ended.exit_code != 0
    assert ended.output.startswith("Error: ") and ended.output.count("\n") == 1
    return ended.output


# Against the service


@pytest.mark.parametrize("door", ["REST", "gRPC", "gRPC through Envoy"])
async def test_every_kind_of_call_is_made_and_measured_at_each_door(
    door: str, service: Service, org: Org, tmp_path: Path
) -> None:
    where = {
        "REST": ["--url", service.http_url],
        "gRPC": ["--url", f"grpc://{service.grpc_address}"],
        "gRPC through Envoy": ["--url", service.http_url, "--door", "grpc"],
    }[door]
    who = ["--assistant", org.assistant_id]
    how = ["--rate", 40, "--arrivals", "constant", "--for", "1s", "--warm-up", "200ms", "--seed", 2]
    ended = await load(*where, *who, *how, "--mix", EVERY, "--out", tmp_path, "--json", PARLEY_KEY=org.api)
    assert (ended.code, ended.err) == (0, "")
    report = checked(json.loads(ended.out))

    assert report == written(tmp_path)
    assert report["calls"] == {
        "due": 40,
        "succeeded": 40,
        "failed": 0,
        "unsent": 0,
        "unfinished": 0,
        "uncounted": 8,
    }
    assert {kind for kind, one in report["kinds"].items() if one["latency"]["count"]} == set(KINDS)
    assert {kind for kind, one in report["kinds"].items() if one["firstToken"]["count"]} == STREAMS
    assert report["plan"]["door"] == ("rest" if door == "REST" else "grpc")
    assert org.api not in ended.out + (tmp_path / "index.html").read_text()


async def test_closed_loop_is_shown_while_it_runs_and_says_what_it_is(service: Service, org: Org) -> None:
    who = ["--url", service.http_url, "--key", org.api, "--assistant", org.assistant_id]
    how = ["--users", 2, "--for", "800ms", "--think", "10ms", "--mix", "chat,stream"]
    ended = await load(*who, *how, FORCE_COLOR=1, COLUMNS=120)  # as on a terminal

    assert ended.code == 0, ended.err
    assert re.search(r"of 0.8 s, measured +answered \d+ .*failed 0.* under way \d", ended.err)
    assert re.search(r"stream +│ +\d+ │ +\d+\.\d │", ended.err)
    assert re.search(r"^\d+ calls, \d+ answered \(.* a second\), 0 failed \(0 %\)", ended.out)
    assert "Warning: A closed loop: a user waits for an answer" in ended.out


async def test_wrong_key_is_one_line_before_anything_is_measured(service: Service, org: Org) -> None:
    where = ["--url", service.http_url, "--assistant", org.assistant_id, "--rate", 1]
    rest = await load(*where, "--key", "wrong")
    grpc = await load(*where, "--key", "wrong", "--door", "grpc")

    assert [(ended.code, ended.out) for ended in (rest, grpc)] == [(1, ""), (1, "")]
    assert f"Error: {service.http_url} answers `chat` with 401: " in rest.err
    assert f"Error: {service.http_url} answers `chat` with UNAUTHENTICATED: " in grpc.err


# Against a server in trouble


async def test_more_errors_than_may_be_are_the_exit_code(tmp_path: Path) -> None:
    requests = 0

    async def answer(request: web.Request) -> web.Response:
        nonlocal requests
        requests += 1
        return whole() if requests % 2 else web.Response(status=503, text="no healthy upstream")

    how = ["--rate", 100, "--arrivals", "constant", "--for", "200ms", "--key", "k", "--assistant", "a"]
    async with serving(answer) as url:
        many = await load("--url", url, *how, "--out", tmp_path)
        requests = 0
        allowed = await load("--url", url, *how, "--max-errors", "50%")

    assert many.code == 1
    assert "Error: 50 % of the calls failed, of which 1 % may (--max-errors)" in many.err
    assert "10 × http 503 (chat): no healthy upstream" in many.out
    assert [one["count"] for one in written(tmp_path)["errors"]] == [10]
    assert allowed.code == 0


async def test_load_that_is_interrupted_reports_what_ran(tmp_path: Path) -> None:
    requests = 0
    process: Any = None

    async def answer(request: web.Request) -> web.Response:
        nonlocal requests
        requests += 1
        if requests == 11:
            process.send_signal(signal.SIGINT)
        return whole()

    async with serving(answer) as url:
        who = ["--url", url, "--key", "k", "--assistant", "a", "--rate", 50, "--for", "10m"]
        async with running("parley", "load", *who, "--out", tmp_path) as process:
            out, err = await process.communicate()

    assert (process.returncode, err) == (130, b"")
    report = written(tmp_path)
    assert report["interrupted"] and report["calls"]["succeeded"] >= 9
    assert "Interrupted after" in report["warnings"][0] and b"Interrupted after" in out
    assert (tmp_path / "index.html").exists()


# What is asked for


def test_options_that_do_not_go_together_are_refused_with_what_would(tmp_path: Path) -> None:
    alone = {"PARLEY_DATA": str(tmp_path)}
    file = tmp_path / "file"
    file.touch()

    assert "give either --rate (open loop) or --users (closed loop)" in refused()
    assert "give either --rate" in refused("--rate", 1, "--users", 1)
    assert "--think is for --users" in refused("--rate", 1, "--think", "1s")
    assert "ftp://x must be http://, https://, grpc:// or grpcs://" in refused(
        "--rate", 1, "--url", "ftp://x"
    )
    assert "is for gRPC; give --door grpc" in refused("--rate", 1, "--url", "grpc://h:1", "--door", "rest")
    assert "gRPC needs a host and a port" in refused("--rate", 1, "--url", "grpc://h", "--key", "k")
    assert "give --key or PARLEY_KEY" in refused("--rate", 1, **alone)
    assert f"{tmp_path / 'dev-keys.json'}, with the development keys, cannot be read" in refused(
        "--rate", 1, **alone
    )
    assert "has a character that no key has" in refused("--rate", 1, "--key", "k\nk", "--assistant", "a")
    assert "give --assistant with its id" in refused("--rate", 1, "--key", "k", **alone)
    assert str(file) in refused("--rate", 1, "--out", file)
    assert f"--ca {file} has no certificates in PEM form" in refused("--rate", 1, "--ca", file)


def test_development_key_is_sent_to_no_other_machine(tmp_path: Path) -> None:
    (tmp_path / "dev-keys.json").write_text('{"api": "api_1", "assistantId": "1"}')

    text = refused("--rate", 1, "--url", "http://parley.example.com", PARLEY_DATA=str(tmp_path))

    assert "the development keys are for the server on this machine alone" in text


def test_server_that_is_not_there_is_one_line() -> None:
    who = ["--url", "http://127.0.0.1:1", "--key", "k", "--assistant", "a"]

    assert "Error: http://127.0.0.1:1 cannot be reached: " in refused("--rate", 1, *who)


# The page


def a_report() -> Any:
    """One with all that a page can show."""
    return json.loads((ROOT / "tests" / "golden" / "load_report.json").read_bytes())


def test_report_that_the_page_is_tried_with_is_one() -> None:
    checked(a_report())


def test_page_refers_to_nothing_outside_and_escapes_what_a_server_says() -> None:
    report = a_report()
    page = page_of(report)

    assert report["errors"][0]["example"].startswith("<script>") and "<script" not in page
    assert re.findall(r'\b(?:src|href|action)="([^"]*)"', page) == ["data:,"]
    assert re.findall(r"url\(|@import|<iframe|<object|<embed", page) == []
    assert re.findall(r"https?://[^ <]*", page) == ["http://127.0.0.1:8080"] * 2
    assert "default-src 'none'" in page


@NEEDED
@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "dark")])
async def test_page_is_whole_in_a_browser_and_all_can_use_it(width: int, scheme: Any, tmp_path: Path) -> None:
    (tmp_path / "index.html").write_text(page_of(a_report()))
    file = f"file://{tmp_path}"
    async with chromium() as browser:
        page = await browser.new_page(viewport={"width": width, "height": 844}, color_scheme=scheme)
        watched = Watched(page, file)
        await page.goto(f"{file}/index.html")
        barriers = await Axe().run(page)
        titles = await page.locator("figcaption").all_inner_texts()
        drawn = await page.locator("svg polyline").count()
        overflow = await page.evaluate("document.documentElement.scrollWidth - window.innerWidth")

    assert titles == [
        "Latency of answered calls",
        "Latency by kind of call",
        "Latency by the time a call was to begin",
        "Calls by the time they were to begin",
        "Time to the first token",
        "Gaps between tokens",
    ]
    assert drawn == 12
    assert barriers.violations_count == 0, barriers.generate_report()
    assert (watched.outside, watched.complaints, overflow) == ([], [], 0)
