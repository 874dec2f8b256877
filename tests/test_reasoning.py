"""What a model reasons as items of the Responses interface: streamed, stored, listed, sent back sealed, and
shown to those who may read it.

The stand-ins of the providers refuse what the real ones refuse (`test_provider_state.py` has their sources).
"""

import base64
import json
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any, get_args

import httpx
import openai
import pytest
from openai.types.responses import ResponseReasoningItem
from openai.types.responses.response_stream_event import ResponseStreamEvent

from generated.parley.v1.chat_pb2 import ChatEvent
from generated.parley.v1.chat_service_pb2 import WatchChatRequest
from generated.parley.v1.chat_service_pb2_grpc import ChatServiceStub
from generated.parley.v1.message_pb2 import Message, ProviderState, Reasoning, ReasoningPart, ThinkingBlock
from generated.parley.v1.response_service_pb2 import CreateResponseRequest
from generated.parley.v1.response_service_pb2_grpc import ResponseServiceStub
from server.content.json_values import from_python
from server.content.messages import Stretch, Thought, in_order
from server.content.sealing import Sealer
from server.core.ids import parse_id
from server.exchange.remote import Watching
from server.storage.scope import Scope
from tests.conftest import running
from tests.connected import WebSocketTalk, websocket
from tests.sdk import official_client
from tests.test_provider_state import (
    PROVIDERS,
    TOOL,
    Claude,
    DeepSeek,
    OpenRouter,
    assistant,
    reveals,
    reveals_state,
)
from tests.test_provider_state import THOUGHT as PROVIDERS_THOUGHT
from tests.upstream import STALL, Answer, chunk, sse

HI = "The user said 2 words, so I look for a tool or repeat them."
SEALED = {"store": False, "include": ["reasoning.encrypted_content"]}
BASES = pytest.mark.parametrize("base", ["/v1/responses", "/chat/responses"])
EVENTS = {
    get_args(one.model_fields["type"].annotation)[0]: one
    for one in get_args(get_args(ResponseStreamEvent)[0])
}
OUTPUT = {"type": "function_call_output", "call_id": "call_1", "output": "sunny"}
EFFORT = {"effort": "low"}
RAW = {"summary": [], "content": [{"type": "reasoning_text", "text": HI}]}
SUMMARIZED = {"summary": [{"type": "summary_text", "text": HI}]}


class Asked:
    """A stored assistant at one base, asked with one key."""

    def __init__(
        self, http: httpx.AsyncClient, base: str, assistant_id: str, headers: dict[str, str]
    ) -> None:
        self._http, self._base, self._headers = http, base, headers
        self._who = {"model" if base.startswith("/v1") else "assistantId": assistant_id}

    async def __call__(self, **members: Any) -> httpx.Response:
        body = {**self._who, "input": "Hello there", "stream": False, **members}
        return await self._http.post(self._base, headers=self._headers, json=body)

    async def whole(self, **members: Any) -> dict[str, Any]:
        answer = await self(**members)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def streamed(self, **members: Any) -> list[dict[str, Any]]:
        return events_of((await self(stream=True, **members)).text)


def events_of(text: str) -> list[dict[str, Any]]:
    """The events of a stream; those of items are as the official client's types have them."""
    lines = [line.removeprefix("data: ") for line in text.splitlines() if line.startswith("data: {")]
    events = [json.loads(line) for line in lines]
    for event in events:
        if "response" not in event:
            EVENTS[event["type"]].model_validate(event)
    return events


def bare(item: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in item.items() if name not in ("id", "type", "status")}


def kinds(items: list[dict[str, Any]]) -> list[str]:
    return [item["type"] for item in items]


def shape(output: list[dict[str, Any]]) -> list[Any]:
    """Items without what differs from one answer to the next: ids, which what is sealed has too."""
    volatile = ("id", "call_id", "encrypted_content")
    return [{name: value for name, value in item.items() if name not in volatile} for item in output]


@pytest.fixture
async def offline(service, org) -> str:
    return (await service.store.assistants.create(org.id, {"name": "Offline"})).id


# --- items and events ---------------------------------------------------------------------------------------


@BASES
@pytest.mark.parametrize(
    ("reasoning", "item"),
    [(EFFORT, RAW), ({**EFFORT, "summary": "auto"}, SUMMARIZED)],
    ids=["raw", "summary"],
)
async def test_reasoning_is_an_item_before_the_answer(http, org, offline, base, reasoning, item):
    asked = Asked(http, base, offline, org.bearer)
    whole = await asked.whole(reasoning=reasoning)
    events = await asked.streamed(reasoning=reasoning)
    read = (await http.get(f"/v1/responses/{whole['id']}", headers=org.bearer)).json()

    assert kinds(whole["output"]) == ["reasoning", "message"]
    assert bare(whole["output"][0]) == item
    assert whole["output"][0]["id"] == whole["output"][1]["id"].replace("msg_", "rs_")
    assert whole["usage"]["output_tokens_details"] == {"reasoning_tokens": 14}
    assert "warnings" not in whole
    assert read["output"] == whole["output"]
    assert shape(events[-1]["response"]["output"]) == shape(whole["output"])


async def test_events_of_raw_reasoning_are_those_of_the_public_interface(http, org, offline):
    events = await Asked(http, "/v1/responses", offline, org.bearer).streamed(reasoning=EFFORT)

    told = [event for event in events if event.get("output_index") == 0]
    assert list(dict.fromkeys(event["type"] for event in told)) == [
        "response.output_item.added",
        "response.content_part.added",
        "response.reasoning_text.delta",
        "response.reasoning_text.done",
        "response.content_part.done",
        "response.output_item.done",
    ]
    assert "".join(event["delta"] for event in told if "delta" in event) == HI
    assert told[0]["item"]["summary"] == []
    assert [event["sequence_number"] for event in events] == list(range(len(events)))


async def test_events_of_a_summary_are_those_of_the_public_interface(http, org, offline):
    events = await Asked(http, "/v1/responses", offline, org.bearer).streamed(
        reasoning={**EFFORT, "summary": "concise"}
    )

    told = [event for event in events if event.get("output_index") == 0]
    assert list(dict.fromkeys(event["type"] for event in told)) == [
        "response.output_item.added",
        "response.reasoning_summary_part.added",
        "response.reasoning_summary_text.delta",
        "response.reasoning_summary_text.done",
        "response.reasoning_summary_part.done",
        "response.output_item.done",
    ]
    assert {event["summary_index"] for event in told if "summary_index" in event} == {0}


@PROVIDERS
@pytest.mark.parametrize("included", [{}, SEALED], ids=["stored", "sealed"])
async def test_stream_has_the_items_of_a_whole_answer(service, http, org, kind, included):
    async with kind() as upstream:
        made = await service.store.assistants.create(org.id, assistant(upstream, runs=True))
        asked = Asked(http, "/v1/responses", made.id, org.bearer)
        whole = await asked.whole(**included)
        events = await asked.streamed(**included)
    done = [event["item"] for event in events if event["type"] == "response.output_item.done"]
    completed = events[-1]["response"]["output"]

    sealed = [item for item in whole["output"] if "encrypted_content" in item]
    assert shape(completed) == shape(whole["output"])
    assert sorted(done, key=lambda item: item["id"]) == sorted(completed, key=lambda item: item["id"])
    assert len(sealed) == (len(included) > 0)
    assert not reveals_state(whole, events)
    expected = {DeepSeek: "content", OpenRouter: "content", Claude: "summary"}.get(kind)
    if expected:
        assert whole["output"][0][expected][0]["text"] == PROVIDERS_THOUGHT


@PROVIDERS
async def test_stream_is_read_on_with_its_reasoning(service, http, org, kind):
    async with kind() as upstream:
        made = await service.store.assistants.create(org.id, assistant(upstream, runs=True))
        events = await Asked(http, "/v1/responses", made.id, org.bearer).streamed()
    path = f"/v1/responses/{events[-1]['response']['id']}?stream=true"
    again = events_of((await http.get(path, headers=org.bearer)).text)
    rest = events_of((await http.get(f"{path}&starting_after=4", headers=org.bearer)).text)

    assert again[2:-1] == events[2:-1]
    assert rest == again[5:]


async def test_another_server_that_watches_has_the_state_of_each_round(service, http, org):
    class Stalling(DeepSeek):
        def answer(self, body: dict[str, Any]) -> Answer:
            if body["messages"][-1]["role"] != "tool":
                return super().answer(body)
            return Answer([*sse(chunk({"content": "It is"})), STALL])

    async with Stalling() as upstream:
        made = await service.store.assistants.create(org.id, assistant(upstream, runs=True))
        begun = await Asked(http, "/v1/responses", made.id, org.bearer).whole(
            background=True, include=SEALED["include"]
        )
        chats, scope = service.store.chats, Scope(org.id)
        stored = await chats.find(scope, parse_id(begun["id"]))
        elsewhere = Watching(
            chats, service.store.peers, scope, stored, await chats.whole(stored), no_recovery
        )
        events = [event async for batch in until_text(elsewhere.batches()) for event in batch]
        (calling_,) = (event.round.messages[0] for event in events if event.HasField("round"))
        await http.post(f"/v1/responses/{begun['id']}/cancel", headers=org.bearer)

    assert elsewhere.outcome.kept[calling_.id].provider_state.reasoning_content == PROVIDERS_THOUGHT


async def no_recovery(org_id: str, chat_id: str) -> None:
    """The server that runs it is alive."""


async def until_text(batches: AsyncGenerator[list[ChatEvent]]) -> AsyncGenerator[list[ChatEvent]]:
    async with aclosing(batches):
        async for batch in batches:
            yield batch
            if any(event.HasField("delta") for event in batch):
                return


async def test_whole_answer_is_streamed_later_with_its_reasoning(http, org, offline):
    whole = await Asked(http, "/v1/responses", offline, org.bearer).whole(reasoning=EFFORT)
    later = events_of((await http.get(f"/v1/responses/{whole['id']}?stream=true", headers=org.bearer)).text)

    assert later[-1]["response"]["output"] == whole["output"]


async def test_reasoning_between_texts_begins_items_of_its_own():
    def part(text: str, characters: int, calls: int) -> ReasoningPart:
        return ReasoningPart(text=text, characters_before=characters, calls_before=calls)

    message = Message(
        role="assistant",
        reasoning=Reasoning(parts=[part("a", 0, 0), part("b", 0, 0), part("c", 2, 0), part("d", 4, 1)]),
    )
    message.content.string_value = "Hi, you"
    message.tool_calls.CopyFrom(from_python([{"id": "1", "function": {"name": "f", "arguments": "{}"}}]))
    message.text_before_calls.extend([4])

    order = [
        [part.text for part in one.parts] if isinstance(one, Thought) else one for one in in_order(message)
    ]

    assert order == [["a", "b"], Stretch("Hi", ""), ["c"], Stretch(", ", ""), 0, ["d"], Stretch("you", "")]


# --- the official client ------------------------------------------------------------------------------------


async def test_official_client_reads_and_streams_it(service, org, offline):
    async with official_client(f"{service.http_url}/v1", org.api) as sdk:
        whole = await sdk.responses.create(model=offline, input="Hello there", reasoning={"effort": "low"})
        async with sdk.responses.stream(
            model=offline, input="Hello there", reasoning={"effort": "low", "summary": "auto"}, **SEALED
        ) as stream:
            deltas = [
                event.delta async for event in stream if event.type == "response.reasoning_summary_text.delta"
            ]
            final = await stream.get_final_response()

    assert isinstance(whole.output[0], ResponseReasoningItem)
    assert whole.output[0].content[0].text == "".join(deltas) == final.output[0].summary[0].text == HI
    assert final.output[0].encrypted_content
    assert whole.output_text == final.output_text == "You said: Hello there"


@PROVIDERS
async def test_stateless_caller_sends_the_output_back_as_it_is(service, org, kind):
    """A loop of tools with `store: false`: nothing is on record, and the provider gets what it wants."""
    async with kind() as upstream, official_client(f"{service.http_url}/v1", org.api) as sdk:
        made = await service.store.assistants.create(org.id, assistant(upstream))
        turns: list[Any] = [{"role": "user", "content": "Weather?"}]
        for streamed in (False, True):
            if streamed:
                async with sdk.responses.stream(model=made.id, input=turns, **SEALED) as stream:
                    first = await stream.get_final_response()
            else:
                first = await sdk.responses.create(model=made.id, input=turns, **SEALED)
            turns += [item.model_dump(exclude_unset=True) for item in first.output] + [OUTPUT]
            second = await sdk.responses.create(model=made.id, input=turns, **SEALED)
            turns += [item.model_dump(exclude_unset=True) for item in second.output]
            turns += [{"role": "user", "content": "Again?"}]
            assert second.output_text == "It is sunny."
            assert reveals(upstream.bodies[-1])
            assert kind is not Claude or "thinking" in upstream.bodies[-1]
            assert not reveals_state(first, second)
            assert "warnings" not in second.model_dump()


@PROVIDERS
async def test_rounds_that_the_server_ran_are_sent_back_as_they_are(service, http, org, kind):
    async with kind() as upstream:
        made = await service.store.assistants.create(org.id, assistant(upstream, runs=True))
        asked = Asked(http, "/v1/responses", made.id, org.bearer)
        first = await asked.whole(input="Weather?", **SEALED)
        turns = [
            {"role": "user", "content": "Weather?"},
            *first["output"],
            {"role": "user", "content": "Again?"},
        ]
        second = await asked.whole(input=turns, **SEALED)

    assert kinds(second["output"]).count("mcp_call") == 1
    assert reveals(upstream.bodies[-2])


# --- ids of what is stored ----------------------------------------------------------------------------------


@PROVIDERS
@pytest.mark.parametrize("named", ["items", "references"])
async def test_ids_alone_refer_to_what_is_stored(service, http, org, kind, named):
    """Also with another id of the call, by which no record would be found."""
    async with kind() as upstream:
        made = await service.store.assistants.create(org.id, assistant(upstream))
        asked = Asked(http, "/v1/responses", made.id, org.bearer)
        first = await asked.whole(input="Weather?")
        items = first["output"]
        if named == "references":
            items = [{"type": "item_reference", "id": item["id"]} for item in items]
        question = {"role": "user", "content": "Weather?"}
        second = await asked.whole(input=[question, *items, OUTPUT])
        listed = (await http.get(f"/v1/responses/{second['id']}/input_items", headers=org.bearer)).json()

    assert second["output"][0]["content"][0]["text"] == "It is sunny."
    assert reveals(upstream.bodies[-1])
    assert kinds(listed["data"])[-1:] == ["message"]
    assert "function_call" in kinds(listed["data"])


async def test_reasoning_of_another_service_is_passed_over(http, org, offline):
    items = [
        {"type": "reasoning", "id": "rs_1", "summary": []},
        {"type": "reasoning", "id": "rs_0123456789abcdef0123456789abcdef", "summary": []},
        {"role": "user", "content": "Hello"},
    ]
    answer = await Asked(http, "/v1/responses", offline, org.bearer).whole(input=items)

    assert answer["output"][0]["content"][0]["text"] == "You said: Hello"


async def test_reasoning_is_among_the_items_of_a_conversation_and_survives_a_restart(tmp_path):
    async with running(tmp_path) as service:
        org = await service.new_org()
        made = await service.store.assistants.create(org.id, {"name": "Offline"})
        async with official_client(f"{service.http_url}/v1", org.api) as sdk:
            conversation = await sdk.conversations.create()
            first = await sdk.responses.create(
                model=made.id, input="Hello there", conversation=conversation.id, reasoning={"effort": "low"}
            )
    async with running(tmp_path) as service, official_client(f"{service.http_url}/v1", org.api) as sdk:
        items = [item async for item in sdk.conversations.items.list(conversation.id, order="asc")]
        one = await sdk.conversations.items.retrieve(first.output[0].id, conversation_id=conversation.id)
        again = await sdk.responses.retrieve(first.id)

    assert [item.type for item in items] == ["message", "reasoning", "message"]
    assert one.id == items[1].id == first.output[0].id
    assert one.content[0].text == HI
    assert again.output == first.output


# --- what was sealed ----------------------------------------------------------------------------------------


def changed(sealed: str) -> str:
    data = bytearray(base64.b64decode(sealed))
    data[-1] ^= 1
    return base64.b64encode(data).decode()


@BASES
@pytest.mark.parametrize(
    "forge", [changed, lambda sealed: "gAAAAB", lambda sealed: "é", lambda sealed: "AAAA"]
)
async def test_forged_reasoning_is_refused_by_name(http, org, offline, base, forge):
    asked = Asked(http, base, offline, org.bearer)
    first = await asked.whole(reasoning=EFFORT, **SEALED)
    item = first["output"][0] | {"encrypted_content": forge(first["output"][0]["encrypted_content"])}
    answer = await asked(input=[item, {"role": "user", "content": "Hi"}])

    error = answer.json()["error"]
    assert answer.status_code == 400
    assert error["code"] == "invalid_encrypted_content"
    assert error["param"] == "input[0].encrypted_content"


async def test_reasoning_of_another_org_is_refused(service, http, org, other_org, offline):
    first = await Asked(http, "/v1/responses", offline, org.bearer).whole(reasoning=EFFORT, **SEALED)
    theirs = await service.store.assistants.create(other_org.id, {"name": "Offline"})
    answer = await Asked(http, "/v1/responses", theirs.id, other_org.bearer)(input=first["output"])
    conversation = await http.post(
        "/v1/conversations", headers=other_org.bearer, json={"items": first["output"]}
    )

    assert [one.json()["error"]["code"] for one in (answer, conversation)] == [
        "invalid_encrypted_content"
    ] * 2
    assert conversation.json()["error"]["param"] == "items[0].encrypted_content"


def test_servers_that_share_a_secret_open_what_the_others_seal():
    state = ProviderState(provider="anthropic", thinking=[ThinkingBlock(thinking="a", signature="b")])
    sealed = Sealer(b"shared").seal("org", state, is_behind=True)

    assert Sealer(b"shared").open("org", sealed) == (state, True)
    assert Sealer(b"shared").seal("org", state, is_behind=True) == sealed
    assert Sealer(b"another").open("org", sealed) is None
    assert Sealer(b"shared").open("other", sealed) is None


async def test_another_provider_is_sent_none_of_it_and_the_answer_says_so(service, http, org, offline):
    async with DeepSeek() as upstream:
        made = await service.store.assistants.create(org.id, assistant(upstream))
        first = await Asked(http, "/v1/responses", made.id, org.bearer).whole(input="Weather?", **SEALED)
    turns = [{"role": "user", "content": "Weather?"}, *first["output"], OUTPUT]
    second = await Asked(http, "/v1/responses", offline, org.bearer).whole(input=turns)

    assert second["output"][-1]["content"][0]["text"] == "weather returned: sunny"
    assert [(one["code"], one["param"]) for one in second["warnings"]] == [("reasoning_not_sent", "input[1]")]


async def test_encrypted_content_is_shown_to_those_alone_who_ask_for_it(http, org, offline):
    asked = Asked(http, "/v1/responses", offline, org.bearer)

    assert "encrypted_content" not in (await asked.whole(reasoning=EFFORT))["output"][0]
    assert (
        "encrypted_content" in (await asked.whole(reasoning=EFFORT, include=SEALED["include"]))["output"][0]
    )
    assert "reasoning" not in kinds((await asked.whole(**SEALED))["output"])


# --- who may read it ----------------------------------------------------------------------------------------


@BASES
@pytest.mark.parametrize("exposes", [False, True], ids=["hidden", "exposed"])
async def test_publishable_key_reads_what_the_assistant_exposes(service, http, org, base, exposes):
    made = await service.store.assistants.create(org.id, {"name": "O", "exposeReasoning": exposes})
    page = {"authorization": f"Bearer {org.publishable}"}
    asked = Asked(http, base, made.id, page)
    whole = await asked.whole(reasoning=EFFORT)
    events = await asked.streamed(reasoning=EFFORT)
    streamed = events[-1]["response"]
    read = [
        await http.get(path, headers=page)
        for path in (f"/v1/responses/{whole['id']}", f"/v1/responses/{streamed['id']}?stream=true")
    ]
    goes_on = await asked.whole(previous_response_id=whole["id"])
    shown = HI in "".join([str(whole), str(events), *(one.text for one in read)])
    by_the_org = (await http.get(f"/v1/responses/{whole['id']}", headers=org.bearer)).json()

    assert {one.status_code for one in read} == {200}
    assert shown is exposes
    assert kinds(streamed["output"]) == kinds(whole["output"]) == ["reasoning"] * exposes + ["message"]
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    assert kinds(by_the_org["output"]) == ["reasoning", "message"]
    assert goes_on["status"] == "completed"


async def test_publishable_key_sends_back_sealed_what_it_may_not_read(service, http, org):
    async with DeepSeek() as upstream:
        made = await service.store.assistants.create(org.id, assistant(upstream))
        asked = Asked(http, "/v1/responses", made.id, {"authorization": f"Bearer {org.publishable}"})
        first = await asked.whole(input="Weather?", **SEALED)
        events = await asked.streamed(input="Weather?", **SEALED)
        turns = [{"role": "user", "content": "Weather?"}, *first["output"], OUTPUT]
        second = await asked.whole(input=turns, **SEALED)

    assert kinds(first["output"]) == kinds(events[-1]["response"]["output"]) == ["function_call", "reasoning"]
    assert second["output"][0]["content"][0]["text"] == "It is sunny."
    assert reveals(upstream.bodies[-1])
    assert not reveals(first, events, second)


@pytest.mark.parametrize("exposes", [False, True], ids=["hidden", "exposed"])
async def test_chat_completions_have_it_from_an_assistant_that_exposes_it(service, http, org, exposes):
    made = await service.store.assistants.create(org.id, {"name": "O", "exposeReasoning": exposes})
    body = {
        "model": made.id,
        "messages": [{"role": "user", "content": "Hello there"}],
        "reasoning_effort": "low",
    }
    whole = (await http.post("/v1/chat/completions", headers=org.bearer, json=body)).json()
    async with official_client(f"{service.http_url}/v1", org.api) as sdk:
        chunks = [chunk async for chunk in await sdk.chat.completions.create(**body, stream=True)]
    deltas = [chunk.choices[0].delta for chunk in chunks]
    thoughts = "".join(getattr(delta, "reasoning_content", None) or "" for delta in deltas)

    assert whole["choices"][0]["message"].get("reasoning_content") == (HI if exposes else None)
    assert thoughts == (HI if exposes else "")
    assert "".join(delta.content or "" for delta in deltas) == "You said: Hello there"
    assert deltas[0].role == "assistant"


async def test_grpc_has_it_as_events_and_items(service, channel, org):
    made = await service.store.assistants.create(org.id, {"name": "O", "model": {"tools": [TOOL]}})
    request = CreateResponseRequest(assistant_id=made.id, input=from_python("Hello there"))
    request.reasoning.update(EFFORT)
    page = [("authorization", f"Bearer {org.publishable}")]
    stub, chats = ResponseServiceStub(channel), ChatServiceStub(channel)
    response = await stub.CreateResponse(request, metadata=org.metadata)
    hidden = await stub.CreateResponse(request, metadata=page)
    watched = {
        answer.id: [
            event.WhichOneof("event")
            async for event in chats.WatchChat(WatchChatRequest(id=answer.id), metadata=metadata)
        ]
        for answer, metadata in ((response, org.metadata), (hidden, page))
    }

    assert [item.type for item in response.output] == ["reasoning", "message"]
    assert response.output[0].content[0].text == HI
    assert [item.type for item in hidden.output] == ["message"]
    assert watched[response.id] == ["started", "reasoning", "delta", "completed"]
    assert watched[hidden.id] == ["started", "delta", "completed"]


async def test_connection_has_it_sealed_and_takes_it_back(service, org, offline):
    asked = {
        "model": offline,
        "store": False,
        "reasoning": EFFORT,
        "include": ["reasoning.encrypted_content"],
    }
    async with websocket(service.http_url, org.api) as socket:
        talk = WebSocketTalk(socket)
        first = await talk.ask(input="Hello there", **asked)
        second = await talk.ask(input=[*first["output"], {"role": "user", "content": "And now?"}], **asked)

    assert kinds(first["output"]) == kinds(second["output"]) == ["reasoning", "message"]
    assert first["output"][0]["encrypted_content"]
    assert "warnings" not in second


async def test_other_doors_have_their_form_without_it(http, org, offline):
    whole = await Asked(http, "/v1/responses", offline, org.bearer).whole(reasoning=EFFORT)
    chat_id = whole["id"].removeprefix("resp_")
    chat = await http.get(f"/chat/{chat_id}", headers=org.bearer)
    chats = await http.get("/chat", headers=org.bearer)

    assert chat.json()["output"][0]["content"] == "You said: Hello there"
    assert not any(HI in one.text or '"reasoning"' in one.text for one in (chat, chats))


async def test_stateless_loop_of_another_client_raises_a_bad_request(service, org, offline):
    async with official_client(f"{service.http_url}/v1", org.api) as sdk:
        with pytest.raises(openai.BadRequestError) as caught:
            await sdk.responses.create(
                model=offline,
                input=[{"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "gAAAAABo"}],
            )

    assert caught.value.code == "invalid_encrypted_content"
