"""Turns a request into what the engine runs: who answers, in which session or after which chat, and new sessions.

Reads the store and writes nothing.
"""

from collections.abc import Sequence
from typing import Any

from google.protobuf.struct_pb2 import Value

from generated.parley.v1.message_pb2 import Message
from generated.parley.v1.response_service_pb2 import CreateResponseRequest
from generated.parley.v1.session_pb2 import Session
from server.agents import Agent, Agents
from server.clock import Clock, timestamp
from server.errors import FailedPrecondition, InvalidArgument
from server.exchange import Options, Turn
from server.ids import new_id
from server.inputs import body_id
from server.json_values import to_python
from server.storage.chats import StoredChat
from server.storage.keys import Caller
from server.storage.sessions import NewSession, StoredSession
from server.storage.store import Store
from server.templates import render, variables_of

DEFAULT_EXPIRATION_SECONDS = 86_400


class Turns:
    def __init__(self, store: Store, agents: Agents, clock: Clock) -> None:
        self._store = store
        self._agents = agents
        self._clock = clock

    async def of_request(self, caller: Caller, request: Any, said: Sequence[Message], *, previous_id: str | None,
                         previous_field: str, agent: Agent | None = None, options: Options | None = None,
                         instructions: Sequence[Message] = (), conversation_id: str | None = None,
                         asked: CreateResponseRequest | None = None) -> Turn:
        """The turn of a CreateChatRequest or CreateResponseRequest. `agent` answers where nothing else names one.

        A conversation is a session that may have no assistant of its own; then each request names who answers.

        Raises InvalidArgument when nothing names who answers, NotFound for what is not there, FailedPrecondition for a
        session that takes no more.
        """
        common: dict[str, Any] = {
            "caller": caller, "input": request.input, "said": said, "instructions": instructions,
            "options": options or Options(), "stream": request.stream, "request": asked,
            "name": request.name if request.HasField("name") else None}
        if request.HasField("session_id"):
            session = await self.session(caller, body_id(request.session_id, "sessionId"))
            return Turn(agent=await self.agent_of(caller, session), session=session, **common)
        if conversation_id is not None:
            session = await self.session(caller, body_id(conversation_id, "conversation"))
            named = await self._agents.named(caller, request) or agent
            return Turn(agent=named or await self.agent_of(caller, session), session=session, **common)
        if previous_id is not None:
            previous = await self._store.chats.find(caller.scope, body_id(previous_id, previous_field))
            if not previous.is_over:
                raise FailedPrecondition(f"{previous_field} names an exchange that is still in progress; wait for its end",
                                         reason="CHAT_IN_PROGRESS")
            return Turn(agent=await self._going_on(caller, request, previous), previous=previous, **common)
        answerer = await self._agents.named(caller, request) or agent
        if answerer is None:
            raise InvalidArgument.of("assistantId", "must name who answers (or send assistant, squadId, squad, sessionId or "
                                                    "previousChatId)", rule="required")
        return Turn(agent=answerer, new_session=self._carried(caller, answerer, request), **common)

    async def _going_on(self, caller: Caller, request: Any, previous: StoredChat) -> Agent:
        """Who answers after a chat: whom the request names, else who answered there; of a squad, who is active."""
        state = previous.record.state if previous.record.HasField("state") else None
        if named := await self._agents.named(caller, request, state):
            return named
        overrides = to_python(request.assistant_overrides) if request.HasField("assistant_overrides") else None
        return await self._agents.again(caller, previous.chat, previous.private, state, overrides)

    async def session(self, caller: Caller, session_id: str | None) -> StoredSession:
        """A session that takes another exchange. Raises NotFound, or FailedPrecondition when it is over."""
        stored = await self._store.sessions.find(caller.scope, session_id)
        if stored.session.status == "completed":
            raise FailedPrecondition("the session is completed; begin a new one, or set its status to active",
                                     reason="SESSION_COMPLETED")
        if stored.has_expired(self._clock()):
            raise FailedPrecondition("the session has expired; begin a new one", reason="SESSION_EXPIRED")
        return stored

    async def agent_of(self, caller: Caller, session: StoredSession) -> Agent:
        """Who answers in a session."""
        return await self._agents.again(caller, session.session, session.private, session.state)

    def new_session(self, caller: Caller, agent: Agent, *, messages: Sequence[Message] = (), opens: bool = True,
                    **members: Any) -> NewSession:
        """A session to be made, its templates' variables filled now. `opens`: the assistant's first message may open it."""
        now = self._clock()
        session = Session(id=new_id(), org_id=caller.org_id, created_at=timestamp(now), updated_at=timestamp(now),
                          **{"status": "active", "expiration_seconds": DEFAULT_EXPIRATION_SECONDS, **members})
        agent.describe(session)
        customer = to_python(session.customer) if session.HasField("customer") else None
        variables = variables_of(agent.variable_values, now, customer)
        first = agent.settings.first_message
        if opens and first and not messages:
            messages = [Message(role="assistant", content=Value(string_value=render(first, variables)))]
        session.messages.extend(stamped(messages, now))
        return NewSession(session, caller.key_id, variables, agent.private, agent.settings.agent_type)

    def _carried(self, caller: Caller, agent: Agent, request: Any) -> NewSession | None:
        """The session that a transport with a number and a customer makes."""
        transport = request.transport
        if not request.HasField("transport"):
            return None
        if not (transport.HasField("phone_number_id") and transport.HasField("customer")):
            raise InvalidArgument.of("transport", "needs phoneNumberId and customer, or a sessionId beside it")
        return self.new_session(caller, agent, opens=False, phone_number_id=transport.phone_number_id,
                                customer=transport.customer)


def stamped(messages: Sequence[Message], now: int) -> Sequence[Message]:
    """The same messages, with ids and times of their own."""
    for message in messages:
        message.id, message.time, message.seconds_from_start = new_id(), now, 0
    return messages
