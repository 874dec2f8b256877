"""The other servers on the same database: locks that die with whoever holds them, and words passed between
servers.

A contract only. `FilePeers` keeps it for the processes that share one SQLite file, `PostgresPeers` for
servers that share a PostgreSQL database.
"""

import asyncio
from contextlib import AbstractContextManager
from typing import Protocol


class Peers(Protocol):
    """What a server knows of its peers. Every name is a short ASCII string, such as `turn:<session id>` or
    `chat:<id>`."""

    async def try_lock(self, name: str) -> bool:
        """Take a lock that no server holds, this one included; False when it is held. It ends with the
        process anyway."""
        ...

    async def unlock(self, name: str) -> None:
        """Let a lock go that this server holds."""
        ...

    def notify(self, topic: str) -> None:
        """Say a word to every server, this one included. May be lost: whoever waits for it also looks now and
        then."""
        ...

    async def aclose(self) -> None:
        """Let everything go. May be called twice."""
        ...

    def listen(self, topic: str) -> AbstractContextManager[asyncio.Event]:
        """An event that is set whenever the word is said, by whatever server."""
        ...
