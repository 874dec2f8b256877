"""One running service for the whole test session: real SQLite file, real gRPC server, real Envoy, free ports.

With PARLEY_TEST_ENGINE=postgres its store is a database of a real PostgreSQL server.

Every test makes orgs of its own in it, so that none sees another's records.
"""

import asyncio
import logging
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from inspect import isawaitable
from pathlib import Path
from typing import Any, TypeVar

os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")

import grpc
import httpx
import pytest
import structlog

from gateway.launcher import Gateway
from server.app import App
from server.cli.first_start import DEMO
from server.core.clock import Clock, now_ms
from server.core.config import Address, Settings
from server.core.ids import new_id
from server.storage.store import Store, connect_store, open_store
from tests.postgres import Postgres

# As `parley serve` logs: structlog's default prints every local variable of a traceback, which can take
# seconds, and has a line for every look at the health.
structlog.configure(
    processors=[structlog.processors.format_exc_info, structlog.processors.JSONRenderer()],
    wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
)
T = TypeVar("T")


@dataclass(frozen=True)
class Org:
    """An org with a key of each kind and the demo assistant."""

    id: str
    name: str
    api: str
    secret: str
    publishable: str
    assistant_id: str

    @property
    def bearer(self) -> dict[str, str]:
        return {"authorization": f"Bearer {self.api}"}

    @property
    def metadata(self) -> tuple[tuple[str, str], ...]:
        return (("authorization", f"Bearer {self.api}"),)


@dataclass(frozen=True)
class Service:
    """The running service and its store."""

    store: Store
    grpc_address: str
    http_url: str
    settings: Settings
    app: App | None = None

    async def new_org(self) -> Org:
        name = f"org-{new_id()}"
        keys = {kind: await self.store.keys.create(name, kind) for kind in ("api", "secret", "publishable")}
        org_id = keys["api"].org_id
        assistant = await self.store.assistants.create(org_id, DEMO)
        return Org(org_id, name, keys["api"].key, keys["secret"].key, keys["publishable"].key, assistant.id)


@pytest.fixture(scope="session")
async def service(
    tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> AsyncIterator[Service]:
    on_postgres = os.environ.get("PARLEY_TEST_ENGINE") == "postgres"
    database = request.getfixturevalue("postgres").new_database() if on_postgres else None
    async with running(
        tmp_path_factory.mktemp("parley"), database=database, upstream_allow_hosts="127.0.0.1"
    ) as started:
        yield started


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A PostgreSQL server, for the tests of this process that need one."""
    server = Postgres()
    yield server
    server.stop()


@pytest.fixture
async def org(service: Service) -> Org:
    return await service.new_org()


@pytest.fixture
async def other_org(service: Service) -> Org:
    return await service.new_org()


@pytest.fixture
async def channel(service: Service) -> AsyncIterator[grpc.aio.Channel]:
    async with grpc.aio.insecure_channel(service.grpc_address) as channel:
        yield channel


@pytest.fixture
async def http(service: Service) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the REST paths, through Envoy, without a key."""
    async with httpx.AsyncClient(base_url=service.http_url, timeout=20) as client:
        yield client


async def rows_of(store: Store, sql: str, parameters: Sequence[object] = ()) -> list[tuple[Any, ...]]:
    """What is in the store's database, whichever that is."""
    return await store.database.read(lambda connection: connection.execute(sql, parameters).fetchall())


async def delivered_until(store: Store, probe: Callable[[], T | Awaitable[T | None] | None]) -> T:
    """What `probe` finds, once it finds something; it looks again after each attempt to deliver from the
    outbox."""
    signal, wake = asyncio.Event(), store.outbox.wake

    def woken() -> None:
        signal.set()
        wake()

    store.outbox.wake = woken  # type: ignore[method-assign]  # a test's way to hear of it
    try:
        async with asyncio.timeout(20):
            while True:
                found = probe()
                if (found := await found if isawaitable(found) else found) is not None:
                    return found
                await signal.wait()
                signal.clear()
    finally:
        store.outbox.wake = wake  # type: ignore[method-assign]  # as it was


class running:
    """`async with running(folder, **settings) as service`: a service of its own, for tests that break one."""

    def __init__(
        self, folder: Path, clock: Clock = now_ms, *, edge_calls: int | None = None, **settings: Any
    ) -> None:
        self._clock = clock
        self._edge_calls = edge_calls
        any_port = Address(host="127.0.0.1", port=0)
        self._settings = Settings(data=folder, http=any_port, grpc=any_port, **settings)

    async def __aenter__(self) -> Service:
        settings = self._settings
        self._store = (
            await connect_store(settings.database, clock=self._clock)
            if settings.database
            else open_store(settings.data, clock=self._clock)
        )
        self.app = App(settings, self._store, self._clock)
        await self.app.start()
        self.gateway = Gateway(
            http=("127.0.0.1", 0),
            upstreams=[("127.0.0.1", self.app.grpc_port)],
            websockets=[("127.0.0.1", self.app.websocket_port)],
            run_dir=settings.data / "run",
            most_calls=self._edge_calls,
        )
        await self.gateway.start()
        await self.gateway.ready()
        return Service(
            self.app.store,
            f"127.0.0.1:{self.app.grpc_port}",
            f"http://127.0.0.1:{self.gateway.http_port}",
            settings,
            self.app,
        )

    async def __aexit__(self, *_: object) -> None:
        await self.gateway.stop(0)
        await self.app.stop(0)
        await self._store.aclose()
