"""The admin port: a gRPC server of its own, for the operator alone, without keys. Health, reflection, and with
`channelz` what gRPC counts of every port, connection and call of this process.

Serves nothing of the API, and channelz is on none of the API's ports. A further service for operators is one more
line in `_add`.
"""

import grpc
import structlog
from grpc_health.v1 import health_pb2_grpc

from server.core.config import Address
from server.rpc import health
from server.rpc.reflection import add_reflection

_ONE_LISTENER = [("grpc.so_reuseport", 0)]
log = structlog.get_logger()


class Admin:
    """One admin port. Raises ValueError when the package for a service is not installed."""

    def __init__(self, address: Address, states: health.Health, *, channelz: bool) -> None:
        self._address = address
        self._server = grpc.aio.server(options=_ONE_LISTENER)
        self._services = self._add(states, channelz)
        self.port = 0

    async def start(self) -> None:
        """Listen and serve. Raises RuntimeError when the address is taken."""
        self.port = self._server.add_insecure_port(str(self._address))
        await self._server.start()
        address = self._address.model_copy(update={"port": self.port})
        log.info("admin_port_serves", address=str(address), services=self._services)
        if not address.is_loopback:
            log.warning(
                "admin_port_is_open_to_others",
                address=str(address),
                reason="it requires no key; listen on 127.0.0.1, or let only operators reach it",
            )

    async def stop(self) -> None:
        """End every call."""
        await self._server.stop(None)

    def _add(self, states: health.Health, channelz: bool) -> list[str]:
        """Add the services, and return their names."""
        health_pb2_grpc.add_HealthServicer_to_server(states, self._server)
        services = [health.NAME]
        if channelz:
            services.append(_add_channelz(self._server))
        add_reflection(self._server, services)
        return services


def _add_channelz(server: grpc.aio.Server) -> str:
    try:
        from grpc_channelz.v1 import channelz, channelz_pb2
    except ModuleNotFoundError:
        raise ValueError(
            "--channelz (PARLEY_CHANNELZ) needs the package grpcio-channelz: install it with "
            "`pip install 'parley-server[channelz]'`"
        ) from None
    channelz.add_channelz_servicer(server)
    return str(channelz_pb2.DESCRIPTOR.services_by_name["Channelz"].full_name)
