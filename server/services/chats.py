"""The assistants door: exchanges with an assistant."""

from collections.abc import Iterable, Iterator
from functools import partial

from google.api.httpbody_pb2 import HttpBody

from generated.parley.v1.chat_pb2 import Chat, ChatEvent
from generated.parley.v1.chat_service_pb2 import (
    CreateChatRequest,
    DeleteChatRequest,
    GetChatRequest,
    ListChatsRequest,
    ListChatsResponse,
    WatchChatRequest,
)
from generated.parley.v1.chat_service_pb2_grpc import ChatServiceServicer
from server.content.fitting import fit_page
from server.content.inputs import body_id, parse_input
from server.core.ids import parse_id
from server.core.offload import by_size
from server.exchange.asked import After, Asked, InSession, Where
from server.exchange.engine import Engine
from server.exchange.references import resolved
from server.exchange.replay import DELETED, shown
from server.exchange.resolve import TurnResolver
from server.exchange.streams import Streams
from server.exchange.turn import Turn
from server.rpc.announcing import write_last
from server.rpc.call import current_caller
from server.rpc.context import Context
from server.services.asking import who_of
from server.services.frames import SILENT_SECONDS, Frames
from server.services.streaming import answer, write_frames, write_messages
from server.storage.chats import Chats
from server.wire import chats as wire


class ChatService(ChatServiceServicer):
    """Runs and reads exchanges at the assistants door, chained or in a session."""

    def __init__(
        self,
        engine: Engine,
        streams: Streams,
        resolver: TurnResolver,
        chats: Chats,
        silent_seconds: float = SILENT_SECONDS,
    ) -> None:
        self._engine = engine
        self._streams = streams
        self._resolver = resolver
        self._chats = chats
        self._silent_seconds = silent_seconds

    async def CreateChat(self, request: CreateChatRequest, context: object) -> Chat:
        """Run one exchange and return it once it is on disk."""
        return (await self._engine.run(await self._turn(request))).chat

    async def StreamChat(self, request: CreateChatRequest, context: Context[ChatEvent]) -> None:
        """Run one exchange and stream its events."""
        request.stream = True
        async with self._streams.start(await self._turn(request)) as stream:
            await answer(context, stream, _visible)

    async def WatchChat(self, request: WatchChatRequest, context: Context[ChatEvent]) -> None:
        """Stream the events of an exchange, running or over, from any point on, each event exactly once, even
        after a restart of the server. gRPC only: over HTTP the Responses form does this for every chat."""
        caller = current_caller()
        async with self._streams.reading(caller.scope, parse_id(request.id)) as watched:
            # Stored events are bytes already and are sent unchanged.
            await write_messages(
                lambda event: context.write(watched.serialized(event)),  # type: ignore[arg-type]
                self._streams.read(caller, watched),
                partial(_behind, request),
                self._streams.share,
            )

    async def PostChat(self, request: CreateChatRequest, context: Context[HttpBody]) -> None:
        """CreateChat and StreamChat for HTTP: JSON, or server-sent events when `stream` is true."""
        turn = await self._turn(request)
        if not request.stream:
            await write_last(context, wire.chat_body((await self._engine.run(turn)).chat))
            return
        async with self._streams.start(turn) as stream, Frames(context, self._silent_seconds) as written:
            await write_frames(written, stream.batches(), wire.chat_frames)

    async def ListChats(self, request: ListChatsRequest, context: object) -> ListChatsResponse:
        """List the org's chats from every door, newest first. `messages` of each contains only its own input."""
        chats, metadata = await self._chats.list(current_caller().scope, request)
        page = [shown(chat) for chat in chats]
        fit_page(page)
        return ListChatsResponse(results=page, metadata=metadata)

    async def GetChat(self, request: GetChatRequest, context: object) -> Chat:
        """Get one chat with its whole context."""
        return shown(await self._chats.get(current_caller().scope, parse_id(request.id)))

    async def DeleteChat(self, request: DeleteChatRequest, context: object) -> Chat:
        """Delete one chat and return its last state."""
        scope = current_caller().scope
        stored = await self._chats.find(scope, parse_id(request.id))
        await self._streams.cancel(scope, stored.id, DELETED)
        return shown(await self._chats.delete(scope, stored.id))

    async def _turn(self, request: CreateChatRequest) -> Turn:
        caller = current_caller()
        given = await resolved(self._chats, caller.scope, request.input)
        input_messages = await by_size(given.ByteSize(), parse_input, given)
        return await self._resolver.resolve(
            Asked(
                caller=caller,
                who=who_of(request),
                where=_where(request),
                input=request.input,
                input_messages=input_messages,
                name=request.name if request.HasField("name") else None,
                stream=request.stream,
                transport=request.transport if request.HasField("transport") else None,
            )
        )


def _where(request: CreateChatRequest) -> Where | None:
    if request.HasField("session_id"):
        return InSession(body_id(request.session_id, "sessionId"))
    if request.HasField("previous_chat_id"):
        return After(body_id(request.previous_chat_id, "previousChatId"), "previousChatId")
    return None


def _behind(request: WatchChatRequest, events: Iterable[ChatEvent]) -> Iterator[ChatEvent]:
    """Return the events after `request.after`."""
    return (
        event for event in _visible(events) if not request.HasField("after") or event.sequence > request.after
    )


def _visible(events: Iterable[ChatEvent]) -> Iterator[ChatEvent]:
    """Return the events without the reasoning that the caller may not read."""
    publishable = current_caller().is_publishable
    return (
        event
        for event in events
        if not (publishable and event.HasField("reasoning") and not event.reasoning.exposed)
    )
