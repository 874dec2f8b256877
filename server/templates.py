"""Template variables in an assistant's messages: Liquid, one pass, missing values empty.

Values are never expanded again. A text that is not valid Liquid (a prompt that shows code, say) is left as it is, and
so is one that is too large or would take too much work. Reads no clock: `variables_of` is given the time.
"""

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from liquid import Environment, RenderContext
from liquid.builtin.content import ContentNode
from liquid.builtin.expressions import primitive
from liquid.builtin.expressions.filtered import FilteredExpression
from liquid.builtin.expressions.path import Path
from liquid.builtin.expressions.primitive import RangeLiteral
from liquid.builtin.output import OutputNode
from liquid.exceptions import LiquidError, ResourceLimitError
from liquid.template import BoundTemplate

MOST_CHARACTERS = 32_768
_MOST_IN_A_MARK = 2_000
_MOST_ROUNDS = 10_000
_MOST_WORK = 1_000_000
"""About a second: one is a node of a template rendered, or 16 characters read by a filter."""
_MARK = re.compile(r"\{\{|\{%(?:-?\s*(raw|doc)\s*-?%\})?")
_END = {"raw": re.compile(r"\{%-?\s*endraw\s*-?%\}"), "doc": re.compile(r"\{%-?\s*enddoc\s*-?%\}")}
_MOST_PIECES = 16
_BLANKS = re.compile(r"\s{64}")
_MULTIPLYING = frozenset({"replace", "join", "times", "divided_by", "modulo"})
# What a filter raises where its value is not what it expects is not always a LiquidError.
_UNFIT = (LiquidError, ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError)


def render(text: str, variables: Mapping[str, Any]) -> str:
    """`text` with its variables filled in."""
    if (filled := _filled(text, variables)) is not None:
        return filled
    template = _parsed(text)
    if template is None:
        return text
    try:
        return template.render(variables)  # not as keywords: a variable may be named `self`
    except _UNFIT:
        return text


def variables_of(values: Mapping[str, Any], now_ms: int, customer: Any = None, transport: Any = None) -> dict[str, Any]:
    """The caller's `variableValues` beside the built-in variables, which are in UTC; the caller's win."""
    return {**_of_minute(now_ms // 60_000), "customer": customer or {}, "transport": transport or {}, **values}


@lru_cache(maxsize=2)
def _of_minute(minute: int) -> dict[str, str]:
    now = datetime.fromtimestamp(minute * 60, UTC)
    return {
        "now": f"{now:%b} {now.day}, {now.year}, {now:%I:%M %p} UTC",
        "date": f"{now:%b} {now.day}, {now.year}",
        "time": f"{now:%I:%M %p}",
        "month": f"{now:%B}",
        "day": str(now.day),
        "year": str(now.year),
    }


def _filled(text: str, variables: Mapping[str, Any]) -> str | None:
    """What the template makes of variables that are short texts, in a tenth of Liquid's time; None when it has others."""
    pieces = _pieces_of(text)
    if pieces is None:
        return None
    filled = []
    for piece, is_name in pieces:
        value = variables.get(piece) if is_name else piece
        if not isinstance(value, str) or len(value) > MOST_CHARACTERS:
            return None
        filled.append(value)
    return "".join(filled)


@lru_cache(maxsize=1024)
def _pieces_of(text: str) -> list[tuple[str, bool]] | None:
    """A template's texts, and the names that stand between them; None when there is more to it, or to be said of it."""
    template = _parsed(text)
    if template is None or len(template.nodes) > _MOST_PIECES:
        return None
    pieces = []
    for node in template.nodes:
        if isinstance(node, ContentNode):
            pieces.append((node.text, False))
            continue
        expression = getattr(node, "expression", None)
        if not (isinstance(node, OutputNode) and type(expression) is FilteredExpression and not expression.filters
                and type(expression.left) is Path and len(expression.left.path) == 1
                and isinstance(expression.left.path[0], str)):
            return None
        pieces.append((expression.left.path[0], True))
    return pieces


@lru_cache(maxsize=1024)
def _parsed(text: str) -> BoundTemplate | None:
    if len(text) > MOST_CHARACTERS or not _MARK.search(text) or not _is_bounded(text):
        return None
    try:
        return _environment.from_string(text, matter={"most_nodes": len(text) // 8})
    except _UNFIT:
        return None


def _is_bounded(text: str) -> bool:
    """Whether every mark is closed, and soon. Others are no Liquid, and the parser's time grows as their square or cube."""
    at = 0
    while mark := _MARK.search(text, at):
        if mark[1]:
            closing = _END[mark[1]].search(text, mark.end())
            at = closing.end() if closing else -1
        else:
            at = text.find("}}" if mark[0] == "{{" else "%}", mark.end(), mark.end() + _MOST_IN_A_MARK) + 2
            if at == 1 or _BLANKS.search(text, mark.end(), at):
                at = -1
        if at == -1:
            return False
    return True


class _Context(RenderContext):
    """Ends a rendering that takes too much work: loops and filters draw on one allowance."""

    _left = _MOST_WORK

    def raise_for_loop_limit(self, length: int = 1) -> None:
        super().raise_for_loop_limit(length)
        self._spend(length * self.template.matter["most_nodes"])

    def filter(self, name: str, token: Any) -> Callable[..., object]:
        function = super().filter(name, token)

        def spending(value: object, *arguments: object, **named: object) -> object:
            read, told = _size(value), max(map(_size, (*arguments, *named.values())), default=0)
            self._spend(1 + (read * told if name in _MULTIPLYING else read + told) // 16)
            return function(value, *arguments, **named)

        return spending

    def _spend(self, work: int) -> None:
        self._left -= work
        if self._left < 0:
            raise ResourceLimitError("the template takes too much work", token=None)


class _Template(BoundTemplate):
    context_class = _Context


class _Bounded(Environment):
    template_class = _Template
    context_depth_limit = 16
    loop_iteration_limit = _MOST_ROUNDS
    output_stream_limit = 1_000_000
    local_namespace_limit = 100_000


class _Range(RangeLiteral):
    """A range that filters and `contains` may walk through too: loops are not all that does."""

    def evaluate(self, context: RenderContext) -> range:
        made = super().evaluate(context)
        if len(made) > _MOST_ROUNDS:
            raise ResourceLimitError("the range is too long", token=None)
        return made


primitive.RangeLiteral = _Range  # the environment has no setting for it
_environment = _Bounded()


def _size(value: object) -> int:
    if isinstance(value, int):
        return value.bit_length() // 8
    return len(value) if isinstance(value, str | list | tuple | dict | range) else 1
