"""`parley` on PostgreSQL, as real processes: two servers on one database, commands, a database that is
away."""

import asyncio
import json
import re

import httpx
import pytest

from tests.processes import Serving, run

SECRET = "hunter2hunter2"


@pytest.fixture(scope="module")
async def database(postgres):
    return postgres.new_database()


@pytest.fixture(scope="module")
async def servers(tmp_path_factory, database):
    folder = tmp_path_factory.mktemp("serving")
    async with Serving(folder / "first", PARLEY_DATABASE=database) as first:
        async with Serving(folder / "second", PARLEY_DATABASE=database) as second:
            yield first, second


@pytest.fixture(scope="module")
async def keys(servers):
    return json.loads((servers[0].data / "dev-keys.json").read_bytes())


def client_of(server, key):
    return httpx.AsyncClient(base_url=server.url, headers={"authorization": f"Bearer {key}"}, timeout=20)


async def test_only_the_first_server_makes_the_development_keys(servers):
    first, second = servers

    assert len(first.lines) > 1
    assert second.lines == [second.ready_line]
    assert not (first.data / "parley.db").exists()


async def test_conversation_goes_on_at_the_other_server(servers, keys):
    first, second = servers
    async with client_of(first, keys["api"]) as here, client_of(second, keys["api"]) as there:
        begun = (
            await here.post("/chat", json={"assistantId": keys["assistantId"], "input": "My name is Ada"})
        ).json()
        chat = (
            await there.post(
                "/chat",
                json={
                    "assistantId": keys["assistantId"],
                    "input": "What is my name?",
                    "previousChatId": begun["id"],
                },
            )
        ).json()
        read = (await here.get(f"/chat/{chat['id']}")).json()

    assert chat["output"][0]["content"] == "Your name is Ada."
    assert read["output"] == chat["output"]


async def test_commands_work_beside_the_servers_and_a_revoked_key_dies_at_both(servers, database):
    async def parley(*arguments):
        ended = await run("parley", *arguments, "--database", database, "--json")
        assert (ended.code, ended.err) == (0, "")
        return json.loads(ended.out)

    made = await parley("keys", "create", "--org", "dev", "--kind", "api")
    async with client_of(servers[0], made["key"]) as here, client_of(servers[1], made["key"]) as there:
        assert [(await client.get("/chat")).status_code for client in (here, there)] == [200, 200]

        await parley("keys", "revoke", made["id"])

        for client in (here, there):
            async with asyncio.timeout(20):
                while (await client.get("/chat")).status_code != 401:
                    pass
    assert [key["id"] for key in await parley("keys", "list") if key["revokedAt"]] == [made["id"]]


async def test_server_drains_and_ends_well(database, tmp_path):
    async with Serving(tmp_path, PARLEY_DATABASE=database) as server:
        assert (await server.stop()).code == 0


AWAY = {
    "nobody there": (
        ("serve",),
        f"postgresql://me:{SECRET}@127.0.0.1:1/parley",
        r"PostgreSQL at 127\.0\.0\.1:1/parley cannot be reached",
    ),
    "another kind": (("keys", "list"), "mysql://here", "--database: must be a URL postgresql://"),
    "not a url": (
        ("keys", "list"),
        f"postgresql://me:{SECRET}@ho st:port/x",
        "the database URL cannot be read",
    ),
}


@pytest.mark.parametrize(("command", "url", "expected"), AWAY.values(), ids=AWAY)
async def test_database_that_cannot_be_used_is_one_line(tmp_path, command, url, expected):
    ended = await run("parley", *command, "--data", tmp_path / "data", "--database", url)

    assert ended.code not in (0, None)
    assert re.match(f"Error: {expected}", ended.err)
    assert ended.err.count("\n") == 1
    assert SECRET not in ended.err + ended.out
