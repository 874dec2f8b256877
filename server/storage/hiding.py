"""Masks secrets in the sessions and chats that earlier versions stored. For migrations; both engines run its
SQL."""

from typing import Any, Protocol

from google.protobuf.message import Message

from generated.parley.v1.chat_pb2 import Chat
from generated.parley.v1.chat_record_pb2 import ChatRecord
from generated.parley.v1.session_pb2 import Session
from server.content.record_secrets import hide_secrets

_AT_ONCE = 50
"""Rows. One of them may be megabytes large."""
_FORMS: dict[str, dict[str, type[Message]]] = {
    "sessions": {"body": Session},
    "chats": {"body": Chat, "record": ChatRecord},
}
"""The columns that had secrets, and the type of their content."""


class _Connection(Protocol):
    """The common part of both engines' connections, also outside of works."""

    def execute(self, sql: str, parameters: Any, /) -> Any: ...


def hide_stored_secrets(connection: _Connection) -> None:
    """Rewrite all rows that contain secrets without them."""
    for table, forms in _FORMS.items():
        last = ("", "")
        while rows := connection.execute(
            f"SELECT id, org_id, {', '.join(forms)} FROM {table} WHERE (id, org_id) > (?, ?) "
            f"ORDER BY id, org_id LIMIT {_AT_ONCE}",
            last,
        ).fetchall():
            for row_id, org_id, *blobs in rows:
                _hide_in_row(connection, table, row_id, org_id, blobs)
            last = tuple(rows[-1][:2])


def _hide_in_row(connection: _Connection, table: str, row_id: str, org_id: str, blobs: list[bytes]) -> None:
    for (column, form), blob in zip(_FORMS[table].items(), blobs, strict=True):
        record = form.FromString(blob)
        if hide_secrets(record):
            connection.execute(
                f"UPDATE {table} SET {column} = ? WHERE id = ? AND org_id = ?",
                [record.SerializeToString(), row_id, org_id],
            )
