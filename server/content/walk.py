"""Walks over a request before anything else reads it: checks its size, its depth and its numbers.

The cost is linear: a few µs for an ordinary request, and at most `most` values. `validation.py` enforces the
protos' rules; nothing here knows a particular message.
"""

import re
from collections.abc import Callable, Sequence
from math import isfinite
from typing import Any

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.struct_pb2 import NULL_VALUE, ListValue, Struct, Value

from server.content.json_values import MAX_DEPTH
from server.core.errors import InvalidArgument, Violation

MOST_VALUES = 50_000
"""Members and items of objects, arrays and messages: reading one takes a µs or more, however few bytes it
has."""

_FLOATS = (FieldDescriptor.CPPTYPE_DOUBLE, FieldDescriptor.CPPTYPE_FLOAT)
_NUMBER = b"\x11"
"""The first byte of a `Value.number_value`. Most answers have none, and searching for one byte is fastest."""
_NOT_FINITE = re.compile(rb"\x11.{6}[\xf0-\xff][\x7f\xff]", re.DOTALL)
"""One whose exponent is all ones, and by chance other bytes."""


def check_values(request: Message, most: int = MOST_VALUES, named: Callable[[str], str] = str) -> int:
    """Return the number of values in a request. Raises InvalidArgument naming the value that is NaN or
    infinite, too deep, or beyond `most`.

    `named` translates a member to the caller's name.
    """
    walk = _Walk(most)
    try:
        walk.message(request)
        return walk.count
    except _Flaw as flaw:
        raise flaw.error(named) from None


def without_nan(serialized: bytes, message: Message) -> bool:
    """Replace NaN and infinities in the free JSON of `message` by null, as JSON has none; return whether
    there were any.

    Requests can no longer contain them. Older stored ones would make a whole list unreadable.
    """
    return _NUMBER in serialized and _NOT_FINITE.search(serialized) is not None and _cleared(message)


def readable(message: Message) -> bytes:
    """Return a message serialized, without values that JSON cannot represent."""
    serialized = message.SerializeToString()
    return message.SerializeToString() if without_nan(serialized, message) else serialized


class _Flaw(Exception):
    """An invalid value and its place, from the inside out."""

    def __init__(self, text: str, rule: str, *, is_of_all: bool = False) -> None:
        super().__init__()
        self._text = text
        self._rule = rule
        self._is_of_all = is_of_all
        self._steps: list[str] = []

    def within(self, step: str) -> "_Flaw":
        self._steps.append(step)
        return self

    def error(self, named: Callable[[str], str]) -> InvalidArgument:
        steps = self._steps[-1:] if self._is_of_all else self._steps[::-1]
        field = named(
            "".join(step if step.startswith("[") else f".{step}" for step in steps).removeprefix(".")
        )
        return InvalidArgument(
            f"{field} {self._text}", violations=(Violation(field, self._text, self._rule),)
        )


class _Walk:
    def __init__(self, most: int) -> None:
        self._most = most
        self._left = most

    @property
    def count(self) -> int:
        return self._most - self._left

    def message(self, message: Message) -> None:
        for field, value in message.ListFields():
            try:
                if field.is_repeated:
                    self._items(field, value)
                elif field.message_type is not None:
                    self._part(value)
                elif field.cpp_type in _FLOATS and not isfinite(value):
                    raise _not_finite()
            except _Flaw as flaw:
                raise flaw.within(field.json_name) from None

    def _items(self, field: FieldDescriptor, items: Sequence[Any]) -> None:
        self._spend(len(items))
        if field.message_type is None and field.cpp_type not in _FLOATS:
            return
        for index, item in enumerate(items):
            try:
                if field.message_type is not None:
                    self._part(item)
                elif not isfinite(item):
                    raise _not_finite()
            except _Flaw as flaw:
                raise flaw.within(f"[{index}]") from None

    def _part(self, part: Message) -> None:
        if isinstance(part, Value):
            self._value(part, MAX_DEPTH)
        elif isinstance(part, Struct):
            self._struct(part, MAX_DEPTH)
        elif isinstance(part, ListValue):
            self._list(part, MAX_DEPTH)
        else:
            self.message(part)

    def _value(self, value: Value, depth: int) -> None:
        kind = value.WhichOneof("kind")
        if kind == "struct_value":
            self._struct(value.struct_value, depth)
        elif kind == "list_value":
            self._list(value.list_value, depth)
        elif kind == "number_value" and not isfinite(value.number_value):
            raise _not_finite()

    def _struct(self, struct: Struct, depth: int) -> None:
        fields = struct.fields
        self._enter(len(fields), depth)
        for name, member in fields.items():
            try:
                self._value(member, depth - 1)
            except _Flaw as flaw:
                raise flaw.within(name) from None

    def _list(self, items: ListValue, depth: int) -> None:
        values = items.values
        self._enter(len(values), depth)
        for index, item in enumerate(values):
            try:
                self._value(item, depth - 1)
            except _Flaw as flaw:
                raise flaw.within(f"[{index}]") from None

    def _enter(self, values: int, depth: int) -> None:
        if depth == 0:
            raise _Flaw(f"must not be nested deeper than {MAX_DEPTH} levels", "json_invalid")
        self._spend(values)

    def _spend(self, values: int) -> None:
        self._left -= values
        if self._left < 0:
            raise _Flaw(
                f"brings the request over {self._most} values (members and items, at every depth), which is as many "
                "as it may have; send less at once",
                "too_many_values",
                is_of_all=True,
            )


def _not_finite() -> _Flaw:
    return _Flaw("must be a finite number: JSON has neither NaN nor Infinity", "not_finite")


def _cleared(message: Message) -> bool:
    """Replace invalid numbers by null; return whether there were any."""
    if isinstance(message, Value) and message.WhichOneof("kind") == "number_value":
        if isfinite(message.number_value):
            return False
        message.null_value = NULL_VALUE
        return True
    inner = message.fields.values() if isinstance(message, Struct) else _messages_in(message)
    return any([_cleared(one) for one in inner])  # all of them: `any` of a generator would stop at the first


def _messages_in(message: Message) -> list[Message]:
    found: list[Message] = []
    for field, value in message.ListFields():
        if field.message_type is not None:
            found.extend(value if field.is_repeated else (value,))
    return found
