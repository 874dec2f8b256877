"""What readers of streams do: take a long answer to its end, or read nothing of it. Memory is part of the
verdict."""

import asyncio
import socket
from collections.abc import Iterator
from pathlib import Path

import httpx
import orjson

from tests.fault.kills import client_of
from tests.fault.trial import Row, Trial
from tests.processes import Serving, envoys
from tests.upstream import Answer, OpenAIUpstream, chunk, sse, usage_chunk

_LONG = 1_000_000
_WORDS = "word number " * (_LONG // 12)
_MOST_OF_LONG_MIB = 64
"""That the server may take for one such answer: the last events of the Responses form have its whole text
several times."""
_UNREAD = 64
_PIECE = "sixteen letters " * 64
_MOST_OF_UNREAD_MIB = {"server": 160, "Envoy": 48}
_DOORS = ("/chat", "/v1/responses", "/v1/chat/completions")


class Memory:
    """What the two processes hold, in MiB, and how far that is above what it was."""

    def __init__(self, parley: Serving) -> None:
        self._pids = {"server": parley.pid, "Envoy": envoys(parley.data)[0]}
        self._before = {name: _status(pid, "VmRSS") for name, pid in self._pids.items()}
        Path(f"/proc/{parley.pid}/clear_refs").write_text("5")  # the peak is from now on

    def growth(self) -> dict[str, float]:
        return {
            name: round(_status(pid, "VmRSS") - self._before[name], 1) for name, pid in self._pids.items()
        }

    def peak(self) -> float:
        """How far the server came above it."""
        return round(_status(self._pids["server"], "VmHWM") - self._before["server"], 1)


def _status(pid: int, name: str) -> float:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) / 1024
    raise KeyError(name)


async def long_answer(trial: Trial) -> None:
    """An answer of 1 MB in 160,000 pieces at each door in turn: whole, on record, and others are served
    meanwhile."""
    async with Serving(trial.folder / "long") as parley, client_of(parley) as client:
        await _streamed(client, parley, _DOORS[0], "warm")
        for number in range(trial.count):
            memory, door = Memory(parley), _DOORS[number % len(_DOORS)]
            streaming = asyncio.create_task(_streamed(client, parley, door, _WORDS))
            others = 0
            while not streaming.done():
                others += (
                    (await client.get("/healthz")).status_code
                    == 200
                    == (
                        await client.post(
                            "/chat", json={"assistantId": parley.keys["assistantId"], "input": "x"}
                        )
                    ).status_code
                )
            received = await streaming
            growth = memory.peak()
            trial.record(
                lost=received != f"You said: {_WORDS}",
                hanging=not others,
                wrong=(f"{door} took {growth} MiB" if growth > _MOST_OF_LONG_MIB else ""),
            )
            figure = f"memory growth at {door} at most, MiB"
            trial.figures[figure] = max(growth, trial.figures.get(figure, 0))


async def _streamed(client: httpx.AsyncClient, parley: Serving, door: str, text: str) -> str:
    """What was streamed at a door; nothing when its end was not."""
    agent = parley.keys["assistantId"]
    body = (
        {"model": agent, "messages": [{"role": "user", "content": text}]}
        if door.endswith("completions")
        else {"assistantId": agent, "input": text}
    )
    received, last = [], ""
    async with client.stream("POST", door, json={**body, "stream": True}, timeout=300) as answer:
        async for line in answer.aiter_lines():
            if line.startswith("data: "):
                last = line.removeprefix("data: ")
                received += _deltas(last)
    return "".join(received) if door == "/chat" or last == "[DONE]" else ""


def _deltas(data: str) -> Iterator[str]:
    if data == "[DONE]":
        return
    event = orjson.loads(data)
    if "choices" in event:
        yield from (choice["delta"].get("content") or "" for choice in event["choices"])
    elif event.get("type", "response.output_text.delta") == "response.output_text.delta":
        yield event.get("delta", "")


async def unread(trial: Trial) -> None:
    """64 callers ask for an answer of 1 MB and read nothing: memory stays small, others are served; then all
    read it all."""
    number = _LONG // len(_PIECE)
    text = _PIECE * number
    pieces = [
        *sse(*[chunk({"content": _PIECE})] * number, chunk(finish="stop"), usage_chunk(3, 2)),
        b"data: [DONE]\n\n",
    ]
    async with (
        OpenAIUpstream(Answer(pieces)) as upstream,
        Serving(trial.folder / "unread", PARLEY_UPSTREAM_ALLOW_HOSTS="127.0.0.1") as parley,
        client_of(parley) as client,
    ):
        model = {"provider": "custom-llm", "url": upstream.base_url, "model": "scripted-1"}
        made = await client.post(
            "/assistant", json={"model": model, "credentials": [{"provider": "custom-llm", "apiKey": "sk-x"}]}
        )
        for assistant_id in (made.json()["id"], parley.keys["assistantId"]):
            await client.post("/chat", json={"assistantId": assistant_id, "input": "warm"})
        for _ in range(trial.count):
            memory = Memory(parley)
            before = len(upstream.requests)
            callers = [await _open_stream(parley, made.json()["id"]) for _ in range(_UNREAD)]
            await upstream.arrived(before + _UNREAD)
            growth = await _settled(memory)
            try:
                served = await client.post(
                    "/chat", json={"assistantId": parley.keys["assistantId"], "input": "x"}
                )
                others = served.status_code == 200
            except httpx.TimeoutException:
                others = False
            answers = await asyncio.gather(*(_read(*caller) for caller in callers))
            wrong = [
                f"{name} grew by {grown} MiB"
                for name, grown in growth.items()
                if grown > _MOST_OF_UNREAD_MIB[name]
            ]
            trial.record(
                lost=sum(answer != text for answer in answers), hanging=not others, wrong="; ".join(wrong)
            )
            for name, grown in growth.items():
                figure = f"{name} grew by at most, MiB"
                trial.figures[figure] = max(grown, trial.figures.get(figure, 0))


async def _open_stream(
    parley: Serving, assistant_id: str
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A caller who has asked, and of whose socket nothing is read."""
    host, port = parley.http.split(":")
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)  # else the kernel takes all of it
    connection.setblocking(False)
    await asyncio.get_running_loop().sock_connect(connection, (host, int(port)))
    reader, writer = await asyncio.open_connection(sock=connection, limit=1 << 24)
    writer.transport.pause_reading()
    body = orjson.dumps({"assistantId": assistant_id, "input": "Hello", "stream": True})
    head = f"POST /chat HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {parley.keys['api']}\r\nconnection: close\r\n"
    writer.write(f"{head}content-length: {len(body)}\r\n\r\n".encode() + body)
    return reader, writer


async def _read(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> str:
    """The text of the answer, read to its end."""
    writer.transport.resume_reading()
    received = []
    async with asyncio.timeout(240):
        while line := await reader.readline():
            if line.startswith(b"data: "):
                received += _deltas(line.removeprefix(b"data: ").decode())
    writer.close()
    return "".join(received)


async def _settled(memory: Memory) -> dict[str, float]:
    """The growth at its highest, once it has not risen for three seconds."""
    highest, looks = memory.growth(), 0
    while looks < 30:
        await asyncio.sleep(0.1)
        growth = memory.growth()
        looks = 0 if any(grown > highest[name] + 0.5 for name, grown in growth.items()) else looks + 1
        highest = {name: max(grown, highest[name]) for name, grown in growth.items()}
    return highest


ROWS = [
    Row(
        "a caller's answer of 1 MB streamed",
        "all of it arrives, memory is bounded, others are served",
        long_answer,
        6,
        3,
    ),
    Row(
        "64 unread streams of 1 MB",
        "memory is bounded, others are served, whoever reads on gets all of it",
        unread,
        5,
        1,
        1,
    ),
]
