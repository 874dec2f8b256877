"""Template variables in an assistant's messages: Liquid, one pass, missing values empty.

Values are never expanded again. A mark that is not valid Liquid (such as in a prompt that shows code) is left
unchanged, and so is a text that is too large or would take too much work. `variables_of` receives the time;
only `"now" | date` reads the clock.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from liquid.builtin.content import ContentNode
from liquid.builtin.expressions.filtered import FilteredExpression
from liquid.builtin.expressions.path import Path
from liquid.builtin.output import OutputNode
from liquid.exceptions import ResourceLimitError

from server.agents.bounded_liquid import (
    COSTLY,
    FAILED,
    INVALID,
    TOO_LARGE,
    UNFIT,
    Allowance,
    Fault,
    Template,
    template_of,
)
from server.agents.template_marks import is_bounded, mended

MOST_CHARACTERS = 32_768
BRIEF = 2_000
"""Work that the event loop can do, some milliseconds of it at worst."""
_MARK_WORK = 20
"""Work of parsing and rendering a mark."""
_MENDING_WORK = 60
"""Work of finding out whether a mark is at fault, besides its characters."""
_MOST_PIECES = 16


def render(text: str, variables: Mapping[str, Any], allowance: Allowance | None = None) -> str:
    """Return `text` with its variables filled in. Templates that share an allowance are left unchanged once
    it is used up.

    Marks that are left unchanged are recorded in the allowance.
    """
    marks = text.count("{{") + text.count("{%")
    if not marks:
        return text
    allowance = allowance or Allowance()
    noted = len(allowance.faults)
    try:
        allowance.spend(marks * _MARK_WORK)
        if (filled := _filled(text, variables, allowance)) is not None:
            return filled
        if (template := _parsed_or_mended(text, marks, allowance)) is not None:
            return template.fill(variables, allowance)
    except ResourceLimitError:
        del allowance.faults[noted:]
        allowance.note(COSTLY)
    except UNFIT:
        del allowance.faults[noted:]
        allowance.note(FAILED)
    return text


def faults_of(text: str, allowance: Allowance) -> list[Fault]:
    """Return the faults that can be found without variables, and record them in the allowance."""
    marks = text.count("{{") + text.count("{%")
    noted = len(allowance.faults)
    try:
        if marks:
            allowance.spend(marks * _MARK_WORK)
            _parsed_or_mended(text, marks, allowance)
    except ResourceLimitError:
        allowance.note(COSTLY)
    return allowance.faults[noted:]


def _parsed_or_mended(text: str, marks: int, allowance: Allowance) -> Template | None:
    template = _parsed(text)
    if template is not None:
        return template
    if len(text) > MOST_CHARACTERS:
        allowance.note(TOO_LARGE)
        return None
    allowance.spend(marks * _MENDING_WORK + len(text))
    template, faults = _mended(text)
    for fault in faults:
        allowance.note(INVALID, fault)
    return template


def variables_of(
    values: Mapping[str, Any], now_ms: int, customer: Any = None, transport: Any = None
) -> dict[str, Any]:
    """Return the caller's `variableValues` with the built-in variables, which are in UTC; the caller's take
    precedence."""
    return {
        **_of_minute(now_ms // 60_000),
        "customer": customer or {},
        "transport": {"conversationType": "chat", **(transport or {})},
        **values,
    }


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


def _filled(text: str, variables: Mapping[str, Any], allowance: Allowance) -> str | None:
    """Fill a template whose variables are all short texts, in a tenth of Liquid's time; None for others."""
    pieces = _pieces_of(text)
    if pieces is None:
        return None
    filled = []
    for piece, is_name in pieces:
        value = variables.get(piece) if is_name else piece
        if not isinstance(value, str) or len(value) > MOST_CHARACTERS:
            return None
        allowance.spend(len(value) // 16)
        filled.append(value)
    return "".join(filled)


@lru_cache(maxsize=1024)
def _pieces_of(text: str) -> list[tuple[str, bool]] | None:
    """Return a template's texts with the names between them; None when it has other features, or faults."""
    template = _parsed(text)
    if template is None or len(template.nodes) > _MOST_PIECES:
        return None
    pieces = []
    for node in template.nodes:
        if isinstance(node, ContentNode):
            pieces.append((node.text, False))
            continue
        expression = getattr(node, "expression", None)
        if not (
            isinstance(node, OutputNode)
            and type(expression) is FilteredExpression
            and not expression.filters
            and type(expression.left) is Path
            and len(expression.left.path) == 1
            and isinstance(expression.left.path[0], str)
        ):
            return None
        pieces.append((expression.left.path[0], True))
    return pieces


@lru_cache(maxsize=1024)
def _parsed(text: str) -> Template | None:
    if len(text) > MOST_CHARACTERS or not is_bounded(text):
        return None
    return template_of(text)


@lru_cache(maxsize=1024)
def _mended(text: str) -> tuple[Template | None, list[str]]:
    """Return a template with its faulty marks escaped, and those marks; None and the text when it is still
    invalid."""
    plain, faults = mended(text, lambda part: template_of(part) is not None)
    template = template_of(plain) if is_bounded(plain) else None
    return (template, faults) if template is not None else (None, [text])
