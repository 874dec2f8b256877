"""Responses read, watched, cancelled, deleted and compacted, conversations and models: by the official OpenAI
SDK."""

from collections.abc import AsyncIterator
from typing import Any

import grpc
import httpx
import openai
import pytest

from generated.parley.v1.chat_service_pb2 import GetChatRequest, ListChatsRequest, WatchChatRequest
from generated.parley.v1.chat_service_pb2_grpc import ChatServiceStub
from tests.conftest import Org, Service, running

MANY_WORDS = " ".join(["word"] * 400)


@pytest.fixture(scope="module")
async def slow(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Service]:
    """A service whose model takes its time, so that something is in flight."""
    async with running(tmp_path_factory.mktemp("slow"), offline_delay_ms=10) as service:
        yield service


@pytest.fixture(params=["/v1", "/chat"])
async def client(request: pytest.FixtureRequest, slow: Service) -> AsyncIterator[openai.AsyncOpenAI]:
    org = await slow.new_org()
    async with openai.AsyncOpenAI(
        base_url=slow.http_url + request.param, api_key=org.api, max_retries=0
    ) as client:
        yield client


@pytest.fixture
async def v1(service: Service, org: Org) -> AsyncIterator[openai.AsyncOpenAI]:
    async with openai.AsyncOpenAI(
        base_url=f"{service.http_url}/v1", api_key=org.api, max_retries=0
    ) as client:
        yield client


async def test_retrieved_response_equals_the_one_that_was_created(client: openai.AsyncOpenAI) -> None:
    created = await client.responses.create(
        model="demo", input="Hello", instructions="Be brief.", metadata={"a": "b"}, temperature=0.5
    )

    assert await client.responses.retrieve(created.id) == created


async def test_input_items_are_what_was_said(client: openai.AsyncOpenAI) -> None:
    created = await client.responses.create(
        model="demo", input=[{"role": "user", "content": "Hello"}, {"role": "user", "content": "there"}]
    )
    newest = (await client.responses.input_items.list(created.id, limit=1)).data
    oldest_first = (await client.responses.input_items.list(created.id, order="asc")).data
    behind = (await client.responses.input_items.list(created.id, order="asc", after=oldest_first[0].id)).data

    assert [item.content[0].text for item in oldest_first] == ["Hello", "there"]
    assert newest == behind == oldest_first[1:]


async def test_deleted_response_is_gone(client: openai.AsyncOpenAI) -> None:
    created = await client.responses.create(model="demo", input="Hello")
    await client.responses.delete(created.id)

    with pytest.raises(openai.NotFoundError):
        await client.responses.retrieve(created.id)


async def test_background_response_goes_on_without_its_caller(client: openai.AsyncOpenAI) -> None:
    begun = await client.responses.create(model="demo", input="one two three", background=True)
    events = [event async for event in await client.responses.retrieve(begun.id, stream=True)]

    assert begun.status == "in_progress"
    assert [event.sequence_number for event in events] == list(range(len(events)))
    assert events[-1].response.output_text == "You said: one two three"
    assert (await client.responses.retrieve(begun.id)).status == "completed"


async def test_background_response_whose_model_cannot_begin_is_recorded_as_failed(
    service: Service, org: Org, v1: openai.AsyncOpenAI
) -> None:
    keyless = await service.store.assistants.create(
        org.id, {"name": "keyless", "model": {"provider": "openai", "model": "gpt"}}
    )
    streamed = [
        event
        async for event in await v1.responses.create(
            model=keyless.id, input="Hello", background=True, stream=True
        )
    ]
    recorded = await v1.responses.retrieve(streamed[0].response.id)

    assert [event.type for event in streamed][-2:] == ["response.failed", "error"]
    assert recorded.status == streamed[-2].response.status == "failed"
    assert recorded.error == streamed[-2].response.error
    assert "model.provider openai has no key" in recorded.error.message


async def test_background_stream_is_resumed_where_it_was_left(client: openai.AsyncOpenAI) -> None:
    seen = []
    async with await client.responses.create(
        model="demo", input="one two three", background=True, stream=True
    ) as stream:
        async for event in stream:
            seen.append(event)
            if len(seen) == 5:
                break
    seen += [
        event
        async for event in await client.responses.retrieve(
            seen[0].response.id, stream=True, starting_after=seen[-1].sequence_number
        )
    ]

    assert [event.sequence_number for event in seen] == list(range(len(seen)))
    assert seen[-1].type == "response.completed"


async def test_finished_stream_is_replayed_unchanged(client: openai.AsyncOpenAI) -> None:
    live = [
        event
        async for event in await client.responses.create(model="demo", input="one two three", stream=True)
    ]
    again = [event async for event in await client.responses.retrieve(live[0].response.id, stream=True)]

    assert again == live


async def test_cancel_keeps_what_there_is_and_says_cancelled(client: openai.AsyncOpenAI) -> None:
    begun = await client.responses.create(model="demo", input=MANY_WORDS, background=True)
    cancelled = await client.responses.cancel(begun.id)

    assert cancelled.status == "cancelled"
    assert await client.responses.retrieve(begun.id) == cancelled


async def test_watched_stream_that_is_cancelled_ends_in_incomplete(client: openai.AsyncOpenAI) -> None:
    begun, ending = "", None
    async for event in await client.responses.create(
        model="demo", input=MANY_WORDS, background=True, stream=True
    ):
        if event.sequence_number == 4:
            await client.responses.cancel(begun)
        if event.type == "response.created":
            begun = event.response.id
        ending = event

    assert (ending.type, ending.response.status) == ("response.incomplete", "cancelled")


async def test_response_in_progress_cannot_be_continued(client: openai.AsyncOpenAI) -> None:
    begun = await client.responses.create(model="demo", input=MANY_WORDS, background=True)
    with pytest.raises(openai.BadRequestError, match="still in progress"):
        await client.responses.create(model="demo", input="and?", previous_response_id=begun.id)
    await client.responses.cancel(begun.id)


async def test_response_that_is_not_stored_leaves_nothing(
    v1: openai.AsyncOpenAI, org: Org, channel: grpc.aio.Channel
) -> None:
    answer = await v1.responses.create(model="demo", input="Hello", store=False)
    streamed = [
        event
        async for event in await v1.responses.create(model="demo", input="Hello", store=False, stream=True)
    ]
    listed = await ChatServiceStub(channel).ListChats(ListChatsRequest(), metadata=org.metadata)

    assert (answer.output_text, answer.store) == ("You said: Hello", False)
    assert streamed[-1].type == "response.completed"
    assert not listed.results
    with pytest.raises(openai.NotFoundError):
        await v1.responses.create(model="demo", input="and?", previous_response_id=answer.id)


async def test_background_needs_the_store(v1: openai.AsyncOpenAI) -> None:
    with pytest.raises(openai.BadRequestError, match="background"):
        await v1.responses.create(model="demo", input="Hello", background=True, store=False)


async def test_compacted_context_is_continued_by_id_and_by_item(v1: openai.AsyncOpenAI) -> None:
    first = await v1.responses.create(model="demo", input="My name is Ada")
    compacted = await v1.responses.compact(model="demo", previous_response_id=first.id)
    by_id = await v1.responses.create(
        model="demo", input="What is my name?", previous_response_id=compacted.id
    )
    by_item = await v1.responses.create(
        model="demo",
        input=[
            *(item.model_dump(exclude_none=True) for item in compacted.output),
            {"role": "user", "content": "What is my name?"},
        ],
    )

    assert (compacted.object, [item.type for item in compacted.output]) == (
        "response.compaction",
        ["compaction"],
    )
    assert by_id.output_text == by_item.output_text == "Your name is Ada."


async def test_conversation_is_read_and_written_item_by_item(v1: openai.AsyncOpenAI) -> None:
    conversation = await v1.conversations.create(
        items=[{"role": "user", "content": "My name is Bob"}], metadata={"a": "b"}
    )
    answer = await v1.responses.create(model="demo", input="What is my name?", conversation=conversation.id)
    added = (
        await v1.conversations.items.create(conversation.id, items=[{"role": "user", "content": "Bye"}])
    ).data[0]
    items = (await v1.conversations.items.list(conversation.id, order="asc")).data
    read = await v1.conversations.items.retrieve(added.id, conversation_id=conversation.id)
    await v1.conversations.items.delete(added.id, conversation_id=conversation.id)
    left = (await v1.conversations.items.list(conversation.id, order="asc")).data

    assert (answer.output_text, answer.conversation.id) == ("Your name is Bob.", conversation.id)
    assert [item.content[0].text for item in items] == [
        "My name is Bob",
        "What is my name?",
        "Your name is Bob.",
        "Bye",
    ]
    assert (read, left) == (items[-1], items[:-1])


async def test_conversation_is_updated_and_deleted(v1: openai.AsyncOpenAI) -> None:
    conversation = await v1.conversations.create(metadata={"a": "b"})
    updated = await v1.conversations.update(conversation.id, metadata={"c": "d"})
    read = await v1.conversations.retrieve(conversation.id)
    deleted = await v1.conversations.delete(conversation.id)

    assert (read, read.metadata, deleted.deleted) == (updated, {"c": "d"}, True)
    with pytest.raises(openai.NotFoundError):
        await v1.conversations.retrieve(conversation.id)


async def test_models_are_the_assistants(v1: openai.AsyncOpenAI, org: Org) -> None:
    listed = [model.id async for model in v1.models.list()]
    by_name = await v1.models.retrieve("demo")

    assert listed == [by_name.id] == [org.assistant_id]
    with pytest.raises(openai.NotFoundError) as missing:
        await v1.models.retrieve("nobody")
    assert missing.value.code == "model_not_found"


@pytest.fixture
async def twins(http: httpx.AsyncClient, org: Org) -> list[str]:
    """The ids of two assistants of one name, the older one first."""
    body = {"name": "twin", "model": {"provider": "offline", "model": "offline-1"}}
    return [(await http.post("/assistant", headers=org.bearer, json=body)).json()["id"] for _ in range(2)]


BY_NAME = {
    "completions": lambda client: client.chat.completions.create(
        model="twin", messages=[{"role": "user", "content": "Hello"}]
    ),
    "responses": lambda client: client.responses.create(model="twin", input="Hello"),
    "compaction": lambda client: client.responses.compact(model="twin", input="Hello"),
    "models": lambda client: client.models.retrieve("twin"),
}


@pytest.mark.parametrize("call", BY_NAME.values(), ids=BY_NAME)
async def test_name_of_several_assistants_is_refused_with_their_ids(
    call: Any, v1: openai.AsyncOpenAI, twins: list[str]
) -> None:
    with pytest.raises(openai.BadRequestError) as refused:
        await call(v1)

    assert (refused.value.param, refused.value.code) == ("model", "ambiguous_model")
    assert refused.value.body["message"] == (
        f"model 'twin' is the name of several assistants; send the id of one of them: {', '.join(twins)}"
    )


async def test_every_id_that_is_listed_is_that_assistant_alone(
    v1: openai.AsyncOpenAI, twins: list[str], org: Org
) -> None:
    listed = [(model.id, await v1.models.retrieve(model.id)) async for model in v1.models.list()]
    answers = [await v1.responses.create(model=one, input="Hello") for one in twins]
    chats = [await v1.get(f"/../chat/{one.id}", cast_to=dict) for one in answers]

    assert (
        [read.id for _, read in listed]
        == [one for one, _ in listed]
        == [twins[1], twins[0], org.assistant_id]
    )
    assert [chat["assistantId"] for chat in chats] == twins


async def test_name_is_enough_again_where_one_alone_has_it(
    v1: openai.AsyncOpenAI, http: httpx.AsyncClient, org: Org, twins: list[str]
) -> None:
    await http.patch(f"/assistant/{twins[0]}", headers=org.bearer, json={"name": "older twin"})

    assert (await v1.models.retrieve("twin")).id == twins[1]


async def test_names_of_other_orgs_count_for_nothing(
    service: Service, org: Org, v1: openai.AsyncOpenAI
) -> None:
    other = await service.new_org()  # with a demo of its own

    assert (await v1.models.retrieve("demo")).id == org.assistant_id != other.assistant_id


async def test_page_does_not_get_the_ids_of_assistants_of_one_name(
    http: httpx.AsyncClient, org: Org, twins: list[str]
) -> None:
    answer = await http.post(
        "/v1/responses",
        json={"model": "twin", "input": "Hello"},
        headers={"authorization": f"Bearer {org.publishable}"},
    )

    assert answer.status_code == 400
    assert (
        "is the name of several assistants; send the id of one of them" in answer.json()["error"]["message"]
    )
    assert twins[0] not in answer.text and twins[1] not in answer.text


@pytest.mark.parametrize("base", ["/v1", "/chat"])
async def test_completions_name_their_assistant_as_model(base: str, service: Service, org: Org) -> None:
    async with openai.AsyncOpenAI(base_url=service.http_url + base, api_key=org.api, max_retries=0) as client:
        by_name = await client.chat.completions.create(
            model="demo", messages=[{"role": "user", "content": "Hello"}]
        )
        by_id = await client.chat.completions.create(
            model=org.assistant_id, messages=[{"role": "user", "content": "Hello"}]
        )
        with pytest.raises(openai.NotFoundError) as missing:
            await client.chat.completions.create(
                model="nobody", messages=[{"role": "user", "content": "Hello"}]
            )

    assert by_name.choices == by_id.choices
    assert missing.value.code == "model_not_found"


async def test_completions_path_under_chat_without_a_second_chat(http: httpx.AsyncClient, org: Org) -> None:
    body = {"model": "demo", "messages": [{"role": "user", "content": "Hello"}]}
    answer = await http.post("/chat/completions", json=body, headers=org.bearer)

    assert answer.json()["choices"][0]["message"]["content"] == "You said: Hello"


async def test_chat_is_watched_over_grpc_live_and_again(slow: Service) -> None:
    org = await slow.new_org()
    async with (
        openai.AsyncOpenAI(base_url=f"{slow.http_url}/v1", api_key=org.api, max_retries=0) as client,
        grpc.aio.insecure_channel(slow.grpc_address) as channel,
    ):
        chats = ChatServiceStub(channel)
        begun = await client.responses.create(model="demo", input="one two three", background=True)
        live = [
            event async for event in chats.WatchChat(WatchChatRequest(id=begun.id), metadata=org.metadata)
        ]
        again = [
            event
            async for event in chats.WatchChat(WatchChatRequest(id=begun.id, after=2), metadata=org.metadata)
        ]
        chat = await chats.GetChat(GetChatRequest(id=begun.id), metadata=org.metadata)

    assert [event.sequence for event in live] == list(range(len(live)))
    assert again == live[3:]
    assert live[-1].completed == chat
