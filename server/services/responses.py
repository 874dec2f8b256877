"""Exchanges in the form of OpenAI Responses."""

from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple, cast

from google.api.httpbody_pb2 import HttpBody

from generated.parley.v1.item_pb2 import ItemList
from generated.parley.v1.message_pb2 import Message
from generated.parley.v1.response_pb2 import Response, ResponseStreamEvent
from generated.parley.v1.response_service_pb2 import (
    CancelResponseRequest,
    CompactedResponse,
    CompactResponseRequest,
    ConnectResponsesEvent,
    ConnectResponsesRequest,
    CountInputTokensRequest,
    CreateResponseRequest,
    DeletedResponse,
    DeleteResponseRequest,
    GetResponseRequest,
    InputTokens,
    ListInputItemsRequest,
)
from generated.parley.v1.response_service_pb2_grpc import ResponseServiceServicer
from server.agents.ignored_settings import of_reasoning, of_unused
from server.content.budget import MOST_BYTES, MOST_OUTPUT_BYTES
from server.content.custom_tools import custom_places
from server.content.extras import extras_of
from server.content.inputs import parse_input, parse_response_format, parse_tool_choice, parse_tools
from server.content.items import items_page, page_of
from server.content.json_values import to_python
from server.content.reasoning import readable_by
from server.content.sealing import Sealer
from server.core.errors import InvalidArgument
from server.core.ids import hex_of, parse_id
from server.core.offload import by_size
from server.exchange.asked import Asked
from server.exchange.engine import Engine
from server.exchange.live import LiveExchange
from server.exchange.recorded import Recorded
from server.exchange.references import resolved
from server.exchange.remembered import Memory, Remembered
from server.exchange.replay import DELETED
from server.exchange.resolve import TurnResolver
from server.exchange.run import ReadableExchange
from server.exchange.sealed_reasoning import made_by, opened
from server.exchange.streams import Streams
from server.exchange.turn import Options, Turn
from server.rpc.announcing import write_last
from server.rpc.call import current_call, current_caller
from server.rpc.connection import Requests
from server.rpc.context import Context
from server.services.connected import ConnectedResponses
from server.services.frames import SILENT_SECONDS, Frames
from server.services.nouns import calls
from server.services.response_asking import goes_on, leave_out_input, where_in, who_in
from server.services.response_requests import compacting, counting
from server.services.streaming import answer, write_frames, write_messages
from server.storage.chats import Chats
from server.storage.idempotency import persist_nothing
from server.wire import responses as wire
from server.wire import sse
from server.wire.response_items import View
from server.wire.response_object import compacted_of, complete, response_of
from server.wire.response_stream import ResponseEvents

_MOST_ECHOED_BYTES = MOST_BYTES - MOST_OUTPUT_BYTES
_NOT_OFFERED = ("allowed_callers", "async", "defer_loading", "output_schema")
"""Members of tools that chat completions lack, with which providers are called."""
_ENCRYPTED = "reasoning.encrypted_content"
_LOGPROBS = "message.output_text.logprobs"

_known_as_response = calls("chat", "response")


class ResponseService(ResponseServiceServicer):
    """Runs and reads exchanges in the form of OpenAI Responses."""

    def __init__(
        self,
        engine: Engine,
        streams: Streams,
        resolver: TurnResolver,
        chats: Chats,
        sealer: Sealer,
        silent_seconds: float = SILENT_SECONDS,
    ) -> None:
        self._memory = Memory()
        self._engine = engine
        self._streams = streams
        self._resolver = resolver
        self._chats = chats
        self._sealer = sealer
        self._silent_seconds = silent_seconds

    async def CreateResponse(self, request: CreateResponseRequest, context: object) -> Response:
        """Run one exchange and return it once it is on disk."""
        turn = await self._turn(request)
        if request.background:
            async with self._streams.start(turn, background=True) as stream:
                return self._response_of(stream)
        outcome = await self._engine.run(turn)
        if outcome.error is not None:
            raise outcome.error
        response = response_of(
            request, outcome.chat, outcome.model, temperature=turn.agent.settings.temperature
        )
        return complete(response, outcome.chat, outcome, self._view(request))

    @_known_as_response
    async def GetResponse(self, request: GetResponseRequest, context: object) -> Response:
        """Get one exchange in the Responses form, from any door."""
        return self._response_of(await self._exchange(request.response_id))

    @_known_as_response
    async def WatchResponse(self, request: GetResponseRequest, context: Context[ResponseStreamEvent]) -> None:
        """Stream the events of an exchange, running or over, from any point on, each exactly once, even after
        a restart of the server."""
        async with self._reading(request.response_id) as exchange:
            events = ResponseEvents(exchange.request, None, self._view(exchange.request))
            await write_messages(
                context.write,
                self._streams.read(current_caller(), exchange),
                lambda batch: _behind(request, events.consume(batch, exchange)),
                self._streams.share,
            )

    @_known_as_response
    async def FetchResponse(self, request: GetResponseRequest, context: Context[HttpBody]) -> None:
        """GetResponse for HTTP, and WatchResponse when `stream` is true."""
        if not request.stream:
            await write_last(
                context, wire.response_body(self._response_of(await self._exchange(request.response_id)))
            )
            return
        async with Frames(context, self._silent_seconds) as written:
            async with self._reading(request.response_id) as exchange:
                events = ResponseEvents(exchange.request, None, self._view(exchange.request))
                await write_frames(
                    written,
                    self._streams.read(current_caller(), exchange),
                    lambda batch: wire.event_frames(
                        _behind(request, events.consume(batch, exchange)),
                        filled_up=request.include_obfuscation,
                    ),
                    self._streams.share,
                )
            await written.write_last(sse.DONE)

    @_known_as_response
    async def DeleteResponse(self, request: DeleteResponseRequest, context: object) -> DeletedResponse:
        """Delete an exchange."""
        scope = current_caller().scope
        stored = await self._chats.find(scope, parse_id(request.response_id))
        await self._streams.cancel(scope, stored.id, DELETED)
        await self._chats.delete(scope, stored.id)
        return DeletedResponse(id=f"resp_{hex_of(stored.id)}", object="response", deleted=True)

    @_known_as_response
    async def CancelResponse(self, request: CancelResponseRequest, context: object) -> Response:
        """Cancel a running exchange; its output so far is stored, with the status cancelled."""
        scope = current_caller().scope
        await self._streams.cancel(scope, (await self._chats.find(scope, parse_id(request.response_id))).id)
        return self._response_of(await self._exchange(request.response_id))

    async def PostCancelResponse(self, request: CancelResponseRequest, context: object) -> HttpBody:
        """CancelResponse for HTTP."""
        return wire.response_body(await self.CancelResponse(request, context))

    async def CompactResponse(self, request: CompactResponseRequest, context: object) -> CompactedResponse:
        """Replace a context by a summary that the model writes."""
        requested = compacting(request)
        turn = replace(await self._turn(requested), summarises=True)
        outcome = await self._engine.run(turn)
        if outcome.error is not None:
            raise outcome.error
        return compacted_of(outcome)

    async def CountInputTokens(self, request: CountInputTokensRequest, context: object) -> InputTokens:
        """Count the tokens of the context that CreateResponse would give the model, without running it."""
        requested = counting(request)
        persist_nothing()
        return InputTokens(
            object="response.input_tokens",
            input_tokens=await self._engine.count_input(await self._turn(requested)),
            estimated=True,
        )

    @_known_as_response
    async def ListInputItems(self, request: ListInputItemsRequest, context: object) -> ItemList:
        """List the input of an exchange as input items."""
        caller = current_caller()
        stored = await self._chats.find(caller.scope, parse_id(request.response_id))
        page = page_of(request)
        messages, has_more = await self._chats.input_page(
            stored, page.after_message, page.ascending, page.messages
        )
        seen = [readable_by(message, publishable=caller.is_publishable) for message in messages]
        return items_page(seen, page, has_more=has_more)

    async def _exchange(self, response_id: str) -> ReadableExchange:
        """Return the exchange of this id, running or stored. Raises NotFound."""
        scope = current_caller().scope
        return await self._streams.exchange(scope, await self._chats.find(scope, parse_id(response_id)))

    def _response_of(self, exchange: ReadableExchange) -> Response:
        """Return the Response of an exchange in its current state."""
        outcome = exchange.outcome
        response = response_of(exchange.request, outcome.chat, outcome.model)
        if outcome.chat.status == "in_progress":
            return response
        return complete(response, outcome.chat, outcome, self._view(exchange.request))

    def _view(self, request: CreateResponseRequest) -> View:
        """Return what the caller sees of the reasoning in the answer to a request."""
        caller = current_caller()
        sealed = _ENCRYPTED in request.include
        seal = partial(self._sealer.seal, caller.org_id) if sealed else None
        return View(publishable=caller.is_publishable, seal=seal)

    def _reading(self, response_id: str) -> AbstractAsyncContextManager[ReadableExchange]:
        """Return the exchange of this id for reading its events, as a context manager. Raises NotFound."""
        return self._streams.reading(current_caller().scope, parse_id(response_id))

    async def StreamResponse(
        self, request: CreateResponseRequest, context: Context[ResponseStreamEvent]
    ) -> None:
        """Run one exchange and stream its events."""
        request.stream = True
        async with await self._started(request) as (stream, events):
            await answer(context, stream, lambda batch: events.consume(batch, stream))

    async def ConnectResponses(
        self, request: AsyncIterator[ConnectResponsesRequest], context: Context[ConnectResponsesEvent]
    ) -> None:
        """Run exchanges one after the other on one connection, and stream the events of each."""
        requests = cast(Requests, request)  # generated services say that they get gRPC's own iterator
        connected = ConnectedResponses(self._engine, self._streams, self._memory, self._turn, self._view)
        try:
            await requests.serve_each(connected.respond, connected.refusal)
        finally:
            connected.close()

    async def PostResponse(self, request: CreateResponseRequest, context: Context[HttpBody]) -> None:
        """CreateResponse and StreamResponse for HTTP: JSON or server-sent events."""
        if not _wants_stream(request):
            request.stream = False
            await write_last(context, wire.response_body(await self.CreateResponse(request, context)))
            return
        request.stream = True
        filled_up = to_python(request.stream_options).get("include_obfuscation") is True
        async with (
            await self._started(request) as (stream, events),
            Frames(context, self._silent_seconds) as written,
        ):
            await write_frames(
                written,
                stream.batches(),
                lambda batch: wire.event_frames(events.consume(batch, stream), filled_up=filled_up),
            )
            await written.write_last(sse.DONE)

    async def _started(self, request: CreateResponseRequest) -> "_Streaming":
        turn = await self._turn(request)
        return _Streaming(
            self._streams.start(turn, background=request.background),
            ResponseEvents(request, turn.agent.settings.temperature, self._view(request)),
        )

    async def _turn(self, request: CreateResponseRequest, remembered: Remembered | None = None) -> Turn:
        caller = current_caller()
        size = request.ByteSize()
        instructions = await by_size(size, parse_instructions, request)
        _check_stored(request)
        is_continued = goes_on(request)
        if request.input.WhichOneof("kind") in (None, "null_value"):
            leave_out_input(request, goes_on=is_continued)
        held = await opened(self._chats, self._sealer, caller.scope, request.input)
        given = await resolved(self._chats, caller.scope, request.input)
        parse = partial(parse_input, may_be_empty=is_continued, opened=held)
        input_messages = await by_size(given.ByteSize(), parse, given)
        turn = await self._resolver.resolve(
            Asked(
                caller=caller,
                instructions=instructions,
                options=await by_size(size, _options, request),
                who=who_in(request),
                where=remembered or where_in(request),
                input=request.input,
                input_messages=input_messages,
                stream=request.stream,
                request=request,
                name=request.name if request.HasField("name") else None,
                transport=request.transport if request.HasField("transport") else None,
            )
        )
        _check_echoed(request)
        turn = replace(
            turn,
            warnings=[
                *turn.warnings,
                *map(of_unused, _unused(request)),
                *of_reasoning(index for index, one in held.items() if not made_by(turn, one.state)),
            ],
        )
        if (
            request.HasField("store")
            and not request.store
            and turn.session is None
            and turn.new_session is None
        ):
            persist_nothing()
            return replace(turn, persists=False)
        return turn


def _behind(
    request: GetResponseRequest, events: Iterator[ResponseStreamEvent]
) -> Iterator[ResponseStreamEvent]:
    """Return the events after `request.starting_after`."""
    known = request.starting_after if request.HasField("starting_after") else -1
    return (event for event in events if event.sequence_number > known)


def _check_stored(request: CreateResponseRequest) -> None:
    if request.background and request.HasField("store") and not request.store:
        raise InvalidArgument.of(
            "background", "needs the response to be stored: leave out store, or send it as true"
        )


def _check_echoed(request: CreateResponseRequest) -> None:
    """Raise InvalidArgument when the members that the answer repeats leave no room for its output."""
    size = request.ByteSize()
    if size > _MOST_ECHOED_BYTES:
        size -= sum(
            getattr(request, name).ByteSize()
            for name in ("input", "assistant", "squad", "assistant_overrides")
        )
    if size > _MOST_ECHOED_BYTES:
        raise InvalidArgument(
            f"instructions, tools and the other members beside input have {size} bytes together; at most "
            f"{_MOST_ECHOED_BYTES} are allowed, since every answer repeats them: shorten them, or send "
            "long texts as messages in input"
        )


class _Streaming(NamedTuple):
    stream: LiveExchange | Recorded
    events: ResponseEvents

    async def __aenter__(self) -> tuple[ReadableExchange, ResponseEvents]:
        return await self.stream.__aenter__(), self.events

    async def __aexit__(self, *error: object) -> None:
        await self.stream.__aexit__(*error)


def _wants_stream(request: CreateResponseRequest) -> bool:
    """Return whether to stream. An explicit `stream` decides.

    Under `/chat` a stream is the default, except for clients that cannot read one: openai-python sends
    Accept, and the SDKs of the assistants interface send X-Fern-Language.
    """
    if request.HasField("stream"):
        return request.stream
    call = current_call()
    if (call.http_path or "").startswith("/v1/"):
        return False
    return (
        "application/json" not in call.metadata.get("accept", "") and "x-fern-language" not in call.metadata
    )


def parse_instructions(request: CreateResponseRequest) -> list[Message]:
    """Return the instructions as system messages. Raises InvalidArgument."""
    if not request.HasField("instructions") or request.instructions.HasField("null_value"):
        return []
    messages = parse_input(request.instructions, "instructions")
    if request.instructions.HasField("string_value"):
        messages[0].role = "system"
    return messages


def _options(request: CreateResponseRequest) -> Options:
    return Options(
        temperature=_given(request, "temperature"),
        top_p=_given(request, "top_p"),
        max_tokens=_given(request, "max_output_tokens"),
        frequency_penalty=_given(request, "frequency_penalty"),
        presence_penalty=_given(request, "presence_penalty"),
        parallel_tool_calls=_given(request, "parallel_tool_calls"),
        tools=parse_tools(request.tools, "tools"),
        custom_places=custom_places(request.tools, "tools"),
        tool_choice=parse_tool_choice(to_python(request.tool_choice))
        if request.HasField("tool_choice")
        else None,
        response_format=_response_format(request),
        reasoning_effort=_text(to_python(request.reasoning).get("effort")),
        reasoning_summary=_summary(request),
        more=_extras(request),
        max_tool_calls=_given(request, "max_tool_calls"),
        truncates=request.truncation == "auto",
    )


def _extras(request: CreateResponseRequest) -> dict[str, Any]:
    found = extras_of(request)
    if verbosity := _text(to_python(request.text).get("verbosity")):
        found["verbosity"] = verbosity
    if _LOGPROBS in request.include:
        found["logprobs"] = True
        if request.top_logprobs:
            found["top_logprobs"] = request.top_logprobs
    return found


def _unused(request: CreateResponseRequest) -> list[str]:
    """Return the sent members that have no effect: those of tools, log probabilities."""
    tools = [
        name
        for index, tool in enumerate(request.tools)
        for name in _unused_of(to_python(tool), f"tools[{index}]")
    ]
    counted = ["top_logprobs"] if request.top_logprobs and _LOGPROBS not in request.include else []
    return [*tools, *counted]


def _unused_of(tool: dict[str, Any], field: str) -> list[str]:
    if tool.get("type", "function") not in ("function", "custom"):  # such a tool is not offered to the model
        return []
    return [f"{field}.{name}" for name in _NOT_OFFERED if tool.get(name)]


def _summary(request: CreateResponseRequest) -> str | None:
    """Return the summary that is wanted of the reasoning; `generate_summary` is its older name."""
    reasoning = to_python(request.reasoning)
    return _text(reasoning.get("summary")) or _text(reasoning.get("generate_summary"))


def _given(request: CreateResponseRequest, name: str) -> Any:
    return getattr(request, name) if request.HasField(name) else None


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _response_format(request: CreateResponseRequest) -> dict[str, Any] | None:
    form = to_python(request.text).get("format")
    if isinstance(form, dict):
        schema = {name: form[name] for name in ("name", "schema", "strict", "description") if name in form}
        form = {"type": form.get("type", "text"), "json_schema": schema}
    return parse_response_format(form, "text.format", "text.format")
