"""Errors over REST: the status, the body in the shape of its door, and a request id on everything."""

import json
import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest

from tests.conftest import Org, running
from tests.contract.doors import COMPLETIONS, UNKNOWN_ID, http_client

TITLES = {
    400: "Bad Request",
    404: "Not Found",
    405: "Method Not Allowed",
    413: "Payload Too Large",
    502: "Bad Gateway",
    503: "Service Unavailable",
}
TYPES = {
    400: "invalid_request_error",
    404: "not_found_error",
    405: "invalid_request_error",
    413: "invalid_request_error",
    502: "server_error",
    503: "server_error",
}
UUID = r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"


class Entry(NamedTuple):
    """Where requests of one door go in."""

    shape: str
    path: str
    key: str
    body: dict[str, Any]

    def headers(self, org: Org) -> dict[str, str]:
        if self.key == "secret":
            return {"x-api-key": org.secret}
        return {"authorization": f"Bearer {org.api}"}

    async def post(self, http: httpx.AsyncClient, org: Org, content: Any, **headers: str) -> httpx.Response:
        content = content if isinstance(content, bytes) else json.dumps(content).encode()
        return await http.post(
            self.path.format(agent_id=org.assistant_id),
            content=content,
            headers={**self.headers(org), "content-type": "application/json", **headers},
        )

    def filled(self, org: Org) -> dict[str, Any]:
        """A body that is answered."""
        return {
            name: value.format(assistant=org.assistant_id) if isinstance(value, str) else value
            for name, value in self.body.items()
        }


ENTRIES = {
    "assistants": Entry("assistants", "/chat", "api", {"input": "x", "assistantId": "{assistant}"}),
    "agents": Entry("agents", "/chat", "secret", {"agentId": "{assistant}"}),
    "responses": Entry(
        "openai", "/chat/responses", "api", {"input": "x", "assistantId": "{assistant}", "stream": False}
    ),
    "v1 responses": Entry("openai", "/v1/responses", "api", {"input": "x", "assistantId": "{assistant}"}),
    "completions": Entry("completions", COMPLETIONS, "api", {"messages": [{"role": "user", "content": "x"}]}),
    "sessions": Entry("assistants", "/session", "api", {"assistantId": "{assistant}"}),
    "assistant": Entry("assistants", "/assistant", "api", {"name": "n"}),
    "squad": Entry("assistants", "/squad", "api", {"members": [{"assistantId": "{assistant}"}]}),
}


@pytest.fixture(params=ENTRIES)
def entry(request: pytest.FixtureRequest) -> Entry:
    return ENTRIES[request.param]


def shaped(
    shape: str, status: int, message: str, *, param: str | None = None, code: str | None = None
) -> dict[str, Any]:
    """The body of an error with one message."""
    inner = {"message": message, "type": TYPES[status], "param": param, "code": code}
    bodies: dict[str, dict[str, Any]] = {
        "assistants": {"message": message, "error": TITLES[status], "statusCode": status},
        "agents": {"error": TITLES[status], "message": message},
        "openai": {"error": inner},
        "completions": {"detail": message, "error": inner},
    }
    return bodies[shape]


def invalid(shape: str, body: dict[str, Any]) -> str:
    """What an answer of 400 (422 at completions) says is wrong, once its shape is what it must be."""
    if shape == "completions":
        [problem] = body["detail"]
        assert body == {"detail": [{"loc": problem["loc"], "msg": problem["msg"], "type": problem["type"]}]}
        assert problem["loc"][0] == "body"
        return str(problem["msg"])
    if shape == "openai":
        message = body["error"]["message"]
        assert body == shaped(shape, 400, message, param=body["error"]["param"], code=body["error"]["code"])
        return str(message)
    message = body["message"]
    assert body == shaped(shape, 400, message)
    return str(message[0] if isinstance(message, list) else message)


# --- bodies that cannot be read -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"{", id="cut"),
        pytest.param(b'{"a": tru', id="cut in a word"),
        pytest.param(b'{"a": 1,, "b": 2}', id="two commas"),
        pytest.param(b"[]", id="array"),
        pytest.param(b'"x"', id="string"),
        pytest.param(b"7", id="number"),
        pytest.param(b'{"input": "\xff"}', id="not UTF-8"),
        pytest.param(b'{"input": "\xed\xa0\x80"}', id="surrogate in UTF-8"),
        pytest.param(b'{"input": "\\ud800", "metadata": {"x": "\\ud800"}}', id="lone high surrogate"),
        pytest.param(b'{"input": "\\udc00x", "metadata": {"x": "\\udc00"}}', id="lone low surrogate"),
        pytest.param(b'{"input": 1e999, "metadata": {"x": 1e999}}', id="1e999"),
        pytest.param(b'{"input": NaN, "metadata": {"x": NaN}}', id="NaN"),
        pytest.param(b'{"input": %b, "metadata": {"x": %b}}' % (b"9" * 400, b"9" * 400), id="400 digits"),
        pytest.param(b"\x00", id="NUL"),
        pytest.param(b"\x1f\x8b\x08\x00", id="gzip"),
    ],
)
async def test_body_that_is_no_json_object_is_an_error_in_the_shape_of_the_door(
    http: httpx.AsyncClient, org: Org, entry: Entry, content: Any
) -> None:
    answer = await entry.post(http, org, content)

    assert answer.status_code == (422 if entry.shape == "completions" else 400)
    assert invalid(entry.shape, answer.json())


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("assistants", {"message": ["input is required"], "error": "Bad Request", "statusCode": 400}),
        (
            "agents",
            {"error": "Bad Request", "message": "agentId is required: the id of the assistant that answers"},
        ),
        (
            "responses",
            {
                "error": {
                    "message": "input is required",
                    "type": "invalid_request_error",
                    "param": "input",
                    "code": "invalid_argument",
                }
            },
        ),
        (
            "v1 responses",
            {
                "error": {
                    "message": "input is required",
                    "type": "invalid_request_error",
                    "param": "input",
                    "code": "invalid_argument",
                }
            },
        ),
        (
            "completions",
            {
                "detail": [
                    {
                        "loc": ["body", "messages"],
                        "msg": "must contain at least 1 item(s)",
                        "type": "repeated.min_items",
                    }
                ]
            },
        ),
    ],
)
@pytest.mark.parametrize("content", [b"{}", b""], ids=["empty object", "nothing"])
async def test_missing_input_is_named(
    http: httpx.AsyncClient, org: Org, name: str, problem: dict[str, Any], content: bytes
) -> None:
    answer = await ENTRIES[name].post(http, org, content)

    assert (answer.status_code, answer.json()) == (422 if name == "completions" else 400, problem)


async def test_every_mistake_is_named_at_once(http: httpx.AsyncClient, org: Org) -> None:
    body = {"input": "x", "name": "n" * 41, "sessionId": UNKNOWN_ID, "previousChatId": UNKNOWN_ID}

    chat = await http.post("/chat", json=body, headers=org.bearer)
    completion = await http.post(
        COMPLETIONS.format(agent_id=org.assistant_id),
        headers=org.bearer,
        json={"messages": [], "n": 0, "stop": [], "max_tokens": 0},
    )

    assert sorted(chat.json()["message"]) == [
        "name must be at most 40 characters",
        "sessionId and previousChatId are mutually exclusive: send one of them",
    ]
    assert [error["loc"] for error in completion.json()["detail"]] == [
        ["body", "messages"],
        ["body", "n"],
        ["body", "stop"],
        ["body", "max_tokens"],
    ]


@pytest.mark.parametrize(
    "content_type",
    [
        None,
        "application/x-www-form-urlencoded",
        "text/plain",
        "application/xml",
        "application/json; charset=utf-8",
        "multipart/form-data",
        "garbage",
    ],
)
async def test_body_is_json_whatever_its_content_type(
    http: httpx.AsyncClient, org: Org, entry: Entry, content_type: str | None
) -> None:
    request = http.build_request(
        "POST",
        entry.path.format(agent_id=org.assistant_id),
        headers=entry.headers(org),
        content=json.dumps(entry.filled(org)),
    )
    request.headers.pop("content-type", None)
    if content_type:
        request.headers["content-type"] = content_type

    answer = await http.send(request)

    assert answer.status_code in (200, 201)
    assert answer.headers["content-type"] == "application/json"


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/chat", {"input": "x", "assistantId": UNKNOWN_ID, "stream": 1}),
        ("/chat", {"input": "x", "name": 1.5}),
        ("/session", {"expirationSeconds": "soon"}),
        (COMPLETIONS, {"messages": [{"role": "user", "content": "x"}], "n": 1.5}),
        (COMPLETIONS, {"messages": [{"role": "user", "content": "x"}], "seed": 2**63}),
        (COMPLETIONS, {"messages": {"role": "user"}}),
    ],
)
async def test_member_of_another_type_is_refused(
    http: httpx.AsyncClient, org: Org, path: Any, body: dict[str, Any]
) -> None:
    answer = await http.post(path.format(agent_id=org.assistant_id), json=body, headers=org.bearer)

    assert answer.status_code == (422 if path == COMPLETIONS else 400)


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/chat?limit=x", 400),
        ("GET", "/chat?createdAtGt=%ff", 400),
        ("GET", "/session?limit=%00", 400),
        ("GET", "/chat/%00", 400),
        ("GET", "/session/%ff", 404),
        ("GET", "/chat/..%2fsession", 404),
        ("GET", "/assistant/%F0%9F%98%80", 404),
    ],
)
async def test_unreadable_url_is_an_error(
    http: httpx.AsyncClient, org: Org, method: str, path: str, status: int
) -> None:
    answer = await http.request(method, path, headers=org.bearer)

    assert (answer.status_code, set(answer.json())) == (status, {"message", "error", "statusCode"})


# --- free JSON: depth and NUL -------------------------------------------------------------------------------


def nested(levels: int, kind: str) -> Any:
    value: Any = "x"
    for _ in range(levels):
        value = [value] if kind == "array" else {"a": value}
    return value


MESSAGE = {"role": "user", "content": "x"}
ANSWERED = {"assistantId": "A", "input": "x"}
PLAIN = {**ANSWERED, "stream": False}


def _with_own(body: dict[str, Any], member: str, free: Any) -> dict[str, Any]:
    return {**body, member: {"own": free}}


# Every member that takes JSON of the caller's own: path, body around it.
PLACES: dict[str, tuple[str, Callable[[Any], dict[str, Any]]]] = {
    "chat input": ("/chat", lambda free: {**ANSWERED, "input": [{**MESSAGE, "own": free}]}),
    "chat content": (
        "/chat",
        lambda free: {**ANSWERED, "input": [{"role": "user", "content": [{"type": "o", "own": free}]}]},
    ),
    "chat metadata": ("/chat", lambda free: {**ANSWERED, "input": [{**MESSAGE, "metadata": {"own": free}}]}),
    "chat assistant": ("/chat", lambda free: {"input": "x", "assistant": {"own": free}}),
    "chat overrides": (
        "/chat",
        lambda free: {**ANSWERED, "assistantOverrides": {"variableValues": {"own": free}}},
    ),
    "chat squad": (
        "/chat",
        lambda free: {"input": "x", "squad": {"members": [{"assistant": {"own": free}}]}},
    ),
    "chat customer": (
        "/chat",
        lambda free: {
            **ANSWERED,
            "transport": {"phoneNumberId": "p", "customer": {"number": "+14155550100", "own": free}},
        },
    ),
    **{
        f"response {member}": ("/chat/responses", partial(_with_own, PLAIN, member))
        for member in ("text", "reasoning", "stream_options", "assistantOverrides")
    },
    "response tools": (
        "/chat/responses",
        lambda free: {**PLAIN, "tools": [{"type": "function", "name": "f", "own": free}]},
    ),
    "response schema": (
        "/v1/responses",
        lambda free: {
            **PLAIN,
            "text": {
                "format": {
                    "type": "json_schema",
                    "name": "n",
                    "schema": {"required": ["q"], "properties": {"q": {"const": free}}},
                }
            },
        },
    ),
    "completion content": (
        COMPLETIONS,
        lambda free: {"messages": [{"role": "user", "content": [{"type": "o", "own": free}]}]},
    ),
    "completion tool calls": (
        COMPLETIONS,
        lambda free: {
            "messages": [
                {"role": "assistant", "tool_calls": [{"id": "1", "function": {"name": "f", "own": free}}]},
                MESSAGE,
            ]
        },
    ),
    "completion tools": (
        COMPLETIONS,
        lambda free: {
            "messages": [MESSAGE],
            "tools": [{"type": "function", "function": {"name": "f", "own": free}}],
        },
    ),
    "completion response_format": (
        COMPLETIONS,
        partial(_with_own, {"messages": [MESSAGE]}, "response_format"),
    ),
    "agent chat metadata": ("agents", lambda free: {"agentId": "A", "metadata": {"own": free}}),
    **{
        f"session {member}": ("/session", partial(_with_own, {}, member))
        for member in ("metadata", "customer", "assistant")
    },
    "session overrides": (
        "/session",
        lambda free: {"assistantId": "A", "assistantOverrides": {"variableValues": {"own": free}}},
    ),
    "session squad": (
        "/session",
        lambda free: {"squad": {"members": [{"assistant": {}, "assistantOverrides": {"own": free}}]}},
    ),
    "session messages": (
        "/session",
        lambda free: {"messages": [{"role": "user", "content": [{"type": "o", "own": free}]}]},
    ),
    "assistant": ("/assistant", lambda free: {"own": free}),
    "squad": ("/squad", lambda free: {"members": [{"assistant": {"own": free}}]}),
}


@pytest.mark.parametrize("kind", ["object", "array"])
@pytest.mark.parametrize("place", PLACES)
async def test_json_of_any_depth_is_either_refused_or_can_be_read_again(
    http: httpx.AsyncClient, org: Org, place: Any, kind: str
) -> None:
    """30 levels are taken. protobuf reads 100 messages in each other, so what an answer wraps must not get
    near that."""
    path, body = PLACES[place]
    headers = {"x-api-key": org.secret} if path == "agents" else org.bearer
    url = {"agents": "/chat", COMPLETIONS: COMPLETIONS.format(agent_id=org.assistant_id)}.get(path, path)
    statuses = {}
    for levels in (20, 25, 26, 27, 28, 29, 30, 31, 32, 33, 34, 47, 48, 49, 60, 99, 150):
        content = json.dumps(body(nested(levels, kind))).replace('"A"', f'"{org.assistant_id}"')
        answer = await http.post(url, content=content, headers=headers)
        statuses[levels] = answer.status_code

    lists = [
        await http.get(noun, headers=org.bearer) for noun in ("/chat", "/session", "/assistant", "/squad")
    ]
    refusal = 422 if path == COMPLETIONS else 400
    assert statuses[20] in (200, 201)
    assert set(statuses.values()) == {statuses[20], refusal}
    assert {statuses[levels] for levels in (31, 34, 60, 99, 150)} == {refusal}
    assert [answer.status_code for answer in lists] == [200] * 4
    for answer, noun in zip(lists, ("chat", "session", "assistant", "squad"), strict=True):
        records = answer.json()["results"] if noun in ("chat", "session") else answer.json()
        for record in records:
            assert (await http.get(f"/{noun}/{record['id']}", headers=org.bearer)).status_code == 200


@pytest.mark.parametrize("kind", ["object", "array"])
@pytest.mark.parametrize("noun", ["assistant", "session"])
async def test_patch_of_any_depth_is_either_refused_or_can_be_read_again(
    http: httpx.AsyncClient, org: Org, noun: str, kind: str
) -> None:
    created = (await http.post(f"/{noun}", json={}, headers=org.bearer)).json()
    statuses = set()
    for levels in (20, 28, 29, 30, 31, 34, 60, 99, 150):
        free = nested(levels, kind)
        patch = (
            {"own": free}
            if noun == "assistant"
            else {"messages": [{"role": "user", "content": [{"type": "o", "own": free}]}]}
        )
        answer = await http.patch(f"/{noun}/{created['id']}", content=json.dumps(patch), headers=org.bearer)
        statuses.add(answer.status_code)
        assert (await http.get(f"/{noun}/{created['id']}", headers=org.bearer)).status_code == 200
    assert statuses == {200, 400}


async def test_json_nested_without_end_is_refused(http: httpx.AsyncClient, org: Org, entry: Entry) -> None:
    for content in (b'{"metadata":' * 20_000, b'{"metadata":' + b"[" * 50_000):
        answer = await entry.post(http, org, content)

        assert answer.status_code == (422 if entry.shape == "completions" else 400)


@pytest.mark.parametrize(
    ("name", "body"),
    [
        ("assistants", {"input": "a\0b", "assistantId": UNKNOWN_ID}),
        ("assistants", {"input": [{"role": "user", "content": "\0"}], "assistantId": UNKNOWN_ID}),
        ("responses", {"input": "\0", "assistantId": UNKNOWN_ID}),
        ("responses", {"input": "x", "instructions": "\0", "assistantId": UNKNOWN_ID}),
        ("completions", {"messages": [{"role": "user", "content": "\0"}]}),
        ("sessions", {"messages": [{"role": "user", "content": "\0"}]}),
    ],
)
async def test_nul_in_what_is_said_is_refused_and_its_place_named(
    http: httpx.AsyncClient, org: Org, name: str, body: dict[str, Any]
) -> None:
    answer = await ENTRIES[name].post(http, org, body)

    assert answer.status_code == (422 if name == "completions" else 400)
    assert "must not contain the character NUL (U+0000); leave it out" in answer.text


# --- what does not exist ------------------------------------------------------------------------------------


async def test_what_another_org_has_is_answered_like_what_does_not_exist(
    http: httpx.AsyncClient, org: Org, other_org: Org
) -> None:
    theirs = {}
    for noun, made in (
        ("chat", {"input": "x", "assistantId": other_org.assistant_id}),
        ("session", {}),
        ("assistant", {}),
        ("squad", {"members": [{"assistant": {}}]}),
    ):
        theirs[noun] = (await http.post(f"/{noun}", json=made, headers=other_org.bearer)).json()["id"]
    request_body = {"messages": [MESSAGE]}
    calls: list[tuple[str, str, dict[str, str], dict[str, Any] | None]] = [
        *(("GET", f"/{noun}/{{{noun}}}", {}, None) for noun in theirs),
        *(("DELETE", f"/{noun}/{{{noun}}}", {}, None) for noun in theirs),
        *(
            ("PATCH", f"/{noun}/{{{noun}}}", {}, {"name": "mine"})
            for noun in ("session", "assistant", "squad")
        ),
        ("GET", "/chat/{session}", {"x-api-key": org.secret}, None),
        ("DELETE", "/chat/{session}", {"x-api-key": org.secret}, None),
        ("GET", "/chat/{session}/message", {}, None),
        ("POST", "/chat/{session}/message", {}, {"content": "x"}),
        ("POST", COMPLETIONS.format(agent_id="{assistant}"), {}, request_body),
        (
            "POST",
            COMPLETIONS.format(agent_id=org.assistant_id),
            {},
            {**request_body, "store_in_session": "{session}"},
        ),
        ("POST", "/chat", {}, {"input": "x", "previousChatId": "{chat}"}),
        ("POST", "/chat", {}, {"input": "x", "sessionId": "{session}"}),
        ("POST", "/chat", {}, {"input": "x", "assistantId": "{assistant}"}),
        ("POST", "/chat", {}, {"input": "x", "squadId": "{squad}"}),
        ("POST", "/chat/responses", {}, {"input": "x", "previous_response_id": "{chat}"}),
        ("POST", "/session", {}, {"assistantId": "{assistant}"}),
        ("POST", "/chat", {"x-api-key": org.secret}, {"agentId": "{assistant}"}),
    ]

    for method, path, headers, body in calls:
        answers = []
        for ids in (theirs, dict.fromkeys(theirs, UNKNOWN_ID)):
            filled = (
                None
                if body is None
                else {
                    name: value.format_map(ids) if isinstance(value, str) else value
                    for name, value in body.items()
                }
            )
            answers.append(
                await http.request(method, path.format_map(ids), json=filled, headers=headers or org.bearer)
            )
        first, second = answers
        assert (first.status_code, first.content) == (404, second.content), (method, path)
        varying = {"date", "x-request-id", "x-ratelimit-remaining-requests", "x-ratelimit-reset-requests"}
        assert first.headers.keys() == second.headers.keys()
        assert {name: first.headers[name] for name in set(first.headers) - varying} == {
            name: second.headers[name] for name in set(second.headers) - varying
        }


@pytest.mark.parametrize(
    ("method", "path", "shape"),
    [
        ("GET", "/nothing", "assistants"),
        ("POST", "/chat/x/y", "assistants"),
        ("GET", "/chat/", "assistants"),
        ("GET", "/session/x/y", "assistants"),
        ("GET", "/v1/nothing", "openai"),
        ("POST", "/v1/chat", "openai"),
        ("POST", "/parley.v1.ChatService/CreateChat", "assistants"),
    ],
)
async def test_unknown_path_is_404(
    http: httpx.AsyncClient, org: Org, method: str, path: str, shape: str
) -> None:
    answer = await http.request(method, path, headers=org.bearer)

    assert (answer.status_code, answer.json()) == (404, shaped(shape, 404, "there is no such path"))


@pytest.mark.parametrize(
    ("method", "path", "shape", "allow", "key"),
    [
        ("PUT", "/chat", "assistants", "GET, HEAD, POST", "api"),
        ("PUT", "/chat", "agents", "GET, HEAD, POST", "secret"),
        ("PATCH", f"/chat/{UNKNOWN_ID}", "assistants", "DELETE, GET, HEAD", "api"),
        ("POST", f"/chat/{UNKNOWN_ID}", "agents", "DELETE, GET, HEAD", "secret"),
        ("DELETE", f"/chat/{UNKNOWN_ID}/message", "agents", "GET, HEAD, POST", "api"),
        ("GET", "/chat/responses", "openai", "POST", "api"),
        ("DELETE", "/v1/responses", "openai", "POST", "api"),
        ("PUT", COMPLETIONS, "completions", "GET, HEAD, POST", "api"),
        ("DELETE", "/session", "assistants", "GET, HEAD, POST", "api"),
        ("PUT", f"/assistant/{UNKNOWN_ID}", "assistants", "DELETE, GET, HEAD, PATCH", "api"),
        ("POST", f"/squad/{UNKNOWN_ID}", "assistants", "DELETE, GET, HEAD, PATCH", "api"),
    ],
)
async def test_wrong_method_is_405_with_allow(
    http: httpx.AsyncClient, org: Org, method: str, path: Any, shape: str, allow: str, key: str
) -> None:
    headers = org.bearer if key == "api" else {"x-api-key": org.secret}

    answer = await http.request(method, path.format(agent_id=UNKNOWN_ID), headers=headers)

    problem = "this path does not take this method; Allow names those it takes"
    assert (answer.status_code, answer.headers["allow"]) == (405, allow)
    assert answer.json() == shaped(shape, 405, problem)


# --- too large, and down ------------------------------------------------------------------------------------


async def test_body_of_5_mb_is_413_in_the_shape_of_the_door(
    http: httpx.AsyncClient, org: Org, entry: Entry
) -> None:
    answer = await entry.post(http, org, {**entry.filled(org), "own": "x" * 5_000_000})

    message = answer.json().get("message") or answer.json().get("detail") or answer.json()["error"]["message"]
    assert (answer.status_code, answer.json()) == (413, shaped(entry.shape, 413, message))


async def test_largest_input_is_answered(http: httpx.AsyncClient, org: Org) -> None:
    text = "word " * 700_000

    answer = await http.post(
        "/chat", json={"input": text, "assistantId": org.assistant_id}, headers=org.bearer
    )

    assert (answer.status_code, len(answer.json()["output"][0]["content"])) == (200, len(text) + 10)


async def test_server_that_is_down_is_503_in_the_shape_of_every_door(tmp_path: Path) -> None:
    instance = running(tmp_path)
    async with instance as service:
        org = await service.new_org()
        await instance.app.stop(0)
        async with http_client(service) as http:
            answers = {
                name: await entry.post(http, org, entry.filled(org)) for name, entry in ENTRIES.items()
            }

    problem = "the service did not answer; try again"
    assert {name: (answer.status_code, answer.json()) for name, answer in answers.items()} == {
        name: (503, shaped(entry.shape, 503, problem)) for name, entry in ENTRIES.items()
    }
    assert all(re.fullmatch(UUID, answer.headers["x-request-id"]) for answer in answers.values())


# --- headers ------------------------------------------------------------------------------------------------


async def test_every_answer_has_a_request_id_and_nothing_of_the_inside(
    http: httpx.AsyncClient, org: Org, entry: Entry
) -> None:
    path = entry.path.format(agent_id=org.assistant_id)
    answers = [
        *[await entry.post(http, org, content) for content in (entry.filled(org), b"{", b"{}")],
        await http.post(path),
        await http.put(path),
        await http.get("/nothing"),
        await entry.post(http, org, {**entry.filled(org), "stream": True}),
        await entry.post(http, org, {"own": "x" * 5_000_000}),
    ]

    assert len({answer.headers["x-request-id"] for answer in answers}) == len(answers)
    for answer in answers:
        assert re.fullmatch(UUID, answer.headers["x-request-id"])
        assert [
            name for name in answer.headers if name.startswith(("grpc-", "x-http-", "x-envoy-", "server"))
        ] == []


async def test_request_id_of_the_caller_is_kept(http: httpx.AsyncClient, org: Org, entry: Entry) -> None:
    for content in (entry.filled(org), b"{}", b"{"):
        answer = await entry.post(http, org, content, **{"x-request-id": "mine-1"})

        assert answer.headers["x-request-id"] == "mine-1"


# --- headers that gRPC does not know ------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["x'a", "x#", "x!", "x|a", "x~", "x`a", "x$%&*+^"])
async def test_header_of_a_name_that_grpc_does_not_take_is_passed_over(
    http: httpx.AsyncClient, org: Org, name: str
) -> None:
    answer = await http.get("/session", headers={**org.bearer, name: "a"})

    assert answer.status_code == 200


@pytest.mark.parametrize("path", ["/session", "/chat", "/v1/models"])
async def test_content_type_of_grpc_web_makes_no_call_of_what_is_none(
    http: httpx.AsyncClient, org: Org, path: str
) -> None:
    answer = await http.get(path, headers={**org.bearer, "content-type": "application/grpc-web"})

    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json")


async def test_request_id_that_is_no_text_is_passed_over(http: httpx.AsyncClient, org: Org) -> None:
    answer = await http.get(
        "/session",
        headers=[(b"authorization", org.bearer["authorization"].encode()), (b"x-request-id", b"\xe9")],
    )

    assert answer.status_code == 200


# --- what is not as it should be is not passed over ---------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "member", "field"),
    [
        ("/chat", {"assistantOverrides": {"variableValues": "a"}}, "assistantOverrides.variableValues"),
        ("/session", {"assistantOverrides": {"variableValues": [1]}}, "assistantOverrides.variableValues"),
        ("/v1/responses", {"conversation": {}}, "conversation"),
        ("/v1/responses", {"conversation": {"id": None}}, "conversation"),
    ],
)
async def test_free_member_of_another_form_is_named(
    http: httpx.AsyncClient, org: Org, path: str, member: dict[str, Any], field: str
) -> None:
    sent = {"input": "a"} if path != "/session" else {}

    answer = await http.post(
        path, json={**sent, "assistantId": org.assistant_id, **member}, headers=org.bearer
    )

    assert answer.status_code == 400
    assert field in answer.text
