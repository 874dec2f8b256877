"""One of several server processes: `python -m server.cli.worker`, started and controlled by
`cli/supervisor.py`.

Reads its settings from the first line of its standard input and commands from the others; answers each with a
line of JSON. Ends on command, on SIGTERM, and when the supervisor is gone.
"""

import asyncio
import contextlib
import signal
import sys
from typing import Any

import orjson
import uvloop

from server.app import App, ListenError, spare_the_loaded
from server.cli.stored import opened_store
from server.core.config import Address, Settings
from server.core.telemetry import logs
from server.core.telemetry.listener import METRICS_TYPE, Answer, Listener, readiness
from server.storage.database import DatabaseError

_MOST_BYTES = 1 << 20
"""Of a line, which contains all settings."""


async def _main() -> int:
    commands = await _standard_input()
    stopping = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopping.set)
    given = await commands.readline()
    if given in (b"", b"stop\n"):
        return 0
    settings = Settings(**orjson.loads(given))
    logs.configure(settings.log_level, settings.log_format)
    try:
        async with opened_store(settings, checked=True) as store:
            try:
                app = App(settings, store)
            except ValueError as error:
                return _refuse(error)
            await app.start()
            listener = await _listening(settings, app)
            spare_the_loaded()
            try:
                await _serve(app, commands, stopping, listener.port if listener else None)
            finally:
                if listener:
                    await listener.stop()
    except (DatabaseError, ListenError) as error:
        return _refuse(error)
    return 0


def _refuse(error: Exception) -> int:
    _answer(error=str(error))
    return 1


async def _listening(settings: Settings, app: App) -> Listener | None:
    """Answer the command that answers operators, on a port of this machine's own."""
    if settings.metrics is None:
        return None

    async def metrics() -> Answer:
        return Answer((await app.metrics()).encode(), type=METRICS_TYPE)

    async def ready() -> Answer:
        return readiness(await app.not_ready())

    listener = Listener(Address(host="127.0.0.1", port=0), {"/metrics": metrics, "/readyz": ready})
    await listener.start()
    return listener


async def _serve(
    app: App, commands: asyncio.StreamReader, stopping: asyncio.Event, metrics_port: int | None
) -> None:
    try:
        _answer(ready=app.grpc_port, metrics=metrics_port)
        serving = asyncio.create_task(_obey(commands, app))
        stop_requested = asyncio.create_task(stopping.wait())
        await asyncio.wait({serving, stop_requested}, return_when=asyncio.FIRST_COMPLETED)
        if not serving.done():
            serving.cancel()
            await app.drain(always=True)
    finally:
        await app.drain_arrivals()
        await app.stop()


async def _obey(commands: asyncio.StreamReader, app: App) -> None:
    """Serve commands until one stops the server or the supervisor is gone."""
    while (command := await commands.readline()) in (b"drain\n", b"leave\n"):
        await app.drain(always=command == b"leave\n")
        _answer(drained=True)


async def _standard_input() -> asyncio.StreamReader:
    reader = asyncio.StreamReader(limit=_MOST_BYTES)
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), sys.stdin
    )
    return reader


def _answer(**members: Any) -> None:
    with contextlib.suppress(BrokenPipeError):  # the supervisor is gone
        sys.stdout.buffer.write(orjson.dumps(members) + b"\n")
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    logs.configure()
    sys.exit(uvloop.run(_main()))
