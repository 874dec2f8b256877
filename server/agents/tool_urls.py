"""Fills variables into the URL of a tool: a value fills its place in the path, and never changes the path's
shape.

Values come from models and, as `variableValues`, from holders of publishable keys. Does not check the host
(`core/outbound/guard.py` does), and sends nothing.
"""

import re
import unicodedata
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, unquote

from server.agents.bounded_liquid import Allowance
from server.agents.templates import render

_MARK = re.compile(r"\{\{[^{}]*\}\}|\{%[^{}%]*%\}")
_SEGMENT = re.compile(r"[A-Za-z0-9._~!$&'()*+,;=:@%-]*")
_VALUE = "\0"
"""Stands for a mark; no URL has it."""
_MOST_ROUNDS = 5
"""How often a segment is decoded: servers behind proxies decode twice."""


class PathChanged(Exception):
    """A value would change the path of the tool. The message names the rule and no value."""


def filled_url(template: str, variables: Mapping[str, Any], allowance: Allowance | None = None) -> str:
    """Return `template` with every value escaped.

    Raises PathChanged when a value in a path segment is empty, a dot segment, or contains a slash in any
    encoding: a server would interpret the URL as another resource.
    """
    url = render(template, _escaped(variables), allowance)
    given, filled = _path(_MARK.sub(_VALUE, template)).split("/"), _path(url).split("/")
    if "{%" not in template:
        if len(given) != len(filled):
            raise PathChanged("a value in its URL would add a path segment, or take one away")
        filled = [segment for segment, shape in zip(filled, given, strict=True) if _VALUE in shape]
    elif "" in filled[1:-1] and "" not in given[1:-1]:
        raise PathChanged("a value in the path of its URL is empty")
    for segment in filled:
        _check(segment, may_be_empty="{%" in template)
    return url


def _check(segment: str, *, may_be_empty: bool) -> None:
    if not _SEGMENT.fullmatch(segment):
        raise PathChanged("a value in the path of its URL is an object, or an array of arrays")
    text = _decoded(segment)
    if not text and not may_be_empty:
        raise PathChanged("a value in the path of its URL is empty")
    if "/" in text or "\\" in text:
        raise PathChanged("a value in the path of its URL has a slash")
    # Some servers cut a segment at `;`, which begins its parameters.
    if text.partition(";")[0].strip() in (".", ".."):
        raise PathChanged("a value in the path of its URL is a dot segment")


def _path(url: str) -> str:
    """Return the part of a URL between authority and query."""
    rest = url.partition("://")[2]
    _, slash, path = rest.partition("/")
    return re.split("[?#]", slash + path, maxsplit=1)[0]


def _decoded(segment: str) -> str:
    """Return the segment as the most lenient server decodes it."""
    for _ in range(_MOST_ROUNDS):
        decoded = unquote(segment)
        if decoded == segment:
            break
        segment = decoded
    return unicodedata.normalize("NFKC", segment)


def _escaped(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _escaped(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [_escaped(inner) for inner in value]
    return quote(value, safe="") if isinstance(value, str) else value
