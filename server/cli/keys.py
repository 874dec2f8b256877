"""`parley keys`: make, list and revoke the keys of orgs."""

from typing import Any

import click

from server.cli.commands import Commands
from server.cli.console import fail, json_option, show, where
from server.cli.stored import with_store
from server.core.clock import now_ms, parse_rfc3339
from server.core.config import Settings
from server.storage.keys import KINDS


@click.group(cls=Commands)
def keys() -> None:
    """Make, list and revoke the keys of orgs."""


@keys.command("create")
@where
@click.option("--org", required=True, help="Name of the org; made when it is new.")
@click.option("--kind", type=click.Choice(KINDS), required=True)
@click.option("--expires", metavar="TIME", help="When it ends, RFC 3339: a day or a time. [never]")
@json_option
def create_key(settings: Settings, org: str, kind: str, expires: str | None, as_json: bool) -> None:
    """Make a key and print it: the only time that it is shown."""
    ends = {} if expires is None else {"expiresAt": _later(expires)}
    made = with_store(
        settings, lambda store: store.keys.create(org, kind, ends.get("expiresAt")), creates=True
    )
    show({"id": made.id, "org": made.org_id, "kind": made.kind, **ends, "key": made.key}, as_json, made.key)


def _later(text: str) -> int:
    try:
        moment = parse_rfc3339(text)
    except ValueError:
        fail(f"--expires: {text!r} is no time; write it like 2030-12-31 or 2030-12-31T12:00:00Z")
    if moment <= now_ms():
        fail(f"--expires: {text} is past")
    return moment


@keys.command("list")
@where
@json_option
def list_keys(settings: Settings, as_json: bool) -> None:
    """List the keys, without their text."""
    found = with_store(settings, lambda store: store.keys.list())
    lines = [f"{key['id']}  {key['kind']:<11}  {key['orgName']}{_ended(key)}" for key in found]
    show(found, as_json, "\n".join(lines))


def _ended(key: dict[str, Any]) -> str:
    if key["revokedAt"]:
        return "  revoked"
    return "  expired" if key["expiresAt"] and key["expiresAt"] <= now_ms() else ""


@keys.command("revoke")
@where
@click.argument("key_id")
@json_option
def revoke_key(settings: Settings, key_id: str, as_json: bool) -> None:
    """Make a key useless at once."""
    with_store(settings, lambda store: store.keys.revoke(key_id))
    show({"id": key_id, "revoked": True}, as_json, f"revoked {key_id}")
