"""Squads: lossless documents, typed for gRPC callers and as sent for HTTP."""

from typing import Any

from google.api.httpbody_pb2 import HttpBody

from generated.parley.v1.squad_pb2 import Squad
from generated.parley.v1.squad_service_pb2 import (
    CreateSquadRequest,
    DeleteSquadRequest,
    GetSquadRequest,
    ListSquadsRequest,
    ListSquadsResponse,
    UpdateSquadRequest,
)
from generated.parley.v1.squad_service_pb2_grpc import SquadServiceServicer
from server.agents import model_providers
from server.agents.chat_warnings import ChatWarning
from server.agents.document_warnings import of_squad
from server.agents.documents import check_squad, squad_document, typed_squad
from server.agents.model_providers import Fault, check_providers
from server.agents.names import MEMBER_BYTES, check_handoffs
from server.core.offload import by_size
from server.rpc.call import current_caller
from server.rpc.context import Context
from server.services.documents import DocumentRecords
from server.services.statuses import CREATED, HAS_MORE
from server.storage.assistants import Assistants
from server.storage.documents import Document
from server.storage.squads import Squads
from server.wire.documents import document_body, list_body


class SquadService(SquadServiceServicer):
    """Manages squads: assistants that hand a conversation over to each other."""

    def __init__(
        self, squads: Squads, assistants: Assistants, provider_fault: Fault, not_called: Fault
    ) -> None:
        """Takes the same arguments as AssistantService."""
        self._assistants = assistants
        self._provider_fault = provider_fault
        self._not_called = not_called
        self._records = DocumentRecords[Squad](
            squads, check_squad, typed_squad, squad_document, self._check_names, self._warnings_of
        )

    async def CreateSquad(self, request: CreateSquadRequest, context: object) -> Squad:
        """Create a squad."""
        return await self._records.written(await self._records.create(request, "squad"))

    async def PostSquad(self, request: CreateSquadRequest, context: Context[HttpBody]) -> HttpBody:
        """CreateSquad for HTTP, answered 201."""
        body = await self._records.written_body(await self._records.create(request, "squad"))
        await context.send_initial_metadata(CREATED)
        return body

    async def ListSquads(self, request: ListSquadsRequest, context: object) -> ListSquadsResponse:
        """List the org's squads, newest first."""
        found = await self._records.list(request)
        return ListSquadsResponse(
            squads=[await self._records.message(document) for document in found.documents],
            has_more=found.has_more or None,
        )

    async def FetchSquads(self, request: ListSquadsRequest, context: Context[HttpBody]) -> HttpBody:
        """ListSquads for HTTP."""
        found = await self._records.list(request)
        if found.has_more:
            await context.send_initial_metadata(HAS_MORE)
        return await list_body(found.documents)

    async def GetSquad(self, request: GetSquadRequest, context: object) -> Squad:
        """Get one squad."""
        return await self._records.message(await self._records.get(request))

    async def FetchSquad(self, request: GetSquadRequest, context: object) -> HttpBody:
        """GetSquad for HTTP."""
        return await document_body(await self._records.get(request))

    async def UpdateSquad(self, request: UpdateSquadRequest, context: object) -> Squad:
        """Change a squad: a given member replaces the whole member, null removes it, and other members stay
        unchanged."""
        return await self._records.written(await self._records.update(request))

    async def PatchSquad(self, request: UpdateSquadRequest, context: object) -> HttpBody:
        """UpdateSquad for HTTP."""
        return await self._records.written_body(await self._records.update(request))

    async def DeleteSquad(self, request: DeleteSquadRequest, context: object) -> Squad:
        """Delete a squad and return its last state."""
        return await self._records.message(await self._records.delete(request))

    async def RemoveSquad(self, request: DeleteSquadRequest, context: object) -> HttpBody:
        """DeleteSquad for HTTP."""
        return await document_body(await self._records.delete(request))

    async def _check_names(self, document: dict[str, Any], before: dict[str, Any]) -> None:
        """Check the destinations only where they may have changed: an assistant may later receive another
        one's name."""
        size = MEMBER_BYTES * len(document["members"])
        named, named_before = model_providers.of_squad(document), model_providers.of_squad(before)
        await by_size(size, check_providers, named, self._provider_fault, named_before)
        if document.get("members") != before.get("members"):
            await check_handoffs(self._assistants, current_caller(), document)

    async def _warnings_of(self, document: Document) -> list[ChatWarning]:
        return await by_size(document.size, of_squad, document.content, self._not_called)
