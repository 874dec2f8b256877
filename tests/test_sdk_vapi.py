"""The official SDK of the assistants interface (vapi-server-sdk), unchanged, through the real Envoy.

Its streams are not tested: it reads JSON only.
"""

import asyncio
import datetime
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
import vapi
from vapi.core.api_error import ApiError

from server.core.ids import new_id
from tests.conftest import Org, Service

pytestmark = pytest.mark.timeout(180)
MODEL = {"provider": "offline", "model": "offline-1"}


@pytest.fixture(scope="module", autouse=True)
async def sdk() -> None:
    """Import the SDK, which builds 600 models: 25 s of processor time, in a thread so that the server keeps
    answering."""
    await asyncio.to_thread(_import_all, vapi.AsyncVapi(token="", base_url="http://127.0.0.1"))


def _import_all(client: vapi.AsyncVapi) -> None:
    for part in ("chats", "sessions", "assistants", "squads"):
        getattr(client, part)


@pytest.fixture
async def connection() -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(timeout=20) as client:
        yield client


@pytest.fixture
async def client(service: Service, org: Org, connection: httpx.AsyncClient) -> vapi.AsyncVapi:
    return vapi.AsyncVapi(token=org.api, base_url=service.http_url, httpx_client=connection)


async def fails(status: int, call: Any) -> dict[str, Any]:
    with pytest.raises(ApiError) as failure:
        await call

    assert failure.value.status_code == status
    assert failure.value.headers["x-request-id"]
    return failure.value.body


# Chats


async def test_chat_is_typed(client, org):
    began = datetime.datetime.now(datetime.UTC) - datetime.timedelta(seconds=1)
    chat = await client.chats.create(input="Hello there", assistant_id=org.assistant_id, name="first")
    sent, answered = chat.messages[0], chat.output[0]
    model, whole = chat.costs

    assert (chat.org_id, chat.assistant_id, chat.name, chat.input) == (
        org.id,
        org.assistant_id,
        "first",
        "Hello there",
    )
    assert (chat.stream, chat.session_id, chat.previous_chat_id) == (False, None, None)
    assert (sent.role, sent.message, answered.role, answered.message) == (
        "user",
        "Hello there",
        "assistant",
        "You said: Hello there",
    )
    assert answered.time >= sent.time > began.timestamp() * 1000
    assert began < chat.created_at <= chat.updated_at
    assert (model.type, model.model, whole.type) == ("model", MODEL, "chat")
    assert chat.cost == model.cost + whole.cost


async def test_chat_with_warnings_is_typed(client, org):
    messages = [{"role": "system", "content": "Hello {{ name | }"}]
    assistant = await client.assistants.create(
        model={"provider": "openai", "model": "gpt-4o", "messages": messages}
    )
    chat = await client.chats.create(
        input="Hello there", assistant_id=org.assistant_id, assistant_overrides={"name": "x"}
    )
    read = await client.chats.get(chat.id)

    assert [one["code"] for one in assistant.model_extra["warnings"]] == ["template_invalid"]
    assert [one["code"] for one in chat.model_extra["warnings"]] == ["override_ignored"]
    assert read.model_extra["warnings"] == chat.model_extra["warnings"]


async def test_chain_of_chats_remembers(client, org):
    first = await client.chats.create(input="My name is Ada", assistant_id=org.assistant_id)
    second = await client.chats.create(input="What is my name?", previous_chat_id=first.id)

    assert (second.previous_chat_id, second.assistant_id) == (first.id, org.assistant_id)
    assert [message.message for message in second.messages] == [
        "My name is Ada",
        "You said: My name is Ada",
        "What is my name?",
    ]
    assert second.output[0].message == "Your name is Ada."


async def test_input_of_typed_messages_is_echoed_and_read(client, org):
    sent = [
        vapi.SystemMessage(role="system", message="My name is Ada", time=0, seconds_from_start=0),
        vapi.UserMessage(role="user", message="What is my name?", time=0, end_time=0, seconds_from_start=0),
    ]
    chat = await client.chats.create(input=sent, assistant_id=org.assistant_id)

    assert [message.dict() for message in chat.input] == [message.dict() for message in sent]
    assert chat.output[0].message == "Your name is Ada."


async def test_transient_assistant_with_variables_answers(client):
    # As dicts: the SDK's own types know no provider `offline`.
    assistant: Any = {
        "name": "host",
        "model": {**MODEL, "messages": [{"role": "system", "content": "My name is {{guest}}"}]},
    }
    overrides: Any = {"variableValues": {"guest": "Ada"}}
    chat = await client.chats.create(
        input="What is my name?", assistant=assistant, assistant_overrides=overrides
    )

    assert (chat.assistant.name, chat.assistant_overrides.variable_values) == ("host", {"guest": "Ada"})
    assert chat.output[0].message == "Your name is Ada."


async def test_chat_that_is_got_and_deleted_is_the_one_that_was_made(client, org):
    made = await client.chats.create(input="Hello there", assistant_id=org.assistant_id)

    assert await client.chats.get(made.id) == made
    assert await client.chats.delete(made.id) == made
    assert await fails(404, client.chats.get(made.id)) == {
        "message": "chat not found",
        "error": "Not Found",
        "statusCode": 404,
    }


async def test_chats_are_listed_in_pages_newest_first(client, org):
    made = [
        await client.chats.create(input=text, assistant_id=org.assistant_id)
        for text in ("one", "two", "three")
    ]
    pages = [
        await client.chats.list(
            assistant_id=org.assistant_id, limit=2, page=page, created_at_ge=made[0].created_at
        )
        for page in (1, 2)
    ]
    ascending = await client.chats.list(
        sort_order="ASC", sort_by="createdAt", id_any=f"{made[2].id},{made[0].id}"
    )
    earlier = await client.chats.list(created_at_lt=made[0].created_at)

    assert [[chat.id for chat in page.results] for page in pages] == [[made[2].id, made[1].id], [made[0].id]]
    assert pages[1].metadata.items_per_page == 2
    assert (pages[1].metadata.total_items, pages[1].metadata.current_page) == (3, 2)
    assert [chat.id for chat in ascending.results] == [made[0].id, made[2].id]
    assert earlier.results == []


async def test_response_is_typed_and_continues_a_chat(client, org):
    chat = await client.chats.create(input="My name is Ada", assistant_id=org.assistant_id)
    response = await client.chats.create_response(input="What is my name?", previous_chat_id=chat.id)

    assert (response.object, response.status, response.error) == ("response", "completed", None)
    assert (response.output[0].role, response.output[0].content[0].text) == ("assistant", "Your name is Ada.")


# Sessions


async def test_session_is_made_used_changed_and_deleted(client, org):
    made = await client.sessions.create(
        assistant_id=org.assistant_id,
        name="visit",
        expiration_seconds=60,
        messages=[vapi.SystemMessage(role="system", message="My name is Ada", time=0, seconds_from_start=0)],
    )
    chat = await client.chats.create(input="What is my name?", session_id=made.id)
    used = await client.sessions.get(made.id)
    changed = await client.sessions.update(made.id, name="over", status="completed")
    deleted = await client.sessions.delete(made.id)

    assert (made.org_id, made.assistant_id, made.name, made.status, made.expiration_seconds) == (
        org.id,
        org.assistant_id,
        "visit",
        "active",
        60,
    )
    assert (chat.session_id, chat.output[0].message) == (made.id, "Your name is Ada.")
    assert [message.message for message in used.messages] == [
        "My name is Ada",
        "What is my name?",
        "Your name is Ada.",
    ]
    assert used.cost == sum(cost.cost for cost in used.costs)
    assert (changed.name, changed.status, changed.messages) == ("over", "completed", used.messages)
    assert deleted == changed
    await fails(404, client.sessions.get(made.id))


async def test_sessions_are_listed_newest_first(client, org):
    made = [await client.sessions.create(assistant_id=org.assistant_id, name=name) for name in ("one", "two")]
    listed = await client.sessions.list(assistant_id=org.assistant_id, limit=10)
    named = await client.sessions.list(name="one")

    assert [session.id for session in listed.results] == [made[1].id, made[0].id]
    assert (listed.metadata.total_items, listed.metadata.current_page) == (2, 1)
    assert [session.id for session in named.results] == [made[0].id]


async def test_completed_session_takes_no_chat(client, org):
    session = await client.sessions.create(assistant_id=org.assistant_id)
    await client.sessions.update(session.id, status="completed")
    body = await fails(400, client.chats.create(input="Hello", session_id=session.id))

    assert (body["error"], body["statusCode"]) == ("Bad Request", 400)
    assert "completed" in body["message"]


# Assistants and squads


async def test_assistant_is_made_changed_and_deleted(client, org):
    model = vapi.CreateAssistantDtoModel_Openai(
        provider="openai",
        model="gpt-4o",
        temperature=0.5,
        messages=[vapi.OpenAiMessage(role="system", content="Be kind")],
    )
    made = await client.assistants.create(
        name="helper", first_message="Hi!", model=model, metadata={"shelf": 1}
    )
    changed = await client.assistants.update(made.id, first_message="Welcome!", metadata={"shelf": 2})
    listed = await client.assistants.list(limit=10)
    deleted = await client.assistants.delete(made.id)

    assert (made.org_id, made.name, made.first_message, made.metadata) == (
        org.id,
        "helper",
        "Hi!",
        {"shelf": 1},
    )
    assert made.model.dict() == model.dict()
    assert (changed.first_message, changed.metadata, changed.model) == ("Welcome!", {"shelf": 2}, made.model)
    assert [assistant.id for assistant in listed] == [made.id, org.assistant_id]
    assert listed[0] == deleted == changed
    await fails(404, client.assistants.get(made.id))


async def test_assistant_that_is_got_is_the_one_that_was_made(client):
    made = await client.assistants.create(
        name="whole",
        first_message_mode="assistant-speaks-first",
        background_sound="office",
        max_duration_seconds=600,
        voice=vapi.CreateAssistantDtoVoice_Openai(provider="openai", voice_id="alloy"),
        end_call_phrases=["bye", "so long"],
        server=vapi.Server(url="https://example.com/hook", timeout_seconds=20),
    )

    assert made.voice.voice_id == "alloy"
    assert (made.end_call_phrases, made.server.url) == (["bye", "so long"], "https://example.com/hook")
    assert await client.assistants.get(made.id) == made


async def test_squad_is_made_answers_and_is_deleted(client, org):
    member = vapi.SquadMemberDto(assistant_id=org.assistant_id)
    made = await client.squads.create(name="desk", members=[member])
    chat = await client.chats.create(input="Hello there", squad_id=made.id)
    changed = await client.squads.update(made.id, name="front desk", members=[member])
    listed = await client.squads.list()
    deleted = await client.squads.delete(made.id)

    assert (made.org_id, made.name, made.members) == (org.id, "desk", [member])
    assert (chat.squad_id, chat.output[0].message) == (made.id, "You said: Hello there")
    assert (changed.id, changed.name) == (made.id, "front desk")
    assert listed == [changed]
    assert deleted == changed
    await fails(404, client.squads.get(made.id))


# Errors


@pytest.mark.parametrize(
    ("part", "members", "message"),
    [
        ("chats", {"input": "Hello", "name": "n" * 41}, "name must be at most 40 characters"),
        (
            "chats",
            {"input": "Hello", "session_id": new_id(), "previous_chat_id": new_id()},
            "sessionId and previousChatId are mutually exclusive: send one of them",
        ),
        (
            "sessions",
            {"expiration_seconds": 59},
            "expirationSeconds must be greater than or equal to 60 and less than or equal to 2592000",
        ),
        ("assistants", {"name": "n" * 41}, "name must be at most 40 characters"),
    ],
    ids=["chat name", "chat session and previous", "session expiration", "assistant name"],
)
async def test_invalid_request_is_an_api_error_that_names_the_field(part, members, message, client):
    body = await fails(400, getattr(client, part).create(**members))

    assert body == {"message": [message], "error": "Bad Request", "statusCode": 400}


async def test_unknown_key_is_an_api_error(service, connection):
    stranger = vapi.AsyncVapi(token="unknown", base_url=service.http_url, httpx_client=connection)
    body = await fails(401, stranger.chats.list())

    assert (body["error"], body["statusCode"]) == ("Unauthorized", 401)


async def test_what_another_org_owns_is_not_found(client, service, other_org, connection):
    other = vapi.AsyncVapi(token=other_org.api, base_url=service.http_url, httpx_client=connection)
    chat = await other.chats.create(input="Hello", assistant_id=other_org.assistant_id)

    assert await fails(404, client.chats.get(chat.id)) == await fails(404, client.chats.get(new_id()))
    assert await fails(404, client.assistants.get(other_org.assistant_id)) == await fails(
        404, client.assistants.get(new_id())
    )
