"""The common part of the `parley` commands: options, settings, output and errors."""

import errno
import functools
import os
import sys
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any, NoReturn

import click
import orjson
import structlog
from pydantic import ValidationError

from server.core.config import Settings
from server.core.nearest import did_you_mean
from server.storage.store import Store, opened

_MESSAGES = {
    "dict_type": "must be a JSON object",
    "model_type": "must be a JSON object",
    "missing": "is required",
    "extra_forbidden": "is not a known member",
}
"""What is told instead of pydantic's own words, which name its classes or Python's types."""

log = structlog.get_logger()

# Usage errors take one line, as all other errors: without click's usage text before it.
click.UsageError.show = click.ClickException.show  # type: ignore[method-assign]  # there is no other way


class Commands(click.Group):
    """Commands that report in one line the file or folder that the system refused."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except OSError as error:
            # not from the system; click's own, for a reader that has closed
            if error.errno is None or error.errno == errno.EPIPE:
                raise
            fail(f"{error.filename}: {error.strerror}" if error.filename else str(error.strerror))


data_option = click.option(
    "--data", type=click.Path(path_type=Path, file_okay=False), help="Folder of the database. [./data]"
)
database_option = click.option(
    "--database", metavar="URL", help="postgresql://…, instead of the SQLite file in --data."
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


def where(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options for the location of the data; the command receives the settings."""

    @functools.wraps(command)
    def with_settings(data: Path | None, database: str | None, **options: Any) -> None:
        command(settings_of(data=data, database=database), **options)

    return data_option(database_option(with_settings))


def settings_of(**options: Any) -> Settings:
    """Return the settings from the environment and the given options; fails with one line when either is
    wrong."""
    given = {name: value for name, value in options.items() if value is not None}
    _warn_of_unknown_variables()
    try:
        return Settings(**given)
    except ValidationError as error:
        first = error.errors()[0]
        name, *inner = map(str, first["loc"])
        setting = (
            f"--{name.replace('_', '-')} (PARLEY_{name.upper()})"
            if name in options
            else f"PARLEY_{name.upper()}"
        )
        message = _MESSAGES.get(first["type"], first["msg"].removeprefix("Value error, "))
        fail(": ".join([setting, *([".".join(inner)] if inner else []), message]))


def _warn_of_unknown_variables() -> None:
    """Warn of unknown variables: a setting with a mistyped name would silently do nothing."""
    known = {name.upper() for name in Settings.model_fields}
    for name in sorted(os.environ):
        prefix, _, own = name.upper().partition("_")
        if prefix == "PARLEY" and own and own not in known:
            nearest = did_you_mean(own, known, "PARLEY_")
            log.warning(
                "unknown_setting",
                name=name,
                reason=f"parley has no such setting, so it does nothing{nearest}",
            )


def opened_store(
    settings: Settings, *, checked: bool = False, creates: bool = True
) -> AbstractAsyncContextManager[Store]:
    """Open the store that the settings name; `checked` and `creates` as in `open_store`."""
    return opened(
        settings.data,
        settings.database,
        settings.key_secret,
        settings.database_connections,
        checked=checked,
        creates=creates,
    )


def show(result: Any, as_json: bool, text: str) -> None:
    """Print a result as JSON or as text."""
    click.echo(orjson.dumps(result) if as_json else text)


def fail(text: str) -> NoReturn:
    """End the command with an error in one line."""
    raise click.ClickException(text)


def log_as_json() -> None:
    """Log to the standard error, one line of JSON per event."""
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(),
        ],
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
