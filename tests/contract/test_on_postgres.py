"""The same cases over a store in PostgreSQL: sessions, every door's exchanges, streams and what breaks them off.

All others can be run on it with PARLEY_TEST_ENGINE=postgres.
"""

import pytest

from tests.conftest import running
from tests.contract.test_cross_door import *  # noqa: F403
from tests.contract.test_grpc import *  # noqa: F403
from tests.contract.test_sessions import *  # noqa: F403
from tests.contract.test_streams import *  # noqa: F403


@pytest.fixture(scope="module")
async def service(tmp_path_factory, postgres):
    async with running(tmp_path_factory.mktemp("parley"), database=postgres.new_database(),
                       upstream_allow_hosts="127.0.0.1") as started:
        yield started
