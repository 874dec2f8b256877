"""Tools: lossless documents, typed for gRPC callers and as sent for HTTP."""

from google.api.httpbody_pb2 import HttpBody

from generated.parley.v1.tool_pb2 import Tool
from generated.parley.v1.tool_service_pb2 import (
    CreateToolRequest,
    DeleteToolRequest,
    GetToolRequest,
    ListToolsRequest,
    ListToolsResponse,
    UpdateToolRequest,
)
from generated.parley.v1.tool_service_pb2_grpc import ToolServiceServicer
from server.agents.documents import check_tool, tool_document, typed_tool
from server.rpc.context import Context
from server.services.documents import DocumentRecords
from server.services.statuses import CREATED, HAS_MORE
from server.storage.tools import Tools
from server.wire.documents import document_body, list_body


class ToolService(ToolServiceServicer):
    """Manages tools that assistants offer to their models, stored once and named by `model.toolIds`."""

    def __init__(self, tools: Tools) -> None:
        self._records = DocumentRecords[Tool](tools, check_tool, typed_tool, tool_document)

    async def CreateTool(self, request: CreateToolRequest, context: object) -> Tool:
        """Create a tool."""
        return await self._records.message(await self._records.create(request, "tool"))

    async def PostTool(self, request: CreateToolRequest, context: Context[HttpBody]) -> HttpBody:
        """CreateTool for HTTP, answered 201."""
        body = await document_body(await self._records.create(request, "tool"))
        await context.send_initial_metadata(CREATED)
        return body

    async def ListTools(self, request: ListToolsRequest, context: object) -> ListToolsResponse:
        """List the org's tools, newest first."""
        found = await self._records.list(request)
        return ListToolsResponse(
            tools=[await self._records.message(document) for document in found.documents],
            has_more=found.has_more or None,
        )

    async def FetchTools(self, request: ListToolsRequest, context: Context[HttpBody]) -> HttpBody:
        """ListTools for HTTP."""
        found = await self._records.list(request)
        if found.has_more:
            await context.send_initial_metadata(HAS_MORE)
        return await list_body(found.documents)

    async def GetTool(self, request: GetToolRequest, context: object) -> Tool:
        """Get one tool."""
        return await self._records.message(await self._records.get(request))

    async def FetchTool(self, request: GetToolRequest, context: object) -> HttpBody:
        """GetTool for HTTP."""
        return await document_body(await self._records.get(request))

    async def UpdateTool(self, request: UpdateToolRequest, context: object) -> Tool:
        """Change a tool: a given member replaces the whole member, null removes it, and other members stay
        unchanged."""
        return await self._records.message(await self._records.update(request))

    async def PatchTool(self, request: UpdateToolRequest, context: object) -> HttpBody:
        """UpdateTool for HTTP."""
        return await document_body(await self._records.update(request))

    async def DeleteTool(self, request: DeleteToolRequest, context: object) -> Tool:
        """Delete a tool and return its last state."""
        return await self._records.message(await self._records.delete(request))

    async def RemoveTool(self, request: DeleteToolRequest, context: object) -> HttpBody:
        """DeleteTool for HTTP."""
        return await document_body(await self._records.delete(request))
