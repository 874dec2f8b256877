"""What connections remember of exchanges that are not stored: the latest of each, within a bound of bytes."""

from google.protobuf.struct_pb2 import Value

from generated.parley.v1.chat_pb2 import Chat
from generated.parley.v1.message_pb2 import Message
from server.exchange.remembered import Memory, Remembered
from server.storage import threads

TEXT = [Message(role="user", content=Value(string_value="x" * 1_000))]
SIZE = threads.size_of(TEXT)


def remembered(chat_id, context=TEXT, before=None):
    return Remembered.of(Chat(id=chat_id), None, None, context, [], before)


def test_latest_exchange_takes_the_place_of_the_one_before():
    memory = Memory()
    memory.put("connection", "key", remembered("a"))
    memory.put("connection", "key", remembered("b"))

    assert memory.of("connection", "a") is None
    assert memory.of("connection", "b").chat.id == "b"
    assert memory.of("another", "b") is None


def test_key_that_has_most_loses_its_oldest():
    memory = Memory(3 * SIZE)
    memory.put(1, "modest", remembered("modest"))
    for connection in (2, 3, 4):
        memory.put(connection, "greedy", remembered(f"greedy {connection}"))

    found = [memory.of(1, "modest"), *(memory.of(one, f"greedy {one}") for one in (2, 3, 4))]
    assert [one is not None for one in found] == [True, False, True, True]


def test_what_is_forgotten_makes_room():
    memory = Memory(2 * SIZE)
    for connection in range(10):
        memory.put(connection, "key", remembered("a"))
        memory.forget(connection)
    memory.put(1, "key", remembered("b"))
    memory.put(2, "key", remembered("c"))

    assert memory.of(1, "b") and memory.of(2, "c")


def test_exchange_beyond_the_bound_is_not_remembered():
    memory = Memory(SIZE - 1)
    memory.put(1, "key", remembered("a"))

    assert memory.of(1, "a") is None


def test_size_of_a_continuation_is_that_of_all_of_it():
    first = remembered("a")

    assert remembered("b", [*first.messages, *TEXT], first).size == 2 * SIZE
