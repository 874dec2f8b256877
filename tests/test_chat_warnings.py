"""What an exchange, a session and a stored document say of what was passed over; at every door, live and read
again."""

import json
from typing import Any

import httpx
import openai
import pytest

from generated.parley.v1.assistant_service_pb2 import CreateAssistantRequest
from generated.parley.v1.assistant_service_pb2_grpc import AssistantServiceStub
from generated.parley.v1.chat_service_pb2 import CreateChatRequest, GetChatRequest
from generated.parley.v1.chat_service_pb2_grpc import ChatServiceStub
from server.backends.providers import DOCUMENTED
from server.content.json_values import from_python, struct_from, to_python
from tests.conftest import Org, Service

OFFLINE = {"provider": "offline", "model": "offline-1"}
BAD = {
    "model": {
        **OFFLINE,
        "messages": [{"role": "system", "content": "My name is {{name}}. {{ name | }} {% launch %}"}],
    }
}
AT = "model.messages[0].content"


def invalid(mark: str, param: str = AT) -> dict[str, Any]:
    return {
        "code": "template_invalid",
        "param": param,
        "message": f"`{mark}` is not valid Liquid, so it was sent as it is written; correct it, or put it between "
        "{% raw %} and {% endraw %}.",
    }


WARNINGS = [invalid("{{ name | }} {% launch %}")]


@pytest.fixture
async def bad(http: httpx.AsyncClient, org: Org) -> str:
    return (await http.post("/assistant", headers=org.bearer, json=BAD)).json()["id"]


def agents(org: Org) -> dict[str, str]:
    return {"x-api-key": org.secret}


def data_of(answer: httpx.Response) -> list[Any]:
    assert answer.status_code == 200, answer.text
    lines = [line.removeprefix("data: ") for line in answer.text.splitlines() if line.startswith("data: ")]
    return [json.loads(line) for line in lines if line != "[DONE]"]


async def test_bad_mark_spoils_itself_alone_and_the_chat_says_so(http, org, bad):
    body = {
        "assistantId": bad,
        "input": "What is my name?",
        "assistantOverrides": {"variableValues": {"name": "Ada"}},
    }
    chat = (await http.post("/chat", headers=org.bearer, json=body)).json()
    read = (await http.get(f"/chat/{chat['id']}", headers=org.bearer)).json()
    listed = (await http.get("/chat", headers=org.bearer, params={"assistantId": bad})).json()["results"][0]

    assert chat["output"][0]["content"] == "Your name is Ada."
    assert chat["warnings"] == read["warnings"] == listed["warnings"] == WARNINGS


async def test_streamed_chat_says_so_in_a_line_of_its_own(http, org, bad):
    body = {"assistantId": bad, "input": "Hello", "stream": True}
    *deltas, last = data_of(await http.post("/chat", headers=org.bearer, json=body))

    assert "".join(one["delta"] for one in deltas) == "You said: Hello"
    assert last == {"id": deltas[0]["id"], "warnings": WARNINGS}


async def test_events_over_grpc_end_in_a_chat_that_says_so(channel, org, bad):
    chats = ChatServiceStub(channel)
    request = CreateChatRequest(assistant_id=bad, input=from_python("Hello"))
    first, *_, last = [event async for event in chats.StreamChat(request, metadata=org.metadata)]
    read = await chats.GetChat(GetChatRequest(id=last.chat_id), metadata=org.metadata)

    assert not first.started.HasField("warnings")
    assert to_python(last.completed.warnings) == to_python(read.warnings) == WARNINGS


@pytest.mark.parametrize("base", ["/v1", "/chat"])
async def test_responses_say_so_to_the_official_client(
    service: Service, org: Org, bad: str, base: str
) -> None:
    async with openai.AsyncOpenAI(base_url=service.http_url + base, api_key=org.api, max_retries=0) as client:
        created = await client.responses.create(model=bad, input="Hello")
        read = await client.responses.retrieve(created.id)
        events = [
            event async for event in await client.responses.create(model=bad, input="Hello", stream=True)
        ]
        again = [
            event async for event in await client.responses.retrieve(events[-1].response.id, stream=True)
        ]

    assert created.model_extra["warnings"] == read.model_extra["warnings"] == WARNINGS
    assert "warnings" not in events[0].response.model_extra
    assert (
        events[-1].response.model_extra["warnings"] == again[-1].response.model_extra["warnings"] == WARNINGS
    )


async def test_completions_say_so_to_the_official_client(service: Service, org: Org, bad: str) -> None:
    request_members: Any = {"model": bad, "messages": [{"role": "user", "content": "Hello"}]}
    async with openai.AsyncOpenAI(
        base_url=f"{service.http_url}/v1", api_key=org.api, max_retries=0
    ) as client:
        whole = await client.chat.completions.create(**request_members)
        several = [
            chunk async for chunk in await client.chat.completions.create(**request_members, n=2, stream=True)
        ]

    assert whole.model_extra["warnings"] == WARNINGS
    assert [chunk.model_extra.get("warnings") for chunk in several] == [None] * (len(several) - 1) + [
        WARNINGS
    ]


async def test_message_at_the_agents_door_says_so(http, org, bad):
    chat = (await http.post("/chat", headers=agents(org), json={"agentId": bad})).json()
    reply = await http.post(
        f"/chat/{chat['id']}/message", headers=agents(org), json={"content": "Hello", "role": "user"}
    )
    listed = (await http.get(f"/chat/{chat['id']}/message", headers=agents(org))).json()["messages"]

    assert "warnings" not in chat
    assert reply.json()["warnings"] == WARNINGS
    assert not any("warnings" in message for message in listed)


async def test_first_message_says_so_on_its_session_at_both_doors(http, org):
    body = {"model": OFFLINE, "firstMessage": "Hi {{name"}
    made = (await http.post("/assistant", headers=org.bearer, json=body)).json()
    session = (await http.post("/session", headers=org.bearer, json={"assistantId": made["id"]})).json()
    read = (await http.get(f"/session/{session['id']}", headers=org.bearer)).json()
    chat = (await http.post("/chat", headers=agents(org), json={"agentId": made["id"]})).json()

    assert session["messages"][0]["content"] == "Hi {{name"
    assert (
        session["warnings"]
        == read["warnings"]
        == chat["warnings"]
        == made["warnings"]
        == [invalid("{{name", "firstMessage")]
    )


# --- what else is passed over -------------------------------------------------------------------------------

LOOKUP = {"type": "function", "function": {"name": "lookup"}}
CASES: dict[str, tuple[dict[str, Any], dict[str, Any], list[tuple[str, str]]]] = {
    "tools that are not offered": (
        {"model": {**OFFLINE, "tools": [{"type": "endCall"}, LOOKUP, LOOKUP]}},
        {},
        [("tool_not_offered", "model.tools[0]"), ("tool_name_taken", "model.tools[2]")],
    ),
    "a tool id that is none": (
        {"model": {**OFFLINE, "toolIds": ["<string>"]}},
        {},
        [("tool_not_found", "model.toolIds[0]")],
    ),
    "a knowledge base": (
        {"model": {**OFFLINE, "knowledgeBase": {"provider": "trieve"}}},
        {},
        [("knowledge_base_ignored", "model.knowledgeBase")],
    ),
    "a filter": (
        {"model": {**OFFLINE, "systemPrompt": "{{ name | shout }}"}},
        {},
        [("template_unknown_filter", "model.systemPrompt")],
    ),
    "a value": (
        {"model": {**OFFLINE, "systemPrompt": "{{ 1 | divided_by: 0 }}"}},
        {},
        [("template_failed", "model.systemPrompt")],
    ),
    "too large a prompt": (
        {"model": {**OFFLINE, "systemPrompt": "{{name}}" + "x" * 40_000}},
        {},
        [("template_too_large", "model.systemPrompt")],
    ),
    "too much work": (
        {
            "model": {
                **OFFLINE,
                "systemPrompt": "{% for a in (1..9999) %}{% for b in (1..9999) %}{% endfor %}{% endfor %}",
            }
        },
        {},
        [("template_costly", "model.systemPrompt")],
    ),
    "overrides": (
        {"model": OFFLINE},
        {"assistantOverrides": {"name": "x", "model": OFFLINE, "variableValues": {"a": 1}}},
        [("override_ignored", "assistantOverrides")],
    ),
}


@pytest.mark.parametrize(("document", "members", "expected"), CASES.values(), ids=CASES)
async def test_ignored_settings_are_warnings(http, org, document, members, expected):
    made = (await http.post("/assistant", headers=org.bearer, json=document)).json()
    chat = (
        await http.post(
            "/chat", headers=org.bearer, json={"assistantId": made["id"], "input": "Hi", **members}
        )
    ).json()

    assert [(one["code"], one.get("param")) for one in chat["warnings"]] == expected
    assert [one["code"] for one in made.get("warnings", ())] == [
        code for code, _ in expected if code == "template_too_large"
    ]


async def test_no_warning_without_an_ignored_setting(http, org):
    chat = (
        await http.post("/chat", headers=org.bearer, json={"assistantId": org.assistant_id, "input": "Hi"})
    ).json()
    made = (
        await http.post("/assistant", headers=org.bearer, json={"model": {**OFFLINE, "tools": [LOOKUP]}})
    ).json()

    assert "warnings" not in chat and "warnings" not in made


async def test_deleted_tool_is_a_warning(http, org):
    tool = (await http.post("/tool", headers=org.bearer, json=LOOKUP)).json()
    made = (
        await http.post(
            "/assistant", headers=org.bearer, json={"model": {**OFFLINE, "toolIds": [tool["id"]]}}
        )
    ).json()
    await http.delete(f"/tool/{tool['id']}", headers=org.bearer)
    chat = (
        await http.post("/chat", headers=org.bearer, json={"assistantId": made["id"], "input": "Hi"})
    ).json()

    assert [(one["code"], one["param"]) for one in chat["warnings"]] == [
        ("tool_not_found", "model.toolIds[0]")
    ]


async def test_taken_names_of_a_request_are_warnings(http, org):
    made = (
        await http.post("/assistant", headers=org.bearer, json={"model": {**OFFLINE, "tools": [LOOKUP]}})
    ).json()
    tools = [{"type": "function", "name": "lookup"}]
    answer = (
        await http.post(
            "/v1/responses", headers=org.bearer, json={"model": made["id"], "input": "Hi", "tools": tools}
        )
    ).json()

    assert [(one["code"], one["param"]) for one in answer["warnings"]] == [
        ("tool_name_taken", "tools"),
    ]


async def test_overrides_beside_a_session_are_a_warning(http, org):
    session = (await http.post("/session", headers=org.bearer, json={"assistantId": org.assistant_id})).json()
    chat = (
        await http.post(
            "/chat",
            headers=org.bearer,
            json={
                "sessionId": session["id"],
                "input": "Hi",
                "assistantOverrides": {"variableValues": {"a": 1}},
            },
        )
    ).json()

    assert [(one["code"], one["param"]) for one in chat["warnings"]] == [
        ("override_ignored", "assistantOverrides")
    ]


async def test_ignored_settings_of_a_squad_are_warnings_when_it_is_stored_and_in_its_chats(http, org):
    gone = (await http.post("/assistant", headers=org.bearer, json={"name": "gone"})).json()["id"]
    members = [
        {
            "assistant": {"name": "a", **BAD},
            "assistantDestinations": [
                {"assistantName": "nobody"},
                {"assistantName": "b", "contextEngineeringPlan": {"type": "some"}},
            ],
        },
        {"assistant": {"name": "b"}},
        {"assistantId": gone},
    ]
    squad = (await http.post("/squad", headers=org.bearer, json={"members": members})).json()
    await http.delete(f"/assistant/{gone}", headers=org.bearer)
    chat = (await http.post("/chat", headers=org.bearer, json={"squadId": squad["id"], "input": "Hi"})).json()
    destinations = [
        ("destination_ignored", "members[0].assistantDestinations[0]"),
        ("context_plan_unknown", "members[0].assistantDestinations[1].contextEngineeringPlan.type"),
    ]

    assert squad["warnings"] == [invalid("{{ name | }} {% launch %}", f"members[0].assistant.{AT}")]
    assert {(one["code"], one["param"]) for one in chat["warnings"]} == {
        ("member_not_found", "members[2].assistantId"),
        ("template_invalid", AT),
        *destinations,
    }
    assert any(one["message"].startswith("a: `{{ name | }") for one in chat["warnings"])


# --- stored documents ---------------------------------------------------------------------------------------


async def test_stored_assistant_says_so_when_it_is_written_and_comes_back_as_it_was_sent(http, org):
    made = (await http.post("/assistant", headers=org.bearer, json=BAD)).json()
    sent_back = (await http.patch(f"/assistant/{made['id']}", headers=org.bearer, json=made)).json()
    read = (await http.get(f"/assistant/{made['id']}", headers=org.bearer)).json()
    mended = (
        await http.patch(f"/assistant/{made['id']}", headers=org.bearer, json={"model": OFFLINE})
    ).json()

    assert made["warnings"] == sent_back["warnings"] == WARNINGS
    assert {name: read[name] for name in BAD} == BAD
    assert "warnings" not in read and "warnings" not in mended


@pytest.mark.parametrize("provider", sorted(DOCUMENTED))
async def test_provider_that_is_not_called_is_a_warning_when_it_is_stored(http, org, provider):
    made = (
        await http.post(
            "/assistant", headers=org.bearer, json={"model": {"provider": provider, "model": "m"}}
        )
    ).json()
    chat = await http.post("/chat", headers=org.bearer, json={"assistantId": made["id"], "input": "Hi"})

    assert [(one["code"], one["param"]) for one in made["warnings"]] == [
        ("provider_not_called", "model.provider")
    ]
    assert made["warnings"][0]["message"].startswith(
        f"Chats are refused: {provider} is not called here: use one of "
    )
    assert chat.status_code == 400
    assert chat.json()["message"][0].startswith(f"model.provider {provider} is not called here: use one of ")


async def test_typed_assistant_says_so_over_grpc(channel, org):
    request = CreateAssistantRequest(document=struct_from(BAD))
    made = await AssistantServiceStub(channel).CreateAssistant(request, metadata=org.metadata)

    assert to_python(made.warnings) == WARNINGS
    assert "warnings" not in to_python(made.document)


# --- who is told --------------------------------------------------------------------------------------------


async def test_page_does_not_learn_how_an_assistant_is_set_up(http, org, bad):
    page = {"authorization": f"Bearer {org.publishable}"}
    chats = [
        await http.post("/v1/responses", headers=page, json={"model": bad, "input": "Hi", "stream": stream})
        for stream in (False, True)
    ]
    read = await http.get(f"/v1/responses/{chats[0].json()['id']}", headers=page)

    assert chats[0].json()["warnings"] == read.json()["warnings"]
    assert [one["code"] for one in read.json()["warnings"]] == ["assistant_setup"]
    for answer in (*chats, read):
        assert "launch" not in answer.text and "template_" not in answer.text and AT not in answer.text


async def test_page_gets_warnings_about_its_own_request(http, org):
    page = {"authorization": f"Bearer {org.publishable}"}
    chat = await http.post(
        "/v1/responses",
        headers=page,
        json={"model": org.assistant_id, "input": "Hi", "assistantOverrides": {"name": "x"}},
    )

    assert [one["code"] for one in chat.json()["warnings"]] == ["override_ignored"]


async def test_secret_of_a_tool_is_not_revealed_with_its_template(http, org):
    tool = {
        "type": "apiRequest",
        "name": "weather",
        "url": "http://10.1.2.3/",
        "method": "GET",
        "headers": {"authorization": "Bearer {{ SECRET | }"},
    }
    body = {"assistant": {"model": {**OFFLINE, "tools": [tool]}}, "input": "the weather?"}
    chat = await http.post("/chat", headers=org.bearer, json=body)

    assert [one["code"] for one in chat.json()["warnings"]] == ["template_invalid"]
    assert "SECRET" not in chat.text
