"""Callers in Go and TypeScript, with stubs that anybody can make of `proto/`, at the server's own port and through
Envoy; and the commands of `docs/callers.md`, as they stand.

What the services answer is tested elsewhere.
"""

import asyncio
import json
import os
import re
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.callers import go_caller, needed, sources_of, typescript_caller
from tests.conftest import Org, Service
from tests.documents import ROOT, blocks_of

SET_UP, *BLOCKS = blocks_of("docs/callers.md", "sh")
pytestmark = pytest.mark.timeout(600)  # of which the first build takes a minute or more


def go_command() -> list[str]:
    return [str(go_caller())]


def typescript_command() -> list[str]:
    script = str(typescript_caller())
    node = shutil.which("node")
    assert node
    return [node, script]


in_both_languages = pytest.mark.parametrize(
    "command", [pytest.param(go_command, id="go"), pytest.param(typescript_command, id="typescript")]
)


async def called(command: list[str], address: str, key: str, assistant: str) -> tuple[int | None, str, str]:
    return await ended(*command, "--address", address, "--assistant", assistant, PARLEY_KEY=key)


async def ended(*command: str, cwd: Path = ROOT, **environment: str) -> tuple[int | None, str, str]:
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        cwd=cwd,
        env={**os.environ, **environment},
    )
    out, err = await process.communicate()
    return process.returncode, out.decode(), err.decode()


@pytest.mark.parametrize("at", ["server", "envoy"])
@in_both_languages
async def test_caller_gets_an_answer_a_stream_and_the_fields_that_are_invalid(
    command: Callable[[], list[str]], at: str, service: Service, org: Org
) -> None:
    address = service.grpc_address if at == "server" else service.http_url.removeprefix("http://")

    code, out, err = await called(command(), address, org.api, org.assistant_id)

    assert (code, err) == (0, "")
    assert out.splitlines() == [
        "whole: You said: My name is Ada",
        "streamed: Your name is Ada. (completed)",
        "refused: InvalidArgument",
        "  name: must be at most 40 characters",
    ]


@in_both_languages
async def test_caller_with_an_unknown_key_ends_with_the_reason(
    command: Callable[[], list[str]], service: Service, org: Org
) -> None:
    code, out, err = await called(command(), service.grpc_address, "unknown", org.assistant_id)

    assert (code, out) == (1, "")
    assert "unauthenticated" in err.lower()


@pytest.fixture
def checkout(tmp_path: Path, org: Org) -> Path:
    """What the page's commands find in one, as it was cloned and set up, and served for the first time."""
    for name in ("clients/go", "clients/typescript", "proto"):
        for source in sources_of(ROOT / name):
            copy = tmp_path / source.relative_to(ROOT)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(source, copy)
    (tmp_path / ".venv").mkdir()
    (tmp_path / ".venv" / "bin").symlink_to(Path(sys.executable).parent)
    (tmp_path / "data").mkdir()
    keys = {"api": org.api, "assistantId": org.assistant_id}
    (tmp_path / "data" / "dev-keys.json").write_text(json.dumps(keys))
    return tmp_path


@pytest.mark.parametrize(
    ("tool", "block"), [*zip(("go", "npm"), BLOCKS, strict=True)], ids=["go", "typescript"]
)
async def test_commands_of_the_page_print_what_it_says(
    tool: str, block: str, service: Service, checkout: Path
) -> None:
    needed(tool)
    promised = re.findall(r"^# → (.*)$", block, re.MULTILINE)
    lines = (SET_UP + block).replace("127.0.0.1:50051", service.grpc_address)

    code, out, err = await ended(
        "bash", "-euo", "pipefail", "-c", lines, cwd=checkout, GOFLAGS="", npm_config_prefer_offline="true"
    )

    assert code == 0, err
    assert promised
    assert [text for text in promised if text not in out.splitlines()] == []
