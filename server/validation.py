"""The rules of the proto (buf.validate), enforced on every request. Holds no rule of its own."""

from typing import Any

import protovalidate
from google.protobuf.descriptor import Descriptor
from google.protobuf.message import Message

from server.errors import InvalidArgument, Violation

_validator = protovalidate.Validator()


def check(request: Message) -> None:
    """Raises InvalidArgument that names every offending field as the caller writes it."""
    refuse(violations_of(request))


def violations_of(message: Message, at: str = "") -> list[Violation]:
    """What breaks the rules of the message's proto, fields as JSON names them, from `at` on."""
    return [Violation(_json_path(found.proto.field, message.DESCRIPTOR, at),
                      found.proto.message.replace("value is required", "is required"), found.proto.rule_id)
            for found in _validator.collect_violations(message)]


def refuse(violations: list[Violation]) -> None:
    """Raises InvalidArgument when there are any."""
    if violations:
        text = "; ".join(f"{found.field} {found.message}".strip() for found in violations)
        raise InvalidArgument(text, violations=tuple(violations))


def join(at: str, name: str) -> str:
    """The path of a member of what is at `at`."""
    return f"{at}.{name}" if at else name


def _json_path(path: Any, descriptor: Descriptor, at: str) -> str:
    """Write a protovalidate FieldPath (None: the whole message) with JSON names, from `at` on."""
    for element in path.elements if path else ():
        field = descriptor.fields_by_name[element.field_name]
        index = f"[{element.subscript.value}]" if element.subscript else ""
        at, descriptor = join(at, field.json_name) + index, field.message_type
    return at
