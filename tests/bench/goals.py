"""The goals with the offline model, and those of start and memory, each a function that measures it: ratios of
medians of rounds in which the service and its peer take turns.

Ratios are of processor time where both do the same job, so that neither Envoy's second process nor whatever
else the machine does counts for or against: they say what one core would give. Times are as a caller sees
them.
"""

import asyncio
import contextlib
import json
import sqlite3
import statistics
import time
from collections.abc import AsyncIterator, Callable, Sequence
from typing import NamedTuple

import grpc

from server.core.ids import new_id
from tests.bench.load import Caller, Http, Seen, closed_loop, processor_seconds, resident_bytes
from tests.bench.peers import PIECES
from tests.bench.results import Found, at_least, at_most
from tests.bench.running import Parley, parley, peer, raw_caller
from tests.bench.sizes import Sizes
from tests.processes import run

WORDS = " ".join(["word"] * (PIECES - 2))
"""With `You said:` as many pieces as an echo streams."""


class Side(NamedTuple):
    """One of those that take turns."""

    callers: Sequence[Caller]
    pids: Sequence[int]
    calls: int


async def turns(sizes: Sizes, **sides: Side) -> dict[str, Seen]:
    """The medians of every side; a first round that is not counted warms up."""
    seen: dict[str, list[Seen]] = {name: [] for name in sides}
    for _ in range(sizes.rounds + 1):
        for name, side in sides.items():
            seen[name].append(await closed_loop(side.callers, side.calls, side.pids))
    for side in sides.values():
        for caller in side.callers:
            if isinstance(caller, Http):
                caller.close()
    return {
        name: Seen(*map(statistics.median, zip(*rounds[1:], strict=True))) for name, rounds in seen.items()
    }


async def grpc_unary_and_stream(sizes: Sizes) -> Found:
    async with (
        parley() as service,
        peer("echo") as (address, pids),
        _channel(service.process.grpc) as ours,
        _channel(address) as bare,
    ):
        unary = await turns(
            sizes,
            ours=Side(
                [service.grpc(ours, "CreateChat", {"input": "Hello"})] * 32, [service.server], sizes.calls
            ),
            bare=Side([raw_caller(bare, "/bench.Echo/Unary", b"x" * 100)] * 32, pids, sizes.calls),
        )
        stream = await turns(
            sizes,
            ours=Side(
                [service.grpc(ours, "StreamChat", {"input": WORDS})] * 16, [service.server], sizes.calls // 8
            ),
            bare=Side(
                [raw_caller(bare, "/bench.Echo/Stream", b"x" * 100, streams=True)] * 16,
                pids,
                sizes.calls // 8,
            ),
        )
    return [
        at_least(
            "S1",
            "persisted gRPC unary, against a bare echo",
            0.45,
            unary["bare"].cpu_us / unary["ours"].cpu_us,
        ),
        at_least(
            "S2",
            "persisted gRPC stream of 64 deltas, against a bare echo of 64",
            0.8,
            stream["bare"].cpu_us / stream["ours"].cpu_us,
        ),
    ]


async def rest_unary(sizes: Sizes) -> Found:
    seen = await _rest(sizes, {"input": "Hello"}, 32, sizes.calls)
    return [
        at_least(
            "S3",
            "REST unary, against FastAPI with a transaction each",
            1.2,
            seen["each"].cpu_us / seen["ours"].cpu_us,
        ),
        at_least(
            "S3",
            "REST unary, against FastAPI that merges commits",
            0.9,
            seen["merged"].cpu_us / seen["ours"].cpu_us,
        ),
    ]


async def rest_stream(sizes: Sizes) -> Found:
    seen = await _rest(sizes, {"input": WORDS, "stream": True}, 128, max(256, sizes.calls // 4))
    ours = seen["ours"]
    return [
        at_least(
            "S4",
            "REST streams of 64 deltas, against FastAPI that coalesces",
            1.0,
            seen["merged"].cpu_us / ours.cpu_us,
        ),
        at_most("S4", "… p99 at 128, of its", 1.0, ours.p99_ms / seen["merged"].p99_ms, "×"),
        at_least("S4", "… against FastAPI that writes each chunk", 1.5, seen["each"].cpu_us / ours.cpu_us),
        at_most("S4", "… p99 at 128, of its", 0.25, ours.p99_ms / seen["each"].p99_ms, "×"),
    ]


async def _rest(sizes: Sizes, body: dict, callers: int, calls: int) -> dict[str, Seen]:
    async with parley() as service, peer("each") as each, peer("merged") as merged:

        def peers(address: str) -> list[Http]:
            payload = {"assistantId": service.keys["assistantId"], **body}
            return [_http(address, payload) for _ in range(callers)]

        return await turns(
            sizes,
            ours=Side([service.http(body) for _ in range(callers)], service.pids, calls),
            each=Side(peers(each[0]), each[1], calls),
            merged=Side(peers(merged[0]), merged[1], calls),
        )


async def many_messages(sizes: Sizes) -> Found:
    few, many = sizes.messages // 100, sizes.messages
    async with (
        parley() as small,
        parley() as large,
        _channel(small.process.grpc) as to_small,
        _channel(large.process.grpc) as to_large,
    ):
        latest = _latest((small, _fill(small, few)), (large, _fill(large, many)))
        seen = await turns(
            sizes,
            **{
                name: Side(
                    [service.grpc(channel, "CreateChat", {"input": "Hello"})] * 8,
                    [service.server],
                    sizes.calls,
                )
                for name, service, channel in (("few", small, to_small), ("many", large, to_large))
            },
        )
    title = f"{few} → {many} messages"
    return [
        at_most("S7", f"{title}: an exchange", 1.1, seen["many"].cpu_us / seen["few"].cpu_us, "×"),
        at_most("S7", f"{title}: the latest 20, p50", 1.5, _ratio(latest, 0.5), "×"),
        at_most("S7", f"{title}: the latest 20, p99", 2.5, _ratio(latest, 0.99), "×"),
    ]


def _fill(service: Parley, messages: int) -> list[tuple[str, str]]:
    """So many more messages, in threads of the one org; which threads."""
    with (
        contextlib.closing(sqlite3.connect(service.process.data / "parley.db", timeout=30)) as database,
        database,
    ):
        (org_id,) = database.execute("SELECT id FROM orgs").fetchone()
        threads = [(org_id, new_id()) for _ in range(max(1, messages // 100))]
        database.executemany(
            "INSERT INTO messages (org_id, thread_id, seq, body) VALUES (?, ?, ?, ?)",
            ((*thread, seq, b"x" * 200) for thread in threads for seq in range(100)),
        )
    return threads


def _latest(*sides: tuple[Parley, list[tuple[str, str]]]) -> list[list[float]]:
    """How long each side took to read the latest of a thread, thread by thread by turns; with the server's
    own cache."""
    with contextlib.ExitStack() as open_ones:
        databases = [
            open_ones.enter_context(contextlib.closing(sqlite3.connect(service.process.data / "parley.db")))
            for service, _ in sides
        ]
        for database in databases:
            database.execute("PRAGMA cache_size = -65536")
        times: list[list[float]] = [[] for _ in sides]
        for number in range(8_000):
            for database, (_, threads), durations in zip(databases, sides, times, strict=True):
                began = time.perf_counter()
                database.execute(
                    "SELECT body FROM messages WHERE org_id = ? AND thread_id = ? ORDER BY seq DESC LIMIT 20",
                    threads[number * 7919 % len(threads)],
                ).fetchall()
                durations.append(time.perf_counter() - began)
    return [sorted(durations[2_000:]) for durations in times]


def _ratio(times: list[list[float]], share: float) -> float:
    few, many = (durations[int(len(durations) * share)] for durations in times)
    return many / few


async def start_up(sizes: Sizes) -> Found:
    durations, resident, commands = [], [], []
    for _ in range(sizes.rounds):
        began = time.perf_counter()
        async with parley() as service:
            durations.append(time.perf_counter() - began)
            resident.append(resident_bytes(service.pids))
            commands.append([await _seconds_of(service, *words) for words in _COMMANDS])
    slowest = max(map(statistics.median, zip(*commands, strict=True)))
    return [
        at_most("S8", "from its start until it answers, with Envoy", 0.9, statistics.median(durations), "s"),
        at_most("S8", "idle memory, with Envoy", 130, statistics.median(resident) / 1e6, "MB"),
        at_most("S8", f"the slowest of {len(_COMMANDS)} commands", 0.4, slowest, "s"),
    ]


_COMMANDS = (
    ("--help",),
    ("keys", "list", "--json"),
    ("check", "--json"),
)


async def _seconds_of(service: Parley, *words: str) -> float:
    began = time.perf_counter()
    ended = await run("parley", *words, PARLEY_DATA=service.process.data)
    assert ended.code == 0, ended.err
    return time.perf_counter() - began


async def refusal(sizes: Sizes) -> Found:
    """How soon a server that is full says so."""
    async with (
        parley(PARLEY_LIMITS="on", PARLEY_SERVER_CALLS=64, PARLEY_OFFLINE_DELAY_MS=3_600_000) as service,
        _channel(service.process.grpc) as channel,
    ):
        waiting = [
            asyncio.create_task(service.grpc(channel, "StreamChat", {"input": "Hello"})()) for _ in range(64)
        ]
        await _settled(service)
        over_http = [_Refused(service.process.http, "/chat", service.keys["api"], b"{}") for _ in range(32)]
        call = service.grpc(channel, "CreateChat", {"input": "Hello"})

        async def over_grpc() -> float:
            with contextlib.suppress(grpc.aio.AioRpcError):
                await call()
                raise AssertionError("a full server took a call")
            return 0.0

        seen = await turns(
            sizes,
            http=Side(over_http, service.pids, sizes.calls),
            grpc=Side([over_grpc] * 32, service.pids, sizes.calls),
        )
        for one in waiting:
            one.cancel()
        await asyncio.wait(waiting)
    return [
        at_most("O", "refusal by a full server over HTTP, 32 at once, p99", 50, seen["http"].p99_ms, "ms"),
        at_most("O", "refusal by a full server over gRPC, 32 at once, p99", 50, seen["grpc"].p99_ms, "ms"),
    ]


class _Refused(Http):
    """A caller that is told to come back."""

    expected = b"http/1.1 429"


async def _settled(service: Parley) -> None:
    """Until the server has nothing to do any more."""
    used = -1.0
    while (now := processor_seconds([service.server])) > used + 0.02:
        used = now
        await asyncio.sleep(0.5)


def _http(address: str, body: dict, path: str = "/chat") -> Http:
    return Http(address, path, "bench", json.dumps(body).encode())


@contextlib.asynccontextmanager
async def _channel(address: str) -> AsyncIterator[grpc.aio.Channel]:
    # Each its own connection: gRPC would share one among channels of the same address.
    async with grpc.aio.insecure_channel(address, options=[("grpc.use_local_subchannel_pool", 1)]) as channel:
        yield channel


GOALS: dict[str, Callable] = {
    "grpc": grpc_unary_and_stream,
    "rest": rest_unary,
    "sse": rest_stream,
    "messages": many_messages,
    "start": start_up,
    "refusal": refusal,
}
