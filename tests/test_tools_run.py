"""Tools that the server runs: apiRequest and webhooks, at every door, against a real local HTTP server."""

import json
import time
from collections.abc import AsyncIterator, Callable
from itertools import count
from typing import Any

import httpx
import pytest
from standardwebhooks.webhooks import Webhook

from generated.parley.v1.chat_service_pb2 import CreateChatRequest, WatchChatRequest
from generated.parley.v1.chat_service_pb2_grpc import ChatServiceStub
from server.agents.tools import MOST_BYTES, ToolCall, ToolRunner
from server.content.json_values import from_python
from server.content.messages import text_of
from server.core.outbound.client import MOST_REQUESTS, Outgoing
from server.core.outbound.guard import BOTH, TOOLS, AllowedHosts
from server.exchange.recovery import STOPPED
from server.exchange.replay import broken_off
from server.exchange.tool_loop import MOST_CALLS, MOST_ROUNDS
from tests.conftest import running
from tests.sdk import official_client
from tests.upstream import STALL, Answer, OpenAIUpstream, Upstream, chunk, openai_stream, openai_text, sse

QUESTION = "Where is my order?"
BODY = {
    "type": "object",
    "properties": {"number": {"type": "string", "enum": ["A 1"]}},
    "required": ["number"],
}
SHIPPED = '{"status": "shipped", "customer": {"name": "Ada"}}'
ANSWER = f"order_status returned: {SHIPPED}"


def ok(text: str, status: int = 200, **headers: str) -> Answer:
    return Answer([text.encode()], status, {"content-type": "application/json", **headers})


def api_request(upstream: Upstream, path: str = "/orders", **members: Any) -> dict[str, Any]:
    return {
        "type": "apiRequest",
        "name": "order_status",
        "description": "Finds an order.",
        "method": "POST",
        "url": f"{upstream.base_url}{path}",
        "body": BODY,
        **members,
    }


def webhook(upstream: Upstream, name: str = "order_status") -> dict[str, Any]:
    return {
        "type": "function",
        "function": {"name": name, "parameters": BODY},
        "server": {"url": f"{upstream.base_url}/hook", "headers": {"X-Mine": "yes"}},
    }


def function(name: str) -> dict[str, Any]:
    return {"type": "function", "function": {"name": name}}


def assistant(*tools: dict[str, Any], **model: Any) -> dict[str, Any]:
    return {"model": {"provider": "offline", "model": "offline-1", "tools": list(tools), **model}}


def frames(text: str) -> list[Any]:
    return [
        json.loads(line.removeprefix("data: "))
        for line in text.splitlines()
        if line.startswith("data: ") and line != "data: [DONE]"
    ]


@pytest.fixture
async def shop() -> AsyncIterator[Upstream]:
    async with Upstream(ok(SHIPPED, x_trace="t-1")) as upstream:
        yield upstream


# --- one exchange, at every door ----------------------------------------------------------------------------


async def test_api_request_is_run_and_its_result_read_by_the_model(http, org, shop):
    tool = api_request(
        shop,
        headers={"type": "object", "properties": {"X-Key": {"type": "string", "value": "k {{who}}"}}},
        parameters=[{"key": "static", "value": "for {{who}}"}],
    )

    chat = (
        await http.post(
            "/chat",
            headers=org.bearer,
            json={
                "assistant": assistant(tool),
                "input": QUESTION,
                "assistantOverrides": {"variableValues": {"who": "Ada"}},
            },
        )
    ).json()

    (request,) = shop.requests
    calling, result, answer = chat["output"]
    assert (request.method, request.path, request.headers["x-key"]) == ("POST", "/orders", "k Ada")
    assert request.body == {"number": "A 1", "static": "for Ada"}
    assert calling["tool_calls"][0]["function"] == {"name": "order_status", "arguments": '{"number": "A 1"}'}
    assert (result["role"], result["content"], result["tool_call_id"]) == (
        "tool",
        SHIPPED,
        calling["tool_calls"][0]["id"],
    )
    assert (answer["role"], answer["content"]) == ("assistant", ANSWER)
    assert chat["status"] == "completed"
    assert (await http.get(f"/chat/{chat['id']}", headers=org.bearer)).json() == chat


async def test_round_streams_over_grpc_and_is_replayed_unchanged(service, channel, org, shop):
    made = await service.store.assistants.create(org.id, assistant(api_request(shop)))
    stub = ChatServiceStub(channel)

    live = [
        event
        async for event in stub.StreamChat(
            CreateChatRequest(assistant_id=made.id, input=from_python(QUESTION)), metadata=org.metadata
        )
    ]
    again = [
        event async for event in stub.WatchChat(WatchChatRequest(id=live[0].chat_id), metadata=org.metadata)
    ]

    kinds = [event.WhichOneof("event") for event in live]
    calling, result = live[1].round.messages
    assert kinds == ["started", "round", *["delta"] * (len(live) - 3), "completed"]
    assert calling.id == live[0].message_id
    assert result.message == SHIPPED
    assert {event.delta.output_index for event in live[2:-1]} == {2}
    assert live[1].message_id == live[-1].completed.output[2].id
    assert "".join(event.delta.text for event in live[2:-1]) == ANSWER
    assert again == live


async def test_streamed_chat_names_the_message_of_its_deltas(http, org, shop):
    answer = await http.post(
        "/chat",
        headers=org.bearer,
        json={"assistant": assistant(api_request(shop)), "input": QUESTION, "stream": True},
    )

    received = frames(answer.text)
    assert {frame["path"] for frame in received} == {"chat.output[2].content"}
    assert "".join(frame["delta"] for frame in received) == ANSWER


@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
async def test_responses_show_a_call_that_needs_no_answer(service, org, shop, streamed):
    made = await service.store.assistants.create(org.id, assistant(api_request(shop)))
    async with official_client(f"{service.http_url}/v1", org.api) as sdk:
        if streamed:
            async with sdk.responses.stream(model=made.id, input=QUESTION) as stream:
                kinds = [event.type async for event in stream]
                response = await stream.get_final_response()
            assert [kind for kind in kinds if "mcp" in kind] == [
                "response.mcp_call.in_progress",
                "response.mcp_call_arguments.done",
                "response.mcp_call.completed",
            ]
        else:
            response = await sdk.responses.create(model=made.id, input=QUESTION)
        items: list[Any] = [
            {"role": "user", "content": QUESTION},
            *(item.model_dump() for item in response.output),
        ]
        second = await sdk.responses.create(
            model="demo", input=[*items, {"role": "user", "content": "Thanks!"}]
        )

    call, message = response.output
    assert (call.type, call.name, call.status, call.output) == (
        "mcp_call",
        "order_status",
        "completed",
        SHIPPED,
    )
    assert call.arguments == '{"number": "A 1"}'
    assert (message.type, response.output_text) == ("message", ANSWER)
    assert second.output_text == "You said: Thanks!"


@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
async def test_completions_show_the_answer_alone(service, org, shop, streamed):
    made = await service.store.assistants.create(org.id, assistant(api_request(shop)))
    url = f"{service.http_url}/api/v1/compatibility/openai/v1/assistants/{made.id}"
    completion_request: Any = {"model": "", "messages": [{"role": "user", "content": QUESTION}]}
    async with official_client(url, org.api) as sdk:
        if streamed:
            async with sdk.chat.completions.stream(**completion_request) as stream:
                completion = await stream.get_final_completion()
        else:
            completion = await sdk.chat.completions.create(**completion_request)

    (choice,) = completion.choices
    assert (choice.message.content, choice.message.tool_calls, choice.finish_reason) == (ANSWER, None, "stop")


async def test_agents_door_answers_with_the_last_message(http, service, org, shop):
    made = await service.store.assistants.create(org.id, assistant(api_request(shop)))
    secret = {"x-api-key": org.secret}
    chat = (await http.post("/chat", headers=secret, json={"agentId": made.id})).json()
    path = f"/chat/{chat['id']}/message"

    reply = (await http.post(path, headers=secret, json={"role": "user", "content": QUESTION})).json()
    shown = (await http.get(path, headers=secret)).json()["messages"]

    assert reply["content"] == ANSWER
    assert [message["content"] for message in shown] == [QUESTION, ANSWER]


# --- variables ----------------------------------------------------------------------------------------------

EXTRACTION = {
    "schema": {"type": "object", "properties": {"status": {"type": "string"}}},
    "aliases": [
        {"key": "who", "value": "{{customer.name}}"},
        {"key": "same", "value": "{{$.customer.name}}"},
        {"key": "trace", "value": "{{tool.response.headers.x-trace}}"},
    ],
}
PROMPT = [{"role": "system", "content": "My name is {{who}}. {{same}} {{status}} {{trace}}"}]


@pytest.mark.parametrize("in_session", [False, True], ids=["chain", "session"])
async def test_extracted_variables_fill_later_templates(http, org, in_session):
    async with Upstream(ok(SHIPPED, **{"x-trace": "t-1"})) as shop:
        whole = assistant(api_request(shop, variableExtractionPlan=EXTRACTION), messages=PROMPT)
        begun: dict[str, Any] = {"assistant": whole}
        if in_session:
            session = (await http.post("/session", headers=org.bearer, json={"assistant": whole})).json()
            begun = {"sessionId": session["id"]}
        first = (await http.post("/chat", headers=org.bearer, json={**begun, "input": QUESTION})).json()
    going_on = begun if in_session else {"previousChatId": first["id"]}

    second = (
        await http.post("/chat", headers=org.bearer, json={**going_on, "input": "What is my name?"})
    ).json()

    assert second["output"][0]["content"] == "Your name is Ada."


async def test_extracted_variables_fill_the_next_tool_of_the_same_exchange(http, org):
    first_call = {
        "tool_calls": [{"index": 0, "id": "c1", "function": {"name": "order_status", "arguments": "{}"}}]
    }
    second_call = {
        "tool_calls": [{"index": 0, "id": "c2", "function": {"name": "details", "arguments": "{}"}}]
    }
    model = [openai_stream(chunk(call, finish="tool_calls")) for call in (first_call, second_call)]
    async with Upstream(ok(SHIPPED)) as shop, OpenAIUpstream([*model, openai_text("Done")]) as llm:
        tools = (
            api_request(shop, variableExtractionPlan=EXTRACTION, body=None),
            api_request(shop, "/of/{{who}}/{{status}}?x=1", name="details", method="GET", body=None),
        )

        chat = (
            await http.post(
                "/chat",
                headers=org.bearer,
                json={
                    "assistant": assistant(*tools, provider="custom-llm", model="m", url=llm.base_url),
                    "input": "Hi",
                },
            )
        ).json()

    assert [request.path for request in shop.requests] == ["/orders", "/of/Ada/shipped?x=1"]
    assert [message["role"] for message in chat["output"]] == [
        "assistant",
        "tool",
        "assistant",
        "tool",
        "assistant",
    ]


# --- rounds -------------------------------------------------------------------------------------------------


async def test_model_gets_at_most_eight_rounds(http, org, shop):
    call = {"tool_calls": [{"index": 0, "id": "c1", "function": {"name": "order_status", "arguments": "{}"}}]}
    answers = [openai_stream(chunk(call, finish="tool_calls"))] * MOST_ROUNDS
    async with OpenAIUpstream([*answers, openai_text("Enough")]) as llm:
        whole = assistant(api_request(shop), provider="custom-llm", model="m", url=llm.base_url)
        chat = (await http.post("/chat", headers=org.bearer, json={"assistant": whole, "input": "Hi"})).json()

    assert len(shop.requests) == MOST_ROUNDS
    assert [request.body.get("tool_choice") for request in llm.requests] == [None] * MOST_ROUNDS + ["none"]
    assert [message["role"] for message in chat["output"]] == ["assistant", "tool"] * MOST_ROUNDS + [
        "assistant"
    ]
    assert chat["output"][-1]["content"] == "Enough"
    assert chat["costs"][0]["promptTokens"] == 3  # of the one call that told its usage


async def test_model_that_calls_on_after_eight_rounds_ends_incomplete(http, org, shop):
    call = {"tool_calls": [{"index": 0, "id": "c1", "function": {"name": "order_status", "arguments": "{}"}}]}
    async with OpenAIUpstream(openai_stream(chunk(call, finish="tool_calls"))) as llm:
        whole = assistant(api_request(shop), provider="custom-llm", model="m", url=llm.base_url)
        chat = (await http.post("/chat", headers=org.bearer, json={"assistant": whole, "input": "Hi"})).json()

    assert len(shop.requests) == MOST_ROUNDS
    assert (chat["status"], chat["error"]["code"]) == ("incomplete", "max_tool_rounds")
    assert [message["role"] for message in chat["output"]] == ["assistant", "tool"] * MOST_ROUNDS


async def test_completion_whose_model_calls_on_after_eight_rounds_is_cut(http, org, shop):
    call = {"tool_calls": [{"index": 0, "id": "c1", "function": {"name": "order_status", "arguments": "{}"}}]}
    async with OpenAIUpstream(openai_stream(chunk(call, finish="tool_calls"))) as llm:
        whole = assistant(api_request(shop), provider="custom-llm", model="m", url=llm.base_url)
        made = (await http.post("/assistant", headers=org.bearer, json=whole)).json()
        completion = (
            await http.post(
                "/chat/completions",
                headers=org.bearer,
                json={"model": made["id"], "messages": [{"role": "user", "content": "Hi"}]},
            )
        ).json()

    (choice,) = completion["choices"]
    assert choice["finish_reason"] == "length"


@pytest.mark.parametrize("retries", [0, 10])
async def test_exchange_sends_at_most_thirty_two_requests(http, org, retries):
    calls = {
        "tool_calls": [
            {"index": at, "id": f"c{at}", "function": {"name": "order_status", "arguments": "{}"}}
            for at in range(MOST_CALLS)
        ]
    }
    plan = {"type": "fixed", "maxRetries": retries, "baseDelaySeconds": 0}
    async with (
        Upstream(ok("{}", 503)) as shop,
        OpenAIUpstream([openai_stream(chunk(calls, finish="tool_calls"))] * 3 + [openai_text("Done")]) as llm,
    ):
        whole = assistant(
            api_request(shop, backoffPlan=plan), provider="custom-llm", model="m", url=llm.base_url
        )
        chat = (await http.post("/chat", headers=org.bearer, json={"assistant": whole, "input": "Hi"})).json()

    failures = [message["metadata"]["failure"] for message in chat["output"] if message["role"] == "tool"]
    assert len(shop.requests) == MOST_REQUESTS
    assert failures.count("too_many_requests") >= 3 * MOST_CALLS - MOST_REQUESTS
    assert chat["output"][-1]["content"] == "Done"


async def test_round_has_at_most_sixteen_calls(http, org, shop):
    calls = {
        "tool_calls": [
            {"index": at, "id": f"c{at}", "function": {"name": "order_status", "arguments": "{}"}}
            for at in range(MOST_CALLS + 1)
        ]
    }
    async with OpenAIUpstream([openai_stream(chunk(calls, finish="tool_calls")), openai_text("Done")]) as llm:
        whole = assistant(api_request(shop), provider="custom-llm", model="m", url=llm.base_url)
        chat = (await http.post("/chat", headers=org.bearer, json={"assistant": whole, "input": "Hi"})).json()

    failures = [message["metadata"] for message in chat["output"] if "metadata" in message]
    assert len(shop.requests) == MOST_CALLS
    assert failures == [{"failure": "too_many_calls"}]
    assert chat["output"][-1]["content"] == "Done"


@pytest.mark.parametrize(("most", "run"), [(0, 0), (1, 1), (3, 3), (5, 4)])
async def test_server_runs_as_many_calls_as_the_request_allows(http, org, shop, most, run):
    calls = {
        "tool_calls": [
            {"index": at, "id": f"c{at}", "function": {"name": "order_status", "arguments": "{}"}}
            for at in range(2)
        ]
    }
    async with OpenAIUpstream(
        [openai_stream(chunk(calls, finish="tool_calls"))] * 2 + [openai_text("Done")]
    ) as llm:
        whole = assistant(api_request(shop), provider="custom-llm", model="m", url=llm.base_url)
        response = (
            await http.post(
                "/chat/responses",
                headers=org.bearer,
                json={"assistant": whole, "input": "Hi", "max_tool_calls": most, "stream": False},
            )
        ).json()

    *made, answer = response["output"]
    assert len(shop.requests) == run
    assert [call["status"] for call in made] == ["completed"] * run + ["failed"] * (4 - run)
    assert {call["output"] for call in made[run:]} <= {
        "Not run: the request allows no more tool calls (max_tool_calls)."
    }
    assert (answer["content"][0]["text"], response["max_tool_calls"]) == ("Done", most)


async def test_round_with_a_call_for_the_caller_goes_back_whole(http, org, shop):
    calls = {
        "tool_calls": [
            {"index": at, "id": f"c{at}", "function": {"name": name, "arguments": "{}"}}
            for at, name in enumerate(("order_status", "mine"))
        ]
    }
    async with OpenAIUpstream(openai_stream(chunk(calls, finish="tool_calls"))) as llm:
        whole = assistant(
            api_request(shop), function("mine"), provider="custom-llm", model="m", url=llm.base_url
        )
        chat = (await http.post("/chat", headers=org.bearer, json={"assistant": whole, "input": "Hi"})).json()

    (message,) = chat["output"]
    assert [call["id"] for call in message["tool_calls"]] == ["c0", "c1"]
    assert shop.requests == []


async def test_model_that_fails_after_a_round_leaves_the_round_on_record(http, org, shop):
    call = {"tool_calls": [{"index": 0, "id": "c1", "function": {"name": "order_status", "arguments": "{}"}}]}
    refused = Answer([b"{}"], 400, {"content-type": "application/json"})
    async with OpenAIUpstream([openai_stream(chunk(call, finish="tool_calls")), refused]) as llm:
        whole = assistant(api_request(shop), provider="custom-llm", model="m", url=llm.base_url)
        chat = (await http.post("/chat", headers=org.bearer, json={"assistant": whole, "input": "Hi"})).json()

    assert (chat["status"], chat["error"]["code"]) == ("incomplete", "upstream_refused_request")
    assert [message["role"] for message in chat["output"]] == ["assistant", "tool"]


async def test_caller_that_goes_away_takes_the_running_tool_along(service, channel, org):
    async with Upstream(Answer([STALL])) as shop:
        made = await service.store.assistants.create(org.id, assistant(api_request(shop)))
        call = ChatServiceStub(channel).CreateChat(
            CreateChatRequest(assistant_id=made.id, input=from_python(QUESTION)), metadata=org.metadata
        )
        await shop.received.wait()
        call.cancel()

        await shop.disconnected.wait()


async def test_round_of_a_stream_is_on_disk_before_it_is_emitted(service, channel, org, shop):
    called = {
        "tool_calls": [{"index": 0, "id": "c1", "function": {"name": "order_status", "arguments": "{}"}}]
    }
    begun = Answer([*sse(chunk({"content": "It is"})), STALL])
    async with OpenAIUpstream([openai_stream(chunk(called, finish="tool_calls")), begun]) as llm:
        whole = assistant(api_request(shop), provider="custom-llm", model="m", url=llm.base_url)
        made = await service.store.assistants.create(org.id, whole)
        call = ChatServiceStub(channel).StreamChat(
            CreateChatRequest(assistant_id=made.id, input=from_python(QUESTION)), metadata=org.metadata
        )
        received = [await call.read() for _ in range(3)]
        unfinished = await service.store.chats.unfinished(org.id, received[0].chat_id)
        call.cancel()
        await llm.disconnected.wait()

    stored = broken_off(unfinished, STOPPED)
    assert [event.WhichOneof("event") for event in received] == ["started", "round", "delta"]
    assert [text_of(message) for message in stored.answered] == ["", SHIPPED, "It is"]
    assert [message.id for message in stored.answered] == [
        *(message.id for message in received[1].round.messages),
        received[1].message_id,
    ]
    assert not any(message.HasField("message") for message in stored.answered)


# --- webhooks -----------------------------------------------------------------------------------------------


async def test_webhook_is_sent_the_call_and_gives_its_result(http, org):
    result = json.dumps({"results": [{"toolCallId": "call_offline_0", "result": {"status": "shipped"}}]})
    async with Upstream(ok(result)) as shop:
        chat = (
            await http.post(
                "/chat", headers=org.bearer, json={"assistant": assistant(webhook(shop)), "input": QUESTION}
            )
        ).json()

    (request,) = shop.requests
    message = request.body["message"]
    (call,) = message["toolCallList"]
    assert (request.path, request.headers["x-mine"], message["type"]) == ("/hook", "yes", "tool-calls")
    assert (call["id"], call["name"], call["arguments"]) == (
        "call_offline_0",
        "order_status",
        {"number": "A 1"},
    )
    assert message["toolWithToolCallList"][0]["function"]["name"] == "order_status"
    assert message["chat"] == {"id": chat["id"], "orgId": org.id}
    assert chat["output"][-1]["content"] == 'order_status returned: {"status": "shipped"}'


async def test_webhook_is_signed_anew_in_each_attempt_under_one_id():
    secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
    ticks = count(time.time_ns() // 1_000_000, 1000)
    result = json.dumps({"results": [{"toolCallId": "c1", "result": "shipped"}]})
    async with Upstream([ok("", 503), ok(result)]) as shop:
        tool = webhook(shop)
        tool["server"] |= {
            "secret": secret,
            "headers": {"webhook-signature": "v1,forged"},
            "backoffPlan": {"type": "fixed", "maxRetries": 1, "baseDelaySeconds": 0},
        }
        answer = await run(tool, clock=lambda: next(ticks))

    first, second = shop.requests
    assert answer.text == "shipped"
    assert all(
        Webhook(secret).verify(sent.raw, sent.headers)["message"]["type"] == "tool-calls"
        for sent in (first, second)
    )
    assert first.headers["webhook-id"] == second.headers["webhook-id"]
    assert int(second.headers["webhook-timestamp"]) == int(first.headers["webhook-timestamp"]) + 1
    assert second.headers["x-parley-signature"].startswith(f"t={second.headers['webhook-timestamp']},v1=")
    assert secret not in first.raw.decode()


async def test_request_cannot_replace_a_tool_of_the_assistant(http, org):
    result = json.dumps({"results": [{"toolCallId": "call_offline_0", "result": "real"}]})
    async with Upstream(ok(result)) as shop:
        response = (
            await http.post(
                "/v1/responses",
                headers=org.bearer,
                json={
                    "assistant": assistant(webhook(shop)),
                    "input": QUESTION,
                    "tools": [{"type": "function", "name": "order_status"}],
                },
            )
        ).json()

    assert [item["type"] for item in response["output"]] == ["mcp_call", "message"]


async def test_call_that_the_server_ran_is_referenced_with_its_result(http, org):
    result = json.dumps({"results": [{"toolCallId": "call_offline_0", "result": SHIPPED}]})
    async with Upstream(ok(result)) as shop:
        first = (
            await http.post(
                "/v1/responses",
                headers=org.bearer,
                json={"assistant": assistant(webhook(shop)), "input": QUESTION},
            )
        ).json()
    second = (
        await http.post(
            "/v1/responses",
            headers=org.bearer,
            json={
                "assistantId": org.assistant_id,
                "input": [
                    *({"type": "item_reference", "id": item["id"]} for item in first["output"]),
                    {"role": "user", "content": "x"},
                ],
            },
        )
    ).json()

    chat = (await http.get(f"/chat/{second['id']}", headers=org.bearer)).json()
    assert [(one["role"], one["message"]) for one in chat["messages"]] == [
        ("assistant", ""),
        ("tool", SHIPPED),
        ("assistant", first["output"][1]["content"][0]["text"]),
        ("user", "x"),
    ]


# --- failures -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "failure", "text"),
    [
        pytest.param(ok("no", 500), "status", "it answered with status 500: no", id="status"),
        pytest.param(
            ok("", 302, location="http://127.0.0.1:1/"),
            "status",
            "it answered with status 302",
            id="redirect",
        ),
        pytest.param(
            ok("x" * (MOST_BYTES + 1)),
            "unreadable",
            f"it answered with more than {MOST_BYTES} bytes",
            id="too large",
        ),
        pytest.param(
            ok("", **{"content-encoding": "gzip"}), "unreadable", "it answered with more", id="compressed"
        ),
        pytest.param(Answer(status=0), "unreachable", "it could not be reached", id="no HTTP"),
    ],
)
async def test_failing_tool_is_reported_to_the_model_and_recorded(http, org, answer, failure, text):
    async with Upstream(answer) as shop:
        chat = (
            await http.post(
                "/chat",
                headers=org.bearer,
                json={"assistant": assistant(api_request(shop)), "input": QUESTION},
            )
        ).json()

    result = chat["output"][1]
    assert chat["status"] == "completed"
    assert result["content"].startswith(f"The tool order_status failed: {text}")
    assert result["metadata"] == {"failure": failure}
    assert chat["output"][2]["content"] == f"order_status returned: {result['content']}"


async def test_failed_tool_of_a_response_is_an_item_that_failed(http, org):
    async with Upstream(ok("no", 404)) as shop:
        response = (
            await http.post(
                "/v1/responses",
                headers=org.bearer,
                json={"assistant": assistant(api_request(shop)), "input": QUESTION},
            )
        ).json()

    call = response["output"][0]
    assert (call["type"], call["status"], call["output"]) == (
        "mcp_call",
        "failed",
        "The tool order_status failed: it answered with status 404: no.",
    )


async def run(
    tool: dict[str, Any],
    arguments: str = "{}",
    *,
    allowed: tuple[str, ...] = ("127.0.0.1",),
    clock: Callable[[], int] = lambda: 0,
    **options: Any,
):
    runner = ToolRunner(AllowedHosts(allowed, TOOLS), clock, **options)
    try:
        return await runner.run(
            tool, ToolCall("c1", "order_status", arguments), {"who": "Ada"}, {}, Outgoing()
        )
    finally:
        await runner.close()


async def test_host_that_is_not_listed_is_never_called(shop):
    result = await run(api_request(shop), allowed=("api.example",))

    assert result.failure == "not_allowed"
    assert result.text.endswith(f"names a host that the operator has not listed in {TOOLS} or {BOTH}.")
    assert shop.connections == 0


async def test_slow_tool_is_given_up():
    async with Upstream(Answer([STALL])) as shop:
        result = await run(api_request(shop, timeoutSeconds=0.05))
        await shop.disconnected.wait()

    assert (result.failure, result.text) == (
        "timeout",
        "The tool order_status failed: it did not answer within 0.05 seconds.",
    )


@pytest.mark.parametrize(
    ("plan", "waits"),
    [
        pytest.param({"type": "fixed", "maxRetries": 2, "baseDelaySeconds": 3}, [3, 3], id="fixed"),
        pytest.param(
            {"type": "exponential", "maxRetries": 2, "baseDelaySeconds": 3}, [3, 6], id="exponential"
        ),
    ],
)
async def test_failed_call_is_tried_again_as_planned(plan, waits):
    waited: list[float] = []

    async def sleep(seconds: float) -> None:
        waited.append(seconds)

    async with Upstream([ok("", 503), ok("", 503), ok("up")]) as shop:
        result = await run(api_request(shop, backoffPlan=plan), sleep=sleep)

    assert (result.text, result.failure, waited) == ("up", None, waits)


@pytest.mark.parametrize(
    ("arguments", "path"),
    [
        pytest.param({"number": "a..b?x=1#y"}, "/orders/a..b%3Fx%3D1%23y", id="escape"),
        pytest.param(
            {"number": "1", "more": ["a b"]}, "/orders/1?more=%5B%22a%20b%22%5D", id="the rest is the query"
        ),
    ],
)
async def test_arguments_in_a_url_cannot_leave_their_place(shop, arguments, path):
    body = {"type": "object", "properties": {"number": {"type": "string"}, "more": {"type": "array"}}}

    await run(api_request(shop, "/orders/{{number}}", method="GET", body=body), json.dumps(arguments))

    assert [(request.method, request.path) for request in shop.requests] == [("GET", path)]


async def test_argument_beside_the_schema_is_not_sent_and_fills_nothing(shop):
    await run(api_request(shop, headers={"X-Who": "{{who}}"}), '{"number": "1", "who": "Eve"}')

    (request,) = shop.requests
    assert (request.body, request.headers["x-who"]) == ({"number": "1"}, "Ada")


async def test_number_that_no_double_is_is_found_as_text():
    plan = {
        "schema": {
            "type": "object",
            "properties": {"order": {"type": "object"}, "count": {"type": "integer"}},
        }
    }
    async with Upstream(ok('{"order": {"id": 12345678901234567891}, "count": 9007199254740992}')) as shop:
        result = await run(api_request(shop, variableExtractionPlan=plan))

    assert result.variables == {"order": {"id": "12345678901234567891"}, "count": 9007199254740992}


async def test_dollar_is_the_answer_in_expressions_alone():
    plan = {"aliases": [{"key": "first", "value": "{{$[0].name}} pays $ 5"}]}
    async with Upstream(ok('[{"name": "Ada"}]')) as shop:
        result = await run(api_request(shop, variableExtractionPlan=plan))

    assert result.variables == {"first": "Ada pays $ 5"}


@pytest.mark.parametrize(
    ("tool", "arguments", "failure"),
    [
        pytest.param({}, "[1]", "invalid_arguments", id="arguments are no object"),
        pytest.param({}, "{", "invalid_arguments", id="arguments are no JSON"),
        pytest.param(
            {}, '{"number": "\\ud800"}', "invalid_arguments", id="arguments that no request can hold"
        ),
        pytest.param({}, '{"number": NaN}', "invalid_arguments", id="arguments with a number that is none"),
        pytest.param({"method": "TRACE"}, "{}", "not_allowed", id="method"),
        pytest.param({"headers": {"a\r\nb": "c"}}, "{}", "not_allowed", id="header name"),
        pytest.param(
            {"headers": {"a": "{{number}}"}}, '{"number": "b\\r\\nc: d"}', "not_allowed", id="header value"
        ),
        pytest.param({"url": "file:///etc/passwd"}, "{}", "not_allowed", id="scheme"),
        pytest.param(
            {"url": "http://{{number}}/"}, '{"number": "127.0.0.1:1@evil"}', "not_allowed", id="host"
        ),
        pytest.param(
            {"url": "http://127.0.0.1/orders/{{number}}/file"},
            '{"number": ".."}',
            "not_allowed",
            id="dot segment",
        ),
    ],
)
async def test_request_that_may_not_be_made_is_not_made(shop, tool, arguments, failure):
    result = await run(api_request(shop) | tool, arguments)

    assert result.failure == failure
    assert shop.connections == 0


@pytest.mark.parametrize(
    ("answer", "failure"),
    [
        pytest.param("{}", "no_result", id="no results"),
        pytest.param("oops", "no_result", id="no JSON"),
        pytest.param(
            '{"results": [{"toolCallId": "other", "result": "x"}]}', "no_result", id="another call's"
        ),
        pytest.param('{"results": [{"toolCallId": "c1", "error": "unknown order"}]}', "error", id="error"),
    ],
)
async def test_webhook_that_gives_no_result(answer, failure):
    async with Upstream(ok(answer)) as shop:
        result = await run(webhook(shop))

    assert result.failure == failure


async def test_cookies_of_one_call_are_not_sent_with_the_next():
    async with Upstream(ok("{}", **{"set-cookie": "a=b"})) as shop:
        runner = ToolRunner(AllowedHosts(["127.0.0.1"]), lambda: 0)
        for _ in range(2):
            await runner.run(api_request(shop), ToolCall("c1", "order_status", "{}"), {}, {}, Outgoing())
        await runner.close()

    assert [request.headers.get("cookie") for request in shop.requests] == [None, None]


class Smuggler(Upstream):
    """Sends a second answer behind each, for the request that the connection has next."""

    async def _send(self, answer, reader, writer):
        body = f'{{"request": {len(self.requests)}}}'.encode()
        head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n"
        writer.write(head % len(body) + body + head % 2 + b"{}")
        await writer.drain()
        return True


async def test_bytes_behind_an_answer_are_not_the_answer_to_the_next_call():
    async with Smuggler(ok("")) as shop:
        runner = ToolRunner(AllowedHosts(["127.0.0.1"]), lambda: 0)
        results = [
            await runner.run(api_request(shop), ToolCall("c1", "order_status", "{}"), {}, {}, Outgoing())
            for _ in range(2)
        ]
        await runner.close()

    assert [result.text for result in results] == ['{"request": 1}', '{"request": 2}']


@pytest.mark.parametrize(
    ("lists", "tool", "model"),
    [
        ({"model_allow_hosts": "127.0.0.1"}, False, True),
        ({"tool_allow_hosts": "127.0.0.1"}, True, False),
    ],
    ids=["listed for models", "listed for tools"],
)
async def test_host_is_listed_for_models_and_for_tools_apart(tmp_path, shop, lists, tool, model):
    async with OpenAIUpstream(openai_text("Hello")) as llm, running(tmp_path, **lists) as service:
        org = await service.new_org()
        async with httpx.AsyncClient(base_url=service.http_url, timeout=20) as http:
            own = assistant(provider="custom-llm", model="m", url=llm.base_url)
            answered = await http.post("/chat", headers=org.bearer, json={"assistant": own, "input": "Hi"})
            used = (
                await http.post(
                    "/chat",
                    headers=org.bearer,
                    json={"assistant": assistant(api_request(shop)), "input": QUESTION},
                )
            ).json()

    assert (answered.is_success, len(llm.requests) == 1) == (model, model)
    assert (len(shop.requests) == 1) == tool
    assert used["output"][1].get("metadata") == (None if tool else {"failure": "not_allowed"})
