"""How many there may be of what a request repeats, and of what a list has.

Every repeated member of a request has a bound, in its proto. Every list has one, and says when it is not all.
"""

from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from protovalidate import EvaluationError

from generated.buf.validate import validate_pb2
from generated.parley.v1.completion_service_pb2 import CreateChatCompletionRequest
from server.content.validation import check
from server.core.errors import InvalidArgument
from tests.descriptors import METHODS


def repeated_in(message: Descriptor, seen: set[str]) -> Iterator[FieldDescriptor]:
    """Every repeated member of a message, those of the messages in it included; maps and Google's own left
    out."""
    if message.full_name in seen or message.file.package.startswith("google."):
        return
    seen.add(message.full_name)
    for field in message.fields:
        if field.is_repeated and not (field.message_type and field.message_type.GetOptions().map_entry):
            yield field
        if field.message_type:
            yield from repeated_in(field.message_type, seen)


SEEN: set[str] = set()
REPEATED = {
    field.full_name: field for method in METHODS for field in repeated_in(method.request.DESCRIPTOR, SEEN)
}


@pytest.mark.parametrize("field", REPEATED.values(), ids=REPEATED)
def test_every_repeated_member_of_a_request_has_a_bound(field):
    assert field.GetOptions().Extensions[validate_pb2.field].repeated.HasField("max_items")


LISTS = {str(method): method.response for method in METHODS if method.name.startswith("List")}


@pytest.mark.parametrize("method", LISTS)
def test_every_list_that_is_answered_says_when_it_is_not_all(method):
    assert {"has_more", "metadata"} & {field.name for field in LISTS[method].fields}


def functions(count: int, prefix: str = "f") -> list[dict[str, Any]]:
    return [{"type": "function", "name": f"{prefix}{number}"} for number in range(count)]


def nested(count: int) -> list[dict[str, Any]]:
    return [{"type": "function", "function": {"name": f"f{number}"}} for number in range(count)]


RESPONSE = {"path": "/v1/responses", "body": {"input": "x"}}
COMPLETION = {"path": "/v1/chat/completions", "body": {"messages": [{"role": "user", "content": "x"}]}}


@pytest.mark.parametrize(
    ("door", "members", "field", "most"),
    [
        (RESPONSE, lambda count: {"tools": functions(count)}, "tools", 128),
        (COMPLETION, lambda count: {"tools": nested(count)}, "tools", 128),
        (
            RESPONSE,
            lambda count: {
                "tools": functions(1),
                "tool_choice": {"type": "allowed_tools", "mode": "auto", "tools": functions(count)},
            },
            "tool_choice.tools",
            128,
        ),
        (
            COMPLETION,
            lambda count: {
                "tools": nested(1),
                "tool_choice": {
                    "type": "allowed_tools",
                    "allowed_tools": {"mode": "auto", "tools": nested(count)},
                },
            },
            "tool_choice.tools",
            128,
        ),
        (COMPLETION, lambda count: {"stop": ["zz"] * count}, "stop", 4),
    ],
    ids=[
        "tools of responses",
        "tools of completions",
        "allowed tools of responses",
        "allowed tools of completions",
        "stop",
    ],
)
async def test_request_takes_as_many_as_the_bound_and_no_more(http, org, door, members, field, most):
    async def send_count(count: int) -> httpx.Response:
        return await http.post(
            door["path"],
            headers=org.bearer,
            json={"model": org.assistant_id, **door["body"], **members(count)},
        )

    assert (await send_count(most)).status_code == 200
    for count in (most + 1, 12_000):
        refused = await send_count(count)
        assert refused.status_code in (400, 422)
        assert field.rpartition(".")[2] in refused.text
        assert str(most) in refused.text


@pytest.mark.parametrize(
    ("members", "field", "most"),
    [({"toolIds": None}, "toolIds", 128), ({"tools": functions(1)}, "tools", 128)],
    ids=["toolIds", "tools"],
)
async def test_assistant_has_as_many_tools_as_the_bound_and_no_more(http, org, members, field, most):
    made = await http.post("/tool", headers=org.bearer, json={"type": "function", "function": {"name": "f"}})

    async def send_count(count: int) -> httpx.Response:
        many = {name: (items or [made.json()["id"]]) * count for name, items in members.items()}
        return await http.post(
            "/assistant", headers=org.bearer, json={"model": {"provider": "offline", "model": "m", **many}}
        )

    assert (await send_count(most)).status_code == 201
    assert (refused := await send_count(most + 1)).status_code == 400
    assert f"model.{field}" in refused.text


async def test_squad_has_as_many_members_as_the_bound_and_no_more(http, org):
    members = [{"assistantId": org.assistant_id}]

    assert (await http.post("/squad", headers=org.bearer, json={"members": members * 50})).status_code == 201
    assert (await http.post("/squad", headers=org.bearer, json={"members": members * 51})).status_code == 400


def test_of_many_values_the_first_mistake_is_named_and_no_other():
    request = CreateChatCompletionRequest(messages=[{}] * 2_000)

    with pytest.raises(InvalidArgument) as refused:
        check(request, only_first=True)
    assert [violation.field for violation in refused.value.violations] == ["messages[0].role"]


async def test_rule_that_gives_up_is_an_error_of_the_request(monkeypatch):
    """CEL has a budget, and says so by an exception."""

    def spent(message: object, *, fail_fast: bool) -> None:
        raise EvaluationError("cel budget exceeded")

    monkeypatch.setattr("server.content.validation.prepare", lambda: (spent, EvaluationError))

    with pytest.raises(
        InvalidArgument, match=r"^the request has too many values to be checked; send fewer at once$"
    ):
        check(CreateChatCompletionRequest())
