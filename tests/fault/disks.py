"""What disks and those who share them do: full, failing, read-only, locked, damaged, and copied while they
are written."""

import asyncio
import os
import random
import sqlite3
import subprocess
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from itertools import count
from pathlib import Path

import grpc

from server.cli.first_start import first_start
from server.storage.sqlite.checking import findings
from server.storage.store import open_store
from tests.fault import verdict
from tests.fault.server import Server
from tests.fault.trial import Row, Trial
from tests.processes import free_address, run

_CALLERS = 16


class Callers:
    """Callers that go on until they are stopped; what they were told of each call."""

    def __init__(self, server: Server, number: int = _CALLERS, size: int = 200) -> None:
        self._server = server
        self._size = size
        self.acknowledged: set[str] = set()
        self.refused: list[grpc.aio.AioRpcError] = []
        self._stopping = False
        self._tasks = [asyncio.create_task(self._call()) for _ in range(number)]

    async def _call(self) -> None:
        while not self._stopping:
            try:
                self.acknowledged.add((await self._server.chat("word " * self._size)).id)
            except grpc.aio.AioRpcError as error:
                self.refused.append(error)
                await asyncio.sleep(0.01)

    async def stop(self) -> int:
        """Stop; how many calls did not end."""
        self._stopping = True
        _, hanging = await asyncio.wait(self._tasks, timeout=30)
        for task in hanging:
            task.cancel()
        return len(hanging)

    def codes(self) -> set[str]:
        return {error.code().name for error in self.refused}


async def full(trial: Trial) -> None:
    folder = trial.folder / "full"
    with _mounted(folder, "8m"):
        async with Server(folder) as server:
            known: set[str] = set()
            for size in (f"{8 + 8 * number}m" for number in range(1, trial.count + 1)):
                refused = await _fill(server, known)
                reads = [await server.find(chat_id) is not None for chat_id in list(known)[:5]]
                serving = await server.until_it(serves=False)
                await _run("mount", "-o", f"remount,size={size}", folder)
                again = await server.until_it(serves=True)
                known.add((await server.chat("there is room again")).id)
                wrong = _wrong(
                    {
                        "the error is not RESOURCE_EXHAUSTED": refused.code()
                        == grpc.StatusCode.RESOURCE_EXHAUSTED,
                        "the error does not name the disk": "disk is full" in (refused.details() or ""),
                        "reads fail": all(reads),
                        "health was SERVING": serving,
                        "health stayed NOT_SERVING": again,
                        "the file is not sound": not findings(folder / "parley.db"),
                    }
                )
                trial.record(lost=await server.missing(known), wrong=wrong)
            trial.figures["acknowledged"] = len(known)


async def _fill(server: Server, known: set[str]) -> grpc.aio.AioRpcError:
    while True:
        try:
            known.add((await server.chat("x" * 100_000)).id)
        except grpc.aio.AioRpcError as error:
            return error


@contextmanager
def _mounted(folder: Path, size: str) -> Iterator[None]:
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "parley-fault", str(folder)], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


async def syncs_that_fail(trial: Trial) -> None:
    await _injected(trial, "fdatasync,fsync", "EIO", {"UNAVAILABLE"}, first=8, calls=25)


async def writes_without_room(trial: Trial) -> None:
    await _injected(trial, "pwrite64", "ENOSPC", {"RESOURCE_EXHAUSTED"}, first=60, calls=25)


async def _injected(
    trial: Trial, calls_of: str, error: str, codes: set[str], *, first: int, calls: int
) -> None:
    """The disk fails for a while under load: errors meanwhile, and afterwards all that was acknowledged is
    there."""
    for number in range(trial.count):
        folder = trial.folder / f"{error}-{number}"
        await _prepared(folder)
        begin = first + random.randrange(20)
        strace = [
            "strace",
            "-f",
            "-qq",
            "-o",
            "/dev/null",
            "-e",
            f"trace={calls_of}",
            "-e",
            f"inject={calls_of}:error={error}:when={begin}..{begin + calls}",
        ]
        async with Server(folder, strace) as server:
            callers = Callers(server)
            serving = await server.until_it(serves=False)
            again = await server.until_it(serves=True)
            hanging = await callers.stop()
            await server.kill()
        lost = len(callers.acknowledged - verdict.on_record(folder))
        counts = {"acknowledged": len(callers.acknowledged), "refused": len(callers.refused)}
        trial.record(
            lost=lost,
            hanging=hanging,
            **counts,
            wrong=_wrong(
                {
                    "nobody was refused": bool(callers.refused),
                    f"refused by {callers.codes()}": callers.codes() <= codes,
                    "health was SERVING": serving,
                    "health stayed NOT_SERVING": again,
                    "the file is not sound": not findings(folder / "parley.db"),
                }
            ),
        )


async def _prepared(folder: Path) -> None:
    with closing(open_store(folder)) as store:
        await first_start(store, folder)


async def locked(trial: Trial) -> None:
    """Somebody else holds the file for three seconds, again whenever everyone who waited was served."""
    async with Server(trial.folder / "locked") as server:
        callers = Callers(server, 64)
        for _ in range(trial.count):
            before = len(callers.acknowledged)
            await asyncio.to_thread(_lock, server.folder / "parley.db", 3.0)
            async with asyncio.timeout(60):
                while len(callers.acknowledged) < before + 64 and not callers.refused:  # noqa: ASYNC110 (counted elsewhere)
                    await asyncio.sleep(0.05)
            trial.record(wrong=_wrong({f"refused: {callers.codes()}": not callers.refused}))
        trial.hanging += await callers.stop()
        trial.lost += await server.missing(callers.acknowledged)
        trial.figures["acknowledged"] = len(callers.acknowledged)


def _lock(path: Path, seconds: float) -> None:
    with closing(sqlite3.connect(path, isolation_level=None, timeout=30)) as outsider:
        outsider.execute("BEGIN IMMEDIATE")
        threading.Event().wait(seconds)
        outsider.execute("ROLLBACK")


async def read_only(trial: Trial) -> None:
    """chattr +i, since permissions do not bind root; with an exchange that a killed server left behind."""
    folder = trial.folder / "read-only"
    async with Server(folder, PARLEY_OFFLINE_DELAY_MS=20) as server:
        known = {(await server.chat(f"chat {number}")).id for number in range(10)}
        known.add(await server.begin("word " * 1000))
    with closing(sqlite3.connect(folder / "parley.db")) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    await _run("chattr", "+i", folder / "parley.db")
    try:
        for _ in range(trial.count):
            async with Server(folder) as server:
                missing = await server.missing(known)
                callers = Callers(server, 4)
                await asyncio.sleep(0.3)
                hanging = await callers.stop()
                trial.record(
                    lost=missing,
                    hanging=hanging,
                    refused=len(callers.refused),
                    wrong=_wrong(
                        {
                            f"refused by {callers.codes()}": callers.codes() == {"FAILED_PRECONDITION"},
                            "a write was acknowledged": not callers.acknowledged,
                            "health is NOT_SERVING": await server.serves(),
                        }
                    ),
                )
    finally:
        await _run("chattr", "-i", folder / "parley.db")


async def _run(*command: object) -> None:
    process = await asyncio.create_subprocess_exec(*map(str, command))
    assert await process.wait() == 0


async def damaged(trial: Trial) -> None:
    """Garbage over a page, in the header, or a file cut short: no start, one line that names the remedy."""
    sound = trial.folder / "sound"
    _large(sound)
    content = (sound / "parley.db").read_bytes()
    for number in range(trial.count):
        folder = trial.folder / f"damaged-{number}"
        folder.mkdir()
        (folder / "parley.db").write_bytes(_with_damage(content, number))
        grpc_address = free_address()
        ended = await run(
            "parley", "serve", "--data", folder, "--http", free_address(), "--grpc", grpc_address
        )
        trial.record(
            wrong=_wrong(
                {
                    f"it started (damage {number})": ended.code not in (0, None),
                    "more than a line": ended.err.count("\n") == 1,
                    "the remedy is not named": "parley restore" in ended.err,
                }
            )
        )


def _large(folder: Path) -> None:
    """A database of which most is one table, so that any page of it matters."""
    store = open_store(folder)
    store.database.migrate(
        lambda connection: connection.execute(
            "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n LIMIT 2000) "
            "INSERT INTO messages SELECT 'o', x, 0, zeroblob(500) FROM n"
        )
    )
    store.close()


def _with_damage(content: bytes, number: int) -> bytes:
    chance = random.Random(number)
    if number % 4 == 0:
        return chance.randbytes(100) + content[100:]
    if number % 4 == 1:
        return content[: chance.randrange(1, len(content) // 4096) * 4096 - chance.randrange(1, 4096)]
    page = chance.randrange(len(content) // 8192, len(content) // 4096) * 4096
    return content[:page] + chance.randbytes(4096) + content[page + 4096 :]


async def backed_up(trial: Trial) -> None:
    """`parley backup` under load: what was acknowledged before it began is in it, and it can be restored and
    served."""
    async with Server(trial.folder / "backed-up") as server:
        callers = Callers(server)
        for number in count():
            if number == trial.count:
                break
            before = set(callers.acknowledged)
            file, restored = trial.folder / f"backup-{number}.db", trial.folder / f"restored-{number}"
            made = await run("parley", "backup", file, "--data", server.folder, "--json")
            put = await run("parley", "restore", file, "--data", restored, "--json")
            os.link(server.folder / "dev-keys.json", restored / "dev-keys.json")
            async with Server(restored) as again:
                lost = await again.missing(before)
            trial.record(
                lost=lost,
                in_backups=len(before),
                wrong=_wrong(
                    {
                        f"backup: {made.err}": made.code == 0,
                        f"restore: {put.err}": put.code == 0,
                        "the backup is not sound": not findings(file),
                        "callers were refused": not callers.refused,
                    }
                ),
            )
        trial.hanging += await callers.stop()


def _wrong(checks: dict[str, bool]) -> str:
    """What did not hold."""
    return "; ".join(text for text, passes in checks.items() if not passes)


ROWS = [
    Row(
        "disk full (tmpfs)",
        "RESOURCE_EXHAUSTED in words, reads go on, health says so, recovers",
        full,
        5,
        2,
        1,
        ("tmpfs",),
    ),
    Row(
        "fsync fails (EIO)",
        "an error, never an acknowledgement; health NOT_SERVING until writes succeed",
        syncs_that_fail,
        10,
        2,
        1,
        ("strace",),
    ),
    Row(
        "write fails (ENOSPC)",
        "an error, never an acknowledgement; health NOT_SERVING until writes succeed",
        writes_without_room,
        10,
        2,
        0,
        ("strace",),
    ),
    Row("file locked by an outsider for 3 s, 64 writers", "no errors", locked, 10, 2),
    Row(
        "read-only file", "reads work, writes are FAILED_PRECONDITION", read_only, 5, 2, 1, ("chattr", "root")
    ),
    Row(
        "damaged file, or no database",
        "refuses to start, in one line that names `parley restore`",
        damaged,
        30,
        8,
    ),
    Row("backup under load", "consistent, restorable, holds up nobody", backed_up, 10, 3),
]
