"""The common parts of the commands of `parley`: options, settings, output and errors.

Loads little: `parley serve --help` needs no more than this.
"""

import functools
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click

if TYPE_CHECKING:
    from server.cli.settings import Read
    from server.core.config import Settings

data_option = click.option(
    "--data", type=click.Path(path_type=Path, file_okay=False), help="Folder of the database. [./data]"
)
database_option = click.option(
    "--database", metavar="URL", help="postgresql://…, instead of the SQLite file in --data."
)
config_option = click.option(
    "--config",
    type=click.Path(path_type=Path),
    help="A file of settings; PARLEY_CONFIG names it too. [parley.toml, where it exists]",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


def where(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options for the location of the data; the command receives the settings."""

    @functools.wraps(command)
    def with_settings(data: Path | None, database: str | None, config: Path | None, **options: Any) -> None:
        command(settings_of(config, data=data, database=database), **options)

    return data_option(database_option(config_option(with_settings)))


def settings_of(config: Path | None = None, **flags: Any) -> "Settings":
    """The settings with the flags that were given; one line when one is wrong."""
    return read_of(config, **flags).settings


def read_of(config: Path | None = None, **flags: Any) -> "Read":
    """The settings and their origins; one line when one is wrong."""
    from server.cli.settings import SettingsError, read_settings
    from server.core.telemetry import logs

    logs.configure()
    given = {name: value for name, value in flags.items() if value is not None}
    try:
        read = read_settings(given, os.environ, config)
    except SettingsError as error:
        fail(str(error))
    logs.configure(read.settings.log_level, read.settings.log_format)
    _warn_of_unknown(read.unknown)
    return read


def _warn_of_unknown(variables: Mapping[str, str]) -> None:
    import structlog

    log = structlog.get_logger()
    for name, nearest in variables.items():
        log.warning(
            "unknown_setting", name=name, reason=f"parley has no such setting, so it does nothing{nearest}"
        )


def show(result: Any, as_json: bool, text: str) -> None:
    """Print the result of a command, as JSON or as text."""
    import orjson

    click.echo(orjson.dumps(result) if as_json else text)


def fail(text: str) -> NoReturn:
    """End the command with an error in one line."""
    raise click.ClickException(text)
