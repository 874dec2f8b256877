"""`parley serve`: one server, or several, behind Envoy; started, watched and stopped in order.

Prints what an operator must know, and raises the operator's mistakes as one line. Serves nothing itself.
"""

import asyncio
import contextlib
import os
import signal
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import click
import orjson
import structlog

from gateway.launcher import SOCKET_PATH_BYTES, Gateway, GatewayError
from gateway.tls import Tls, TlsError
from server.cli.console import fail
from server.cli.first_start import first_start
from server.cli.operators import Operators, Watched
from server.cli.panel import is_for_a_person, show_panel, url_of
from server.cli.stored import opened_store
from server.cli.supervisor import WorkerError, Workers
from server.cli.watchdog import watched
from server.core.config import Address, Settings
from server.storage.database import DatabaseError
from server.storage.sqlite.backups import DATABASE
from server.storage.sqlite.inspection import Inspection, inspected
from server.storage.sqlite.modes import make_private
from server.storage.store import Store

_PASSED_ON_SECONDS = 5.0
"""How long callers may take to read the last answers of servers that have stopped."""
_KILLED_AFTER_SECONDS = 15.0
"""Beyond the time for running calls: a process that has not ended by then is stuck."""

log = structlog.get_logger()


class Servers(Watched, Protocol):
    """The servers behind Envoy: an App, or Workers."""

    @property
    def websocket_ports(self) -> list[int]: ...

    @property
    def ports(self) -> list[int]:
        """The servers' ports, on the host of `--grpc`; the first is its port."""
        ...

    @property
    def edges(self) -> list[tuple[str, int] | Path]:
        """Where Envoy reaches them."""
        ...

    async def start(self) -> None:
        """Start the servers. Raises errors for the operator."""
        ...

    async def drain(self) -> None:
        """Report as not serving, and accept calls until clients have noticed."""
        ...

    async def drain_arrivals(self) -> None:
        """Accept the calls that were sent before the drain."""
        ...

    async def stop(self) -> None:
        """End running calls within the grace period, and stop."""
        ...


async def serve(settings: Settings) -> None:
    """Serve until a signal, then drain and stop. Raises errors for the operator in one line."""
    if settings.upstream_allow_hosts:
        log.warning(
            "hosts_listed_for_models_and_tools",
            hosts=sorted(settings.upstream_allow_hosts),
            reason="tools of every org may send these hosts any method and any path; PARLEY_MODEL_ALLOW_HOSTS lists "
            "hosts for models alone",
        )
    _check_tls(settings)
    if settings.provider_keys:
        _warn_of_keys_without_use(settings)
        log.info("providers_with_keys", providers=sorted(settings.provider_keys))
    stopping, restarting = asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopping.set)
    loop.add_signal_handler(signal.SIGHUP, restarting.set)
    try:
        with watched(settings.drain_seconds + settings.grace_seconds + _KILLED_AFTER_SECONDS):
            with (
                contextlib.nullcontext()
                if settings.database
                else inspected(settings.data / DATABASE) as inspection
            ):
                serve_with = _serve_alone if settings.workers == 1 else _serve_with_workers
                await serve_with(settings, stopping, restarting, inspection)
    except (DatabaseError, GatewayError, WorkerError) as error:
        fail(str(error))


def _tls(settings: Settings) -> Tls | None:
    if settings.tls_cert is None or settings.tls_key is None:
        return None
    return Tls(settings.tls_cert, settings.tls_key, settings.client_ca)


def _check_tls(settings: Settings) -> None:
    if (tls := _tls(settings)) is None:
        return
    try:
        tls.check()
    except TlsError as error:
        fail(str(error))
    longest = settings.edge_of(65535)
    if len(os.fsencode(str(longest))) >= SOCKET_PATH_BYTES:
        fail(
            f"--data: with TLS Envoy calls the server at {longest}, whose path is too long; name a shorter folder"
        )


def _warn_of_keys_without_use(settings: Settings) -> None:
    from server.backends.providers import keys_without_use

    for name, nearest in keys_without_use(settings.provider_keys, settings.provider_urls).items():
        log.warning(
            "key_without_use",
            provider=name,
            reason=f"this provider of PARLEY_PROVIDER_KEYS is neither known nor in PARLEY_PROVIDER_URLS{nearest}",
        )


async def _serve_alone(
    settings: Settings, stopping: asyncio.Event, restarting: asyncio.Event, inspection: Inspection | None
) -> None:
    # Importing takes half of the start; workers import it themselves, so this process need not.
    from server.app import App, ListenError, spare_the_loaded

    async with opened_store(settings, checked=inspection is not None) as store:
        _inspect_folder(settings)
        try:
            app = App(settings, store)
        except ValueError as error:
            fail(str(error))
        spare_the_loaded()
        try:
            await _run(settings, app, partial(_greet, settings, store), stopping, restarting, inspection)
        except ListenError as error:
            fail(str(error))


async def _serve_with_workers(
    settings: Settings, stopping: asyncio.Event, restarting: asyncio.Event, inspection: Inspection | None
) -> None:
    workers = Workers(settings)
    try:
        await workers.spawn()  # they load their code while the database is prepared
        async with opened_store(settings, checked=inspection is not None):
            _inspect_folder(settings)

        async def greet() -> dict[str, Any] | None:
            async with opened_store(settings, checked=True) as store:
                return await _greet(settings, store)

        await _run(settings, workers, greet, stopping, restarting, inspection)
    finally:
        await workers.stop()


def _inspect_folder(settings: Settings) -> None:
    if reason := make_private(settings.data):
        log.warning("data_folder_is_open_to_others", path=str(settings.data), reason=reason)


async def _greet(settings: Settings, store: Store) -> dict[str, Any] | None:
    """On the first start, create and return the development keys; otherwise say how to create keys."""
    if not settings.dev:
        if not await store.keys.has_orgs():
            log.warning(
                "no_keys",
                reason="nobody can call yet; `parley keys create --org NAME --kind api` makes a key",
            )
        return None
    return await first_start(store, settings.data)


def _say_ready(settings: Settings, http: Address, grpc: Address, made: dict[str, Any] | None) -> None:
    """Print the keys of a first start, and that both ports answer: for a person, or as scripts rely on."""
    scheme = "https" if settings.tls_cert else "http"
    if is_for_a_person():
        show_panel(settings.data, url_of(scheme, http), grpc, made)
    elif made:
        click.echo("development keys, shown once and kept in " + str(settings.data / "dev-keys.json"))
        click.echo(orjson.dumps(made, option=orjson.OPT_INDENT_2))
    click.echo(f"ready http={scheme}://{http} grpc={grpc}")


async def _run(
    settings: Settings,
    servers: Servers,
    greet: Callable[[], Awaitable[dict[str, Any] | None]],
    stopping: asyncio.Event,
    restarting: asyncio.Event,
    inspection: Inspection | None,
) -> None:
    async with Operators(settings.metrics, servers) as operators:
        await _run_watched(settings, servers, operators, greet, stopping, restarting, inspection)


async def _run_watched(
    settings: Settings,
    servers: Servers,
    operators: Operators,
    greet: Callable[[], Awaitable[dict[str, Any] | None]],
    stopping: asyncio.Event,
    restarting: asyncio.Event,
    inspection: Inspection | None,
) -> None:
    await servers.start()
    gateway = Gateway(
        http=(settings.http.host, settings.http.port),
        run_dir=settings.data / "run",
        upstreams=servers.edges,
        websockets=[(settings.websocket.host, port) for port in servers.websocket_ports],
        most_calls=settings.server_calls if settings.limits else None,
        tls=_tls(settings),
        otlp_endpoint=settings.otlp_endpoint,
        trace_ratio=settings.trace_ratio,
    )
    try:
        await gateway.start()
        await gateway.ready()
        operators.gateway = gateway
        made = await greet()  # not before: keys are useless if the server cannot start
        http = settings.http.model_copy(update={"port": gateway.http_port})
        grpc = settings.grpc.model_copy(update={"port": servers.ports[0]})
        _say_ready(settings, http, grpc, made)
        renewing = asyncio.create_task(_renew(servers, gateway, restarting))
        await _until_stopped(gateway, stopping, inspection)
        renewing.cancel()
    finally:
        await _drain(servers, gateway)


async def _renew(servers: Servers, gateway: Gateway, restarting: asyncio.Event) -> None:
    """Restart the servers on every request to do so."""
    while True:
        await restarting.wait()
        restarting.clear()
        if isinstance(servers, Workers):
            try:
                await servers.restart(gateway)
                log.info("workers_restarted")
            except GatewayError as error:
                log.error("restart_broke_off", reason=str(error))
        else:
            log.warning("not restarted: only with two --workers or more does one serve while another starts")


async def _until_stopped(gateway: Gateway, stopping: asyncio.Event, inspection: Inspection | None) -> None:
    """Wait for a signal. Raises GatewayError when Envoy exits by itself, DatabaseError when the file is
    damaged."""
    waiting = asyncio.create_task(stopping.wait())
    exited = asyncio.create_task(gateway.wait())
    looking = asyncio.create_task(_until_damaged(inspection))
    await asyncio.wait({waiting, exited, looking}, return_when=asyncio.FIRST_COMPLETED)
    is_damaged = looking.done()
    for task in (waiting, looking):
        task.cancel()
    await asyncio.wait({looking})
    if is_damaged:
        exited.cancel()
        looking.result()
    if exited.done() and not stopping.is_set():
        raise GatewayError(f"Envoy exited with code {exited.result()}")
    exited.cancel()


async def _until_damaged(inspection: Inspection | None) -> None:
    """Check the parts of a large file that a start has not read. Never returns; raises DatabaseError when it
    is damaged.

    A server that continued with a damaged file would serve wrong data, and everything written until then
    would be lost with it.
    """
    if inspection is not None:
        try:
            left_out = await inspection.find_damage()
        except DatabaseError as error:
            log.error("database_is_damaged", reason=str(error))
            raise
        if left_out:
            log.warning("database_was_looked_at", left_out=left_out, remedy="`parley check` sees all of it")
        else:
            log.info("database_was_looked_at")
    await asyncio.Event().wait()


async def _drain(servers: Servers, gateway: Gateway) -> None:
    """Announce the stop and serve for a while. Then accept nothing new, and let running calls end, or end
    them with a notice in each stream. Envoy is last, because it forwards that."""
    await asyncio.gather(gateway.retire(), servers.drain())
    await gateway.close()
    await servers.drain_arrivals()
    await servers.stop()
    await gateway.stop(_PASSED_ON_SECONDS)
