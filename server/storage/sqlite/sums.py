"""Checksums of a SQLite file while nobody uses it: what a disk changes in it is noticed before it is served.

SQLite notices a changed bit only where its own structures no longer fit together: a changed letter is served as if it had
been written. The sums are made when the last process closes the file, and deleted when the first opens it again. So there
are none after a kill or a power cut, and what changes in a file that is in use is not noticed.
"""

import fcntl
import os
import time
import zlib
from array import array
from collections.abc import Iterator
from pathlib import Path

from server.storage.database import DatabaseError
from server.storage.sqlite import folder

_BLOCK_BYTES = 65_536
_MOST_SECONDS = 5.0
"""Of a stop: for a file that takes longer there are no sums."""


def check_sums(database: Path) -> None:
    """Raises DatabaseError when a file that nobody uses has changed since it was closed."""
    kept = _kept(database)
    if kept is None or not database.is_file():
        return
    for number, found in enumerate(_sums(database)):
        if number >= len(kept) or kept[number] != found:
            break
    else:
        if len(kept) == -(-database.stat().st_size // _BLOCK_BYTES):
            return
        number = len(kept)
    raise DatabaseError(
        f"{database} is damaged: its block {number} of 64 KiB has changed since it was closed, and not by parley; restore a "
        f"backup by `parley restore FILE --replace`, or, if the change is your own, delete {_path(database)}")


def forget_sums(database: Path) -> None:
    """To be called before a file is opened to be written, and on disk then: sums of what it was would condemn it."""
    path = _path(database)
    if path.exists():
        path.unlink(missing_ok=True)
        folder.sync(path.parent)


def keep_sums(database: Path, shared: int) -> None:
    """Make the sums of a file that was just closed, unless somebody else uses it. `shared` is our hold of its folder.

    A file in use is not even read: a process that closes any descriptor of one loses the locks which SQLite holds on it
    for the same process, and another could then take the log away (https://sqlite.org/howtocorrupt.html, 2.2).
    """
    try:
        fcntl.flock(shared, fcntl.LOCK_EX | fcntl.LOCK_NB)
        fcntl.flock(shared, fcntl.LOCK_SH)
        before = os.stat(database)
        new = _written(database, array("I", _sums(database, time.monotonic() + _MOST_SECONDS)).tobytes())
        try:
            fcntl.flock(shared, fcntl.LOCK_EX | fcntl.LOCK_NB)
            after = os.stat(database)
            if (before.st_mtime_ns, before.st_size) == (after.st_mtime_ns, after.st_size) and not _has_log(database):
                os.replace(new, _path(database))
        finally:
            new.unlink(missing_ok=True)
    except OSError:  # somebody uses it, there is no room, or there is no time: it is as good without
        return


def _kept(database: Path) -> array | None:
    """None when there are none, or when they are not whole."""
    try:
        raw = _path(database).read_bytes()
    except OSError:
        return None
    sums, own = raw[:-4], raw[-4:]
    return array("I", sums) if len(raw) % 4 == 0 and own == _own(sums) else None


def _sums(database: Path, until: float | None = None) -> Iterator[int]:
    """Raises TimeoutError when it takes too long."""
    with database.open("rb", buffering=0) as file:
        while block := file.read(_BLOCK_BYTES):
            yield zlib.crc32(block)
            if until is not None and time.monotonic() > until:
                raise TimeoutError


def _has_log(database: Path) -> bool:
    log = Path(f"{database}-wal")
    return log.exists() and log.stat().st_size > 0


def _written(database: Path, sums: bytes) -> Path:
    """Under a name of their own until it is sure that they hold."""
    new = _path(database).with_name(f"{database.name}-sums.{os.getpid()}.new")
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(sums + _own(sums))
    return new


def _own(sums: bytes) -> bytes:
    """What shows that the sums are whole: they are not synced."""
    return zlib.crc32(sums).to_bytes(4, "little")


def _path(database: Path) -> Path:
    return database.with_name(f"{database.name}-sums")
