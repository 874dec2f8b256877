"""What the compliance suite of the Open Responses specification (2026-04-24) looks at over HTTP, at both bases. Its
WebSocket cases are those of `test_connected_responses.py` and `test_websocket.py`."""

import json

import httpx
import pytest

from tests.contract.test_responses import MEMBERS

NUMBERS = ("top_p", "presence_penalty", "frequency_penalty", "top_logprobs", "temperature")
DOT = (
    "data:image/png;base64,"
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
TOOL = {
    "type": "function",
    "name": "get_weather",
    "description": "The weather in a city",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}


def said(role, content, **members):
    return {"type": "message", "role": role, "content": content, **members}


CASES = {
    "text": {"input": [said("user", "Say three words")]},
    "phases of earlier answers": {
        "input": [
            said("assistant", "I look it up.", phase="commentary"),
            said("assistant", "It is four.", phase="final_answer"),
            said("user", "Say it again"),
        ]
    },
    "system prompt": {"input": [said("system", "You are a pirate."), said("user", "Say hello")]},
    "image": {
        "input": [
            said(
                "user",
                [{"type": "input_text", "text": "What is this?"}, {"type": "input_image", "image_url": DOT}],
            )
        ]
    },
    "several turns": {
        "input": [
            said("user", "My name is Ada"),
            said("assistant", "Hello Ada"),
            said("user", "What is my name?"),
        ]
    },
    "tool": {"input": [said("user", "What is the weather in Bonn?")], "tools": [TOOL]},
}


@pytest.fixture(params=["/v1", "/chat"])
async def http(request, service, org):
    """A client that can read a stream, and asks for none."""
    headers = {**org.bearer, "accept": "application/json"}
    base_url = service.http_url + request.param
    async with httpx.AsyncClient(base_url=base_url, headers=headers, timeout=20) as http:
        yield http


@pytest.mark.parametrize("body", CASES.values(), ids=CASES)
async def test_response_has_every_member_of_the_schema(http, org, body):
    answer = await http.post("/responses", json={"model": org.assistant_id, **body})

    response = answer.json()
    assert (answer.status_code, response["object"], response["status"]) == (200, "response", "completed")
    assert set(response) >= MEMBERS
    assert all(isinstance(response[name], int | float) for name in NUMBERS)
    assert {item["type"] for item in response["output"]} == (
        {"function_call"} if "tools" in body else {"message"}
    )
    assert all(item["id"] and item["status"] == "completed" for item in response["output"])


async def test_events_of_a_stream_end_in_the_whole_response(http, org):
    body = {"model": org.assistant_id, "stream": True, "input": [said("user", "Count from 1 to 5")]}
    answer = await http.post("/responses", json=body)

    frames = [frame for frame in answer.text.split("\n\n") if frame.startswith("event:")]
    events = [json.loads(frame.partition("data: ")[2]) for frame in frames]
    assert [frame.partition("\n")[0] for frame in frames] == [f"event: {event['type']}" for event in events]
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    assert (events[0]["type"], events[-1]["type"]) == ("response.created", "response.completed")
    assert set(events[-1]["response"]) >= MEMBERS


async def test_compaction_is_one_item(http, org):
    body = {
        "model": org.assistant_id,
        "prompt_cache_key": "a",
        "input": [said("user", "We launch on Tuesday"), said("assistant", "Noted")],
    }
    answer = await http.post("/responses/compact", json=body)

    assert (answer.status_code, answer.json()["object"]) == (200, "response.compaction")
    assert [item["type"] for item in answer.json()["output"]] == ["compaction"]


async def test_compaction_without_a_model_is_refused(http):
    answer = await http.post("/responses/compact", json={"input": [said("user", "Compact this")]})

    assert answer.status_code == 400
