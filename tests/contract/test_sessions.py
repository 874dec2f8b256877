"""Sessions: containers of exchanges that share one context and one assistant."""

from collections.abc import Callable
from typing import Any

import httpx
import pytest

from server.core.clock import now_ms, parse_rfc3339
from tests.conftest import Org, Service
from tests.contract.doors import UNKNOWN_ID, CallError, Door, read

WHO = "What is my name?"
OFFLINE = {"provider": "offline", "model": "offline-1"}
CALLED = {"model": {**OFFLINE, "systemPrompt": "My name is {{who}}."}}


def texts(session: dict[str, Any]) -> list[Any]:
    return [message["content"] for message in session["messages"]]


async def expire(service: Service, session: dict[str, Any]) -> None:
    """Let a session's last write be longer ago than it lives."""
    await service.store.database.write(
        lambda connection: (
            connection.execute(
                "UPDATE sessions SET updated_at = updated_at - (expiration_seconds + 1) * 1000 WHERE id = ?",
                [session["id"]],
            )
            and None
        )
    )


async def refusals(door: Door, org: Org, session: dict[str, Any]) -> list[tuple[int, str]]:
    """What each way of saying something in a session is refused with."""
    user_messages = [{"role": "user", "content": "x"}]
    calls = [
        door.create_chat(input="x", sessionId=session["id"]),
        read(door.stream_chat(input="x", sessionId=session["id"])),
        door.create_response(input="x", sessionId=session["id"]),
        door.create_message(chatId=session["id"], content="x"),
        door.create_completion(
            agent_id=org.assistant_id, messages=user_messages, store_in_session=session["id"]
        ),
        read(
            door.stream_completion(
                agent_id=org.assistant_id, messages=user_messages, store_in_session=session["id"]
            )
        ),
    ]
    refused = []
    for call in calls:
        with pytest.raises(CallError) as error:
            await call
        refused.append((error.value.status, error.value.text))
    return refused


def refused_as(text: str) -> list[tuple[int, str]]:
    """The refusals of the first of them: the agents door has chats, the others have sessions."""
    return [(400, text.format(noun)) for noun in ("session", "session", "session", "chat")]


# --- create, read, delete -----------------------------------------------------------------------------------


async def test_session_is_made_with_its_defaults(door: Door, org: Org) -> None:
    session = await door.create_session(assistantId=org.assistant_id)

    assert session == {
        "id": session["id"],
        "orgId": org.id,
        "createdAt": session["createdAt"],
        "updatedAt": session["createdAt"],
        "status": "active",
        "expirationSeconds": 86400,
        "assistantId": org.assistant_id,
        "messages": [],
        "costs": [],
        "cost": 0,
    }
    assert await door.get_session(id=session["id"]) == session


async def test_session_keeps_what_it_was_made_with(door: Door) -> None:
    given = {
        "name": "n" * 40,
        "status": "active",
        "expirationSeconds": 60,
        "assistant": CALLED,
        "assistantOverrides": {"variableValues": {"who": "Ada"}},
        "customer": {"number": "+15550100", "name": "Ada"},
        "customerId": "c1",
        "phoneNumberId": "p1",
        "metadata": {"deep": {"er": [None, 1.5, "x"]}},
    }

    session = await door.create_session(
        **given, messages=[{"role": "user", "content": "a"}, {"role": "assistant", "message": "b"}]
    )

    assert {name: session[name] for name in given} == given
    assert [(one["role"], one["content"], one["message"]) for one in session["messages"]] == [
        ("user", "a", "a"),
        ("assistant", "b", "b"),
    ]
    assert await door.get_session(id=session["id"]) == session


async def test_nobody_answers_in_a_session_without_an_assistant(door: Door) -> None:
    session = await door.create_session()

    for create in (door.create_chat, door.create_response):
        with pytest.raises(CallError) as refused:
            await create(input="x", sessionId=session["id"])
        assert (refused.value.status, "assistantId" in refused.value.text) == (400, True)

    assert (await door.get_session(id=session["id"]))["messages"] == []


async def test_session_of_a_squad_is_answered_by_its_first_member(door: Door) -> None:
    squad = await door.create_squad(document={"members": [{"assistant": CALLED}, {"assistant": {}}]})
    session = await door.create_session(
        squadId=squad["id"], assistantOverrides={"variableValues": {"who": "Ada"}}
    )

    chat = await door.create_chat(input=WHO, sessionId=session["id"])

    assert (session["squadId"], chat["squadId"]) == (squad["id"], squad["id"])
    assert chat["output"][0]["content"] == "Your name is Ada."


async def test_what_was_said_before_is_part_of_the_context(door: Door, org: Org) -> None:
    session = await door.create_session(
        assistantId=org.assistant_id,
        messages=[{"role": "user", "content": "My name is Ada"}, {"role": "assistant", "content": "Hi Ada"}],
    )

    chat = await door.create_chat(input=WHO, sessionId=session["id"])

    assert chat["output"][0]["content"] == "Your name is Ada."


async def test_first_message_opens_a_session(door: Door) -> None:
    assistant = await door.create_assistant(document={"firstMessage": "Hello {{who}}"})

    session = await door.create_session(
        assistantId=assistant["id"], assistantOverrides={"variableValues": {"who": "Ada"}}
    )
    with_messages = await door.create_session(
        assistantId=assistant["id"], messages=[{"role": "user", "content": "a"}]
    )

    assert [(one["role"], one["content"]) for one in session["messages"]] == [("assistant", "Hello Ada")]
    assert texts(with_messages) == ["a"]


async def test_costs_of_a_session_are_those_of_its_exchanges(door: Door, org: Org) -> None:
    session = await door.create_session(assistantId=org.assistant_id)
    for text in ("a", "b"):
        await door.create_chat(input=text, sessionId=session["id"])

    session = await door.get_session(id=session["id"])

    assert session["costs"] == [
        {"type": "model", "model": OFFLINE, "promptTokens": 13 + 17, "completionTokens": 6, "cost": 0}
    ]
    assert session["cost"] == 0


async def test_exchange_counts_as_a_write(door: Door, service: Service, org: Org) -> None:
    session = await door.create_session(assistantId=org.assistant_id, expirationSeconds=60)
    created = parse_rfc3339(session["createdAt"])

    chat = await door.create_chat(input="x", sessionId=session["id"])

    updated = parse_rfc3339((await door.get_session(id=session["id"]))["updatedAt"])
    assert created <= parse_rfc3339(chat["updatedAt"]) == updated <= now_ms()


async def test_deleting_a_session_returns_it_and_takes_its_exchanges_along(door: Door, org: Org) -> None:
    session = await door.create_session(assistantId=org.assistant_id)
    chat = await door.create_chat(input="x", sessionId=session["id"])
    session = await door.get_session(id=session["id"])

    assert await door.delete_session(id=session["id"]) == session

    for call, gone in ((door.get_session, session), (door.delete_session, session), (door.get_chat, chat)):
        with pytest.raises(CallError) as refused:
            await call(id=gone["id"])
        assert refused.value.status == 404
    assert (await door.list_chats())["results"] == []


async def test_what_continued_a_chat_outside_of_its_session_outlives_it(door: Door, org: Org) -> None:
    session = await door.create_session(assistantId=org.assistant_id)
    inside = await door.create_chat(input="My name is Ada", sessionId=session["id"])
    outside = await door.create_chat(input="Hello", previousChatId=inside["id"])

    await door.delete_session(id=session["id"])

    continued = await door.create_chat(input=WHO, previousChatId=outside["id"])
    assert continued["output"][0]["content"] == "Your name is Ada."
    assert await door.get_chat(id=outside["id"]) == outside


# --- variables ----------------------------------------------------------------------------------------------


async def test_variables_are_filled_when_the_session_is_made_and_stay(door: Door) -> None:
    assistant = await door.create_assistant(document=CALLED)
    session = await door.create_session(
        assistantId=assistant["id"], assistantOverrides={"variableValues": {"who": "Ada"}}
    )

    chat = await door.create_chat(
        input=WHO, sessionId=session["id"], assistantOverrides={"variableValues": {"who": "Eve"}}
    )

    assert chat["output"][0]["content"] == "Your name is Ada."


async def test_customer_is_a_built_in_variable(door: Door) -> None:
    named = {"model": {**OFFLINE, "systemPrompt": "My name is {{customer.name}}."}}
    session = await door.create_session(assistant=named, customer={"name": "Ada", "number": "+15550100"})

    chat = await door.create_chat(input=WHO, sessionId=session["id"])

    assert chat["output"][0]["content"] == "Your name is Ada."


# --- patch --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("patch", "changed"),
    [
        pytest.param({"name": "new"}, {"name": "new"}, id="name"),
        pytest.param({"name": None}, {"name": None}, id="name null"),
        pytest.param({"status": "completed"}, {"status": "completed"}, id="status"),
        pytest.param({"expirationSeconds": 60}, {"expirationSeconds": 60}, id="expiration, shortest"),
        pytest.param(
            {"expirationSeconds": 2592000}, {"expirationSeconds": 2592000}, id="expiration, longest"
        ),
        pytest.param({"messages": []}, {"messages": []}, id="messages emptied"),
        pytest.param({"messages": None}, {"messages": []}, id="messages null"),
        pytest.param({}, {}, id="nothing"),
        pytest.param(
            {"name": "new", "status": "completed", "messages": []},
            {"name": "new", "status": "completed", "messages": []},
            id="several",
        ),
    ],
)
async def test_patch_replaces_what_it_names_and_leaves_the_rest(
    door: Door, org: Org, patch: dict[str, Any], changed: dict[str, Any]
) -> None:
    before = await door.create_session(
        assistantId=org.assistant_id,
        name="old",
        metadata={"k": 1},
        messages=[{"role": "user", "content": "a"}],
    )

    after = await door.update_session(id=before["id"], **patch)

    expected = {**before, "updatedAt": after["updatedAt"], **changed}
    assert after == {name: value for name, value in expected.items() if value is not None}
    assert after == await door.get_session(id=before["id"])


async def test_replaced_messages_are_the_new_context(door: Door, org: Org) -> None:
    session = await door.create_session(assistantId=org.assistant_id)
    first = await door.create_chat(input="My name is Eve", sessionId=session["id"])

    await door.update_session(id=session["id"], messages=[{"role": "user", "message": "My name is Ada"}])

    chat = await door.create_chat(input=WHO, sessionId=session["id"])
    assert chat["output"][0]["content"] == "Your name is Ada."
    assert texts(await door.get_session(id=session["id"])) == ["My name is Ada", WHO, "Your name is Ada."]
    assert await door.get_chat(id=first["id"]) == first


@pytest.mark.parametrize(
    ("members", "named"),
    [
        pytest.param({"expirationSeconds": 59}, "expirationSeconds", id="expires too soon"),
        pytest.param({"expirationSeconds": 2592001}, "expirationSeconds", id="expires too late"),
        pytest.param({"status": "asleep"}, "status", id="status"),
        pytest.param({"name": "n" * 41}, "name", id="name"),
        pytest.param({"messages": [{"role": "robot", "content": "x"}]}, "messages[0].role", id="role"),
        pytest.param({"messages": "x"}, "messages", id="messages of another type"),
        pytest.param({"messages": [{"role": "user", "content": "\0"}]}, "messages[0].content", id="NUL"),
    ],
)
@pytest.mark.parametrize("operation", ["create", "update"])
async def test_wrong_member_is_refused_and_named(
    door: Door, org: Org, members: dict[str, Any], named: str, operation: str
) -> None:
    session = await door.create_session(assistantId=org.assistant_id)

    with pytest.raises(CallError) as refused:
        if operation == "create":
            await door.create_session(**members)
        else:
            await door.update_session(id=session["id"], **members)

    assert (refused.value.status, refused.value.text.split(" ")[0]) == (400, named)
    assert await door.get_session(id=session["id"]) == session


async def test_name_of_another_type_is_refused(door: Door, org: Org) -> None:
    session = await door.create_session(assistantId=org.assistant_id)

    with pytest.raises(CallError) as refused:
        await door.update_session(id=session["id"], name=7)

    assert (refused.value.status, refused.value.text) == (
        400,
        "name must be a string of at most 40 characters, or null",
    )


async def test_two_assistants_exclude_each_other(door: Door, org: Org) -> None:
    with pytest.raises(CallError) as refused:
        await door.create_session(assistantId=org.assistant_id, squad={"members": [{"assistant": {}}]})

    assert (refused.value.status, refused.value.text) == (
        400,
        "assistantId, assistant, squadId and squad are mutually exclusive: send one of them",
    )


async def test_what_is_unknown_or_anothers_is_not_found(door: Door, org: Org, other_org: Org) -> None:
    theirs = await door.of(other_org).create_session(assistantId=other_org.assistant_id)

    for unknown in (UNKNOWN_ID, theirs["id"], "no-id"):
        for call in (door.get_session, door.update_session, door.delete_session):
            with pytest.raises(CallError) as refused:
                await call(id=unknown)
            assert (refused.value.status, refused.value.text) == (404, "session not found")
    for unknown in (UNKNOWN_ID, other_org.assistant_id):
        with pytest.raises(CallError) as refused:
            await door.create_session(assistantId=unknown)
        assert (refused.value.status, refused.value.text) == (404, "assistant not found")


# --- sessions that are over ---------------------------------------------------------------------------------


async def test_completed_session_takes_no_more(door: Door, org: Org) -> None:
    session = await door.create_session(assistantId=org.assistant_id)
    await door.update_session(id=session["id"], status="completed")

    refused = await refusals(door, org, session)

    over = "the {} is completed; begin a new one, or set its status to active"
    assert refused == [*refused_as(over), (404, "session not found"), (404, "session not found")]


async def test_expired_session_takes_no_more(door: Door, service: Service, org: Org) -> None:
    session = await door.create_session(assistantId=org.assistant_id)
    await expire(service, session)

    refused = await refusals(door, org, session)

    over = "the {} has expired; begin a new one"
    assert refused == [*refused_as(over), (404, "session not found"), (404, "session not found")]
    assert (await door.get_session(id=session["id"]))["status"] == "active"


async def test_completed_session_goes_on_when_made_active_again(door: Door, org: Org) -> None:
    session = await door.create_session(assistantId=org.assistant_id, status="completed")

    await door.update_session(id=session["id"], status="active")

    assert (await door.create_chat(input="x", sessionId=session["id"]))["sessionId"] == session["id"]


# --- lists --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        pytest.param(lambda one, two: {}, "21", id="none"),
        pytest.param(lambda one, two: {"sortOrder": "ASC"}, "12", id="ascending"),
        pytest.param(lambda one, two: {"id": one["id"]}, "1", id="id"),
        pytest.param(lambda one, two: {"idAny": f"{two['id']},{UNKNOWN_ID}"}, "2", id="idAny"),
        pytest.param(lambda one, two: {"name": "2"}, "2", id="name"),
        pytest.param(lambda one, two: {"assistantId": one["assistantId"]}, "1", id="assistantId"),
        pytest.param(lambda one, two: {"phoneNumberId": "p2"}, "2", id="phoneNumberId"),
        pytest.param(lambda one, two: {"number": "+2"}, "2", id="number"),
        pytest.param(lambda one, two: {"limit": 1.0, "page": 2.0}, "1", id="second page"),
        pytest.param(lambda one, two: {"createdAtGe": "2000-01-01T00:00:00Z"}, "21", id="createdAtGe"),
        pytest.param(lambda one, two: {"updatedAtLt": "2000-01-01T00:00:00Z"}, "", id="updatedAtLt"),
    ],
)
async def test_list_is_filtered_sorted_and_paged(
    door: Door, org: Org, filters: Callable[..., Any], expected: str
) -> None:
    one = await door.create_session(
        name="1", assistantId=org.assistant_id, messages=[{"role": "user", "content": "a"}]
    )
    two = await door.create_session(name="2", phoneNumberId="p2", customer={"number": "+2"})

    listed = await door.list_sessions(**filters(one, two))

    assert "".join(session["name"] for session in listed["results"]) == expected
    assert all(session["messages"] == [] for session in listed["results"])
    assert set(listed["metadata"]) == {
        "itemsPerPage",
        "totalItems",
        "currentPage",
        "totalPages",
        "hasNextPage",
        "sortOrder",
    }


async def test_list_has_nothing_of_other_orgs(door: Door, org: Org, other_org: Org) -> None:
    await door.of(other_org).create_session()

    assert (await door.list_sessions())["results"] == []


async def test_creating_answers_201(http: httpx.AsyncClient, org: Org) -> None:
    answer = await http.post("/session", json={"assistantId": org.assistant_id}, headers=org.bearer)

    assert answer.status_code == 201
