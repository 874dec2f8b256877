"""The journal of a process: puts the events of all its streams on disk, in one transaction after another.

All waiting events go into the next commit. The period of commits grows with the load of the process, and is
zero while it is mostly idle. Events that arrive meanwhile share a commit, and those of one stream also a
frame. The beginning of a stream does not go through here (`live.py`), so no first token waits. Knows no
reader and no SQL.
"""

import asyncio
import contextvars
import time
from collections.abc import Sequence
from typing import Protocol

import structlog

from server.core.errors import Internal, ServiceError, StorageUnavailable
from server.storage.chat_events import EventBatch
from server.storage.chats import Chats

log = structlog.get_logger()

LONGEST_PERIOD = 0.045
"""Seconds from the beginning of one commit to that of the next. A fast model sends two or three tokens in
that time."""
_IDLE = 0.03
_BUSY = 0.15
"""Share of one core: below the first, one commit follows another at once; above the second, in the longest
period."""
_REMEMBERED = 0.2
"""Seconds over which the load is averaged."""
_MOST_STREAMS = 256
"""Per commit."""


class Source(Protocol):
    """A stream whose events go through the journal."""

    def batch(self) -> EventBatch | None:
        """Return the events that wait now; None when the final commit of the exchange includes them."""
        ...

    def journaled(self, number: int) -> None:
        """Called when the first `number` waiting events are on disk."""
        ...

    def failed(self, failure: ServiceError | None) -> None:
        """Called when they could not be written; None: their chat is over or deleted."""
        ...


class Journal:
    """Writes in a task of its own while any events wait."""

    def __init__(self, chats: Chats) -> None:
        self._chats = chats
        self._waiting: dict[Source, None] = {}
        self._writing: dict[Source, EventBatch] = {}
        self._settled = asyncio.Event()
        self._running: asyncio.Task[None] | None = None
        self._pausing: asyncio.Future[None] | None = None
        self._load = _Load()
        self._began_at = 0.0
        """When the last commit began."""

    def add(self, source: Source, *, at_once: bool = False) -> None:
        """Schedule a stream's waiting events for the disk; `at_once` when its model cannot continue until
        then."""
        self._waiting[source] = None
        if at_once:
            self._end_pause()
        if self._running is None:
            # In a context of its own: the side effects of one call's writes are not for the events of others.
            self._running = asyncio.create_task(self._run(), context=contextvars.Context())

    async def remove(self, source: Source) -> None:
        """Wait until no events of a stream are being written, and write no more of them."""
        self._waiting.pop(source, None)
        while source in self._writing:
            self._settled.clear()
            await self._settled.wait()

    async def _run(self) -> None:
        """Write until no events wait."""
        try:
            while self._waiting:
                if (pause := self._began_at + self._load.period() - time.monotonic()) > 0:
                    await self._pause(pause)
                self._began_at = time.monotonic()
                sources = list(self._waiting)[:_MOST_STREAMS]
                for source in sources:
                    del self._waiting[source]
                    if batch := source.batch():
                        self._writing[source] = batch
                await self._write()
        finally:
            self._running = None

    async def _pause(self, seconds: float) -> None:
        loop = asyncio.get_running_loop()
        self._pausing = loop.create_future()
        timer = loop.call_later(seconds, self._end_pause)
        await self._pausing
        timer.cancel()

    def _end_pause(self) -> None:
        if self._pausing is not None and not self._pausing.done():
            self._pausing.set_result(None)

    async def _write(self) -> None:
        """Write the batches taken; a failure of one stream does not affect the others."""
        try:
            await self._try(self._writing)
        except StorageUnavailable as failure:
            for source in self._writing:
                source.failed(failure)
        except Exception as failure:
            for source, batch in list(self._writing.items()):
                await self._write_alone(source, batch, failure)
        finally:
            self._writing.clear()
            self._settled.set()

    async def _write_alone(self, source: Source, batch: EventBatch, before: Exception) -> None:
        try:
            await self._try({source: batch})
        except ServiceError as failure:
            source.failed(failure)
        except Exception as failure:  # the last handler of this task: the error would be lost
            log.error(
                "events could not be put on disk", chat=batch.chat_id, before=repr(before), exc_info=failure
            )
            source.failed(Internal())

    async def _try(self, batches: dict[Source, EventBatch]) -> None:
        if not batches:
            return
        written: Sequence[bool] = await self._chats.journal(list(batches.values()))
        for (source, batch), is_written in zip(batches.items(), written, strict=True):
            if is_written:
                source.journaled(len(batch.events))
            else:
                source.failed(None)


class _Load:
    """The load of the process: its event loop, gRPC's threads and the writer's."""

    def __init__(self) -> None:
        self._share = 0.0
        self._seen = time.monotonic(), time.process_time()

    def period(self) -> float:
        """Return the seconds from one commit to the next."""
        now, computed = time.monotonic(), time.process_time()
        passed = now - self._seen[0]
        if passed > 0:
            share = (computed - self._seen[1]) / passed
            self._share += min(1.0, passed / _REMEMBERED) * (share - self._share)
            self._seen = now, computed
        return LONGEST_PERIOD * min(1.0, max(0.0, (self._share - _IDLE) / (_BUSY - _IDLE)))
