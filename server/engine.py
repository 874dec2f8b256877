"""One exchange: context → model → events → commit.

Every door runs its exchanges here. Knows no door's wire form, no SQL and no provider's protocol.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any

import structlog
from google.protobuf.struct_pb2 import Value

from generated.parley.v1.chat_pb2 import Chat, ChatError, ChatEvent, ContentDelta, ToolCallDelta
from generated.parley.v1.message_pb2 import Message
from server.agents import Agent
from server.answers import Answers
from server.backends.backend import Backend, Finish, ModelEvent, ModelRequest, Ran, Usage
from server.clock import Clock, timestamp
from server.config import Price
from server.costs import costs_of
from server.errors import Internal, ServiceError, UpstreamError, UpstreamIncomplete
from server.ids import new_id
from server.messages import text_of
from server.storage.chats import Exchange, StoredChat
from server.storage.keys import Caller
from server.storage.sessions import NewSession, StoredSession
from server.storage.store import Store
from server.templates import variables_of

log = structlog.get_logger()

_GONE = ChatError(code="client_disconnected", message="The caller went away before the answer was complete.")
_CUT = ChatError(code="max_output_tokens", message="The answer reached the most tokens it may have.")
_FILTERED = ChatError(code="content_filter", message="The model provider withheld the rest of the answer.")
_BROKEN = ChatError(code="internal_error", message="The server could not finish the answer.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What a request asks of the model beyond the assistant's own settings. None and empty mean: the assistant's."""

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
    parallel_tool_calls: bool | None = None
    response_format: dict[str, Any] | None = None
    reasoning_effort: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """One exchange that is to be run."""

    caller: Caller
    agent: Agent
    input: Value
    """As sent; echoed."""
    said: Sequence[Message]
    """The messages in `input`."""
    instructions: Sequence[Message] = ()
    """Said before everything else, in this exchange only; not part of the record."""
    session: StoredSession | None = None
    previous: StoredChat | None = None
    new_session: NewSession | None = None
    """A session to be made with the exchange, in the same commit."""
    name: str | None = None
    stream: bool | None = None
    options: Options = field(default_factory=Options)


@dataclass(slots=True)
class Outcome:
    """What an exchange came to. `chat` is what callers may see, on disk when the outcome is told."""

    chat: Chat
    model: str
    usage: Usage
    finish_reasons: list[str] = field(default_factory=list)
    system_fingerprint: str | None = None
    message_id: str = field(default_factory=new_id)
    """Id of the assistant's message, known before it is said."""
    error: UpstreamError | None = None
    """Set when the model failed after its first token."""


Emit = Callable[[ChatEvent], None]


class Engine:
    def __init__(self, store: Store, backend: Backend, prices: Mapping[str, Price], clock: Clock,
                 model_timeout_seconds: float) -> None:
        self._store = store
        self._backend = backend
        self._prices = prices
        self._clock = clock
        self._model_timeout_seconds = model_timeout_seconds

    async def run(self, turn: Turn) -> Outcome:
        """Run an exchange to its end.

        Raises UpstreamError when the model failed before its first token, and then nothing is on record. When the caller
        goes away the model call is cancelled and what was generated is kept.
        """
        return await self._drive(turn, None)

    def stream(self, turn: Turn) -> "Stream":
        """An exchange whose events can be read as they happen."""
        return Stream(self._drive, turn)

    async def _drive(self, turn: Turn, emit: Emit | None) -> Outcome:
        history = await self._history(turn)
        chat = self._begin(turn)
        said = self._stamped(turn, chat, history)
        request = self._request(turn, history, said)
        answers = Answers(turn.options.n)
        outcome = Outcome(_public(chat, history, said), request.model, Usage(0, 0))
        emitter = _Emitter(emit, outcome)
        try:
            async with aclosing(self._backend.generate(request)) as events:
                async for event in events:
                    self._take(event, answers, outcome, emitter)
            if answers.unfinished:
                raise UpstreamIncomplete("the model provider's answer ended before it was complete")
            outcome.chat.status, error = answers.status_and_reason({"length": _CUT, "content_filter": _FILTERED})
        except UpstreamError as failure:
            if not answers.begun:
                raise
            outcome.error, outcome.chat.status = failure, "incomplete"
            error = ChatError(code=failure.error_code, message=failure.message)
        except asyncio.CancelledError:
            if answers.begun:
                outcome.chat.status = "incomplete"
                await self._commit(turn, outcome, request, answers, said, _GONE)
            raise
        await self._commit(turn, outcome, request, answers, said, error)
        emitter.end(failed=outcome.error is not None)
        return outcome

    async def _history(self, turn: Turn) -> list[Message]:
        if turn.session is not None:
            return await self._store.sessions.history(turn.session)
        if turn.previous is not None:
            return await self._store.chats.history(turn.previous)
        return []

    def _begin(self, turn: Turn) -> Chat:
        now = timestamp(self._clock())
        chat = Chat(id=new_id(), org_id=turn.caller.org_id, created_at=now, updated_at=now, status="in_progress",
                    input=turn.input, name=turn.name, stream=bool(turn.stream))
        turn.agent.describe(chat)
        if joined := turn.session or turn.new_session:
            chat.session_id = joined.session.id
        if turn.previous is not None:
            chat.previous_chat_id = turn.previous.id
        return chat

    def _stamped(self, turn: Turn, chat: Chat, history: Sequence[Message]) -> list[Message]:
        """The messages of the input, with ids and times."""
        now = self._clock()
        began = history[0].time if history and history[0].HasField("time") else now
        return [_stamp(message, now, began) for message in turn.said]

    def _request(self, turn: Turn, history: Sequence[Message], said: Sequence[Message]) -> ModelRequest:
        settings, options = turn.agent.settings, turn.options
        prompts = turn.agent.prompts(self._variables(turn))
        return ModelRequest(
            provider=settings.provider, model=settings.model, url=settings.url, api_key=settings.api_key,
            messages=[*prompts, *turn.instructions, *history, *said],
            temperature=settings.temperature if options.temperature is None else options.temperature,
            max_tokens=settings.max_tokens if options.max_tokens is None else options.max_tokens,
            tools=[*settings.tools, *options.tools], thinking=settings.thinking,
            top_p=options.top_p, stop=options.stop, seed=options.seed, n=options.n,
            frequency_penalty=options.frequency_penalty, presence_penalty=options.presence_penalty,
            tool_choice=options.tool_choice, parallel_tool_calls=options.parallel_tool_calls,
            response_format=options.response_format, reasoning_effort=options.reasoning_effort,
            timeout_seconds=self._model_timeout_seconds)

    def _variables(self, turn: Turn) -> Mapping[str, Any]:
        if joined := turn.session or turn.new_session:
            return joined.variables
        return variables_of(turn.agent.variable_values, self._clock())

    def _take(self, event: ModelEvent, answers: Answers, outcome: Outcome, emitter: "_Emitter") -> None:
        if isinstance(event, ContentDelta):
            answers.add_text(event)
            emitter.delta(event)
        elif isinstance(event, ToolCallDelta):
            answers.add_tool_call(event)
            emitter.tool_call(event)
        elif isinstance(event, Finish):
            answers.finish(event)
        elif isinstance(event, Usage):
            outcome.usage = event
        elif isinstance(event, Ran):
            outcome.model, outcome.system_fingerprint = event.model, event.system_fingerprint

    async def _commit(self, turn: Turn, outcome: Outcome, request: ModelRequest, answers: Answers,
                      said: list[Message], error: ChatError | None) -> None:
        """Put the exchange on disk and complete the chat that is told."""
        now = self._clock()
        began = said[0].time - said[0].seconds_from_start * 1000 if said else now
        answered = [_stamp(message, now, began) for message in answers.messages(outcome.message_id)]
        outcome.finish_reasons = answers.finish_reasons()
        if outcome.usage == Usage(0, 0):
            outcome.usage = _estimate(request, answered)
        chat = outcome.chat
        chat.updated_at.CopyFrom(timestamp(now))
        chat.costs.extend(costs_of(self._prices, request.provider, request.model, outcome.usage))
        chat.cost = sum(part.cost for part in chat.costs)
        if error is not None:
            chat.error.CopyFrom(error)
        record = Chat()
        record.CopyFrom(chat)
        del record.messages[:]
        await self._store.chats.record(Exchange(
            chat=record, key_id=turn.caller.key_id, said=said, answered=answered[:1], alternatives=answered[1:],
            previous=turn.previous, new_session=turn.new_session, private=turn.agent.private, provider=request.provider,
            model=request.model, prompt_tokens=outcome.usage.prompt_tokens,
            completion_tokens=outcome.usage.completion_tokens))
        chat.output.extend(present(message) for message in answered)


class Stream:
    """An exchange in a task of its own, whose events wait here for the reader.

    Used as `async with engine.stream(turn) as stream`; leaving it early cancels the model call and keeps what there is.
    """

    def __init__(self, drive: Callable[[Turn, Emit], Coroutine[Any, Any, Outcome]], turn: Turn) -> None:
        self._drive = drive
        self._turn = turn
        self._waiting: list[ChatEvent] = []
        self._started: ChatEvent | None = None
        self._news = asyncio.Event()
        self._task: asyncio.Task[Outcome] | None = None

    async def __aenter__(self) -> "Stream":
        """Begin, and wait for the first event. Raises as `Engine.run`."""
        self._task = asyncio.create_task(self._drive(self._turn, self._take))
        self._task.add_done_callback(lambda _: self._news.set())
        try:
            await self._news.wait()
            if not self._waiting:
                self._task.result()
        except BaseException:
            await self.__aexit__()
            raise
        self._started = self._waiting[0]
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._task and not self._task.done():
            self._task.cancel()
            await asyncio.wait([self._task])
            if not self._task.cancelled() and (failure := self._task.exception()):
                log.error("what was left of an exchange could not be kept", exc_info=failure)

    async def batches(self) -> AsyncIterator[list[ChatEvent]]:
        """What has happened since the last batch: one event, or all that queued up while the reader was busy.

        The last batch ends in a terminal event, whatever happened; it never raises.
        """
        while True:
            await self._news.wait()
            self._news.clear()
            batch, self._waiting = self._waiting, []
            over = self._task.done()
            if over and self._failure:
                batch.append(self._broken())
            if batch:
                yield batch
            if over:
                return

    @property
    def outcome(self) -> Outcome | None:
        """What the exchange came to; None when it could not be recorded. Only after the last batch."""
        return None if self._failure else self._task.result()

    @property
    def error(self) -> ServiceError | None:
        """Why the last event is `failed`. Only after the last batch."""
        failure = self._failure
        if failure is None:
            return self._task.result().error
        return failure if isinstance(failure, ServiceError) else Internal()

    @property
    def _failure(self) -> BaseException | None:
        """What ended the exchange without an outcome. A cancellation that did not come from here is a bug like others."""
        try:
            return self._task.exception()
        except asyncio.CancelledError as error:
            return error

    def _broken(self) -> ChatEvent:
        failure = self._failure
        if not isinstance(failure, ServiceError):
            log.error("exchange broke", exc_info=failure)
        event = ChatEvent()
        event.CopyFrom(self._started)
        event.failed.CopyFrom(self._started.started)
        event.failed.status = "failed"
        event.failed.error.CopyFrom(_BROKEN)
        return event

    def _take(self, event: ChatEvent) -> None:
        self._waiting.append(event)
        self._news.set()


class _Emitter:
    """Tells the events of one exchange, the first one with `started` before it."""

    def __init__(self, emit: Emit | None, outcome: Outcome) -> None:
        self._emit = emit
        self._outcome = outcome
        self._started = False

    def delta(self, delta: ContentDelta) -> None:
        if self._emit:
            self._start()
            self._emit(self._event(delta=delta))

    def tool_call(self, delta: ToolCallDelta) -> None:
        if self._emit:
            self._start()
            self._emit(self._event(tool_call=delta))

    def end(self, *, failed: bool) -> None:
        if self._emit:
            self._start()
            self._emit(self._event(**{"failed" if failed else "completed": self._outcome.chat}))

    def _start(self) -> None:
        if not self._started:
            self._started = True
            outcome = self._outcome
            self._emit(self._event(started=outcome.chat, model=outcome.model, message_id=outcome.message_id,
                                   system_fingerprint=outcome.system_fingerprint))

    def _event(self, **members: Any) -> ChatEvent:
        chat = self._outcome.chat
        return ChatEvent(chat_id=chat.id, session_id=chat.session_id if chat.HasField("session_id") else None, **members)


def present(message: Message) -> Message:
    """A message as callers see it: with its text under both of its documented names."""
    if not message.HasField("message"):
        message.message = text_of(message)
    return message


def _public(chat: Chat, history: Sequence[Message], said: Sequence[Message]) -> Chat:
    for message in (*history, *said):
        chat.messages.add().CopyFrom(message)
        present(chat.messages[-1])
    return chat


def _stamp(message: Message, now: float, began: float) -> Message:
    message.id = message.id or new_id()
    message.time = now
    message.seconds_from_start = (now - began) / 1000
    return message


def _estimate(request: ModelRequest, answered: Sequence[Message]) -> Usage:
    """Tokens when the provider told none: about four characters each."""
    read = sum(len(text_of(message)) for message in request.messages)
    written = sum(len(text_of(message)) for message in answered)
    return Usage(-(-read // 4), -(-written // 4))


