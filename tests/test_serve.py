"""`parley serve` as a real process: what it prints, how it stops, what it refuses, and what a kill leaves.

Does not test what the doors answer.
"""

import asyncio
import contextlib
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from server.storage.sqlite.database import LARGE
from server.storage.store import open_store
from tests.processes import Serving, envoys, free_address, gone, run

pytestmark = pytest.mark.skipif(
    sys.platform != "linux", reason="needs /proc and pidfd to see what is left behind"
)


@pytest.fixture(scope="module")
async def first(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Serving]:
    """A server on its first start."""
    async with Serving(tmp_path_factory.mktemp("first") / "made" / "data") as parley:
        yield parley


def client_of(parley: Serving) -> httpx.AsyncClient:
    return httpx.AsyncClient(
        base_url=parley.url, headers={"authorization": f"Bearer {parley.keys['api']}"}, timeout=20
    )


def chat_body(parley: Serving, text: str, **members: Any) -> dict[str, Any]:
    return {"assistantId": parley.keys["assistantId"], "input": text, **members}


async def chat(parley: Serving, text: str) -> dict[str, Any]:
    async with client_of(parley) as client:
        answer = await client.post("/chat", json=chat_body(parley, text))
    assert answer.status_code == 200
    return answer.json()


async def chats(parley: Serving) -> list[dict[str, Any]]:
    async with client_of(parley) as client:
        return (await client.get("/chat")).json()["results"]


async def refused(*arguments: object, data: Path, **environment: object) -> str:
    """The one line that a `parley serve` which cannot serve says, after a check that it left nothing else."""
    ended = await run("parley", "serve", "--data", data, *arguments, **environment)

    assert ended.code not in (0, None)
    assert ended.err.startswith("Error: ")
    assert ended.err.count("\n") == 1
    assert "ready" not in ended.out
    assert envoys(data) == []
    return ended.err.removeprefix("Error: ").rstrip()


# Starting


async def test_first_start_prints_the_development_keys_and_then_that_it_is_ready(first):
    notice, *shown, ready = first.lines

    assert str(first.data / "dev-keys.json") in notice
    assert json.loads("\n".join(shown)) == first.keys
    assert ready == first.ready_line


async def test_everything_in_the_data_folder_is_for_its_owner_only(first):
    files = [first.data, *first.data.rglob("*")]

    assert {"dev-keys.json", "key-secret", "parley.db", "run", "envoy-admin.sock"} <= {
        path.name for path in files
    }
    assert [path.name for path in files if path.lstat().st_mode & 0o077] == []


async def test_development_keys_are_of_their_kinds(first):
    keys = first.keys

    assert list(keys) == ["org", "api", "secret", "publishable", "assistantId"]
    assert (keys["secret"][:8], keys["publishable"][:8]) == ("sk_live_", "pk_live_")
    assert not keys["api"].startswith(("sk_", "pk_"))


async def test_demo_assistant_answers_at_both_ports(first):
    answer = await chat(first, "Hello there")
    async with grpc.aio.insecure_channel(first.grpc) as channel:
        health = await health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=20)

    assert answer["output"][0]["content"] == "You said: Hello there"
    assert (answer["orgId"], answer["assistantId"]) == (first.keys["org"], first.keys["assistantId"])
    assert health.status == health_pb2.HealthCheckResponse.SERVING


@pytest.mark.parametrize("kind", ["api", "secret", "publishable"])
async def test_each_development_key_opens_its_door(kind, first):
    keys = first.keys
    body = chat_body(first, "Hello") if kind == "api" else {"agentId": keys["assistantId"]}
    async with httpx.AsyncClient(base_url=first.url, timeout=20) as client:
        answer = await client.post("/chat", json=body, headers={"authorization": f"Bearer {keys[kind]}"})

    assert answer.status_code == 200


# Refusing to start


async def test_taken_http_port_is_one_line(first, tmp_path):
    printed = await refused("--http", first.http, "--grpc", free_address(), data=tmp_path)

    assert printed == f"port {first.http} is taken by another process"


async def test_taken_grpc_port_is_one_line(first, tmp_path):
    printed = await refused("--http", free_address(), "--grpc", first.grpc, data=tmp_path)

    assert printed == f"gRPC address {first.grpc} is taken or cannot be listened on; --grpc names another"


async def test_bad_option_is_one_line_that_names_it(tmp_path):
    options = {
        "--bogus": ["--bogus"],
        "--http": ["--http", "nonsense"],
        "--grpc": ["--grpc", "127.0.0.1:99999"],
        "--workers": ["--workers", "none"],
        "a.invalid": ["--grpc", "127.0.0.1:0", "--http", "a.invalid:20000"],
        "b.invalid": ["--grpc", "b.invalid:20000"],
    }
    printed = await asyncio.gather(*(refused(*words, data=tmp_path) for words in options.values()))

    for named, line in zip(options, printed, strict=True):
        assert named in line


async def test_bad_environment_variable_is_one_line_that_names_it(tmp_path):
    names = ["PARLEY_HTTP", "PARLEY_OFFLINE_DELAY_MS", "PARLEY_PRICES"]
    printed = await asyncio.gather(*(refused(data=tmp_path, **{name: "nonsense"}) for name in names))

    for name, line in zip(names, printed, strict=True):
        assert name.removeprefix("PARLEY_").lower() in line.lower()


async def test_damaged_database_is_one_line_that_names_the_file_and_changes_nothing(tmp_path):
    damage = os.urandom(20_000)
    (tmp_path / "parley.db").write_bytes(damage)

    assert str(tmp_path / "parley.db") in await refused(data=tmp_path)
    assert (tmp_path / "parley.db").read_bytes() == damage


@pytest.mark.parametrize("workers", [1, 2])
async def test_large_database_is_served_at_once_and_what_is_found_damaged_in_it_ends_the_server(
    tmp_path, workers
):
    with closing(open_store(tmp_path)) as store:
        store.database.migrate(
            lambda connection: connection.execute(
                "INSERT INTO messages SELECT 'o', 'long', value, zeroblob(?) FROM json_each('[0, 1, 2, 3]')",
                [LARGE // 4],
            )
        )
    with (tmp_path / "parley.db").open("r+b") as file:
        file.seek(LARGE // 2)
        file.write(b"T")

    async with Serving(tmp_path, "--workers", workers) as parley:
        ended = await parley.ended()

    assert ended.code == 1
    assert "database_is_damaged" in ended.err
    assert (
        f"block {LARGE // 2 // 65536} of 64 KiB has changed since it was closed" in ended.err.splitlines()[-1]
    )
    assert "was found to be damaged while it was served" in await refused(data=tmp_path)


async def test_folder_that_cannot_be_written_is_one_line_that_names_it():
    folders = ["/proc", "/proc/parley", "/dev/null/parley"]
    printed = await asyncio.gather(*(refused(data=Path(folder)) for folder in folders))

    for folder, line in zip(folders, printed, strict=True):
        assert folder in line


# Stopping and starting again


async def test_restart_finds_every_chat_and_prints_no_keys(tmp_path):
    async with Serving(tmp_path) as parley:
        made = [await chat(parley, text) for text in ("one", "two")]
        keys = parley.keys
        stopped = await parley.stop(signal.SIGTERM)
    async with Serving(tmp_path, http=parley.http, grpc=parley.grpc) as again:
        found = await chats(again)
        stopped_again = await again.stop(signal.SIGINT)

    assert [(one.code, one.out, one.faults) for one in (stopped, stopped_again)] == [(0, "", [])] * 2
    assert again.lines == [parley.ready_line]
    assert again.keys == keys
    assert [(chat["id"], chat["output"]) for chat in found] == [
        (chat["id"], chat["output"]) for chat in reversed(made)
    ]
    assert envoys(tmp_path) == []


async def test_kill_leaves_no_envoy_and_loses_no_answered_chat(tmp_path):
    async with Serving(tmp_path) as parley:
        made = await asyncio.gather(*(chat(parley, str(number)) for number in range(20)))
        [envoy] = envoys(tmp_path)
        killed = await parley.stop(signal.SIGKILL)
        await gone(envoy)
    async with Serving(tmp_path, http=parley.http, grpc=parley.grpc) as again:
        found = await chats(again)

    assert killed.code == -signal.SIGKILL
    assert {chat["id"]: chat["output"] for chat in found} == {chat["id"]: chat["output"] for chat in made}


async def test_server_whose_envoy_is_killed_says_so_and_ends(tmp_path):
    async with Serving(tmp_path) as parley:
        [envoy] = envoys(tmp_path)
        os.kill(envoy, signal.SIGKILL)
        ended = await parley.ended()

    assert ended == (1, "", "Error: Envoy exited with code -9\n")


class Reading:
    """A streamed chat that is being read."""

    def __init__(self, parley: Serving, text: str) -> None:
        self.began = asyncio.Event()
        self.text = ""
        self.chat_id = ""
        self.error: dict[str, str] = {}
        self._parley = parley
        self._sent_text = text

    async def to_its_end(self) -> None:
        async with client_of(self._parley) as client:
            async with client.stream(
                "POST", "/chat", json=chat_body(self._parley, self._sent_text, stream=True)
            ) as answer:
                async for line in answer.aiter_lines():
                    if line:
                        event = json.loads(line.removeprefix("data: "))
                        self.chat_id = event["id"]
                        self.text += event.get("delta", "")
                        self.error = event.get("error", {})
                        self.began.set()


async def test_stop_lets_a_stream_end_ends_one_that_takes_too_long_and_keeps_both(tmp_path):
    async with Serving(
        tmp_path, by_environment=True, PARLEY_OFFLINE_DELAY_MS=100, PARLEY_GRACE_SECONDS=3
    ) as parley:
        short, long = Reading(parley, "one two three"), Reading(parley, "word " * 1000)
        reading = [asyncio.create_task(stream.to_its_end()) for stream in (short, long)]
        await short.began.wait()
        await long.began.wait()
        stopped = await parley.stop()
        ends = await asyncio.gather(*reading, return_exceptions=True)
    async with Serving(tmp_path) as again:
        stored = {chat["id"]: chat for chat in await chats(again)}

    assert (stopped.code, stopped.out, stopped.faults) == (0, "", [])
    assert (ends, short.text, short.error) == ([None, None], "You said: one two three", {})
    assert long.error["code"] == "server_stopped"
    assert stored[short.chat_id]["status"] == "completed"
    assert stored[long.chat_id]["status"] == "incomplete"
    assert stored[long.chat_id]["output"][0]["content"].startswith(long.text)


async def test_stop_does_not_wait_for_who_reads_nothing(tmp_path):
    """The model has 1 MB ready."""
    async with Serving(tmp_path, PARLEY_GRACE_SECONDS=1) as parley, client_of(parley) as client:
        async with client.stream(
            "POST", "/v1/responses", json=chat_body(parley, "word " * 200_000, stream=True)
        ) as answer:
            assert answer.status_code == 200
            stopped = await parley.stop()
    async with Serving(tmp_path) as again:
        [stored] = await chats(again)

    assert (stopped.code, stopped.out, stopped.faults) == (0, "", ["calls_broken_off", "call"])
    assert stored["status"] == "incomplete"


async def test_server_in_use_that_stops_says_so_first_and_answers_until_its_end(tmp_path):
    async with Serving(tmp_path, PARLEY_DRAIN_SECONDS=2) as parley, client_of(parley) as client:
        statuses, ends = [(await client.post("/chat", json=chat_body(parley, "one"))).status_code], []
        stopping = asyncio.create_task(parley.stop())
        while (await client.get("/healthz")).status_code == 200:
            pass
        async with grpc.aio.insecure_channel(parley.grpc) as channel:
            health = await health_pb2_grpc.HealthStub(channel).Check(
                health_pb2.HealthCheckRequest(), wait_for_ready=True
            )
        while not ends:
            try:
                statuses.append((await client.post("/chat", json=chat_body(parley, "one more"))).status_code)
            except httpx.TransportError as end:
                ends.append(end)
        stopped = await stopping

    assert (stopped.code, stopped.out, stopped.faults) == (0, "", [])
    assert health.status == health_pb2.HealthCheckResponse.NOT_SERVING
    assert (set(statuses), len(statuses) > 2) == ({200}, True)


async def test_port_is_closed_while_a_stream_still_runs_and_what_has_no_answer_at_the_end_is_refused(
    tmp_path,
):
    async with (
        Serving(tmp_path, PARLEY_OFFLINE_DELAY_MS=100, PARLEY_GRACE_SECONDS=2) as parley,
        client_of(parley) as client,
    ):
        stream, host = Reading(parley, "word " * 1000), parley.http.split(":")
        reading = asyncio.create_task(stream.to_its_end())
        waiting = asyncio.create_task(client.post("/chat", json=chat_body(parley, "word " * 1000)))
        await stream.began.wait()
        stopping = asyncio.create_task(parley.stop())
        with pytest.raises(ConnectionRefusedError):
            while True:
                # it was waiting to be accepted when the port was closed
                with contextlib.suppress(ConnectionResetError):
                    (await asyncio.open_connection(*host))[1].close()
        still_read = not reading.done()
        await asyncio.gather(reading, waiting, stopping)

    assert still_read
    assert stream.error["code"] == "server_stopped"
    assert (waiting.result().status_code, waiting.result().headers["retry-after"]) == (503, "1")
    assert "stopping" in waiting.result().json()["message"]
    stopped = stopping.result()
    assert (stopped.code, stopped.out, stopped.faults) == (0, "", ["call"])


async def test_stop_lets_what_runs_in_the_background_end(tmp_path):
    async with Serving(tmp_path, PARLEY_OFFLINE_DELAY_MS=50) as parley, client_of(parley) as client:
        begun = (
            await client.post("/v1/responses", json=chat_body(parley, "one two three", background=True))
        ).json()
        stopped = await parley.stop()
    async with Serving(tmp_path) as again, client_of(again) as client:
        stored = (await client.get(f"/v1/responses/{begun['id']}")).json()

    assert (stopped.code, stopped.out, stopped.faults) == (0, "", [])
    assert (begun["status"], stored["status"]) == ("in_progress", "completed")


async def test_options_win_over_the_environment(first, tmp_path):
    printed = await refused(
        "--http",
        first.http,
        "--grpc",
        free_address(),
        data=tmp_path,
        PARLEY_HTTP="nonsense",
        PARLEY_DATA="/proc",
    )

    assert printed == f"port {first.http} is taken by another process"
