"""What exchanges used: estimates marked as such, totals of a session, totals of an org by day, assistant and
key."""

import json

import grpc
import httpx
import pytest
from google.protobuf.json_format import MessageToDict
from google.protobuf.struct_pb2 import Value
from openai.types.completion_usage import CompletionUsage
from openai.types.responses import ResponseUsage

from generated.parley.v1.chat_service_pb2 import CreateChatRequest
from generated.parley.v1.chat_service_pb2_grpc import ChatServiceStub
from generated.parley.v1.usage_service_pb2 import GetUsageRequest
from generated.parley.v1.usage_service_pb2_grpc import UsageServiceStub
from server.app import App
from server.core.config import Address, Price, Settings
from server.storage import usage as storage_of_usage
from server.storage.store import open_store
from tests.conftest import Org, Service
from tests.upstream import OpenAIUpstream, chunk, openai_stream, openai_text, usage_chunk

DAY = 86_400_000
FIRST_DAY = 1_767_225_600_000  # 2026-01-01


@pytest.fixture(params=["server", "envoy"])
async def usage(request: pytest.FixtureRequest, service: Service):
    """The service's own port, and Envoy's."""
    address = service.grpc_address if request.param == "server" else service.http_url.removeprefix("http://")
    async with grpc.aio.insecure_channel(address) as channel:
        yield UsageServiceStub(channel)


async def upstream_assistant(http: httpx.AsyncClient, org: Org, url: str) -> str:
    model = {"provider": "custom-llm", "model": "scripted-1", "url": url}
    made = await http.post("/assistant", headers=org.bearer, json={"name": "upstream", "model": model})
    return made.json()["id"]


async def send(
    http: httpx.AsyncClient, org: Org, text: str, key: str | None = None, **members: object
) -> dict:
    headers = {"authorization": f"Bearer {key or org.api}"}
    if key and not key.startswith("api_"):  # such a key has /chat at another door
        body = {"assistantId": org.assistant_id, "input": text, "stream": False, **members}
        return (await http.post("/chat/responses", headers=headers, json=body)).json()
    answer = await http.post(
        "/chat", headers=headers, json={"assistantId": org.assistant_id, "input": text, **members}
    )
    assert answer.status_code == 200, answer.text
    return answer.json()


async def test_counts_of_the_provider_are_not_marked(http: httpx.AsyncClient, org: Org) -> None:
    async with OpenAIUpstream(openai_text("Hello", usage=(7, 2))) as upstream:
        chat = await send(http, org, "Hi", assistantId=await upstream_assistant(http, org, upstream.base_url))

    assert chat["costs"][0] == {
        "type": "model",
        "model": {"provider": "custom-llm", "model": "scripted-1"},
        "promptTokens": 7,
        "completionTokens": 2,
        "cost": 0,
    }


async def test_counts_that_the_provider_did_not_tell_are_estimated_and_marked(
    http: httpx.AsyncClient, org: Org
) -> None:
    silent = openai_stream(chunk({"role": "assistant", "content": "Hello you"}), chunk(finish="stop"))
    async with OpenAIUpstream(silent) as upstream:
        assistant_id = await upstream_assistant(http, org, upstream.base_url)
        session = (await http.post("/session", headers=org.bearer, json={"assistantId": assistant_id})).json()
        body = {"sessionId": session["id"], "input": "12345678"}
        chat = (await http.post("/chat", headers=org.bearer, json=body)).json()

    assert chat["costs"][0] == {
        "type": "model",
        "model": {"provider": "custom-llm", "model": "scripted-1"},
        "promptTokens": 2,
        "completionTokens": 3,
        "cost": 0,
        "estimated": True,
    }
    stored = (await http.get(f"/session/{session['id']}", headers=org.bearer)).json()
    assert [part.get("estimated") for part in stored["costs"]] == [True]


async def test_documented_shapes_of_usage_have_no_mark(http: httpx.AsyncClient, org: Org) -> None:
    silent = openai_stream(chunk({"role": "assistant", "content": "Hello you"}), chunk(finish="stop"))
    async with OpenAIUpstream(silent) as upstream:
        assistant_id = await upstream_assistant(http, org, upstream.base_url)
        response = await send(http, org, "12345678", org.secret, assistantId=assistant_id)
        path = f"/api/v1/compatibility/openai/v1/assistants/{assistant_id}/chat/completions"
        body = {"messages": [{"role": "user", "content": "12345678"}]}
        completion = (await http.post(path, headers=org.bearer, json=body)).json()

    assert response["usage"] == {
        "input_tokens": 2,
        "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
        "output_tokens": 3,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": 5,
    }
    assert completion["usage"]["total_tokens"] == 5
    assert "estimated" not in completion["usage"]


@pytest.mark.parametrize(
    ("reported", "written"), [({"cache_write_tokens": 5}, 5), ({}, 0)], ids=["some", "none"]
)
async def test_tokens_written_to_the_cache_are_in_every_usage(
    http: httpx.AsyncClient, org: Org, reported: dict[str, int], written: int
) -> None:
    answer = openai_stream(
        chunk({"role": "assistant", "content": "Hi"}),
        chunk(finish="stop"),
        usage_chunk(9, 2, prompt_tokens_details={"cached_tokens": 3, **reported}),
    )
    async with OpenAIUpstream(answer) as upstream:
        agent = await upstream_assistant(http, org, upstream.base_url)
        body = {"model": agent, "input": "Hello"}
        whole = (await http.post("/v1/responses", headers=org.bearer, json=body)).json()
        streamed = await http.post("/v1/responses", headers=org.bearer, json={**body, "stream": True})
        read = (await http.get(f"/v1/responses/{whole['id']}", headers=org.bearer)).json()
        body = {"model": agent, "messages": [{"role": "user", "content": "Hello"}]}
        completion = (await http.post("/v1/chat/completions", headers=org.bearer, json=body)).json()

    data = [line[6:] for line in streamed.text.splitlines() if line.startswith("data: {")]
    for usage in (whole["usage"], json.loads(data[-1])["response"]["usage"], read["usage"]):
        told = ResponseUsage.model_validate(usage, strict=True)
        assert (told.input_tokens_details.cached_tokens, told.input_tokens_details.cache_write_tokens) == (
            3,
            written,
        )
    told = CompletionUsage.model_validate(completion["usage"], strict=True)
    assert told.prompt_tokens_details and told.prompt_tokens_details.cache_write_tokens == written


async def test_usage_by_assistant_and_key(
    http: httpx.AsyncClient, org: Org, other_org: Org, usage: UsageServiceStub
) -> None:
    await send(http, org, "one two")
    await send(http, org, "three")
    await send(http, org, "four", org.publishable)
    await send(http, org, "five", assistantId=None, assistant={"name": "transient"})
    await send(http, other_org, "not ours")

    total = await usage.GetUsage(GetUsageRequest(), metadata=org.metadata)
    grouped = await usage.GetUsage(GetUsageRequest(group_by=["key", "assistant"]), metadata=org.metadata)

    assert len(total.rows) == 1
    assert MessageToDict(total.rows[0])["chats"] == 4
    assert [(row.assistant_id, row.chats) for row in grouped.rows] == [
        ("", 1),
        (org.assistant_id, 2),
        (org.assistant_id, 1),
    ]
    assert len({row.key_id for row in grouped.rows}) == 2
    assert sum(row.prompt_tokens for row in grouped.rows) == total.rows[0].prompt_tokens > 0


async def test_deleting_does_not_change_what_was_used(
    http: httpx.AsyncClient, org: Org, usage: UsageServiceStub
) -> None:
    session = (await http.post("/session", headers=org.bearer, json={"assistantId": org.assistant_id})).json()
    await send(http, org, "in a session", assistantId=None, sessionId=session["id"])
    alone = await send(http, org, "alone")
    request = GetUsageRequest(group_by=["day", "assistant", "key"])
    before = await usage.GetUsage(request, metadata=org.metadata)

    await http.delete(f"/session/{session['id']}", headers=org.bearer)
    await http.delete(f"/chat/{alone['id']}", headers=org.bearer)

    assert before.rows[0].chats == 2
    assert await usage.GetUsage(request, metadata=org.metadata) == before


async def test_org_without_exchanges_has_no_rows(org: Org, usage: UsageServiceStub) -> None:
    assert not (await usage.GetUsage(GetUsageRequest(), metadata=org.metadata)).rows


async def test_more_rows_than_an_answer_has_are_refused(
    http: httpx.AsyncClient, org: Org, usage: UsageServiceStub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(storage_of_usage, "MOST_ROWS", 1)
    await send(http, org, "one")
    await send(http, org, "two", org.publishable)

    assert (await usage.GetUsage(GetUsageRequest(), metadata=org.metadata)).rows[0].chats == 2
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await usage.GetUsage(GetUsageRequest(group_by=["key"]), metadata=org.metadata)

    assert refused.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert (
        "groupBy makes more than 1 rows; ask for a shorter time by `start` and `end`"
        in refused.value.details()
    )


async def test_publishable_key_may_not_read_usage(org: Org, usage: UsageServiceStub) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await usage.GetUsage(GetUsageRequest(), metadata=(("authorization", f"Bearer {org.publishable}"),))

    assert refused.value.code() == grpc.StatusCode.PERMISSION_DENIED


@pytest.mark.parametrize(
    ("request_", "field"),
    [
        (GetUsageRequest(start="yesterday"), "start"),
        (GetUsageRequest(end="2026-13-01T00:00:00Z"), "end"),
        (GetUsageRequest(group_by=["month"]), "groupBy"),
        (GetUsageRequest(group_by=["day", "day"]), "groupBy"),
    ],
    ids=["start", "end", "group", "twice"],
)
async def test_wrong_request_names_the_field(
    org: Org, usage: UsageServiceStub, request_: GetUsageRequest, field: str
) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await usage.GetUsage(request_, metadata=org.metadata)

    assert refused.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert field in refused.value.details()


async def test_usage_by_day_between_two_times(tmp_path) -> None:
    now = [FIRST_DAY]
    settings = Settings(
        data=tmp_path, grpc=Address(host="127.0.0.1", port=0), prices={"offline-1": Price(input=1, output=0)}
    )
    store = open_store(tmp_path, clock=lambda: now[0])
    app = App(settings, store, clock=lambda: now[0])
    await app.start()
    try:
        org = await Service(store, "", "", settings).new_org()
        async with grpc.aio.insecure_channel(f"127.0.0.1:{app.grpc_port}") as channel:
            for now[0] in (FIRST_DAY, FIRST_DAY + DAY - 1, FIRST_DAY + DAY, FIRST_DAY + 2 * DAY):
                await _chat(channel, org)
            stub = UsageServiceStub(channel)
            by_day = await stub.GetUsage(
                GetUsageRequest(group_by=["day"], end="2026-01-03T00:00:00Z"), metadata=org.metadata
            )
            one = await stub.GetUsage(
                GetUsageRequest(start="2026-01-02T01:00:00+01:00", end="2026-01-03T00:00:00Z"),
                metadata=org.metadata,
            )
    finally:
        await app.stop(0)
        store.close()

    assert [(row.day, row.chats) for row in by_day.rows] == [("2026-01-01", 2), ("2026-01-02", 1)]
    assert by_day.rows[0].cost == 2 * one.rows[0].cost > 0
    assert [(row.day, row.chats) for row in one.rows] == [("", 1)]


async def _chat(channel: grpc.aio.Channel, org: Org) -> None:
    request = CreateChatRequest(assistant_id=org.assistant_id, input=Value(string_value="Hello"))
    await ChatServiceStub(channel).CreateChat(request, metadata=org.metadata)
