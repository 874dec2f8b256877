"""The loop of every stream, over gRPC and over HTTP: it reads batches of events and writes messages or
frames.

A `form` translates a batch to its output. A reader of another call's exchange passes the `share` from which
its turns come. Knows the events of no door.
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
    """Write each message of the batches separately, over gRPC."""
    async for batch in batches:
        for message in form(batch):
            if share is not None:
                await share.acquire()
            await write(message)


async def write_frames(
    written: Frames, batches: Batches, form: Callable[[list[ChatEvent]], bytes], share: Share | None = None
) -> None:
    """Write the frames of each batch in one piece, over HTTP; nothing for a batch without frames."""
    async for batch in batches:
        if share is not None:
            await share.acquire(len(batch))
        if frames := form(batch):
            await written.write(frames)


async def answer(
    context: Context[Any], stream: ReadableExchange, form: Callable[[list[ChatEvent]], Iterable[Any]] = iter
) -> None:
    """Write the stream that this call has begun, over gRPC. Raises the error with which it ends."""
    await write_messages(context.write, stream.batches(), form)
    if stream.error:
        raise stream.error
