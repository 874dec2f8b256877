"""Keys: who shows one, what the file holds of it, and how it ends."""

import pytest

from server.core.errors import NotFound
from server.storage.keys import KINDS, Caller
from server.storage.scope import Scope
from server.storage.store import open_store

PREFIXES = {"api": "api_", "secret": "sk_live_", "publishable": "pk_live_"}


@pytest.mark.parametrize("kind", KINDS)
async def test_key_says_who_calls(store, kind):
    made = await store.keys.create("acme", kind)

    assert await store.keys.caller(made.key) == Caller(made.org_id, made.id, kind, org_name="acme")
    assert made.key.startswith(PREFIXES[kind])


async def test_keys_of_one_org_name_are_of_one_org(store):
    first, second, other = [await store.keys.create(name, "api") for name in ("acme", "acme", "other")]

    assert first.org_id == second.org_id != other.org_id
    assert await store.keys.org_id("acme") == first.org_id
    assert len({first.key, second.key, other.key}) == 3


async def test_publishable_key_sees_what_it_made_others_what_their_org_has(store):
    made = [await store.keys.create("acme", kind) for kind in KINDS]

    assert [(await store.keys.caller(key.key)).scope for key in made] == [
        Scope(key.org_id, key.id if key.kind == "publishable" else None) for key in made
    ]


STRANGE = {
    "empty": "",
    "sql": "' OR '1'='1",
    "union": "x' UNION SELECT org_id, id, kind FROM keys --",
    "nul": "\0",
    "surrogate": "\ud800",
    "percent": "%",
    "long": "x" * 100_000,
    "bytes of a digest": "api_" + "A" * 43,
}


@pytest.mark.parametrize("key", STRANGE.values(), ids=STRANGE)
async def test_strange_key_has_no_owner(store, key):
    await store.keys.create("acme", "api")

    assert await store.keys.caller(key) is None


NOT_QUITE = {
    "case": str.upper,
    "one character less": lambda key: key[:-1],
    "blank": lambda key: key + " ",
    "prefix": lambda key: key.removeprefix("api_"),
}


@pytest.mark.parametrize("change", NOT_QUITE.values(), ids=NOT_QUITE)
async def test_key_must_be_shown_exactly(store, change):
    made = await store.keys.create("acme", "api")

    assert await store.keys.caller(change(made.key)) is None


async def test_revoked_key_has_no_owner_at_once_and_its_sisters_live_on(store):
    gone, stays = [await store.keys.create("acme", "api") for _ in range(2)]

    await store.keys.revoke(gone.id)

    assert await store.keys.caller(gone.key) is None
    assert (await store.keys.caller(stays.key)).key_id == stays.id


async def test_key_has_no_owner_from_its_expiry_on(store, clock):
    ends, stays = (
        await store.keys.create("acme", "api", clock.now + 1_000),
        await store.keys.create("acme", "api"),
    )

    clock.now += 999
    before = await store.keys.caller(ends.key)
    clock.now += 1

    assert before.key_id == ends.id
    assert await store.keys.caller(ends.key) is None
    assert (await store.keys.caller(stays.key)).key_id == stays.id
    assert [key["expiresAt"] for key in await store.keys.list()] == [clock.now, None]


async def test_revoking_twice_keeps_the_first_time(store, clock):
    made = await store.keys.create("acme", "api")
    await store.keys.revoke(made.id)
    first = (await store.keys.list())[0]["revokedAt"]
    clock.now += 1_000

    await store.keys.revoke(made.id)

    assert (await store.keys.list())[0]["revokedAt"] == first


async def test_revoking_an_absent_key_says_how_to_find_keys(store):
    with pytest.raises(NotFound, match="parley keys list"):
        await store.keys.revoke("nobody")


async def test_absent_org_says_how_to_make_it(store):
    with pytest.raises(NotFound, match="parley keys create --org acme"):
        await store.keys.org_id("acme")


async def test_list_shows_keys_without_their_text(store):
    made = await store.keys.create("acme", "secret")

    listed = await store.keys.list()

    assert [(key["id"], key["org"], key["orgName"], key["kind"]) for key in listed] == [
        (made.id, made.org_id, "acme", "secret")
    ]
    assert made.key not in str(listed)


async def test_file_holds_no_key(tmp_path):
    store = open_store(tmp_path)
    made = await store.keys.create("acme", "secret")
    store.close()

    assert all(made.key.encode() not in path.read_bytes() for path in tmp_path.iterdir())
    assert made.key.removeprefix("sk_live_").encode() not in (tmp_path / "parley.db").read_bytes()


async def test_keys_are_known_after_a_restart_and_only_under_the_same_secret(store, place):
    made = await store.keys.create("acme", "api")
    await store.aclose()

    same, other = await place.open(), await place.open(key_secret="another secret of the operator")

    assert (await same.keys.caller(made.key)).key_id == made.id
    assert await other.keys.caller(made.key) is None
