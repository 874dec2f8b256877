"""Histories on both engines: in pieces that are whole one after another, whatever was forked and deleted."""

import random

import pytest

from server.core.errors import FailedPrecondition
from server.storage.history_order import in_order
from server.storage.sqlite.checking import findings
from server.wire.history import lines as histories
from server.wire.history.lines import History, Line
from tests.storage.records import Recorder, message


async def exported(store, org_id, session_id=None):
    return [batch async for batch in History(store.database).export(org_id, session_id, secrets=True)]


async def ingest(store, org_id, lines):
    return await History(store.database).ingest(
        org_id, [Line(number, text) for number, text in enumerate(lines, 1)]
    )


async def converse(recorder, chance):
    """Chains, forks, sessions and forks out of them, of which some are deleted; the ids of the sessions."""
    store, chats, sessions = (
        recorder.store,
        [await recorder.add("first")],
        [await recorder.open_session("before")],
    )
    for _ in range(25):
        kind = chance.choice(["chain", "fork", "fork", "session", "item", "patch", "new", "delete", "delete"])
        session = chance.choice(sessions)
        if kind in ("chain", "fork") and chats:
            chats.append(await recorder.add(kind, chats[-1] if kind == "chain" else chance.choice(chats)))
        elif kind == "session":
            chats.append(
                await recorder.add(
                    kind, session=await store.sessions.find(recorder.scope, session.session.id)
                )
            )
        elif kind == "item":
            await store.sessions.append(recorder.scope, session.session.id, [message("user", kind)])
        elif kind == "patch":
            await store.sessions.update(
                recorder.scope, session.session.id, lambda _: None, [message("user", "anew")]
            )
        elif kind == "new":
            chats.append(await recorder.add("new", alternatives=["other"]))
            sessions.append(await recorder.open_session())
        elif chats:
            await store.chats.delete(recorder.scope, chats.pop(chance.randrange(len(chats))).id)
    return [session.session.id for session in sessions]


@pytest.mark.parametrize("seed", range(6))
async def test_history_comes_back_byte_for_byte_piece_by_piece(
    store, recorder, clock, engine, tmp_path, monkeypatch, seed
):
    monkeypatch.setattr(histories, "_BATCH_CHARACTERS", 0)  # the smallest pieces
    sessions = await converse(recorder, random.Random(seed))

    for session_id in (None, *sessions):
        copy = (await Recorder.of_new_org(store, clock)).key.org_id
        pieces = await exported(store, recorder.key.org_id, session_id)
        for piece in pieces:
            imported = await ingest(store, copy, piece)
            assert imported.skipped == 0
            assert engine == "postgres" or findings(tmp_path / "parley.db") == []
        assert await exported(store, copy) == pieces


async def test_piece_without_what_it_needs_is_refused_and_says_what_that_is(
    store, recorder, clock, monkeypatch
):
    monkeypatch.setattr(histories, "_BATCH_CHARACTERS", 0)
    root = await recorder.add("root")
    await recorder.add("more", root)
    await recorder.add("fork", root)
    pieces = (await exported(store, recorder.key.org_id))[1:]
    copy = (await Recorder.of_new_org(store, clock)).key.org_id
    before = await exported(store, copy)

    for lines in (pieces[0][1:], pieces[0][2:], pieces[1], pieces[2]):
        with pytest.raises(
            FailedPrecondition, match=r"line 1: needs message \d of thread .* is not here: send together"
        ):
            await ingest(store, copy, lines)

    assert await exported(store, copy) == before


def test_threads_in_a_circle_come_in_some_order_as_well():
    forks = {"a": ("b", 0), "b": ("a", 0), "d": ("c", 0)}

    units = list(in_order(["a", "b", "c", "d"], forks, lambda thread: [(thread, thread == "d")]))

    assert units == [["c", "d"], ["a", "b"]]


def test_who_continues_most_of_a_thread_comes_first():
    forks = {"b": ("a", 1), "c": ("a", 3), "d": ("a", 3), "e": ("c", 0)}

    units = list(in_order(["a", "b", "c", "d", "e"], forks, lambda thread: [(thread, True)]))

    assert [thread for unit in units for thread in unit] == ["a", "c", "e", "d", "b"]
