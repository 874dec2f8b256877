"""`parley doctor`: one line for each thing that a server needs, with the remedy, as a real process."""

import json
import socket
import sqlite3
from contextlib import closing

from server.cli import checks
from server.core.config import Settings
from server.storage.store import open_store
from tests.commands import Commands
from tests.processes import Ended, Serving, free_address, run

NAMES = ["python", "platform", "envoy", "http port", "grpc port", "data folder", "disk space"]


def found(ended: Ended) -> dict[str, dict[str, str]]:
    return {one["name"]: one for one in json.loads(ended.out)["checks"]}


def ports() -> list[str]:
    return ["--http", free_address(), "--grpc", free_address()]


async def test_machine_that_serves_is_well(tmp_path):
    ended = await run("parley", "doctor", "--data", tmp_path / "new", *ports(), OPENAI_API_KEY="sk-1")
    lines = [line for line in ended.out.splitlines() if not line.startswith(" ")]

    assert (ended.code, ended.err) == (0, "")
    assert [line[6:19].strip() for line in lines[:-1]] == [
        *NAMES,
        *("sqlite", "database", "clock", "providers", "open files"),
    ]
    assert "ok    database     " in ended.out and "none yet; the first start makes it" in ended.out
    assert "ok    providers    openai" in ended.out
    assert lines[-1].startswith("0 failed, ")
    assert list(tmp_path.iterdir()) == []


async def test_file_of_settings_that_is_named_is_checked(tmp_path):
    (file := tmp_path / "other.toml").write_text("workers = 0\n")

    ended = await run("parley", "doctor", "--config", file)

    assert ended.code == 1
    assert f"fail  settings     {file}:1: workers: " in ended.out


async def test_server_that_runs_is_no_trouble(tmp_path):
    async with Serving(tmp_path / "data") as parley:
        before = {path.name for path in parley.data.iterdir()}
        ended = await run(
            "parley", "doctor", "--data", parley.data, "--http", parley.http, "--grpc", parley.grpc, "--json"
        )
        after = {path.name for path in parley.data.iterdir()}

    assert ended.code == 0 and before == after
    assert found(ended)["http port"]["detail"] == f"{parley.http}: a server of parley runs here"
    assert found(ended)["grpc port"]["status"] == "ok"
    assert "up to date" in found(ended)["database"]["detail"]


async def test_each_failure_names_its_remedy_and_the_exit_code_says_so(tmp_path):
    (tmp_path / "file").write_text("")
    (tmp_path / "damaged").mkdir()
    (tmp_path / "damaged" / "parley.db").write_bytes(b"no database" * 1000)
    open_store(tmp_path / "newer").close()
    with closing(sqlite3.connect(tmp_path / "newer" / "parley.db")) as connection:
        connection.execute(
            "INSERT INTO _sqlite_migrations (migration_set, name, applied_at) "
            "SELECT migration_set, 'from_the_future', applied_at FROM _sqlite_migrations LIMIT 1"
        )
        connection.commit()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        async with Commands() as commands:
            port, folder, damaged, newer, wrong = await commands(
                ["doctor", "--json", "--data", tmp_path, "--http", address, "--grpc", free_address()],
                ["doctor", "--json", "--data", tmp_path / "file" / "data", *ports()],
                ["doctor", "--json", "--data", tmp_path / "damaged", *ports()],
                ["doctor", "--json", "--data", tmp_path / "newer", *ports()],
                ["doctor", "--json", "--http", "nowhere"],
            )

    assert [ended.code for ended in (port, folder, damaged, newer, wrong)] == [1] * 5
    assert found(port)["http port"]["status"] == "fail"
    assert "--http HOST:PORT (PARLEY_HTTP)" in found(port)["http port"]["remedy"]
    assert "--data (PARLEY_DATA)" in found(folder)["data folder"]["remedy"]
    assert "`parley restore FILE --replace`" in found(damaged)["database"]["remedy"]
    assert "is of a newer version of parley" in found(newer)["database"]["detail"]
    assert "--http: 'nowhere' is not HOST:PORT" in found(wrong)["settings"]["detail"]


async def test_postgresql_is_reached_and_not_changed(postgres, tmp_path):
    url = postgres.new_database()
    async with Commands() as commands:
        there, away = await commands(
            ["doctor", "--json", "--data", tmp_path, "--database", url, *ports()],
            ["doctor", "--json", "--data", tmp_path, "--database", "postgresql://u:hunter2@127.0.0.1:1/x"],
        )

    assert found(there)["database"]["detail"] == "PostgreSQL: none yet; the first start makes it"
    assert postgres.run("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'", url) == [(0,)]
    assert "sqlite" not in found(there)
    assert found(away)["database"]["status"] == "fail"
    assert "hunter2" not in away.out + away.err


def test_few_files_and_little_room_are_noticed(monkeypatch, tmp_path):
    monkeypatch.setattr(checks.resource, "getrlimit", lambda _: (100, 1000))
    monkeypatch.setattr(checks.shutil, "disk_usage", lambda _: checks.shutil._ntuple_diskusage(1, 1, 1 << 20))
    by_name = {one.name: one for one in checks.of(Settings(data=tmp_path))}

    assert (by_name["open files"].status, by_name["disk space"].status) == ("fail", "fail")
    assert "LimitNOFILE=65536" in (by_name["open files"].remedy or "")
    assert by_name["disk space"].detail.startswith("1 MiB free at ")
