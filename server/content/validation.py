"""Enforces the rules of the proto (buf.validate) on every request. Defines no rule itself."""

import functools
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from google.protobuf.descriptor import Descriptor
from google.protobuf.message import Message
from google.protobuf.struct_pb2 import ListValue, Struct, Value

from server.core.errors import InvalidArgument, Violation

if TYPE_CHECKING:
    import protovalidate

MOST_VIOLATIONS = 100
"""Per refusal. A body can break a rule a hundred thousand times, and the first violations are enough."""
_MOST_NAME = 100


@functools.cache
def prepare() -> tuple[Callable[..., list["protovalidate.Violation"]], type[Exception]]:
    """Return the function that finds violations, and the exception that it raises when it cannot. A server
    loads it before the first call; a command that checks nothing does not wait for it."""
    import protovalidate

    return protovalidate.Validator().collect_violations, protovalidate.EvaluationError


def check(request: Message, *, only_first: bool = False) -> None:
    """Raise InvalidArgument that names every offending field as the caller writes it, or only the first."""
    try:
        found = violations_of(request, only_first=only_first)
    # protovalidate parses the bytes again, and is stricter about members that the proto does not have
    except ValueError:
        raise InvalidArgument(
            "the request cannot be read: a member that is not in its proto is malformed"
        ) from None
    refuse(found)


def violations_of(message: Message, at: str = "", *, only_first: bool = False) -> list[Violation]:
    """Return the violations of the message's proto, with fields in JSON names, from `at` on.

    Raises InvalidArgument for a message that is too large for one of its rules.
    """
    collect, too_large = prepare()
    try:
        broken = collect(message, fail_fast=only_first)
    except too_large:
        raise InvalidArgument(
            f"{at or 'the request'} has too many values to be checked; send fewer at once"
        ) from None
    descriptor: Descriptor = message.DESCRIPTOR  # type: ignore[assignment]  # which is C's, and registered as one
    return [
        Violation(
            _json_path(found.proto.field, descriptor, at),
            found.proto.message.replace("value is required", "is required"),
            found.proto.rule_id,
        )
        for found in broken
    ]


def refuse(violations: Sequence[Violation]) -> None:
    """Raise InvalidArgument when there are violations; beyond MOST_VIOLATIONS it only reports that there are
    more."""
    if violations:
        named = tuple(violations[:MOST_VIOLATIONS])
        text = "; ".join(f"{found.field} {found.message}".strip() for found in named)
        raise InvalidArgument(text + ("; and more" if len(violations) > len(named) else ""), violations=named)


def nul_in(value: Any) -> str | None:
    """Return the path of the first string in a message, or in free JSON, with the character NUL; None without
    any.

    The path is built only on the way back: otherwise a long name would be copied for each of its members.
    """
    if isinstance(value, str):
        return "" if "\0" in value else None
    if isinstance(value, Value):
        kind = value.WhichOneof("kind")
        return (
            nul_in(getattr(value, kind)) if kind in ("string_value", "struct_value", "list_value") else None
        )
    if isinstance(value, Struct):
        return next(
            (
                below(shown(name), path)
                for name, member in value.fields.items()
                if (path := nul_in(name)) is not None or (path := nul_in(member)) is not None
            ),
            None,
        )
    if isinstance(value, Message) and not isinstance(value, ListValue):
        return next(
            (
                below(field.json_name, path)
                for field, member in value.ListFields()
                if (path := nul_in(member)) is not None
            ),
            None,
        )
    items = value.values if isinstance(value, ListValue) else value
    if not isinstance(items, Iterable):
        return None
    return next(
        (below(f"[{index}]", path) for index, item in enumerate(items) if (path := nul_in(item)) is not None),
        None,
    )


def join(at: str, name: str) -> str:
    """Return the path of a member of the object at `at`."""
    return f"{at}.{name}" if at else name


def below(at: str, path: str) -> str:
    """Return the path of `path` inside of the object at `at`."""
    return at + path if not path or path.startswith("[") else f"{at}.{path}"


def paths_to(field: str) -> list[str]:
    """Return the field's own path, and those of all its parents."""
    return [field, *(field[:end] for end, character in enumerate(field) if character in ".[")]


def shown(name: str) -> str:
    """Return the name of a member of free JSON for a path, shortened, because it can be as long as the body."""
    return name if len(name) <= _MOST_NAME else name[: _MOST_NAME - 1] + "…"


def _json_path(path: "protovalidate.FieldPathPb | None", descriptor: Descriptor, at: str) -> str:
    """Write a protovalidate FieldPath (None: the whole message) with JSON names, from `at` on."""
    inside: Descriptor | None = descriptor
    for element in path.elements if path else ():
        assert inside is not None
        field = inside.fields_by_name[element.field_name]
        index = f"[{element.subscript.value}]" if element.subscript else ""
        at, inside = join(at, field.json_name) + index, field.message_type
    return at
