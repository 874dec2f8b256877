"""The HTTP client of provider SDKs and of `client.py`: guarded addresses, bounded answers, nothing sent on
the side.

Connects only to addresses that `guard.py` permits, after resolving the name once, so a second DNS answer
cannot move the connection. Does not retry, follow redirects, use proxies, keep cookies or know about
deadlines (`calls.py`).
"""

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from contextlib import contextmanager
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Any

import httpcore2
import httpx2

from server.core.errors import UpstreamError
from server.core.outbound.guard import AllowedHosts
from server.core.outbound.limits import Limits

Resolve = Callable[[str, int], Awaitable[list[str]]]
"""Gives the IP addresses of a host, best first; raises OSError."""

# The SDKs add the operator's environment (OPENAI_ORG_ID, OPENAI_CUSTOM_HEADERS, …), platform details and
# cookies. None of that is meant for an assistant's own model.url, so only what the protocols need leaves.
_SENT_HEADERS = frozenset({
    b"accept", b"anthropic-version", b"authorization", b"connection", b"content-length", b"content-type", b"host",
    b"user-agent",
})  # fmt: skip
_TRANSPORT_ERRORS = (
    httpcore2.NetworkError, httpcore2.ProtocolError, httpcore2.ProxyError, httpcore2.TimeoutException,
    httpcore2.UnsupportedProtocol,
)  # fmt: skip
_EVENT_ENDS = (b"\n\n", b"\r\n\r\n", b"\r\r")


def provider_client(
    allowed: AllowedHosts, limits: Limits, resolve: Resolve | None = None
) -> httpx2.AsyncClient:
    """The client to give to an SDK. Whoever makes it closes it."""
    return httpx2.AsyncClient(
        transport=ProviderTransport(allowed, limits, resolve or resolve_host),
        timeout=httpx2.Timeout(None, connect=limits.connect_seconds),
        follow_redirects=False,
        trust_env=False,
    )


def outside_client(
    allowed: AllowedHosts, limits: Limits, resolve: Resolve | None = None, *, truncates: bool = False
) -> httpx2.AsyncClient:
    """The client for requests of our own making, under the same guard: every header is sent. Whoever makes it
    closes it."""
    return httpx2.AsyncClient(
        # A connection serves one request: bytes behind an answer would be taken for the answer to the next
        # one.
        transport=ProviderTransport(
            allowed, limits, resolve or resolve_host, sends=None, truncates=truncates, kept_alive=0
        ),
        timeout=httpx2.Timeout(None, connect=limits.connect_seconds),
        follow_redirects=False,
        trust_env=False,
        headers={"user-agent": "parley"},
        cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),  # one org's must not reach another's tool
    )


async def resolve_host(host: str, port: int) -> list[str]:
    """Ask the system's resolver."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


class GuardedNetwork(httpcore2.AsyncNetworkBackend):
    """Opens connections to permitted addresses only.

    Raises UpstreamError when a name has no permitted address, ConnectError and ConnectTimeout otherwise.
    """

    def __init__(self, allowed: AllowedHosts, resolve: Resolve) -> None:
        self._allowed = allowed
        self._resolve = resolve
        self._network = httpcore2.AnyIOBackend()

    async def connect_tcp(
        self, host: str, port: int, timeout: float | None = None,  # noqa: ASYNC109  httpcore's signature
        local_address: str | None = None, socket_options: Iterable[Any] | None = None,
    ) -> httpcore2.AsyncNetworkStream:  # fmt: skip
        """Connect to the first permitted address that answers, sharing the time among them."""
        addresses = await self._permitted(host, port, timeout)
        share = None if timeout is None else timeout / len(addresses)
        for address in addresses[:-1]:
            try:
                return await self._network.connect_tcp(address, port, share, local_address, socket_options)
            except (httpcore2.ConnectError, httpcore2.ConnectTimeout):
                continue
        return await self._network.connect_tcp(addresses[-1], port, share, local_address, socket_options)

    async def connect_unix_socket(self, path: str, *_: object, **__: object) -> httpcore2.AsyncNetworkStream:
        """Refuse: no provider is reached that way."""
        raise httpcore2.ConnectError("unix sockets are not called")

    async def sleep(self, seconds: float) -> None:
        """Wait; httpcore's own retries, which are off, would use it."""
        await asyncio.sleep(seconds)

    async def _permitted(self, host: str, port: int, seconds: float | None) -> list[str]:
        try:
            async with asyncio.timeout(seconds):
                found = await self._resolve(host, port)
        except TimeoutError:
            raise httpcore2.ConnectTimeout("name resolution") from None
        except (OSError, UnicodeError):
            raise httpcore2.ConnectError("name resolution") from None
        permitted = [address for address in found if self._allowed.permits(host, port, address)]
        if not permitted:
            raise UpstreamError(
                "The address of the model provider is not a public one, and the operator has not listed its host in "
                f"{self._allowed.settings}, a name with +private behind it.", reason="UPSTREAM_ADDRESS_REFUSED",
            )  # fmt: skip
        return permitted


class ProviderTransport(httpx2.AsyncBaseTransport):
    """Sends requests over guarded connections and bounds what comes back."""

    def __init__(
        self,
        allowed: AllowedHosts,
        limits: Limits,
        resolve: Resolve,
        *,
        sends: frozenset[bytes] | None = _SENT_HEADERS,
        truncates: bool = False,
        kept_alive: int = 100,
    ) -> None:
        """`sends` names the headers that leave; None means all. `truncates`: of any answer only the beginning
        is read.

        `kept_alive` is the number of connections that stay open for a next request.
        """
        self._limits = limits
        self._sends = sends
        self._truncates = truncates
        self._pool = httpcore2.AsyncConnectionPool(
            ssl_context=httpx2.create_ssl_context(),
            max_connections=None,  # the engine bounds how many calls run
            max_keepalive_connections=kept_alive,
            keepalive_expiry=30.0,
            network_backend=GuardedNetwork(allowed, resolve),
        )

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Send one request; its own headers stay as they are, because the SDKs read them back."""
        with _httpx_errors():
            response = await self._pool.handle_async_request(_sent(request, self._sends))
        if self._truncates or response.status >= 300:
            return self._beginning(response)
        await _check_not_compressed(response)
        body = _Body(response, self._limits.body_bytes, self._limits.event_bytes)
        return httpx2.Response(
            response.status, headers=response.headers, stream=body, extensions=response.extensions
        )

    async def aclose(self) -> None:
        """Close every connection."""
        await self._pool.aclose()

    def _beginning(self, response: httpcore2.Response) -> httpx2.Response:
        """An answer of which little matters, as it was sent: compressed bytes stay what they are."""
        body = _Body(response, self._limits.error_bytes, self._limits.error_bytes, truncate=True)
        headers = [(name, value) for name, value in response.headers if name.lower() != b"content-encoding"]
        return httpx2.Response(response.status, headers=headers, stream=body, extensions=response.extensions)


class _Body(httpx2.AsyncByteStream):
    """The bytes of an answer, counted. Too many raise UpstreamError, or end the body when `truncate` is
    set."""

    def __init__(
        self, response: httpcore2.Response, body_bytes: int, event_bytes: int, *, truncate: bool = False
    ) -> None:
        self._response = response
        self._body_left = body_bytes
        self._event_bytes = event_bytes
        self._truncate = truncate
        self._in_event = 0
        self._tail = b""

    async def __aiter__(self) -> AsyncIterator[bytes]:
        with _httpx_errors():
            async for chunk in self._response.stream:  # type: ignore[union-attr]  # an async client's
                self._body_left -= len(chunk)
                if self._truncate and self._body_left < 0:
                    return
                self._check(chunk)
                yield chunk

    async def aclose(self) -> None:
        await self._response.aclose()

    def _check(self, chunk: bytes) -> None:
        seen = self._tail + chunk
        self._tail = seen[-3:]  # an event's end can be split over chunks
        end = max(seen.rfind(mark) + len(mark) if mark in seen else 0 for mark in _EVENT_ENDS)
        self._in_event = len(seen) - end if end else self._in_event + len(chunk)
        if self._body_left < 0 or self._in_event > self._event_bytes:
            raise UpstreamError("The model provider sent more than this service reads.")


@contextmanager
def _httpx_errors() -> Iterator[None]:
    try:
        yield
    except _TRANSPORT_ERRORS as error:
        # Both packages name them alike; the SDKs know httpx's.
        raise getattr(httpx2, type(error).__name__)(type(error).__name__) from error


def _sent(request: httpx2.Request, sends: frozenset[bytes] | None) -> httpcore2.Request:
    # A dict: of one header under two spellings (the environment's, then ours) the last is sent.
    headers = {
        name.lower(): value for name, value in request.headers.raw if sends is None or name.lower() in sends
    }
    headers[b"accept-encoding"] = b"identity"  # a compressed body defeats every byte count
    return httpcore2.Request(
        request.method,
        httpcore2.URL(scheme=request.url.raw_scheme, host=request.url.raw_host, port=request.url.port,
                      target=request.url.raw_path),
        headers=list(headers.items()),
        content=request.stream,
        extensions=request.extensions,
    )  # fmt: skip


async def _check_not_compressed(response: httpcore2.Response) -> None:
    for name, value in response.headers:
        if name.lower() == b"content-encoding" and value.strip().lower() not in (b"", b"identity"):
            await response.aclose()
            raise UpstreamError("The model provider sent a compressed answer, which was not asked for.")
