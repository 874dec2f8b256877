"""Assistants and squads as documents. The goldens are copied from the interface document and are never
regenerated."""

import json
from pathlib import Path

import pytest
from google.protobuf.json_format import MessageToDict, ParseDict

from generated.parley.v1.assistant_pb2 import Assistant
from generated.parley.v1.assistant_service_pb2 import CreateAssistantRequest
from generated.parley.v1.squad_pb2 import Squad
from server.agents import documents
from server.content import secrets
from server.content.json_values import struct_from, to_python
from server.core.errors import InvalidArgument

GOLDEN = Path(__file__).parent / "golden"
MODEL = {"provider": "openai", "model": "gpt-4o"}


def golden(name):
    return json.loads((GOLDEN / f"{name}.json").read_text())


def nested(levels):
    document = {}
    for _ in range(levels - 1):
        document = {"inner": document}
    return document


def refused(check, document, *at):
    """The violations by field."""
    with pytest.raises(InvalidArgument) as error:
        check(document, *at)
    assert all(violation.field in error.value.message for violation in error.value.violations)
    return {violation.field: violation.message for violation in error.value.violations}


# --- the golden assistant -----------------------------------------------------------------------------------


def test_typed_assistant_has_every_member_of_the_sample():
    sample = golden("assistant")

    assert MessageToDict(ParseDict(sample, Assistant())) == sample
    assert len(sample) == 34


def test_overrides_are_an_assistant_and_variable_values():
    overrides = golden("assistant_overrides")
    assert overrides.pop("variableValues") == {}

    assert MessageToDict(ParseDict(overrides, Assistant())) == overrides


def test_sample_chat_shows_the_same_assistant():
    chat = golden("chat")

    assert (chat["assistant"], chat["assistantOverrides"]) == (
        golden("assistant"),
        golden("assistant_overrides"),
    )


def test_sample_is_accepted_and_survives_a_struct():
    documents.check_assistant(golden("assistant"))

    assert to_python(struct_from(golden("assistant"))) == golden("assistant")


def test_sample_comes_back_through_the_typed_view_but_for_its_secret():
    shown = secrets.mask_secrets(golden("assistant"))

    typed = documents.typed_assistant(golden("assistant"))

    assert documents.assistant_document(typed) == shown
    assert to_python(typed.document) == shown
    assert shown["credentials"] == [{"provider": "anthropic", "apiKey": "****", "name": "<string>"}]


# --- what is accepted ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "member",
    [
        pytest.param(
            {"voice": {"provider": "tomorrow", "speed": "very", "chunkPlan": []}}, id="mistyped voice"
        ),
        pytest.param({"hooks": [{"on": "call.ending", "do": "nothing"}, 7]}, id="mistyped hooks"),
        pytest.param({"hooks": "none"}, id="hooks of another type"),
        pytest.param({"voicemailDetection": "off"}, id="a union's other form"),
        pytest.param({"neverHeardOf": {"a": [1, None, True]}}, id="unknown member"),
        pytest.param({"document": {"mine": 1}}, id="a member called document"),
        pytest.param({"transcriber": None, "silenceTimeoutSeconds": None}, id="nulls"),
    ],
)
def test_member_that_no_chat_acts_on_is_kept_as_given(member):
    given = {"name": "kept", "model": MODEL, **member}

    documents.check_assistant(given)
    typed = documents.typed_assistant(given)

    assert to_python(typed.document) == given
    assert documents.assistant_document(typed) == {"name": "kept", "model": MODEL}


@pytest.mark.parametrize(
    "document",
    [
        pytest.param({}, id="empty"),
        pytest.param(
            {"name": None, "model": None, "metadata": None, "credentials": None}, id="nulls are absent"
        ),
        pytest.param(
            {"model": {"provider": "not-yet-founded", "model": "m", "anything": [1]}}, id="unknown provider"
        ),
        pytest.param(
            {"model": {**MODEL, "maxTokens": 5.0, "temperature": 0}}, id="integral numbers of either kind"
        ),
        pytest.param(
            {"model": {**MODEL, "tools": [{"type": "dtmf", "messages": "odd", "variableExtractionPlan": 1}]}},
            id="odd members of a tool",
        ),
        pytest.param(
            {
                "model": {
                    **MODEL,
                    "tools": [
                        {
                            "type": "function",
                            "function": {
                                "name": "f",
                                "parameters": {
                                    "type": ["object", "null"],
                                    "$defs": {},
                                    "additionalProperties": False,
                                },
                            },
                        }
                    ],
                }
            },
            id="any JSON schema",
        ),
        pytest.param(
            {"model": {**MODEL, "messages": [{"role": "user", "content": [{"type": "text", "text": "hi"}]}]}},
            id="parts",
        ),
        pytest.param({"name": "😀" * 40}, id="40 characters of four bytes"),
        pytest.param({"metadata": nested(29)}, id="30 levels"),
    ],
)
def test_assistant_is_accepted(document):
    documents.check_assistant(document)


def test_typed_view_shows_what_the_server_set():
    typed = documents.typed_assistant(
        {"id": "i", "orgId": "o", "createdAt": "2024-01-15T10:30:00.000Z", "updatedAt": "yesterday"}
    )

    assert (typed.id, typed.org_id, typed.created_at.seconds) == ("i", "o", 1705314600)
    assert not typed.HasField("updated_at")
    assert documents.assistant_document(typed) == {}


def test_typed_input_has_whole_numbers_and_explicit_zeros():
    message = Assistant(silence_timeout_seconds=30, max_duration_seconds=0, first_message="")

    text = json.dumps(documents.assistant_document(message), sort_keys=True)

    assert text == '{"firstMessage": "", "maxDurationSeconds": 0, "silenceTimeoutSeconds": 30}'


def test_typed_input_that_is_no_json_is_refused():
    message = Assistant()
    message.metadata["wrong"] = float("nan")

    with pytest.raises(InvalidArgument, match="finite"):
        documents.assistant_document(message)


# --- what is refused ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("document", "fields"),
    [
        ({"name": "x" * 41}, ["name"]),
        ({"name": 7}, ["name"]),
        ({"firstMessage": ["hi"]}, ["firstMessage"]),
        ({"metadata": "free"}, ["metadata"]),
        ({"server": {"timeoutSeconds": 301}}, ["server.timeoutSeconds"]),
        ({"server": {"backoffPlan": {"maxRetries": -1}}}, ["server.backoffPlan.maxRetries"]),
        ({"credentials": {"apiKey": "k"}}, ["credentials"]),
        ({"credentials": [{"apiKey": 5}, "k"]}, ["credentials[0].apiKey", "credentials[1]"]),
        ({"chatSystemInstructionMode": "maybe"}, ["chatSystemInstructionMode"]),
        ({"model": "gpt-4o"}, ["model"]),
        ({"model": {}}, ["model.provider", "model.model"]),
        ({"model": {"provider": "", "model": None}}, ["model.provider", "model.model"]),
        ({"model": {**MODEL, "temperature": 2.1}}, ["model.temperature"]),
        ({"model": {**MODEL, "temperature": "0.7"}}, ["model.temperature"]),
        ({"model": {**MODEL, "temperature": True}}, ["model.temperature"]),
        ({"model": {**MODEL, "maxTokens": 0}}, ["model.maxTokens"]),
        ({"model": {**MODEL, "maxTokens": 1.5}}, ["model.maxTokens"]),
        ({"model": {**MODEL, "maxTokens": 2**31}}, ["model.maxTokens"]),
        ({"model": {**MODEL, "thinking": {"budgetTokens": 1023}}}, ["model.thinking.budgetTokens"]),
        ({"model": {**MODEL, "knowledgeBase": []}}, ["model.knowledgeBase"]),
        ({"model": {**MODEL, "toolIds": "t"}}, ["model.toolIds"]),
        ({"model": {**MODEL, "toolIds": ["t", None]}}, ["model.toolIds[1]"]),
        ({"model": {**MODEL, "messages": {}}}, ["model.messages"]),
        (
            {"model": {**MODEL, "messages": [7, {"role": "pirate", "content": 1}, {}]}},
            [
                "model.messages[0]",
                "model.messages[1].role",
                "model.messages[1].content",
                "model.messages[2].role",
            ],
        ),
        (
            {"model": {**MODEL, "tools": [{"function": {"parameters": {}}, "timeoutSeconds": 0}]}},
            ["model.tools[0].function.name", "model.tools[0].timeoutSeconds"],
        ),
    ],
    ids=lambda value: json.dumps(value)[:60],
)
def test_member_that_a_chat_acts_on_is_refused_by_name(document, fields):
    assert sorted(refused(documents.check_assistant, document)) == sorted(fields)


def test_refusal_says_what_is_expected():
    document = {"name": "x" * 41, "model": {"provider": "openai", "temperature": "hot", "maxTokens": "many"}}

    assert refused(documents.check_assistant, document, "assistant") == {
        "assistant.model.temperature": "must be a number",
        "assistant.model.maxTokens": "must be an integer of 32 bits",
        "assistant.model.model": "is required",
        "assistant.name": "must be at most 40 characters",
    }


@pytest.mark.parametrize(
    "document",
    [
        pytest.param({"metadata": {"text": "x" * documents.MAX_BYTES}}, id="too large"),
        pytest.param(nested(31), id="too deep"),
        pytest.param({"voice": nested(5000)}, id="far too deep"),
        pytest.param({"voice": float("inf")}, id="infinite"),
        pytest.param({"voice": 2**64}, id="an integer that no JSON reader keeps"),
        pytest.param({"voice": "\ud800"}, id="half a surrogate pair"),
        pytest.param(["not", "an", "object"], id="no object"),
    ],
)
def test_document_that_cannot_be_kept_is_refused_as_a_whole(document):
    assert list(refused(documents.check_assistant, document, "assistant")) == ["assistant"]


def test_typed_create_is_held_to_the_same_rules():
    request = CreateAssistantRequest(assistant=ParseDict({"model": {**MODEL, "temperature": 3}}, Assistant()))

    assert [found.field for found in documents.violations_of(request)] == ["assistant.model.temperature"]


@pytest.mark.parametrize(
    "request_",
    [
        CreateAssistantRequest(),
        CreateAssistantRequest(assistant=Assistant(), document={}),
    ],
)
def test_create_takes_an_assistant_typed_or_as_a_document(request_):
    [violation] = documents.violations_of(request_)

    assert "either assistant or document" in violation.message


# --- squads -------------------------------------------------------------------------------------------------


def test_squad_of_stored_and_own_assistants_is_accepted():
    documents.check_squad(
        {
            "name": "s",
            "unknown": 1,
            "members": [
                {
                    "assistantId": "a",
                    "assistantDestinations": [{"type": "assistant", "assistantName": "b"}],
                    "unknown": 2,
                },
                {"assistant": golden("assistant"), "assistantOverrides": golden("assistant_overrides")},
            ],
        }
    )


@pytest.mark.parametrize(
    ("document", "fields"),
    [
        ({}, ["members"]),
        ({"members": []}, ["members"]),
        ({"members": {}}, ["members"]),
        ({"members": [{}]}, ["members[0]"]),
        ({"members": [{"assistantId": "a", "assistant": {}}]}, ["members[0]"]),
        ({"members": ["a", {"assistantId": 7}]}, ["members[0]", "members[1].assistantId"]),
        (
            {"members": [{"assistantId": "a"}, {"assistant": {"model": {**MODEL, "temperature": 3}}}]},
            ["members[1].assistant.model.temperature"],
        ),
    ],
    ids=lambda value: json.dumps(value)[:60],
)
def test_squad_is_refused_by_name(document, fields):
    assert sorted(refused(documents.check_squad, document)) == fields


def test_typed_squad_comes_back():
    given = {"name": "s", "members": [{"assistantId": "a"}], "membersOverrides": {"x": 1}}

    typed = documents.typed_squad({**given, "odd": [None]})

    assert typed.members[0] == Squad(members=[{"assistant_id": "a"}]).members[0]
    assert documents.squad_document(typed) == given
    assert to_python(typed.document) == {**given, "odd": [None]}


# --- patches ------------------------------------------------------------------------------------------------


def test_patch_replaces_whole_members_and_null_removes_them():
    stored = {"name": "old", "model": {**MODEL, "temperature": 1}, "voice": {"speed": 1}, "odd": None}

    patched = documents.merge_patch(
        stored, {"model": MODEL, "voice": None, "absent": None, "metadata": {"a": None}}
    )

    assert patched == {"name": "old", "model": MODEL, "odd": None, "metadata": {"a": None}}
    assert stored["voice"] == {"speed": 1}


def test_patch_cannot_change_what_the_server_set():
    stored = {"id": "i", "orgId": "o", "createdAt": "c", "updatedAt": "u"}

    assert documents.merge_patch(stored, {"id": "other", "orgId": None, "updatedAt": 7}) == stored
    assert documents.without_server_members({**stored, "name": "n"}) == {"name": "n"}
