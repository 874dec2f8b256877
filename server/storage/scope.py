"""Scope of the records that a call may see. Every WHERE checks ownership; nothing is loaded first and checked
afterwards."""

from typing import NamedTuple


class Scope(NamedTuple):
    """An org, and for a publishable key the one key whose chats and sessions it may see."""

    org_id: str
    key_id: str | None = None

    def where(self) -> tuple[str, list[str]]:
        """Return the SQL condition on `org_id` and `key_id`, and its parameters."""
        if self.key_id is None:
            return "org_id = ?", [self.org_id]
        return "org_id = ? AND key_id = ?", [self.org_id, self.key_id]
