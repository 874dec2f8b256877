"""Callers of a `parley serve` that call again and again, each in its own way. Breaks nothing, and judges
nothing."""

import asyncio
import json
from collections import Counter
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

import grpc
import httpx
from google.protobuf.struct_pb2 import Value

from generated.parley.v1.chat_service_pb2 import CreateChatRequest
from generated.parley.v1.chat_service_pb2_grpc import ChatServiceStub
from tests.processes import Serving

SERVED = frozenset({"whole: 200", "stream: 200", "grpc: OK", "grpc stream: OK"})
_SECONDS = 30


def workers_of(parley: Serving) -> list[int]:
    """The server processes of a `parley serve`."""
    children = Path(f"/proc/{parley.pid}/task/{parley.pid}/children").read_text().split()
    return [int(pid) for pid in children if b"server.cli.worker" in Path(f"/proc/{pid}/cmdline").read_bytes()]


@dataclass
class Stream:
    """A streamed chat: what was told of it, and whether that was all."""

    id: str = ""
    text: str = ""
    is_whole: bool = False


class Callers:
    """What one kind of caller does once, over one HTTP client and one gRPC channel, both through Envoy."""

    def __init__(self, parley: Serving, text: str = "one two three four five six") -> None:
        self._parley = parley
        self._text = text
        self.streams: list[Stream] = []
        self.acknowledged: set[str] = set()

    async def __aenter__(self) -> "Callers":
        keys = self._parley.keys
        key, self._assistant_id = f"Bearer {keys['api']}", keys["assistantId"]
        self.metadata = (("authorization", key),)
        self._stack = AsyncExitStack()
        self.http = await self._stack.enter_async_context(
            httpx.AsyncClient(
                base_url=self._parley.url,
                headers={"authorization": key},
                timeout=_SECONDS,
                trust_env=False,
                verify=False,
                limits=httpx.Limits(max_connections=None),
            )
        )
        channel = await self._stack.enter_async_context(grpc.aio.insecure_channel(self._parley.http))
        self.chats = ChatServiceStub(channel)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    async def whole(self) -> str:
        answer = await self.http.post("/chat", json=self._body)
        if answer.status_code == 200:
            self.acknowledged.add(answer.json()["id"])
        return f"whole: {answer.status_code}"

    async def stream(self) -> str:
        progress = self._begun()
        async with self.http.stream("POST", "/chat", json={**self._body, "stream": True}) as answer:
            async for line in answer.aiter_lines():
                if line and answer.status_code == 200:
                    event = json.loads(line.removeprefix("data: "))
                    self._note(progress, event["id"], event.get("delta", ""))
        return self._ended(progress, "stream", str(answer.status_code))

    async def grpc(self) -> str:
        made = await self.chats.CreateChat(self._request, metadata=self.metadata, timeout=_SECONDS)
        self.acknowledged.add(made.id)
        return "grpc: OK"

    async def grpc_stream(self) -> str:
        progress = self._begun()
        async for event in self.chats.StreamChat(self._request, metadata=self.metadata, timeout=_SECONDS):
            self._note(progress, event.chat_id, event.delta.text)
        return self._ended(progress, "grpc stream", "OK")

    @property
    def kinds(self) -> list:
        return [self.whole, self.stream, self.grpc, self.grpc_stream]

    @property
    def _body(self) -> dict[str, object]:
        return {"assistantId": self._assistant_id, "input": self._text}

    @property
    def _request(self) -> CreateChatRequest:
        return CreateChatRequest(assistant_id=self._assistant_id, input=Value(string_value=self._text))

    def _begun(self) -> Stream:
        self.streams.append(Stream())
        return self.streams[-1]

    def _note(self, progress: Stream, chat_id: str, text: str) -> None:
        progress.id, progress.text = chat_id, progress.text + text
        self.acknowledged.add(chat_id)

    def _ended(self, progress: Stream, kind: str, code: str) -> str:
        progress.is_whole = progress.text == f"You said: {self._text}"
        return (
            f"{kind}: {code}"
            if progress.is_whole or code not in ("200", "OK")
            else f"{kind}: {code}, cut at {progress.text!r}"
        )


async def outcome(call) -> str:
    """How a call ended, in a few words; those in SERVED are as it should be."""
    try:
        return await call()
    except grpc.aio.AioRpcError as error:
        return f"grpc: {error.code().name}"
    except httpx.HTTPError as error:
        return f"http: {type(error).__name__}"


class Load:
    """Callers of every kind, as many as told, that go on until this is left."""

    def __init__(self, callers: Callers, number: int) -> None:
        self._kinds = [callers.kinds[one % 4] for one in range(number)]
        self._enough = asyncio.Event()
        self.ended: Counter[str] = Counter()
        self.hanging = 0

    async def __aenter__(self) -> "Load":
        self._tasks = [asyncio.create_task(self._call(kind)) for kind in self._kinds]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._enough.set()
        done, hanging = await asyncio.wait(self._tasks, timeout=_SECONDS + 10)
        self.hanging = len(hanging)
        for task in hanging:
            task.cancel()
        for task in done:
            task.result()

    @property
    def failed(self) -> Counter[str]:
        return Counter({how: times for how, times in self.ended.items() if how not in SERVED})

    async def _call(self, once) -> None:
        while not self._enough.is_set():
            self.ended[await outcome(once)] += 1
