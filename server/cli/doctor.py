"""`parley doctor`: says what keeps a server from starting, or from running well. The checks are in `checks.py`."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import click

from server.cli import checks
from server.cli.console import config_option, data_option, database_option, json_option, settings_of, show
from server.cli.tables import one_line

_COLOURS = {"ok": "green", "warn": "yellow", "fail": "red"}


@click.command()
@data_option
@click.option("--http", metavar="HOST:PORT", help="As for `parley serve`. [127.0.0.1:8080]")
@click.option("--grpc", metavar="HOST:PORT", help="As for `parley serve`. [127.0.0.1:50051]")
@database_option
@config_option
@json_option
@click.pass_context
def doctor(
    context: click.Context,
    data: Path | None,
    http: str | None,
    grpc: str | None,
    database: str | None,
    config: Path | None,
    as_json: bool,
) -> None:
    """Check what a server needs: machine, ports, folder, database, clock, keys, limits.

    Each line is ok, warn or fail, with the remedy; the exit code is 1 when one fails. Give the options and
    variables that `parley serve` gets, as the user that it runs as. Nothing is changed, and a server may run
    meanwhile.
    """
    found = []
    for check in _checks(config, {"data": data, "http": http, "grpc": grpc, "database": database}):
        found.append(check)
        if not as_json:
            click.echo(_text(check))
    failed, warned = (sum(check.status == status for check in found) for status in ("fail", "warn"))
    show(
        {"ok": not failed, "checks": [check._asdict() for check in found]},
        as_json,
        f"{failed} failed, {warned} warned, {len(found) - failed - warned} ok",
    )
    context.exit(1 if failed else 0)


def _checks(config: Path | None, options: dict[str, Any]) -> Iterable[checks.Check]:
    try:
        settings = settings_of(config, **options)
    except click.ClickException as error:
        return [checks.Check("settings", "fail", error.message, "`parley serve --help` and docs/settings.md")]
    return checks.of(settings)


def _text(check: checks.Check) -> str:
    status = click.style(f"{check.status:<4}", fg=_COLOURS[check.status])
    line = f"{status}  {check.name:<11}  {one_line(check.detail)}"
    return f"{line}\n      → {one_line(check.remedy)}" if check.remedy else line
