"""`parley serve` behind its Envoy: workers restarted and killed, more calls than it takes, and PostgreSQL
under it."""

import asyncio
import os
import random
import signal
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from generated.parley.v1.chat_service_pb2 import GetChatRequest, WatchChatRequest
from tests.fault.kills import killed_again_and_again, on_record
from tests.fault.trial import Row, Trial
from tests.load import SERVED, Callers, Load, outcome, workers_of
from tests.postgres import Postgres
from tests.processes import Serving

_CALLERS = 12
_ADMITTED = 32
_EXTRA = 16
_EXTRA_CALLS = 8
"""Of each of the extra callers, in each round."""
_REFUSED = frozenset({"whole: 429", "stream: 429", "grpc: RESOURCE_EXHAUSTED"})


@asynccontextmanager
async def _two_workers(trial: Trial, delay: int, text: str) -> AsyncIterator[tuple[Serving, Callers]]:
    """What was acknowledged is compared when it is left."""
    async with (
        Serving(trial.folder / "workers", PARLEY_WORKERS=2, PARLEY_OFFLINE_DELAY_MS=delay) as parley,
        Callers(parley, text) as callers,
    ):
        yield parley, callers
        trial.lost += len(callers.acknowledged - await on_record(callers.http))
        trial.figures["acknowledged"] = len(callers.acknowledged)


async def restarted(trial: Trial) -> None:
    """SIGHUP again and again: every call of every kind ends as it should, and both workers are new each
    time."""
    async with _two_workers(trial, 5, "one two three four five six") as (parley, callers):
        for number in range(1, trial.count + 1):
            before = set(workers_of(parley))
            async with Load(callers, _CALLERS) as load:
                parley.send(signal.SIGHUP)
                await parley.logged("workers_restarted", number)
            after = set(workers_of(parley))
            trial.record(
                hanging=load.hanging,
                calls=load.ended.total(),
                failed=load.failed.total(),
                wrong=_wrong(
                    {
                        f"calls failed: {dict(load.failed)}": not load.failed,
                        f"not every kind of call was made: {set(load.ended)}": set(load.ended) >= SERVED,
                        "the workers are not new": len(after) == 2 and not before & after,
                    }
                ),
            )


async def killed(trial: Trial) -> None:
    """kill -9 of one worker: each caller loses at most the call it had there; what was cut is incomplete, and
    read on."""
    async with _two_workers(trial, 20, "word " * 20 + "end") as (parley, callers):
        for number in range(1, trial.count + 1):
            callers.streams.clear()
            async with Load(callers, _CALLERS) as load:
                await _all_begun(callers)
                before = workers_of(parley)
                gone = random.choice(before)
                os.kill(gone, signal.SIGKILL)
                await parley.logged("worker_exited", number)
                after = await _two_again(parley)
            cut = [stream for stream in callers.streams if stream.id and not stream.is_whole]
            wrongs = await asyncio.gather(*(_stored(callers, stream) for stream in cut))
            async with Load(callers, _CALLERS) as later:
                await asyncio.sleep(0.1)
            counts = {"calls": load.ended.total(), "cut": load.failed.total()}
            trial.record(
                hanging=load.hanging + later.hanging,
                **counts,
                wrong=_wrong(
                    {
                        "the other worker did not stay": set(before) & set(after) == set(before) - {gone},
                        f"more failed than were under way: {dict(load.failed)}": load.failed.total()
                        < _CALLERS,
                        f"calls fail afterwards: {dict(later.failed)}": not later.failed,
                        "no stream was cut": bool(cut),
                        **{wrong: not wrong for wrong in wrongs},
                    }
                ),
            )


async def _all_begun(callers: Callers) -> None:
    """Until as many streams are under way as there are callers that stream."""
    async with asyncio.timeout(30):
        while sum(bool(one.text) and not one.is_whole for one in callers.streams) < _CALLERS // 2:  # noqa: ASYNC110
            await asyncio.sleep(0.005)


async def _two_again(parley: Serving) -> list[int]:
    async with asyncio.timeout(30):
        while len(found := workers_of(parley)) < 2:  # noqa: ASYNC110 (what other processes do)
            await asyncio.sleep(0.02)
        return found


async def _stored(callers: Callers, stream) -> str:
    """What is wrong with a stream that was cut: it is read from its beginning, at whichever worker."""
    received = ""
    async for event in callers.chats.WatchChat(
        WatchChatRequest(id=stream.id), metadata=callers.metadata, timeout=60
    ):
        received += event.delta.text
    chat = await callers.chats.GetChat(GetChatRequest(id=stream.id), metadata=callers.metadata, timeout=30)
    return _wrong(
        {
            f"a stream that was cut is {chat.status}": chat.status == "incomplete",
            "what was told is not what is kept": received.startswith(stream.text),
        }
    )


async def overloaded(trial: Trial) -> None:
    """Streams fill the server, and more callers come: they are refused, and the streams are told to their
    end."""
    seconds: list[float] = []
    async with (
        Serving(trial.folder / "full", PARLEY_SERVER_CALLS=_ADMITTED, PARLEY_OFFLINE_DELAY_MS=100) as parley,
        Callers(parley, "one two three four five six seven eight nine ten") as full_callers,
        Callers(parley, "Hello") as extra,
    ):
        for _ in range(trial.count):
            full_callers.streams.clear()
            admitting = [
                asyncio.create_task(_admitted(full_callers.kinds[1 + 2 * (one % 2)]))
                for one in range(_ADMITTED)
            ]
            await _full(full_callers)
            outcomes = [
                how
                for hows in await asyncio.gather(*(_press(extra, one, seconds) for one in range(_EXTRA)))
                for how in hows
            ]
            ended = set(await asyncio.gather(*admitting))
            again = set(await asyncio.gather(*map(_admitted, extra.kinds)))
            trial.record(
                hanging=sum("DEADLINE" in how or "Timeout" in how for how in outcomes),
                refused=len([how for how in outcomes if how in _REFUSED]),
                wrong=_wrong(
                    {
                        f"ended otherwise: {set(outcomes) - _REFUSED - SERVED}": set(outcomes)
                        <= _REFUSED | SERVED,
                        f"not refused in every way: {set(outcomes)}": set(outcomes)
                        >= {"whole: 429", "grpc: RESOURCE_EXHAUSTED"},
                        f"those under way ended as {ended}": ended <= SERVED,
                        f"afterwards: {again}": again == SERVED,
                    }
                ),
            )
        known = full_callers.acknowledged | extra.acknowledged
        trial.lost += len(known - await on_record(extra.http))
    trial.figures |= {
        "acknowledged": len(known),
        "p50 ms": _percentile(seconds, 0.5),
        "p99 ms": _percentile(seconds, 0.99),
    }


def _percentile(seconds: list[float], share: float) -> float:
    """In milliseconds, as callers see it who share a process and the machine with what they call."""
    return round(sorted(seconds)[int(len(seconds) * share)] * 1000, 1) if seconds else 0.0


async def _admitted(call) -> str:
    """How a call ended that the server took: it hears of the end of those before it a moment later than their
    callers."""
    async with asyncio.timeout(30):
        while (how := await outcome(call)) in _REFUSED:
            pass
        return how


async def _full(full_callers: Callers) -> None:
    async with asyncio.timeout(30):
        while sum(bool(one.id) for one in full_callers.streams) < _ADMITTED:  # noqa: ASYNC110 (what callers are told is no event)
            await asyncio.sleep(0.005)


async def _press(extra: Callers, number: int, seconds: list[float]) -> list[str]:
    """A caller that does not take no for an answer; how long each refusal took."""
    outcomes = []
    for _ in range(_EXTRA_CALLS):
        began = time.monotonic()
        outcomes.append(await outcome(extra.kinds[number % 4]))
        if outcomes[-1] in _REFUSED:
            seconds.append(time.monotonic() - began)
    return outcomes


async def on_postgres(trial: Trial) -> None:
    """As on SQLite: only the server is killed, so that PostgreSQL's own durability is not what is tried."""
    postgres = await asyncio.to_thread(Postgres)
    try:
        await killed_again_and_again(trial, PARLEY_DATABASE=postgres.new_database())
    finally:
        await asyncio.to_thread(postgres.stop)


def _wrong(checks: dict[str, bool]) -> str:
    """What did not hold."""
    return "; ".join(text for text, passes in checks.items() if not passes)


ROWS = [
    Row(
        "rolling restart under load, two workers",
        "no call fails, nothing acknowledged is lost",
        restarted,
        10,
        1,
    ),
    Row(
        "kill -9 of one of two workers under load",
        "costs only its own calls; its streams are incomplete, and read on",
        killed,
        20,
        4,
        1,
    ),
    Row(
        "more calls than the server takes",
        "429 or RESOURCE_EXHAUSTED, those under way finish, then calls are served",
        overloaded,
        20,
        4,
        1,
    ),
    Row(
        "kill -9 of `parley serve` on PostgreSQL under load",
        "nothing acknowledged is lost, no caller is left hanging",
        on_postgres,
        20,
        3,
        1,
    ),
]
