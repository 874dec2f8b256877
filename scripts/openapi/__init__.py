"""The OpenAPI document of the HTTP paths, made of the protos, of envoy.yaml and of the tables in `forms.py`.

`document(image)` is all there is to call; `scripts/generate` does, and writes generated/openapi.json.
"""

import tomllib
from functools import cache
from typing import Any

from gateway.checker import Route, candidates, connection_manager, read_routes
from gateway.launcher import CONFIG, ROOT, load

from . import errors
from .operations import Operations
from .schemas import Schemas
from .source import Source

_ABOUT = """One conversation service: a conversation begun at one door can be continued at another and read at all of them.

**Doors.** `/chat` is two doors' path, and the key decides: with a key sent as `x-api-key`, or with a Bearer token that
begins with `pk_` or `sk_`, it is the agents door; with any other Bearer token the assistants door. What is one door's alone
has `x-parley-door` here. `Authorization` decides when both headers are there.

**Keys.** `api` and `secret` keys may do everything. A `publishable` key creates chats and sessions, runs exchanges, and
reads and continues by id what it made itself; it cannot send an assistant, a squad or a transport of its own.

**Every path** answers 405 with `allow` to a method it does not take, and every answer carries `x-request-id`. Query
parameters that are not listed are passed over. The body is read as JSON whatever its content type, at most 4 MB of it,
nested 30 levels deep at most, without the character NUL. As proto3 JSON has it, members that are not listed are dropped
(but kept in assistants, squads and tools), `null` counts as absent, `"true"` passes for true and `"0.7"` for a
number, and one value for an array of one. Every POST with a key takes an `Idempotency-Key`."""
_DOORS = {
    "assistants": "Chats, sessions, assistants, squads and tools.",
    "openai": "The same exchanges in the forms of OpenAI's interfaces.",
    "completions": "Chat completions of one agent.",
    "agents": "Chats as containers of messages.",
}


def document(image: bytes) -> dict[str, Any]:
    """The document, of a protoc image with source info."""
    source = Source(image)
    schemas = Schemas(source)
    operations = Operations(source, schemas)
    paths = operations.paths(_door_of)
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    return {
        "openapi": "3.1.0",
        "info": {"title": "Parley", "version": version, "description": _ABOUT},
        "servers": [{"url": "/"}],
        "tags": [{"name": name, "description": text} for name, text in _DOORS.items()],
        "security": [{"bearer": []}, {"apiKey": []}],
        "paths": paths,
        "components": {
            "schemas": dict(sorted({**schemas.components, **errors.SCHEMAS}.items())),
            "responses": operations.responses,
            "headers": errors.HEADERS,
            "parameters": {
                "IdempotencyKey": {
                    "name": "Idempotency-Key",
                    "in": "header",
                    "required": False,
                    "description": "Sent again with the same key, the same request is answered again and carried out once.",
                    "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]+$"},
                }
            },
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer", "description": "A key of any kind."},
                "apiKey": {
                    "type": "apiKey",
                    "in": "header",
                    "name": "x-api-key",
                    "description": "A key of any kind; for "
                    "`secret` and `publishable` ones at the agents door.",
                },
            },
        },
    }


def _door_of(service: str, verb: str, template: str) -> str:
    """The door that a service is reached through at a path, as Envoy routes."""
    path = template.replace("{", "").replace("}", "")
    (door,) = {
        route.name for route in candidates(_routes(), verb, path) if f"parley.v1.{service}" in route.services
    }
    return door


@cache
def _routes() -> list[Route]:
    return list(read_routes(connection_manager(load(CONFIG))))
