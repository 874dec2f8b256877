"""The interface of a database, implemented in `sqlite/` and `postgres/`. Contains no SQL.

All SQL of the other modules runs on both. It is called in works: callbacks that receive a connection, do not
await, and run where and when the engine chooses; after a conflict with another transaction PostgreSQL runs a
work again from its start.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager
from contextvars import ContextVar
from typing import Any, NamedTuple, Protocol, TypeVar

T = TypeVar("T")


class DatabaseError(Exception):
    """The database cannot be used at all; the message gives the reason and the remedy."""


class Column(NamedTuple):
    """A column of a table."""

    name: str
    type: str
    """TEXT, INTEGER, REAL or BLOB."""
    is_required: bool
    """Whether a new row must have it."""


class Cursor(Protocol):
    """The result of a statement, which may run only when the result is requested."""

    @property
    def rowcount(self) -> int:
        """Number of rows that the statement found or changed."""

    def fetchone(self) -> Any:
        """Return the next row, or None."""

    def fetchall(self) -> list[Any]:
        """Return the remaining rows."""

    def __iter__(self) -> Iterator[Any]: ...


class Connection(Protocol):
    """The connection that works receive. Parameters are `?` or `?1`, `?2`, …"""

    def execute(self, sql: str, parameters: Sequence[Any] = (), /) -> Cursor:
        """Run one statement."""

    def executemany(self, sql: str, parameters: Iterable[Sequence[Any]], /) -> Any:
        """Run one statement for each of many sets of parameters."""

    def lock(self, name: str) -> None:
        """Wait for transactions that have locked this name; other transactions then wait until this one ends."""
        ...

    def columns(self, table: str) -> list[Column]:
        """Return the columns of a table."""


class Snapshot(Protocol):
    """The database as of the moment when this was opened."""

    async def run(self, work: Callable[[Connection], T]) -> T:
        """Run `work`, which only reads, and return its result."""
        ...


class Database(Protocol):
    """One database. Works run in transactions."""

    watch: Callable[[bool], None]
    """Called in any thread when all writes begin to fail, and when they succeed again."""

    measure: Callable[[int, float], None]
    """Told of each commit, in whatever thread: how many writes it had, and how many seconds it took."""

    @property
    def writes_waiting(self) -> int:
        """How many writes wait for a commit, or are in one."""
        ...

    async def read(self, work: Callable[[Connection], T], *, long: bool = False) -> T:
        """Run `work`, which only reads, and unless it is `long`, usually takes less than a millisecond.

        It may run twice, the first time not to its end: it must change its own state only after its last
        read.
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

        Writes of one `line` are made in the order of their calls. `brief` marks works that write a few rows
        by their keys: an engine that runs in this process may run them in the event loop.

        An exception of `work` undoes its changes. The text that a write with `erases` deletes is overwritten
        if the engine can do that.
        """
        ...

    def snapshot(self) -> AbstractAsyncContextManager[Snapshot]:
        """Open the database as of now, for long reads: `async with database.snapshot() as snapshot`."""
        ...

    async def vacuum(self) -> None:
        """Remove all traces of deleted rows."""
        ...

    async def aclose(self) -> None:
        """Finish the waiting writes, then close. May be called twice."""
        ...


# A context variable instead of an argument: the first write, whichever it is, must include it, and all layers
# lie between the two.
also: ContextVar[Callable[[Connection], None] | None] = ContextVar("also", default=None)
"""A function that every write of a task runs besides, in the same transaction."""


acting_for: ContextVar[str] = ContextVar("acting_for", default="")
"""The org whose call a task serves; empty for the server's own work. An engine may divide its means by it."""


def with_also(work: Callable[[Connection], T]) -> Callable[[Connection], T]:
    """Return a work that first runs the additional work of this task's writes, then `work`."""
    besides = also.get()
    if besides is None:
        return work

    def both(connection: Connection) -> T:
        besides(connection)
        return work(connection)

    return both
