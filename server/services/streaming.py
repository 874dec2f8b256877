"""The loop of every stream, over gRPC and over HTTP: batches of events in, messages or frames out.

A `form` makes of a batch what is written of it. Who reads what another call began passes the `share` that its
turns come from. Knows no event of any door.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from typing import Any, TypeVar

from generated.parley.v1.chat_pb2 import ChatEvent
from server.exchange.event_buffer import Share
from server.exchange.run import ReadableExchange
from server.rpc.context import Context
from server.services.frames import Frames

T = TypeVar("T")
Batches = AsyncIterator[list[ChatEvent]]


async def write_messages(
    write: Callable[[T], Awaitable[None]],
    batches: Batches,
    form: Callable[[list[ChatEvent]], Iterable[T]],
    share: Share | None = None,
) -> None:
    """Write each message by itself, over gRPC."""
    async for batch in batches:
        for message in form(batch):
            if share is not None:
                await share.acquire()
            await write(message)


async def write_frames(
    written: Frames, batches: Batches, form: Callable[[list[ChatEvent]], bytes], share: Share | None = None
) -> None:
    """Write the frames of a batch at once, over HTTP; nothing for a batch that has none."""
    async for batch in batches:
        if share is not None:
            await share.acquire(len(batch))
        if frames := form(batch):
            await written.write(frames)


async def answer(
    context: Context[Any], stream: ReadableExchange, form: Callable[[list[ChatEvent]], Iterable[Any]] = iter
) -> None:
    """Write what this call has begun, over gRPC. Raises the error that it ends with."""
    await write_messages(context.write, stream.batches(), form)
    if stream.error:
        raise stream.error
