"""Tools, stored as the JSON document that was sent."""

from server.core.clock import Clock
from server.storage.database import Database
from server.storage.documents import Documents


class Tools(Documents):
    """The stored tools."""

    def __init__(self, database: Database, clock: Clock) -> None:
        super().__init__(database, clock, "tools", "tool")
