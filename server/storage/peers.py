"""The other servers on the same database: locks that end with the process that holds them, and notifications
between servers.

An interface only. `FilePeers` implements it for processes that share one SQLite file, `PostgresPeers` for
servers that share a PostgreSQL database.
"""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol


class Peers(Protocol):
    """The peers of a server. Every name is a short ASCII string, such as `turn:<session id>` or `chat:<id>`."""

    async def try_lock(self, name: str) -> bool:
        """Acquire a lock that no server holds, this one included; False when it is held. It ends with the
        process at the latest."""
        ...

    async def unlock(self, name: str) -> None:
        """Release a lock that this server holds; other servers acquire it soon after. Never fails."""
        ...

    def notify(self, topic: str) -> None:
        """Notify every server, this one included. A notification can be lost, so listeners also check now and
        then."""
        ...

    async def aclose(self) -> None:
        """Release everything. May be called twice."""
        ...

    def on_word(self, topic: str, received: Callable[[], object]) -> AbstractContextManager[None]:
        """While this is entered, `received` is called in the loop at every notification of `topic`, from any
        server."""
        ...

    def listen(self, topic: str) -> AbstractContextManager[asyncio.Event]:
        """Return an event that is set at every notification of `topic`, from any server."""
        ...


class Words:
    """The listeners of this process by topic; the common part of the implementations of `Peers`."""

    def __init__(self) -> None:
        self._listeners: dict[str, set[Callable[[], object]]] = {}

    @contextmanager
    def on_word(self, topic: str, received: Callable[[], object]) -> Iterator[None]:
        """As in `Peers`."""
        self._listeners.setdefault(topic, set()).add(received)
        try:
            yield
        finally:
            self._listeners[topic].discard(received)
            if not self._listeners[topic]:
                del self._listeners[topic]

    @contextmanager
    def listen(self, topic: str) -> Iterator[asyncio.Event]:
        """As in `Peers`."""
        received = asyncio.Event()
        with self.on_word(topic, received.set):
            yield received

    def hear(self, topic: str) -> None:
        """Call the listeners of a topic."""
        for received in tuple(self._listeners.get(topic, ())):
            received()

    def hear_all(self) -> None:
        """Call all listeners: any notification may have been missed."""
        for topic in tuple(self._listeners):
            self.hear(topic)
