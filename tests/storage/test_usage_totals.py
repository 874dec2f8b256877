"""Usage by day, assistant, model, key and org, for the operator: of one org or of all, deleted chats included."""

import pytest

from server.storage.usage import DIMENSIONS, Total
from tests.storage.records import Recorder

DAY = 86_400_000


@pytest.fixture
async def used(store, clock):
    """Two orgs: three chats on two days in the first, one of them deleted, and one chat in the second."""
    first = await Recorder.of_new_org(store, clock)
    await first.add("one")
    clock.now += DAY
    await first.add("two")
    gone = await first.add("three")
    await store.chats.delete(first.scope, gone.id)
    other = await Recorder.of_new_org(store, clock)
    await other.add("four")
    return first, other


async def test_every_dimension_adds_up_to_the_same(store, used):
    for by in DIMENSIONS:
        assert sum(one.chats for one in await store.usage.totals(None, None, None, by)) == 4, by
        assert sum(one.chats for one in await store.usage.totals(used[0].key.org_id, None, None, by)) == 3, by


async def test_usage_by_day_and_org(store, used):
    days = await store.usage.totals(None, None, None, "day")
    orgs = await store.usage.totals(None, None, None, "org")

    assert [(one.one, one.chats) for one in days] == [("2023-11-14", 1), ("2023-11-15", 3)]
    names = {one.id: one.name for one in await store.orgs.list()}
    assert {(one.one, one.name, one.chats) for one in orgs} == {
        (recorder.key.org_id, names[recorder.key.org_id], chats)
        for recorder, chats in zip(used, (3, 1), strict=True)
    }


async def test_model_of_a_deleted_chat_is_not_kept(store, used):
    deleted, kept = await store.usage.totals(used[0].key.org_id, None, None, "model")

    assert (deleted.one, deleted.chats, kept.chats) == (None, 1, 2)
    assert "/" in kept.one


async def test_usage_begins_and_ends_where_it_is_asked_to(store, used, clock):
    assert [one.chats for one in await store.usage.totals(None, clock.now, None, "day")] == [3]
    assert [one.chats for one in await store.usage.totals(None, None, clock.now, "day")] == [1]
    assert await store.usage.totals(None, clock.now + 1, None, "day") == []
    assert all(isinstance(one, Total) for one in await store.usage.totals(None, None, None, "key"))
