"""Who uses a data folder: a lock on the folder itself, which ends with whoever holds it and leaves no file
behind.

Everyone who opens the database shares it; whoever puts another file in its place has it alone.
"""

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator
from pathlib import Path

from server.core.errors import FailedPrecondition

_PAUSES = (0.01, 0.05)
"""Whoever leaves a folder last has it alone for a moment."""


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
    """Have a folder to oneself. Raises FailedPrecondition while anyone uses it."""
    locked = _locked(
        folder, fcntl.LOCK_EX, f"the database in {folder} is in use; stop `parley serve` there first"
    )
    try:
        yield
    finally:
        os.close(locked)


def sync(folder: Path) -> None:
    """Put on disk what the files in a folder are called."""
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
