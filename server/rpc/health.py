"""gRPC health: the serving status of each service name, for Check and Watch. Decides nothing.

The library's implementation holds a lock while it writes to a watcher, so one that does not read would block
the updates of all others, and the stop of the server.
"""

import asyncio
from typing import Any

import grpc
from grpc_health.v1 import health_pb2
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from grpc_health.v1.health_pb2_grpc import HealthServicer

from server.rpc.context import Served

NAME = "grpc.health.v1.Health"
_LISTS: Any = health_pb2
"""The module as Any: its types lack the messages of List."""
_UNKNOWN = "there is no service of this name; List has the names, and the empty one is the whole server"
_SERVING, _NOT_SERVING = HealthCheckResponse.SERVING, HealthCheckResponse.NOT_SERVING


class Health(HealthServicer):
    """The health service. Nothing waits for a watcher: a slow one sees the newest status at its next read."""

    def __init__(self) -> None:
        self._serving: dict[str, bool] = {}
        self._is_stopping = False
        self._changed = asyncio.Event()

    def set(self, name: str, *, serving: bool) -> None:
        """Set the status of a name. Has no effect once the server is stopping."""
        self._serving[name] = serving
        self._publish()

    def stop(self) -> None:
        """Report every name as not serving from now on."""
        self._is_stopping = True
        self._publish()

    @property
    def is_stopping(self) -> bool:
        """Whether the server is to stop."""
        return self._is_stopping

    @property
    def has_failed(self) -> bool:
        """Whether the server as a whole is reported as not serving, though it is not to stop."""
        return not self._serving.get("", True)

    async def Check(self, request: HealthCheckRequest, context: Served) -> HealthCheckResponse:
        """Return the status of a name, or end the call with NOT_FOUND."""
        if request.service not in self._serving:
            await context.abort(grpc.StatusCode.NOT_FOUND, _UNKNOWN)
        return HealthCheckResponse(status=self._status(request.service))

    async def List(self, request: Any, context: Served) -> Any:
        """Every name with its status, the server as a whole under the empty name."""
        return _LISTS.HealthListResponse(
            statuses={name: HealthCheckResponse(status=self._status(name)) for name in self._serving}
        )

    async def Watch(self, request: HealthCheckRequest, context: Served) -> None:
        """Stream the status of a name, at once and after every change."""
        published = None
        while True:
            changed, status = self._changed, self._status(request.service)
            if status == published:
                await changed.wait()
            else:
                await context.write(HealthCheckResponse(status=status))
                published = status

    def _status(self, name: str) -> int:
        if name not in self._serving:
            return HealthCheckResponse.SERVICE_UNKNOWN
        return _SERVING if self._serving[name] and not self._is_stopping else _NOT_SERVING

    def _publish(self) -> None:
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()
