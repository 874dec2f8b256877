"""Sessions: containers of exchanges that share one context and one assistant."""

from collections.abc import Callable, Sequence

from google.protobuf.struct_pb2 import Value

from generated.parley.v1.message_pb2 import Message
from generated.parley.v1.session_pb2 import Session
from generated.parley.v1.session_service_pb2 import (
    CreateSessionRequest,
    DeleteSessionRequest,
    GetSessionRequest,
    ListSessionsRequest,
    ListSessionsResponse,
    UpdateSessionRequest,
)
from generated.parley.v1.session_service_pb2_grpc import SessionServiceServicer
from server.agents.agents import NOBODY, Agent, Agents
from server.content.fitting import fit, present
from server.content.inputs import parse_messages
from server.content.json_values import to_python
from server.core.accepted import MOST_SESSION_NAME
from server.core.clock import Clock
from server.core.errors import InvalidArgument
from server.core.ids import parse_id
from server.core.offload import by_size
from server.exchange.instructing import check_input
from server.exchange.resolve import TurnResolver, stamped
from server.exchange.streams import Streams
from server.rpc.call import current_call, current_caller
from server.rpc.context import Context
from server.services.asking import who_of
from server.services.statuses import CREATED
from server.storage.sessions import Sessions

_COPIED = ("name", "status", "customer", "customer_id", "phone_number_id", "metadata")


class SessionService(SessionServiceServicer):
    """Manages sessions, for every door."""

    def __init__(
        self, streams: Streams, resolver: TurnResolver, agents: Agents, sessions: Sessions, clock: Clock
    ) -> None:
        self._streams = streams
        self._resolver = resolver
        self._agents = agents
        self._sessions = sessions
        self._clock = clock

    async def CreateSession(self, request: CreateSessionRequest, context: Context[Session]) -> Session:
        """Create a session."""
        caller = current_caller()
        agent = await self._agents.named(caller, who_of(request)) or Agent(NOBODY)
        members = {name: getattr(request, name) for name in _COPIED if request.HasField(name)}
        if request.HasField("expiration_seconds"):
            members["expiration_seconds"] = int(request.expiration_seconds)
        messages = await by_size(request.ByteSize(), _messages, request.messages) or []
        await check_input(caller, agent, messages, "messages")
        new = self._resolver.new_session(caller, agent, messages=messages, **members)
        await self._sessions.create(new)
        if current_call().http_path is not None:
            await context.send_initial_metadata(CREATED)
        return presented(await self._sessions.get(caller.scope, new.session.id))

    async def ListSessions(self, request: ListSessionsRequest, context: object) -> ListSessionsResponse:
        """List the org's sessions, newest first, without their messages."""
        sessions, metadata = await self._sessions.list(current_caller().scope, request)
        return ListSessionsResponse(results=sessions, metadata=metadata)

    async def GetSession(self, request: GetSessionRequest, context: object) -> Session:
        """Get one session with its messages."""
        return presented(await self._sessions.get(current_caller().scope, parse_id(request.id)))

    async def UpdateSession(self, request: UpdateSessionRequest, context: object) -> Session:
        """Change a session: a given member replaces the whole member, null removes it."""
        messages = await by_size(request.ByteSize(), self._new_messages, request)
        return presented(
            await self._sessions.update(
                current_caller().scope, parse_id(request.id), _change(request), messages
            )
        )

    async def DeleteSession(self, request: DeleteSessionRequest, context: object) -> Session:
        """Delete a session with its exchanges and return its last state."""
        scope = current_caller().scope
        session = (await self._sessions.find(scope, parse_id(request.id))).session
        await self._streams.end_in(session)
        return presented(await self._sessions.delete(scope, session.id))

    def _new_messages(self, request: UpdateSessionRequest) -> Sequence[Message] | None:
        """Return the messages that replace the session's messages; None to leave those unchanged."""
        if not request.HasField("messages"):
            return None
        return stamped(_messages(request.messages) or [], self._clock())


def presented(session: Session) -> Session:
    """Return a stored session in the form that callers see."""
    for message in session.messages:
        present(message)
    fit(session)
    return session


def _messages(value: Value) -> list[Message] | None:
    items = to_python(value)
    if items is None:
        return None
    if not isinstance(items, list):
        raise InvalidArgument.of("messages", "must be an array of messages")
    return parse_messages(items, "messages", may_be_empty=True)


def _change(request: UpdateSessionRequest) -> Callable[[Session], None]:
    name = to_python(request.name) if request.HasField("name") else None
    if name is not None and (not isinstance(name, str) or len(name) > MOST_SESSION_NAME):
        raise InvalidArgument.of(
            "name", f"must be a string of at most {MOST_SESSION_NAME} characters, or null"
        )

    def apply(session: Session) -> None:
        if name is not None:
            session.name = name
        elif request.HasField("name"):
            session.ClearField("name")
        if request.HasField("status"):
            session.status = request.status
        if request.HasField("expiration_seconds"):
            session.expiration_seconds = int(request.expiration_seconds)

    return apply
