"""HTTP/1.1 to providers and to servers that others name: guarded addresses, a pool of connections, no
unrequested headers or cookies.

Connects only to addresses that `guard.py` permits, after resolving the name once, so a second DNS answer
cannot move the connection. Does not retry, follow redirects, use proxies, keep cookies, enforce deadlines
(`calls.py`, `client.py`) or count bytes read (`limits.py` has the numbers, the readers count).
"""

import asyncio
import io
import os
import re
import socket
import ssl
import sys
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Self

import aiohttp
from aiohttp.client_proto import ResponseHandler
from aiohttp.connector import Connection
from aiohttp.http import HttpProcessingError
from yarl import URL

from server.core.errors import UpstreamError
from server.core.outbound.guard import AllowedHosts
from server.core.outbound.limits import Limits

Resolve = Callable[[str, int], Awaitable[list[str]]]
"""Gives the IP addresses of a host, best first; raises OSError."""

TRANSPORT_ERRORS = (aiohttp.ClientError, HttpProcessingError, OSError)
"""The exceptions of a request, or of reading its answer, when the server or the network fails."""

_IDLE_SECONDS = 30.0
_READ_BYTES = 64 << 10
"""Read buffer: at most twice as much of an answer waits to be read."""
_LINE_BYTES = 16 << 10
"""Longest line of an answer's head, and longest line with the size of a chunk."""
_MOST_HEADERS = 128
_LARGE_BODY = 1 << 20
_SENT_AS_IT_IS = re.compile(r"[!-~]+")
_CA_FILES = (
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
)


async def resolve_host(host: str, port: int) -> list[str]:
    """Ask the system's resolver."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


class HttpClient:
    """Sends requests over guarded connections. May be created in any thread; used in one event loop.

    `kept_alive` is the number of connections that stay open for later requests.
    """

    def __init__(
        self, allowed: AllowedHosts, limits: Limits, resolve: Resolve | None = None, *, kept_alive: int = 100
    ) -> None:
        self._guard = _Guard(allowed, resolve or resolve_host, limits.connect_seconds)
        self._kept_alive = kept_alive
        self._tls = tls_context()
        self._session: aiohttp.ClientSession | None = None

    async def send(
        self, method: str, url: str, headers: Mapping[str, str], content: bytes | None
    ) -> aiohttp.ClientResponse:
        """Send one request and return its answer as soon as its head is there; the caller reads and closes
        it.

        Raises UpstreamError for an address that may not be called, one of TRANSPORT_ERRORS, or ValueError for
        an invalid request.
        """
        session = self._session
        if session is None:
            session = self._session = self._new_session()
        data = io.BytesIO(content) if content is not None and len(content) > _LARGE_BODY else content
        return await session.request(
            method,
            URL(url, encoded=_SENT_AS_IT_IS.fullmatch(url) is not None),
            data=data,
            # A compressed body would defeat every byte count.
            headers={**headers, "accept-encoding": "identity", "connection": "keep-alive"},
            allow_redirects=False,
        )

    async def close(self) -> None:
        """Close every connection. Requests in flight fail."""
        if self._session is not None:
            await self._session.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def _new_session(self) -> aiohttp.ClientSession:
        return aiohttp.ClientSession(
            connector=GuardedConnector(self._guard, self._tls, self._kept_alive),
            timeout=aiohttp.ClientTimeout(),
            cookie_jar=aiohttp.DummyCookieJar(),
            skip_auto_headers=("Accept", "Accept-Encoding", "Content-Type", "User-Agent"),
            auto_decompress=False,
            trust_env=False,
            read_bufsize=_READ_BYTES,
            max_line_size=_LINE_BYTES,
            max_field_size=_LINE_BYTES,
            max_headers=_MOST_HEADERS,
        )


def abandon(response: aiohttp.ClientResponse) -> None:
    """Close an answer: its connection is reused if the answer was read to its end, otherwise aborted at once."""
    connection = response.connection
    if connection is not None and connection.transport is not None and not response.content.at_eof():
        connection.transport.abort()  # a server that does not read would block closing
    response.close()


def is_compressed(response: aiohttp.ClientResponse) -> bool:
    """Whether an answer came compressed, which is never asked for."""
    encodings = response.headers.getall("content-encoding", ())
    return any(encoding.strip().lower() not in ("", "identity") for encoding in encodings)


async def beginning(response: aiohttp.ClientResponse, most: int) -> bytes:
    """The first `most` bytes of a body at most; the rest is not read."""
    pieces: list[bytes] = []
    while most > 0 and (piece := await response.content.readany()):
        pieces.append(piece[:most])
        most -= len(piece)
    return b"".join(pieces)


def tls_context() -> ssl.SSLContext:
    """The context for calls: the machine's certificates, or those of SSL_CERT_FILE and SSL_CERT_DIR."""
    if sys.platform == "darwin" and not (os.environ.keys() & {"SSL_CERT_FILE", "SSL_CERT_DIR"}):
        import truststore  # OpenSSL cannot read the certificates of macOS

        return truststore.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context = ssl.create_default_context()
    paths = ssl.get_default_verify_paths()
    if not paths.cafile and not paths.capath:  # an OpenSSL that was built for another system
        found = next(filter(os.path.isfile, _CA_FILES), None)
        if found:
            context.load_verify_locations(found)
    context.set_alpn_protocols(["http/1.1"])
    return context


class _Guard:
    """Finds the addresses of a host that may be connected to."""

    def __init__(self, allowed: AllowedHosts, resolve: Resolve, seconds: float) -> None:
        self._allowed = allowed
        self._resolve = resolve
        self.seconds = seconds
        """Time limit for name resolution, connection and TLS."""

    async def addresses(self, host: str, port: int) -> list[str]:
        """The permitted addresses of a host. Raises UpstreamError when it has none, OSError when it has no
        address at all."""
        try:
            found = await self._resolve(host, port)
        except UnicodeError:
            raise OSError("the name cannot be resolved") from None
        permitted = [address for address in found if self.permits(host, port, address)]
        if not permitted:
            raise UpstreamError(
                "The address of the model provider is not a public one, and the operator has not listed its host in "
                f"{self._allowed.settings}, a name with +private behind it.", reason="UPSTREAM_ADDRESS_REFUSED",
            )  # fmt: skip
        return permitted

    def permits(self, host: str, port: int, address: str) -> bool:
        return self._allowed.permits(host, port, address)


class GuardedConnector(aiohttp.BaseConnector):
    """Opens connections to permitted addresses only, and keeps some of them.

    Every host, a literal address too, goes through the guard; the connection is opened to the address itself,
    and the connected peer's address is checked again.
    """

    def __init__(self, guard: _Guard, tls: ssl.SSLContext, kept_alive: int) -> None:
        # The engine bounds how many calls run.
        reuse: dict[str, Any] = {"keepalive_timeout": _IDLE_SECONDS} if kept_alive else {"force_close": True}
        super().__init__(limit=0, **reuse)
        self._guard = guard
        self._tls = tls
        self._kept_alive = kept_alive

    async def _create_connection(
        self,
        req: aiohttp.ClientRequest,
        traces: list[Any],
        timeout: aiohttp.ClientTimeout,  # noqa: ASYNC109  aiohttp's signature
    ) -> ResponseHandler:
        """Connect to the first permitted address that answers, sharing the time among them."""
        host, port = req.url.raw_host, req.port
        assert host is not None and port is not None  # aiohttp refuses such a URL
        tls, name = (self._tls, host.rstrip(".")) if req.is_ssl() else (None, None)
        until = self._loop.time() + self._guard.seconds
        async with asyncio.timeout_at(until):
            addresses = await self._guard.addresses(host, port)
        for left, address in zip(range(len(addresses), 0, -1), addresses, strict=True):
            now = self._loop.time()
            try:
                async with asyncio.timeout_at(now + (until - now) / left):
                    protocol: ResponseHandler
                    transport, protocol = await self._loop.create_connection(
                        self._factory, address, port, ssl=tls, server_hostname=name
                    )
            except OSError as error:  # TimeoutError is one
                if left == 1 or isinstance(error, ssl.SSLError):
                    raise
                continue
            self._check(transport, host, port)
            return protocol
        raise AssertionError("addresses are never none")

    def _check(self, transport: asyncio.Transport, host: str, port: int) -> None:
        peer = transport.get_extra_info("peername")
        if peer is None or not self._guard.permits(host, port, peer[0]):
            transport.abort()
            raise OSError("connected to another address")

    async def _get(self, key: Any, traces: list[Any]) -> Connection | None:
        """A connection that got no bytes since its last answer: they would be taken for the next answer."""
        while (found := await super()._get(key, traces)) is not None:
            if found.protocol is not None and not found.protocol.should_close:
                return found
            found.close()
        return None

    def _release(self, key: Any, protocol: ResponseHandler, *, should_close: bool = False) -> None:
        """Keep a connection open, unless the limit of open connections is reached."""
        full = not should_close and sum(map(len, self._conns.values())) >= self._kept_alive
        super()._release(key, protocol, should_close=should_close or full)
