"""Stored completions by the official SDK, through the real Envoy: read, listed, changed and deleted."""

from collections.abc import AsyncIterator
from typing import Any

import openai
import pytest

from tests.conftest import Org, Service
from tests.sdk import official_client

HELLO = [{"role": "user", "content": "Hello"}]
PARTS = [
    {"type": "text", "text": "What is this?"},
    {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}},
]
AGENT = "/api/v1/compatibility/openai/v1/assistants/{}"


@pytest.fixture(params=["/v1", "/chat"])
async def client(
    request: pytest.FixtureRequest, service: Service, org: Org
) -> AsyncIterator[openai.AsyncOpenAI]:
    async with official_client(service.http_url + request.param, org.api) as client:
        yield client


async def make(client: openai.AsyncOpenAI, org: Org, **members: Any) -> Any:
    return await client.chat.completions.create(**{"model": org.assistant_id, "messages": HELLO, **members})


async def listed(client: openai.AsyncOpenAI, **members: Any) -> list[str]:
    return [one.id async for one in client.chat.completions.list(**members)]


async def test_stored_completion_is_the_one_that_was_created(client, org):
    tool = {"type": "function", "function": {"name": "get_weather"}}
    for members in (
        {"metadata": {"a": "b"}},
        {"n": 2},
        {"tools": [tool], "messages": [{"role": "user", "content": "Call get_weather"}]},
    ):
        created = await make(client, org, store=True, **members)

        assert await client.chat.completions.retrieve(created.id) == created
        assert (await client.chat.completions.list(order="desc")).data[0] == created


async def test_streamed_completion_is_stored_whole(client, org):
    chunks = [chunk async for chunk in await make(client, org, stream=True, metadata={"a": "b"})]
    stored = await client.chat.completions.retrieve(chunks[0].id)

    assert stored.choices[0].message.content == "You said: Hello"
    assert stored.metadata == {"a": "b"}


async def test_list_has_pages_in_both_orders(client, org):
    made = [(await make(client, org)).id for _ in range(3)]

    assert await listed(client) == made
    assert await listed(client, limit=1) == made
    assert await listed(client, order="desc", limit=2) == made[::-1]
    page = await client.chat.completions.list(after=made[0], limit=1)
    assert ([one.id for one in page.data], page.has_more) == ([made[1]], True)
    with pytest.raises(openai.NotFoundError, match="`after`"):
        await client.chat.completions.list(after="chatcmpl-nobody")


async def test_list_leaves_out_what_was_not_to_be_stored_and_what_other_doors_made(client, org):
    kept = await make(client, org)
    await make(client, org, store=False)
    await make(client, org, store=False, extra_body={"create_session": True})
    response = await client.responses.create(model=org.assistant_id, input="Hello")

    assert await listed(client) == [kept.id]
    assert (await client.chat.completions.retrieve(response.id)).choices == kept.choices


@pytest.mark.parametrize(
    ("metadata", "wanted", "found"),
    [
        ({"a": "b"}, {"a": "b"}, True),
        ({"a": "b", "c": "d"}, {"c": "d"}, True),
        ({"a": "b", "c": "d"}, {"c": "d", "a": "b"}, True),
        ({"a": "b"}, {"a": "B"}, False),
        ({"a": "b"}, {"a": "b", "c": "d"}, False),
        ({"a": "bc"}, {"a": "b"}, False),
        ({"xa": "b"}, {"a": "b"}, False),
        ({'x"a': "b"}, {"a": "b"}, False),
        ({"x": '\n"a":"b"\n'}, {"a": "b"}, False),
        ({"a": "ü&=[]+ %"}, {"a": "ü&=[]+ %"}, True),
        ({"a[b]": "c"}, {"a[b]": "c"}, True),
        ({"a": ""}, {"a": ""}, True),
        ({}, {"a": "b"}, False),
    ],
)
async def test_list_has_what_has_the_metadata(client, org, metadata, wanted, found):
    made = await make(client, org, metadata=metadata)

    assert await listed(client, metadata=wanted) == ([made.id] if found else [])


async def test_list_has_what_a_model_answered(client, service, org):
    other = await service.store.assistants.create(
        org.id, {"name": "other", "model": {"provider": "offline", "model": "offline-1"}}
    )
    first = await make(client, org)
    second = await make(client, org, model="other")

    assert await listed(client, model=org.assistant_id) == [first.id]
    assert await listed(client, model="other") == await listed(client, model=other.id) == [second.id]
    assert await listed(client, model="offline-1") == [first.id, second.id]
    assert await listed(client, model="nobody") == []


async def test_metadata_is_replaced_and_found_by(client, org):
    made = await make(client, org, metadata={"a": "b", "c": "d"})
    changed = await client.chat.completions.update(made.id, metadata={"a": "e"})

    assert changed.metadata == {"a": "e"}
    assert await client.chat.completions.retrieve(made.id) == changed
    assert await listed(client, metadata={"a": "e"}) == [made.id]
    assert await listed(client, metadata={"a": "b"}) == await listed(client, metadata={"c": "d"}) == []


@pytest.mark.parametrize(
    "metadata",
    [
        {str(number): "x" for number in range(17)},
        {"n" * 65: "x"},
        {"a": "x" * 513},
        {"a": 5},
    ],
)
async def test_metadata_beyond_the_limits_is_refused_wherever_it_is_sent(client, org, metadata):
    made = await make(client, org)
    for sending in (
        make(client, org, metadata=metadata),
        client.chat.completions.update(made.id, metadata=metadata),
        client.responses.create(model=org.assistant_id, input="Hello", metadata=metadata),
        client.conversations.create(metadata=metadata),
    ):
        with pytest.raises(openai.BadRequestError, match="at most 16 members") as refused:
            await sending
        assert refused.value.param == "metadata"


async def test_metadata_at_the_limits_is_taken(client, org):
    most = {f"{number:064}": "x" * 512 for number in range(16)}

    assert (await make(client, org, metadata=most)).metadata == most
    response = await client.responses.create(model=org.assistant_id, input="Hello", metadata=most)
    assert response.metadata == most


async def test_deleted_completion_is_gone_from_every_door(client, org):
    made = await make(client, org)
    deleted = await client.chat.completions.delete(made.id)

    assert (deleted.id, deleted.object, deleted.deleted) == (made.id, "chat.completion.deleted", True)
    assert await listed(client) == []
    for calling in (
        client.chat.completions.retrieve(made.id),
        client.chat.completions.update(made.id, metadata={}),
        client.chat.completions.delete(made.id),
        client.chat.completions.messages.list(made.id),
    ):
        with pytest.raises(openai.NotFoundError, match="completion not found"):
            await calling


async def test_messages_are_those_that_were_sent(client, org):
    call = {"id": "call_1", "type": "function", "function": {"name": "look", "arguments": "{}"}}
    messages = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": PARTS, "name": "ada"},
        {"role": "assistant", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "call_1", "content": "A dot."},
    ]
    made = await make(client, org, messages=messages)
    shown = [one async for one in client.chat.completions.messages.list(made.id, limit=1)]

    assert [one.role for one in shown] == ["system", "user", "assistant", "tool"]
    assert [one.content for one in shown] == ["Be brief.", "What is this?", None, "A dot."]
    assert [part.to_dict() for part in shown[1].content_parts] == PARTS
    assert [call.to_dict() for call in shown[2].tool_calls] == [call]
    last = await client.chat.completions.messages.list(made.id, order="desc", limit=1)
    assert (last.data[0].id, last.has_more) == (shown[3].id, True)
    with pytest.raises(openai.NotFoundError, match="`after`"):
        await client.chat.completions.messages.list(made.id, after=shown[0].id[::-1])


async def test_agent_s_path_has_the_agent_s_completions(service, org, client):
    other = await service.store.assistants.create(
        org.id, {"name": "other", "model": {"provider": "offline", "model": "offline-1"}}
    )
    mine, others = await make(client, org), await make(client, org, model=other.id)
    async with official_client(service.http_url + AGENT.format(org.assistant_id), org.api) as agent:
        assert await listed(agent) == [mine.id]
        assert (await agent.chat.completions.retrieve(mine.id)).id == mine.id
        assert (await agent.chat.completions.messages.list(mine.id)).data[0].content == "Hello"
        assert (await agent.chat.completions.update(mine.id, metadata={"a": "b"})).metadata == {"a": "b"}
        with pytest.raises(openai.NotFoundError):
            await agent.chat.completions.retrieve(others.id)
        with pytest.raises(openai.NotFoundError):
            await agent.chat.completions.delete(others.id)
        assert (await agent.chat.completions.delete(mine.id)).deleted


async def test_publishable_key_reads_its_own_and_neither_lists_nor_changes(client, service, org, other_org):
    base = str(client.base_url)
    async with (
        official_client(base, org.publishable) as page,
        official_client(base, other_org.api) as stranger,
    ):
        own, other = await make(page, org), await make(client, org)

        assert (await page.chat.completions.retrieve(own.id)).id == own.id
        for calling in (
            page.chat.completions.retrieve(other.id),
            stranger.chat.completions.retrieve(own.id),
            stranger.chat.completions.delete(own.id),
        ):
            with pytest.raises(openai.NotFoundError):
                await calling
        for calling in (
            page.chat.completions.list(),
            page.chat.completions.update(own.id, metadata={}),
            page.chat.completions.delete(own.id),
        ):
            with pytest.raises(openai.PermissionDeniedError):
                await calling
