"""Reads an exchange for a caller that did not begin it: until it is over, or the reader's key ends. Runs
nothing."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import AbstractContextManager, aclosing

from generated.parley.v1.chat_pb2 import Chat, ChatEvent
from server.exchange import replay
from server.exchange.replay import KEY_ENDED
from server.exchange.run import ReadableExchange
from server.storage.keys import Caller

SubscribeKeyEnd = Callable[[Caller, Callable[[], None]], AbstractContextManager[None]]
"""Entered with a callback, which runs once or more when the key of the caller has ended."""


async def until_key_ends(
    subscribe: SubscribeKeyEnd, caller: Caller, exchange: ReadableExchange
) -> AsyncGenerator[list[ChatEvent]]:
    """Yield the batches of an exchange. When the reader's key ends first, the last batch reports it; the
    exchange itself continues."""
    place, waiting = 0, _Wait()
    with subscribe(caller, waiting.end):
        async with aclosing(exchange.watched()) as batches:
            while not waiting.is_ended:
                batch = await waiting.of(batches)
                if batch is None and not waiting.is_ended:
                    return
                if batch:
                    place += len(batch)
                    yield batch
    chat = Chat()
    chat.CopyFrom(exchange.outcome.chat)
    chat.status = "incomplete"
    chat.error.CopyFrom(KEY_ENDED)
    yield [replay.event(chat, place, failed=chat)]


class _Wait:
    """A wait for batches that can be ended."""

    def __init__(self) -> None:
        self.is_ended = False
        self._bound: asyncio.Timeout | None = None

    def end(self) -> None:
        self.is_ended = True
        if self._bound is not None and self._bound.when() is None:
            self._bound.reschedule(asyncio.get_running_loop().time())

    async def of(self, batches: AsyncIterator[list[ChatEvent]]) -> list[ChatEvent] | None:
        """Return the next batch; None when there is none, or when this is ended."""
        self._bound = bound = asyncio.timeout(None)
        try:
            async with bound:
                return await anext(batches, None)
        except TimeoutError:
            if not bound.expired():
                raise
            return None
        finally:
            self._bound = None
