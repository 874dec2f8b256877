"""What stands behind the question mark: lists as SDKs write them, filters, members that nobody knows; and
HEAD."""

from typing import Any

import httpx
import pytest

from tests.conftest import Org
from tests.contract.doors import Door

INCLUDE = "include%5B%5D=message.output_text.logprobs&include[]=reasoning.encrypted_content"


@pytest.fixture
async def records(http: httpx.AsyncClient, org: Org) -> dict[str, str]:
    """The ids of a response and of a conversation."""
    response = await http.post(
        "/v1/responses", headers=org.bearer, json={"model": org.assistant_id, "input": "x"}
    )
    conversation = await http.post(
        "/v1/conversations", headers=org.bearer, json={"items": [{"role": "user", "content": "hi"}]}
    )
    return {"response": response.json()["id"], "conversation": conversation.json()["id"]}


@pytest.mark.parametrize(
    "path",
    [
        "/v1/responses/{response}",
        "/v1/responses/{response}/input_items",
        "/chat/responses/{response}",
        "/v1/conversations/{conversation}/items",
    ],
)
async def test_list_is_read_as_sdks_write_it(
    http: httpx.AsyncClient, org: Org, records: dict[str, str], path: str
) -> None:
    answers = [
        await http.get(f"{path.format(**records)}?{query}", headers=org.bearer)
        for query in (INCLUDE, "include=message.output_text.logprobs", "include%5B0%5D=a&include%5B1%5D=b")
    ]

    assert [answer.status_code for answer in answers] == [200, 200, 200]


async def test_list_that_sdks_write_counts_its_members(
    http: httpx.AsyncClient, org: Org, records: dict[str, str]
) -> None:
    query = "&".join(["include%5B%5D=a"] * 21)
    refused = await http.get(f"/v1/responses/{records['response']}?{query}", headers=org.bearer)

    assert refused.status_code == 400
    assert "include" in refused.text


async def test_include_is_taken_beside_a_body(
    http: httpx.AsyncClient, org: Org, records: dict[str, str]
) -> None:
    items = {"items": [{"role": "user", "content": "x"}]}
    path = f"/v1/conversations/{records['conversation']}/items?{INCLUDE}"

    assert (await http.post(path, headers=org.bearer, json=items)).status_code == 200


@pytest.mark.parametrize(
    "query", ["api-version=2025-04-01-preview", "_=1764547200", "nope", "a.b=1", "%5B%5D=1", "a%20b=c"]
)
@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("GET", "/chat", None, 200),
        ("GET", "/session", None, 200),
        ("GET", "/v1/models", None, 200),
        ("POST", "/session", {}, 201),
        ("POST", "/chat", {"input": "x"}, 200),
    ],
)
async def test_unknown_parameter_is_passed_over(
    http: httpx.AsyncClient,
    org: Org,
    method: str,
    path: str,
    body: dict[str, Any] | None,
    status: int,
    query: str,
) -> None:
    if path == "/chat" and body:
        body = {**body, "assistantId": org.assistant_id}
    answer = await http.request(method, f"{path}?{query}", headers=org.bearer, json=body)

    assert answer.status_code == status, answer.text


@pytest.mark.parametrize(
    "query",
    [
        "limit=abc",
        "limit=-1",
        "page=0",
        "limit=",
        "createdAtGt=x",
        "sortOrder=UP",
        "limit=1e400",
        "limit.x=1",
        "phoneNumberIdAny.x=1",
        "page=1&page=2",
    ],
)
@pytest.mark.parametrize("path", ["/session", "/chat", "/assistant"])
async def test_no_answer_to_a_query_tells_a_name_of_the_inside(
    http: httpx.AsyncClient, org: Org, path: str, query: str
) -> None:
    answer = await http.get(f"{path}?{query}", headers=org.bearer)

    assert answer.status_code in (200, 400)
    assert not any(name in answer.text for name in ("parley.v1", "google", "TYPE_", "oneof"))


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("limit=abc", "limit must be a number"),
        ("limit=1e400", "limit must be a number"),
        ("limit=", "limit must be a number"),
        ("page=1&page=2", "page is given twice"),
        ("limit=%22%5C%22", "limit must be a number"),
    ],
)
async def test_unreadable_value_is_named(
    http: httpx.AsyncClient, org: Org, query: str, expected: str
) -> None:
    answer = await http.get(f"/session?{query}", headers=org.bearer)

    assert (answer.status_code, answer.json()["message"]) == (400, [expected])


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/v1/responses/resp_1?stream=perhaps", "stream must be true or false"),
        (
            "/v1/responses/resp_1?starting_after=x",
            "starting_after must be an integer between -2147483648 and 2147483647",
        ),
    ],
)
async def test_unreadable_value_is_an_error_in_the_shape_of_the_openai_form(
    http: httpx.AsyncClient, org: Org, path: str, expected: str
) -> None:
    answer = await http.get(path, headers=org.bearer)

    assert (answer.status_code, answer.json()["error"]["message"]) == (400, expected)


async def test_sessions_are_filtered_by_the_numbers_that_take_part(door: Door) -> None:
    mine, hers, others = [
        (await door.create_session(phoneNumberId=phone, customer={"number": number}))["id"]
        for phone, number in (("p1", "+14155550100"), ("p2", "+14155550101"), ("p3", "+14155550102"))
    ]

    async def found(**query: Any) -> set[str]:
        return {session["id"] for session in (await door.list_sessions(**query))["results"]}

    assert await found(customerNumberAny="+14155550100,+14155550101") == {mine, hers}
    assert await found(phoneNumberIdAny=["p1", "p2"]) == {mine, hers}
    assert await found(phoneNumberIdAny=["p2,p3"]) == {hers, others}
    assert await found(customerNumberAny="+1") == set()


@pytest.mark.parametrize(
    "name",
    [
        "email",
        "externalId",
        "sipUri",
        "numberE164CheckEnabled",
        "extension",
        "workflowId",
        "assistantOverrides",
        "squadOverrides",
    ],
)
async def test_filter_of_what_no_session_has_is_passed_over(
    http: httpx.AsyncClient, org: Org, name: str
) -> None:
    await http.post("/session", headers=org.bearer, json={})
    listed = await http.get(f"/session?{name}=x", headers=org.bearer)

    assert (listed.status_code, len(listed.json()["results"])) == (200, 1)


@pytest.mark.parametrize(
    "path",
    [
        "/chat",
        "/session",
        "/assistant",
        "/v1/models",
        "/openapi.json",
        "/healthz",
        "/healthz?x=1",
        "/v1/responses/{response}",
        "/v1/responses/{response}?stream=true",
        "/session?limit=x",
        "/v1/conversations/{conversation}/items",
        "/v1/responses/resp_none",
    ],
)
async def test_head_is_get_without_its_body(
    http: httpx.AsyncClient, org: Org, records: dict[str, str], path: str
) -> None:
    url = path.format(**records)
    head, got = await http.head(url, headers=org.bearer), await http.get(url, headers=org.bearer)
    again = await http.head(url, headers=org.bearer)

    assert (head.status_code, head.headers.get("content-type")) == (
        got.status_code,
        got.headers.get("content-type"),
    )
    assert head.content == again.content == b""


async def test_health_is_answered_for_any_query(http: httpx.AsyncClient) -> None:
    assert [(await http.get(f"/healthz{query}")).status_code for query in ("", "?", "?x=1")] == [
        200,
        200,
        200,
    ]
    assert (await http.get("/healthzx")).status_code == 404
