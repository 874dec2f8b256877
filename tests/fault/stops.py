"""SIGTERM of `parley serve` while streams of every form are open: how each of them ends, and what late calls
are told."""

import asyncio
import json
import signal
from collections import Counter
from collections.abc import Awaitable, Callable

import grpc
import httpx
from google.protobuf.struct_pb2 import Value

from generated.parley.v1.chat_service_pb2 import CreateChatRequest
from generated.parley.v1.chat_service_pb2_grpc import ChatServiceStub
from tests.fault.kills import client_of, on_record
from tests.fault.trial import Row, Trial
from tests.processes import Serving

_OF_EACH = 3
_SHORT, _LONG = "one two three", "word " * 200 + "end"
_ECHO = "You said: "
ANSWERED, NOTIFIED, REFUSED, CUT = "answered", "told that the server stops", "refused", "cut"
_NOT_ACCEPTED = (httpx.ConnectError, httpx.ReadError, httpx.RemoteProtocolError)
"""Before an answer begins: the system resets the connections that nobody has accepted yet when a port is
closed, and one that is idle may be closed as the next request is on its way (RFC 9112, 9.5)."""

Call = Callable[[str], Awaitable[str]]


class Calls:
    """One call of each form. Each says how it ended."""

    def __init__(self, parley: Serving, http: httpx.AsyncClient, channel: grpc.aio.Channel) -> None:
        self._http = http
        self._chats = ChatServiceStub(channel)
        self._assistant = parley.keys["assistantId"]
        self._metadata = (("authorization", f"Bearer {parley.keys['api']}"),)
        self.begun = 0
        """How many streams have told something."""
        self.known: set[str] = set()
        """The chats that callers have heard of."""
        self.kinds: list[Call] = [
            self.chat,
            self.response,
            self.completion,
            self.whole,
            self.grpc_stream,
            self.grpc_whole,
        ]

    async def chat(self, text: str) -> str:
        how, received = await self._streamed("/chat", {"assistantId": self._assistant, "input": text})
        self.known |= {event["id"] for event in received}
        return how or _judged(
            "error" in received[-1], "".join(event.get("delta", "") for event in received) == _ECHO + text
        )

    async def response(self, text: str) -> str:
        how, received = await self._streamed("/v1/responses", {"assistantId": self._assistant, "input": text})
        kind = received[-1]["type"] if received else ""
        return how or _judged(kind == "response.incomplete", kind == "response.completed")

    async def completion(self, text: str) -> str:
        path = f"/api/v1/compatibility/openai/v1/assistants/{self._assistant}/chat/completions"
        how, received = await self._streamed(path, {"messages": [{"role": "user", "content": text}]})
        return how or _judged(
            "error" in received[-1], received[-1].get("choices", [{}])[0].get("finish_reason") == "stop"
        )

    async def whole(self, text: str) -> str:
        try:
            answer = await self._http.post("/chat", json={"assistantId": self._assistant, "input": text})
        except _NOT_ACCEPTED:
            return REFUSED
        if answer.status_code == 200:
            self.known.add(answer.json()["id"])
        return {200: ANSWERED, 503: REFUSED}.get(answer.status_code, f"{CUT}: {answer.status_code}")

    async def grpc_stream(self, text: str) -> str:
        last = None
        try:
            async for last in self._chats.StreamChat(self._request(text), metadata=self._metadata):
                self.begun += last.sequence == 1
                self.known.add(last.chat_id)
        except grpc.aio.AioRpcError as error:
            return (
                REFUSED
                if last is None and error.code() == grpc.StatusCode.UNAVAILABLE
                else f"{CUT}: {error.code()}"
            )
        return _judged(last.completed.error.code == "server_stopped", last.completed.status == "completed")

    async def grpc_whole(self, text: str) -> str:
        try:
            self.known.add((await self._chats.CreateChat(self._request(text), metadata=self._metadata)).id)
        except grpc.aio.AioRpcError as error:
            return REFUSED if error.code() == grpc.StatusCode.UNAVAILABLE else f"{CUT}: {error.code()}"
        return ANSWERED

    async def _streamed(self, path: str, body: dict[str, object]) -> tuple[str, list[dict]]:
        """How it ended if that is known without a look at what was told, and what was told."""
        received: list[dict] = []
        began = False
        try:
            async with self._http.stream("POST", path, json={**body, "stream": True}) as answer:
                began = True
                async for line in answer.aiter_lines():
                    if answer.status_code == 200 and line.startswith("data: {"):
                        self.begun += not received
                        received.append(json.loads(line.removeprefix("data: ")))
        except httpx.TransportError as error:
            is_refused = isinstance(error, _NOT_ACCEPTED) and not began
            how = f"{type(error).__name__} after {len(received)} events, {began=}"
            return REFUSED if is_refused else f"{CUT}: {how}", received
        if answer.status_code != 200:
            return REFUSED if answer.status_code == 503 else f"{CUT}: {answer.status_code}", received
        return "" if received else f"{CUT}: nothing was told", received

    def _request(self, text: str) -> CreateChatRequest:
        return CreateChatRequest(assistant_id=self._assistant, input=Value(string_value=text))


def _judged(is_notified: bool, is_whole: bool) -> str:
    return NOTIFIED if is_notified else ANSWERED if is_whole else f"{CUT}: the stream ended like a whole one"


async def stopped(trial: Trial) -> None:
    """With one worker and with two in turn."""
    known: set[str] = set()
    totals: Counter[str] = Counter()
    for number in range(trial.count):
        async with (
            Serving(
                trial.folder / "stops",
                PARLEY_WORKERS=1 + number % 2,
                PARLEY_OFFLINE_DELAY_MS=20,
                PARLEY_DRAIN_SECONDS=0.3,
                PARLEY_GRACE_SECONDS=1,
            ) as parley,
            client_of(parley) as http,
            grpc.aio.insecure_channel(parley.http) as channel,
        ):
            trial.lost += len(known - await on_record(http))
            calls, ends = Calls(parley, http, channel), Counter()
            tasks = [
                asyncio.create_task(_again_and_again(kind, text, ends))
                for kind in calls.kinds
                for text in (_SHORT, _LONG)
                for _ in range(_OF_EACH)
            ]
            await _until_begun(calls, 4 * _OF_EACH)
            ended = await parley.stop(signal.SIGTERM)
            _, late = await asyncio.wait(tasks, timeout=15)
            known |= calls.known
        totals += ends
        cut = {how: times for how, times in ends.items() if how.startswith(CUT)}
        trial.record(
            hanging=len(late),
            cut=sum(cut.values()),
            wrong="; ".join(
                text
                for text, is_so in {
                    f"cut: {cut}": bool(cut),
                    "no stream was told that the server stops": not ends[NOTIFIED],
                    f"it ended with {ended.code}: {ended.err[-300:]}": ended.code != 0,
                }.items()
                if is_so
            ),
        )
    async with Serving(trial.folder / "stops") as parley, client_of(parley) as http:
        trial.lost += len(known - await on_record(http))
    trial.figures |= {how: totals[how] for how in (ANSWERED, NOTIFIED, REFUSED)}


async def _again_and_again(kind: Call, text: str, ends: Counter[str]) -> None:
    """Until nobody takes the call any more."""
    how = ""
    while how != REFUSED:
        how = await kind(text)
        ends[how] += 1


async def _until_begun(calls: Calls, streams: int) -> None:
    async with asyncio.timeout(30):
        while calls.begun < streams:  # noqa: ASYNC110 (what callers are told is no event)
            await asyncio.sleep(0.005)


ROWS = [
    Row(
        "a stop under load with streams open",
        "no stream ends without its terminal event; exit code 0",
        stopped,
        10,
        2,
        2,
    ),
]
