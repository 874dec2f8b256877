"""What `parley serve` shows on a terminal once it serves: where it is, and a request to paste. Not printed anywhere
else: scripts read the keys' JSON and the line `ready …`."""

import shlex
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click
import orjson

from server.core.config import Address

_UNSPECIFIED = {"0.0.0.0": "127.0.0.1", "::": "::1"}


def is_for_a_person() -> bool:
    """Whether the standard output is a terminal."""
    return sys.stdout.isatty()


def show_panel(data: Path, http: str, grpc: Address, made: Mapping[str, Any] | None) -> None:
    """Print the panel. `http` is the URL of the HTTP port; `made` are the keys of a first start, shown this once."""
    from rich.box import ROUNDED
    from rich.console import Console
    from rich.panel import Panel
    from rich.table import Table

    file = data.resolve() / "dev-keys.json"
    table = Table.grid(padding=(0, 2))
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for row in (
        ("Data folder", str(data.resolve())),
        ("Playground", f"{http}/"),
        ("API reference", f"{http}/docs"),
        ("HTTP and gRPC", http),
        ("gRPC, internal", str(_reached(grpc))),
    ):
        table.add_row(*row)
    if made:
        table.add_row()
        table.add_row("Keys", f"shown once, and kept in {file}")
        for kind in ("api", "secret", "publishable"):
            table.add_row(f"  {kind}", str(made[kind]))
    Console(highlight=False, soft_wrap=False).print(
        Panel(table, title="Parley serves", box=ROUNDED, expand=False)
    )
    if curl := _curl(http, file, made):
        click.echo(
            f"Paste this into another terminal:\n\n{curl}\n"
        )  # in no box: a line that is cut cannot be pasted


def url_of(scheme: str, address: Address) -> str:
    """The URL of a port, as a client on this machine reaches it."""
    return f"{scheme}://{_reached(address)}"


def _reached(address: Address) -> Address:
    return address.model_copy(update={"host": _UNSPECIFIED.get(address.host, address.host)})


def _curl(http: str, file: Path, made: Mapping[str, Any] | None) -> str | None:
    """A request to the assistant of the first start; later its key is read from the file, to be shown but once."""
    try:
        keys = made or orjson.loads(file.read_bytes())
        assistant = str(keys["assistantId"])
    except (OSError, ValueError, KeyError):
        return None
    key = (
        made["api"] if made else f"""$(sed -n 's/.*"api": "\\([^"]*\\)".*/\\1/p' {shlex.quote(str(file))})"""
    )
    body = orjson.dumps({"assistantId": assistant, "input": "Hello", "stream": True}).decode()
    return f"""curl -sN {http}/chat -H "Authorization: Bearer {key}" -d '{body}'"""
