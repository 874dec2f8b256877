"""Checksums of a SQLite file that is not in use: changes by the disk are noticed before the file is served.

SQLite notices a changed bit only where its own structures no longer fit together: a changed letter is served
as if it had been written. The last process that closes the file makes the checksums, and the first that opens
it again deletes them. So there are none after a kill or a power cut, and changes in a file that is in use are
not noticed. A file that takes too long to read has none either: a stop must not wait for it.
"""

import contextlib
import fcntl
import os
import time
import zlib
from array import array
from collections.abc import Iterator
from pathlib import Path

from server.storage.database import DatabaseError
from server.storage.sqlite import folder

BLOCK_BYTES = 65_536
_MOST_BYTES = 8 << 30
"""The largest file that gets checksums."""
_MOST_SECONDS = 5.0
"""The longest time that a stop spends on checksums."""


def check_sums(database: Path) -> None:
    """Raise DatabaseError when a file that is not in use has changed since it was closed, or was found
    damaged in use."""
    check_not_condemned(database)
    saved = saved_sums(database)
    if saved is None or not database.is_file():
        return
    check_length(database, saved)
    for number, (known, found) in enumerate(zip(saved, _sums(database), strict=False)):
        if known != found:
            raise changed(database, number)


def check_length(database: Path, saved: "array[int]") -> None:
    """Raise DatabaseError when a file has more or fewer blocks than checksums."""
    blocks = -(-database.stat().st_size // BLOCK_BYTES)
    if blocks != len(saved):
        raise changed(database, min(blocks, len(saved)))


def changed(database: Path, number: int) -> DatabaseError:
    """Return the error for a block that has changed."""
    return DatabaseError(
        f"{database} is damaged: its block {number} of 64 KiB has changed since it was closed, and not by parley; restore a "
        f"backup by `parley restore FILE --replace`, or, if the change is your own, delete {_path(database)}"
    )


def condemn(database: Path, reason: str) -> None:
    """Make every process refuse a file that was found damaged in use: its checksums are gone by then."""
    with contextlib.suppress(OSError):  # the disk refuses writes; the caller reports the damage in any case
        _condemned(database).write_text(reason)


def check_not_condemned(database: Path) -> None:
    """Raise DatabaseError when a file was found damaged in use."""
    if _condemned(database).exists():
        raise DatabaseError(
            f"{database} was found to be damaged while it was served: restore a backup by `parley restore "
            f"FILE --replace`, or, if you have repaired it, delete {_condemned(database)}, which says more"
        )


def has_sums(database: Path) -> bool:
    """Whether the file has checksums, which means that no process has opened it since it was closed."""
    return _path(database).exists()


def delete_sums(database: Path) -> None:
    """Delete the checksums, durably; called before a file is opened for writing, as outdated ones would
    condemn it."""
    path = _path(database)
    if path.exists():
        path.unlink(missing_ok=True)
        folder.sync(path.parent)


def save_sums(database: Path, shared: int) -> None:
    """Make the checksums of a file that was just closed, unless another process uses it. `shared` is this
    process's lock on the folder.

    A file in use is not even read: a process that closes any descriptor of one loses the locks which SQLite
    holds on it for the same process, and another could then delete the log
    (https://sqlite.org/howtocorrupt.html, 2.2).
    """
    try:
        fcntl.flock(shared, fcntl.LOCK_EX | fcntl.LOCK_NB)
        fcntl.flock(shared, fcntl.LOCK_SH)
        before = os.stat(database)
        if before.st_size > _MOST_BYTES:
            return
        new = _written(database, array("I", _sums(database, time.monotonic() + _MOST_SECONDS)).tobytes())
        try:
            fcntl.flock(shared, fcntl.LOCK_EX | fcntl.LOCK_NB)
            after = os.stat(database)
            if (before.st_mtime_ns, before.st_size) == (after.st_mtime_ns, after.st_size) and not _has_log(
                database
            ):
                os.replace(new, _path(database))
        finally:
            new.unlink(missing_ok=True)
    except OSError:  # the file is in use, the disk is full, or the time is up: checksums are optional
        return


def saved_sums(database: Path) -> "array[int] | None":
    """Return the checksums; None when there are none, or they are incomplete."""
    try:
        raw = _path(database).read_bytes()
    except OSError:
        return None
    sums, own = raw[:-4], raw[-4:]
    return array("I", sums) if len(raw) % 4 == 0 and own == _own(sums) else None


def _sums(database: Path, until: float | None = None) -> Iterator[int]:
    """Yield the checksum of each block. Raises TimeoutError after `until`, in time.monotonic()."""
    with database.open("rb", buffering=0) as file:
        while block := file.read(BLOCK_BYTES):
            yield zlib.crc32(block)
            if until is not None and time.monotonic() > until:
                raise TimeoutError


def _has_log(database: Path) -> bool:
    log = Path(f"{database}-wal")
    return log.exists() and log.stat().st_size > 0


def _written(database: Path, sums: bytes) -> Path:
    """Write the checksums under a temporary name until it is certain that they are valid."""
    new = _path(database).with_name(f"{database.name}-sums.{os.getpid()}.new")
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(sums + _own(sums))
    return new


def _own(sums: bytes) -> bytes:
    """Return the checksum of the checksums, which shows that they are complete: they are not synced."""
    return zlib.crc32(sums).to_bytes(4, "little")


def _path(database: Path) -> Path:
    return database.with_name(f"{database.name}-sums")


def _condemned(database: Path) -> Path:
    return database.with_name(f"{database.name}-damaged")
