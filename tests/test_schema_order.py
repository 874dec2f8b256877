"""The order of a schema's members as a provider gets it: models fill objects in the order of their properties, and
providers find a cached prompt by its exact text.
"""

import json
from typing import Any

import httpx
import pytest

from server.content.schemas import in_order
from tests.conftest import Org, Service
from tests.upstream import CustomUpstream

NAMES = ["thoughts", "answer", "zone", "city", "celsius", "area", "unit", "note"]


def schema_of(*names: str, **more: Any) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": {name: {"type": "string"} for name in names},
        "required": [*names],
        **more,
    }


NESTED = schema_of(*NAMES)
NESTED["properties"]["city"] = {"$ref": "#/$defs/City"}
NESTED["$defs"] = {"City": schema_of(*reversed(NAMES))}


def test_properties_are_in_the_order_in_which_they_are_required() -> None:
    shuffled = {**NESTED, "properties": {name: NESTED["properties"][name] for name in sorted(NAMES)}}
    shuffled["$defs"] = {"City": {**NESTED["$defs"]["City"], "properties": schema_of(*NAMES)["properties"]}}

    ordered = in_order(shuffled)

    assert ordered == shuffled
    assert [*ordered["properties"]] == NAMES
    assert [*ordered["$defs"]["City"]["properties"]] == NAMES[::-1]


def test_order_does_not_depend_on_the_order_that_is_given() -> None:
    given = {
        "type": "object",
        "properties": {"b": {"enum": [{"y": 1, "x": 2}]}, "a": {}, "c": {}},
        "required": ["c"],
    }
    backwards = {name: given[name] for name in reversed(given)}
    backwards["properties"] = {name: given["properties"][name] for name in "cab"}

    assert json.dumps(in_order(given)) == json.dumps(in_order(backwards))
    assert [*in_order(given)["properties"]] == ["c", "a", "b"]


@pytest.mark.parametrize(
    "strange", [{"required": 1, "properties": {"b": 1, "a": 2}}, {"required": [{}, "a"]}, True, None]
)
def test_what_is_no_schema_stays_what_it_is(strange: Any) -> None:
    assert in_order(strange) == strange


@pytest.mark.parametrize("path", ["/v1/responses", "/v1/chat/completions"])
async def test_provider_gets_properties_in_the_order_of_the_caller(
    path: str, service: Service, org: Org, http: httpx.AsyncClient
) -> None:
    function = {"name": "report", "parameters": NESTED}
    form = {"type": "json_schema", "name": "report", "schema": NESTED}
    body: dict[str, Any] = (
        {"input": "hello", "tools": [{"type": "function", **function}], "text": {"format": form}}
        if path.endswith("responses")
        else {
            "messages": [{"role": "user", "content": "hello"}],
            "tools": [{"type": "function", "function": function}],
            "response_format": {"type": "json_schema", "json_schema": {"name": "report", "schema": NESTED}},
        }
    )
    async with CustomUpstream(CustomUpstream.text("{}")) as upstream:
        assistant = await service.store.assistants.create(org.id, {"model": upstream.model_document})
        answer = await http.post(path, headers=org.bearer, json={"model": assistant.id, **body})

    assert answer.status_code == 200, answer.text
    sent = upstream.requests[0].body
    for schema in (
        sent["tools"][0]["function"]["parameters"],
        sent["response_format"]["json_schema"]["schema"],
    ):
        assert schema == NESTED
        assert [*schema["properties"]] == NAMES
        assert [*schema["$defs"]["City"]["properties"]] == NAMES[::-1]
