"""Who may read a data folder: its owner alone, whatever the umask, and also where an earlier version left it
open.

Changes modes of what is the process's own user's, and follows no link within the folder. A folder that also
holds other files keeps its mode, because those may be there for others to read; Parley's files in it are
closed to them all the same.
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
    """Make a data folder, or take away what others may do in the one that is there.

    Returns why others may still look into it, for the operator; empty when they may not. Raises DatabaseError
    when it cannot be made or read.
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
    except OSError as error:  # a file system without modes, or one that cannot be written
        return f"its modes cannot be set: {error.strerror}"
    finally:
        os.close(opened)


def create_private(path: Path) -> None:
    """Make an empty file for its owner only, unless there is one.

    One that is there is not opened: closing it would drop the locks that SQLite has on it in this process.
    """
    with contextlib.suppress(FileExistsError):
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))


def write_private(path: Path, content: bytes) -> None:
    """Write a file for its owner only, on disk when this returns: a power cut may leave an empty one else."""
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
    """Take the file or folder from everybody but its owner, if that is us."""
    with contextlib.suppress(FileNotFoundError):  # gone meanwhile
        state = os.stat(name, dir_fd=folder, follow_symlinks=False)
        if state.st_mode & _FOR_OTHERS and not stat.S_ISLNK(state.st_mode) and state.st_uid == os.geteuid():
            _chmod(name, folder, stat.S_IMODE(state.st_mode) & ~_FOR_OTHERS)


def _chmod(name: str, folder: int, mode: int) -> None:
    if sys.platform != "linux":
        os.chmod(name, mode, dir_fd=folder, follow_symlinks=False)
        return
    # O_PATH follows no link, and, unlike a file that was opened for reading, drops no locks when it is
    # closed.
    found = os.open(name, os.O_PATH | os.O_NOFOLLOW, dir_fd=folder)
    try:
        if not stat.S_ISLNK(os.fstat(found).st_mode):
            os.chmod(f"/proc/self/fd/{found}", mode)
    finally:
        os.close(found)
