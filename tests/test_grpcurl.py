"""Real grpcurl, which knows nothing of the protos, at the server's own port and through Envoy: every method
described and called, and each line of `docs/grpcurl.md` run as it stands.

What the services answer is tested elsewhere; that the page has the protos' methods is proven by
`scripts/generate --check`.
"""

import asyncio
import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from server.core.ids import new_id
from tests.conftest import Org, Service
from tests.descriptors import METHODS
from tests.documents import blocks_of, text_of
from tests.grpcurl import grpcurl

pytestmark = pytest.mark.timeout(600)  # of which the first build takes minutes

PAGE = "docs/grpcurl.md"
SET_UP, *BLOCKS = blocks_of(PAGE, "sh")
HEADINGS = re.findall(r"^## (.*)$", text_of(PAGE), re.MULTILINE)
OVER_ENVOY = {"What there is", "Errors", "ChatService"}


class Ended(NamedTuple):
    code: int
    out: str
    err: str


@pytest.fixture(scope="module")
def program() -> Path:
    return grpcurl()


@pytest.fixture
def call(request: pytest.FixtureRequest, program: Path, service: Service, org: Org) -> Callable[..., Any]:
    """Runs grpcurl with some arguments before the address and some behind it."""
    address = address_of(service, getattr(request, "param", "server"))

    async def call(*options: str, to: str = "", key: str = org.api) -> Ended:
        return await ended(
            str(program), "-plaintext", "-H", f"authorization: Bearer {key}", *options, address, *to.split()
        )

    return call


at_both_ports = pytest.mark.parametrize("call", ["server", "envoy"], indirect=True)


def address_of(service: Service, at: str) -> str:
    return {"server": service.grpc_address, "envoy": service.http_url.removeprefix("http://")}[at]


async def ended(*command: str, **options: Any) -> Ended:
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        **options,
    )
    out, err = await process.communicate()
    assert process.returncode is not None
    return Ended(process.returncode, out.decode(), err.decode())


# --- the page -----------------------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path: Path, org: Org) -> Path:
    """What the page's first lines find in a project's folder: a Python, and the keys of the first start."""
    (tmp_path / ".venv" / "bin").mkdir(parents=True)
    (tmp_path / ".venv" / "bin" / "python").symlink_to(sys.executable)
    (tmp_path / "data").mkdir()
    keys = {"org": org.id, "api": org.api, "assistantId": org.assistant_id}
    (tmp_path / "data" / "dev-keys.json").write_text(json.dumps(keys))
    return tmp_path


@pytest.mark.parametrize(
    ("at", "heading", "block"),
    [
        pytest.param(at, heading, block, id=f"{at}-{heading}")
        for heading, block in zip(HEADINGS, BLOCKS, strict=True)
        for at in ("server", "envoy")
        if at == "server" or heading in OVER_ENVOY
    ],
)
async def test_lines_of_the_page_print_what_it_says(
    program: Path, service: Service, folder: Path, at: str, heading: str, block: str
) -> None:
    promised = re.findall(r"^# → (.*)$", block, re.MULTILINE)
    lines = (SET_UP + block).replace("127.0.0.1:50051", address_of(service, at))
    path = f"{program.parent}:/usr/local/bin:/usr/bin:/bin"

    printed = await ended("bash", "-euo", "pipefail", "-c", lines, cwd=folder, env={"PATH": path})

    assert (printed.code, printed.err) == (0, "")
    assert promised
    for text in promised:
        assert text in printed.out


def test_page_has_a_line_for_every_method() -> None:
    called = set(re.findall(r"parley\.v1\.(\w+/\w+)", "".join(BLOCKS)))

    assert called == {str(method) for method in METHODS}


# --- reflection ---------------------------------------------------------------------------------------------


async def test_every_method_is_described(call: Callable[..., Any]) -> None:
    symbols = [f"parley.v1.{method.service}.{method.name}" for method in METHODS]
    few = asyncio.Semaphore(16)  # callers without a key have 32 places

    async def describe(symbol: str) -> Any:
        async with few:
            return await call(to=f"describe {symbol}")

    described = await asyncio.gather(*map(describe, symbols))

    for symbol, method, one in zip(symbols, METHODS, described, strict=True):
        assert (one.code, one.err) == (0, "")
        requests = "stream .parley.v1." if method.connects else ".parley.v1."
        assert one.out.startswith(f"{symbol} is a method:\nrpc {method.name} ( {requests}")


@at_both_ports
async def test_services_of_both_reflections_and_of_health_are_listed(call: Callable[..., Any]) -> None:
    listed = await call(to="list")

    assert listed.out.split() == [
        "grpc.health.v1.Health",
        "grpc.reflection.v1.ServerReflection",
        "grpc.reflection.v1alpha.ServerReflection",
        *sorted({f"parley.v1.{method.service}" for method in METHODS}),
    ]


@pytest.mark.parametrize(
    ("symbol", "kind"),
    [
        ("parley.v1.ChatService", "a service"),
        ("parley.v1.Chat", "a message"),
        ("parley.v1.Chat.cost", "a field"),
        ("parley.v1.ChatEvent.event", "a one-of"),
        ("parley.v1.Access", "an enum"),
        ("parley.v1.ACCESS_ANY_KEY", "an enum value"),
        ("parley.v1.access", "an extension"),
        ("grpc.reflection.v1.ServerReflection.ServerReflectionInfo", "a method"),
        ("grpc.health.v1.Health.List", "a method"),
        ("google.rpc.BadRequest", "a message"),
    ],
)
async def test_everything_that_is_declared_is_described(
    call: Callable[..., Any], symbol: str, kind: str
) -> None:
    described = await call(to=f"describe {symbol}")

    assert (described.code, described.err) == (0, "")
    assert f" is {kind}:\n" in described.out


async def test_unknown_method_is_not_found(call: Callable[..., Any]) -> None:
    described = await call(to="describe parley.v1.ChatService.DropChats")

    assert described.code == 1
    assert "Symbol not found: parley.v1.ChatService.DropChats" in described.err


# --- what is printed ----------------------------------------------------------------------------------------


@at_both_ports
async def test_invalid_request_is_printed_with_its_field_violations(call: Callable[..., Any]) -> None:
    body = json.dumps({"input": "Hello", "name": "n" * 41})
    failed = await call("-format-error", "-d", body, to="parley.v1.ChatService/CreateChat")
    error = json.loads(failed.err)

    assert (failed.code, failed.out) == (64 + 3, "")
    assert error["message"].startswith("name must be at most 40 characters")
    assert [detail["@type"] for detail in error["details"]] == [
        "type.googleapis.com/google.rpc.ErrorInfo",
        "type.googleapis.com/google.rpc.BadRequest",
    ]


@at_both_ports
async def test_unknown_chat_and_unknown_key_end_with_their_status(call: Callable[..., Any]) -> None:
    body = json.dumps({"id": new_id()})
    unknown = await call("-d", body, to="parley.v1.ChatService/GetChat")
    stranger = await call("-d", body, to="parley.v1.ChatService/GetChat", key="unknown")

    assert (unknown.code, stranger.code) == (64 + 5, 64 + 16)
    assert "Message: chat not found" in unknown.err
