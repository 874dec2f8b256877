"""What a page sees of the assistant that answers it: what it says, and nothing of how it is set up."""

import json
from collections.abc import AsyncIterator
from typing import Any

import grpc
import httpx
import pytest

from generated.parley.v1.chat_service_pb2 import CreateChatRequest
from generated.parley.v1.chat_service_pb2_grpc import ChatServiceStub
from server.content.json_values import from_python
from tests.conftest import Org

MARK = "MARKED"
NOWHERE = f"http://10.1.2.3/{MARK}-path"
"""A private address, which is not called."""
TOOLS = [
    {"type": "apiRequest", "name": "weather", "url": NOWHERE, "headers": {"authorization": f"Bearer {MARK}"}},
    {
        "type": "function",
        "function": {"name": "lookup"},
        "server": {"url": NOWHERE, "secret": f"{MARK}-secret", "headers": {"x-a": f"{MARK}-header"}},
    },
]
SETUP = {
    "systemPrompt": f"{MARK}-prompt",
    "messages": [{"role": "system", "content": f"{MARK}-message"}],
    "tools": TOOLS,
    "knowledgeBase": {
        "provider": "custom-knowledge-base",
        "server": {"url": NOWHERE, "headers": {"authorization": f"{MARK}-base"}},
    },
}
ASSISTANT = {
    "server": {"url": NOWHERE, "headers": {"x-a": MARK}, "secret": f"{MARK}-sign"},
    "metadata": {"ours": MARK},
    "credentials": [{"provider": "custom-llm", "apiKey": f"{MARK}-key"}],
}
ANSWERING = {"provider": "offline", "model": "offline-1", **SETUP}
FAILING = {"provider": "custom-llm", "model": "m", "url": f"{NOWHERE}?key={MARK}", **SETUP}


@pytest.fixture(params=[ANSWERING, FAILING], ids=["answers", "fails"])
async def assistant_id(request: pytest.FixtureRequest, http: httpx.AsyncClient, org: Org) -> str:
    made = await http.post("/assistant", headers=org.bearer, json={**ASSISTANT, "model": request.param})
    assert made.status_code == 201
    return made.json()["id"]


@pytest.fixture
def page(org: Org) -> dict[str, str]:
    return {"authorization": f"Bearer {org.publishable}"}


async def seen_over_http(
    http: httpx.AsyncClient, page: dict[str, str], assistant_id: str, prompt: str
) -> AsyncIterator[httpx.Response]:
    async def post(path: str, body: dict[str, Any]) -> httpx.Response:
        return await http.post(path, headers=page, json=body)

    session = await post("/session", {"assistantId": assistant_id})
    yield session
    chat = await post("/chat", {"agentId": assistant_id})
    yield chat
    for stream in (False, True):
        answered = await post(
            "/v1/responses", {"assistantId": assistant_id, "input": prompt, "stream": stream}
        )
        yield answered
        yield await post(
            "/chat/responses", {"sessionId": session.json()["id"], "input": prompt, "stream": stream}
        )
        yield await post(
            "/v1/chat/completions",
            {"model": assistant_id, "messages": [{"role": "user", "content": prompt}], "stream": stream},
        )
        if not stream and answered.status_code == 200:
            for path in ("", "?stream=true", "/input_items"):
                yield await http.get(f"/v1/responses/{answered.json()['id']}{path}", headers=page)
    yield await post(f"/chat/{chat.json()['id']}/message", {"content": prompt, "role": "user"})
    yield await post("/v1/responses/compact", {"model": assistant_id, "input": prompt})
    for path in (
        f"/session/{session.json()['id']}",
        f"/chat/{chat.json()['id']}",
        f"/chat/{chat.json()['id']}/message",
        f"/v1/conversations/{session.json()['id']}",
        f"/v1/conversations/{session.json()['id']}/items",
    ):
        yield await http.get(path, headers=page)


@pytest.mark.parametrize("prompt", ["hi", "weather please", "lookup please"])
async def test_page_sees_nothing_of_how_an_assistant_is_set_up(http, page, assistant_id, prompt):
    async for answer in seen_over_http(http, page, assistant_id, prompt):
        shown = answer.text + json.dumps(dict(answer.headers))
        assert MARK not in shown, answer.request.url
        assert "10.1.2.3" not in shown, answer.request.url


@pytest.mark.parametrize("prompt", ["hi", "weather please", "lookup please"])
async def test_page_sees_no_more_over_grpc(channel, org, assistant_id, prompt):
    chats, metadata = ChatServiceStub(channel), (("authorization", f"Bearer {org.publishable}"),)
    request = CreateChatRequest(assistant_id=assistant_id, input=from_python(prompt))
    seen = []
    try:
        seen += [event async for event in chats.StreamChat(request, metadata=metadata)]
        seen.append(await chats.CreateChat(request, metadata=metadata))
    except grpc.aio.AioRpcError as error:
        seen += [error.details(), error.trailing_metadata()]

    assert seen
    assert MARK not in str(seen)
    assert "10.1.2.3" not in str(seen)


@pytest.mark.parametrize("path", ["/assistant/{}", "/v1/models/{}", "/assistant", "/v1/models", "/tool"])
async def test_page_cannot_read_the_document_itself(http, page, assistant_id, path):
    assert (await http.get(path.format(assistant_id), headers=page)).status_code == 403
