"""A process that writes to a real store without end, and says of each write that it was acknowledged once it
was.

    + ID   the exchange is on record        ~ ID   it is about to be deleted        - ID   it is deleted

Run as `python -m tests.fault.writer FOLDER LINES` (0: without end), or forked by `kills.py`. `read` says what
must hold afterwards.
"""

import asyncio
import os
import random
import sys
from collections.abc import Callable, Iterable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import NamedTuple

from generated.parley.v1.chat_pb2 import ChatEvent, ContentDelta
from server.core.clock import now_ms
from server.storage.chat_events import EventBatch
from server.storage.chats import Exchange
from server.storage.store import open_store
from tests.storage.records import Recorder

Acknowledge = Callable[[str], None]


class Acknowledged(NamedTuple):
    """What a writer was told."""

    there: set[str]
    gone: set[str]


def read(lines: Iterable[bytes]) -> Acknowledged:
    """What must be there and what must not; a line that was cut was never told."""
    there: set[str] = set()
    gone: set[str] = set()
    for line in lines:
        if line.endswith(b"\n"):
            sign, name = line.decode().split()
            (gone.add if sign == "-" else there.add if sign == "+" else there.discard)(name)
    return Acknowledged(there, gone)


def forked(folder: str, out: Connection) -> None:
    """The body of a forked writer."""
    asyncio.run(write(Path(folder), AcknowledgingPipe(out.fileno())))


class AcknowledgingPipe:
    """Says lines to a descriptor; after the last it ends the process, as abruptly as a kill."""

    def __init__(self, out: int, lines: int = 0) -> None:
        self._out = out
        self._left = lines

    def __call__(self, line: str) -> None:
        os.write(self._out, line.encode())
        self._left -= 1
        if self._left == 0:
            os._exit(0)


async def write(folder: Path, acknowledge: Acknowledge) -> None:
    """Write in several tasks at once, so that commits are shared and there is always one under way."""
    store = open_store(folder)
    recorder = await Recorder.of_new_org(store, now_ms, name="org")
    chance = random.Random()
    async with asyncio.TaskGroup() as tasks:
        for _ in range(3):
            tasks.create_task(_chains(recorder, acknowledge, chance))
        for _ in range(2):
            tasks.create_task(_sessions(recorder, acknowledge, chance))
            tasks.create_task(_streams(recorder, acknowledge, chance))
        tasks.create_task(_deletions(recorder, acknowledge, chance))


async def _record(recorder: Recorder, acknowledge: Acknowledge, exchange: Exchange) -> str:
    await recorder.store.chats.record(exchange)
    acknowledge(f"+ {exchange.chat.id}\n")
    return exchange.chat.id


async def _chains(recorder: Recorder, acknowledge: Acknowledge, chance: random.Random) -> None:
    while True:
        previous = None
        for _ in range(chance.randrange(1, 5)):
            chat_id = await _record(recorder, acknowledge, recorder.exchange(_text(chance), previous))
            previous = await recorder.store.chats.find(recorder.scope, chat_id)


async def _sessions(recorder: Recorder, acknowledge: Acknowledge, chance: random.Random) -> None:
    while True:
        new = recorder.new_session("said before")
        await _record(
            recorder,
            acknowledge,
            recorder.exchange(_text(chance), session_id=new.session.id, new_session=new),
        )
        for _ in range(chance.randrange(5)):
            await _record(recorder, acknowledge, recorder.exchange(_text(chance), session_id=new.session.id))


async def _streams(recorder: Recorder, acknowledge: Acknowledge, chance: random.Random) -> None:
    while True:
        exchange = recorder.exchange(_text(chance))
        chat_id = exchange.chat.id
        exchange.chat.status = "in_progress"
        for sequence in range(chance.randrange(1, 5)):
            event = ChatEvent(chat_id=chat_id, sequence=sequence, delta=ContentDelta(text=_text(chance)))
            batch = EventBatch(exchange.chat.org_id, chat_id, [event])
            if sequence:
                assert await recorder.store.chats.journal([batch]) == [True]
            else:
                await recorder.store.chats.begin(exchange, batch)
            acknowledge(f"+ {chat_id}\n")
        exchange.chat.status = "completed"
        await _record(
            recorder,
            acknowledge,
            Exchange(
                **{name: getattr(exchange, name) for name in Exchange.__slots__ if name != "begun"},
                begun=True,
            ),
        )


async def _deletions(recorder: Recorder, acknowledge: Acknowledge, chance: random.Random) -> None:
    while True:
        chat_id = await _record(recorder, acknowledge, recorder.exchange(_text(chance)))
        acknowledge(f"~ {chat_id}\n")
        await recorder.store.chats.delete(recorder.scope, chat_id)
        acknowledge(f"- {chat_id}\n")


def _text(chance: random.Random) -> str:
    return "word " * chance.randrange(2, 400)


if __name__ == "__main__":
    asyncio.run(write(Path(sys.argv[1]), AcknowledgingPipe(sys.stdout.fileno(), int(sys.argv[2]))))
