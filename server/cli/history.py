"""`parley export` and `parley import`: the history of an org, as JSON Lines."""

import contextlib
import os
import select
import stat
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import click

from server.cli.console import fail, json_option, show, where
from server.cli.stored import with_store
from server.core.config import Settings
from server.core.ids import parse_id
from server.storage.store import Store
from server.wire.history.files import ingest_file
from server.wire.history.lines import History


@click.command("export")
@where
@click.option("--org", required=True, help="Name of the org.")
@click.option("--session", metavar="ID", help="Only this session with its exchanges.")
@click.argument(
    "file", type=click.Path(path_type=Path, dir_okay=False, writable=True, allow_dash=True), default="-"
)
def export_history(settings: Settings, org: str, session: str | None, file: Path) -> None:
    """Write the history of an org, and its assistants with their secrets, to FILE (or the standard output) as
    JSON Lines.

    FILE can be read by its owner only.
    """

    async def run(store: Store) -> None:
        org_id, session_id = (
            await store.keys.org_id(org),
            None if session is None else parse_id(session) or session,
        )
        async with contextlib.aclosing(
            History(store.database).export(org_id, session_id, secrets=True)
        ) as batches:
            with _written(file, settings.unread_seconds) as write:
                async for lines in batches:
                    write("".join(f"{line}\n" for line in lines).encode())

    with_store(settings, run)


@click.command("import")
@where
@click.option("--org", required=True, help="Name of the org; made when it is new.")
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@json_option
def import_history(settings: Settings, org: str, file: Path, as_json: bool) -> None:
    """Import the history in FILE into an org. Existing records are skipped, so it can be repeated after an
    interruption.

    Every line is read before the first is written, and a conversation is written whole.
    """

    async def run(store: Store) -> dict[str, int]:
        with file.open("rb") as lines:
            imported = await ingest_file(History(store.database), lambda: store.keys.org_of(org), lines)
        return imported._asdict()

    counts = with_store(settings, run, creates=True)
    show(counts, as_json, f"imported {counts['imported']}, skipped {counts['skipped']} that were there")


@contextlib.contextmanager
def _written(path: Path, unread_seconds: float) -> Iterator[Callable[[bytes], None]]:
    """Yield a function that writes to a private file; `-` is the standard output."""
    if str(path) == "-":
        yield partial(_write_in_time, sys.stdout.fileno(), unread_seconds)
    else:
        try:
            with open(path, "wb", opener=_open_private) as file:
                yield partial(_write_in_time, file.fileno(), unread_seconds)
        except OSError as error:
            fail(f"{path} cannot be written: {error.strerror}")


def _write_in_time(file: int, seconds: float, text: bytes) -> None:
    """Fails when the other end of a pipe reads nothing: the log of a database that is served grows
    meanwhile."""
    left = memoryview(text)
    while left:
        if not select.select([], [file], [], seconds)[1]:
            fail(
                f"nothing was read of the export for {seconds:g} s (PARLEY_UNREAD_SECONDS), so it has ended; name a FILE"
            )
        left = left[os.write(file, left[: select.PIPE_BUF]) :]


def _open_private(path: str, flags: int) -> int:
    """Open a file for its owner only, even an existing one, which is emptied only after no other user can
    open it."""
    opened = os.open(path, flags & ~os.O_TRUNC, 0o600)
    try:
        if stat.S_ISREG(os.fstat(opened).st_mode):  # not /dev/null, nor a pipe
            os.fchmod(opened, 0o600)
            os.ftruncate(opened, 0)
        return opened
    except OSError as error:
        os.close(opened)
        fail(
            f"{path} cannot be restricted to its owner, as an export must be ({error.strerror}); "
            "name another file"
        )
