"""Usage of an org: totals by day, assistant and key."""

from generated.parley.v1.usage_service_pb2 import GetUsageRequest, GetUsageResponse
from generated.parley.v1.usage_service_pb2_grpc import UsageServiceServicer
from server.core.clock import parse_rfc3339
from server.core.errors import InvalidArgument
from server.rpc.call import current_caller
from server.storage.usage import Usage


class UsageService(UsageServiceServicer):
    """Reports an org's usage. gRPC only: the mirrored interfaces have no such path, and the reader is the
    operator's own accounting."""

    def __init__(self, usage: Usage) -> None:
        self._usage = usage

    async def GetUsage(self, request: GetUsageRequest, context: object) -> GetUsageResponse:
        """Sum the tokens and the cost of the org's exchanges, including deleted ones."""
        start, end = _time(request, "start"), _time(request, "end")
        return GetUsageResponse(
            rows=await self._usage.sums(current_caller().org_id, start, end, request.group_by)
        )


def _time(request: GetUsageRequest, name: str) -> int | None:
    if not request.HasField(name):
        return None
    try:
        return parse_rfc3339(getattr(request, name))
    except ValueError:
        raise InvalidArgument.of(name, "must be an RFC 3339 time such as 2026-01-31T12:00:00Z") from None
