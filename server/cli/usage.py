"""`parley usage`: chats, tokens and cost by day, assistant, model, key or org, deleted chats included."""

from collections.abc import Sequence
from typing import Any

import click

from server.cli.console import fail, json_option, show, where
from server.cli.stored import with_store
from server.cli.tables import table
from server.core.clock import parse_rfc3339
from server.core.config import Settings
from server.storage.store import Store
from server.storage.usage import DIMENSIONS, Total

_WITHOUT = {"assistant": "(no stored assistant)", "model": "(deleted chats)"}


@click.command()
@where
@click.option("--org", help="Name of the org. [all orgs together]")
@click.option("--by", type=click.Choice(DIMENSIONS), default="day", show_default=True)
@click.option("--from", "start", metavar="TIME", help="From this day or time on, RFC 3339. [the first chat]")
@click.option("--to", "end", metavar="TIME", help="Up to this day or time, which is not included. [now]")
@json_option
def usage(
    settings: Settings, org: str | None, by: str, start: str | None, end: str | None, as_json: bool
) -> None:
    """Sum chats, tokens and cost by day, assistant, model, key or org. Days are those of UTC.

    Deleted chats are included; their models are not kept. A row with ~ has token counts that are estimates,
    because the provider reported none.
    """
    start_ms, end_ms = _time("--from", start), _time("--to", end)
    if start_ms is not None and end_ms is not None and start_ms >= end_ms:
        fail("--to must be later than --from")

    async def run(store: Store) -> list[Total]:
        org_id = (await store.orgs.get(org)).id if org is not None else None
        return await store.usage.totals(org_id, start_ms, end_ms, by)

    found = with_store(settings, run)
    nothing = f"no chats{f' of org {org}' if org else ''}{' in this time' if start or end else ''}"
    show([_json(by, one) for one in found], as_json, _table(by, found) if found else nothing)


def _time(option: str, text: str | None) -> int | None:
    try:
        return None if text is None else parse_rfc3339(text)
    except ValueError:
        fail(f"{option}: {text!r} is no time; write it like 2026-01-31 or 2026-01-31T12:00:00Z")


def _table(by: str, found: Sequence[Total]) -> str:
    headers = (by, "chats", "prompt", "completion", "", "cost USD", "name")
    rows = [(one.one or _WITHOUT.get(by, ""), *_numbers(one), one.name or "") for one in found]
    total = Total(None, None, *(sum(column) for column in zip(*(one[2:] for one in found), strict=True)))
    rows.append(("total", *_numbers(total), ""))
    named = len(headers) if any(one.name for one in found) else len(headers) - 1
    return table(headers[:named], [row[:named] for row in rows], right=frozenset({1, 2, 3, 5}))


def _numbers(one: Total) -> tuple[str, ...]:
    marked = "~" if one.estimated else ""
    return f"{one.chats:,}", f"{one.prompt_tokens:,}", f"{one.completion_tokens:,}", marked, f"{one.cost:.4f}"


def _json(by: str, one: Total) -> dict[str, Any]:
    return {
        by: one.one,
        **({"name": one.name} if by in ("assistant", "org") else {}),
        "chats": one.chats,
        "promptTokens": one.prompt_tokens,
        "completionTokens": one.completion_tokens,
        "cost": one.cost,
        "estimatedChats": one.estimated,
    }
