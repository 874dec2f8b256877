"""`parley serve --workers 2`: restarted under load without a failure, and what the death of one, or of all, costs.

Real processes behind the real Envoy. What two servers share is tested in `test_two_servers.py`.
"""

import asyncio
import json
import os
import signal
import sys
from collections import Counter
from contextlib import suppress
from pathlib import Path

import httpx
import pytest

from tests.processes import Ended, Serving, envoys, free_address, gone, run
from tests.test_serve import asking, client_of, keys_of

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="needs /proc to find the processes")


def workers_of(parley: Serving) -> list[int]:
    """The server processes of a `parley serve`."""
    children = Path(f"/proc/{parley.pid}/task/{parley.pid}/children").read_text().split()
    return [int(pid) for pid in children if b"server.worker" in Path(f"/proc/{pid}/cmdline").read_bytes()]


class Load:
    """Callers that call again and again until they are told to stop: half of them wait for whole answers, half stream."""

    def __init__(self, parley: Serving, http: httpx.AsyncClient, callers: int) -> None:
        self._parley = parley
        self._http = http
        self._callers = callers
        self._enough = asyncio.Event()
        self.ended: Counter[str] = Counter()

    async def __aenter__(self) -> "Load":
        self._tasks = [asyncio.create_task(self._call([self._whole, self._stream][number % 2]))
                       for number in range(self._callers)]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._enough.set()
        await asyncio.gather(*self._tasks)

    async def _call(self, once) -> None:
        while not self._enough.is_set():
            try:
                self.ended[await once()] += 1
            except httpx.HTTPError as error:
                self.ended[repr(error)] += 1

    async def _whole(self) -> str:
        answer = await self._http.post("/chat", json=asking(self._parley, "one two three"))
        return f"whole: {answer.status_code}"

    async def _stream(self) -> str:
        body = asking(self._parley, "one two three four five six", stream=True)
        async with self._http.stream("POST", "/chat/responses", json=body) as answer:
            last = [line async for line in answer.aiter_lines() if line][-1:]
        return f"stream: {answer.status_code} {last}"


async def test_restart_one_by_one_loses_no_call(tmp_path):
    async with Serving(tmp_path, PARLEY_WORKERS=2, PARLEY_OFFLINE_DELAY_MS=5) as parley, client_of(parley) as http:
        before = workers_of(parley)
        async with Load(parley, http, 8) as load:
            parley.send(signal.SIGHUP)
            await parley.logged("workers_restarted")
        after = workers_of(parley)
        stopped = await parley.stop()

    assert (len(before), len(after), set(before) & set(after)) == (2, 2, set())
    assert set(load.ended) == {"whole: 200", "stream: 200 ['data: [DONE]']"}
    assert (stopped.code, stopped.out, envoys(tmp_path)) == (0, "", [])
    assert {json.loads(line)["event"] for line in stopped.err.splitlines()} == {"worker_restarted", "workers_restarted"}


async def test_worker_that_is_killed_costs_its_own_streams_and_is_started_again(tmp_path):
    text = " ".join(["word"] * 60)
    async with Serving(tmp_path, PARLEY_WORKERS=2, PARLEY_OFFLINE_DELAY_MS=20) as parley, client_of(parley) as http:
        streams = [_Stream(parley, http, text) for _ in range(6)]
        reading = [asyncio.create_task(stream.read()) for stream in streams]
        await asyncio.gather(*(stream.begun.wait() for stream in streams))
        killed, other = workers_of(parley)
        os.kill(killed, signal.SIGKILL)
        await asyncio.gather(*reading)
        kept = [await _over(http, stream.id) for stream in streams]
        await parley.logged("worker_exited")
        calls = [(await http.post("/chat", json=asking(parley, "still there?"))).status_code for _ in range(4)]
        survivors = workers_of(parley)
        stopped = await parley.stop()

    assert {stream.ended for stream in streams} == {True, False}
    assert [chat["status"] for chat in kept] == ["completed" if stream.ended else "incomplete" for stream in streams]
    assert all(f"You said: {text}".startswith(stream.text) for stream in streams)
    assert (calls, other in survivors, killed in survivors) == ([200] * 4, True, False)
    assert stopped.code == 0


class _Stream:
    """A streamed chat that is read until it ends, well or not."""

    def __init__(self, parley: Serving, http: httpx.AsyncClient, text: str) -> None:
        self._parley = parley
        self._http = http
        self._said = text
        self.begun = asyncio.Event()
        self.id = ""
        self.text = ""
        self.ended = False

    async def read(self) -> None:
        with suppress(httpx.TransportError):
            async with self._http.stream("POST", "/chat", json=asking(self._parley, self._said, stream=True)) as answer:
                async for line in answer.aiter_lines():
                    if line:
                        event = json.loads(line.removeprefix("data: "))
                        self.id, self.text = event["id"], self.text + event.get("delta", "")
                        self.begun.set()
        self.ended = self.text == f"You said: {self._said}"


async def _over(http: httpx.AsyncClient, chat_id: str) -> dict:
    """A chat, once nobody runs it any more."""
    async with asyncio.timeout(30):
        while True:
            answer = await http.get(f"/chat/{chat_id}")
            if answer.status_code == 200 and answer.json()["status"] != "in_progress":
                return answer.json()


async def test_workers_are_one_service_and_none_outlives_the_command(tmp_path):
    async with Serving(tmp_path, PARLEY_WORKERS=2) as parley, client_of(parley) as http:
        session = (await http.post("/session", json={"assistantId": keys_of(parley)["assistantId"]})).json()["id"]
        answers = await asyncio.gather(*(http.post("/chat", json={"sessionId": session, "input": f"number {number}"})
                                         for number in range(8)))
        messages = (await http.get(f"/session/{session}")).json()["messages"]
        left = [*workers_of(parley), *envoys(tmp_path)]
        killed = await parley.stop(signal.SIGKILL)
        for pid in left:
            await gone(pid)

    assert {answer.status_code for answer in answers} == {200}
    assert [message["role"] for message in messages] == ["user", "assistant"] * 8
    assert all(answer["content"] == f"You said: {said['content']}" for said, answer in zip(
        messages[::2], messages[1::2], strict=True))
    assert (killed.code, len(left)) == (-signal.SIGKILL, 3)


async def test_what_cannot_be_served_is_one_line_also_with_workers(tmp_path):
    (tmp_path / "damaged").mkdir()
    (tmp_path / "damaged" / "parley.db").write_bytes(os.urandom(20_000))
    taken = free_address()
    async with await asyncio.start_server(lambda reader, writer: writer.close(), *taken.split(":")):
        said = await asyncio.gather(
            _refused(tmp_path / "a", "--grpc", taken, "--http", free_address()),
            _refused(tmp_path / "damaged", "--grpc", free_address(), "--http", free_address()),
            _refused(tmp_path / "c", "--grpc", free_address(), "--http", taken))

    assert said[0] == said[2] == f"Error: port {taken} is taken by another process\n"
    assert str(tmp_path / "damaged" / "parley.db") in said[1]


async def _refused(data: Path, *arguments: object) -> str:
    ended: Ended = await run("parley", "serve", "--data", data, "--workers", "2", *arguments)
    assert (ended.code, ended.err.count("\n"), "ready" in ended.out) == (1, 1, False)
    return ended.err
