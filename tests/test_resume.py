"""A stream that was cut is read on from where it was, each event exactly once: live, finished, and after kill
-9."""

import asyncio
import multiprocessing
import os
import random
from collections.abc import AsyncIterator
from multiprocessing.connection import Connection
from pathlib import Path

import grpc
import httpx
import orjson
import pytest
import uvloop

from gateway.launcher import Gateway
from generated.parley.v1.chat_service_pb2 import GetChatRequest, WatchChatRequest
from generated.parley.v1.chat_service_pb2_grpc import ChatServiceStub
from server.app import App
from server.cli.first_start import first_start
from server.core.clock import now_ms
from server.core.config import Address, Settings
from server.storage.chat_events import EventBatch
from server.storage.store import open_store
from tests.processes import free_address
from tests.storage.records import Recorder

ROUNDS = 20
WORDS = " ".join(f"word{number}" for number in range(500))
"""So many that the answer is never over before the kill, however late that comes."""
FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(["tests.test_resume"])  # a server that forks starts in a fifth of the time


def serve(folder: Path, port: int, sender: Connection) -> None:
    """A server until it is killed; says when it serves."""

    async def run() -> None:
        settings = Settings(data=folder, grpc=Address(host="127.0.0.1", port=port), offline_delay_ms=4)
        app = App(settings, open_store(folder))
        await app.start()
        sender.send("serving")
        await asyncio.Event().wait()

    uvloop.run(run())


class Killable:
    """A server in a process of its own behind one Envoy that stays; `kill` is kill -9."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = int(free_address().rpartition(":")[2])

    async def start(self) -> None:
        receiver, sender = FORKS.Pipe(duplex=False)
        with receiver, sender:
            self.process = FORKS.Process(target=serve, args=(self.folder, self.port, sender), daemon=True)
            self.process.start()
            assert await asyncio.to_thread(receiver.recv) == "serving"

    async def kill(self) -> None:
        self.process.kill()
        await asyncio.to_thread(self.process.join)


@pytest.fixture
async def killable(tmp_path: Path) -> AsyncIterator[Killable]:
    server = Killable(tmp_path)
    yield server
    if server.process.is_alive():
        await server.kill()


async def frames(response: httpx.Response) -> AsyncIterator[dict]:
    """The events of a Responses stream, as far as it comes."""
    try:
        async for line in response.aiter_lines():
            if line.startswith("data: {"):
                yield orjson.loads(line.removeprefix("data: "))
    except httpx.TransportError:
        return


async def test_server_that_cannot_write_starts_all_the_same_and_can_be_read(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    recorder = await Recorder.of_new_org(store, now_ms)
    exchange = recorder.exchange("cut", status="in_progress")
    await store.chats.begin(exchange, EventBatch(exchange.chat.org_id, exchange.chat.id, []))
    store.database._connection.execute("PRAGMA query_only = ON")  # as for a file that is read-only
    app = App(Settings(data=tmp_path, grpc=Address(host="127.0.0.1", port=0)), store)

    await app.start()

    async with grpc.aio.insecure_channel(f"127.0.0.1:{app.grpc_port}") as channel:
        stored = await ChatServiceStub(channel).GetChat(
            GetChatRequest(id=exchange.chat.id),
            timeout=20,
            metadata=(("authorization", f"Bearer {recorder.key.key}"),),
        )
    await app.stop(0)
    store.close()
    assert stored.status == "in_progress"


@pytest.mark.timeout(240)
async def test_stream_cut_by_kill_9_is_resumed_with_every_event_exactly_once(
    killable: Killable, tmp_path: Path
) -> None:
    store = open_store(tmp_path)
    keys = await first_start(store, tmp_path)
    store.close()
    await killable.start()
    gateway = Gateway(
        http=("127.0.0.1", 0), upstreams=[("127.0.0.1", killable.port)], run_dir=tmp_path / "run"
    )
    await gateway.start()
    await gateway.ready()
    chance = random.Random(int(os.environ.get("PARLEY_TEST_SEED", "7")))
    try:
        async with httpx.AsyncClient(
            base_url=f"http://127.0.0.1:{gateway.http_port}",
            timeout=20,
            headers={"authorization": f"Bearer {keys['api']}"},
        ) as http:
            for _ in range(ROUNDS):
                await _cut_and_resume(http, killable, keys["assistantId"], chance.randrange(1, 44))
    finally:
        await gateway.stop(0)


async def _rest(http: httpx.AsyncClient, response_id: str, known: int) -> list[dict]:
    """What comes behind the event `known`; asked for again until Envoy has noticed that the server is
    back."""
    while True:
        params = {"stream": "true", "starting_after": known}
        async with http.stream("GET", f"/v1/responses/{response_id}", params=params) as response:
            if response.status_code == 200:
                return [event async for event in frames(response)]
            assert response.status_code == 503


async def _stored(http: httpx.AsyncClient, response_id: str) -> dict:
    """The response as it is on record; asked for again while Envoy thinks that the server is away."""
    while (answer := await http.get(f"/v1/responses/{response_id}")).status_code == 503:
        pass
    return answer.json()


async def _cut_and_resume(
    http: httpx.AsyncClient, killable: Killable, assistant_id: str, cut_after: int
) -> None:
    seen: list[dict] = []
    body = {"assistantId": assistant_id, "input": WORDS, "stream": True}
    async with http.stream("POST", "/chat/responses", json=body) as response:
        async for event in frames(response):
            seen.append(event)
            if len(seen) == cut_after:
                await killable.kill()
                break  # Envoy would tell of the end a second later
    await killable.start()

    response_id = seen[0]["response"]["id"]
    seen += await _rest(http, response_id, seen[-1]["sequence_number"])

    assert [event["sequence_number"] for event in seen] == list(range(len(seen)))
    assert seen[-1]["type"] == "response.incomplete"
    received = "".join(event["delta"] for event in seen if event["type"] == "response.output_text.delta")
    stored = await _stored(http, response_id)
    assert stored["output"][0]["content"][0]["text"] == received
    assert stored["incomplete_details"] == {"reason": "server_stopped"}
    await _watched(killable, http.headers["authorization"], response_id, received)


async def _watched(killable: Killable, authorization: str, response_id: str, received: str) -> None:
    """The same over gRPC, from behind the first event."""
    async with grpc.aio.insecure_channel(f"127.0.0.1:{killable.port}") as channel:
        watching = ChatServiceStub(channel).WatchChat(
            WatchChatRequest(id=response_id, after=0), metadata=[("authorization", authorization)]
        )
        events = [event async for event in watching]

    assert [event.sequence for event in events] == list(range(1, 1 + len(events)))
    assert "".join(event.delta.text for event in events) == received
    assert (events[-1].completed.status, events[-1].completed.error.code) == ("incomplete", "server_stopped")
