"""Callers in Go and TypeScript, with stubs that anybody can make of `proto/`, at the server's own port and through Envoy.

What the services answer is tested elsewhere.
"""

import asyncio
import os
import shutil
from collections.abc import Callable

import pytest

from tests.callers import go_caller, typescript_caller
from tests.conftest import Org, Service

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
    process = await asyncio.create_subprocess_exec(
        *command,
        *("--address", address, "--assistant", assistant),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, "PARLEY_KEY": key},
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
