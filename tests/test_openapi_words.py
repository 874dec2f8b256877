"""The words of the OpenAPI document: titles, tags, and no name that only the inside of this service has."""

import json
import re

from google.protobuf.descriptor_pb2 import FileDescriptorSet

from gateway.checker import DESCRIPTOR
from gateway.launcher import ROOT

DOCUMENT = json.loads((ROOT / "generated" / "openapi.json").read_text())
OPERATIONS = [operation for verbs in DOCUMENT["paths"].values() for operation in verbs.values()]
FILES = [
    file for file in FileDescriptorSet.FromString(DESCRIPTOR.read_bytes()).file if file.package == "parley.v1"
]
METHODS = {method.name for file in FILES for service in file.service for method in service.method}
SERVICES = {service.name for file in FILES for service in file.service}
INNER = re.compile(
    r"\b(ours|seeds?(?! for the model|\.)|HttpBody|ListValue|protos?|Mirrors|callers choose|DTO)\b"
)


def texts(part):
    """Every title and description, with examples left out."""
    if isinstance(part, dict):
        for name, value in part.items():
            if name in ("description", "summary", "title") and isinstance(value, str):
                yield value
            elif name not in ("examples", "example"):
                yield from texts(value)
    elif isinstance(part, list):
        for item in part:
            yield from texts(item)


def test_titles_have_five_words_at_most():
    assert [one["summary"] for one in OPERATIONS if not 0 < len(one["summary"].split()) <= 5] == []


def test_every_tag_is_a_noun_of_one_door():
    grouped = [tag for group in DOCUMENT["x-tagGroups"] for tag in group["tags"]]
    doors = {"assistants": 0, "openai": 1, "completions": 2, "agents": 3}

    assert sorted(grouped) == sorted(tag["name"] for tag in DOCUMENT["tags"])
    assert {tag for one in OPERATIONS for tag in one["tags"]} == set(grouped)
    for one in OPERATIONS:
        groups = [DOCUMENT["x-tagGroups"][doors[door]]["tags"] for door in one["x-parley-doors"]]
        assert len(groups) == len(one["tags"]), one["operationId"]
        assert all(tag in group for tag, group in zip(one["tags"], groups, strict=True)), one["operationId"]


def test_no_text_has_names_that_only_the_inside_has():
    found = {
        text
        for text in texts({**DOCUMENT, "info": {}})
        if INNER.search(text) or set(re.findall(r"\b[A-Z]\w+\b", text)) & {*METHODS, *SERVICES}
    }

    assert found == set()


def test_ids_of_operations_are_names_for_generated_clients():
    assert [
        one["operationId"] for one in OPERATIONS if not re.fullmatch(r"[a-z]+[A-Za-z]+", one["operationId"])
    ] == []
