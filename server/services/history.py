"""Exports an org's history as JSON Lines and imports it again."""

import asyncio
from collections.abc import Awaitable
from contextlib import aclosing

from generated.parley.v1.history_service_pb2 import (
    ExportHistoryRequest,
    ExportHistoryResponse,
    ImportHistoryRequest,
    ImportHistoryResponse,
)
from generated.parley.v1.history_service_pb2_grpc import HistoryServiceServicer
from server.core.errors import Aborted, NotFound
from server.core.ids import parse_id
from server.rpc.call import current_caller
from server.rpc.context import Context
from server.wire.history.lines import History, Line

MOST_READING_SECONDS = 3600.0
"""Of one export, spent waiting for its reader."""


class HistoryService(HistoryServiceServicer):
    """Exports and imports the history of an org.

    An export is a snapshot, so the database's log grows while it is read. Reading nothing for
    `unread_seconds`, or reading for longer than `most_reading_seconds`, ends the export with Aborted.
    """

    def __init__(
        self, history: History, unread_seconds: float, most_reading_seconds: float = MOST_READING_SECONDS
    ) -> None:
        self._history = history
        self._unread_seconds = unread_seconds
        self._most_reading_seconds = most_reading_seconds

    async def ExportHistory(
        self, request: ExportHistoryRequest, context: Context[ExportHistoryResponse]
    ) -> None:
        """Stream the lines of the org, or of one session with its exchanges, as of this moment."""
        session_id = parse_id(request.session_id) if request.HasField("session_id") else None
        if request.HasField("session_id") and session_id is None:
            raise NotFound("session not found", reason="SESSION_NOT_FOUND")
        async with aclosing(
            self._history.export(current_caller().org_id, session_id, secrets=False)
        ) as batches:
            left = self._most_reading_seconds
            async for lines in batches:
                left -= await self._read(context.write(ExportHistoryResponse(lines=lines)), left)

    async def ImportHistory(self, request: ImportHistoryRequest, context: object) -> ImportHistoryResponse:
        """Import some lines of an export, in the order of the export: all of them, or none."""
        lines = (Line(number, text) for number, text in enumerate(request.lines, 1))
        imported = await self._history.ingest(current_caller().org_id, lines)
        return ImportHistoryResponse(imported=imported.imported, skipped=imported.skipped)

    async def _read(self, writing: Awaitable[None], most_seconds: float) -> float:
        """Wait until the caller has read some lines, and return the seconds waited. Raises Aborted after
        `most_seconds`."""
        loop = asyncio.get_running_loop()
        begun, most = loop.time(), min(self._unread_seconds, most_seconds)
        try:
            async with asyncio.timeout(most):
                await writing
        except TimeoutError:
            how = "at all" if most == self._unread_seconds else "fast enough"
            raise Aborted(
                f"the export was not read {how} and has ended: the log of the database grows until it does; begin "
                "it again, or export one session at a time by `session_id`",
                reason="EXPORT_UNREAD",
            ) from None
        return loop.time() - begun
