"""What callers see of limits: the headers of every answer, and what is refused, over gRPC and at every door
of HTTP."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import grpc
import httpx
import openai
import pytest

from generated.parley.v1.chat_service_pb2 import CreateChatRequest
from generated.parley.v1.chat_service_pb2_grpc import ChatServiceStub
from generated.parley.v1.session_service_pb2 import GetSessionRequest, ListSessionsRequest
from generated.parley.v1.session_service_pb2_grpc import SessionServiceStub
from server.content.json_values import from_python
from server.core.errors import RateLimited
from tests.conftest import Org, Service, rows_of, running
from tests.contract.doors import (
    COMPLETIONS,
    UNKNOWN_ID,
    CallError,
    Door,
    details_of,
    door_to,
    http_client,
    read,
)
from tests.sdk import official_client

LIMIT, REMAINING, RESET = (f"x-ratelimit-{name}-requests" for name in ("limit", "remaining", "reset"))
LIMIT_HEADERS = {LIMIT, REMAINING, RESET}
LONG = "word " * 2_000
"""What the offline model takes minutes to repeat, with a delay."""

DOORS = {
    "assistants": ("POST", "/chat", "api"),
    "sessions": ("GET", "/session", "api"),
    "agents": ("POST", "/chat", "secret"),
    "messages": ("GET", f"/chat/{UNKNOWN_ID}/message", "secret"),
    "responses": ("POST", "/chat/responses", "api"),
    "v1 responses": ("GET", f"/v1/responses/{UNKNOWN_ID}", "api"),
    "models": ("GET", "/v1/models", "api"),
    "completions": ("POST", COMPLETIONS.format(agent_id=UNKNOWN_ID), "api"),
}


def inner(message: str) -> dict[str, Any]:
    return {"message": message, "type": "rate_limit_error", "param": None, "code": "rate_limit_exceeded"}


def shape(name: str, message: str, retry_after: int) -> dict[str, Any]:
    """The body of a 429 at a door."""
    if name in ("agents", "messages"):
        return {"error": "Too Many Requests", "message": message, "retryAfter": retry_after}
    if name == "completions":
        return {"detail": message, "error": inner(message)}
    if "responses" in name or name == "models":
        return {"error": inner(message)}
    return {"message": message, "error": "Too Many Requests", "statusCode": 429}


# --- every answer tells where the caller stands -------------------------------------------------------------


async def test_every_answer_to_a_key_tells_where_it_stands(http: httpx.AsyncClient, org: Org) -> None:
    session = (await http.post("/session", json={"assistantId": org.assistant_id}, headers=org.bearer)).json()
    chat_body = {"assistantId": org.assistant_id, "input": "x"}
    agents = {"x-api-key": org.secret}
    chat = (await http.post("/chat", json={"agentId": org.assistant_id}, headers=agents)).json()
    answers = [
        await http.get(f"/session/{session['id']}", headers=org.bearer),
        await http.post("/session", json={"assistantId": org.assistant_id}, headers=org.bearer),
        await http.post("/chat", json=chat_body, headers=org.bearer),
        await http.post("/chat", json={**chat_body, "stream": True}, headers=org.bearer),
        await http.post("/v1/responses", json={**chat_body, "stream": True}, headers=org.bearer),
        await http.get("/assistant", headers=org.bearer),
        await http.delete(f"/chat/{chat['id']}", headers=agents),
        await http.get(f"/chat/{UNKNOWN_ID}", headers=org.bearer),
        await http.post("/chat", json={}, headers=org.bearer),
        await http.post(
            "/chat", json={**chat_body, "assistantId": UNKNOWN_ID, "stream": True}, headers=org.bearer
        ),
        await http.get("/session", headers={"authorization": f"Bearer {org.publishable}"}),
    ]

    assert [answer.status_code for answer in answers] == [
        200,
        201,
        200,
        200,
        200,
        200,
        204,
        404,
        400,
        404,
        403,
    ]
    assert [LIMIT_HEADERS - set(answer.headers) for answer in answers] == [set()] * len(answers)
    remaining = [int(answer.headers[REMAINING]) for answer in answers[:6]]
    assert remaining[0] <= int(answers[0].headers[LIMIT])


async def test_caller_without_a_key_gets_no_limit_headers(http: httpx.AsyncClient) -> None:
    answers = [
        await http.get("/session"),
        await http.get("/session", headers={"authorization": "Bearer api_x"}),
    ]

    assert [LIMIT_HEADERS & set(answer.headers) for answer in answers] == [set(), set()]


async def test_grpc_has_them_ahead_of_an_answer_and_behind_an_error(
    channel: grpc.aio.Channel, org: Org
) -> None:
    sessions, chats = SessionServiceStub(channel), ChatServiceStub(channel)
    chat_body = CreateChatRequest(assistant_id=org.assistant_id, input=from_python("x"))
    listed = sessions.ListSessions(ListSessionsRequest(), metadata=org.metadata)
    streamed = chats.StreamChat(chat_body, metadata=org.metadata)
    refused = sessions.GetSession(GetSessionRequest(id=UNKNOWN_ID), metadata=org.metadata)

    ahead = [dict(await call.initial_metadata()) for call in (listed, streamed)]
    await listed
    with pytest.raises(grpc.aio.AioRpcError):
        await refused
    async for _ in streamed:
        pass

    assert [LIMIT_HEADERS - set(one) for one in (*ahead, dict(await refused.trailing_metadata()))] == [
        set()
    ] * 3


async def test_pages_may_read_them(http: httpx.AsyncClient, org: Org) -> None:
    answer = await http.get("/session", headers={**org.bearer, "origin": "https://page.example"})

    exposed = answer.headers["access-control-expose-headers"].split(", ")
    assert {*LIMIT_HEADERS, "retry-after", "retry-after-ms"} <= set(exposed)


# --- too many requests --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
async def slow(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Service]:
    """A service that allows each key two requests, and then one an hour; its orgs five."""
    async with running(
        tmp_path_factory.mktemp("slow"),
        key_requests_per_minute=1 / 60,
        key_burst=2,
        org_requests_per_minute=1 / 60,
        org_burst=5,
    ) as started:
        yield started


async def spend(service: Service, key: str, times: int) -> None:
    async with http_client(service) as http:
        for _ in range(times):
            await http.get("/session", headers={"authorization": f"Bearer {key}"})


@pytest.mark.parametrize("name", DOORS)
async def test_request_too_many_is_429_in_the_shape_of_the_door(slow: Service, name: str) -> None:
    method, path, kind = DOORS[name]
    org = await slow.new_org()
    key = getattr(org, kind)
    await spend(slow, key, 2)

    async with http_client(slow) as http:
        answer = await http.request(method, path, headers={"authorization": f"Bearer {key}"})

    wait = int(answer.headers["retry-after"])
    assert answer.status_code == 429
    error_body = answer.json()
    exact = error_body.get("retryAfter", wait)
    assert 3_590 < exact <= wait <= 3_600
    assert 3_590_000 < int(answer.headers["retry-after-ms"]) <= 3_600_000
    prefix = "too many requests of this key or org, which may send 2 at once; try again in "
    message = error_body.get("detail") or error_body.get("message") or error_body["error"]["message"]
    assert message.removeprefix(prefix) in ("60m0s", "59m59s", "59m58s")
    assert error_body == shape(name, message, exact)
    assert (answer.headers[LIMIT], answer.headers[REMAINING]) == ("2", "0")


async def test_one_limit_stands_behind_every_header_and_every_door(slow: Service) -> None:
    """CVE-2026-45339 of another server: its limits knew one of the two headers only."""
    org = await slow.new_org()
    await spend(slow, org.api, 2)
    shown = (
        {"authorization": f"Bearer {org.api}"},
        {"x-api-key": org.api},
        {"authorization": f"bearer   {org.api}"},
        {"authorization": f"Bearer {org.api}", "x-api-key": org.secret, "x-forwarded-for": "1.2.3.4"},
    )

    async with http_client(slow) as http:
        answers = [
            await http.request(method, path, headers=headers)
            for method, path, _ in DOORS.values()
            for headers in shown
        ]
    async with door_to("grpc", slow, org) as native:
        with pytest.raises(CallError) as refused:
            await native.list_sessions()

    assert {answer.status_code for answer in answers} == {429}
    assert refused.value.status == 429
    info, _ = details_of(refused.value.answer)
    assert info.reason == RateLimited.reason
    assert {*LIMIT_HEADERS, "retry-after", "retry-after-ms"} <= set(
        dict(refused.value.answer.trailing_metadata())
    )


async def test_org_has_a_limit_of_its_own_whichever_keys_it_uses(slow: Service) -> None:
    org, other = await slow.new_org(), await slow.new_org()
    await spend(slow, org.api, 2)
    await spend(slow, org.secret, 2)
    await spend(slow, org.publishable, 1)

    async with http_client(slow) as http:
        answers = [
            await http.get("/session", headers={"authorization": f"Bearer {key}"})
            for key in (org.publishable, (await slow.store.keys.create(org.name, "api")).key, other.api)
        ]

    assert [answer.status_code for answer in answers] == [429, 429, 200]
    assert [answer.headers[LIMIT] for answer in answers] == ["5", "5", "2"]


async def test_too_many_requests_are_refused_before_faults_of_the_request(slow: Service) -> None:
    """And nothing is done: not read, not written, no model called."""
    org = await slow.new_org()
    await spend(slow, org.publishable, 2)
    before = await rows_of(slow.store, "SELECT count(*) FROM chats")

    async with http_client(slow) as http:
        headers = {"authorization": f"Bearer {org.publishable}"}
        answers = [
            await http.post("/v1/responses", json={}, headers=headers),
            await http.post("/v1/responses", json={"model": "demo", "input": "x"}, headers=headers),
            await http.get("/session", headers=headers),
        ]

    assert [answer.status_code for answer in answers] == [429] * 3
    assert await rows_of(slow.store, "SELECT count(*) FROM chats") == before


async def test_request_refused_for_what_it_is_counts(slow: Service) -> None:
    org = await slow.new_org()

    async with http_client(slow) as http:
        answers = [
            await http.get(path, headers={"authorization": f"Bearer {org.publishable}"})
            for path in ("/session", f"/chat/{UNKNOWN_ID}", "/session")
        ]

    assert [answer.status_code for answer in answers] == [403, 404, 429]


async def test_unknown_keys_are_refused_without_being_remembered(slow: Service) -> None:
    assert slow.app is not None
    buckets = slow.app.limits._orgs._full_at, slow.app.limits._keys._full_at
    before = [dict(bucket) for bucket in buckets]

    async with http_client(slow) as http:
        keys = ["api_unknown", "sk_live_" + "x" * 10_000]
        answers = [await http.get("/session", headers={"authorization": f"Bearer {key}"}) for key in keys * 5]

    assert {answer.status_code for answer in answers} == {401}
    assert [dict(bucket) for bucket in buckets] == before


async def test_openai_sdk_raises_its_rate_limit_error(slow: Service) -> None:
    org = await slow.new_org()
    await spend(slow, org.api, 2)

    async with official_client(f"{slow.http_url}/v1", org.api) as client:
        with pytest.raises(openai.RateLimitError) as refused:
            await client.responses.create(model="demo", input="Hi")
        with pytest.raises(openai.RateLimitError):
            await client.responses.create(model="demo", input="Hi", stream=True)

    assert refused.value.code == "rate_limit_exceeded"
    assert refused.value.response.headers[REMAINING] == "0"


async def test_openai_sdk_retries_after_the_given_time(tmp_path: Path) -> None:
    async with running(tmp_path, key_requests_per_minute=300, key_burst=1) as service:
        org = await service.new_org()
        async with official_client(f"{service.http_url}/v1", org.api) as client:
            patient = client.with_options(max_retries=1)
            answers = [await patient.responses.create(model="demo", input="Hi") for _ in range(3)]

    assert [answer.output_text for answer in answers] == ["You said: Hi"] * 3


# --- too many at a time, and for too long -------------------------------------------------------------------


@pytest.fixture(scope="module")
async def narrow(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Service]:
    """A service that takes two calls of a key at a time, three of an org and four of all, and cuts a call at
    0.2 s."""
    async with running(
        tmp_path_factory.mktemp("narrow"),
        key_calls=2,
        org_calls=3,
        server_calls=4,
        call_seconds=0.2,
        offline_delay_ms=50,
    ) as started:
        yield started


class streaming:
    """`async with streaming(door, org)`: a stream that is under way, and goes on until it is left."""

    def __init__(self, door: Door, org: Org) -> None:
        self._opening = door.stream_chat(assistantId=org.assistant_id, input=LONG)

    async def __aenter__(self) -> dict[str, Any]:
        self.events = await self._opening.__aenter__()
        return await anext(self.events)

    async def __aexit__(self, *_: object) -> None:
        await self._opening.__aexit__(None, None, None)


async def until_admitted(call: Callable[[], Awaitable[Any]]) -> Any:
    """What a call answers once the streams before it are gone: the server hears of their end a moment
    later."""
    async with asyncio.timeout(10):
        while True:
            try:
                return await call()
            except CallError as error:
                assert error.status == 429


@pytest.fixture
async def quiet(narrow: Service) -> AsyncIterator[Service]:
    """That service, once nothing is under way any more."""
    yield narrow
    assert narrow.app is not None
    async with asyncio.timeout(10):
        while narrow.app.limits.under_way:  # noqa: ASYNC110 (calls that end are no event)
            await asyncio.sleep(0)


@pytest.fixture(params=["grpc", "rest"])
async def at_narrow(request: pytest.FixtureRequest, quiet: Service) -> AsyncIterator[tuple[Door, Org]]:
    org = await quiet.new_org()
    async with door_to(request.param, quiet, org) as door:
        yield door, org


async def test_key_has_so_many_streams_at_a_time(at_narrow: tuple[Door, Org]) -> None:
    door, org = at_narrow

    async with streaming(door, org):
        async with streaming(door, org):
            with pytest.raises(CallError) as another:
                await read(door.stream_chat(assistantId=org.assistant_id, input="x"))
            with pytest.raises(CallError) as unary:
                await door.list_sessions()
        await until_admitted(door.list_sessions)

    assert [(refused.value.status, refused.value.text) for refused in (another, unary)] == [
        (
            429,
            "2 calls of this key or org are under way, streams included, which is the most allowed; let one of them end",
        )
    ] * 2
    await until_admitted(door.list_sessions)


async def test_org_has_so_many_streams_at_a_time(at_narrow: tuple[Door, Org], narrow: Service) -> None:
    door, org = at_narrow
    second = door.having((await narrow.store.keys.create(org.name, "api")).key)

    async with streaming(door, org), streaming(door, org), streaming(second, org):
        with pytest.raises(CallError) as refused:
            await second.list_sessions()

    assert refused.value.text.startswith("3 calls of this key or org")
    await until_admitted(door.list_sessions)


async def test_what_runs_in_the_background_counts_until_it_is_over(quiet: Service) -> None:
    """Beside the call that begins it: two calls at a time are one of them and no more."""
    org = await quiet.new_org()
    chat_body = {"model": "demo", "input": LONG, "background": True}
    async with http_client(quiet) as http:
        begun, refused = [
            await http.post("/v1/responses", json=chat_body, headers=org.bearer) for _ in range(2)
        ]
        await http.post(f"/v1/responses/{begun.json()['id']}/cancel", headers=org.bearer)
        again = await http.post("/v1/responses", json={**chat_body, "input": "x"}, headers=org.bearer)

    assert [answer.status_code for answer in (begun, refused, again)] == [200, 429, 200]
    assert refused.json()["error"]["code"] == "too_many_calls"


async def test_server_has_so_many_calls_at_a_time(at_narrow: tuple[Door, Org], narrow: Service) -> None:
    door, org = at_narrow
    other = await narrow.new_org()
    theirs, secret = door.of(other), door.having(org.secret)

    async with streaming(door, org), streaming(door, org), streaming(theirs, other), streaming(theirs, other):
        with pytest.raises(CallError) as refused:
            await secret.list_sessions()

    assert (refused.value.status, refused.value.text) == (
        429,
        "the server has as many calls under way as it takes; try again",
    )
    await until_admitted(door.list_sessions)


async def test_many_calls_at_once_all_get_an_answer(service: Service, org: Org) -> None:
    """gRPC itself would cancel some of them, without a word, when a thousand wait to be taken."""
    async with grpc.aio.insecure_channel(service.grpc_address) as channel:
        list_sessions: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(
            "/parley.v1.SessionService/ListSessions"
        )

        async def code() -> grpc.StatusCode:
            call = list_sessions(b"")
            return await call.code()

        codes = await asyncio.gather(*(code() for _ in range(3_000)))

    assert set(codes) == {grpc.StatusCode.UNAUTHENTICATED}


async def test_call_that_is_no_stream_is_bounded_by_the_server(narrow: Service) -> None:
    org = await narrow.new_org()
    async with door_to("grpc", narrow, org) as native:
        with pytest.raises(CallError) as refused:
            await native.create_chat(assistantId=org.assistant_id, input=LONG)
        stored = await native.list_chats()

    assert (refused.value.status, refused.value.text) == (
        504,
        "the call took longer than 0.2 s, and was broken off; ask for less at once, or for a stream",
    )
    assert [chat["status"] for chat in stored["results"]] in ([], ["incomplete"])


async def test_deadline_of_the_caller_is_kept(narrow: Service) -> None:
    org = await narrow.new_org()
    request = CreateChatRequest(assistant_id=org.assistant_id, input=from_python(LONG))
    for address in (narrow.grpc_address, narrow.http_url.removeprefix("http://")):
        async with grpc.aio.insecure_channel(address) as channel:
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await ChatServiceStub(channel).CreateChat(request, metadata=org.metadata, timeout=0.1)
        assert refused.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED


async def test_everything_can_be_turned_off(tmp_path: Path) -> None:
    async with running(
        tmp_path, limits=False, key_requests_per_minute=1 / 60, key_burst=1, key_calls=1
    ) as service:
        org = await service.new_org()
        async with http_client(service) as http:
            answers = [await http.get("/session", headers=org.bearer) for _ in range(3)]

    assert [(answer.status_code, LIMIT_HEADERS & set(answer.headers)) for answer in answers] == [
        (200, set())
    ] * 3


# --- sizes --------------------------------------------------------------------------------------------------


async def test_headers_pass_up_to_60_kb_and_are_431_above(http: httpx.AsyncClient, org: Org) -> None:
    large = [
        await http.get("/session", headers={**org.bearer, "x-large": "x" * size})
        for size in (9_000, 20_000, 59_000)
    ]
    too_large = await http.get("/session", headers={**org.bearer, "x-large": "x" * 62_000})

    assert [answer.status_code for answer in large] == [200] * 3
    assert too_large.status_code == 431
