"""Every HTTP path as our own OpenAPI document describes it, a little: the short form of `scripts/fuzz
http`."""

import asyncio

import pytest

from tests.fuzz.http import at_door, fuzz


@pytest.mark.timeout(300)
@pytest.mark.parametrize(("door", "least"), [("agents", 15), ("assistants", 150)])
async def test_server_and_document_agree(service, org, door, least):
    key = org.secret if door == "agents" else org.api

    report = await asyncio.to_thread(
        fuzz, service.http_url, key, door, seed=1, examples=2, phases=["fuzzing"]
    )

    assert report.unexplained == []
    assert report.cases >= least
    assert 500 not in report.statuses


def test_document_at_a_door_has_nothing_of_the_other():
    document = {
        "anyOf": [{"$ref": "a", "x-parley-door": "agents"}, {"$ref": "b", "x-parley-door": "assistants"}],
        "responses": {"200": {"x-parley-door": "assistants"}, "204": {"x-parley-door": "agents"}, "400": {}},
    }

    assert at_door(document, "agents") == {"anyOf": [{"$ref": "a"}], "responses": {"204": {}, "400": {}}}
