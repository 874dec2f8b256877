"""Converts plain Python values to and from google.protobuf.Value, Struct and ListValue.

Does not parse or print JSON text. Numbers are doubles, so an integer that no double represents is refused.
"""

from math import isfinite
from typing import Any

from google.protobuf.struct_pb2 import NULL_VALUE, ListValue, Struct, Value

MAX_DEPTH = 30
"""Levels of objects and arrays. protobuf parses 100 nested messages, of which one JSON object takes three,
and the messages that a value sits in take some."""

NOT_EXACT = (
    "is an integer that a double does not hold exactly, as it does those to 9007199254740992 (2^53); "
    "send it as a string"
)
"""The words of gateway/members.lua, which sees numbers over HTTP before they become doubles."""
_BEYOND_64_BITS = 2.0**63
_SCHEMAS = frozenset({"parameters", "schema"})
_BOUNDS = frozenset({"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"})
"""Limits in schemas. Many programs write 64-bit integers there, for which the nearest double does as well."""


def to_python(value: Value | Struct | ListValue) -> Any:
    """Return dicts, lists, str, bool, None, float, and int for integral numbers of 64 bits.

    NaN and infinities become None, as JSON has none: requests cannot contain them, but old records can, and
    must stay readable.
    """
    if isinstance(value, Struct):
        return {key: _plain(member) for key, member in value.fields.items()}
    if isinstance(value, ListValue):
        return [_plain(item) for item in value.values]
    return _plain(value)


def from_python(value: Any) -> Value:
    """Return the Value of a value from json.loads; tuples count as lists.

    Raises ValueError for NaN, infinities, integers that no double represents (except bounds in schemas), lone
    surrogates and nesting beyond MAX_DEPTH, TypeError for other types.
    """
    message = Value()
    _fill(message, value, MAX_DEPTH)
    return message


def struct_from(members: dict[str, Any]) -> Struct:
    """Return the Struct of a dict; raises as `from_python`."""
    message = Struct()
    _fill_struct(message, members, MAX_DEPTH)
    return message


def _plain(value: Value) -> Any:
    kind = value.WhichOneof("kind")
    if kind == "string_value":
        return value.string_value
    if kind == "number_value":
        number = value.number_value
        return whole_where_whole(number) if isfinite(number) else None
    if kind == "struct_value":
        return {key: _plain(member) for key, member in value.struct_value.fields.items()}
    if kind == "list_value":
        return [_plain(item) for item in value.list_value.values]
    if kind == "bool_value":
        return value.bool_value
    return None


def whole_where_whole(number: float) -> int | float:
    """Return an integral number as an int. Numbers beyond the integers that orjson prints stay floats of the
    same value."""
    return int(number) if number.is_integer() and -_BEYOND_64_BITS <= number < _BEYOND_64_BITS else number


def with_exact_numbers(value: Any, depth: int = MAX_DEPTH) -> Any:
    """Return JSON in which integers that no double represents are text, which preserves their digits.
    Unchanged below MAX_DEPTH."""
    if isinstance(value, dict) and depth:
        return {name: with_exact_numbers(member, depth - 1) for name, member in value.items()}
    if isinstance(value, list) and depth:
        return [with_exact_numbers(item, depth - 1) for item in value]
    return str(value) if isinstance(value, int) and not is_double(value) else value


def is_double(number: int) -> bool:
    """Return whether a double represents the integer exactly."""
    try:
        return float(number) == number
    except OverflowError:
        return False


def _fill(message: Value, value: Any, depth: int, in_schema: bool = False) -> None:
    if isinstance(value, str):
        message.string_value = value
    elif value is None:
        message.null_value = NULL_VALUE
    elif isinstance(value, bool):  # before int: True is an int
        message.bool_value = value
    elif isinstance(value, int | float):
        message.number_value = _double(value)
    elif isinstance(value, dict):
        _fill_struct(message.struct_value, value, depth, in_schema)
    elif isinstance(value, list | tuple):
        _fill_list(message.list_value, value, depth, in_schema)
    else:
        raise TypeError(f"{type(value).__name__} is not a JSON type")


def _fill_struct(message: Struct, members: dict[str, Any], depth: int, in_schema: bool = False) -> None:
    _check_depth(depth)
    message.SetInParent()  # an empty object is an object, not an absent member
    for key, member in members.items():
        if not isinstance(key, str):
            raise TypeError("the keys of an object are strings")
        is_bound = (
            in_schema and key in _BOUNDS and isinstance(member, int) and abs(member) < _BEYOND_64_BITS * 2
        )
        _fill(
            message.fields[key],
            float(member) if is_bound else member,
            depth - 1,
            in_schema or key in _SCHEMAS,
        )


def _fill_list(
    message: ListValue, items: list[Any] | tuple[Any, ...], depth: int, in_schema: bool = False
) -> None:
    _check_depth(depth)
    message.SetInParent()
    for item in items:
        _fill(message.values.add(), item, depth - 1, in_schema)


def _check_depth(depth: int) -> None:
    if depth == 0:
        raise ValueError(f"nested deeper than {MAX_DEPTH} levels")


def _double(number: int | float) -> float:
    try:
        double = float(number)
    except OverflowError:
        raise ValueError("the number is too large") from None
    if not isfinite(double):
        raise ValueError("NaN and infinity are not JSON")
    if double != number:
        raise ValueError(NOT_EXACT)
    return double


def encodable(text: str) -> str:
    """Return the text without lone surrogates, which JSON can escape but UTF-8, and so protobuf, cannot
    represent."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode(errors="replace").decode()
    return text


def size_of(value: object, most: int) -> int:
    """Return the amount of data in a value: one for each part, and one for each 16 characters.

    Stops counting at `most`.
    """
    size, inside = 0, [value]
    while inside and size <= most:
        one = inside.pop()
        size += 1 + (0 if isinstance(one, list | tuple | dict) else length_of(one) // 16)
        if isinstance(one, dict):
            size += sum(len(name) for name in one if isinstance(name, str)) // 16
            inside += one.values()
        elif isinstance(one, list | tuple):
            inside += one
    return size


def length_of(value: object) -> int:
    """Return the characters of a text, the items of a collection, the bytes of an integer, and 1 for anything
    else."""
    if isinstance(value, int):
        return value.bit_length() // 8
    return len(value) if isinstance(value, str | list | tuple | dict | range) else 1
