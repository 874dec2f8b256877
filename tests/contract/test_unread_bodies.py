"""Bodies that the edge does not read: every path that takes one, every type that a member is not, through the
real Envoy.

Each refusal has the shape of its door, names the member as it is documented, says what is wanted, and shows
nothing of the protos or of the body. Does not test the rules of the server, which see only what could be
read.
"""

import json
import re
from collections.abc import Iterator
from typing import Any, NamedTuple

import httpx
import pytest
from google.api import annotations_pb2, http_pb2
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.descriptor_pool import Default

from tests.conftest import Org
from tests.contract.doors import UNKNOWN_ID
from tests.descriptors import METHODS

MARK = "zebra"
STRING, FREE = (
    FieldDescriptor.TYPE_STRING,
    ("google.protobuf.Struct", "google.protobuf.Value", "google.protobuf.ListValue"),
)
WANTED = {
    STRING: "a string",
    FieldDescriptor.TYPE_BOOL: "true or false",
    FieldDescriptor.TYPE_DOUBLE: "a number",
}
MANY = {STRING: "strings", FieldDescriptor.TYPE_MESSAGE: "objects"}
OTHERS = {
    STRING: ["7", "true", "{}", "[]", f'["{MARK}"]'],
    FieldDescriptor.TYPE_BOOL: ["7", f'"{MARK}"', "{}", "[true]"],
    FieldDescriptor.TYPE_DOUBLE: ["true", f'"{MARK}"', "{}", "[1]"],
    FieldDescriptor.TYPE_MESSAGE: ["7", "true", f'"{MARK}"', "[]", f'[{{"{MARK}": 1}}]'],
}
INTEGERS = ["1.5", "true", f'"{MARK}"', "{}", "[1]", str(2**70)]
OTHER_ITEMS = {STRING: ["7", "{}"], FieldDescriptor.TYPE_MESSAGE: ["7", f'"{MARK}"']}

MALFORMED = {
    "cut": b'{"zebra": "a',
    "cut in a word": b'{"zebra": tru',
    "no body but space": b"  ",
    "array": b'["zebra"]',
    "string": b'"zebra"',
    "number": b"7",
    "two documents": b"{}{}",
    "BOM": b"\xef\xbb\xbf{}",
    "comment": b"{/*zebra*/}",
    "two commas": b'{"zebra": 1,, "b": 2}',
    "no colon": b'{"zebra" 1}',
    "not UTF-8": b'{"zebra": "\xff"}',
    "surrogate in UTF-8": b'{"zebra": "\xed\xa0\x80"}',
    "name of half a character": b'{"\\ud800": 1}',
    "escape": b'{"zebra": "\\x"}'.replace(b"\\x", b"\\u12"),
    "octal": b'{"zebra": 01}',
    "plus": b'{"zebra": +1}',
    "minus": b'{"zebra": -}',
    "hexadecimal": b'{"zebra": 0x10}',
    "NUL": b"\0",
    "gzip": b"\x1f\x8b\x08\x00",
    "objects without end": b'{"zebra":' * 20_000,
    "arrays without end": b'{"zebra":' + b"[" * 50_000,
}
LARGE = "is a number larger than a double holds, about 1.8e308; send it as a string"
NO_VALUE = "is no JSON value: NaN and Infinity are none"
HALF = "has one half of a surrogate pair, which is no character"
WHOLE = re.compile(r"the body (must be an object|cannot be read: [ ,:\]}\w.'-]+)")


class BodyRoute(NamedTuple):
    """A path that takes a body: whose members are a message's, or nobody's (a document)."""

    verb: str
    path: str
    door: str
    message: Descriptor | None

    def __str__(self) -> str:
        return f"{self.verb} {self.path}"

    def key(self, org: Org) -> str:
        return org.secret if self.door == "agents" else org.api


def _body_routes() -> Iterator[BodyRoute]:
    for method in METHODS:
        described = Default().FindMethodByName(f"parley.v1.{method.service}.{method.name}")
        extensions = described.GetOptions().Extensions
        rule: http_pb2.HttpRule = extensions[annotations_pb2.http]  # type: ignore[index]  # google.api types no extension
        for one in (rule, *rule.additional_bindings):
            verb = one.WhichOneof("pattern")
            if verb in ("post", "patch", "put") and method.service != "TransportService":
                template = getattr(one, verb)
                yield BodyRoute(
                    verb.upper(),
                    re.sub(r"\{\w+\}", UNKNOWN_ID, template),
                    _door(template, method.service),
                    described.input_type if one.body == "*" else None,
                )


def _door(template: str, service: str) -> str:
    if template.startswith("/api/"):
        return "completions"
    if service == "AgentChatService":
        return "agents"
    return (
        "openai"
        if service in ("CompletionService", "ConversationService", "ResponseService")
        else "assistants"
    )


BODY_ROUTES = list(_body_routes())


def refusal(door: str, path: str, wrong: str) -> tuple[int, dict[str, Any]]:
    """The answer that says what is wrong with the member at a path ("": with the whole body)."""
    text = f"{path or 'the body'} {wrong}"
    if door == "agents":
        return 400, {"error": "Bad Request", "message": text}
    if door == "assistants":
        return 400, {"message": [text] if path else text, "error": "Bad Request", "statusCode": 400}
    if door == "completions":
        loc = [int(step) if step.isdecimal() else step for step in re.findall(r"[^.\[\]]+", path)]
        return 422, {
            "detail": [
                {
                    "loc": ["body", *loc],
                    "msg": wrong if path else text,
                    "type": "type_error" if path else "json_invalid",
                }
            ]
        }
    return 400, {
        "error": {
            "message": text,
            "type": "invalid_request_error",
            "param": path or None,
            "code": "invalid_argument" if path else None,
        }
    }


def mistakes(message: Descriptor, inside: str = "", around: str = "%s") -> Iterator[tuple[str, str, str]]:
    """Bodies with one member of another type, the member's path, and what is said of it; members of members
    too."""
    for field in message.fields:
        path = f"{inside}{field.json_name}"
        for name in {field.name, field.json_name}:
            body = around % f'{{"{name}": %s}}'
            yield from ((body % other, path, wanted(field)) for other in others(field))
            for item in OTHER_ITEMS[field.type] if field.is_repeated else ():
                # Of an array of texts the transcoder does not say which one is an object.
                is_named = not (field.type == STRING and item == "{}")
                yield body % f"[{item}]", path + "[0]" * is_named, wanted(field, is_item=is_named)
        below = field.message_type
        if below is not None and below.full_name not in FREE and not inside:
            nested = "[%s]" if field.is_repeated else "%s"
            yield from mistakes(
                below, f"{path}{'[0]' * field.is_repeated}.", f'{{"{field.json_name}": {nested}}}'
            )


def others(field: FieldDescriptor) -> list[str]:
    if field.message_type is not None and field.message_type.full_name in FREE[1:]:
        return []
    if field.is_repeated:
        return ["7", f'"{MARK}"'] if field.type != STRING else ["7", "{}"]
    return OTHERS.get(field.type, INTEGERS)


def wanted(field: FieldDescriptor, *, is_item: bool = False) -> str:
    if field.is_repeated and not is_item:
        return f"must be an array of {MANY[field.type]}"
    bits = {
        FieldDescriptor.TYPE_INT32: (-(2**31), 2**31 - 1),
        FieldDescriptor.TYPE_INT64: (-(2**63), 2**63 - 1),
        FieldDescriptor.TYPE_UINT32: (0, 2**32 - 1),
    }
    if field.type in bits:
        return "must be an integer between {} and {}".format(*bits[field.type])
    return f"must be {WANTED.get(field.type, 'an object')}"


async def send(
    http: httpx.AsyncClient, body_route: BodyRoute, key: str | None, content: bytes
) -> httpx.Response:
    headers = {"content-type": "application/json", **({"authorization": f"Bearer {key}"} if key else {})}
    return await http.request(body_route.verb, body_route.path, content=content, headers=headers)


@pytest.mark.parametrize("body_route", [one for one in BODY_ROUTES if one.message], ids=str)
async def test_member_of_another_type_is_named_and_what_is_wanted(
    http: httpx.AsyncClient, org: Org, body_route: BodyRoute
) -> None:
    assert body_route.message is not None
    in_path = {field for field in body_route.message.fields_by_name if f"{{{field}}}" in body_route.path}
    wrong = []
    for body, path, problem in mistakes(body_route.message):
        answer = await send(http, body_route, body_route.key(org), body.encode())
        if path not in in_path and (answer.status_code, answer.json()) != refusal(
            body_route.door, path, problem
        ):
            wrong.append((body, answer.text))

    assert wrong == []


@pytest.mark.parametrize("body_route", BODY_ROUTES, ids=str)
async def test_body_that_is_no_json_object_is_refused_in_fixed_words(
    http: httpx.AsyncClient, org: Org, body_route: BodyRoute
) -> None:
    for name, content in MALFORMED.items():
        answer = await send(http, body_route, body_route.key(org), content)
        problem = WHOLE.search(answer.text)
        assert problem, (name, answer.text)
        assert (answer.status_code, answer.json()) == refusal(body_route.door, "", problem[1]), name
        assert MARK not in answer.text


@pytest.mark.parametrize("body_route", BODY_ROUTES, ids=str)
async def test_body_without_a_key_does_not_affect_the_answer(
    http: httpx.AsyncClient, body_route: BodyRoute
) -> None:
    answers = [await send(http, body_route, None, content) for content in (b"{}", *MALFORMED.values())]

    assert {(answer.status_code, answer.text) for answer in answers} == {(401, answers[0].text)}


@pytest.mark.parametrize(
    ("content", "path", "wrong"),
    [
        ('{"metadata": {"a": [1, 1e400]}}', "metadata.a[1]", LARGE),
        ('{"metadata": {"a": %s}}' % ("9" * 400), "metadata.a", LARGE),
        ('{"metadata": {"a": NaN}}', "metadata.a", NO_VALUE),
        ('{"metadata": {"a": -Infinity}}', "metadata.a", NO_VALUE),
        (r'{"name": "a\ud800"}', "name", HALF),
        (r'{"name": "\\\udc00\ud83d"}', "name", HALF),
        ('{"metadata": {"a \\"b": {"c": 1e400}}}', "metadata", LARGE),
        ('{"name": "a", "name": "b"}', "name", "is given twice"),
    ],
)
async def test_value_that_json_or_a_double_does_not_have_is_named(
    http: httpx.AsyncClient, org: Org, content: str, path: str, wrong: str
) -> None:
    answer = await http.post("/session", content=content, headers=org.bearer)

    assert (answer.status_code, answer.json()) == refusal("assistants", path, wrong)


@pytest.mark.parametrize(
    "text",
    [
        r"\ud83d\ude00",
        r"\\ud800",
        r"\\\\udc00",
        "1e999, [9007199254740993, NaN",
        r"\"name\": [",
        "a: 12345678901234567890",
    ],
)
async def test_text_that_only_looks_so_is_taken(http: httpx.AsyncClient, org: Org, text: str) -> None:
    answer = await http.post(
        "/session", content=f'{{"metadata": {{"a": "{text}", "name": [1]}}}}', headers=org.bearer
    )

    assert (answer.status_code, answer.json()["metadata"]) == (
        201,
        {"a": json.loads(f'"{text}"'), "name": [1]},
    )


async def test_id_in_the_body_that_is_not_the_one_of_the_path_is_named(
    http: httpx.AsyncClient, org: Org
) -> None:
    answer = await http.post(
        f"/v1/conversations/{UNKNOWN_ID}", content='{"conversation_id": "zebra"}', headers=org.bearer
    )

    assert (answer.status_code, answer.json()) == refusal(
        "openai", "conversation_id", "must be as in the path, or left out"
    )
