"""The events of one stream between the model and its readers: those that wait for the disk, and the last ones
emitted.

Bounded: a model waits while too much of its answer is unread. Runs nothing and reads no store (`journal.py`
writes).
"""

import asyncio
from collections import Counter, deque
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Hashable, Iterator
from contextlib import contextmanager

from generated.parley.v1.chat_pb2 import ChatEvent
from server.content.walk import readable
from server.core.errors import RateLimited

MOST_OF_STREAM = 64 * 1024
MOST_OF_KEY = 16 * 1024 * 1024
"""Bytes that may be unread before the model waits: of one stream, and of all streams of a key in this
process."""
EVENTS_A_TURN = 4
BATCH = 64
"""Events per batch for a reader: a batch blocks the event loop for about a millisecond."""


class Readers:
    """Counts the calls that read each chat, besides the one that began it."""

    def __init__(self, most: float) -> None:
        self._most = most
        self._of_chat: Counter[Hashable] = Counter()

    @contextmanager
    def one_more(self, *chat: Hashable) -> Iterator[None]:
        """Count one more reader of a chat while this is entered. Raises RateLimited when the chat has too
        many.

        `chat` is the caller's scope and the id it sent, which may not exist: so a refusal costs nothing, and
        reveals nothing about others' chats.
        """
        if self._of_chat[chat] >= self._most:
            raise RateLimited(
                f"{self._most} calls read the events of this chat, which is the most allowed; let one of them "
                "end",
                reason="TOO_MANY_READERS",
                retry_after=1,
            )
        self._of_chat[chat] += 1
        try:
            yield
        finally:
            self._of_chat[chat] -= 1
            if not self._of_chat[chat]:
                del self._of_chat[chat]


class Share:
    """The share of each turn of the event loop for readers of exchanges that others began.

    grpc.aio accepts one new call per turn: with a write for each of a hundred readers in every turn, callers
    would wait for seconds. First come, first served.
    """

    def __init__(self, most: int = EVENTS_A_TURN) -> None:
        self._most = self._left = most
        self._waiting: deque[tuple[asyncio.Future[None], int]] = deque()
        self._is_due = False

    async def acquire(self, events: int = 1) -> None:
        """Wait until `events` events may be rendered and written; a large number makes the next readers wait
        longer."""
        if self._left > 0 and not self._waiting:
            self._left -= events
            self._renew_next()
            return
        mine: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((mine, events))
        self._renew_next()
        await mine

    def _renew_next(self) -> None:
        if not self._is_due:
            self._is_due = True
            asyncio.get_running_loop().call_soon(self._renew)

    def _renew(self) -> None:
        self._is_due = False
        self._left = min(self._most, self._left + self._most)
        while self._waiting and self._left > 0:
            waiting, events = self._waiting.popleft()
            if not waiting.done():  # the reader has left
                waiting.set_result(None)
                self._left -= events
        if self._waiting or self._left < self._most:
            self._renew_next()


class Emitted:
    """An event with its size and its bytes, which are serialized on first use and shared by all readers."""

    __slots__ = ("_data", "event", "size")

    def __init__(self, event: ChatEvent) -> None:
        self.event = event
        self.size = event.ByteSize()
        self._data: bytes | None = None

    @property
    def data(self) -> bytes:
        """The serialized event."""
        if self._data is None:
            self._data = readable(self.event)
        return self._data


class Unread:
    """Counts the unread bytes of all streams of each key."""

    def __init__(self) -> None:
        self._of_key: Counter[str] = Counter()

    def change(self, key_id: str, by: int) -> None:
        """Add `by` bytes, which may be negative, to those of a key."""
        self._of_key[key_id] += by
        if not self._of_key[key_id]:
            del self._of_key[key_id]

    def of(self, key_id: str) -> int:
        """Return the unread bytes of a key."""
        return self._of_key[key_id]


class EventBuffer:
    """The events of one stream. Their sequence numbers are their indexes.

    While it is `paced`, the caller that began the exchange reads it, and events that this caller has not
    consumed are unread. Otherwise only events that are not on disk are.
    """

    def __init__(self, unread: Unread, key_id: str, *, paced: bool) -> None:
        self._first = 0
        """Index of the oldest event in the buffer; those before it are on disk."""
        self._emitted: list[Emitted] = []
        self._emitted_bytes = self._consumed = 0
        self.waiting: list[Emitted] = []
        """The events that are not on disk."""
        self._waiting_bytes = self._unread_bytes = 0
        self._all_unread = unread
        self._key_id = key_id
        self._paced = paced
        self._less = asyncio.Event()
        self._over = False
        self._news: set[asyncio.Event] = set()

    @property
    def end(self) -> int:
        """Index after the last event that was emitted."""
        return self._first + len(self._emitted)

    @property
    def last(self) -> ChatEvent:
        """The last event that was emitted."""
        return self._emitted[-1].event

    def add(self, event: ChatEvent) -> None:
        """Add an event that is not on disk yet."""
        emitted = Emitted(event)
        self.waiting.append(emitted)
        self._waiting_bytes += emitted.size
        self._change(emitted.size)

    def emit(self, number: int) -> None:
        """Emit the first `number` waiting events, which are on disk by now."""
        self._move(number)
        self._drop()
        self._wake()

    def drop_waiting(self) -> None:
        """Discard the waiting events: they could not be put on disk."""
        self._change(-self._waiting_bytes)
        self.waiting, self._waiting_bytes = [], 0

    def close(self) -> None:
        """Emit the waiting events, the terminal one last. Drops nothing: the last ones may not be in the
        journal."""
        self._move(len(self.waiting))
        self._over = True
        self._wake()

    async def until_emitted(self) -> bool:
        """Wait for the first event; False when the stream ends without one."""
        with self._listening() as news:
            while not self.end and not self._over:
                await news.wait()
                news.clear()
        return bool(self.end)

    async def read(
        self, from_disk: Callable[[int], AsyncIterator[list[ChatEvent]]], *, paces: bool = False
    ) -> AsyncGenerator[list[ChatEvent]]:
        """Yield all events emitted so far, then new ones until the end. `from_disk` reads those that are no
        longer here.

        `paces`: the model waits for this reader.
        """
        place = 0
        with self._listening() as news:
            while True:
                over = self._over
                if place < self._first:
                    async for batch in from_disk(place):
                        # the middle may be gone: only the end of a deleted chat is left
                        place = batch[-1].sequence + 1
                        yield batch
                elif batch := [
                    one.event for one in self._emitted[place - self._first : place - self._first + BATCH]
                ]:
                    place += len(batch)
                    yield batch
                    if paces:
                        self.consumed(len(batch))
                elif over:
                    return
                else:
                    await news.wait()
                    news.clear()

    @contextmanager
    def _listening(self) -> Iterator[asyncio.Event]:
        news = asyncio.Event()
        self._news.add(news)
        try:
            yield news
        finally:
            self._news.discard(news)

    def data_of(self, event: ChatEvent) -> bytes:
        """Return an event serialized; once for all its readers, while it is in the buffer."""
        at = event.sequence - self._first
        if 0 <= at < len(self._emitted) and self._emitted[at].event is event:
            return self._emitted[at].data
        return readable(event)

    def consumed(self, number: int) -> None:
        """Count `number` more events as read by the caller that began the exchange."""
        if self._paced:
            at = self._consumed - self._first
            self._consumed += number
            self._change(-sum(one.size for one in self._emitted[at : at + number]))

    def unpace(self) -> None:
        """Stop waiting for a reader."""
        if self._paced:
            self._paced = False
            self._change(self._waiting_bytes - self._unread_bytes)

    @property
    def has_room(self) -> bool:
        """Whether few enough bytes are unread for the model to continue."""
        if self._all_unread.of(self._key_id) > MOST_OF_KEY:
            return not self._unread_bytes  # one event at a time still goes through
        return self._unread_bytes <= MOST_OF_STREAM

    async def until_room(self, patience_seconds: float) -> bool:
        """Wait while too much is unread; False when the reader consumes nothing for `patience_seconds`."""
        while not self.has_room:
            self._less.clear()
            try:
                async with asyncio.timeout(patience_seconds):
                    await self._less.wait()
            except TimeoutError:
                if self._unread_bytes > self._waiting_bytes:  # otherwise the disk is slow, not the reader
                    return False
        return True

    def _move(self, number: int) -> None:
        batch, self.waiting = self.waiting[:number], self.waiting[number:]
        size = sum(one.size for one in batch)
        self._emitted += batch
        self._emitted_bytes += size
        self._waiting_bytes -= size
        if not self._paced:
            self._change(-size)

    def _drop(self) -> None:
        """Drop the events that a fast reader no longer needs; a slower reader reads them from disk."""
        if self._emitted_bytes <= MOST_OF_STREAM:
            return
        number, most = 0, self._consumed - self._first if self._paced else len(self._emitted)
        while self._emitted_bytes > MOST_OF_STREAM and number < most:
            self._emitted_bytes -= self._emitted[number].size
            number += 1
        del self._emitted[:number]
        self._first += number

    def _wake(self) -> None:
        for news in self._news:
            news.set()

    def _change(self, by: int) -> None:
        self._unread_bytes += by
        self._all_unread.change(self._key_id, by)
        if by < 0:
            self._less.set()
