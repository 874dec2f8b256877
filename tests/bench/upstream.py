"""A model provider that speaks chat completions at a fixed pace, as a process of its own:
`python -m tests.bench.upstream PORT`.

The name of the model sets the pace, so that one process serves every measurement (`Pace.model`). A stream has
its tokens one by one, each at its own time whatever the reader does; a whole answer comes when the last token
would have come. Every token is another word, so that a reader sees what is lost or out of order. Chunks are
made once for each pace: the provider shares two cores with what is measured. It checks nothing, and is no
stand-in for a provider in tests (tests/upstream.py is).
"""

import asyncio
import functools
import sys
from typing import NamedTuple

import orjson
import uvloop


class Pace(NamedTuple):
    """So many milliseconds until the first token, and then between tokens. No tokens: silence for an hour,
    once the head is sent."""

    wait_ms: int
    tokens: int
    gap_ms: int

    @property
    def model(self) -> str:
        return f"paced-{self.wait_ms}-{self.tokens}-{self.gap_ms}"

    @property
    def seconds(self) -> float:
        """From the request to the last token."""
        return (self.wait_ms + (self.tokens - 1) * self.gap_ms) / 1000

    @property
    def words(self) -> list[str]:
        return [f" w{number}" for number in range(self.tokens)]


REAL = Pace(20, 64, 20)
"""What the goals are about."""
SHORT = Pace(5, 3, 10)
"""For first tokens: the others come when the first has been seen."""
THINKING = Pace(0, 0, 0)


class Answers(NamedTuple):
    """What is sent for one model, as it goes over the wire."""

    pace: Pace
    head: bytes
    tokens: list[bytes]
    end: bytes
    end_with_usage: bytes
    whole: bytes


@functools.cache
def answers_of(model: str) -> Answers:
    pace = Pace(*map(int, model.split("-")[1:]))
    usage = {"prompt_tokens": 12, "completion_tokens": pace.tokens, "total_tokens": 12 + pace.tokens}
    named = {"id": "chatcmpl-paced", "created": 1_800_000_000, "model": model}

    def chunk(delta: dict[str, str] | None, finish: str | None = None, **more: object) -> bytes:
        choices = (
            [] if delta is None else [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}]
        )
        event = {**named, "object": "chat.completion.chunk", "choices": choices, **more}
        return _chunked(b"data: " + orjson.dumps(event) + b"\n\n")

    choice = {
        "index": 0,
        "message": {"role": "assistant", "content": "".join(pace.words), "refusal": None},
        "logprobs": None,
        "finish_reason": "stop",
    }
    whole = orjson.dumps({**named, "object": "chat.completion", "choices": [choice], "usage": usage})
    done = _chunked(b"data: [DONE]\n\n") + b"0\r\n\r\n"
    return Answers(
        pace,
        b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
        + chunk({"role": "assistant", "content": ""}),
        [chunk({"content": word}) for word in pace.words],
        chunk({}, "stop") + done,
        chunk({}, "stop") + chunk(None, usage=usage) + done,
        b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b"
        % (len(whole), whole),
    )


def _chunked(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


class Provider(asyncio.Protocol):
    """One connection: a request, its answer, the next request."""

    def __init__(self) -> None:
        self._received = b""
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._loop = asyncio.get_running_loop()

    def connection_lost(self, error: Exception | None) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, found, rest = self._received.partition(b"\r\n\r\n")
        if not found:
            return
        length = head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0]
        if not length:
            self._transport.write(b"HTTP/1.1 411 Length Required\r\ncontent-length: 0\r\n\r\n")
            self._transport.close()
        elif len(rest) >= int(length):
            self._received = rest[int(length) :]
            self._answer(orjson.loads(rest[: int(length)]))

    def _answer(self, request_body: dict) -> None:
        answers = answers_of(request_body["model"])
        self._began = self._loop.time()
        if not request_body.get("stream"):
            self._at(answers.pace.seconds if answers.tokens else 3600, answers.whole)
        elif not answers.tokens:
            self._transport.write(answers.head)
        else:
            has_usage = (request_body.get("stream_options") or {}).get("include_usage")
            self._end = answers.end_with_usage if has_usage else answers.end
            self._next(answers, 0)

    def _at(self, seconds: float, data: bytes) -> None:
        self._timer = self._loop.call_at(self._began + seconds, self._transport.write, data)

    def _next(self, answers: Answers, number: int) -> None:
        pace = answers.pace
        due = self._began + (pace.wait_ms + number * pace.gap_ms) / 1000
        self._timer = self._loop.call_at(due, self._send, answers, number)

    def _send(self, answers: Answers, number: int) -> None:
        data = answers.tokens[number]
        is_last = number + 1 == len(answers.tokens)
        self._transport.write((b"" if number else answers.head) + data + (self._end if is_last else b""))
        if not is_last:
            self._next(answers, number + 1)


async def serve(port: int) -> None:
    server = await asyncio.get_running_loop().create_server(Provider, "127.0.0.1", port, backlog=2048)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1])))
