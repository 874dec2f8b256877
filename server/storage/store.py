"""The store: every noun's storage over one database. Opens and closes; holds no SQL."""

import os
import secrets
from dataclasses import dataclass
from pathlib import Path

from server.clock import Clock, now_ms
from server.storage.assistants import Assistants
from server.storage.backups import DATABASE, SECRET
from server.storage.chats import Chats
from server.storage.database import Database, DatabaseError
from server.storage.file_peers import FilePeers
from server.storage.idempotency import IdempotencyKeys
from server.storage.keys import Keys
from server.storage.outbox import Outbox
from server.storage.peers import Peers
from server.storage.sessions import Sessions
from server.storage.squads import Squads
from server.storage.tools import Tools
from server.storage.upgrades import bring_up_to_date
from server.storage.usage import Usage


@dataclass(frozen=True, slots=True)
class Store:
    database: Database
    keys: Keys
    assistants: Assistants
    squads: Squads
    tools: Tools
    sessions: Sessions
    chats: Chats
    idempotency: IdempotencyKeys
    usage: Usage
    outbox: Outbox
    peers: Peers

    def close(self) -> None:
        """Finish the writes that wait, then close the file."""
        self.database.close()
        self.peers.close()


def open_store(folder: Path, key_secret: str | None = None, clock: Clock = now_ms, *, checked: bool = False) -> Store:
    """The SQLite store in `folder`, made when it is new. Raises DatabaseError when the file cannot be used.

    `checked` says that another process has just looked whether the file is sound.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DatabaseError(f"the folder {folder} cannot be made: {error.strerror}") from None
    path = folder / DATABASE
    database = Database(path)
    try:
        if not checked:
            database.check()
        bring_up_to_date(database, path)
        secret = key_secret.encode() if key_secret else _kept_secret(folder / SECRET)
    except BaseException:
        database.close()
        raise
    outbox, peers = Outbox(database, clock), FilePeers(folder / "run" / "peers")
    return Store(database, Keys(database, secret, clock), Assistants(database, clock), Squads(database, clock),
                 Tools(database, clock), Sessions(database, clock, outbox), Chats(database, outbox),
                 IdempotencyKeys(database, clock, peers), Usage(database), outbox, peers)


def _kept_secret(path: Path) -> bytes:
    """The secret of the key digests, made on first use; readable by its owner only."""
    if not path.exists():
        new = path.with_suffix(".new")
        with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            file.write(secrets.token_bytes(32))
            file.flush()
            os.fsync(file.fileno())  # without it every key is lost: a power cut may leave an empty file
        new.rename(path)
    return path.read_bytes()
