"""Delivers the rows of the outbox: in order within a lane, each row at least once, with retries that survive
restarts.

Blocks no caller: every row was committed before its delivery. Attempts are counted on disk before they are
made; between them only the row waits, no task does. Knows no wire form (the sinks do), and no exception's
text gets into a reason.
"""

import asyncio
import contextlib
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import structlog
from tenacity import RetryCallState, stop_after_attempt, wait_exponential_jitter, wait_fixed

from server.core.errors import ServiceError
from server.core.telemetry.meter import NO_METER, Meter
from server.storage.outbox import Outbox, Waiting
from server.storage.peers import Peers

_MOST = 64
_MOST_PER_ORG = 16
_LONGEST_REST = 1.0
_LONGEST_RETRY_AFTER = 86_400.0
_LOCK = "deliveries"
_NEWS = "outbox"

log = structlog.get_logger()


class NotDelivered(Exception):
    """A sink could not deliver. `reason` is Parley's own text, and is stored."""

    def __init__(self, reason: str, *, again: bool, wait_seconds: float | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.again = again
        """Whether another attempt can help."""
        self.wait_seconds = wait_seconds
        """Seconds that the receiver asks to wait."""


class Sink(Protocol):
    """The destination of one kind of delivery."""

    async def send(self, waiting: Waiting) -> None:
        """Deliver, or raise NotDelivered. May be called again with a row already delivered, recognizable by
        `waiting.id`."""
        ...


@dataclass(frozen=True, slots=True)
class Patience:
    """The number of attempts and the pauses between them."""

    attempts: int = 15
    base_seconds: float = 1.0
    most_seconds: float = 3600.0
    fixed: bool = False

    def pause(self, attempt: int, retry_after: float | None) -> float | None:
        """Seconds after a failed attempt, counted from 1, until the next; None when there is no next."""
        state = RetryCallState(None, None, (), {})  # type: ignore[arg-type]  # tenacity's strategies read only the number
        state.attempt_number = attempt
        if stop_after_attempt(self.attempts)(state):
            return None
        wait = (
            wait_fixed(self.base_seconds)
            if self.fixed
            else wait_exponential_jitter(
                multiplier=self.base_seconds, max=self.most_seconds, jitter=self.base_seconds
            )
        )
        return wait(state) if retry_after is None else min(retry_after, _LONGEST_RETRY_AFTER)


class Deliveries:
    """The delivery loop, active in one server of a database at a time, and its deliveries in progress."""

    def __init__(
        self,
        outbox: Outbox,
        sinks: Mapping[str, Sink],
        patience: Patience,
        peers: Peers,
        meter: Meter = NO_METER,
    ) -> None:
        self._meter = meter
        self._outbox = outbox
        self._peers = peers
        self._sinks = sinks
        self._patience = patience
        self._busy: dict[asyncio.Task[None], Waiting] = {}
        self._loop: asyncio.Task[None] | None = None
        self._delivers = False
        """Whether this server, of all on its database, is the one that delivers."""

    @property
    def under_way(self) -> int:
        """How many deliveries are being attempted."""
        return len(self._busy)

    def start(self) -> None:
        """Begin to deliver, including rows that an earlier server left."""
        self._loop = asyncio.create_task(self._run())

    async def close(self) -> None:
        """Stop. Deliveries in progress may or may not have arrived; the next server delivers them again."""
        tasks = [task for task in (self._loop, *self._busy) if task]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._delivers:
            await self._peers.unlock(_LOCK)

    async def _run(self) -> None:
        with contextlib.ExitStack() as listening:
            while True:
                try:
                    rest = await self._look(listening)
                except Exception as failure:  # a separate task: the failure would go unnoticed
                    log.error("outbox cannot be read", exc_info=failure)
                    rest = _LONGEST_REST
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(rest):
                        await self._outbox.news.wait()
                        if not self._delivers:
                            self._peers.notify(_NEWS)

    async def _look(self, listening: contextlib.ExitStack) -> float:
        """Begin the deliveries that are due, if this server delivers. Returns the seconds until the next look
        without a notification."""
        if not self._delivers:
            self._delivers = await self._peers.try_lock(_LOCK)
            if self._delivers:
                self._outbox.news = listening.enter_context(self._peers.listen(_NEWS))
                await self._outbox.hasten(
                    max(_LONGEST_RETRY_AFTER, self._patience.most_seconds + self._patience.base_seconds)
                )
        self._outbox.news.clear()
        if not self._delivers:
            return _LONGEST_REST
        await self._begin_due()
        return await self._until_due()

    async def _begin_due(self) -> None:
        while True:
            orgs = Counter(one.org_id for one in self._busy.values())
            full = [org for org, count in orgs.items() if count >= _MOST_PER_ORG]
            room = min(_MOST - len(self._busy), _MOST_PER_ORG)
            found = (
                await self._outbox.due(room, [one.seq for one in self._busy.values()], full)
                if room > 0
                else []
            )
            for waiting in found:
                if orgs[waiting.org_id] < _MOST_PER_ORG:
                    orgs[waiting.org_id] += 1
                    self._begin(waiting)
            if not found:
                return

    def _begin(self, waiting: Waiting) -> None:
        task = asyncio.create_task(self._attempt(waiting))
        self._busy[task] = waiting
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        del self._busy[task]
        self._outbox.wake()

    async def _until_due(self) -> float:
        seconds = await self._outbox.until_due()
        return _LONGEST_REST if seconds is None else min(_LONGEST_REST, seconds)

    async def _attempt(self, waiting: Waiting) -> None:
        try:
            await self._deliver(waiting)
        except Exception as failure:  # the outcome cannot be written: the row is still due, but later
            log.error("delivery is not on record", kind=waiting.kind, id=waiting.id, exc_info=failure)
            await asyncio.sleep(_LONGEST_REST)

    async def _deliver(self, waiting: Waiting) -> None:
        if not await self._outbox.begin(waiting):
            return
        try:
            await self._sinks[waiting.kind].send(waiting)
        except NotDelivered as failure:
            await self._failed(waiting, failure)
        except ServiceError as failure:
            await self._failed(waiting, NotDelivered(failure.reason.lower(), again=True))
        except Exception as failure:  # the row must not be retried forever
            log.error("delivery broke", kind=waiting.kind, id=waiting.id, exc_info=failure)
            await self._failed(waiting, NotDelivered("an internal error", again=True))
        else:
            self._meter.delivered(waiting.kind, "delivered")
            await self._outbox.delivered(waiting)

    async def _failed(self, waiting: Waiting, failure: NotDelivered) -> None:
        attempt = waiting.attempts + 1
        patience = Patience(**waiting.target["patience"]) if "patience" in waiting.target else self._patience
        pause = patience.pause(attempt, failure.wait_seconds) if failure.again else None
        log.warning(
            "delivery_failed",
            kind=waiting.kind,
            id=waiting.id,
            org=waiting.org_id,
            attempt=attempt,
            reason=failure.reason,
            wait_seconds=pause,
        )
        self._meter.delivered(waiting.kind, "dead" if pause is None else "failed")
        if pause is None:
            await self._outbox.bury(waiting, failure.reason)
        else:
            await self._outbox.again(waiting, pause, failure.reason)
