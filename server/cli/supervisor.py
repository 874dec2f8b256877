"""Several server processes: started, restarted when one exits, restarted one by one, stopped.

Each keeps its port, which this process reserves while it runs, so that Envoy's list of servers never changes.
Knows the processes only by their answers; serves nothing itself.
"""

import asyncio
import contextlib
import os
import socket
import sys
import time
from pathlib import Path
from typing import Any

import orjson
import structlog

from gateway.ask import Answer, ask
from gateway.launcher import ROOT, TIE_TO_PARENT, Gateway, GatewayError, reserve
from server.core.config import Settings

_SETTLED_SECONDS = 5.0
"""How long a worker must have served for its end to count as an accident, not as a failing start."""
_FIRST_PAUSE = 0.5
_LONGEST_PAUSE = 10.0
_KILLED_AFTER_SECONDS = 8.0
"""Beyond the grace that its calls have."""
_ASKED_SECONDS = 5.0
"""How long a worker may take to show its metrics."""
_ANSWERS_WITHIN_SECONDS = 1.0
"""Beyond the time that a command takes: a worker that has not answered by then is busy with something
else."""

log = structlog.get_logger()


class WorkerError(Exception):
    """A server process cannot serve; the message is one line for the operator."""


class Workers:
    """The server processes, `settings.workers` of them. `ports` are valid once `start` has returned."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._workers: list[Worker] = []
        self._watching: list[asyncio.Task[None]] = []

    @property
    def ports(self) -> list[int]:
        """The ports of the processes."""
        return [worker.port for worker in self._workers]

    @property
    def edges(self) -> list[tuple[str, int] | Path]:
        """Where Envoy reaches the processes."""
        return [worker.edge for worker in self._workers]

    @property
    def websocket_ports(self) -> list[int]:
        """Those where the processes take WebSocket connections."""
        return [worker.websocket_port for worker in self._workers]

    async def spawn(self) -> None:
        """Start the processes, not yet serving. Raises WorkerError when a port is unavailable."""
        for number in range(self._settings.workers):
            worker = Worker(
                _with_admin_port(self._settings, number),
                self._settings.grpc.port if number == 0 else 0,
                self._settings.websocket.port if number == 0 else 0,
            )
            self._workers.append(worker)
            await worker.spawn()

    async def start(self) -> None:
        """Let the processes serve. Raises WorkerError when one cannot."""
        await asyncio.gather(*(worker.serve() for worker in self._workers))
        self._watching = [asyncio.create_task(self._watch(worker)) for worker in self._workers]

    async def restart(self, gateway: Gateway) -> None:
        """Replace the processes one after the other; while one starts, the others serve all calls."""
        for worker in self._workers:
            for other in self._workers:
                await _found(gateway, other, healthy=True)
            worker.serves.clear()
            await worker.drain("leave")
            await _found(gateway, worker, healthy=False)
            worker.stop()
            await worker.serves.wait()
            await _found(gateway, worker, healthy=True)
            log.info("worker_restarted", port=worker.port, pid=worker.pid)

    async def metrics(self) -> str:
        """Return the metrics of all processes, each sample with the label `worker`; of those that answer."""
        from server.core.telemetry.exposition import merged

        answers = await asyncio.gather(*(worker.ask("/metrics") for worker in self._workers))
        texts = {str(at): one.body.decode() for at, one in enumerate(answers) if one and one.status == 200}
        return await asyncio.to_thread(lambda: merged(texts).decode())

    async def not_ready(self) -> list[str]:
        """Return the reasons of all processes, when none of them is ready."""
        answers = await asyncio.gather(*(worker.ask("/readyz") for worker in self._workers))
        if any(one and one.status == 200 for one in answers):
            return []
        return [
            f"worker {number}: {reason}"
            for number, one in enumerate(answers)
            for reason in (orjson.loads(one.body)["reasons"] if one else ["does not answer"])
        ]

    async def drain(self) -> None:
        """Drain all processes at once, as App.drain."""
        await asyncio.gather(*(worker.drain("drain") for worker in self._workers))

    async def drain_arrivals(self) -> None:
        """Do nothing: each process accepts the calls already sent to it when it stops."""

    async def stop(self) -> None:
        """Stop all processes, as App.stop. Safe at any time."""
        for watching in self._watching:
            watching.cancel()
        for worker in self._workers:
            worker.stop()
        await asyncio.gather(*(worker.ended() for worker in self._workers))

    async def _watch(self, worker: "Worker") -> None:
        """Restart a worker whenever it exits; after repeated failures with longer pauses."""
        pause, since = 0.0, time.monotonic()
        while True:
            code = await worker.exit_code()
            if not worker.is_to_end:
                log.error("worker_exited", port=worker.port, pid=worker.pid, code=code)
                pause = (
                    0.0
                    if time.monotonic() - since > _SETTLED_SECONDS
                    else min(max(_FIRST_PAUSE, 2 * pause), _LONGEST_PAUSE)
                )
                await asyncio.sleep(pause)
            try:
                await worker.spawn()
                await worker.serve()
            except (WorkerError, OSError) as error:
                log.error("worker_does_not_start", port=worker.port, reason=str(error))
                worker.is_to_end = False  # so the worker is started again, after a pause
            since = time.monotonic()


class Worker:
    """One server process."""

    def __init__(self, settings: Settings, port: int, websocket_port: int) -> None:
        self._reserved: list[socket.socket] = []
        self.port = self._reserve(settings.grpc.host, port)
        self.websocket_port = self._reserve(settings.websocket.host, websocket_port)
        self.serves = asyncio.Event()
        self._metrics_port: int | None = None
        self.is_to_end = False
        """Whether its end is wanted: otherwise it is an accident."""
        addresses = {
            "grpc": settings.grpc.model_copy(update={"port": self.port}),
            "websocket": settings.websocket.model_copy(update={"port": self.websocket_port}),
        }
        paths = {name: getattr(settings, name) for name in ("data", "tls_cert", "tls_key", "client_ca")}
        whole = {name: path and path.absolute() for name, path in paths.items()}  # it works in another folder
        self._settings = settings.model_copy(update={**addresses, **whole})
        self.edge = self._settings.edge_of(self.port)
        self.websocket_edge = (settings.websocket.host, self.websocket_port)
        self._process: asyncio.subprocess.Process | None = None

    def _reserve(self, host: str, port: int) -> int:
        try:
            self._reserved.append(reserve((host, port)))
        except GatewayError as error:
            raise WorkerError(str(error)) from None
        bound: int = self._reserved[-1].getsockname()[1]
        return bound

    @property
    def pid(self) -> int:
        """Process id of the worker."""
        return self._started.pid

    @property
    def _started(self) -> asyncio.subprocess.Process:
        assert self._process is not None
        return self._process

    async def spawn(self) -> None:
        """Start the process, not yet serving."""
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-I",
            "-S",
            "-c",
            TIE_TO_PARENT,
            str(os.getpid()),
            sys.executable,
            "-m",
            "server.cli.worker",
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            cwd=ROOT,
            start_new_session=True,
        )  # Ctrl-C is for this process, which drains the workers
        self.is_to_end = False

    async def serve(self) -> None:
        """Send the settings. Raises WorkerError when the process does not serve then."""
        self._send(orjson.dumps(self._settings.model_dump(mode="json", by_alias=True)))
        answer = await self._answer()
        if "ready" not in answer:
            code = await self.exit_code()
            raise WorkerError(
                answer.get("error", f"a server process exited with code {code} before it served")
            )
        self._metrics_port = answer["metrics"]
        self.serves.set()

    async def drain(self, how: str) -> None:
        """Let the process announce its stop, and serve for a while."""
        self._send(how.encode())
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._settings.drain_seconds + _ANSWERS_WITHIN_SECONDS):
                await self._answer()

    async def ask(self, path: str) -> Answer | None:
        """Return what the process answers on its port for operators; None when it does not."""
        if self._metrics_port is None:
            return None
        try:
            async with asyncio.timeout(_ASKED_SECONDS):
                return await ask(("127.0.0.1", self._metrics_port), "GET", path)
        except OSError:  # TimeoutError is one
            return None

    def stop(self) -> None:
        """Let the process finish its calls and exit; kill it after a timeout."""
        self.is_to_end = True
        self._send(b"stop")
        if self._process is not None:
            asyncio.get_running_loop().call_later(
                self._settings.grace_seconds + _KILLED_AFTER_SECONDS, _kill, self._process
            )

    async def exit_code(self) -> int:
        """Wait for the process to exit; return its exit code."""
        return await self._started.wait()

    async def ended(self) -> None:
        """Wait for the end of a process that was ordered to stop."""
        if self._process is not None:
            await self.exit_code()
        for reserved in self._reserved:
            reserved.close()

    def _send(self, line: bytes) -> None:
        with contextlib.suppress(OSError, RuntimeError):  # the process is gone
            assert self._process is not None and self._process.stdin is not None
            self._process.stdin.write(line + b"\n")

    async def _answer(self) -> dict[str, Any]:
        """Return the next answer of the process; empty when it has exited."""
        stdout = self._started.stdout
        assert stdout is not None
        line = await stdout.readline()
        answer: dict[str, Any] = orjson.loads(line) if line.endswith(b"\n") else {}
        return answer


async def _found(gateway: Gateway, worker: Worker, *, healthy: bool) -> None:
    """Wait until Envoy finds both ports of a worker healthy, or neither."""
    for place in (worker.edge, worker.websocket_edge):
        await gateway.finds(place, healthy=healthy)


def _with_admin_port(settings: Settings, number: int) -> Settings:
    """Those of one of several workers: each has its own admin port, counted from the one that is set."""
    admin = settings.admin
    if admin is None or admin.port == 0:
        return settings
    return settings.model_copy(update={"admin": admin.model_copy(update={"port": admin.port + number})})


def _kill(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        process.kill()
