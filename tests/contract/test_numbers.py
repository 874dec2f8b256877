"""Numbers in free JSON: what was an integer comes back as that integer, and one that a double does not hold
is refused.

Answers that Envoy prints (of messages, here a session) may write integers from 10^15 on with an exponent, and
other answers do so from 2^63 on; the number is the same.
"""

import json
import re

import httpx
import pytest

from server.content.json_values import NOT_EXACT
from tests.conftest import Org, Service
from tests.contract.doors import COMPLETIONS

SCHEMA = '{"type": "object", "properties": {"a": {"type": "integer", "const": %s}}}'
BOUNDED = SCHEMA.replace("const", "maximum")
PLACES = {
    "a session's metadata": (
        "/session",
        '{"metadata": {"a": [1, {"maximum": %s}]}}',
        "metadata.a[1].maximum",
    ),
    "an assistant's metadata": ("/assistant", '{"metadata": {"maximum": %s}}', "metadata.maximum"),
    "an assistant's tool": (
        "/assistant",
        '{"model": {"provider": "openai", "model": "m", "tools": [{"type": "function", '
        f'"function": {{"name": "f", "parameters": {SCHEMA}}}}}]}}}}',
        "model.tools[0].function.parameters.properties.a.const",
    ),
    "a tool": (
        "/tool",
        f'{{"type": "function", "function": {{"name": "f", "parameters": {SCHEMA}}}}}',
        "function.parameters.properties.a.const",
    ),
    "a message": (
        "/chat",
        '{"assistantId": "ASSISTANT", "input": [{"role": "user", "content": "x", "maximum": %s}]}',
        "input[0].maximum",
    ),
    "a tool of a response": (
        "/v1/responses",
        '{"model": "ASSISTANT", "input": "x", "tools": [{"type": "function", '
        f'"name": "f", "strict": false, "parameters": {SCHEMA}}}]}}',
        "tools[0].parameters.properties.a.const",
    ),
    "an item": (
        "/v1/conversations",
        '{"items": [{"role": "user", "content": [{"type": "input_text", "text": "x", "maximum": %s}]}]}',
        "items[0].content[0].maximum",
    ),
}
UNPRINTED = ("an item",)
"""What a conversation answers has no items."""


async def post(http: httpx.AsyncClient, org: Org, place: str, number: int | str) -> httpx.Response:
    path, body, _ = PLACES[place]
    return await http.post(
        path, content=(body % number).replace("ASSISTANT", org.assistant_id), headers=org.bearer
    )


def printed(answer: httpx.Response) -> str:
    found: set[str] = set(re.findall(r'"(?:maximum|const)": ?([^,}\]]+)', answer.text))
    [text] = found
    return text


@pytest.mark.parametrize(
    "number", [10**14, 2**53 - 1, 2**53, 2**53 + 2, -(2**53), 10**16, 10**17, 2**62, -(2**63)], ids=str
)
@pytest.mark.parametrize("place", sorted(PLACES.keys() - UNPRINTED))
async def test_integer_comes_back_as_it_was_sent(
    http: httpx.AsyncClient, org: Org, place: str, number: int
) -> None:
    answer = await post(http, org, place, number)

    assert answer.is_success, answer.text
    if place == "a session's metadata" and abs(number) >= 10**15:
        assert float(printed(answer)) == number
    else:
        assert printed(answer) == str(number)


@pytest.mark.parametrize(
    "number",
    [
        "100000000000000000000",
        "1000000000000000000000",
        "1e21",
        "1e300",
        "-0.0",
        "1.0",
        "0.1",
        "5e-324",
        "1.7976931348623157e308",
        "9007199254740993.0",
    ],
)
@pytest.mark.parametrize("place", sorted(PLACES.keys() - UNPRINTED))
async def test_any_other_number_comes_back_as_the_same_double(
    http: httpx.AsyncClient, org: Org, place: str, number: str
) -> None:
    answer = await post(http, org, place, number)

    assert answer.is_success, answer.text
    assert float(printed(answer)) == float(number)
    assert not printed(answer).endswith(".0")


@pytest.mark.parametrize(
    "number", [2**53 + 1, -(2**53) - 1, 2**63 - 1, 10**23, 123456789012345678901234567890], ids=str
)
@pytest.mark.parametrize("place", PLACES)
async def test_integer_that_no_double_is_is_refused_by_its_place(
    http: httpx.AsyncClient, org: Org, place: str, number: int
) -> None:
    answer = await post(http, org, place, number)

    assert answer.status_code == 400
    assert f"{PLACES[place][2]} {NOT_EXACT}" in answer.text


@pytest.mark.parametrize(
    "body",
    [
        '{"messages": [{"role": "user", "content": "x"}],\n "tools": [\n{"type": "f", "x": [\n  1,\n  9007199254740993]}]}',
        '{"tools":[{"x":[[],{},"",[true,null,-1.5e3,{"y":9007199254740993}]]}]}',
        '{"tools": [{"x" :\t9007199254740993}], "metadata": {"later": 9007199254740995}}',
    ],
)
async def test_the_first_one_is_found_however_the_body_is_written(
    http: httpx.AsyncClient, org: Org, body: str
) -> None:
    answer = await http.post(COMPLETIONS.format(agent_id=org.assistant_id), content=body, headers=org.bearer)

    [problem] = answer.json()["detail"]
    assert (answer.status_code, problem["msg"], problem["loc"][:4]) == (
        422,
        NOT_EXACT,
        ["body", "tools", 0, "x"],
    )


@pytest.mark.parametrize("number", [2**63 - 1, -(2**63) + 1, 2**64 - 1], ids=str)
async def test_bound_in_a_schema_is_the_nearest_double(
    http: httpx.AsyncClient, org: Org, service: Service, number: int
) -> None:
    tool = '{"type": "function", "function": {"name": "f", "parameters": %s}}' % BOUNDED % number  # noqa: UP031
    sent = {
        "/tool": tool,
        "/assistant": f'{{"model": {{"provider": "openai", "model": "m", "tools": [{tool}]}}}}',
    }
    for path, body in sent.items():
        stored = await http.post(path, content=body, headers=org.bearer)
        assert stored.status_code == 201, stored.text
        assert float(re.findall(r'"maximum": ?([^,}\]]+)', stored.text)[0]) == float(number)

    answer = await http.post(
        "/v1/chat/completions",
        headers=org.bearer,
        content=(
            f'{{"model": "{org.assistant_id}", "messages": [{{"role": "user", "content": "x"}}], "tools": [{tool}]}}'
        ),
    )

    assert answer.status_code == 200, answer.text


async def test_what_is_typed_or_not_kept_is_no_free_json(http: httpx.AsyncClient, org: Org) -> None:
    number = 9223372036854775807
    completion = await http.post(
        COMPLETIONS.format(agent_id=org.assistant_id),
        headers=org.bearer,
        content=json.dumps(
            {"messages": [{"role": "user", "content": "x"}], "seed": number, "not_documented": number}
        ),
    )

    assert completion.status_code == 200
