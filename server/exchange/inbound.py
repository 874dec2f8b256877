"""Runs messages that people send as exchanges: in the session of their number, answered by text message.

A sink of the outbox, so that a message is answered in order, again when the model fails, and exactly once:
its row is deleted in the commit of the exchange. Does not check the sender (`services/transports.py` does).
"""

from collections.abc import Sequence
from typing import NamedTuple

import orjson

from server.core.errors import Aborted, NotFound, ServiceError, SessionBusy
from server.delivery.loop import NotDelivered
from server.exchange.engine import Engine
from server.exchange.resolve import TurnResolver
from server.storage.outbox import Delivery, Waiting

KIND = "twilio.inbound"


class Received(NamedTuple):
    """A message from a person."""

    phone_number_ids: Sequence[str]
    """The ids of the number that received it."""
    number: str
    text: str

    def delivery(self, org_id: str) -> Delivery:
        """Return the message as a row of the outbox, in the lane of its sender."""
        return Delivery(
            org_id=org_id, kind=KIND, lane=f"{KIND}:{org_id}:{self.number}", body=orjson.dumps([*self])
        )


class Inbound:
    """The sink of the outbox for received messages."""

    def __init__(self, engine: Engine, resolver: TurnResolver) -> None:
        self._engine = engine
        self._resolver = resolver

    async def send(self, waiting: Waiting) -> None:
        """Answer a received message. Raises NotDelivered when it could not be answered."""
        received = Received(*orjson.loads(waiting.body))
        try:
            turn = await self._resolver.of_message(waiting.org_id, *received, settles=waiting.id)
            await self._engine.run(turn)
        except SessionBusy as error:
            raise NotDelivered(error.reason.lower(), again=True) from None
        except Aborted:
            return  # already answered
        except NotFound:
            raise NotDelivered("its session was deleted", again=False) from None
        except ServiceError as error:
            raise NotDelivered(
                error.reason.lower(), again=error.http_status >= 429, wait_seconds=error.retry_after
            ) from None
