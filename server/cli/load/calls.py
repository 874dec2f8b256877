"""What a call of a load is, whichever door it goes through: its answer, how it fails, what it continues."""

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

from server.cli.load.plan import TURNS_OF_A_SESSION

Clock = Callable[[], float]
CONNECTION, TIMEOUT, SHED, CUT, INCOMPLETE, ANSWER, UNSENT = (
    "connection",
    "timeout",
    "shed",
    "cut",
    "incomplete",
    "answer",
    "unsent",
)
"""Kinds of errors beside `http` and `grpc`, which are every other status."""

_TOGETHER_SECONDS = 0.001


class Failed(Exception):
    """A call that was not answered as it should be: the kind of the error, its code, and an example."""

    def __init__(self, kind: str, code: object = "", message: str = "") -> None:
        super().__init__(message)
        self.kind, self.code, self.message = kind, str(code), message[:300]


@dataclass
class Answer:
    """When the text of an answer arrived. Text that arrives together, within a millisecond, is one arrival:
    gaps of nothing would hide what a reader waits for."""

    first: float | None = None
    gaps: list[float] = field(default_factory=list)
    _last: float = 0.0

    def arrived(self, at: float) -> None:
        """Note that text has arrived."""
        if self.first is None:
            self.first = self._last = at
        elif at - self._last >= _TOGETHER_SECONDS:
            self.gaps.append(at - self._last)
            self._last = at


class Caller(Protocol):
    """Makes calls through one door."""

    async def call(self, kind: str, text: str) -> Answer:
        """Make one call and read its answer to the end. Raises Failed."""
        ...

    async def aclose(self) -> None:
        """Close the connections."""
        ...


class Conversations:
    """What calls of one load can go on with: chats to read, sessions that are free for a turn."""

    def __init__(self) -> None:
        self._chats: deque[str] = deque(maxlen=1000)
        self._sessions: deque[tuple[str, int]] = deque()

    def made(self, chat_id: str) -> None:
        """Keep a chat for later calls to read; an id that is empty is none."""
        if chat_id:
            self._chats.append(chat_id)

    def chat(self) -> str:
        """Return a chat to read, each in its turn. Raises Failed when there is none."""
        if not self._chats:
            raise Failed(ANSWER, "no chat", "no chat has been made that could be read")
        self._chats.rotate()
        return self._chats[0]

    def session(self) -> tuple[str, int] | None:
        """Take a free session with the number of its turns; None when a new one has to be made."""
        return self._sessions.popleft() if self._sessions else None

    def turned(self, session_id: str, turns: int) -> None:
        """Give a session back after a turn, unless it has had all of its turns."""
        if turns < TURNS_OF_A_SESSION:
            self._sessions.append((session_id, turns))


def check_ended(error: Any) -> None:
    """Raise Failed for the error of an answer that is on record as incomplete."""
    if error:
        about = error if isinstance(error, dict) else {"message": str(error)}
        raise Failed(INCOMPLETE, about.get("code") or "", str(about.get("message") or ""))


now: Clock = time.perf_counter
