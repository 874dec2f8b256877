"""What operators are to see of one call, noted where it becomes known: by whoever authenticates it, and by the engine.

A call's log line, the other log lines that it causes, and its span are made of these. Holds no text of callers
but ids."""

from contextvars import ContextVar

from server.core.telemetry.tracing import Span


class CallNotes:
    """The notes of one call. What is not known, or does not apply, is None."""

    __slots__ = (
        "_has_tokens",
        "chat",
        "completion_tokens",
        "failure",
        "org",
        "prompt_tokens",
        "request_id",
        "span",
        "started",
    )

    def __init__(self, request_id: str, started: float) -> None:
        self.request_id = request_id
        self.started = started
        """As `time.perf_counter` has it."""
        self.org: str | None = None
        self.chat: str | None = None
        self.prompt_tokens: int | None = None
        self.completion_tokens: int | None = None
        self.failure: str | None = None
        """The code of the error of an exchange that is recorded as incomplete or failed: its call may be OK."""
        self.span: Span | None = None
        """Where the server makes traces."""
        self._has_tokens = False

    def begin_tokens(self) -> bool:
        """Return whether no token of the call has come before; from now on one has."""
        is_first, self._has_tokens = not self._has_tokens, True
        return is_first


# A context variable, because an exchange goes on in tasks of its own, and providers know nothing of calls.
_current: ContextVar[CallNotes | None] = ContextVar("call_notes", default=None)


def enter(notes: CallNotes) -> None:
    """Make these the notes of what this task does, and of the tasks that it starts."""
    _current.set(notes)


def current_notes() -> CallNotes | None:
    """Return the notes of the call that this task works for; None for work of the server's own."""
    return _current.get()


def note_org(org: str) -> None:
    """Note whose call the current one is."""
    if notes := _current.get():
        notes.org = org


def note_chat(chat_id: str) -> None:
    """Note the chat of the exchange that the current call runs."""
    if notes := _current.get():
        notes.chat = chat_id


def note_outcome(prompt_tokens: int, completion_tokens: int, failure: str | None) -> None:
    """Note what the exchange of the current call came to."""
    if notes := _current.get():
        notes.prompt_tokens, notes.completion_tokens, notes.failure = (
            prompt_tokens,
            completion_tokens,
            failure,
        )
