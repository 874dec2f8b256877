"""What test_responses_beyond_create.py shows with the official SDK, over gRPC: by stubs, as internal services
have them."""

from collections.abc import AsyncIterator

import grpc
import httpx
import pytest

from generated.parley.v1.conversation_service_pb2 import (
    CreateConversationRequest,
    CreateItemsRequest,
    DeleteConversationRequest,
    DeleteItemRequest,
    GetConversationRequest,
    GetItemRequest,
    ListItemsRequest,
    UpdateConversationRequest,
)
from generated.parley.v1.conversation_service_pb2_grpc import ConversationServiceStub
from generated.parley.v1.model_service_pb2 import GetModelRequest, ListModelsRequest
from generated.parley.v1.model_service_pb2_grpc import ModelServiceStub
from generated.parley.v1.response_pb2 import Response
from generated.parley.v1.response_service_pb2 import (
    CancelResponseRequest,
    CompactResponseRequest,
    CreateResponseRequest,
    DeleteResponseRequest,
    GetResponseRequest,
    ListInputItemsRequest,
)
from generated.parley.v1.response_service_pb2_grpc import ResponseServiceStub
from server.content.json_values import from_python, struct_from, to_python
from server.services import models as models_service
from tests.conftest import Org, Service, running

MANY_WORDS = " ".join(["word"] * 400)
STATEMENT = {"role": "user", "content": "My name is Ada"}
QUESTION = from_python("What is my name?")


@pytest.fixture
def responses(channel: grpc.aio.Channel) -> ResponseServiceStub:
    return ResponseServiceStub(channel)


@pytest.fixture
def conversations(channel: grpc.aio.Channel) -> ConversationServiceStub:
    return ConversationServiceStub(channel)


@pytest.fixture(scope="module")
async def slow(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[tuple[ResponseServiceStub, Org]]:
    """A service whose model takes its time, so that something is in flight."""
    async with (
        running(tmp_path_factory.mktemp("slow"), offline_delay_ms=5) as service,
        grpc.aio.insecure_channel(service.grpc_address) as channel,
    ):
        yield ResponseServiceStub(channel), await service.new_org()


def text_of(response: Response) -> str:
    return "".join(part.text for item in response.output for part in item.content)


async def gone(call: grpc.aio.UnaryUnaryCall) -> bool:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await call
    return refused.value.code() == grpc.StatusCode.NOT_FOUND


async def test_response_is_read_and_deleted(responses: ResponseServiceStub, org: Org) -> None:
    created = await responses.CreateResponse(
        CreateResponseRequest(assistant_id=org.assistant_id, input=from_python([STATEMENT, STATEMENT])),
        metadata=org.metadata,
    )
    read = await responses.GetResponse(GetResponseRequest(response_id=created.id), metadata=org.metadata)
    items = await responses.ListInputItems(
        ListInputItemsRequest(response_id=created.id, order="asc", limit=1), metadata=org.metadata
    )
    deleted = await responses.DeleteResponse(
        DeleteResponseRequest(response_id=created.id), metadata=org.metadata
    )

    assert read == created
    assert ([to_python(item)["content"][0]["text"] for item in items.data], items.has_more) == (
        ["My name is Ada"],
        True,
    )
    assert deleted.deleted
    assert await gone(
        responses.GetResponse(GetResponseRequest(response_id=created.id), metadata=org.metadata)
    )


async def test_background_response_is_polled_watched_and_cancelled(
    slow: tuple[ResponseServiceStub, Org],
) -> None:
    responses, org = slow
    create = CreateResponseRequest(
        assistant_id=org.assistant_id, input=from_python(MANY_WORDS), background=True
    )
    begun = await responses.CreateResponse(create, metadata=org.metadata)
    polled = await responses.GetResponse(GetResponseRequest(response_id=begun.id), metadata=org.metadata)
    watched = aiter(
        responses.WatchResponse(
            GetResponseRequest(response_id=begun.id, starting_after=1), metadata=org.metadata
        )
    )
    first = await anext(watched)
    cancelled = await responses.CancelResponse(
        CancelResponseRequest(response_id=begun.id), metadata=org.metadata
    )
    rest = [event async for event in watched]
    stored = await responses.GetResponse(GetResponseRequest(response_id=begun.id), metadata=org.metadata)

    assert (begun.status, polled.status, cancelled.status) == ("in_progress", "in_progress", "cancelled")
    assert [event.sequence_number for event in (first, *rest)] == list(range(2, 3 + len(rest)))
    assert stored == cancelled


async def test_stream_is_replayed_unchanged(responses: ResponseServiceStub, org: Org) -> None:
    create = CreateResponseRequest(assistant_id=org.assistant_id, input=from_python("Hello there"))
    live = [event async for event in responses.StreamResponse(create, metadata=org.metadata)]
    again = [
        event
        async for event in responses.WatchResponse(
            GetResponseRequest(response_id=live[0].response.id, starting_after=3), metadata=org.metadata
        )
    ]

    assert again == live[4:]


async def test_response_that_is_not_stored_leaves_nothing(responses: ResponseServiceStub, org: Org) -> None:
    answer = await responses.CreateResponse(
        CreateResponseRequest(assistant_id=org.assistant_id, input=from_python("Hello"), store=False),
        metadata=org.metadata,
    )

    assert text_of(answer) == "You said: Hello"
    assert await gone(responses.GetResponse(GetResponseRequest(response_id=answer.id), metadata=org.metadata))


async def test_compacted_context_is_continued(responses: ResponseServiceStub, org: Org) -> None:
    first = await responses.CreateResponse(
        CreateResponseRequest(assistant_id=org.assistant_id, input=from_python([STATEMENT])),
        metadata=org.metadata,
    )
    compacted = await responses.CompactResponse(
        CompactResponseRequest(model="demo", previous_response_id=first.id), metadata=org.metadata
    )
    second = await responses.CreateResponse(
        CreateResponseRequest(previous_response_id=compacted.id, input=QUESTION), metadata=org.metadata
    )

    assert [to_python(item)["type"] for item in compacted.output] == ["compaction"]
    assert text_of(second) == "Your name is Ada."


async def test_conversation_is_read_and_written_item_by_item(
    responses: ResponseServiceStub, conversations: ConversationServiceStub, org: Org
) -> None:
    made = await conversations.CreateConversation(
        CreateConversationRequest(items=[struct_from(STATEMENT)], metadata=struct_from({"a": "b"})),
        metadata=org.metadata,
    )
    answer = await responses.CreateResponse(
        CreateResponseRequest(
            assistant_id=org.assistant_id, input=QUESTION, conversation=from_python(made.id)
        ),
        metadata=org.metadata,
    )
    added = (
        await conversations.CreateItems(
            CreateItemsRequest(
                conversation_id=made.id, items=[struct_from({"role": "user", "content": "Bye"})]
            ),
            metadata=org.metadata,
        )
    ).data[0]
    one = {"conversation_id": made.id, "item_id": to_python(added)["id"]}
    read = await conversations.GetItem(GetItemRequest(**one), metadata=org.metadata)
    await conversations.DeleteItem(DeleteItemRequest(**one), metadata=org.metadata)
    left = await conversations.ListItems(
        ListItemsRequest(conversation_id=made.id, order="asc"), metadata=org.metadata
    )

    assert text_of(answer) == "Your name is Ada."
    assert read == added
    assert [to_python(item)["content"][0]["text"] for item in left.data] == [
        "My name is Ada",
        "What is my name?",
        "Your name is Ada.",
    ]


async def test_conversation_is_updated_and_deleted(conversations: ConversationServiceStub, org: Org) -> None:
    made = await conversations.CreateConversation(CreateConversationRequest(), metadata=org.metadata)
    updated = await conversations.UpdateConversation(
        UpdateConversationRequest(conversation_id=made.id, metadata=struct_from({"c": "d"})),
        metadata=org.metadata,
    )
    read = await conversations.GetConversation(
        GetConversationRequest(conversation_id=made.id), metadata=org.metadata
    )
    deleted = await conversations.DeleteConversation(
        DeleteConversationRequest(conversation_id=made.id), metadata=org.metadata
    )

    assert (read, to_python(read.metadata), deleted.deleted) == (updated, {"c": "d"}, True)
    assert await gone(
        conversations.GetConversation(GetConversationRequest(conversation_id=made.id), metadata=org.metadata)
    )


async def test_models_are_the_assistants(channel: grpc.aio.Channel, org: Org) -> None:
    models = ModelServiceStub(channel)
    listed = await models.ListModels(ListModelsRequest(), metadata=org.metadata)
    by_name = await models.GetModel(GetModelRequest(model="demo"), metadata=org.metadata)

    assert list(listed.data) == [by_name]
    assert by_name.id == org.assistant_id
    assert await gone(models.GetModel(GetModelRequest(model="nobody"), metadata=org.metadata))


async def test_more_models_than_are_listed_are_said(
    channel: grpc.aio.Channel,
    http: httpx.AsyncClient,
    service: Service,
    org: Org,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(models_service, "_MOST", 1)
    older = await http.get("/v1/models", headers=org.bearer)
    made = await service.store.assistants.create(org.id, {"name": "newer"})

    listed = await ModelServiceStub(channel).ListModels(ListModelsRequest(), metadata=org.metadata)
    over_http = await http.get("/v1/models", headers=org.bearer)

    assert older.json().keys() == {"object", "data"}
    assert ([model.id for model in listed.data], listed.has_more) == ([made.id], True)
    assert ([model["id"] for model in over_http.json()["data"]], over_http.json()["has_more"]) == (
        [made.id],
        True,
    )
