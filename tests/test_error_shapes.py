"""Envoy's own errors have the shapes, titles and kinds of the server's: envoy.yaml has a copy, the Lua
filters read them."""

import json
import re

import pytest

from gateway.checker import connection_manager
from gateway.launcher import CONFIG, ROOT, load
from server.wire.error_shapes import (
    CALLERS_KIND,
    EDGE_NAMES,
    KINDS,
    SERVERS_KIND,
    SHAPES,
    Slot,
    filled,
    title_of,
)

ENVOYS = (400, 403, 404, 405, 408, 413, 429, 431, 500, 502, 503, 504)
"""The statuses that Envoy answers by itself."""
REPLIES = connection_manager(load(CONFIG))["local_reply_config"]
ROUTE = re.compile(r"xds\.route_name == '(\w+)'")


def cel_titles():
    return "%CEL({" + ", ".join(f"{status}: '{title_of(status)}'" for status in ENVOYS) + "}[response.code])%"


def cel_kinds():
    of_one = "".join(
        f"response.code == {status} ? '{KINDS[status]}' : " for status in ENVOYS if status in KINDS
    )
    return f"%CEL(response.code >= 500 ? '{SERVERS_KIND}' : {of_one}'{CALLERS_KIND}')%"


PROBLEM = {
    Slot.MESSAGE: "%LOCAL_REPLY_BODY%",
    Slot.MESSAGES: "%LOCAL_REPLY_BODY%",
    Slot.TITLE: cel_titles(),
    Slot.STATUS: "%RESPONSE_CODE%",
    Slot.KIND: cel_kinds(),
    Slot.PARAM: None,
    Slot.CODE: None,
}


def replies_of(door):
    """The formats of Envoy's own answers at a door; those of no door in particular are the assistants
    door's."""
    formats = [
        (match and match[1], mapper["body_format_override"]["json_format"])
        for mapper in REPLIES["mappers"]
        if "json_format" in mapper.get("body_format_override", {})
        for match in [ROUTE.search(mapper["filter"]["extension_filter"]["typed_config"]["expression"])]
    ]
    found = [format for name, format in formats if name == EDGE_NAMES[door]]
    return [*found, REPLIES["body_format"]["json_format"]] if door == "assistants" else found


@pytest.mark.parametrize("door", SHAPES)
def test_envoys_own_errors_have_the_shape_of_the_door_to_the_byte(door):
    replies = replies_of(door)

    assert replies
    assert {json.dumps(reply) for reply in replies} == {json.dumps(filled(SHAPES[door], PROBLEM))}


def test_every_shape_in_envoys_answers_is_a_doors():
    shapes = [
        mapper["body_format_override"] for mapper in REPLIES["mappers"] if "body_format_override" in mapper
    ]
    known = [filled(SHAPES[door], PROBLEM) for door in SHAPES]

    assert [
        shape
        for shape in shapes
        if "text_format_source" not in shape and shape.get("json_format") not in known
    ] == []


@pytest.mark.parametrize("file", sorted((ROOT / "gateway").glob("*.lua")), ids=lambda file: file.name)
def test_lua_filters_have_no_shape_of_their_own(file):
    assert re.findall(r'[{,]"(?:error|detail|message|statusCode)":', file.read_text()) == []
