"""What commands on an org's records share: their options, whole lists page by page, and what is not there."""

import contextlib
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import TypeVar

import click

from generated.parley.v1.chat_pb2 import PaginationMeta
from generated.parley.v1.chat_service_pb2 import ListChatsRequest
from generated.parley.v1.session_service_pb2 import ListSessionsRequest
from server.cli.console import fail
from server.core.errors import NotFound
from server.core.ids import parse_id

R = TypeVar("R")
Q = TypeVar("Q", ListChatsRequest, ListSessionsRequest)

_PAGE = 100

org_option = click.option("--org", default="dev", show_default=True, help="Name of the org.")
limit_option = click.option(
    "--limit", type=click.IntRange(min=1), default=20, show_default=True, help="How many at most."
)


async def pages(
    listed: Callable[[Q], Awaitable[tuple[list[R], PaginationMeta]]], request: Q, limit: int
) -> tuple[list[R], int]:
    """Return the first `limit` records of a list, and how many it has."""
    found: list[R] = []
    while True:
        request.limit = min(_PAGE, limit - len(found))
        records, metadata = await listed(request)
        found += records
        if len(found) >= limit or not metadata.has_next_page:
            return found, int(metadata.total_items)
        request.cursor = metadata.next_cursor


def ending(text: str, found: Sequence[object], total: int, nothing: str) -> str:
    """Return a list as text; when some of it is left out, with a line that says so."""
    if not found:
        return nothing
    return text if len(found) >= total else f"{text}\n{len(found)} of {total}; --limit shows more"


def parsed(name: str, text: str | None) -> str | None:
    """Return the id in an argument. Ends the command when it is none."""
    found = parse_id(text) if text is not None else None
    if text is not None and found is None:
        fail(f"{name}: {text!r} is no id; write it like 01234567-89ab-7cde-8123-456789abcdef")
    return found


@contextlib.contextmanager
def found_or_fail(noun: str, record_id: str, org: str) -> Iterator[None]:
    """End the command with the remedy when a record is not there."""
    try:
        yield
    except NotFound:
        fail(
            f"{noun} {record_id} does not exist in org {org}; `parley {noun}s list --org {org}` shows those that "
            "do, and --org names another org"
        )
