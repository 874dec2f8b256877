"""How the streams of providers are read, whatever protocol they speak: what counts as life, and answers that
come whole."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import closing
from typing import Any

import pytest
from multidict import CIMultiDict

from generated.parley.v1.chat_pb2 import ContentDelta, ToolCallDelta
from generated.parley.v1.message_pb2 import Message
from server.backends.anthropic import AnthropicBackend
from server.backends.backend import Finish, ModelRequest, Ran, Usage
from server.backends.endpoint import Endpoint
from server.backends.openai import OpenAIBackend
from server.content.json_values import from_python
from server.core.errors import (
    ServiceError,
    UpstreamError,
    UpstreamRateLimited,
    UpstreamTimeout,
    UpstreamUnavailable,
)
from server.core.outbound.limits import Limits
from tests.pulled import pulled
from tests.upstream import anthropic_text, openai_text

HI = Message(role="user", content=from_python("hi"))
STALL_SECONDS = Limits().stall_seconds
KINDS = {
    "openai": (OpenAIBackend, "custom-llm", openai_text("Hello world").pieces),
    "anthropic": (AnthropicBackend, "anthropic", anthropic_text("Hello world").pieces),
}
ENDS = [
    *(
        pytest.param(kind, signs, id=f"{kind}-{name}")
        for kind in KINDS
        for name, signs in {
            "comment": b": OPENROUTER PROCESSING\n\n",
            "bare comment": b":\n",
            "blank line": b"\n",
            "half a line": b"event: x\n",
        }.items()
    ),
    pytest.param("anthropic", b'event: ping\ndata: {"type": "ping"}\n\n', id="anthropic-ping"),
]


class Clocked(asyncio.SelectorEventLoop):
    """A loop whose clock a test can put forward."""

    ahead = 0.0

    def time(self) -> float:
        return super().time() + self.ahead

    async def go_on(self, seconds: float) -> None:
        """Put the clock forward, and let what is due then happen."""
        self.ahead += seconds
        for _ in range(5):
            await asyncio.sleep(0)


class Body:
    """A body; a piece is asked for when the one before it was read."""

    def __init__(self, pieces: AsyncIterator[bytes]) -> None:
        self._pieces = pieces

    async def readany(self) -> bytes:
        self._failed = asyncio.get_running_loop().create_future()
        piece = asyncio.ensure_future(anext(self._pieces, b""))
        await asyncio.wait([piece, self._failed], return_when=asyncio.FIRST_COMPLETED)
        if self._failed.done():
            piece.cancel()
            return await self._failed
        return await piece

    def set_exception(self, error: BaseException) -> None:
        self._failed.set_exception(error)

    def at_eof(self) -> bool:
        return True


class Response:
    """An answer that has come as far as its head."""

    status = 200
    connection = None

    def __init__(self, headers: dict[str, str], pieces: AsyncIterator[bytes]) -> None:
        self.headers = CIMultiDict(headers)
        self.content = Body(pieces)

    def close(self) -> None:
        """Nothing to close."""


class Http:
    """Sends nothing, and has one answer for everything."""

    def __init__(self, response: Response) -> None:
        self._response = response

    async def send(self, *_: Any) -> Response:
        return self._response


def ran(main: Callable[[Clocked], Coroutine[Any, Any, list[Any]]]) -> list[Any]:
    """What it returns in a loop of its own, whose clock nobody else goes by."""
    with closing(Clocked()) as loop:
        found = loop.run_until_complete(main(loop))
        loop.run_until_complete(loop.shutdown_asyncgens())
    return found


async def events_of(
    kind: str, pieces: AsyncIterator[bytes], content_type: str | None = "text/event-stream", **members: Any
) -> list[Any]:
    """All events of one call, an error last."""
    backend, provider, _ = KINDS[kind]
    headers = {} if content_type is None else {"content-type": content_type}
    http = Http(Response(headers, pieces))
    request = ModelRequest(provider=provider, model="m", messages=[HI], **members)
    events: list[Any] = []
    try:
        async for event in pulled(backend(lambda _: Endpoint("http://model.example/v1", "k"), http), request):
            events.append(event)
    except ServiceError as error:
        events.append(error)
    return events


def text(events: list[Any]) -> str:
    return "".join(event.text for event in events if isinstance(event, ContentDelta))


@pytest.mark.parametrize(("kind", "sign"), ENDS)
def test_signs_of_life_end_a_silence(kind, sign):
    async def main(loop: Clocked) -> list[Any]:
        async def pieces() -> AsyncIterator[bytes]:
            for piece in KINDS[kind][2]:
                await loop.go_on(STALL_SECONDS * 0.9)
                yield sign
                await loop.go_on(STALL_SECONDS * 0.9)
                yield sign
                yield piece

        return await events_of(kind, pieces(), timeout_seconds=STALL_SECONDS * 100)

    events = ran(main)

    assert text(events) == "Hello world"
    assert Finish(0, "stop") in events


@pytest.mark.parametrize("kind", KINDS)
def test_silence_ends_the_call(kind):
    async def main(loop: Clocked) -> list[Any]:
        async def pieces() -> AsyncIterator[bytes]:
            for piece in KINDS[kind][2]:
                yield piece
                await loop.go_on(STALL_SECONDS * 1.1)

        return await events_of(kind, pieces(), timeout_seconds=STALL_SECONDS * 100)

    assert isinstance(ran(main)[-1], UpstreamTimeout)


@pytest.mark.parametrize(("kind", "sign"), ENDS)
def test_signs_of_life_alone_end_at_the_deadline(kind, sign):
    sent = []

    async def main(loop: Clocked) -> list[Any]:
        async def pieces() -> AsyncIterator[bytes]:
            while True:
                await loop.go_on(STALL_SECONDS * 0.9)
                sent.append(sign)
                yield sign

        return await events_of(kind, pieces(), timeout_seconds=STALL_SECONDS * 5)

    assert isinstance(ran(main)[-1], UpstreamTimeout)
    assert len(sent) == 5  # the sixth would come at 5.4 times the silence that is allowed


# --- answers that come whole --------------------------------------------------------------------------------

CALL = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"x": 1}'}}
COMPLETION = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "model": "scripted-1",
    "usage": {"prompt_tokens": 3, "completion_tokens": 2},
    "choices": [
        {
            "index": 0,
            "finish_reason": "tool_calls",
            "message": {
                "role": "assistant",
                "content": "Let\nme see",
                "tool_calls": [CALL, CALL | {"id": "c2"}],
            },
        }
    ],
}
MESSAGE = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "model": "scripted-1",
    "stop_reason": "tool_use",
    "usage": {"input_tokens": 3, "output_tokens": 2},
    "content": [
        {"type": "text", "text": "Let\nme see"},
        *({"type": "tool_use", "id": call_id, "name": "f", "input": {"x": 1}} for call_id in ("c1", "c2")),
    ],
}
WHOLE = {"openai": COMPLETION, "anthropic": MESSAGE}
TYPES = ["application/json", "application/json; charset=utf-8", None, "text/plain", "text/event-stream"]
BEFORE = {
    "nothing": b"",
    "byte order mark": b"\xef\xbb\xbf",
    "blank lines": b"\n\r\n \n",
    "both": b"\xef\xbb\xbf\r\n",
}


async def whole(
    kind: str,
    answer: Any,
    *,
    content_type: str | None = "application/json",
    before: bytes = b"",
    size: int = 1 << 20,
) -> list[Any]:
    body = before + (answer if isinstance(answer, bytes) else json.dumps(answer, indent=1).encode())

    async def pieces() -> AsyncIterator[bytes]:
        for start in range(0, len(body), size):
            yield body[start : start + size]

    return await events_of(kind, pieces(), content_type)


@pytest.mark.parametrize("kind", WHOLE)
@pytest.mark.parametrize("content_type", TYPES)
@pytest.mark.parametrize("before", BEFORE.values(), ids=BEFORE)
@pytest.mark.parametrize("size", [1, 1 << 20], ids=["byte by byte", "at once"])
async def test_answer_that_comes_whole_is_read(kind, content_type, before, size):
    events = await whole(kind, WHOLE[kind], content_type=content_type, before=before, size=size)
    calls = [event for event in events if isinstance(event, ToolCallDelta)]

    assert events[0] == Ran("scripted-1")
    assert text(events) == "Let\nme see"
    assert [(call.index, call.id, call.name) for call in calls] == [(0, "c1", "f"), (1, "c2", "f")]
    assert [json.loads(call.arguments) for call in calls] == [{"x": 1}, {"x": 1}]
    assert events[-2:] == [Finish(0, "tool_calls"), Usage(3, 2)]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("before", BEFORE.values(), ids=BEFORE)
@pytest.mark.parametrize("size", [1, 1 << 20], ids=["byte by byte", "at once"])
async def test_stream_is_read_whatever_is_before_it_and_whatever_its_type_is(kind, before, size):
    events = await whole(kind, b"".join(KINDS[kind][2]), before=before, size=size)

    assert events[0] == Ran("scripted-1")
    assert text(events) == "Hello world"


@pytest.mark.parametrize(
    ("kind", "answer"),
    [
        ("openai", {"choices": [{"message": {"content": "Hello"}}]}),
        ("anthropic", {"content": [{"type": "text", "text": "Hello"}]}),
    ],
)
async def test_whole_answer_is_complete_without_a_reason(kind, answer):
    assert await whole(kind, answer) == [ContentDelta(text="Hello"), Finish(0, "stop")]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("answer", "error"),
    [
        ({"error": {"message": "UPSTREAM TEXT", "type": "server_error"}}, UpstreamError),
        ({"error": "UPSTREAM TEXT"}, UpstreamError),
        (
            {"type": "error", "error": {"message": "UPSTREAM TEXT", "type": "rate_limit_error"}},
            UpstreamRateLimited,
        ),
        *(
            ({"error": {"message": "UPSTREAM TEXT", "code": code}}, error)
            for code, error in (
                (429, UpstreamRateLimited),
                ("429", UpstreamRateLimited),
                (503, UpstreamUnavailable),
                (408, UpstreamTimeout),
                (502, UpstreamError),
                ("server_error", UpstreamError),
                (None, UpstreamError),
            )
        ),
        ({"detail": "UPSTREAM TEXT"}, UpstreamError),
        ({}, UpstreamError),
        ([{"error": {"message": "UPSTREAM TEXT"}}], UpstreamError),
        (b'{"choices": [{"message": {"content": "UPSTREAM TE', UpstreamError),
        (b'{"a":' * 5000, UpstreamError),
        (b"{\xff}", UpstreamError),
    ],
)
async def test_whole_answer_that_is_none_is_an_error_without_its_text(kind, answer, error):
    [found] = await whole(kind, answer)

    assert type(found) is error
    assert "UPSTREAM TEXT" not in repr(found.args)


def test_signs_of_life_count_before_a_whole_answer():
    """Servers that think before they answer send blank lines meanwhile:
    api-docs.deepseek.com/quick_start/rate_limit"""
    body = json.dumps(COMPLETION).encode()

    async def main(loop: Clocked) -> list[Any]:
        async def pieces() -> AsyncIterator[bytes]:
            for piece in (b"\n", b"\n", b"\n", body[:40], body[40:]):
                await loop.go_on(STALL_SECONDS * 0.9)
                yield piece

        return await events_of("openai", pieces(), "application/json", timeout_seconds=STALL_SECONDS * 100)

    events = ran(main)

    assert text(events) == "Let\nme see"
