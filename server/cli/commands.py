"""Groups of commands that load a command's module when the command is used, and list them without it.

Needs click alone, so that `parley --help` answers at once.
"""

import errno
import importlib
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import click
from click.shell_completion import CompletionItem

_INTERRUPTED = 130  # 128 + SIGINT

# A wrong command line is reported in one line, as everything else: without click's usage text before it.
click.UsageError.show = click.ClickException.show  # type: ignore[method-assign]  # there is no other way


class Lazy(NamedTuple):
    """A command that is not loaded: its module, its name there, and its first sentence."""

    module: str
    name: str
    summary: str


class Commands(click.Group):
    """Commands that report in one line which file or folder the system denied them."""

    lazy: Mapping[str, Lazy] = {}
    loaded: Callable[[], object] = staticmethod(lambda: None)
    """Called once the module of the command that runs is there."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted({*self.lazy, *super().list_commands(ctx)})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        command = super().get_command(ctx, cmd_name)
        if found := self.lazy.get(cmd_name):
            command = getattr(importlib.import_module(found.module), found.name)
            assert isinstance(command, click.Command)
        self.loaded()
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Summaries are whole sentences, over several lines where they must be; click's own would be cut
        off."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, self._summary(ctx, name)) for name in self.list_commands(ctx)])

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Complete names of commands without loading them; click's own would load all of them."""
        names = [name for name in self.list_commands(ctx) if name.startswith(incomplete)]
        return [
            *(CompletionItem(name, help=self._summary(ctx, name)) for name in names),
            *click.Command.shell_complete(self, ctx, incomplete),
        ]

    def _summary(self, ctx: click.Context, name: str) -> str:
        if found := self.lazy.get(name):
            return found.summary
        command = super().get_command(ctx, name)
        return summary_of(command) if command else ""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            raise SystemExit(_INTERRUPTED) from None
        except OSError as error:
            # not of the system; click's, whose reader has gone
            if error.errno is None or error.errno == errno.EPIPE:
                raise
            text = f"{error.filename}: {error.strerror}" if error.filename else str(error.strerror)
            raise click.ClickException(text) from None


def summary_of(command: click.Command) -> str:
    """The first sentence of a command's help."""
    first = " ".join((command.help or "").split("\n\n")[0].split())
    return first.partition(". ")[0].removesuffix(".") + "."
