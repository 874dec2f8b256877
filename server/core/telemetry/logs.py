"""How log lines look and which are written: lines for people on a terminal, lines of JSON elsewhere.

No line holds a control character of a value, whoever the value came from: neither form can be made to show a line
that nobody logged. What is logged is decided where it is logged.
"""

import json
import logging
import os
import sys
import time
from collections.abc import MutableMapping
from contextlib import suppress
from typing import Any, Literal, TextIO, get_args

import orjson
import structlog

from server.core.telemetry.notes import current_notes

Level = Literal["debug", "info", "warning", "error"]
Form = Literal["auto", "console", "json"]
Record = MutableMapping[str, Any]

CALL = "call"
"""The event of the line that every call ends in."""
_LEVELS: dict[str, int] = {level: getattr(logging, level.upper()) for level in get_args(Level)}
_SHORT = {"request_id": "req"}
_COLOURS = {"debug": "2", "warning": "33", "error": "31"}
_BARE = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.,:;/+*@%~()[]{}<>…")
"""Characters that a value may have without quotation marks."""


def configure(level: Level = "info", form: Form = "auto", stream: TextIO | None = None) -> None:
    """Log to `stream`, the standard error by default, from `level` on; less is not even formatted."""
    stream = stream or sys.stderr
    is_console = form == "console" or (form == "auto" and stream.isatty())
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            add_call,
            structlog.processors.format_exc_info,
            Console(colours=stream.isatty() and "NO_COLOR" not in os.environ) if is_console else as_json,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(_LEVELS[level]),
        logger_factory=lambda *_: _Lines(stream),
        cache_logger_on_first_use=True,
    )


def add_call(_: Any, __: str, record: Record) -> Record:
    """Add the request id, org and chat of the call that a line is logged for."""
    if (notes := current_notes()) and record["event"] != CALL:
        for name, value in (("org", notes.org), ("chat", notes.chat), ("request_id", notes.request_id)):
            if value is not None:
                record.setdefault(name, value)
    return record


def as_json(_: Any, __: str, record: Record) -> str:
    """Return a record as one line of JSON in ASCII."""
    try:
        line = orjson.dumps(record, default=repr).decode()
        if line.isascii() and "\x7f" not in line:
            return line
    except TypeError:  # a lone surrogate, or a number that is too large for it
        pass
    return json.dumps(record, default=repr).replace("\x7f", "\\u007f")


class Console:
    """Renders records for people: local time, level, event, and the rest as `name=value`."""

    def __init__(self, *, colours: bool) -> None:
        self._colours = colours

    def __call__(self, _: Any, __: str, record: Record) -> str:
        level, event, trace = record.pop("level"), str(record.pop("event")), record.pop("exception", None)
        del record["timestamp"]
        head = _escaped(f"{_headline(record) if event == CALL else event}")
        if record.get("prompt_tokens") is not None:
            record["tok"] = f"{record.pop('prompt_tokens')}/{record.pop('completion_tokens')}"
        if "request_id" in record:  # last, and in the same place of every line
            record["request_id"] = record.pop("request_id")
        members = [f"{_SHORT.get(name, name)}={_value(value)}" for name, value in record.items()]
        line = " ".join([head, *members])
        now = time.time()
        stamp = time.strftime("%H:%M:%S", time.localtime(now)) + f".{int(now % 1 * 1000):03}"
        label = level.upper()[:7].ljust(7)
        if self._colours and (colour := _COLOURS.get(level)):
            label = f"\x1b[{colour}m{label}\x1b[0m"
        if trace:
            line += "".join(f"\n    {_escaped(one)}" for one in str(trace).splitlines())
        return f"{stamp} {label} {line}"


def _headline(record: Record) -> str:
    """`POST /chat 200 18ms`, or `ChatService.CreateChat OK 18ms`."""
    method, code, ms = record.pop("method"), record.pop("code"), record.pop("ms")
    if http := record.pop("http", None):
        method, code = http, record.pop("status")
    return f"{method} {code} {ms:.0f}ms" if ms >= 10 else f"{method} {code} {ms:.1f}ms"


def _value(value: Any) -> str:
    if value is None or isinstance(value, bool | int | float):
        return orjson.dumps(value).decode()
    text = value if isinstance(value, str) else as_json(None, "", value)
    return text if text and _BARE.issuperset(text) else json.dumps(text).replace("\x7f", "\\u007f")


def _escaped(text: str) -> str:
    """Return text for a line of its own, with what cannot be printed escaped."""
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() else json.dumps(one)[1:-1] for one in text)


class _Lines:
    """Writes lines. A log that cannot be written must not fail the call that it is about."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def msg(self, line: str) -> None:
        """Write one line at once."""
        with suppress(OSError, ValueError):  # a pipe without a reader, a full disk, a stream that is closed
            self._stream.write(line + "\n")
            self._stream.flush()

    debug = info = warning = error = critical = msg
