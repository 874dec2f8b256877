"""Variables that tools extract from their answers, limited to a size that can be stored with a conversation."""

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import structlog

from server.content.json_values import from_python, size_of

_MOST = 64 << 10
_MOST_TOGETHER = 256 << 10
"""Bytes of all variables extracted in one conversation, which are stored with every exchange."""

_log = structlog.get_logger(__name__)


class Extracted(NamedTuple):
    """The stored variables, and the names of the others."""

    variables: dict[str, Any]
    left_out: list[str]


def bounded_variables(variables: Mapping[str, Any]) -> Extracted:
    """Return the variables that are small enough, in order, up to the limit for all of them."""
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
    """Return the size in bytes; infinity when the value cannot be stored at all."""
    if size_of(value, _MOST) > _MOST:  # checked before anything is built from it
        return math.inf
    try:
        return from_python(value).ByteSize()
    except (TypeError, ValueError):
        return math.inf
