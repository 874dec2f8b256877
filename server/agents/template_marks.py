"""The marks of a Liquid template, `{{…}}` and `{%…%}`: checks that they are closed, and escapes faulty ones.

Parses no Liquid: the caller passes the check of a mark.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import NamedTuple

MOST_IN_A_MARK = 2_000
_OPENING = 2
"""Characters: all that there is of a mark that is never closed."""
_MOST_BEHIND = 20
"""Characters that are shown with it."""
MARK = re.compile(r"\{\{|\{%(?:-?\s*(raw|doc)\s*-?%\})?")
_END = {"raw": re.compile(r"\{%-?\s*endraw\s*-?%\}"), "doc": re.compile(r"\{%-?\s*enddoc\s*-?%\}")}
_BLANKS = re.compile(r"\s{64}")
_NAME = re.compile(r"\{%-?\s*(#|\w+)")
_COMMENT = re.compile(r"\{%-?\s*(end)?comment\b[^%]{0,2000}%\}")
_PARTS = {
    "if": ("elsif", "else"),
    "unless": ("elsif", "else"),
    "case": ("when", "else"),
    "for": ("else",),
    "tablerow": (),
    "capture": (),
    "ifchanged": (),
}
"""The tags that open a block, and those that may stand in it."""
_AROUND = {
    "elsif": ("{% if a %}", "{% endif %}"),
    "when": ("{% case a %}", "{% endcase %}"),
    **{name: ("", f"{{% end{name} %}}") for name in _PARTS},
}
"""The text before and after a tag that makes it a whole template."""


def is_bounded(text: str) -> bool:
    """Return whether every mark is closed within a limit. Other text is no Liquid, and the parser's time
    would grow as its square or cube."""
    at = 0
    while mark := MARK.search(text, at):
        end = _end_of(text, mark)
        if end is None:
            return False
        at = end
    return True


class Mended(NamedTuple):
    """A template whose faulty marks are escaped."""

    text: str
    faults: list[str]
    """The faulty marks as written: adjacent marks, with the text between them, count as one."""


def mended(text: str, is_good: Callable[[str], bool]) -> Mended:
    """Escape the faulty marks of a template, so that each affects only itself.

    Reads every mark once, and calls `is_good` for each at most once.
    """
    marks = _Marks(is_good)
    at = 0
    while mark := MARK.search(text, at):
        at = marks.consume(text, mark)
    marks.unclosed()
    spans = _faulty(marks.found)
    return Mended(
        _rewritten(text, spans),
        [text[start : end if end > start + _OPENING else start + _MOST_BEHIND] for start, end in spans],
    )


@dataclass(slots=True)
class _Mark:
    start: int
    end: int
    is_good: bool


@dataclass(slots=True)
class _Block:
    name: str
    marks: list[_Mark]

    def spoil(self) -> None:
        for mark in self.marks:
            mark.is_good = False


class _Marks:
    """The marks of a text from its beginning on, and the open blocks."""

    def __init__(self, is_good: Callable[[str], bool]) -> None:
        self._is_good = is_good
        self._blocks: list[_Block] = []
        self._open: Counter[str] = Counter()
        self.found: list[_Mark] = []

    def consume(self, text: str, opening: re.Match[str]) -> int:
        """Check the mark that begins here. Returns the position to continue from."""
        start, end = opening.start(), _end_of(text, opening)
        if end is None:
            # An unclosed raw block leaves everything to the end unchanged.
            end = len(text) if opening[1] else opening.end()
            return self._add(start, end, False).end
        if opening[1]:
            return self._add(start, end, True).end
        if inner := MARK.search(text, opening.end(), end):
            return self._add(start, inner.start(), False).end
        name = _NAME.match(text, start)
        if name and name[1] == "comment":
            closing = _end_of_comment(text, end)
            return self._add(start, closing or len(text), closing is not None).end
        self._judge(name[1] if name else "", text[start:end], self._add(start, end, True))
        return end

    def unclosed(self) -> None:
        for block in self._blocks:
            block.spoil()

    def _add(self, start: int, end: int, is_good: bool) -> _Mark:
        self.found.append(_Mark(start, end, is_good))
        return self.found[-1]

    def _judge(self, name: str, text: str, mark: _Mark) -> None:
        if name.startswith("end") and name[3:] in _PARTS:
            self._close(name[3:], mark)
            return
        before, behind = _AROUND.get(name, ("", ""))
        mark.is_good = name == "else" or self._is_good(before + text + behind)
        if name in _PARTS:
            self._blocks.append(_Block(name, [mark]))
            self._open[name] += 1
        elif name in ("else", "elsif", "when"):
            block = self._blocks[-1] if self._blocks else None
            if block is None or name not in _PARTS[block.name] or not block.marks[0].is_good:
                mark.is_good = False
            else:
                block.marks.append(mark)

    def _close(self, name: str, mark: _Mark) -> None:
        """End the block of this name that was opened last; unclosed blocks in it are faulty."""
        if not self._open[name]:
            mark.is_good = False
            return
        while True:
            block = self._blocks.pop()
            self._open[block.name] -= 1
            if block.name == name:
                mark.is_good = block.marks[0].is_good
                return
            block.spoil()


def _end_of(text: str, mark: re.Match[str]) -> int | None:
    """Return the end of a mark, raw content included; None when it is not closed within the limit."""
    if mark[1]:
        closing = _END[mark[1]].search(text, mark.end())
        return closing.end() if closing else None
    end = text.find("}}" if mark[0] == "{{" else "%}", mark.end(), mark.end() + MOST_IN_A_MARK) + 2
    return None if end == 1 or _BLANKS.search(text, mark.end(), end) else end


def _end_of_comment(text: str, at: int) -> int | None:
    depth = 1
    for tag in _COMMENT.finditer(text, at):
        depth += -1 if tag[1] else 1
        if depth == 0:
            return tag.end()
    return None


def _faulty(marks: Iterable[_Mark]) -> list[tuple[int, int]]:
    """Return the spans of faulty marks, merged unless a good one is between them."""
    spans: list[tuple[int, int]] = []
    goes_on = False
    for mark in marks:
        if not mark.is_good:
            spans[-1:] = [(spans[-1][0], mark.end)] if goes_on else [*spans[-1:], (mark.start, mark.end)]
        goes_on = not mark.is_good
    return spans


def _rewritten(text: str, faulty: Iterable[tuple[int, int]]) -> str:
    pieces, at = [], 0
    for start, end in faulty:
        pieces += [text[at:start], _plain(text[start:end])]
        at = end
    return "".join([*pieces, text[at:]])


def _plain(text: str) -> str:
    """Return Liquid that outputs this text."""
    raw, at = [], 0
    for end in _END["raw"].finditer(text):
        raw += [f"{{% raw %}}{text[at : end.start()]}{{% endraw %}}", f'{{{{ "{end[0]}" }}}}']
        at = end.end()
    return "".join([*raw, f"{{% raw %}}{text[at:]}{{% endraw %}}"])
