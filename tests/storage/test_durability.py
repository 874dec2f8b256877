"""kill -9 while writes are acknowledged: nothing that was told is lost, and the file is whole."""

import random
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ROUNDS = 15
WRITER = """
import asyncio, sys
from pathlib import Path
from server.storage.sqlite.database import SqliteDatabase

async def main():
    database = SqliteDatabase(Path(sys.argv[1]))
    database.migrate(lambda connection: connection.execute(
        "CREATE TABLE IF NOT EXISTS said (n INTEGER PRIMARY KEY, text TEXT NOT NULL)"))
    number = 1 + database.reader.execute("SELECT coalesce(max(n), 0) FROM said").fetchone()[0]
    async def say(n):
        await database.write(lambda connection: connection.execute("INSERT INTO said VALUES (?, ?)", [n, "x" * 700]))
        print(n, flush=True)
    while True:
        await asyncio.gather(*(say(n) for n in range(number, number + 8)))
        number += 8

asyncio.run(main())
"""


@pytest.mark.timeout(120)
def test_kill_9_loses_nothing_that_was_acknowledged(tmp_path):
    path = tmp_path / "killed.db"
    points = random.Random(9)
    acknowledged = set()

    for _ in range(ROUNDS):
        acknowledged |= killed_after(points.randrange(1, 120), path)
        with closing(sqlite3.connect(path)) as connection:
            stored = {row[0] for row in connection.execute("SELECT n FROM said")}
            assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert acknowledged <= stored

    assert len(acknowledged) > ROUNDS


def killed_after(lines, path):
    """What a writer acknowledged before it was killed, at that many lines."""
    with subprocess.Popen(
        [sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE, cwd=ROOT
    ) as writer:
        read = [writer.stdout.readline() for _ in range(lines)]
        writer.kill()
        read += writer.stdout.readlines()
    return {int(line) for line in read if line.endswith(b"\n")}
