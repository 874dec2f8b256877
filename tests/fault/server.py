"""A server in a process of its own, without Envoy, that can be started under strace, prlimit or faketime.

Run as `python -m tests.fault.server FOLDER`: makes the development keys, serves on a free port and prints it
with its pid.
"""

import asyncio
import ctypes
import gc
import os
import signal
import sys
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import grpc
import orjson
from google.protobuf.struct_pb2 import Value
from grpc_health.v1 import health_pb2, health_pb2_grpc

from generated.parley.v1.chat_pb2 import Chat
from generated.parley.v1.chat_service_pb2 import CreateChatRequest, GetChatRequest
from generated.parley.v1.chat_service_pb2_grpc import ChatServiceStub

ROOT = Path(__file__).parents[2]
SECONDS = 60


class Server:
    """`async with Server(folder, ["strace", …]) as server`; on leaving it is killed."""

    def __init__(self, folder: Path, wrapped_in: Sequence[str] = (), **environment: object) -> None:
        self.folder = folder
        self._command = [*wrapped_in, sys.executable, "-m", "tests.fault.server", str(folder)]
        self._environment = {**os.environ, **{name: str(value) for name, value in environment.items()}}

    async def __aenter__(self) -> "Server":
        self._process = await asyncio.create_subprocess_exec(
            *self._command, cwd=ROOT, env=self._environment, stdin=DEVNULL, stdout=PIPE, stderr=DEVNULL
        )
        async with asyncio.timeout(SECONDS):
            line = await self._process.stdout.readline()
        assert line, "the server did not start"
        self.port, self.pid = map(int, line.split())
        keys = orjson.loads((self.folder / "dev-keys.json").read_bytes())
        self.assistant_id = keys["assistantId"]
        self.metadata = (("authorization", f"Bearer {keys['api']}"),)
        self.channel = grpc.aio.insecure_channel(
            f"127.0.0.1:{self.port}", [("grpc.max_receive_message_length", -1)]
        )  # endless answers are long
        self.chats = ChatServiceStub(self.channel)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.kill()
        await self.channel.close()

    async def kill(self) -> None:
        with suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)
        await self._process.wait()

    async def chat(self, text: str) -> Chat:
        request = CreateChatRequest(assistant_id=self.assistant_id, input=Value(string_value=text))
        return await self.chats.CreateChat(request, metadata=self.metadata, timeout=SECONDS)

    async def stream(self, text: str) -> None:
        """A streamed chat, read to its end."""
        request = CreateChatRequest(assistant_id=self.assistant_id, input=Value(string_value=text))
        async for _ in self.chats.StreamChat(request, metadata=self.metadata, timeout=SECONDS):
            pass

    async def begin(self, text: str) -> str:
        """Begin a streamed chat, read what it says first, and leave it running."""
        request = CreateChatRequest(assistant_id=self.assistant_id, input=Value(string_value=text))
        self._begun = self.chats.StreamChat(request, metadata=self.metadata, timeout=SECONDS)
        return (await self._begun.read()).chat_id

    async def find(self, chat_id: str) -> Chat | None:
        try:
            return await self.chats.GetChat(
                GetChatRequest(id=chat_id), metadata=self.metadata, timeout=SECONDS
            )
        except grpc.aio.AioRpcError as error:
            if error.code() == grpc.StatusCode.NOT_FOUND:
                return None
            raise

    async def missing(self, chat_ids: set[str]) -> int:
        """How many of these are not on record."""
        limit = asyncio.Semaphore(32)

        async def is_missing(chat_id: str) -> bool:
            async with limit:
                return await self.find(chat_id) is None

        return sum(await asyncio.gather(*map(is_missing, chat_ids)))

    async def serves(self) -> bool:
        """What its health says."""
        checked = await health_pb2_grpc.HealthStub(self.channel).Check(
            health_pb2.HealthCheckRequest(), timeout=SECONDS
        )
        return checked.status == health_pb2.HealthCheckResponse.SERVING

    async def until_it(self, serves: bool, seconds: float = 20) -> bool:
        """Whether its health comes to say so."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while await self.serves() != serves:  # noqa: ASYNC110 (what another process says)
                    await asyncio.sleep(0.02)
                return True
        return False

    def status(self, name: str) -> int:
        """A number of /proc, such as Threads."""
        for line in Path(f"/proc/{self.pid}/status").read_text().splitlines():
            if line.startswith(f"{name}:"):
                return int(line.split()[1])
        raise KeyError(name)

    async def memory(self) -> int:
        """What it holds, in KiB: what the allocator has free, and would use again, is given back first."""
        os.kill(self.pid, signal.SIGUSR1)
        await self.serves()
        return self.status("VmRSS")

    def files(self, *, locks: bool = True) -> int:
        """Open files; those of locks are a set of 64, each opened when a name first falls to it."""
        opened = [os.readlink(file) for file in Path(f"/proc/{self.pid}/fd").iterdir()]
        return sum(locks or not name.endswith(".lock") for name in opened)


def _give_back() -> None:
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)


async def _serve(folder: Path) -> None:
    from server.app import App
    from server.cli.first_start import first_start
    from server.core.config import Address, Settings
    from server.storage.store import open_store

    settings = Settings(data=folder, grpc=Address(host="127.0.0.1", port=0))
    store = open_store(folder)
    await first_start(store, folder)
    app = App(settings, store)
    await app.start()
    asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, _give_back)
    print(app.grpc_port, os.getpid(), flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")
    import structlog
    import uvloop

    # nobody reads the standard output any more
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    uvloop.run(_serve(Path(sys.argv[1])))
