"""WHERE, ORDER BY and pages of the list methods, from the filter members that their requests share.

Runs no SQL. Column names come from tables in the code, never from a caller; values are bound.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from google.protobuf.message import Message as AnyMessage

from generated.parley.v1.chat_pb2 import Chat, PaginationMeta
from generated.parley.v1.session_pb2 import Session
from server.core.clock import ms_of, parse_rfc3339
from server.core.errors import InvalidArgument
from server.core.ids import parse_id
from server.storage.scope import Scope

_COMPARISONS = {"gt": ">", "lt": "<", "ge": ">=", "le": "<="}
_DEFAULT_LIMIT = 100
_MOST_IDS = 1000
_CURSOR = re.compile(r"([1-9][0-9]{0,9})\.(-?[0-9]{1,15})\.([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})")
"""The number of a page, and the time and the id of the record before it."""


class Place(NamedTuple):
    """Position of a record in a list."""

    created_at: int
    id: str


class Listing(NamedTuple):
    """One page of a list."""

    where: str
    parameters: list[Any]
    ascending: bool
    limit: int
    page: int
    after: Place | None = None
    """The record before the page, by which it is found: not by its number, however deep it is."""

    def select(self, columns: str, table: str) -> tuple[str, list[Any]]:
        """Return the SQL for the rows of the page, and for one more when another page follows."""
        order, following = ("ASC", ">") if self.ascending else ("DESC", "<")
        where, parameters, skipped = self.where, self.parameters, (self.page - 1) * self.limit
        if self.after:
            where, parameters, skipped = (
                f"{where} AND (created_at, id) {following} (?, ?)",
                [*parameters, *self.after],
                0,
            )
        # The ids are selected first: an index provides them, and skipped rows are not read.
        sql = (
            f"SELECT {columns} FROM (SELECT id AS listed_id FROM {table} WHERE {where} "
            f"ORDER BY created_at {order}, id {order} LIMIT ? OFFSET ?) AS page "
            f"CROSS JOIN {table} WHERE org_id = ? AND id = listed_id ORDER BY created_at {order}, id {order}"
        )
        return sql, [*parameters, self.limit + 1, skipped, self.parameters[0]]

    def count_all(self, table: str) -> tuple[str, list[Any]]:
        """Return the SQL for the number of rows on all pages. The total of an org is stored."""
        if self.where == "org_id = ?":
            return "SELECT coalesce(sum(total), 0) FROM totals WHERE org_id = ? AND noun = ?", [
                *self.parameters,
                table,
            ]
        return f"SELECT count(*) FROM {table} WHERE {self.where}", self.parameters

    def metadata(self, total: int, following: Place | None) -> PaginationMeta:
        """Return the position in the list. `following` is the last record of the page when another page
        follows."""
        pages = -(-total // self.limit) if self.limit else 0
        cursor = f"{self.page + 1}.{following.created_at}.{following.id}" if following else None
        return PaginationMeta(
            items_per_page=self.limit,
            total_items=total,
            current_page=self.page,
            total_pages=pages,
            has_next_page=following is not None,
            sort_order="ASC" if self.ascending else "DESC",
            next_cursor=cursor,
        )


def last_of(shown: Sequence[Chat | Session]) -> Place | None:
    """Return the position of the last record of a page; None for an empty one."""
    return Place(ms_of(shown[-1].created_at), shown[-1].id) if shown else None


def listing_of(
    request: AnyMessage, scope: Scope, columns: Mapping[str, str], limit: int = _DEFAULT_LIMIT
) -> Listing:
    """Return the page that a list request selects. `columns` maps its own equality filters to columns.

    Raises InvalidArgument naming an invalid time. An invalid id matches nothing, as an unknown one does.
    """
    condition, parameters = scope.where()
    conditions = [condition]
    for field, value in request.ListFields():
        sql, values = _condition(field.name, field.json_name, value, columns)
        if sql:
            conditions.append(sql)
            parameters += values
    given = {field.name: value for field, value in request.ListFields()}
    page, after = _cursor(given) if "cursor" in given else (int(given.get("page", 1)), None)
    return Listing(
        " AND ".join(conditions),
        parameters,
        given.get("sort_order") == "ASC",
        int(given.get("limit", limit)),
        page,
        after,
    )


def _cursor(given: Mapping[str, Any]) -> tuple[int, Place]:
    """Return the page number in a cursor, and the position after which the page begins."""
    if "page" in given:
        raise InvalidArgument.of("cursor", "cannot be given together with `page`; leave one of them out")
    match = _CURSOR.fullmatch(given["cursor"])
    if match is None:
        raise InvalidArgument.of(
            "cursor", "must be the `nextCursor` of a page; leave it out for the first page"
        )
    page, created_at, record_id = match.groups()
    return int(page), Place(int(created_at), record_id)


def _condition(name: str, json_name: str, value: Any, columns: Mapping[str, str]) -> tuple[str, list[Any]]:
    stem, _, suffix = name.rpartition("_")
    if stem in ("created_at", "updated_at") and suffix in _COMPARISONS:
        return f"{stem} {_COMPARISONS[suffix]} ?", [_time(json_name, value)]
    if suffix == "any" and stem in columns:
        ids = [_id_or_text(part) for part in _parts(value)]
        if len(ids) > _MOST_IDS:
            raise InvalidArgument.of(
                json_name, f"has {len(ids)} ids; at most {_MOST_IDS} may be listed in one request"
            )
        if len(ids) == 1:
            return f"{columns[stem]} = ?", ids  # an index then also has the order of the page
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
        # the `+` of an offset arrives as a space unless it was escaped
        return parse_rfc3339(text.replace(" ", "+"))
    except ValueError:
        raise InvalidArgument.of(name, "must be an RFC 3339 time such as 2026-01-31T12:00:00Z") from None
