"""What every operation may answer that is no success, in the shape of each door
(server/wire/error_shapes.py). tests/test_openapi.py holds real answers against it.
"""

from collections.abc import Iterator
from typing import Any

from server.wire.error_shapes import (
    CALLERS_KIND,
    EDGE_NAMES,
    INVALID,
    KINDS,
    OPTIONAL,
    SERVERS_KIND,
    SHAPES,
    VIOLATION,
    Door,
    Shape,
    Slot,
    filled,
    kind_of,
    title_of,
)

from .forms import Schema, ref

_TEXT: Schema = {"type": "string"}
_SLOTS: dict[Slot, Schema] = {
    Slot.MESSAGE: _TEXT,
    Slot.MESSAGES: {
        "anyOf": [_TEXT, {"type": "array", "items": _TEXT}],
        "description": "The error; one text per invalid member.",
    },
    Slot.TITLE: {**_TEXT, "description": "The title of the status."},
    Slot.STATUS: {"type": "integer"},
    Slot.KIND: {"enum": [CALLERS_KIND, *KINDS.values(), SERVERS_KIND]},
    Slot.PARAM: {"type": ["string", "null"], "description": "The member that is wrong."},
    Slot.CODE: {"type": ["string", "null"], "description": "A stable, machine-readable word."},
    Slot.RETRY_AFTER: {"type": "number", "description": "Seconds to wait."},
    Slot.PLACE: {"type": "array", "items": {"type": ["string", "integer"]}},
    Slot.WRONG: _TEXT,
    Slot.RULE: _TEXT,
}


def _schema(shape: Shape, optional: Shape | None = None) -> Schema:
    members = shape | (optional or {})
    return {
        "type": "object",
        "required": list(shape),
        "properties": {
            name: _schema(part) if isinstance(part, dict) else _SLOTS[part] for name, part in members.items()
        },
    }


def _error(door: Door, where: str) -> Schema:
    return {"description": f"An error {where}.", **_schema(SHAPES[door], OPTIONAL.get(door))}


SCHEMAS: dict[str, Schema] = {
    "AssistantsError": _error("assistants", "at the assistants door"),
    "AgentsError": _error("agents", "at the agents door"),
    "OpenAIError": _error("responses", "in the form of OpenAI's interfaces"),
    "CompletionsError": _error("completions", "at the completions door"),
    "CompletionsInvalid": {
        "description": "A request to the completions door that is wrong.",
        "type": "object",
        "required": [INVALID],
        "properties": {INVALID: {"type": "array", "items": _schema(VIOLATION)}},
    },
}
_SHAPES = {
    "assistants": "AssistantsError",
    "agents": "AgentsError",
    "openai": "OpenAIError",
    "completions": "CompletionsError",
}
MEANINGS = {
    400: "The request is malformed, or its members are wrong.",
    401: "The key is missing or unknown.",
    403: "A key of this kind may not do this.",
    404: "The resource does not exist, or belongs to another org.",
    408: "The request did not arrive in time.",
    409: "It is in the way of another request: one with the same Idempotency-Key runs, or its answer was lost.",
    413: "The body is larger than 4 MB.",
    422: "Members of the request are wrong.",
    429: "Too many requests, here or at the model provider; `retry-after` says when to try again.",
    431: "The headers are larger than 60 KiB.",
    500: "A bug here; `x-request-id` names it in the server's log.",
    502: "The model provider failed.",
    503: "The service or the model provider is not available; try again.",
    504: "The service or the model provider did not answer in time.",
}
_EXAMPLES = {
    400: ("input is required", "input", "invalid_argument"),
    401: (
        "a valid key is required: send it as `Authorization: Bearer <key>` or `x-api-key: <key>`",
        None,
        "unauthenticated",
    ),
    403: ("a publishable key cannot do this; use a secret key", None, "permission_denied"),
    404: ("chat not found", None, "chat_not_found"),
    408: ("the request did not arrive in time", None, None),
    409: ("a request with this Idempotency-Key is still running", None, "idempotency_key_in_use"),
    413: ("the body is larger than 4 MB", None, None),
    422: ("is required", "messages", "missing"),
    429: ("this key has sent more requests than it may; try again later", None, "rate_limited"),
    431: ("the headers are larger than 60 KiB", None, None),
    500: ("Internal Server Error", None, "internal"),
    502: ("the model provider answered with an error", None, "upstream_error"),
    503: ("the service did not answer; try again", None, None),
    504: ("the model provider did not answer in time", None, "upstream_timeout"),
}
"""An example of each: the message, the member that is wrong, and the code."""
HEADERS: dict[str, Schema] = {
    "RequestId": {
        "description": "Names the request in the server's log; the caller's own, when it sent one.",
        "required": True,
        "schema": {"type": "string"},
    },
    "RetryAfter": {"description": "Seconds to wait.", "schema": {"type": "string"}},
    "RateLimit": {
        "description": "How many requests the key, or its org, may send at once. There with every answer to a key, unless "
        "limits are off.",
        "schema": {"type": "string"},
    },
    "RateLimitRemaining": {"description": "How many of them may be sent now.", "schema": {"type": "string"}},
    "RateLimitReset": {
        "description": "How long until all of them may be sent again, such as 6m0s.",
        "schema": {"type": "string"},
    },
    "IdempotentReplayed": {
        "description": "There when the answer is that of an earlier request with the same Idempotency-Key.",
        "schema": {"const": "true"},
    },
}
_STANDING = {
    "x-ratelimit-limit-requests": "RateLimit",
    "x-ratelimit-remaining-requests": "RateLimitRemaining",
    "x-ratelimit-reset-requests": "RateLimitReset",
}


def standing() -> dict[str, Schema]:
    """The headers that say where a key stands."""
    return {name: {"$ref": f"#/components/headers/{header}"} for name, header in _STANDING.items()}


def statuses(*, keyed: bool, verb: str, names: bool, runs: bool, door: str) -> list[int]:
    """Return the statuses of an operation's errors. `names`: its request contains an id; `runs`: it calls a
    model."""
    always = {400, 429, 431, 500, 503, 504}
    also = {
        401: keyed,
        403: keyed,
        404: names,
        408: verb in ("POST", "PATCH"),
        409: verb == "POST" and keyed,
        413: verb in ("POST", "PATCH"),
        422: door == "completions",
        502: runs,
    }
    return sorted(
        always | {status for status, applies in also.items() if applies} | ({403} if not keyed else set())
    )


def response(doors: list[str], status: int) -> tuple[str, dict[str, Any]]:
    """The name of the shared response of some doors to a status, and the response itself."""
    shapes = [
        ref("CompletionsInvalid" if door == "completions" and status == 422 else _SHAPES[door])
        for door in doors
    ]
    headers = {"x-request-id": {"$ref": "#/components/headers/RequestId"}}
    if status == 429:
        headers |= standing()
    if status in (429, 502, 503, 504):
        headers["retry-after"] = {"$ref": "#/components/headers/RetryAfter"}
    name = "Or".join(door.capitalize() for door in doors) + str(status)
    schema = shapes[0] if len(shapes) == 1 else {"anyOf": shapes}
    examples = {door: {"summary": f"At the {door} door", "value": _example(door, status)} for door in doors}
    return name, {
        "description": MEANINGS[status],
        "headers": headers,
        "content": {"application/json": {"schema": schema, "examples": examples}},
    }


def _example(edge_name: str, status: int) -> dict[str, Any]:
    message, member, code = _EXAMPLES[status]
    if edge_name == "completions" and status == 422:
        place = {Slot.PLACE: ["body", member], Slot.WRONG: message, Slot.RULE: code}
        return {INVALID: [filled(VIOLATION, place)]}
    [door] = (door for door, name in EDGE_NAMES.items() if name == edge_name)
    values = {
        Slot.MESSAGE: message,
        Slot.MESSAGES: [message] if status == 400 else message,
        Slot.TITLE: title_of(status),
        Slot.STATUS: status,
        Slot.KIND: kind_of(status),
        Slot.PARAM: member,
        Slot.CODE: code,
        Slot.RETRY_AFTER: 1,
    }
    return filled(SHAPES[door] | (OPTIONAL.get(door, {}) if status == 429 else {}), values)


def responses(used: set[tuple[tuple[str, ...], int]]) -> Iterator[tuple[str, dict[str, Any]]]:
    for doors, status in sorted(used):
        yield response(list(doors), status)
