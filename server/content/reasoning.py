"""A model's reasoning beside its messages: who may read it, and where it is kept while callers are answered.

Messages as callers see them have no reasoning (`fitting.py`); the Responses form adds it from here.
"""

from collections.abc import Iterable, Mapping

from generated.parley.v1.message_pb2 import Message

Kept = Mapping[str, Message]
"""Reasoning and provider state of messages, by id, each as a Message without anything else."""


def kept_of(messages: Iterable[Message]) -> dict[str, Message]:
    """Return the reasoning and the provider state of the messages that have any."""
    return {
        message.id: Message(
            reasoning=message.reasoning if message.HasField("reasoning") else None,
            provider_state=message.provider_state if message.HasField("provider_state") else None,
        )
        for message in messages
        if message.HasField("reasoning") or message.HasField("provider_state")
    }


def with_reasoning(message: Message, kept: Kept, *, publishable: bool = False) -> Message:
    """Return a message with its reasoning, as much as the key may read; the same object when there is
    none."""
    found = kept[message.id].reasoning.parts if message.id in kept else ()
    parts = [part for part in found if part.exposed or not publishable]
    if not parts:
        return message
    whole = Message()
    whole.CopyFrom(message)
    whole.ClearField("reasoning")
    whole.reasoning.parts.extend(parts)
    return whole


def readable_by(message: Message, *, publishable: bool) -> Message:
    """Return a stored message without the reasoning that the key may not read; the same object when it may
    read all."""
    if not publishable or all(part.exposed for part in message.reasoning.parts):
        return message
    whole = Message()
    whole.CopyFrom(message)
    whole.ClearField("reasoning")
    whole.reasoning.parts.extend(part for part in message.reasoning.parts if part.exposed)
    return whole
