"""The port for operators: `/metrics`, `/healthz` and `/readyz` of all that `parley serve` runs, on one address.

One for all server processes, so that a scraper or a probe has one target however many workers there are. Asks
servers and Envoy anew at each request; counts nothing itself.
"""

import asyncio
from contextlib import AbstractAsyncContextManager
from types import TracebackType
from typing import Protocol

import structlog

from gateway.launcher import Gateway
from server.cli.console import fail
from server.core.config import Address
from server.core.telemetry.listener import METRICS_TYPE, Answer, Listener, readiness

log = structlog.get_logger()


class Watched(Protocol):
    """A server process, or several."""

    async def metrics(self) -> str:
        """Return the metrics in Prometheus' text format."""
        ...

    async def not_ready(self) -> list[str]:
        """Return the reasons for which no calls are to come, if there are any."""
        ...


class Operators(AbstractAsyncContextManager["Operators"]):
    """`async with Operators(address, servers):` answers operators; nobody, without an address."""

    def __init__(self, address: Address | None, servers: Watched) -> None:
        self._servers = servers
        self._address = address
        self.gateway: Gateway | None = None
        """The Envoy in front, once it is ready."""
        paths = {"/metrics": self._metrics, "/healthz": _alive, "/readyz": self._readiness}
        self._listener = Listener(address, paths) if address else None

    async def __aenter__(self) -> "Operators":
        if self._listener and self._address:
            try:
                await self._listener.start()
            except OSError:
                fail(
                    f"metrics address {self._address} is taken or cannot be listened on; --metrics names another"
                )
            address = self._address.model_copy(update={"port": self._listener.port})
            log.info("metrics_port_serves", address=str(address))
            if not address.is_loopback:
                log.warning(
                    "metrics_port_is_open_to_others",
                    address=str(address),
                    reason="it takes no key; let nobody but scrapers and probes reach it",
                )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._listener:
            await self._listener.stop()

    async def _metrics(self) -> Answer:
        of_servers, of_envoy = await asyncio.gather(self._servers.metrics(), self._of_envoy())
        return Answer(f"{of_servers}{of_envoy}".encode(), type=METRICS_TYPE)

    async def _of_envoy(self) -> str:
        return await self.gateway.statistics() if self.gateway else ""

    async def _readiness(self) -> Answer:
        if self.gateway is None:
            return readiness(["the server starts"])
        reasons, answers = await asyncio.gather(self._servers.not_ready(), self.gateway.answers())
        return readiness(
            [*reasons, *([] if answers else ["Envoy takes no calls, or finds no server that does"])]
        )


async def _alive() -> Answer:
    return Answer(b'{"alive":true}')
