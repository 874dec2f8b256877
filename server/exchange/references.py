"""Resolves items of earlier answers that an input names instead of repeating them (`item_reference`, which
the AI SDK sends)."""

from collections.abc import Mapping
from typing import Any

from google.protobuf.struct_pb2 import Value

from generated.parley.v1.message_pb2 import Message
from server.content.budget import MOST_BYTES
from server.content.items import items_of, message_of_item
from server.content.json_values import from_python
from server.core.errors import InvalidArgument, NotFound, Violation
from server.core.offload import by_size
from server.storage.chats import Chats
from server.storage.scope import Scope

_IGNORED = ("rs_", "ws_", "fs_", "ci_", "ig_", "cu_", "mcpl_", "mcpr_")
"""How the ids of items begin that are no messages: reasoning, of which `sealed_reasoning.py` finds what its provider
wants back, and items that no answer of this service has."""
_UNUSED: dict[str, Any] = {"type": "reasoning"}


async def resolved(chats: Chats, scope: Scope, given_input: Value, field: str = "input") -> Value:
    """Return the input with the named items in place of their names; `given_input` itself when it names none.

    Raises InvalidArgument when a name is malformed or repeated, or the items are too large together, and
    NotFound for an item that does not exist or that the key may not see.
    """
    size = given_input.ByteSize()
    named = await by_size(size, _named, given_input, field)
    if not named:
        return given_input
    wanted = {message_id for identifier in named.values() if (message_id := message_of_item(identifier))}
    found = await chats.messages_by_id(scope, wanted, MOST_BYTES)
    if found is None:
        raise InvalidArgument.of(
            field,
            f"names items that have more than {MOST_BYTES} bytes together: go on from the "
            "last answer with previous_response_id instead, or in a conversation",
        )
    size += sum(message.ByteSize() for message in found.values())
    return await by_size(size, _with_items, given_input, named, found, field)


def _named(given_input: Value, field: str) -> dict[int, str]:
    """Return the ids that items name, by the index of the item. Raises InvalidArgument."""
    named: dict[int, str] = {}
    places: dict[str, int] = {}
    for index, item in enumerate(given_input.list_value.values):
        members = item.struct_value.fields
        if not _is_name(members):
            continue
        identifier = members["id"].string_value if "id" in members else ""
        if not identifier:
            raise InvalidArgument.of(f"{field}[{index}].id", "must be the id of an item of an earlier answer")
        if identifier in places:
            raise InvalidArgument.of(
                f"{field}[{index}].id", f"names the same item as {field}[{places[identifier]}]: send it once"
            )
        named[index], places[identifier] = identifier, index
    return named


def _is_name(members: Mapping[str, Value]) -> bool:
    """Whether an item names another one. The public schema makes the type optional."""
    if "type" in members and not members["type"].HasField("null_value"):
        return members["type"].string_value == "item_reference"
    return "id" in members and not any(name in members for name in ("role", "content", "message"))


def _with_items(
    given_input: Value, named: Mapping[int, str], found: Mapping[str, Message], field: str
) -> Value:
    whole = Value()
    whole.CopyFrom(given_input)
    for index, identifier in named.items():
        item = _UNUSED if identifier.startswith(_IGNORED) else _item(identifier, found)
        if item is None:
            text = "names no item that is there: send the item itself"
            raise NotFound(
                f"{field}[{index}].id {text}",
                reason="ITEM_NOT_FOUND",
                violations=(Violation(f"{field}[{index}].id", text),),
            )
        whole.list_value.values[index].CopyFrom(from_python(item))
    return whole


def _item(identifier: str, found: Mapping[str, Message]) -> dict[str, Any] | None:
    """Return the item with this id: one of these messages or a part of one."""
    message = found.get(message_of_item(identifier) or "")
    return next((one for one in items_of([message]) if one["id"] == identifier), None) if message else None
