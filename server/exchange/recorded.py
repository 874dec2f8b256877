"""Reads from the record an exchange that an earlier call ran under the same Idempotency-Key. Stores no
key."""

from server.exchange.replay import Replay
from server.storage.chats import Chats
from server.storage.idempotency import current_claim, lost
from server.storage.scope import Scope

_BROKEN_OFF = frozenset(
    {"client_disconnected", "client_stalled", "server_stopped", "cancelled", "internal_error"}
)


def on_record() -> bool:
    """Whether an earlier call under this call's key has done the work."""
    claim = current_claim()
    return claim is not None and claim.record is not None


async def recorded(chats: Chats, scope: Scope) -> Replay:
    """Return the exchange that an earlier call ran under this call's key.

    Raises AnswerLost when the exchange is gone or was broken off, since a partial answer would pass for the
    whole one, and when the record is not an exchange.
    """
    claim = current_claim()
    assert claim is not None and claim.record is not None
    record = claim.record
    noun, _, chat_id = record.partition(" ")
    if noun != "chat":
        raise lost(record)
    stored = await chats.find(scope, chat_id)
    if not stored.is_over or stored.chat.error.code in _BROKEN_OFF:
        raise lost(record)
    return Replay.of(await chats.whole(stored), stored.record)


class Recorded:
    """`recorded`, read like a LiveExchange: `async with Recorded(chats, scope) as stream`."""

    def __init__(self, chats: Chats, scope: Scope) -> None:
        self._chats = chats
        self._scope = scope

    async def __aenter__(self) -> Replay:
        return await recorded(self._chats, self._scope)

    async def __aexit__(self, *_: object) -> None:
        pass
