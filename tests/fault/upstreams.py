"""What model providers do: refuse, break off, send garbage, stall, drip, or send without end; and callers who
leave."""

import asyncio
import gzip
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import grpc
from google.protobuf.struct_pb2 import Struct, Value

from generated.parley.v1.assistant_service_pb2 import CreateAssistantRequest
from generated.parley.v1.assistant_service_pb2_grpc import AssistantServiceStub
from generated.parley.v1.chat_pb2 import ChatEvent
from generated.parley.v1.chat_service_pb2 import CreateChatRequest
from server.content.messages import text_of
from server.exchange.answer import MOST_OUTPUT_REACHED
from tests.fault.server import Server
from tests.fault.trial import Row, Trial
from tests.upstream import CUT, STALL, Answer, Drip, OpenAIUpstream, chunk, failure, openai_text, sse

_BEGINNING = sse(chunk({"role": "assistant", "content": ""}), chunk({"content": "Hello wor"}))
_DEADLINE = 3
_MOST_GROWTH_KIB = 96 * 1024
_BOMB = gzip.compress(bytes(50_000_000))
_EXPECTED_CODES = {
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.RESOURCE_EXHAUSTED,
    grpc.StatusCode.DEADLINE_EXCEEDED,
}
_GZIP = {"content-type": "text/event-stream", "content-encoding": "gzip"}

BREAKING: dict[str, Callable[[], Answer]] = {
    "EOF without finish_reason": lambda: Answer(_BEGINNING),
    "connection cut": lambda: Answer([*_BEGINNING, CUT]),
    "garbage": lambda: Answer([*_BEGINNING, b"data: {nonsense\n\n"]),
    "random bytes": lambda: Answer([*_BEGINNING, b"data: " + random.randbytes(2000) + b"\n\n"]),
    "stall": lambda: Answer([*_BEGINNING, STALL]),
    "comment drip": lambda: Answer([*_BEGINNING, Drip(b": still here\n\n", 0.01)]),
    "20 MB line": lambda: Answer([*_BEGINNING, b"data: " + b"x" * 20_000_000]),
    "gzip bomb": lambda: Answer([_BOMB], headers=_GZIP),
    "endless text": lambda: Answer([*_BEGINNING, Drip(sse(chunk({"content": "more " * 2000}))[0])]),
}
"""By name; of all but the gzip bomb something was said before."""


class Scene:
    """A server, and a provider that answers as it is told to."""

    def __init__(self, server: Server, upstream: OpenAIUpstream, assistant_id: str) -> None:
        self.server = server
        self.upstream = upstream
        self.assistant_id = assistant_id

    @property
    def request(self) -> CreateChatRequest:
        return CreateChatRequest(assistant_id=self.assistant_id, input=Value(string_value="Hello"))

    async def stream(self) -> tuple[list[ChatEvent], grpc.StatusCode]:
        """What a streamed chat was told, and how the call ended."""
        events: list[ChatEvent] = []
        call = self.server.chats.StreamChat(
            self.request, metadata=self.server.metadata, timeout=_DEADLINE * 5
        )
        try:
            async for event in call:
                events.append(event)
        except grpc.aio.AioRpcError as error:
            return events, error.code()
        return events, await call.code()


@asynccontextmanager
async def _scene(server: Server, answers: Answer | list[Answer]) -> AsyncIterator[Scene]:
    async with OpenAIUpstream(answers) as upstream:
        model = {"provider": "custom-llm", "url": upstream.base_url, "model": "scripted-1"}
        document = Struct()
        document.update({"model": model, "credentials": [{"provider": "custom-llm", "apiKey": "sk-x"}]})
        made = await AssistantServiceStub(server.channel).CreateAssistant(
            CreateAssistantRequest(document=document), metadata=server.metadata, timeout=30
        )
        yield Scene(server, upstream, made.id)


def _server(trial: Trial) -> Server:
    return Server(
        trial.folder / "server",
        PARLEY_UPSTREAM_ALLOW_HOSTS="127.0.0.1",
        PARLEY_MODEL_TIMEOUT_SECONDS=_DEADLINE,
    )


async def refusing(trial: Trial) -> None:
    """429, 500, 503 and 408, with Retry-After in each of its forms, until the attempts are over, or for a
    while."""
    forms = [
        lambda: {"retry_after": "0"},
        lambda: {"retry_after_ms": "20"},
        lambda: {"retry_after": format_datetime(datetime.now(UTC) + timedelta(seconds=1), usegmt=True)},
        lambda: {"retry_after": "3600"},
        dict,
    ]
    cases = [
        (status, form, ends) for form in forms for status in (429, 500, 503, 408) for ends in (True, False)
    ]
    async with _server(trial) as server:
        for number in range(trial.count):
            status, form, ends = cases[number % len(cases)]
            refusal = failure(status, **form())
            waits_too_long = form().get("retry_after") == "3600"
            async with _scene(server, [refusal, openai_text("Hi")] if ends else refusal) as scene:
                events, code = await scene.stream()
                answered = bool(events) and events[-1].HasField("completed")
                trial.record(
                    wrong=_wrong(
                        {
                            f"{status}: {code}": answered or code in _EXPECTED_CODES,
                            f"{status} was sent {len(scene.upstream.requests)} times": len(
                                scene.upstream.requests
                            )
                            <= 3,
                            f"{status} that ended was not survived": answered or not ends or waits_too_long,
                            f"{status} without end was answered": ends or not answered,
                        }
                    )
                )


async def breaking(trial: Trial) -> None:
    """Whatever comes, the exchange ends with an event that says so, what was said is kept, and the connection
    is closed."""
    names = list(BREAKING)
    async with _server(trial) as server:
        await server.chat("warm")
        at_first = 0
        for number in range(trial.count):
            if number == trial.count // 2 >= len(names):  # until then caches fill
                at_first = await server.memory()
            name = names[number % len(names)]
            async with _scene(server, BREAKING[name]()) as scene:
                await _break(trial, name, scene)
        growth = await server.memory() - at_first if at_first else 0
        trial.figures["memory growth, MiB"] = round(growth / 1024, 1)
        if growth > _MOST_GROWTH_KIB:
            trial.wrong.append(f"memory grew by {growth} KiB")
            trial.survived -= 1


async def _break(trial: Trial, name: str, scene: Scene) -> None:
    events, code = await scene.stream()
    if name == "gzip bomb":
        trial.record(wrong=_wrong({f"{name}: {code}": not events and code == grpc.StatusCode.UNAVAILABLE}))
        return
    ended = bool(events) and (
        events[-1].completed.error.code == MOST_OUTPUT_REACHED
        if name == "endless text"  # is cut where an answer is as long as it may be
        else events[-1].HasField("failed")
    )
    received = "".join(event.delta.text for event in events)
    stored = await scene.server.find(events[0].chat_id) if events else None
    text = text_of(stored.output[0]) if stored and stored.output else ""
    closed = scene.upstream.disconnected
    if name in ("stall", "comment drip", "endless text"):
        try:
            await asyncio.wait_for(closed.wait(), 2)
        except TimeoutError:
            trial.record(hanging=1, wrong=f"{name}: the connection stayed open")
            return
    trial.record(
        lost=not stored,
        wrong=_wrong(
            {
                f"{name}: no event says how it ended ({code})": ended,
                f"{name}: it is {stored and stored.status}": bool(stored) and stored.status == "incomplete",
                f"{name}: what was told is not what is kept": text == received,
                f"{name}: sent again after the first token": len(scene.upstream.requests) == 1,
            }
        ),
    )


async def left(trial: Trial) -> None:
    """A caller leaves in the middle: the model is told within a second, and what it said is kept."""
    async with _server(trial) as server, _scene(server, Answer([*_BEGINNING, STALL])) as scene:
        for _ in range(trial.count):
            scene.upstream.disconnected.clear()
            call = server.chats.StreamChat(scene.request, metadata=server.metadata, timeout=30)
            events = [await call.read() for _ in range(2)]
            call.cancel()
            try:
                await asyncio.wait_for(scene.upstream.disconnected.wait(), 1)
            except TimeoutError:
                trial.record(hanging=1, wrong="the model was not told within a second")
                continue
            stored = await _over(server, events[0].chat_id)
            checks = {f"it is {stored and stored.status}": bool(stored) and stored.status == "incomplete"}
            trial.record(lost=not stored, wrong=_wrong(checks))


async def _over(server: Server, chat_id: str) -> object | None:
    """The chat once it is over: that is written after the model was told."""
    for _ in range(200):
        stored = await server.find(chat_id)
        if stored is None or stored.status != "in_progress":
            return stored
        await asyncio.sleep(0.01)
    return stored


def _wrong(checks: dict[str, bool]) -> str:
    """What did not hold."""
    return "; ".join(text for text, passes in checks.items() if not passes)


ROWS = [
    Row(
        "provider refuses (429, 500, 503, 408 with Retry-After)",
        "at most 3 attempts, within the deadline",
        refusing,
        200,
        40,
        4,
    ),
    Row(
        "provider breaks off, stalls, drips, sends garbage or bombs",
        "incomplete, said in the stream; connection closed, memory flat",
        breaking,
        180,
        27,
        3,
    ),
    Row(
        "caller gone in the middle of a stream",
        "model told within 1 s, what it said is kept",
        left,
        200,
        50,
        2,
    ),
]
