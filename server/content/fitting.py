"""Fits answers into the 4 MiB that every gRPC client accepts by default, and lists the omitted parts in them.

The stored record is complete all the same. Creates no answer itself and reads no store; `budget.py` has the
limits.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial

from generated.parley.v1.chat_pb2 import Chat, ToolRound
from generated.parley.v1.message_pb2 import Message
from generated.parley.v1.session_pb2 import Session
from server.content.budget import MOST_BYTES, omit
from server.content.messages import text_of

_SECOND_NAME_BYTES = 256
"""Texts up to this length keep their second name: leaving it out would not help."""


def present(message: Message) -> Message:
    """Return a message as callers see it: its text under both documented names, without internal members."""
    message.ClearField("provider_state")
    message.ClearField("run_by_server")
    message.ClearField("calls_key")
    message.ClearField("reasoning")
    if not message.HasField("message"):
        message.message = text_of(message)
    return message


def presented(chat: Chat) -> Chat:
    """Return a stored chat as callers see it, complete."""
    for message in (*chat.messages, *chat.output):
        present(message)
    return chat


def fit(answer: Chat | Session) -> None:
    """Leave out members of a chat or session that do not fit, the least needed first, and name them in it."""
    if answer.ByteSize() <= MOST_BYTES:
        return
    for name, leave_out in _steps(answer):
        if leave_out():
            omit(answer, name)
        if answer.ByteSize() <= MOST_BYTES:
            return


def fit_page(chats: Sequence[Chat]) -> None:
    """Leave the second names of texts out of a page that does not fit with them, and name them in each chat."""
    if sum(chat.ByteSize() for chat in chats) <= MOST_BYTES:
        return
    for chat in chats:
        for name, messages in (("messages", chat.messages), ("output", chat.output)):
            if _leave_out_second_names(messages):
                omit(chat, f"{name}[].message")


def fit_round(round_: ToolRound) -> None:
    """Leave the second names of texts out of a round of tools that does not fit with them."""
    if round_.ByteSize() > MOST_BYTES:
        _leave_out_second_names(round_.messages)


def latest(messages: Sequence[Message]) -> Sequence[Message]:
    """Return as many of the last messages as an answer can contain at most."""
    left = MOST_BYTES
    for count, message in enumerate(reversed(messages)):
        left -= message.ByteSize()
        if left < 0:
            return messages[len(messages) - count :]
    return messages


def _steps(answer: Chat | Session) -> Iterator[tuple[str, Callable[[], bool]]]:
    yield "messages[].message", lambda: _leave_out_second_names(answer.messages)
    if isinstance(answer, Chat):
        yield "output[].message", lambda: _leave_out_second_names(answer.output)
    yield "messages", lambda: _leave_out_earlier(answer)
    for name in ("assistant", "squad", "assistant_overrides", "input", "metadata"):
        if field := answer.DESCRIPTOR.fields_by_name.get(name):
            yield field.json_name, partial(_clear, answer, name)
    if isinstance(answer, Chat):
        # of a chat that was created before answers were bounded
        yield "output", lambda: _clear(answer, "output")


def _leave_out_second_names(messages: Iterable[Message]) -> bool:
    found = [message for message in messages if len(message.message) > _SECOND_NAME_BYTES]
    for message in found:
        message.ClearField("message")
    return bool(found)


def _leave_out_earlier(answer: Chat | Session) -> bool:
    """Leave out the fewest of the first messages that make the answer fit."""
    too_many, count = answer.ByteSize() - MOST_BYTES, 0
    while too_many > 0 and count < len(answer.messages):
        too_many -= answer.messages[count].ByteSize()
        count += 1
    del answer.messages[:count]
    return bool(count)


def _clear(answer: Chat | Session, name: str) -> bool:
    before = answer.ByteSize()
    answer.ClearField(name)
    return answer.ByteSize() < before
