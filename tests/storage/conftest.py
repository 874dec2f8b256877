"""A store of its own for every test, on each engine: a SQLite file in tmp_path, a new PostgreSQL database.

The clock stands still until it is moved.
"""

from collections.abc import AsyncIterator

import pytest

from server.storage.store import Store
from tests.storage.records import Place, PostgresPlace, Recorder, SqlitePlace, StandingClock

ENGINES = ("sqlite", "postgres")


@pytest.fixture
def clock() -> StandingClock:
    return StandingClock()


@pytest.fixture(params=ENGINES)
def engine(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
async def place(engine: str, request: pytest.FixtureRequest, clock: StandingClock) -> AsyncIterator[Place]:
    if engine == "sqlite":
        place = SqlitePlace(clock, request.getfixturevalue("tmp_path"))
    else:
        server = request.getfixturevalue("postgres")
        server.empty(server.common)
        place = PostgresPlace(clock, server.common)
    yield place
    await place.close()


@pytest.fixture
async def store(place: Place) -> Store:
    return await place.open()


@pytest.fixture
async def recorder(store: Store, clock: StandingClock) -> Recorder:
    return await Recorder.of_new_org(store, clock)
