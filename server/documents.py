"""Assistants, squads and tools as JSON documents: what is refused, how a patch applies, which secrets show, the typed view.

The schema is the proto: names, types and ranges are read from the descriptors of Assistant, Squad and Tool. A document is
stored as given; only the members that a chat acts on are checked, so that an odd voice or an unknown provider is no
reason to refuse one. Does not store, and does not fill in templates or cap their size.
"""

import functools
import re
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, TypeVar

import orjson
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.json_format import MessageToDict, ParseDict, ParseError, SerializeToJsonError
from google.protobuf.message import Message

from generated.parley.v1.assistant_pb2 import Assistant
from generated.parley.v1.squad_pb2 import Squad
from generated.parley.v1.tool_pb2 import Tool
from server.acted_on import ASSISTANT, SQUAD, TOOL, Members
from server.errors import InvalidArgument, Violation
from server.json_values import MAX_DEPTH, struct_from, to_python
from server.validation import join, refuse, violations_of

Document = dict[str, Any]

SERVER_MEMBERS = frozenset({"id", "orgId", "createdAt", "updatedAt"})
MAX_BYTES = 1024 * 1024

# Free members of the caller's own: what stands there comes back as sent, whatever it is called.
_FREE = frozenset({"metadata", "variableValues"})
_SECRET_NAME = re.compile(r"(key|token|secret|password|passphrase|authorization|credential)s?$", re.IGNORECASE)
_MASKED = re.compile(r"\*{4}(.{4})?", re.DOTALL)
_MESSAGE = TypeVar("_MESSAGE", Assistant, Squad, Tool)


def check_assistant(document: Document, at: str = "") -> None:
    """Raise InvalidArgument, naming every field, when a chat could not act on the assistant.

    `at` is where it stands in the request, such as `assistant`; the fields are named from there.
    """
    refuse(_assistant_violations(document, at))


def check_squad(document: Document, at: str = "") -> None:
    """Raise InvalidArgument, naming every field, when a chat could not act on the squad or on an assistant in it."""
    violations = _json_violations(document, at)
    if not violations:
        violations = _schema_violations(document, Squad(), SQUAD, at)
        for path, assistant in (*_own_assistants(document, at), *_overrides(document, at)):
            violations += _assistant_violations(assistant, path)
    refuse(violations)


def check_tool(document: Document, at: str = "") -> None:
    """Raise InvalidArgument, naming every field, when a chat could not act on the tool."""
    refuse(_json_violations(document, at) or _schema_violations(document, Tool(), TOOL, at))


def tool_ids(document: Document) -> list[str]:
    """The stored tools that an assistant which was checked names, in order."""
    model = document.get("model") or {}
    return [tool_id for tool_id in model.get("toolIds") or () if isinstance(tool_id, str)]


def merge_patch(document: Document, patch: Document) -> Document:
    """Return the document with each member of `patch` in place of the whole member of that name; null removes it."""
    given = without_server_members(patch)
    kept = {name: value for name, value in document.items() if name not in given}
    return kept | {name: value for name, value in given.items() if value is not None}


def without_server_members(document: Document) -> Document:
    """Return the document without what the server itself sets: clients send back what they have read."""
    return {name: value for name, value in document.items() if name not in SERVER_MEMBERS}


def mask_secrets(document: Document) -> Document:
    """Return a copy to show: secrets of every `credentials` and `server` have at most their last four characters."""
    shown = _copy(document)
    for secret in _secrets_in(shown):
        secret.holder[secret.name] = _mask(secret.value)
    return shown


def without_secrets(document: Document) -> Document:
    """Return a copy in which `credentials` have no secrets, not even masked ones."""
    bare = _copy(document)
    for secret in list(_secrets_in(bare)):
        if isinstance(secret.holder, dict):
            del secret.holder[secret.name]
        else:
            secret.holder[secret.name] = ""  # keeps the places of the others
    return bare


def restore_secrets(new: Document, old: Document) -> Document:
    """Return a copy of `new` in which a masked secret is the one that `old` has for it.

    It is the one at the same place, otherwise the only one of that provider, name and mask. Raises InvalidArgument for
    a masked secret that is neither: the stored one would be lost. With an empty `old` it refuses every masked secret.
    """
    restored = _copy(new)
    stored = list(_secrets_in(old))
    violations = []
    for secret in _secrets_in(restored):
        if not _MASKED.fullmatch(secret.value):
            continue
        found = _behind(secret, stored)
        if found is None:
            violations.append(Violation(secret.path, "is masked and matches no stored secret: send the secret itself"))
        else:
            secret.holder[secret.name] = found
    refuse(violations)
    return restored


def typed_assistant(document: Document) -> Assistant:
    """Return the typed view, secrets masked; a member that does not fit its type is in `document` only.

    Never raises for a document that was checked.
    """
    return _typed(document, Assistant())


def typed_squad(document: Document) -> Squad:
    """Return the typed view, as `typed_assistant`."""
    return _typed(document, Squad())


def typed_tool(document: Document) -> Tool:
    """Return the typed view, as `typed_assistant`."""
    return _typed(document, Tool())


def assistant_document(message: Assistant) -> Document:
    """Return the document of an assistant sent typed, without what the server itself sets."""
    return _untyped(message)


def squad_document(message: Squad) -> Document:
    """Return the document of a squad sent typed, without what the server itself sets."""
    return _untyped(message)


def tool_document(message: Tool) -> Document:
    """Return the document of a tool sent typed, without what the server itself sets."""
    return _untyped(message)


# --- checks -----------------------------------------------------------------------------------------------------------


def _assistant_violations(document: Document, at: str) -> list[Violation]:
    return _json_violations(document, at) or _schema_violations(document, Assistant(), ASSISTANT, at)


def _own_assistants(squad: Document, at: str) -> Iterator[tuple[str, Document]]:
    members = squad.get("members")
    for index, member in enumerate(members if isinstance(members, list) else ()):
        if isinstance(member, dict) and isinstance(member.get("assistant"), dict):
            yield join(at, f"members[{index}].assistant"), member["assistant"]


def _overrides(squad: Document, at: str) -> Iterator[tuple[str, Document]]:
    """What is overridden in members: members of an assistant, each as a whole."""
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
        return [Violation(at, f"must be JSON of at most {MAX_DEPTH} levels, its text in UTF-8, its numbers finite and "
                              "its integers of 64 bits at most", "json")]
    return [Violation(at, f"must be at most {MAX_BYTES} bytes of JSON", "size")] if size > MAX_BYTES else []


def _schema_violations(document: Document, message: Message, members: Members, at: str) -> list[Violation]:
    """Return the members of the wrong type, then the rules broken by the others.

    A mistyped member counts as absent, so rules about it or about what it is in say nothing.
    """
    mistyped: list[Violation] = []
    ParseDict(_well_typed(document, message.DESCRIPTOR, members, at, mistyped), message)
    return mistyped + [broken for broken in violations_of(message, at)
                       if not any(_is_within(broken.field, wrong.field) or _is_within(wrong.field, broken.field)
                                  for wrong in mistyped)]


def _is_within(field: str, outer: str) -> bool:
    return field == outer or field.startswith((f"{outer}.", f"{outer}["))


def _well_typed(document: Document, descriptor: Descriptor, members: Members | None, at: str,
                mistyped: list[Violation]) -> Document:
    """Return the members of the document that the descriptor knows and whose types fit; the others join `mistyped`.

    ParseDict alone takes "0.7" for a number, stops at the first mistake, and does not say where it is.
    """
    fields = _fields(descriptor)
    kept = {}
    for name, value in document.items():
        if value is None or name not in fields or (members is not None and name not in members):
            continue
        fitting = _well_typed_member(value, fields[name], members and members[name], join(at, name), mistyped)
        if fitting is not None:
            kept[name] = fitting
    return kept


@functools.cache
def _fields(descriptor: Descriptor) -> dict[str, FieldDescriptor]:
    return {field.json_name: field for field in descriptor.fields}


def _well_typed_member(value: Any, field: FieldDescriptor, members: Members | None, at: str,
                       mistyped: list[Violation]) -> Any:
    if not field.is_repeated:
        return _well_typed_item(value, field, members, at, mistyped)
    if not isinstance(value, list):
        mistyped.append(Violation(at, "must be an array", "type"))
        return None
    before = len(mistyped)
    items = [_well_typed_item(item, field, members, f"{at}[{index}]", mistyped) for index, item in enumerate(value)]
    return items if field.message_type or len(mistyped) == before else None


def _well_typed_item(value: Any, field: FieldDescriptor, members: Members | None, at: str,
                     mistyped: list[Violation]) -> Any:
    expected, fits = _expectation(field)
    if not fits(value):
        mistyped.append(Violation(at, f"must be {expected}", "type"))
        # An empty message keeps its place in an array, so that the items after it are named by their own index.
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
    return _is_number(value) and -2**31 <= value < 2**31 and value == int(value)


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


# --- secrets ----------------------------------------------------------------------------------------------------------


class _Secret(NamedTuple):
    """One secret and where it stands: `holder[name]` is `value`."""

    path: str
    provider: Any
    holder: Any
    name: str | int
    value: str


def _secrets_in(document: Any, at: str = "") -> Iterator[_Secret]:
    """Yield the secrets of every `credentials` and `server`, at any depth: squads and tools have assistants inside them."""
    for name, value in _members_of(document):
        if name == "credentials":
            yield from _secrets_of(value, _child(at, name))
            continue
        if name == "server" and isinstance(value, dict) and isinstance(value.get("secret"), str) and value["secret"]:
            yield _Secret(f"{_child(at, name)}.secret", "server", value, "secret", value["secret"])
        if name not in _FREE and isinstance(value, dict | list):
            yield from _secrets_in(value, _child(at, name))


def _secrets_of(credential: Any, at: str, provider: Any = None, hidden: bool = False) -> Iterator[_Secret]:
    """Yield the strings under a secret's name; an object of such a name (`gcpKey`) is secret throughout."""
    if isinstance(credential, dict):
        provider = credential.get("provider", provider)
    for name, value in _members_of(credential):
        path = _child(at, name)
        secret = hidden or (isinstance(name, str) and _SECRET_NAME.search(name) is not None)
        if secret and value and isinstance(value, str):
            yield _Secret(path, provider, credential, name, value)
        else:
            yield from _secrets_of(value, path, provider, secret)


def _copy(value: Any) -> Any:
    # Three times as fast as copy.deepcopy; a list shows up to a thousand documents.
    if isinstance(value, dict):
        return {name: _copy(inner) for name, inner in value.items()}
    return [_copy(inner) for inner in value] if isinstance(value, list) else value


def _members_of(value: Any) -> list[tuple[str | int, Any]]:
    if isinstance(value, dict):
        return list(value.items())
    return list(enumerate(value)) if isinstance(value, list) else []


def _child(at: str, name: str | int) -> str:
    return f"{at}[{name}]" if isinstance(name, int) else join(at, name)


def _mask(secret: str) -> str:
    return "****" + (secret[-4:] if len(secret) > 12 else "")


def _behind(masked: _Secret, stored: list[_Secret]) -> str | None:
    """Return the stored secret that the masked one stands for; None when there is none or more than one."""
    alike = [known for known in stored
             if (known.provider, known.name, _mask(known.value)) == (masked.provider, masked.name, masked.value)]
    found = {known.value for known in alike if known.path == masked.path} or {known.value for known in alike}
    return found.pop() if len(found) == 1 else None


# --- the typed view ---------------------------------------------------------------------------------------------------


def _typed(document: Document, message: _MESSAGE) -> _MESSAGE:
    shown = mask_secrets(document)
    for name, value in shown.items():
        if name != "document":  # a member of the caller's own may be called what our field is called
            message.MergeFrom(_typed_member(name, value, type(message)))
    message.document.CopyFrom(struct_from(shown))
    return message


def _typed_member(name: str, value: Any, kind: type[_MESSAGE]) -> _MESSAGE:
    """Return a message with this member alone, or with none when the member does not fit."""
    mistyped: list[Violation] = []
    fitting = _well_typed({name: value}, kind.DESCRIPTOR, None, "", mistyped)
    try:
        return ParseDict({} if mistyped else fitting, kind())
    except ParseError:  # a string that is no timestamp
        return kind()


def _untyped(message: Assistant | Squad | Tool) -> Document:
    try:
        document = MessageToDict(message)
        document.pop("document", None)
        return without_server_members(to_python(struct_from(document)))
    except (SerializeToJsonError, ValueError) as error:
        raise InvalidArgument(f"send finite numbers, and JSON of at most {MAX_DEPTH} levels") from error
