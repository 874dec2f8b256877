"""Orgs: created once, listed with the numbers of their records."""

import pytest

from server.core.errors import FailedPrecondition, NotFound
from tests.storage.records import Recorder


async def test_org_is_created_once(store, clock):
    made = await store.orgs.create("acme")

    with pytest.raises(FailedPrecondition, match="acme exists already"):
        await store.orgs.create("acme")
    assert made == await store.orgs.get("acme") == await store.orgs.get(made.id)
    assert (made.name, made.created_at, made.keys, made.last_chat_at) == ("acme", clock.now, 0, None)
    assert await store.keys.org_id("acme") == made.id


async def test_unknown_org_is_an_error_that_names_the_remedy(store):
    for name in ("nobody", "01a22fe1-bc3b-7653-90c2-9cf9302ff162"):
        with pytest.raises(NotFound, match=f"org {name} does not exist; `parley orgs list`"):
            await store.orgs.get(name)


async def test_orgs_are_listed_with_what_each_has(store, clock):
    recorder = await Recorder.of_new_org(store, clock)
    for number in range(2):
        await recorder.add(f"hello {number}")
    await store.assistants.create(recorder.key.org_id, {"name": "helper"})
    revoked = await store.keys.create("other", "api")
    await store.keys.revoke(revoked.id)
    await store.keys.create("other", "api", clock.now)
    first, second = await store.orgs.list()

    assert (first.id, first.keys, first.assistants, first.chats) == (recorder.key.org_id, 1, 1, 2)
    assert first.last_chat_at == clock.now
    assert (second.name, second.keys, second.chats, second.last_chat_at) == ("other", 0, 0, None)
