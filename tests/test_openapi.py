"""The OpenAPI document: valid, whole, served, and true of errors. That it is true of all else is
test_fuzz_http.py's."""

import json

import jsonschema
import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator

from gateway.checker import DESCRIPTOR, read_descriptor
from gateway.launcher import ROOT
from tests.descriptors import MESSAGES

DOCUMENT = json.loads((ROOT / "generated" / "openapi.json").read_text())
PATHS = DOCUMENT["paths"]


def resolved(holder):
    """What a reference leads to, or the holder itself."""
    while "$ref" in holder:
        *_, section, name = holder["$ref"].split("/")
        holder = DOCUMENT["components"][section][name]
    return holder


def schema_of(path, verb, status, content_type="application/json"):
    response = resolved(PATHS[path][verb]["responses"][str(status)])
    return {**response["content"][content_type]["schema"], "components": DOCUMENT["components"]}


def test_document_is_valid():
    assert [error.message for error in OpenAPIV31SpecValidator(DOCUMENT).iter_errors()] == []


def test_every_path_of_the_protos_is_in_it():
    _, bindings = read_descriptor(DESCRIPTOR)
    shapes = {
        ("/".join("x" if step.startswith("{") else step for step in path.split("/")), verb.upper())
        for path, verbs in PATHS.items()
        for verb in verbs
    }

    assert shapes == {(binding.path, binding.verb) for binding in bindings}


def test_operations_have_names_of_their_own():
    names = [operation["operationId"] for verbs in PATHS.values() for operation in verbs.values()]

    assert len(names) == len(set(names))


def test_everything_in_it_says_what_it_is():
    schemas = DOCUMENT["components"]["schemas"]
    silent = [
        field.full_name
        for message in MESSAGES
        if message.name in schemas
        for field in message.fields
        if "description" not in schemas[message.name]["properties"].get(field.json_name, {"description"})
    ]
    operations = [operation for verbs in PATHS.values() for operation in verbs.values()]

    assert silent == []
    assert [one["operationId"] for one in operations if not one["summary"] or not one["description"]] == []


def test_limits_of_the_proto_are_in_it():
    members = DOCUMENT["components"]["schemas"]["CreateChatRequest"]["properties"]
    completion = DOCUMENT["components"]["schemas"]["CreateChatCompletionRequest"]

    assert (members["name"]["maxLength"], members["name"]["type"]) == (40, ["string", "null"])
    assert members["name"]["description"] == "The caller's name for the chat; at most 40 characters."
    assert (completion["properties"]["messages"]["minItems"], completion["required"]) == (1, ["messages"])
    assert (
        completion["properties"]["temperature"]["minimum"],
        completion["properties"]["temperature"]["maximum"],
    ) == (0, 2)


def test_path_of_two_doors_says_what_is_whose():
    create, delete = PATHS["/chat"]["post"], PATHS["/chat/{id}"]["delete"]
    bodies = create["requestBody"]["content"]["application/json"]["schema"]["anyOf"]

    assert [(body["x-parley-door"], body["$ref"].rpartition("/")[2]) for body in bodies] == [
        ("assistants", "CreateChatRequest"),
        ("agents", "CreateAgentChatRequest"),
    ]
    assert (delete["responses"]["200"]["x-parley-door"], delete["responses"]["204"]["x-parley-door"]) == (
        "assistants",
        "agents",
    )


@pytest.mark.parametrize("path", ["/chat", "/chat/responses", "/v1/responses", "/v1/chat/completions"])
def test_path_of_two_forms_has_both(path):
    assert {"application/json", "text/event-stream"} <= PATHS[path]["post"]["responses"]["200"][
        "content"
    ].keys()


# --- served -------------------------------------------------------------------------------------------------


async def test_document_is_served_to_anyone(http):
    answer = await http.get("/openapi.json", headers={"origin": "https://page.example"})

    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json")
    assert answer.headers["access-control-allow-origin"] in ("*", "https://page.example")
    assert answer.headers["x-request-id"]
    assert answer.json() == DOCUMENT


async def test_document_is_only_read(http):
    for method in ("POST", "PUT", "PATCH", "DELETE"):
        answer = await http.request(method, "/openapi.json")

        assert (method, answer.status_code, answer.headers["allow"]) == (method, 405, "GET, HEAD")


# --- errors -------------------------------------------------------------------------------------------------

COMPLETIONS = "/api/v1/compatibility/openai/v1/assistants/{agent_id}/chat/completions"
ERRORS = {
    "no key": ("GET", "/session", 401, {}, None),
    "no key at the OpenAI form": ("GET", "/v1/models", 401, {}, None),
    "no key at the completions door": (
        "POST",
        COMPLETIONS,
        401,
        {},
        {"messages": [{"role": "user", "content": "a"}]},
    ),
    "no key at the agents door": ("GET", "/chat/{chatId}/message", 401, {}, None),
    "a member of the wrong type": ("POST", "/session", 400, {"api": True}, {"name": 5}),
    "a member out of range": ("POST", "/session", 400, {"api": True}, {"expirationSeconds": 1}),
    "a member of the wrong type at the completions door": (
        "POST",
        COMPLETIONS,
        422,
        {"api": True},
        {"messages": "a"},
    ),
    "nothing said at the completions door": ("POST", COMPLETIONS, 422, {"api": True}, {"messages": []}),
    "a system message at the completions door": (
        "POST",
        COMPLETIONS,
        400,
        {"api": True},
        {"messages": [{"role": "system", "content": "a"}]},
    ),
    "nothing that is there": ("GET", "/session/{id}", 404, {"api": True}, None),
    "nothing that is there in the OpenAI form": (
        "GET",
        "/v1/responses/{response_id}",
        404,
        {"api": True},
        None,
    ),
    "too much": ("POST", "/session", 413, {"api": True}, {"name": "x" * 4_100_000}),
}


@pytest.mark.parametrize("name", ERRORS)
async def test_error_has_the_shape_of_its_door(http, org, name):
    verb, path, status, how, body = ERRORS[name]
    url = (
        path.replace("{agent_id}", org.assistant_id)
        .replace("{id}", "x")
        .replace("{chatId}", "x")
        .replace("{response_id}", "x")
    )

    answer = await http.request(verb, url, json=body, headers=org.bearer if how else {})

    assert answer.status_code == status
    jsonschema.validate(answer.json(), schema_of(path, verb.lower(), status), jsonschema.Draft202012Validator)


# --- answers ------------------------------------------------------------------------------------------------

TOOL = {
    "type": "function",
    "function": {"name": "get_weather", "parameters": {"type": "object", "properties": {}}},
}
MESSAGES_BODY = {"messages": [{"role": "user", "content": "the weather"}]}
BODIES = {
    "/chat": {"input": "a"},
    "/chat/responses": {"input": "a", "metadata": {"a": "b"}},
    "/v1/responses": {"input": "the weather", "tools": [TOOL]},
    "/v1/chat/completions": {
        **MESSAGES_BODY,
        "model": "demo",
        "tools": [TOOL],
        "stream_options": {"include_usage": True},
    },
    COMPLETIONS: {**MESSAGES_BODY, "create_session": True, "n": 2},
}


def event_schema(path):
    """The schema of an event's data, which validators do not look into by themselves."""
    data = schema_of(path, "post", 200, "text/event-stream")["properties"]["data"]
    (form,) = (one for one in data.get("anyOf", [data]) if "contentSchema" in one)
    return {**form["contentSchema"], "components": DOCUMENT["components"]}


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("path", BODIES)
async def test_answer_is_as_described(http, org, path, stream):
    sent = {**BODIES[path], "stream": stream} | (
        {"assistantId": org.assistant_id} if "completions" not in path else {}
    )
    if not stream:
        sent.pop("stream_options", None)

    answer = await http.post(path.replace("{agent_id}", org.assistant_id), json=sent, headers=org.bearer)

    assert answer.status_code == 200
    schema = event_schema(path) if stream else schema_of(path, "post", 200)
    lines = [line.removeprefix("data: ") for line in answer.text.splitlines() if line.startswith("data: {")]
    received = [json.loads(line) for line in lines] if stream else [answer.json()]
    assert received
    for one in received:
        jsonschema.validate(one, strict(schema), jsonschema.Draft202012Validator)


def strict(schema):
    """The schema with every message closed: what is printed and not described is found, too."""
    if isinstance(schema, dict):
        closed = (
            {"unevaluatedProperties": False}
            if "properties" in schema and schema.get("type") == "object"
            else {}
        )
        return {
            name: strict(value)
            if name != "properties"
            else {key: strict(inner) for key, inner in value.items()}
            for name, value in schema.items()
        } | closed
    return [strict(item) for item in schema] if isinstance(schema, list) else schema
