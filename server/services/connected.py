"""The connections of ConnectResponses: exchanges one after the other, of which the latest can be continued though
it is not stored.

A connection remembers what it ran with `store: false`, and prepared with `generate: false`; a continuation that
fails takes that away, as the specification of the WebSocket mode wants it. Opens no socket.
"""

from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial

from generated.parley.v1.chat_pb2 import ChatEvent
from generated.parley.v1.message_pb2 import Message
from generated.parley.v1.response_service_pb2 import (
    ConnectResponsesEvent,
    ConnectResponsesRequest,
    CreateResponseRequest,
    RequestError,
)
from server.content.json_values import to_python
from server.content.messages import tool_calls_of
from server.core.errors import InvalidArgument, RateLimited, ServiceError
from server.core.ids import parse_id
from server.core.offload import by_size
from server.exchange.engine import Engine
from server.exchange.remembered import Memory, Remembered
from server.exchange.replay import Replay
from server.exchange.resolve import previous_not_found
from server.exchange.run import ReadableExchange
from server.exchange.streams import Streams
from server.exchange.turn import Turn
from server.rpc.call import current_caller
from server.rpc.context import Context
from server.services.streaming import write_messages
from server.wire.errors import http_status, openai_error
from server.wire.response_items import View
from server.wire.response_stream import ResponseEvents

_NOT_FOUND = "PREVIOUS_RESPONSE_NOT_FOUND"
_NOT_PREPARED = ("session_id", "conversation", "transport")

MakeTurn = Callable[[CreateResponseRequest, Remembered | None], Awaitable[Turn]]


class ConnectedResponses:
    """One connection."""

    def __init__(
        self,
        engine: Engine,
        streams: Streams,
        memory: Memory,
        make_turn: MakeTurn,
        view: Callable[[CreateResponseRequest], View],
    ) -> None:
        self._engine = engine
        self._view = view
        self._streams = streams
        self._memory = memory
        self._make_turn = make_turn

    def close(self) -> None:
        """Forget what the connection could continue."""
        self._memory.forget(self)

    async def respond(
        self, request: ConnectResponsesRequest, context: Context[ConnectResponsesEvent]
    ) -> None:
        """Run one exchange, or only prepare it, and write its events."""
        create = request.create
        prepares = request.HasField("generate") and not request.generate
        _check(create, prepares=prepares)
        create.stream = True
        if prepares:
            create.store = False
        turn = await self._turn(create)
        if prepares:
            outcome = await self._engine.prepare(turn)
            exchange = Replay(outcome.chat, outcome.record(turn, [], [], None))
            await self._write(create, turn, exchange, context)
            return
        async with self._streams.start(turn) as stream:
            await self._write(create, turn, stream, context)
            if stream.error is not None:
                self._evict(create)

    def refusal(self, error: ServiceError, request: ConnectResponsesRequest | None) -> ConnectResponsesEvent:
        """Return the answer to a request that failed, None for one that could not be read."""
        if request is not None:
            self._evict(request.create)
        elif isinstance(error, RateLimited):  # it is not read, and may continue the latest exchange
            self.close()
        # As the specification has it; a call of its own finds nothing, with 404.
        status = 400 if error.reason == _NOT_FOUND else http_status(error, "responses")
        refused = RequestError(status=status, **openai_error(error, status))
        if error.retry_after is not None:
            refused.retry_after = error.retry_after
        return ConnectResponsesEvent(error=refused)

    async def _turn(self, create: CreateResponseRequest) -> Turn:
        remembered = self._remembered(create)
        if create.HasField("previous_response_id") and parse_id(create.previous_response_id) is None:
            raise previous_not_found()  # as the specification has it of whatever is not there
        turn = await self._make_turn(create, remembered)
        if remembered is not None:
            await by_size(remembered.size, _check_results, remembered, turn.input_messages)
            if turn.persists:
                turn = await by_size(remembered.size, _begun_with, turn, remembered)
        if turn.persists or turn.session is not None:
            return turn
        return replace(turn, remember=partial(self._memory.put, self, current_caller().key_id))

    async def _write(
        self,
        create: CreateResponseRequest,
        turn: Turn,
        exchange: ReadableExchange,
        context: Context[ConnectResponsesEvent],
    ) -> None:
        events = ResponseEvents(create, turn.agent.settings.temperature, self._view(create))

        def form(batch: list[ChatEvent]) -> Iterator[ConnectResponsesEvent]:
            for event in events.consume(batch, exchange):
                if event.type != "error":  # response.failed has it, and is the last event of a request
                    yield ConnectResponsesEvent(response=event)

        await write_messages(context.write, exchange.batches(), form)

    def _remembered(self, create: CreateResponseRequest) -> Remembered | None:
        if not create.HasField("previous_response_id"):
            return None
        return self._memory.of(self, parse_id(create.previous_response_id))

    def _evict(self, create: CreateResponseRequest) -> None:
        """Forget the exchange that a request has failed to continue."""
        if self._remembered(create) is not None:
            self._memory.forget(self)


def _check(create: CreateResponseRequest, *, prepares: bool) -> None:
    """Raise InvalidArgument for members that only a call of its own has a meaning for."""
    if create.background:
        raise InvalidArgument.of(
            "background",
            "must be left out: a response on a connection ends with it; send POST /v1/responses for one that "
            "goes on by itself",
        )
    if create.HasField("stream") and not create.stream:
        raise InvalidArgument.of(
            "stream",
            "must be left out: a connection answers with events; send POST /v1/responses for one object",
        )
    if any(value is not None and value is not False for value in to_python(create.stream_options).values()):
        raise InvalidArgument.of("stream_options", "must be left out: events of a connection are not padded")
    for name in _NOT_PREPARED if prepares else ():
        if create.HasField(name):
            raise InvalidArgument(
                "generate: false stores nothing, and cannot be sent with a session, a conversation or a transport"
            )


def _check_results(remembered: Remembered, messages: Sequence[Message]) -> None:
    """Raise InvalidArgument for the result of a call that nobody made: the whole conversation is known here."""
    results = [message.tool_call_id for message in messages if message.role == "tool"]
    if not results:
        return
    called = {call["id"] for message in (*remembered.messages, *messages) for call in tool_calls_of(message)}
    if unknown := next((result for result in results if result not in called), None):
        raise InvalidArgument.of(
            "input",
            f"has an output for the call {unknown[:64]}, which the response it continues did not make",
        )


def _begun_with(turn: Turn, remembered: Remembered) -> Turn:
    """Return a turn that is stored, with what it continues as part of its input: that is stored nowhere else."""
    before = []
    for message in remembered.messages:
        copy = Message()
        copy.CopyFrom(message)
        copy.ClearField("id")
        before.append(copy)
    return replace(
        turn,
        input_messages=[*before, *turn.input_messages],
        remembered=replace(remembered, messages=(), size=0),
    )
