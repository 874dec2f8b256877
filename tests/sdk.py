"""The official OpenAI client, warmed up.

The first `responses.stream` of a process builds its types for about a second, in the event loop that the
service under test runs in, and Envoy then takes the service for dead. So that happens once, in a thread.
"""

import asyncio
import functools
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx2
import openai

_RESPONSE = {
    "id": "resp_1",
    "object": "response",
    "created_at": 1,
    "status": "completed",
    "model": "m",
    "output": [],
    "tools": [],
    "tool_choice": "auto",
    "parallel_tool_calls": True,
}
_EVENTS = [
    {"type": kind, "sequence_number": number, "response": _RESPONSE}
    for number, kind in enumerate(("response.created", "response.completed"))
]


@asynccontextmanager
async def official_client(base_url: str, api_key: str) -> AsyncIterator[openai.AsyncOpenAI]:
    """A client without retries: what a test sees is the first answer."""
    await asyncio.to_thread(_warm_up)
    async with openai.AsyncOpenAI(base_url=base_url, api_key=api_key, max_retries=0) as client:
        yield client


@functools.cache
def _warm_up() -> None:
    asyncio.run(_stream_once())


async def _stream_once() -> None:
    body = "".join(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n" for event in _EVENTS)
    answer = httpx2.Response(200, headers={"content-type": "text/event-stream"}, content=body.encode())
    http = httpx2.AsyncClient(transport=httpx2.MockTransport(lambda request: answer))
    async with openai.AsyncOpenAI(base_url="http://nowhere/v1", api_key="none", http_client=http) as client:
        async with client.responses.stream(model="m", input="Hi") as stream:
            await stream.until_done()
