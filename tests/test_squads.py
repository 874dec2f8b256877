"""Squads: handoffs between members, what goes along, and who is active afterwards; over gRPC and through
Envoy."""

import asyncio
import json
import shutil
from collections.abc import Awaitable, Callable
from typing import Any

import grpc
import pytest

from generated.parley.v1.chat_pb2 import Chat
from generated.parley.v1.chat_service_pb2 import CreateChatRequest, GetChatRequest, WatchChatRequest
from generated.parley.v1.chat_service_pb2_grpc import ChatServiceStub
from generated.parley.v1.message_pb2 import Message
from server.agents.handoffs import Destination, handoffs
from server.content.json_values import from_python, struct_from
from server.content.messages import text_of
from server.core.errors import NotFound
from tests.conftest import running
from tests.sdk import official_client
from tests.upstream import STALL, Answer, OpenAIUpstream, chunk, openai_stream, openai_text, sse

WHO = "What is my name?"


def member(name: str, knows: str = "", *destinations: dict[str, Any], **more: Any) -> dict[str, Any]:
    """A squad's own assistant; the offline model says what name it `knows` from its prompt."""
    messages = [{"role": "system", "content": f"My name is {knows}."}] if knows else []
    given = {"assistantDestinations": list(destinations)} if destinations else {}
    return {
        "assistant": {
            "name": name,
            "model": {"provider": "offline", "model": "offline-1", "messages": messages},
        },
        **given,
        **more,
    }


def to(name: str, plan: str = "all", **more: Any) -> dict[str, Any]:
    return {"type": "assistant", "assistantName": name, "contextEngineeringPlan": {"type": plan, **more}}


SQUAD = {
    "name": "desk",
    "members": [member("Front", "Frank"), member("Sales Team", "Sally"), member("Billing", "Bill")],
}

Send = Callable[..., Awaitable[Chat]]


@pytest.fixture(params=["grpc", "rest"])
def send(request, channel, http, org) -> Send:
    """One exchange of /chat, over gRPC or through Envoy: members as the proto names them."""

    async def over_grpc(sent_text: str, **members: Any) -> Chat:
        structs = {
            name: struct_from(value) if isinstance(value, dict) else value for name, value in members.items()
        }
        return await ChatServiceStub(channel).CreateChat(
            CreateChatRequest(input=from_python(sent_text), **structs), metadata=org.metadata
        )

    async def over_rest(sent_text: str, **members: Any) -> Chat:
        names = {name: CreateChatRequest.DESCRIPTOR.fields_by_name[name].json_name for name in members}
        answer = await http.post(
            "/chat",
            headers=org.bearer,
            json={"input": sent_text, **{names[name]: value for name, value in members.items()}},
        )
        assert answer.status_code == 200, answer.text
        got = answer.json()
        return Chat(
            id=got["id"],
            status=got["status"],
            output=[
                Message(
                    role=one["role"],
                    content=from_python(one.get("content")),
                    tool_calls=from_python(one.get("tool_calls")),
                )
                for one in got["output"]
            ],
        )

    return over_grpc if request.param == "grpc" else over_rest


def last(chat: Chat) -> str:
    return text_of(chat.output[-1])


async def test_first_member_answers_first(send):
    chat = await send(WHO, squad=SQUAD)

    assert last(chat) == "Your name is Frank."


async def test_handoff_is_run_by_the_server_and_reported(send):
    chat = await send("I want to talk to sales", squad=SQUAD)

    assert [message.role for message in chat.output] == ["assistant", "tool", "assistant"]
    assert chat.output[0].tool_calls.list_value[0]["function"]["name"] == "handoff_to_sales_team"
    assert text_of(chat.output[1]) == "Handed over to Sales Team."
    assert last(chat) == "handoff_to_sales_team returned: Handed over to Sales Team."


async def test_active_member_is_remembered_by_the_chain(send):
    first = await send("I want to talk to sales", squad=SQUAD)
    second = await send(WHO, previous_chat_id=first.id)
    third = await send("Now billing please", previous_chat_id=second.id)

    assert last(second) == "Your name is Sally."
    assert last(await send(WHO, previous_chat_id=third.id)) == "Your name is Bill."
    assert last(await send(WHO, previous_chat_id=second.id)) == "Your name is Sally."  # a fork


async def test_active_member_is_remembered_by_the_session(send, http, org):
    squad = (await http.post("/squad", headers=org.bearer, json=SQUAD)).json()
    session = (await http.post("/session", headers=org.bearer, json={"squadId": squad["id"]})).json()["id"]

    answers = [last(await send(sent_text, session_id=session)) for sent_text in (WHO, "To sales!", WHO)]

    assert answers[0] == "Your name is Frank."
    assert answers[2] == "Your name is Sally."


async def test_squad_named_again_keeps_its_active_member(send, http, org):
    squad = (await http.post("/squad", headers=org.bearer, json=SQUAD)).json()
    first = await send("To sales!", squad_id=squad["id"])

    again = await send(WHO, squad_id=squad["id"], previous_chat_id=first.id)

    assert last(again) == "Your name is Sally."


async def test_member_hands_only_to_its_destinations(send):
    squad = {
        "members": [
            member("Front", "Frank", to("Sales")),
            member("Sales", "Sally"),
            member("Billing", "Bill"),
        ]
    }

    chat = await send("Billing, please", squad=squad)

    assert last(chat) == "You said: Billing, please"


@pytest.mark.parametrize(
    ("plan", "known"),
    [
        pytest.param(to("Sales"), "Your name is Ada.", id="all"),
        pytest.param(to("Sales", "none"), "I don't know your name.", id="none"),
        pytest.param(
            to("Sales", "lastNMessages", maxMessages=2), "I don't know your name.", id="the last two"
        ),
        pytest.param(to("Sales", "lastNMessages", maxMessages=5), "Your name is Ada.", id="the last five"),
    ],
)
async def test_context_goes_along_as_planned(send, plan, known):
    squad = {"members": [member("Front", "", plan), member("Sales")]}
    first = await send("Hello, my name is Ada.", squad=squad)
    second = await send("How are you?", previous_chat_id=first.id)

    third = await send("To sales!", previous_chat_id=second.id)
    fourth = await send(WHO, previous_chat_id=third.id)

    assert last(third).startswith("handoff_to_sales returned")
    assert last(fourth) == known


async def test_members_overrides_are_applied(send):
    whole = {"provider": "offline", "model": "offline-1"}
    squad = {
        "members": [
            member("Front", "{{name}}", assistantOverrides={"variableValues": {"name": "Own", "other": "x"}}),
            member(
                "Sales",
                "Sally",
                assistantOverrides={
                    "model": {**whole, "messages": [{"role": "system", "content": "My name is {{name}}."}]},
                    "variableValues": {"name": "Replaced"},
                },
            ),
        ],
        "membersOverrides": {"metadata": {"a": 1}},
    }

    first = await send(WHO, squad=squad)
    second = await send("To sales!", previous_chat_id=first.id)
    third = await send(WHO, previous_chat_id=second.id)

    assert (last(first), last(third)) == ("Your name is Own.", "Your name is Replaced.")


async def test_overrides_of_the_whole_squad_win(send):
    squad = {
        "members": [member("Front", "{{name}}", assistantOverrides={"variableValues": {"name": "Own"}})],
        "membersOverrides": {"variableValues": {"name": "Everyone"}},
    }

    assert last(await send(WHO, squad=squad)) == "Your name is Everyone."
    assert (
        last(await send(WHO, squad=squad, assistant_overrides={"variableValues": {"name": "Now"}}))
        == "Your name is Now."
    )


async def test_stored_assistants_hand_over_by_id(send, http, org):
    made = [
        (await http.post("/assistant", headers=org.bearer, json=one["assistant"])).json()["id"]
        for one in SQUAD["members"]
    ]
    squad = {
        "members": [
            {
                "assistantId": made[0],
                "assistantDestinations": [{"type": "assistant", "assistantId": made[1]}],
            },
            {"assistantId": made[1]},
        ]
    }
    first = await send("To sales!", squad=squad)
    await http.delete(f"/assistant/{made[0]}", headers=org.bearer)
    await http.delete(f"/assistant/{made[2]}", headers=org.bearer)

    assert first.output[0].tool_calls.list_value[0]["function"]["name"] == "handoff_to_sales_team"


async def test_member_that_was_deleted_meanwhile_is_handed_nothing(send, http, org, service, monkeypatch):
    made = [
        (await http.post("/assistant", headers=org.bearer, json=one["assistant"])).json()["id"]
        for one in SQUAD["members"][:2]
    ]
    get = service.store.assistants.get

    async def deleted(org_id: str, document_id: str | None) -> Any:
        if document_id == made[1]:
            raise NotFound("assistant not found")
        return await get(org_id, document_id)

    monkeypatch.setattr(service.store.assistants, "get", deleted)
    chat = await send("To sales!", squad={"members": [{"assistantId": one} for one in made]})

    assert text_of(chat.output[1]) == "Not handed over to Sales Team: nobody took over."
    assert chat.status == "completed"


async def test_handoff_streams_and_is_replayed_unchanged(channel, org):
    stub = ChatServiceStub(channel)

    live = [
        event
        async for event in stub.StreamChat(
            CreateChatRequest(squad=struct_from(SQUAD), input=from_python("To sales!")), metadata=org.metadata
        )
    ]
    again = [
        event async for event in stub.WatchChat(WatchChatRequest(id=live[0].chat_id), metadata=org.metadata)
    ]

    assert [event.WhichOneof("event") for event in live[:2]] == ["started", "round"]
    assert again == live


async def test_member_that_took_over_is_kept_when_the_server_is_killed(tmp_path):
    begun = asyncio.Event()
    calls = {
        "tool_calls": [{"index": 0, "id": "c1", "function": {"name": "handoff_to_sales", "arguments": "{}"}}]
    }
    handing = openai_stream(chunk({"content": "One moment. "}), begun, chunk(calls, finish="tool_calls"))
    stalling = Answer([*sse(chunk({"content": "Sales here"})), STALL])
    async with (
        OpenAIUpstream(handing) as front,
        OpenAIUpstream([stalling, openai_text("Sales again")]) as upstream,
    ):
        squad = struct_from(
            {
                "members": [
                    {
                        "assistant": {
                            "name": name,
                            "model": {"provider": "custom-llm", "model": "m", "url": llm.base_url},
                        }
                    }
                    for name, llm in (("Front", front), ("Sales", upstream))
                ]
            }
        )
        async with running(tmp_path / "first", upstream_allow_hosts="127.0.0.1") as service:
            org = await service.new_org()
            async with grpc.aio.insecure_channel(service.grpc_address) as channel:
                stream = ChatServiceStub(channel).StreamChat(
                    CreateChatRequest(squad=squad, input=from_python("To sales!")), metadata=org.metadata
                )
                while (event := await stream.read()).delta.text != "Sales here":
                    if event.delta.text:
                        begun.set()
                # What kill -9 would leave now.
                shutil.copytree(tmp_path / "first", tmp_path / "second", ignore=shutil.ignore_patterns("run"))
                stream.cancel()
                await upstream.disconnected.wait()
        async with (
            running(tmp_path / "second", upstream_allow_hosts="127.0.0.1") as service,
            grpc.aio.insecure_channel(service.grpc_address) as channel,
        ):
            chats = ChatServiceStub(channel)
            cut = await chats.GetChat(GetChatRequest(id=event.chat_id), metadata=org.metadata)
            answer = await chats.CreateChat(
                CreateChatRequest(previous_chat_id=cut.id, input=from_python("Hi")), metadata=org.metadata
            )

    assert (cut.status, cut.error.code, last(cut)) == ("incomplete", "server_stopped", "Sales here")
    assert last(answer) == "Sales again"
    assert len(front.requests) == 1


async def test_members_may_have_different_models(http, org):
    calls = {
        "tool_calls": [{"index": 0, "id": "c1", "function": {"name": "handoff_to_sales", "arguments": "{}"}}]
    }
    usage = {"usage": {"prompt_tokens": 7, "completion_tokens": 1}}
    async with (
        OpenAIUpstream(
            openai_stream(chunk({"content": "One moment. "}), chunk(calls, finish="tool_calls", **usage))
        ) as first,
        OpenAIUpstream(openai_text("Sales here")) as second,
    ):
        own = [
            {"name": name, "model": {"provider": "custom-llm", "model": model, "url": llm.base_url}}
            for name, model, llm in (("Front", "m-1", first), ("Sales", "m-2", second))
        ]
        squad = {"members": [{"assistant": one} for one in own]}
        chat = (await http.post("/chat", headers=org.bearer, json={"squad": squad, "input": "Hi"})).json()
        completion = (
            await http.post("/v1/responses", headers=org.bearer, json={"squad": squad, "input": "Hi"})
        ).json()

    assert [message.get("content") for message in chat["output"]] == [
        "One moment. ",
        "Handed over to Sales.",
        "Sales here",
    ]
    assert [(cost["model"]["model"], cost["promptTokens"]) for cost in chat["costs"][:-1]] == [
        ("m-1", 7),
        ("m-2", 3),
    ]
    assert [item["type"] for item in completion["output"]] == ["message", "mcp_call", "message"]
    assert [tool["function"]["name"] for tool in second.requests[0].body["tools"]] == ["handoff_to_front"]
    assert [message["role"] for message in second.requests[0].body["messages"]] == [
        "user",
        "assistant",
        "tool",
    ]


async def test_streamed_response_has_a_message_for_each_member(service, org):
    async with official_client(f"{service.http_url}/v1", org.api) as sdk:
        async with sdk.responses.stream(
            model="demo", input="To sales!", extra_body={"squad": SQUAD}
        ) as stream:
            response = await stream.get_final_response()

    assert [(item.type, getattr(item, "name", None)) for item in response.output] == [
        ("mcp_call", "handoff_to_sales_team"),
        ("message", None),
    ]


@pytest.mark.parametrize(
    "overrides",
    [
        pytest.param({"members": [member("A", assistantOverrides={"model": "big"})]}, id="a member's"),
        pytest.param(
            {"members": [member("A")], "membersOverrides": {"model": {"temperature": 9}}}, id="everyone's"
        ),
    ],
)
async def test_overrides_that_fit_no_assistant_are_refused(http, org, overrides):
    refused = await http.post("/squad", headers=org.bearer, json=overrides)

    assert refused.status_code == 400
    assert any("verrides.model" in text for text in json.loads(refused.text)["message"])


TWINS = [member("Front", "", to("Sales")), member("Sales", "Sally"), member("Sales", "Sue")]
AMBIGUOUS = (
    "members[0].assistantDestinations[0].assistantName is the name of 2 members: send the assistantId of one of "
    "them, or give them different names"
)


async def test_destination_of_a_name_that_several_members_have_is_refused(http, org):
    created = await http.post("/squad", headers=org.bearer, json={"members": TWINS})
    sent = await http.post("/chat", headers=org.bearer, json={"input": "hi", "squad": {"members": TWINS}})
    squad = (await http.post("/squad", headers=org.bearer, json={"members": TWINS[:2]})).json()
    patched = await http.patch(f"/squad/{squad['id']}", headers=org.bearer, json={"members": TWINS})

    assert [answer.status_code for answer in (created, sent, patched)] == [400, 400, 400]
    assert [answer.json()["message"] for answer in (created, sent, patched)] == [
        [AMBIGUOUS],
        [f"squad.{AMBIGUOUS}"],
        [AMBIGUOUS],
    ]


async def stored(http, org, *names):
    """Ids of stored assistants like those, with these names."""
    bodies = [{**one["assistant"], "name": name} for one, name in zip(TWINS, names, strict=True)]
    return [(await http.post("/assistant", headers=org.bearer, json=body)).json()["id"] for body in bodies]


async def test_destination_of_several_stored_members_is_named_by_its_id(send, http, org):
    front, *sales = await stored(http, org, "Front", "Sales", "Sales")
    members = [
        {"assistantId": front, "assistantDestinations": [to("Sales")]},
        *({"assistantId": one} for one in sales),
    ]
    refused = await http.post("/squad", headers=org.bearer, json={"members": members})
    members[0]["assistantDestinations"] = [
        {"type": "assistant", "assistantName": "Sales", "assistantId": sales[1]}
    ]
    squad = (await http.post("/squad", headers=org.bearer, json={"members": members})).json()
    handed = await send("I want to talk to sales", squad_id=squad["id"])

    assert (refused.status_code, refused.json()["message"]) == (400, [AMBIGUOUS])
    assert last(await send(WHO, previous_chat_id=handed.id)) == "Your name is Sue."


async def test_squad_whose_members_got_one_name_later_can_be_patched_and_hands_to_neither(send, http, org):
    front, *sales = await stored(http, org, "Front", "Sales", "Sales 2")
    members = [
        {"assistantId": front, "assistantDestinations": [to("Sales")]},
        *({"assistantId": one} for one in sales),
    ]
    squad = (await http.post("/squad", headers=org.bearer, json={"members": members})).json()
    await http.patch(f"/assistant/{sales[1]}", headers=org.bearer, json={"name": "Sales"})
    patched = await http.patch(f"/squad/{squad['id']}", headers=org.bearer, json={"name": "desk"})

    assert patched.status_code == 200
    assert (
        last(await send("I want to talk to sales", squad_id=squad["id"]))
        == "You said: I want to talk to sales"
    )


# --- the pure parts -----------------------------------------------------------------------------------------


def test_handoff_tools_are_named_after_members():
    names = {"a": "Front", "b": "Sales & Käufe", "c": "Sales", "d": "sales", "e": "销售"}

    found = handoffs({}, "a", names)

    assert [(one.tool, one.member) for one in found] == [
        ("handoff_to_sales_k_ufe", "b"),
        ("handoff_to_sales", "c"),
        ("handoff_to_sales_2", "d"),
        ("handoff_to_member_5", "e"),
    ]


def messages_of(*roles: str) -> list[Message]:
    return [Message(id=str(index), role=role) for index, role in enumerate(roles)]


@pytest.mark.parametrize(
    ("plan", "most", "messages", "first"),
    [
        pytest.param("all", 0, messages_of("user", "assistant", "user"), None, id="all"),
        pytest.param(
            "none", 0, messages_of("user", "assistant", "user"), "2", id="none keeps what was said last"
        ),
        pytest.param("lastNMessages", 1, messages_of("user", "assistant", "user"), "2", id="last"),
        pytest.param("lastNMessages", 2, messages_of("user", "assistant", "user"), "1", id="last two"),
        pytest.param(
            "lastNMessages", 9, messages_of("user", "assistant", "user"), "0", id="more than there are"
        ),
        pytest.param(
            "lastNMessages",
            3,
            messages_of("user", "assistant", "tool", "assistant", "user"),
            "3",
            id="no orphaned result",
        ),
        pytest.param("none", 0, [], None, id="nothing"),
    ],
)
def test_where_the_context_of_a_handoff_begins(plan, most, messages, first):
    assert Destination("t", "m", "n", "d", plan, most).context_from(messages) == first
