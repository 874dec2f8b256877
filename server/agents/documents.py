"""Assistants, squads and tools as JSON documents: validation, patches, the typed view.

The schema is the proto: names, types and ranges are read from the descriptors of Assistant, Squad and Tool. A
document is stored as given; only the members that a chat uses are checked, so that an unusual voice is no
reason to refuse it. Does not store, does not know the providers (`model_providers.py`) or which values are
secrets (`secrets.py`), and does not fill in templates or limit their size.
"""

import functools
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar

import orjson
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.json_format import MessageToDict, ParseDict, ParseError, SerializeToJsonError
from google.protobuf.message import Message

from generated.parley.v1.assistant_pb2 import Assistant
from generated.parley.v1.squad_pb2 import Squad
from generated.parley.v1.tool_pb2 import Tool
from server.agents.checked_members import ASSISTANT, SQUAD, TOOL, Members
from server.content.json_values import MAX_DEPTH, struct_from, to_python
from server.content.secrets import mask_secrets
from server.content.validation import MOST_VIOLATIONS, join, paths_to, refuse, violations_of
from server.core.errors import InvalidArgument, Violation

Document = dict[str, Any]

SERVER_MEMBERS = frozenset({"id", "orgId", "createdAt", "updatedAt", "warnings"})
MAX_BYTES = 1024 * 1024

_MESSAGE = TypeVar("_MESSAGE", Assistant, Squad, Tool)


def check_assistant(document: Document, at: str = "") -> None:
    """Raise InvalidArgument, naming every field, when a chat could not use the assistant.

    `at` is its path in the request, such as `assistant`; the fields' paths begin with it.
    """
    refuse(_assistant_violations(document, at))


def check_squad(document: Document, at: str = "") -> None:
    """Raise InvalidArgument, naming every field, when a chat could not use the squad or an assistant in it."""
    violations = _json_violations(document, at)
    if not violations:
        violations = _schema_violations(document, Squad(), SQUAD, at)
        for path, assistant in assistants_in(document, at):
            if len(violations) > MOST_VIOLATIONS:
                break
            violations += _assistant_violations(assistant, path)
    refuse(violations)


def check_tool(document: Document, at: str = "") -> None:
    """Raise InvalidArgument, naming every field, when a chat could not use the tool."""
    refuse(_json_violations(document, at) or _schema_violations(document, Tool(), TOOL, at))


def tool_ids(document: Mapping[str, Any]) -> list[str]:
    """Return the ids of stored tools in a checked assistant, in order."""
    model = document.get("model") or {}
    return [tool_id for tool_id in model.get("toolIds") or () if isinstance(tool_id, str)]


def merge_patch(document: Document, patch: Document) -> Document:
    """Return the document with each member of `patch` replacing the whole member of that name; null removes
    it."""
    given = without_server_members(patch)
    remaining = {name: value for name, value in document.items() if name not in given}
    return remaining | {name: value for name, value in given.items() if value is not None}


def without_server_members(document: Document) -> Document:
    """Return the document without the members that the server sets: clients send back what they have read."""
    return {name: value for name, value in document.items() if name not in SERVER_MEMBERS}


def typed_assistant(document: Document) -> Assistant:
    """Return the typed view with secrets masked; a member that does not fit its type is in `document` only.

    Never raises for a checked document.
    """
    return _typed(document, Assistant())


def typed_squad(document: Document) -> Squad:
    """Return the typed view; see `typed_assistant`."""
    return _typed(document, Squad())


def typed_tool(document: Document) -> Tool:
    """Return the typed view; see `typed_assistant`."""
    return _typed(document, Tool())


def assistant_document(message: Assistant) -> Document:
    """Return the document of an assistant sent typed, without the members that the server sets."""
    return _untyped(message)


def squad_document(message: Squad) -> Document:
    """Return the document of a squad sent typed, without the members that the server sets."""
    return _untyped(message)


def tool_document(message: Tool) -> Document:
    """Return the document of a tool sent typed, without the members that the server sets."""
    return _untyped(message)


# --- checks -------------------------------------------------------------------------------------------------


def _assistant_violations(document: Document, at: str) -> list[Violation]:
    return _json_violations(document, at) or _schema_violations(document, Assistant(), ASSISTANT, at)


def assistants_in(squad: Document, at: str = "") -> Iterator[tuple[str, Document]]:
    """Yield the squad's own assistants and the overrides of members, each with its path."""
    yield from _own_assistants(squad, at)
    yield from _overrides(squad, at)


def _own_assistants(squad: Document, at: str) -> Iterator[tuple[str, Document]]:
    members = squad.get("members")
    for index, member in enumerate(members if isinstance(members, list) else ()):
        if isinstance(member, dict) and isinstance(member.get("assistant"), dict):
            yield join(at, f"members[{index}].assistant"), member["assistant"]


def _overrides(squad: Document, at: str) -> Iterator[tuple[str, Document]]:
    """Yield the overrides of members: members of an assistant, each as a whole."""
    members = squad.get("members")
    for index, member in enumerate(members if isinstance(members, list) else ()):
        if isinstance(member, dict) and isinstance(member.get("assistantOverrides"), dict):
            yield join(at, f"members[{index}].assistantOverrides"), member["assistantOverrides"]
    if isinstance(squad.get("membersOverrides"), dict):
        yield join(at, "membersOverrides"), squad["membersOverrides"]


def _json_violations(document: Document, at: str) -> list[Violation]:
    if not isinstance(document, dict):
        return [Violation(at, "must be an object", "type")]
    try:
        struct_from(document)
        size = len(orjson.dumps(document))
    except (TypeError, ValueError):
        return [
            Violation(
                at,
                f"must be JSON of at most {MAX_DEPTH} levels, its text in UTF-8, its numbers finite, and its "
                "integers such as a double and 64 bits hold (all to 2^53); send others as strings",
                "json",
            )
        ]
    return [Violation(at, f"must be at most {MAX_BYTES} bytes of JSON", "size")] if size > MAX_BYTES else []


def _schema_violations(document: Document, message: Message, members: Members, at: str) -> list[Violation]:
    """Return the members of the wrong type, then the rules broken by the others.

    A mistyped member counts as absent, so rules about it or its parent are skipped; all rules are skipped
    when there are more mistyped members than a refusal names.
    """
    mistyped: list[Violation] = []
    descriptor: Descriptor = message.DESCRIPTOR  # type: ignore[assignment]  # which is C's, and registered as one
    ParseDict(_well_typed(document, descriptor, members, at, mistyped), message)
    if len(mistyped) > MOST_VIOLATIONS:
        return mistyped
    wrong = {violation.field for violation in mistyped}
    around = {outer for field in wrong for outer in paths_to(field)}
    return mistyped + [
        broken
        for broken in violations_of(message, at)
        if broken.field not in around and wrong.isdisjoint(paths_to(broken.field))
    ]


def _well_typed(
    document: Document, descriptor: Descriptor, members: Members | None, at: str, mistyped: list[Violation]
) -> Document:
    """Return the members of the document that the descriptor knows and whose types fit; the others are added
    to `mistyped`.

    ParseDict alone accepts "0.7" as a number, stops at the first mistake, and does not report where it is.
    """
    fields = _fields(descriptor)
    remaining = {}
    for name, value in document.items():
        if value is None or name not in fields or (members is not None and name not in members):
            continue
        fitting = _well_typed_member(value, fields[name], members and members[name], join(at, name), mistyped)
        if fitting is not None:
            remaining[name] = fitting
    return remaining


@functools.cache
def _fields(descriptor: Descriptor) -> dict[str, FieldDescriptor]:
    return {field.json_name: field for field in descriptor.fields}


def _well_typed_member(
    value: Any, field: FieldDescriptor, members: Members | None, at: str, mistyped: list[Violation]
) -> Any:
    if not field.is_repeated:
        return _well_typed_item(value, field, members, at, mistyped)
    if not isinstance(value, list):
        mistyped.append(Violation(at, "must be an array", "type"))
        return None
    before = len(mistyped)
    items = [
        _well_typed_item(item, field, members, f"{at}[{index}]", mistyped) for index, item in enumerate(value)
    ]
    return items if field.message_type or len(mistyped) == before else None


def _well_typed_item(
    value: Any, field: FieldDescriptor, members: Members | None, at: str, mistyped: list[Violation]
) -> Any:
    expected, fits = _expectation(field)
    if not fits(value):
        mistyped.append(Violation(at, f"must be {expected}", "type"))
        # An empty message fills the position in an array, so that later items keep their own index.
        return {} if field.message_type else None
    if field.message_type and field.message_type.file.package != "google.protobuf":
        return _well_typed(value, field.message_type, members, at, mistyped)
    return value


def _expectation(field: FieldDescriptor) -> tuple[str, Callable[[Any], bool]]:
    if not field.message_type:
        return _SCALARS[field.cpp_type]
    return _WELL_KNOWN.get(field.message_type.full_name, _OBJECT)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_int32(value: Any) -> bool:
    return _is_number(value) and -(2**31) <= value < 2**31 and value == int(value)


_OBJECT = ("an object", lambda value: isinstance(value, dict))
_STRING = ("a string", lambda value: isinstance(value, str))
_SCALARS = {
    FieldDescriptor.CPPTYPE_STRING: _STRING,
    FieldDescriptor.CPPTYPE_BOOL: ("true or false", lambda value: isinstance(value, bool)),
    FieldDescriptor.CPPTYPE_DOUBLE: ("a number", _is_number),
    FieldDescriptor.CPPTYPE_INT32: ("an integer of 32 bits", _is_int32),
}
_WELL_KNOWN = {
    "google.protobuf.Value": ("JSON", lambda value: True),
    "google.protobuf.Timestamp": _STRING,
}


# --- the typed view -----------------------------------------------------------------------------------------


def _typed(document: Document, message: _MESSAGE) -> _MESSAGE:
    shown = mask_secrets(document)
    for name, value in shown.items():
        # A free member of the caller can have the name of the `document` field.
        if name != "document" and name in _fields(type(message).DESCRIPTOR):
            message.MergeFrom(_typed_member(name, value, type(message)))
    message.document.CopyFrom(struct_from(shown))
    return message


def _typed_member(name: str, value: Any, kind: type[_MESSAGE]) -> _MESSAGE:
    """Return a message with only this member, or an empty one when the member does not fit."""
    mistyped: list[Violation] = []
    descriptor: Descriptor = kind.DESCRIPTOR  # type: ignore[assignment]  # likewise
    fitting = _well_typed({name: value}, descriptor, None, "", mistyped)
    try:
        return ParseDict({} if mistyped else fitting, kind())
    except ParseError:  # an invalid timestamp
        return kind()


def _untyped(message: Assistant | Squad | Tool) -> Document:
    try:
        document = MessageToDict(message)
        document.pop("document", None)
        return without_server_members(to_python(struct_from(document)))
    except (SerializeToJsonError, ValueError) as error:
        raise InvalidArgument(f"send finite numbers, and JSON of at most {MAX_DEPTH} levels") from error
