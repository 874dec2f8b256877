"""The completions door: OpenAI-compatible chat completions of one agent, with sessions, and the stored ones.

A stored completion is a chat that was made here, unless with `store: false`.
"""

from dataclasses import replace
from typing import Any

from google.api.httpbody_pb2 import HttpBody
from google.protobuf.struct_pb2 import Value

from generated.parley.v1.chat_completion_pb2 import ChatCompletion, ChatCompletionChunk
from generated.parley.v1.chat_record_pb2 import StoredCompletion
from generated.parley.v1.completion_service_pb2 import (
    ChatCompletionInputMessage,
    CompletionStreamOptions,
    CreateChatCompletionRequest,
)
from generated.parley.v1.completion_service_pb2_grpc import CompletionServiceServicer
from generated.parley.v1.message_pb2 import Message
from server.agents.agents import Agent, Agents
from server.agents.names import model_not_found
from server.agents.who import Model, Who
from server.content.custom_tools import custom_places
from server.content.extras import extras_of
from server.content.inputs import (
    INSTRUCTING,
    checked_value,
    parse_messages,
    parse_response_format,
    parse_tool_choice,
    parse_tools,
)
from server.content.json_values import to_python
from server.core.accepted import ROLES
from server.core.errors import BROKEN_OFF, InvalidArgument, ServerStopping
from server.core.ids import parse_id
from server.core.offload import by_size
from server.exchange.asked import Asked, InNewSession, InStoredSession, Where
from server.exchange.engine import Engine
from server.exchange.live import LiveExchange
from server.exchange.replay import Replay
from server.exchange.resolve import TurnResolver
from server.exchange.streams import Streams
from server.exchange.turn import Options, Turn
from server.rpc.announcing import write_last
from server.rpc.call import current_caller
from server.rpc.context import Context
from server.services.frames import SILENT_SECONDS, Frames
from server.services.stored_completions import StoredCompletions
from server.services.streaming import answer, write_frames
from server.storage.assistants import Assistants
from server.storage.chats import Chats
from server.storage.completions import Completions
from server.storage.idempotency import persist_nothing
from server.storage.keys import Caller
from server.wire import completions as wire
from server.wire import sse
from server.wire.completion_chunks import CompletionChunks, completion_of


class CompletionService(StoredCompletions, CompletionServiceServicer):
    """Answers OpenAI-compatible chat completions with one agent, optionally in a session, and reads the stored
    ones."""

    def __init__(
        self,
        engine: Engine,
        streams: Streams,
        resolver: TurnResolver,
        agents: Agents,
        chats: Chats,
        completions: Completions,
        assistants: Assistants,
        silent_seconds: float = SILENT_SECONDS,
    ) -> None:
        super().__init__(streams, chats, completions, assistants)
        self._engine = engine
        self._resolver = resolver
        self._agents = agents
        self._silent_seconds = silent_seconds

    async def CreateChatCompletion(
        self, request: CreateChatCompletionRequest, context: object
    ) -> ChatCompletion:
        """Answer a conversation."""
        outcome = await self._engine.run(await self._turn(request))
        if outcome.error is not None:
            raise outcome.error
        return completion_of(outcome, request.metadata if request.HasField("metadata") else None)

    async def StreamChatCompletion(
        self, request: CreateChatCompletionRequest, context: Context[ChatCompletionChunk]
    ) -> None:
        """Answer a conversation as a stream."""
        request.stream = True
        turn = await self._turn(request)
        async with self._streams.start(turn) as stream:
            chunks = _chunks(request, turn)
            await answer(context, stream, lambda batch: chunks.consume(batch, stream))

    async def PostChatCompletion(
        self, request: CreateChatCompletionRequest, context: Context[HttpBody]
    ) -> None:
        """CreateChatCompletion and StreamChatCompletion for HTTP: JSON, or server-sent events when `stream`
        is true."""
        if not request.stream:
            await write_last(context, wire.completion_body(await self.CreateChatCompletion(request, context)))
            return
        turn = await self._turn(request)
        async with self._streams.start(turn) as stream, Frames(context, self._silent_seconds) as written:
            await self._write_frames(stream, _chunks(request, turn), written, request.stream_options)

    async def _write_frames(
        self,
        stream: LiveExchange | Replay,
        chunks: CompletionChunks,
        written: Frames,
        options: CompletionStreamOptions,
    ) -> None:
        await write_frames(
            written,
            stream.batches(),
            lambda batch: wire.chunk_frames(
                chunks.consume(batch, stream),
                with_usage=options.include_usage,
                filled_up=options.include_obfuscation,
            ),
        )
        chat = stream.outcome.chat
        error = stream.error or (
            ServerStopping(chat.error.message) if chat.error.code in BROKEN_OFF else None
        )
        ending = wire.error_frame(error) if error else b""
        await written.write_last(ending + sse.DONE)

    async def _turn(self, request: CreateChatCompletionRequest) -> Turn:
        caller = current_caller()
        agent = await self._agent(caller, request)
        _check(request, agent)
        size = request.ByteSize()
        input_messages = await by_size(size, _messages, request)
        given = await by_size(size, _input, request)
        options = await by_size(size, _options, request)
        turn = await self._resolver.resolve(
            Asked(
                caller=caller,
                who=agent,
                where=_where(request),
                input=given,
                input_field="messages",
                input_messages=input_messages,
                stream=request.stream,
                options=options,
            )
        )
        if not request.HasField("store") or request.store:
            return replace(turn, completion=StoredCompletion(metadata=request.metadata))
        if turn.session is not None or request.create_session:
            return turn
        persist_nothing()
        return replace(turn, persists=False)

    async def _agent(self, caller: Caller, request: CreateChatCompletionRequest) -> Agent:
        """Return the agent that the path names, otherwise the one that `model` names."""
        if request.agent_id:
            return await self._agents.stored(caller, parse_id(request.agent_id))
        named = Model(request.model, model_not_found(request.model))
        agent = await self._agents.named_by_model(caller, Who(model=named))
        assert agent is not None  # the error above otherwise
        return agent


def _where(request: CreateChatCompletionRequest) -> Where | None:
    if request.HasField("store_in_session"):
        return InStoredSession(parse_id(request.store_in_session))
    return InNewSession() if request.create_session else None


def _check(request: CreateChatCompletionRequest, agent: Agent) -> None:
    settings = agent.settings
    if request.agent_id and request.model and request.model != settings.model:
        raise InvalidArgument(
            f"model must be '{settings.model}', the model of this assistant, or be left out",
            reason="UNEXPECTED_MODEL",
        )
    if request.create_session and request.HasField("store_in_session"):
        raise InvalidArgument("create_session and store_in_session are mutually exclusive: send one of them")
    for message in request.messages:
        if message.role not in ROLES:
            raise InvalidArgument(
                f"Unsupported role '{message.role[:40]}': use user, assistant or tool",
                reason="UNSUPPORTED_ROLE",
            )
        # Only the door whose path names the assistant documents this restriction.
        if request.agent_id and message.role in INSTRUCTING and not settings.allows_system_messages:
            raise InvalidArgument(
                f"Unsupported role '{message.role}': this assistant has its own instructions; to allow it, set "
                'chatSystemInstructionMode to "allow" on the assistant',
                reason="UNSUPPORTED_ROLE",
            )


def _messages(request: CreateChatCompletionRequest) -> list[Message]:
    return parse_messages([_plain(message) for message in request.messages], "messages")


def _input(request: CreateChatCompletionRequest) -> Value:
    return checked_value([_plain(message) for message in request.messages], "messages")


def _plain(message: ChatCompletionInputMessage) -> dict[str, Any]:
    plain: dict[str, Any] = {"role": message.role}
    for name in ("content", "tool_calls"):
        if message.HasField(name):
            plain[name] = to_python(getattr(message, name))
    for name in ("name", "tool_call_id", "refusal"):
        if message.HasField(name):
            plain[name] = getattr(message, name)
    return plain


def _options(request: CreateChatCompletionRequest) -> Options:
    stop = to_python(request.stop) or []
    newer = _given(request, "max_completion_tokens")
    return Options(
        temperature=_given(request, "temperature"),
        top_p=_given(request, "top_p"),
        max_tokens=_given(request, "max_tokens") if newer is None else newer,
        stop=[stop] if isinstance(stop, str) else stop,
        seed=_given(request, "seed"),
        n=_given(request, "n") or 1,
        frequency_penalty=_given(request, "frequency_penalty"),
        presence_penalty=_given(request, "presence_penalty"),
        tools=parse_tools(request.tools, "tools"),
        custom_places=custom_places(request.tools, "tools"),
        tool_choice=parse_tool_choice(to_python(request.tool_choice))
        if request.HasField("tool_choice")
        else None,
        parallel_tool_calls=_given(request, "parallel_tool_calls"),
        response_format=_response_format(request),
        reasoning_effort=_given(request, "reasoning_effort"),
        more=extras_of(request),
    )


def _given(request: CreateChatCompletionRequest, name: str) -> Any:
    return getattr(request, name) if request.HasField(name) else None


def _response_format(request: CreateChatCompletionRequest) -> dict[str, Any] | None:
    form = to_python(request.response_format) if request.HasField("response_format") else None
    return parse_response_format(form, "response_format", "response_format.json_schema")


def _chunks(request: CreateChatCompletionRequest, turn: Turn) -> CompletionChunks:
    return CompletionChunks(turn.options.n, with_usage=request.stream_options.include_usage)
