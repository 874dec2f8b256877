"""kill -9: of a process over the real store, of one at a chosen system call, and of the whole `parley
serve`."""

import asyncio
import contextlib
import multiprocessing
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import httpx
import orjson

from server.storage.store import open_store
from tests.fault import verdict
from tests.fault.trial import Row, Trial
from tests.fault.writer import Acknowledged, forked, read
from tests.processes import Serving

ROOT = Path(__file__).parents[2]
_KILLS_PER_DATABASE = 50
_NOTHING = Acknowledged(set(), set())


async def of_a_writer(trial: Trial) -> None:
    """A fork of a process that has everything imported: what is killed is a real process with files of its
    own."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.fault.writer"])
    chance = random.Random()
    acknowledged = _NOTHING
    for number in range(trial.count):
        folder = trial.folder / f"writer-{number // _KILLS_PER_DATABASE}"
        if number % _KILLS_PER_DATABASE == 0:
            acknowledged = _NOTHING
        new = read(
            await asyncio.to_thread(
                _killed, context, folder, chance.randrange(1, 60), chance.random() * 0.004
            )
        )
        acknowledged = verdict.both(acknowledged, new)
        await asyncio.to_thread(verdict.record, trial, folder, acknowledged)
        trial.figures["acknowledged"] = trial.figures.get("acknowledged", 0) + len(new.there) + len(new.gone)


def _killed(
    context: multiprocessing.context.ForkServerContext, folder: Path, lines: int, pause: float
) -> list[bytes]:
    """What a writer said before it was killed: after so many lines and so many seconds."""
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=forked, args=(str(folder), theirs))
    process.start()
    theirs.close()
    with os.fdopen(os.dup(ours.fileno()), "rb") as pipe:
        ours.close()
        printed = [pipe.readline() for _ in range(lines)]
        time.sleep(pause)
        process.kill()
        printed += pipe.readlines()
    process.join()
    assert process.exitcode == -signal.SIGKILL, f"the writer ended by itself: {process.exitcode}"
    process.close()
    return printed


async def at_a_syscall(trial: Trial) -> None:
    """strace kills the writer as it enters its Nth write or sync of a file: that one is not done any more."""
    points = [
        (call, number)
        for step in range(1, trial.count)
        for call, number in (("pwrite64", 7 * step), ("fdatasync", step))
    ]
    limit = asyncio.Semaphore(2)

    async def one(call: str, number: int) -> None:
        async with limit:
            folder = trial.folder / f"{call}-{number}"
            open_store(folder).close()
            printed = await asyncio.to_thread(
                _injected, folder, f"inject={call}:signal=SIGKILL:when={number}"
            )
            await asyncio.to_thread(verdict.record, trial, folder, read(printed))
            trial.figures["acknowledged"] = trial.figures.get("acknowledged", 0) + len(read(printed).there)

    await asyncio.gather(*(one(*point) for point in points[: trial.count]))


def _injected(folder: Path, inject: str) -> list[bytes]:
    call = inject.partition("=")[2].partition(":")[0]
    done = subprocess.run(
        [
            "strace",
            "-f",
            "-qq",
            "-o",
            "/dev/null",
            "-e",
            f"trace={call}",
            "-e",
            inject,
            sys.executable,
            "-m",
            "tests.fault.writer",
            str(folder),
            "0",
        ],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        timeout=60,
        check=False,
    )
    assert done.returncode == -signal.SIGKILL, f"the writer ended by itself: {done.returncode}"
    return done.stdout.splitlines(keepends=True)


async def of_the_server(trial: Trial) -> None:
    """The whole `parley serve`, Envoy included, while callers of every kind of exchange wait for their
    answers."""
    await killed_again_and_again(trial)


async def killed_again_and_again(trial: Trial, **environment: object) -> None:
    folder = trial.folder / "serve"
    known: set[str] = set()
    chance = random.Random()
    for _ in range(trial.count):
        async with (
            Serving(folder, PARLEY_OFFLINE_DELAY_MS=1, **environment) as parley,
            client_of(parley) as client,
        ):
            missing = known - await on_record(client)
            answered = asyncio.Event()
            callers = [
                asyncio.create_task(_call(client, parley, known, answered, streamed=number % 2 == 0))
                for number in range(8)
            ]
            await answered.wait()
            await asyncio.sleep(chance.random() * 0.5)
            await parley.stop(signal.SIGKILL)
            _, late = await asyncio.wait(callers, timeout=20)
            trial.record(lost=len(missing), hanging=len(late))
    async with Serving(folder, **environment) as parley, client_of(parley) as client:
        trial.lost += len(known - await on_record(client))
    trial.figures["acknowledged"] = len(known)


def client_of(parley: Serving) -> httpx.AsyncClient:
    return httpx.AsyncClient(
        base_url=parley.url,
        timeout=15,
        trust_env=False,
        verify=False,
        headers={"authorization": f"Bearer {parley.keys['api']}"},
    )


async def _call(
    client: httpx.AsyncClient, parley: Serving, known: set[str], answered: asyncio.Event, *, streamed: bool
) -> None:
    """Ask until the server is gone; what was answered, or begun to be, is known."""
    body = {"assistantId": parley.keys["assistantId"], "input": "one two three four five", "stream": streamed}
    with contextlib.suppress(httpx.TransportError):
        while True:
            async with client.stream("POST", "/chat", json=body) as answer:
                if answer.status_code != 200:
                    return
                async for line in answer.aiter_lines():
                    if line:
                        known.add(orjson.loads(line.removeprefix("data: "))["id"])
                        answered.set()


async def on_record(client: httpx.AsyncClient) -> set[str]:
    found, page = set(), 1
    while results := (await client.get("/chat", params={"limit": 1000, "page": page})).json()["results"]:
        found |= {chat["id"] for chat in results}
        page += 1
    return found


ROWS = [
    Row(
        "kill -9 while writing (store)",
        "nothing acknowledged is lost, the file is sound",
        of_a_writer,
        1000,
        100,
        8,
    ),
    Row(
        "kill -9 of `parley serve` under load",
        "nothing acknowledged is lost, no caller is left hanging",
        of_the_server,
        30,
        5,
    ),
    Row(
        "kill -9 at the Nth write or sync",
        "nothing acknowledged is lost, the file is sound",
        at_a_syscall,
        200,
        20,
        2,
        ("strace",),
    ),
]
