"""Every method of the OpenAI SDK that is installed: the table of docs/parameters.md, and what a call comes to.

The methods and their parameters are taken from the SDK, so one that it gets is missed here. Called at both
bases, through the real Envoy.
"""

import inspect
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any, NamedTuple

import openai
import pytest
from google.protobuf.message import Message
from openai._resource import AsyncAPIResource

from generated.parley.v1 import (
    completion_service_pb2,
    conversation_service_pb2,
    model_service_pb2,
    response_service_pb2,
)
from tests.conftest import Org, Service
from tests.sdk import official_client

DOCUMENT = (Path(__file__).parents[1] / "docs" / "parameters.md").read_text()
ROOTS = ("responses", "conversations", "chat.completions", "models")
BASES = ("/v1", "/chat")
HELLO = [{"role": "user", "content": "Hello"}]
OF_THE_SDK = {"extra_headers", "extra_query", "extra_body", "timeout"}
BY_THE_SDK = {
    # What it reads and does itself; the rest goes to `create` or `retrieve`, whose parameters are looked at.
    "responses.parse": {"text_format", "parse_as", "verbosity"},
    "responses.stream": {"text_format", "starting_after", "response_id"},
    "chat.completions.parse": set(),
    "chat.completions.stream": set(),
}
ELSEWHERE = {"responses.connect"}
"""Methods that are no HTTP request: the WebSocket transport has tests of its own."""


def methods(resource: Any, name: str) -> dict[str, Callable[..., Any]]:
    """The methods of a resource of the SDK, and of those below it, by their names."""
    found: dict[str, Callable[..., Any]] = {}
    for member in dir(resource):
        if member.startswith(("_", "with_")):
            continue
        value = getattr(resource, member)
        if isinstance(value, AsyncAPIResource):
            found |= methods(value, f"{name}.{member}")
        elif callable(value):
            found[f"{name}.{member}"] = value
    return found


def resource_of(client: Any, name: str) -> Any:
    for step in name.split("."):
        client = getattr(client, step)
    return client


CLIENT = openai.AsyncOpenAI(base_url="http://nowhere/v1", api_key="none")
SDK = {name: method for root in ROOTS for name, method in methods(resource_of(CLIENT, root), root).items()}


def rows(title: str) -> dict[str, str]:
    section = DOCUMENT.partition(f"\n## {title}\n")[2].partition("\n## ")[0]
    found = re.findall(r"^\| `([^`]+)` \| ([a-z]+) \|", section, re.MULTILINE)
    assert len(found) == len(dict(found))
    return dict(found)


TABLE = rows("Methods")
PARAMETERS = rows("Parameters of the other methods")


def test_every_method_of_the_sdk_is_in_the_table_and_no_other():
    assert TABLE.keys() == SDK.keys()
    assert {*TABLE.values()} <= {"honoured", "refused"}


# --- parameters ---------------------------------------------------------------------------------------------


REQUESTS: dict[str, type[Message]] = {
    "responses.cancel": response_service_pb2.CancelResponseRequest,
    "responses.compact": response_service_pb2.CompactResponseRequest,
    "responses.create": response_service_pb2.CreateResponseRequest,
    "responses.delete": response_service_pb2.DeleteResponseRequest,
    "responses.input_items.list": response_service_pb2.ListInputItemsRequest,
    "responses.input_tokens.count": response_service_pb2.CountInputTokensRequest,
    "responses.parse": response_service_pb2.CreateResponseRequest,
    "responses.retrieve": response_service_pb2.GetResponseRequest,
    "responses.stream": response_service_pb2.CreateResponseRequest,
    "conversations.create": conversation_service_pb2.CreateConversationRequest,
    "conversations.delete": conversation_service_pb2.DeleteConversationRequest,
    "conversations.items.create": conversation_service_pb2.CreateItemsRequest,
    "conversations.items.delete": conversation_service_pb2.DeleteItemRequest,
    "conversations.items.list": conversation_service_pb2.ListItemsRequest,
    "conversations.items.retrieve": conversation_service_pb2.GetItemRequest,
    "conversations.retrieve": conversation_service_pb2.GetConversationRequest,
    "conversations.update": conversation_service_pb2.UpdateConversationRequest,
    "chat.completions.create": completion_service_pb2.CreateChatCompletionRequest,
    "chat.completions.parse": completion_service_pb2.CreateChatCompletionRequest,
    "chat.completions.stream": completion_service_pb2.CreateChatCompletionRequest,
    "chat.completions.delete": completion_service_pb2.DeleteChatCompletionRequest,
    "chat.completions.list": completion_service_pb2.ListChatCompletionsRequest,
    "chat.completions.messages.list": completion_service_pb2.ListChatCompletionMessagesRequest,
    "chat.completions.retrieve": completion_service_pb2.GetChatCompletionRequest,
    "chat.completions.update": completion_service_pb2.UpdateChatCompletionRequest,
    "models.delete": model_service_pb2.DeleteModelRequest,
    "models.list": model_service_pb2.ListModelsRequest,
    "models.retrieve": model_service_pb2.GetModelRequest,
}
"""What each method is read as here."""


def parameters_of(name: str) -> set[str]:
    return {*inspect.signature(SDK[name]).parameters} - OF_THE_SDK - BY_THE_SDK.get(name, set())


@pytest.mark.parametrize("name", sorted(SDK.keys() - ELSEWHERE))
def test_every_parameter_is_a_member_of_the_request_or_listed(name):
    members = {
        member for field in REQUESTS[name].DESCRIPTOR.fields for member in (field.name, field.json_name)
    }
    listed = {row.removeprefix(f"{name}.") for row in PARAMETERS if row.startswith(f"{name}.")}

    assert parameters_of(name) - members <= listed
    assert listed <= parameters_of(name)


# --- calls --------------------------------------------------------------------------------------------------


class Things(NamedTuple):
    """What the calls are about."""

    client: openai.AsyncOpenAI
    assistant: str
    response: str
    conversation: str
    item: str
    completion: str


@pytest.fixture(params=BASES)
async def things(request: pytest.FixtureRequest, service: Service, org: Org) -> AsyncIterator[Things]:
    async with official_client(service.http_url + request.param, org.api) as client:
        response = await client.responses.create(model=org.assistant_id, input="Hello")
        conversation = await client.conversations.create(items=[{"role": "user", "content": "Hello"}])
        items = await client.conversations.items.list(conversation.id)
        completion = await client.chat.completions.create(
            model=org.assistant_id, messages=HELLO, store=True, metadata={"topic": "greetings"}
        )
        yield Things(client, org.assistant_id, response.id, conversation.id, items.data[0].id, completion.id)


async def streamed(manager: Any) -> Any:
    async with manager as stream:
        return [event async for event in stream]


Call = Callable[[Things], Awaitable[Any]]
CALLS: dict[str, Call] = {
    "responses.cancel": lambda to: to.client.responses.cancel(to.response),
    "responses.compact": lambda to: to.client.responses.compact(
        model=to.assistant, previous_response_id=to.response
    ),
    "responses.create": lambda to: to.client.responses.create(model=to.assistant, input="Hello"),
    "responses.delete": lambda to: to.client.responses.delete(to.response),
    "responses.input_items.list": lambda to: to.client.responses.input_items.list(to.response),
    "responses.input_tokens.count": lambda to: to.client.responses.input_tokens.count(
        model=to.assistant, input="Hello"
    ),
    "responses.parse": lambda to: to.client.responses.parse(model=to.assistant, input="Hello"),
    "responses.retrieve": lambda to: to.client.responses.retrieve(to.response),
    "responses.stream": lambda to: streamed(to.client.responses.stream(model=to.assistant, input="Hello")),
    "conversations.create": lambda to: to.client.conversations.create(metadata={"topic": "greetings"}),
    "conversations.delete": lambda to: to.client.conversations.delete(to.conversation),
    "conversations.items.create": lambda to: to.client.conversations.items.create(
        to.conversation, items=[{"role": "user", "content": "And again"}]
    ),
    "conversations.items.delete": lambda to: to.client.conversations.items.delete(
        to.item, conversation_id=to.conversation
    ),
    "conversations.items.list": lambda to: to.client.conversations.items.list(to.conversation),
    "conversations.items.retrieve": lambda to: to.client.conversations.items.retrieve(
        to.item, conversation_id=to.conversation
    ),
    "conversations.retrieve": lambda to: to.client.conversations.retrieve(to.conversation),
    "conversations.update": lambda to: to.client.conversations.update(
        to.conversation, metadata={"topic": "farewells"}
    ),
    "chat.completions.create": lambda to: to.client.chat.completions.create(
        model=to.assistant, messages=HELLO
    ),
    "chat.completions.parse": lambda to: to.client.chat.completions.parse(model=to.assistant, messages=HELLO),
    "chat.completions.stream": lambda to: streamed(
        to.client.chat.completions.stream(model=to.assistant, messages=HELLO)
    ),
    "chat.completions.delete": lambda to: to.client.chat.completions.delete(to.completion),
    "chat.completions.list": lambda to: to.client.chat.completions.list(),
    "chat.completions.messages.list": lambda to: to.client.chat.completions.messages.list(to.completion),
    "chat.completions.retrieve": lambda to: to.client.chat.completions.retrieve(to.completion),
    "chat.completions.update": lambda to: to.client.chat.completions.update(
        to.completion, metadata={"topic": "farewells"}
    ),
    "models.delete": lambda to: to.client.models.delete(to.assistant),
    "models.list": lambda to: to.client.models.list(),
    "models.retrieve": lambda to: to.client.models.retrieve(to.assistant),
}
"""A call of each method that succeeds, or, where the table says so, is refused."""


def named(word: str) -> list[str]:
    return sorted(name for name, done in TABLE.items() if done == word and name not in ELSEWHERE)


@pytest.mark.parametrize("name", named("honoured"))
async def test_what_is_honoured_is_answered_at_both_bases(things, name):
    answer = await CALLS[name](things)

    assert (answer is None) is (name == "responses.delete")  # the SDK makes None of what it is answered


@pytest.mark.parametrize("name", named("refused"))
async def test_what_is_refused_is_an_error_that_says_what_to_do(things, name):
    with pytest.raises((openai.BadRequestError, openai.NotFoundError)) as refused:
        await CALLS[name](things)

    assert refused.value.body["type"] in ("invalid_request_error", "not_found_error")
    assert len(refused.value.body["message"]) > 20


REFUSED: dict[str, Callable[[Things], Awaitable[Any]]] = {
    "responses.input_tokens.count.personality": lambda to: to.client.responses.input_tokens.count(
        model=to.assistant, input="Hello", personality="friendly"
    ),
}


@pytest.mark.parametrize("name", sorted(name for name, done in PARAMETERS.items() if done == "refused"))
async def test_parameter_that_is_refused_is_named(things, name):
    with pytest.raises(openai.BadRequestError) as refused:
        await REFUSED[name](things)

    assert refused.value.param == name.rpartition(".")[2]


# --- beside the calls ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["conversation", "previous_response_id"])
async def test_input_may_be_left_out_where_a_conversation_goes_on(things, kind):
    said = things.conversation if kind == "conversation" else things.response
    answer = await things.client.responses.create(model=things.assistant, **{kind: said})

    assert answer.status == "completed"
    assert answer.output_text


async def test_input_that_is_left_out_of_an_empty_conversation_is_required(things):
    empty = await things.client.conversations.create()

    for where in ({"conversation": empty.id}, {}):
        with pytest.raises(openai.BadRequestError, match="input is required") as refused:
            await things.client.responses.create(model=things.assistant, **where)
        assert refused.value.param == "input"


async def test_count_grows_with_all_that_a_model_is_given(things):
    count = things.client.responses.input_tokens.count
    tool = {"type": "function", "name": "look", "parameters": {"type": "object", "properties": {}}}

    async def tokens(**members: Any) -> int:
        counted = await count(model=things.assistant, **members)
        assert counted.object == "response.input_tokens"
        assert counted.estimated is True
        return counted.input_tokens

    alone = await tokens(input="Hello")
    assert await tokens(input="Hello" * 5) == alone + 5
    assert await tokens(input="Hello", instructions="Hello" * 4) == alone + 5
    assert await tokens(input="Hello", tools=[tool]) > alone
    assert await tokens(input="Hello", conversation=things.conversation) > alone
    assert await tokens(input="Hello", previous_response_id=things.response) > alone


async def test_count_leaves_nothing_behind(things):
    before = await things.client.conversations.items.list(things.conversation)
    await things.client.responses.input_tokens.count(
        model=things.assistant, input="Hello", conversation=things.conversation
    )

    assert (await things.client.conversations.items.list(things.conversation)).data == before.data


async def test_model_of_an_agent_is_the_one_that_its_path_takes(service, org):
    base = f"{service.http_url}/api/v1/compatibility/openai/v1/assistants/{org.assistant_id}"
    async with official_client(base, org.api) as client:
        [model] = [model async for model in client.models.list()]
        answer = await client.chat.completions.create(model=model.id, messages=HELLO)
        with pytest.raises(openai.NotFoundError):
            await client.models.retrieve(org.assistant_id)

        assert await client.models.retrieve(model.id) == model
        assert answer.model == model.id


async def test_deleted_model_is_no_assistant_any_more(things, service, org):
    deleted = await things.client.models.delete("demo")

    assert (deleted.id, deleted.deleted) == (things.assistant, True)
    with pytest.raises(openai.NotFoundError):
        await things.client.models.retrieve("demo")


# --- Azure's clients ----------------------------------------------------------------------------------------


@pytest.fixture(params=["endpoint", "deployment", "base url"])
async def azure(request: pytest.FixtureRequest, service: Service, org: Org) -> AsyncIterator[Any]:
    """Azure's client of the SDK, in each way that it can be told where to call."""
    where = {
        "endpoint": {"azure_endpoint": service.http_url},
        "deployment": {"azure_endpoint": service.http_url, "azure_deployment": org.assistant_id},
        "base url": {"base_url": f"{service.http_url}/v1"},
    }[request.param]
    async with openai.AsyncAzureOpenAI(
        api_key=org.api, api_version="2026-01-01", max_retries=0, **where
    ) as client:
        yield client


async def test_azure_client_completes_whole_and_streamed(azure, org):
    whole = await azure.chat.completions.create(model=org.assistant_id, messages=HELLO)
    chunks = await azure.chat.completions.create(model=org.assistant_id, messages=HELLO, stream=True)
    text = "".join([chunk.choices[0].delta.content or "" async for chunk in chunks if chunk.choices])

    assert whole.choices[0].message.content == text == "You said: Hello"


@pytest.mark.parametrize("azure", ["endpoint", "base url"], indirect=True)
async def test_azure_client_has_responses_conversations_and_models(azure, org):
    created = await azure.responses.create(model=org.assistant_id, input="Hello")
    conversation = await azure.conversations.create(items=[{"role": "user", "content": "Hello"}])

    assert (await azure.responses.retrieve(created.id)).output_text == "You said: Hello"
    assert (await azure.conversations.retrieve(conversation.id)) == conversation
    assert org.assistant_id in [model.id async for model in azure.models.list()]


async def test_openai_client_of_azure_s_newest_paths_is_served(service, org):
    async with openai.AsyncOpenAI(base_url=f"{service.http_url}/openai/v1/", api_key=org.api) as client:
        assert (await client.responses.create(model=org.assistant_id, input="Hello")).output_text


async def test_unknown_path_of_azure_is_404_in_openai_s_shape(http, org):
    answer = await http.post("/openai/nope?api-version=1", headers=org.bearer, json={})

    assert (answer.status_code, answer.json()["error"]["type"]) == (404, "not_found_error")


@pytest.mark.parametrize("large", [False, True])
async def test_key_may_be_in_api_key(http, org, large):
    body = {"model": org.assistant_id, "input": "Hello" + " " * (100_000 if large else 0)}
    good = await http.post("/v1/responses", headers={"api-key": org.api}, json=body)
    bad = await http.post("/v1/responses", headers={"api-key": "api_nobody"}, json=body)
    overruled = await http.post("/v1/responses", headers={**org.bearer, "api-key": "api_nobody"}, json=body)

    assert [answer.status_code for answer in (good, bad, overruled)] == [200, 401, 200]
