"""Python values to and from protobuf's."""

import math

import pytest
from google.protobuf.struct_pb2 import ListValue, Struct, Value

from generated.parley.v1.chat_pb2 import Chat, ChatEvent
from server.content.json_values import MAX_DEPTH, from_python, struct_from, to_python, with_exact_numbers


@pytest.mark.parametrize(
    "value",
    [
        None,
        True,
        False,
        0,
        -7,
        2**53 - 1,
        2**53,
        -(2**53),
        10**17,
        2**63 - 1024,
        -(2**63),
        1e300,
        1.5,
        "",
        "text",
        [],
        {},
        [[], {}],
        {"a": [1, {"b": None}], "c": {}},
    ],
)
def test_value_comes_back_as_it_was(value):
    back = to_python(from_python(value))

    assert (back, type(back)) == (value, type(value))


@pytest.mark.parametrize("number", [2**53 + 1, -(2**53) - 1, 2**63 - 1, 10**23])
def test_integer_that_no_double_is_is_refused_or_kept_as_text(number):
    with pytest.raises(ValueError, match="does not hold exactly"):
        from_python({"a": [number]})

    assert with_exact_numbers({"a": [number, 1, 2**53, 0.1, True], "b": "x"}) == {
        "a": [str(number), 1, 2**53, 0.1, True],
        "b": "x",
    }


def test_integers_of_more_than_64_bits_are_read_as_floats():
    """orjson, which prints answers and documents, does not take larger ones."""
    assert [type(to_python(Value(number_value=number))) for number in (2.0**63, -(2.0**63), 1e21)] == [
        float,
        int,
        float,
    ]


def test_structs_and_lists_are_read():
    struct, items = Struct(), ListValue()
    struct["a"] = 1
    items.extend([1, "b"])

    assert (to_python(struct), to_python(items), to_python(Value())) == ({"a": 1}, [1, "b"], None)


def test_struct_is_made_of_a_dict():
    assert to_python(struct_from({"a": {"b": [1.0, 2.5]}})) == {"a": {"b": [1, 2.5]}}


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf, 10**400])
def test_numbers_that_json_cannot_say_are_refused(number):
    with pytest.raises(ValueError, match=r"number|NaN"):
        from_python([number])


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_numbers_that_json_cannot_say_are_null_in_what_is_read(number):
    """As records have them that were stored before requests with such numbers were refused."""
    assert to_python(ListValue(values=[Value(number_value=number), Value(number_value=1)])) == [None, 1]


def test_lone_surrogate_is_refused():
    with pytest.raises(ValueError, match="surrogates"):
        from_python("\ud800")


@pytest.mark.parametrize("value", [object(), {1: 2}, b"x"])
def test_other_types_are_refused(value):
    with pytest.raises(TypeError):
        from_python(value)


def test_deepest_value_survives_the_wire_in_a_chat_event():
    value: object = "x"
    for _ in range(MAX_DEPTH):
        value = {"a": value}
    event = ChatEvent(completed=Chat())
    event.completed.messages.add().content.CopyFrom(from_python(value))

    assert ChatEvent.FromString(event.SerializeToString()) == event
    with pytest.raises(ValueError, match="deeper"):
        from_python({"a": value})
