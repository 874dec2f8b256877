"""The examples of the OpenAPI document: each request is taken by a real server, each answer is what its schema
says, and nothing is without one."""

import json

import jsonschema
import pytest
import yaml

from gateway.launcher import ROOT
from tests.test_openapi import DOCUMENT, PATHS, resolved, strict

IDS = yaml.safe_load((ROOT / "scripts" / "openapi" / "examples.yaml").read_text())["ids"]
CARRIERS = "/transport/twilio/{orgId}"
"""Carriers sign what they send; test_transports.py does."""
OPERATIONS = [(verb, path) for path, verbs in PATHS.items() for verb in verbs]
ANSWERS = {
    f"{verb} {path} {status}": response
    for verb, path in OPERATIONS
    for status, response in PATHS[path][verb]["responses"].items()
    if "$ref" not in response
} | DOCUMENT["components"]["responses"]
MEDIA = {
    f"{name} {content_type}": media
    for name, response in ANSWERS.items()
    for content_type, media in response.get("content", {}).items()
}
BODIES = {
    (verb, path): next(iter(PATHS[path][verb]["requestBody"]["content"].values()))
    for verb, path in OPERATIONS
    if "requestBody" in PATHS[path][verb]
}
REQUESTS = [
    (verb, path, name)
    for verb, path in OPERATIONS
    if path != CARRIERS
    for name in (BODIES[verb, path].get("examples", {}) if (verb, path) in BODIES else [None])
]


class World:
    """Records in the place of those that examples name, made as they are asked for."""

    def __init__(self, http, org):
        self._http, self._org = http, org
        self._real = {"org": org.id, "assistant": org.assistant_id}

    async def with_real_ids(self, text):
        for noun, shown in IDS.items():
            for form in (shown, shown.replace("-", "")):
                if form in text:
                    real = await self._id(noun)
                    text = text.replace(form, real if "-" in form else real.replace("-", ""))
        return text

    async def _id(self, noun):
        if noun not in self._real:
            self._real[noun] = await self._made(noun)
        return self._real[noun]

    async def _made(self, noun):
        who = {"assistantId": self._org.assistant_id}
        match noun:
            case "chat":
                return (await self._post("/chat", {**who, "input": "Hello"}))["id"]
            case "session":
                return (await self._post("/session", who))["id"]
            case "squad":
                return (await self._post("/squad", {"members": [who]}))["id"]
            case "tool":
                tool = {"type": "function", "function": {"name": "find_order"}}
                return (await self._post("/tool", tool))["id"]
            case "agent_chat":
                made = await self._post("/chat", {"agentId": self._org.assistant_id}, self._org.secret)
                return made["id"]
            case "conversation" | "item":
                reply = {"type": "message", "role": "user", "content": "Hello"}
                made = await self._post("/v1/conversations", {"items": [reply]})
                self._real["conversation"] = uuid_of(made["id"])
                items = await self._http.get(
                    f"/v1/conversations/{made['id']}/items", headers=self._org.bearer
                )
                self._real["item"] = uuid_of(items.json()["data"][0]["id"])
                return self._real[noun]
        raise AssertionError(noun)

    async def _post(self, path, body, key=None):
        headers = {"authorization": f"Bearer {key or self._org.api}"}
        answer = await self._http.post(path, json=body, headers=headers)
        assert answer.is_success, answer.text
        return answer.json()


def uuid_of(prefixed):
    digits = prefixed.rpartition("_")[2]
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))


def closed(schema):
    return {**strict(schema), "components": strict(DOCUMENT["components"])}


def path_of(verb, path):
    """With the examples of its variables in it."""
    for parameter in PATHS[path][verb]["parameters"]:
        if parameter.get("in") == "path":
            path = path.replace("{" + parameter["name"] + "}", parameter["example"])
    return path


def test_every_request_and_answer_has_an_example():
    assert [key for key, media in BODIES.items() if not media.get("examples")] == []
    assert [where for where, media in MEDIA.items() if not media.get("examples")] == []
    assert [path_of(verb, path) for verb, path in OPERATIONS if "{" in path_of(verb, path)] == []


@pytest.mark.parametrize("where", MEDIA)
def test_answer_is_one_of_its_schema_and_has_nothing_else(where):
    media = MEDIA[where]
    for example in media["examples"].values():
        jsonschema.validate(example["value"], closed(media["schema"]), jsonschema.Draft202012Validator)
        data = example["value"].get("data", "") if "event-stream" in where else ""
        if data:
            form = media["schema"]["properties"]["data"]
            [event] = (one for one in form.get("anyOf", [form]) if "contentSchema" in one)
            jsonschema.validate(
                json.loads(data), closed(event["contentSchema"]), jsonschema.Draft202012Validator
            )


@pytest.mark.parametrize(("verb", "path", "name"), REQUESTS)
async def test_request_is_taken(http, org, verb, path, name):
    operation = PATHS[path][verb]
    media = BODIES.get((verb, path))
    example = media["examples"][name]["value"] if media else None
    if media:
        jsonschema.validate(
            example,
            {**media["schema"], "components": DOCUMENT["components"]},
            jsonschema.Draft202012Validator,
        )
    world = World(http, org)
    agents = (
        name is not None
        and name.startswith(("aNewChat", "aMessage"))
        and "agents" in operation["x-parley-doors"]
    )
    key = org.secret if agents else org.api
    url = await world.with_real_ids(path_of(verb, path))
    body = None if example is None else json.loads(await world.with_real_ids(json.dumps(example)))

    answer = await http.request(verb, url, json=body, headers={"authorization": f"Bearer {key}"})

    assert answer.is_success, answer.text
    response = resolved(operation["responses"][str(answer.status_code)])
    if answer.headers["content-type"] == "application/json":
        schema = {**response["content"]["application/json"]["schema"], "components": DOCUMENT["components"]}
        jsonschema.validate(answer.json(), schema, jsonschema.Draft202012Validator)
