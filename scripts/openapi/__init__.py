"""The OpenAPI document of the HTTP paths, generated from the protos, envoy.yaml and the tables in `forms.py`.

`document(image)` is the only entry point; `scripts/generate` calls it, and writes generated/openapi.json.
"""

import tomllib
from functools import cache
from typing import Any

from gateway.checker import Route, candidates, connection_manager, read_routes
from gateway.launcher import CONFIG, ROOT, load

from . import errors
from .naming import Naming
from .operations import Operations
from .schemas import Schemas
from .source import Source

_ABOUT = """Parley is one conversation service with several interfaces, called doors. A conversation begun at one door can be
continued at another and read at all of them. The [playground](./) is the quickest way to a first answer.

## Doors

- **Assistants**: chats, sessions, assistants, squads and tools. Send `Authorization: Bearer api_…`.
- **OpenAI form**: responses, conversations, models and chat completions, for OpenAI's clients. Takes any key.
- **Completions**: chat completions with one agent a base URL, for OpenAI's clients. Takes any key.
- **Agents**: chats as containers of messages, for browsers too. Send the key as `x-api-key`, or as a Bearer token that
  begins with `sk_` or `pk_`.

`/chat` is a path of two doors, and the key decides: a key in `x-api-key`, or a Bearer token that begins with `pk_` or `sk_`,
leads to the agents door, any other Bearer token to the assistants door. `Authorization` decides when both headers are sent.
Whatever belongs to one door of a shared path has the mark `x-parley-door`.

## Keys

`api` and `secret` keys may do everything. A `publishable` key creates chats and sessions, runs exchanges, and reads and
continues by id what it created itself; it cannot send an assistant, a squad or a transport of its own.

## Requests

- The body is read as JSON whatever its content type: at most 4 MB, nested 30 levels deep, without the character NUL.
- Members and query parameters that are not listed are ignored (assistants, squads and tools keep them). `null` counts as
  absent, `"true"` as true, `"0.7"` as a number, and one value as an array of one.
- Every POST with a key takes an `Idempotency-Key`: sent again, the same request is carried out once.

## Answers

Every answer has an `x-request-id`. A method that a path does not take is answered 405 with `allow`. Errors have the shape of
their door."""


def document(image: bytes) -> dict[str, Any]:
    """Return the document of a protoc image with source info."""
    source = Source(image)
    schemas = Schemas(source)
    naming = Naming()
    operations = Operations(source, schemas, naming)
    paths = operations.paths(_door_of)
    naming.check()
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Parley",
            "version": version,
            "description": _ABOUT,
            "contact": {"name": "Parley contributors"},
            "license": {"name": "Apache 2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/", "description": "The server that this document comes from"}],
        "tags": naming.tags,
        "x-tagGroups": naming.groups,
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
    """Return the door of a service at a path, as Envoy routes it."""
    path = template.replace("{", "").replace("}", "")
    (door,) = {
        route.name for route in candidates(_routes(), verb, path) if f"parley.v1.{service}" in route.services
    }
    return door


@cache
def _routes() -> list[Route]:
    return list(read_routes(connection_manager(load(CONFIG))))
