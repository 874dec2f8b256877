"""The commands of the README and of `docs/`, run as they stand in the environment that a user has: a checkout
of which `scripts/serve` has just made a server. Every `# → text` must be in what is printed.
"""

import asyncio
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.documents import PAGES, ROOT, blocks_of
from tests.environments import empty_environment, give_pip_that_lends
from tests.postgres import Postgres
from tests.processes import free_address

OWN = ("README.md", *PAGES)
RUN = next(block for block in blocks_of("README.md", "sh") if "scripts/serve" in block)
SET_UP = re.compile(r"^key\(\)")
INSTALLS = re.compile(r"pip install|scripts/setup")
UNSERVED = "docs/postgres.md"
"""Its commands take the data of a server that has stopped."""
OF_GRPCURL = "docs/grpcurl.md"
"""Its commands need grpcurl, with which `tests/test_grpcurl.py` runs them."""
OF_CALLERS = "docs/callers.md"
"""Its commands need Go and Node.js, with which `tests/test_callers.py` runs them."""


ENVIRONMENT = {
    **{name: value for name, value in os.environ.items() if not name.startswith(("PARLEY_", "PYTHON"))},
    "PYTHON": sys.executable,
}
"""A user's: they have a Python."""


class Example(NamedTuple):
    page: str
    set_up: str
    text: str


class Checkout(NamedTuple):
    """One of Parley, and where it is served."""

    path: Path
    http: str = ""
    grpc: str = ""


def examples_of(page: str) -> list[Example]:
    blocks = [block for block in blocks_of(page, "sh") if block != RUN]
    set_up = next(filter(SET_UP.match, blocks), "")
    return [Example(page, set_up, block) for block in blocks if block != set_up]


# Those that install more come last: before them the environment has what every user has.
EXAMPLES = sorted(
    (
        example
        for page in OWN
        if page not in (UNSERVED, OF_GRPCURL, OF_CALLERS)
        for example in examples_of(page)
    ),
    key=lambda example: bool(INSTALLS.search(example.text)),
)


def fresh_checkout(path: Path) -> Path:
    """What is needed of one, with a `.venv` that has nothing but a pip: ours, which fetches nothing."""
    for name in ("pyproject.toml", "requirements.lock"):
        shutil.copy(ROOT / name, path)
    for name in ("server", "gateway", "generated", "envoy.yaml"):
        (path / name).symlink_to(ROOT / name)
    (path / "scripts").mkdir()
    for script in ("setup", "serve"):
        shutil.copy(ROOT / "scripts" / script, path / "scripts")
    give_pip_that_lends(empty_environment(path / ".venv"))
    return path


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Checkout]:
    """Served by the README's own command, which sets it up from nothing but a Python."""
    path = fresh_checkout(tmp_path_factory.mktemp("parley"))
    http, grpc = free_address(), free_address()
    command = re.search(r"^scripts/serve", RUN, re.MULTILINE)
    assert command
    with (
        (path / "log").open("wb") as log,
        subprocess.Popen(
            command.group(),
            cwd=path,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            env={
                **ENVIRONMENT,
                "PARLEY_HTTP": http,
                "PARLEY_GRPC": grpc,
                "PARLEY_DRAIN_SECONDS": "0",
                "PARLEY_TOOL_ALLOW_HOSTS": "127.0.0.1",
            },
        ) as server,
    ):
        assert server.stdout
        ready = any(line == f"ready http=http://{http} grpc={grpc}\n" for line in server.stdout)
        assert ready, (path / "log").read_text()
        try:
            yield Checkout(path, http, grpc)
        finally:
            server.terminate()
        assert server.wait() == 0


@pytest.mark.parametrize(
    "example", EXAMPLES, ids=[f"{example.page}-{index}" for index, example in enumerate(EXAMPLES)]
)
async def test_example_prints_what_the_page_says(example: Example, checkout: Checkout) -> None:
    promised = re.findall(r"^# → (.*)$", example.text, re.MULTILINE)
    printed = await pasted(example.set_up + example.text, checkout)

    assert promised
    for text in promised:
        assert text in printed


async def test_store_moves_to_postgresql_as_the_page_says(tmp_path: Path, postgres: Postgres) -> None:
    checkout = Checkout(fresh_checkout(tmp_path))
    [example] = examples_of(UNSERVED)
    await pasted("scripts/setup\n.venv/bin/parley keys create --org acme --kind api\n", checkout)
    text = example.text.replace("postgresql://USER:PASSWORD@HOST:PORT/NAME", f"'{postgres.new_database()}'")
    [promised] = re.findall(r"^# → (.*)$", text, re.MULTILINE)

    assert promised in await pasted(text, checkout)


def test_every_page_that_has_commands_is_run() -> None:
    assert {example.page for example in EXAMPLES} >= {"README.md", "docs/clients.md", "docs/operations.md"}


RUN_ELSEWHERE = {("docs/clients.md", "python")}
"""Programs of callers who have the client's wheel alone: `test_package.py` runs them."""


def test_code_of_other_languages_is_run_by_the_shell() -> None:
    """A reader pastes it into a shell; which Python it needs is said there."""
    assert [
        (page, language)
        for page in OWN
        for language in ("python", "bash", "shell")
        if blocks_of(page, language) and (page, language) not in RUN_ELSEWHERE
    ] == []
    assert [
        example
        for example in EXAMPLES
        if re.search(r"^(?:python3?|pip|parley)\b", example.text, re.MULTILINE)
    ] == []


async def pasted(text: str, checkout: Checkout) -> str:
    """What a shell in the checkout prints, that finds the server at its usual addresses."""
    here = text.replace("127.0.0.1:8080", checkout.http).replace("127.0.0.1:50051", checkout.grpc)
    process = await asyncio.create_subprocess_exec(
        "bash",
        "-euo",
        "pipefail",
        "-c",
        here,
        cwd=checkout.path,
        env=ENVIRONMENT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    output, errors = await process.communicate()
    assert process.returncode == 0, errors.decode()
    return output.decode()
