"""Requests to servers that an assistant or the operator names: guarded addresses, no redirect, a bounded
answer.

Knows which requests such a server may get, what its failure means and how long it asks to wait. Does not know
the content of a request, and does not decide how to handle a failure.
"""

import asyncio
import re
from collections.abc import Awaitable, Callable, Mapping
from email.utils import parsedate_to_datetime
from math import isfinite
from typing import TYPE_CHECKING, Any, NamedTuple

from tenacity import (
    AsyncRetrying,
    retry_if_exception,
    stop_after_attempt,
    stop_after_delay,
    wait_exponential,
    wait_fixed,
)

from server.core.errors import ServiceError, UpstreamError, UpstreamTimeout, UpstreamUnavailable
from server.core.outbound.guard import AllowedHosts
from server.core.outbound.limits import Limits

if TYPE_CHECKING:  # loaded on first use
    from aiohttp import ClientResponse

    from server.core.outbound.transport import HttpClient, Resolve

Sleep = Callable[[float], Awaitable[None]]

DEFAULT_SECONDS = 20.0
"""Default size limit of one answer."""
MOST_SECONDS = 300.0
"""Time limit of one request, including its retries."""
MOST_REQUESTS = 32
"""Requests that one exchange may send to tools and knowledge bases: one message must not become a flood."""
_MOST_RETRIES = 10
_LONGEST_BASE_SECONDS = 10.0
_LONGEST_WAIT_SECONDS = 60.0
_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
OURS = frozenset(
    {
        "host",
        "connection",
        "content-length",
        "transfer-encoding",
        "te",
        "trailer",
        "upgrade",
        "expect",
        "accept-encoding",
    }
)
"""Headers reserved for the protocol itself."""


class Outgoing:
    """The number of requests that one exchange may still send to an assistant's own servers, retries included."""

    def __init__(self, most: int = MOST_REQUESTS) -> None:
        self._left = most

    def count_request(self) -> None:
        """Count one request. Raises UpstreamError, whose text begins with "it", when none is left."""
        if not self._left:
            raise UpstreamError(
                f"it was not asked: one exchange sends at most {MOST_REQUESTS} requests, retries counted",
                reason="TOO_MANY_REQUESTS_OUT",
            )
        self._left -= 1


class Answer(NamedTuple):
    """The answer to one request, with the part of its body that was read."""

    status: int
    headers: dict[str, str]
    body: bytes


class Outside:
    """Sends requests over reused connections. Opens none when created: the HTTP stack is imported on first
    use."""

    def __init__(
        self,
        allowed: AllowedHosts,
        limits: Limits,
        *,
        truncates: bool = False,
        resolve: "Resolve | None" = None,
    ) -> None:
        """`truncates`: read only the beginning of an answer; otherwise an answer that is too large fails."""
        self.allowed = allowed
        self._limits = limits
        self._truncates = truncates
        self._resolve = resolve
        self._making = asyncio.Lock()
        self._client: HttpClient | None = None

    async def send(
        self, method: str, url: str, *, headers: Mapping[str, str], content: bytes | None, seconds: float
    ) -> Answer:
        """Send one request and return its answer, whatever the status.

        Raises UpstreamTimeout, UpstreamUnavailable when the server cannot be reached, and UpstreamError for an
        address that may not be called and for an answer that cannot be read. Their texts begin with "it".
        """
        client = self._client or await self._made()
        from server.core.outbound.transport import TRANSPORT_ERRORS, abandon  # loaded with the client

        response = None
        try:
            async with asyncio.timeout(seconds):
                response = await client.send(method, url, {"user-agent": "parley", **headers}, content)
                body = await self._body(response)
        except ServiceError as error:
            raise self._of_transport(error) from None
        except TimeoutError as error:
            if isinstance(error, TRANSPORT_ERRORS[:1]):  # an error of connecting
                raise UpstreamUnavailable("it could not be reached") from None
            raise UpstreamTimeout(f"it did not answer within {seconds:g} seconds") from None
        except (*TRANSPORT_ERRORS, ValueError):
            raise UpstreamUnavailable("it could not be reached") from None
        finally:
            if response is not None:
                abandon(response)
        return Answer(response.status, _joined(response), body)

    async def _body(self, response: "ClientResponse") -> bytes:
        """The body, as far as it is read. Raises UpstreamError, whose text is never shown, for one that cannot be
        read."""
        from server.core.outbound.transport import beginning, is_compressed

        if self._truncates or response.status >= 300:
            return await beginning(response, self._limits.error_bytes)
        most = self._limits.body_bytes
        if is_compressed(response) or len(body := await beginning(response, most + 1)) > most:
            raise UpstreamError("not read")
        return body

    async def close(self) -> None:
        """Close every connection. Requests in flight fail."""
        if self._client is not None:
            await self._client.close()

    async def _made(self) -> "HttpClient":
        """The client, made in a thread: its imports would block the event loop."""
        async with self._making:
            if self._client is None:
                self._client = await asyncio.to_thread(self._make)
        return self._client

    def _make(self) -> "HttpClient":
        from server.core.outbound.transport import HttpClient

        # A connection serves one request: bytes after an answer would be taken for the answer to the next one.
        return HttpClient(self.allowed, self._limits, self._resolve, kept_alive=0)

    def _of_transport(self, error: ServiceError) -> UpstreamError:
        """The error for one that the transport raised, whose text speaks of model providers."""
        if error.reason == "UPSTREAM_ADDRESS_REFUSED":
            return UpstreamError(
                "its address is private, and the operator has not listed its host in "
                f"{self.allowed.settings}, a name with +private behind it",
                reason=error.reason,
            )
        return UpstreamError(
            f"it answered with more than {self._limits.body_bytes} bytes, or in a compressed form"
        )


def _joined(response: "ClientResponse") -> dict[str, str]:
    """The headers of an answer, with names in lower case and headers of the same name joined."""
    headers: dict[str, str] = {}
    for name, value in response.headers.items():
        name = name.lower()
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    return headers


def can_be_sent(name: str, value: Any) -> bool:
    """Whether the name and the value form a valid header."""
    return bool(_NAME.fullmatch(name)) and isinstance(value, str) and value.isascii() and value.isprintable()


def retrying(
    plan: Any, again: Callable[[BaseException], bool], sleep: Sleep, most_seconds: float = MOST_SECONDS
) -> AsyncRetrying:
    """Attempts by a `backoffPlan` {type, maxRetries, baseDelaySeconds}, repeated after the failures for which
    `again` is true."""
    plan = plan if isinstance(plan, dict) else {}
    base = number(plan.get("baseDelaySeconds"), 1.0, _LONGEST_BASE_SECONDS)
    grows = plan.get("type") == "exponential"
    return AsyncRetrying(
        retry=retry_if_exception(again),
        stop=stop_after_attempt(1 + int(number(plan.get("maxRetries"), 0, _MOST_RETRIES)))
        | stop_after_delay(most_seconds),
        wait=wait_exponential(multiplier=base, max=_LONGEST_WAIT_SECONDS) if grows else wait_fixed(base),
        sleep=sleep,
        reraise=True,
    )


def seconds_of(holder: Mapping[str, Any]) -> float:
    """The `timeoutSeconds` of a server or a tool."""
    return number(holder.get("timeoutSeconds"), DEFAULT_SECONDS, MOST_SECONDS) or DEFAULT_SECONDS


def number(value: Any, otherwise: float, most: float) -> float:
    """A number from a document, at most `most`; `otherwise` when the value is not a number."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return otherwise
    return min(max(float(value), 0.0), most)


def retry_after(headers: Mapping[str, str], now: float) -> float | None:
    """The seconds that an answer asks to wait: `retry-after-ms`, or `retry-after` in seconds or as a date."""
    milliseconds = _seconds(headers.get("retry-after-ms"))
    if milliseconds is not None:
        return milliseconds / 1000
    value = headers.get("retry-after")
    seconds = _seconds(value)
    if seconds is not None or value is None:
        return seconds
    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - now)
    except (ValueError, OverflowError):
        return None


def _seconds(text: str | None) -> float | None:
    try:
        seconds = float(text or "")
    except ValueError:
        return None
    return max(0.0, seconds) if isfinite(seconds) else None
