"""History as JSON Lines: each row of it as one line, and each line as a row again, byte for byte the same.

Says what a line is; `storage/history.py` reads and writes the rows. Knows no door.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import orjson
from google.protobuf.json_format import ParseDict, ParseError
from google.protobuf.message import DecodeError
from google.protobuf.message import Message as AnyMessage

from generated.parley.v1.chat_pb2 import Chat
from generated.parley.v1.chat_record_pb2 import ChatRecord, ConversationState
from generated.parley.v1.message_pb2 import Message
from generated.parley.v1.session_pb2 import Session
from server.documents import check_assistant, check_squad, check_tool
from server.errors import FailedPrecondition, InvalidArgument, NotFound, ServiceError
from server.ids import parse_id
from server.record_secrets import hide_secrets
from server.secrets import without_secrets
from server.storage.database import Database
from server.storage.history import TABLES, Row, Writer, check_types, columns_of, has_session, read_rows
from server.storage.scope import Scope
from server.wire.proto_json import to_json

HEADER = {"kind": "history", "format": "parley", "version": 1}
MOST_LINES = 2000
_BATCH_CHARACTERS = 1 << 20  # gRPC clients take 4 MB unless told otherwise
_MESSAGES: dict[tuple[str, str], type[AnyMessage]] = {
    ("session", "body"): Session, ("session", "state"): ConversationState, ("chat", "body"): Chat,
    ("chat", "record"): ChatRecord, ("message", "body"): Message}
_DOCUMENTS = {("assistant", "document"), ("squad", "document"), ("tool", "document"), ("session", "variables"),
              ("session", "private"), ("chat", "private")}
FORMS = _MESSAGES.keys() | _DOCUMENTS
"""The blobs that have a form in a line, by kind and column."""
_SECRETIVE = {("assistant", "document"), ("squad", "document"), ("tool", "document"), ("session", "private"),
              ("chat", "private")}
_UPPER = re.compile("[A-Z]")


class Taken(NamedTuple):
    """What became of some lines."""

    imported: int
    skipped: int


class History:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def export(self, org_id: str, session_id: str | None, *, secrets: bool) -> AsyncIterator[list[str]]:
        """The lines of an org, or of one session, some at a time, as they are at this moment. Raises NotFound."""
        async with self._database.snapshot() as snapshot:
            if session_id is not None and not await snapshot.run(
                    lambda connection: has_session(connection, Scope(org_id), session_id)):
                raise NotFound("session not found", reason="SESSION_NOT_FOUND")
            batches = await snapshot.run(
                lambda connection: _batches(_lines(read_rows(connection, org_id, session_id), secrets)))
            while batch := await snapshot.run(lambda _: next(batches, None)):
                yield batch

    async def take_in(self, org_id: str, lines: Sequence[str | bytes], first: int = 1) -> Taken:
        """Put lines into an org, all of them or none. `first` is the number of the first one, for errors.

        Raises InvalidArgument or FailedPrecondition naming the line.
        """
        rows = [row async for row in self.read(lines, first) if row is not None]
        return await self._database.write(lambda connection: _write(connection, org_id, rows))

    async def read(self, lines: Iterable[str | bytes], first: int = 1) -> AsyncIterator[tuple[int, str, Row] | None]:
        """Number, kind and row of each line; None for the header. Raises InvalidArgument naming the line."""
        columns = await self._database.read(
            lambda connection: {kind: columns_of(connection, kind) for kind in TABLES})
        for number, line in enumerate(lines, first):
            yield _of_line(number, lambda line=line: _row(line, columns))


def _lines(rows: Iterable[tuple[str, Row]], secrets: bool) -> Iterator[str]:
    yield _text(HEADER)
    for kind, row in rows:
        yield _text({"kind": kind, **{_camel(name): _shown(kind, name, value, secrets)
                                      for name, value in row.items() if value is not None}})


def _batches(lines: Iterable[str]) -> Iterator[list[str]]:
    batch: list[str] = []
    size = 0
    for line in lines:
        if batch and size + len(line) > _BATCH_CHARACTERS:
            yield batch
            batch, size = [], 0
        batch.append(line)
        size += len(line)
    if batch:
        yield batch


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
    kind = members.pop("kind", None) if isinstance(members, dict) else None
    if kind == HEADER["kind"]:
        if {"kind": kind, **members} != HEADER:
            raise InvalidArgument(f"is a history of another format or version: {_text(HEADER)} is what can be read")
        return None
    if kind not in TABLES:
        raise InvalidArgument.of("kind", f"must be one of {', '.join(TABLES)}")
    row = {_snake(name): _kept(kind, _snake(name), value) for name, value in members.items()}
    check_types(columns[kind], row)
    _check(kind, row)
    return kind, row


def _kept(kind: str, name: str, value: Any) -> Any:
    if (kind, name) in _DOCUMENTS and isinstance(value, dict):
        if (kind, name) == ("assistant", "document"):
            check_assistant(value, "document")
        if (kind, name) == ("squad", "document"):
            check_squad(value, "document")
        if (kind, name) == ("tool", "document"):
            check_tool(value, "document")
        return orjson.dumps(value)
    message = _MESSAGES.get((kind, name))
    if message is None or not isinstance(value, dict):
        return value
    try:
        # Read back: what is nested too deeply can be written and never read again.
        record = message.FromString(ParseDict(value, message()).SerializeToString())
        hide_secrets(record)
        return record.SerializeToString()
    except (ParseError, DecodeError, ValueError, RecursionError):
        raise InvalidArgument.of(name, "does not have the members of a " + message.DESCRIPTOR.name) from None


def _check(kind: str, row: Row) -> None:
    """What the types of the columns do not say."""
    for name in ("id", "thread_id", "parent_id", "session_id"):
        if row.get(name) is not None and parse_id(row[name]) != row[name]:
            raise InvalidArgument.of(name, "must be a UUID in lower case")
    if kind == "chat" and row["status"] == "in_progress":
        raise InvalidArgument.of("status", "must be that of an exchange that is over")


def _write(connection: Any, org_id: str, rows: list[tuple[int, str, Row]]) -> Taken:
    writer = Writer(connection, org_id)
    done = [_of_line(number, lambda kind=kind, row=row: (writer.write(kind, _owned(kind, row, org_id)),))
            for number, kind, row in rows]
    try:
        writer.finish()
    except FailedPrecondition as error:
        raise FailedPrecondition(f"the import {error.message}") from None
    imported = sum(new for _, new in done)
    return Taken(imported, len(done) - imported)


def _owned(kind: str, row: Row, org_id: str) -> Row:
    """The row with the org in its body, and with its own id: what a body says is what is deleted."""
    message = _MESSAGES.get((kind, "body"))
    if message not in (Chat, Session):
        return row
    body = message.FromString(row["body"])
    body.id, body.org_id = row["id"], org_id
    return {**row, "body": body.SerializeToString()}


def _of_line(number: int, work: Callable[[], tuple[Any, ...] | None]) -> Any:
    """What `work` makes of a line, after its number; its errors name the line."""
    try:
        made = work()
    except ServiceError as error:
        raise type(error)(f"line {number}: {error.message}", reason=error.reason, violations=error.violations) from None
    return made and (number, *made)


def _camel(name: str) -> str:
    head, *rest = name.split("_")
    return head + "".join(part.capitalize() for part in rest)


def _snake(name: str) -> str:
    return _UPPER.sub(lambda letter: f"_{letter[0].lower()}", name)
