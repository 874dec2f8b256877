"""A store of its own for every test: a real SQLite file in tmp_path, a clock that stands still until it is moved."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from server.storage.store import Store, open_store
from tests.storage.records import Recorder, StandingClock


@pytest.fixture
def clock() -> StandingClock:
    return StandingClock()


@pytest.fixture
def store(tmp_path: Path, clock: StandingClock) -> Iterator[Store]:
    store = open_store(tmp_path, clock=clock)
    yield store
    store.close()


@pytest.fixture
async def recorder(store: Store, clock: StandingClock) -> Recorder:
    return await Recorder.of_new_org(store, clock)
