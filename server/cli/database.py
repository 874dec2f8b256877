"""Commands on a database as a whole: check, backup, restore, db stats, migrate-store. `storage` does the
work.

Only migrate-store migrates the schema; all except restore and migrate-store can run while a server serves.
"""

import asyncio
import contextlib
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from server.cli.commands import Commands
from server.cli.console import data_option, fail, json_option, settings_of, show
from server.core.errors import ServiceError
from server.storage.database import DatabaseError
from server.storage.moving import move
from server.storage.sqlite import backups, checking, stats

_file = click.Path(path_type=Path, dir_okay=False)
_replace = click.option("--replace", is_flag=True, help="Put it in the place of the one that is there.")


@click.command("check")
@data_option
@json_option
def check(data: Path | None, as_json: bool) -> None:
    """Look whether the database is sound; the exit code is not 0 when it is not."""
    path = _folder(data) / backups.DATABASE
    with _reporting_errors():
        found = checking.findings(path)
    if found and as_json:
        show({"path": str(path), "findings": found}, True, "")
        raise SystemExit(1)
    if found:
        more = f" (and {len(found) - 1} more; --json names them)" if len(found) > 1 else ""
        fail(f"{path}: {found[0]}{more}; `parley restore FILE --replace` puts a backup in its place")
    show({"path": str(path), "findings": []}, as_json, f"{path} is sound")


@click.command("backup")
@data_option
@_replace
@click.argument("file", type=_file)
@json_option
def back_up(data: Path | None, replace: bool, file: Path, as_json: bool) -> None:
    """Write a backup to FILE, also while serving: one file of one moment, checked, for its owner only.

    It has the secret of the keys' digests in it, unless that is set by PARLEY_KEY_SECRET.
    """
    from rich.filesize import decimal  # imported here, because it would delay the start of `parley serve`

    with _reporting_errors(), _bars(shown=not as_json, transient=True) as report:
        made = backups.back_up(
            _folder(data),
            file,
            replace=replace,
            progress=lambda left, all_: report("pages", all_ - left, all_),
        )
    secret = "included" if made.has_secret else "not included: restore it with the same PARLEY_KEY_SECRET"
    show(
        {"path": str(made.path), "bytes": made.size, "keySecret": made.has_secret},
        as_json,
        f"{made.path}: {decimal(made.size)}; the key secret is {secret}",
    )


@click.command("restore")
@data_option
@_replace
@click.argument("file", type=_file)
@json_option
def restore(data: Path | None, replace: bool, file: Path, as_json: bool) -> None:
    """Replace the database by the backup FILE, while nothing serves it. The previous database is moved
    aside."""
    with _reporting_errors():
        done = backups.restore(file, _folder(data), replace=replace)
    aside = f"; the previous database is now {done.set_aside}" if done.set_aside else ""
    secret = "" if done.has_secret else "; the backup has no key secret, so the one set or kept here stays"
    show(
        {
            "path": str(done.path),
            "keySecret": done.has_secret,
            "keptAside": done.set_aside and str(done.set_aside),
        },
        as_json,
        f"restored {done.path}{aside}{secret}",
    )


@click.group("db", cls=Commands)
def db() -> None:
    """Look into the database."""


@db.command("stats")
@data_option
@json_option
def show_stats(data: Path | None, as_json: bool) -> None:
    """Say how large the database is, and what makes it so."""
    with _reporting_errors():
        found = stats.stats(_folder(data) / backups.DATABASE)
    if as_json:
        show(found, True, "")
        return
    from rich.console import Console
    from rich.filesize import decimal
    from rich.table import Table

    table = Table(
        "table",
        "rows",
        "size",
        "oldest",
        "newest",
        caption=(
            f"{found['path']}: {decimal(found['bytes'])} in {found['pages']} pages, {found['freePages']} of them free; "
            f"log {decimal(found['walBytes'])}"
        ),
    )
    for name, one in found["tables"].items():
        table.add_row(
            name, str(one["rows"]), decimal(one["bytes"]), _date(one.get("oldest")), _date(one.get("newest"))
        )
    Console().print(table)


@click.command("migrate-store")
@click.argument("source")
@click.argument("target")
@json_option
def migrate_store(source: str, target: str, as_json: bool) -> None:
    """Move everything from SOURCE, sqlite:FOLDER, to TARGET, postgresql://…, an empty database.

    Refused while the folder is served. After an interruption, run it again: it continues where it stopped.
    """
    kind, _, folder = source.partition(":")
    if kind != "sqlite" or not folder:
        fail("SOURCE must be sqlite:FOLDER, the folder that `parley serve --data` had")
    settings = settings_of(data=Path(folder.removesuffix(backups.DATABASE) or "."), database=target)

    async def run() -> dict[str, int]:
        with _bars(shown=not as_json) as report:
            return await move(settings.data, target, report, with_secret=settings.key_secret is None)

    with _reporting_errors():
        counts = asyncio.run(run())
    show(
        {"moved": counts},
        as_json,
        f"moved {sum(counts.values())} rows in {len(counts)} tables; every count is the same",
    )


@contextlib.contextmanager
def _bars(*, shown: bool, transient: bool = False) -> Iterator[Callable[[str, int, int], None]]:
    """Show a progress bar for each counted thing; a `transient` one disappears at the end."""
    from rich.console import Console
    from rich.progress import MofNCompleteColumn, Progress

    bars: dict[str, Any] = {}
    progress = Progress(
        *Progress.get_default_columns(),
        MofNCompleteColumn(),
        console=Console(stderr=True),
        disable=not shown,
        transient=transient,
    )

    def report(name: str, done: int, count: int) -> None:
        progress.start()  # not before: an error must be the only line
        if name not in bars:
            bars[name] = progress.add_task(name)
        progress.update(bars[name], completed=done, total=count)

    try:
        yield report
    finally:
        if bars:
            progress.stop()


@contextlib.contextmanager
def _reporting_errors() -> Iterator[None]:
    try:
        yield
    except (ServiceError, DatabaseError) as error:
        fail(str(error))


def _folder(data: Path | None) -> Path:
    settings = settings_of(data=data)
    if settings.database is not None:
        fail(
            "PARLEY_DATABASE: this command is for the SQLite file in --data; PostgreSQL has commands of its own"
        )
    return settings.data


def _date(ms: Any) -> str:
    return "" if ms is None else f"{datetime.fromtimestamp(ms / 1000, UTC):%Y-%m-%d %H:%M:%S}"
