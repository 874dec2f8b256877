"""What `parley chats tail` shows: the events of each chat as text, and one chat at a time."""

import time
from collections import OrderedDict
from collections.abc import Callable, Iterator

import click

from generated.parley.v1.chat_pb2 import Chat, ChatEvent, ToolCallDelta
from server.cli.tables import moment, printable
from server.cli.transcript import lines_of, models_of, outcome, own_input, tokens_of
from server.core.clock import ms_of

_SILENT_SECONDS = 3.0


class Screen:
    """Writes the text of many chats, one at a time: that of the others waits until it ends or is silent."""

    def __init__(self, write: Callable[[str], object], clock: Callable[[], float] = time.monotonic) -> None:
        self._write = write
        self._clock = clock
        self._shown: str | None = None
        self._at_line_start = True
        self._spoke_at = 0.0
        self._waiting: OrderedDict[str, list[str]] = OrderedDict()
        self._over: set[str] = set()

    def show(self, chat_id: str, text: str) -> None:
        """Write the text of a chat, or let it wait."""
        if not text:
            return
        if self._shown is None:
            self._shown = chat_id
        if self._shown == chat_id:
            self._print(text)
        else:
            self._waiting.setdefault(chat_id, []).append(text)

    def end(self, chat_id: str) -> None:
        """End a chat, and go on with one that waits."""
        if chat_id == self._shown:
            self._shown = None
            self._next()
        elif chat_id in self._waiting:
            self._over.add(chat_id)

    def hand_over(self) -> None:
        """Go on with a chat that waits when the one that is shown has been silent for long."""
        silent = self._shown
        if silent is None or not self._waiting or self._clock() - self._spoke_at < _SILENT_SECONDS:
            return
        self._print(_dim(f"{'' if self._at_line_start else chr(10)}… chat {silent} goes on below\n\n"))
        self._waiting[silent] = [_dim(f"── chat {silent} goes on\n")]
        self._shown = None
        self._next()

    def new_line(self) -> None:
        """Begin a line, for text that is no chat's."""
        if not self._at_line_start:
            self._print("\n")

    def _next(self) -> None:
        while self._waiting and self._shown is None:
            chat_id, texts = self._waiting.popitem(last=False)
            self._print("".join(texts))
            if chat_id in self._over:
                self._over.discard(chat_id)
            else:
                self._shown = chat_id

    def _print(self, text: str) -> None:
        self._write(text)
        self._at_line_start = text.endswith("\n")
        self._spoke_at = self._clock()


class EventText:
    """The events of one chat as text, each as soon as it is there."""

    def __init__(self, chat_id: str) -> None:
        self._chat_id = chat_id
        self._line = ""
        """What stands at the beginning of the line that is being written: a role, or a call's number."""

    def of(self, event: ChatEvent) -> str:
        """Return what an event adds to the text."""
        return "".join(self._parts(event))

    def _parts(self, event: ChatEvent) -> Iterator[str]:
        kind = event.WhichOneof("event")
        if kind == "started":
            yield _dim(_heading(event.started, event.model))
            yield from (f"{line}\n" for line in lines_of(own_input(event.started)))
        elif kind == "delta" and event.delta.choice == 0:
            yield from self._begin(f"text {event.delta.output_index}", "assistant: ")
            yield printable(event.delta.text)
        elif kind == "tool_call" and event.tool_call.choice == 0:
            yield from self._call(event.tool_call)
        elif kind == "round":
            yield from self._end_line()
            yield from (f"{line}\n" for line in lines_of(event.round.messages[1:]))
        elif kind in ("completed", "failed"):
            yield from self._end_line()
            yield _dim(f"── {_ending(event.completed if kind == 'completed' else event.failed)}\n\n")

    def _call(self, call: ToolCallDelta) -> Iterator[str]:
        yield from self._begin(
            f"call {call.output_index} {call.index}", f"assistant → {printable(call.name)}("
        )
        yield printable(call.arguments)

    def _begin(self, line: str, text: str) -> Iterator[str]:
        if self._line != line:
            yield from self._end_line()
            self._line = line
            yield text

    def _end_line(self) -> Iterator[str]:
        if self._line:
            yield ")\n" if self._line.startswith("call") else "\n"
            self._line = ""


def _heading(chat: Chat, model: str) -> str:
    session = f", session {chat.session_id}" if chat.HasField("session_id") else ""
    return f"── {moment(ms_of(chat.created_at))} chat {chat.id}{session}, {printable(model)}\n"


def _ending(chat: Chat) -> str:
    model = models_of(chat.costs)
    return (
        f"{outcome(chat)}, {tokens_of(chat.costs)} tokens, USD {chat.cost:.6f}{f', {model}' if model else ''}"
    )


def _dim(text: str) -> str:
    return click.style(text, dim=True)
