"""`parley orgs`, `assistants`, `sessions`, `chats`, `usage` and `completion`, on the data of a server that is
serving and, in one walk, on PostgreSQL. `chats tail` is in test_cli_tail.py."""

import asyncio
import json
import re
from collections.abc import AsyncIterator, Sequence
from functools import partial
from typing import Any

import pytest

from server.core.ids import new_id
from tests.commands import Commands
from tests.conftest import Service
from tests.processes import run
from tests.test_cli import HELPER, as_file, printed, refused

SECRET = {"provider": "openai", "apiKey": "sk-very-secret-1234"}


@pytest.fixture(scope="module")
async def commands() -> AsyncIterator[Commands]:
    async with Commands() as commands:
        yield commands


@pytest.fixture
def parley(commands: Commands, service: Service) -> Any:
    """Runs command lines on the data of the service."""
    return partial(on, commands, "--data", service.settings.data)


async def on(commands: Commands, option: str, place: object, *lines: Sequence[object]) -> Any:
    return await commands(*([*line, option, place] for line in lines))


async def said(http, org, path: str, **body: object) -> Any:
    answer = await http.post(path, headers=org.bearer, json=body)
    assert answer.status_code in (200, 201), answer.text
    return answer.json()


@pytest.fixture
async def talked(http, org):
    """A session with a chat in it, and a chat outside."""
    session = await said(http, org, "/session", assistantId=org.assistant_id, name="Ada's")
    inside = await said(http, org, "/chat", sessionId=session["id"], input="Hello \x1b[31mred\n日本")
    alone = await said(http, org, "/chat", assistantId=org.assistant_id, input="Is it you?")
    return session, inside, alone


# Orgs


async def test_org_is_created_shown_and_listed(parley):
    name = f"org-{new_id()}"
    made = printed((await parley(["orgs", "create", name, "--json"]))[0])
    again, wrong, unknown, shown, listed, as_text = await parley(
        ["orgs", "create", name],
        ["orgs", "create", " "],
        ["orgs", "show", "nobody"],
        ["orgs", "show", made["id"], "--json"],
        ["orgs", "list", "--json"],
        ["orgs", "list"],
    )

    assert (made["name"], made["keys"], made["chats"], made["lastChatAt"]) == (name, 0, 0, None)
    assert printed(shown) == made and made in printed(listed)
    assert re.search(rf"^{made['id']} +0 +0 +0 +0  {name}$", as_text.out, re.M)
    assert refused(again) == f"org {name} exists already; `parley orgs show {name}` shows it"
    assert "NAME must have 1 to 100 printable characters" in refused(wrong)
    assert refused(unknown) == "org nobody does not exist; `parley orgs list` shows those that do"


# Assistants


async def test_exported_assistants_are_applied_as_they_are(parley, org, http, tmp_path):
    await said(http, org, "/assistant", **HELPER, credentials=[SECRET])
    await said(http, org, "/assistant", model=HELPER["model"])  # without a name
    before = (await http.get("/assistant", headers=org.bearer)).json()
    exported = (await parley(["assistants", "export", "--org", org.name]))[0]
    file = as_file(tmp_path, exported.out)
    same = (await parley(["assistants", "diff", file, "--org", org.name]))[0]
    applied = printed((await parley(["assistants", "apply", file, "--org", org.name, "--json"]))[0])
    after = (await http.get("/assistant", headers=org.bearer)).json()

    assert SECRET["apiKey"] not in exported.out and "****1234" in exported.out
    assert (same.code, same.out) == (0, "no difference\n")
    assert [one["id"] for one in applied] == [one["id"] for one in before]
    assert after == [
        {**one, "updatedAt": again["updatedAt"]} for one, again in zip(before, after, strict=True)
    ]


async def test_one_exported_assistant_is_an_object(parley, org, tmp_path):
    exported = (await parley(["assistants", "export", org.assistant_id, "--org", org.name]))[0]
    unknown = (await parley(["assistants", "export", new_id(), "--org", org.name]))[0]
    applied = (await parley(["assistants", "apply", as_file(tmp_path, exported.out), "--org", org.name]))[0]

    assert json.loads(exported.out)["id"] == org.assistant_id
    assert applied == (0, f"{org.assistant_id}\n", "")
    assert f"does not exist in org {org.name}; `parley assistants list --org {org.name}`" in refused(unknown)


async def test_difference_is_shown_without_secrets_and_changes_nothing(parley, org, http, tmp_path):
    stored = await said(http, org, "/assistant", **HELPER, credentials=[SECRET])
    changed = {
        **HELPER,
        "model": {**HELPER["model"], "temperature": 0.7},
        "credentials": [{**SECRET, "apiKey": "sk-other-secret-1234"}],
    }
    file = as_file(tmp_path, [changed, {**HELPER, "name": "new"}])
    as_text, as_json = await parley(
        ["assistants", "diff", file, "--org", org.name],
        ["assistants", "diff", file, "--org", org.name, "--json"],
    )
    listed = (await http.get("/assistant", headers=org.bearer)).json()

    assert (as_text.code, as_json.code, as_text.err) == (1, 1, "")
    assert '-    "temperature": 0.5\n+    "temperature": 0.7\n' in as_text.out
    assert '+      "apiKey": "****1234 (another secret)",\n' in as_text.out
    assert "secret-1234" not in as_text.out + as_json.out
    assert [(one["id"], one["action"]) for one in json.loads(as_json.out)] == [
        (stored["id"], "replace"),
        (None, "create"),
    ]
    assert [one["id"] for one in listed] == [stored["id"], org.assistant_id]


async def test_trouble_with_a_difference_has_an_exit_code_of_its_own(parley, org, tmp_path):
    file = as_file(tmp_path, {**HELPER, "credentials": [{**SECRET, "apiKey": "****1234"}]})
    unknown, masked, no_file = await parley(
        ["assistants", "diff", file, "--org", "nobody"],
        ["assistants", "diff", file, "--org", org.name],
        ["assistants", "diff", tmp_path / "nowhere.json", "--org", org.name],
    )

    assert [ended.code for ended in (unknown, masked, no_file)] == [2, 2, 2]
    assert "org nobody does not exist" in refused(unknown)
    assert "credentials[0].apiKey is masked and matches no stored secret" in refused(masked)


async def test_file_of_several_is_applied_whole_or_not_at_all(parley, org, http, tmp_path):
    wrong = as_file(tmp_path, [HELPER, {**HELPER, "name": 5}])
    text = refused((await parley(["assistants", "apply", wrong, "--org", org.name]))[0])
    twice = as_file(tmp_path, [HELPER, {**HELPER, "shelf": 8}])
    again = refused((await parley(["assistants", "apply", twice, "--org", org.name]))[0])
    listed = (await http.get("/assistant", headers=org.bearer)).json()

    assert "[1].name must be a string" in text
    assert "[1].name 'helper' names an assistant for the second time" in again
    assert [one["id"] for one in listed] == [org.assistant_id]


async def test_assistants_are_listed(parley, org):
    as_json, as_text = await parley(
        ["assistants", "list", "--org", org.name, "--json"],
        ["assistants", "list", "--org", org.name],
    )

    assert [(one["id"], one["name"], one["model"]) for one in printed(as_json)] == [
        (org.assistant_id, "demo", "offline/offline-1")
    ]
    assert re.search(rf"^{org.assistant_id}  \d{{4}}-.*  demo  offline/offline-1$", as_text.out, re.M)


# Sessions and chats


async def test_sessions_are_listed_and_shown_with_what_was_said(parley, org, http, talked):
    session, _, _ = talked
    listed, as_text, shown, as_json = await parley(
        ["sessions", "list", "--org", org.name, "--json"],
        ["sessions", "list", "--org", org.name],
        ["sessions", "show", session["id"], "--org", org.name],
        ["sessions", "show", session["id"], "--org", org.name, "--json"],
    )
    of_http = (await http.get(f"/session/{session['id']}", headers=org.bearer)).json()

    assert [one["id"] for one in printed(listed)] == [session["id"]]
    assert re.search(rf"^{session['id']}  .*  active  Ada's$", as_text.out, re.M)
    assert "\n\nuser: Hello \N{REPLACEMENT CHARACTER}[31mred\n日本\n\nassistant: You said: Hello" in shown.out
    assert "\x1b" not in shown.out
    assert printed(as_json) == of_http


async def test_chats_are_listed_and_shown_with_tokens_and_cost(parley, org, http, talked):
    _, inside, alone = talked
    listed, as_text, first, shown, as_json = await parley(
        ["chats", "list", "--org", org.name, "--json"],
        ["chats", "list", "--org", org.name],
        ["chats", "list", "--org", org.name, "--limit", 1],
        ["chats", "show", alone["id"], "--org", org.name],
        ["chats", "show", alone["id"], "--org", org.name, "--json"],
    )
    of_http = (await http.get(f"/chat/{alone['id']}", headers=org.bearer)).json()
    lines = as_text.out.splitlines()

    assert [one["id"] for one in printed(listed)] == [alone["id"], inside["id"]]
    assert lines[1].startswith(alone["id"]) and lines[1].endswith("  completed  Is it you?")
    assert lines[2].endswith("Hello \N{REPLACEMENT CHARACTER}[31mred 日本")
    assert first.out.endswith("\n1 of 2; --limit shows more\n")
    assert "model      offline/offline-1\ntokens     " in shown.out
    assert shown.out.endswith("\nuser: Is it you?\n\nassistant: You said: Is it you?\n")
    assert printed(as_json) == of_http


async def test_what_is_not_there_is_said_with_the_remedy(parley, org, other_org, talked):
    _, _, alone = talked
    no_chats, no_sessions, no_usage, elsewhere, no_id, nobody = await parley(
        ["chats", "list", "--org", other_org.name],
        ["sessions", "list", "--org", other_org.name],
        ["usage", "--org", other_org.name],
        ["chats", "show", alone["id"], "--org", other_org.name],
        ["sessions", "show", "one", "--org", org.name],
        ["chats", "list", "--org", "nobody"],
    )

    assert (no_chats.out, no_sessions.out) == (
        f"no chats of org {other_org.name}\n",
        f"no sessions of org {other_org.name}\n",
    )
    assert no_usage == (0, f"no chats of org {other_org.name}\n", "")
    assert f"does not exist in org {other_org.name}; `parley chats list" in refused(elsewhere)
    assert "ID: 'one' is no id" in refused(no_id)
    assert "`parley orgs list` shows those that do" in refused(nobody)


# Usage


async def test_usage_is_a_table_with_its_total(parley, org, talked):
    by_day, by_assistant, as_json, wrong, backwards = await parley(
        ["usage", "--org", org.name],
        ["usage", "--org", org.name, "--by", "assistant"],
        ["usage", "--org", org.name, "--by", "model", "--json"],
        ["usage", "--from", "soon"],
        ["usage", "--from", "2026-01-02", "--to", "2026-01-01"],
    )
    (model,) = printed(as_json)
    total = by_day.out.splitlines()[-1].split()

    assert (model["model"], model["chats"]) == ("offline/offline-1", 2)
    assert total == ["total", "2", str(model["promptTokens"]), str(model["completionTokens"]), "0.0000"]
    assert re.search(rf"^{org.assistant_id} .* demo$", by_assistant.out, re.M)
    assert max(map(len, by_day.out.splitlines())) <= 80
    assert "--from: 'soon' is no time" in refused(wrong)
    assert refused(backwards) == "--to must be later than --from"


# Everything, on PostgreSQL


async def test_commands_read_a_postgresql_store(commands, postgres, tmp_path):
    database = postgres.new_database()
    parley = partial(on, commands, "--database", database)
    org = printed((await parley(["orgs", "create", "dev", "--json"]))[0])
    applied = (await parley(["assistants", "apply", as_file(tmp_path, HELPER)]))[0]
    ended = await parley(
        ["orgs", "list"],
        ["assistants", "list"],
        ["assistants", "diff", as_file(tmp_path, {**HELPER, "shelf": 8})],
        ["sessions", "list"],
        ["chats", "list"],
        ["usage", "--by", "model"],
    )

    assert [(one.code, one.err) for one in ended] == [(1 if one is ended[2] else 0, "") for one in ended]
    assert org["id"] in ended[0].out and applied.out.strip() in ended[1].out
    assert '+  "shelf": 8' in ended[2].out
    assert [one.out for one in ended[3:]] == [
        "no sessions of org dev\n",
        "no chats of org dev\n",
        "no chats\n",
    ]


# Each as a process of its own


async def test_each_command_runs_by_itself(service, org, talked, tmp_path):
    session, _, alone = talked
    file = as_file(tmp_path, HELPER)
    lines = [
        ["orgs", "show", org.name],
        ["assistants", "list", "--org", org.name],
        ["assistants", "export", "--org", org.name],
        ["sessions", "show", session["id"], "--org", org.name],
        ["chats", "show", alone["id"], "--org", org.name],
        ["usage", "--org", org.name],
        ["assistants", "diff", file, "--org", org.name],
    ]
    ended = [await run("parley", *line, "--data", service.settings.data) for line in lines]

    assert [(one.code, one.err) for one in ended] == [(0, "")] * 6 + [(1, "")]
    assert all(one.out for one in ended)


# Completion


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
async def test_completion_is_printed_for_a_shell(shell):
    ended = await run("parley", "completion", shell)

    assert ended.code == 0
    assert f"_PARLEY_COMPLETE={shell}_complete" in ended.out


async def test_shell_is_offered_commands_and_their_options():
    async def offered(words: str, at: int) -> list[str]:
        ended = await run("parley", _PARLEY_COMPLETE="bash_complete", COMP_WORDS=words, COMP_CWORD=at)
        return [line.partition(",")[2] for line in ended.out.splitlines()]

    commands, ways, dimensions = await asyncio.gather(
        offered("parley ch", 1), offered("parley chats ", 2), offered("parley usage --by m", 3)
    )

    assert commands == ["chats", "check"]
    assert ways == ["list", "show", "tail"]
    assert dimensions == ["model"]
