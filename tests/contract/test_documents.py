"""Assistants and squads: documents that come back as they were sent, but for their secrets."""

import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from server.backends.providers import BASE_URLS, DOCUMENTED
from server.core.clock import now_ms, parse_rfc3339
from server.storage.documents import Documents
from tests.conftest import Org, Service
from tests.contract.doors import UNKNOWN_ID, CallError, Door

GOLDEN = Path(__file__).parent.parent / "golden"
OFFLINE = {"provider": "offline", "model": "offline-1"}
SECRET = "sk-0123456789-abcdef"
MASKED = "****cdef"


def golden(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((GOLDEN / f"{name}.json").read_text())
    return found


def without_server_members(document: dict[str, Any]) -> dict[str, Any]:
    return {
        name: value
        for name, value in document.items()
        if name not in ("id", "orgId", "createdAt", "updatedAt")
    }


class Noun:
    """The operations on one of the two nouns."""

    def __init__(self, door: Door, name: str, path: str, minimal: dict[str, Any], store: Documents) -> None:
        self.path = path
        self.name = name
        self.minimal = minimal
        self.stored = store
        self.create = getattr(door, f"create_{name}")
        self.list = getattr(door, f"list_{name}s")
        self.get = getattr(door, f"get_{name}")
        self.update = getattr(door, f"update_{name}")
        self.delete = getattr(door, f"delete_{name}")


def noun_of(door: Door, service: Service, name: str) -> Noun:
    minimal: dict[str, dict[str, Any]] = {"assistant": {}, "squad": {"members": [{"assistant": {}}]}}
    return Noun(door, name, f"/{name}", minimal[name], getattr(service.store, f"{name}s"))


@pytest.fixture(params=["assistant", "squad"])
def noun(request: pytest.FixtureRequest, door: Door, service: Service) -> Noun:
    return noun_of(door, service, request.param)


@pytest.fixture
def assistants(door: Door, service: Service) -> Noun:
    return noun_of(door, service, "assistant")


# --- create, read, list, delete -----------------------------------------------------------------------------


async def test_sample_assistant_comes_back_as_it_was_sent(assistants: Noun, org: Org) -> None:
    sample = golden("assistant")

    created = await assistants.create(document=sample)

    shown = {**sample, "credentials": [{**sample["credentials"][0], "apiKey": "****"}]}
    assert len(sample) == 34
    assert without_server_members(created) == shown
    assert (created["orgId"], created["createdAt"]) == (org.id, created["updatedAt"])
    assert await assistants.get(id=created["id"]) == created
    assert created in await assistants.list()


async def test_sample_assistant_is_stored_without_loss(assistants: Noun, service: Service, org: Org) -> None:
    created = await assistants.create(document=golden("assistant"))

    assert (await service.store.assistants.get(org.id, created["id"])).content == golden("assistant")


async def test_unknown_members_and_odd_values_come_back_as_they_were_sent(noun: Noun) -> None:
    document = {
        **noun.minimal,
        "name": "odd ✓ \u202e \x01",
        "": "empty name",
        "neverHeardOf": {"a": [1, -0.5, 1e300, None, True, {}, [], ""], "🙂": {"x": {"y": {"z": [[[]]]}}}},
        "firstMessage2": None,
        "big": 2**53,
        "document": {"mine": 1},
    }

    created = await noun.create(document=document)

    assert without_server_members(created) == document
    assert await noun.get(id=created["id"]) == created


async def test_server_members_that_are_sent_are_its_own(noun: Noun, org: Org) -> None:
    created = await noun.create(
        document={
            **noun.minimal,
            "id": UNKNOWN_ID,
            "orgId": UNKNOWN_ID,
            "createdAt": "2000-01-01T00:00:00Z",
            "updatedAt": 7,
        }
    )

    assert created["id"] != UNKNOWN_ID
    assert created["orgId"] == org.id
    assert now_ms() - parse_rfc3339(created["createdAt"]) < 60_000


async def test_deleting_returns_the_document_and_then_it_is_gone(noun: Noun) -> None:
    created = await noun.create(document={**noun.minimal, "name": "n"})

    assert await noun.delete(id=created["id"]) == created

    for call in (noun.get, noun.delete):
        with pytest.raises(CallError) as refused:
            await call(id=created["id"])
        assert (refused.value.status, refused.value.text) == (404, f"{noun.name} not found")
    assert created not in await noun.list()


async def test_list_is_newest_first_and_limited(noun: Noun) -> None:
    made = [await noun.create(document={**noun.minimal, "name": str(number)}) for number in range(3)]

    assert (await noun.list())[:3] == made[::-1]
    assert await noun.list(limit=2) == [made[2], made[1]]
    assert await noun.list(limit=0) == []
    assert await noun.list(createdAtLt="2000-01-01T00:00:00Z") == []
    assert (await noun.list(updatedAtGe="2000-01-01T00:00:00Z", limit=1.0)) == [made[2]]


async def test_list_over_http_is_a_bare_array_and_creating_answers_201(
    http: httpx.AsyncClient, org: Org, service: Service
) -> None:
    nouns: dict[str, dict[str, Any]] = {"/assistant": {}, "/squad": {"members": [{"assistant": {}}]}}
    for path, minimal in nouns.items():
        created = await http.post(path, json=minimal, headers=org.bearer)
        listed = await http.get(path, headers=org.bearer)

        assert (created.status_code, created.headers["content-type"]) == (201, "application/json")
        assert created.json() in listed.json()
        assert (listed.status_code, type(listed.json())) == (200, list)


async def test_list_and_reads_have_nothing_of_other_orgs(
    noun: Noun, door: Door, service: Service, other_org: Org
) -> None:
    theirs = await noun_of(door.of(other_org), service, noun.name).create(document=noun.minimal)

    for unknown in (theirs["id"], UNKNOWN_ID, "no-id"):
        for call, members in ((noun.get, {}), (noun.delete, {}), (noun.update, {"patch": {"name": "mine"}})):
            with pytest.raises(CallError) as refused:
                await call(id=unknown, **members)
            assert (refused.value.status, refused.value.text) == (404, f"{noun.name} not found")
    assert theirs["id"] not in [document["id"] for document in await noun.list()]


async def test_what_an_assistant_answered_outlives_it(door: Door, assistants: Noun) -> None:
    created = await assistants.create(document={})
    chat = await door.create_chat(input="x", assistantId=created["id"])

    await assistants.delete(id=created["id"])

    assert await door.get_chat(id=chat["id"]) == chat


# --- patch --------------------------------------------------------------------------------------------------


async def test_patch_replaces_whole_members_and_null_removes_them(noun: Noun) -> None:
    before = await noun.create(
        document={**noun.minimal, "name": "old", "metadata": {"a": 1, "b": {"c": 2}}, "own": [1], "gone": "x"}
    )

    after = await noun.update(
        id=before["id"], patch={"metadata": {"b": None}, "gone": None, "name": "new", "more": {}}
    )

    assert after == {
        **{name: value for name, value in before.items() if name != "gone"},
        "name": "new",
        "metadata": {"b": None},
        "more": {},
        "updatedAt": after["updatedAt"],
    }
    assert await noun.get(id=before["id"]) == after


async def test_patch_cannot_change_what_is_the_servers(noun: Noun) -> None:
    before = await noun.create(document=noun.minimal)

    after = await noun.update(
        id=before["id"], patch={"id": UNKNOWN_ID, "orgId": None, "createdAt": "x", "name": "n"}
    )

    assert after == {**before, "name": "n", "updatedAt": after["updatedAt"]}


async def test_document_that_was_read_may_be_sent_back(noun: Noun) -> None:
    before = await noun.create(document={**noun.minimal, "name": "n"})

    after = await noun.update(id=before["id"], patch=before)

    assert after == {**before, "updatedAt": after["updatedAt"]}


async def test_empty_patch_changes_nothing(noun: Noun) -> None:
    before = await noun.create(document={**noun.minimal, "name": "n"})

    after = await noun.update(id=before["id"], patch={})

    assert after == {**before, "updatedAt": after["updatedAt"]}


async def test_patch_that_leaves_a_wrong_document_is_refused(assistants: Noun) -> None:
    before = await assistants.create(document={"model": OFFLINE})

    with pytest.raises(CallError) as refused:
        await assistants.update(id=before["id"], patch={"model": {**OFFLINE, "temperature": 9}})

    assert (refused.value.status, refused.value.text.split(" ")[0]) == (400, "model.temperature")
    assert await assistants.get(id=before["id"]) == before


async def test_patched_assistant_answers_from_then_on(door: Door, assistants: Noun) -> None:
    created = await assistants.create(document={"model": {**OFFLINE, "systemPrompt": "My name is Eve."}})
    await door.create_chat(input="What is my name?", assistantId=created["id"])

    await assistants.update(id=created["id"], patch={"model": {**OFFLINE, "systemPrompt": "My name is Ada."}})

    chat = await door.create_chat(input="What is my name?", assistantId=created["id"])
    assert chat["output"][0]["content"] == "Your name is Ada."


# --- secrets ------------------------------------------------------------------------------------------------


def credentials(key: str) -> list[dict[str, str]]:
    return [{"provider": "openai", "apiKey": key, "name": "mine"}]


async def stored_key(service: Service, org: Org, created: dict[str, Any]) -> str:
    found: str = (await service.store.assistants.get(org.id, created["id"])).content["credentials"][0][
        "apiKey"
    ]
    return found


async def test_secret_is_stored_and_never_shown(assistants: Noun, service: Service, org: Org) -> None:
    created = await assistants.create(document={"credentials": credentials(SECRET)})

    shown = [
        created,
        await assistants.get(id=created["id"]),
        await assistants.update(id=created["id"], patch={"name": "n"}),
        *[one for one in await assistants.list() if one["id"] == created["id"]],
    ]
    assert await stored_key(service, org, created) == SECRET
    shown.append(await assistants.delete(id=created["id"]))
    assert [one["credentials"] for one in shown] == [credentials(MASKED)] * 5


async def test_masked_secret_that_is_sent_back_stays_what_it_was(
    assistants: Noun, service: Service, org: Org
) -> None:
    created = await assistants.create(document={"name": "old", "credentials": credentials(SECRET)})

    after = await assistants.update(id=created["id"], patch={**created, "name": "new"})

    assert (after["name"], after["credentials"]) == ("new", credentials(MASKED))
    assert await stored_key(service, org, created) == SECRET


async def test_new_secret_replaces_the_old_one(assistants: Noun, service: Service, org: Org) -> None:
    created = await assistants.create(document={"credentials": credentials(SECRET)})

    await assistants.update(id=created["id"], patch={"credentials": credentials("sk-another-long-one")})

    assert await stored_key(service, org, created) == "sk-another-long-one"


async def test_masked_secret_of_nothing_is_refused(assistants: Noun) -> None:
    created = await assistants.create(document={"credentials": credentials(SECRET)})

    for call in (
        assistants.create(document={"credentials": credentials(MASKED)}),
        assistants.update(id=created["id"], patch={"credentials": credentials("****wxyz")}),
    ):
        with pytest.raises(CallError) as refused:
            await call
        assert (refused.value.status, refused.value.text) == (
            400,
            "credentials[0].apiKey is masked and matches no stored secret: send the secret itself",
        )


async def test_secret_of_an_assistant_in_a_squad_is_never_shown(door: Door) -> None:
    created = await door.create_squad(
        document={"members": [{"assistant": {"credentials": credentials(SECRET)}}]}
    )
    session = await door.create_session(squadId=created["id"])
    chat = await door.create_chat(input="x", sessionId=session["id"])

    shown = json.dumps(
        [created, await door.list_squads(), session, chat, await door.get_session(id=session["id"])]
    )

    assert SECRET not in shown
    assert MASKED in shown


# --- what is refused ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("document", "named"),
    [
        pytest.param({"name": 7}, "name", id="name of another type"),
        pytest.param({"name": "n" * 41}, "name", id="name too long"),
        pytest.param({"model": {"model": "m"}}, "model.provider", id="no provider"),
        pytest.param({"model": {"provider": "openai"}}, "model.model", id="no model"),
        pytest.param({"model": "gpt-4o"}, "model", id="model of another type"),
        pytest.param({"model": {**OFFLINE, "temperature": 2.5}}, "model.temperature", id="temperature"),
        pytest.param(
            {"model": {**OFFLINE, "temperature": "0.5"}}, "model.temperature", id="temperature as text"
        ),
        pytest.param({"model": {**OFFLINE, "maxTokens": 0.5}}, "model.maxTokens", id="maxTokens"),
        pytest.param(
            {"model": {**OFFLINE, "messages": [{"role": "robot"}]}}, "model.messages[0].role", id="role"
        ),
        pytest.param({"model": {**OFFLINE, "tools": {}}}, "model.tools", id="tools of another type"),
        pytest.param({"firstMessage": 1}, "firstMessage", id="firstMessage"),
        pytest.param({"metadata": [1]}, "metadata", id="metadata"),
        pytest.param({"credentials": "sk"}, "credentials", id="credentials"),
        pytest.param(
            {"chatSystemInstructionMode": 1}, "chatSystemInstructionMode", id="chatSystemInstructionMode"
        ),
    ],
)
async def test_assistant_that_no_chat_could_act_on_is_refused(
    assistants: Noun, document: dict[str, Any], named: str
) -> None:
    with pytest.raises(CallError) as refused:
        await assistants.create(document=document)

    assert (refused.value.status, refused.value.text.split(" ")[0]) == (400, named)


@pytest.mark.parametrize(
    ("document", "named"),
    [
        pytest.param({}, "members", id="nothing"),
        pytest.param({"members": []}, "members", id="nobody"),
        pytest.param({"members": [{}]}, "members[0]", id="member that is nobody"),
        pytest.param(
            {"members": [{"assistant": {}}, {"assistant": {}, "assistantId": UNKNOWN_ID}]},
            "members[1]",
            id="member that is two",
        ),
        pytest.param(
            {"members": [{"assistant": {"model": {**OFFLINE, "maxTokens": "x"}}}]},
            "members[0].assistant.model.maxTokens",
            id="member's own",
        ),
    ],
)
async def test_squad_that_could_not_answer_is_refused(
    door: Door, document: dict[str, Any], named: str
) -> None:
    with pytest.raises(CallError) as refused:
        await door.create_squad(document=document)

    assert (refused.value.status, refused.value.text.split(" ")[0]) == (400, named)


OPENIA = {"provider": "openia", "model": "gpt-4o"}
WITH_OPENIA = {
    "assistant": ("create_assistant", {"document": {"model": OPENIA}}, "model.provider"),
    "squad": (
        "create_squad",
        {"document": {"members": [{"assistant": {}}, {"assistant": {"model": OPENIA}}]}},
        "members[1].assistant.model.provider",
    ),
    "member's overrides": (
        "create_squad",
        {"document": {"members": [{"assistant": {}, "assistantOverrides": {"model": OPENIA}}]}},
        "members[0].assistantOverrides.model.provider",
    ),
    "members' overrides": (
        "create_squad",
        {"document": {"members": [{"assistant": {}}], "membersOverrides": {"model": OPENIA}}},
        "membersOverrides.model.provider",
    ),
    "chat": ("create_chat", {"input": "x", "assistant": {"model": OPENIA}}, "assistant.model.provider"),
    "chat with a squad": (
        "create_chat",
        {"input": "x", "squad": {"members": [{"assistant": {"model": OPENIA}}]}},
        "squad.members[0].assistant.model.provider",
    ),
    "session": ("create_session", {"assistant": {"model": OPENIA}}, "assistant.model.provider"),
    "response": (
        "create_response",
        {"input": "x", "assistant": {"model": OPENIA}, "stream": False},
        "assistant.model.provider",
    ),
}


@pytest.mark.parametrize(("call", "members", "named"), WITH_OPENIA.values(), ids=WITH_OPENIA)
async def test_provider_that_nobody_documents_is_refused_with_the_nearest_name(
    door: Door, call: str, members: dict[str, Any], named: str
) -> None:
    with pytest.raises(CallError) as refused:
        await getattr(door, call)(**members)

    assert (refused.value.status, refused.value.text.split(" ")[0]) == (400, named)
    assert refused.value.text.endswith("together with an OpenAI-compatible model.url; did you mean openai?")


@pytest.mark.parametrize(
    "model",
    [
        *({"provider": name, "model": "m"} for name in (*BASE_URLS, *sorted(DOCUMENTED))),
        {"provider": "my-own", "model": "m", "url": "https://models.example/v1"},
    ],
    ids=lambda model: model["provider"],
)
async def test_provider_that_is_documented_or_has_a_url_can_be_stored(
    assistants: Noun, model: dict[str, Any]
) -> None:
    assert (await assistants.create(document={"model": model}))["model"] == model


@pytest.mark.parametrize("members", [5, [1], {"a": 1}, [{"assistant": {"model": OPENIA}}]], ids=json.dumps)
async def test_assistants_own_member_called_members_is_no_squads(assistants: Noun, members: Any) -> None:
    created = await assistants.create(document={"model": OFFLINE, "members": members})
    renamed = await assistants.update(id=created["id"], patch={"name": "renamed"})

    assert created["members"] == renamed["members"] == members


async def test_provider_is_refused_where_a_patch_brings_it_and_nowhere_else(
    assistants: Noun, service: Service, org: Org
) -> None:
    old = await service.store.assistants.create(org.id, {"model": OPENIA})
    new = await assistants.create(document={"model": OFFLINE})
    renamed = await assistants.update(id=old.id, patch={"name": "old"})
    with pytest.raises(CallError) as refused:
        await assistants.update(id=new["id"], patch={"model": OPENIA})

    assert renamed["model"] == OPENIA
    assert refused.value.text.startswith("model.provider must be one of offline, ")
