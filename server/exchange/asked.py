"""A request for one exchange, in the same form from every door. Each service makes one of its own request;
`resolve.py` turns it into a turn.

Reads no store, and knows no door's request.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from google.protobuf.struct_pb2 import Value

from generated.parley.v1.chat_service_pb2 import ChatTransport
from generated.parley.v1.message_pb2 import Message
from generated.parley.v1.response_service_pb2 import CreateResponseRequest
from server.agents.agents import Agent
from server.agents.who import Who
from server.exchange.remembered import Remembered
from server.exchange.turn import NO_OPTIONS, Options
from server.storage.keys import Caller


class InSession(NamedTuple):
    """In a session, answered by its assistant or squad; a `model` may not name another."""

    id: str | None
    """None for a text that is not an id, which matches no session."""
    noun: str = "session"
    """The caller's word for the session."""


class InConversation(NamedTuple):
    """In a session that may have no assistant of its own: each request may name one."""

    id: str


class InStoredSession(NamedTuple):
    """In a session of the agent that the request names, or in one without an assistant. A session that is
    over counts as absent."""

    id: str | None


class InNewSession(NamedTuple):
    """In a session that begins with the exchange."""


class After(NamedTuple):
    """After an earlier chat, whose context continues."""

    chat_id: str
    field: str
    """The request field that names the chat."""


Where = InSession | InConversation | InStoredSession | InNewSession | After | Remembered


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One exchange that a caller requests."""

    caller: Caller
    who: Who | Agent
    """An Agent where the door has already loaded it, to check the request against it."""
    where: Where | None = None
    """None: in nothing that exists; a transport may still find a session."""
    input: Value
    """As sent; echoed."""
    input_field: str = "input"
    """The door's name for the input."""
    input_messages: Sequence[Message]
    """The messages in `input`."""
    instructions: Sequence[Message] = ()
    """Precede everything else, in this exchange only; not part of the record."""
    options: Options = NO_OPTIONS
    name: str | None = None
    """The caller's own name for the chat."""
    stream: bool = False
    transport: ChatTransport | None = None
    """How the output is delivered to a person."""
    request: CreateResponseRequest | None = None
    """The request in the Responses form, for its echo."""
