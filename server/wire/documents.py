"""Assistants, squads and tools over HTTP: the document as it was sent, beside what the server knows of it."""

from collections.abc import Iterable
from typing import Any

import orjson
from google.api.httpbody_pb2 import HttpBody

from server.clock import rfc3339, timestamp
from server.secrets import mask_secrets
from server.storage.documents import Document


def document_body(document: Document) -> HttpBody:
    return HttpBody(content_type="application/json", data=orjson.dumps(_shown(document)))


def list_body(documents: Iterable[Document]) -> HttpBody:
    """A bare array, as documented."""
    return HttpBody(content_type="application/json", data=orjson.dumps([_shown(document) for document in documents]))


def _shown(document: Document) -> dict[str, Any]:
    return {"id": document.id, "orgId": document.org_id, "createdAt": rfc3339(timestamp(document.created_at)),
            "updatedAt": rfc3339(timestamp(document.updated_at)), **mask_secrets(document.content)}
