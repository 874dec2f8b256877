"""Webhooks: JSON posted to a server that an assistant names, signed with its secret. Chooses neither body nor
receiver."""

from typing import Any

from server.core.clock import Clock
from server.core.errors import InvalidArgument
from server.core.outbound.client import OURS, can_be_sent, seconds_of
from server.core.outbound.guard import AllowedHosts
from server.core.outbound.signatures import SIGNED, signed_headers
from server.delivery.loop import NotDelivered
from server.delivery.post import Poster
from server.storage.outbox import Waiting

KIND = "webhook"

_OURS = OURS | SIGNED | {"content-type", "user-agent"}


class Webhooks:
    """The sink. `target` is {url, secret, timeoutSeconds, headers}."""

    def __init__(self, poster: Poster, allowed: AllowedHosts, clock: Clock) -> None:
        self._poster = poster
        self._allowed = allowed
        self._clock = clock

    async def send(self, waiting: Waiting) -> None:
        """Send a signed event of the outbox. Raises NotDelivered."""
        target = waiting.target
        try:
            self._allowed.check_url(target["url"], "server.url")
        except InvalidArgument:  # the host is no longer listed
            raise NotDelivered("the operator has not listed the host of the server", again=False) from None
        headers = {
            **_own_headers(target.get("headers")),
            "content-type": "application/json",
            "user-agent": "parley",
            "x-parley-delivery": waiting.id,
            **signed_headers(waiting.id, self._clock() // 1000, waiting.body, target.get("secret")),
        }
        await self._poster.post("the server", target["url"], waiting.body, headers, seconds_of(target))


def _own_headers(headers: Any) -> dict[str, str]:
    """The assistant's own headers; without those that only Parley sets or that cannot be sent."""
    if not isinstance(headers, dict):
        return {}
    return {
        name.lower(): value
        for name, value in headers.items()
        if can_be_sent(name, value) and name.lower() not in _OURS and not name.lower().startswith("x-parley-")
    }
