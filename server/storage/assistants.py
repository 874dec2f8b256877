"""Assistants, stored as the JSON document that was sent."""

from server.core.clock import Clock
from server.storage.database import Database
from server.storage.documents import Documents


class Assistants(Documents):
    """The stored assistants."""

    def __init__(self, database: Database, clock: Clock) -> None:
        super().__init__(database, clock, "assistants", "assistant")
