"""`parley serve --workers 2`: restarted under load without a failure, and what is left of it when it is
killed.

Real processes behind the real Envoy. What two servers share is tested in `test_two_servers.py`; what the
death of one worker costs, in `tests/fault/workers.py`.
"""

import asyncio
import json
import os
import signal
import sys
from pathlib import Path

import grpc
import pytest
from google.protobuf.struct_pb2 import Value

from generated.parley.v1.chat_service_pb2 import CreateChatRequest
from generated.parley.v1.chat_service_pb2_grpc import ChatServiceStub
from server.app import App
from server.cli.first_start import first_start
from server.core.config import Address, Settings
from server.storage.store import open_store
from tests.connected import WebSocketTalk, websocket
from tests.load import SERVED, Callers, Load, workers_of
from tests.processes import Ended, Serving, envoys, free_address, gone, run
from tests.test_serve import client_of

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="needs /proc to find the processes")


async def test_restart_one_by_one_loses_no_call(tmp_path):
    async with (
        Serving(tmp_path, PARLEY_WORKERS=2, PARLEY_OFFLINE_DELAY_MS=5) as parley,
        Callers(parley) as callers,
    ):
        before = workers_of(parley)
        sockets = [await websocket(parley.url, parley.keys["api"]) for _ in range(4)]
        async with Load(callers, 8) as load:
            parley.send(signal.SIGHUP)
            await parley.logged("workers_restarted")
        after = workers_of(parley)
        for socket in sockets:
            await socket.wait_closed()
        async with websocket(parley.url, parley.keys["api"]) as socket:
            answer = await WebSocketTalk(socket).ask(model=parley.keys["assistantId"], input="Hello")
        stopped = await parley.stop()

    assert (len(before), len(after), set(before) & set(after)) == (2, 2, set())
    assert set(load.ended) == SERVED
    assert ({socket.close_code for socket in sockets}, answer["status"]) == ({1012}, "completed")
    assert (stopped.code, stopped.out, envoys(tmp_path)) == (0, "", [])
    assert stopped.faults == []
    assert {json.loads(line)["event"] for line in stopped.err.splitlines()} == {
        "call",
        "draining",
        "stopped",
        "worker_restarted",
        "workers_restarted",
    }


async def test_calls_that_wait_to_be_taken_when_a_server_is_to_stop_are_served(tmp_path):
    store = open_store(tmp_path)
    keys = await first_start(store, tmp_path)
    app = App(Settings(data=tmp_path, grpc=Address(host="127.0.0.1", port=0)), store)
    await app.start()
    request = CreateChatRequest(assistant_id=keys["assistantId"], input=Value(string_value="Hello"))
    metadata = (("authorization", f"Bearer {keys['api']}"),)
    async with grpc.aio.insecure_channel(f"127.0.0.1:{app.grpc_port}") as channel:
        calls = [
            ChatServiceStub(channel).CreateChat(request, metadata=metadata, timeout=30) for _ in range(300)
        ]
        await calls[0]
        await app.drain_arrivals()
        await app.stop()
        codes = {await call.code() for call in calls}
    await store.aclose()

    assert codes == {grpc.StatusCode.OK}


async def test_worker_that_does_nothing_any_more_holds_up_no_stop(tmp_path):
    async with Serving(tmp_path, PARLEY_WORKERS=2, PARLEY_GRACE_SECONDS=0) as parley:
        os.kill(workers_of(parley)[0], signal.SIGSTOP)
        stopped = await parley.stop()

    assert (stopped.code, stopped.out, envoys(tmp_path)) == (0, "", [])


async def test_workers_are_one_service_and_none_outlives_the_command(tmp_path):
    async with Serving(tmp_path, PARLEY_WORKERS=2) as parley, client_of(parley) as http:
        session = (await http.post("/session", json={"assistantId": parley.keys["assistantId"]})).json()["id"]
        answers = await asyncio.gather(
            *(
                http.post("/chat", json={"sessionId": session, "input": f"number {number}"})
                for number in range(8)
            )
        )
        messages = (await http.get(f"/session/{session}")).json()["messages"]
        left = [*workers_of(parley), *envoys(tmp_path)]
        killed = await parley.stop(signal.SIGKILL)
        for pid in left:
            await gone(pid)

    assert {answer.status_code for answer in answers} == {200}
    assert [message["role"] for message in messages] == ["user", "assistant"] * 8
    assert all(
        answer["content"] == f"You said: {printed['content']}"
        for printed, answer in zip(messages[::2], messages[1::2], strict=True)
    )
    assert (killed.code, len(left)) == (-signal.SIGKILL, 3)


async def test_what_cannot_be_served_is_one_line_also_with_workers(tmp_path):
    (tmp_path / "damaged").mkdir()
    (tmp_path / "damaged" / "parley.db").write_bytes(os.urandom(20_000))
    occupied = free_address()
    async with await asyncio.start_server(lambda reader, writer: writer.close(), *occupied.split(":")):
        printed = await asyncio.gather(
            _refused(tmp_path / "a", "--grpc", occupied, "--http", free_address()),
            _refused(tmp_path / "damaged", "--grpc", free_address(), "--http", free_address()),
            _refused(tmp_path / "c", "--grpc", free_address(), "--http", occupied),
        )

    assert printed[0] == printed[2] == f"Error: port {occupied} is taken by another process\n"
    assert str(tmp_path / "damaged" / "parley.db") in printed[1]


async def _refused(data: Path, *arguments: object) -> str:
    ended: Ended = await run("parley", "serve", "--data", data, "--workers", "2", *arguments)
    assert (ended.code, ended.err.count("\n"), "ready" in ended.out) == (1, 1, False)
    return ended.err
