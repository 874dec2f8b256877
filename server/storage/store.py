"""The store: every noun's storage over one database. Opens and closes; holds no SQL but that of the key
secret."""

import contextlib
import os
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from server.core.clock import Clock, now_ms
from server.storage.assistants import Assistants
from server.storage.chats import Chats
from server.storage.completions import Completions
from server.storage.database import Connection, Database, DatabaseError
from server.storage.idempotency import IdempotencyKeys
from server.storage.keys import Keys
from server.storage.orgs import Orgs
from server.storage.outbox import Compose, Outbox
from server.storage.peers import Peers
from server.storage.postgres import migrations as postgres_migrations
from server.storage.sessions import Sessions
from server.storage.sqlite.backups import DATABASE, SECRET
from server.storage.sqlite.database import LARGE, SqliteDatabase
from server.storage.sqlite.file_peers import FilePeers
from server.storage.sqlite.modes import make_private, write_private
from server.storage.sqlite.sums import check_sums
from server.storage.sqlite.upgrades import bring_up_to_date
from server.storage.sqlite.wal import check_log
from server.storage.squads import Squads
from server.storage.tools import Tools
from server.storage.usage import Usage

if TYPE_CHECKING:  # an extra
    from server.storage.postgres.database import PostgresDatabase


@dataclass(frozen=True, slots=True)
class Store:
    """The repositories of one database."""

    database: Database
    orgs: Orgs
    keys: Keys
    assistants: Assistants
    squads: Squads
    tools: Tools
    sessions: Sessions
    chats: Chats
    completions: Completions
    idempotency: IdempotencyKeys
    usage: Usage
    outbox: Outbox
    peers: Peers
    clock: Clock

    @classmethod
    def of(cls, database: Database, key_secret: bytes, clock: Clock, peers: Peers) -> "Store":
        """Return the store of a database."""
        outbox = Outbox(database, clock)
        return cls(
            database,
            Orgs(database, clock),
            Keys(database, key_secret, clock, peers),
            Assistants(database, clock),
            Squads(database, clock),
            Tools(database, clock),
            Sessions(database, clock, outbox),
            Chats(database, outbox),
            Completions(database),
            IdempotencyKeys(database, clock, peers),
            Usage(database),
            outbox,
            peers,
            clock,
        )

    def announcing_with(self, compose: Compose) -> "Store":
        """Return the same store for a server: it writes the deliveries that `compose` makes of each change to
        its outbox."""
        outbox = Outbox(self.database, self.clock, compose)
        return replace(
            self,
            outbox=outbox,
            sessions=Sessions(self.database, self.clock, outbox),
            chats=Chats(self.database, outbox),
        )

    async def aclose(self) -> None:
        """Finish the writes that wait, then close the database."""
        await self.peers.aclose()
        await self.database.aclose()

    def close(self) -> None:
        """Finish the waiting writes and close the database without awaiting, for SQLite."""
        assert isinstance(self.database, SqliteDatabase) and isinstance(self.peers, FilePeers)
        self.database.close()
        self.peers.close()


@asynccontextmanager
async def opened(
    folder: Path,
    url: str | None = None,
    key_secret: str | None = None,
    connections: int = 10,
    *,
    checked: bool = False,
    creates: bool = True,
) -> AsyncIterator[Store]:
    """Open the PostgreSQL store at `url`, or else the SQLite store in `folder`. Raises DatabaseError when it
    cannot be used.

    Without `creates` also when there is none: nothing is created then.
    """
    store = (
        open_store(folder, key_secret, checked=checked, creates=creates)
        if url is None
        else await connect_store(url, key_secret, connections, creates=creates)
    )
    try:
        yield store
    finally:
        await store.aclose()


def open_store(
    folder: Path,
    key_secret: str | None = None,
    clock: Clock = now_ms,
    *,
    checked: bool = False,
    creates: bool = True,
    large: int = LARGE,
) -> Store:
    """Open the SQLite store in `folder`, creating it if `creates`. Raises DatabaseError when it cannot be
    used.

    `checked` means that another process checks whether the file is sound. A file of more than `large` bytes
    is not read to its end for that, unless it has checksums.
    """
    path = folder / DATABASE
    if not creates and not path.is_file():
        raise DatabaseError(f"there is no database {path}; name the folder that `parley serve --data` has")
    make_private(folder)
    if not checked:
        check_sums(path)
        check_log(path)
    database = SqliteDatabase(path)
    try:
        if not checked:
            database.check(large)
        bring_up_to_date(database, path)
        secret = key_secret.encode() if key_secret else _stored_secret(folder / SECRET)
        return Store.of(database, secret, clock, FilePeers(folder / "run" / "peers"))
    except BaseException:
        database.close()
        raise


async def connect_store(
    url: str,
    key_secret: str | None = None,
    connections: int = 10,
    clock: Clock = now_ms,
    *,
    creates: bool = True,
) -> Store:
    """Open the PostgreSQL store at `url`, creating its tables unless `creates` is false.

    Raises DatabaseError when it cannot be reached or used.
    """
    database = await connect_database(url, connections, creates=creates)
    try:
        if await database.read(postgres_migrations.is_moving):
            raise DatabaseError(
                "a move into this database is under way or broke off; run `parley migrate-store` to its end"
            )
        secret = key_secret.encode() if key_secret else await database.write(_shared_secret)
        from server.storage.postgres.peers import PostgresPeers

        return Store.of(database, secret, clock, PostgresPeers(url))
    except BaseException:
        await database.aclose()
        raise


async def connect_database(url: str, connections: int, *, creates: bool = True) -> "PostgresDatabase":
    """The PostgreSQL database at `url`, brought up to date. Raises DatabaseError when it cannot be reached or
    used."""
    try:
        from server.storage.postgres.database import PostgresDatabase
    except ImportError:
        raise DatabaseError("PostgreSQL needs an extra: install parley-server[postgres]") from None
    database = await PostgresDatabase.connect(url, connections)
    try:
        if not creates and not await database.read(postgres_migrations.has_tables):
            raise DatabaseError(
                "the PostgreSQL database has no tables of parley; name the one that "
                "`parley serve --database` has"
            )
        await database.migrate(postgres_migrations.migrate)
    except BaseException:
        await database.aclose()
        raise
    return database


def _shared_secret(connection: Connection) -> bytes:
    """Return the secret of the key digests, created on first use; in the database, since every server needs
    the same one."""
    connection.lock("key secret")
    row = connection.execute("SELECT secret FROM key_secret").fetchone()
    if row is None:
        row = (secrets.token_bytes(32),)
        connection.execute("INSERT INTO key_secret (secret) VALUES (?)", row)
    secret: bytes = row[0]
    return secret


def _stored_secret(path: Path) -> bytes:
    """Return the secret of the key digests, created on first use; readable by its owner only.

    Of several processes that create it at once the first one wins: keys digested with another secret would be
    lost.
    """
    if not path.exists():
        new = path.with_name(f"{path.name}.{secrets.token_hex(8)}.new")
        write_private(new, secrets.token_bytes(32))
        with contextlib.suppress(FileExistsError):
            os.link(new, path)
        new.unlink()
    return path.read_bytes()
