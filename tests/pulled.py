"""The events of a backend one by one, for tests that look at each or leave early."""

import asyncio
from collections.abc import AsyncGenerator, Sequence

from server.backends.backend import Backend, ModelEvent, ModelRequest


async def pulled(backend: Backend, request: ModelRequest) -> AsyncGenerator[ModelEvent]:
    """What the backend emits, in order, and what it raises. Closing it cancels the call."""
    lists: asyncio.Queue[Sequence[ModelEvent] | None] = asyncio.Queue(1)

    async def generate() -> Exception | None:
        failure = None
        try:
            await backend.generate(request, lists.put)
        except Exception as error:
            failure = error
        await lists.put(None)
        return failure

    call = asyncio.create_task(generate())
    try:
        while (events := await lists.get()) is not None:
            for event in events:
                yield event
        if failure := await call:
            raise failure
    finally:
        call.cancel()
        await asyncio.gather(call, return_exceptions=True)
