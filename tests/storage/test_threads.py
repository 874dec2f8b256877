"""Where messages are kept: one thread for a chain, one for a session, a new one for a fork, none for what was
deleted."""

import asyncio

import pytest

from server.core.errors import NotFound
from server.storage.store import open_store
from tests.storage.records import Recorder, message, texts


async def chain(recorder, *inputs):
    """A chain of chats, each continuing the one before."""
    chats = []
    for text in inputs:
        chats.append(await recorder.add(text, chats[-1] if chats else None))
    return chats


async def test_linear_chain_stays_one_thread(recorder):
    chats = await chain(recorder, "a", "b", "c")

    assert {chat.thread_id for chat in chats} == {chats[0].id}
    assert await recorder.history(chats[-1]) == ["a", "re: a", "b", "re: b", "c", "re: c"]
    assert (await recorder.rows("messages"), await recorder.rows("forks")) == (6, 0)


async def test_each_chat_keeps_the_context_it_was_answered_in(recorder):
    chats = await chain(recorder, "a", "b", "c")

    assert [await recorder.history(chat) for chat in chats] == [
        ["a", "re: a"],
        ["a", "re: a", "b", "re: b"],
        ["a", "re: a", "b", "re: b", "c", "re: c"],
    ]


async def test_continuing_a_chat_twice_forks_and_copies_nothing(recorder):
    first, second = await chain(recorder, "a", "b")
    before = await recorder.rows("messages")

    other = await recorder.add("other b", first)

    assert other.thread_id == other.id
    assert await recorder.history(other) == ["a", "re: a", "other b", "re: other b"]
    assert await recorder.history(second) == ["a", "re: a", "b", "re: b"]
    assert (await recorder.rows("messages"), await recorder.rows("forks")) == (before + 2, 1)


async def test_forks_of_forks_read_their_whole_ancestry(recorder):
    root, _ = await chain(recorder, "a", "b")
    branch = await recorder.add("c", root)
    await recorder.add("d", branch)
    twig = await recorder.add("e", branch)

    assert await recorder.history(await recorder.add("f", twig)) == [
        "a",
        "re: a",
        "c",
        "re: c",
        "e",
        "re: e",
        "f",
        "re: f",
    ]


async def test_two_callers_continuing_the_same_chat_at_once_fork(recorder):
    first = await recorder.add("a")
    exchanges = [recorder.exchange(text, first) for text in ("left", "right")]

    await asyncio.gather(*(recorder.store.chats.record(exchange) for exchange in exchanges))

    left, right = [await recorder.store.chats.find(recorder.scope, one.chat.id) for one in exchanges]
    assert left.thread_id != right.thread_id
    assert await recorder.history(left) == ["a", "re: a", "left", "re: left"]
    assert await recorder.history(right) == ["a", "re: a", "right", "re: right"]


async def test_forty_callers_continuing_the_same_chat_at_once_see_one_another_not_at_all(recorder):
    first = await recorder.add("a")
    exchanges = [recorder.exchange(f"b{number}", first) for number in range(40)]

    await asyncio.gather(*(recorder.store.chats.record(exchange) for exchange in exchanges))

    for number, exchange in enumerate(exchanges):
        stored = await recorder.store.chats.find(recorder.scope, exchange.chat.id)
        assert await recorder.history(stored) == ["a", "re: a", f"b{number}", f"re: b{number}"]
    assert await recorder.rows("messages") == 2 + 40 * 2


@pytest.mark.parametrize("deleted", [0, 1, 2], ids=["first", "middle", "last"])
async def test_deleting_a_chat_keeps_the_context_of_the_others(recorder, deleted):
    chats = await chain(recorder, "a", "b", "c")
    histories = [await recorder.history(chat) for chat in chats]

    await recorder.store.chats.delete(recorder.scope, chats[deleted].id)

    remaining = [number for number in range(3) if number != deleted]
    assert [await recorder.history(chats[number]) for number in remaining] == [
        histories[number] for number in remaining
    ]
    with pytest.raises(NotFound):
        await recorder.store.chats.get(recorder.scope, chats[deleted].id)


async def test_continuing_past_a_deleted_end_leaves_the_deleted_messages_out(recorder):
    _, second, third = await chain(recorder, "a", "b", "c")
    await recorder.store.chats.delete(recorder.scope, third.id)

    after = await recorder.add("other c", second)

    assert await recorder.history(after) == ["a", "re: a", "b", "re: b", "other c", "re: other c"]


async def test_deleting_the_chat_that_was_forked_keeps_the_fork(recorder):
    first, second = await chain(recorder, "a", "b")
    fork = await recorder.add("c", first)

    for chat in (first, second):
        await recorder.store.chats.delete(recorder.scope, chat.id)

    assert await recorder.history(fork) == ["a", "re: a", "c", "re: c"]


ORDERS = {
    "oldest first": [0, 1, 2, 3, 4, 5],
    "newest first": [5, 4, 3, 2, 1, 0],
    "inside out": [2, 3, 1, 4, 0, 5],
    "forks last": [0, 1, 3, 2, 5, 4],
}


@pytest.mark.parametrize("order", ORDERS.values(), ids=ORDERS)
async def test_deleting_everything_leaves_no_row(recorder, order):
    a, b = await chain(recorder, "a", "b")
    fork = await recorder.add("c", a)
    twig = await recorder.add("d", fork)
    other = await recorder.add("e", fork)
    chats = [a, b, fork, twig, other, await recorder.add("f", other)]

    for number in order:
        await recorder.store.chats.delete(recorder.scope, chats[number].id)

    assert [await recorder.rows(table) for table in ("chats", "messages", "forks")] == [0, 0, 0]


async def test_deleting_a_chat_twice_is_not_found(recorder):
    chat = await recorder.add("a")
    await recorder.store.chats.delete(recorder.scope, chat.id)

    with pytest.raises(NotFound):
        await recorder.store.chats.delete(recorder.scope, chat.id)


async def test_chat_deleted_while_its_continuation_was_answered_is_not_found(recorder):
    previous = await recorder.add("a")
    await recorder.store.chats.delete(recorder.scope, previous.id)

    with pytest.raises(NotFound):
        await recorder.add("b", previous)

    assert [await recorder.rows(table) for table in ("chats", "messages", "forks")] == [0, 0, 0]


async def test_end_of_a_chain_deleted_while_its_continuation_was_answered_is_not_found(recorder):
    """What it said is gone, and its place may be another chat's by now."""
    first, second = await chain(recorder, "a", "b")
    await recorder.store.chats.delete(recorder.scope, second.id)

    with pytest.raises(NotFound):
        await recorder.add("c", second)

    assert await recorder.history(first) == ["a", "re: a"]


# --- sessions -----------------------------------------------------------------------------------------------


async def test_session_is_one_thread_and_its_exchanges_go_to_its_end(recorder):
    session = await recorder.open_session("hello")

    for text in ("a", "b"):
        await recorder.add(text, session=session)

    assert texts(await recorder.store.sessions.history(session)) == ["hello", "a", "re: a", "b", "re: b"]
    assert await recorder.threads() == 1


async def test_many_exchanges_of_a_session_at_once_are_all_in_it_each_in_one_piece(recorder):
    session = await recorder.open_session()

    await asyncio.gather(
        *(
            recorder.store.chats.record(recorder.exchange(f"{number}", session_id=session.session.id))
            for number in range(30)
        )
    )

    inputs = texts(await recorder.store.sessions.history(session))
    assert sorted(inputs[::2], key=int) == [str(number) for number in range(30)]
    assert inputs[1::2] == [f"re: {text}" for text in inputs[::2]]


async def test_deleting_a_chat_of_a_session_keeps_what_was_said_in_the_session(recorder):
    session = await recorder.open_session()
    chat = await recorder.add("a", session=session)
    await recorder.add("b", session=session)

    await recorder.store.chats.delete(recorder.scope, chat.id)

    assert texts(await recorder.store.sessions.history(session)) == ["a", "re: a", "b", "re: b"]


async def test_deleting_a_session_deletes_its_chats_and_every_message(recorder):
    session = await recorder.open_session("hello")
    chat = await recorder.add("a", session=session)

    await recorder.store.sessions.delete(recorder.scope, session.session.id)

    with pytest.raises(NotFound):
        await recorder.store.chats.get(recorder.scope, chat.id)
    assert [await recorder.rows(table) for table in ("sessions", "chats", "messages", "forks")] == [
        0,
        0,
        0,
        0,
    ]


async def test_deleting_a_session_keeps_what_a_fork_outside_it_needs(recorder):
    session = await recorder.open_session("hello")
    inside = await recorder.add("a", session=session)
    outside = await recorder.add("b", inside)
    await recorder.add("c", session=session)

    await recorder.store.sessions.delete(recorder.scope, session.session.id)

    assert await recorder.history(outside) == ["hello", "a", "re: a", "b", "re: b"]
    await recorder.store.chats.delete(recorder.scope, outside.id)
    assert [await recorder.rows(table) for table in ("chats", "messages", "forks")] == [0, 0, 0]


async def test_continuing_a_chat_of_a_session_by_id_does_not_write_into_the_session(recorder):
    session = await recorder.open_session()
    inside = await recorder.add("a", session=session)

    await recorder.add("b", inside)

    assert texts(await recorder.store.sessions.history(session)) == ["a", "re: a"]


async def test_session_deleted_while_its_exchange_was_answered_is_not_found(recorder):
    session = await recorder.open_session()
    await recorder.store.sessions.delete(recorder.scope, session.session.id)

    with pytest.raises(NotFound):
        await recorder.add("a", session=session)

    assert [await recorder.rows(table) for table in ("chats", "messages")] == [0, 0]


async def test_replacing_the_messages_of_a_session_keeps_the_context_of_its_chats(recorder):
    session = await recorder.open_session("hello")
    old = await recorder.add("a", session=session)

    await recorder.store.sessions.update(
        recorder.scope, session.session.id, lambda _: None, [message("user", "anew")]
    )
    new = await recorder.add("b", session=session)

    assert await recorder.history(old) == ["hello", "a", "re: a"]
    assert await recorder.history(new) == ["anew", "b", "re: b"]
    assert texts((await recorder.store.chats.get(recorder.scope, old.id)).messages) == ["hello", "a"]


@pytest.mark.parametrize("with_chat", [False, True], ids=["nothing said", "a chat in the old thread"])
async def test_deleting_a_session_whose_messages_were_replaced_leaves_no_row(recorder, with_chat):
    session = await recorder.open_session("hello")
    if with_chat:
        await recorder.add("a", session=session)

    for text in ("anew", "and again"):
        await recorder.store.sessions.update(
            recorder.scope, session.session.id, lambda _: None, [message("user", text)]
        )
    await recorder.store.sessions.delete(recorder.scope, session.session.id)

    assert [await recorder.rows(table) for table in ("sessions", "chats", "messages", "forks")] == [
        0,
        0,
        0,
        0,
    ]


async def test_replacing_messages_with_none_leaves_no_old_message_when_no_chat_needs_them(recorder):
    session = await recorder.open_session("hello", "and more")

    await recorder.store.sessions.update(recorder.scope, session.session.id, lambda _: None, [])

    assert await recorder.rows("messages") == 0


# --- size ---------------------------------------------------------------------------------------------------


async def test_storage_grows_with_what_was_said_not_with_its_square(tmp_path, clock):
    def size():
        store.database.reader.execute("PRAGMA wal_checkpoint")
        return store.database.reader.execute(
            "SELECT page_count * page_size FROM pragma_page_count, pragma_page_size"
        ).fetchone()[0]

    store = open_store(tmp_path / "long", clock=clock)
    recorder = await Recorder.of_new_org(store, clock)
    previous, sizes = None, [size()]
    for turn in range(300):
        previous = await recorder.add(f"turn {turn}: " + "what was said " * 20, previous)
        if turn in (149, 299):
            sizes.append(size())
    store.close()

    first_half, second_half = sizes[1] - sizes[0], sizes[2] - sizes[1]
    assert second_half == pytest.approx(first_half, rel=0.25)
