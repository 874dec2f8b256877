"""What providers are sent is what their official clients send: the same path, body and headers.

Each conversation is written twice: as the engine gives it to a backend, and as the documentation of the
official client has it.
"""

from typing import Any

import anthropic
import openai
import pytest
from openai.lib._pydantic import to_strict_json_schema
from pydantic import BaseModel

from generated.parley.v1.message_pb2 import Message
from server.backends.anthropic import AnthropicBackend
from server.backends.backend import ModelRequest
from server.backends.endpoint import Endpoint
from server.backends.openai import OpenAIBackend
from server.content.json_values import from_python
from server.core.outbound.guard import AllowedHosts
from server.core.outbound.limits import Limits
from server.core.outbound.transport import HttpClient
from tests.pulled import pulled
from tests.upstream import AnthropicUpstream, OpenAIUpstream, Request, anthropic_text, openai_text

KEY = "sk-test"
THAT_MATTER = (
    "host",
    "authorization",
    "x-api-key",
    "anthropic-version",
    "anthropic-beta",
    "content-type",
    "accept",
)
PARAMETERS = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
WEATHER = {"name": "weather", "description": "The weather of a city – now.", "parameters": PARAMETERS}
TOOL = {"type": "function", "function": WEATHER}
CALL = {
    "id": "call_1",
    "type": "function",
    "function": {"name": "weather", "arguments": '{"city": "Zürich"}'},
}
PNG = "iVBORw0KGgo="
URL = "https://pictures.example/cat.png"


class Weather(BaseModel):
    city: str
    degrees: float


SCHEMA = to_strict_json_schema(Weather)
FORMAT = {"type": "json_schema", "json_schema": {"name": "Weather", "schema": SCHEMA, "strict": True}}


def said(role: str, content: Any = None, **members: Any) -> Message:
    return Message(role=role, **members, **({} if content is None else {"content": from_python(content)}))


IMAGES = [
    {"type": "text", "text": "Compare."},
    {"type": "image_url", "image_url": {"url": URL}},
    {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}"}},
]
ASKED: dict[str, dict[str, Any]] = {
    "plain": {
        "messages": [said("system", "Be brief."), said("user", "Grüße 🌍"), said("assistant", "Hi."), said("user", "So?")],
        "max_tokens": 100,
        "stop": ["END"],
    },
    "tools": {
        "messages": [
            said("user", "Weather in Zürich?"),
            said("assistant", tool_calls=from_python([CALL])),
            said("tool", "Rain", tool_call_id="call_1"),
        ],
        "tools": [TOOL],
        "tool_choice": {"type": "function", "function": {"name": "weather"}},
        "parallel_tool_calls": False,
        "max_tokens": 100,
    },
    "images": {"messages": [said("user", IMAGES)], "max_tokens": 100},
    "structured output": {
        "messages": [said("user", "Weather in Zürich?")],
        "response_format": FORMAT,
        "max_tokens": 100,
    },
}  # fmt: skip
"""What the engine asks a backend for."""
COMPLETIONS: dict[str, dict[str, Any]] = {
    "plain": {
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "Grüße 🌍"},
            {"role": "assistant", "content": "Hi."},
            {"role": "user", "content": "So?"},
        ],
        "stop": ["END"],
    },
    "tools": {
        "messages": [
            {"role": "user", "content": "Weather in Zürich?"},
            {"role": "assistant", "content": None, "tool_calls": [CALL]},
            {"role": "tool", "content": "Rain", "tool_call_id": "call_1"},
        ],
        "tools": [TOOL],
        "tool_choice": {"type": "function", "function": {"name": "weather"}},
        "parallel_tool_calls": False,
    },
    "images": {"messages": [{"role": "user", "content": IMAGES}]},
    "structured output": {
        "messages": [{"role": "user", "content": "Weather in Zürich?"}],
        "response_format": Weather,
    },
}
"""The same as the official client of chat completions is asked for it."""
MESSAGES: dict[str, dict[str, Any]] = {
    "plain": {
        "system": "Be brief.",
        "messages": [
            {"role": "user", "content": [{"type": "text", "text": "Grüße 🌍"}]},
            {"role": "assistant", "content": [{"type": "text", "text": "Hi."}]},
            {"role": "user", "content": [{"type": "text", "text": "So?"}]},
        ],
        "stop_sequences": ["END"],
    },
    "tools": {
        "messages": [
            {"role": "user", "content": [{"type": "text", "text": "Weather in Zürich?"}]},
            {
                "role": "assistant",
                "content": [{"type": "tool_use", "id": "call_1", "name": "weather", "input": {"city": "Zürich"}}],
            },
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "call_1", "content": "Rain"}]},
        ],
        "tools": [{"name": "weather", "description": WEATHER["description"], "input_schema": PARAMETERS}],
        "tool_choice": {"type": "tool", "name": "weather", "disable_parallel_tool_use": True},
    },
    "images": {
        "messages": [
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "Compare."},
                    {"type": "image", "source": {"type": "url", "url": URL}},
                    {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG}},
                ],
            }
        ]
    },
    "structured output": {
        "messages": [{"role": "user", "content": [{"type": "text", "text": "Weather in Zürich?"}]}],
        "output_config": {"format": {"type": "json_schema", "schema": SCHEMA}},
    },
}  # fmt: skip
"""The same as the official client of messages is asked for it."""


async def ask(kind: Any, upstream: Any, url: str, name: str, streams: bool) -> None:
    """Let our backend ask."""
    request = ModelRequest(provider=upstream.provider, model="m", streams=streams, **ASKED[name])
    async with HttpClient(AllowedHosts(["127.0.0.1"]), Limits()) as http:
        async for _ in pulled(kind(lambda _: Endpoint(url, KEY), http), request):
            pass


def compare(ours: Request, theirs: Request) -> None:
    assert (ours.method, ours.path) == (theirs.method, theirs.path)
    not_streamed = {"stream": False}  # says what is so without it, and `parse` says it
    assert not_streamed | ours.body == not_streamed | theirs.body
    assert {name: ours.headers.get(name) for name in THAT_MATTER} == {
        name: theirs.headers.get(name) for name in THAT_MATTER
    }
    assert ours.headers.keys() <= theirs.headers.keys()
    assert ours.headers["user-agent"] == "parley"


@pytest.mark.parametrize("streams", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("name", ASKED)
async def test_chat_completions_are_asked_as_by_the_official_client(name, streams):
    asked = {"model": "m", "max_completion_tokens": 100, **COMPLETIONS[name]}
    async with OpenAIUpstream(openai_text('{"city": "Zürich", "degrees": 9}')) as upstream:
        await ask(OpenAIBackend, upstream, upstream.base_url, name, streams)
        async with openai.AsyncOpenAI(api_key=KEY, base_url=upstream.base_url, max_retries=0) as client:
            completions = client.with_raw_response.chat.completions
            if not streams:
                await (completions.parse if "response_format" in asked else completions.create)(**asked)
            else:
                more = {"response_format": FORMAT} if "response_format" in asked else {}
                usage = {"include_usage": True}
                await completions.create(**asked | more, stream=True, stream_options=usage)

    assert upstream.flaws == []
    compare(*upstream.requests)


@pytest.mark.parametrize("streams", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("name", ASKED)
async def test_messages_are_asked_as_by_the_official_client(name, streams):
    asked = {"model": "m", "max_tokens": 100, **MESSAGES[name], **({"stream": True} if streams else {})}
    async with AnthropicUpstream(anthropic_text("Hello")) as upstream:
        await ask(AnthropicBackend, upstream, upstream.base_url, name, streams)
        async with anthropic.AsyncAnthropic(api_key=KEY, base_url=upstream.base_url, max_retries=0) as client:
            await client.with_raw_response.messages.create(**asked)

    assert upstream.flaws == []
    compare(*upstream.requests)
