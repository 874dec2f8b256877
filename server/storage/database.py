"""What storage needs of a database: an interface that `sqlite/` and `postgres/` keep. Holds no SQL.

All SQL of the other modules is for both. It is called in works: callbacks that get a connection, do not
await, and are run where and when the engine sees fit; after a conflict with another transaction PostgreSQL
runs a work again, from its start.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager
from contextvars import ContextVar
from typing import Any, NamedTuple, Protocol, TypeVar

T = TypeVar("T")


class DatabaseError(Exception):
    """The database cannot be used at all; the text says why and what to do."""


class Column(NamedTuple):
    """A column of a table."""

    name: str
    type: str
    """TEXT, INTEGER, REAL or BLOB."""
    is_required: bool
    """Whether a new row must have it."""


class Cursor(Protocol):
    """What a statement found or did. It may run only when this is asked."""

    @property
    def rowcount(self) -> int: ...

    def fetchone(self) -> Any: ...

    def fetchall(self) -> list[Any]: ...

    def __iter__(self) -> Iterator[Any]: ...


class Connection(Protocol):
    """What works are given. Parameters are `?` or `?1`, `?2`, …"""

    def execute(self, sql: str, parameters: Sequence[Any] = (), /) -> Cursor: ...

    def executemany(self, sql: str, parameters: Iterable[Sequence[Any]], /) -> Any: ...

    def lock(self, name: str) -> None:
        """Wait for the transactions that locked this name before; until this one ends, others wait for it."""
        ...

    def columns(self, table: str) -> list[Column]: ...


class Snapshot(Protocol):
    """The database as it was when this was opened."""

    async def run(self, work: Callable[[Connection], T]) -> T:
        """Run `work`, which only reads."""
        ...


class Database(Protocol):
    watch: Callable[[bool], None]
    """Told, in whatever thread, when writes begin to fail whoever asks for them, and when they succeed
    again."""

    async def read(self, work: Callable[[Connection], T], *, long: bool = False) -> T:
        """Run `work`, which only reads, and unless it is `long`, mostly for less than a millisecond.

        It may be run twice, the first time not to its end: what it changes of its own it changes when it has
        read all.
        """
        ...

    async def write(
        self,
        work: Callable[[Connection], T],
        *,
        erases: bool = False,
        brief: bool = False,
        line: str | None = None,
    ) -> T:
        """Run `work` in a write transaction and return its result once that is on disk.

        Writes of one `line` are done in the order in which they were asked for. `brief` is said of works that
        write a few rows by their keys: an engine that runs in this process may run them in the event loop.

        What `work` raises undoes its changes. What a write that `erases` deletes is overwritten if the engine
        can do that.
        """
        ...

    def snapshot(self) -> AbstractAsyncContextManager[Snapshot]:
        """The database as it is now, for reads that take long: `async with database.snapshot() as
        snapshot`."""
        ...

    async def vacuum(self) -> None:
        """Leave no trace of what was deleted."""
        ...

    async def aclose(self) -> None:
        """Finish the writes that wait, then close. May be called twice."""
        ...


# Not an argument: whichever write comes first must not be made without it, and between the two are all the
# floors.
also: ContextVar[Callable[[Connection], None] | None] = ContextVar("also", default=None)
"""What every write of a task does besides, in the same transaction."""


def with_also(work: Callable[[Connection], T]) -> Callable[[Connection], T]:
    """The work, and before it what this task's writes do besides."""
    besides = also.get()
    if besides is None:
        return work

    def both(connection: Connection) -> T:
        besides(connection)
        return work(connection)

    return both
