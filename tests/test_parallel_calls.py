"""One call at a time, where the request says so and the provider does not keep to it; through the real Envoy."""

from typing import Any

import pytest

from tests.sdk import official_client
from tests.upstream import AnthropicUpstream, OpenAIUpstream

TOOLS = [{"type": "function", "function": {"name": name, "parameters": {}}} for name in ("look", "listen")]
FLAT = [{"type": "function", "name": name, "parameters": {}} for name in ("look", "listen")]
HELLO = [{"role": "user", "content": "Look and listen"}]
UPSTREAMS = {"openai": OpenAIUpstream, "anthropic": AnthropicUpstream}


@pytest.fixture(params=UPSTREAMS)
async def asked(request, service, org):
    """An official client, and the name of an assistant whose provider calls two tools at once."""
    made = UPSTREAMS[request.param]
    async with (
        made([made.calls(**{"1": "look", "2": "listen"})]) as upstream,
        official_client(f"{service.http_url}/v1", org.api) as client,
    ):
        await service.store.assistants.create(
            org.id,
            {
                "name": "eager",
                "model": {"provider": request.param, "model": "m", "url": upstream.base_url},
                "credentials": [{"provider": request.param, "apiKey": "k"}],
            },
        )
        yield client


async def names_of(client: Any, **members: Any) -> tuple[list[str], list[str], str]:
    """What a completion calls, whole and streamed, and its warnings."""
    whole = await client.chat.completions.create(model="eager", messages=HELLO, tools=TOOLS, **members)
    called: list[str] = []
    async for chunk in await client.chat.completions.create(
        model="eager", messages=HELLO, tools=TOOLS, stream=True, **members
    ):
        for choice in chunk.choices:
            called += [call.function.name for call in choice.delta.tool_calls or () if call.function.name]
    names = [call.function.name for call in whole.choices[0].message.tool_calls]
    return names, called, [one["code"] for one in getattr(whole, "warnings", None) or ()]


@pytest.mark.parametrize("allowed", [None, True])
async def test_several_calls_are_taken_where_they_may_be(asked, allowed):
    members = {} if allowed is None else {"parallel_tool_calls": allowed}

    assert await names_of(asked, **members) == (["look", "listen"], ["look", "listen"], [])


async def test_only_the_first_call_is_taken_where_there_may_be_one(asked):
    assert await names_of(asked, parallel_tool_calls=False) == (
        ["look"],
        ["look"],
        ["parallel_calls_left_out"],
    )


async def test_only_the_first_call_is_taken_of_a_response_and_answered_next(asked):
    first = await asked.responses.create(model="eager", input="Look", tools=FLAT, parallel_tool_calls=False)
    stored = await asked.responses.retrieve(first.id)

    assert [item.name for item in first.output] == [item.name for item in stored.output] == ["look"]
    result = {"type": "function_call_output", "call_id": first.output[0].call_id, "output": "Nothing."}
    await asked.responses.create(model="eager", input=[result], tools=FLAT, previous_response_id=first.id)
