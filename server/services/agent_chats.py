"""The agents door: chats as containers of messages. Such a chat is a session, and each message of a user is
an exchange."""

from google.protobuf.empty_pb2 import Empty
from google.protobuf.struct_pb2 import ListValue, Value

from generated.parley.v1.agent_chat_pb2 import AgentChat, AgentChatWithMessages, AgentMessage
from generated.parley.v1.agent_chat_service_pb2 import (
    CreateAgentChatRequest,
    CreateMessageRequest,
    DeleteAgentChatRequest,
    GetAgentChatRequest,
    ListAgentChatsRequest,
    ListAgentChatsResponse,
    ListMessagesRequest,
    ListMessagesResponse,
)
from generated.parley.v1.agent_chat_service_pb2_grpc import AgentChatServiceServicer
from generated.parley.v1.chat_pb2 import Chat, ChatEvent
from generated.parley.v1.message_pb2 import Message
from generated.parley.v1.session_pb2 import Session
from server.agents.agents import Agents
from server.agents.who import Who
from server.content.inputs import body_id, checked_text
from server.content.messages import text_of
from server.core.clock import timestamp
from server.core.errors import InvalidArgument, UpstreamIncomplete
from server.core.ids import parse_id
from server.exchange.asked import Asked, InSession
from server.exchange.engine import Engine
from server.exchange.resolve import TurnResolver
from server.exchange.streams import Streams
from server.exchange.turn import Turn
from server.rpc.call import current_call, current_caller
from server.rpc.context import Context
from server.services.nouns import calls
from server.services.statuses import NO_CONTENT
from server.services.streaming import answer
from server.storage.sessions import Sessions

_SHOWN_ROLES = ("user", "assistant")

_known_as_chat = calls("session", "chat")


class AgentChatService(AgentChatServiceServicer):
    """Manages the chats of the agents door, which are containers of messages, for publishable and secret
    keys."""

    def __init__(
        self, engine: Engine, streams: Streams, resolver: TurnResolver, agents: Agents, sessions: Sessions
    ) -> None:
        self._engine = engine
        self._streams = streams
        self._resolver = resolver
        self._agents = agents
        self._sessions = sessions

    @calls("assistant", "agent")
    async def CreateAgentChat(self, request: CreateAgentChatRequest, context: object) -> AgentChat:
        """Create an empty chat with an agent and call no model."""
        _check(request)
        caller = current_caller()
        agent = await self._agents.stored(caller, body_id(request.agent_id, "agentId"))
        members = {name: getattr(request, name) for name in ("user_id", "metadata") if request.HasField(name)}
        new = self._resolver.new_session(caller, agent, **members)
        await self._sessions.create(new)
        return AgentChat(
            id=new.session.id,
            agent_id=new.session.assistant_id,
            team_id=caller.org_id,
            created_at=new.session.created_at,
            warnings=_warnings(new.session),
        )

    async def ListAgentChats(self, request: ListAgentChatsRequest, context: object) -> ListAgentChatsResponse:
        """List the org's chats, newest first, 1,000 at most."""
        sessions, has_more = await self._sessions.of_agents(current_caller().scope, request)
        return ListAgentChatsResponse(
            chats=[_chat(session) for session in sessions], has_more=has_more or None
        )

    @_known_as_chat
    async def GetAgentChat(self, request: GetAgentChatRequest, context: object) -> AgentChatWithMessages:
        """Get one chat with all its messages."""
        stored = await self._sessions.find(current_caller().scope, parse_id(request.chat_id))
        session = stored.session
        messages, is_whole = await self._sessions.latest(stored)
        return AgentChatWithMessages(
            id=session.id,
            agent_id=session.assistant_id if session.HasField("assistant_id") else None,
            team_id=session.org_id,
            messages=_shown(messages),
            created_at=session.created_at,
            has_more=not is_whole or None,
        )

    @_known_as_chat
    async def DeleteAgentChat(self, request: DeleteAgentChatRequest, context: Context[Empty]) -> Empty:
        """Delete a chat with its messages; HTTP answers 204 without a body."""
        scope = current_caller().scope
        session = (await self._sessions.find(scope, parse_id(request.chat_id))).session
        await self._streams.end_in(session)
        await self._sessions.delete(scope, session.id)
        if current_call().http_path is not None:
            await context.send_initial_metadata(NO_CONTENT)
        return Empty()

    @_known_as_chat
    async def CreateMessage(self, request: CreateMessageRequest, context: object) -> AgentMessage:
        """Send a message to a chat and return the agent's reply, once both are on disk."""
        outcome = await self._engine.run(await self._turn(request))
        if outcome.error is not None:
            raise outcome.error
        if outcome.chat.output[-1].role != "assistant":
            raise UpstreamIncomplete(outcome.chat.error.message)
        reply = _message(outcome.chat.output[-1])
        reply.chat_id = outcome.chat.session_id
        reply.MergeFrom(AgentMessage(warnings=_warnings(outcome.chat)))
        return reply

    @_known_as_chat
    async def ListMessages(self, request: ListMessagesRequest, context: object) -> ListMessagesResponse:
        """List the messages of a chat, oldest first."""
        stored = await self._sessions.find(current_caller().scope, parse_id(request.chat_id))
        before = parse_id(request.before) or "" if request.HasField("before") else None
        messages, is_whole = await self._sessions.latest(stored, before)
        return ListMessagesResponse(messages=_shown(messages), has_more=not is_whole or None)

    @_known_as_chat
    async def StreamMessage(self, request: CreateMessageRequest, context: Context[ChatEvent]) -> None:
        """Send a message to a chat and stream the reply as it is generated. gRPC only: the documented
        interface has no streaming form."""
        async with self._streams.start(await self._turn(request, stream=True)) as stream:
            await answer(context, stream)

    async def _turn(self, request: CreateMessageRequest, *, stream: bool = False) -> Turn:
        text = Value(string_value=checked_text(request.content, "content"))
        return await self._resolver.resolve(
            Asked(
                caller=current_caller(),
                who=Who(),
                where=InSession(parse_id(request.chat_id), "chat"),
                input=text,
                input_messages=[Message(role="user", content=text)],
                stream=stream,
            )
        )


def _check(request: CreateAgentChatRequest) -> None:
    if request.agent_id:
        return
    if request.HasField("input"):
        raise InvalidArgument.of(
            "agentId",
            "is required here; a body with `input` belongs to the assistants interface, which needs the org's "
            "api key as `Authorization: Bearer <key>` instead of this sk_, pk_ or x-api-key one",
            rule="required",
        )
    raise InvalidArgument.of("agentId", "is required: the id of the assistant that answers", rule="required")


def _warnings(record: Chat | Session) -> ListValue | None:
    return record.warnings if record.HasField("warnings") else None


def _chat(session: Session) -> AgentChat:
    """Return a session as a chat in the form of lists, which document no teamId."""
    return AgentChat(
        id=session.id,
        created_at=session.created_at,
        agent_id=session.assistant_id if session.HasField("assistant_id") else None,
        user_id=session.user_id if session.HasField("user_id") else None,
    )


def _shown(messages: list[Message]) -> list[AgentMessage]:
    """Return the user and assistant messages with text; the door documents neither tool traffic nor
    instructions."""
    return [_message(message) for message in messages if message.role in _SHOWN_ROLES and text_of(message)]


def _message(message: Message) -> AgentMessage:
    return AgentMessage(
        id=message.id, content=text_of(message), role=message.role, created_at=timestamp(int(message.time))
    )
