"""Records exchanges and sessions as the engine does, with no model: what is said is said, and answered by
`re: …`."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from google.protobuf.struct_pb2 import Value

from generated.parley.v1.chat_pb2 import Chat
from generated.parley.v1.message_pb2 import Message
from generated.parley.v1.session_pb2 import Session
from server.content.messages import text_of
from server.core.clock import timestamp
from server.core.ids import new_id
from server.storage.chats import Exchange, StoredChat
from server.storage.database import Connection, Database
from server.storage.keys import NewKey
from server.storage.scope import Scope
from server.storage.sessions import NewSession, StoredSession
from server.storage.store import Store, connect_store, open_store


class StandingClock:
    """Milliseconds since the epoch; a test moves it."""

    def __init__(self, now: int = 1_700_000_000_000) -> None:
        self.now = now

    def __call__(self) -> int:
        return self.now


class Place:
    """Where a test keeps its data, and opens stores."""

    def __init__(self, clock: StandingClock) -> None:
        self._clock = clock
        self._stores: list[Store] = []

    async def open(self, key_secret: str | None = None) -> Store:
        """A store over that data; closed at the end of the test if the test does not."""
        self._stores.append(await self._open(key_secret))
        return self._stores[-1]

    async def close(self) -> None:
        for store in self._stores:
            await store.aclose()

    async def _open(self, key_secret: str | None) -> Store:
        raise NotImplementedError


class SqlitePlace(Place):
    def __init__(self, clock: StandingClock, folder: Path) -> None:
        super().__init__(clock)
        self._folder = folder

    async def _open(self, key_secret: str | None) -> Store:
        return open_store(self._folder, key_secret, self._clock)


class PostgresPlace(Place):
    def __init__(self, clock: StandingClock, url: str) -> None:
        super().__init__(clock)
        self.url = url

    async def _open(self, key_secret: str | None) -> Store:
        return await connect_store(self.url, key_secret, clock=self._clock)


class Rows(NamedTuple):
    """A table's columns and all its rows, in one order on both engines."""

    columns: list[str]
    rows: list[tuple[Any, ...]]


TABLES = (
    "orgs",
    "keys",
    "assistants",
    "squads",
    "tools",
    "sessions",
    "chats",
    "chat_events",
    "forks",
    "messages",
    "idempotency_keys",
    "deleted_usage",
    "outbox",
    "receipts",
)
"""What others refer to first."""


async def all_rows(database: Database) -> dict[str, Rows]:
    def work(connection: Connection) -> dict[str, Rows]:
        found = {}
        for table in TABLES:
            columns = sorted(column.name for column in connection.columns(table))
            rows = connection.execute(f"SELECT {', '.join(columns)} FROM {table}").fetchall()
            found[table] = Rows(columns, sorted(rows, key=repr))
        return found

    return await database.read(work)


def message(role: str, text: str) -> Message:
    return Message(id=new_id(), role=role, content=Value(string_value=text))


def texts(messages: Sequence[Message]) -> list[str]:
    return [text_of(one) for one in messages]


@dataclass
class Recorder:
    """One key of one org, recording."""

    store: Store
    clock: StandingClock
    key: NewKey

    @classmethod
    async def of_new_org(
        cls, store: Store, clock: StandingClock, name: str | None = None, kind: str = "api"
    ) -> "Recorder":
        return cls(store, clock, await store.keys.create(name or f"org-{new_id()}", kind))

    @property
    def scope(self) -> Scope:
        return Scope(self.key.org_id)

    async def add(
        self,
        text: str,
        previous: StoredChat | None = None,
        session: StoredSession | None = None,
        alternatives: Sequence[str] = (),
        new_session: NewSession | None = None,
        **members: Any,
    ) -> StoredChat:
        """Record one exchange and read it back."""
        joined = session or new_session
        await self.store.chats.record(
            self.exchange(
                text, previous, joined.session.id if joined else None, alternatives, new_session, **members
            )
        )
        return await self.store.chats.find(self.scope, self.last_id)

    def exchange(
        self,
        text: str,
        previous: StoredChat | None = None,
        session_id: str | None = None,
        alternatives: Sequence[str] = (),
        new_session: NewSession | None = None,
        **members: Any,
    ) -> Exchange:
        now = timestamp(self.clock())
        chat = Chat(
            **{
                "id": new_id(),
                "org_id": self.key.org_id,
                "created_at": now,
                "updated_at": now,
                "cost": 0.25,
                "status": "completed",
                "input": Value(string_value=text),
                "session_id": session_id,
                "previous_chat_id": previous.id if previous else None,
                **members,
            }
        )
        self.last_id = chat.id
        return Exchange(
            chat=chat,
            key_id=self.key.id,
            input_messages=[message("user", text)],
            answered=[message("assistant", f"re: {text}")],
            alternatives=[message("assistant", other) for other in alternatives],
            previous=previous,
            new_session=new_session,
            private=None,
            provider="offline",
            model="offline-1",
            prompt_tokens=3,
            completion_tokens=2,
        )

    def new_session(self, *inputs: str, agent_type: str | None = None, **members: Any) -> NewSession:
        now = timestamp(self.clock())
        session = Session(
            **{
                "id": new_id(),
                "org_id": self.key.org_id,
                "created_at": now,
                "updated_at": now,
                "status": "active",
                "expiration_seconds": 60,
                **members,
            }
        )
        session.messages.extend(message("user", text) for text in inputs)
        return NewSession(session, self.key.id, {"who": "Ada"}, None, agent_type)

    async def open_session(self, *inputs: str, **members: Any) -> StoredSession:
        new = self.new_session(*inputs, **members)
        await self.store.sessions.create(new)
        return await self.store.sessions.find(self.scope, new.session.id)

    async def history(self, chat: StoredChat) -> list[str]:
        """The context that a chat leaves."""
        return texts(await self.store.chats.history(chat))

    async def rows(self, table: str) -> int:
        return await self._number(f"SELECT count(*) FROM {table}")

    async def threads(self) -> int:
        """How many threads hold messages."""
        return await self._number("SELECT count(DISTINCT thread_id) FROM messages")

    async def _number(self, sql: str) -> int:
        return await self.store.database.read(lambda connection: connection.execute(sql).fetchone()[0])
