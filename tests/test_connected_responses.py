"""Connections with many requests, over WebSocket and over gRPC: order, continuation of what is stored nowhere,
errors, keys."""

import asyncio

import httpx
import pytest

from tests.conftest import rows_of
from tests.connected import talking, text_of
from tests.contract.doors import UNKNOWN_ID
from tests.upstream import STALL, Answer, OpenAIUpstream, chunk, sse

NOT_FOUND = (400, "previous_response_not_found", "previous_response_id")
MODEL = {"provider": "offline", "model": "offline-1"}
TOOL = {"type": "function", "name": "get_weather", "parameters": {"type": "object", "properties": {}}}


@pytest.fixture(params=["websocket", "grpc"])
def kind(request):
    return request.param


@pytest.fixture
async def talk(kind, service, org):
    async with talking(kind, service, org.api) as talk:
        yield talk


@pytest.fixture
async def rest(service, org):
    async with httpx.AsyncClient(base_url=service.http_url, headers=org.bearer) as rest:
        yield rest


async def chats_of(service, org):
    [(count,)] = await rows_of(service.store, "SELECT count(*) FROM chats WHERE org_id = ?", [org.id])
    return count


async def test_events_are_those_of_a_stream(talk, rest, org):
    streamed = await rest.post(
        "/v1/responses", json={"model": org.assistant_id, "input": "Hello there", "stream": True}
    )

    await talk.send({"type": "response.create", "model": org.assistant_id, "input": "Hello there"})
    events = await talk.events()

    expected = [
        line.removeprefix("event: ") for line in streamed.text.splitlines() if line.startswith("event: ")
    ]
    assert [event["type"] for event in events] == expected
    assert [event.get("sequence_number", 0) for event in events] == list(range(len(expected)))
    assert text_of(events[-1]["response"]) == "You said: Hello there"


async def test_requests_sent_at_once_are_answered_one_after_the_other(talk, org):
    for word in ("first", "second", "third"):
        await talk.send({"type": "response.create", "model": org.assistant_id, "input": word})

    answers = [await talk.events() for _ in range(3)]

    assert [text_of(events[-1]["response"]) for events in answers] == [
        "You said: first",
        "You said: second",
        "You said: third",
    ]
    assert all(
        len({event["response"]["id"] for event in events if "response" in event}) == 1 for events in answers
    )


async def test_response_that_is_not_stored_is_continued_on_its_connection(talk, service, org):
    asked = {"model": org.assistant_id, "store": False}
    first = await talk.ask(**asked, input="My name is Ada")

    second = await talk.ask(**asked, input="And I like ice", previous_response_id=first["id"])
    third = await talk.ask(**asked, input="What is my name?", previous_response_id=second["id"])

    assert "Ada" in text_of(third)
    assert third["previous_response_id"] == second["id"]
    assert await chats_of(service, org) == 0


async def test_continuation_is_answered_by_the_same_assistant_when_it_names_none(talk, org):
    first = await talk.ask(model=org.assistant_id, store=False, input="Hello")

    second = await talk.ask(store=False, input="Again", previous_response_id=first["id"])

    assert text_of(second) == "You said: Again"


async def test_only_the_latest_response_that_is_not_stored_is_remembered(talk, org):
    asked = {"model": org.assistant_id, "store": False}
    first = await talk.ask(**asked, input="one")
    await talk.ask(**asked, input="two")

    assert await talk.error(**asked, input="three", previous_response_id=first["id"]) == NOT_FOUND


async def test_response_that_is_not_stored_is_unknown_to_another_connection(kind, service, org):
    asked = {"model": org.assistant_id, "store": False}
    async with talking(kind, service, org.api) as talk:
        first = await talk.ask(**asked, input="My name is Ada")
    async with talking(kind, service, org.api) as talk:
        lost = await talk.error(**asked, input="What is my name?", previous_response_id=first["id"])
        context = [
            {"role": "user", "content": "My name is Ada"},
            {"role": "user", "content": "What is my name?"},
        ]
        recovered = await talk.ask(**asked, input=context)

    assert lost == NOT_FOUND
    assert "Ada" in text_of(recovered)


@pytest.mark.parametrize("named", ["resp_0199", "nothing", "resp_01890a5dac96774bbcceb302099a8057", ""])
async def test_response_that_is_not_there_is_not_found(talk, org, named):
    asked = {"model": org.assistant_id, "input": "Hello", "previous_response_id": named}

    assert await talk.error(**asked, store=False) == NOT_FOUND
    assert await talk.error(**asked) == NOT_FOUND


async def test_failed_continuation_takes_what_it_referred_to_away(talk, org):
    asked = {"model": org.assistant_id, "store": False}
    first = await talk.ask(**asked, input="Hello")
    output = {"type": "function_call_output", "call_id": "call_of_nobody", "output": "42"}

    failed = await talk.error(**asked, input=[output], previous_response_id=first["id"])
    again = await talk.error(**asked, input="Hello again", previous_response_id=first["id"])

    assert failed == (400, "invalid_argument", "input")
    assert again == NOT_FOUND


async def test_failure_of_another_request_takes_nothing_away(talk, org):
    asked = {"model": org.assistant_id, "store": False}
    first = await talk.ask(**asked, input="My name is Ada")

    assert await talk.error(**asked, input="Hello", temperature=9) == (400, "invalid_argument", "temperature")
    mcp = [{"type": "mcp", "server_label": "x", "server_url": "https://mcp.example.com/mcp"}]
    assert await talk.error(**asked, input="Hello", tools=mcp) == (400, "invalid_argument", "tools[0].type")
    last = await talk.ask(**asked, input="What is my name?", previous_response_id=first["id"])

    assert "Ada" in text_of(last)


async def test_result_of_a_call_continues_a_response_that_is_not_stored(talk, org):
    asked = {"model": org.assistant_id, "store": False, "tools": [TOOL]}
    first = await talk.ask(**asked, input="the weather in Bonn")
    [call] = first["output"]
    output = {"type": "function_call_output", "call_id": call["call_id"], "output": "rain"}

    second = await talk.ask(**asked, input=[output], previous_response_id=first["id"])

    assert text_of(second) == "get_weather returned: rain"


async def test_stored_continuation_has_all_that_was_not_stored(talk, rest, service, org):
    first = await talk.ask(model=org.assistant_id, store=False, input="My name is Ada")
    second = await talk.ask(model=org.assistant_id, input="Hello", previous_response_id=first["id"])

    continued = await rest.post(
        "/v1/responses",
        json={"model": org.assistant_id, "input": "What is my name?", "previous_response_id": second["id"]},
    )

    assert "Ada" in text_of(continued.json())
    assert await chats_of(service, org) == 2


async def test_stored_response_is_continued_without_storing_more(talk, rest, service, org):
    made = await rest.post("/v1/responses", json={"model": org.assistant_id, "input": "My name is Ada"})
    asked = {"model": org.assistant_id, "store": False}

    second = await talk.ask(**asked, input="Hello", previous_response_id=made.json()["id"])
    third = await talk.ask(**asked, input="What is my name?", previous_response_id=second["id"])

    assert "Ada" in text_of(third)
    assert await chats_of(service, org) == 1


async def test_active_member_of_a_squad_goes_on_though_nothing_is_stored(talk, org):
    to_billing = {"type": "assistant", "assistantName": "billing"}
    squad = {
        "members": [
            {"assistant": {"name": "front", "model": MODEL}, "assistantDestinations": [to_billing]},
            {"assistant": {"name": "billing", "model": MODEL, "firstMessage": "Hi"}},
        ]
    }
    first = await talk.ask(squad=squad, store=False, input="I want to talk to billing")

    second = await talk.ask(store=False, input="billing again", previous_response_id=first["id"])

    assert next(item["type"] for item in first["output"]) == "mcp_call"
    assert [item["type"] for item in second["output"]] == ["message"]  # who is there hands off to nobody


async def test_prepared_response_runs_no_model_and_is_continued(talk, service, org):
    await talk.send(
        {"type": "response.create", "model": org.assistant_id, "input": "My name is Ada", "generate": False}
    )
    events = await talk.events()
    prepared = events[-1]["response"]

    last = await talk.ask(
        model=org.assistant_id, input="What is my name?", store=False, previous_response_id=prepared["id"]
    )

    assert [event["type"] for event in events] == [
        "response.created",
        "response.in_progress",
        "response.completed",
    ]
    assert (prepared["status"], prepared.get("output", []), prepared.get("store", False)) == (
        "completed",
        [],
        False,
    )
    assert "Ada" in text_of(last)
    assert await chats_of(service, org) == 0


async def test_compacted_context_begins_a_new_chain(talk, rest, org):
    window = await rest.post(
        "/v1/responses/compact",
        json={"model": org.assistant_id, "input": [{"role": "user", "content": "My name is Ada"}]},
    )
    context = [*window.json()["output"], {"role": "user", "content": "What is my name?"}]

    response = await talk.ask(model=org.assistant_id, store=False, input=context)

    assert "Ada" in text_of(response)
    assert response.get("previous_response_id") is None


@pytest.mark.parametrize(
    ("members", "expected"),
    [
        ({"assistantId": UNKNOWN_ID}, (404, "assistant_not_found", None)),
        ({"temperature": 3}, (400, "invalid_argument", "temperature")),
        ({"background": True}, (400, "invalid_argument", "background")),
        ({"stream": False}, (400, "invalid_argument", "stream")),
        ({"stream_options": {"include_obfuscation": True}}, (400, "invalid_argument", "stream_options")),
        ({"generate": False, "conversation": "conv_1"}, (400, "invalid_argument", None)),
        ({"input": [{"role": "nobody", "content": "x"}]}, (400, "invalid_argument", "input[0].role")),
    ],
    ids=str,
)
async def test_refused_request_is_answered_and_the_connection_goes_on(talk, org, members, expected):
    refused = await talk.error(**{"model": org.assistant_id, "input": "Hello", **members})

    assert refused[:2] == expected[:2]
    assert refused[2] == expected[2]
    assert text_of(await talk.ask(model=org.assistant_id, input="Hello")) == "You said: Hello"


async def test_repeated_request_runs_once(talk, service, org):
    asked = {"model": org.assistant_id, "input": "Hello", "idempotency_key": "k-1"}

    first, again = await talk.ask(**asked), await talk.ask(**asked)
    other = await talk.error(**{**asked, "input": "Something else"})

    assert again["id"] == first["id"]
    assert other[1] == "idempotency_key_reused"
    assert await chats_of(service, org) == 1


async def test_publishable_key_sends_no_assistant_of_its_own(kind, service, org):
    async with talking(kind, service, org.publishable) as talk:
        refused = await talk.error(assistant={"model": MODEL}, input="Hello")
        answered = await talk.ask(model=org.assistant_id, input="Hello")

    assert refused == (403, "permission_denied", "assistant")
    assert text_of(answered) == "You said: Hello"


@pytest.mark.parametrize("how", ["closes", "is gone", "cancels"])
async def test_caller_that_hangs_up_cancels_the_model(service, org, how):
    beginning = sse(chunk({"role": "assistant", "content": ""}), chunk({"content": "Hello"}))
    async with OpenAIUpstream(Answer([*beginning, STALL])) as upstream:
        assistant = {"model": {"provider": "custom-llm", "url": upstream.base_url, "model": "m"}}
        async with talking("grpc" if how == "cancels" else "websocket", service, org.api) as talk:
            await talk.send(
                {"type": "response.create", "assistant": assistant, "input": "Hi", "store": False}
            )
            while (await talk.receive())["type"] != "response.output_text.delta":
                pass
            if how == "cancels":
                talk.call.cancel()
            elif how == "is gone":
                talk.socket.transport.abort()
        async with asyncio.timeout(5):
            await upstream.disconnected.wait()


async def test_model_that_fails_takes_what_it_continued_away(talk, service, org):
    async with OpenAIUpstream(Answer(status=500)) as upstream:
        failing = {"model": {"provider": "custom-llm", "url": upstream.base_url, "model": "m"}}
        first = await talk.ask(model=org.assistant_id, store=False, input="Hello")

        failed = await talk.error(assistant=failing, store=False, input="x", previous_response_id=first["id"])
    again = await talk.error(model=org.assistant_id, store=False, input="x", previous_response_id=first["id"])

    assert failed[0] == 502
    assert again == NOT_FOUND
