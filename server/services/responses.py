"""The OpenAI Responses form of an exchange (seed 000)."""

from typing import Any, NamedTuple

import grpc
from google.api.httpbody_pb2 import HttpBody

from generated.parley.v1.message_pb2 import Message
from generated.parley.v1.response_pb2 import Response
from generated.parley.v1.response_service_pb2 import CreateResponseRequest
from generated.parley.v1.response_service_pb2_grpc import ResponseServiceServicer
from server.agents import Agent, Agents
from server.call import current_call, current_caller
from server.engine import Engine
from server.errors import InvalidArgument, NotFound, Violation
from server.exchange import Options, Turn
from server.inputs import parse_input, parse_tool_choice, parse_tools
from server.json_values import to_python
from server.response_events import ResponseEvents, complete, response_of
from server.storage.keys import Caller
from server.streams import Stream, Streams
from server.turns import Turns
from server.wire import responses as wire
from server.wire import sse

_NAMES = ("assistant_id", "assistant", "squad_id", "squad", "session_id", "previous_chat_id", "previous_response_id")


class ResponseService(ResponseServiceServicer):
    def __init__(self, engine: Engine, streams: Streams, turns: Turns, agents: Agents) -> None:
        self._engine = engine
        self._streams = streams
        self._turns = turns
        self._agents = agents

    async def CreateResponse(self, request: CreateResponseRequest, context: Any) -> Response:
        turn = await self._turn(request)
        outcome = await self._engine.run(turn)
        if outcome.error is not None:
            raise outcome.error
        response = response_of(request, outcome.chat, outcome.model, temperature=turn.agent.settings.temperature)
        return complete(response, outcome.chat, outcome)

    async def StreamResponse(self, request: CreateResponseRequest, context: grpc.aio.ServicerContext) -> None:
        request.stream = True
        async with await self._started(request) as (stream, events):
            async for batch in stream.batches():
                for event in events.take(batch, stream):
                    await context.write(event)
            if stream.error:
                raise stream.error

    async def PostResponse(self, request: CreateResponseRequest, context: grpc.aio.ServicerContext) -> None:
        if not _wants_stream(request):
            request.stream = False
            await context.write(wire.response_body(await self.CreateResponse(request, context)))
            return
        request.stream = True
        async with await self._started(request) as (stream, events):
            async for batch in stream.batches():
                frames = wire.event_frames(events.take(batch, stream))
                await context.write(HttpBody(content_type="text/event-stream", data=frames))
            await context.write(HttpBody(data=sse.DONE))

    async def _started(self, request: CreateResponseRequest) -> "_Streaming":
        turn = await self._turn(request)
        return _Streaming(self._streams.start(turn), ResponseEvents(request, turn.agent.settings.temperature))

    async def _turn(self, request: CreateResponseRequest) -> Turn:
        caller = current_caller()
        previous = next((name for name in ("previous_response_id", "previous_chat_id") if request.HasField(name)), None)
        instructions = parse_instructions(request)
        return await self._turns.of_request(
            caller, request, parse_input(request.input), instructions=instructions, options=_options(request),
            agent=await self._named_by_model(caller, request),
            previous_id=getattr(request, previous) if previous else None,
            previous_field=previous if previous == "previous_response_id" else "previousChatId")

    async def _named_by_model(self, caller: Caller, request: CreateResponseRequest) -> Agent | None:
        """Who `model` names, where nothing else does. Under `/v1` a model that is no assistant does not exist."""
        if any(request.HasField(name) for name in _NAMES) or not request.model:
            return None
        agent = await self._agents.by_model(caller, request.model)
        if agent is None and (current_call().http_path or "").startswith("/v1/"):
            raise NotFound(f"The model '{request.model}' does not exist; send the id or the name of an assistant.",
                           reason="MODEL_NOT_FOUND", violations=(Violation("model", "does not exist"),))
        if agent is None:
            raise InvalidArgument("model is not an assistant's id or name: send assistantId (the OpenAI SDK: "
                                  "extra_body={'assistantId': …}), or an assistant's id or name as model",
                                  violations=(Violation("model", "is not an assistant's id or name"),))
        return agent


class _Streaming(NamedTuple):
    stream: Stream
    events: ResponseEvents

    async def __aenter__(self) -> tuple[Stream, ResponseEvents]:
        await self.stream.__aenter__()
        return self.stream, self.events

    async def __aexit__(self, *error: object) -> None:
        await self.stream.__aexit__(*error)


def _wants_stream(request: CreateResponseRequest) -> bool:
    """An explicit `stream` wins. Under `/chat` a stream is the default (seed 000), but not for clients that cannot read
    one: openai-python says so in Accept, the SDKs of the assistants interface by their X-Fern-Language."""
    if request.HasField("stream"):
        return request.stream
    call = current_call()
    if (call.http_path or "").startswith("/v1/"):
        return False
    return "application/json" not in call.metadata.get("accept", "") and "x-fern-language" not in call.metadata


def parse_instructions(request: CreateResponseRequest) -> list[Message]:
    if not request.HasField("instructions") or request.instructions.HasField("null_value"):
        return []
    messages = parse_input(request.instructions, "instructions")
    if request.instructions.HasField("string_value"):
        messages[0].role = "system"
    return messages


def _options(request: CreateResponseRequest) -> Options:
    return Options(
        temperature=_given(request, "temperature"), top_p=_given(request, "top_p"),
        max_tokens=_given(request, "max_output_tokens"), frequency_penalty=_given(request, "frequency_penalty"),
        presence_penalty=_given(request, "presence_penalty"), parallel_tool_calls=_given(request, "parallel_tool_calls"),
        tools=parse_tools(request.tools, "tools", only_functions=False),
        tool_choice=parse_tool_choice(to_python(request.tool_choice)) if request.HasField("tool_choice") else None,
        response_format=_response_format(request),
        reasoning_effort=_text(to_python(request.reasoning).get("effort")))


def _given(request: CreateResponseRequest, name: str) -> Any:
    return getattr(request, name) if request.HasField(name) else None


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _response_format(request: CreateResponseRequest) -> dict[str, Any] | None:
    form = to_python(request.text).get("format")
    if not isinstance(form, dict) or form.get("type", "text") == "text":
        return None
    if form["type"] == "json_schema":
        return {"type": "json_schema",
                "json_schema": {name: form[name] for name in ("name", "schema", "strict", "description") if name in form}}
    return {"type": form["type"]}
