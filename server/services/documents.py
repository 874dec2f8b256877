"""The common part of assistants, squads and tools: lossless documents, typed for gRPC and as sent for HTTP.

Knows none of the nouns; `assistants.py`, `squads.py` and `tools.py` pass their own checks and types.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Generic, Literal, Protocol, TypeVar
from weakref import WeakValueDictionary

from google.api.httpbody_pb2 import HttpBody
from google.protobuf.message import Message as AnyMessage

from server.agents.chat_warnings import ChatWarning, shown
from server.agents.documents import merge_patch, without_server_members
from server.content.json_values import from_python, to_python
from server.content.secrets import restore_secrets
from server.core.clock import timestamp
from server.core.errors import ChangedMeanwhile
from server.core.ids import parse_id
from server.core.offload import by_size, in_thread
from server.rpc.call import current_caller
from server.storage.documents import Document, Documents, Listed
from server.wire.documents import document_body

if TYPE_CHECKING:
    from google.protobuf.struct_pb2 import Struct
    from google.protobuf.timestamp_pb2 import Timestamp


class _Stored(Protocol):
    """A typed message with the members of every record."""

    id: str
    org_id: str

    @property
    def created_at(self) -> Timestamp: ...

    @property
    def updated_at(self) -> Timestamp: ...


class _Named(Protocol):
    """A request for one record."""

    id: str


class _Patch(_Named, Protocol):
    @property
    def patch(self) -> Struct: ...


class _Create(Protocol):
    """A create request, which has the document or its typed form."""

    @property
    def document(self) -> Struct: ...

    def HasField(self, field_name: Literal["document"], /) -> bool: ...

    def ByteSize(self) -> int: ...


Typed = TypeVar("Typed", bound=_Stored)
_ATTEMPTS = 5
"""Of a patch that conflicts with patches from other servers: within one server, patches of a record wait for
one another."""


class DocumentRecords(Generic[Typed]):
    """Create, get, list, update and delete documents of the caller's org. All methods raise the errors of the
    storage and of the check."""

    def __init__(
        self,
        documents: Documents,
        check: Callable[[dict[str, Any]], None],
        typed: Callable[[dict[str, Any]], Typed],
        untyped: Callable[[Typed], dict[str, Any]],
        check_names: Callable[[dict[str, Any], dict[str, Any]], Awaitable[None]] | None = None,
        warnings_of: Callable[[Document], Awaitable[list[ChatWarning]]] | None = None,
    ) -> None:
        """`check_names` receives a document and the one that it replaces, and raises for names of records
        that do not exist.

        `warnings_of` returns the warnings about settings of a written document that chats ignore.
        """
        self._documents = documents
        self._check = check
        self._typed = typed
        self._untyped = untyped
        self._check_names = check_names
        self._warnings_of = warnings_of
        self._patching: WeakValueDictionary[tuple[str, str | None], asyncio.Lock] = WeakValueDictionary()
        """By org and id; gone with the last that holds or waits."""

    async def create(self, request: _Create, typed_member: str) -> Document:
        """Create a record from the request's `document` or typed member."""
        size = request.ByteSize()
        sent = await by_size(size, self._sent, request, typed_member)
        if self._check_names:
            await self._check_names(sent, {})
        content = await by_size(size, restore_secrets, without_server_members(sent), {})
        return await self._documents.create(current_caller().org_id, content)

    async def get(self, request: _Named) -> Document:
        """Return one record. Raises NotFound."""
        return await self._documents.get(current_caller().org_id, parse_id(request.id))

    async def list(self, request: AnyMessage) -> Listed:
        """Return one page of records."""
        return await self._documents.list(current_caller().org_id, request)

    async def update(self, request: _Patch) -> Document:
        """Replace the members in the patch, remove those that are null there, and return the new record.

        A concurrent update is not lost: the patch is applied again to its result. Raises ChangedMeanwhile
        when other updates always come first.
        """
        named = current_caller().org_id, parse_id(request.id)
        async with self._patching.setdefault(named, asyncio.Lock()):
            for _ in range(_ATTEMPTS - 1):
                with suppress(ChangedMeanwhile):
                    return await self._update(request)
            return await self._update(request)

    async def _update(self, request: _Patch) -> Document:
        stored = await self.get(request)
        merged = await in_thread(self._merged, stored, request)  # a stored document may be large
        if self._check_names:
            await self._check_names(merged, stored.content)
        return await self._documents.replace(stored, await in_thread(restore_secrets, merged, stored.content))

    async def delete(self, request: _Named) -> Document:
        """Delete a record and return its last state. Raises NotFound."""
        stored = await self.get(request)
        await self._documents.delete(stored.org_id, stored.id)
        return stored

    def _sent(self, request: _Create, typed_member: str) -> dict[str, Any]:
        sent = (
            to_python(request.document)
            if request.HasField("document")
            else self._untyped(getattr(request, typed_member))
        )
        self._check(sent)
        return sent

    def _merged(self, stored: Document, request: _Patch) -> dict[str, Any]:
        merged = merge_patch(stored.content, to_python(request.patch))
        self._check(merged)
        return merged

    async def written(self, document: Document) -> Typed:
        """Return the typed view of a created or changed document, with its warnings."""
        message = await self.message(document)
        if warnings := await self._warnings(document):
            listed = from_python(warnings).list_value
            message.warnings.CopyFrom(listed)  # type: ignore[attr-defined]  # only tools have none, and none is found of them
        return message

    async def written_body(self, document: Document) -> HttpBody:
        """Return the document of `written` as an HTTP body, as it was sent."""
        return await document_body(document, await self._warnings(document))

    async def _warnings(self, document: Document) -> Sequence[dict[str, Any]]:
        return shown(await self._warnings_of(document)) if self._warnings_of else []

    async def message(self, document: Document) -> Typed:
        """Return the typed view of a document, for gRPC."""
        message = await by_size(document.size, self._typed, document.content)
        message.id, message.org_id = document.id, document.org_id
        message.created_at.CopyFrom(timestamp(document.created_at))
        message.updated_at.CopyFrom(timestamp(document.updated_at))
        return message
