"""What is asked for, in the same form from every door. Each service makes one of its request; `resolve.py`
makes it a turn.

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
from server.exchange.turn import NO_OPTIONS, Options
from server.storage.keys import Caller


class InSession(NamedTuple):
    """In a session, by whoever answers there; a `model` may not name another."""

    id: str | None
    """None for a text that is no id, which no session has."""
    noun: str = "session"
    """What the caller calls the session."""


class InConversation(NamedTuple):
    """In a session that may have no assistant of its own: each request may name who answers."""

    id: str


class InStoredSession(NamedTuple):
    """In a session of the agent that the request names, or of nobody. One that is over counts as not
    there."""

    id: str | None


class InNewSession(NamedTuple):
    """In a session that begins with the exchange."""


class After(NamedTuple):
    """After an earlier chat, whose context goes on."""

    chat_id: str
    field: str
    """The member that names it."""


Where = InSession | InConversation | InStoredSession | InNewSession | After


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One exchange that a caller asks for."""

    caller: Caller
    who: Who | Agent
    """An Agent where the door has looked for it already, to check the request against it."""
    where: Where | None = None
    """None: in nothing that is there; a transport may still find a session."""
    input: Value
    """As sent; echoed."""
    input_field: str = "input"
    """What the door calls it."""
    input_messages: Sequence[Message]
    """The messages in `input`."""
    instructions: Sequence[Message] = ()
    """Said before everything else, in this exchange only; not part of the record."""
    options: Options = NO_OPTIONS
    name: str | None = None
    """The caller's own name for the chat."""
    stream: bool = False
    transport: ChatTransport | None = None
    """How the output is carried to a person."""
    request: CreateResponseRequest | None = None
    """What was asked for in the Responses form, for its echo."""
