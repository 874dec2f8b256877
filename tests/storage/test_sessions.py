"""Sessions on disk: members, expiry, costs, and what an update changes."""

import pytest

from generated.parley.v1.agent_chat_service_pb2 import ListAgentChatsRequest
from generated.parley.v1.session_service_pb2 import ListSessionsRequest
from server.content.json_values import struct_from, to_python
from server.core.clock import ms_of
from server.core.errors import NotFound
from server.core.ids import new_id
from server.storage.keys import KINDS
from server.storage.scope import Scope
from server.storage.sessions import insert_session
from tests.storage.records import Recorder, message, texts


async def test_created_session_comes_back_whole(recorder):
    stored = await recorder.open_session(
        "hello",
        name="n",
        user_id="u",
        phone_number_id="p",
        customer=struct_from({"number": "+1"}),
        metadata=struct_from({"a": [1]}),
        customer_id="c",
    )

    session = await recorder.store.sessions.get(recorder.scope, stored.session.id)

    assert (session.name, session.user_id, session.phone_number_id, session.customer_id) == (
        "n",
        "u",
        "p",
        "c",
    )
    assert (to_python(session.customer), to_python(session.metadata)) == ({"number": "+1"}, {"a": [1]})
    assert (texts(session.messages), session.status, session.expiration_seconds) == (["hello"], "active", 60)
    assert stored.variables == {"who": "Ada"}


async def test_session_expires_that_many_seconds_after_its_last_write(recorder):
    stored = await recorder.open_session(expiration_seconds=60)
    now = recorder.clock.now

    assert [stored.has_expired(at) for at in (now, now + 60_000, now + 60_001)] == [False, False, True]


async def test_exchange_puts_the_expiry_off(recorder):
    session = await recorder.open_session()
    recorder.clock.now += 50_000
    await recorder.add("a", session=session)

    stored = await recorder.store.sessions.find(recorder.scope, session.session.id)

    assert ms_of(stored.session.updated_at) == recorder.clock.now
    assert not stored.has_expired(recorder.clock.now + 60_000)


async def test_clock_that_jumps_back_does_not_take_time_back(recorder):
    session = await recorder.open_session()
    before = recorder.clock.now
    recorder.clock.now -= 3_600_000
    await recorder.add("a", session=session)

    stored = await recorder.store.sessions.find(recorder.scope, session.session.id)

    assert ms_of(stored.session.updated_at) == before


async def test_costs_are_summed_by_model_over_the_chats_of_the_session(recorder):
    session = await recorder.open_session()
    for text in ("a", "b", "c"):
        await recorder.add(text, session=session)
    await recorder.add("elsewhere")

    found = await recorder.store.sessions.get(recorder.scope, session.session.id)

    assert found.cost == 0.75
    assert [
        (part.type, to_python(part.model), part.prompt_tokens, part.completion_tokens, part.cost)
        for part in found.costs
    ] == [("model", {"provider": "offline", "model": "offline-1"}, 9, 6, 0.75)]


async def test_update_changes_the_given_members_and_returns_the_session(recorder):
    session = await recorder.open_session("hello", name="old")
    recorder.clock.now += 1_000

    def change(found):
        found.name, found.status, found.expiration_seconds = "new", "completed", 3600

    updated = await recorder.store.sessions.update(recorder.scope, session.session.id, change, None)

    assert (updated.name, updated.status, updated.expiration_seconds) == ("new", "completed", 3600)
    assert (texts(updated.messages), ms_of(updated.updated_at)) == (["hello"], recorder.clock.now)
    assert updated == await recorder.store.sessions.get(recorder.scope, session.session.id)


async def test_name_that_is_removed_is_gone(recorder):
    session = await recorder.open_session(name="old")

    updated = await recorder.store.sessions.update(
        recorder.scope, session.session.id, lambda found: found.ClearField("name"), None
    )

    assert not updated.HasField("name")


async def test_update_that_fails_changes_nothing(recorder):
    session = await recorder.open_session("hello", name="old")

    def change(found):
        found.name = "new"
        raise NotFound("on second thought")

    with pytest.raises(NotFound):
        await recorder.store.sessions.update(
            recorder.scope, session.session.id, change, [message("user", "anew")]
        )

    found = await recorder.store.sessions.get(recorder.scope, session.session.id)
    assert (found.name, texts(found.messages)) == ("old", ["hello"])


@pytest.mark.parametrize("session_id", [new_id(), None, "' OR 1=1 --"], ids=["absent", "no id", "sql"])
async def test_absent_session_is_not_found(recorder, session_id):
    await recorder.open_session()
    sessions = recorder.store.sessions

    for act in (
        sessions.find,
        sessions.get,
        sessions.delete,
        lambda scope, found: sessions.update(scope, found, lambda _: None, None),
    ):
        with pytest.raises(NotFound, match=r"^session not found$"):
            await act(recorder.scope, session_id)
    assert await recorder.rows("sessions") == 1


async def test_session_of_another_org_or_another_publishable_key_is_not_found(recorder, store, clock):
    session_id = (await recorder.open_session()).session.id
    stranger = await Recorder.of_new_org(store, clock)

    for scope in (stranger.scope, Scope(recorder.key.org_id, stranger.key.id)):
        for act in (store.sessions.find, store.sessions.get, store.sessions.delete):
            with pytest.raises(NotFound, match=r"^session not found$"):
                await act(scope, session_id)
        assert (await store.sessions.list(scope, ListSessionsRequest()))[0] == []


async def test_list_has_no_messages(recorder):
    await recorder.open_session("hello")

    sessions, metadata = await recorder.store.sessions.list(recorder.scope, ListSessionsRequest())

    assert ([list(session.messages) for session in sessions], metadata.total_items) == ([[]], 1)


FILTERS = {"name": {"name": "wanted"}, "number": {"number": "+1"}, "phone number": {"phone_number_id": "p"}}


@pytest.mark.parametrize("wanted", FILTERS.values(), ids=FILTERS)
async def test_list_is_filtered(recorder, wanted):
    found = await recorder.open_session(
        name="wanted", customer=struct_from({"number": "+1"}), phone_number_id="p"
    )
    await recorder.open_session(name="other", customer=struct_from({"number": "+2"}), phone_number_id="q")
    await recorder.open_session()

    sessions, _ = await recorder.store.sessions.list(recorder.scope, ListSessionsRequest(**wanted))

    assert [session.id for session in sessions] == [found.session.id]


@pytest.mark.parametrize("wanted", [{"user_id": "u"}, {"agent_type": "sales"}], ids=["user", "agent type"])
async def test_agents_door_lists_by_user_and_agent_type(recorder, wanted):
    found = await recorder.open_session(user_id="u", agent_type="sales")
    await recorder.open_session(user_id="v", agent_type="support")

    sessions, has_more = await recorder.store.sessions.of_agents(
        recorder.scope, ListAgentChatsRequest(**wanted)
    )

    assert ([session.id for session in sessions], has_more) == ([found.session.id], False)


async def test_agents_door_lists_at_most_the_newest_thousand_and_older_ones_before_an_id(recorder):
    made = [(await recorder.open_session()).session.id for _ in range(5)][::-1]  # all of one millisecond

    async def found(**members):
        sessions, has_more = await recorder.store.sessions.of_agents(
            recorder.scope, ListAgentChatsRequest(**members)
        )
        return [session.id for session in sessions], has_more

    assert await found() == (made, False)
    assert await found(limit=2) == (made[:2], True)
    assert await found(limit=2, before=made[1]) == (made[2:4], True)
    assert await found(limit=2, before=made[3]) == (made[4:], False)
    with pytest.raises(NotFound, match="`before`"):
        await found(before=new_id())


async def test_agents_door_lists_a_thousand_unless_asked_for_fewer(recorder):
    new = [recorder.new_session() for _ in range(1001)]
    await recorder.store.database.write(
        lambda connection: [insert_session(connection, recorder.store.outbox, one) for one in new] and None
    )

    sessions, has_more = await recorder.store.sessions.of_agents(recorder.scope, ListAgentChatsRequest())

    assert ([session.id for session in sessions], has_more) == ([one.session.id for one in new[:0:-1]], True)


async def test_sessions_of_a_number_are_those_of_the_orgs_own_keys(store, clock):
    carried = {"customer": struct_from({"number": "+1"}), "phone_number_id": "p"}
    made = {
        kind: (await (await Recorder.of_new_org(store, clock, "acme", kind)).open_session(**carried)).session
        for kind in KINDS
    }

    found = await store.sessions.carried(made["api"].org_id, ["p"], "+1")

    assert {one.stored.session.id for one in found} == {made["api"].id, made["secret"].id}
