"""One POST to a server outside: guarded addresses, no redirects, a bounded answer, and what its failure means.

Does not know what is posted, nor how often it is tried.
"""

import asyncio
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from server.backends.calls import retry_after
from server.backends.guard import AllowedHosts
from server.backends.limits import Limits
from server.deliveries import NotDelivered
from server.errors import ServiceError

if TYPE_CHECKING:
    from server.backends.transport import Resolve

_AGAIN = frozenset({408, 409, 425, 429})


class Answer(NamedTuple):
    status: int
    body: bytes
    """Its beginning."""


class Poster:
    """Posts over connections that it keeps. Made without any; the HTTP stack is imported when first used."""

    def __init__(self, allowed: AllowedHosts, limits: Limits | None = None, resolve: "Resolve | None" = None) -> None:
        self._allowed = allowed
        self._limits = limits or Limits()
        self._resolve = resolve
        self._making = asyncio.Lock()
        self._client: Any = None

    async def post(self, receiver: str, url: str, content: bytes, headers: Mapping[str, str], seconds: float) -> Answer:
        """Post, and return an answer below 400. Raises NotDelivered, which names the `receiver`."""
        client = await self._made()
        import httpx2

        try:
            async with asyncio.timeout(seconds):
                response = await client.post(url, content=content, headers=headers)
        except TimeoutError:
            raise NotDelivered(f"{receiver} did not answer in time", again=True) from None
        except (httpx2.HTTPError, httpx2.InvalidURL):
            raise NotDelivered(f"{receiver} could not be reached", again=True) from None
        except ServiceError as error:  # of the guard
            raise NotDelivered(f"{receiver}: {error.reason.lower()}", again=False) from None
        if response.status_code < 300:
            return Answer(response.status_code, response.content)
        raise self._refused(receiver, response)

    async def close(self) -> None:
        """Close every connection."""
        if self._client is not None:
            await self._client.aclose()

    def _refused(self, receiver: str, response: Any) -> NotDelivered:
        status = response.status_code
        again = status in _AGAIN or status >= 500
        note = ", and redirects are not followed" if status < 400 else ""
        return Refused(f"{receiver} answered {status}{note}", again=again, body=response.content,
                       wait_seconds=retry_after(response.headers, time.time()))

    async def _made(self) -> Any:
        async with self._making:
            if self._client is None:
                self._client = await asyncio.to_thread(self._make)
        return self._client

    def _make(self) -> Any:
        from server.backends.transport import webhook_client

        return webhook_client(self._allowed, self._limits, self._resolve)


class Refused(NotDelivered):
    """The receiver answered, with an error."""

    def __init__(self, reason: str, *, body: bytes, again: bool, wait_seconds: float | None) -> None:
        super().__init__(reason, again=again, wait_seconds=wait_seconds)
        self.body = body
