"""What may be in a request at all: numbers that JSON has, so many values, so deep. Every place is taken from
the protos."""

import gc
import math
import weakref
from collections.abc import Iterator
from typing import Any, NamedTuple

import grpc
import pytest
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from google.protobuf.struct_pb2 import ListValue, Struct, Value

from generated.parley.v1.access_pb2 import ACCESS_NO_KEY
from generated.parley.v1.chat_pb2 import Chat
from generated.parley.v1.chat_service_pb2 import CreateChatRequest, ListChatsResponse
from generated.parley.v1.completion_service_pb2 import CreateChatCompletionRequest
from generated.parley.v1.response_service_pb2 import ConnectResponsesEvent
from generated.parley.v1.session_service_pb2 import CreateSessionRequest
from server.content.json_values import MAX_DEPTH, from_python
from server.content.walk import MOST_VALUES, check_values, without_nan
from server.core.errors import InvalidArgument
from server.rpc.access import access_to
from tests.contract.doors import details_of
from tests.descriptors import METHODS

FREE = {message.DESCRIPTOR.full_name: message for message in (Value, Struct, ListValue)}
FLOATS = (FieldDescriptor.CPPTYPE_DOUBLE, FieldDescriptor.CPPTYPE_FLOAT)
NONE = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}
FINITE = "must be a finite number: JSON has neither NaN nor Infinity"


class Place(NamedTuple):
    """Where a request has a number, or free JSON."""

    steps: tuple[FieldDescriptor, ...]

    @property
    def name(self) -> str:
        """As the caller knows it, whose whole body is a document."""
        inside = ".".join(
            f"{step.json_name}[0]" if step.is_repeated else step.json_name for step in self.steps
        )
        if self.steps[-1].message_type is not None and self.steps[-1].message_type.full_name in FREE:
            inside += {"Value": "[0].a", "Struct": ".a", "ListValue": "[0]"}[self.steps[-1].message_type.name]
        return inside.removeprefix("document.").removeprefix("patch.")

    def request(self, kind: type[Message], number: float) -> Message:
        """A request of this kind that has nothing but this number."""
        request = part = kind()
        for step in self.steps[:-1]:
            part = getattr(part, step.name).add() if step.is_repeated else getattr(part, step.name)
        last = self.steps[-1]
        if last.message_type is None:
            if last.is_repeated:
                getattr(part, last.name).append(number)
            else:
                setattr(part, last.name, number)
            return request
        free = getattr(part, last.name).add() if last.is_repeated else getattr(part, last.name)
        if isinstance(free, Value):
            free.list_value.values.add().struct_value.fields["a"].number_value = number
        elif isinstance(free, Struct):
            free.fields["a"].number_value = number
        else:
            free.values.add().number_value = number
        return request


def places_in(message: Descriptor, above: tuple[FieldDescriptor, ...] = ()) -> Iterator[Place]:
    """Every number and all free JSON of a message, those of the messages in it included."""
    for field in message.fields:
        steps = (*above, field)
        if field.cpp_type in FLOATS or (field.message_type and field.message_type.full_name in FREE):
            yield Place(steps)
        elif field.message_type and field.message_type not in {step.message_type for step in above}:
            yield from places_in(field.message_type, steps)


MATRIX = {
    f"{method} {place.name}": (method, place)
    for method in METHODS
    if access_to(method.path) != ACCESS_NO_KEY
    for place in places_in(method.request.DESCRIPTOR)
}


@pytest.mark.parametrize(("method", "place"), MATRIX.values(), ids=MATRIX)
async def test_number_that_is_none_is_refused_wherever_it_is(channel, org, method, place):
    make = channel.unary_stream if method.streams else channel.unary_unary
    if method.connects:
        for number in NONE.values():
            calling = make(method.path)(
                place.request(method.request, number).SerializeToString(), metadata=org.metadata
            )
            (raw,) = [message async for message in calling]
            error = ConnectResponsesEvent.FromString(raw).error
            name = place.name.removeprefix("create.")
            assert (error.status, error.param, error.message) == (400, name, f"{name} {FINITE}")
        return
    for number in NONE.values():
        calling = make(method.path)(
            place.request(method.request, number).SerializeToString(), metadata=org.metadata
        )
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            _ = [message async for message in calling] if method.streams else await calling

        (violation,) = details_of(refused.value)[1].field_violations
        assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert (violation.field, violation.description) == (place.name, FINITE)


async def test_matrix_has_every_member_that_takes_a_number(channel):
    assert {
        "CompletionService/CreateChatCompletion temperature",
        "SessionService/CreateSession metadata.a",
        "CompletionService/CreateChatCompletion messages[0].content[0].a",
        "ConversationService/CreateItems items[0].a",
        "SessionService/ListSessions page",
    } <= MATRIX.keys()
    assert len(MATRIX) > 100


@pytest.mark.parametrize("path", ["/session?page=NaN", "/session?limit=Infinity", "/chat?page=-Infinity"])
async def test_number_that_is_none_is_refused_in_a_query(http, org, path):
    answer = await http.get(path, headers=org.bearer)

    assert answer.status_code == 400
    assert FINITE in answer.text


# --- how much there may be ----------------------------------------------------------------------------------


def request_of(value: Any) -> CreateChatRequest:
    return CreateChatRequest(input=from_python(value))


MANY = {
    "items": [None] * (MOST_VALUES + 1),
    "members": {str(number): None for number in range(MOST_VALUES + 1)},
    "in one another": [[{"a": 1, "b": [2]}] * 2] * (MOST_VALUES // 8),
}


@pytest.mark.parametrize("value", MANY.values(), ids=MANY)
def test_one_value_too_many_is_refused_and_named(value):
    with pytest.raises(
        InvalidArgument, match=rf"^input brings the request over {MOST_VALUES} values .* send less at once"
    ):
        check_values(request_of(value))


def test_as_many_values_as_there_may_be_are_taken():
    check_values(request_of([None] * MOST_VALUES))


def test_items_of_a_message_count_too():
    messages = [{}] * (MOST_VALUES + 1)
    with pytest.raises(InvalidArgument, match=r"^messages brings"):
        check_values(CreateChatCompletionRequest(messages=messages))


def test_what_is_too_much_is_not_read_to_its_end(monkeypatch):
    """A list says how long it is before any of it is read."""
    looked_at = []
    monkeypatch.setattr(
        "server.content.walk._Walk._value", lambda self, value, depth: looked_at.append(value)
    )

    with pytest.raises(InvalidArgument):
        check_values(
            GetMessageClass(ListChatsResponse.DESCRIPTOR)(
                results=[Chat(assistant={"a": None}) for _ in range(MOST_VALUES + 1)]
            )
        )

    assert looked_at == []


async def test_request_of_a_million_values_is_refused_over_both(http, channel, org):
    values = MOST_VALUES + 1
    answer = await http.post("/session", headers=org.bearer, json={"metadata": {"a": [{}] * values}})
    method = next(one for one in METHODS if str(one) == "SessionService/CreateSession")
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await channel.unary_unary(method.path)(
            method.request(metadata={"a": [{}] * values}).SerializeToString(), metadata=org.metadata
        )

    assert answer.status_code == 400
    assert answer.json()["message"][0].startswith("metadata brings the request over")
    assert refused.value.details().startswith("metadata brings the request over")


def test_depth_is_refused_and_its_place_named():
    value: Any = 1
    for _ in range(MAX_DEPTH + 1):
        value = [value]
    deep = ListValue()
    inner = deep
    for _ in range(MAX_DEPTH):
        inner = inner.values.add().list_value
    inner.values.add().list_value.SetInParent()

    with pytest.raises(
        InvalidArgument, match=rf"^input(\[0\])+ must not be nested deeper than {MAX_DEPTH} levels$"
    ):
        check_values(CreateChatRequest(input=Value(list_value=deep)))


# --- what is stored already ---------------------------------------------------------------------------------


def test_numbers_that_are_none_are_null_in_an_answer():
    answer = ListChatsResponse(results=[Chat(input=from_python({"a": [1.5]})) for _ in range(2)])
    for number, chat in zip((math.nan, -math.inf), answer.results, strict=True):
        chat.input.struct_value.fields["a"].list_value.values.add().number_value = number

    assert without_nan(answer.SerializeToString(), answer)
    assert not without_nan(answer.SerializeToString(), answer)
    assert answer == ListChatsResponse(results=[Chat(input=from_python({"a": [1.5, None]}))] * 2)


async def test_record_with_a_number_that_is_none_hides_no_other(http, service, org):
    """One that was stored before such numbers were refused."""
    made = [
        (await http.post("/session", headers=org.bearer, json={"metadata": {"a": number}})).json()
        for number in (1, 2)
    ]

    def spoil(connection: Any) -> None:
        (body,) = connection.execute("SELECT body FROM sessions WHERE id = ?", [made[0]["id"]]).fetchone()
        old = Value(number_value=1).SerializeToString()
        new = Value(number_value=math.nan).SerializeToString()
        assert bytes(body).count(old) == 1
        connection.execute(
            "UPDATE sessions SET body = ? WHERE id = ?", [bytes(body).replace(old, new), made[0]["id"]]
        )

    await service.store.database.write(spoil)

    listed = await http.get("/session", headers=org.bearer)
    got = await http.get(f"/session/{made[0]['id']}", headers=org.bearer)
    conversation = await http.get(f"/v1/conversations/{made[0]['id']}", headers=org.bearer)

    assert [one["metadata"] for one in listed.json()["results"]] == [{"a": 2}, {"a": None}]
    assert got.json()["metadata"] == conversation.json()["metadata"] == {"a": None}


# --- what is refused is let go ------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 100_000], ids=["in the loop", "in a thread"])
@pytest.mark.parametrize("error", [InvalidArgument("no"), ValueError("a bug")], ids=["refused", "bug"])
async def test_refused_request_is_let_go_without_the_collector(channel, org, monkeypatch, error, size):
    """gRPC keeps a refused call in a cycle, and the collector comes after ten thousand objects: that was 100
    MB for each."""
    seen = []

    class Request:
        """What the frames of a refusal hold."""

    def refusing(message: Message, **_: Any) -> int:
        request = Request()
        seen.append(weakref.ref(request))
        raise type(error)(*error.args)

    monkeypatch.setattr("server.rpc.interceptor.check_values", refusing)
    create = channel.unary_unary(
        next(one for one in METHODS if str(one) == "SessionService/CreateSession").path
    )
    gc.disable()
    try:
        for _ in range(3):  # the second one comes when the first is over
            with pytest.raises(grpc.aio.AioRpcError):
                await create(CreateSessionRequest(name="x" * size).SerializeToString(), metadata=org.metadata)
        assert [request() for request in seen[:2]] == [None, None]
    finally:
        gc.enable()
