"""Assistants, squads and tools over HTTP: the document as it was sent, with the members that the server sets."""

from collections.abc import Sequence
from typing import Any

import orjson
from google.api.httpbody_pb2 import HttpBody

from server.content.secrets import mask_secrets
from server.core.clock import rfc3339, timestamp
from server.core.offload import by_size
from server.storage.documents import Document


async def document_body(document: Document, warnings: Sequence[dict[str, Any]] = ()) -> HttpBody:
    """Return the document as a JSON body. Warnings are added only in the answer that creates or changes it."""
    with_warnings = {"warnings": warnings} if warnings else {}
    return await by_size(document.size, lambda: _body({**_shown(document), **with_warnings}))


async def list_body(documents: Sequence[Document]) -> HttpBody:
    """Return a bare array, as documented."""
    return await by_size(
        sum(document.size for document in documents),
        lambda: _body([_shown(document) for document in documents]),
    )


def _body(shown: Any) -> HttpBody:
    return HttpBody(content_type="application/json", data=orjson.dumps(shown))


def _shown(document: Document) -> dict[str, Any]:
    return {
        "id": document.id,
        "orgId": document.org_id,
        "createdAt": rfc3339(timestamp(document.created_at)),
        "updatedAt": rfc3339(timestamp(document.updated_at)),
        **mask_secrets(document.content),
    }
