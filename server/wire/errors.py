"""The error body of each door, in the shapes of `error_shapes.py`. Decides no status and reads only
ServiceErrors."""

import json
from collections.abc import Mapping
from typing import Any

from server.core.errors import ServiceError, shortened
from server.wire.error_shapes import (
    EDGE_NAMES,
    INVALID,
    OPENAI,
    OPTIONAL,
    SHAPES,
    VIOLATION,
    Door,
    Slot,
    filled,
    kind_of,
    title_of,
)

_DOORS_BY_EDGE_NAME = {name: door for door, name in EDGE_NAMES.items()}
_DOORS: dict[str, Door] = {
    "AgentChatService": "agents",
    "ResponseService": "responses",
    "ModelService": "responses",
    "ConversationService": "responses",
    "CompletionService": "completions",
}


def door_of(method: str, metadata: Mapping[str, str]) -> Door:
    """Return the door of a call to `/package.Service/Method`: the edge names it, and for gRPC callers the
    service determines it."""
    edge_name = metadata.get("x-parley-door")
    if edge_name in _DOORS_BY_EDGE_NAME:
        return _DOORS_BY_EDGE_NAME[edge_name]
    service = method.rpartition("/")[0].rpartition(".")[2]
    return _DOORS.get(service, "assistants")


def http_status(error: ServiceError, door: Door) -> int:
    """Return the HTTP status of an error. The completions door documents 422 for a wrong member; other doors
    use 400."""
    if door == "completions" and error.http_status == 400 and error.violations:
        return 422
    return error.http_status


def body_of(error: ServiceError, door: Door) -> dict[str, Any]:
    """Return the body of an error in the form of its door."""
    status = http_status(error, door)
    if door == "completions" and status == 422:
        return {
            INVALID: [
                filled(
                    VIOLATION,
                    {
                        Slot.PLACE: [violation.place, *_location(violation.field)],
                        Slot.WRONG: violation.message,
                        Slot.RULE: violation.rule,
                    },
                )
                for violation in error.violations
            ]
        }
    values = _values(error, status)
    optional = {} if error.retry_after is None else OPTIONAL.get(door, {})
    return filled(SHAPES[door] | optional, values)


def openai_error(error: ServiceError, status: int) -> dict[str, Any]:
    """Return the inner object of the OpenAI form."""
    return filled(OPENAI, _values(error, status))


def _values(error: ServiceError, status: int) -> dict[Slot, Any]:
    messages = [f"{violation.field} {violation.message}".strip() for violation in error.violations]
    return {
        Slot.MESSAGE: error.message,
        Slot.MESSAGES: messages or error.message,
        Slot.TITLE: title_of(status),
        Slot.STATUS: status,
        Slot.KIND: kind_of(status),
        Slot.CODE: error.reason.lower(),
        Slot.PARAM: next((violation.field for violation in error.violations if violation.field), None),
        Slot.RETRY_AFTER: error.retry_after,
    }


_MOST_BYTES = 7_500


def header_of(error: ServiceError, door: Door) -> str:
    """Return the body as ASCII, for the metadata that `http_errors.lua` reads; a body that is too long is
    cut."""
    text, shown = _ascii(body_of(error, door)), len(error.violations)
    while len(text) > _MOST_BYTES:
        text, shown = (
            _ascii(body_of(shortened(error, shown), door)),
            max(1, shown // 2),
        )  # one violation always fits
    return text


def _ascii(body: dict[str, Any]) -> str:
    return json.dumps(body, separators=(",", ":")).replace("\x7f", "\\u007f")


def _location(field: str) -> list[str | int]:
    """Return `messages[0].role` in FastAPI's form: ["messages", 0, "role"]."""
    parts: list[str | int] = []
    for step in field.split("."):
        name, *indexes = step.split("[")
        if name:
            parts.append(name)
        parts += [
            int(index.rstrip("]")) if index.rstrip("]").isdecimal() else index.rstrip("]")
            for index in indexes
        ]
    return parts
