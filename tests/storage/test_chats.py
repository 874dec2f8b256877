"""Chats on disk: what is recorded comes back whole, and nobody else sees it."""

import pytest

from generated.parley.v1.chat_service_pb2 import ListChatsRequest
from generated.parley.v1.message_pb2 import Message
from server.content.json_values import from_python, struct_from
from server.core.errors import NotFound
from server.core.ids import new_id
from server.storage.scope import Scope
from tests.storage.records import Recorder, texts


async def test_recorded_chat_comes_back_with_its_context_and_output(recorder):
    first = await recorder.add("a")
    second = await recorder.add("b", first, name="the second")

    chat = await recorder.store.chats.get(recorder.scope, second.id)

    assert (texts(chat.messages), texts(chat.output)) == (["a", "re: a", "b"], ["re: b"])
    assert (chat.name, chat.previous_chat_id, chat.org_id) == ("the second", first.id, recorder.key.org_id)
    assert (chat.status, chat.cost, chat.input.string_value) == ("completed", 0.25, "b")


async def test_other_choices_are_output_but_not_context(recorder):
    stored = await recorder.add("a", alternatives=["second choice", "third choice"])

    chat = await recorder.store.chats.get(recorder.scope, stored.id)

    assert texts(chat.output) == ["re: a", "second choice", "third choice"]
    assert await recorder.history(await recorder.add("b", stored)) == ["a", "re: a", "b", "re: b"]


async def test_every_member_of_a_message_survives(recorder):
    exchange = recorder.exchange("a")
    exchange.input_messages[:] = [
        Message(
            id=new_id(),
            role="assistant",
            message="ü 😀",
            content=from_python([{"type": "text", "text": "ü 😀"}, {"type": "x", "y": [1.5, None]}]),
            time=1.5,
            seconds_from_start=0,
            tool_calls=from_python([{"id": "1"}]),
            tool_call_id="t",
            name="n",
            metadata=struct_from({"a": {}}),
            refusal="r",
        )
    ]
    await recorder.store.chats.record(exchange)

    chat = await recorder.store.chats.get(recorder.scope, exchange.chat.id)

    assert list(chat.messages) == exchange.input_messages


async def test_what_callers_must_not_see_is_kept_beside_the_chat(recorder):
    exchange = recorder.exchange("a")
    secret = {"assistant": {"credentials": [{"apiKey": "sk-upstream"}]}}
    await recorder.store.chats.record(
        type(exchange)(**{name: getattr(exchange, name) for name in exchange.__slots__} | {"private": secret})
    )

    stored = await recorder.store.chats.find(recorder.scope, exchange.chat.id)

    assert stored.private == secret
    assert "sk-upstream" not in str(await recorder.store.chats.get(recorder.scope, stored.id))


async def test_chat_is_there_after_a_restart(recorder, store, place):
    stored = await recorder.add("a")
    before = await store.chats.get(recorder.scope, stored.id)
    await store.aclose()

    reopened = await place.open()

    assert await reopened.chats.get(recorder.scope, stored.id) == before


async def test_delete_returns_the_chat_as_it_was(recorder):
    stored = await recorder.add("a", alternatives=["other"])
    before = await recorder.store.chats.get(recorder.scope, stored.id)

    assert await recorder.store.chats.delete(recorder.scope, stored.id) == before


async def test_list_shows_each_chat_with_its_own_input_only(recorder):
    first = await recorder.add("a")
    recorder.clock.now += 1
    await recorder.add("b", first)

    chats, metadata = await recorder.store.chats.list(recorder.scope, ListChatsRequest())

    assert [(texts(chat.messages), texts(chat.output)) for chat in chats] == [
        (["b"], ["re: b"]),
        (["a"], ["re: a"]),
    ]
    assert metadata.total_items == 2


async def test_chat_and_its_new_session_are_one_write(recorder):
    new = recorder.new_session()
    stored = await recorder.add("a", new_session=new)

    assert stored.session_id == new.session.id
    assert texts((await recorder.store.sessions.get(recorder.scope, new.session.id)).messages) == [
        "a",
        "re: a",
    ]


async def test_same_id_twice_is_refused_and_leaves_the_first_as_it_was(recorder):
    stored = await recorder.add("a")
    before = await recorder.store.chats.get(recorder.scope, stored.id)

    with pytest.raises(Exception, match="could not be written"):
        await recorder.store.chats.record(recorder.exchange("b", id=stored.id))

    assert await recorder.store.chats.get(recorder.scope, stored.id) == before
    assert await recorder.rows("messages") == 2


# --- who sees it --------------------------------------------------------------------------------------------

NOBODYS = {"absent": new_id(), "no id": None, "sql": "' OR '1'='1", "empty": ""}


@pytest.mark.parametrize("chat_id", NOBODYS.values(), ids=NOBODYS)
async def test_absent_chat_is_not_found(recorder, chat_id):
    await recorder.add("a")

    for method in (recorder.store.chats.find, recorder.store.chats.get, recorder.store.chats.delete):
        with pytest.raises(NotFound, match=r"^chat not found$"):
            await method(recorder.scope, chat_id)
    assert await recorder.rows("chats") == 1


async def test_chat_of_another_org_is_not_found_and_not_listed(recorder, store, clock):
    stored = await recorder.add("a")
    stranger = await Recorder.of_new_org(store, clock)

    for method in (store.chats.find, store.chats.get, store.chats.delete):
        with pytest.raises(NotFound, match=r"^chat not found$"):
            await method(stranger.scope, stored.id)
    chats, metadata = await store.chats.list(stranger.scope, ListChatsRequest(id=stored.id))
    assert (chats, metadata.total_items, await recorder.rows("chats")) == ([], 0, 1)


async def test_publishable_key_sees_what_it_made_and_nothing_else_of_its_org(store, clock):
    first = await Recorder.of_new_org(store, clock, "org", "publishable")
    second = await Recorder.of_new_org(store, clock, "org", "publishable")
    mine, theirs = await first.add("mine"), await second.add("theirs")
    scope = Scope(first.key.org_id, first.key.id)

    assert (await store.chats.find(scope, mine.id)).id == mine.id
    with pytest.raises(NotFound):
        await store.chats.find(scope, theirs.id)
    assert [chat.id for chat in (await store.chats.list(scope, ListChatsRequest()))[0]] == [mine.id]
    assert len((await store.chats.list(Scope(first.key.org_id), ListChatsRequest()))[0]) == 2


async def test_session_of_another_org_takes_no_exchange(recorder, store, clock):
    session = await recorder.open_session()
    stranger = await Recorder.of_new_org(store, clock)

    with pytest.raises(NotFound):
        await store.chats.record(stranger.exchange("a", session_id=session.session.id))

    assert (await recorder.rows("chats"), await recorder.rows("messages")) == (0, 0)


async def test_message_is_found_by_its_id_without_reading_others(recorder):
    stored = await recorder.add("a")
    message_id = (
        stored.record.message_id or (await recorder.store.chats.get(recorder.scope, stored.id)).output[0].id
    )

    found = await recorder.store.chats.messages_by_id(recorder.scope, [message_id, new_id()], 1_000)
    too_much = await recorder.store.chats.messages_by_id(recorder.scope, [message_id], 10)
    elsewhere = await recorder.store.chats.messages_by_id(
        Scope(recorder.key.org_id, new_id()), [message_id], 1_000
    )

    assert ({one: texts([message]) for one, message in found.items()}, too_much, elsewhere) == (
        {message_id: ["re: a"]},
        None,
        {},
    )


async def calling(recorder: Recorder, text: str, key: str) -> str:
    """Record an exchange whose answer has this key; its id."""
    exchange = recorder.exchange(text)
    exchange.answered[0].calls_key = key
    await recorder.store.chats.record(exchange)
    return exchange.chat.id


async def test_messages_are_found_by_their_calls_as_many_as_fit(recorder, store, clock):
    keys = [f"{number:032x}" for number in range(4)]
    made = [await calling(recorder, str(number), key) for number, key in enumerate(keys[:3])]
    await calling(await Recorder.of_new_org(store, clock), "theirs", keys[3])
    await store.chats.delete(recorder.scope, made[1])

    found = await store.chats.messages_by_calls(recorder.scope, keys[::-1], 1_000)
    sizes = {key: message.ByteSize() for key, message in found.items()}
    fitting = await store.chats.messages_by_calls(recorder.scope, keys[::-1], sizes[keys[2]])
    elsewhere = await store.chats.messages_by_calls(Scope(recorder.key.org_id, new_id()), keys, 1_000)

    assert {key: texts([message]) for key, message in found.items()} == {
        keys[2]: ["re: 2"],
        keys[0]: ["re: 0"],
    }
    assert (list(fitting), elsewhere) == ([keys[2]], {})


async def test_search_for_a_message_by_its_id_uses_its_index(store, engine):
    if engine != "sqlite":
        pytest.skip("PostgreSQL reads a small table whole")
    plan = await store.database.read(
        lambda connection: connection.execute(
            "EXPLAIN QUERY PLAN SELECT body FROM messages WHERE org_id = ? AND substr(body, 1, 38) = ?",
            ["o", b"x"],
        ).fetchall()
    )

    assert "USING INDEX messages_by_id" in plan[0][3]
