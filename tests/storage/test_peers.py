"""What servers on one database know of each other: locks that die with their holder, words that reach
everybody.

Written for any `Peers`: a kind of its own is one more line in `KINDS`.
"""

import asyncio
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from server.storage.peers import Peers
from server.storage.sqlite.file_peers import FilePeers
from tests.processes import gone

KINDS = {"file": FilePeers}
HOLDER = """
import asyncio, sys
from pathlib import Path
from server.storage.sqlite.file_peers import FilePeers

async def main():
    peers = FilePeers(Path(sys.argv[1]))
    with peers.listen("word") as heard:
        print(await peers.try_lock("a"), flush=True)
        await heard.wait()
        print("heard", flush=True)
        await asyncio.Event().wait()

asyncio.run(main())
"""


@pytest.fixture(params=KINDS)
def server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[[], Peers]]:
    """`server()`: one more server on the same database."""
    with ExitStack() as stack:
        yield lambda: stack.enter_context(closing(KINDS[request.param](tmp_path)))


async def test_lock_is_one_server_s_until_it_lets_go(server):
    one, other = server(), server()
    acquired = [
        await one.try_lock("a"),
        await one.try_lock("a"),
        await other.try_lock("a"),
        await other.try_lock("b"),
    ]
    await one.unlock("a")

    assert acquired == [True, False, False, True]
    assert [await other.try_lock("a"), await one.try_lock("a"), await one.try_lock("b")] == [
        True,
        False,
        False,
    ]


async def test_locks_go_with_the_server_that_holds_them(server):
    one, other = server(), server()
    locked = [await one.try_lock(f"chat:{number}") for number in range(500)]
    refused = [await other.try_lock(f"chat:{number}") for number in range(500)]
    one.close()

    assert (set(locked), set(refused)) == ({True}, {False})
    assert {await other.try_lock(f"chat:{number}") for number in range(500)} == {True}


async def test_word_reaches_every_server_that_listens_for_it(server):
    servers = [server() for _ in range(3)]
    with ExitStack() as listening:
        received = [listening.enter_context(one.listen("word")) for one in servers]
        others = [listening.enter_context(one.listen("another")) for one in servers]
        for speaker in servers:
            speaker.notify("word")
            async with asyncio.timeout(5):
                await asyncio.gather(*(event.wait() for event in received))
            for event in received:
                event.clear()

    assert not any(event.is_set() for event in others)


async def test_word_to_many_listeners_of_one_server_wakes_all(server):
    one, other = server(), server()
    with one.listen("word") as first, one.listen("word") as second:
        other.notify("word")
        async with asyncio.timeout(5):
            await first.wait()
            await second.wait()


async def test_who_speaks_need_not_listen_and_who_came_later_is_heard_of(server):
    speaker = server()
    speaker.notify("word")
    with server().listen("word") as received:
        async with asyncio.timeout(5):
            speaker.notify("word")
            await received.wait()


@pytest.mark.skipif(sys.platform != "linux", reason="needs pidfd to see a process end that is not ours")
async def test_killed_process_holds_nothing_and_is_not_spoken_to_any_more(tmp_path):
    with closing(FilePeers(tmp_path)) as peers:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-c",
            HOLDER,
            str(tmp_path),
            stdout=asyncio.subprocess.PIPE,
            cwd=Path(__file__).parents[2],
        )
        assert await process.stdout.readline() == b"True\n"
        locked = not await peers.try_lock("a")
        peers.notify("word")
        assert await process.stdout.readline() == b"heard\n"
        process.send_signal(signal.SIGKILL)
        await process.wait()
        await gone(process.pid)

        peers.notify("word")

        assert (locked, await peers.try_lock("a")) == (True, True)
        assert [name for name in os.listdir(tmp_path) if name.endswith(".sock")] == []
