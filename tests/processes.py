"""The project's commands as real processes: run to their end, or serving and watched. Checks nothing by
itself."""

import asyncio
import json
import os
import random
import signal
import socket
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import NamedTuple

COMMANDS = Path(sys.executable).parent
SECONDS = 40


class Ended(NamedTuple):
    code: int
    out: str
    err: str

    @property
    def faults(self) -> list[str]:
        """The events of a server's log that are more than `info`."""
        records = [json.loads(line) for line in self.err.splitlines()]
        return [record["event"] for record in records if record["level"] != "info"]


async def run(command: str, *arguments: object, **environment: object) -> Ended:
    """Run a command of the virtual environment to its end."""
    process = await _start(command, *arguments, **environment)
    try:
        async with asyncio.timeout(SECONDS):
            out, err = await process.communicate()
    finally:
        await _kill(process)
    return Ended(process.returncode, out.decode(), err.decode())


@asynccontextmanager
async def running(command: str, *arguments: object, **environment: object) -> AsyncIterator[Process]:
    """A command of the virtual environment that runs; killed at the end if it still does."""
    process = await _start(command, *arguments, **environment)
    try:
        yield process
    finally:
        await _kill(process)
        await process.communicate()


class Serving:
    """`async with Serving(data, …) as parley`: a `parley serve` that has said that it is ready, on ports of
    its own."""

    def __init__(
        self,
        data: Path,
        *options: str,
        http: str = "",
        grpc: str = "",
        by_environment: bool = False,
        command: str = "parley",
        **environment: object,
    ) -> None:
        self.data = data
        self._command = command
        self.http = http or free_address()
        self.grpc = grpc or free_address()
        self.lines: list[str] = []
        where = {"data": data, "http": self.http, "grpc": self.grpc}
        environment = {"PARLEY_DRAIN_SECONDS": 0, **environment}  # nobody else asks for its health
        if by_environment:
            self._arguments = [*options]
            self._environment = {
                **environment,
                **{f"PARLEY_{name.upper()}": value for name, value in where.items()},
            }
        else:
            self._arguments = [
                *options,
                *(word for name, value in where.items() for word in (f"--{name}", value)),
            ]
            self._environment = environment

    @property
    def url(self) -> str:
        return f"http://{self.http}"

    @property
    def ready_line(self) -> str:
        return f"ready http={self.url} grpc={self.grpc}"

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def keys(self) -> dict[str, str]:
        """The development keys that its first start made."""
        return json.loads((self.data / "dev-keys.json").read_bytes())

    async def __aenter__(self) -> "Serving":
        self._process = await _start(self._command, "serve", *self._arguments, **self._environment)
        self._log: list[str] = []
        self._more = asyncio.Event()
        self._err = asyncio.create_task(self._read_log())
        try:
            async with asyncio.timeout(SECONDS):
                while not self.lines or not self.lines[-1].startswith("ready "):
                    line = await self._process.stdout.readline()
                    assert line, (await self._err).decode()
                    self.lines.append(line.decode().removesuffix("\n"))
        except BaseException:
            await self.__aexit__()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await _kill(self._process)
        await self._err

    async def ended(self) -> Ended:
        """Wait for its end. `out` is what it printed after it was ready."""
        async with asyncio.timeout(SECONDS):
            out = await self._process.stdout.read()
            return Ended(await self._process.wait(), out.decode(), (await self._err).decode())

    async def stop(self, number: signal.Signals = signal.SIGTERM) -> Ended:
        self.send(number)
        return await self.ended()

    def send(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    async def logged(self, event: str, times: int = 1) -> None:
        """Wait until this event is in its log so often."""
        async with asyncio.timeout(SECONDS):
            while sum(f'"event":"{event}"' in line for line in self._log) < times:
                self._more.clear()
                await self._more.wait()

    async def _read_log(self) -> bytes:
        async for line in self._process.stderr:
            self._log.append(line.decode())
            self._more.set()
        return "".join(self._log).encode()


async def _start(command: str, *arguments: object, **environment: object) -> Process:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("PARLEY_")}
    given = {name: str(value) for name, value in environment.items()}
    return await asyncio.create_subprocess_exec(
        str(COMMANDS / command),
        *map(str, arguments),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=PIPE,
        stderr=PIPE,
        env={**inherited, **given},
    )


async def _kill(process: Process) -> None:
    if process.returncode is None:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()


def free_address() -> str:
    """A free port of this machine, below those that the system gives to outgoing connections."""
    while True:
        port = random.randrange(20_000, 30_000)
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return f"127.0.0.1:{port}"


def envoys(data: Path) -> list[int]:
    """The Envoys started for this data folder."""
    config = os.fsencode(data / "run" / "envoy.json")
    found = []
    for process in Path("/proc").iterdir():
        with suppress(OSError):
            if process.name.isdecimal() and config in (process / "cmdline").read_bytes():
                found.append(int(process.name))
    return found


async def gone(pid: int) -> None:
    """Wait for the end of a process that is not ours to wait for."""
    with suppress(ProcessLookupError):
        handle = os.pidfd_open(pid)
        over = asyncio.Event()
        asyncio.get_running_loop().add_reader(handle, over.set)
        try:
            async with asyncio.timeout(SECONDS):
                await over.wait()
        finally:
            asyncio.get_running_loop().remove_reader(handle)
            os.close(handle)
