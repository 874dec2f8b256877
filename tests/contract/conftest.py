"""`door`: the operations of the service for a fresh org, once over gRPC and once over REST through Envoy."""

from collections.abc import AsyncIterator

import httpx
import pytest

from tests.conftest import Org, Service
from tests.contract.doors import Door, door_to, http_client


@pytest.fixture(params=["grpc", "rest"])
async def door(request: pytest.FixtureRequest, service: Service, org: Org) -> AsyncIterator[Door]:
    async with door_to(request.param, service, org) as door:
        yield door


@pytest.fixture
async def http(service: Service) -> AsyncIterator[httpx.AsyncClient]:
    async with http_client(service) as http:
        yield http


@pytest.fixture
async def rest(service: Service, org: Org) -> AsyncIterator[Door]:
    async with door_to("rest", service, org) as door:
        yield door


@pytest.fixture
async def native(service: Service, org: Org) -> AsyncIterator[Door]:
    async with door_to("grpc", service, org) as door:
        yield door
