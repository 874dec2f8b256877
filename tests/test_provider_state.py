"""What providers want back with their messages: kept, sent to whom it is from, and shown to nobody.

The stand-ins refuse what the real ones refuse, each by the rule of its source.
"""

import asyncio
import json
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import pytest
from google.protobuf.struct_pb2 import Value

from generated.parley.v1.chat_service_pb2 import (
    CreateChatRequest,
    GetChatRequest,
    ListChatsRequest,
    WatchChatRequest,
)
from generated.parley.v1.chat_service_pb2_grpc import ChatServiceStub
from generated.parley.v1.history_service_pb2 import ExportHistoryRequest, ImportHistoryRequest
from generated.parley.v1.history_service_pb2_grpc import HistoryServiceStub
from generated.parley.v1.message_pb2 import Message, ProviderState, ThinkingBlock
from generated.parley.v1.session_service_pb2 import GetSessionRequest
from generated.parley.v1.session_service_pb2_grpc import SessionServiceStub
from server.backends import anthropic, openai
from server.backends.backend import ModelRequest
from server.backends.state import state_for
from server.content.json_values import from_python
from server.exchange.recovery import STOPPED
from server.exchange.replay import broken_off
from tests.strict import flaw_in_deepseek, flaw_in_gemini, flaw_in_messages, flaw_in_openai
from tests.upstream import (
    STALL,
    Answer,
    Upstream,
    anthropic_stream,
    anthropic_text,
    chunk,
    openai_stream,
    openai_text,
    sse,
)

THOUGHT = "THOUGHT-of-the-model"
SIGNATURE = "SIGNATURE-of-the-provider"
TOOL = {
    "type": "function",
    "function": {"name": "weather", "parameters": {"type": "object", "properties": {}}},
}
RESULT = {"role": "tool", "tool_call_id": "call_1", "content": "sunny"}


class Strict(Upstream):
    """Answers by what it is sent: a call of the tool to a question, a text to a result, and 400 to what it
    refuses."""

    async def _send(self, answer: Answer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        request = self.requests[-1]
        if request.path == "/tool":
            call_id = request.body["message"]["toolCallList"][0]["id"]
            body = json.dumps({"results": [{"toolCallId": call_id, "result": "sunny"}]}).encode()
            answer = Answer([body], headers={"content-type": "application/json"})
        else:
            self.bodies.append(request.body)
            refused = self.flaw(request.body) or self.refuses(request.body)
            answer = (
                Answer([b'{"error": {}}'], 400, {"content-type": "application/json"})
                if refused
                else self.answer(request.body)
            )
        return await super()._send(answer, reader, writer)

    def __init__(self) -> None:
        super().__init__(Answer())
        self.bodies: list[dict[str, Any]] = []

    flaw: ClassVar[Callable[[dict[str, Any]], str | None]]
    """What else it refuses."""

    def refuses(self, body: dict[str, Any]) -> bool:
        raise NotImplementedError

    def answer(self, body: dict[str, Any]) -> Answer:
        raise NotImplementedError


class DeepSeek(Strict):
    """Thinking mode: what was thought before a call has to come back with it.
    api-docs.deepseek.com/guides/thinking_mode"""

    provider, model, prefix = "deep-seek", "deepseek-v4-pro", "/v1"
    flaw = staticmethod(flaw_in_deepseek)

    def refuses(self, body: dict[str, Any]) -> bool:
        return any(
            message.get("tool_calls") and message.get("reasoning_content") != THOUGHT
            for message in body["messages"]
        )

    def answer(self, body: dict[str, Any]) -> Answer:
        thought = [
            chunk({"role": "assistant", "content": None, "reasoning_content": THOUGHT[:7]}),
            chunk({"reasoning_content": THOUGHT[7:]}),
        ]
        if body["messages"][-1]["role"] == "tool":
            return openai_text("It is sunny.")
        return openai_stream(*thought, chunk({"tool_calls": [self.call]}), chunk(finish="tool_calls"))

    call: ClassVar[dict[str, Any]] = {
        "index": 0,
        "id": "call_1",
        "type": "function",
        "function": {"name": "weather", "arguments": "{}"},
    }


class Gemini(DeepSeek):
    """Gemini 3: the first call of a step has to come back with its signature.

    ai.google.dev/gemini-api/docs/thought-signatures
    """

    provider, model = "google", "gemini-3-pro"
    flaw = staticmethod(flaw_in_gemini)
    call = DeepSeek.call | {"extra_content": {"google": {"thought_signature": SIGNATURE}}}

    def refuses(self, body: dict[str, Any]) -> bool:
        made = [message["tool_calls"][0] for message in body["messages"] if message.get("tool_calls")]
        return any(call.get("extra_content") != self.call["extra_content"] for call in made)


class OpenRouter(DeepSeek):
    """Reasoning blocks have to come back whole, in order and unchanged.
    openrouter.ai/docs/use-cases/reasoning-tokens"""

    provider, model = "openrouter", "anthropic/claude-opus-4.5"
    flaw = staticmethod(flaw_in_openai)
    DETAILS: ClassVar[list[dict[str, Any]]] = [
        {
            "type": "reasoning.text",
            "text": THOUGHT,
            "index": 0,
            "format": "anthropic-claude-v1",
            "signature": SIGNATURE,
        },
        {"type": "reasoning.encrypted", "data": SIGNATURE, "index": 1},
    ]

    def refuses(self, body: dict[str, Any]) -> bool:
        return any(
            message.get("tool_calls") and message.get("reasoning_details") != self.DETAILS
            for message in body["messages"]
        )

    def answer(self, body: dict[str, Any]) -> Answer:
        if body["messages"][-1]["role"] == "tool":
            return openai_text("It is sunny.")
        common = {"type": "reasoning.text", "index": 0, "format": "anthropic-claude-v1"}
        return openai_stream(
            chunk(
                {
                    "reasoning": THOUGHT[:7],
                    "reasoning_details": [{**common, "text": THOUGHT[:7], "signature": None}],
                }
            ),
            chunk({"reasoning": THOUGHT[7:], "reasoning_details": [{**common, "text": THOUGHT[7:]}]}),
            chunk({"reasoning_details": [{**common, "signature": SIGNATURE}]}),
            chunk({"reasoning_details": [self.DETAILS[1]]}),
            chunk({"tool_calls": [self.call]}),
            chunk(finish="tool_calls"),
        )


class Claude(Strict):
    """A round of tools has to begin with its thinking block, which has to have its signature.

    platform.claude.com/docs/en/build-with-claude/extended-thinking
    """

    provider, model = "anthropic", "claude-strict-1"
    flaw = staticmethod(flaw_in_messages)

    def refuses(self, body: dict[str, Any]) -> bool:
        calling = [
            message["content"]
            for message in body["messages"]
            if message["role"] == "assistant"
            and any(block["type"] == "tool_use" for block in message["content"])
        ]
        whole = {"type": "thinking", "thinking": THOUGHT, "signature": SIGNATURE}
        return "thinking" in body and any(
            content[:2] != [whole, {"type": "redacted_thinking", "data": SIGNATURE}] for content in calling
        )

    def answer(self, body: dict[str, Any]) -> Answer:
        if body["messages"][-1]["content"][0]["type"] == "tool_result":
            return anthropic_text("It is sunny.")
        return anthropic_stream(
            {"type": "message_start", "message": {"model": self.model}},
            {
                "type": "content_block_start",
                "index": 0,
                "content_block": {"type": "thinking", "thinking": "", "signature": ""},
            },
            {
                "type": "content_block_delta",
                "index": 0,
                "delta": {"type": "thinking_delta", "thinking": THOUGHT},
            },
            {
                "type": "content_block_delta",
                "index": 0,
                "delta": {"type": "signature_delta", "signature": SIGNATURE},
            },
            {"type": "content_block_stop", "index": 0},
            {
                "type": "content_block_start",
                "index": 1,
                "content_block": {"type": "redacted_thinking", "data": SIGNATURE},
            },
            {"type": "content_block_stop", "index": 1},
            {
                "type": "content_block_start",
                "index": 2,
                "content_block": {"type": "tool_use", "id": "call_1", "name": "weather", "input": {}},
            },
            {"type": "content_block_stop", "index": 2},
            {"type": "message_delta", "delta": {"stop_reason": "tool_use"}},
            {"type": "message_stop"},
        )


PROVIDERS = pytest.mark.parametrize("kind", [DeepSeek, Gemini, OpenRouter, Claude])


def assistant(upstream: Any, *, runs: bool = False) -> dict[str, Any]:
    tool = TOOL | {"server": {"url": f"http://127.0.0.1:{upstream.port}/tool"}} if runs else TOOL
    thinking = {"thinking": {"type": "enabled", "budgetTokens": 1024}} if isinstance(upstream, Claude) else {}
    return {
        "model": {
            "provider": upstream.provider,
            "model": upstream.model,
            "url": upstream.base_url,
            "tools": [tool],
            **thinking,
        },
        "credentials": [{"provider": upstream.provider, "apiKey": "k"}],
    }


def reveals(*received: Any) -> bool:
    return THOUGHT in str(received) or reveals_state(received)


def reveals_state(*received: Any) -> bool:
    """Whether there is what only the provider may get. Its reasoning is a part of responses."""
    return any(secret in str(received) for secret in (SIGNATURE, "rovider_state", "roviderState"))


# --- it comes back ------------------------------------------------------------------------------------------


@PROVIDERS
async def test_round_that_the_server_runs_is_accepted(http, org, kind):
    async with kind() as upstream:
        chat = (
            await http.post(
                "/chat",
                headers=org.bearer,
                json={"assistant": assistant(upstream, runs=True), "input": "Weather?"},
            )
        ).json()
        second = (
            await http.post(
                "/chat", headers=org.bearer, json={"previousChatId": chat["id"], "input": "Again?"}
            )
        ).json()

    assert [one["status"] for one in (chat, second)] == ["completed", "completed"]
    assert [message["role"] for message in second["output"]] == ["assistant", "tool", "assistant"]
    assert len(upstream.bodies) == 4
    assert not reveals(chat, second)


@PROVIDERS
@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("in_session", [False, True], ids=["chained", "in a session"])
async def test_result_that_the_caller_sends_is_accepted(http, org, kind, streamed, in_session):
    async with kind() as upstream:
        document = assistant(upstream)
        session = (await http.post("/session", headers=org.bearer, json={"assistant": document})).json()["id"]
        joined = {"sessionId": session} if in_session else {"assistant": document}
        first = await http.post(
            "/chat", headers=org.bearer, json={**joined, "input": "Weather?", "stream": streamed}
        )
        chat_id = (await http.get("/chat", headers=org.bearer)).json()["results"][0]["id"]
        goes_on = joined if in_session else {"previousChatId": chat_id}
        second = (await http.post("/chat", headers=org.bearer, json={**goes_on, "input": [RESULT]})).json()

    assert second["output"][0]["content"] == "It is sunny."
    assert not reveals(first.text, second)


@PROVIDERS
async def test_response_is_gone_on_with(http, org, kind):
    async with kind() as upstream:
        body = {"assistant": assistant(upstream), "input": "Weather?", "stream": False}
        first = (await http.post("/chat/responses", headers=org.bearer, json=body)).json()
        output = {"type": "function_call_output", "call_id": "call_1", "output": "sunny"}
        second = (
            await http.post(
                "/chat/responses",
                headers=org.bearer,
                json={"previous_response_id": first["id"], "input": [output], "stream": False},
            )
        ).json()

    assert second["output"][0]["content"][0]["text"] == "It is sunny."
    assert not reveals_state(first, second)


async def test_round_of_an_exchange_that_no_server_ends_keeps_it(service, channel, org):
    class Stalling(DeepSeek):
        def answer(self, body: dict[str, Any]) -> Answer:
            if body["messages"][-1]["role"] != "tool":
                return super().answer(body)
            return Answer([*sse(chunk({"content": "It is"})), STALL])

    async with Stalling() as upstream:
        made = await service.store.assistants.create(org.id, assistant(upstream, runs=True))
        request = CreateChatRequest(assistant_id=made.id, input=from_python("Weather?"))
        call = ChatServiceStub(channel).StreamChat(request, metadata=org.metadata)
        received = [await call.read() for _ in range(5)]
        unfinished = await service.store.chats.unfinished(org.id, received[0].chat_id)
        call.cancel()
        await upstream.disconnected.wait()

    (calling_, _, last) = broken_off(unfinished, STOPPED).answered
    assert [event.WhichOneof("event") for event in received] == [
        "started",
        "reasoning",
        "reasoning",
        "round",
        "delta",
    ]
    assert (calling_.provider_state.reasoning_content, last.HasField("provider_state")) == (THOUGHT, False)
    assert [part.text for part in calling_.reasoning.parts] == [THOUGHT]
    assert not reveals_state(received)


# --- it goes to nobody else ---------------------------------------------------------------------------------


@PROVIDERS
async def test_no_answer_shows_it(service, channel, http, org, kind):
    async with kind() as upstream:
        made = await service.store.assistants.create(org.id, assistant(upstream, runs=True))
        session = (await http.post("/session", headers=org.bearer, json={"assistantId": made.id})).json()[
            "id"
        ]
        chats, sessions = ChatServiceStub(channel), SessionServiceStub(channel)
        request = CreateChatRequest(session_id=session, input=from_python("Weather?"))
        live = [event async for event in chats.StreamChat(request, metadata=org.metadata)]
        chat = GetChatRequest(id=live[0].chat_id)
        events = [
            event async for event in chats.WatchChat(WatchChatRequest(id=chat.id), metadata=org.metadata)
        ]
        received = [
            [event for event in (*live, *events) if not event.HasField("reasoning")],
            await chats.CreateChat(request, metadata=org.metadata),
            await chats.GetChat(chat, metadata=org.metadata),
            await chats.ListChats(ListChatsRequest(), metadata=org.metadata),
            await sessions.GetSession(GetSessionRequest(id=session), metadata=org.metadata),
        ]
        paths = ["/chat", f"/chat/{chat.id}", "/session", f"/session/{session}"]
        of_responses = [
            f"/v1/responses/{chat.id}",
            f"/v1/conversations/{session}/items",
            f"/v1/responses/{chat.id}/input_items",
        ]
        answers = [await http.get(path, headers=org.bearer) for path in paths]
        responses = [await http.get(path, headers=org.bearer) for path in of_responses]
        completion = await http.post(
            "/chat/completions",
            headers=org.bearer,
            json={"model": made.id, "messages": [{"role": "user", "content": "Weather?"}]},
        )

    assert {answer.status_code for answer in (*answers, *responses, completion)} == {200}
    assert not reveals(received, [answer.text for answer in answers], completion.text)
    assert not reveals_state([answer.text for answer in responses], live, events)


@PROVIDERS
async def test_export_has_it_and_an_imported_conversation_goes_on(channel, http, org, other_org, kind):
    history = HistoryServiceStub(channel)
    async with kind() as upstream:
        document = assistant(upstream)
        made = (await http.post("/assistant", headers=org.bearer, json=document)).json()
        first = (
            await http.post(
                "/chat", headers=org.bearer, json={"assistantId": made["id"], "input": "Weather?"}
            )
        ).json()
        lines = [
            line
            async for answer in history.ExportHistory(ExportHistoryRequest(), metadata=org.metadata)
            for line in answer.lines
        ]
        await history.ImportHistory(ImportHistoryRequest(lines=lines), metadata=other_org.metadata)
        second = await http.post(
            "/chat",
            headers=other_org.bearer,
            json={"previousChatId": first["id"], "assistant": document, "input": [RESULT]},
        )

    assert reveals(lines)
    assert second.json()["output"][0]["content"] == "It is sunny."


@pytest.mark.parametrize(
    ("kind", "old", "new", "field"),
    [
        (Gemini, r"{\"google\"", r"[\"google\"", r"extraContent\[0\].json"),
        (OpenRouter, r"{\"type\":\"reasoning.encrypted\"", "", r"reasoningDetails\[1\]"),
    ],
)
async def test_import_of_what_is_no_json_object_is_refused(channel, org, http, kind, old, new, field):
    history = HistoryServiceStub(channel)
    async with kind() as upstream:
        await http.post(
            "/chat", headers=org.bearer, json={"assistant": assistant(upstream), "input": "Weather?"}
        )
    lines = [
        line.replace(old, new)
        async for answer in history.ExportHistory(ExportHistoryRequest(), metadata=org.metadata)
        for line in answer.lines
    ]

    with pytest.raises(Exception, match=rf"body.providerState.{field} must be a JSON object"):
        await history.ImportHistory(ImportHistoryRequest(lines=lines), metadata=org.metadata)


async def test_another_host_is_sent_none_of_it(http, org):
    async with DeepSeek() as one, DeepSeek() as other:
        first = (
            await http.post(
                "/chat", headers=org.bearer, json={"assistant": assistant(one), "input": "Weather?"}
            )
        ).json()
        await http.post(
            "/chat",
            headers=org.bearer,
            json={"previousChatId": first["id"], "assistant": assistant(other), "input": [RESULT]},
        )

    assert other.bodies
    assert not reveals(other.bodies)


STATE = ProviderState(provider="openai", model_family="gpt", host="one.example")


@pytest.mark.parametrize(
    ("provider", "model", "url", "sent"),
    [
        ("openai", "gpt-5", "https://one.example/v1", True),
        ("openai", "openai/GPT-4o", "https://user:pass@one.example/other?key=k", True),
        ("openai", "gpt-5", "https://two.example/v1", False),
        ("openai", "gpt-5", None, False),
        ("openai", "o3", "https://one.example/v1", False),
        ("groq", "gpt-5", "https://one.example/v1", False),
    ],
)
def test_state_is_for_the_provider_and_the_model_family_that_sent_it(provider, model, url, sent):
    request = ModelRequest(provider=provider, model=model, url=url, messages=[])

    assert state_for(Message(provider_state=STATE), request) == (STATE if sent else None)


# --- what is sent in its place ------------------------------------------------------------------------------


def model_request(*messages: Message, provider: str, model: str, **members: Any) -> ModelRequest:
    hi = Message(role="user", content=Value(string_value="Hi"))
    return ModelRequest(provider=provider, model=model, messages=[hi, *messages], **members)


def calling(*call_ids: str, text: str = "", **members: Any) -> list[Message]:
    """A message with calls, and their results."""
    calls = [
        {"id": call_id, "type": "function", "function": {"name": "f", "arguments": "{}"}}
        for call_id in call_ids
    ]
    message = Message(role="assistant", tool_calls=from_python(calls), **members)
    if text:
        message.content.string_value = text
    return [
        message,
        *(Message(role="tool", tool_call_id=call_id, content=from_python("done")) for call_id in call_ids),
    ]


def test_gemini_is_sent_its_placeholder_with_the_first_call_that_another_model_made():
    body = openai.request_body(model_request(*calling("a", "b"), provider="google", model="gemini-3-pro"))
    calls = body["messages"][1]["tool_calls"]

    # ai.google.dev/gemini-api/docs/thought-signatures: "skip_thought_signature_validator" for calls of other
    # models
    assert [call.get("extra_content") for call in calls] == [
        {"google": {"thought_signature": "skip_thought_signature_validator"}},
        None,
    ]


def test_deepseek_is_sent_empty_reasoning_with_a_call_that_another_model_made():
    sent = openai.request_body(model_request(*calling("a"), provider="deep-seek", model="deepseek-v4-pro"))[
        "messages"
    ]

    # "Missing `reasoning_content` field in the assistant message": the member has to be there
    assert [message.get("reasoning_content") for message in sent] == [None, "", None]


@pytest.mark.parametrize("provider", ["openai", "mistral", "custom-llm"])
def test_other_providers_are_sent_no_members_that_they_do_not_know(provider):
    (message,) = [
        one
        for one in openai.request_body(model_request(*calling("a"), provider=provider, model="m"))["messages"]
        if one["role"] == "assistant"
    ]

    assert message.keys() == {"role", "content", "tool_calls"}
    assert message["tool_calls"][0].keys() == {"id", "type", "function"}


def claude_state(*blocks: ThinkingBlock) -> ProviderState:
    return ProviderState(provider="anthropic", model_family="claude", thinking=blocks)


def claude(*messages: Message, thinking: str | None = "enabled") -> dict[str, Any]:
    return anthropic.request_body(
        model_request(
            *messages,
            provider="anthropic",
            model="claude-opus-4-5",
            thinking={"type": thinking, "budgetTokens": 1024} if thinking else None,
        )
    )


def kinds(turn: dict[str, Any]) -> list[str]:
    return [block.get("text") or block.get("thinking") or block["type"] for block in turn["content"]]


def test_thinking_between_texts_and_calls_is_sent_where_it_was():
    state = claude_state(
        ThinkingBlock(thinking="1"),
        ThinkingBlock(thinking="2", characters_before=4),
        ThinkingBlock(thinking="3", characters_before=8, calls_before=1),
    )
    body = claude(*calling("a", "b", text="Let me see", provider_state=state))

    assert kinds(body["messages"][1]) == ["1", "Let ", "2", "me s", "tool_use", "3", "ee", "tool_use"]


UNTHOUGHT = calling("a")
THOUGHT_OF = calling("a", provider_state=claude_state(ThinkingBlock(thinking="hm", signature="s")))
QUESTIONS = [Message(role="user", content=Value(string_value="And?"))]


@pytest.mark.parametrize(
    ("messages", "thinking", "thinks", "sent"),
    [
        # "Expected `thinking` or `redacted_thinking`, but found `tool_use`"
        (UNTHOUGHT, "enabled", False, False),
        ([*UNTHOUGHT, *THOUGHT_OF], "enabled", False, False),  # one round of tools is in one mode
        # without interleaved thinking, only the first call has it
        ([*THOUGHT_OF, *UNTHOUGHT], "enabled", True, True),
        ([*UNTHOUGHT, *QUESTIONS], "enabled", True, False),  # the round is over
        ([*UNTHOUGHT, *QUESTIONS, *THOUGHT_OF], "enabled", True, True),
        (UNTHOUGHT, "adaptive", True, False),  # it may think, and need not have
        (THOUGHT_OF, "disabled", False, False),
        (THOUGHT_OF, None, False, True),  # some models think without being asked to
    ],
)
def test_claude_thinks_unless_an_open_round_of_tools_began_without(
    messages: Sequence[Message], thinking, thinks, sent
):
    body = claude(*messages, thinking=thinking)

    assert ("thinking" in body) == thinks
    assert any(block["type"] == "thinking" for turn in body["messages"] for block in turn["content"]) == sent
