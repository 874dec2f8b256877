"""Restricts a data folder to its owner, whatever the umask, and also where an earlier version left it open.

Changes modes of files of the process's own user only, and follows no link within the folder. A folder that
also contains other files keeps its mode, because others may need to read those; Parley's files in it are
private all the same.
"""

import contextlib
import os
import re
import stat
import sys
from pathlib import Path

from server.storage.database import DatabaseError

_FOR_OTHERS = 0o077
_OURS = re.compile(r"parley\.(db.*|lock)|key-secret.*|dev-keys\.json|run")


def make_private(folder: Path) -> str:
    """Create a data folder, or restrict an existing one to its owner.

    Returns the reason why others still have access, for the operator; empty when they have none. Raises
    DatabaseError when the folder cannot be created or read.
    """
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise DatabaseError(f"the folder {folder} cannot be made: {error.strerror}") from None
    try:
        opened = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as error:
        raise DatabaseError(f"the folder {folder} cannot be read: {error.strerror}") from None
    try:
        return _tightened(opened)
    except OSError as error:  # a file system without modes, or one that is read-only
        return f"its modes cannot be set: {error.strerror}"
    finally:
        os.close(opened)


def create_private(path: Path) -> None:
    """Create an empty private file, unless it exists.

    An existing one is not opened: closing it would drop the locks that SQLite has on it in this process.
    """
    with contextlib.suppress(FileExistsError):
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))


def write_private(path: Path, content: bytes) -> None:
    """Write a private file durably: otherwise a power cut may leave an empty one."""
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _tightened(folder: int) -> str:
    names = os.listdir(folder)
    ours = [name for name in names if _OURS.fullmatch(name)]
    for name in ours:
        _close_to_others(name, folder)
    _close_subfolders("run", folder)
    state = os.fstat(folder)
    if not state.st_mode & _FOR_OTHERS:
        return ""
    if state.st_uid != os.geteuid():
        return "it belongs to another user; give parley a folder of its own"
    if len(ours) < len(names) or state.st_mode & stat.S_ISVTX:
        return "it also holds other files; `chmod 700` it, or give parley a folder of its own"
    os.fchmod(folder, stat.S_IMODE(state.st_mode) & ~_FOR_OTHERS)
    return ""


def _close_subfolders(name: str, folder: int) -> None:
    try:
        below = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=folder)
    except (FileNotFoundError, NotADirectoryError):  # also a link
        return
    try:
        for inner in os.listdir(below):
            _close_to_others(inner, below)
            _close_subfolders(inner, below)
    finally:
        os.close(below)


def _close_to_others(name: str, folder: int) -> None:
    """Remove others' access to a file or folder, if it belongs to this process's user."""
    with contextlib.suppress(FileNotFoundError):  # deleted meanwhile
        state = os.stat(name, dir_fd=folder, follow_symlinks=False)
        if state.st_mode & _FOR_OTHERS and not stat.S_ISLNK(state.st_mode) and state.st_uid == os.geteuid():
            _chmod(name, folder, stat.S_IMODE(state.st_mode) & ~_FOR_OTHERS)


def _chmod(name: str, folder: int, mode: int) -> None:
    if sys.platform != "linux":
        os.chmod(name, mode, dir_fd=folder, follow_symlinks=False)
        return
    # O_PATH follows no link, and closing it drops no locks, unlike a file opened for reading.
    found = os.open(name, os.O_PATH | os.O_NOFOLLOW, dir_fd=folder)
    try:
        if not stat.S_ISLNK(os.fstat(found).st_mode):
            os.chmod(f"/proc/self/fd/{found}", mode)
    finally:
        os.close(found)
