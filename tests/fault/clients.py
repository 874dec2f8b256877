"""What callers and machines do: too many connections, slow ones, clocks that jump, restarts under load, long
work."""

import asyncio
import contextlib
import random
import signal
import socket
import time
from pathlib import Path

import grpc
import httpx

from server.storage.sqlite.database import LONG_READERS
from tests.fault.disks import Callers
from tests.fault.kills import client_of, on_record
from tests.fault.server import Server
from tests.fault.trial import Row, Trial
from tests.processes import Serving, free_address

_SLOW = 500
_MOST_FILES = 256
_MOST_GROWTH_KIB = 4.0
"""An exchange: SQLite keeps pages of the growing file in memory, up to 64 MiB for each of two connections."""


async def without_files(trial: Trial) -> None:
    """More connections than the server may have files: those who are in are served, and everyone once some
    are gone."""
    async with Server(trial.folder / "files", ["prlimit", f"--nofile={_MOST_FILES}"]) as server:
        known = {(await server.chat("before")).id}
        for _ in range(trial.count):
            connections = [_connected(server.port) for _ in range(_MOST_FILES + 50)]
            known.add((await server.chat("during")).id)
            accepted = server.files()
            for connection in connections:
                connection.close()
            async with grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as fresh:
                await asyncio.wait_for(fresh.channel_ready(), 30)
            known.add((await server.chat("after")).id)
            wrong = "" if accepted >= _MOST_FILES - 5 else f"only {accepted} files were taken"
            trial.record(lost=await server.missing(known), wrong=wrong)


def _connected(port: int) -> socket.socket:
    connection = socket.socket()
    connection.setblocking(False)
    with contextlib.suppress(BlockingIOError):
        connection.connect(("127.0.0.1", port))
    return connection


async def slow(trial: Trial) -> None:
    """500 callers who send a byte now and then, at Envoy's port; everyone else is served as before."""
    async with Serving(trial.folder / "slow") as parley, client_of(parley) as client:
        host, port = parley.http.split(":")
        writers = [(await asyncio.open_connection(host, int(port)))[1] for _ in range(_SLOW)]
        for writer in writers:
            writer.write(b"POST /chat HTTP/1.1\r\nhost: x\r\n")
        for number in range(trial.count):
            for writer in writers:
                writer.write(f"x-{number}: y\r\n".encode())
            began = time.monotonic()
            answers = await asyncio.gather(*(client.get("/chat") for _ in range(20)))
            trial.record(
                wrong="" if all(answer.status_code == 200 for answer in answers) else "others were refused",
                hanging=time.monotonic() - began > 10,
            )
        for writer in writers:
            writer.transport.abort()


async def clock_jumps(trial: Trial) -> None:
    """The clock goes a day ahead and back again under load: nothing is refused, nothing is lost, and ids stay
    apart."""
    now = trial.folder / "now"
    now.write_text("+0")
    wrapped = ["env", f"LD_PRELOAD={_faketime()}"]
    async with Server(
        trial.folder / "clock",
        wrapped,
        FAKETIME_TIMESTAMP_FILE=now,
        FAKETIME_CACHE_DURATION=1,
        DONT_FAKE_MONOTONIC=1,
    ) as server:
        callers = Callers(server, 8)
        for number in range(trial.count):
            now.write_text("+1d" if number % 2 == 0 else "-1d" if number % 4 == 1 else "+0")
            before = len(callers.acknowledged)
            await asyncio.sleep(1.5)  # the file is read once a second
            later = (await server.chat("after the jump")).id
            callers.acknowledged.add(later)
            trial.record(
                wrong="" if not callers.refused else f"refused by {callers.codes()}",
                hanging=len(callers.acknowledged) == before,
            )
        trial.hanging += await callers.stop()
        trial.lost += await server.missing(callers.acknowledged)
        trial.figures["acknowledged"] = len(callers.acknowledged)


def _faketime() -> str:
    return str(next(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1")))


async def restarts(trial: Trial) -> None:
    """`parley serve` is stopped by SIGTERM and started again under load: what it answered is there, and
    nobody hangs."""
    folder, http, grpc_address = trial.folder / "restarts", free_address(), free_address()
    known: set[str] = set()
    tasks: list[asyncio.Task[None]] = []
    refused = [0]
    for _ in range(trial.count):
        async with Serving(folder, http=http, grpc=grpc_address) as parley, client_of(parley) as client:
            lost = len(known - await on_record(client))
            tasks = [asyncio.create_task(_send(client, parley, known, refused)) for _ in range(8)]
            await asyncio.sleep(1 + random.random())
            ended = await parley.stop(signal.SIGTERM)
            for task in tasks:
                task.cancel()
            _, hanging = await asyncio.wait(tasks, timeout=10)
            trial.record(
                lost=lost,
                hanging=len(hanging),
                wrong="" if ended.code == 0 else f"it ended with {ended.code}",
            )
    async with Serving(folder, http=http, grpc=grpc_address) as parley, client_of(parley) as client:
        trial.lost += len(known - await on_record(client))
    trial.figures |= {"acknowledged": len(known), "refused while down": refused[0]}


async def _send(client: httpx.AsyncClient, parley: Serving, known: set[str], refused: list[int]) -> None:
    body = {"assistantId": parley.keys["assistantId"], "input": "one two three"}
    while True:
        with contextlib.suppress(httpx.TransportError):
            answer = await client.post("/chat", json=body)
            if answer.status_code == 200:
                known.add(answer.json()["id"])
                continue
        refused[0] += 1
        await asyncio.sleep(0.05)


_FILES_OF_A_READER = 3
"""Of a connection to SQLite: the database, its log, and the index of that."""


async def soak(trial: Trial) -> None:
    """Thousands of exchanges, streamed and not: memory, files and threads stay what they were after the first
    quarter, but for the pool of long reads."""
    quarter = trial.count // 4
    async with Server(trial.folder / "soak") as server:
        for number in range(1, trial.count + 1):
            await asyncio.gather(
                *((server.stream if one % 2 else server.chat)("one two three four") for one in range(100))
            )
            if number == quarter:
                memory, files, threads = (
                    await server.memory(),
                    server.files(locks=False),
                    server.status("Threads"),
                )
            if number < trial.count:
                trial.record(exchanges=100)
        growth = (await server.memory() - memory) / (100 * (trial.count - quarter))
        more_files, more_threads = server.files(locks=False) - files, server.status("Threads") - threads
        # A read that turns out long starts a thread of a pool that stays, whenever that first happens.
        left = max(0, more_files - LONG_READERS * _FILES_OF_A_READER) + max(0, more_threads - LONG_READERS)
        trial.record(
            exchanges=100,
            hanging=left,
            wrong="" if growth < _MOST_GROWTH_KIB else f"{growth:.1f} KiB an exchange",
        )
    trial.figures["memory growth, KiB an exchange"] = round(growth, 2)


ROWS = [
    Row(
        "more connections than files",
        "those connected are served, the rest once there is room",
        without_files,
        20,
        5,
        2,
        ("prlimit",),
    ),
    Row("500 slow connections", "others are served", slow, 20, 5),
    Row(
        "clock jumps by a day, both ways",
        "nothing refused, nothing lost",
        clock_jumps,
        20,
        4,
        0,
        ("faketime",),
    ),
    Row(
        "restart of `parley serve` under load",
        "nothing acknowledged is lost, every call ends, exit code 0",
        restarts,
        10,
        2,
    ),
    Row("soak, 100 exchanges at a time", "memory, files and threads stay flat", soak, 100, 20),
]
