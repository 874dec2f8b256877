"""`parley assistants`: an operator's way to them without HTTP."""

import contextlib
from typing import Any, BinaryIO

import click
import orjson

from server.agents.documents import check_assistant, without_server_members
from server.agents.names import MOST_OF_ONE_NAME, listed
from server.cli.commands import Commands
from server.cli.console import fail, json_option, show, where
from server.cli.stored import with_store
from server.content.secrets import mask_secrets, restore_secrets
from server.core.config import Settings
from server.core.errors import InvalidArgument, NotFound
from server.core.ids import parse_id
from server.storage.documents import Document
from server.storage.store import Store


@click.group(cls=Commands)
def assistants() -> None:
    """Manage assistants without HTTP."""


@assistants.command("apply")
@where
@click.option("--org", default="dev", show_default=True, help="Name of the org.")
@click.argument("file", type=click.File("rb"))
@json_option
def apply_assistant(settings: Settings, org: str, file: BinaryIO, as_json: bool) -> None:
    """Store the assistant in FILE: in place of the org's assistant of that name, or as a new one.

    Where several have the name, the `id` in FILE says which one is replaced.
    """
    try:
        document = orjson.loads(file.read())
    except orjson.JSONDecodeError:
        fail(f"{file.name} is not JSON")

    async def apply(store: Store) -> Document:
        check_assistant(document)
        _check_provider(document.get("model") or {}, settings)
        org_id = await store.keys.org_id(org)
        found = await _replaced(store, org_id, document)
        content = restore_secrets(without_server_members(document), found.content if found else {})
        if found:
            return await store.assistants.replace(found, content)
        return await store.assistants.create(org_id, content)

    stored = with_store(settings, apply)
    show({"id": stored.id, **mask_secrets(stored.content)}, as_json, stored.id)


async def _replaced(store: Store, org_id: str, document: dict[str, Any]) -> Document | None:
    """The stored assistant that a file is applied to; None when it is a new one. Raises InvalidArgument for
    several."""
    name = document.get("name")
    ids = await store.assistants.ids_of(org_id, name, MOST_OF_ONE_NAME + 1) if name else []
    if len(ids) > 1:
        return await _of_one_name(store, org_id, document, ids)
    return await store.assistants.get(org_id, ids[0]) if ids else None


async def _of_one_name(store: Store, org_id: str, document: dict[str, Any], ids: list[str]) -> Document:
    with contextlib.suppress(NotFound):
        named = await store.assistants.get(org_id, parse_id(str(document.get("id"))))
        if named.content.get("name") == document["name"]:
            return named
    raise InvalidArgument.of(
        "name",
        f"'{document['name']}' is the name of several assistants; put the id of the one to be "
        f'replaced into the file, as "id": {listed(ids)}',
    )


def _check_provider(model: dict[str, Any], settings: Settings) -> None:
    # with what calls models, which other commands need not load
    from server.backends.providers import check_callable

    if provider := model.get("provider"):
        check_callable(provider, model.get("url"), settings.provider_urls)
