"""Reads the settings from their four places: defaults, then `parley.toml`, environment and flags, each over the
one before.

Says where each value comes from. Does not act on the settings, and does not print them (`config.py`).
"""

import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import ValidationError

from server.core.config import Settings
from server.core.nearest import did_you_mean
from server.core.provider_variables import KEYS, Found, keys_in, urls_in

FILE = "parley.toml"
FILE_VARIABLE = "PARLEY_CONFIG"
PREFIX = "PARLEY_"
_FROM_FILE = "_FILE"
SECRETS = frozenset(name for name, one in Settings.model_fields.items() if not one.repr)
"""Settings that are never printed as they are, and may be read from a file of their own."""
_OF_CALLERS = {"KEY"}
"""Variables that `parley load` and the examples for callers read, and no server."""
_MESSAGES = {
    "dict_type": "must be a JSON object",
    "model_type": "must be a JSON object",
    "missing": "is required",
    "extra_forbidden": "is not a known member",
    "frozen_set_type": "must be a list of host[:port]",
}
"""Error texts in place of pydantic's own, which name its classes or Python's types."""


class SettingsError(Exception):
    """A setting is wrong; the message is one line for the operator."""


class Value(NamedTuple):
    """A setting as it was given, and where."""

    value: Any
    origin: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Read:
    """All settings, and where those come from that are not defaults."""

    settings: Settings
    origins: dict[str, str]
    keys: dict[str, str] = field(repr=False)
    """Where the key of each provider comes from."""
    urls: dict[str, str]
    """Where the base URL of each provider comes from."""
    unknown: dict[str, str]
    """Variables `PARLEY_…` that are no setting, with the suggestion to append."""


def read_settings(flags: Mapping[str, Any], environment: Mapping[str, str], file: Path | None = None) -> Read:
    """Read all settings. `flags` are those that were given; `file` is that of `--config`.

    Raises SettingsError.
    """
    variables = _with_files(environment)
    given = {
        **_from_toml(file or _named_file(environment)),
        **_from_environment(variables),
        **{name: Value(value, _flag(name, value)) for name, value in flags.items()},
    }
    try:
        settings = Settings(**{name: one.value for name, one in given.items()})
    except ValidationError as error:
        raise SettingsError(_worded(error, given)) from None
    keys, urls = _provider_keys(settings, variables), _provider_urls(settings, variables)
    # The key of a provider's own servers is not sent to another server, unless that is named beside it.
    keys = {name: one for name, one in keys.items() if name not in settings.provider_urls}
    return Read(
        settings=settings.model_copy(
            update={
                "provider_keys": {
                    **{name: one.value for name, one in keys.items()},
                    **settings.provider_keys,
                },
                "provider_urls": {
                    **{name: one.value for name, one in urls.items()},
                    **settings.provider_urls,
                },
            }
        ),
        origins={name: one.origin for name, one in given.items()},
        keys=_origins(keys, settings.provider_keys, given.get("provider_keys")),
        urls=_origins(urls, settings.provider_urls, given.get("provider_urls")),
        unknown=_unknown(environment),
    )


def _provider_keys(settings: Settings, variables: Mapping[str, Value]) -> dict[str, Found]:
    found = keys_in({name: one.value for name, one in variables.items()})
    return {
        provider: one._replace(variable=variables[one.variable].origin) for provider, one in found.items()
    }


def _provider_urls(settings: Settings, variables: Mapping[str, Value]) -> dict[str, Found]:
    try:
        return urls_in({name: one.value for name, one in variables.items()})
    except ValueError as error:
        raise SettingsError(str(error)) from None


def _origins(found: Mapping[str, Found], own: Iterable[str], setting: Value | None) -> dict[str, str]:
    return {
        **{name: one.variable for name, one in found.items()},
        **dict.fromkeys(own, setting.origin if setting else ""),
    }


# Files


def _named_file(environment: Mapping[str, str]) -> Path | None:
    if named := environment.get(FILE_VARIABLE):
        return Path(named)
    return Path(FILE) if Path(FILE).exists() else None


def _from_toml(file: Path | None) -> dict[str, Value]:
    if file is None:
        return {}
    text = _text_of(file, "the file of settings")
    try:
        content = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"{file}: is not TOML: {error}") from None
    lines = _lines_of(text)
    given: dict[str, Value] = {}
    for name, value in content.items():
        origin = f"{file}:{lines[name]}" if name in lines else str(file)
        base = name.removesuffix("_file")
        if name not in Settings.model_fields and base in SECRETS and name != base:
            if base in content:
                raise SettingsError(f"{origin}: {name} and {base} exclude each other; leave one out")
            if not isinstance(value, str):
                raise SettingsError(f"{origin}: {name}: must be the path of a file, in quotes")
            given[base] = Value(_secret_in(Path(value), f"{origin}: {name}"), f"{origin} ({value})")
        elif name in Settings.model_fields:
            given[name] = Value(value, origin)
        else:
            nearest = did_you_mean(name, [*Settings.model_fields, *(f"{one}_file" for one in SECRETS)])
            remedy = nearest or "; `parley config show` lists all settings"
            raise SettingsError(f"{origin}: parley has no setting {name!r}{remedy}")
    return given


def _lines_of(text: str) -> dict[str, int]:
    """The line on which each top-level key stands, to be shown."""
    found: dict[str, int] = {}
    in_table = False
    for number, line in enumerate(text.splitlines(), 1):
        if table := re.match(r"""\s*\[+\s*["']?([\w-]+)""", line):
            in_table = True
            found.setdefault(table[1], number)
        elif not in_table and (key := re.match(r"""\s*["']?([\w-]+)["']?\s*[.=]""", line)):
            found.setdefault(key[1], number)
    return found


def _secret_in(path: Path, setting: str) -> str:
    text = _text_of(path, setting)
    secret = text.removesuffix("\n").removesuffix("\r")
    if not secret:
        raise SettingsError(f"{setting}: {path} is empty")
    return secret


def _text_of(path: Path, setting: str) -> str:
    try:
        return path.read_text()
    except OSError as error:
        raise SettingsError(f"{setting}: {path} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise SettingsError(f"{setting}: {path} is not UTF-8") from None


# Environment


def _with_files(environment: Mapping[str, str]) -> dict[str, Value]:
    """The environment, with the secret of each variable `…_FILE` under the name of its own variable."""
    of_settings = {f"{PREFIX}{name.upper()}" for name in SECRETS}
    of_providers = {name for names in KEYS.values() for name in names}
    found = {name: Value(value, name) for name, value in environment.items()}
    for name, value in environment.items():
        upper = name.upper()
        base = upper.removesuffix(_FROM_FILE)
        if upper == base or not (base in of_settings or name.removesuffix(_FROM_FILE) in of_providers):
            continue
        if any(environment.get(other) for other in (base, base.lower())):
            raise SettingsError(f"{name} and {base} exclude each other; unset one")
        if value:
            found[base] = Value(_secret_in(Path(value), name), f"{name} ({value})")
    return found


def _from_environment(variables: Mapping[str, Value]) -> dict[str, Value]:
    given = {}
    for name, one in variables.items():
        setting = name.upper().removeprefix(PREFIX).lower()
        if name.upper().startswith(PREFIX) and setting in Settings.model_fields:
            given[setting] = one
    return given


def _unknown(environment: Mapping[str, str]) -> dict[str, str]:
    """A setting whose name is mistyped would do nothing, and nobody would know."""
    known = {name.upper() for name in Settings.model_fields}
    known |= {f"{name.upper()}{_FROM_FILE}" for name in SECRETS} | {FILE_VARIABLE.removeprefix(PREFIX)}
    found = {}
    for name in sorted(environment):
        own = name.upper().removeprefix(PREFIX)
        if name.upper().startswith(PREFIX) and own and own not in known | _OF_CALLERS:
            found[name] = did_you_mean(own, known, PREFIX)
    return found


# Errors


def _flag(name: str, value: Any = None) -> str:
    return f"--{'no-' if value is False else ''}{name.replace('_', '-')}"


def _worded(error: ValidationError, given: Mapping[str, Value]) -> str:
    first = error.errors(include_url=False)[0]
    if not first["loc"]:  # of several settings, which the message names
        return first["msg"].removeprefix("Value error, ")
    name, *inner = map(str, first["loc"])
    if name not in given:  # cannot be: defaults are valid
        return f"{name}: {first['msg']}"
    origin = given[name].origin
    message = _MESSAGES.get(first["type"], first["msg"].removeprefix("Value error, "))
    if first["type"] == "literal_error":
        message = f"must be {first['ctx']['expected']}"
    places = [origin, *([] if names(origin, name) else [name]), *([".".join(inner)] if inner else [])]
    return ": ".join([*places, message])


def names(origin: str, name: str) -> bool:
    """Whether an origin names the setting itself, as a flag and a variable do and a file does not."""
    return origin in (_flag(name), _flag(name, False)) or origin.upper().startswith(f"{PREFIX}{name.upper()}")
