"""Stored completions: the chats that chat completions made, listed by their metadata, and changed in it.

Reads and deletes no single chat (`chats.py`), and knows no door.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import orjson
from google.protobuf.struct_pb2 import Struct

from generated.parley.v1.chat_record_pb2 import ChatRecord
from server.content.budget import fitting
from server.content.json_values import to_python
from server.core.errors import NotFound
from server.storage.database import Connection, Database
from server.storage.listing import Listing, Place
from server.storage.scope import Scope
from server.storage.stored_chats import SIZE, StoredChat, shown_alone

_OVER = "status <> 'in_progress'"
_STORED = f"completion IS NOT NULL AND {_OVER}"


class Wanted(NamedTuple):
    """The page that a list request selects."""

    after: str | None
    """Id of the completion that the page follows."""
    ascending: bool
    limit: int
    assistant_id: str | None = None
    model: str | None = None
    """As the provider names it."""
    metadata: Mapping[str, str] = {}
    """Members that the metadata have."""


class Completions:
    """The stored completions."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def list(self, scope: Scope, wanted: Wanted) -> tuple[Sequence[StoredChat], bool]:
        """Return one page of completions with their messages, and whether more follow; as many as fit into one
        answer, at least one. Raises NotFound for an `after` that is none."""
        return await self._database.read(lambda connection: _page(connection, scope, wanted), long=True)

    async def update(self, scope: Scope, chat_id: str, metadata: Struct) -> None:
        """Replace the metadata of an exchange, which is listed from then on. Raises NotFound."""
        await self._database.write(lambda connection: _update(connection, scope, chat_id, metadata))


def searchable(record: ChatRecord) -> str | None:
    """Return the metadata of a completion as the table has them, a line for each member between line feeds; None
    for what is no completion.

    No JSON string has a line feed, so that a whole line is found by its text in both databases.
    """
    if not record.HasField("completion"):
        return None
    return "".join(f"\n{_line(*member)}\n" for member in to_python(record.completion.metadata).items())


def _line(name: str, value: Any) -> str:
    return f"{orjson.dumps(name).decode()}:{orjson.dumps(value).decode()}"


def _page(connection: Connection, scope: Scope, wanted: Wanted) -> tuple[Sequence[StoredChat], bool]:
    listing = _listing(connection, scope, wanted)
    found = connection.execute(*listing.select(f"id, {SIZE}", "chats")).fetchall()
    count = fitting([size for _, size in found[: wanted.limit]])
    shown = shown_alone(connection, scope.org_id, [chat_id for chat_id, _ in found[:count]]) if found else {}
    return [shown[chat_id] for chat_id, _ in found[:count]], len(found) > count


def _listing(connection: Connection, scope: Scope, wanted: Wanted) -> Listing:
    own, parameters = scope.where()
    conditions, values = [f"{own} AND {_STORED}"], list[Any](parameters)
    for column, value in (("assistant_id", wanted.assistant_id), ("model", wanted.model)):
        if value is not None:
            conditions.append(f"{column} = ?")
            values.append(value)
    for member in wanted.metadata.items():
        conditions.append("replace(completion, ?, '') <> completion")
        values.append(f"\n{_line(*member)}\n")
    after = None if wanted.after is None else _place(connection, scope, wanted.after)
    return Listing(" AND ".join(conditions), values, wanted.ascending, wanted.limit, 1, after)


def _place(connection: Connection, scope: Scope, chat_id: str) -> Place:
    condition, parameters = scope.where()
    row = connection.execute(
        f"SELECT created_at, id FROM chats WHERE id = ? AND {condition} AND {_STORED}", [chat_id, *parameters]
    ).fetchone()
    if row is None:
        raise NotFound("the completion named by `after` is not in this list", reason="COMPLETION_NOT_FOUND")
    return Place(*row)


def _update(connection: Connection, scope: Scope, chat_id: str, metadata: Struct) -> None:
    condition, parameters = scope.where()
    row = connection.execute(
        f"SELECT record FROM chats WHERE id = ? AND {condition} AND {_OVER}", [chat_id, *parameters]
    ).fetchone()
    if row is None:
        raise NotFound("chat not found", reason="CHAT_NOT_FOUND")
    record = ChatRecord.FromString(row[0])
    record.completion.metadata.CopyFrom(metadata)
    connection.execute(
        "UPDATE chats SET record = ?, completion = ? WHERE org_id = ? AND id = ?",
        [record.SerializeToString(), searchable(record), scope.org_id, chat_id],
    )
