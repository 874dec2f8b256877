"""The variables that tools read out of their answers: which of them are small enough to be kept with a
conversation."""

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import structlog

from server.content.json_values import from_python, size_of

_MOST = 64 << 10
_MOST_TOGETHER = 256 << 10
"""Of all that the tools of one conversation have found: it is stored with every exchange."""

_log = structlog.get_logger(__name__)


class Extracted(NamedTuple):
    """The variables that are kept, and the names of the others."""

    variables: dict[str, Any]
    left_out: list[str]


def bounded_variables(variables: Mapping[str, Any]) -> Extracted:
    """Those variables that are small enough to be kept, in order, for as long as they are that together."""
    extracted = Extracted({}, [])
    left: float = _MOST_TOGETHER
    for name, value in variables.items():
        size = len(name) + _size_of(value)
        if size <= min(left, _MOST):
            extracted.variables[name] = value
            left -= size
        else:
            extracted.left_out.append(name[:100])
            _log.warning("variable_not_kept", variable=name[:100])
    return extracted


def _size_of(value: Any) -> float:
    """Bytes; infinitely many when it cannot be kept at all."""
    if size_of(value, _MOST) > _MOST:  # before anything is made of it
        return math.inf
    try:
        return from_python(value).ByteSize()
    except (TypeError, ValueError):
        return math.inf
