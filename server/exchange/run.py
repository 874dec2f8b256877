"""The state of one running exchange: its progress and its outcome. Runs nothing and stores nothing."""

from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any, NamedTuple, Protocol

from google.protobuf.struct_pb2 import Value

from generated.parley.v1.chat_pb2 import (
    Chat,
    ChatError,
    ChatEvent,
    ContentDelta,
    ReasoningDelta,
    ToolCallDelta,
    ToolRound,
)
from generated.parley.v1.chat_record_pb2 import ChatRecord, ConversationState, StreamPiece
from generated.parley.v1.message_pb2 import Message
from generated.parley.v1.response_service_pb2 import CreateResponseRequest
from server.agents.ignored_settings import of_unused
from server.backends.backend import Finish, ModelEvent, ModelRequest, Ran, StateEvent, Unused, Usage
from server.content.budget import MOST_OUTPUT_BYTES, omit
from server.content.fitting import fit_round, latest, present
from server.content.reasoning import kept_of
from server.content.record_secrets import hide_secrets
from server.core.errors import BROKEN_OFF, ServiceError
from server.core.ids import new_id
from server.exchange.answer import MOST_OUTPUT_REACHED, MOST_ROUNDS_REACHED, Answer
from server.exchange.context import Context
from server.exchange.turn import Turn
from server.storage.outbox import Delivery

GONE = ChatError(code="client_disconnected", message="The caller went away before the answer was complete.")
ENDED = BROKEN_OFF | {"max_output_tokens", "content_filter", MOST_ROUNDS_REACHED, MOST_OUTPUT_REACHED}
"""The errors of an exchange that ended early without having failed."""

_IN_RESPONSES = {
    "verbosity": "text.verbosity",
    "reasoning_effort": "reasoning.effort",
    "reasoning_summary": "reasoning.summary",
}
"""Names of chat completions' members in the Responses interface, where they differ."""
_LEFT_OUT = "The result is left out: with it the exchange would have more output than it may."


@dataclass(slots=True)
class Outcome:
    """The result of an exchange. `chat` is the public form, on disk before the outcome is returned."""

    chat: Chat
    model: str
    usage: Usage = Usage(0, 0)  # noqa: RUF009 - a tuple: it cannot be changed
    finish_reasons: list[str] = field(default_factory=list)
    system_fingerprint: str | None = None
    service_tier: str | None = None
    message_id: str = field(default_factory=new_id)
    """Id of the assistant's message, known before it has any text."""
    kept: dict[str, Message] = field(default_factory=dict)
    """Reasoning and provider state of the messages in `chat`, which it does not have (`content/reasoning.py`)."""
    error: ServiceError | None = None
    """Set when the exchange failed after its first token."""

    def record(
        self,
        turn: Turn,
        input_messages: Sequence[Message],
        pieces: Sequence[StreamPiece],
        state: ConversationState | None,
    ) -> ChatRecord:
        """Return the data that is stored beside the Chat."""
        record = ChatRecord(
            model=self.model,
            system_fingerprint=self.system_fingerprint,
            service_tier=self.service_tier,
            message_id=self.message_id,
            pieces=pieces,
            cached_tokens=self.usage.cached_tokens,
            reasoning_tokens=self.usage.reasoning_tokens,
            cache_write_tokens=self.usage.cache_write_tokens,
            prompt_tokens=self.usage.prompt_tokens,
            completion_tokens=self.usage.completion_tokens,
            said=input_messages,
            completion=turn.completion,
            state=state,
        )
        if turn.request is not None:
            record.request.CopyFrom(turn.request)
            record.request.ClearField("input")
        hide_secrets(record)
        return record


class RoundFinished(NamedTuple):
    """The server ran all tools that were called. The model's next text belongs to another message."""

    messages: list[Message]
    """The assistant's message with its calls, then the results in the order of the calls."""
    next_message_id: str


EmitAnswer = Callable[[Sequence[ModelEvent | RoundFinished]], Awaitable[None]]
"""As `backend.Emit`, for the events of the models and of the tool loop."""


class Progress(IntEnum):
    """The stage of a run."""

    RUNNING = 0
    SEALED = 1
    """The commit of the whole exchange is in progress, and includes everything that was generated."""
    OVER = 2
    """The terminal event is emitted."""


class ReadableExchange(Protocol):
    """An exchange whose events can be read: a LiveExchange, a Watching or a Replay."""

    @property
    def outcome(self) -> Outcome:
        """Its result; complete only after the last batch."""
        ...

    @property
    def error(self) -> ServiceError | None:
        """Why the last event is `failed`; only after the last batch."""
        ...

    @property
    def request(self) -> CreateResponseRequest:
        """The request in the Responses form."""
        ...

    def reading(self) -> AbstractAsyncContextManager[None]:
        """Return a context for readers that did not begin it, entered while they read."""
        ...

    def batches(self) -> AsyncGenerator[list[ChatEvent]]:
        """Yield its events in order, the terminal one last, for the caller that began it. The model waits for
        this reader."""
        ...

    def watched(self) -> AsyncGenerator[list[ChatEvent]]:
        """Yield the same for all other readers; the model waits for none of them."""
        ...

    def serialized(self, event: ChatEvent) -> bytes:
        """Return the bytes of one of its events; made once for all who read it as it happens."""
        ...


class Run:
    """One running exchange: from the turn to the record on disk."""

    def __init__(
        self,
        turn: Turn,
        chat: Chat,
        history: Sequence[Message],
        input_messages: list[Message],
        context: Context,
        locks: AsyncExitStack,
        *,
        streamed: bool,
    ) -> None:
        self.turn = turn
        self.locks = locks
        """Held until the exchange is on record; the driver of the run closes this."""
        self.history = history
        self.input_messages = input_messages
        self.context = context
        self.outcome = Outcome(_public(chat, history, input_messages), context.request.model)
        self.answer = Answer(turn.options.n, self.outcome.message_id)
        self.spent: dict[tuple[str, str], Usage] = {}
        """Tokens by provider and model: members of a squad may have different ones."""
        self.calls: list[tuple[tuple[str, str], Usage]] = []
        """The same, call by call."""
        self.streamed = streamed
        """Whether its pieces are emitted, and so must be recorded for a replay."""
        self.deliveries: Sequence[Delivery] = ()
        self._room = MOST_OUTPUT_BYTES
        """Bytes that the output may still have."""
        self.begun = False
        """Whether its beginning is on disk, or being written: a stream's is, before any of its events is
        emitted."""
        self.progress = Progress.RUNNING
        self.why = GONE
        """Why it ends early, when the task that drives it is cancelled."""

    @property
    def request(self) -> ModelRequest:
        """The last request to the model."""
        return self.context.request

    @property
    def sealed(self) -> bool:
        """Whether its last commit is in progress or done."""
        return self.progress >= Progress.SEALED

    @property
    def forwards(self) -> bool:
        """Whether the input is the output, and no model is called."""
        return self.turn.carriage is not None and self.turn.carriage.forwards

    @property
    def is_full(self) -> bool:
        """Whether its output has reached the largest size."""
        return self._room <= 0

    def consume(self, event: ModelEvent | RoundFinished) -> dict[str, Any] | None:
        """Record an event of the model, cut where the output is full, and return the members of the event to
        emit, if any."""
        if isinstance(event, ContentDelta):
            event.text = self._cut(event.text)
            if event.HasField("logprobs"):
                self._room -= event.logprobs.ByteSize()
            event.output_index = self.answer.place_of(event.choice)
            self.answer.add_text(event)
            return {"delta": event}
        if isinstance(event, ReasoningDelta):
            event.text = self._cut(event.text)
            event.output_index = self.answer.place_of(event.choice)
            if self.context.member.settings.exposes_reasoning:
                event.exposed = True
            self.answer.add_reasoning(event)
            return {"reasoning": event}
        if isinstance(event, ToolCallDelta):
            event.arguments = self._cut(event.arguments)
            event.output_index = self.answer.place_of(event.choice)
            self.answer.add_tool_call(event)
            return {"tool_call": event}
        if isinstance(event, RoundFinished):
            self._room -= sum(message.ByteSize() for message in event.messages)
            if self.is_full:
                _leave_out_results(event.messages)
            self.answer.add_round(event.messages, event.next_message_id)
            self.outcome.kept |= kept_of(event.messages)
            return round_event(event.messages, event.next_message_id)
        if isinstance(event, StateEvent):
            self._room -= event.state.ByteSize()
            self.answer.add_state(event)
        elif isinstance(event, Finish):
            self.answer.finish(event)
        elif isinstance(event, Usage):
            self._add_usage(event)
        elif isinstance(event, Ran):
            self.outcome.model, self.outcome.system_fingerprint, self.outcome.service_tier = event
        elif isinstance(event, Unused):
            self.context.warn(
                of_unused(_IN_RESPONSES.get(name, name) if self.turn.request else name)
                for name in event.names
                if self.turn.options.asks_for(name)
            )
        return None

    def _cut(self, text: str) -> str:
        size = len(text) if text.isascii() else len(text.encode())
        if size > self._room:
            text = text.encode()[: self._room].decode(errors="ignore")
        self._room -= size
        return text

    def _add_usage(self, usage: Usage) -> None:
        ran = self.request.provider, self.request.model
        self.calls.append((ran, usage))
        self.spent[ran] = _sum(self.spent.get(ran, Usage(0, 0)), usage)
        self.outcome.usage = _sum(self.outcome.usage, usage)


def _leave_out_results(messages: Sequence[Message]) -> None:
    for message in messages:
        if message.role == "tool":
            message.content.CopyFrom(Value(string_value=_LEFT_OUT))


def round_event(messages: Sequence[Message], next_message_id: str) -> dict[str, Any]:
    """Return the members of the event that reports a round."""
    round_ = ToolRound(messages=messages)
    for message in round_.messages:
        present(message)
    fit_round(round_)
    return {"round": round_, "message_id": next_message_id}


def choices_of(output: Sequence[Message], n: int) -> list[list[Message]]:
    """Return the output by choice. Only a single choice can have rounds of tools before its last message."""
    return [[message] for message in output] if n > 1 else [list(output)]


def _sum(one: Usage, other: Usage) -> Usage:
    return Usage(
        one.prompt_tokens + other.prompt_tokens,
        one.completion_tokens + other.completion_tokens,
        one.cached_tokens + other.cached_tokens,
        one.reasoning_tokens + other.reasoning_tokens,
        one.cache_write_tokens + other.cache_write_tokens,
        one.estimated or other.estimated,
    )


def _public(chat: Chat, history: Sequence[Message], input_messages: Sequence[Message]) -> Chat:
    context = [*history, *input_messages]
    shown = latest(context)
    for message in shown:
        chat.messages.add().CopyFrom(message)
        present(chat.messages[-1])
    if len(shown) < len(context):
        omit(chat, "messages")
    return chat
