"""What operators ask of one server process: its metrics, and whether it is ready for calls. Changes nothing."""

import asyncio
from importlib.metadata import version

from server.backends.providers import BASE_URLS
from server.core.config import Settings
from server.core.errors import ServiceError
from server.core.telemetry.meter import NO_METER, Meter
from server.core.telemetry.tracing import NO_TRACING, Tracing
from server.delivery.loop import Deliveries
from server.exchange.session_queue import SessionQueue
from server.rpc.health import Health
from server.rpc.rate_limits import Limits
from server.storage.store import Store

_SECONDS = 2.0
"""How long the database may take to answer."""


def meter_of(settings: Settings) -> Meter:
    """Return what counts in a server with these settings."""
    if settings.metrics is None:
        return NO_METER
    from server.core.telemetry.prometheus import PrometheusMeter

    return PrometheusMeter(
        version("parley-server"), providers={*BASE_URLS, *settings.provider_urls}, priced=set(settings.prices)
    )


def tracing_of(settings: Settings) -> Tracing:
    """Return what makes the spans of a server with these settings. Raises ValueError when it is not installed."""
    if settings.otlp_endpoint is None:
        return NO_TRACING
    try:
        from server.core.telemetry.open_telemetry import OpenTelemetry
    except ModuleNotFoundError:
        raise ValueError(
            "--otlp-endpoint (PARLEY_OTLP_ENDPOINT) needs OpenTelemetry: install it with "
            "`pip install 'parley-server[traces]'`"
        ) from None
    return OpenTelemetry(settings.otlp_endpoint, settings.trace_ratio)


class ServerState:
    """The state of one server process."""

    def __init__(self, store: Store, meter: Meter, health: Health) -> None:
        self._store = store
        self._meter = meter
        self._health = health
        self._deliveries_waiting = 0

    def show(self, limits: Limits, session_queue: SessionQueue, deliveries: Deliveries) -> None:
        """Show in the metrics how much is under way and waits."""
        database, gauge = self._store.database, self._meter.gauge
        gauge("parley_under_way", "Calls with a key that are running.", lambda: limits.under_way)
        gauge(
            "parley_writes_waiting",
            "Writes that wait for a commit, or are in one.",
            lambda: database.writes_waiting,
        )
        gauge(
            "parley_session_queue",
            "Exchanges that wait for another of their session.",
            lambda: session_queue.waiting,
        )
        gauge(
            "parley_deliveries_under_way",
            "Deliveries of messages and events that are being attempted.",
            lambda: deliveries.under_way,
        )
        gauge(
            "parley_deliveries_waiting",
            "Deliveries in the outbox of the database, due or not; the same in every worker.",
            lambda: self._deliveries_waiting,
        )
        gauge(
            "parley_storage_writes",
            "Whether the database takes writes: 1 or 0.",
            lambda: self._health.has_failed is False,
        )

    async def metrics(self) -> str:
        """Return all metrics in Prometheus' text format."""
        try:
            async with asyncio.timeout(_SECONDS):
                self._deliveries_waiting = await self._store.outbox.waiting()
        except (ServiceError, TimeoutError):  # the other metrics are wanted all the more
            pass
        return self._meter.text()

    async def not_ready(self) -> list[str]:
        """Return the reasons for which this process is to get no calls, if there are any. That writes fail is none:
        all servers of a database would go at once, and stored records can still be read."""
        reasons = ["the server is stopping"] if self._health.is_stopping else []
        try:
            async with asyncio.timeout(_SECONDS):
                await self._store.database.read(lambda connection: connection.execute("SELECT 1").fetchone())
        except ServiceError as error:
            reasons.append(f"the database cannot be read: {error.message}")
        except TimeoutError:
            reasons.append(f"the database does not answer within {_SECONDS:g} s")
        return reasons
