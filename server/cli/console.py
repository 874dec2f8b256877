"""The common parts of the commands of `parley`: options, settings, output and errors.

Loads little: `parley serve --help` needs no more than this.
"""

import functools
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click

if TYPE_CHECKING:
    from server.core.config import Settings

_MESSAGES = {
    "dict_type": "must be a JSON object",
    "model_type": "must be a JSON object",
    "missing": "is required",
    "extra_forbidden": "is not a known member",
}
"""Texts in place of pydantic's own, which name its classes or Python's types."""

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


def settings_of(**options: Any) -> "Settings":
    """The environment with the options that were given; one line when either is wrong."""
    from pydantic import ValidationError

    from server.core.config import Settings

    log_as_json()
    given = {name: value for name, value in options.items() if value is not None}
    _warn_of_unknown_variables({name.upper() for name in Settings.model_fields})
    try:
        settings = Settings(**given)
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

    return settings.model_copy(update={"provider_keys": _with_conventional_keys(settings)})


def _with_conventional_keys(settings: "Settings") -> dict[str, str]:
    """The keys of PARLEY_PROVIDER_KEYS, and those of OPENAI_API_KEY and the like for other providers.

    A provider with a URL of the operator's own gets none of these: they are for the provider's own servers.
    """
    from server.core.provider_variables import keys_in

    found = {
        provider: key
        for provider, (_, key) in keys_in(os.environ).items()
        if provider not in settings.provider_urls
    }
    return {**found, **settings.provider_keys}


def _warn_of_unknown_variables(known: set[str]) -> None:
    """Warn of variables that are no settings: a mistyped name would have no effect, unnoticed."""
    import structlog

    from server.core.nearest import did_you_mean

    log = structlog.get_logger()
    for name in sorted(os.environ):
        prefix, _, own = name.upper().partition("_")
        if prefix == "PARLEY" and own and own not in known:
            nearest = did_you_mean(own, known, "PARLEY_")
            log.warning(
                "unknown_setting",
                name=name,
                reason=f"parley has no such setting, so it does nothing{nearest}",
            )


def show(result: Any, as_json: bool, text: str) -> None:
    """Print the result of a command, as JSON or as text."""
    import orjson

    click.echo(orjson.dumps(result) if as_json else text)


def fail(text: str) -> NoReturn:
    """End the command with an error in one line."""
    raise click.ClickException(text)


def log_as_json() -> None:
    """Log to the standard error, a line of JSON for each."""
    import structlog

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
