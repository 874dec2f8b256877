"""What the commands of `parley` share: their common options, how they read settings, how they print and how they fail."""

import errno
import functools
import sys
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any, NoReturn

import click
import orjson
import structlog
from pydantic import ValidationError
from pydantic_settings import SettingsError

from server.config import Settings
from server.storage.store import Store, opened

# A wrong command line is told in one line, as everything else: without click's usage text before it.
click.UsageError.show = click.ClickException.show


class Commands(click.Group):
    """Commands that tell in one line which file or folder the system refused them."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except OSError as error:
            if error.errno is None or error.errno == errno.EPIPE:  # not of the system; click's, whose reader has gone
                raise
            fail(f"{error.filename}: {error.strerror}" if error.filename else str(error.strerror))


data_option = click.option(
    "--data", type=click.Path(path_type=Path, file_okay=False), help="Folder of the database. [./data]")
database_option = click.option("--database", metavar="URL", help="postgresql://…, instead of the SQLite file in --data.")
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


def where(command: Callable[..., None]) -> Callable[..., None]:
    """The options that say where the data is; the command gets the settings."""
    @functools.wraps(command)
    def with_settings(data: Path | None, database: str | None, **options: Any) -> None:
        command(settings_of(data=data, database=database), **options)

    return data_option(database_option(with_settings))


def settings_of(**options: Any) -> Settings:
    """The environment with the options that were given; one line when either is wrong."""
    given = {name: value for name, value in options.items() if value is not None}
    try:
        return Settings(**given)
    except ValidationError as error:
        first = error.errors()[0]
        name = str(first["loc"][0])
        fail(f"--{name.replace('_', '-')} (PARLEY_{name.upper()}): {first['msg'].removeprefix('Value error, ')}")
    except SettingsError as error:  # a PARLEY_… that must be JSON and is not
        fail(str(error))


def opened_store(settings: Settings, *, checked: bool = False, creates: bool = True) -> AbstractAsyncContextManager[Store]:
    """The store that the settings name; `checked` and `creates` as `open_store` has them."""
    return opened(settings.data, settings.database, settings.key_secret, settings.database_connections, checked=checked,
                  creates=creates)


def show(result: Any, as_json: bool, text: str) -> None:
    click.echo(orjson.dumps(result) if as_json else text)


def fail(text: str) -> NoReturn:
    raise click.ClickException(text)


def log_as_json() -> None:
    """Log to the standard error, a line of JSON for each."""
    structlog.configure(
        processors=[structlog.processors.add_log_level, structlog.processors.TimeStamper(fmt="iso", utc=True),
                    structlog.processors.format_exc_info, structlog.processors.JSONRenderer()],
        logger_factory=structlog.PrintLoggerFactory(sys.stderr), cache_logger_on_first_use=True)
