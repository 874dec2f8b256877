"""`parley config`: prints the settings, and where each comes from. Changes nothing."""

import re
from pathlib import Path
from typing import Any

import click
import orjson

from server.cli.commands import Commands
from server.cli.console import json_option, read_of, show
from server.cli.options import SettingsCommand, every_setting
from server.cli.settings import SECRETS, Read
from server.core.config import Address, Settings

DEFAULT = "default"
MASK = "****"
_PASSWORD = re.compile(r"(://[^:/@?#]*:).*@")
_PARAMETER = re.compile(r"([?&][\w.-]*(?:key|password|secret|token)[\w.-]*=)[^&#]*", re.IGNORECASE)


@click.group(cls=Commands)
def config() -> None:
    """Look at the settings."""


@config.command("show", cls=SettingsCommand)
@every_setting
@json_option
def show_settings(config: Path | None, as_json: bool, **flags: Any) -> None:
    """Print every setting, its value and where it comes from, with secrets masked.

    Takes the flags of `parley serve`, and shows what that would serve with.
    """
    rows = rows_of(read_of(config, **flags))
    width = max(len(row["name"]) for row in rows)
    show(
        rows,
        as_json,
        "\n".join(f"{row['name']:{width}}  {_shown(row['value'])}  ({row['origin']})" for row in rows),
    )


def rows_of(read: Read) -> list[dict[str, Any]]:
    """Each setting with its value, as a setting takes it, and its origin."""
    values = read.settings.model_dump(mode="json", by_alias=True)
    values |= {name: str(value) for name, value in read.settings if isinstance(value, Address)}
    for name in SECRETS:
        values[name] = masked(name, values[name])
    values["provider_urls"] = {name: without_password(url) for name, url in values["provider_urls"].items()}
    found = {"provider_keys": read.keys, "provider_urls": read.urls}
    return [
        {
            "name": name,
            "value": values[name],
            "origin": ", ".join(dict.fromkeys(found.get(name, {}).values()))
            or read.origins.get(name, DEFAULT),
        }
        for name in Settings.model_fields
    ]


def masked(name: str, value: Any) -> Any:
    """A secret as it is shown: that it is there; of a URL all but the password."""
    if isinstance(value, dict):
        return dict.fromkeys(value, MASK)
    return without_password(value) if name == "database" and value else value and MASK


def without_password(url: str) -> str:
    """A URL with what it holds of secrets masked: the password, and parameters of such names."""
    return _PARAMETER.sub(rf"\1{MASK}", _PASSWORD.sub(rf"\1{MASK}@", url))


def _shown(value: Any) -> str:
    if isinstance(value, str):
        return value
    return "not set" if value is None else orjson.dumps(value).decode()
