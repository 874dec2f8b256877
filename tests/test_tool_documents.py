"""Stored tools: `/tool` and ToolService, and what `toolIds` of an assistant then mean."""

import grpc
import pytest

from generated.parley.v1.chat_service_pb2 import CreateChatRequest
from generated.parley.v1.chat_service_pb2_grpc import ChatServiceStub
from generated.parley.v1.tool_pb2 import Tool
from generated.parley.v1.tool_service_pb2 import (
    CreateToolRequest,
    DeleteToolRequest,
    GetToolRequest,
    ListToolsRequest,
    UpdateToolRequest,
)
from generated.parley.v1.tool_service_pb2_grpc import ToolServiceStub
from server.content.json_values import from_python, struct_from, to_python
from server.core.ids import new_id

FUNCTION = {
    "type": "function",
    "function": {"name": "get_weather", "parameters": {"type": "object", "x-mine": [1]}},
}
REQUEST = {
    "type": "apiRequest",
    "name": "orders",
    "method": "GET",
    "url": "https://a.example/orders",
    "neverHeardOf": {"a": 1},
}
MODEL = {"provider": "offline", "model": "offline-1"}


def documented(body: dict) -> dict:
    """Without what the server set."""
    return {
        name: value for name, value in body.items() if name not in ("id", "orgId", "createdAt", "updatedAt")
    }


async def test_tool_comes_back_as_it_was_sent(http, org):
    created = await http.post("/tool", headers=org.bearer, json=REQUEST)
    path = f"/tool/{created.json()['id']}"

    got = await http.get(path, headers=org.bearer)
    patched = await http.patch(path, headers=org.bearer, json={"neverHeardOf": None, "method": "POST"})
    listed = await http.get("/tool", headers=org.bearer)
    deleted = await http.delete(path, headers=org.bearer)
    gone = await http.get(path, headers=org.bearer)

    assert created.status_code == 201
    assert documented(created.json()) == documented(got.json()) == REQUEST
    assert created.json()["orgId"] == org.id
    assert documented(patched.json()) == {
        **{k: v for k, v in REQUEST.items() if k != "neverHeardOf"},
        "method": "POST",
    }
    assert listed.json() == [patched.json()] == [deleted.json()]
    assert (gone.status_code, gone.json()["message"]) == (404, "tool not found")


async def test_tool_over_grpc_is_typed_and_lossless(channel, org):
    stub = ToolServiceStub(channel)
    created = await stub.CreateTool(CreateToolRequest(document=struct_from(REQUEST)), metadata=org.metadata)

    got = await stub.GetTool(GetToolRequest(id=created.id), metadata=org.metadata)
    patch = UpdateToolRequest(id=created.id, patch=struct_from({"name": "o"}))
    updated = await stub.UpdateTool(patch, metadata=org.metadata)
    listed = await stub.ListTools(ListToolsRequest(), metadata=org.metadata)
    deleted = await stub.DeleteTool(DeleteToolRequest(id=created.id), metadata=org.metadata)
    with pytest.raises(grpc.aio.AioRpcError) as gone:
        await stub.GetTool(GetToolRequest(id=created.id), metadata=org.metadata)

    assert (got.type, got.name, got.url, to_python(got.document)) == (
        "apiRequest",
        "orders",
        REQUEST["url"],
        REQUEST,
    )
    assert updated.name == "o"
    assert list(listed.tools) == [updated] == [deleted]
    assert gone.value.code() is grpc.StatusCode.NOT_FOUND


async def test_tool_sent_typed(channel, org):
    sent = Tool(type="function")
    sent.function.name = "get_weather"

    created = await ToolServiceStub(channel).CreateTool(CreateToolRequest(tool=sent), metadata=org.metadata)

    assert to_python(created.document) == {"type": "function", "function": {"name": "get_weather"}}


@pytest.mark.parametrize(
    ("document", "message"),
    [
        pytest.param({}, "type is required", id="no type"),
        pytest.param({"type": "function"}, "of type function must have a function", id="no function"),
        pytest.param({"type": "function", "function": {}}, "function.name is required", id="no name"),
        pytest.param({"type": "apiRequest"}, "of type apiRequest must have a url", id="no url"),
        pytest.param({**REQUEST, "timeoutSeconds": 301}, "timeoutSeconds must be", id="timeout"),
        pytest.param(
            {**REQUEST, "backoffPlan": {"maxRetries": 11}}, "backoffPlan.maxRetries must be", id="retries"
        ),
        pytest.param({**FUNCTION, "server": "https://a.example"}, "server must be an object", id="server"),
    ],
)
async def test_tool_is_refused(http, org, document, message):
    refused = await http.post("/tool", headers=org.bearer, json=document)

    assert refused.status_code == 400
    assert any(text.startswith(message) for text in refused.json()["message"])


async def test_tool_of_another_org_does_not_exist(http, org, other_org):
    created = (await http.post("/tool", headers=org.bearer, json=FUNCTION)).json()

    answers = [
        await http.get(f"/tool/{tool_id}", headers=other_org.bearer) for tool_id in (created["id"], new_id())
    ]

    assert [answer.status_code for answer in answers] == [404, 404]
    assert answers[0].content == answers[1].content


async def test_publishable_key_may_not_see_tools(http, org):
    publishable = {"authorization": f"Bearer {org.publishable}"}

    answers = [
        await http.get("/tool", headers=publishable),
        await http.post("/tool", headers=publishable, json=FUNCTION),
    ]

    assert [answer.status_code for answer in answers] == [403, 403]


async def test_stored_tool_is_offered_until_it_is_deleted(http, channel, org):
    tool = (await http.post("/tool", headers=org.bearer, json=FUNCTION)).json()
    model = {**MODEL, "toolIds": [tool["id"]]}
    assistant = (await http.post("/assistant", headers=org.bearer, json={"model": model})).json()
    create = CreateChatRequest(assistant_id=assistant["id"], input=from_python("the weather?"))

    called = await ChatServiceStub(channel).CreateChat(create, metadata=org.metadata)
    await http.delete(f"/tool/{tool['id']}", headers=org.bearer)
    answered = await ChatServiceStub(channel).CreateChat(create, metadata=org.metadata)
    renamed = await http.patch(
        f"/assistant/{assistant['id']}", headers=org.bearer, json={"name": "still editable"}
    )

    assert to_python(called.output[0].tool_calls)[0]["function"]["name"] == "get_weather"
    assert answered.output[0].message == "You said: the weather?"
    assert renamed.status_code == 200


@pytest.mark.parametrize("foreign", [False, True], ids=["absent", "another org's"])
async def test_assistant_that_names_an_unknown_tool_is_refused(http, org, other_org, foreign):
    unknown = (
        (await http.post("/tool", headers=other_org.bearer, json=FUNCTION)).json()["id"]
        if foreign
        else new_id()
    )
    model = {"model": {**MODEL, "toolIds": [unknown]}}

    created = await http.post("/assistant", headers=org.bearer, json=model)
    patched = await http.patch(f"/assistant/{org.assistant_id}", headers=org.bearer, json=model)

    expected = [
        f"model.toolIds[0] names no tool: '{unknown}'; make it with POST /tool first, or leave its id out"
    ]
    assert [created.status_code, patched.status_code] == [400, 400]
    assert created.json()["message"] == patched.json()["message"] == expected


async def test_unknown_tool_of_a_transient_assistant_is_not_offered(http, org):
    answer = await http.post(
        "/chat",
        headers=org.bearer,
        json={"assistant": {"model": {**MODEL, "toolIds": [new_id(), "no id"]}}, "input": "the weather?"},
    )

    assert answer.json()["output"][0]["content"] == "You said: the weather?"


async def test_placeholder_of_the_documented_sample_is_kept(http, org):
    created = await http.post(
        "/assistant", headers=org.bearer, json={"model": {**MODEL, "toolIds": ["<string>"]}}
    )

    assert (created.status_code, created.json()["model"]["toolIds"]) == (201, ["<string>"])
