"""Exports an org's history as JSON Lines and imports it. Knows no door.

`wire/history/checks.py` checks lines; `storage/history.py` reads and writes the rows.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple, TypeVar

import orjson
from google.protobuf.json_format import ParseDict, ParseError
from google.protobuf.message import DecodeError
from google.protobuf.message import Message as AnyMessage

from generated.parley.v1.chat_pb2 import Chat
from generated.parley.v1.chat_record_pb2 import ChatRecord, ConversationState
from generated.parley.v1.message_pb2 import Message
from generated.parley.v1.session_pb2 import Session
from server.content.proto_json import to_json
from server.content.record_secrets import hide_secrets
from server.content.secrets import without_secrets
from server.core.errors import InvalidArgument, NotFound, ServiceError
from server.storage.database import Connection, Database
from server.storage.history import TABLES, KindRow, Row, Writer, columns_of, has_session, read_rows
from server.storage.history_order import Unit
from server.storage.scope import Scope
from server.wire.history.checks import (
    camel,
    check_answer,
    check_document,
    check_form,
    check_line,
    check_row,
    check_types,
)

HEADER = {"kind": "history", "format": "parley", "version": 1}
_SLICE_BYTES = 1 << 16
T = TypeVar("T")
_BATCH_CHARACTERS = 1 << 20  # gRPC clients accept 4 MB by default
_MESSAGES: dict[tuple[str, str], type[AnyMessage]] = {
    ("session", "body"): Session,
    ("session", "state"): ConversationState,
    ("chat", "body"): Chat,
    ("chat", "record"): ChatRecord,
    ("message", "body"): Message,
}
_DOCUMENTS = {
    ("assistant", "document"),
    ("squad", "document"),
    ("tool", "document"),
    ("session", "variables"),
    ("session", "private"),
    ("chat", "private"),
}
FORMS = _MESSAGES.keys() | _DOCUMENTS
"""The blobs that have a form in a line, by kind and column."""
_SECRETIVE = {
    ("assistant", "document"),
    ("squad", "document"),
    ("tool", "document"),
    ("session", "private"),
    ("chat", "private"),
}
_UPPER = re.compile("[A-Z]")


class Line(NamedTuple):
    """One line of a history."""

    number: int
    text: str | bytes


class NumberedRow(NamedTuple):
    """The contents of a line."""

    number: int
    kind: str
    row: Row


class Imported(NamedTuple):
    """The result of an import."""

    imported: int
    skipped: int


class History:
    """Export and import for the orgs of one database."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._thread = asyncio.Semaphore()
        """Only one thread at a time reads and writes lines, for all callers."""

    async def export(
        self, org_id: str, session_id: str | None, *, secrets: bool
    ) -> AsyncGenerator[list[str]]:
        """Yield batches of lines of an org, or of one session, as of this moment. Raises NotFound.

        The lines of a batch can be imported together, after all previous batches.
        """
        async with self._database.snapshot() as snapshot:
            if session_id is not None and not await snapshot.run(
                lambda connection: has_session(connection, Scope(org_id), session_id)
            ):
                raise NotFound("session not found", reason="SESSION_NOT_FOUND")
            some = await snapshot.run(
                lambda connection: _slices(read_rows(connection, org_id, session_id), _length)
            )
            batch, size = [_text(HEADER)], 0
            while units := await snapshot.run(lambda _: next(some, None)):
                async with self._thread:
                    made = await asyncio.to_thread(_lines, units, secrets)
                for lines, length in made:
                    if size + length > _BATCH_CHARACTERS:
                        yield batch
                        batch, size = [], 0
                    batch += lines
                    size += length
            yield batch

    async def ingest(self, org_id: str, lines: Iterable[Line]) -> Imported:
        """Import lines into an org, all of them or none.

        Raises InvalidArgument or FailedPrecondition naming the line.
        """
        rows = [row async for row in self.read(lines)]
        return await self._database.write(lambda connection: _write(connection, org_id, rows))

    async def read(self, lines: Iterable[Line]) -> AsyncIterator[NumberedRow]:
        """Yield the rows in some lines, except the header's. Raises InvalidArgument naming the line.

        Lines are parsed in a thread, some at a time, because one may take too long for the event loop.
        """
        columns = await self._database.read(
            lambda connection: {kind: columns_of(connection, kind) for kind in TABLES}
        )
        for some in _slices(lines, lambda line: len(line.text)):
            async with self._thread:
                rows = await asyncio.to_thread(_rows, some, columns)
            for row in rows:
                yield row


def _slices(parts: Iterable[T], length: Callable[[T], int]) -> Iterator[list[T]]:
    """Yield slices that take some milliseconds each, or one part: no caller waits long for another's."""
    some: list[T] = []
    size = 0
    for part in parts:
        some.append(part)
        size += length(part)
        if size > _SLICE_BYTES:
            yield some
            some, size = [], 0
    if some:
        yield some


def _length(unit: Unit[KindRow]) -> int:
    return sum(len(value) if isinstance(value, bytes) else 8 for _, row in unit for value in row.values())


def _rows(lines: Iterable[Line], columns: dict[str, Any]) -> list[NumberedRow]:
    found = []
    for number, text in lines:
        with _naming(number):
            if (row := _row(text, columns)) is not None:
                found.append(NumberedRow(number, *row))
    return found


def _lines(units: Iterable[Unit[KindRow]], secrets: bool) -> list[tuple[list[str], int]]:
    """Yield the lines of each unit, and their total length."""
    made = [[_line(kind, row, secrets) for kind, row in unit] for unit in units]
    return [(lines, sum(map(len, lines))) for lines in made]


def _write(connection: Connection, org_id: str, rows: Sequence[NumberedRow]) -> Imported:
    writer = Writer(connection, org_id)
    imported = 0
    for number, kind, row in rows:
        with _naming(number):
            imported += writer.write(number, kind, _owned(kind, row, org_id))
    for number, step in writer.finish():
        with _naming(number):
            step()
    for number, chat in writer.new_chats:
        with _naming(number):
            check_answer(chat, writer.answered(chat))
    return Imported(imported, len(rows) - imported)


@contextlib.contextmanager
def _naming(number: int) -> Iterator[None]:
    """Add the line's number to errors; 0 for none."""
    try:
        yield
    except ServiceError as error:
        if not number:
            raise
        raise type(error)(
            f"line {number}: {error.message}", reason=error.reason, violations=error.violations
        ) from None


def _line(kind: str, row: Row, secrets: bool) -> str:
    return _text(
        {
            "kind": kind,
            **{
                camel(name): _shown(kind, name, value, secrets)
                for name, value in row.items()
                if value is not None
            },
        }
    )


def _text(members: dict[str, Any]) -> str:
    return orjson.dumps(members, option=orjson.OPT_SORT_KEYS).decode()


def _shown(kind: str, name: str, value: Any, secrets: bool) -> Any:
    if message := _MESSAGES.get((kind, name)):
        record = message.FromString(value)
        hide_secrets(record)
        return {member: inner for member, inner in to_json(record).items() if member != "orgId"}
    if (kind, name) not in _DOCUMENTS:
        return value
    document = orjson.loads(value)
    return document if secrets or (kind, name) not in _SECRETIVE else without_secrets(document)


def _row(line: str | bytes, columns: dict[str, Any]) -> tuple[str, Row] | None:
    try:
        members = orjson.loads(line)
    except ValueError:
        raise InvalidArgument("is not JSON") from None
    check_line(members)
    kind = members.pop("kind", None) if isinstance(members, dict) else None
    if kind == HEADER["kind"]:
        if {"kind": kind, **members} != HEADER:
            raise InvalidArgument(
                f"is a history of another format or version: {_text(HEADER)} is what can be read"
            )
        return None
    if kind not in TABLES:
        raise InvalidArgument.of("kind", f"must be one of {', '.join(TABLES)}")
    row = {
        _snake(name): _column_value(kind, _snake(name), value)
        for name, value in members.items()
        if value is not None
    }
    check_types(columns[kind], row)
    check_row(kind, row)
    return kind, row


def _column_value(kind: str, name: str, value: Any) -> Any:
    if (kind, name) in _DOCUMENTS and isinstance(value, dict):
        check_document(kind, name, value)
        return orjson.dumps(value)
    message = _MESSAGES.get((kind, name))
    if message is None or not isinstance(value, dict):
        return value
    try:
        # Parsed again, because a value that is nested too deeply can be written but never read.
        made = message.FromString(ParseDict(value, message()).SerializeToString())
        hide_secrets(made)
    except (ParseError, DecodeError, ValueError, RecursionError):
        raise InvalidArgument.of(
            camel(name), "does not have the members of a " + message.DESCRIPTOR.name
        ) from None
    check_form(name, made)
    return made.SerializeToString()


def _owned(kind: str, row: Row, org_id: str) -> Row:
    """Return the row with the org and the row's own id in its body, because deletion uses the ids of the
    body."""
    message = _MESSAGES.get((kind, "body"))
    if message not in (Chat, Session):
        return row
    body = message.FromString(row["body"])
    body.id, body.org_id = row["id"], org_id
    return {**row, "body": body.SerializeToString()}


def _snake(name: str) -> str:
    return _UPPER.sub(lambda letter: f"_{letter[0].lower()}", name)
