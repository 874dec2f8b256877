"""Who waits for whom in a session: first come, first served, and who goes away leaves the queue."""

import asyncio
from collections.abc import Iterator
from contextlib import AsyncExitStack, closing

import pytest

from server.core.errors import SessionBusy
from server.exchange.session_queue import SessionQueue
from server.storage.sqlite.file_peers import FilePeers


class Queue:
    """Exchanges of one session, each in a task that ends when it is told to."""

    def __init__(self, sessions: SessionQueue) -> None:
        self.sessions = sessions
        self.begun: list[str] = []
        self._ends: dict[str, asyncio.Event] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}

    async def come(self, *names: str) -> None:
        for name in names:
            self._ends[name] = asyncio.Event()
            self._tasks[name] = asyncio.create_task(self._run(name))
        wanted = sum(not task.done() for task in self._tasks.values())
        async with asyncio.timeout(5):
            while self.sessions.wanted("s") < wanted:  # noqa: ASYNC110 (lets the tasks run until they wait)
                await asyncio.sleep(0)

    async def end(self, name: str) -> None:
        self._ends[name].set()
        await self._tasks[name]
        await asyncio.sleep(0)

    async def leave(self, name: str) -> None:
        self._tasks[name].cancel()
        await asyncio.wait([self._tasks[name]])

    async def _run(self, name: str) -> None:
        async with self.sessions.locked("s"):
            self.begun.append(name)
            await self._ends[name].wait()


@pytest.fixture
def peers(tmp_path) -> Iterator[FilePeers]:
    with closing(FilePeers(tmp_path)) as peers:
        yield peers


@pytest.fixture
def queue(peers) -> Queue:
    return Queue(SessionQueue(peers))


async def test_first_come_is_first_served(queue):
    await queue.come("a", "b", "c")
    began = [list(queue.begun)]
    for name in ("a", "b", "c"):
        await queue.end(name)
        began.append(list(queue.begun))

    assert began == [["a"], ["a", "b"], ["a", "b", "c"], ["a", "b", "c"]]
    assert queue.sessions.wanted("s") == 0


async def test_who_goes_away_leaves_the_queue(queue):
    await queue.come("a", "b", "c")
    await queue.leave("b")
    await queue.end("a")

    assert queue.begun == ["a", "c"]
    await queue.leave("c")
    assert queue.sessions.wanted("s") == 0


async def test_other_sessions_do_not_wait(queue):
    await queue.come("a")
    async with asyncio.timeout(5), queue.sessions.locked("another"):
        await queue.end("a")


async def test_who_waits_too_long_is_refused_and_out_of_the_queue(peers):
    sessions = SessionQueue(peers, wait_seconds=0)
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(sessions.locked("s"))
        with pytest.raises(SessionBusy, match="0 s; try again"):
            await stack.enter_async_context(sessions.locked("s"))

        assert sessions.wanted("s") == 1
    async with sessions.locked("s"):
        assert sessions.wanted("s") == 1
