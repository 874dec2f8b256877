"""Two orgs of one server, of which one takes the ids of the other: neither gets anything that is the other's."""

from collections.abc import Awaitable, Callable
from typing import Any

import grpc
import httpx
import orjson
import pytest

from generated.parley.v1.history_service_pb2 import ImportHistoryRequest
from generated.parley.v1.history_service_pb2_grpc import HistoryServiceStub
from server.ids import new_id
from tests.conftest import Org, Service
from tests.upstream import Answer, Upstream

MARK = "only-of-the-first"
Take = Callable[[Org, str, str, dict[str, Any]], Awaitable[None]]


@pytest.fixture(params=["imported", "made with the same version"])
def take(request: pytest.FixtureRequest, service: Service, channel: grpc.aio.Channel) -> Take:
    """Put a document of this noun and id into an org."""

    async def by_import(org: Org, noun: str, document_id: str, document: dict[str, Any]) -> None:
        line = {"kind": noun, "id": document_id, "createdAt": 1, "updatedAt": 1, "document": document}
        await HistoryServiceStub(channel).ImportHistory(
            ImportHistoryRequest(lines=[orjson.dumps(line).decode()]), metadata=org.metadata)

    async def by_creation(org: Org, noun: str, document_id: str, document: dict[str, Any]) -> None:
        await getattr(service.store, f"{noun}s").create(org.id, document, document_id)

    return by_import if request.param == "imported" else by_creation


def assistant(upstream: Upstream, name: str) -> dict[str, Any]:
    prompt = {"role": "system", "content": f"My name is {name}."}
    return {"name": name, "server": {"url": f"{upstream.base_url}/{name}"},
            "model": {"provider": "offline", "model": "offline-1", "messages": [prompt]}}


async def created(http: httpx.AsyncClient, org: Org, path: str, body: dict[str, Any]) -> dict[str, Any]:
    response = await http.post(path, json=body, headers=org.bearer)
    assert response.is_success, response.text
    return response.json()


async def answer(http: httpx.AsyncClient, org: Org, **named: str) -> str:
    body = {**named, "input": "What is my name?"}
    return (await created(http, org, "/chat", body))["output"][0]["content"]


async def test_deleted_assistant_is_nothing_of_who_has_its_id_now(http: httpx.AsyncClient, org: Org, other_org: Org,
                                                                  take: Take) -> None:
    async with Upstream(Answer()) as upstream:
        made = await created(http, org, "/assistant", assistant(upstream, MARK))
        assert await answer(http, org, assistantId=made["id"]) == f"Your name is {MARK}."
        await upstream.arrived(1)
        await http.delete(f"/assistant/{made['id']}", headers=org.bearer)

        await take(other_org, "assistant", made["id"], assistant(upstream, "Grace"))

        assert await answer(http, other_org, assistantId=made["id"]) == "Your name is Grace."
        listed = await http.get("/assistant", headers=other_org.bearer)
        shown = await http.get(f"/assistant/{made['id']}", headers=other_org.bearer)
        _, event = await upstream.arrived(2)

    assert MARK not in shown.text + listed.text
    assert shown.json()["name"] == "Grace"
    assert event.path.endswith("/Grace")


async def test_deleted_squad_is_nothing_of_who_has_its_id_now(http: httpx.AsyncClient, org: Org, other_org: Org,
                                                              take: Take) -> None:
    async with Upstream(Answer()) as upstream:
        members = [{"assistant": assistant(upstream, MARK)}]
        made = await created(http, org, "/squad", {"name": MARK, "members": members})
        assert await answer(http, org, squadId=made["id"]) == f"Your name is {MARK}."
        await http.delete(f"/squad/{made['id']}", headers=org.bearer)

        await take(other_org, "squad", made["id"], {"members": [{"assistant": assistant(upstream, "Grace")}]})

        assert await answer(http, other_org, squadId=made["id"]) == "Your name is Grace."
        listed = await http.get("/squad", headers=other_org.bearer)
        shown = await http.get(f"/squad/{made['id']}", headers=other_org.bearer)

    assert MARK not in shown.text + listed.text


async def test_deleted_tool_is_nothing_of_who_has_its_id_now(http: httpx.AsyncClient, org: Org, other_org: Org,
                                                             take: Take) -> None:
    tool = {"type": "function", "function": {"name": "get_weather", "description": MARK}}
    made = await created(http, org, "/tool", tool)
    await http.get(f"/tool/{made['id']}", headers=org.bearer)
    await http.delete(f"/tool/{made['id']}", headers=org.bearer)

    await take(other_org, "tool", made["id"], {"type": "function", "function": {"name": "own"}})

    listed = await http.get("/tool", headers=other_org.bearer)
    shown = await http.get(f"/tool/{made['id']}", headers=other_org.bearer)
    assert MARK not in shown.text + listed.text
    assert shown.json()["function"]["name"] == "own"


async def test_document_that_was_deleted_and_imported_anew_is_what_was_imported(channel: grpc.aio.Channel,
                                                                                http: httpx.AsyncClient, org: Org) -> None:
    line = {"kind": "assistant", "id": new_id(), "createdAt": 1, "updatedAt": 1}
    for name in ("first", "second"):
        lines = [orjson.dumps({**line, "document": {"name": name}}).decode()]
        await HistoryServiceStub(channel).ImportHistory(ImportHistoryRequest(lines=lines), metadata=org.metadata)
        shown = await http.get(f"/assistant/{line['id']}", headers=org.bearer)
        assert shown.json()["name"] == name
        await http.delete(f"/assistant/{line['id']}", headers=org.bearer)
