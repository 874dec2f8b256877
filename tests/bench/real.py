"""The goals R1 to R7: chats whose model is a real provider, token by token, through Envoy, everything persisted
as by default.

The provider is paced (upstream.py): 64 tokens, 20 ms apart. Figures are of processor time of all processes of
each contender, who take turns in one run; ratios are of their medians. Times are as the caller sees them.
"""

import asyncio
import contextlib
import math
import os
import statistics
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import TypeVar

import click

from server.cli.plots import Bars, Lines
from tests.bench.client import Connection
from tests.bench.contenders import PEERS, Contender, Service, afternoon, service, upstream
from tests.bench.load import processor_seconds, resident_bytes
from tests.bench.paced import Call, Failed, Load, connections, one_stream, streams, whole_answers
from tests.bench.results import Found, Goal, at_least, at_most, distribution, quantile
from tests.bench.sizes import Sizes
from tests.bench.upstream import SHORT, THINKING

MOST_GAP_MS = 60
MOST_OF_IDEAL = 1.1
_NEAR_IDEAL, _FAR_FROM_IDEAL = 1.2, 1.4
_MOST_STREAMS = 1024
_SPREAD = 0.25
T = TypeVar("T")


async def tokens(sizes: Sizes) -> Found:
    """R1 to R4: what a token of a stream costs, a whole answer, and the time that is added to the first
    token."""
    async with _everyone(sizes) as (ours, provider, contenders):
        await asyncio.gather(*(_warmed_up(contender, sizes) for contender in contenders))
        token, call = await _costs(contenders, sizes)
        doors = (ours.chat.name, ours.openai.name)
        first = await _first_token(doors, provider, contenders, sizes)
    return [
        *(goal for door in doors for goal in _ratios(door, token, call)),
        Bars("Processor time of a streamed token", "µs", token),
        Bars("Processor time of a whole answer", "ms", call),
        *first,
    ]


async def _costs(contenders: list[Contender], sizes: Sizes) -> tuple[dict[str, float], dict[str, float]]:
    """µs of a streamed token, and ms of a whole answer."""
    a_token: dict[str, list[float]] = {contender.name: [] for contender in contenders}
    a_call: dict[str, list[float]] = {contender.name: [] for contender in contenders}
    calls = sizes.streams * sizes.waves
    for _ in range(sizes.rounds):
        for contender in contenders:
            load = await streams(contender, sizes.pace, sizes.streams, calls, _SPREAD)
            _nothing_lost(contender, load)
            a_token[contender.name].append(load.processor_seconds / calls / sizes.pace.tokens * 1e6)
            used = await whole_answers(contender, sizes.pace, sizes.streams, calls, _SPREAD)
            a_call[contender.name].append(used / calls * 1e3)
    return (
        {name: statistics.median(values) for name, values in a_token.items()},
        {name: statistics.median(values) for name, values in a_call.items()},
    )


async def _warmed_up(contender: Contender, sizes: Sizes) -> None:
    await streams(contender, sizes.pace, sizes.streams, sizes.streams, _SPREAD)
    await whole_answers(contender, sizes.pace, sizes.streams, sizes.streams, _SPREAD)


def _ratios(door: str, token: dict[str, float], call: dict[str, float]) -> list[Goal]:
    """What this door costs against the peers that were measured."""
    found = []
    for peer, stream_id, unary_id, stream_most, unary_most in (
        ("FastAPI + OpenAI SDK", "R1", "R2", 0.60, 1.0),
        ("LiteLLM proxy", "R3", "R3", 0.20, 0.20),
    ):
        if peer in token:
            found += [
                at_most(
                    stream_id, f"{door}: a stream, of {peer}", stream_most, token[door] / token[peer], "×"
                ),
                at_most(unary_id, f"{door}: whole, of {peer}", unary_most, call[door] / call[peer], "×"),
            ]
    return found


def _nothing_lost(contender: Contender, load: Load) -> None:
    wrong = sum(call.lost + call.disordered for call in load.calls)
    if wrong:
        raise click.ClickException(f"{contender.name}: {wrong} tokens were lost or out of order")


async def _first_token(
    doors: tuple[str, str], provider: Contender, contenders: list[Contender], sizes: Sizes
) -> Found:
    """One chat at a time, of everyone by turns, the provider itself included."""
    firsts: dict[str, list[float]] = {}
    async with contextlib.AsyncExitStack() as stack:
        sides = [
            (contender, *await stack.enter_async_context(connections(contender, 1)))
            for contender in (provider, *contenders)
        ]
        for number in range(sizes.first_calls + 10):
            for contender, connection in sides:
                call = await one_stream(contender, connection, SHORT)
                if number >= 10:  # the first ones warm up
                    firsts.setdefault(contender.name, []).append(call.first)
    own = firsts.pop(provider.name)
    added = {
        name: [(at - bare) * 1e3 for at, bare in zip(times, own, strict=True)]
        for name, times in firsts.items()
    }
    medians = {name: statistics.median(times) for name, times in added.items()}
    return [
        *(
            at_most("R4", f"{door}: first token, added to the model's own, p50", 2, medians[door], "ms")
            for door in doors
        ),
        Bars("Added to the model's first token, p50", "ms", medians),
        Lines(
            "Added to the model's first token",
            "ms",
            "% of the chats",
            {name: distribution(times) for name, times in added.items()},
        ),
    ]


async def capacity(sizes: Sizes) -> Found:
    """R5: how many streams one core carries at full pace. Servers have one core, the caller and the provider
    the other."""
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < 2:
        raise click.ClickException("R5 needs two cores: one for the server, one for the caller")
    carried, curves = {}, {}
    with _pinned(cores[1]):
        async with upstream() as provider, contextlib.AsyncExitStack() as stack:
            ours = await stack.enter_async_context(_on_core(cores[0], service(provider, sizes.pace)))
            contenders = [ours.chat]
            if "fastapi" in sizes.peers and not sizes.is_quick:
                contenders.append(await stack.enter_async_context(_on_core(cores[0], afternoon(provider))))
            for contender in contenders:
                carried[contender.name], curves[contender.name] = await _carried(contender, sizes)
    return [
        at_least(
            "R5",
            "streams at 50 tokens a second that one core carries, p99 ≤ 1.1 × ideal",
            200,
            carried[ours.chat.name],
            "streams",
        ),
        Bars("Streams that one core carries", "streams", carried),
        Lines("The whole stream, p99, with one core", "streams at a time", "× ideal", curves, MOST_OF_IDEAL),
    ]


async def _carried(contender: Contender, sizes: Sizes) -> tuple[float, list[tuple[float, float]]]:
    """By doubling and then bisecting; also the points that were measured to their end."""
    points: dict[int, float] = {}

    async def is_carried(at_once: int) -> bool:
        for _ in range(sizes.attempts):
            ratio = await _of_ideal(contender, at_once, sizes)
            click.echo(f"{contender.name}: {at_once} streams, p99 {ratio:.2f} × ideal", err=True)
            points[at_once] = min(ratio, points.get(at_once, ratio))
            if ratio <= MOST_OF_IDEAL:
                return True
            if sizes.is_quick and ratio > _NEAR_IDEAL:
                return False
        return False

    await streams(contender, sizes.pace, 16, 16)  # warms up
    least, most = 0, 32
    while most <= _MOST_STREAMS and await is_carried(most):
        least, most = most, most * 2
    while most - least > max(4, least * sizes.precision):
        middle = (least + most) // 2
        if await is_carried(middle):
            least = middle
        else:
            most = middle
    return float(least), sorted((at_once, ratio) for at_once, ratio in points.items() if ratio < float("inf"))


async def _of_ideal(contender: Contender, at_once: int, sizes: Sizes) -> float:
    """The 99th percentile of whole streams at this many at a time, over the time that the provider takes."""
    waves = max(min(sizes.waves, 2), math.ceil((64 if sizes.is_quick else 128) / at_once))
    try:
        # The first callers begin over the time of one stream; far behind the ideal it need not be seen to the end.
        async with asyncio.timeout((waves + 1) * _FAR_FROM_IDEAL * sizes.pace.seconds + 1):
            load = await streams(contender, sizes.pace, at_once, at_once * waves)
    except Failed as error:
        click.echo(f"{contender.name}: at {at_once} streams {error}", err=True)
        return float("inf")
    except TimeoutError:
        return float("inf")
    _nothing_lost(contender, load)
    return quantile([call.whole for call in load.calls], 0.99) / sizes.pace.seconds


async def gaps(sizes: Sizes) -> Found:
    """R6: how evenly tokens arrive."""
    async with upstream() as provider, service(provider, sizes.pace) as ours:
        measured = {ours.chat.name: await _gaps(ours.chat, sizes)}
        if "fastapi" in sizes.peers and not sizes.is_quick:
            async with afternoon(provider) as peer:
                measured[peer.name] = await _gaps(peer, sizes)
    calls = measured[ours.chat.name]
    between = {name: [gap * 1e3 for call in calls for gap in call.gaps] for name, calls in measured.items()}
    what = f"at {sizes.gap_streams} streams"
    return [
        at_most(
            "R6", f"inter-token gap {what}, p99", MOST_GAP_MS, quantile(between[ours.chat.name], 0.99), "ms"
        ),
        at_most("R6", f"tokens lost {what}", 0, sum(call.lost for call in calls), "tokens"),
        at_most("R6", f"tokens out of order {what}", 0, sum(call.disordered for call in calls), "tokens"),
        Bars(
            f"Inter-token gap {what}, p99",
            "ms",
            {name: quantile(values, 0.99) for name, values in between.items()},
        ),
        Lines(
            f"Inter-token gaps {what}",
            "ms",
            "% of the gaps",
            {name: distribution(values) for name, values in between.items()},
        ),
    ]


async def _gaps(contender: Contender, sizes: Sizes) -> list[Call]:
    await streams(contender, sizes.pace, 8, 8)  # warms up
    return (await streams(contender, sizes.pace, sizes.gap_streams, sizes.gap_streams * sizes.waves)).calls


async def thinking(sizes: Sizes) -> Found:
    """R7: the memory of a stream whose model thinks. It is the slope from a fifth as many streams on: what the
    first ones need once is not counted."""
    steps = [0, sizes.idle_streams // 5, sizes.idle_streams * 6 // 5]
    async with upstream() as provider, service(provider, THINKING) as ours:
        server = ours.parley.server
        request = ours.chat.request(THINKING, True)
        rss: list[tuple[float, float]] = []
        pss: list[tuple[float, float]] = []
        async with connections(ours.chat, steps[-1]) as opened:
            waiting: list[asyncio.Task] = []
            for step in steps:
                await _opened(opened[len(waiting) : step], request, waiting)
                await _idle(ours)
                rss.append((step, resident_bytes([server]) / 1024))
                pss.append((step, _proportional_kib(server)))
            broken = [task for task in waiting if task.done()]
            for task in waiting:
                task.cancel()
            await asyncio.wait(waiting)
    if broken:
        raise click.ClickException(f"{len(broken)} of {len(waiting)} idle streams ended: {broken[0]}")
    each = {name: _slope(points) for name, points in (("RSS", rss), ("PSS", pss))}
    return [
        at_most(
            "R7", f"memory of one of {sizes.idle_streams} idle streams, in the server", 25, each["RSS"], "KiB"
        ),
        Bars("Memory of an idle stream, in the server", "KiB", each),
        Lines(
            "Memory of the server",
            "idle streams",
            "MiB",
            {
                name: [(number, kib / 1024) for number, kib in points]
                for name, points in (("RSS", rss), ("PSS", pss))
            },
        ),
    ]


async def _opened(connections: list[Connection], request: bytes, waiting: list[asyncio.Task]) -> None:
    for number, connection in enumerate(connections):
        waiting.append(asyncio.create_task(connection.call(request)))
        if number % 50 == 49:
            await asyncio.sleep(0.1)


async def _idle(ours: Service) -> None:
    """Until the server has next to nothing to do."""
    used = -1.0
    for _ in range(40):
        now = processor_seconds([ours.parley.server])
        if now <= used + 0.03:
            return
        used = now
        await asyncio.sleep(0.5)


def _slope(points: list[tuple[float, float]]) -> float:
    (few, before), (many, after) = points[-2:]
    return (after - before) / (many - few)


def _proportional_kib(pid: int) -> float:
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return float(line.split()[1])
    raise click.ClickException(f"/proc/{pid}/smaps_rollup has no Pss")


@contextlib.asynccontextmanager
async def _everyone(sizes: Sizes) -> AsyncIterator[tuple[Service, Contender, list[Contender]]]:
    """The service, the provider, and all that take turns."""
    async with upstream() as provider, contextlib.AsyncExitStack() as stack:
        starting = [
            maker(provider, sizes.pace, SHORT) for maker in (service, *(PEERS[name] for name in sizes.peers))
        ]
        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(stack.enter_async_context(one)) for one in starting]
        except* click.ClickException as errors:
            raise errors.exceptions[0] from None
        ours, *peers = [task.result() for task in tasks]
        yield ours, provider, [ours.chat, ours.openai, *peers]


@contextlib.contextmanager
def _pinned(core: int) -> Iterator[None]:
    """Until the end this process runs on this core, and what it starts stays there."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


@contextlib.asynccontextmanager
async def _on_core(core: int, starting: AbstractAsyncContextManager[T]) -> AsyncIterator[T]:
    """The processes that are started here run on this core; this one stays where it is."""
    with _pinned(core):
        started = await starting.__aenter__()
    try:
        yield started
    finally:
        await starting.__aexit__(None, None, None)


REAL_GOALS = {
    "tokens": tokens,
    "capacity": capacity,
    "gaps": gaps,
    "thinking": thinking,
}
