"""Locks a data folder: the lock is on the folder itself, ends with the process that holds it and leaves no
file behind.

Processes that open the database share it; a process that replaces the file holds it exclusively.
"""

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator
from pathlib import Path

from server.core.errors import FailedPrecondition

_PAUSES = (0.01, 0.05)
"""Seconds between tries: the last process that leaves a folder holds it exclusively for a moment."""


def share(folder: Path) -> int:
    """Use a folder until the descriptor is closed. Raises FailedPrecondition while its database is being
    replaced."""
    for pause in _PAUSES:
        with contextlib.suppress(FailedPrecondition):
            return _share(folder)
        time.sleep(pause)
    return _share(folder)


def _share(folder: Path) -> int:
    return _locked(
        folder,
        fcntl.LOCK_SH,
        f"the database in {folder} is being restored or moved; start again when that is over",
    )


@contextlib.contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Hold a folder exclusively. Raises FailedPrecondition while any process uses it."""
    locked = _locked(
        folder, fcntl.LOCK_EX, f"the database in {folder} is in use; stop `parley serve` there first"
    )
    try:
        yield
    finally:
        os.close(locked)


def sync(folder: Path) -> None:
    """Put the names of the files in a folder on disk."""
    opened = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)


def _locked(folder: Path, how: int, refusal: str) -> int:
    opened = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(opened, how | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(opened)
        raise FailedPrecondition(refusal) from None
    return opened
