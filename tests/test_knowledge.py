"""A custom knowledge base is asked before the model is: what it knows joins the context, what fails is said
on the chat."""

from collections.abc import Callable
from typing import Any

import grpc
import httpx
import orjson
import pytest
from google.protobuf.struct_pb2 import Value

from generated.parley.v1.chat_pb2 import ChatError, ChatKnowledge
from generated.parley.v1.chat_service_pb2 import CreateChatRequest
from generated.parley.v1.chat_service_pb2_grpc import ChatServiceStub
from generated.parley.v1.message_pb2 import Message
from server.agents.knowledge import CUSTOM, KnowledgeBases
from server.core.outbound.client import Outgoing
from server.core.outbound.guard import AllowedHosts
from server.core.outbound.json_post import JsonPoster
from tests.conftest import Org
from tests.upstream import CUT, STALL, Answer, Upstream, failure

JSON = {"content-type": "application/json"}


def answered(content: Any) -> Answer:
    return Answer([orjson.dumps(content)], 200, JSON)


def documents(*texts: str) -> Answer:
    return answered({"documents": [{"content": text, "similarity": 0.9, "uuid": "u"} for text in texts]})


def base(url: str, **server: Any) -> dict[str, Any]:
    return {"provider": CUSTOM, "server": {"url": url, **server}}


def assistant(knowledge_base: dict[str, Any]) -> dict[str, Any]:
    return {"model": {"provider": "offline", "model": "offline-1", "knowledgeBase": knowledge_base}}


async def send(
    http: httpx.AsyncClient, org: Org, knowledge_base: dict[str, Any], **members: Any
) -> dict[str, Any]:
    body = {"assistant": assistant(knowledge_base), "input": "What is my name?", **members}
    answer = await http.post("/chat", headers=org.bearer, json=body)
    assert answer.status_code == 200, answer.text
    return answer.json()


# --- through the doors --------------------------------------------------------------------------------------


@pytest.mark.parametrize("over", ["grpc", "rest"])
async def test_documents_join_the_context(
    over: str, http: httpx.AsyncClient, channel: grpc.aio.Channel, org: Org
) -> None:
    async with Upstream(documents("My name is Ada", "and nothing else")) as server:
        made = await http.post(
            "/assistant", headers=org.bearer, json=assistant(base(server.base_url + "/kb?a=1"))
        )
        assistant_id = made.json()["id"]
        if over == "rest":
            body = {"assistantId": assistant_id, "input": "What is my name?"}
            chat = (await http.post("/chat", headers=org.bearer, json=body)).json()
            reply, known = chat["output"][0]["content"], chat["knowledge"]
        else:
            request = CreateChatRequest(
                assistant_id=assistant_id, input=Value(string_value="What is my name?")
            )
            chat = await ChatServiceStub(channel).CreateChat(request, metadata=org.metadata)
            reply, known = chat.output[0].message, {"documents": chat.knowledge.documents}
        [query_sent] = server.requests

    assert reply == "Your name is Ada."
    assert known == {"documents": 2}
    assert (query_sent.method, query_sent.path) == ("POST", "/kb?a=1")
    assert query_sent.body == {
        "message": {
            "type": "knowledge-base-request",
            "messages": [{"role": "user", "content": "What is my name?"}],
        }
    }


async def test_every_door_asks(http: httpx.AsyncClient, org: Org) -> None:
    async with Upstream(documents("My name is Ada")) as server:
        body = assistant(base(server.base_url))
        agent = (await http.post("/assistant", headers=org.bearer, json=body)).json()["id"]
        box = (await http.post("/chat", headers={"x-api-key": org.secret}, json={"agentId": agent})).json()[
            "id"
        ]
        user_message = {"content": "What is my name?", "role": "user"}
        answers = [
            (
                await http.post(f"/chat/{box}/message", headers={"x-api-key": org.secret}, json=user_message)
            ).text,
            (
                await http.post(
                    "/chat/responses",
                    headers=org.bearer,
                    json={"assistantId": agent, "input": "What is my name?", "stream": True},
                )
            ).text.replace('"delta":"', ""),
            (
                await http.post(
                    f"/api/v1/compatibility/openai/v1/assistants/{agent}/chat/completions",
                    headers=org.bearer,
                    json={"messages": [user_message]},
                )
            ).text,
        ]

    assert len(server.requests) == 3
    assert all("Your name is Ada." in answer for answer in answers)


async def test_earlier_messages_are_sent_and_documents_are_not_stored(
    http: httpx.AsyncClient, org: Org
) -> None:
    async with Upstream([documents("My name is Ada"), documents()]) as server:
        first = await send(http, org, base(server.base_url))
        body = {"previousChatId": first["id"], "input": "And what was my name?"}
        second = (await http.post("/chat", headers=org.bearer, json=body)).json()

    assert [message["content"] for message in server.requests[1].body["message"]["messages"]] == [
        "What is my name?",
        "Your name is Ada.",
        "And what was my name?",
    ]
    assert second["knowledge"] == {"documents": 0}
    assert second["output"][0]["content"] == "I don't know your name."
    assert "My name is Ada" not in str(first["messages"])


async def test_message_of_the_server_joins_the_context(http: httpx.AsyncClient, org: Org) -> None:
    async with Upstream(answered({"message": {"role": "assistant", "content": "My name is Ada"}})) as server:
        chat = await send(http, org, base(server.base_url))

    assert chat["output"][0]["content"] == "Your name is Ada."
    assert chat["knowledge"] == {"documents": 1}


async def test_failure_is_on_the_chat_and_the_exchange_goes_on(http: httpx.AsyncClient, org: Org) -> None:
    async with Upstream(failure(500, {"error": "INSIDE TEXT"})) as server:
        chat = await send(http, org, base(server.base_url))

    stored = (await http.get(f"/chat/{chat['id']}", headers=org.bearer)).json()
    assert stored["status"] == "completed"
    assert stored["output"][0]["content"] == "I don't know your name."
    assert (
        stored["knowledge"]
        == chat["knowledge"]
        == {
            "documents": 0,
            "error": {
                "code": "knowledge_base_error",
                "message": "The knowledge base was of no help: it answered with status 500.",
            },
        }
    )


async def test_streamed_exchange_has_the_report_too(http: httpx.AsyncClient, org: Org) -> None:
    async with Upstream(documents("My name is Ada")) as server:
        body = {"assistant": assistant(base(server.base_url)), "input": "What is my name?", "stream": True}
        text = (await http.post("/chat", headers=org.bearer, json=body)).text
    chat_id = orjson.loads(text.splitlines()[0].removeprefix("data: "))["id"]

    assert (await http.get(f"/chat/{chat_id}", headers=org.bearer)).json()["knowledge"] == {"documents": 1}


async def test_chat_without_a_knowledge_base_says_nothing_of_one(http: httpx.AsyncClient, org: Org) -> None:
    chat = await send(http, org, {"provider": "another", "server": {"url": "http://127.0.0.1:1"}})

    assert "knowledge" not in chat


# --- what a server may do -----------------------------------------------------------------------------------


UNREAD = "it answered with more than 1048576 bytes, or in a compressed form"
MESSAGES = [Message(role="user", content=Value(string_value="Hello"))]


async def waits(seconds: float) -> None:
    """Instead of sleeping."""


async def known(
    knowledge_base: dict[str, Any],
    allowed: str = "127.0.0.1",
    messages_sent: list[Message] = MESSAGES,
    sleep: Callable[[float], Any] = waits,
) -> tuple[list[str], ChatKnowledge | None]:
    poster = JsonPoster(AllowedHosts([allowed]), sleep=sleep)
    try:
        found = await KnowledgeBases(poster).query(knowledge_base, messages_sent, Outgoing())
    finally:
        await poster.close()
    return [message.content.string_value for message in found.messages], found.report


def error_of(report: ChatKnowledge | None) -> tuple[str, str]:
    assert report is not None
    return report.error.code, report.error.message


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (Answer([b"{"], 200, JSON), "its answer is not JSON"),
        (answered([]), "its answer is not an object"),
        (answered({}), "its answer has neither documents nor a message"),
        (answered({"documents": [{"text": "x"}]}), "its answer has neither documents nor a message"),
        (answered({"documents": "x"}), "its answer has neither documents nor a message"),
        (Answer([b"x"] * 3, 302, {"location": "http://127.0.0.1/"}), "it answered with status 302"),
        (failure(404), "it answered with status 404"),
        (Answer([b"[" + b" " * (1 << 20)], 200, JSON), UNREAD),
        (Answer([CUT], 200, JSON), "it could not be reached"),
        (Answer([b"{}"], 200, {**JSON, "content-encoding": "gzip"}), UNREAD),
    ],
    ids=["json", "array", "empty", "shape", "text", "redirect", "404", "size", "cut", "compressed"],
)
async def test_bad_answer_is_reported(answer: Answer, expected: str) -> None:
    async with Upstream(answer) as server:
        messages, report = await known(base(server.base_url))

    assert not messages
    assert len(server.requests) == 1
    assert error_of(report)[0] == "knowledge_base_error"
    assert error_of(report)[1].startswith(f"The knowledge base was of no help: {expected}")


@pytest.mark.parametrize(
    ("url", "allowed"),
    [
        ("http://127.0.0.1:{port}/", "example.com"),
        ("http://127.0.0.1:{port}/", "127.0.0.1:1"),
        ("file:///etc/passwd", "127.0.0.1"),
        ("http://user:secret@127.0.0.1:{port}/", "127.0.0.1"),
        ("nonsense", "127.0.0.1"),
    ],
    ids=["host", "port", "scheme", "password", "nonsense"],
)
async def test_url_that_the_operator_has_not_listed_is_not_asked(url: str, allowed: str) -> None:
    async with Upstream(documents("x")) as server:
        messages, report = await known(base(url.format(port=server.port)), allowed)

    assert not messages
    assert not server.requests
    code, message = error_of(report)
    assert code == "knowledge_base_refused"
    assert "model.knowledgeBase.server.url" in message
    assert "secret" not in message


async def test_headers_are_sent_and_ours_cannot_be_replaced() -> None:
    async with Upstream(documents("x")) as server:
        await known(base(server.base_url, headers={"Authorization": "Bearer of news", "x-team": "a"}))
        _, host = await known(base(server.base_url, headers={"Host": "elsewhere"}))
        _, split = await known(base(server.base_url, headers={"x-team": "a\r\nx: y"}))

    [query_sent] = server.requests
    assert (query_sent.headers["authorization"], query_sent.headers["x-team"]) == ("Bearer of news", "a")
    assert query_sent.headers["content-type"] == "application/json"
    assert "Host is not a header" in error_of(host)[1]
    assert "printable ASCII" in error_of(split)[1]


async def test_silent_server_is_given_up() -> None:
    async with Upstream(Answer([STALL], 200, JSON)) as server:
        messages, report = await known(base(server.base_url, timeoutSeconds=0.05))

    assert not messages
    assert error_of(report) == (
        "knowledge_base_timeout",
        "The knowledge base was of no help: it did not answer within 0.05 seconds.",
    )


@pytest.mark.parametrize(
    ("plan", "waited"),
    [
        ({"maxRetries": 3, "baseDelaySeconds": 2}, [2, 2]),
        ({"type": "fixed", "maxRetries": 2, "baseDelaySeconds": 0}, [0, 0]),
        ({"type": "exponential", "maxRetries": 3, "baseDelaySeconds": 2}, [2, 4]),
    ],
    ids=["fixed by default", "at once", "exponential"],
)
async def test_failed_request_is_tried_again_as_planned(plan: dict[str, Any], waited: list[float]) -> None:
    slept = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    async with Upstream([failure(503), failure(429), documents("found")]) as server:
        messages, report = await known(base(server.base_url, backoffPlan=plan), sleep=sleep)

    assert messages == ["What the knowledge base has on this:\n\nfound"]
    assert report == ChatKnowledge(documents=1)
    assert slept == waited


async def test_without_a_plan_nothing_is_tried_again() -> None:
    async with Upstream(failure(503)) as server:
        _, report = await known(base(server.base_url))

    assert len(server.requests) == 1
    assert report.error == ChatError(
        code="knowledge_base_error", message="The knowledge base was of no help: it answered with status 503."
    )


async def test_context_takes_so_much_and_no_more() -> None:
    async with Upstream(documents("a" * 60_000, "b" * 60_000, "c")) as server:
        [text], report = await known(base(server.base_url))
        _, many = await known(base(server.base_url))
    async with Upstream(documents(*"x" * 70)) as server:
        _, many = await known(base(server.base_url))

    assert report.documents == 2
    assert (text.count("a"), text.count("b")) == (
        60_000 + "What the knowledge base has".count("a"),
        40_000 + "knowledge base".count("b"),
    )
    assert many.documents == 50


async def test_tool_result_is_no_question() -> None:
    async with Upstream(documents("x")) as server:
        found = await known(
            base(server.base_url), messages_sent=[*MESSAGES, Message(role="tool", tool_call_id="c")]
        )

    assert found == ([], None)
    assert not server.requests
