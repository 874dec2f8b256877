"""Text, image and file parts: taken at every door, returned as sent, and carried to the providers that take
them."""

import base64
from typing import Any

import grpc
import httpx
import pytest

from generated.parley.v1.chat_service_pb2 import CreateChatRequest, GetChatRequest
from generated.parley.v1.chat_service_pb2_grpc import ChatServiceStub
from server.content.json_values import from_python, to_python
from tests.conftest import Org, running
from tests.upstream import AnthropicUpstream, OpenAIUpstream, anthropic_text, openai_text

PIXEL = "data:image/png;base64,iVBORw0KGgo="
PDF = "data:application/pdf;base64,JVBERi0="
NOTE = "data:text/plain;base64," + base64.b64encode(b"a note").decode()
TEXT = {"type": "text", "text": "What is this?"}
IMAGE = {"type": "image_url", "image_url": {"url": PIXEL, "detail": "low"}}
LINKED = {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}
FILE = {"type": "file", "file": {"filename": "a.pdf", "file_data": PDF}}
PARTS = [TEXT, IMAGE, LINKED, FILE]
INPUT_PARTS = [
    {"type": "input_text", "text": "What is this?"},
    {"type": "input_image", "image_url": PIXEL, "detail": "low"},
    {"type": "input_image", "image_url": "https://example.com/a.png", "detail": "auto"},
    {"type": "input_file", "filename": "a.pdf", "file_data": PDF},
]


def user_message(parts: list[dict]) -> list[dict]:
    return [{"role": "user", "content": parts}]


async def post(http: httpx.AsyncClient, org: Org, path: str, body: dict[str, Any]) -> dict[str, Any]:
    answer = await http.post(path, headers=org.bearer, json=body)
    assert answer.is_success, answer.text
    return answer.json()


def completions(assistant_id: str) -> str:
    return f"/api/v1/compatibility/openai/v1/assistants/{assistant_id}/chat/completions"


# --- stored and returned as sent ----------------------------------------------------------------------------


@pytest.mark.parametrize("over", ["grpc", "rest"])
async def test_chat_keeps_its_parts(
    over: str, http: httpx.AsyncClient, channel: grpc.aio.Channel, org: Org
) -> None:
    if over == "rest":
        made = await post(http, org, "/chat", {"assistantId": org.assistant_id, "input": user_message(PARTS)})
        stored = (await http.get(f"/chat/{made['id']}", headers=org.bearer)).json()
        sent, content = stored["input"], stored["messages"][0]["content"]
    else:
        stub = ChatServiceStub(channel)
        request = CreateChatRequest(assistant_id=org.assistant_id, input=from_python(user_message(PARTS)))
        made = await stub.CreateChat(request, metadata=org.metadata)
        stored = await stub.GetChat(GetChatRequest(id=made.id), metadata=org.metadata)
        sent, content = to_python(stored.input), to_python(stored.messages[0].content)

    assert sent == user_message(PARTS)
    assert content == PARTS


async def test_session_keeps_the_parts_of_every_door(http: httpx.AsyncClient, org: Org) -> None:
    body = {"assistantId": org.assistant_id, "messages": user_message([IMAGE])}
    session = (await post(http, org, "/session", body))["id"]
    await post(http, org, "/chat", {"sessionId": session, "input": user_message([TEXT, FILE])})
    await post(
        http,
        org,
        completions(org.assistant_id),
        {"messages": user_message(PARTS), "store_in_session": session},
    )
    await post(
        http,
        org,
        "/chat/responses",
        {"sessionId": session, "input": user_message(INPUT_PARTS), "stream": False},
    )

    messages = (await http.get(f"/session/{session}", headers=org.bearer)).json()["messages"]
    patched = await http.patch(
        f"/session/{session}", headers=org.bearer, json={"messages": user_message(PARTS)}
    )
    page = (await http.get(f"/chat/{session}/message", headers={"x-api-key": org.secret})).json()["messages"]

    assert [message["content"] for message in messages if message["role"] == "user"] == [
        [IMAGE],
        [TEXT, FILE],
        PARTS,
        INPUT_PARTS,
    ]
    assert patched.json()["messages"][0]["content"] == PARTS
    assert [message["content"] for message in page] == ["What is this?"]  # that door documents text


@pytest.mark.parametrize("sent", [PARTS, INPUT_PARTS], ids=["completions", "responses"])
async def test_items_have_the_names_of_the_responses_interface(
    http: httpx.AsyncClient, org: Org, sent: list
) -> None:
    conversation = (
        await post(http, org, "/v1/conversations", {"items": [{"role": "user", "content": sent}]})
    )["id"]
    body = {"assistantId": org.assistant_id, "input": user_message(sent), "stream": False}
    response = (await post(http, org, "/chat/responses", body))["id"]

    items = (await http.get(f"/v1/conversations/{conversation}/items", headers=org.bearer)).json()["data"]
    inputs = (await http.get(f"/v1/responses/{response}/input_items", headers=org.bearer)).json()["data"]

    assert items[0]["content"] == inputs[0]["content"] == INPUT_PARTS


@pytest.mark.parametrize(
    ("part", "field"),
    [
        ("text", "input[0].content[1]"),
        ({"type": "text"}, "input[0].content[1].text"),
        ({"type": "image_url"}, "input[0].content[1].image_url"),
        ({"type": "image_url", "image_url": {"url": ""}}, "input[0].content[1].image_url.url"),
        ({"type": "input_image", "image_url": {}}, "input[0].content[1].image_url.url"),
        ({"type": "input_image"}, "input[0].content[1].image_url"),
        ({"type": "file", "file": {"filename": "a"}}, "input[0].content[1].file"),
        ({"type": "file", "file": {"file_id": "f", "filename": 1}}, "input[0].content[1].file.filename"),
        ({"type": "input_file", "file_url": 1}, "input[0].content[1]"),
    ],
    ids=str,
)
async def test_malformed_part_is_named(http: httpx.AsyncClient, org: Org, part: Any, field: str) -> None:
    body = {"assistantId": org.assistant_id, "input": user_message([TEXT, part])}
    answer = await http.post("/chat", headers=org.bearer, json=body)

    assert answer.status_code == 400
    assert f"{field} must" in str(answer.json()["message"])


# --- carried to providers -----------------------------------------------------------------------------------


@pytest.fixture
async def providers(tmp_path):
    """A service whose providers are stand-ins: (the service, an org, OpenAI's, Anthropic's)."""
    async with (
        OpenAIUpstream(openai_text("Seen")) as openai,
        AnthropicUpstream(anthropic_text("Seen")) as anthropic,
        running(
            tmp_path,
            provider_urls={"openai": openai.base_url, "anthropic": anthropic.base_url},
            upstream_allow_hosts="127.0.0.1",
        ) as service,
    ):
        org = await service.new_org()
        async with httpx.AsyncClient(base_url=service.http_url, timeout=20) as http:
            yield http, org, {"openai": openai, "anthropic": anthropic}


def model(provider: str) -> dict[str, Any]:
    return {"assistant": {"model": {"provider": provider, "model": "scripted-1"}}}


@pytest.mark.parametrize("door", ["chat", "responses", "completions"])
async def test_parts_reach_openai_from_every_door(providers, door: str) -> None:
    http, org, upstreams = providers
    if door == "chat":
        await post(http, org, "/chat", {**model("openai"), "input": user_message(PARTS)})
    elif door == "responses":
        await post(
            http,
            org,
            "/chat/responses",
            {**model("openai"), "input": user_message(INPUT_PARTS), "stream": False},
        )
    else:
        made = await post(http, org, "/assistant", model("openai")["assistant"])
        await post(http, org, completions(made["id"]), {"messages": user_message(PARTS)})

    carried = upstreams["openai"].requests[0].body["messages"][0]["content"]
    detail = {"detail": "auto"} if door == "responses" else {}
    linked = {"type": "image_url", "image_url": {**LINKED["image_url"], **detail}}
    assert carried == [TEXT, IMAGE, linked, FILE]


@pytest.mark.parametrize("sent", [PARTS, INPUT_PARTS], ids=["completions", "responses"])
async def test_parts_reach_anthropic(providers, sent: list) -> None:
    http, org, upstreams = providers
    note = {"type": "file", "file": {"filename": "a.txt", "file_data": NOTE}}
    await post(http, org, "/chat", {**model("anthropic"), "input": user_message([*sent, note])})

    carried = upstreams["anthropic"].requests[0].body["messages"][0]["content"]

    assert carried == [
        {"type": "text", "text": "What is this?"},
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "iVBORw0KGgo="}},
        {"type": "image", "source": {"type": "url", "url": "https://example.com/a.png"}},
        {
            "type": "document",
            "source": {"type": "base64", "media_type": "application/pdf", "data": "JVBERi0="},
            "title": "a.pdf",
        },
        {
            "type": "document",
            "source": {"type": "text", "media_type": "text/plain", "data": "a note"},
            "title": "a.txt",
        },
    ]


async def test_parts_of_earlier_turns_are_carried_again(providers) -> None:
    http, org, upstreams = providers
    first = await post(http, org, "/chat", {**model("openai"), "input": user_message([TEXT, IMAGE])})
    await post(http, org, "/chat", {"previousChatId": first["id"], "input": "And now?"})

    assert upstreams["openai"].requests[1].body["messages"][0]["content"] == [TEXT, IMAGE]


async def test_image_in_a_tools_result_reaches_anthropic(providers) -> None:
    http, org, upstreams = providers
    call = {"id": "call_1", "type": "function", "function": {"name": "look", "arguments": "{}"}}
    messages = [
        {"role": "user", "content": "Look"},
        {"role": "assistant", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "call_1", "content": [IMAGE]},
    ]
    await post(http, org, "/chat", {**model("anthropic"), "input": messages})

    result = upstreams["anthropic"].requests[0].body["messages"][2]["content"][0]
    assert [block["type"] for block in result["content"]] == ["image"]


CALL = {
    "role": "assistant",
    "tool_calls": [{"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}],
}
LOST = {"role": "tool", "tool_call_id": "c", "content": [IMAGE]}


@pytest.mark.parametrize(
    ("provider", "message", "problem"),
    [
        (
            "openai",
            {"role": "user", "content": [{"type": "input_file", "file_url": "https://example.com/a.pdf"}]},
            "a part of type input_file by its file_url, which provider openai cannot be sent; send its file_data",
        ),
        (
            "openai",
            {"role": "user", "content": [{"type": "input_image", "file_id": "file-1"}]},
            "a part of type input_image by its file_id, which provider openai",
        ),
        ("openai", LOST, "a part of type image_url in a tool's result, which provider openai"),
        (
            "anthropic",
            {"role": "user", "content": [{"type": "input_audio", "input_audio": {}}]},
            "a part of type input_audio, which provider anthropic",
        ),
        (
            "anthropic",
            {"role": "user", "content": [{"type": "file", "file": {"file_id": "file-1"}}]},
            "a part of type file by its file_id, which provider anthropic",
        ),
        (
            "anthropic",
            {
                "role": "user",
                "content": [{"type": "file", "file": {"filename": "a.zip", "file_data": "UEsDBA=="}}],
            },
            "a part of type file of type application/zip",
        ),
        ("anthropic", {"role": "system", "content": [IMAGE]}, "a part of type image_url in a system message"),
    ],
    ids=["file url", "image id", "tool", "audio", "file id", "zip", "system"],
)
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
async def test_part_that_a_provider_cannot_take_is_named(
    providers, provider: str, message: dict, problem: str, stream: bool
) -> None:
    http, org, upstreams = providers
    body = {**model(provider), "input": [{"role": "user", "content": "Hi"}, CALL, message], "stream": stream}
    answer = await http.post("/chat", headers=org.bearer, json=body)

    assert answer.status_code == 400
    assert problem in str(answer.json()["message"])
    assert not upstreams[provider].requests
