"""JSON sent to a server of an assistant's own, under the operator's allow-list: no redirect, a bounded answer, and retries.

Does not know what is asked.
"""

import asyncio
import re
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any

import orjson
from tenacity import (
    AsyncRetrying,
    retry_if_exception_type,
    stop_after_attempt,
    stop_after_delay,
    wait_exponential,
    wait_fixed,
)

from server.backends.guard import AllowedHosts
from server.backends.limits import Limits
from server.errors import InvalidArgument, UpstreamError, UpstreamTimeout, UpstreamUnavailable

_MOST_BYTES = 1 << 20
_LIMITS = Limits(body_bytes=_MOST_BYTES, event_bytes=_MOST_BYTES)
_HEADER = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
# What the protocol itself needs to say.
_OURS = frozenset({"host", "content-length", "content-type", "transfer-encoding", "connection", "accept-encoding", "te",
                   "upgrade", "trailer", "expect"})


_DEFAULT_TIMEOUT_SECONDS = 20.0
_RETRYING_SECONDS = 60.0
_LONGEST_WAIT_SECONDS = 10.0


class JsonPoster:
    """Posts JSON and reads JSON. Connections are kept until `close`."""

    def __init__(self, allowed_hosts: Iterable[str] = (), *,
                 sleep: Callable[[float], Awaitable[None]] = asyncio.sleep) -> None:
        self._allowed = AllowedHosts(allowed_hosts)
        self._sleep = sleep
        self._client: Any = None
        self._making = asyncio.Lock()

    async def post(self, server: Mapping[str, Any], content: Any, field: str) -> Any:
        """What the server, a checked {url, headers, timeoutSeconds, backoffPlan}, answers; asked again as its plan says.

        Raises InvalidArgument naming the member of `field` that may not be sent, UpstreamError for any other failure.
        """
        plan = server.get("backoffPlan") or {}
        retrying = AsyncRetrying(
            retry=retry_if_exception_type((UpstreamUnavailable, UpstreamTimeout)),
            stop=stop_after_attempt(1 + int(plan.get("maxRetries") or 0)) | stop_after_delay(_RETRYING_SECONDS),
            wait=_wait(plan), sleep=self._sleep, reraise=True)
        return await retrying(self._post, server["url"], content, server.get("headers") or {},
                              server.get("timeoutSeconds") or _DEFAULT_TIMEOUT_SECONDS, field)

    async def close(self) -> None:
        if self._client is not None:
            await self._client.aclose()

    async def _post(self, url: str, content: Any, headers: Mapping[str, Any], timeout_seconds: float, field: str) -> Any:
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

    async def _make(self) -> Any:
        """The client, made in a thread on first use: the imports would hold up the event loop."""
        async with self._making:
            if self._client is None:
                self._client = await asyncio.to_thread(_client, self._allowed)
        return self._client


def _wait(plan: Mapping[str, Any]) -> Any:
    base = plan.get("baseDelaySeconds", 1)
    if plan.get("type") == "exponential":
        return wait_exponential(multiplier=base, max=_LONGEST_WAIT_SECONDS)
    return wait_fixed(base)


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
