"""Who may do what: missing, wrong and revoked keys, and what a publishable key opens."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import grpc
import httpx
import pytest

from generated.parley.v1.session_service_pb2 import ListSessionsRequest
from generated.parley.v1.session_service_pb2_grpc import SessionServiceStub
from tests.conftest import Org, Service
from tests.contract.doors import COMPLETIONS, UNKNOWN_ID, CallError, Door, details_of, read

NO_KEY = "a valid key is required: send it as `Authorization: Bearer <key>` or `x-api-key: <key>`"
NOT_SENT = "cannot be sent with a publishable key, which every visitor of a page can read; use an api or a secret key"
HELLO = [{"role": "user", "content": "Hello"}]

# One request of each door, and the body of a 401 there.
UNAUTHENTICATED = [
    pytest.param(
        "POST", "/chat", {"message": NO_KEY, "error": "Unauthorized", "statusCode": 401}, id="assistants"
    ),
    pytest.param(
        "GET", "/session", {"message": NO_KEY, "error": "Unauthorized", "statusCode": 401}, id="sessions"
    ),
    pytest.param(
        "GET", f"/chat/{UNKNOWN_ID}/message", {"error": "Unauthorized", "message": NO_KEY}, id="agents"
    ),
    *(
        pytest.param(
            "POST",
            path,
            {
                "error": {
                    "message": NO_KEY,
                    "type": "authentication_error",
                    "param": None,
                    "code": "unauthenticated",
                }
            },
            id=path,
        )
        for path in ("/chat/responses", "/v1/responses")
    ),
    pytest.param(
        "POST",
        COMPLETIONS.format(agent_id=UNKNOWN_ID),
        {
            "detail": NO_KEY,
            "error": {
                "message": NO_KEY,
                "type": "authentication_error",
                "param": None,
                "code": "unauthenticated",
            },
        },
        id="completions",
    ),
]


# --- keys that open nothing ---------------------------------------------------------------------------------


@pytest.mark.parametrize(("method", "path", "body"), UNAUTHENTICATED)
async def test_call_without_a_valid_key_is_401_with_one_fixed_text(
    http: httpx.AsyncClient, org: Org, service: Service, method: Any, path: Any, body: Any
) -> None:
    revoked = await service.store.keys.create(org.name, "api")
    await service.store.keys.revoke(revoked.id)
    refused = [
        {},
        {"authorization": ""},
        {"authorization": "Bearer"},
        {"authorization": "Bearer garbage"},
        {"authorization": f"Bearer {org.api}x"},
        {"authorization": org.api},
        {"authorization": f"Basic {org.api}"},
        {"authorization": f"Bearer {org.api} {org.api}"},
        {"authorization": f"Bearer {revoked.key}"},
        {"authorization": "Bearer garbage", "x-api-key": org.api},
        {"authorization": "Bearer \xe9\xff"},
    ]

    answers = [
        await http.request(
            method,
            path,
            headers=[(name.encode(), value.encode("latin-1")) for name, value in headers.items()],
        )
        for headers in refused
    ]

    assert [(answer.status_code, answer.json()) for answer in answers] == [(401, body)] * len(refused)
    assert {answer.content for answer in answers} == {answers[0].content}


@pytest.mark.parametrize(
    "headers",
    [
        {"x-api-key": ""},
        {"x-api-key": "garbage"},
        {"authorization": "Bearer sk_live_x"},
        {"authorization": "Bearer pk_live_x"},
    ],
    ids=str,
)
async def test_agents_door_without_a_valid_key_is_401_in_its_own_shape(
    http: httpx.AsyncClient, headers: dict[str, Any]
) -> None:
    for method, path in (
        ("POST", "/chat"),
        ("GET", "/chat"),
        ("GET", f"/chat/{UNKNOWN_ID}"),
        ("DELETE", f"/chat/{UNKNOWN_ID}"),
    ):
        answer = await http.request(method, path, headers=headers)

        assert (answer.status_code, answer.json()) == (401, {"error": "Unauthorized", "message": NO_KEY})


async def test_bad_key_is_reported_before_faults_of_the_request(door: Door) -> None:
    stranger = door.having("garbage")

    for call in (
        stranger.create_chat(name="n" * 41),
        stranger.get_chat(id="x"),
        stranger.create_completion(agent_id="x"),
        stranger.create_session(expirationSeconds=1),
        stranger.list_agent_chats(),
        read(stranger.stream_chat(input=7)),
    ):
        with pytest.raises(CallError) as refused:
            await call
        assert (refused.value.status, refused.value.text) == (401, NO_KEY)


async def test_key_works_until_it_is_revoked(door: Door, service: Service, org: Org) -> None:
    key = await service.store.keys.create(org.name, "secret")
    holder = door.having(key.key)
    await holder.list_sessions()

    await service.store.keys.revoke(key.id)

    with pytest.raises(CallError) as refused:
        await holder.list_sessions()
    assert refused.value.status == 401


@pytest.mark.parametrize(
    "metadata",
    [
        pytest.param(lambda org: (("authorization", f"Bearer {org.api}"),), id="authorization"),
        pytest.param(lambda org: (("authorization", f"bearer {org.secret}"),), id="lower case scheme"),
        pytest.param(lambda org: (("x-api-key", org.secret),), id="x-api-key"),
        pytest.param(lambda org: (("x-api-key", org.api),), id="api key in x-api-key"),
        pytest.param(
            lambda org: (("authorization", f"Bearer {org.api}"), ("x-api-key", "garbage")),
            id="authorization decides",
        ),
    ],
)
async def test_grpc_takes_a_key_in_either_place(
    channel: grpc.aio.Channel, org: Org, metadata: Callable[..., Any]
) -> None:
    listed = await SessionServiceStub(channel).ListSessions(ListSessionsRequest(), metadata=metadata(org))

    assert list(listed.results) == []


@pytest.mark.parametrize("header", ["authorization", "x-api-key"])
async def test_header_with_two_keys_is_refused_over_grpc(
    channel: grpc.aio.Channel, org: Org, other_org: Org, header: str
) -> None:
    scheme = "Bearer " if header == "authorization" else ""
    two = tuple((header, f"{scheme}{key}") for key in (org.api, other_org.api))

    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await SessionServiceStub(channel).ListSessions(ListSessionsRequest(), metadata=two)
    again = await SessionServiceStub(channel).ListSessions(ListSessionsRequest(), metadata=two[:1] * 2)

    assert refused.value.code() == grpc.StatusCode.UNAUTHENTICATED
    assert refused.value.details() == (
        f"{header} was sent more than once, with different values; send it once, with one key"
    )
    assert list(again.results) == []


async def test_header_with_two_keys_is_refused_over_http(
    http: httpx.AsyncClient, org: Org, other_org: Org
) -> None:
    two = [
        [("x-api-key", org.secret), ("x-api-key", other_org.secret)],
        [("authorization", f"Bearer {org.api}"), ("authorization", f"Bearer {other_org.api}")],
    ]

    answers = [await http.get("/session", headers=headers) for headers in two]

    assert [(answer.status_code, answer.json()["message"]) for answer in answers] == [
        (401, "x-api-key was sent more than once, with different values; send it once, with one key"),
        (401, NO_KEY),
    ]


# --- publishable keys ---------------------------------------------------------------------------------------


@pytest.fixture
def page(door: Door, org: Org) -> Door:
    """The door as a web page sees it: with the publishable key."""
    return door.having(org.publishable)


async def test_publishable_key_runs_exchanges_at_every_door_and_reads_what_it_made(
    page: Door, org: Org
) -> None:
    chat = await page.create_agent_chat(agentId=org.assistant_id)
    await page.create_message(chatId=chat["id"], content="My name is Ada")
    session = await page.create_session(assistantId=org.assistant_id)
    await page.create_response(input="My name is Ada", sessionId=session["id"])
    first = await page.create_response(input="My name is Ada", assistantId=org.assistant_id)
    question = {"agent_id": org.assistant_id, "messages": [{"role": "user", "content": "What is my name?"}]}

    assert (await page.create_completion(**question, store_in_session=chat["id"]))["choices"][0]["message"][
        "content"
    ] == ("Your name is Ada.")
    assert (
        await read(page.stream_completion(**question, store_in_session=session["id"]))
    ).text == "Your name is Ada."
    assert (
        await read(page.stream_response(input="What is my name?", previous_response_id=first["id"]))
    ).text == ("Your name is Ada.")
    assert len((await page.get_agent_chat(chatId=chat["id"]))["messages"]) == 4
    assert len((await page.list_messages(chatId=session["id"]))["messages"]) == 4
    assert len((await page.get_session(id=session["id"]))["messages"]) == 4


async def test_publishable_key_has_the_chat_methods_over_grpc(native: Door, org: Org) -> None:
    page = native.having(org.publishable)
    chat = await page.create_chat(input="My name is Ada", assistantId=org.assistant_id)

    streamed = await read(page.stream_chat(input="What is my name?", previousChatId=chat["id"]))

    assert streamed.text == "Your name is Ada."
    assert (await page.get_chat(id=chat["id"]))["id"] == chat["id"]


FORBIDDEN: list[tuple[str, dict[str, Any]]] = [
    ("list_chats", {}),
    ("delete_chat", {"id": UNKNOWN_ID}),
    ("list_agent_chats", {}),
    ("delete_agent_chat", {"chatId": UNKNOWN_ID}),
    ("list_sessions", {}),
    ("update_session", {"id": UNKNOWN_ID}),
    ("delete_session", {"id": UNKNOWN_ID}),
    *(
        (f"{verb}_{noun}{'s' if verb == 'list' else ''}", members)
        for noun in ("assistant", "squad")
        for verb, members in (
            ("create", {"document": {}}),
            ("list", {}),
            ("get", {"id": UNKNOWN_ID}),
            ("update", {"id": UNKNOWN_ID, "patch": {}}),
            ("delete", {"id": UNKNOWN_ID}),
        )
    ),
]


@pytest.mark.parametrize(("method", "members"), FORBIDDEN, ids=[name for name, _ in FORBIDDEN])
async def test_publishable_key_is_refused_what_needs_a_secret_one(
    page: Door, method: Any, members: Any
) -> None:
    with pytest.raises(CallError) as refused:
        await getattr(page, method)(**members)

    assert (refused.value.status, refused.value.text) == (
        403,
        "a publishable key cannot do this; use a secret key",
    )


@pytest.mark.parametrize("method", ["create_response", "create_session"])
@pytest.mark.parametrize(
    ("member", "value"), [("assistant", {}), ("squad", {"members": [{"assistant": {}}]})]
)
async def test_publishable_key_cannot_bring_its_own_assistant(
    page: Door, method: str, member: str, value: dict[str, Any]
) -> None:
    required = {"input": "x"} if method == "create_response" else {}

    with pytest.raises(CallError) as refused:
        await getattr(page, method)(**{member: value}, **required)

    assert (refused.value.status, refused.value.text) == (403, f"{member} {NOT_SENT}")


async def test_publishable_key_sees_only_what_it_made_itself(door: Door, service: Service, org: Org) -> None:
    others = [door, door.having((await service.store.keys.create(org.name, "publishable")).key)]
    page = door.having(org.publishable)
    for owner in others:
        session = await owner.create_session(assistantId=org.assistant_id)
        response = await owner.create_response(input="secret", assistantId=org.assistant_id)
        calls = [
            page.get_session(id=session["id"]),
            page.get_agent_chat(chatId=session["id"]),
            page.list_messages(chatId=session["id"]),
            page.create_message(chatId=session["id"], content="x"),
            page.create_response(input="x", sessionId=session["id"]),
            page.create_response(input="x", previous_response_id=response["id"]),
            page.create_completion(agent_id=org.assistant_id, messages=HELLO, store_in_session=session["id"]),
        ]
        for call in calls:
            with pytest.raises(CallError) as refused:
                await call
            assert (refused.value.status, refused.value.text.split(" ", 1)[1].partition(";")[0]) == (
                404,
                "not found",
            )
        assert (await door.get_session(id=session["id"]))["messages"] == []


async def test_keys_of_an_org_share_what_is_not_a_publishable_ones(door: Door, org: Org) -> None:
    made = await door.having(org.publishable).create_session(assistantId=org.assistant_id)

    for key in (org.api, org.secret):
        assert (await door.having(key).get_session(id=made["id"]))["id"] == made["id"]


async def test_403_has_the_shape_of_the_door(http: httpx.AsyncClient, org: Org) -> None:
    message, headers = (
        "a publishable key cannot do this; use a secret key",
        {"authorization": f"Bearer {org.publishable}"},
    )

    agents = await http.get("/chat", headers=headers)
    assistants = await http.get("/assistant", headers=headers)
    openai = await http.post("/chat/responses", json={"input": "x", "assistant": {}}, headers=headers)

    assert (agents.status_code, agents.json()) == (403, {"error": "Forbidden", "message": message})
    assert (assistants.status_code, assistants.json()) == (
        403,
        {"message": message, "error": "Forbidden", "statusCode": 403},
    )
    assert (openai.status_code, openai.json()) == (
        403,
        {
            "error": {
                "message": f"assistant {NOT_SENT}",
                "type": "permission_error",
                "param": "assistant",
                "code": "permission_denied",
            }
        },
    )


async def test_grpc_names_the_reason(native: Door, org: Org) -> None:
    for key, code, reason in (
        ("garbage", grpc.StatusCode.UNAUTHENTICATED, "UNAUTHENTICATED"),
        (org.publishable, grpc.StatusCode.PERMISSION_DENIED, "PERMISSION_DENIED"),
    ):
        with pytest.raises(CallError) as refused:
            await native.having(key).list_assistants()
        info, bad = details_of(refused.value.answer)
        assert (refused.value.answer.code(), info.reason, info.domain, len(bad.field_violations)) == (
            code,
            reason,
            "parley",
            0,
        )


@pytest.mark.parametrize("length", ["content-length: 3900000", "transfer-encoding: chunked"])
@pytest.mark.parametrize("header", ["authorization: Bearer api_unknown", "x-api-key: sk_unknown"])
async def test_unknown_key_is_refused_before_a_large_body_is_taken_in(
    service: Service, length: str, header: str
) -> None:
    host, port = service.http_url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    head = ["POST /chat HTTP/1.1", "host: x", header, "content-type: application/json", length]
    writer.write("".join(f"{line}\r\n" for line in [*head, ""]).encode())
    async with asyncio.timeout(20):
        status = await reader.readline()
    writer.close()

    assert status.split()[1] == b"401"


async def test_body_of_unknown_length_is_accepted_with_a_good_key(http: httpx.AsyncClient, org: Org) -> None:
    async def body() -> AsyncIterator[bytes]:
        yield b'{"input": "Hi", "assistantId": "%b"}' % org.assistant_id.encode()

    answer = await http.post(
        "/chat", headers={**org.bearer, "content-type": "application/json"}, content=body()
    )

    assert answer.status_code == 200
