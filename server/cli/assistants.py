"""`parley assistants`: an operator's way to them without HTTP. `assistant_files.py` reads and compares files."""

import contextlib
from collections.abc import Sequence
from typing import Any, BinaryIO

import click
import orjson

from server.cli.assistant_files import Change, changes, exported, read_file
from server.cli.commands import Commands
from server.cli.console import fail, json_option, show, where
from server.cli.records import found_or_fail, org_option, parsed
from server.cli.stored import with_store
from server.cli.tables import moment, printable, table
from server.content.secrets import mask_secrets
from server.core.config import Settings
from server.core.errors import NotFound
from server.storage.documents import Document
from server.storage.store import Store

_file = click.argument("file", type=click.File("rb"))
_MOST = 1_000_000
_DIFFERS = 1


class _Trouble(click.ClickException):
    """An error where the exit code 1 means a difference, as with `diff`."""

    exit_code = 2


@click.group(cls=Commands)
def assistants() -> None:
    """Manage assistants without HTTP."""


@assistants.command("list")
@where
@org_option
@json_option
def list_assistants(settings: Settings, org: str, as_json: bool) -> None:
    """List the assistants of an org, the newest first."""

    async def run(store: Store) -> list[Document]:
        return await _all(store, (await store.orgs.get(org)).id)

    found = with_store(settings, run)
    rows = [
        (one.id, moment(one.updated_at), str(one.content.get("name") or ""), _model(one.content))
        for one in found
    ]
    text = table(("id", "changed", "name", "model"), rows) if found else f"no assistants of org {org}"
    listed = [
        {
            "id": one.id,
            "name": one.content.get("name"),
            "model": _model(one.content) or None,
            "createdAt": one.created_at,
            "updatedAt": one.updated_at,
            "version": one.version,
        }
        for one in found
    ]
    show(listed, as_json, text)


@assistants.command("apply")
@where
@org_option
@_file
@json_option
def apply_assistant(settings: Settings, org: str, file: BinaryIO, as_json: bool) -> None:
    """Store the assistants in FILE: each in place of the org's assistant of that name, or as a new one.

    FILE has one assistant, or an array of them. Where several have a name, and for an assistant without one,
    the `id` in FILE says which one is replaced. Nothing is stored when one of them is wrong.
    """
    documents, is_list = read_file(file, settings)

    async def apply(store: Store) -> list[Document]:
        org_id = await store.keys.org_id(org)
        return [
            await store.assistants.replace(change.stored, change.content)
            if change.stored
            else await store.assistants.create(org_id, change.content)
            for change in await changes(store, org_id, documents)
        ]

    stored = [{"id": one.id, **mask_secrets(one.content)} for one in with_store(settings, apply)]
    show(stored if is_list else stored[0], as_json, "\n".join(one["id"] for one in stored))


@assistants.command("diff")
@where
@org_option
@_file
@json_option
@click.pass_context
def diff_assistant(
    context: click.Context, settings: Settings, org: str, file: BinaryIO, as_json: bool
) -> None:
    """Show what `apply` would change; the exit code is 1 when that is anything, and 2 after an error.

    Secrets are masked; one that would change is marked.
    """
    try:
        documents, _ = read_file(file, settings)

        async def run(store: Store) -> list[Change]:
            return await changes(store, await store.keys.org_id(org), documents)

        found = with_store(settings, run)
    except click.ClickException as error:
        raise _Trouble(error.message) from None
    differing = [one for one in found if one.lines]
    text = "\n".join(line for one in differing for line in _coloured(one.lines))
    show([_json(one) for one in found], as_json, text or "no difference")
    context.exit(_DIFFERS if differing else 0)


@assistants.command("export")
@where
@org_option
@click.argument("ids", nargs=-1, metavar="[ID…]")
@click.option("--json", "as_json", is_flag=True, help="Print JSON in one line; it is JSON anyway.")
def export_assistants(settings: Settings, org: str, ids: Sequence[str], as_json: bool) -> None:
    """Print assistants as JSON that `apply` takes: the named ones, or all of the org.

    Secrets are masked: `apply` to the same org leaves the stored ones as they are, and to another org it
    wants them in the file.
    """

    async def run(store: Store) -> list[Document]:
        org_id = (await store.orgs.get(org)).id
        if not ids:
            return await _all(store, org_id)
        found = []
        for one in ids:
            with found_or_fail("assistant", one, org):
                found.append(await store.assistants.get(org_id, parsed("ID", one)))
        return found

    documents = [exported(one) for one in with_store(settings, run)]
    if not documents:
        fail(f"org {org} has no assistants; `parley assistants apply FILE --org {org}` stores one")
    option = None if as_json else orjson.OPT_INDENT_2
    click.echo(orjson.dumps(documents[0] if len(ids) == 1 else documents, option=option))


async def _all(store: Store, org_id: str) -> list[Document]:
    found = []
    for one in (await store.assistants.names(org_id, _MOST))[0]:
        with contextlib.suppress(NotFound):  # deleted meanwhile
            found.append(await store.assistants.get(org_id, one.id))
    return found


def _json(change: Change) -> dict[str, Any]:
    action = "none" if not change.lines else "replace" if change.stored else "create"
    return {
        "id": change.stored.id if change.stored else None,
        "name": change.content.get("name"),
        "action": action,
        "diff": change.lines,
    }


def _coloured(lines: Sequence[str]) -> list[str]:
    return [click.style(printable(line), fg={"+": "green", "-": "red"}.get(line[:1])) for line in lines]


def _model(content: dict[str, Any]) -> str:
    model = content.get("model")
    if not isinstance(model, dict):
        return ""
    return "/".join(str(model[name]) for name in ("provider", "model") if model.get(name))
