"""Posts JSON to an assistant's own server and reads JSON from its answer; retries by the server's plan.

Does not know the content.
"""

import asyncio
from collections.abc import Mapping
from typing import Any

import orjson

from server.core.errors import InvalidArgument, UpstreamError, UpstreamTimeout, UpstreamUnavailable
from server.core.outbound.client import (
    OURS,
    Answer,
    Outgoing,
    Outside,
    Sleep,
    can_be_sent,
    retrying,
    seconds_of,
)
from server.core.outbound.guard import AllowedHosts
from server.core.outbound.limits import Limits

_MOST_BYTES = 1 << 20
_RETRYING_SECONDS = 60.0
_LIMITS = Limits(body_bytes=_MOST_BYTES, event_bytes=_MOST_BYTES)


class JsonPoster:
    """Posts JSON and reads JSON. Keeps connections open until `close`."""

    def __init__(self, allowed: AllowedHosts, *, sleep: Sleep = asyncio.sleep) -> None:
        self._outside = Outside(allowed, _LIMITS)
        self._sleep = sleep

    async def post(self, server: Mapping[str, Any], content: Any, field: str, outgoing: Outgoing) -> Any:
        """The answer of the server, a checked {url, headers, timeoutSeconds, backoffPlan}; retries by its plan.

        Raises InvalidArgument naming the member of `field` that may not be sent, and UpstreamError for any
        other failure.
        """
        url = self._outside.allowed.check_url(server["url"], f"{field}.url").text
        headers = {
            **_checked(server.get("headers") or {}, f"{field}.headers"),
            "content-type": "application/json",
        }

        async def post() -> Any:
            outgoing.count_request()
            return _read(
                await self._outside.send(
                    "POST", url, headers=headers, content=orjson.dumps(content), seconds=seconds_of(server)
                )
            )

        return await retrying(server.get("backoffPlan"), _may_help, self._sleep, _RETRYING_SECONDS)(post)

    async def close(self) -> None:
        """Close the connections."""
        await self._outside.close()


def _may_help(error: BaseException) -> bool:
    return isinstance(error, UpstreamUnavailable | UpstreamTimeout)


def _checked(headers: Mapping[str, Any], field: str) -> dict[str, str]:
    for name, value in headers.items():
        if name.lower() in OURS or not can_be_sent(name, value):
            raise InvalidArgument.of(
                f"{field}.{name[:100]}", "is not a header that can be sent in printable ASCII"
            )
    return {name.lower(): value for name, value in headers.items()}


def _read(answer: Answer) -> Any:
    if answer.status == 429 or answer.status >= 500:
        raise UpstreamUnavailable(f"it answered with status {answer.status}")
    if not 200 <= answer.status < 300:
        raise UpstreamError(f"it answered with status {answer.status}")
    try:
        return orjson.loads(answer.body)
    except orjson.JSONDecodeError:
        raise UpstreamError("its answer is not JSON") from None
