"""JSON of messages: the same as protobuf's own printer makes, and as Envoy's transcoder shows to the same
caller."""

import copy
import json
import math

import orjson
import pytest
from google.api.httpbody_pb2 import HttpBody
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.json_format import MessageToDict
from google.protobuf.message_factory import GetMessageClass
from google.protobuf.struct_pb2 import ListValue, Struct, Value
from google.protobuf.timestamp_pb2 import Timestamp

from generated.parley.v1.chat_pb2 import Chat, Cost
from generated.parley.v1.response_pb2 import Response
from server.content.fitting import presented
from server.content.json_values import from_python, struct_from
from server.content.proto_json import to_json
from server.core.clock import parse_rfc3339, timestamp
from server.core.ids import new_id
from server.storage.chats import Exchange
from tests.descriptors import MESSAGES

JSON = {
    "text": 'ü "😀" \u2028',
    "empty": "",
    "whole": 3.0,
    "part": 0.1,
    "yes": True,
    "nothing": None,
    "list": [1, [], {}],
    "object": {"a": {}},
}
SPECIAL = {
    Timestamp.DESCRIPTOR.full_name: lambda: Timestamp(seconds=1_705_314_600, nanos=123_000_000),
    Value.DESCRIPTOR.full_name: lambda: from_python([JSON, "text", 1.5]),
    Struct.DESCRIPTOR.full_name: lambda: struct_from(JSON),
    ListValue.DESCRIPTOR.full_name: lambda: from_python([JSON]).list_value,
}
DEEPEST = 6


def populated(descriptor, chosen=None, depth=0):
    """A message with every member set; of a oneof, the first one or `chosen`."""
    message = GetMessageClass(descriptor)()
    for field in descriptor.fields:
        group = [member for oneof in descriptor.oneofs for member in oneof.fields if len(oneof.fields) > 1]
        if field in group and field.name != (chosen or group[0].name):
            continue
        if field.message_type and field.message_type.full_name not in SPECIAL and depth == DEEPEST:
            continue
        if field.is_repeated:
            getattr(message, field.name).extend([value(field, depth), value(field, depth)])
        elif field.message_type:
            getattr(message, field.name).CopyFrom(value(field, depth))
        else:
            setattr(message, field.name, value(field, depth))
    return message


def value(field, depth):
    if field.message_type:
        special = SPECIAL.get(field.message_type.full_name)
        return special() if special else populated(field.message_type, depth=depth + 1)
    return {
        FieldDescriptor.CPPTYPE_STRING: f"{field.name} ü",
        FieldDescriptor.CPPTYPE_BOOL: True,
        FieldDescriptor.CPPTYPE_DOUBLE: 0.1 + field.number,
    }.get(field.cpp_type, 7)


def has_bytes(descriptor):
    return any(
        field.type == field.TYPE_BYTES or field.message_type is HttpBody.DESCRIPTOR
        for field in descriptor.fields
    )


WITHOUT_BYTES = [descriptor for descriptor in MESSAGES if not has_bytes(descriptor)]
"""The messages that are ever JSON: what has bytes is kept for the server itself."""
EXAMPLES = {f"{descriptor.name} empty": GetMessageClass(descriptor)() for descriptor in WITHOUT_BYTES} | {
    f"{descriptor.name} {chosen or 'full'}": populated(descriptor, chosen)
    for descriptor in WITHOUT_BYTES
    for chosen in [
        field.name for oneof in descriptor.oneofs if len(oneof.fields) > 1 for field in oneof.fields
    ]
    or [None]
}


def normal(json_value):
    """JSON text in which 1.0 is 1 and members are in order."""

    def numbers(value):
        if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
            return int(value)
        if isinstance(value, dict):
            return {name: numbers(member) for name, member in value.items()}
        return [numbers(item) for item in value] if isinstance(value, list) else value

    return json.dumps(numbers(json_value), sort_keys=True)


@pytest.mark.parametrize("message", EXAMPLES.values(), ids=EXAMPLES)
def test_json_is_what_protobuf_prints(message):
    expected = MessageToDict(message, always_print_fields_with_no_presence=True)

    assert normal(to_json(message)) == normal(expected)


def test_every_message_with_json_in_it_is_among_the_examples():
    names = {descriptor.name for descriptor in MESSAGES}

    assert {
        "Chat",
        "Session",
        "Response",
        "ResponseStreamEvent",
        "ChatCompletion",
        "ChatCompletionChunk",
        "AgentMessage",
        "Assistant",
        "Squad",
        "Message",
        "ListChatsResponse",
    } <= names


NUMBERS = [
    0.0,
    -0.0,
    1.0,
    -1.0,
    1.5,
    0.1 + 0.2,
    1e-7,
    5e-324,
    2.0**53 - 1,
    2.0**53,
    -(2.0**53),
    1e17,
    1e21,
    1.7976931348623157e308,
]


@pytest.mark.parametrize("number", NUMBERS, ids=repr)
def test_number_survives_and_is_whole_where_it_is_whole(number):
    printed = orjson.dumps(to_json(Cost(cost=number))["cost"])

    assert float(printed) == number
    assert not printed.endswith(b".0")


TIMES = {
    "milliseconds": (1_705_314_600_007, "2024-01-15T10:30:00.007Z"),
    "whole second": (1_705_314_600_000, "2024-01-15T10:30:00Z"),
    "early": (0, "1970-01-01T00:00:00Z"),
    "tens": (1_705_314_600_120, "2024-01-15T10:30:00.120Z"),
}


@pytest.mark.parametrize(("milliseconds", "printed"), TIMES.values(), ids=TIMES)
def test_times_have_milliseconds_where_there_are_any(milliseconds, printed):
    assert to_json(Chat(created_at=timestamp(milliseconds)))["createdAt"] == printed
    assert parse_rfc3339(printed) == milliseconds


def test_nulls_are_for_the_members_of_the_message_itself():
    json_value = to_json(populated(Response.DESCRIPTOR), nulls=True)
    empty = to_json(Response(), nulls=True)

    assert set(json_value) == set(empty) == {field.json_name for field in Response.DESCRIPTOR.fields}
    assert (empty["error"], empty["user"], empty["output"], empty["store"]) == (None, None, [], False)
    assert to_json(Response(usage={}), nulls=True)["usage"] == {
        "input_tokens": 0,
        "output_tokens": 0,
        "total_tokens": 0,
    }


def test_printing_changes_nothing():
    chat = populated(Chat.DESCRIPTOR)
    before = copy.deepcopy(chat)

    to_json(chat)

    assert chat == before


# --- Envoy --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("milliseconds", [0, 7, 120], ids=["whole second", "7 ms", "120 ms"])
async def test_chat_is_the_same_from_us_and_from_envoy(service, org, http, milliseconds):
    """POST /chat answers with our JSON, GET /chat/{id} with the transcoder's: a client must not see the
    difference."""
    chat = populated(Chat.DESCRIPTOR)
    chat.id, chat.org_id = new_id(), org.id
    for name in ("session_id", "previous_chat_id", "messages", "output"):
        chat.ClearField(name)
    for member in (chat.created_at, chat.updated_at):
        member.CopyFrom(timestamp(1_705_314_600_000 + milliseconds))
    full = populated(Chat.DESCRIPTOR)
    await service.store.chats.record(
        Exchange(
            chat=chat,
            key_id="key",
            input_messages=list(full.messages),
            answered=full.output[:1],
            alternatives=full.output[1:],
            previous=None,
            new_session=None,
            private=None,
            provider="p",
            model="m",
            prompt_tokens=1,
            completion_tokens=1,
        )
    )
    key = await service.store.keys.caller(org.api)

    answer = await http.get(f"/chat/{chat.id}", headers=org.bearer)

    ours = to_json(presented(await service.store.chats.get(key.scope, chat.id)))
    assert answer.status_code == 200
    assert normal(answer.json()) == normal(ours)
    assert not any(math.isnan(part["cost"]) for part in ours["costs"])
