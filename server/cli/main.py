"""The command `parley`. Parses options, and reports errors in one line; the work is done elsewhere."""

import asyncio
import contextlib
import os
import select
import stat
import sys
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

import click
import orjson
import uvloop

# Envoy is a child process started without preexec hooks; gRPC would warn that it cannot prepare for the fork.
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")
# An invalid address is reported in one line of Parley's; gRPC would log another.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")

from server.agents.documents import check_assistant, without_server_members
from server.agents.names import MOST_OF_ONE_NAME, listed
from server.cli.console import (
    Commands,
    data_option,
    database_option,
    fail,
    json_option,
    log_as_json,
    opened_store,
    settings_of,
    show,
    where,
)
from server.cli.database import back_up, check, db, migrate_store, restore
from server.cli.protos import protos
from server.cli.serve import serve as serve_until_stopped
from server.content.secrets import mask_secrets, restore_secrets
from server.core.clock import now_ms, parse_rfc3339
from server.core.config import Settings
from server.core.errors import InvalidArgument, NotFound, ServiceError
from server.core.ids import parse_id
from server.storage.database import DatabaseError
from server.storage.documents import Document
from server.storage.keys import KINDS
from server.storage.store import Store
from server.wire.history.files import ingest_file
from server.wire.history.lines import History

T = TypeVar("T")


@click.group(cls=Commands)
@click.version_option(package_name="parley-server", prog_name="parley")
def main() -> None:
    """One conversation service, spoken over gRPC and over documented REST paths."""
    os.umask(0o077)  # files of a command, or of its child processes, are private to their owner
    log_as_json()


@main.command()
@data_option
@click.option("--http", metavar="HOST:PORT", help="Where Envoy answers HTTP and gRPC. [127.0.0.1:8080]")
@click.option("--grpc", metavar="HOST:PORT", help="Where the server answers gRPC. [127.0.0.1:50051]")
@database_option
@click.option("--workers", metavar="N", help="Server processes. [1]")
@click.option("--admin", metavar="HOST:PORT", help="Where operators find gRPC health and channelz. [nowhere]")
@click.option("--channelz", is_flag=True, default=None, help="Show gRPC's channelz on the --admin port.")
@click.option("--no-dev", is_flag=True, help="Make no development keys on the first start.")
def serve(no_dev: bool, **options: Any) -> None:
    """Serve until SIGTERM or Ctrl-C, then drain and exit 0."""
    settings = settings_of(**options, dev=False if no_dev else None)
    uvloop.run(serve_until_stopped(settings))


@main.group()
def keys() -> None:
    """Make, list and revoke the keys of orgs."""


@keys.command("create")
@where
@click.option("--org", required=True, help="Name of the org; made when it is new.")
@click.option("--kind", type=click.Choice(KINDS), required=True)
@click.option("--expires", metavar="TIME", help="When it ends, RFC 3339: a day or a time. [never]")
@json_option
def create_key(settings: Settings, org: str, kind: str, expires: str | None, as_json: bool) -> None:
    """Make a key and print it: the only time that it is shown."""
    ends = {} if expires is None else {"expiresAt": _later(expires)}
    made = _with_store(
        settings, lambda store: store.keys.create(org, kind, ends.get("expiresAt")), creates=True
    )
    show({"id": made.id, "org": made.org_id, "kind": made.kind, **ends, "key": made.key}, as_json, made.key)


def _later(text: str) -> int:
    try:
        moment = parse_rfc3339(text)
    except ValueError:
        fail(f"--expires: {text!r} is no time; write it like 2030-12-31 or 2030-12-31T12:00:00Z")
    if moment <= now_ms():
        fail(f"--expires: {text} is past")
    return moment


@keys.command("list")
@where
@json_option
def list_keys(settings: Settings, as_json: bool) -> None:
    """List the keys, without their text."""
    found = _with_store(settings, lambda store: store.keys.list())
    lines = [f"{key['id']}  {key['kind']:<11}  {key['orgName']}{_ended(key)}" for key in found]
    show(found, as_json, "\n".join(lines))


def _ended(key: dict[str, Any]) -> str:
    if key["revokedAt"]:
        return "  revoked"
    return "  expired" if key["expiresAt"] and key["expiresAt"] <= now_ms() else ""


@keys.command("revoke")
@where
@click.argument("key_id")
@json_option
def revoke_key(settings: Settings, key_id: str, as_json: bool) -> None:
    """Make a key useless at once."""
    _with_store(settings, lambda store: store.keys.revoke(key_id))
    show({"id": key_id, "revoked": True}, as_json, f"revoked {key_id}")


@main.group()
def assistants() -> None:
    """Manage assistants without HTTP."""


@assistants.command("apply")
@where
@click.option("--org", default="dev", show_default=True, help="Name of the org.")
@click.argument("file", type=click.File("rb"))
@json_option
def apply_assistant(settings: Settings, org: str, file: BinaryIO, as_json: bool) -> None:
    """Store the assistant in FILE: in place of the org's assistant of that name, or as a new one.

    Where several have the name, the `id` in FILE says which one is replaced.
    """
    try:
        document = orjson.loads(file.read())
    except orjson.JSONDecodeError:
        fail(f"{file.name} is not JSON")

    async def apply(store: Store) -> Document:
        check_assistant(document)
        _check_provider(document.get("model") or {}, settings)
        org_id = await store.keys.org_id(org)
        found = await _replaced(store, org_id, document)
        content = restore_secrets(without_server_members(document), found.content if found else {})
        if found:
            return await store.assistants.replace(found, content)
        return await store.assistants.create(org_id, content)

    stored = _with_store(settings, apply)
    show({"id": stored.id, **mask_secrets(stored.content)}, as_json, stored.id)


async def _replaced(store: Store, org_id: str, document: dict[str, Any]) -> Document | None:
    """Return the stored assistant that a file replaces; None for a new one. Raises InvalidArgument for
    several."""
    name = document.get("name")
    ids = await store.assistants.ids_of(org_id, name, MOST_OF_ONE_NAME + 1) if name else []
    if len(ids) > 1:
        return await _of_one_name(store, org_id, document, ids)
    return await store.assistants.get(org_id, ids[0]) if ids else None


async def _of_one_name(store: Store, org_id: str, document: dict[str, Any], ids: list[str]) -> Document:
    with contextlib.suppress(NotFound):
        named = await store.assistants.get(org_id, parse_id(str(document.get("id"))))
        if named.content.get("name") == document["name"]:
            return named
    raise InvalidArgument.of(
        "name",
        f"'{document['name']}' is the name of several assistants; put the id of the one to be "
        f'replaced into the file, as "id": {listed(ids)}',
    )


def _check_provider(model: dict[str, Any], settings: Settings) -> None:
    # imports the model backends, which other commands need not load
    from server.backends.providers import check_callable

    if provider := model.get("provider"):
        check_callable(provider, model.get("url"), settings.provider_urls)


@main.command("export")
@where
@click.option("--org", required=True, help="Name of the org.")
@click.option("--session", metavar="ID", help="Only this session with its exchanges.")
@click.argument(
    "file", type=click.Path(path_type=Path, dir_okay=False, writable=True, allow_dash=True), default="-"
)
def export_history(settings: Settings, org: str, session: str | None, file: Path) -> None:
    """Write what an org has said, and its assistants with their secrets, to FILE (or the standard output) as
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

    _with_store(settings, run)


@main.command("import")
@where
@click.option("--org", required=True, help="Name of the org; made when it is new.")
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@json_option
def import_history(settings: Settings, org: str, file: Path, as_json: bool) -> None:
    """Take the history in FILE into an org. What is there already is skipped, so it can be run again after it
    broke off.

    Every line is read before the first is written, and a conversation is written whole.
    """

    async def run(store: Store) -> dict[str, int]:
        with file.open("rb") as lines:
            imported = await ingest_file(History(store.database), lambda: store.keys.org_of(org), lines)
        return imported._asdict()

    counts = _with_store(settings, run, creates=True)
    show(counts, as_json, f"imported {counts['imported']}, skipped {counts['skipped']} that were there")


@main.command()
@where
@json_option
def vacuum(settings: Settings, as_json: bool) -> None:
    """Write the database file anew, so that no trace of what was deleted is left in it. Best while not
    serving.

    PostgreSQL gives the room of deleted rows free again, and overwrites them when it is used.
    """

    async def run(store: Store) -> None:
        await store.database.vacuum()

    _with_store(settings, run)
    show({"vacuumed": True}, as_json, "vacuumed")


for command in (check, back_up, restore, db, migrate_store, protos):
    main.add_command(command)


def _with_store(settings: Settings, use: Callable[[Store], Awaitable[T]], *, creates: bool = False) -> T:
    """Return the result of `use` on the store. Only commands that may begin a store create a missing one."""

    async def run() -> T:
        async with opened_store(settings, creates=creates) as store:
            return await use(store)

    return _or_fail(run())


def _or_fail(work: Coroutine[Any, Any, T]) -> T:
    try:
        return asyncio.run(work)
    except (ServiceError, DatabaseError) as error:
        fail(str(error))


@contextlib.contextmanager
def _written(path: Path, unread_seconds: float) -> Iterator[Callable[[bytes], None]]:
    """Return a function that writes to a file, created private to its owner; `-` is the standard output."""
    if str(path) == "-":
        yield partial(_write_in_time, sys.stdout.fileno(), unread_seconds)
    else:
        try:
            with open(path, "wb", opener=_open_private) as file:
                yield partial(_write_in_time, file.fileno(), unread_seconds)
        except OSError as error:
            fail(f"{path} cannot be written: {error.strerror}")


def _write_in_time(file: int, seconds: float, text: bytes) -> None:
    """Write, or fail when the other end of a pipe reads nothing: the log of a served database grows
    meanwhile."""
    left = memoryview(text)
    while left:
        if not select.select([], [file], [], seconds)[1]:
            fail(
                f"nothing was read of the export for {seconds:g} s (PARLEY_UNREAD_SECONDS), so it has ended; name a FILE"
            )
        left = left[os.write(file, left[: select.PIPE_BUF]) :]


def _open_private(path: str, flags: int) -> int:
    """Open a file private to its owner, even if it exists. It is truncated only once no one else can open it."""
    opened = os.open(path, flags & ~os.O_TRUNC, 0o600)
    try:
        if stat.S_ISREG(os.fstat(opened).st_mode):  # not /dev/null, nor a pipe
            os.fchmod(opened, 0o600)
            os.ftruncate(opened, 0)
        return opened
    except OSError as error:
        os.close(opened)
        fail(
            f"{path} cannot be made its owner's alone, as it must be for what is exported ({error.strerror}); "
            "name another file"
        )


if __name__ == "__main__":
    main()
