"""`buf curl`, a gRPC client not of our making, by reflection alone: at the server's own port and through
Envoy.

Does not test what the services answer beyond a line or two.
"""

import json
from collections.abc import Callable
from typing import Any

import pytest

from server.core.ids import new_id
from tests.conftest import Org, Service
from tests.processes import Ended, run
from tests.services import SERVICES

# buf's exit code is the gRPC status, three bits to the left.
INVALID_ARGUMENT, NOT_FOUND, UNAUTHENTICATED = 3 << 3, 5 << 3, 16 << 3
ErrorBody = dict[str, Any]


@pytest.fixture(params=["server", "envoy"])
def call(request: pytest.FixtureRequest, service: Service, org: Org) -> Callable[..., Any]:
    address = {"server": f"http://{service.grpc_address}", "envoy": service.http_url}[request.param]

    async def call(method: str, key: str = org.api, **message: Any) -> Ended:
        return await run(
            "buf",
            "curl",
            "--protocol",
            "grpc",
            "--http2-prior-knowledge",
            "--header",
            f"authorization: Bearer {key}",
            "--data",
            json.dumps(message),
            f"{address}/parley.v1.{method}",
        )

    return call


def answers(ended: Ended) -> list[dict[str, Any]]:
    """The messages of a call that went well."""
    assert (ended.code, ended.err) == (0, "")
    decoder, text, found = json.JSONDecoder(), ended.out.strip(), []
    while text:
        message, end = decoder.raw_decode(text)
        found.append(message)
        text = text[end:].lstrip()
    return found


def failure(ended: Ended) -> tuple[int, ErrorBody]:
    assert ended.out == ""
    return ended.code, json.loads(ended.err)


async def test_unary_call_answers(call, org):
    [chat] = answers(await call("ChatService/CreateChat", input="Hello there", assistantId=org.assistant_id))
    [found] = answers(await call("ChatService/GetChat", id=chat["id"]))

    assert chat["output"][0]["content"] == "You said: Hello there"
    assert found == chat


async def test_chat_is_streamed(call, org):
    events = answers(await call("ChatService/StreamChat", input="Hello there", assistantId=org.assistant_id))
    kinds = [next(kind for kind in ("started", "delta", "completed") if kind in event) for event in events]

    assert kinds == ["started", *["delta"] * 4, "completed"]
    assert "".join(event["delta"]["text"] for event in events[1:-1]) == "You said: Hello there"
    assert events[-1]["completed"]["status"] == "completed"


async def test_completion_is_streamed(call, org):
    chunks = answers(
        await call(
            "CompletionService/StreamChatCompletion",
            agent_id=org.assistant_id,
            messages=[{"role": "user", "content": "Hello there"}],
        )
    )
    choices = [chunk["choices"][0] for chunk in chunks]

    assert choices[0]["delta"]["role"] == "assistant"
    assert "".join(choice["delta"].get("content", "") for choice in choices) == "You said: Hello there"
    assert choices[-1]["finish_reason"] == "stop"


async def test_response_is_streamed(call, org):
    events = answers(
        await call("ResponseService/StreamResponse", input="Hello there", assistantId=org.assistant_id)
    )

    assert (events[0]["type"], events[-1]["type"]) == ("response.created", "response.completed")
    assert events[-1]["response"]["output"][0]["content"][0]["text"] == "You said: Hello there"


async def test_invalid_request_is_printed_with_its_field_violations(call, org):
    code, error = failure(
        await call("ChatService/CreateChat", input="Hello", name="n" * 41, assistantId=org.assistant_id)
    )

    assert (code, error["code"]) == (INVALID_ARGUMENT, "invalid_argument")
    assert error["message"] == "name must be at most 40 characters"
    assert [detail["type"] for detail in error["details"]] == [
        "google.rpc.ErrorInfo",
        "google.rpc.BadRequest",
    ]


async def test_unknown_chat_is_printed_as_not_found(call):
    code, error = failure(await call("ChatService/GetChat", id=new_id()))

    assert (code, error["code"], error["message"]) == (NOT_FOUND, "not_found", "chat not found")


async def test_unknown_key_is_printed_as_unauthenticated(call, org):
    code, error = failure(
        await call("ChatService/StreamChat", key="unknown", input="Hello", assistantId=org.assistant_id)
    )

    assert (code, error["code"]) == (UNAUTHENTICATED, "unauthenticated")


@pytest.mark.parametrize("at", ["server", "envoy"])
async def test_reflection_lists_the_services(at, service):
    address = {"server": f"http://{service.grpc_address}", "envoy": service.http_url}[at]
    listed = await run(
        "buf", "curl", "--protocol", "grpc", "--http2-prior-knowledge", "--list-services", address
    )

    assert listed.out.split() == SERVICES
