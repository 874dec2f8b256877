"""One POST to a server outside, and what its failure means for a delivery.

Knows neither the content nor the number of attempts.
"""

import time
from collections.abc import Mapping

from server.core.errors import UpstreamError, UpstreamTimeout, UpstreamUnavailable
from server.core.outbound.client import Answer, Outside, retry_after
from server.core.outbound.guard import AllowedHosts
from server.core.outbound.limits import Limits
from server.delivery.loop import NotDelivered

_AGAIN = frozenset({408, 409, 425, 429})


class Poster:
    """Posts over reused connections."""

    def __init__(self, allowed: AllowedHosts) -> None:
        self._outside = Outside(allowed, Limits(), truncates=True)

    async def post(
        self, receiver: str, url: str, content: bytes, headers: Mapping[str, str], seconds: float
    ) -> Answer:
        """Post, and return an answer below 300. Raises NotDelivered, which names the `receiver`."""
        try:
            answer = await self._outside.send("POST", url, headers=headers, content=content, seconds=seconds)
        except UpstreamError as error:
            again = isinstance(error, UpstreamTimeout | UpstreamUnavailable)
            raise NotDelivered(f"{receiver} {error.message.removeprefix('it ')}", again=again) from None
        if answer.status >= 300:
            raise _refused(receiver, answer)
        return answer

    async def close(self) -> None:
        """Close every connection."""
        await self._outside.close()


class Refused(NotDelivered):
    """The receiver answered with an error."""

    def __init__(self, reason: str, *, body: bytes, again: bool, wait_seconds: float | None) -> None:
        super().__init__(reason, again=again, wait_seconds=wait_seconds)
        self.body = body


def _refused(receiver: str, answer: Answer) -> Refused:
    again = answer.status in _AGAIN or answer.status >= 500
    note = ", and redirects are not followed" if answer.status < 400 else ""
    return Refused(
        f"{receiver} answered {answer.status}{note}",
        again=again,
        body=answer.body,
        wait_seconds=retry_after(answer.headers, time.time()),
    )
