"""How a command works on the store that its settings name, and `parley vacuum`, which does nothing else."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import TypeVar

import click

from server.cli.console import fail, json_option, show, where
from server.core.config import Settings
from server.core.errors import ServiceError
from server.storage.database import DatabaseError
from server.storage.store import Store, opened

T = TypeVar("T")


def opened_store(
    settings: Settings, *, checked: bool = False, creates: bool = True
) -> AbstractAsyncContextManager[Store]:
    """The store that the settings name; `checked` and `creates` as `open_store` has them."""
    return opened(
        settings.data,
        settings.database,
        settings.key_secret,
        settings.database_connections,
        checked=checked,
        creates=creates,
    )


def with_store(settings: Settings, use: Callable[[Store], Awaitable[T]], *, creates: bool = False) -> T:
    """Return the result of `use` with the store. A missing store is created only if `creates`."""

    async def run() -> T:
        async with opened_store(settings, creates=creates) as store:
            return await use(store)

    try:
        return asyncio.run(run())
    except (ServiceError, DatabaseError) as error:
        fail(str(error))


@click.command()
@where
@json_option
def vacuum(settings: Settings, as_json: bool) -> None:
    """Write the database file anew, so that no trace of what was deleted is left in it. Best while not
    serving.

    PostgreSQL gives the room of deleted rows free again, and overwrites them when it is used.
    """

    async def run(store: Store) -> None:
        await store.database.vacuum()

    with_store(settings, run)
    show({"vacuumed": True}, as_json, "vacuumed")
