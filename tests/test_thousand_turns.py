"""A chain of a thousand turns: what its last turn reads and how the database grew, counted, never timed."""

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.struct_pb2 import Value

from generated.parley.v1.message_pb2 import Message
from server.agents.agents import Agents
from server.agents.who import StoredAssistant, Who
from server.backends.offline import OfflineBackend
from server.cli.first_start import DEMO
from server.content.inputs import parse_input
from server.content.json_values import from_python
from server.core.clock import now_ms
from server.exchange.asked import After, Asked, InSession, Where
from server.exchange.engine import Engine
from server.exchange.resolve import TurnResolver
from server.exchange.run import Outcome
from server.exchange.tool_loop import ToolLoop
from server.storage import threads
from server.storage.keys import Caller
from server.storage.store import Store, open_store

TURNS = 1000


class Talk:
    """The engine over a store of its own."""

    def __init__(self, store: Store, caller: Caller, assistant_id: str) -> None:
        self.store, self.caller, self.assistant_id = store, caller, assistant_id
        self._resolver = TurnResolver(store, Agents(store), now_ms)
        self._engine = Engine(store, ToolLoop(OfflineBackend(), None), {}, now_ms, 600)

    async def send(self, text: str, where: Where | None = None) -> Outcome:
        given, who = Value(string_value=text), Who(None if where else StoredAssistant(self.assistant_id))
        turn = await self._resolver.resolve(
            Asked(caller=self.caller, who=who, where=where, input=given, input_messages=parse_input(given))
        )
        return await self._engine.run(turn)

    async def chain(self, turns: int, after: str | None = None) -> str:
        """The id of the last chat of `turns` more."""
        for number in range(turns):
            where = After(after, "previousChatId") if after else None
            after = (await self.send(f"turn {number:04d}", where)).chat.id
        assert after is not None
        return after

    async def session(self, messages: int) -> str:
        """The id of a session with so many messages, of the same texts as a chain has."""
        agent = await self._resolver._agents.stored(self.caller, self.assistant_id)
        messages_sent = [
            {"role": "user", "content": f"turn {number:04d}"}
            if number % 2 == 0
            else {"role": "assistant", "content": f"You said: turn {number:04d}"}
            for number in range(messages)
        ]
        new = self._resolver.new_session(self.caller, agent, messages=parse_input(from_python(messages_sent)))
        await self.store.sessions.create(new)
        return new.session.id

    def bytes_used(self) -> int:
        """The size of the file once the log is in it."""
        return self.store.database.reader.execute(
            "SELECT page_count * page_size FROM pragma_page_count(), pragma_page_size()"
        ).fetchone()[0]


@dataclass
class Cost:
    """What one exchange did."""

    steps: int = 0
    """Instructions of SQLite's virtual machine, reads and writes together."""
    messages: int = 0
    """Messages read from the store."""


@pytest.fixture
async def talk(tmp_path: Path) -> AsyncIterator[Talk]:
    store = open_store(tmp_path)
    key = await store.keys.create("org", "api")
    assistant = await store.assistants.create(key.org_id, DEMO)
    yield Talk(store, Caller(key.org_id, key.id, key.kind), assistant.id)
    store.close()


async def cost_of(talk: Talk, monkeypatch: pytest.MonkeyPatch, text: str, where: Where) -> Cost:
    """What an exchange costs that has been run before, so that nothing is read for the first time."""
    cost, messages = Cost(), threads._messages

    def counted(bodies: Any) -> list[Message]:
        found = messages(bodies)
        cost.messages += len(found)
        return found

    def step() -> int:
        cost.steps += 1
        return 0

    with monkeypatch.context() as patched:
        patched.setattr(threads, "_messages", counted)
        _on_every_step(talk, step)
        await talk.send(text, where)
        _on_every_step(talk, None)
    return cost


def _on_every_step(talk: Talk, handler: Callable[[], int] | None) -> None:
    for connection in (talk.store.database._reader, talk.store.database._connection):
        connection.set_progress_handler(handler, 1)


@pytest.mark.timeout(240)
async def test_a_thousand_turns_cost_what_a_session_does_and_take_linear_space(
    talk: Talk, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin = talk.bytes_used()
    middle_chat = await talk.chain(TURNS // 2)
    middle = talk.bytes_used()
    last = await talk.chain(TURNS // 2, middle_chat)
    end = talk.bytes_used()
    session = await talk.session(2 * TURNS)  # as many messages as the chain has

    # a fork, in the middle
    early = await cost_of(talk, monkeypatch, "early", After(middle_chat, "previousChatId"))
    chained = await cost_of(talk, monkeypatch, "late", After(last, "previousChatId"))
    in_session = await cost_of(talk, monkeypatch, "late", InSession(session))

    assert 0.9 * (middle - begin) <= end - middle <= 1.1 * (middle - begin)
    assert (early.messages, chained.messages, in_session.messages) == (TURNS, 2 * TURNS, 2 * TURNS)
    assert in_session.steps > TURNS  # the counting works
    assert chained.steps <= 1.5 * in_session.steps
    assert chained.steps <= 2.2 * early.steps


async def test_turns_of_a_long_chain_keep_only_what_was_said(talk: Talk) -> None:
    await talk.chain(40)
    read = talk.store.database.reader

    stored = [
        size
        for (size,) in read.execute("SELECT length(body) + length(record) FROM chats ORDER BY created_at, id")
    ]

    assert max(stored) < 1.2 * stored[1]
    assert read.execute("SELECT count(*) FROM messages").fetchone()[0] == 80
