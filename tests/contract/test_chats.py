"""The assistants door: one exchange, chained by previousChatId or inside a session."""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from server.core.clock import now_ms, parse_rfc3339
from tests.conftest import Org, running
from tests.contract.doors import UNKNOWN_ID, CallError, Door, door_to, read

GOLDEN = Path(__file__).parent.parent / "golden"
# The input in the examples of the interface document.
HELLO = "Hello, how can you help me?"
OFFLINE = {"provider": "offline", "model": "offline-1"}
CALLED = {"model": {**OFFLINE, "messages": [{"role": "system", "content": "My name is {{who}}."}]}}
WHO = "What is my name?"


def reply_text(chat: dict[str, Any]) -> str:
    """The text of the answer."""
    found: str = chat["output"][0]["content"]
    return found


def ids(listed: dict[str, Any]) -> list[str]:
    return [chat["id"] for chat in listed["results"]]


# --- one exchange -------------------------------------------------------------------------------------------


async def test_exchange_is_answered_as_a_whole_chat(door: Door, org: Org) -> None:
    chat = await door.create_chat(input=HELLO, assistantId=org.assistant_id, name="first")

    sent, answered = chat["messages"][0], chat["output"][0]
    assert chat == {
        "id": chat["id"],
        "orgId": org.id,
        "createdAt": chat["createdAt"],
        "updatedAt": chat["updatedAt"],
        "assistantId": org.assistant_id,
        "name": "first",
        "input": HELLO,
        "stream": False,
        "status": "completed",
        "messages": [
            {
                "id": sent["id"],
                "role": "user",
                "content": HELLO,
                "message": HELLO,
                "time": sent["time"],
                "secondsFromStart": 0,
            }
        ],
        "output": [
            {
                "id": answered["id"],
                "role": "assistant",
                "content": f"You said: {HELLO}",
                "message": f"You said: {HELLO}",
                "time": answered["time"],
                "secondsFromStart": pytest.approx((answered["time"] - sent["time"]) / 1000),
            }
        ],
        "costs": [
            {
                "type": "model",
                "model": {"provider": "offline", "model": "offline-1"},
                "promptTokens": 18,
                "completionTokens": 8,
                "cost": 0,
            },
            {"type": "chat", "cost": 0},
        ],
        "cost": 0,
    }


async def test_chat_has_the_members_of_the_sample(door: Door, org: Org) -> None:
    """Of the interface document, but for those that an exchange without overrides, session or predecessor
    does not have."""
    sample = json.loads((GOLDEN / "chat.json").read_text())

    chat = await door.create_chat(input=HELLO, assistantId=org.assistant_id, name="n")

    assert set(sample) - set(chat) == {"assistant", "assistantOverrides", "sessionId", "previousChatId"}
    assert set(chat) - set(sample) == {"status"}


async def test_chat_is_read_as_it_was_answered(door: Door, org: Org) -> None:
    chat = await door.create_chat(input=HELLO, assistantId=org.assistant_id)

    assert await door.get_chat(id=chat["id"]) == chat


async def test_listed_chat_is_the_chat(door: Door, org: Org) -> None:
    chat = await door.create_chat(input=HELLO, assistantId=org.assistant_id)

    listed = await door.list_chats()

    assert listed == {
        "results": [chat],
        "metadata": {
            "itemsPerPage": 100,
            "totalItems": 1,
            "currentPage": 1,
            "totalPages": 1,
            "hasNextPage": False,
            "sortOrder": "DESC",
        },
    }


async def test_deleting_a_chat_returns_it_and_then_it_is_gone(door: Door, org: Org) -> None:
    chat = await door.create_chat(input=HELLO, assistantId=org.assistant_id)

    assert await door.delete_chat(id=chat["id"]) == chat

    for call in (door.get_chat, door.delete_chat):
        with pytest.raises(CallError) as refused:
            await call(id=chat["id"])
        assert (refused.value.status, refused.value.text) == (404, "chat not found")
    assert await door.list_chats() == {
        "results": [],
        "metadata": {
            "itemsPerPage": 100,
            "totalItems": 0,
            "currentPage": 1,
            "totalPages": 0,
            "hasNextPage": False,
            "sortOrder": "DESC",
        },
    }


@pytest.mark.parametrize(
    "given",
    [
        pytest.param("one line", id="string"),
        pytest.param("", id="empty string"),
        pytest.param("é 漢 😀 \u202e \x01 \x7f \ufeff", id="unusual characters"),
        pytest.param([{"role": "user", "content": HELLO}], id="array"),
        pytest.param([{"role": "user", "message": HELLO}], id="array of the other form"),
        pytest.param(
            [{"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]}],
            id="parts",
        ),
        pytest.param(
            [
                {
                    "role": "user",
                    "content": [
                        {"type": "image_url", "image_url": {"url": "https://x/y.png"}},
                        {"type": "text", "text": "what?"},
                    ],
                }
            ],
            id="image",
        ),
        pytest.param(
            [{"role": "user", "content": "a", "neverHeardOf": {"x": [1, None, True, 0.5]}}],
            id="unknown member",
        ),
        pytest.param(
            [
                {"role": "system", "content": "Be brief."},
                {"role": "developer", "content": "In verse."},
                {"role": "assistant", "content": "Hi"},
                {"role": "user", "content": "Go", "name": "ada"},
            ],
            id="every speaker",
        ),
    ],
)
async def test_input_is_echoed_as_it_was_sent(door: Door, org: Org, given: Any) -> None:
    chat = await door.create_chat(input=given, assistantId=org.assistant_id)

    assert chat["input"] == given
    assert (await door.get_chat(id=chat["id"]))["input"] == given
    assert (await door.list_chats())["results"][0]["input"] == given


@pytest.mark.parametrize("member", ["content", "message"])
@pytest.mark.parametrize("role", ["system", "user", "assistant", "developer"])
async def test_text_of_a_message_is_taken_and_given_under_both_names(
    door: Door, org: Org, role: str, member: str
) -> None:
    chat = await door.create_chat(input=[{"role": role, member: "some words"}], assistantId=org.assistant_id)

    [message] = chat["messages"]
    assert (message["role"], message["content"], message["message"]) == (role, "some words", "some words")
    assert (chat["output"][0]["content"], chat["output"][0]["message"]) == (
        reply_text(chat),
        reply_text(chat),
    )


async def test_parts_are_kept_as_content_and_joined_as_message(door: Door, org: Org) -> None:
    parts = [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]

    chat = await door.create_chat(input=[{"role": "user", "content": parts}], assistantId=org.assistant_id)

    assert (chat["messages"][0]["content"], chat["messages"][0]["message"]) == (parts, "ab")
    assert reply_text(chat) == "You said: ab"


async def test_tool_traffic_is_kept_in_messages(door: Door, org: Org) -> None:
    calls = [{"id": "call_1", "type": "function", "function": {"name": "look", "arguments": "{}"}}]
    given = [
        {"role": "user", "content": "look"},
        {"role": "assistant", "content": None, "tool_calls": calls},
        {"role": "tool", "tool_call_id": "call_1", "content": "a tree", "metadata": {"took": 3}},
    ]

    chat = await door.create_chat(input=given, assistantId=org.assistant_id)

    _, called, tool_result = chat["messages"]
    assert (called["tool_calls"], called["message"]) == (calls, "")
    assert (tool_result["tool_call_id"], tool_result["content"], tool_result["metadata"]) == (
        "call_1",
        "a tree",
        {"took": 3},
    )
    assert reply_text(chat) == "look returned: a tree"


async def test_stream_adds_up_to_the_stored_chat(door: Door, org: Org) -> None:
    streamed = await read(door.stream_chat(input="one  two\nthree", assistantId=org.assistant_id))

    chat = await door.get_chat(id=streamed.events[0]["id"])
    assert (streamed.error, streamed.text) == (None, "You said: one  two\nthree")
    assert (reply_text(chat), chat["status"], chat["stream"]) == (streamed.text, "completed", True)
    assert streamed.events == [
        {"id": chat["id"], "path": "chat.output[0].content", "delta": event["delta"]}
        for event in streamed.events
    ]


async def test_answer_that_is_cut_at_the_assistants_limit_is_incomplete(door: Door) -> None:
    assistant = await door.create_assistant(document={"model": {**OFFLINE, "maxTokens": 3}})

    chat = await door.create_chat(input="one two three", assistantId=assistant["id"])

    assert (reply_text(chat), chat["status"]) == ("You said: one", "incomplete")
    assert chat["error"] == {
        "code": "max_output_tokens",
        "message": "The answer reached the most tokens it may have.",
    }
    assert await door.get_chat(id=chat["id"]) == chat


# --- who answers --------------------------------------------------------------------------------------------


async def test_transient_assistant_answers_and_is_shown_without_its_secrets(door: Door) -> None:
    assistant = {
        **CALLED,
        "name": "t",
        "voice": {"provider": "unheard-of"},
        "credentials": [{"provider": "openai", "apiKey": "sk-0123456789abcdef"}],
    }

    chat = await door.create_chat(
        input=WHO, assistant=assistant, assistantOverrides={"variableValues": {"who": "Ada"}}
    )

    shown = {**assistant, "credentials": [{"provider": "openai", "apiKey": "****cdef"}]}
    assert reply_text(chat) == "Your name is Ada."
    assert (chat["assistant"], chat.get("assistantId")) == (shown, None)
    assert (await door.get_chat(id=chat["id"]))["assistant"] == shown


@pytest.mark.parametrize(
    ("prompt", "values", "name"),
    [
        pytest.param("My name is {{who}}.", {"who": "Ada"}, "Ada", id="filled"),
        pytest.param("My name is {{ who | capitalize }}.", {"who": "ada"}, "Ada", id="liquid"),
        pytest.param("My name is {{person.name}}.", {"person": {"name": "Ada"}}, "Ada", id="nested"),
        pytest.param("My name is Eve{{who}}.", {}, "Eve", id="missing is empty"),
        pytest.param(
            "My name is A{{who}}B.", {"who": "{{other}}", "other": "x"}, "A", id="never expanded again"
        ),
        pytest.param(
            "My name is {% if vip %}Queen{% else %}Ada{% endif %}.", {"vip": True}, "Queen", id="condition"
        ),
        pytest.param(
            "My name is Y{{year}}.", {"year": "1815"}, "Y1815", id="the caller's win over the built-in"
        ),
        pytest.param("My name is {{ {% .", {}, None, id="not liquid is left alone"),
    ],
)
async def test_variables_fill_the_templates_of_the_assistant(
    door: Door, prompt: str, values: dict[str, Any], name: str | None
) -> None:
    assistant = await door.create_assistant(document={"model": {**OFFLINE, "systemPrompt": prompt}})

    chat = await door.create_chat(
        input=WHO, assistantId=assistant["id"], assistantOverrides={"variableValues": values}
    )

    assert reply_text(chat) == (f"Your name is {name}." if name else "I don't know your name.")
    assert chat["assistantOverrides"] == {"variableValues": values}


async def test_templates_in_the_input_are_left_alone(door: Door, org: Org) -> None:
    chat = await door.create_chat(
        input="{{who}} {% raw %}",
        assistantId=org.assistant_id,
        assistantOverrides={"variableValues": {"who": "Ada"}},
    )

    assert reply_text(chat) == "You said: {{who}} {% raw %}"


async def test_instructions_of_the_assistant_are_not_shown_as_messages(door: Door, org: Org) -> None:
    chat = await door.create_chat(input="hi", assistantId=org.assistant_id)

    assert [message["role"] for message in chat["messages"]] == ["user"]


def _named(name: str) -> dict[str, Any]:
    return {"name": name, "model": {**OFFLINE, "systemPrompt": f"My name is {name}."}}


async def test_first_member_of_a_stored_squad_answers(door: Door) -> None:
    ada, eve = [await door.create_assistant(document=_named(name)) for name in ("Ada", "Eve")]
    squad = await door.create_squad(
        document={"members": [{"assistantId": ada["id"]}, {"assistantId": eve["id"]}]}
    )

    first = await door.create_chat(input=WHO, squadId=squad["id"])
    second = await door.create_chat(input=WHO, previousChatId=first["id"])

    assert (reply_text(first), reply_text(second)) == ("Your name is Ada.", "Your name is Ada.")
    assert (first["squadId"], second["squadId"]) == (squad["id"], squad["id"])
    assert ids(await door.list_chats(squadId=squad["id"])) == [second["id"], first["id"]]


async def test_first_member_of_a_transient_squad_answers(door: Door) -> None:
    squad = {"name": "s", "members": [{"assistant": _named("Ada")}, {"assistant": _named("Eve")}]}

    first = await door.create_chat(input=WHO, squad=squad)
    second = await door.create_chat(input=WHO, previousChatId=first["id"])

    assert (reply_text(first), reply_text(second)) == ("Your name is Ada.", "Your name is Ada.")
    assert (first["squad"], second["squad"]) == (squad, squad)


async def test_overrides_of_the_member_fill_its_templates(door: Door) -> None:
    member = {"assistant": CALLED, "assistantOverrides": {"variableValues": {"who": "Ada"}}}

    chat = await door.create_chat(input=WHO, squad={"members": [member]})

    assert reply_text(chat) == "Your name is Ada."


# --- chains -------------------------------------------------------------------------------------------------


async def test_chain_remembers_what_was_said(door: Door, org: Org) -> None:
    first = await door.create_chat(input="My name is Ada", assistantId=org.assistant_id)
    second = await door.create_chat(input="Nice weather", previousChatId=first["id"])

    third = await door.create_chat(input=WHO, previousChatId=second["id"])

    assert (reply_text(third), third["assistantId"], third["previousChatId"]) == (
        "Your name is Ada.",
        org.assistant_id,
        second["id"],
    )
    assert [message["content"] for message in third["messages"]] == [
        "My name is Ada",
        "You said: My name is Ada",
        "Nice weather",
        "You said: Nice weather",
        WHO,
    ]
    assert third["messages"][:4] == [
        first["messages"][0],
        first["output"][0],
        second["messages"][2],
        second["output"][0],
    ]


async def test_two_chats_after_the_same_one_are_a_fork(door: Door, org: Org) -> None:
    first = await door.create_chat(input="Hello", assistantId=org.assistant_id)
    for name in ("Ada", "Eve"):
        fork = await door.create_chat(input=f"My name is {name}", previousChatId=first["id"])
        continued = await door.create_chat(input=WHO, previousChatId=fork["id"])
        assert reply_text(continued) == f"Your name is {name}."
        assert len(continued["messages"]) == 5

    continued = await door.create_chat(input=WHO, previousChatId=first["id"])

    assert reply_text(continued) == "I don't know your name."


@pytest.mark.parametrize("deleted", [0, 1, 2], ids=["first", "middle", "last"])
async def test_deleting_a_chat_of_a_chain_leaves_its_descendants_their_context(
    door: Door, org: Org, deleted: int
) -> None:
    chain = [await door.create_chat(input="My name is Ada", assistantId=org.assistant_id)]
    for text in ("And", "so", "on"):
        chain.append(await door.create_chat(input=text, previousChatId=chain[-1]["id"]))

    await door.delete_chat(id=chain[deleted]["id"])

    continued = await door.create_chat(input=WHO, previousChatId=chain[-1]["id"])
    assert reply_text(continued) == "Your name is Ada."
    for left in (chat for at, chat in enumerate(chain) if at != deleted):
        assert await door.get_chat(id=left["id"]) == left
    with pytest.raises(CallError) as refused:
        await door.create_chat(input=WHO, previousChatId=chain[deleted]["id"])
    assert refused.value.status == 404


async def test_another_assistant_may_continue_a_chain(door: Door, org: Org) -> None:
    first = await door.create_chat(input="My name is Eve", assistantId=org.assistant_id)
    other = await door.create_assistant(document={"name": "other"})

    second = await door.create_chat(input=WHO, previousChatId=first["id"], assistantId=other["id"])
    third = await door.create_chat(input=WHO, previousChatId=second["id"])

    assert (reply_text(second), second["assistantId"], third["assistantId"]) == (
        "Your name is Eve.",
        other["id"],
        other["id"],
    )


async def test_chain_keeps_a_transient_assistant_and_its_overrides(door: Door) -> None:
    first = await door.create_chat(
        input="Hi", assistant=CALLED, assistantOverrides={"variableValues": {"who": "Ada"}}
    )

    second = await door.create_chat(input=WHO, previousChatId=first["id"])
    third = await door.create_chat(
        input=WHO, previousChatId=second["id"], assistantOverrides={"variableValues": {"who": "Eve"}}
    )

    assert (reply_text(second), reply_text(third)) == ("Your name is Ada.", "Your name is Eve.")
    assert (second["assistant"], second["assistantOverrides"]) == (
        first["assistant"],
        first["assistantOverrides"],
    )


async def test_chain_whose_assistant_was_deleted_says_so(door: Door) -> None:
    assistant = await door.create_assistant(document={"name": "short-lived"})
    first = await door.create_chat(input="Hi", assistantId=assistant["id"])
    await door.delete_assistant(id=assistant["id"])

    with pytest.raises(CallError) as refused:
        await door.create_chat(input="Hi", previousChatId=first["id"])

    assert (refused.value.status, refused.value.text) == (
        400,
        "the assistant of this conversation was deleted; begin a new one",
    )
    assert await door.get_chat(id=first["id"]) == first


@pytest.mark.parametrize("form", ["{0}", "resp_{1}", "RESP_{2}"], ids=["bare", "prefixed", "upper case"])
async def test_previous_chat_is_named_bare_or_prefixed(door: Door, org: Org, form: str) -> None:
    first = await door.create_chat(input="My name is Ada", assistantId=org.assistant_id)
    digits = first["id"].replace("-", "")

    second = await door.create_chat(
        input=WHO, previousChatId=form.format(first["id"], digits, digits.upper())
    )

    assert (reply_text(second), second["previousChatId"]) == ("Your name is Ada.", first["id"])
    assert (await door.get_chat(id=f"resp_{digits}"))["id"] == first["id"]


async def test_many_may_continue_the_same_chat_at_once(door: Door, org: Org) -> None:
    first = await door.create_chat(input="My name is Ada", assistantId=org.assistant_id)

    forks = await asyncio.gather(
        *[door.create_chat(input=f"fork {n}", previousChatId=first["id"]) for n in range(20)]
    )

    for n, fork in enumerate(forks):
        assert [message["content"] for message in fork["messages"]] == [
            "My name is Ada",
            "You said: My name is Ada",
            f"fork {n}",
        ]
        assert await door.get_chat(id=fork["id"]) == fork


# --- sessions -----------------------------------------------------------------------------------------------


async def test_session_remembers_what_was_said_in_it(door: Door, org: Org) -> None:
    session = await door.create_session(assistantId=org.assistant_id)
    first = await door.create_chat(input="My name is Ada", sessionId=session["id"])

    streamed = await read(door.stream_chat(input=WHO, sessionId=session["id"]))

    assert (streamed.text, streamed.error) == ("Your name is Ada.", None)
    assert {event["sessionId"] for event in streamed.events} == {session["id"]}
    second = await door.get_chat(id=streamed.events[0]["id"])
    assert (first["sessionId"], second["sessionId"]) == (session["id"], session["id"])
    assert (first["assistantId"], second["assistantId"]) == (org.assistant_id, org.assistant_id)
    assert ids(await door.list_chats(sessionId=session["id"])) == [second["id"], first["id"]]


async def test_exchanges_of_a_session_at_once_are_all_kept_each_with_its_answer(door: Door, org: Org) -> None:
    session = await door.create_session(assistantId=org.assistant_id)

    await asyncio.gather(*[door.create_chat(input=str(n), sessionId=session["id"]) for n in range(20)])

    texts = [message["content"] for message in (await door.get_session(id=session["id"]))["messages"]]
    assert sorted(texts[::2], key=int) == [str(n) for n in range(20)]
    assert texts[1::2] == [f"You said: {text}" for text in texts[::2]]


async def test_chat_of_a_session_may_be_continued_outside_of_it(door: Door, org: Org) -> None:
    session = await door.create_session(assistantId=org.assistant_id)
    first = await door.create_chat(input="My name is Ada", sessionId=session["id"])
    await door.create_chat(input="My name is Eve", sessionId=session["id"])

    aside = await door.create_chat(input=WHO, previousChatId=first["id"])

    assert (reply_text(aside), aside.get("sessionId")) == ("Your name is Ada.", None)
    assert len((await door.get_session(id=session["id"]))["messages"]) == 4


# --- what is refused ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("members", "named"),
    [
        pytest.param(
            {"sessionId": UNKNOWN_ID, "previousChatId": UNKNOWN_ID},
            ["sessionId", "previousChatId"],
            id="session and previous",
        ),
        pytest.param(
            {"sessionId": UNKNOWN_ID, "transport": {"phoneNumberId": "p"}},
            ["sessionId", "transport.phoneNumberId"],
            id="session and number",
        ),
        pytest.param(
            {"sessionId": UNKNOWN_ID, "transport": {"customer": {"number": "+1"}}},
            ["sessionId", "transport.customer"],
            id="session and customer",
        ),
        pytest.param(
            {"sessionId": UNKNOWN_ID, "assistantId": UNKNOWN_ID},
            ["sessionId", "assistantId"],
            id="session and assistant",
        ),
        pytest.param(
            {"sessionId": UNKNOWN_ID, "squad": {"members": []}}, ["sessionId"], id="session and squad"
        ),
        pytest.param(
            {"assistantId": UNKNOWN_ID, "assistant": {}}, ["assistantId", "assistant"], id="two assistants"
        ),
        pytest.param(
            {"squadId": UNKNOWN_ID, "assistantId": UNKNOWN_ID},
            ["squadId", "assistantId"],
            id="assistant and squad",
        ),
        pytest.param({}, ["assistantId"], id="nobody"),
        pytest.param({"name": "n"}, ["assistantId"], id="nobody but a name"),
        pytest.param({"assistantId": "no-uuid"}, ["assistantId"], id="assistant that is no id"),
        pytest.param({"sessionId": ""}, ["sessionId"], id="session that is no id"),
        pytest.param({"previousChatId": "x"}, ["previousChatId"], id="previous that is no id"),
        pytest.param({"squadId": "x"}, ["squadId"], id="squad that is no id"),
        pytest.param(
            {"assistantId": UNKNOWN_ID, "transport": {"type": "pigeon"}}, ["transport.type"], id="transport"
        ),
        pytest.param(
            {"assistant": {"model": {"temperature": 3}}},
            ["assistant.model.temperature"],
            id="assistant's own",
        ),
        pytest.param(
            {"assistant": {"model": {"maxTokens": "many"}}}, ["assistant.model.maxTokens"], id="mistyped"
        ),
        pytest.param({"squad": {"members": []}}, ["squad.members"], id="squad of nobody"),
        pytest.param({"squad": {"members": [{}]}}, ["squad.members[0]"], id="member that is nobody"),
    ],
)
@pytest.mark.parametrize("streaming", [False, True], ids=["whole", "streamed"])
async def test_wrong_request_is_refused_and_names_the_members(
    door: Door, members: dict[str, Any], named: list[Any], streaming: bool
) -> None:
    call = (
        read(door.stream_chat(input="x", **members)) if streaming else door.create_chat(input="x", **members)
    )

    with pytest.raises(CallError) as refused:
        await call

    assert refused.value.status == 400
    assert [name for name in named if name not in refused.value.text] == []


@pytest.mark.parametrize(
    ("given", "named"),
    [
        pytest.param([], "input", id="no messages"),
        pytest.param({"role": "user", "content": "x"}, "input", id="object"),
        pytest.param(7, "input", id="number"),
        pytest.param(True, "input", id="true"),
        pytest.param(None, "input", id="null"),
        pytest.param(["x"], "input[0]", id="array of strings"),
        pytest.param(
            [{"role": "user", "content": "x"}, {"role": "robot", "content": "x"}], "input[1].role", id="role"
        ),
        pytest.param([{"content": "x"}], "input[0].role", id="no role"),
        pytest.param([{"role": ["user"], "content": "x"}], "input[0].role", id="role of another type"),
        pytest.param([{"role": "user"}], "input[0].content", id="no content"),
        pytest.param([{"role": "user", "content": 7}], "input[0].content", id="content of another type"),
        pytest.param(
            [{"role": "user", "content": [{"text": "x"}]}], "input[0].content[0]", id="part without type"
        ),
        pytest.param(
            [{"role": "user", "content": [{"type": "text", "text": 1}]}],
            "input[0].content[0].text",
            id="text",
        ),
        pytest.param([{"role": "tool", "content": "x"}], "input[0].tool_call_id", id="tool without a call"),
        pytest.param(
            [{"role": "assistant", "tool_calls": [{}]}], "input[0].tool_calls[0].function.name", id="call"
        ),
        pytest.param(
            [{"role": "user", "content": "x", "name": 1}], "input[0].name", id="name of another type"
        ),
        pytest.param("a\0b", "input", id="NUL"),
        pytest.param([{"role": "user", "content": "\0"}], "input[0].content", id="NUL in a message"),
        pytest.param(
            [{"role": "user", "content": [{"type": "text", "text": "\0"}]}],
            "input[0].content[0].text",
            id="NUL in a part",
        ),
    ],
)
async def test_input_of_another_shape_is_refused_and_its_place_named(
    door: Door, org: Org, given: Any, named: str
) -> None:
    with pytest.raises(CallError) as refused:
        await door.create_chat(input=given, assistantId=org.assistant_id)

    assert (refused.value.status, refused.value.text.split(" ")[0]) == (400, named)
    assert (await door.list_chats())["results"] == []


async def test_input_is_required(door: Door, org: Org) -> None:
    with pytest.raises(CallError) as refused:
        await door.create_chat(assistantId=org.assistant_id)

    assert (refused.value.status, refused.value.text) == (400, "input is required")


@pytest.mark.parametrize("character", ["a", "é", "😀"], ids=["one byte", "two bytes", "four bytes"])
async def test_name_has_at_most_40_characters(door: Door, org: Org, character: str) -> None:
    chat = await door.create_chat(input="x", assistantId=org.assistant_id, name=character * 40)
    with pytest.raises(CallError) as refused:
        await door.create_chat(input="x", assistantId=org.assistant_id, name=character * 41)

    assert chat["name"] == character * 40
    assert (refused.value.status, refused.value.text) == (400, "name must be at most 40 characters")


@pytest.mark.parametrize("member", ["assistantId", "squadId", "sessionId", "previousChatId"])
async def test_what_is_named_must_exist(door: Door, org: Org, other_org: Org, member: str) -> None:
    noun = {"assistantId": "assistant", "squadId": "squad", "sessionId": "session", "previousChatId": "chat"}[
        member
    ]
    theirs = await _one_of_each(door.of(other_org), other_org)

    for unknown in (UNKNOWN_ID, theirs[member]):
        with pytest.raises(CallError) as refused:
            await door.create_chat(input="x", **{member: unknown})
        assert (refused.value.status, refused.value.text) == (404, f"{noun} not found")


async def _one_of_each(door: Door, org: Org) -> dict[str, str]:
    squad = await door.create_squad(document={"members": [{"assistantId": org.assistant_id}]})
    session = await door.create_session(assistantId=org.assistant_id)
    chat = await door.create_chat(input="x", assistantId=org.assistant_id)
    return {
        "assistantId": org.assistant_id,
        "squadId": squad["id"],
        "sessionId": session["id"],
        "previousChatId": chat["id"],
    }


# --- lists --------------------------------------------------------------------------------------------------


async def _three(door: Door, org: Org) -> tuple[dict[str, Any], ...]:
    """Three chats: one alone, one that continues it, one in a session with another assistant."""
    first = await door.create_chat(input="1", assistantId=org.assistant_id)
    await _later_than(first)
    second = await door.create_chat(input="2", previousChatId=first["id"])
    await _later_than(second)
    session = await door.create_session(assistantId=(await door.create_assistant(document={}))["id"])
    third = await door.create_chat(input="3", sessionId=session["id"])
    return first, second, third


async def _later_than(chat: dict[str, Any]) -> None:
    """Wait for the clock to pass the millisecond in which a chat was written."""
    while True:
        if now_ms() > parse_rfc3339(chat["updatedAt"]):
            return
        await asyncio.sleep(0)


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        pytest.param(lambda one, two, three: {}, "321", id="none"),
        pytest.param(lambda one, two, three: {"id": two["id"]}, "2", id="id"),
        pytest.param(lambda one, two, three: {"id": UNKNOWN_ID}, "", id="unknown id"),
        pytest.param(lambda one, two, three: {"id": "no-id"}, "", id="what is no id"),
        pytest.param(lambda one, two, three: {"idAny": f"{one['id']}, {three['id']}"}, "31", id="idAny"),
        pytest.param(lambda one, two, three: {"assistantId": one["assistantId"]}, "21", id="assistantId"),
        pytest.param(
            lambda one, two, three: {"assistantIdAny": f"{one['assistantId']},{three['assistantId']}"},
            "321",
            id="assistantIdAny",
        ),
        pytest.param(lambda one, two, three: {"squadId": UNKNOWN_ID}, "", id="squadId"),
        pytest.param(lambda one, two, three: {"sessionId": three["sessionId"]}, "3", id="sessionId"),
        pytest.param(lambda one, two, three: {"previousChatId": one["id"]}, "2", id="previousChatId"),
        pytest.param(lambda one, two, three: {"createdAtGt": two["createdAt"]}, "3", id="createdAtGt"),
        pytest.param(lambda one, two, three: {"createdAtGe": two["createdAt"]}, "32", id="createdAtGe"),
        pytest.param(lambda one, two, three: {"createdAtLt": two["createdAt"]}, "1", id="createdAtLt"),
        pytest.param(lambda one, two, three: {"createdAtLe": two["createdAt"]}, "21", id="createdAtLe"),
        pytest.param(lambda one, two, three: {"updatedAtGt": two["updatedAt"]}, "3", id="updatedAtGt"),
        pytest.param(lambda one, two, three: {"updatedAtGe": two["updatedAt"]}, "32", id="updatedAtGe"),
        pytest.param(lambda one, two, three: {"updatedAtLt": two["updatedAt"]}, "1", id="updatedAtLt"),
        pytest.param(lambda one, two, three: {"updatedAtLe": two["updatedAt"]}, "21", id="updatedAtLe"),
        pytest.param(
            lambda one, two, three: {"createdAtGe": one["createdAt"], "createdAtLt": three["createdAt"]},
            "21",
            id="two together",
        ),
        pytest.param(
            lambda one, two, three: {"createdAtLt": "2000-01-01T00:00:00+02:00"}, "", id="another time zone"
        ),
        pytest.param(lambda one, two, three: {"createdAtGt": "2000-01-01"}, "321", id="a date"),
        pytest.param(lambda one, two, three: {"sortOrder": "ASC"}, "123", id="ascending"),
        pytest.param(
            lambda one, two, three: {"sortOrder": "DESC", "sortBy": "createdAt"}, "321", id="descending"
        ),
        pytest.param(lambda one, two, three: {"limit": 2}, "32", id="limit"),
        pytest.param(lambda one, two, three: {"limit": 2, "page": 2}, "1", id="second page"),
        pytest.param(lambda one, two, three: {"limit": 1.0, "page": 2.0}, "2", id="numbers with a fraction"),
        pytest.param(lambda one, two, three: {"limit": 0}, "", id="limit 0"),
        pytest.param(lambda one, two, three: {"page": 9}, "", id="page beyond the end"),
    ],
)
async def test_list_is_filtered_sorted_and_paged(
    door: Door, org: Org, filters: Callable[..., Any], expected: str
) -> None:
    chats = await _three(door, org)

    listed = await door.list_chats(**filters(*chats))

    assert "".join(chat["input"] for chat in listed["results"]) == expected


@pytest.mark.parametrize(
    ("query", "metadata"),
    [
        pytest.param(
            {}, {"itemsPerPage": 100, "currentPage": 1, "totalPages": 1, "hasNextPage": False}, id="default"
        ),
        pytest.param(
            {"limit": 2},
            {"itemsPerPage": 2, "currentPage": 1, "totalPages": 2, "hasNextPage": True},
            id="first",
        ),
        pytest.param(
            {"limit": 2, "page": 2.0},
            {"itemsPerPage": 2, "currentPage": 2, "totalPages": 2, "hasNextPage": False},
            id="last",
        ),
        pytest.param(
            {"limit": 1000, "page": 1},
            {"itemsPerPage": 1000, "currentPage": 1, "totalPages": 1, "hasNextPage": False},
            id="largest",
        ),
        pytest.param(
            {"limit": 0},
            {"itemsPerPage": 0, "currentPage": 1, "totalPages": 0, "hasNextPage": False},
            id="none",
        ),
    ],
)
async def test_list_tells_where_it_stands(
    door: Door, org: Org, query: dict[str, Any], metadata: dict[str, Any]
) -> None:
    await _three(door, org)

    listed = await door.list_chats(**query)

    listed_metadata = listed["metadata"]
    assert bool(listed_metadata.pop("nextCursor", "")) == metadata["hasNextPage"]
    assert listed_metadata == {"totalItems": 3, "sortOrder": "DESC", **metadata}


@pytest.mark.parametrize(
    ("query", "named"),
    [
        pytest.param({"page": 0}, "page", id="page 0"),
        pytest.param({"page": -1}, "page", id="page -1"),
        pytest.param({"page": 1e18}, "page", id="page beyond every list"),
        pytest.param({"limit": 1001}, "limit", id="limit 1001"),
        pytest.param({"limit": -1}, "limit", id="limit -1"),
        pytest.param({"sortOrder": "UP"}, "sortOrder", id="sort order"),
        pytest.param({"sortBy": "name"}, "sortBy", id="sort by"),
        pytest.param({"createdAtGt": "yesterday"}, "createdAtGt", id="no time"),
        pytest.param({"updatedAtLe": ""}, "updatedAtLe", id="empty time"),
        pytest.param({"createdAtLt": "2024-01-01T00:00:00Z' OR 1=1 --"}, "createdAtLt", id="SQL"),
        pytest.param({"createdAtLt": "99999-01-01T00:00:00Z"}, "createdAtLt", id="time beyond the calendar"),
    ],
)
async def test_list_refuses_a_filter_that_it_cannot_read(
    door: Door, query: dict[str, Any], named: str
) -> None:
    with pytest.raises(CallError) as refused:
        await door.list_chats(**query)

    assert (refused.value.status, refused.value.text.split(" ")[0]) == (400, named)


async def test_list_goes_on_with_the_cursor_of_its_page(door: Door, org: Org) -> None:
    made = [(await door.create_chat(assistantId=org.assistant_id, input=text))["id"] for text in "abc"][::-1]

    first = await door.list_chats(limit=2)
    rest = await door.list_chats(limit=2, cursor=first["metadata"]["nextCursor"])

    assert [chat["id"] for page in (first, rest) for chat in page["results"]] == made
    assert rest["metadata"] == {
        "itemsPerPage": 2,
        "totalItems": 3,
        "currentPage": 2,
        "totalPages": 2,
        "hasNextPage": False,
        "sortOrder": "DESC",
    }


async def test_list_shows_each_chat_with_its_own_input_only(door: Door, org: Org) -> None:
    first = await door.create_chat(input="1", assistantId=org.assistant_id)
    second = await door.create_chat(input="2", previousChatId=first["id"])

    listed = await door.list_chats(limit=1)

    assert listed["results"] == [{**second, "messages": second["messages"][-1:]}]


async def test_list_has_nothing_of_other_orgs(door: Door, org: Org, other_org: Org) -> None:
    await door.of(other_org).create_chat(input="theirs", assistantId=other_org.assistant_id)

    assert (await door.list_chats())["results"] == []
    assert (await door.list_chats(assistantId=other_org.assistant_id))["results"] == []


# --- what it costs ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["offline/offline-1", "offline-1"])
@pytest.mark.parametrize("kind", ["grpc", "rest"])
async def test_cost_is_exactly_the_sum_of_its_parts(tmp_path: Path, kind: str, name: str) -> None:
    async with running(tmp_path, prices={name: {"input": 0.1, "output": 0.7}}) as service:
        org = await service.new_org()
        async with door_to(kind, service, org) as door:
            session = await door.create_session(assistantId=org.assistant_id)
            chats = [
                await door.create_chat(input=f"{text} words", sessionId=session["id"])
                for text in ("some", "more")
            ]
            read_back = await door.get_session(id=session["id"])

    for chat in chats:
        model, service_itself = chat["costs"]
        assert model["cost"] == (model["promptTokens"] * 0.1 + model["completionTokens"] * 0.7) / 1e6 > 0
        assert service_itself == {"type": "chat", "cost": 0}
        assert chat["cost"] == sum(part["cost"] for part in chat["costs"])
    assert read_back["cost"] == sum(part["cost"] for part in read_back["costs"])
    assert read_back["cost"] == pytest.approx(sum(chat["cost"] for chat in chats))
