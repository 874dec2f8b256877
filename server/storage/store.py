"""The store: every noun's storage over one database. Opens and closes; holds no SQL."""

import secrets
from dataclasses import dataclass
from pathlib import Path

from server.clock import Clock, now_ms
from server.storage.assistants import Assistants
from server.storage.chats import Chats
from server.storage.database import Database
from server.storage.keys import Keys
from server.storage.migrations import migrate
from server.storage.outbox import Outbox
from server.storage.sessions import Sessions
from server.storage.squads import Squads


@dataclass(frozen=True, slots=True)
class Store:
    database: Database
    keys: Keys
    assistants: Assistants
    squads: Squads
    sessions: Sessions
    chats: Chats
    outbox: Outbox

    def close(self) -> None:
        """Finish the writes that wait, then close the file."""
        self.database.close()


def open_store(folder: Path, key_secret: str | None = None, clock: Clock = now_ms) -> Store:
    """The SQLite store in `folder`, made when it is new. Raises DatabaseError when the file cannot be used."""
    folder.mkdir(parents=True, exist_ok=True)
    database = Database(folder / "parley.db")
    database.check()
    database.migrate(migrate)
    secret = key_secret.encode() if key_secret else _kept_secret(folder / "key-secret")
    outbox = Outbox(database, clock)
    return Store(database, Keys(database, secret, clock), Assistants(database, clock), Squads(database, clock),
                 Sessions(database, clock, outbox), Chats(database, outbox), outbox)


def _kept_secret(path: Path) -> bytes:
    """The secret of the key digests, made on first use; readable by its owner only."""
    if not path.exists():
        path.touch(mode=0o600)
        path.write_bytes(secrets.token_bytes(32))
    return path.read_bytes()
