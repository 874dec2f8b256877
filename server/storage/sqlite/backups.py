"""Copies of the SQLite file: backups of a database in use, restoring one, and copies before migrations.

A backup is one file, of one moment, and contains the secret of the key digests, without which a restored
database would recognise no key. A reader of it can read everything, so it is private to its owner.
"""

import contextlib
import fcntl
import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

from server.core.clock import now_ms
from server.core.errors import FailedPrecondition, ResourceExhausted, ServiceError
from server.storage.database import DatabaseError
from server.storage.sqlite import folder
from server.storage.sqlite.errors import storage_error
from server.storage.sqlite.migrations import applied, unknown
from server.storage.sqlite.modes import make_private, write_private
from server.storage.sqlite.sums import check_sums
from server.storage.sqlite.wal import check_log, lost_behind

DATABASE = "parley.db"
SECRET = "key-secret"
_STEP_PAGES = 512
_BESIDE = ("-wal", "-shm", "-journal", "-sums", "-damaged")
_UNFINISHED = ".parley-unfinished"
_COPIES = 2
_COPY_RETENTION_MS = 7 * 86_400_000

Progress = Callable[[int, int], None]
"""Called with the number of pages still to be copied, and the number of all."""


class Backup(NamedTuple):
    """A completed backup."""

    path: Path
    size: int
    has_secret: bool
    """Whether the secret of the key digests is in it; otherwise the operator sets it."""


class Restored(NamedTuple):
    """A restored database."""

    path: Path
    has_secret: bool
    set_aside: Path | None
    """The previous database."""


@contextlib.contextmanager
def reading(path: Path) -> Iterator[sqlite3.Connection]:
    """Open a read-only connection, as of one moment. Raises DatabaseError when there is no readable database."""
    if not path.is_file():
        raise DatabaseError(f"there is no database {path}")
    try:
        with closing(_connect(path, "rw")) as connection:
            connection.execute("PRAGMA query_only = ON")
            connection.execute("BEGIN")
            # the view begins with the first read
            connection.execute("SELECT 1 FROM sqlite_master").fetchone()
            yield connection
    except sqlite3.DatabaseError as error:
        raise DatabaseError(f"{path} is damaged or is not a database") from error


def back_up(data: Path, target: Path, *, replace: bool = False, progress: Progress | None = None) -> Backup:
    """Write a backup of the database in `data`, which may be in use.

    Raises DatabaseError when it cannot be read, FailedPrecondition when `target` exists.
    """
    if target.exists() and not replace:
        raise FailedPrecondition(f"{target} already exists; name another file, or add --replace")
    check_sums(data / DATABASE)
    check_log(data / DATABASE)
    secret = data / SECRET
    key_secret = secret.read_bytes() if secret.is_file() else None
    with _new_file(target, replace) as made:
        with reading(data / DATABASE) as source:
            _copy(source, made, key_secret, progress)
        size = made.stat().st_size
    return Backup(target, size, key_secret is not None)


def restore(backup: Path, data: Path, *, replace: bool = False) -> Restored:
    """Replace the database in `data` by a backup; the previous one is moved aside.

    Raises FailedPrecondition when the database is in use, or exists and must not be replaced, and
    DatabaseError when the backup cannot be used.
    """
    if not backup.is_file():  # before anything is made
        raise DatabaseError(f"there is no database {backup}")
    make_private(data)
    with folder.alone(data):
        current = data / DATABASE
        if current.exists() and not replace:
            raise FailedPrecondition(
                f"{current} already exists; add --replace to move it aside and put the backup there"
            )
        new = data / f"{DATABASE}.restoring{_UNFINISHED}"
        locked = _locked_file(new)
        try:
            secret = _prepared(backup, new)
            aside = _set_aside(data) if current.exists() else None
            os.replace(new, current)
        finally:
            _remove(new)
            os.close(locked)
        if secret:
            _write_secret(data / SECRET, secret)
        folder.sync(data)
    return Restored(current, secret is not None, aside)


def save_copy(path: Path, number: int) -> Path:
    """Copy a database before its migration of that number, as `parley.db.before-<number>`. Only the last two
    copies stay."""
    target = path.with_name(f"{path.name}.before-{number}")
    with _new_file(target, replace=True) as made, reading(path) as source:
        _copy(source, made, None, None)
    drop_copies(path, _COPIES)
    return target


def drop_copies(path: Path, most: int = _COPIES) -> None:
    """Delete copies that are too old or too many: they contain text that has been deleted since."""
    sweep(path.parent)
    for left in path.parent.glob(f"{path.name}.before-*.new*"):  # by a version that named unfinished ones so
        left.unlink(missing_ok=True)
    copies = sorted(
        (copy for copy in path.parent.glob(f"{path.name}.before-*") if copy.suffix != _UNFINISHED),
        key=lambda copy: copy.stat().st_mtime_ns,
        reverse=True,
    )
    for place, copy in enumerate(copies):
        if place >= most or copy.stat().st_mtime * 1000 < now_ms() - _COPY_RETENTION_MS:
            copy.unlink(missing_ok=True)


def _copy(source: sqlite3.Connection, made: Path, secret: bytes | None, progress: Progress | None) -> None:
    """Copy in steps. `source` reads as of one moment, so writes during the copy do not restart it."""
    with closing(_connect(made, "rw")) as copy:
        copy.execute("PRAGMA synchronous = OFF")  # the whole file is put on disk when it is complete
        source.backup(
            copy, pages=_STEP_PAGES, progress=progress and (lambda _, left, all_: progress(left, all_))
        )
        copy.execute("PRAGMA journal_mode = DELETE")  # one file, with no log beside it
        copy.execute("CREATE TABLE backup (name TEXT PRIMARY KEY, value BLOB)")
        copy.executemany("INSERT INTO backup VALUES (?, ?)", [("made_at", now_ms()), ("key_secret", secret)])
        _check(copy, made)


def _prepared(backup: Path, new: Path) -> bytes | None:
    """Fill the empty file `new` with the database of the backup, durably, and return the secret in the
    backup."""
    try:
        with reading(backup) as source, closing(_connect(new, "rw")) as copy:
            source.backup(copy)
            copy.execute("PRAGMA journal_mode = DELETE")
            _check(copy, backup)
            if not applied(copy):
                raise DatabaseError(f"{backup} is not a database of parley")
            if names := unknown(copy):
                raise DatabaseError(
                    f"{backup} is newer than this program ({names[0]}); use the version that made it"
                )
            copy.execute("PRAGMA secure_delete = ON")
            secret = _secret_in(copy)
            copy.execute("DROP TABLE IF EXISTS backup")
    except sqlite3.Error as error:
        raise _refusal(error) from error
    _sync(new)
    return secret


def _secret_in(copy: sqlite3.Connection) -> bytes | None:
    if not copy.execute("SELECT 1 FROM sqlite_master WHERE name = 'backup'").fetchone():
        return None  # a copy from before a migration, or made by hand
    row = copy.execute("SELECT value FROM backup WHERE name = 'key_secret'").fetchone()
    secret: bytes | None = row and row[0]
    return secret


def _set_aside(data: Path) -> Path:
    """Rename the existing database beside its place, so that one exists at every moment."""
    current = data / DATABASE
    aside = data / f"{DATABASE}.replaced-{now_ms()}"
    # otherwise the log stays beside it as it is, for tools that can read what SQLite cannot
    if lost_behind(current) is None:
        with contextlib.suppress(sqlite3.Error), closing(_connect(current, "rw")) as old:
            old.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    os.link(current, aside)
    for ending in _BESIDE:  # files of the damaged database would be taken for the new one's
        with contextlib.suppress(FileNotFoundError):
            os.rename(f"{current}{ending}", f"{aside}{ending}")
    if (data / SECRET).is_file():
        secret = data / f"{SECRET}{aside.name.removeprefix(DATABASE)}"
        _write_secret(secret, (data / SECRET).read_bytes())
    folder.sync(data)
    return aside


def _write_secret(path: Path, secret: bytes) -> None:
    new = path.with_name(f"{path.name}.new")
    write_private(new, secret)
    os.replace(new, path)


@contextlib.contextmanager
def _new_file(target: Path, replace: bool) -> Iterator[Path]:
    """Yield an empty file beside `target`, which gets that name once it is complete and on disk.

    It is locked meanwhile. A process that is killed leaves it unlocked, and the next one that creates a file
    there deletes it.
    """
    sweep(target.parent)
    made = target.with_name(f"{target.name}.{os.getpid()}{_UNFINISHED}")
    locked = -1
    try:
        locked = _locked_file(made)
        yield made
        _sync(made)
        if replace:
            os.replace(made, target)
        else:
            os.link(made, target)  # unlike a rename, refused when another process has made one meanwhile
        folder.sync(target.parent)
    except FileExistsError:
        raise FailedPrecondition(f"{target} already exists; name another file, or add --replace") from None
    except sqlite3.Error as error:
        raise _refusal(error) from error
    except OSError as error:
        raise DatabaseError(f"{target} cannot be written: {error.strerror}") from None
    finally:
        if locked >= 0:
            _remove(made)
            os.close(locked)


def sweep(directory: Path) -> None:
    """Delete the unfinished copies that killed processes left in a folder."""
    for left in directory.glob(f"*{_UNFINISHED}"):
        with contextlib.suppress(OSError):  # locked, gone meanwhile, or not ours
            locked = os.open(left, os.O_RDONLY | os.O_NOFOLLOW)
            try:
                fcntl.flock(locked, fcntl.LOCK_EX | fcntl.LOCK_NB)
                _remove(left)
            finally:
                os.close(locked)


def _locked_file(path: Path) -> int:
    """Create a locked file. It must stay open: SQLite loses its own locks on a file that its process closes."""
    while True:
        opened = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600)
        fcntl.flock(opened, fcntl.LOCK_EX)
        if os.fstat(opened).st_nlink:
            return opened
        os.close(opened)  # deleted by a sweep before it was locked


def _refusal(error: sqlite3.Error) -> ServiceError | DatabaseError:
    translated = storage_error(error)
    return (
        translated
        if isinstance(translated, ResourceExhausted)
        else DatabaseError("the copy could not be written")
    )


def _check(connection: sqlite3.Connection, path: Path) -> None:
    found = connection.execute("PRAGMA integrity_check(1)").fetchone()[0]
    if found != "ok":
        raise DatabaseError(f"{path} is damaged; `parley check` says where")


def _connect(path: Path, mode: str) -> sqlite3.Connection:
    """Open an existing file; a plain connection would create one."""
    return sqlite3.connect(
        f"{path.resolve().as_uri()}?mode={mode}", uri=True, isolation_level=None, timeout=10
    )


def _sync(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())


def _remove(path: Path) -> None:
    for ending in ("", *_BESIDE):
        Path(f"{path}{ending}").unlink(missing_ok=True)
