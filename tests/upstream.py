"""Local stand-ins for model providers: real HTTP servers on 127.0.0.1 that answer as scripted.

    async with OpenAIUpstream([rate_limited(), openai_text("Hello")]) as upstream:
        ...  # call upstream.base_url, then look at upstream.requests

Answers are used in turn, the last one again and again. Speaks HTTP/1.1 as far as the SDKs do. A request that
a real provider would refuse (`strict.py`) is answered with its refusal instead.
"""

import asyncio
import contextlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Self

from tests.strict import flaw_in_deepseek, flaw_in_gemini, flaw_in_messages, flaw_in_mistral, flaw_in_openai

CUT = object()
"""Closes the connection in the middle of the answer."""
STALL = object()
"""Sends nothing more until the client goes away."""


@dataclass(frozen=True)
class Drip:
    """Sends the same bytes again and again until the client goes away."""

    piece: bytes
    seconds: float = 0.001


@dataclass(frozen=True)
class Answer:
    """One scripted answer; every piece is written at once, as one chunk; an event is waited for. Status 0
    sends no head."""

    pieces: Sequence[Any] = ()
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=lambda: {"content-type": "text/event-stream"})


@dataclass(frozen=True)
class Request:
    """One request as it arrived; header names in lower case."""

    method: str
    path: str
    headers: dict[str, str]
    raw: bytes

    @property
    def body(self) -> Any:
        return json.loads(self.raw)


class Upstream:
    """A scripted server.

    `requests` has what arrived, `flaws` what of it was refused and why, `disconnected` is set once a client
    left before its answer's end.
    """

    prefix = ""

    def __init__(self, answers: Answer | Iterable[Answer]) -> None:
        self._answers = [answers] if isinstance(answers, Answer) else list(answers)
        self.requests: list[Request] = []
        self.flaws: list[str] = []
        self.received = asyncio.Event()
        self.disconnected = asyncio.Event()
        self.connections = 0
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def port(self) -> int:
        found: int = self._server.sockets[0].getsockname()[1]
        return found

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.port}{self.prefix}"

    def flaw_in(self, request: Request) -> str | None:
        """Why a real server would refuse the request."""
        return None

    def answer_to(self, request: Request) -> Answer:
        """The next answer of the script; its last one again and again."""
        return self._answers[min(len(self.requests), len(self._answers)) - 1]

    async def arrived(self, count: int) -> list[Request]:
        """The first requests, once there are that many."""
        async with asyncio.timeout(20):
            while len(self.requests) < count:
                self.received.clear()
                await self.received.wait()
        return self.requests[:count]

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0, backlog=1024)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._server.wait_closed()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self.connections += 1
        try:
            while (request := await _read(reader)) is not None:
                self.requests.append(request)
                self.received.set()
                answer = self.answer_to(request)
                if flaw := self.flaw_in(request):
                    self.flaws.append(flaw)
                    status = 422 if flaw.startswith("extra_forbidden") else 400
                    answer = failure(status, {"error": {"type": "invalid_request_error", "message": flaw}})
                if not await self._send(answer, reader, writer):
                    break
        except asyncio.CancelledError:
            pass  # the server is closing
        except (ConnectionError, asyncio.IncompleteReadError):
            self.disconnected.set()
        finally:
            self._tasks.discard(task)
            writer.transport.abort()
            with contextlib.suppress(ConnectionError, asyncio.CancelledError):
                await writer.wait_closed()

    async def _send(self, answer: Answer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Whether the connection can go on."""
        head = f"HTTP/1.1 {answer.status} Scripted\r\n" + "".join(
            f"{k}: {v}\r\n" for k, v in answer.headers.items()
        )
        if answer.status:
            writer.write(head.encode() + b"transfer-encoding: chunked\r\n\r\n")
        for piece in answer.pieces:
            if piece is CUT:
                return False
            if piece is STALL or isinstance(piece, Drip):
                await self._until_gone(piece, reader, writer)
                return False
            if isinstance(piece, asyncio.Event):
                await piece.wait()
                continue
            await _write(writer, piece)
        writer.write(b"0\r\n\r\n")
        await writer.drain()
        return True

    async def _until_gone(
        self, piece: Any, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        gone = asyncio.ensure_future(reader.read())
        try:
            while isinstance(piece, Drip) and not gone.done():
                await _write(writer, piece.piece)
                await asyncio.wait([gone], timeout=piece.seconds)
            await gone
        finally:
            gone.cancel()
        self.disconnected.set()


class OpenAIUpstream(Upstream):
    """A stand-in for a server that speaks chat completions."""

    prefix = "/v1"
    provider = "openai"
    model = "gpt-5"
    call_id = "call_{}"
    """The form of the ids it gives."""
    in_calls: ClassVar[dict[str, Any]] = {}
    """What it adds to the first call of an answer, and wants back with it."""
    in_answers: ClassVar[dict[str, Any]] = {}
    """What it adds to an answer, and wants back with it."""

    def flaw_in(self, request: Request) -> str | None:
        return flaw_in_openai(request.body)

    @property
    def model_document(self) -> dict[str, Any]:
        """The `model` of an assistant that is answered by this server."""
        return {"provider": self.provider, "model": self.model, "url": self.base_url}

    @classmethod
    def text(cls, text: str) -> Answer:
        return openai_stream(
            chunk({"role": "assistant", "content": "", **cls.in_answers}),
            chunk({"content": text}),
            chunk(finish="stop"),
            usage_chunk(3, 2),
        )

    @classmethod
    def calls(cls, **calls: str) -> Answer:
        """Calls of the functions of these names, by the last digits of their ids."""
        made = [
            {
                "index": index,
                "id": cls.call_id.format(number),
                "type": "function",
                "function": {"name": name, "arguments": "{}"},
                **({} if index else cls.in_calls),
            }
            for index, (number, name) in enumerate(calls.items())
        ]
        return openai_stream(
            chunk({"role": "assistant", "content": None, **cls.in_answers}),
            chunk({"tool_calls": made}),
            chunk(finish="tool_calls"),
            usage_chunk(3, 2),
        )


class CustomUpstream(OpenAIUpstream):
    """A stand-in for a server of one's own."""

    provider = "custom-llm"
    model = "m"


class MistralUpstream(OpenAIUpstream):
    """A stand-in for Mistral, which is stricter than others."""

    provider = "mistral"
    model = "mistral-large-latest"
    call_id = "call{:0>5}"

    def flaw_in(self, request: Request) -> str | None:
        return flaw_in_mistral(request.body)


class DeepSeekUpstream(OpenAIUpstream):
    """A stand-in for DeepSeek, whose models think."""

    provider = "deep-seek"
    model = "deepseek-v4-pro"
    call_id = "call_00_{}"
    in_answers: ClassVar[dict[str, Any]] = {"reasoning_content": "Let me see."}

    def flaw_in(self, request: Request) -> str | None:
        return flaw_in_deepseek(request.body)


class GeminiUpstream(OpenAIUpstream):
    """A stand-in for Gemini's endpoint that speaks chat completions; it signs its calls."""

    provider = "google"
    model = "gemini-3-pro"
    call_id = "function-call-{}"
    in_calls: ClassVar[dict[str, Any]] = {"extra_content": {"google": {"thought_signature": "signed"}}}

    def flaw_in(self, request: Request) -> str | None:
        return flaw_in_gemini(request.body)


class AnthropicUpstream(Upstream):
    """A stand-in for a server that speaks Anthropic's messages."""

    provider = "anthropic"
    model = "claude-strict-1"
    in_model: ClassVar[dict[str, Any]] = {}
    in_answers: ClassVar[list[dict[str, Any]]] = []
    """Blocks that it begins its calls with, and wants back with them."""

    def flaw_in(self, request: Request) -> str | None:
        return flaw_in_messages(request.body)

    @property
    def model_document(self) -> dict[str, Any]:
        """The `model` of an assistant that is answered by this server."""
        return {"provider": self.provider, "model": self.model, "url": self.base_url, **self.in_model}

    @classmethod
    def text(cls, text: str) -> Answer:
        return anthropic_text(text)

    @classmethod
    def calls(cls, **calls: str) -> Answer:
        """Calls of the functions of these names, by the last digits of their ids."""
        uses = [
            {"type": "tool_use", "id": f"toolu_{number}", "name": name, "input": {}}
            for number, name in calls.items()
        ]
        blocks = [*cls.in_answers, *uses]
        return anthropic_stream(
            {
                "type": "message_start",
                "message": {"model": cls.model, "usage": {"input_tokens": 3, "output_tokens": 1}},
            },
            *(
                event
                for index, block in enumerate(blocks)
                for event in (
                    {"type": "content_block_start", "index": index, "content_block": block},
                    {"type": "content_block_stop", "index": index},
                )
            ),
            {"type": "message_delta", "delta": {"stop_reason": "tool_use"}, "usage": {"output_tokens": 2}},
            {"type": "message_stop"},
        )


class ThinkingUpstream(AnthropicUpstream):
    """The same with thinking enabled."""

    in_model: ClassVar[dict[str, Any]] = {"thinking": {"type": "enabled", "budgetTokens": 1024}}
    in_answers: ClassVar[list[dict[str, Any]]] = [
        {"type": "thinking", "thinking": "Let me see.", "signature": "signed"},
        {"type": "redacted_thinking", "data": "hidden"},
    ]


STRICT = (
    OpenAIUpstream,
    CustomUpstream,
    MistralUpstream,
    DeepSeekUpstream,
    GeminiUpstream,
    AnthropicUpstream,
    ThinkingUpstream,
)
"""A stand-in for each provider whose refusals are known."""


def sse(*events: Any, event_names: bool = False) -> list[Any]:
    """Each event as one piece: objects as JSON, strings as they are. What is to be waited for stays that."""
    return [
        event if isinstance(event, asyncio.Event) else _sse(event, event["type"] if event_names else None)
        for event in events
    ]


def chunk(
    delta: Mapping[str, Any] | None = None, *, finish: str | None = None, index: int = 0, **more: Any
) -> dict[str, Any]:
    """One chat.completion.chunk."""
    choice = {"index": index, "delta": dict(delta or {}), "finish_reason": finish}
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion.chunk",
        "model": "scripted-1",
        "choices": [choice],
        **more,
    }


def usage_chunk(prompt: int, completion: int, **more: Any) -> dict[str, Any]:
    """The last chunk of a stream whose caller asked for usage."""
    usage = {"prompt_tokens": prompt, "completion_tokens": completion, **more}
    return {"model": "scripted-1", "choices": [], "usage": usage}


def openai_stream(*events: Any) -> Answer:
    """The events, then [DONE]."""
    return Answer([*sse(*events), b"data: [DONE]\n\n"])


def openai_text(text: str, *, finish: str = "stop", usage: tuple[int, int] = (3, 2)) -> Answer:
    """A whole answer, word by word, with usage."""
    words = [chunk({"content": word if i == 0 else f" {word}"}) for i, word in enumerate(text.split(" "))]
    return openai_stream(
        chunk({"role": "assistant", "content": ""}), *words, chunk(finish=finish), usage_chunk(*usage)
    )


def anthropic_stream(*events: Any) -> Answer:
    """The events under their names."""
    return Answer(sse(*events, event_names=True))


def anthropic_text(text: str, *, stop_reason: str = "end_turn") -> Answer:
    """A whole answer, word by word, with usage."""
    words = [word if i == 0 else f" {word}" for i, word in enumerate(text.split(" "))]
    return anthropic_stream(
        {
            "type": "message_start",
            "message": {"model": "scripted-1", "usage": {"input_tokens": 3, "output_tokens": 1}},
        },
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        {"type": "ping"},
        *(
            {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": w}}
            for w in words
        ),
        {"type": "content_block_stop", "index": 0},
        {"type": "message_delta", "delta": {"stop_reason": stop_reason}, "usage": {"output_tokens": 2}},
        {"type": "message_stop"},
    )


def failure(status: int, body: Any = None, **headers: str) -> Answer:
    """An error answer with a JSON body; header names with _ for -."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    content = (
        body
        if isinstance(body, bytes)
        else json.dumps(body or {"error": {"message": "UPSTREAM TEXT"}}).encode()
    )
    return Answer([content], status, {"content-type": "application/json", **named})


def rate_limited(retry_after: str = "0") -> Answer:
    """429 with Retry-After."""
    return failure(429, retry_after=retry_after)


def _sse(event: Any, name: str | None) -> bytes:
    data = event if isinstance(event, str) else json.dumps(event)
    return (f"event: {name}\n" if name else "").encode() + f"data: {data}\n\n".encode()


async def _write(writer: asyncio.StreamWriter, piece: bytes) -> None:
    if not piece:
        return  # a chunk of no bytes would be the end
    writer.write(f"{len(piece):x}\r\n".encode() + piece + b"\r\n")
    await writer.drain()


async def _read(reader: asyncio.StreamReader) -> Request | None:
    try:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    except asyncio.IncompleteReadError:
        return None
    first, *lines = head.rstrip().split("\r\n")
    method, path, _ = first.split(" ")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    return Request(method, path, headers, await reader.readexactly(int(headers.get("content-length", 0))))
