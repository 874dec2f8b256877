"""Template variables in an assistant's messages: Liquid, one pass, missing values empty.

Values are never expanded again. A text that is not valid Liquid (a prompt that shows code, say) is left as it is, and
so is one that is too large or too odd to be one: the parser needs quadratic time on long runs of braces and on blocks
that are never closed. Reads no clock: `variables_of` is given the time.
"""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from liquid import Environment
from liquid.exceptions import LiquidError
from liquid.template import BoundTemplate

MOST_CHARACTERS = 32_768
_MARK = re.compile(r"\{\{|\{%")
_QUADRATIC = re.compile(r"\{{16,}|(?:\{%-?\s*(?:raw|comment|doc)\b.*?){16}", re.DOTALL)


class _Bounded(Environment):
    context_depth_limit = 16
    loop_iteration_limit = 10_000
    output_stream_limit = 1_000_000
    local_namespace_limit = 100_000


_environment = _Bounded()


def render(text: str, variables: Mapping[str, Any]) -> str:
    """`text` with its variables filled in."""
    template = _parsed(text)
    if template is None:
        return text
    try:
        return template.render(**variables)
    except LiquidError:
        return text


def variables_of(values: Mapping[str, Any], now_ms: int, customer: Any = None, transport: Any = None) -> dict[str, Any]:
    """The caller's `variableValues` beside the built-in variables, which are in UTC; the caller's win."""
    now = datetime.fromtimestamp(now_ms / 1000, UTC)
    built_in = {
        "now": f"{now:%b} {now.day}, {now.year}, {now:%I:%M %p} UTC",
        "date": f"{now:%b} {now.day}, {now.year}",
        "time": f"{now:%I:%M %p}",
        "month": f"{now:%B}",
        "day": str(now.day),
        "year": str(now.year),
        "customer": customer or {},
        "transport": transport or {},
    }
    return {**built_in, **values}


@lru_cache(maxsize=1024)
def _parsed(text: str) -> BoundTemplate | None:
    if not _MARK.search(text) or len(text) > MOST_CHARACTERS or _QUADRATIC.search(text):
        return None
    try:
        return _environment.from_string(text)
    except LiquidError:
        return None
