"""Log probabilities: asked of the provider, given back, and kept, at every door of OpenAI's form; through the real
Envoy with the official SDK."""

from typing import Any

import openai
import pytest

from tests.sdk import official_client
from tests.upstream import OpenAIUpstream, chunk, openai_stream, usage_chunk

HELLO = [{"role": "user", "content": "Hello"}]
INCLUDE = ["message.output_text.logprobs"]
LOOK = {"type": "function", "function": {"name": "look", "parameters": {}}}


def token(text: str, logprob: float = -0.25) -> dict[str, Any]:
    likeliest = {"token": text, "logprob": logprob, "bytes": [*text.encode()]}
    other = {"token": "no", "logprob": -9999.0, "bytes": None}
    return {**likeliest, "top_logprobs": [likeliest, other]}


def said(*texts: str, kind: str = "content", finish: str = "stop", **more: Any) -> Any:
    """An answer with the log probabilities of its tokens, as OpenAI streams it."""
    chunks = []
    for text in texts:
        made = chunk({kind: text})
        other = {"content": "refusal", "refusal": "content"}[kind]
        made["choices"][0]["logprobs"] = {kind: [token(text)], other: None}
        chunks.append(made)
    return openai_stream(
        chunk({"role": "assistant", "content": None, **more}),
        *chunks,
        chunk(finish=finish),
        usage_chunk(3, 2),
    )


HI, TOKENS = said("Hi", " the", "re"), [token("Hi"), token(" the"), token("re")]


@pytest.fixture
async def upstream(request):
    async with OpenAIUpstream(getattr(request, "param", [HI])) as started:
        yield started


@pytest.fixture(params=["/v1", "/chat"])
async def client(request, service, org, upstream):
    await service.store.assistants.create(
        org.id,
        {
            "name": "sure",
            "model": {"provider": "openai", "model": "m", "url": upstream.base_url},
            "credentials": [{"provider": "openai", "apiKey": "k"}],
        },
    )
    async with official_client(service.http_url + request.param, org.api) as made:
        yield made


def shown(logprobs: Any) -> list[dict[str, Any]]:
    return [one.to_dict() for one in logprobs or ()]


async def test_completion_has_them_whole_streamed_and_stored(client, upstream):
    asked = {"model": "sure", "messages": HELLO, "logprobs": True, "top_logprobs": 2}
    whole = await client.chat.completions.create(**asked)
    chunks = [one async for one in await client.chat.completions.create(**asked, stream=True)]
    told = [shown(one.choices[0].logprobs.content) for one in chunks if one.choices[0].logprobs]

    assert shown(whole.choices[0].logprobs.content) == TOKENS
    assert whole.choices[0].logprobs.refusal is None
    assert told == [[one] for one in TOKENS]
    assert [(sent.body["logprobs"], sent.body["top_logprobs"]) for sent in upstream.requests] == [
        (True, 2)
    ] * 2
    for made in (whole.id, chunks[0].id):
        assert (await client.chat.completions.retrieve(made)).choices == whole.choices


async def test_response_has_them_whole_streamed_stored_and_watched(client, upstream):
    asked = {"model": "sure", "input": "Hello", "include": INCLUDE, "top_logprobs": 2}
    whole = await client.responses.create(**asked)
    events = [one async for one in await client.responses.create(**asked, stream=True)]
    over = events[-1].response
    deltas = [one for one in events if one.type == "response.output_text.delta"]
    [done] = [one for one in events if one.type == "response.output_text.done"]

    assert shown(whole.output[0].content[0].logprobs) == TOKENS
    assert [shown(one.logprobs) for one in deltas] == [[one] for one in TOKENS]
    assert shown(done.logprobs) == shown(over.output[0].content[0].logprobs) == TOKENS
    assert "warnings" not in whole.to_dict()
    for made in (whole, over):
        assert (await client.responses.retrieve(made.id)).output == made.output
    again = [one async for one in await client.responses.retrieve(over.id, stream=True)]
    assert again == events
    unstreamed = [one async for one in await client.responses.retrieve(whole.id, stream=True)]
    assert [shown(one.logprobs) for one in unstreamed if one.type == "response.output_text.delta"] == [TOKENS]


async def test_conversation_shows_them(client):
    conversation = await client.conversations.create()
    await client.responses.create(model="sure", input="Hello", include=INCLUDE, conversation=conversation.id)
    answer = (await client.conversations.items.list(conversation.id)).data[0]

    assert shown(answer.content[0].logprobs) == TOKENS


@pytest.mark.parametrize("upstream", [[said("I", " won't", kind="refusal")]], indirect=True, ids=[""])
async def test_refusal_has_them_as_its_own(client):
    whole = await client.chat.completions.create(model="sure", messages=HELLO, logprobs=True)

    assert whole.choices[0].logprobs.content is None
    assert shown(whole.choices[0].logprobs.refusal) == [token("I"), token(" won't")]


async def test_answer_has_none_unless_they_are_asked_for(client, upstream):
    whole = await client.chat.completions.create(model="sure", messages=HELLO, logprobs=False)

    assert whole.choices[0].logprobs is not None  # what a provider gives unasked is not hidden
    assert "logprobs" not in upstream.requests[0].body


async def test_number_of_them_needs_them(client):
    with pytest.raises(openai.BadRequestError, match="top_logprobs needs logprobs"):
        await client.chat.completions.create(model="sure", messages=HELLO, top_logprobs=2)


@pytest.mark.parametrize("kind", ["completion", "response"])
async def test_provider_without_them_is_a_clear_error(client, org, kind):
    with pytest.raises(openai.BadRequestError, match="logprobs cannot be sent to provider offline"):
        if kind == "completion":
            await client.chat.completions.create(model=org.assistant_id, messages=HELLO, logprobs=True)
        else:
            await client.responses.create(model=org.assistant_id, input="Hello", include=INCLUDE)
