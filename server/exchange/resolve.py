"""Turns a request into a turn for the engine: who answers, in which session or after which chat, and new
sessions.

Reads the store and writes nothing.
"""

import re
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any, NoReturn

from google.protobuf.struct_pb2 import Struct, Value

from generated.parley.v1.chat_pb2 import Chat
from generated.parley.v1.chat_record_pb2 import ConversationState
from generated.parley.v1.chat_service_pb2 import ChatTransport
from generated.parley.v1.message_pb2 import Message
from generated.parley.v1.session_pb2 import Session
from server.agents import chat_warnings
from server.agents.agents import Agent, Agents
from server.agents.bounded_liquid import Allowance
from server.agents.chat_warnings import of_fault
from server.agents.ignored_settings import of_overrides, of_session_overrides
from server.agents.templates import render, variables_of
from server.content.json_values import to_python
from server.core.accepted import E164
from server.core.clock import Clock, timestamp
from server.core.errors import FailedPrecondition, InvalidArgument, NotFound, Violation
from server.core.ids import new_id
from server.exchange.asked import After, Asked, InConversation, InNewSession, InSession, InStoredSession
from server.exchange.capacity import Capacity
from server.exchange.outgoing import forwarded_text
from server.exchange.remembered import Remembered
from server.exchange.turn import Carriage, Turn
from server.storage.keys import Caller
from server.storage.sessions import NewSession
from server.storage.store import Store
from server.storage.stored_chats import StoredChat
from server.storage.stored_sessions import StoredSession

_E164 = re.compile(E164)
DEFAULT_EXPIRATION_SECONDS = 86_400
_NAMED = {"conversation": (Violation("conversation", "names no conversation that is there"),)}
"""The request field at fault, where it is always the same."""


class TurnResolver:
    """Makes a turn of a door's request."""

    def __init__(self, store: Store, agents: Agents, clock: Clock, capacity: Capacity | None = None) -> None:
        self._store = store
        self._agents = agents
        self._clock = clock
        self._capacity = capacity or Capacity()

    async def resolve(self, asked: Asked) -> Turn:
        """Return the turn for a request of any door.

        A conversation is a session that may have no assistant of its own; then each request names one.

        Raises InvalidArgument when nothing names who answers, NotFound for records that do not exist,
        FailedPrecondition for a session that accepts no more.
        """
        where = asked.where
        agent = await self._known(asked)
        if asked.transport is not None and isinstance(where, After | Remembered):
            field = where.field if isinstance(where, After) else "previous_response_id"
            raise InvalidArgument.of("transport", f"needs a session; send sessionId instead of {field}")
        match where:
            case InSession():
                return await self._in_session(asked, where, agent)
            case InConversation():
                return await self._in_conversation(asked, where, agent)
            case After():
                return await self._after(asked, where, agent)
            case Remembered():
                going_on = await self._going_on(asked, where.chat, where.private, where.state, agent)
                return replace(_turn(asked, going_on), remembered=where)
        turn = _turn(asked, await self._named(asked) or agent or _nobody())
        if isinstance(where, InStoredSession):
            return await self._in_stored_session(
                where, replace(turn, renew=partial(self._in_stored_session, where))
            )
        if isinstance(where, InNewSession):
            return replace(turn, new_session=self.new_session(turn.caller, turn.agent, opens=False))
        return turn if asked.transport is None else await self._by_transport(asked.transport, turn)

    async def _known(self, asked: Asked) -> Agent | None:
        """Return the agent that the door loaded, or that `model` names; it answers unless another is
        named."""
        if isinstance(asked.who, Agent):
            return asked.who
        return await self._agents.named_by_model(asked.caller, asked.who)

    async def _named(self, asked: Asked, state: ConversationState | None = None) -> Agent | None:
        """Return the agent that any other field names, which takes precedence over `_known`."""
        return (
            None if isinstance(asked.who, Agent) else await self._agents.named(asked.caller, asked.who, state)
        )

    async def _in_session(self, asked: Asked, where: InSession, agent: Agent | None) -> Turn:
        session = await self.session(asked.caller, where.id, where.noun)
        own = await self.agent_in(asked.caller, session)
        if own is not None and _another(agent, own.assistant_id):
            raise InvalidArgument.of(
                "model",
                "names another assistant than that of sessionId: a session belongs to "
                "one; leave model out, or send the session's id as conversation",
            )
        ignores_overrides = own is not None and _overrides_of(asked) is not None
        return replace(
            _turn(asked, own or agent or _nobody()),
            session=session,
            noun=where.noun,
            renew=self.renewed if own else self._joined_again,
            warnings=[of_session_overrides()] if ignores_overrides else [],
            carriage=_carriage(session.session, asked.transport, asked.input_messages),
        )

    async def _in_conversation(self, asked: Asked, where: InConversation, agent: Agent | None) -> Turn:
        session = await self.session(asked.caller, where.id, "conversation")
        named = await self._named(asked) or _another(agent, session.session.assistant_id)
        return replace(
            _turn(asked, named or await self.agent_of(asked.caller, session)),
            session=session,
            noun="conversation",
            renew=self._joined_again if named else self.renewed,
            carriage=_carriage(session.session, asked.transport, asked.input_messages),
        )

    async def _in_stored_session(self, where: InStoredSession, turn: Turn) -> Turn:
        """Return the turn with the current session. Raises NotFound also for a session that is over."""
        try:
            session = await self.session(turn.caller, where.id)
        except FailedPrecondition:
            raise NotFound("session not found", reason="SESSION_NOT_FOUND") from None
        if (
            session.session.HasField("assistant_id")
            and session.session.assistant_id != turn.agent.assistant_id
        ):
            raise InvalidArgument(
                "store_in_session names a session of another assistant: use that assistant's path"
            )
        return replace(turn, session=session)

    async def _by_transport(self, transport: ChatTransport, turn: Turn) -> Turn:
        """Return the turn in the session of the transport's number and customer, or in a new one."""
        session, new_session = await self._carried(turn.caller, turn.agent, transport)
        if session is not None:
            carriage = _carriage(session.session, transport, turn.input_messages)
            return replace(turn, session=session, renew=self._joined_again, carriage=carriage)
        assert new_session is not None
        carriage = _carriage(new_session.session, transport, turn.input_messages)
        assert carriage is not None
        return replace(
            turn,
            new_session=new_session,
            begins=_begins(turn.caller, carriage),
            renew=partial(self._joined_first, transport),
            carriage=carriage,
        )

    async def _after(self, asked: Asked, where: After, agent: Agent | None) -> Turn:
        previous = await self._previous(asked.caller, where)
        if not previous.is_over:
            raise FailedPrecondition(
                f"{where.field} names an exchange that is still in progress; wait for its end",
                reason="CHAT_IN_PROGRESS",
            )
        state = previous.record.state if previous.record.HasField("state") else None
        going_on = await self._going_on(
            asked, previous.chat, previous.private, state, agent, previous.assistant_version
        )
        return replace(_turn(asked, going_on), previous=previous)

    async def of_message(
        self, org_id: str, phone_number_ids: Sequence[str], number: str, text: str, settles: str
    ) -> Turn:
        """Return the turn for a message that a person sent to a number: in their session, or in a new one
        like the last, if that is over.

        Raises NotFound when they had none.
        """
        found = await self._store.sessions.carried(org_id, phone_number_ids, number)
        if not found:
            raise NotFound("session not found", reason="SESSION_NOT_FOUND")
        key_id, stored = next((one for one in found if self._is_open(one.stored)), found[0])
        last = stored.session
        caller = Caller(org_id, key_id, "api")
        goes_on = self._is_open(stored)
        agent = (
            await self._agents.again(caller, last, stored.private, stored.state if goes_on else None)
            or _nobody()
        )
        content = Value(string_value=text)
        asked = Asked(
            caller=caller, who=agent, input=content, input_messages=[Message(role="user", content=content)]
        )
        carriage = Carriage(last.phone_number_id, number)
        turn = replace(_turn(asked, agent), carriage=carriage, settles=settles)
        if goes_on:
            return replace(turn, session=stored, renew=self.renewed)
        new_session = self.new_session(
            caller, agent, opens=False, phone_number_id=last.phone_number_id, customer=last.customer
        )
        return replace(turn, new_session=new_session, begins=_begins(caller, carriage))

    async def _previous(self, caller: Caller, where: After) -> StoredChat:
        """Return the chat that a request continues. Raises NotFound, in the terms of the field's
        interface."""
        try:
            return await self._store.chats.find(caller.scope, where.chat_id)
        except NotFound:
            if where.field != "previous_response_id":
                raise
            raise previous_not_found() from None

    async def _going_on(
        self,
        asked: Asked,
        chat: Chat,
        private: dict[str, Any] | None,
        state: ConversationState | None,
        agent: Agent | None,
        version: int | None = None,
    ) -> Agent:
        """Return who answers after a chat: the agent that the request names, otherwise the one that answered
        there; of a squad, its active member. `version` is that of its assistant, when it has just been read."""
        if named := await self._named(asked, state):
            return named
        if another := _another(agent, chat.assistant_id):
            return another
        return (
            await self._agents.again(
                asked.caller, chat, private, state, _overrides_of(asked), version=version
            )
            or _nobody()
        )

    async def session(self, caller: Caller, session_id: str | None, noun: str = "session") -> StoredSession:
        """Return a session that accepts another exchange. Raises NotFound, or FailedPrecondition when it is
        over.

        `noun` is the caller's word for it.
        """
        try:
            stored = await self._store.sessions.to_join(caller.scope, session_id)
        except NotFound:
            raise NotFound.of(noun, _NAMED.get(noun, ())) from None
        if stored.session.status == "completed":
            raise FailedPrecondition(
                f"the {noun} is completed; begin a new one, or set its status to active",
                reason="SESSION_COMPLETED",
            )
        if stored.has_expired(self._clock()):
            raise FailedPrecondition(f"the {noun} has expired; begin a new one", reason="SESSION_EXPIRED")
        return stored

    async def renewed(self, turn: Turn) -> Turn:
        """Return a turn with the current session and its current agent. Raises as `session` and
        `agent_of`."""
        turn = await self._joined_again(turn)
        assert turn.session is not None
        return replace(turn, agent=await self.agent_of(turn.caller, turn.session))

    async def _joined_again(self, turn: Turn) -> Turn:
        assert turn.session is not None
        return replace(turn, session=await self.session(turn.caller, turn.session.session.id, turn.noun))

    async def _joined_first(self, transport: ChatTransport, turn: Turn) -> Turn:
        """Return a turn that would begin a session, in the one that another exchange has begun meanwhile, if
        any."""
        session, _ = await self._carried(turn.caller, turn.agent, transport)
        if session is None:
            return turn
        return replace(turn, session=session, new_session=None, renew=self._joined_again)

    async def agent_of(self, caller: Caller, session: StoredSession) -> Agent:
        """Return the agent of a session. Raises InvalidArgument when it has none."""
        return await self.agent_in(caller, session) or _nobody()

    async def agent_in(self, caller: Caller, session: StoredSession) -> Agent | None:
        """Return the agent of a session; None when each request has to name one."""
        return await self._agents.again(
            caller, session.session, session.private, session.state, version=session.assistant_version
        )

    def new_session(
        self,
        caller: Caller,
        agent: Agent,
        *,
        messages: Sequence[Message] = (),
        opens: bool = True,
        **members: Any,
    ) -> NewSession:
        """Return a new session, its templates' variables filled now. `opens`: the assistant's first message
        may open it.

        Raises RateLimited when the key has reached its storage limit.
        """
        self._capacity.reserve(caller, messages)
        now = self._clock()
        session = Session(
            id=new_id(),
            org_id=caller.org_id,
            created_at=timestamp(now),
            updated_at=timestamp(now),
            **{"status": "active", "expiration_seconds": DEFAULT_EXPIRATION_SECONDS, **members},
        )
        agent.describe(session)
        customer = to_python(session.customer) if session.HasField("customer") else None
        carried = session.HasField("phone_number_id")
        transport = (
            {"conversationType": "chat", "phoneNumberId": session.phone_number_id} if carried else None
        )
        variables = variables_of(agent.variable_values, now, customer, transport)
        first, warnings = agent.settings.first_message, of_overrides(agent.overrides)
        if opens and first and not messages:
            allowance = Allowance()
            messages = [
                Message(role="assistant", content=Value(string_value=render(first, variables, allowance)))
            ]
            warnings += [of_fault(fault, "firstMessage") for fault in allowance.faults]
        chat_warnings.put(session, warnings, for_page=caller.is_publishable)
        session.messages.extend(stamped(messages, now))
        return NewSession(session, caller.key_id, variables, agent.private, agent.settings.agent_type)

    async def _carried(
        self, caller: Caller, agent: Agent, transport: ChatTransport
    ) -> tuple[StoredSession | None, NewSession | None]:
        """Return the session of a number and a customer: an open one with the same agent, or a new one."""
        if not (transport.HasField("phone_number_id") and transport.HasField("customer")):
            raise InvalidArgument.of(
                "transport", "needs phoneNumberId and customer, or a sessionId beside it"
            )
        number = _number(transport.customer, "transport.customer.number")
        for _, stored in await self._store.sessions.carried(
            caller.org_id, [transport.phone_number_id], number
        ):
            if self._is_open(stored) and _is_with(stored, agent):
                return stored, None
        return None, self.new_session(
            caller, agent, opens=False, phone_number_id=transport.phone_number_id, customer=transport.customer
        )

    def _is_open(self, stored: StoredSession) -> bool:
        return stored.is_open and not stored.has_expired(self._clock())


def previous_not_found() -> NotFound:
    """The error of a `previous_response_id` that names no response of its caller."""
    return NotFound(
        "response not found; send the whole conversation as input",
        reason="PREVIOUS_RESPONSE_NOT_FOUND",
        violations=(Violation("previous_response_id", "names no response that is there"),),
    )


def _turn(asked: Asked, agent: Agent) -> Turn:
    """Return a turn for a request, answered by `agent`, outside of any session or chain."""
    return Turn(
        caller=asked.caller,
        agent=agent,
        input=asked.input,
        input_field=asked.input_field,
        input_messages=asked.input_messages,
        instructions=asked.instructions,
        options=asked.options,
        name=asked.name,
        stream=asked.stream,
        request=asked.request,
    )


def _overrides_of(asked: Asked) -> dict[str, Any] | None:
    return None if isinstance(asked.who, Agent) else asked.who.overrides


def _another(agent: Agent | None, assistant_id: str | None) -> Agent | None:
    """Return `agent`, or None when it is the assistant that answers anyway, which then keeps its
    overrides."""
    return None if agent is None or agent.assistant_id == assistant_id else agent


def _nobody() -> NoReturn:
    """Raise the error for a request that nobody would answer. The offline model needs an assistant that names
    it, too."""
    raise InvalidArgument.of(
        "assistantId",
        "must name who answers (or send assistant, squadId, squad, previousChatId, or "
        "the sessionId of a session that has one)",
        rule="required",
    )


def _carriage(
    session: Session, transport: ChatTransport | None, input_messages: Sequence[Message]
) -> Carriage | None:
    """Return how the output in a session is delivered, if the request has a transport."""
    if transport is None:
        return None
    if not (session.HasField("phone_number_id") and session.HasField("customer")):
        raise InvalidArgument.of(
            "transport", "needs a session with phoneNumberId and customer, which this one has not"
        )
    forwards = (
        transport.HasField("use_llm_generated_message_for_outbound")
        and not transport.use_llm_generated_message_for_outbound
    )
    if forwards and not forwarded_text(input_messages).strip():
        raise InvalidArgument.of("input", "must have text to forward")
    return Carriage(session.phone_number_id, _number(session.customer, "customer.number"), forwards)


def _begins(caller: Caller, carriage: Carriage) -> str:
    return f"{caller.org_id} {carriage.phone_number_id} {carriage.number}"


def _number(customer: Struct, field: str) -> str:
    """Return the number of a customer, in E.164 unless the customer disables that check."""
    given = to_python(customer)
    number = given.get("number")
    if not isinstance(number, str) or not number:
        raise InvalidArgument.of(field, "is required: the number that the message goes to")
    if given.get("numberE164CheckEnabled", True) and not _E164.fullmatch(number):
        raise InvalidArgument.of(field, "must be an E.164 number, such as +14155550100")
    return number


def _is_with(stored: StoredSession, agent: Agent) -> bool:
    """Whether this agent answers in a session."""
    session = stored.session
    return (session.assistant_id, session.squad_id, stored.private) == (
        agent.assistant_id or "",
        agent.squad_id or "",
        agent.private,
    )


def stamped(messages: Sequence[Message], now: int) -> Sequence[Message]:
    """Return the same messages, with ids and times of their own."""
    for message in messages:
        message.id, message.time, message.seconds_from_start = new_id(), now, 0
    return messages
