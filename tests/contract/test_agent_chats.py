"""The agents door: chats as containers of messages, for holders of secret and publishable keys."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.conftest import Org, Service
from tests.contract.doors import UNKNOWN_ID, CallError, Door

GOLDEN = json.loads((Path(__file__).parent.parent / "golden" / "agent_chats.json").read_text())


async def chat_with(door: Door, org: Org, *inputs: str) -> dict[str, Any]:
    """A chat in which the user said these things."""
    chat = await door.create_agent_chat(agentId=org.assistant_id)
    for content in inputs:
        await door.create_message(chatId=chat["id"], content=content, role="user")
    found: dict[str, Any] = chat
    return found


def is_golden(answer: dict[str, Any], sample: dict[str, Any]) -> bool:
    """Whether an answer has exactly the members of the sample, of the sample's types."""
    return [(name, type(answer[name])) for name in sorted(answer)] == [
        (name, type(sample[name])) for name in sorted(sample)
    ]


# --- the documented shapes ----------------------------------------------------------------------------------


async def test_created_chat_has_the_documented_shape(door: Door, org: Org) -> None:
    chat = await door.create_agent_chat(agentId=org.assistant_id, userId="u1", metadata={"k": "v"})

    assert is_golden(chat, GOLDEN["POST /chat"])
    assert (chat["agentId"], chat["teamId"]) == (org.assistant_id, org.id)


async def test_listed_chats_have_the_documented_shape(door: Door, org: Org) -> None:
    chat = await door.create_agent_chat(agentId=org.assistant_id, userId="u1")

    listed = await door.list_agent_chats()

    assert is_golden(listed, GOLDEN["GET /chat"])
    assert is_golden(listed["chats"][0], GOLDEN["GET /chat"]["chats"][0])
    assert listed == {
        "chats": [
            {"id": chat["id"], "agentId": org.assistant_id, "userId": "u1", "createdAt": chat["createdAt"]}
        ]
    }


async def test_new_chat_is_read_as_documented(door: Door, org: Org) -> None:
    chat = await chat_with(door, org)

    got = await door.get_agent_chat(chatId=chat["id"])

    assert is_golden(got, GOLDEN["GET /chat/:chatId"])
    assert got == {**chat, "messages": []}


async def test_reply_has_the_documented_shape(door: Door, org: Org) -> None:
    chat = await chat_with(door, org)

    reply = await door.create_message(chatId=chat["id"], content="Hello", role="user")

    assert is_golden(reply, GOLDEN["POST /chat/:chatId/message"])
    assert reply == {**reply, "chatId": chat["id"], "content": "You said: Hello", "role": "assistant"}


async def test_messages_have_the_documented_shape_and_order(door: Door, org: Org) -> None:
    chat = await chat_with(door, org, "one", "two")

    listed = await door.list_messages(chatId=chat["id"])

    assert is_golden(listed, GOLDEN["GET /chat/:chatId/message"])
    assert all(
        is_golden(message, GOLDEN["GET /chat/:chatId/message"]["messages"][0])
        for message in listed["messages"]
    )
    assert [(message["role"], message["content"]) for message in listed["messages"]] == [
        ("user", "one"),
        ("assistant", "You said: one"),
        ("user", "two"),
        ("assistant", "You said: two"),
    ]
    assert (await door.get_agent_chat(chatId=chat["id"]))["messages"] == listed["messages"]


async def test_deleted_chat_is_gone_with_its_messages(door: Door, org: Org) -> None:
    chat = await chat_with(door, org, "one")

    assert await door.delete_agent_chat(chatId=chat["id"]) is None

    for call in (door.get_agent_chat, door.delete_agent_chat, door.list_messages):
        with pytest.raises(CallError) as refused:
            await call(chatId=chat["id"])
        assert (refused.value.status, refused.value.text) == (404, "chat not found")
    assert await door.list_agent_chats() == {"chats": []}
    assert (await door.list_chats())["results"] == []


async def test_deleting_answers_204_without_a_body(rest: Door, http: httpx.AsyncClient, org: Org) -> None:
    chat = await chat_with(rest, org)

    answer = await http.delete(f"/chat/{chat['id']}", headers={"x-api-key": org.secret})

    assert (answer.status_code, answer.content) == (204, b"")
    assert "content-type" not in answer.headers


async def test_creating_a_chat_calls_no_model(door: Door, service: Service, org: Org) -> None:
    agent = await door.create_assistant(
        document={"model": {"provider": "custom-llm", "model": "m", "url": "http://127.0.0.1:1/v1"}}
    )

    chat = await door.create_agent_chat(agentId=agent["id"])

    assert (await door.get_agent_chat(chatId=chat["id"]))["messages"] == []
    assert (await door.list_chats())["results"] == []


# --- behaviour ----------------------------------------------------------------------------------------------


async def test_agent_remembers_what_was_said(door: Door, org: Org) -> None:
    chat = await chat_with(door, org, "My name is Ada", "Nice weather")

    reply = await door.create_message(chatId=chat["id"], content="What is my name?", role="user")

    assert reply["content"] == "Your name is Ada."


async def test_role_may_be_left_out(door: Door, org: Org) -> None:
    chat = await chat_with(door, org)

    assert (await door.create_message(chatId=chat["id"], content="x"))["content"] == "You said: x"


@pytest.mark.parametrize(
    ("members", "opening"),
    [
        pytest.param({"firstMessage": "Hello {{customer.name}}there"}, ["Hello there"], id="by default"),
        pytest.param(
            {"firstMessage": "Hello", "firstMessageMode": "assistant-speaks-first"}, ["Hello"], id="said so"
        ),
        pytest.param(
            {"firstMessage": "Hello", "firstMessageMode": "assistant-waits-for-user"}, [], id="waits"
        ),
        pytest.param({"firstMessageMode": "assistant-speaks-first"}, [], id="nothing to say"),
        pytest.param({"firstMessage": ""}, [], id="empty"),
    ],
)
async def test_first_message_opens_a_chat_where_the_assistant_speaks_first(
    door: Door, members: dict[str, Any], opening: list[Any]
) -> None:
    agent = await door.create_assistant(document=members)
    chat = await door.create_agent_chat(agentId=agent["id"])

    messages = (await door.get_agent_chat(chatId=chat["id"]))["messages"]

    assert [(message["role"], message["content"]) for message in messages] == [
        ("assistant", text) for text in opening
    ]


async def test_first_message_is_part_of_the_context(door: Door) -> None:
    agent = await door.create_assistant(document={"firstMessage": "Hello"})
    chat = await door.create_agent_chat(agentId=agent["id"])
    await door.create_message(chatId=chat["id"], content="Hi")

    [exchange] = (await door.list_chats())["results"]

    whole = await door.get_chat(id=exchange["id"])
    assert [message["content"] for message in whole["messages"]] == ["Hello", "Hi"]


async def test_chats_are_filtered_by_user_and_kind_of_agent(door: Door, org: Org) -> None:
    support = await door.create_assistant(document={"metadata": {"agentType": "support"}})
    made = {}
    for user, agent in (("u1", org.assistant_id), ("u2", support["id"]), ("u1", support["id"])):
        made[user, agent] = (await door.create_agent_chat(agentId=agent, userId=user))["id"]

    async def found(**filters: Any) -> list[str]:
        return [chat["id"] for chat in (await door.list_agent_chats(**filters))["chats"]]

    newest_first = list(made.values())[::-1]
    assert await found() == newest_first
    assert await found(userId="u1") == [newest_first[0], newest_first[2]]
    assert await found(agentType="support") == newest_first[:2]
    assert await found(userId="u1", agentType="support") == newest_first[:1]
    assert await found(userId="u3") == []
    assert await found(agentType="sales") == []


async def test_chats_are_listed_some_at_a_time(door: Door, org: Org) -> None:
    newest_first = [(await door.create_agent_chat(agentId=org.assistant_id))["id"] for _ in range(3)][::-1]

    first = await door.list_agent_chats(limit=2)
    rest = await door.list_agent_chats(limit=2, before=first["chats"][-1]["id"])

    assert ([chat["id"] for chat in first["chats"]], first["hasMore"]) == (newest_first[:2], True)
    assert ([chat["id"] for chat in rest["chats"]], rest.get("hasMore")) == (newest_first[2:], None)


async def test_chat_is_a_session_with_what_it_was_made_with(door: Door, org: Org) -> None:
    chat = await door.create_agent_chat(
        agentId=org.assistant_id, userId="u1", metadata={"k": {"deep": [1, None]}}
    )
    await door.create_message(chatId=chat["id"], content="x")

    session = await door.get_session(id=chat["id"])

    assert {
        name: session[name] for name in ("id", "orgId", "assistantId", "userId", "metadata", "status")
    } == {
        "id": chat["id"],
        "orgId": org.id,
        "assistantId": org.assistant_id,
        "userId": "u1",
        "metadata": {"k": {"deep": [1, None]}},
        "status": "active",
    }
    assert len(session["messages"]) == 2


# --- what is refused ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("members", "message"),
    [
        pytest.param({}, "agentId is required: the id of the assistant that answers", id="no agent"),
        pytest.param(
            {"agentId": ""}, "agentId is required: the id of the assistant that answers", id="empty agent"
        ),
        pytest.param(
            {"input": "Hello"},
            "agentId is required here; a body with `input` belongs to the assistants interface, which needs the org's "
            "api key as `Authorization: Bearer <key>` instead of this sk_, pk_ or x-api-key one",
            id="other door",
        ),
        pytest.param(
            {"agentId": "x"}, "agentId must be an id: a UUID, bare or prefixed as in resp_<hex>", id="no id"
        ),
        pytest.param(
            {"agentId": UNKNOWN_ID, "userId": "u" * 257}, "userId must be at most 256 characters", id="userId"
        ),
    ],
)
async def test_chat_without_an_agent_is_refused(door: Door, members: dict[str, Any], message: str) -> None:
    with pytest.raises(CallError) as refused:
        await door.create_agent_chat(**members)

    assert (refused.value.status, refused.value.text) == (400, message)


async def test_agent_that_is_unknown_or_anothers_is_not_found(door: Door, other_org: Org) -> None:
    for agent_id in (UNKNOWN_ID, other_org.assistant_id):
        with pytest.raises(CallError) as refused:
            await door.create_agent_chat(agentId=agent_id)
        assert (refused.value.status, refused.value.text) == (404, "agent not found")


@pytest.mark.parametrize(
    ("members", "message"),
    [
        pytest.param({}, "content must be at least 1 characters", id="no content"),
        pytest.param({"content": ""}, "content must be at least 1 characters", id="empty content"),
        pytest.param({"content": "x", "role": "assistant"}, "role must equal `user`", id="role"),
        pytest.param(
            {"content": "a\0b"}, "content must not contain the character NUL (U+0000); leave it out", id="NUL"
        ),
    ],
)
async def test_wrong_message_is_refused(door: Door, org: Org, members: dict[str, Any], message: str) -> None:
    chat = await chat_with(door, org)

    with pytest.raises(CallError) as refused:
        await door.create_message(chatId=chat["id"], **members)

    assert (refused.value.status, refused.value.text) == (400, message)
    assert (await door.list_messages(chatId=chat["id"]))["messages"] == []


async def test_chat_that_is_unknown_or_anothers_is_not_found(door: Door, org: Org, other_org: Org) -> None:
    theirs = await chat_with(door.of(other_org), other_org)

    for call, members in (
        (door.get_agent_chat, {}),
        (door.delete_agent_chat, {}),
        (door.list_messages, {}),
        (door.create_message, {"content": "x"}),
    ):
        for chat_id in (UNKNOWN_ID, theirs["id"], "no-id"):
            with pytest.raises(CallError) as refused:
                await call(chatId=chat_id, **members)
            assert (refused.value.status, refused.value.text) == (404, "chat not found")


# --- which key opens this door ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("headers", "door_is"),
    [
        pytest.param(lambda org: {"x-api-key": org.secret}, "agents", id="secret in x-api-key"),
        pytest.param(lambda org: {"x-api-key": org.publishable}, "agents", id="publishable in x-api-key"),
        pytest.param(lambda org: {"x-api-key": org.api}, "agents", id="api in x-api-key"),
        pytest.param(
            lambda org: {"authorization": f"Bearer {org.secret}"}, "agents", id="secret in Authorization"
        ),
        pytest.param(
            lambda org: {"authorization": f"bearer {org.publishable}"},
            "agents",
            id="publishable in Authorization",
        ),
        pytest.param(
            lambda org: {"authorization": f"Bearer {org.api}"}, "assistants", id="api in Authorization"
        ),
        pytest.param(
            lambda org: {"authorization": f"Bearer {org.api}", "x-api-key": org.secret},
            "assistants",
            id="both, Authorization decides",
        ),
        pytest.param(
            lambda org: {"authorization": f"Bearer {org.secret}", "x-api-key": org.api},
            "agents",
            id="both, Authorization decides again",
        ),
    ],
)
async def test_key_decides_which_interface_a_chat_has(
    http: httpx.AsyncClient, org: Org, headers: Callable[..., Any], door_is: str
) -> None:
    body = {"agentId": org.assistant_id, "assistantId": org.assistant_id, "input": "Hello"}

    answer = await http.post("/chat", json=body, headers=headers(org))

    assert answer.status_code == 200
    assert ("teamId" in answer.json(), "orgId" in answer.json()) == (
        door_is == "agents",
        door_is == "assistants",
    )


async def test_both_interfaces_read_the_same_path_in_their_own_way(http: httpx.AsyncClient, org: Org) -> None:
    created = (
        await http.post("/chat", json={"agentId": org.assistant_id}, headers={"x-api-key": org.secret})
    ).json()

    as_agents = await http.get(f"/chat/{created['id']}", headers={"x-api-key": org.secret})
    as_assistants = await http.get(f"/chat/{created['id']}", headers=org.bearer)

    assert (as_agents.status_code, as_agents.json()["teamId"]) == (200, org.id)
    assert (as_assistants.status_code, as_assistants.json()) == (  # there, it is a session
        404,
        {"message": "chat not found", "error": "Not Found", "statusCode": 404},
    )
    assert set((await http.get("/chat", headers={"x-api-key": org.secret})).json()) == {"chats"}
    assert set((await http.get("/chat", headers=org.bearer)).json()) == {"results", "metadata"}


async def test_messages_have_one_interface_whatever_the_key(http: httpx.AsyncClient, org: Org) -> None:
    created = (
        await http.post("/chat", json={"agentId": org.assistant_id}, headers={"x-api-key": org.secret})
    ).json()

    answer = await http.post(
        f"/chat/{created['id']}/message", json={"content": "x", "role": "user"}, headers=org.bearer
    )

    assert (answer.status_code, answer.json()["content"]) == (200, "You said: x")
