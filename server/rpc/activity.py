"""Records the running calls and the time of the latest one, for a server that is stopping. Decides nothing."""

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager
from math import inf
from typing import Protocol


class UnderWay(Protocol):
    """A call that is being served."""

    task: asyncio.Task[None]
    has_begun: bool
    """Whether the caller has received any part of the answer."""

    def break_off(self) -> None:
        """End the call; its caller learns that the server is stopping."""
        ...

    def retire(self) -> None:
        """End a call with many requests once none of them runs; do nothing to any other."""
        ...


class Traffic:
    """The running calls of a server: `with traffic.of(call):` surrounds each of them."""

    def __init__(self) -> None:
        self._under_way: set[UnderWay] = set()
        self._last = -inf
        self._last_begun = -inf
        self.begun = 0
        """The number of calls so far."""

    @contextmanager
    def of(self, call: UnderWay) -> Iterator[None]:
        """Count `call` as running while this context is entered."""
        self._under_way.add(call)
        self._last_begun = time.monotonic()
        self.begun += 1
        try:
            yield
        finally:
            self._under_way.discard(call)
            self._last = time.monotonic()

    @property
    def under_way(self) -> int:
        """Return how many calls are running."""
        return len(self._under_way)

    def within(self, seconds: float) -> bool:
        """Return whether a call is running, or ended in the last `seconds`."""
        return bool(self._under_way) or time.monotonic() - self._last < seconds

    def begun_within(self, seconds: float) -> bool:
        """Return whether a call began in the last `seconds`."""
        return time.monotonic() - self._last_begun < seconds

    def retire(self) -> None:
        """End connections, each when nothing runs on it: their callers open new ones, elsewhere."""
        for call in list(self._under_way):
            call.retire()

    async def refuse(self, within_seconds: float, *, begun: bool) -> None:
        """End calls and wait up to `within_seconds` until each is refused; only calls that have sent nothing
        yet, unless `begun`."""
        calls = [call for call in self._under_way if begun or not call.has_begun]
        for call in calls:
            call.break_off()
        if calls:
            await asyncio.wait([call.task for call in calls], timeout=within_seconds)
