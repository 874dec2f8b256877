"""Squads, stored as the JSON document that was sent."""

from server.core.clock import Clock
from server.storage.database import Database
from server.storage.documents import Documents


class Squads(Documents):
    """The stored squads."""

    def __init__(self, database: Database, clock: Clock) -> None:
        super().__init__(database, clock, "squads", "squad")
