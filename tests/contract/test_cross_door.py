"""One conversation through every door: each is a projection of the same chats, sessions and messages."""

from typing import Any

from tests.conftest import Org
from tests.contract.doors import Door, read

WHO = "What is my name?"


def texts(messages: list[dict[str, Any]]) -> list[Any]:
    return [message["content"] for message in messages]


def hex_of(identifier: str) -> str:
    return identifier.replace("-", "")


async def test_agents_chat_continues_at_completions_and_is_read_at_every_door(
    native: Door, rest: Door, org: Org
) -> None:
    """Begun over REST at the agents door, continued at completions, read by gRPC and as a session."""
    chat = await rest.create_agent_chat(agentId=org.assistant_id)
    await rest.create_message(chatId=chat["id"], content="My name is Ada", role="user")

    completion = await rest.create_completion(
        agent_id=org.assistant_id, store_in_session=chat["id"], messages=[{"role": "user", "content": WHO}]
    )

    assert completion["choices"][0]["message"]["content"] == "Your name is Ada."
    expected = ["My name is Ada", "You said: My name is Ada", WHO, "Your name is Ada."]
    for door in (native, rest):
        assert texts((await door.list_messages(chatId=chat["id"]))["messages"]) == expected
        assert texts((await door.get_agent_chat(chatId=chat["id"]))["messages"]) == expected
        assert texts((await door.get_session(id=chat["id"]))["messages"]) == expected


async def test_every_door_hears_what_was_said_at_the_others(door: Door, org: Org) -> None:
    """Each door says one thing in a session, and the next one answers from all that came before."""
    session = await door.create_session(assistantId=org.assistant_id)
    where, user = {"sessionId": session["id"]}, "user"
    question = {
        "agent_id": org.assistant_id,
        "messages": [{"role": user, "content": WHO}],
        "store_in_session": session["id"],
    }

    await door.create_message(chatId=session["id"], content="My name is Ada", role=user)
    assert (await door.create_chat(input=WHO, **where))["output"][0]["content"] == "Your name is Ada."
    await door.create_chat(input="My name is Eve", **where)
    response = await door.create_response(input=WHO, **where)
    assert response["output"][0]["content"][0]["text"] == "Your name is Eve."
    await door.create_response(input="My name is Ida", **where)
    assert (await door.create_completion(**question))["choices"][0]["message"][
        "content"
    ] == "Your name is Ida."
    await door.create_completion(**{**question, "messages": [{"role": user, "content": "My name is Una"}]})
    assert (await door.create_message(chatId=session["id"], content=WHO))["content"] == "Your name is Una."
    for opening in (
        door.stream_chat(input=WHO, **where),
        door.stream_response(input=WHO, **where),
        door.stream_completion(**question),
    ):
        assert (await read(opening)).text == "Your name is Una."

    assert len((await door.get_session(id=session["id"]))["messages"]) == 22


async def test_every_exchange_is_a_listed_chat(door: Door, org: Org) -> None:
    session = await door.create_session(assistantId=org.assistant_id)
    where, messages_sent = {"sessionId": session["id"]}, [{"role": "user", "content": "4"}]
    first = await door.create_chat(input="1", **where)
    second = await door.create_response(input="2", **where)
    reply = await door.create_message(chatId=session["id"], content="3", role="user")
    fourth = await door.create_completion(
        agent_id=org.assistant_id, messages=messages_sent, store_in_session=session["id"]
    )

    listed = (await door.list_chats(sessionId=session["id"], sortOrder="ASC"))["results"]

    assert [chat["input"] for chat in listed] == ["1", "2", "3", messages_sent]
    assert [chat["id"] for chat in (listed[0], listed[1], listed[3])] == [
        first["id"],
        next(chat["id"] for chat in listed if hex_of(chat["id"]) == second["id"].removeprefix("resp_")),
        next(chat["id"] for chat in listed if hex_of(chat["id"]) == fourth["id"].removeprefix("chatcmpl-")),
    ]
    assert listed[2]["output"][0]["id"] == reply["id"]
    assert {chat["status"] for chat in listed} == {"completed"}


async def test_ids_of_one_form_are_taken_by_the_others(door: Door, org: Org) -> None:
    completion = await door.create_completion(
        agent_id=org.assistant_id, messages=[{"role": "user", "content": "My name is Ada"}]
    )
    response = await door.create_response(input=WHO, previous_response_id=completion["id"])
    chat = await door.get_chat(id=response["id"])

    assert response["output"][0]["content"][0]["text"] == "Your name is Ada."
    assert chat["previousChatId"] == (await door.get_chat(id=completion["id"]))["id"]


async def test_what_rest_stored_grpc_reads_alike(native: Door, rest: Door, org: Org) -> None:
    made = [
        await rest.create_chat(
            input=[{"role": "user", "message": "a"}], assistantId=org.assistant_id, name="n"
        ),
        await native.create_chat(input="b", assistant={"name": "t", "other": [1, None]}),
    ]

    for chat in made:
        assert await native.get_chat(id=chat["id"]) == await rest.get_chat(id=chat["id"]) == chat
    assert await native.list_chats() == await rest.list_chats()


async def test_tool_traffic_stays_out_of_the_agents_door(door: Door, org: Org) -> None:
    session = await door.create_session(assistantId=org.assistant_id)
    tool = {"type": "function", "name": "get_weather", "parameters": {"type": "object"}}
    response = await door.create_response(input="weather?", sessionId=session["id"], tools=[tool])
    await door.create_response(
        sessionId=session["id"],
        input=[
            {"type": "function_call_output", "call_id": response["output"][0]["call_id"], "output": "sunny"}
        ],
    )

    messages = (await door.list_messages(chatId=session["id"]))["messages"]

    assert texts(messages) == ["weather?", "get_weather returned: sunny"]
    assert len((await door.get_session(id=session["id"]))["messages"]) == 4
