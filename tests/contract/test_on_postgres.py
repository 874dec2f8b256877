"""The same cases over a store in PostgreSQL: sessions, every door's exchanges, streams and what breaks them
off.

All others can be run on it with PARLEY_TEST_ENGINE=postgres.
"""

from collections.abc import AsyncIterator

import pytest

from tests.conftest import Service, running
from tests.contract.test_streams import *  # noqa: F403
from tests.postgres import Postgres


@pytest.fixture(scope="module")
async def service(tmp_path_factory: pytest.TempPathFactory, postgres: Postgres) -> AsyncIterator[Service]:
    async with running(
        tmp_path_factory.mktemp("parley"), database=postgres.new_database(), upstream_allow_hosts="127.0.0.1"
    ) as started:
        yield started
