"""Fills messages from parsed JSON by the rules and in the words of the HTTP edge: names as documented, unknown
members ignored, null as left out.

For JSON that does not come through Envoy's transcoder. Parses no text, and checks no rule of the protos.
"""

from collections.abc import Callable, Mapping
from typing import Any

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.struct_pb2 import Struct, Value

from server.content.json_values import from_python, struct_from
from server.core.errors import InvalidArgument

_VALUE, _STRUCT = Value.DESCRIPTOR.full_name, Struct.DESCRIPTOR.full_name
_MOST_INT32 = 1 << 31
_WANTED = {
    FieldDescriptor.CPPTYPE_STRING: "a string",
    FieldDescriptor.CPPTYPE_BOOL: "true or false",
    FieldDescriptor.CPPTYPE_DOUBLE: "a number",
    FieldDescriptor.CPPTYPE_INT32: "an integer between -2147483648 and 2147483647",
    FieldDescriptor.CPPTYPE_MESSAGE: "an object",
}
_MANY = {FieldDescriptor.CPPTYPE_STRING: "strings", FieldDescriptor.CPPTYPE_MESSAGE: "objects"}


def fill(message: Message, members: Mapping[str, Any], at: str = "") -> None:
    """Set the members of a message. Raises InvalidArgument naming the first member of another type.

    `at` is the path of the message in the request, empty for the request itself.
    """
    fields = _fields(message.DESCRIPTOR)
    for name, value in members.items():
        field = fields.get(name)
        if field is None or (value is None and not _is(field, _VALUE)):
            continue
        place = f"{at}.{field.json_name}" if at else field.json_name
        if field.is_repeated:
            _fill_list(message, field, value, place)
        elif field.message_type is None:
            setattr(message, field.name, _scalar(field, value, place))
        else:
            _fill_message(getattr(message, field.name), value, place)


def _fields(descriptor: Any) -> dict[str, FieldDescriptor]:
    return {**descriptor.fields_by_name, **{field.json_name: field for field in descriptor.fields}}


def _is(field: FieldDescriptor, name: str) -> bool:
    return field.message_type is not None and field.message_type.full_name == name


def _fill_list(message: Message, field: FieldDescriptor, value: Any, place: str) -> None:
    if not isinstance(value, list):
        raise InvalidArgument.of(place, f"must be an array of {_MANY[field.cpp_type]}")
    items = getattr(message, field.name)
    for index, item in enumerate(value):
        at = f"{place}[{index}]"
        if field.message_type is None:
            items.append(_scalar(field, item, at))
        else:
            _fill_message(items.add(), item, at)


def _fill_message(message: Message, value: Any, place: str) -> None:
    if isinstance(message, Value):
        message.CopyFrom(_free(from_python, value, place))
    elif not isinstance(value, dict):
        raise InvalidArgument.of(place, "must be an object")
    elif isinstance(message, Struct):
        message.CopyFrom(_free(struct_from, value, place))
    else:
        message.SetInParent()
        fill(message, value, place)


def _free(convert: Callable[[Any], Any], value: Any, place: str) -> Any:
    try:
        return convert(value)
    except ValueError as error:
        text = str(error)
        raise InvalidArgument.of(place, text if text.startswith("is ") else f"is {text}") from None


def _scalar(field: FieldDescriptor, value: Any, place: str) -> Any:
    kind = field.cpp_type
    if kind == FieldDescriptor.CPPTYPE_STRING and isinstance(value, str):
        return value
    if kind == FieldDescriptor.CPPTYPE_BOOL and isinstance(value, bool):
        return value
    if isinstance(value, int | float) and not isinstance(value, bool):
        if kind == FieldDescriptor.CPPTYPE_DOUBLE:
            return float(value)
        if (
            kind == FieldDescriptor.CPPTYPE_INT32
            and value == int(value)
            and -_MOST_INT32 <= value < _MOST_INT32
        ):
            return int(value)
    raise InvalidArgument.of(place, f"must be {_WANTED[kind]}")
