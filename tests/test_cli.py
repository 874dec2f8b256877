"""The commands of `parley` beside `serve`, as real processes, on the data of a server that is serving.

Does not test what the server does with keys and assistants beyond noticing the change.
"""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from server.core.ids import new_id
from tests.conftest import Service, running
from tests.processes import Ended, run

HELPER = {
    "name": "helper",
    "model": {"provider": "offline", "model": "offline-1", "temperature": 0.5},
    "shelf": 7,
}


@pytest.fixture
def parley(service: Service) -> Any:
    async def parley(*arguments: object) -> Ended:
        return await run("parley", *arguments, "--data", service.settings.data)

    return parley


@pytest.fixture
def org_name() -> str:
    return f"org-{new_id()}"


def printed(ended: Ended) -> Any:
    """What a command that went well printed, as JSON."""
    assert (ended.code, ended.err) == (0, "")
    return json.loads(ended.out)


def refused(ended: Ended) -> str:
    """The one line that a command which failed said."""
    assert ended.code not in (0, None)
    assert ended.out == ""
    assert ended.err.startswith("Error: ")
    assert ended.err.count("\n") == 1
    return ended.err.removeprefix("Error: ").rstrip()


def as_file(folder: Path, content: Any) -> Path:
    path = folder / "assistant.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


async def status_of(http: Any, key: str) -> int:
    return (await http.get("/assistant", headers={"authorization": f"Bearer {key}"})).status_code


# Keys


async def test_keys_of_a_new_org_are_of_their_kinds(parley, org_name, http):
    first = printed(await parley("keys", "create", "--org", org_name, "--kind", "api", "--json"))
    others = await asyncio.gather(
        *(
            parley("keys", "create", "--org", org_name, "--kind", kind, "--json")
            for kind in ("secret", "publishable")
        )
    )
    secret, publishable = map(printed, others)

    assert [list(made) for made in (first, secret, publishable)] == [["id", "org", "kind", "key"]] * 3
    assert [made["kind"] for made in (first, secret, publishable)] == ["api", "secret", "publishable"]
    assert {made["org"] for made in (first, secret, publishable)} == {first["org"]}
    assert len({made["id"] for made in (first, secret, publishable)}) == 3
    assert not first["key"].startswith(("sk_", "pk_"))
    assert secret["key"].startswith("sk_live_")
    assert publishable["key"].startswith("pk_live_")
    assert [await status_of(http, made["key"]) for made in (first, secret, publishable)] == [200, 200, 403]


async def test_key_made_without_json_is_all_that_is_printed(parley, org_name, http):
    made = await parley("keys", "create", "--org", org_name, "--kind", "api")

    assert (made.code, made.err) == (0, "")
    assert await status_of(http, made.out.removesuffix("\n")) == 200


async def test_keys_are_listed_without_their_text(parley, service, org):
    as_json, as_text = await asyncio.gather(parley("keys", "list", "--json"), parley("keys", "list"))
    listed = [key for key in printed(as_json) if key["org"] == org.id]

    assert [(key["kind"], key["orgName"], key["revokedAt"]) for key in listed] == [
        (kind, org.name, None) for kind in ("api", "secret", "publishable")
    ]
    assert all(f"{key['id']}  {key['kind']}" in as_text.out for key in listed)
    for key in (org.api, org.secret, org.publishable):
        assert key not in as_json.out + as_text.out


async def test_key_revoked_while_the_server_serves_opens_nothing_any_more(parley, org_name, http):
    made = printed(await parley("keys", "create", "--org", org_name, "--kind", "api", "--json"))
    before = await status_of(http, made["key"])
    revoked = printed(await parley("keys", "revoke", made["id"], "--json"))
    after = await status_of(http, made["key"])
    listed = printed(await parley("keys", "list", "--json"))

    assert (before, after) == (200, 401)
    assert revoked == {"id": made["id"], "revoked": True}
    assert [key["revokedAt"] is not None for key in listed if key["id"] == made["id"]] == [True]


async def test_key_that_expires_says_when(parley, org_name, http):
    made = printed(
        await parley(
            "keys", "create", "--org", org_name, "--kind", "api", "--expires", "2999-12-31", "--json"
        )
    )

    assert made["expiresAt"] == 32_503_593_600_000
    assert await status_of(http, made["key"]) == 200


# Assistants


async def test_assistant_is_applied_as_a_new_one_and_then_in_place_of_the_one_of_its_name(
    parley, org, http, tmp_path
):
    file = as_file(tmp_path, HELPER)
    made = printed(await parley("assistants", "apply", file, "--org", org.name, "--json"))
    as_file(tmp_path, {**HELPER, "firstMessage": "Hi"})
    replaced = await parley("assistants", "apply", file, "--org", org.name)
    got = (await http.get(f"/assistant/{made['id']}", headers=org.bearer)).json()
    listed = (await http.get("/assistant", headers=org.bearer)).json()

    assert made == {"id": made["id"], **HELPER}
    assert replaced == (0, made["id"] + "\n", "")
    assert {**got, **HELPER, "firstMessage": "Hi", "orgId": org.id} == got
    assert [assistant["id"] for assistant in listed] == [made["id"], org.assistant_id]


async def test_assistant_as_it_was_read_can_be_applied_again(parley, org, http, tmp_path):
    secret = {"provider": "openai", "apiKey": "sk-very-secret"}
    stored = (
        await http.post("/assistant", headers=org.bearer, json={**HELPER, "credentials": [secret]})
    ).json()
    applied = printed(
        await parley("assistants", "apply", as_file(tmp_path, stored), "--org", org.name, "--json")
    )
    got = (await http.get(f"/assistant/{stored['id']}", headers=org.bearer)).json()

    assert applied == {"id": stored["id"], **HELPER, "credentials": stored["credentials"]}
    assert got == {**stored, "updatedAt": got["updatedAt"]}


async def test_id_in_an_applied_file_does_not_replace_that_of_the_server(parley, org, http, tmp_path):
    file = as_file(tmp_path, {**HELPER, "id": new_id(), "orgId": new_id()})
    applied = printed(await parley("assistants", "apply", file, "--org", org.name, "--json"))
    got = (await http.get(f"/assistant/{applied['id']}", headers=org.bearer)).json()

    assert (got["id"], got["orgId"]) == (applied["id"], org.id)


async def test_assistant_of_a_name_that_several_have_is_applied_by_its_id(parley, org, http, tmp_path):
    made = [(await http.post("/assistant", headers=org.bearer, json=HELPER)).json()["id"] for _ in range(2)]
    text = refused(await parley("assistants", "apply", as_file(tmp_path, HELPER), "--org", org.name))
    unknown = refused(
        await parley(
            "assistants", "apply", as_file(tmp_path, {**HELPER, "id": org.assistant_id}), "--org", org.name
        )
    )
    file = as_file(tmp_path, {**HELPER, "id": made[1], "firstMessage": "Hi"})
    applied = await parley("assistants", "apply", file, "--org", org.name)
    first, second = [(await http.get(f"/assistant/{one}", headers=org.bearer)).json() for one in made]

    assert text == unknown
    assert "name 'helper' is the name of several assistants; put the id" in text
    assert f'"id": {made[0]}, {made[1]}' in text
    assert applied == (0, made[1] + "\n", "")
    assert ("firstMessage" in first, second["firstMessage"]) == (False, "Hi")


# The database as a whole


async def test_database_is_checked_measured_and_backed_up_while_the_server_serves(
    parley, service, org, http, tmp_path
):
    body = {"assistantId": org.assistant_id, "input": "Hello"}
    chat = (await http.post("/chat", headers=org.bearer, json=body)).json()
    checked, measured, made = await asyncio.gather(
        parley("check", "--json"),
        parley("db", "stats", "--json"),
        parley("backup", tmp_path / "b.db", "--json"),
    )
    shown = await asyncio.gather(parley("check"), parley("db", "stats"), parley("backup", tmp_path / "c.db"))

    assert printed(checked)["findings"] == []
    assert printed(measured)["tables"]["chats"]["rows"] > 0
    assert printed(made) == {
        "path": str(tmp_path / "b.db"),
        "bytes": (tmp_path / "b.db").stat().st_size,
        "keySecret": True,
    }
    assert [ended.code for ended in shown] == [0, 0, 0]
    assert "is sound" in shown[0].out and "chats" in shown[1].out and "key secret is included" in shown[2].out
    assert "in use; stop `parley serve`" in refused(await parley("restore", tmp_path / "b.db", "--replace"))
    restored = await run("parley", "restore", tmp_path / "b.db", "--data", tmp_path / "other", "--json")
    assert printed(restored) == {
        "path": str(tmp_path / "other" / "parley.db"),
        "keySecret": True,
        "keptAside": None,
    }
    async with running(tmp_path / "other") as again:
        answer = await http.get(f"{again.http_url}/chat/{chat['id']}", headers=org.bearer)
    assert answer.json() == (await http.get(f"/chat/{chat['id']}", headers=org.bearer)).json()


async def test_database_that_is_not_sound_is_one_line_that_names_the_remedy(tmp_path):
    (tmp_path / "parley.db").write_bytes(b"no database" * 1000)
    text = refused(await run("parley", "check", "--data", tmp_path))
    nothing = refused(await run("parley", "check", "--data", tmp_path / "nowhere"))

    assert "is damaged or is not a database; `parley restore FILE --replace`" in text
    assert "there is no database" in nothing


# Errors


async def test_wrong_command_is_one_line_that_names_what_is_wrong(parley, org, tmp_path):
    unknown = new_id()
    commands = {
        "'wizard' is not one of": ["keys", "create", "--org", org.name, "--kind", "wizard"],
        "--org": ["keys", "create", "--kind", "api"],
        "2001-01-01 is past": [
            "keys",
            "create",
            "--org",
            org.name,
            "--kind",
            "api",
            "--expires",
            "2001-01-01",
        ],
        "'soon' is no time": ["keys", "create", "--org", org.name, "--kind", "api", "--expires", "soon"],
        f"key {unknown} does not exist": ["keys", "revoke", unknown],
        "KEY_ID": ["keys", "revoke"],
        "nowhere.json": ["assistants", "apply", tmp_path / "nowhere.json"],
        "'dance'": ["keys", "dance"],
    }
    ended = await asyncio.gather(*(parley(*words) for words in commands.values()))

    for expected_text, outcome in zip(commands, ended, strict=True):
        assert expected_text in refused(outcome)


async def test_file_that_is_no_assistant_is_one_line_that_says_why(parley, org, tmp_path):
    files = {
        "is not JSON": "{",
        "name must be a string": {**HELPER, "name": 5},
        "name must be at most 40 characters": {**HELPER, "name": "n" * 41},
        "model.temperature must be": {**HELPER, "model": {**HELPER["model"], "temperature": 9}},
        "must be an object": [],
    }
    folders = [tmp_path / str(number) for number in range(len(files))]
    for folder in folders:
        folder.mkdir()
    ended = await asyncio.gather(
        *(
            parley("assistants", "apply", as_file(folder, content), "--org", org.name)
            for folder, content in zip(folders, files.values(), strict=True)
        )
    )

    for expected_text, outcome in zip(files, ended, strict=True):
        assert expected_text in refused(outcome)


async def test_assistant_for_an_unknown_org_is_one_line_that_says_how_to_make_it(parley, org_name, tmp_path):
    expected_text = refused(await parley("assistants", "apply", as_file(tmp_path, HELPER), "--org", org_name))

    assert f"org {org_name} does not exist" in expected_text
    assert "parley keys create" in expected_text
