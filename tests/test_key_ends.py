"""What a key has begun ends with the key: streams, watches, backgrounds, turns that wait and whatever else is
under way.

The model is `tests/upstream.py`, which begins to answer and then says nothing more.
"""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import grpc
import pytest

from generated.parley.v1.history_service_pb2 import ExportHistoryRequest
from generated.parley.v1.history_service_pb2_grpc import HistoryServiceStub
from server.app import App
from server.core.clock import now_ms
from server.core.config import Address, Settings
from server.storage.keys import NewKey
from server.storage.store import opened
from server.wire.history.lines import History
from tests.conftest import Org, Service, rows_of, running
from tests.contract.test_streams import BEGINNING
from tests.test_deleted import STREAMS, Client, begun, ending
from tests.upstream import STALL, Answer, OpenAIUpstream

TEXT = "The key was revoked, or has expired, before the answer was complete."


@pytest.fixture
async def silent():
    async with OpenAIUpstream(Answer([*BEGINNING, STALL])) as upstream:
        yield upstream


@pytest.fixture
async def agent(service, org, silent) -> str:
    made = await service.store.assistants.create(
        org.id, {"model": {"provider": "custom-llm", "url": silent.base_url, "model": "m"}}
    )
    return made.id


class Doomed(Client):
    """A caller whose key is to end."""

    def __init__(self, channel: grpc.aio.Channel, org: Org, agent: str, key: NewKey) -> None:
        super().__init__(channel, replace(org, secret=key.key), agent)
        self.key = key


@pytest.fixture
async def doomed(service, channel, org, agent) -> Doomed:
    return Doomed(channel, org, agent, await service.store.keys.create(org.name, "secret"))


@pytest.fixture
async def other(channel, org, agent) -> Client:
    """The same org with another key."""
    return Client(channel, org, agent)


async def over(client: Client, chat_id: str) -> dict[str, Any]:
    """A chat, once it is over."""
    async with asyncio.timeout(20):
        while True:
            chat = await client.call("Chat/GetChat", id=chat_id)
            if chat["status"] != "in_progress":
                return chat
            await asyncio.sleep(0)


async def code_of(call: Any) -> str:
    try:
        await call
    except grpc.aio.AioRpcError as error:
        return error.code().name
    return "OK"


@pytest.mark.parametrize("name", STREAMS)
async def test_stream_ends_in_an_error_and_keeps_what_was_said(service, doomed, other, silent, name):
    stream, made, _ = await begun(doomed, name, doomed.agent)
    sister, _, _ = await begun(other, "chat", other.agent)

    await service.store.keys.revoke(doomed.key.id)

    last, status = await ending(stream)
    assert status == "UNAUTHENTICATED"
    if name != "completion":  # whose error is the status alone
        assert TEXT in last
    chat = await over(other, made)
    assert (chat["status"], chat["error"]["code"], chat["output"][0]["content"]) == (
        "incomplete",
        "key_ended",
        "Hello wor",
    )
    assert not sister.done()
    sister.cancel()


async def rest_when_revoked(service, key, answer):
    """What a stream says once its key is revoked in the middle of it."""
    lines = answer.aiter_lines()
    async for line in lines:
        if " wor" in line:
            break
    await service.store.keys.revoke(key.id)
    return "\n".join([line async for line in lines])


@pytest.mark.parametrize(
    ("path", "last"),
    [
        ("/chat", '"code":"key_ended"'),
        ("/v1/responses", '"type":"error"'),
        ("/v1/chat/completions", '"error":{'),
    ],
)
async def test_stream_over_http_ends_in_an_error_event(service, http, org, agent, path, last):
    key = await service.store.keys.create(org.name, "api")
    request_members = (
        {"messages": [{"role": "user", "content": "Hi"}], "model": agent}
        if "completions" in path
        else {"assistantId": agent, "input": "Hi"}
    )
    async with http.stream(
        "POST", path, json={**request_members, "stream": True}, headers={"authorization": f"Bearer {key.key}"}
    ) as answer:
        rest = await rest_when_revoked(service, key, answer)

    assert TEXT in rest
    assert last in rest


async def test_background_ends(service, doomed, other, silent):
    made = await doomed.call("Response/CreateResponse", assistantId=doomed.agent, input="Hi", background=True)
    await silent.arrived(1)

    await service.store.keys.revoke(doomed.key.id)

    async with asyncio.timeout(20):
        await silent.disconnected.wait()
    await over(other, made["id"])
    response = await other.call("Response/GetResponse", response_id=made["id"])
    assert (response["status"], response["error"]["message"]) == ("failed", TEXT)


@pytest.mark.parametrize(
    ("method", "member"), [("Chat/WatchChat", "id"), ("Response/WatchResponse", "response_id")]
)
async def test_watch_ends_and_what_is_watched_goes_on(service, doomed, other, method, member):
    stream, made, _ = await begun(other, "chat", other.agent)
    watching, staying = doomed.stream(method, **{member: made}), other.stream(method, **{member: made})
    for one in (watching, staying):
        while " wor" not in str(await one.read()):
            pass

    await service.store.keys.revoke(doomed.key.id)

    last, _ = await ending(watching)
    assert TEXT in last
    assert (await other.call("Chat/GetChat", id=made))["status"] == "in_progress"
    assert not stream.done() and not staying.done()
    staying.cancel()
    stream.cancel()


async def test_watch_over_http_ends_in_an_error_event(service, http, org, other):
    stream, made, _ = await begun(other, "response", other.agent)
    key = await service.store.keys.create(org.name, "api")
    async with http.stream(
        "GET", f"/v1/responses/{made}?stream=true", headers={"authorization": f"Bearer {key.key}"}
    ) as answer:
        rest = await rest_when_revoked(service, key, answer)

    assert ('"type":"response.failed"' in rest, TEXT in rest) == (True, True)
    stream.cancel()


@pytest.mark.parametrize(
    "method", ["Chat/CreateChat", "Chat/StreamChat", "Response/CreateResponse", "Chat/PostChat"]
)
async def test_turn_that_waits_ends(service, doomed, other, silent, method):
    stream, _, session = await begun(other, "chat in a session", other.agent)
    members = {"sessionId": session, "input": "next"}
    waiting = (
        doomed.stream(method, **members).read()
        if method in ("Chat/StreamChat", "Chat/PostChat")
        else doomed.call(method, **members)
    )
    refused = asyncio.create_task(code_of(waiting))
    await claims(service, other.org, 3)

    await service.store.keys.revoke(doomed.key.id)

    assert await refused == "UNAUTHENTICATED"
    assert len(silent.requests) == 1
    stream.cancel()


async def claims(service: Service, org: Org, count: int) -> None:
    """Wait until so many calls have claimed their Idempotency-Key: then they are under way."""
    async with asyncio.timeout(20):
        while True:
            rows = await rows_of(service.store, "SELECT 1 FROM idempotency_keys WHERE org_id = ?", [org.id])
            if len(rows) >= count:
                return
            await asyncio.sleep(0)


async def test_call_that_waits_for_the_model_ends(service, doomed, silent):
    refused = asyncio.create_task(
        code_of(doomed.call("Chat/CreateChat", assistantId=doomed.agent, input="Hi"))
    )
    await silent.arrived(1)

    await service.store.keys.revoke(doomed.key.id)

    assert await refused == "UNAUTHENTICATED"
    async with asyncio.timeout(20):
        await silent.disconnected.wait()


async def test_stream_that_does_not_end_itself_is_ended(service, channel, org, monkeypatch):
    async def endless(self: History, *_: Any, **__: Any) -> AsyncIterator[list[str]]:
        yield ["{}"]
        await asyncio.Event().wait()

    monkeypatch.setattr(History, "export", endless)
    key = await service.store.keys.create(org.name, "secret")
    export = HistoryServiceStub(channel).ExportHistory(
        ExportHistoryRequest(), metadata=(("authorization", f"Bearer {key.key}"),)
    )
    await export.read()

    await service.store.keys.revoke(key.id)

    assert (await code_of(export.read()), await export.details()) == (
        "UNAUTHENTICATED",
        "the key was revoked or has expired while the call ran",
    )


async def test_key_that_expires_ends_what_it_has_begun(tmp_path, silent):
    passed = 0
    async with running(
        tmp_path, clock=lambda: now_ms() + passed, upstream_allow_hosts="127.0.0.1"
    ) as service:
        org = await service.new_org()
        made = await service.store.assistants.create(
            org.id, {"model": {"provider": "custom-llm", "url": silent.base_url, "model": "m"}}
        )
        key = await service.store.keys.create(org.name, "secret", now_ms() + 3_600_000)
        async with grpc.aio.insecure_channel(service.grpc_address) as channel:
            stream, _, _ = await begun(Doomed(channel, org, made.id, key), "chat", made.id)
            passed = 3_600_000

            assert (await ending(stream))[1] == "UNAUTHENTICATED"


async def test_key_that_another_server_revokes_ends_what_it_has_begun_here(service, doomed):
    stream, _, _ = await begun(doomed, "chat", doomed.agent)

    async with opened(service.settings.data, service.settings.database) as elsewhere:
        await elsewhere.keys.revoke(doomed.key.id)

    assert (await ending(stream))[1] == "UNAUTHENTICATED"


async def test_keys_are_looked_at_with_one_statement_however_many_calls_they_have(
    service, other, org, monkeypatch
):
    app: App = service.app
    streams = [(await begun(other, "chat", other.agent))[0] for _ in range(3)]
    looked: list[list[str]] = []
    ended = service.store.keys.ended

    async def counted(key_ids: Any) -> set[str]:
        looked.append(list(key_ids))
        return await ended(key_ids)

    monkeypatch.setattr(service.store.keys, "ended", counted)
    await app._key_ends.look()
    for stream in streams:
        stream.cancel()

    assert len(looked) == 1
    assert len(looked[0]) == len(set(looked[0]))


async def test_nothing_is_looked_at_when_no_key_is_in_use(tmp_path):
    settings = Settings(data=tmp_path, grpc=Address(host="127.0.0.1", port=0))
    async with opened(settings.data) as store:
        app = App(settings, store)
        store.keys.ended = None  # type: ignore[assignment]
        await app._key_ends.look()
