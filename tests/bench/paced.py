"""Loads of paced chats: so many at a time, each read to its end, and nothing that is lost goes unseen."""

import asyncio
import contextlib
import gc
import itertools
import re
from collections.abc import AsyncIterator
from typing import NamedTuple

import click

from tests.bench.client import Answer, Connection
from tests.bench.contenders import Contender
from tests.bench.load import processor_seconds
from tests.bench.upstream import Pace

_GOLDEN = 0.618033988749895
"""Its multiples fill the space between whole numbers evenly, and in step with nothing."""


class Failed(click.ClickException):
    """A call was refused, or broke off."""


class Call(NamedTuple):
    """One streamed chat, in seconds since its request."""

    first: float
    whole: float
    gaps: list[float]
    """Between arrivals that brought text. Tokens that arrive together are one arrival: zeros would hide what
    a reader waits for."""
    lost: int
    disordered: int


class Load(NamedTuple):
    """A run of calls, and the processor time of all of the server's processes in it."""

    calls: list[Call]
    processor_seconds: float


async def streams(contender: Contender, pace: Pace, at_once: int, calls: int, spread: float = 1.0) -> Load:
    """So many streams in all, so many at a time; the first ones begin over this share of an answer's time."""
    answers, used = await _run(contender, pace, True, at_once, calls, spread)
    return Load([call_of(answer, pace) for answer in answers], used)


async def whole_answers(
    contender: Contender, pace: Pace, at_once: int, calls: int, spread: float = 1.0
) -> float:
    """The processor time of so many answers that are no streams."""
    answers, used = await _run(contender, pace, False, at_once, calls, spread)
    text = "".join(pace.words).encode()
    if any(text not in answer.body for answer in answers):
        raise Failed(f"{contender.name}: an answer is not the whole text")
    return used


@contextlib.asynccontextmanager
async def connections(contender: Contender, number: int) -> AsyncIterator[list[Connection]]:
    opened = [Connection(contender.address) for _ in range(number)]
    try:
        yield opened
    finally:
        for connection in opened:
            connection.close()


async def one_stream(contender: Contender, connection: Connection, pace: Pace) -> Call:
    return call_of(await _answer(contender, connection, contender.request(pace, True)), pace)


async def _run(
    contender: Contender, pace: Pace, stream: bool, at_once: int, calls: int, spread: float
) -> tuple[list[Answer], float]:
    """People do not ask in step: callers begin at uneven times, so that tokens of several do not arrive
    together."""
    request, left, answers = contender.request(pace, stream), iter(range(calls)), []

    async def repeat(number: int, connection: Connection) -> None:
        await asyncio.sleep(pace.seconds * spread * (number * _GOLDEN % 1))
        for _ in left:
            answers.append(await _answer(contender, connection, request))

    async with connections(contender, at_once) as opened:
        gc.collect()
        gc.disable()
        try:
            pids = contender.pids
            before = processor_seconds(pids)
            async with asyncio.TaskGroup() as group:
                for number, connection in enumerate(opened):
                    group.create_task(repeat(number, connection))
            used = processor_seconds(pids) - before
        except* (Failed, OSError) as failures:
            raise Failed(f"{contender.name}: {failures.exceptions[0]}") from None
        finally:
            gc.enable()
    return answers, used


async def _answer(contender: Contender, connection: Connection, request: bytes) -> Answer:
    answer = await connection.call(request)
    if answer.status != 200:
        raise Failed(f"status {answer.status}: {answer.body[:200]!r}")
    return answer


def call_of(answer: Answer, pace: Pace) -> Call:
    arrivals = list(answer.texts())
    numbers = [int(word) for word in re.findall(r" w(\d+)", "".join(text for _, text in arrivals))]
    times = [at for at, _ in arrivals]
    return Call(
        times[0] if times else float("inf"),
        answer.whole,
        [after - before for before, after in itertools.pairwise(times)],
        pace.tokens - len(set(numbers)),
        sum(after <= before for before, after in itertools.pairwise(numbers)),
    )
