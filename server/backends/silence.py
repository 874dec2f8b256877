"""Ends the wait for an answer's next bytes when a provider is silent for too long, or the call's time is over.

One timer for a call, not one for each read: when it fires, it looks at how long the wait in progress has been
going on. Only waits count: between reads, a provider may be silent.
"""

import asyncio

from aiohttp import StreamReader


class Silence:
    """Watches the reading of one body, whose reads it lets fail with TimeoutError."""

    def __init__(self, body: StreamReader, deadline: float, longest: float) -> None:
        self._body = body
        self._deadline = deadline
        self._longest = longest
        self._loop = asyncio.get_running_loop()
        self._since: float | None = None
        """When the wait in progress began."""
        self._timer: asyncio.TimerHandle | None = None

    def begin(self) -> None:
        """Begin to count a wait."""
        self._since = self._loop.time()
        if self._timer is None:
            self._arm(self._since)

    def pause(self) -> None:
        """Stop counting until the next `begin`."""
        self._since = None

    def end(self) -> None:
        """Stop watching."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _arm(self, since: float) -> None:
        self._timer = self._loop.call_at(min(self._deadline, since + self._longest), self._look)

    def _look(self) -> None:
        self._timer = None
        if self._since is None:
            return  # the next wait arms it again
        if self._loop.time() >= min(self._deadline, self._since + self._longest):
            self._body.set_exception(TimeoutError())
        else:
            self._arm(self._since)
