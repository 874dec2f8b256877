"""The one table of errors: the shape of a body at each door, and the title of each status.

The server fills in the shapes (`errors.py`); scripts/generate writes them for Envoy's Lua filters and for
openapi.json. tests/test_error_shapes.py compares the copy in envoy.yaml with them. Knows no error, and
imports nothing of the server.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Any, Literal, Union

Door = Literal["assistants", "agents", "responses", "completions"]


class Slot(StrEnum):
    """Placeholder of a value in a shape."""

    MESSAGE = "message"
    MESSAGES = "messages"
    """The message, or an array with one for each member that is wrong."""
    TITLE = "title"
    STATUS = "status"
    KIND = "kind"
    PARAM = "param"
    CODE = "code"
    RETRY_AFTER = "retry_after"
    PLACE = "place"
    """Where a member is: an array of steps, the first of which is body, query or path."""
    WRONG = "wrong"
    RULE = "rule"


Shape = dict[str, Union[Slot, "Shape"]]

OPENAI: Shape = {"message": Slot.MESSAGE, "type": Slot.KIND, "param": Slot.PARAM, "code": Slot.CODE}
"""The inner object of the OpenAI form."""
SHAPES: dict[Door, Shape] = {
    "assistants": {"message": Slot.MESSAGES, "error": Slot.TITLE, "statusCode": Slot.STATUS},
    "agents": {"error": Slot.TITLE, "message": Slot.MESSAGE},
    "responses": {"error": OPENAI},
    "completions": {"detail": Slot.MESSAGE, "error": OPENAI},
}
OPTIONAL: dict[Door, Shape] = {"agents": {"retryAfter": Slot.RETRY_AFTER}}
"""Members that are there when there is something to say."""
INVALID = "detail"
"""The member of an error 422 at the completions door that lists the invalid members."""
VIOLATION: Shape = {"loc": Slot.PLACE, "msg": Slot.WRONG, "type": Slot.RULE}

EDGE_NAMES: dict[Door, str] = {
    "assistants": "assistants",
    "agents": "agents",
    "responses": "openai",
    "completions": "completions",
}
"""The doors as envoy.yaml names them."""

TITLES = {
    400: "Bad Request",
    401: "Unauthorized",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    408: "Request Timeout",
    409: "Conflict",
    413: "Payload Too Large",
    422: "Unprocessable Entity",
    429: "Too Many Requests",
    431: "Request Header Fields Too Large",
    499: "Client Closed Request",
    500: "Internal Server Error",
    501: "Not Implemented",
    502: "Bad Gateway",
    503: "Service Unavailable",
    504: "Gateway Timeout",
}
NO_TITLE = "Error"
KINDS = {
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    409: "conflict_error",
    429: "rate_limit_error",
}
CALLERS_KIND, SERVERS_KIND = "invalid_request_error", "server_error"
"""For all other statuses: below 500, and from 500 on."""


def title_of(status: int) -> str:
    """Return the title of an HTTP status."""
    return TITLES.get(status, NO_TITLE)


def kind_of(status: int) -> str:
    """Return the error type of a status in the OpenAI form."""
    return KINDS.get(status, CALLERS_KIND if status < 500 else SERVERS_KIND)


def filled(shape: Shape, values: Mapping[Slot, Any]) -> dict[str, Any]:
    """Return the shape with its placeholders replaced by values."""
    return {
        name: filled(part, values) if isinstance(part, dict) else values[part] for name, part in shape.items()
    }
