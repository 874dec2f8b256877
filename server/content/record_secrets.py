"""Masks or removes secrets in stored sessions and exchanges, besides their documents.

Changes messages in place. Does not store, and does not decide which values are secrets (`secrets.py`).
"""

from collections.abc import Sequence

from google.protobuf.message import Message as AnyMessage
from google.protobuf.struct_pb2 import Struct, Value

from generated.parley.v1.chat_pb2 import Chat
from generated.parley.v1.chat_record_pb2 import ChatRecord
from generated.parley.v1.response_pb2 import Response
from generated.parley.v1.response_service_pb2 import CreateResponseRequest
from generated.parley.v1.session_pb2 import Session
from server.content.json_values import from_python, struct_from, to_python
from server.content.secret_names import FREE
from server.content.secrets import mask_secrets

_WHO = ("assistant", "assistant_overrides", "squad")
"""Documents in a request, a Chat and a Session, under the same names in each."""
_CONTENT = frozenset({"conversation", "input", "instructions", "output"})
"""The text of people and models, which is returned word for word."""
_NOT_PERSISTED = (*_WHO, "stream_options")
"""Members of a request that are not stored: the Chat has its agent, and the stream options have served their
purpose."""


def hide_secrets(record: AnyMessage) -> bool:
    """Remove all secrets from a Chat, a Session, a ChatRecord or a Response; return whether there were any.
    Other messages stay unchanged."""
    if isinstance(record, Chat | Session):
        return any([_mask(record, name) for name in _WHO if record.HasField(name)])
    if isinstance(record, Response):
        return _hide_in_options(record)
    return isinstance(record, ChatRecord) and record.HasField("request") and _hide_in_request(record.request)


def _hide_in_request(request: CreateResponseRequest) -> bool:
    """Remove the members that the form does not need, and mask the others."""
    left_out = [name for name in _NOT_PERSISTED if request.HasField(name)]
    for name in left_out:
        request.ClearField(name)
    return _hide_in_options(request) or bool(left_out)


def _hide_in_options(message: CreateResponseRequest | Response) -> bool:
    """Mask the secrets in every free member except the caller's own."""
    return any(
        [
            _mask(message, field.name)
            for field, _ in message.ListFields()
            if field.message_type in (Struct.DESCRIPTOR, Value.DESCRIPTOR)
            and field.name not in _CONTENT | FREE
        ]
    )


def _mask(message: AnyMessage, name: str) -> bool:
    """Mask the secrets in a Struct, a Value or a whole list, by its name; return whether there were any."""
    value = getattr(message, name)
    many = value if isinstance(value, Sequence) else [value]
    return any([_mask_one(one, name) for one in many])


def _mask_one(value: Struct | Value, name: str) -> bool:
    given = {name: to_python(value)}
    masked = mask_secrets(given)
    if masked == given:
        return False
    if isinstance(value, Struct):
        value.CopyFrom(struct_from(masked[name]))
    else:
        value.CopyFrom(from_python(masked[name]))
    return True
