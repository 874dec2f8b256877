"""Delivers the output of an exchange to a person: the messages it becomes, and the delivery status in its
chat.

Makes deliveries for the outbox, to be committed with the exchange. Sends nothing and runs no model.
"""

from collections.abc import Iterator, Sequence

import orjson

from generated.parley.v1.chat_pb2 import Chat, ChatDelivery, ContentDelta
from generated.parley.v1.message_pb2 import Message
from server.backends.backend import Finish, ModelEvent
from server.content.messages import text_of
from server.delivery.twilio_account import SMS, TwilioAccount
from server.exchange.turn import Carriage
from server.storage.outbox import Delivery

MOST_CHARACTERS = 1600
"""Of one message, in UTF-16 code units, as Twilio counts."""

_QUEUED = "The message is in the outbox and will be sent."
_RECORDED = "Twilio is not configured for this phoneNumberId: the message is recorded and will not be sent."
_NO_TEXT = "The answer has no text, so there is nothing to send."
_INCOMPLETE = "The answer is not complete, so it is not sent."


class OutgoingMessages:
    """Makes the text messages that carry an output, for the outbox."""

    def __init__(self, account: TwilioAccount | None) -> None:
        self._account = account

    def carry(self, chat: Chat, carriage: Carriage, answered: Sequence[Message]) -> list[Delivery]:
        """Return the messages for an output, and set their status in `chat.transport`."""
        text = text_of(answered[0]) if answered else ""
        may_be_sent = chat.status == "completed" or chat.error.code == "max_output_tokens"
        if not may_be_sent or not text.strip():
            status, message, deliveries = "not_sent", _NO_TEXT if may_be_sent else _INCOMPLETE, []
        else:
            recorded = not (self._account and self._account.number_of(carriage.phone_number_id, chat.org_id))
            status, message = ("recorded", _RECORDED) if recorded else ("queued", _QUEUED)
            deliveries = [_delivery(chat, carriage, part, recorded) for part in parts_of(text)]
        chat.transport.CopyFrom(ChatDelivery(type=SMS, status=status, message=message))
        return deliveries


def forwarded(input_messages: Sequence[Message]) -> list[ModelEvent]:
    """Return the input as the output, in place of a model's."""
    return [ContentDelta(text=forwarded_text(input_messages)), Finish(0, "stop")]


def forwarded_text(input_messages: Sequence[Message]) -> str:
    """Return the texts of the input, one per line."""
    return "\n".join(text for message in input_messages if (text := text_of(message)))


def parts_of(text: str) -> Iterator[str]:
    """Yield the parts of a text, each short enough for one message, cut at white space if possible. Joined,
    they are the text."""
    most = MOST_CHARACTERS if text.isascii() or max(text) <= "\uffff" else MOST_CHARACTERS // 2
    begin = 0
    while len(text) - begin > most:
        end = max(text.rfind(space, begin + 1, begin + most) for space in " \n") + 1 or begin + most
        yield text[begin:end]
        begin = end
    yield text[begin:]


def _delivery(chat: Chat, carriage: Carriage, text: str, recorded: bool) -> Delivery:
    body = {"phoneNumberId": carriage.phone_number_id, "to": carriage.number, "text": text}
    return Delivery(
        org_id=chat.org_id,
        kind=SMS,
        lane=f"{SMS}:{carriage.phone_number_id}:{carriage.number}",
        body=orjson.dumps(body),
        chat_id=chat.id,
        recorded=recorded,
    )
