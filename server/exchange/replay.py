"""The events of an exchange: those emitted while it runs, and the same ones again when it is over.

Makes messages; reads no store and runs no model.
"""

from collections.abc import AsyncGenerator, Iterable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass, field
from itertools import chain, islice, pairwise
from sys import maxsize
from typing import Any

from google.protobuf.struct_pb2 import ListValue

from generated.parley.v1.chat_pb2 import (
    Chat,
    ChatError,
    ChatEvent,
    ContentDelta,
    ReasoningDelta,
    ToolCallDelta,
)
from generated.parley.v1.chat_record_pb2 import ChatRecord, StreamPiece
from generated.parley.v1.message_pb2 import Message
from generated.parley.v1.response_service_pb2 import CreateResponseRequest
from server.backends.backend import Usage
from server.content.custom_tools import text_of_call
from server.content.fitting import fit, presented
from server.content.messages import Thought, answer_of, in_order, mark_run, text_of, tool_calls_of
from server.content.reasoning import Kept, kept_of, with_reasoning
from server.content.walk import readable
from server.core.errors import ServiceError, UpstreamError
from server.exchange.answer import MOST_OUTPUT_REACHED, MOST_ROUNDS_REACHED, Answer
from server.exchange.event_buffer import BATCH
from server.exchange.run import ENDED, Outcome, round_event
from server.storage.chats import Exchange, Unfinished

DELETED = ChatError(code="chat_deleted", message="The chat was deleted before its answer was complete.")
KEY_ENDED = ChatError(
    code="key_ended", message="The key was revoked, or has expired, before the answer was complete."
)
_NOT_FAILED = ("", *ENDED)

_CUT = {
    "max_output_tokens": "length",
    "content_filter": "content_filter",
    MOST_ROUNDS_REACHED: "length",
    MOST_OUTPUT_REACHED: "length",
}


def started(chat: Chat, outcome: Outcome) -> ChatEvent:
    """Return the first event, with the chat as it was when the exchange began."""
    first = event(
        chat,
        0,
        started=chat,
        model=outcome.model,
        system_fingerprint=outcome.system_fingerprint,
        service_tier=outcome.service_tier,
        message_id=outcome.message_id,
    )
    begun = first.started
    begun.status = "in_progress"
    begun.updated_at.CopyFrom(begun.created_at)
    for name in ("output", "costs", "cost", "error", "warnings"):
        begun.ClearField(name)
    fit(begun)
    return first


def event(chat: Chat, number: int, **members: Any) -> ChatEvent:
    """Return an event of a chat with its sequence number and members."""
    return ChatEvent(**common(chat), sequence=number, **members)


def complete(event: ChatEvent, common: dict[str, Any]) -> ChatEvent:
    """Add to an event from disk the members that all events of its chat share, which are not stored with
    each."""
    event.chat_id = common["chat_id"]
    if common["session_id"]:
        event.session_id = common["session_id"]
    return event


def common(chat: Chat) -> dict[str, Any]:
    """Return the members that are the same in all events of a chat."""
    return {"chat_id": chat.id, "session_id": chat.session_id if chat.HasField("session_id") else None}


@dataclass(slots=True, weakref_slot=True)
class Replay:
    """An exchange that is over, read like a LiveExchange."""

    chat: Chat
    """With messages and output, as callers see it."""
    record: ChatRecord
    kept: dict[str, Message] = field(default_factory=dict)
    """As in `Outcome`."""

    @classmethod
    def of(cls, chat: Chat, record: ChatRecord) -> "Replay":
        """The exchange of a stored chat, which is changed to what callers see of it."""
        kept = kept_of(chat.output)
        return cls(presented(chat), record, kept)

    @property
    def outcome(self) -> Outcome:
        """The result of the exchange."""
        usage = Usage(
            self.record.prompt_tokens,
            self.record.completion_tokens,
            self.record.cached_tokens,
            self.record.reasoning_tokens,
            self.record.cache_write_tokens,
        )
        return Outcome(
            self.chat,
            self.record.model,
            usage,
            message_id=self.record.message_id,
            kept=self.kept,
            error=self.error,
            finish_reasons=_finish_reasons(self.chat),
            system_fingerprint=self.record.system_fingerprint or None,
            service_tier=self.record.service_tier or None,
        )

    @property
    def error(self) -> ServiceError | None:
        """Why the last event is `failed`."""
        if self.chat.error.code in _NOT_FAILED:
            return None
        return UpstreamError(self.chat.error.message)

    @property
    def request(self) -> CreateResponseRequest:
        """The request in the Responses form."""
        return self.record.request

    def reading(self) -> AbstractAsyncContextManager[None]:
        """Return an empty context: an exchange that is over needs no reader."""
        return nullcontext()

    async def batches(self) -> AsyncGenerator[list[ChatEvent]]:
        """Yield all events, as fast as they are read."""
        for batch in batched(self.events()):
            yield batch

    watched = batches

    def serialized(self, event: ChatEvent) -> bytes:
        """Return the bytes of an event."""
        return readable(event)

    def events(self) -> Iterator[ChatEvent]:
        """Yield all events. Each is made on demand: those of a long answer take a hundred times its
        memory."""
        outcome, number = self.outcome, 1
        yield started(self.chat, outcome)
        for one in replayed_events(self.chat, self.record.pieces, self.kept):
            number += 1
            yield one
        ending = "failed" if self.error else "completed"
        last = event(self.chat, number, **{ending: self.chat})
        fit(getattr(last, ending))
        yield last


def replayed_events(chat: Chat, pieces: Sequence[StreamPiece], kept: Kept) -> Iterator[ChatEvent]:
    """Yield the events between the first and the last one of a chat that is over."""
    output = [with_reasoning(message, kept) for message in chat.output]
    for number, members in enumerate(_deltas(output, pieces or _whole(output)), 1):
        yield event(chat, number, **members)


def rest(
    outcome: Outcome, pieces: Sequence[StreamPiece], place: int, last: ChatEvent
) -> Iterator[list[ChatEvent]]:
    """Return the events of a chat that is over, from `place` (1 or more) on; `last` is the last one."""
    # the output is empty when it was not stored
    events = (
        islice(replayed_events(outcome.chat, pieces, outcome.kept), place - 1, last.sequence - 1)
        if outcome.chat.output
        else ()
    )
    return batched(chain(events, [last]))


def batched(events: Iterable[ChatEvent]) -> Iterator[list[ChatEvent]]:
    """Yield the events in lists that are short enough to render at once."""
    left = iter(events)
    while batch := list(islice(left, BATCH)):
        yield batch


def broken_off(unfinished: Unfinished, why: ChatError) -> Exchange:
    """Return an interrupted exchange with its emitted events, to be recorded as incomplete."""
    answer = _emitted_answer(unfinished)
    chat, record, input_messages = unfinished.chat, unfinished.record, list(unfinished.record.said)
    answered, alternatives = answer.messages(), answer.alternatives()
    for message in (*answered, *alternatives):
        if not message.HasField("time"):
            message.time = input_messages[-1].time if input_messages else 0
            message.seconds_from_start = input_messages[-1].seconds_from_start if input_messages else 0
    chat.status = "incomplete"
    chat.error.CopyFrom(why)
    chat.cost = 0
    del record.said[:]
    if unfinished.state is not None:
        record.state.CopyFrom(unfinished.state)
    record.pieces.extend(answer.pieces)
    return Exchange(
        chat=chat,
        key_id=unfinished.key_id,
        input_messages=input_messages,
        answered=answered,
        alternatives=alternatives,
        previous=unfinished.previous,
        new_session=None,
        begun=True,
        private=unfinished.private,
        provider=unfinished.provider,
        model=unfinished.model,
        prompt_tokens=0,
        completion_tokens=0,
        record=record,
    )


def _finish_reasons(chat: Chat) -> list[str]:
    """Return one reason per choice. An answer in several rounds has one choice, which is all of its
    messages."""
    in_rounds = any(message.role == "tool" for message in chat.output)
    return [_finish_reason(chat, message) for message in (chat.output[-1:] if in_rounds else chat.output)]


def _finish_reason(chat: Chat, message: Message) -> str:
    return _CUT.get(chat.error.code) or ("tool_calls" if tool_calls_of(message) else "stop")


def _emitted_answer(unfinished: Unfinished) -> Answer:
    """Return the model's answer so far, from the events."""
    answer = Answer(1, unfinished.record.message_id)
    states = iter(unfinished.provider_states)
    for one in unfinished.events:
        if one.HasField("delta"):
            answer.add_text(one.delta)
        elif one.HasField("reasoning"):
            answer.add_reasoning(one.reasoning)
        elif one.HasField("tool_call"):
            answer.add_tool_call(one.tool_call)
        elif one.HasField("round"):
            for message in one.round.messages:
                message.ClearField("message")  # callers see the text twice, the thread has it once
            if (state := next(states, None)) is not None and state.provider:
                one.round.messages[0].provider_state.CopyFrom(state)
            mark_run(one.round.messages)
            answer.add_round(one.round.messages, one.message_id)
    return answer


def _whole(output: Sequence[Message]) -> list[StreamPiece]:
    """Return pieces for an output that was not streamed: one for each text and each call."""
    rounds, choices = _by_round(output)
    pieces: list[StreamPiece] = []
    for messages, following in pairwise([*rounds, choices]):
        pieces += _pieces(messages[0], 0, with_calls=False)
        pieces.append(StreamPiece(length=len(messages), next_message_id=following[0].id if following else ""))
    for choice, message in enumerate(choices):
        pieces += _pieces(message, choice, with_calls=True)
    return pieces


def _by_round(output: Sequence[Message]) -> tuple[list[list[Message]], list[Message]]:
    """Return the tool rounds, each an answer with its results, and the messages after them: one per
    choice."""
    rounds: list[list[Message]] = []
    last = max((place for place, message in enumerate(output, 1) if message.role == "tool"), default=0)
    for message in output[:last]:
        if message.role == "tool" and rounds:
            rounds[-1].append(message)
        else:
            rounds.append([message])
    return rounds, list(output[last:])


def _pieces(message: Message, choice: int, *, with_calls: bool) -> Iterator[StreamPiece]:
    calls, logprobs = tool_calls_of(message), len(message.logprobs.values)
    for one in in_order(message):
        if isinstance(one, Thought):
            for number, part in enumerate(one.parts, one.first):
                yield StreamPiece(choice=choice, reasoning=number, length=len(part.text))
        elif not isinstance(one, int):
            for text in filter(None, one):
                yield StreamPiece(choice=choice, length=len(text), logprobs=logprobs)
                logprobs = 0  # all of them come with the first text
        elif with_calls:
            yield StreamPiece(choice=choice, tool_call=one, length=len(text_of_call(calls[one])))


def _deltas(output: Sequence[Message], pieces: Iterable[StreamPiece]) -> Iterator[dict[str, Any]]:
    """Yield the members of the events into which the pieces cut the answer."""
    begun = 0  # index of the first choice's current message
    places: dict[tuple[int, int | None, int | None], int] = {}
    texts = [text_of(message) for message in output]  # once: every access to a member of a message copies it
    refused = [len(answer_of(message)[0]) if message.refusal else maxsize for message in output]
    calls = [tool_calls_of(message) for message in output]
    tokens = [iter(message.logprobs.values) for message in output]
    for piece in pieces:
        if piece.HasField("next_message_id"):
            yield round_event(output[begun : begun + piece.length], piece.next_message_id)
            begun += piece.length
            places.clear()
            continue
        place = piece.choice or begun
        key = (
            piece.choice,
            piece.tool_call if piece.HasField("tool_call") else None,
            piece.reasoning if piece.HasField("reasoning") else None,
        )
        at = places.get(key, 0)
        end = places[key] = at + piece.length
        if key[2] is not None:
            part = output[place].reasoning.parts[key[2]]
            yield {
                "reasoning": ReasoningDelta(
                    choice=piece.choice,
                    text=part.text[at:end],
                    part=key[2],
                    summary=part.summary,
                    output_index=place,
                    exposed=part.exposed or None,
                )
            }
        elif key[1] is None:
            yield {
                "delta": ContentDelta(
                    choice=piece.choice,
                    text=texts[place][at:end],
                    output_index=place,
                    refusal=at >= refused[place] or None,
                    logprobs=ListValue(values=islice(tokens[place], piece.logprobs))
                    if piece.logprobs
                    else None,
                )
            }
        else:
            call = calls[place][key[1]]
            delta = ToolCallDelta(
                choice=piece.choice,
                index=key[1],
                arguments=text_of_call(call)[at:end],
                output_index=place,
                custom="input" in call,
            )
            if at == 0 and end == piece.length:
                delta.id, delta.name = call["id"], call["name"]
            yield {"tool_call": delta}


def shown(chat: Chat) -> Chat:
    """Return a stored chat as callers see it."""
    fit(presented(chat))
    return chat
