"""A flag for every setting, in groups, made of `Settings`: its fields, their defaults and docstrings.

Click's own help is enough for groups: rich-click takes 60 ms to load, and `parley --help` is to take 100 in all.
"""

import ast
import inspect
import textwrap
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, TypeVar, get_args

import click

from server.cli.console import config_option
from server.core.config import Address, Settings

Command = TypeVar("Command", bound=Callable[..., None])

GROUPS = {
    "data": "Data and addresses",
    "offline_delay_ms": "Models and providers",
    "key_secret": "Secret of the keys",
    "twilio_account_sid": "Messages and deliveries",
    "retention_days": "Retention and stopping",
    "limits": "Limits",
}
"""The heading of each group, by its first setting."""
_METAVARS = {Address: "HOST:PORT", Path: "PATH", float: "NUMBER", int: "N", dict: "JSON", frozenset: "HOSTS"}


class SettingOption(click.Option):
    """The flag of one setting."""

    group = ""


class SettingsCommand(click.Command):
    """A command with a flag for every setting; its help has them in groups."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        texts = docstrings()
        for group in GROUPS.values():
            rows = []
            for option in self.params:
                if isinstance(option, SettingOption) and option.group == group:
                    option.help = _help(option.name or "", texts)
                    rows.append(option.get_help_record(ctx))
            with formatter.section(group):
                formatter.write_dl([row for row in rows if row], col_max=34)
        others = [one for one in self.get_params(ctx) if not isinstance(one, SettingOption)]
        with formatter.section("Other options"):
            formatter.write_dl([row for one in others if (row := one.get_help_record(ctx))], col_max=34)


def every_setting(command: Command) -> Command:
    """Add the flag of every setting, and `--config`. A flag that is not given is None."""
    decorated: Any = config_option(command)
    for name, group in reversed(_grouped()):
        decorated = click.option(_flags(name), name, cls=_in_group(group), **_kind(name))(decorated)
    done: Command = decorated
    return done


def _grouped() -> list[tuple[str, str]]:
    found, group = [], ""
    for name in Settings.model_fields:
        group = GROUPS.get(name, group)
        found.append((name, group))
    return found


def _in_group(name: str) -> type[SettingOption]:
    return type("SettingOption", (SettingOption,), {"group": name})


def _flags(name: str) -> str:
    flag = name.replace("_", "-")
    return f"--{flag}/--no-{flag}" if _types(name)[0] is bool else f"--{flag}"


def _kind(name: str) -> dict[str, Any]:
    if _types(name)[0] is bool:
        return {"default": None}
    return {"metavar": next((text for kind, text in _METAVARS.items() if kind in _types(name)), "TEXT")}


def _types(name: str) -> list[Any]:
    """The types of a setting, outermost first."""
    annotation = Settings.model_fields[name].annotation
    kinds = [annotation, *get_args(annotation), getattr(annotation, "__origin__", None)]
    return [kind for kind in kinds if kind is not None]


@cache
def docstrings() -> dict[str, str]:
    """What the docstring of each setting says, in one line."""
    [of_class] = ast.parse(textwrap.dedent(inspect.getsource(Settings))).body
    assert isinstance(of_class, ast.ClassDef)
    found = {}
    for member, after in zip(of_class.body, of_class.body[1:], strict=False):
        match member, after:
            case (
                ast.AnnAssign(target=ast.Name(id=name)),
                ast.Expr(value=ast.Constant(value=str(text))),
            ):
                found[name] = " ".join(text.split())
    return found


def _help(name: str, texts: dict[str, str]) -> str:
    text = texts.get(name, "").replace("`", "").replace("None means", "not set means")
    default = Settings.model_fields[name].get_default(call_default_factory=True)
    if isinstance(default, bool):
        return f"{text} [{'on' if default else 'off'}]"
    return f"{text} [{default}]" if default not in (None, frozenset(), {}) else text
