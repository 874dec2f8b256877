"""The items of a response come one behind the other: in the stream, in the answer, and wherever they are
listed."""

import json
from collections.abc import AsyncIterator
from typing import Any

import grpc
import httpx
import pytest

from generated.parley.v1.history_service_pb2 import ExportHistoryRequest, ImportHistoryRequest
from generated.parley.v1.history_service_pb2_grpc import HistoryServiceStub
from tests.conftest import Org
from tests.contract.doors import Door, read
from tests.upstream import (
    CUT,
    STALL,
    Answer,
    AnthropicUpstream,
    OpenAIUpstream,
    Upstream,
    anthropic_stream,
    chunk,
    openai_stream,
    openai_text,
    sse,
)

CALL, TEXT, REFUSAL, ROUND = "function_call", "message", "refusal", "mcp_call"
OUTPUT_OF = {CALL: ("arguments",), ROUND: ("arguments", "output")}


def text_delta(text: str) -> dict[str, Any]:
    return chunk({"content": text})


def refuse(text: str) -> dict[str, Any]:
    return chunk({"refusal": text})


def call(index: int, arguments: str, name: str | None = "f") -> dict[str, Any]:
    begins = {"id": f"call_{index}", "type": "function"} if name else {}
    function = {"arguments": arguments, **({"name": name} if name else {})}
    return chunk({"tool_calls": [{"index": index, **begins, "function": function}]})


def more(index: int, arguments: str) -> dict[str, Any]:
    return call(index, arguments, None)


def items_in(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The items of a stream as they are done, if it keeps the public interface's order; else it fails.

    platform.openai.com/docs/api-reference/responses-streaming: an item is added, told, done; then the next
    one is added.
    """
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    done: list[dict[str, Any]] = []
    item: dict[str, Any] | None = None
    part: dict[str, Any] | None = None
    content: list[dict[str, Any]] = []
    for event in events[2:-1]:
        kind = event["type"].removeprefix("response.")
        assert event["output_index"] == len(done), kind
        if kind == "output_item.added":
            assert item is None
            item, content, arguments = event["item"], [], ""
            assert item["status"] == "in_progress"
            continue
        assert item is not None, kind
        assert event.get("item_id", item["id"]) == item["id"], kind
        if kind == "content_part.added":
            assert part is None
            part = {**event["part"]}
        if "content_index" in event:
            assert event["content_index"] == len(content), kind
        if kind in ("output_text.delta", "refusal.delta"):
            assert part is not None
            part["refusal" if kind == "refusal.delta" else "text"] += event["delta"]
        if kind == "function_call_arguments.delta":
            arguments += event["delta"]
        if kind in ("output_text.done", "refusal.done"):
            name = "refusal" if kind == "refusal.done" else "text"
            assert part is not None
            assert event[name] == part[name]
        if kind == "content_part.done":
            assert part is not None
            assert event["part"] == part
            content.append(part)
            part = None
        if kind == "function_call_arguments.done":
            assert event["arguments"] == arguments
        if kind == "output_item.done":
            assert part is None
            expected = {**item, "status": event["item"]["status"]}
            expected |= {"content": content} if item["type"] == TEXT else {}
            expected |= {
                name: event["item"][name] for name in OUTPUT_OF.get(item["type"], ()) if item["type"] == ROUND
            }
            expected |= {"arguments": arguments} if item["type"] == CALL else {}
            assert event["item"] == expected
            done.append(event["item"])
            item = None
    assert item is None
    assert events[-1]["response"]["output"] == done
    return done


def brief(item: dict[str, Any]) -> tuple[str, str]:
    """What an item is and what it says."""
    if item["type"] == TEXT:
        return TEXT, "|".join(part.get("text", part.get("refusal")) for part in item["content"])
    return item["type"], item["arguments"]


STREAMS: dict[str, tuple[list[Any], list[tuple[str, str]]]] = {
    "text": ([text_delta("a"), text_delta("b")], [(TEXT, "ab")]),
    "nothing": ([], [(TEXT, "")]),
    "text, call": ([text_delta("a"), call(0, "{"), more(0, "}")], [(TEXT, "a"), (CALL, "{}")]),
    "call, text": ([call(0, "{}"), text_delta("a")], [(CALL, "{}"), (TEXT, "a")]),
    "text, call, text": (
        [text_delta("a"), call(0, "{}"), text_delta("b"), text_delta("c")],
        [(TEXT, "a"), (CALL, "{}"), (TEXT, "bc")],
    ),
    "text between calls": (
        [call(0, "{}"), text_delta("a"), call(1, '{"x":1}'), text_delta("b")],
        [(CALL, "{}"), (TEXT, "a"), (CALL, '{"x":1}'), (TEXT, "b")],
    ),
    "calls": ([call(0, '{"x":'), more(0, "1}"), call(1, "{}")], [(CALL, '{"x":1}'), (CALL, "{}")]),
    "calls that take turns": (
        [call(0, '{"x":'), call(1, '{"y":'), more(0, "1}"), more(1, "2}"), call(2, "{}")],
        [(CALL, '{"x":1}'), (CALL, '{"y":2}'), (CALL, "{}")],
    ),
    "text within a call": (
        [call(0, '{"x":'), text_delta("a"), more(0, "1}"), text_delta("b")],
        [(CALL, '{"x":1}'), (TEXT, "ab")],
    ),
    "calls without arguments": (
        [call(0, ""), call(1, ""), text_delta("a")],
        [(CALL, "{}"), (CALL, "{}"), (TEXT, "a")],
    ),
    "braces in a string": (
        [call(0, '{"x":"}'), call(1, "{}"), more(0, '"}')],
        [(CALL, '{"x":"}"}'), (CALL, "{}")],
    ),
    "refusal": ([refuse("n"), refuse("o")], [(TEXT, "no")]),
    "refusal, text": ([refuse("No."), text_delta("Sorry.")], [(TEXT, "No.Sorry.")]),
    "text, refusal": ([text_delta("Well."), refuse("No.")], [(TEXT, "Well.|No.")]),
    "call, refusal": (
        [text_delta("a"), call(0, "{}"), text_delta("b"), refuse("No.")],
        [(TEXT, "a"), (CALL, "{}"), (TEXT, "b|No.")],
    ),
}


def scripted(upstream: Upstream, *tools: Any, **model: Any) -> dict[str, Any]:
    return {
        "model": {
            "provider": "custom-llm",
            "url": upstream.base_url,
            "model": "m",
            "tools": list(tools),
            **model,
        }
    }


async def replayed(
    http: httpx.AsyncClient, org: Org, response_id: str, after: int = -1
) -> list[dict[str, Any]]:
    answer = await http.get(
        f"/v1/responses/{response_id}",
        headers=org.bearer,
        params={"stream": "true", **({"starting_after": after} if after >= 0 else {})},
    )
    return [json.loads(line[6:]) for line in answer.text.splitlines() if line.startswith("data: {")]


async def got(http: httpx.AsyncClient, org: Org, path: str, **params: Any) -> Any:
    return (await http.get(path, headers=org.bearer, params=params)).json()


async def listed(
    http: httpx.AsyncClient, org: Org, path: str, limit: int, order: str
) -> list[dict[str, Any]]:
    """All pages of a list."""
    items: list[dict[str, Any]] = []
    page: dict[str, Any] = {"has_more": True}
    while page["has_more"]:
        page = await got(
            http, org, path, limit=limit, order=order, **({"after": items[-1]["id"]} if items else {})
        )
        assert page["data"]
        assert len(page["data"]) <= limit
        items += page["data"]
    return items if order == "asc" else items[::-1]


@pytest.mark.parametrize(("chunks", "items"), STREAMS.values(), ids=STREAMS)
async def test_items_have_one_order_wherever_they_are(
    rest: Door,
    native: Door,
    http: httpx.AsyncClient,
    org: Org,
    chunks: list[Any],
    items: list[tuple[str, str]],
) -> None:
    finish = "tool_calls" if any(kind == CALL for kind, _ in items) else "stop"
    async with OpenAIUpstream(openai_stream(*chunks, chunk(finish=finish))) as upstream:
        conversation = (await http.post("/v1/conversations", headers=org.bearer, json={})).json()["id"]
        common = {"input": "x", "assistant": scripted(upstream)}
        events = (await read(rest.stream_response(**common, conversation=conversation))).events
        over_grpc = (await read(native.stream_response(**common))).events
        whole = await rest.create_response(**common)
    response = events[-1]["response"]
    stored = await got(http, org, f"/v1/responses/{response['id']}")

    assert [brief(item) for item in items_in(events)] == items
    assert [brief(item) for item in items_in(over_grpc)] == items
    assert [brief(item) for item in whole["output"]] == items
    assert stored["output"] == response["output"]
    for order in ("asc", "desc"):
        for limit in (1, 2, 100):
            listed_items = await listed(http, org, f"/v1/conversations/{conversation}/items", limit, order)
            assert [(item["id"], *brief(item)) for item in listed_items[1:]] == [
                (item["id"], *brief(item)) for item in response["output"]
            ]
    assert items_in(await replayed(http, org, whole["id"])) == whole["output"]


async def test_stream_is_resumed_anywhere(rest: Door, http: httpx.AsyncClient, org: Org) -> None:
    chunks, _ = STREAMS["calls that take turns"]
    async with OpenAIUpstream(
        openai_stream(*chunks, text_delta("b"), chunk(finish="tool_calls"))
    ) as upstream:
        events = (await read(rest.stream_response(input="x", assistant=scripted(upstream)))).events
    all_of_it = await replayed(http, org, events[-1]["response"]["id"])

    assert [event["type"] for event in all_of_it] == [event["type"] for event in events]
    for number in range(len(all_of_it)):
        assert await replayed(http, org, events[-1]["response"]["id"], number) == all_of_it[number + 1 :]


@pytest.mark.parametrize(
    ("chunks", "status"),
    [
        ([text_delta("a"), text_delta("b")], ["incomplete"]),
        ([text_delta("a"), call(0, '{"x":')], ["completed", "incomplete"]),
        ([call(0, '{"x":'), call(1, '{"y":')], ["incomplete", "incomplete"]),
        ([call(0, "{}"), call(1, '{"y":')], ["completed", "incomplete"]),
        ([call(0, "{}"), refuse("N")], ["completed", "incomplete"]),
    ],
    ids=["text", "text and a call", "two calls", "a whole call and half of one", "a call and a refusal"],
)
@pytest.mark.parametrize("ending", ["length", "broken off"])
async def test_what_is_open_is_closed_as_incomplete(
    rest: Door, http: httpx.AsyncClient, org: Org, chunks: list[Any], status: list[str], ending: str
) -> None:
    last = (
        openai_stream(*chunks, chunk(finish="length")) if ending == "length" else Answer([*sse(*chunks), CUT])
    )
    async with OpenAIUpstream(last) as upstream:
        events = (await read(rest.stream_response(input="x", assistant=scripted(upstream)))).events
    if events[-1]["type"] == "error":
        assert events[-1]["sequence_number"] == len(events) - 1
        del events[-1]

    assert events[-1]["type"] == ("response.incomplete" if ending == "length" else "response.failed")
    assert [item["status"] for item in items_in(events)] == status
    stored = await got(http, org, f"/v1/responses/{events[-1]['response']['id']}")
    assert stored["output"] == events[-1]["response"]["output"]


async def test_cancelled_message_is_closed_first(rest: Door, http: httpx.AsyncClient, org: Org) -> None:
    async with OpenAIUpstream(Answer([*sse(text_delta("a"), call(0, '{"x":')), STALL])) as upstream:
        async with rest.stream_response(input="x", assistant=scripted(upstream), background=True) as stream:
            async for event in stream:
                if event["type"] == "response.created":
                    response_id = event["response"]["id"]
                if event["type"] == "response.function_call_arguments.delta":
                    break
        cancelled = (await http.post(f"/v1/responses/{response_id}/cancel", headers=org.bearer)).json()

    events = await replayed(http, org, response_id)
    assert (cancelled["status"], events[-1]["type"]) == ("cancelled", "response.incomplete")
    assert items_in(events) == cancelled["output"]
    assert [item["status"] for item in cancelled["output"]] == ["completed", "incomplete"]


async def test_anthropic_says_something_between_its_calls(
    rest: Door, http: httpx.AsyncClient, org: Org
) -> None:
    def block(place: int, **members: Any) -> list[Any]:
        return [
            {"type": "content_block_start", "index": place, "content_block": members},
            {"type": "content_block_stop", "index": place},
        ]

    answer = anthropic_stream(
        {"type": "message_start", "message": {"model": "m"}},
        *block(0, type="text", text="a"),
        *block(1, type="tool_use", id="call_0", name="f", input={}),
        *block(2, type="text", text="b"),
        *block(3, type="tool_use", id="call_1", name="f", input={"x": 1}),
        {"type": "message_delta", "delta": {"stop_reason": "tool_use"}},
        {"type": "message_stop"},
    )
    async with AnthropicUpstream(answer) as upstream:
        document = {
            "model": {"provider": "anthropic", "url": upstream.base_url, "model": "claude"},
            "credentials": [{"provider": "anthropic", "apiKey": "k"}],
        }
        events = (await read(rest.stream_response(input="x", assistant=document))).events

    assert [brief(item) for item in items_in(events)] == [
        (TEXT, "a"),
        (CALL, "{}"),
        (TEXT, "b"),
        (CALL, '{"x": 1}'),
    ]


# --- tools that the server runs -----------------------------------------------------------------------------


@pytest.fixture
async def shop() -> AsyncIterator[Upstream]:
    answer = Answer([json.dumps({"shipped": True}).encode()], 200, {"content-type": "application/json"})
    async with Upstream(answer) as upstream:
        yield upstream


def run_by_server(shop: Upstream) -> dict[str, Any]:
    return {"type": "apiRequest", "name": "order", "method": "POST", "url": f"{shop.base_url}/orders"}


ROUNDS = [
    openai_stream(
        text_delta("Let me see."), call(0, "{}", "order"), call(1, "{}", "order"), chunk(finish="tool_calls")
    ),
    openai_stream(call(0, "{}", "order"), chunk(finish="tool_calls")),
    openai_stream(text_delta("One moment."), call(0, "{}", "mine"), chunk(finish="tool_calls")),
    openai_text("Done."),
]
MINE = {"type": "function", "function": {"name": "mine"}}


@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
async def test_rounds_are_listed_as_they_were_emitted(
    rest: Door, http: httpx.AsyncClient, org: Org, shop: Upstream, streamed: bool
) -> None:
    async with OpenAIUpstream(ROUNDS) as upstream:
        conversation = (await http.post("/v1/conversations", headers=org.bearer, json={})).json()["id"]
        common = {"assistant": scripted(upstream, run_by_server(shop), MINE), "conversation": conversation}
        result = {"type": "function_call_output", "call_id": "call_0", "output": "mine"}
        responses = []
        for given_input in ("x", [result]):
            if streamed:
                events = (await read(rest.stream_response(input=given_input, **common))).events
                items_in(events)
                responses.append(events[-1]["response"])
            else:
                responses.append(await rest.create_response(input=given_input, **common))
            assert items_in(await replayed(http, org, responses[-1]["id"])) == responses[-1]["output"]
            assert await got(http, org, f"/v1/responses/{responses[-1]['id']}") == responses[-1]

    first, second = (response["output"] for response in responses)
    assert [item["type"] for item in first] == [TEXT, ROUND, ROUND, ROUND, TEXT, CALL]
    assert [item["status"] for item in first] == ["completed"] * 6
    for order in ("asc", "desc"):
        for limit in (1, 2, 3, 100):
            listed_items = await listed(http, org, f"/v1/conversations/{conversation}/items", limit, order)
            assert [item["type"] for item in listed_items] == [
                TEXT,
                *(item["type"] for item in first),
                "function_call_output",
                TEXT,
            ]
            assert listed_items[1:7] + listed_items[8:] == first + second
    for item in first:
        assert await got(http, org, f"/v1/conversations/{conversation}/items/{item['id']}") == item


async def test_call_of_the_caller_behind_one_of_the_server_keeps_its_place(
    rest: Door, http: httpx.AsyncClient, org: Org, shop: Upstream
) -> None:
    both = openai_stream(
        text_delta("a"), call(0, "{}", "order"), call(1, "{}", "mine"), chunk(finish="tool_calls")
    )
    async with OpenAIUpstream(both) as upstream:
        common = {"input": "x", "assistant": scripted(upstream, run_by_server(shop), MINE)}
        events = (await read(rest.stream_response(**common))).events
        whole = await rest.create_response(**common)
    stored = await got(http, org, f"/v1/responses/{events[-1]['response']['id']}")

    assert [item.get("name") for item in items_in(events)] == [None, "order", "mine"]
    assert [item.get("name") for item in whole["output"]] == [None, "order", "mine"]
    assert stored["output"] == events[-1]["response"]["output"]
    assert not shop.requests


@pytest.mark.parametrize(
    ("old", "new"),
    [("", ""), ("[2,2]", "[2,1]"), ("[2,2]", "[1.5,2]"), ("[2,2]", '["a",2]')],
    ids=["as it is", "falling", "a fraction", "a text"],
)
async def test_exported_conversation_keeps_its_items(
    rest: Door,
    http: httpx.AsyncClient,
    org: Org,
    other_org: Org,
    channel: grpc.aio.Channel,
    shop: Upstream,
    old: str,
    new: str,
) -> None:
    rounds = [
        *ROUNDS[:2],
        openai_stream(
            text_delta("ab"),
            call(0, "{}", "mine"),
            call(1, "{}", "mine"),
            text_delta("c"),
            chunk(finish="tool_calls"),
        ),
    ]
    async with OpenAIUpstream(rounds) as upstream:
        conversation = (await http.post("/v1/conversations", headers=org.bearer, json={})).json()["id"]
        document = scripted(upstream, run_by_server(shop), MINE)
        await rest.create_response(input="x", assistant=document, conversation=conversation)
    history = HistoryServiceStub(channel)
    lines = [
        line.replace(old, new)
        async for answer in history.ExportHistory(ExportHistoryRequest(), metadata=org.metadata)
        for line in answer.lines
    ]
    imported = history.ImportHistory(ImportHistoryRequest(lines=lines), metadata=other_org.metadata)
    path = f"/v1/conversations/{conversation}/items"

    if new:
        with pytest.raises(Exception, match=r"textBeforeCalls\[.\] must be how many characters"):
            await imported
    else:
        await imported
        listed_items = await got(http, org, path, order="asc")
        assert [item["type"] for item in listed_items["data"]] == [
            TEXT,
            TEXT,
            ROUND,
            ROUND,
            ROUND,
            TEXT,
            CALL,
            CALL,
            TEXT,
        ]
        assert await got(http, other_org, path, order="asc") == listed_items


# --- what was sent ------------------------------------------------------------------------------------------


async def test_input_items_are_listed_in_the_order_in_which_they_were_sent(
    rest: Door, http: httpx.AsyncClient, org: Org
) -> None:
    given_input: list[dict[str, Any]]
    given_input = [
        {"role": "user", "content": "x"},
        {"type": "function_call", "call_id": "c0", "name": "f", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "c0", "output": "0"},
        {"role": "assistant", "content": [{"type": "output_text", "text": "a"}]},
        {"type": "function_call", "call_id": "c1", "name": "f", "arguments": "{}"},
        {"type": "function_call", "call_id": "c2", "name": "f", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "c1", "output": "1"},
        {"type": "function_call_output", "call_id": "c2", "output": "2"},
        {
            "type": "mcp_call",
            "id": "mcp_1",
            "server_label": "s",
            "name": "g",
            "arguments": "{}",
            "output": "3",
        },
        {
            "role": "assistant",
            "content": [{"type": "output_text", "text": "b"}, {"type": "refusal", "refusal": "No."}],
        },
        {"role": "user", "content": "y"},
    ]
    response = await rest.create_response(input=given_input, assistantId=org.assistant_id)

    for order in ("asc", "desc"):
        for limit in (1, 3, 100):
            listed_items = await listed(
                http, org, f"/v1/responses/{response['id']}/input_items", limit, order
            )
            assert [(item["type"], item.get("call_id")) for item in listed_items] == [
                (item.get("type", TEXT), item.get("call_id")) for item in given_input
            ]
    assert listed_items[9]["content"] == [
        {"type": "output_text", "text": "b", "annotations": [], "logprobs": []},
        {"type": "refusal", "refusal": "No."},
    ]
    assert (listed_items[8]["name"], listed_items[8]["arguments"], listed_items[8]["output"]) == (
        "g",
        "{}",
        "3",
    )


async def test_refusal_is_listed_as_one(rest: Door, http: httpx.AsyncClient, org: Org) -> None:
    async with OpenAIUpstream(
        openai_stream(text_delta("Well."), refuse("No."), chunk(finish="stop"))
    ) as upstream:
        conversation = (await http.post("/v1/conversations", headers=org.bearer, json={})).json()["id"]
        common = {"input": "x", "assistant": scripted(upstream)}
        response = await rest.create_response(**common, conversation=conversation)
    listed_items = await got(http, org, f"/v1/conversations/{conversation}/items", order="asc")
    given_input = [
        {"type": "item_reference", "id": listed_items["data"][1]["id"]},
        *response["output"],
        {"role": "user", "content": "y"},
    ]
    answered = (
        await http.post(
            "/v1/responses", headers=org.bearer, json={"assistantId": org.assistant_id, "input": given_input}
        )
    ).json()
    chat = await got(http, org, f"/chat/{response['id']}")

    assert listed_items["data"][1] == response["output"][0]
    assert [
        (part["type"], part.get("text", part.get("refusal"))) for part in listed_items["data"][1]["content"]
    ] == [
        ("output_text", "Well."),
        ("refusal", "No."),
    ]
    again = await got(http, org, f"/v1/responses/{answered['id']}/input_items", order="asc")
    assert [item["content"] for item in again["data"][:2]] == [listed_items["data"][1]["content"]] * 2
    assert (chat["output"][0]["content"], chat["output"][0]["refusal"]) == ("Well.No.", "No.")
