"""Plain text for a terminal: aligned tables, and text of strangers without the characters that steer a terminal.

At a terminal the last column is cut to its width, unless it has numbers; in a pipe or a file nothing is cut.
"""

import shutil
import sys
import unicodedata
from collections.abc import Sequence
from datetime import UTC, datetime

_GAP = "  "
_NARROWEST = 8
"""Columns that a last column keeps, however narrow the terminal."""


def printable(text: str) -> str:
    """Return text that cannot steer a terminal: control characters, but for newlines and tabs, are replaced."""
    if text.isprintable():
        return text
    return "".join(
        one if one in "\n\t" or unicodedata.category(one) not in ("Cc", "Cs") else "\N{REPLACEMENT CHARACTER}"
        for one in text
    )


def one_line(text: str) -> str:
    """Return a text in one line."""
    return printable(" ".join(text.split()))


def table(headers: Sequence[str], rows: Sequence[Sequence[str]], right: frozenset[int] = frozenset()) -> str:
    """Return the rows under their headers; the columns of `right` are aligned to the right."""
    lines = [list(headers), *([one_line(cell) for cell in row] for row in rows)]
    widths = [max(width_of(line[column]) for line in lines) for column in range(len(headers))]
    if sys.stdout.isatty() and len(headers) - 1 not in right:
        before = sum(widths[:-1]) + len(_GAP) * (len(widths) - 1)
        widths[-1] = min(widths[-1], max(_NARROWEST, shutil.get_terminal_size().columns - before))
    return "\n".join(
        _GAP.join(
            _aligned(cut(cell, width), width, column in right)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )


def pairs(rows: Sequence[tuple[str, str | None]]) -> str:
    """Return names with their values, one a line; those without a value are left out."""
    shown = [(name, value) for name, value in rows if value is not None]
    width = max((len(name) for name, _ in shown), default=0)
    return "\n".join(f"{name:<{width}}{_GAP}{one_line(value)}".rstrip() for name, value in shown)


def moment(ms: int | None) -> str:
    """Return a time to the minute, in UTC; empty for none."""
    return "" if ms is None else f"{datetime.fromtimestamp(ms / 1000, UTC):%Y-%m-%d %H:%M}"


def width_of(text: str) -> int:
    """Return how many columns of a terminal a text takes."""
    if text.isascii():
        return len(text)
    return sum(_width(one) for one in text)


def cut(text: str, width: int) -> str:
    """Return a text of at most `width` columns, ending in … when some of it is left out."""
    if width_of(text) <= width:
        return text
    shown, left = [], width - 1
    for one in text:
        left -= _width(one)
        if left < 0:
            break
        shown.append(one)
    return "".join(shown) + "…"


def _width(character: str) -> int:
    if unicodedata.combining(character) or unicodedata.category(character) == "Cf":
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def _aligned(text: str, width: int, to_right: bool) -> str:
    padding = " " * (width - width_of(text))
    return padding + text if to_right else text + padding
