"""`parley orgs`: list, create and show the orgs of a store."""

from typing import Any

import click

from server.cli.commands import Commands
from server.cli.console import fail, json_option, show, where
from server.cli.stored import with_store
from server.cli.tables import moment, pairs, table
from server.core.config import Settings
from server.storage.orgs import Org

_MOST_NAME = 100


@click.group(cls=Commands)
def orgs() -> None:
    """List, create and show orgs, the tenants that own keys and records."""


@orgs.command("list")
@where
@json_option
def list_orgs(settings: Settings, as_json: bool) -> None:
    """List all orgs with the numbers of their records."""
    found = with_store(settings, lambda store: store.orgs.list())
    rows = [
        (one.id, str(one.keys), str(one.assistants), str(one.sessions), str(one.chats), one.name)
        for one in found
    ]
    text = table(
        ("id", "keys", "assistants", "sessions", "chats", "name"), rows, right=frozenset({1, 2, 3, 4})
    )
    show(
        [_json(one) for one in found],
        as_json,
        text if found else "no orgs; `parley orgs create NAME` makes one",
    )


@orgs.command("create")
@where
@click.argument("name")
@json_option
def create_org(settings: Settings, name: str, as_json: bool) -> None:
    """Create an org without keys, and print its id; `parley keys create` makes its first key."""
    if not name.strip() or name != name.strip() or not name.isprintable() or len(name) > _MOST_NAME:
        fail(
            f"NAME must have 1 to {_MOST_NAME} printable characters, none of them a space at its beginning or end"
        )
    made = with_store(settings, lambda store: store.orgs.create(name), creates=True)
    show(_json(made), as_json, made.id)


@orgs.command("show")
@where
@click.argument("org", metavar="NAME|ID")
@json_option
def show_org(settings: Settings, org: str, as_json: bool) -> None:
    """Show one org with the numbers of its records."""
    found = with_store(settings, lambda store: store.orgs.get(org))
    text = pairs(
        [
            ("id", found.id),
            ("name", found.name),
            ("created", moment(found.created_at)),
            *((noun, str(getattr(found, noun))) for noun in ("keys", "assistants", "squads", "tools")),
            ("sessions", str(found.sessions)),
            ("chats", str(found.chats)),
            ("last chat", moment(found.last_chat_at) or "none"),
        ]
    )
    show(_json(found), as_json, text)


def _json(org: Org) -> dict[str, Any]:
    return {
        "id": org.id,
        "name": org.name,
        "createdAt": org.created_at,
        **{
            noun: getattr(org, noun)
            for noun in ("keys", "assistants", "squads", "tools", "sessions", "chats")
        },
        "lastChatAt": org.last_chat_at,
    }
