"""Checks whether a key may instruct the model, and which assistant. One rule for every door and every
exchange.

Every visitor of a page can read its publishable key, and would get a free model with it. So such a key may
instruct an assistant only when all members that may answer allow it (`chatSystemInstructionMode`). An org's
own keys may, unless a door restricts them.
"""

from collections.abc import Sequence

from google.protobuf.struct_pb2 import Struct, Value

from generated.parley.v1.message_pb2 import Message
from server.agents.agents import Agent
from server.content.inputs import INSTRUCTING
from server.core.accepted import COMPACTIONS
from server.core.errors import PermissionDenied
from server.exchange.turn import Turn
from server.storage.keys import Caller

_REFUSED = (
    "cannot be sent with a publishable key, which every visitor of a page can read: it instructs the model. Use an api "
    'or a secret key, or set chatSystemInstructionMode to "allow" on the assistant'
)


async def check_turn(turn: Turn, history: Sequence[Message]) -> None:
    """Raise PermissionDenied naming the instruction that the key may not send to this assistant, now or in
    the history."""
    if (
        turn.caller.is_publishable
        and (refusal := _refusal(turn, history))
        and not await turn.agent.accepts_instructions()
    ):
        raise refusal


async def check_input(caller: Caller, agent: Agent, messages: Sequence[Message], field: str) -> None:
    """Apply the same rule to messages that are added to a session without an exchange."""
    if caller.is_publishable and _instructs(messages) and not await agent.accepts_instructions():
        raise PermissionDenied.of(field, _REFUSED)


def _refusal(turn: Turn, history: Sequence[Message]) -> PermissionDenied | None:
    """Return the error for a key that may not instruct; None when nothing here instructs."""
    if turn.instructions:
        return PermissionDenied.of("instructions", _REFUSED)
    if turn.options.tools:
        return PermissionDenied.of("tools", _REFUSED)
    if (turn.options.response_format or {}).get("type") == "json_schema":
        return PermissionDenied.of("response_format" if turn.request is None else "text.format", _REFUSED)
    if _instructs(turn.input_messages):
        return PermissionDenied.of(_place_in(turn.input, turn.input_field), _REFUSED)
    if _instructs(history):  # sent before this was refused, or to another assistant, which allows it
        return PermissionDenied(
            "the conversation has system or developer messages, which this assistant takes from an api "
            "or a secret key only; begin a new one"
        )
    return None


def _instructs(messages: Sequence[Message]) -> bool:
    return any(message.role in INSTRUCTING for message in messages)


def _place_in(items: Value, field: str) -> str:
    """Return the path of the first item that instructs."""
    for index, item in enumerate(items.list_value.values):
        if _text(item.struct_value, "type") in COMPACTIONS:
            return f"{field}[{index}]"
        if _text(item.struct_value, "role") in INSTRUCTING:
            return f"{field}[{index}].role"
    return field


def _text(item: Struct, name: str) -> str:
    return item.fields[name].string_value if name in item.fields else ""
