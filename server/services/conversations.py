"""Conversations of the Responses interface: sessions whose items are read and written one by one."""

from functools import partial

from google.protobuf.struct_pb2 import ListValue, Struct, Value

from generated.parley.v1.conversation_pb2 import Conversation
from generated.parley.v1.conversation_service_pb2 import (
    CreateConversationRequest,
    CreateItemsRequest,
    DeleteConversationRequest,
    DeletedConversation,
    DeleteItemRequest,
    GetConversationRequest,
    GetItemRequest,
    ListItemsRequest,
    UpdateConversationRequest,
)
from generated.parley.v1.conversation_service_pb2_grpc import ConversationServiceServicer
from generated.parley.v1.item_pb2 import ItemList
from generated.parley.v1.message_pb2 import Message
from generated.parley.v1.session_pb2 import Session
from server.agents.agents import NOBODY, Agent
from server.content.inputs import parse_messages
from server.content.items import item_not_found, items_of, items_page, list_of, message_id_of, page_of
from server.content.json_values import struct_from, to_python
from server.content.reasoning import readable_by
from server.content.sealing import Sealer
from server.core.clock import Clock
from server.core.ids import hex_of, parse_id
from server.core.offload import by_size
from server.exchange.capacity import Capacity
from server.exchange.instructing import check_input
from server.exchange.references import resolved
from server.exchange.resolve import TurnResolver, stamped
from server.exchange.sealed_reasoning import opened
from server.exchange.streams import Streams
from server.rpc.call import current_caller
from server.services.nouns import calls
from server.storage.chats import Chats
from server.storage.sessions import Sessions

_known_as_conversation = calls("session", "conversation")


class ConversationService(ConversationServiceServicer):
    """Manages conversations of the Responses interface: sessions whose items can be read and written one by
    one."""

    def __init__(
        self,
        streams: Streams,
        resolver: TurnResolver,
        sessions: Sessions,
        chats: Chats,
        clock: Clock,
        capacity: Capacity,
        sealer: Sealer,
    ) -> None:
        self._streams = streams
        self._resolver = resolver
        self._sessions = sessions
        self._chats = chats
        self._clock = clock
        self._capacity = capacity
        self._sealer = sealer

    async def CreateConversation(self, request: CreateConversationRequest, context: object) -> Conversation:
        """Create a conversation, with items if any are given."""
        caller, nobody, input_messages = (
            current_caller(),
            Agent(NOBODY),
            await self._messages_of(request, may_be_empty=True),
        )
        await check_input(caller, nobody, input_messages, "items")
        new = self._resolver.new_session(caller, nobody, messages=input_messages, metadata=request.metadata)
        await self._sessions.create(new)
        return _conversation(new.session)

    @_known_as_conversation
    async def GetConversation(self, request: GetConversationRequest, context: object) -> Conversation:
        """Get one conversation."""
        return _conversation(
            (await self._sessions.find(current_caller().scope, parse_id(request.conversation_id))).session
        )

    @_known_as_conversation
    async def UpdateConversation(self, request: UpdateConversationRequest, context: object) -> Conversation:
        """Replace the metadata of a conversation."""
        return _conversation(
            await self._sessions.update(
                current_caller().scope,
                parse_id(request.conversation_id),
                lambda session: session.metadata.CopyFrom(request.metadata),
                None,
            )
        )

    @_known_as_conversation
    async def DeleteConversation(
        self, request: DeleteConversationRequest, context: object
    ) -> DeletedConversation:
        """Delete a conversation with its items."""
        scope = current_caller().scope
        session = (await self._sessions.find(scope, parse_id(request.conversation_id))).session
        await self._streams.end_in(session)
        await self._sessions.delete(scope, session.id)
        return DeletedConversation(
            id=f"conv_{hex_of(session.id)}", object="conversation.deleted", deleted=True
        )

    @_known_as_conversation
    async def CreateItems(self, request: CreateItemsRequest, context: object) -> ItemList:
        """Append items to a conversation and return them."""
        caller, messages = current_caller(), stamped(await self._messages_of(request), self._clock())
        if caller.is_publishable:
            stored = await self._sessions.find(caller.scope, parse_id(request.conversation_id))
            await check_input(
                caller, await self._resolver.agent_in(caller, stored) or Agent(NOBODY), messages, "items"
            )
        self._capacity.reserve(caller, messages)
        await self._sessions.append(
            caller.scope, parse_id(request.conversation_id), messages, self._capacity.conversation
        )
        return list_of(items_of(messages))

    @_known_as_conversation
    async def ListItems(self, request: ListItemsRequest, context: object) -> ItemList:
        """List the items of a conversation."""
        page = page_of(request)
        stored = await self._sessions.find(current_caller().scope, parse_id(request.conversation_id))
        messages, has_more = await self._sessions.page(
            stored, page.after_message, page.ascending, page.messages
        )
        return items_page(map(_seen, messages), page, has_more=has_more)

    @_known_as_conversation
    async def GetItem(self, request: GetItemRequest, context: object) -> Struct:
        """Get one item of a conversation, in the form that the list has."""
        found = await self._message(request)
        return next(struct_from(item) for item in items_of([_seen(found)]) if item["id"] == request.item_id)

    @_known_as_conversation
    async def DeleteItem(self, request: DeleteItemRequest, context: object) -> Conversation:
        """Delete one item of a conversation and return the conversation."""
        gone = await self._message(request)
        return _conversation(
            await self._sessions.remove(current_caller().scope, parse_id(request.conversation_id), gone.id)
        )

    async def _message(self, request: GetItemRequest | DeleteItemRequest) -> Message:
        """Return the message that the requested item is, or belongs to. Raises NotFound."""
        stored = await self._sessions.find(current_caller().scope, parse_id(request.conversation_id))
        found = await self._sessions.message(stored, message_id_of(request.item_id))
        if found is None or all(item["id"] != request.item_id for item in items_of([_seen(found)])):
            raise item_not_found()
        return found

    async def _messages_of(
        self, request: CreateConversationRequest | CreateItemsRequest, *, may_be_empty: bool = False
    ) -> list[Message]:
        items = Value(list_value=ListValue(values=[Value(struct_value=item) for item in request.items]))
        scope = current_caller().scope
        held = await opened(self._chats, self._sealer, scope, items, "items")
        given = await resolved(self._chats, scope, items, "items")
        parse = partial(parse_messages, may_be_empty=may_be_empty, opened=held)
        return await by_size(given.ByteSize(), lambda: parse(to_python(given), "items"))


def _seen(message: Message) -> Message:
    """Return a message with the reasoning that the caller may read."""
    return readable_by(message, publishable=current_caller().is_publishable)


def _conversation(session: Session) -> Conversation:
    return Conversation(
        id=f"conv_{hex_of(session.id)}",
        object="conversation",
        created_at=session.created_at.seconds,
        metadata=session.metadata,
    )
