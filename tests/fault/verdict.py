"""What is on record after a fault, compared with what was acknowledged before it."""

import sqlite3
from contextlib import closing
from pathlib import Path

from server.storage.sqlite.checking import findings
from tests.fault.trial import Trial
from tests.fault.writer import Acknowledged


def record(trial: Trial, folder: Path, acknowledged: Acknowledged) -> None:
    """Compare a folder with what its writers were told, and look whether the file is sound."""
    if found := findings(folder / "parley.db"):
        trial.record(wrong=found[0])
        return
    there = on_record(folder)
    trial.record(lost=len(acknowledged.there - there) + len(acknowledged.gone & there))


def on_record(folder: Path) -> set[str]:
    """The chats of a folder."""
    with closing(sqlite3.connect(folder / "parley.db")) as connection:
        return {row[0] for row in connection.execute("SELECT id FROM chats")}


def both(first: Acknowledged, second: Acknowledged) -> Acknowledged:
    return Acknowledged((first.there | second.there) - second.gone, first.gone | second.gone)
