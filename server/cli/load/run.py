"""Carries a load out: begins each call when the plan says, and waits for the answers.

In an open loop nothing but the plan decides when a call begins. Draws and prints nothing.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable, Coroutine

from server.cli.load.calls import TIMEOUT, UNSENT, Answer, Caller, Clock, Failed, now
from server.cli.load.measured import Call, Measured
from server.cli.load.plan import Plan

Sleep = Callable[[float], Awaitable[object]]
_GRACE_SECONDS = 1.0
"""How long after the end calls are still sent whose time came before it."""


class Load:
    """One load under way. Cancelling `run` ends it at once; what was measured until then stays."""

    def __init__(
        self, plan: Plan, caller: Caller, measured: Measured, clock: Clock = now, sleep: Sleep = asyncio.sleep
    ) -> None:
        self._plan, self._caller, self._measured = plan, caller, measured
        self._clock, self._sleep = clock, sleep
        self._tasks: set[asyncio.Task[None]] = set()
        self._one_ended = asyncio.Event()
        self._draw = random.Random(plan.seed)
        self._bug: BaseException | None = None
        self.in_flight = 0
        """How many calls are under way."""

    async def run(self) -> None:
        """Make all calls and wait for their ends."""
        self._measured.start = self._clock()
        try:
            await (self._open_loop() if self._plan.users is None else self._closed_loop(self._plan.users))
            while self._tasks:
                await asyncio.wait(self._tasks)
            self._raise_bug()
        except asyncio.CancelledError:
            await self._break_off()
            raise

    async def _open_loop(self) -> None:
        start = self._measured.start
        last = start + self._plan.whole + _GRACE_SECONDS
        for begin, kind in zip(self._plan.begins(self._draw), self._plan.kinds(self._draw), strict=False):
            due = start + begin
            while (wait := due - self._clock()) > 0:
                await self._sleep(wait)
            if await self._has_room(last):
                self._begin(self._call(kind, due))
            else:
                self._unsent(kind, due)

    async def _has_room(self, last: float) -> bool:
        """Wait until a call may begin; False when the load is over by then."""
        self._raise_bug()
        while len(self._tasks) >= self._plan.most_in_flight and (left := last - self._clock()) > 0:
            self._measured.was_full = True
            self._one_ended.clear()
            try:
                await asyncio.wait_for(self._one_ended.wait(), left)
            except TimeoutError:
                return False
        return self._clock() < last

    def _unsent(self, kind: str, due: float) -> None:
        failure = Failed(UNSENT, "", "the load was over before this call could be sent")
        self._measured.record(Call(kind, due, None, max(self._clock(), due), Answer(), failure))

    async def _closed_loop(self, users: int) -> None:
        for number in range(users):
            self._begin(self._user(self._plan.ramp * number / users))

    async def _user(self, begin: float) -> None:
        start, end = self._measured.start, self._measured.start + self._plan.whole
        kinds = self._plan.kinds(self._draw)
        if (wait := start + begin - self._clock()) > 0:
            await self._sleep(wait)
        while (due := self._clock()) < end:
            await self._call(next(kinds), due)
            await self._sleep(self._plan.think)

    def _begin(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._over)

    def _over(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._one_ended.set()
        if not task.cancelled():
            self._bug = self._bug or task.exception()

    def _raise_bug(self) -> None:
        """What a call raises that is no Failed is a mistake of this program, and ends the load."""
        if self._bug is not None:
            raise self._bug

    async def _call(self, kind: str, due: float) -> None:
        answer, failure = Answer(), None
        sent = self._clock()
        self.in_flight += 1
        try:
            async with asyncio.timeout(self._plan.timeout):
                answer = await self._caller.call(kind, self._draw.choice(self._plan.inputs))
        except Failed as error:
            failure = error
        except TimeoutError:
            failure = Failed(TIMEOUT, "", f"not answered within {self._plan.timeout:g} s")
        finally:
            self.in_flight -= 1
        self._measured.record(Call(kind, due, sent, self._clock(), answer, failure))

    async def _break_off(self) -> None:
        self._measured.unfinished = self.in_flight
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
