"""Bytes as values: JSON, texts and documents of a descriptor, so that a fuzzer's bytes reach what lies behind
a parser.

Every bytes object is some value, and equal bytes are equal values. Knows no parser of ours.
"""

from collections.abc import Sequence
from typing import Any

from google.protobuf.descriptor import Descriptor, FieldDescriptor

_NUMBERS = (
    0,
    1,
    -1,
    0.7,
    1.5,
    16,
    60,
    255,
    1e9,
    2**31,
    -(2**31),
    2**53 - 1,
    1e300,
    -0.0,
    5e-324,
    10**15,
    0.1,
    2,
    3,
    40,
)
_TEXTS = (
    "",
    "a",
    "\0",
    "é",
    "\U0001f600",
    "\u202e",
    "x" * 41,
    "{{a}}",
    "{{",
    "{% for i in (1..9) %}{{i}}{% endfor %}",
    "****",
    "****abcd",
    "0190a0b0-c0d0-7000-8000-000000000001",
    "resp_0190a0b0c0d070008000000000000001",
    "..",
    "/",
    "%2e",
    "http://127.0.0.1:1/a",
    "data:image/png;base64,AAAA",
    "2026-01-31T12:00:00Z",
    "user",
    "text",
    "\x7f",
    "null",
    "$",
    "-1",
    "0.7",
    "true",
    "[]",
    "{}",
)
_KINDS = 10
_STRUCT = "google.protobuf.Struct"
_MOST_DEPTH = 40


class Values:
    """Reads values off some bytes, from the first on; when they are used up, everything is zero, empty or
    null."""

    def __init__(self, data: bytes, words: Sequence[str] = (), *, surrogates: bool = False) -> None:
        """`words` are texts worth trying: names of members, values of enums. Lone surrogates are in what JSON
        text can escape, and in nothing that was UTF-8."""
        self._data = data
        self._at = 0
        self._errors = "surrogateescape" if surrogates else "replace"
        self._words = (*words, *_TEXTS)

    @property
    def rest(self) -> bytes:
        """What was not read."""
        return self._data[self._at :]

    def below(self, limit: int) -> int:
        """A number from 0 to `limit` - 1; limits beyond 256 take two bytes."""
        size = 1 if limit <= 256 else 2
        found = int.from_bytes(self._data[self._at : self._at + size], "little")
        self._at += size
        return found % limit

    def one_of(self, options: Sequence[Any]) -> Any:
        return options[self.below(len(options))]

    def text(self) -> str:
        kind = self.below(4)
        if kind < 3:
            return self.one_of(self._words)
        size = self.below(24)
        raw = self._data[self._at : self._at + size]
        self._at += size
        return raw.decode(errors=self._errors)

    def json(self, depth: int = 0) -> Any:
        kind = self.below(_KINDS)
        if kind < 2 or depth > _MOST_DEPTH:
            return None
        if kind == 2:
            return bool(self.below(2))
        if kind == 3:
            return self.one_of(_NUMBERS)
        if kind < 6:
            return self.text()
        if kind < 8:
            return [self.json(depth + 1) for _ in range(self.below(4))]
        return {self.text(): self.json(depth + 1) for _ in range(self.below(5))}

    def object(self) -> dict[str, Any]:
        return {self.text(): self.json(1) for _ in range(self.below(6))}

    def document(self, descriptor: Descriptor, depth: int = 0) -> dict[str, Any]:
        """An object with members of a message, mostly of their types."""
        found: dict[str, Any] = {}
        for _ in range(self.below(7)):
            field = self.one_of(descriptor.fields)
            found[field.json_name] = (
                self.json(depth) if self.below(8) == 7 else self._member(field, depth + 1)
            )
        if self.below(16) == 15:
            found[self.text()] = self.json(depth)
        return found

    def _member(self, field: FieldDescriptor, depth: int) -> Any:
        if not field.is_repeated:
            return self._item(field, depth)
        return [self._item(field, depth) for _ in range(self.below(4))]

    def _item(self, field: FieldDescriptor, depth: int) -> Any:
        if field.message_type is None:
            return self._scalar(field)
        if depth > _MOST_DEPTH:
            return None
        if field.message_type.full_name == _STRUCT:
            return {self.text(): self.json(depth) for _ in range(self.below(4))}
        if field.message_type.file.package == "google.protobuf":
            return self.json(depth)
        return self.document(field.message_type, depth)

    def _scalar(self, field: FieldDescriptor) -> Any:
        if field.cpp_type == FieldDescriptor.CPPTYPE_STRING:
            return self.text()
        if field.cpp_type == FieldDescriptor.CPPTYPE_BOOL:
            return bool(self.below(2))
        return self.one_of(_NUMBERS)
