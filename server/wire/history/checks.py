"""Checks that a row of a history is one that the server itself could have recorded, so that nothing fails on
it later.

Covers single rows, and a chat with its answer; `storage/history.py` checks rows against one another.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import orjson
from google.protobuf.message import Message as AnyMessage

from generated.parley.v1.chat_pb2 import Chat
from generated.parley.v1.chat_record_pb2 import ChatRecord
from generated.parley.v1.chat_service_pb2 import CreateChatRequest
from generated.parley.v1.message_pb2 import Message
from generated.parley.v1.session_pb2 import Session
from generated.parley.v1.session_service_pb2 import CreateSessionRequest
from server.agents.documents import SERVER_MEMBERS, check_assistant, check_squad, check_tool
from server.content.inputs import check_message
from server.content.json_values import NOT_EXACT, is_double, struct_from, to_python
from server.content.messages import tool_calls_of
from server.content.secrets import restore_secrets
from server.content.validation import below, nul_in, refuse, violations_of
from server.content.walk import MOST_VALUES, check_values
from server.core.clock import ms_of
from server.core.errors import InvalidArgument
from server.core.ids import parse_id

Row = dict[str, Any]

_MOST_VALUES = 2 * MOST_VALUES
"""A stored record comes from a request, of at most MOST_VALUES, and the members that the server adds."""
_LAST_MS = 253_402_300_799_999
"""The end of the year 9999, which is the last time that a Timestamp can represent."""
_TIMES = ("created_at", "updated_at")
_IDS = ("id", "thread_id", "parent_id", "session_id", "previous_chat_id", "assistant_id", "squad_id")
_STATUSES = {"session": ("active", "completed"), "chat": ("completed", "incomplete", "failed", "cancelled")}
_CHECKED: dict[str, Callable[[dict[str, Any], str], None]] = {
    "assistant": check_assistant,
    "squad": check_squad,
    "tool": check_tool,
}
_OF_BODY = {
    "chat": ("session_id", "previous_chat_id", "assistant_id", "squad_id", "status"),
    "session": ("assistant_id", "squad_id", "user_id", "phone_number_id"),
}
"""The columns that repeat members of the body."""


def check_line(members: Any) -> None:
    """Raise InvalidArgument when a line has more than a request may contain, apart from the pieces of a
    stream, or an integer that would lose precision."""
    if isinstance(members, dict) and isinstance(members.get("record"), dict):
        members = {**members, "record": {**members["record"], "pieces": None}}
    left, waiting = _MOST_VALUES, [members]
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict | list):
            left -= len(value)
            waiting += value.values() if isinstance(value, dict) else value
        elif isinstance(value, int) and not is_double(value):
            raise InvalidArgument(f"has {value}, which {NOT_EXACT}")
        if left < 0:
            raise InvalidArgument(
                f"has more than {_MOST_VALUES} values (members and items, at every depth), which is as "
                "many as a line may have"
            )


def check_document(kind: str, name: str, document: dict[str, Any]) -> None:
    """Check the documents in a row. Raises InvalidArgument naming the member."""
    if kind in _CHECKED:
        _check_stored(kind, document)
    elif name == "private":
        _check_private(document)
    else:
        _check_json(document, name)
    if b"\\u0000" in orjson.dumps(document):
        _refuse_nul(struct_from(document), name)


def _check_stored(kind: str, document: dict[str, Any]) -> None:
    _CHECKED[kind](document, "document")
    for name in sorted(document.keys() & SERVER_MEMBERS):
        raise InvalidArgument.of(f"document.{name}", f"is for the server to set; it is the line's own {name}")
    restore_secrets({"document": document}, {})


def _check_private(private: dict[str, Any]) -> None:
    """Check the private copy of a transient assistant or squad, which includes its secrets."""
    for name, document in private.items():
        if name not in ("assistant", "squad"):
            raise InvalidArgument.of(f"private.{name}", "is not a member; assistant and squad are")
        _CHECKED[name](document, f"private.{name}")


def _check_json(document: dict[str, Any], name: str) -> None:
    try:
        struct_from(document)
    except ValueError:
        raise InvalidArgument.of(
            name, "must be JSON that is not nested too deeply, its text in UTF-8"
        ) from None


def check_form(name: str, made: AnyMessage) -> None:
    """Check the messages in a row. Raises InvalidArgument naming the member."""
    check_values(made, 1 << 32, lambda field: f"{name}.{field}")
    _refuse_nul(made, name)
    # The input of a request is stored as messages.
    refuse([found for found in violations_of(made, name) if found.field != "record.request.input"])
    if isinstance(made, Message):
        check_message(made, name)
    elif isinstance(made, Chat | Session):
        _check_body(made)


def _refuse_nul(made: AnyMessage, name: str) -> None:
    if (field := nul_in(made)) is not None:
        raise InvalidArgument.of(
            below(name, field), "must not contain the character NUL (U+0000); leave it out"
        )


def _check_body(body: Chat | Session) -> None:
    if body.messages:
        raise InvalidArgument.of("body.messages", "must be empty: each message has a line of its own")
    for name, check in (("assistant", check_assistant), ("squad", check_squad)):
        if body.HasField(name):
            check(to_python(getattr(body, name)), f"body.{name}")
    overrides = to_python(body.assistant_overrides)
    if not isinstance(overrides.get("variableValues"), dict | None):
        raise InvalidArgument.of("body.assistantOverrides.variableValues", "must be an object")
    _check_as_sent(body, CreateChatRequest() if isinstance(body, Chat) else CreateSessionRequest())
    if isinstance(body, Chat):
        if body.input.WhichOneof("kind") not in (None, "string_value", "list_value"):
            raise InvalidArgument.of("body.input", "must be a string or an array of messages")
        for index, message in enumerate(body.output):
            check_message(message, f"body.output[{index}]")


def _check_as_sent(body: Chat | Session, request: CreateChatRequest | CreateSessionRequest) -> None:
    """Check that a request could have sent the body's members."""
    for name in ("name", "assistant_id", "squad_id"):
        if body.HasField(name):
            setattr(request, name, getattr(body, name))
    for name in ("assistant", "squad"):
        if body.HasField(name):
            getattr(request, name).CopyFrom(getattr(body, name))
    refuse([found for found in violations_of(request, "body") if found.field != "body.input"])


def check_row(kind: str, row: Row) -> None:
    """Check what column types and message forms do not express. Raises InvalidArgument naming the column."""
    for name in _IDS:
        if row.get(name) is not None and parse_id(row[name]) != row[name]:
            raise InvalidArgument.of(camel(name), "must be a UUID in lower case")
    for name in _TIMES:
        if row.get(name, 0) > _LAST_MS:
            raise InvalidArgument.of(camel(name), f"must be milliseconds since the epoch, at most {_LAST_MS}")
    if kind in _STATUSES and row["status"] not in _STATUSES[kind]:
        raise InvalidArgument.of("status", f"must be one of {', '.join(_STATUSES[kind])}")
    if kind == "session":
        _check_session(row)
    if kind == "chat":
        _check_chat(row)


def _check_session(row: Row) -> None:
    body = Session.FromString(row["body"])
    _check_same(row, body)
    number = body.customer.fields["number"].string_value or None if "number" in body.customer else None
    if row.get("customer_number") != number:
        raise InvalidArgument.of("customerNumber", "must be body.customer.number")
    request = CreateSessionRequest(name=row.get("name"), expiration_seconds=row["expiration_seconds"])
    refuse(violations_of(request))


def _check_chat(row: Row) -> None:
    body = Chat.FromString(row["body"])
    _check_same(row, body)
    for name in _TIMES:
        if row[name] != ms_of(getattr(body, name)):
            raise InvalidArgument.of(camel(name), f"must be the time that body.{camel(name)} is")
    if row["cost"] < 0:
        raise InvalidArgument.of("cost", "must not be negative")
    if not row["first_seq"] <= row["output_seq"] <= row["last_seq"] + 1:
        raise InvalidArgument.of(
            "lastSeq",
            "must not come before firstSeq and outputSeq: the input is from firstSeq on, "
            "the answer from outputSeq to lastSeq",
        )


def _check_same(row: Row, body: Chat | Session) -> None:
    kind = "chat" if isinstance(body, Chat) else "session"
    for name in _OF_BODY[kind]:
        expected = (
            getattr(body, name)
            if not body.DESCRIPTOR.fields_by_name[name].has_presence or body.HasField(name)
            else None
        )
        if row.get(name) != expected:
            raise InvalidArgument.of(
                camel(name),
                f"must be what the body says, which is {expected!r}"
                if expected
                else "must not be there: the body does not say it",
            )


def check_answer(chat: Row, answered: Sequence[Message]) -> None:
    """Check that the pieces of a streamed answer can be cut out of it. Raises InvalidArgument naming the
    first that cannot."""
    output = [*answered, *Chat.FromString(chat["body"]).output]
    calls = [len(tool_calls_of(message)) for message in output]
    begun = 0
    for index, piece in enumerate(ChatRecord.FromString(chat["record"]).pieces if chat.get("record") else ()):
        place = piece.choice or begun
        if piece.HasField("next_message_id"):
            begun += piece.length
        elif place >= len(output) or (piece.HasField("tool_call") and piece.tool_call >= calls[place]):
            raise InvalidArgument.of(f"record.pieces[{index}]", "is not in what was answered")


def check_types(columns: Mapping[str, tuple[str, bool]], row: Row) -> None:
    """Raise InvalidArgument naming the column that is missing, unknown or of another type."""
    for name in row.keys() - columns.keys():
        raise InvalidArgument.of(camel(name), "is not a member of such a line")
    for name, (type_, required) in columns.items():
        value = row.get(name)
        if value is None and not required:
            continue
        if not _fits(value, type_):
            raise InvalidArgument.of(camel(name), f"must be {_EXPECTED[type_]}")


_EXPECTED = {
    "TEXT": "a string without NUL",
    "INTEGER": "an integer from 0 to 2^53",
    "REAL": "a number",
    "BLOB": "an object",
}


def _fits(value: Any, type_: str) -> bool:
    if type_ == "INTEGER":
        return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= 2**53
    if type_ == "REAL":
        return isinstance(value, int | float) and not isinstance(value, bool)
    if type_ == "TEXT":
        return isinstance(value, str) and "\0" not in value  # PostgreSQL cannot store NUL
    return isinstance(value, bytes)


def camel(name: str) -> str:
    """Return a column's name in the form of lines."""
    head, *rest = name.split("_")
    return head + "".join(part.capitalize() for part in rest)
