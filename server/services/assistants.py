"""Assistants: lossless documents, typed for gRPC callers and as sent for HTTP."""

from typing import Any

from google.api.httpbody_pb2 import HttpBody

from generated.parley.v1.assistant_pb2 import Assistant
from generated.parley.v1.assistant_service_pb2 import (
    CreateAssistantRequest,
    DeleteAssistantRequest,
    GetAssistantRequest,
    ListAssistantsRequest,
    ListAssistantsResponse,
    UpdateAssistantRequest,
)
from generated.parley.v1.assistant_service_pb2_grpc import AssistantServiceServicer
from server.agents import model_providers
from server.agents.chat_warnings import ChatWarning
from server.agents.document_warnings import of_assistant
from server.agents.documents import assistant_document, check_assistant, tool_ids, typed_assistant
from server.agents.model_providers import Fault, check_providers
from server.content.validation import refuse
from server.core.errors import NotFound, Violation
from server.core.ids import parse_id
from server.core.offload import by_size
from server.rpc.call import current_caller
from server.rpc.context import Context
from server.services.documents import DocumentRecords
from server.services.statuses import CREATED, HAS_MORE
from server.storage.assistants import Assistants
from server.storage.documents import Document
from server.storage.tools import Tools
from server.wire.documents import document_body, list_body


class AssistantService(AssistantServiceServicer):
    """Manages assistants, the documents that define who answers."""

    def __init__(
        self, assistants: Assistants, tools: Tools, provider_fault: Fault, not_called: Fault
    ) -> None:
        """`provider_fault` returns why a model's provider is refused, `not_called` why a provider that can be
        stored is not called."""
        self._tools = tools
        self._provider_fault = provider_fault
        self._not_called = not_called
        self._records = DocumentRecords[Assistant](
            assistants,
            check_assistant,
            typed_assistant,
            assistant_document,
            self._check_names,
            self._warnings_of,
        )

    async def CreateAssistant(self, request: CreateAssistantRequest, context: object) -> Assistant:
        """Create an assistant."""
        return await self._records.written(await self._records.create(request, "assistant"))

    async def PostAssistant(self, request: CreateAssistantRequest, context: Context[HttpBody]) -> HttpBody:
        """CreateAssistant for HTTP, answered 201."""
        body = await self._records.written_body(await self._records.create(request, "assistant"))
        await context.send_initial_metadata(CREATED)
        return body

    async def ListAssistants(self, request: ListAssistantsRequest, context: object) -> ListAssistantsResponse:
        """List the org's assistants, newest first."""
        found = await self._records.list(request)
        return ListAssistantsResponse(
            assistants=[await self._records.message(document) for document in found.documents],
            has_more=found.has_more or None,
        )

    async def FetchAssistants(self, request: ListAssistantsRequest, context: Context[HttpBody]) -> HttpBody:
        """ListAssistants for HTTP."""
        found = await self._records.list(request)
        if found.has_more:
            await context.send_initial_metadata(HAS_MORE)
        return await list_body(found.documents)

    async def GetAssistant(self, request: GetAssistantRequest, context: object) -> Assistant:
        """Get one assistant."""
        return await self._records.message(await self._records.get(request))

    async def FetchAssistant(self, request: GetAssistantRequest, context: object) -> HttpBody:
        """GetAssistant for HTTP."""
        return await document_body(await self._records.get(request))

    async def UpdateAssistant(self, request: UpdateAssistantRequest, context: object) -> Assistant:
        """Change an assistant: a given member replaces the whole member, null removes it, and other members
        stay unchanged."""
        return await self._records.written(await self._records.update(request))

    async def PatchAssistant(self, request: UpdateAssistantRequest, context: object) -> HttpBody:
        """UpdateAssistant for HTTP."""
        return await self._records.written_body(await self._records.update(request))

    async def DeleteAssistant(self, request: DeleteAssistantRequest, context: object) -> Assistant:
        """Delete an assistant and return its last state."""
        return await self._records.message(await self._records.delete(request))

    async def RemoveAssistant(self, request: DeleteAssistantRequest, context: object) -> HttpBody:
        """DeleteAssistant for HTTP."""
        return await document_body(await self._records.delete(request))

    async def _check_names(self, document: dict[str, Any], before: dict[str, Any]) -> None:
        check_providers(
            model_providers.of_assistant(document), self._provider_fault, model_providers.of_assistant(before)
        )
        await self._check_tool_ids(document, before)

    async def _warnings_of(self, document: Document) -> list[ChatWarning]:
        return await by_size(document.size, of_assistant, document.content, self._not_called)

    async def _check_tool_ids(self, document: dict[str, Any], before: dict[str, Any]) -> None:
        """Raise for ids of tools that do not exist, unless the document named them before.

        A tool that was deleted after it was named must not prevent other changes of the assistant. A value
        that is no id is stored, because the documented sample has a placeholder there.
        """
        named_before = tool_ids(before)
        remedy = "make it with POST /tool first, or leave its id out"
        refuse(
            [
                Violation(f"model.toolIds[{index}]", f"names no tool: {tool_id!r}; {remedy}", "unknown")
                for index, tool_id in enumerate(tool_ids(document))
                if parse_id(tool_id) and tool_id not in named_before and not await self._has_tool(tool_id)
            ]
        )

    async def _has_tool(self, tool_id: str) -> bool:
        try:
            await self._tools.get(current_caller().org_id, parse_id(tool_id))
        except NotFound:
            return False
        return True
