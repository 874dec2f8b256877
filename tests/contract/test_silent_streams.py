"""Streams over HTTP while the model is silent, and what they tell proxies."""

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from google.api.httpbody_pb2 import HttpBody

from server.services.frames import Frames
from tests.conftest import Org, running
from tests.contract.doors import COMPLETIONS, door_to, http_client
from tests.upstream import Answer, OpenAIUpstream, chunk, sse

BEGINNING = sse(chunk({"role": "assistant", "content": ""}), chunk({"content": "Hello"}))
END = [*sse(chunk({"content": " world"}), chunk(finish="stop")), b"data: [DONE]\n\n"]
USER = [{"role": "user", "content": "Hi"}]
STREAMS = {
    "chat": ("/chat", {"input": "Hi", "stream": True}, "assistantId"),
    "response": ("/v1/responses", {"input": "Hi", "stream": True}, "model"),
    "completion": ("/v1/chat/completions", {"messages": USER, "stream": True}, "model"),
    "completion of an assistant": (COMPLETIONS, {"messages": USER, "stream": True}, None),
}


def request_of(path: str, body: dict[str, Any], named: str | None, assistant_id: str) -> dict[str, Any]:
    return {
        "url": path.format(agent_id=assistant_id),
        "json": {**body, **({named: assistant_id} if named else {})},
    }


@pytest.mark.parametrize(("path", "body", "named"), STREAMS.values(), ids=STREAMS)
async def test_silence_is_filled_with_comment_lines(tmp_path: Path, path: Any, body: Any, named: Any) -> None:
    goes_on = asyncio.Event()
    async with (
        running(tmp_path, upstream_allow_hosts="127.0.0.1", silent_seconds=0.01) as service,
        OpenAIUpstream(Answer([*BEGINNING, goes_on, *END])) as upstream,
        http_client(service) as http,
    ):
        org = await service.new_org()
        async with door_to("rest", service, org) as door:
            made = await door.create_assistant(
                document={"model": {"provider": "custom-llm", "url": upstream.base_url, "model": "m"}}
            )
        lines = []
        async with http.stream(
            "POST", headers=org.bearer, **request_of(path, body, named, made["id"])
        ) as answer:
            async for line in answer.aiter_lines():
                lines.append(line)
                if lines.count(":") == 2:
                    goes_on.set()

    assert lines[0].startswith(("data:", "event:"))
    assert "world" in "".join(lines)


@pytest.mark.parametrize(("path", "body", "named"), STREAMS.values(), ids=STREAMS)
async def test_stream_is_neither_kept_nor_held_by_proxies(
    http: httpx.AsyncClient, org: Org, path: Any, body: Any, named: Any
) -> None:
    streamed = await http.post(headers=org.bearer, **request_of(path, body, named, org.assistant_id))
    body = {**body, "stream": False}
    whole = await http.post(headers=org.bearer, **request_of(path, body, named, org.assistant_id))

    assert streamed.headers["content-type"] == "text/event-stream"
    assert (streamed.headers["cache-control"], streamed.headers["x-accel-buffering"]) == ("no-cache", "no")
    assert "x-accel-buffering" not in whole.headers


async def test_stream_that_is_read_again_is_not_kept_either(http: httpx.AsyncClient, org: Org) -> None:
    made = await http.post(
        "/v1/responses", headers=org.bearer, json={"model": org.assistant_id, "input": "Hi"}
    )
    again = await http.get(f"/v1/responses/{made.json()['id']}?stream=true", headers=org.bearer)

    assert (again.headers["cache-control"], again.headers["x-accel-buffering"]) == ("no-cache", "no")


async def turns_of_the_loop() -> None:
    for _ in range(50):
        await asyncio.sleep(0)


async def test_nothing_is_said_before_the_first_event() -> None:
    written, commented = [], asyncio.Event()

    async def write(body: HttpBody) -> None:
        written.append(body.data)
        if len(written) == 3:
            commented.set()

    async with Frames(SimpleNamespace(write=write), 1e-9) as frames:
        await turns_of_the_loop()
        assert written == []
        await frames.write(b"data: 1\n\n")
        await commented.wait()

    assert set(written[1:]) == {b":\n\n"}


async def test_comment_waits_for_what_is_being_written() -> None:
    begun, unread, read = [], asyncio.Event(), asyncio.Event()

    async def write(body: HttpBody) -> None:
        begun.append(body.data)
        if body.data == b"2":
            unread.set()
            await read.wait()

    async with Frames(SimpleNamespace(write=write), 1e-9) as frames:
        await frames.write(b"1")
        writing = asyncio.ensure_future(frames.write(b"2"))
        await unread.wait()
        before = len(begun)
        await turns_of_the_loop()
        assert len(begun) == before
        read.set()
        await writing
