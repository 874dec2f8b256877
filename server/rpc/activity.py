"""The calls that are under way, and when the last one came: what a server that is to stop must know. Decides
nothing."""

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
    """Whether its caller has been told anything of the answer."""

    def break_off(self) -> None:
        """End it; its caller is told that the server stops."""
        ...


class Traffic:
    """`with traffic.of(call):` around every call."""

    def __init__(self) -> None:
        self._under_way: set[UnderWay] = set()
        self._last = -inf
        self._last_begun = -inf
        self.begun = 0
        """How many have come."""

    @contextmanager
    def of(self, call: UnderWay) -> Iterator[None]:
        self._under_way.add(call)
        self._last_begun = time.monotonic()
        self.begun += 1
        try:
            yield
        finally:
            self._under_way.discard(call)
            self._last = time.monotonic()

    def within(self, seconds: float) -> bool:
        """Whether a call is under way, or ended in the last `seconds`."""
        return bool(self._under_way) or time.monotonic() - self._last < seconds

    def begun_within(self, seconds: float) -> bool:
        """Whether a call has come in the last `seconds`."""
        return time.monotonic() - self._last_begun < seconds

    async def refuse(self, within_seconds: float, *, begun: bool) -> None:
        """Break calls off, those only that have told nothing yet unless `begun`, and wait until each has been
        refused."""
        calls = [call for call in self._under_way if begun or not call.has_begun]
        for call in calls:
            call.break_off()
        if calls:
            await asyncio.wait([call.task for call in calls], timeout=within_seconds)
