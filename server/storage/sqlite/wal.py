"""Detects whether the log of a SQLite file has lost durable commits: SQLite itself continues silently without
them.

SQLite reads the log up to the first invalid frame, and takes everything after that for the rest of a write that a
power cut interrupted. There is at most one such write, because each commit is on disk before the next one
begins (`synchronous = FULL`). So a commit at or after the invalid frame that is followed by another one was
acknowledged: the log is damaged. An invalid frame in the very last commit looks the same as a power cut, and
is not noticed.

Only reads, and may run while others write.
"""

import struct
import sys
from array import array
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

from server.storage.database import DatabaseError

_HEADER = struct.Struct(">8I")
_FRAME = struct.Struct(">6I")
_MAGIC = 0x377F0682
"""Magic number of a log whose checksums use little-endian words; the next number stands for big-endian
ones."""
_MASK = 0xFFFFFFFF

Sums = tuple[int, int]


class _Log(NamedTuple):
    salts: Sums
    sums: Sums | None
    """Those of the header; None when the header itself is invalid."""
    page_bytes: int
    is_big_endian: bool


class _Frame(NamedTuple):
    commits: bool
    follows: bool
    """Whether it is valid, and was written after the frame before it."""


def check_log(database: Path) -> None:
    """Raise DatabaseError when commits are lost. Must be called before SQLite opens the file, which removes
    the log."""
    if (frame := lost_behind(database)) is not None:
        raise DatabaseError(
            f"{database}-wal is damaged at frame {frame}, commits from there on would be lost: restore a backup "
            f"by `parley restore FILE --replace`, or continue without them by `sqlite3 {database} 'PRAGMA wal_checkpoint'`"
        )


def lost_behind(database: Path) -> int | None:
    """Return the frame of the log, counted from 1, from which on acknowledged commits are lost; None for a
    sound or missing log.

    Reads a suspicious log twice: a frame that was half written by another process is complete the second time.
    """
    first = _wrong_frame(database)
    return first if first is not None and first == _wrong_frame(database) else None


def _wrong_frame(database: Path) -> int | None:
    try:
        with Path(f"{database}-wal").open("rb") as file:
            begun = file.read(_HEADER.size + _FRAME.size)
            log = _header(begun, database)
            wrong = log and _first_wrong(log, file)
            file.seek(0)
            # otherwise the log was restarted meanwhile
            return wrong if file.read(_HEADER.size) == begun[: _HEADER.size] else None
    except FileNotFoundError:
        return None


def _header(begun: bytes, database: Path) -> _Log | None:
    """Return the log's header; None when the log is empty."""
    if len(begun) < _HEADER.size + _FRAME.size:
        return None
    magic, _, page_bytes, _, *salts, first, second = _HEADER.unpack_from(begun)
    log = _Log((salts[0], salts[1]), (first, second), page_bytes, magic == _MAGIC + 1)
    if magic in (_MAGIC, _MAGIC + 1) and _summed(log, (0, 0), begun[: _HEADER.size - 8]) == log.sums:
        return log
    # SQLite would read nothing of the log. Its first frame and the file show what its header was.
    _, _, *salts, _, _ = _FRAME.unpack_from(begun, _HEADER.size)
    with database.open("rb") as file:
        page_bytes = int.from_bytes(file.read(18)[16:], "big")
    return _Log((salts[0], salts[1]), None, 65536 if page_bytes == 1 else page_bytes, sys.byteorder == "big")


def _first_wrong(log: _Log, file: BinaryIO) -> int | None:
    wrong, after_commit = None, False
    for number, frame in enumerate(_frames(log, file), 1):
        if wrong is None and not frame.follows:
            wrong = number
        elif wrong is not None and after_commit and frame.follows:
            return wrong
        after_commit = wrong is not None and frame.commits
    return None


def _frames(log: _Log, file: BinaryIO) -> Iterator[_Frame]:
    file.seek(_HEADER.size)
    before = made_before = log.sums
    while len(head := file.read(_FRAME.size)) == _FRAME.size:
        _, pages_after_commit, *salts, first, second = _FRAME.unpack(head)
        page = file.read(log.page_bytes)
        sums, made = (first, second), None
        # frames that an earlier log left after this one have other salts
        if (salts[0], salts[1]) == log.salts and before:
            made = _summed(log, before, head[:8] + page)
            # The checksum in the frame before may itself be the damage.
            follows = made == sums or bool(
                made_before != before and made_before and _summed(log, made_before, head[:8] + page) == sums
            )
        yield _Frame(bool(pages_after_commit), bool(made) and follows)
        before, made_before = sums, made


def _summed(log: _Log, sums: Sums, data: bytes) -> Sums:
    """Return SQLite's checksum of some words, continuing from `sums`."""
    words = array("I", data)
    if log.is_big_endian is (sys.byteorder == "little"):
        words.byteswap()
    first, second = sums
    pairs = iter(words)
    for one, other in zip(pairs, pairs, strict=True):
        first = (first + one + second) & _MASK
        second = (second + other + first) & _MASK
    return first, second
