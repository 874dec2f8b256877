"""The error body of each door. Decides no status and reads no exception but ours."""

import json
from collections.abc import Mapping
from typing import Any, Literal

from server.core.errors import ServiceError, shortened

Door = Literal["assistants", "agents", "responses", "completions"]

_TITLES = {400: "Bad Request", 401: "Unauthorized", 403: "Forbidden", 404: "Not Found", 409: "Conflict",
           413: "Payload Too Large", 422: "Unprocessable Entity", 429: "Too Many Requests", 500: "Internal Server Error",
           501: "Not Implemented", 502: "Bad Gateway", 503: "Service Unavailable", 504: "Gateway Timeout"}
_TYPES = {400: "invalid_request_error", 401: "authentication_error", 403: "permission_error", 404: "not_found_error",
          409: "conflict_error", 413: "invalid_request_error", 422: "invalid_request_error", 429: "rate_limit_error"}
_TOLD: dict[str, Door] = {"assistants": "assistants", "agents": "agents", "openai": "responses",
                          "completions": "completions"}
_DOORS: dict[str, Door] = {"AgentChatService": "agents", "ResponseService": "responses", "ModelService": "responses",
                           "ConversationService": "responses", "CompletionService": "completions"}


def door_of(method: str, metadata: Mapping[str, str]) -> Door:
    """The door that `/package.Service/Method` was called through: the edge says it, and for gRPC callers the service."""
    told = metadata.get("x-parley-door")
    if told in _TOLD:
        return _TOLD[told]
    service = method.rpartition("/")[0].rpartition(".")[2]
    return _DOORS.get(service, "assistants")


def http_status(error: ServiceError, door: Door) -> int:
    """The completions door answers 422 where a member is wrong, as documented; elsewhere it is 400."""
    if door == "completions" and error.http_status == 400 and error.violations:
        return 422
    return error.http_status


def body_of(error: ServiceError, door: Door) -> dict[str, Any]:
    status = http_status(error, door)
    if door == "agents":
        body: dict[str, Any] = {"error": _TITLES.get(status, "Error"), "message": error.message}
        return body if error.retry_after is None else {**body, "retryAfter": error.retry_after}
    if door == "responses":
        return {"error": openai_error(error, status)}
    if door == "completions":
        if status == 422:
            return {"detail": [{"loc": [violation.place, *_location(violation.field)], "msg": violation.message,
                                "type": violation.rule} for violation in error.violations]}
        return {"detail": error.message, "error": openai_error(error, status)}
    messages = [f"{violation.field} {violation.message}".strip() for violation in error.violations]
    return {"message": messages or error.message, "error": _TITLES.get(status, "Error"), "statusCode": status}


def openai_error(error: ServiceError, status: int) -> dict[str, Any]:
    """The inner object of the OpenAI form."""
    field = next((violation.field for violation in error.violations if violation.field), None)
    return {"message": error.message, "type": _TYPES.get(status, "server_error"), "param": field,
            "code": error.reason.lower()}


_MOST_BYTES = 7_500


def header_of(error: ServiceError, door: Door) -> str:
    """The body as ASCII, for the metadata that `http_errors.lua` reads; what does not fit is cut."""
    text, shown = _ascii(body_of(error, door)), len(error.violations)
    while len(text) > _MOST_BYTES:
        text, shown = _ascii(body_of(shortened(error, shown), door)), max(1, shown // 2)  # one always fits
    return text


def _ascii(body: dict[str, Any]) -> str:
    return json.dumps(body, separators=(",", ":")).replace("\x7f", "\\u007f")


def _location(field: str) -> list[str | int]:
    """`messages[0].role` as FastAPI writes it: ["messages", 0, "role"]."""
    parts: list[str | int] = []
    for step in field.split("."):
        name, *indexes = step.split("[")
        if name:
            parts.append(name)
        parts += [int(index.rstrip("]")) if index.rstrip("]").isdecimal() else index.rstrip("]") for index in indexes]
    return parts
