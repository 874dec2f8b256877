"""WHERE, ORDER BY and pages of the list methods, from the filter members that their requests share.

Runs no SQL. Column names come from tables here, never from a caller; values are bound.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

from google.protobuf.message import Message as AnyMessage

from generated.parley.v1.chat_pb2 import PaginationMeta
from server.clock import parse_rfc3339
from server.errors import InvalidArgument
from server.ids import parse_id
from server.storage.scope import Scope

_COMPARISONS = {"gt": ">", "lt": "<", "ge": ">=", "le": "<="}
_DEFAULT_LIMIT = 100
_MOST_IDS = 1000


class Listing(NamedTuple):
    """One page of a list."""

    where: str
    parameters: list[Any]
    ascending: bool
    limit: int
    page: int

    def select(self, columns: str, table: str) -> tuple[str, list[Any]]:
        order = "ASC" if self.ascending else "DESC"
        sql = (f"SELECT {columns} FROM {table} WHERE {self.where} "
               f"ORDER BY created_at {order}, id {order} LIMIT ? OFFSET ?")
        return sql, [*self.parameters, self.limit, (self.page - 1) * self.limit]

    def count(self, table: str) -> tuple[str, list[Any]]:
        return f"SELECT count(*) FROM {table} WHERE {self.where}", self.parameters

    def metadata(self, total: int) -> PaginationMeta:
        pages = -(-total // self.limit) if self.limit else 0
        return PaginationMeta(items_per_page=self.limit, total_items=total, current_page=self.page, total_pages=pages,
                              has_next_page=self.page < pages, sort_order="ASC" if self.ascending else "DESC")


def listing_of(request: AnyMessage, scope: Scope, columns: Mapping[str, str], limit: int = _DEFAULT_LIMIT, *,
               more: int = 0) -> Listing:
    """The page that a list request asks for, and `more` rows. `columns` maps its own equality filters to columns.

    Raises InvalidArgument naming a time that cannot be read. An id that is none matches nothing, as an unknown one does.
    """
    condition, parameters = scope.where()
    conditions = [condition]
    for field, value in request.ListFields():
        sql, values = _condition(field.name, field.json_name, value, columns)
        if sql:
            conditions.append(sql)
            parameters += values
    given = {field.name: value for field, value in request.ListFields()}
    return Listing(" AND ".join(conditions), parameters, given.get("sort_order") == "ASC",
                   int(given.get("limit", limit)) + more, int(given.get("page", 1)))


def _condition(name: str, json_name: str, value: Any, columns: Mapping[str, str]) -> tuple[str, list[Any]]:
    stem, _, suffix = name.rpartition("_")
    if stem in ("created_at", "updated_at") and suffix in _COMPARISONS:
        return f"{stem} {_COMPARISONS[suffix]} ?", [_time(json_name, value)]
    if suffix == "any" and stem in columns:
        ids = [_id_or_text(part) for part in _parts(value)]
        if len(ids) > _MOST_IDS:
            raise InvalidArgument.of(json_name, f"has {len(ids)} ids; at most {_MOST_IDS} may be listed in one request")
        return (f"{columns[stem]} IN ({', '.join('?' * len(ids))})" if ids else "FALSE"), ids
    if name in columns:
        return f"{columns[name]} = ?", [_id_or_text(value)]
    return "", []


def _parts(value: Any) -> list[str]:
    texts = [value] if isinstance(value, str) else list(value)
    return [part.strip() for text in texts for part in text.split(",") if part.strip()]


def _id_or_text(text: str) -> str:
    return parse_id(text) or text


def _time(name: str, text: str) -> int:
    try:
        return parse_rfc3339(text.replace(" ", "+"))  # a `+` of an offset arrives as a space when it was not escaped
    except ValueError:
        raise InvalidArgument.of(name, "must be an RFC 3339 time such as 2026-01-31T12:00:00Z") from None
