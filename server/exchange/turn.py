"""One exchange to be run: caller, agent, session or chain, and the request to the model. Runs nothing."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from google.protobuf.struct_pb2 import Value

from generated.parley.v1.chat_record_pb2 import ConversationState, StoredCompletion
from generated.parley.v1.message_pb2 import Message
from generated.parley.v1.response_service_pb2 import CreateResponseRequest
from server.agents.agents import Agent
from server.agents.chat_warnings import ChatWarning
from server.exchange.remembered import Remembered
from server.storage.keys import Caller
from server.storage.sessions import NewSession
from server.storage.stored_chats import StoredChat
from server.storage.stored_sessions import StoredSession


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """The options of a request beyond the assistant's own settings. None and empty mean the assistant's."""

    temperature: float | None = None
    top_p: float | None = None
    max_tokens: int | None = None
    stop: Sequence[str] = ()
    seed: int | None = None
    n: int = 1
    frequency_penalty: float | None = None
    presence_penalty: float | None = None
    tools: Sequence[dict[str, Any]] = ()
    tool_choice: Any = None
    custom_places: Mapping[str, str] = field(default_factory=dict)
    """The members of the request that define custom tools, by the tools' names."""
    parallel_tool_calls: bool | None = None
    response_format: dict[str, Any] | None = None
    reasoning_effort: str | None = None
    reasoning_summary: str | None = None
    more: Mapping[str, Any] = field(default_factory=dict)
    """As in `ModelRequest`."""
    max_tool_calls: int | None = None
    """The number of tool calls that the server may run."""
    truncates: bool = False
    """Whether a context that is too long for the model may be cut at its beginning."""

    def asks_for(self, name: str) -> bool:
        """Whether the request itself sets this member of a `ModelRequest` or of its `more`."""
        return name in self.more or getattr(self, name, None) is not None


NO_OPTIONS = Options()
"""The options of a request without any."""


@dataclass(frozen=True, slots=True)
class Carriage:
    """Delivers the output of an exchange to a person by text message."""

    phone_number_id: str
    """The sending number."""
    number: str
    forwards: bool = False
    """Whether the input itself is sent, and no model is called."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """One exchange that is to be run."""

    caller: Caller
    agent: Agent
    input: Value
    """As sent; echoed."""
    input_field: str = "input"
    """The door's name for the input."""
    input_messages: Sequence[Message]
    """The messages in `input`."""
    instructions: Sequence[Message] = ()
    """Precede everything else, in this exchange only; not part of the record."""
    session: StoredSession | None = None
    noun: str = "session"
    """The caller's word for the session."""
    begins: str | None = None
    """The lock under which its new session is begun, when other exchanges may be about to begin the same
    one."""
    renew: Callable[["Turn"], Awaitable["Turn"]] | None = None
    """Reads the session and its agent again: earlier exchanges may have changed both since the turn was
    made."""
    previous: StoredChat | None = None
    remembered: Remembered | None = None
    """What it goes on from, where that is stored nowhere."""
    remember: Callable[[Remembered], None] | None = None
    """Takes what the exchange leaves to go on from, when it has not failed."""
    new_session: NewSession | None = None
    """A session to be made with the exchange, in the same commit."""
    carriage: Carriage | None = None
    warnings: Sequence[ChatWarning] = ()
    """About parts of the request that have no effect."""
    settles: str | None = None
    """The row of the outbox that the exchange answers, deleted in the same commit."""
    name: str | None = None
    stream: bool | None = None
    options: Options = NO_OPTIONS
    request: CreateResponseRequest | None = None
    """The request in the Responses form; stored without input and secrets, so that the response can be
    rebuilt."""
    completion: StoredCompletion | None = None
    """What a stored completion has beside; None for what is none."""
    persists: bool = True
    """Whether the exchange is put on record."""
    summarises: bool = False
    """Whether it summarises its context; the summary replaces the context."""

    @property
    def state(self) -> ConversationState | None:
        """The state, beside the messages, from which the conversation continues."""
        if self.session is not None:
            return self.session.state
        if self.previous is not None and self.previous.record.HasField("state"):
            return self.previous.record.state
        return self.remembered.state if self.remembered is not None else None
