"""Exchanges that are stored nowhere and can be continued all the same, by the connection that ran them.

Each connection has its latest one. All of them share a bound of bytes: beyond it the key that has most loses its
oldest, whose callers then send the whole conversation again. Runs nothing and stores nothing.
"""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from generated.parley.v1.chat_pb2 import Chat
from generated.parley.v1.chat_record_pb2 import ConversationState
from generated.parley.v1.message_pb2 import Message
from server.storage import threads

MOST_BYTES = 256 << 20
"""Bytes in one server process: sixteen of the longest contexts, and some hundred thousand ordinary ones."""


@dataclass(frozen=True, slots=True)
class Remembered:
    """An exchange with everything that the next one continues from."""

    chat: Chat
    """Its id, and who answered."""
    private: dict[str, Any] | None
    """As in `StoredChat`."""
    state: ConversationState | None
    messages: Sequence[Message]
    """The whole context, the answer included."""
    size: int

    @classmethod
    def of(
        cls,
        chat: Chat,
        private: dict[str, Any] | None,
        state: ConversationState | None,
        context: Sequence[Message],
        answered: Sequence[Message],
        before: "Remembered | None",
    ) -> "Remembered":
        """Return what an exchange leaves. `context` is what its model was given, the messages of `before` first;
        what it answered is copied, since the same messages are about to be shown to callers."""
        remembered = Chat(id=chat.id)
        for name in ("assistant_id", "squad_id"):
            if chat.HasField(name):
                setattr(remembered, name, getattr(chat, name))
        for name in ("assistant", "squad", "assistant_overrides"):
            if chat.HasField(name):
                getattr(remembered, name).CopyFrom(getattr(chat, name))
        begun, size = (len(before.messages), before.size) if before is not None else (0, 0)
        size += threads.size_of(context[begun:]) + threads.size_of(answered)
        return cls(remembered, private, state, [*context, *map(_copy, answered)], size)


class _Entry(NamedTuple):
    key_id: str
    remembered: Remembered


class Memory:
    """The latest exchange of each connection; `most_bytes` of all together."""

    def __init__(self, most_bytes: int = MOST_BYTES) -> None:
        self._most_bytes = most_bytes
        self._entries: OrderedDict[object, _Entry] = OrderedDict()
        """By connection, the one that has not been used for longest first."""
        self._sizes: dict[str, int] = {}
        """By key."""
        self._size = 0

    def put(self, connection: object, key_id: str, remembered: Remembered) -> None:
        """Remember the latest exchange of a connection instead of the one before."""
        self.forget(connection)
        if remembered.size > self._most_bytes:
            return
        self._entries[connection] = _Entry(key_id, remembered)
        self._add(key_id, remembered.size)
        while self._size > self._most_bytes:
            self.forget(self._oldest_of(max(self._sizes, key=lambda one: self._sizes[one])))

    def of(self, connection: object, chat_id: str | None) -> Remembered | None:
        """Return the latest exchange of a connection when it has this id."""
        entry = self._entries.get(connection)
        return entry.remembered if entry is not None and entry.remembered.chat.id == chat_id else None

    def forget(self, connection: object) -> None:
        """Remember nothing of a connection any more."""
        entry = self._entries.pop(connection, None)
        if entry is not None:
            self._add(entry.key_id, -entry.remembered.size)

    def _add(self, key_id: str, size: int) -> None:
        self._size += size
        self._sizes[key_id] = self._sizes.get(key_id, 0) + size
        if not self._sizes[key_id]:
            del self._sizes[key_id]

    def _oldest_of(self, key_id: str) -> object:
        return next(connection for connection, entry in self._entries.items() if entry.key_id == key_id)


def _copy(message: Message) -> Message:
    copy = Message()
    copy.CopyFrom(message)
    return copy
