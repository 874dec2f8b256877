"""Restores the provider state of tool calls that a caller repeats because it keeps the history itself.

Callers never see that state, so it is looked up among the records that the caller's key may read. It is only
sent to the provider that made it: `calls_key.py`.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from generated.parley.v1.message_pb2 import Message, ProviderState
from server.content.budget import MOST_BYTES
from server.content.messages import text_of, tool_calls_of
from server.exchange.calls_key import key_of
from server.storage.chats import Chats
from server.storage.scope import Scope

MOST_LOOKED_UP = 64
"""Answers with calls that are looked up: the last ones. Providers need no state from before the current
question."""


@dataclass(frozen=True, slots=True)
class _Answer:
    """The assistant's messages between a question and the results: one answer, in however many messages it is
    repeated."""

    start: int
    messages: Sequence[Message]
    key: str


async def with_states(
    chats: Chats, scope: Scope, made_by: ProviderState, input_messages: Sequence[Message]
) -> Sequence[Message]:
    """Return the input messages, with the provider state in those that repeat calls of `made_by`; the same
    sequence when none does."""
    answers = list(_answers(input_messages, made_by))[-MOST_LOOKED_UP:]
    if not answers:
        return input_messages
    found = await chats.messages_by_calls(scope, [answer.key for answer in reversed(answers)], MOST_BYTES)
    whole = list(input_messages)
    for answer in reversed(answers):
        original = found.get(answer.key)
        if original and key_of(tool_calls_of(original), original.provider_state) == answer.key:
            end = answer.start + len(answer.messages)
            whole[answer.start : end] = _restored(answer.messages, original)
    return whole


def _answers(input_messages: Sequence[Message], made_by: ProviderState) -> Iterator[_Answer]:
    start = 0
    while start < len(input_messages):
        end = start
        while end < len(input_messages) and input_messages[end].role == "assistant":
            end += 1
        calls = [call for message in input_messages[start:end] for call in tool_calls_of(message)]
        if calls and not any(message.HasField("provider_state") for message in input_messages[start:end]):
            yield _Answer(start, input_messages[start:end], key_of(calls, made_by))
        start = max(end, start + 1)


def _restored(messages: Sequence[Message], original: Message) -> list[Message]:
    """Return the original answer; if the caller has changed its text, the caller's messages with all thinking
    at the beginning."""
    if "".join(text_of(message) for message in messages) == text_of(original):
        restored = Message(role="assistant", provider_state=original.provider_state)
        for name in ("content", "tool_calls", "text_before_calls", "refusal", "name"):
            if original.HasField(name):
                _copy(original, restored, name)
        return [restored]
    calling = [message for message in messages if tool_calls_of(message)]
    if len(calling) == 1:
        state = calling[0].provider_state
        state.CopyFrom(original.provider_state)
        for thought in state.thinking:
            thought.characters_before = 0
    return list(messages)


def _copy(source: Message, target: Message, name: str) -> None:
    value = getattr(source, name)
    if isinstance(value, str):
        setattr(target, name, value)
    else:
        getattr(target, name).CopyFrom(value)
