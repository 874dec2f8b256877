"""JSON sent to a URL of an assistant's own, under the operator's allow-list: one try, no redirect, a bounded answer.

Does not retry and does not know what is asked.
"""

import asyncio
import re
from collections.abc import Iterable, Mapping
from typing import Any

import orjson

from server.backends.guard import AllowedHosts
from server.backends.limits import Limits
from server.errors import InvalidArgument, UpstreamError, UpstreamTimeout, UpstreamUnavailable

_MOST_BYTES = 1 << 20
_LIMITS = Limits(body_bytes=_MOST_BYTES, event_bytes=_MOST_BYTES)
_HEADER = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
# What the protocol itself needs to say.
_OURS = frozenset({"host", "content-length", "content-type", "transfer-encoding", "connection", "accept-encoding", "te",
                   "upgrade", "trailer", "expect"})


class JsonPoster:
    """Posts JSON and reads JSON. Connections are kept until `close`."""

    def __init__(self, allowed_hosts: Iterable[str] = ()) -> None:
        self._allowed = AllowedHosts(allowed_hosts)
        self._client: Any = None
        self._making = asyncio.Lock()

    async def post(self, url: str, content: Any, headers: Mapping[str, Any], timeout_seconds: float, field: str) -> Any:
        """What is answered.

        Raises InvalidArgument naming `field` for a URL or header that may not be sent, UpstreamError for any other failure;
        UpstreamUnavailable and UpstreamTimeout when another try may help.
        """
        checked = self._allowed.check_url(url, f"{field}.url")
        where = checked.origin_and_path + (f"?{checked.query}" if checked.query else "")
        sent = {**_checked(headers, f"{field}.headers"), "content-type": "application/json"}
        client = self._client or await self._make()
        import httpx2  # imported by then: `_make` did it

        try:
            async with asyncio.timeout(timeout_seconds):
                answer = await client.post(where, content=orjson.dumps(content), headers=sent)
        except TimeoutError:
            raise UpstreamTimeout("it did not answer in time") from None
        except UpstreamError:  # the transport's, which speaks of model providers; a listed address is always permitted
            raise UpstreamError("its answer is too large or compressed") from None
        except httpx2.HTTPError:
            raise UpstreamUnavailable("it could not be reached") from None
        return _read(answer.status_code, answer.content)

    async def close(self) -> None:
        if self._client is not None:
            await self._client.aclose()

    async def _make(self) -> Any:
        """The client, made in a thread on first use: the imports would hold up the event loop."""
        async with self._making:
            if self._client is None:
                self._client = await asyncio.to_thread(_client, self._allowed)
        return self._client


def _client(allowed: AllowedHosts) -> Any:
    import httpx2

    from server.backends.transport import ProviderTransport, resolve_host

    return httpx2.AsyncClient(
        transport=ProviderTransport(allowed, _LIMITS, resolve_host, sends=None), follow_redirects=False, trust_env=False,
        timeout=httpx2.Timeout(None, connect=_LIMITS.connect_seconds))


def _checked(headers: Mapping[str, Any], field: str) -> dict[str, str]:
    checked = {}
    for name, value in headers.items():
        if not _HEADER.fullmatch(name) or name.lower() in _OURS:
            raise InvalidArgument.of(f"{field}.{name[:100]}", "is not a header that can be sent")
        if not isinstance(value, str) or not value.isascii() or not value.isprintable():
            raise InvalidArgument.of(f"{field}.{name[:100]}", "must be a string of printable ASCII characters")
        checked[name] = value
    return checked


def _read(status: int, body: bytes) -> Any:
    if status == 429 or status >= 500:
        raise UpstreamUnavailable(f"it answered with status {status}")
    if not 200 <= status < 300:
        raise UpstreamError(f"it answered with status {status}")
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        raise UpstreamError("its answer is not JSON") from None
