"""Imports a file of history into an org: reads it whole, then writes it conversation by conversation.

Wherever an import is interrupted, the records so far are complete, whatever the order of the file's lines.
"""

from __future__ import annotations

from array import array
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterator
from typing import BinaryIO

from server.storage.history import ALONE
from server.storage.history_order import in_order
from server.wire.history.lines import History, Imported, Line, NumberedRow

_MOST_LINES = 2000
_MOST_BYTES = 4 << 20


async def ingest_file(history: History, org: Callable[[], Awaitable[str]], file: BinaryIO) -> Imported:
    """Import the lines of a file into an org, some conversations at a time.

    `org` is called for the org's id after every line was read and before the first is written. Raises
    InvalidArgument or FailedPrecondition naming the line.
    """
    index = _Index(file)
    async for row in history.read(_lines(file)):
        index.add(row)
    org_id, total = await org(), Imported(0, 0)
    for lines in _batches(index.units()):
        now = await history.ingest(org_id, lines)
        total = Imported(total.imported + now.imported, total.skipped + now.skipped)
    return total


class _Index:
    """The positions of a file's lines, grouped by what belongs together. Stores no line."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._offsets = array("q", _offsets(file))
        self._alone: defaultdict[str, array[int]] = defaultdict(lambda: array("q"))
        """The numbers of lines, by kind."""
        self._forks: dict[str, tuple[str, int]] = {}
        self._fork_lines: dict[str, int] = {}
        self._places: defaultdict[str, array[int]] = defaultdict(lambda: array("q"))
        """By thread: place, 0 for a message and 1 for the chat that ends there, and number of each line."""
        self._whole: set[str] = set()
        """The threads of sessions, of which everything is needed."""

    def add(self, found: NumberedRow) -> None:
        """Add a row to the index."""
        number, kind, row = found
        if kind in ALONE:
            self._alone[kind].append(number)
        if kind == "session":
            self._whole.add(row["thread_id"])
        elif kind == "fork":
            self._forks[row["thread_id"]] = row["parent_id"], row["parent_seq"]
            self._fork_lines[row["thread_id"]] = number
        elif kind == "chat":
            self._places[row["thread_id"]].extend((row["last_seq"], 1, number))
        elif kind == "message":
            self._places[row["thread_id"]].extend((row["seq"], 0, number))

    def units(self) -> Iterator[list[Line]]:
        """Yield the lines in units that can be imported one after another."""
        for kind in ALONE:
            yield from ([self._line(number)] for number in self._alone[kind])
        yield from in_order(sorted({*self._places, *self._forks}), self._forks, self._rows)

    def _rows(self, thread_id: str) -> Iterator[tuple[Line, bool]]:
        if thread_id in self._fork_lines:
            yield self._line(self._fork_lines[thread_id]), False
        places = self._places[thread_id]
        for _, is_chat, number in sorted(zip(places[::3], places[1::3], places[2::3], strict=True)):
            yield self._line(number), bool(is_chat) or thread_id in self._whole

    def _line(self, number: int) -> Line:
        self._file.seek(self._offsets[number - 1])
        return Line(number, self._file.readline())


def _offsets(file: BinaryIO) -> Iterator[int]:
    file.seek(0)
    at = 0
    for line in file:
        yield at
        at += len(line)


def _lines(file: BinaryIO) -> Iterator[Line]:
    file.seek(0)
    for number, text in enumerate(file, 1):
        yield Line(number, text)


def _batches(units: Iterator[list[Line]]) -> Iterator[list[Line]]:
    batch: list[Line] = []
    size = 0
    for unit in units:
        if batch and (len(batch) + len(unit) > _MOST_LINES or size > _MOST_BYTES):
            yield batch
            batch, size = [], 0
        batch += unit
        size += sum(len(line.text) for line in unit)
    if batch:
        yield batch
