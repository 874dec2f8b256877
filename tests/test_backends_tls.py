"""Providers over TLS: who is trusted, and under which name."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trustme

from generated.parley.v1.chat_pb2 import ContentDelta
from generated.parley.v1.message_pb2 import Message
from server.backends.backend import ModelRequest
from server.backends.endpoint import Endpoint
from server.backends.openai import OpenAIBackend
from server.content.json_values import from_python
from server.core.errors import ServiceError, UpstreamUnavailable
from server.core.outbound.guard import AllowedHosts
from server.core.outbound.limits import Limits
from server.core.outbound.transport import HttpClient
from tests.pulled import pulled
from tests.upstream import OpenAIUpstream, openai_text

HI = Message(role="user", content=from_python("hi"))
NAME = "model.example"


class Secure(OpenAIUpstream):
    """A stand-in that is spoken to over TLS; `names` has whom its clients asked for."""

    def __init__(self, *issued_to: str, by: trustme.CA) -> None:
        super().__init__(openai_text("Hello"))
        self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        by.issue_cert(*issued_to).configure_cert(self._tls)
        self._tls.sni_callback = lambda _, name, __: self.names.append(name)
        self.names: list[str | None] = []

    async def __aenter__(self) -> "Secure":
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0, ssl=self._tls)
        return self


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def trusted(authority, tmp_path, monkeypatch) -> None:
    """The operator trusts the authority."""
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))


async def resolve(host: str, port: int) -> list[str]:
    return ["127.0.0.1"]


@asynccontextmanager
async def backend_of(upstream: Secure, host: str) -> AsyncIterator[OpenAIBackend]:
    async def sleep(seconds: float) -> None:
        """Take no time."""

    allowed = AllowedHosts([f"{NAME}+private", f"eu.{NAME}+private", "127.0.0.1"])
    url = f"https://{host}:{upstream.port}/v1"
    async with HttpClient(allowed, Limits(), resolve) as http:
        yield OpenAIBackend(lambda _: Endpoint(url, "k"), http, sleep=sleep)


async def asked(backend: OpenAIBackend) -> list[Any]:
    """All events of one call, an error last."""
    events: list[Any] = []
    try:
        async for event in pulled(backend, ModelRequest(provider="custom-llm", model="m", messages=[HI])):
            events.append(event)
    except ServiceError as error:
        events.append(error)
    return events


@pytest.mark.usefixtures("trusted")
@pytest.mark.parametrize(
    ("issued_to", "host", "asked_for"),
    [
        (NAME, NAME, NAME),
        (NAME, f"{NAME}.", NAME),
        (f"*.{NAME}", f"eu.{NAME}", f"eu.{NAME}"),
        ("127.0.0.1", "127.0.0.1", None),
    ],
)
async def test_server_with_a_certificate_of_a_trusted_authority_is_called(
    authority, issued_to, host, asked_for
):
    async with Secure(issued_to, by=authority) as upstream, backend_of(upstream, host) as backend:
        found = [await asked(backend) for _ in range(2)]

    assert [events[1] for events in found] == [ContentDelta(text="Hello")] * 2
    assert (upstream.names, len(upstream.requests), upstream.connections) == ([asked_for], 2, 1)


async def test_server_whose_authority_is_not_trusted_is_unreachable(authority):
    async with Secure(NAME, by=authority) as upstream, backend_of(upstream, NAME) as backend:
        [error] = await asked(backend)

    assert (type(error), upstream.requests) == (UpstreamUnavailable, [])


@pytest.mark.usefixtures("trusted")
@pytest.mark.parametrize(
    ("issued_to", "host"),
    [("other.example", NAME), (f"sub.{NAME}", NAME), ("other.example", "127.0.0.1"), (NAME, "127.0.0.1")],
)
async def test_server_with_a_certificate_for_another_name_is_unreachable(authority, issued_to, host):
    async with Secure(issued_to, by=authority) as upstream, backend_of(upstream, host) as backend:
        [error] = await asked(backend)

    assert (type(error), upstream.requests) == (UpstreamUnavailable, [])
