"""What was said, out of the service and into it again as JSON Lines."""

from contextlib import aclosing
from typing import Any

import grpc

from generated.parley.v1.history_service_pb2 import (
    ExportHistoryRequest,
    ExportHistoryResponse,
    ImportHistoryRequest,
    ImportHistoryResponse,
)
from generated.parley.v1.history_service_pb2_grpc import HistoryServiceServicer
from server.core.errors import NotFound
from server.core.ids import parse_id
from server.rpc.call import current_caller
from server.wire.history.lines import History, Line


class HistoryService(HistoryServiceServicer):
    def __init__(self, history: History) -> None:
        self._history = history

    async def ExportHistory(self, request: ExportHistoryRequest, context: grpc.aio.ServicerContext) -> None:
        session_id = parse_id(request.session_id) if request.HasField("session_id") else None
        if request.HasField("session_id") and session_id is None:
            raise NotFound("session not found", reason="SESSION_NOT_FOUND")
        async with aclosing(self._history.export(current_caller().org_id, session_id, secrets=False)) as batches:
            async for lines in batches:
                await context.write(ExportHistoryResponse(lines=lines))

    async def ImportHistory(self, request: ImportHistoryRequest, context: Any) -> ImportHistoryResponse:
        lines = (Line(number, text) for number, text in enumerate(request.lines, 1))
        taken = await self._history.take_in(current_caller().org_id, lines)
        return ImportHistoryResponse(imported=taken.imported, skipped=taken.skipped)
