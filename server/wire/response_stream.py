"""The events of a streamed exchange in the form of the Responses interface.

An item ends before the next one begins, as in the public interface. Translates ChatEvents to typed messages;
`wire/responses.py` serializes them. Runs nothing.
"""

from collections.abc import Iterable, Iterator, Mapping
from io import StringIO
from typing import Any, NamedTuple

from google.protobuf.struct_pb2 import ListValue

from generated.parley.v1.chat_pb2 import Chat, ChatEvent, ContentDelta, ReasoningDelta, ToolCallDelta
from generated.parley.v1.response_pb2 import Response, ResponseItem, ResponseStreamEvent
from generated.parley.v1.response_service_pb2 import CreateResponseRequest
from server.content.messages import thought_id
from server.content.reasoning import Kept
from server.exchange.run import Outcome, ReadableExchange
from server.wire.response_items import (
    DEFAULT_VIEW,
    MEMBERS,
    View,
    call_item,
    is_whole,
    message_item,
    part_of,
    reasoning_item,
    run_ids,
    run_items,
    set_text,
)
from server.wire.response_object import complete, response_of

_ARGUMENTS = "arguments"
_NONE = ListValue()
_EVENTS = {"summary_text": "reasoning_summary_text"}
"""What the events of a kind of text are called, where they have another name than the part."""


class _Kind(NamedTuple):
    """What a piece of text belongs to: a type of part, and which one where several follow each other."""

    name: str
    number: int = 0


class _Item:
    """An unfinished item of the current message."""

    def __init__(self, item: ResponseItem) -> None:
        self.item = item
        self.emitted = False
        """Whether its beginning is: it waits while the item before it is not over."""
        self.waiting: list[tuple[_Kind, StringIO, int, ListValue]] = []
        """Its content meanwhile: kind, text, the index of the message in the output, and log probabilities."""
        self.logprobs = ListValue()
        """Of the tokens of the part that is being told."""
        self.part: tuple[_Kind, StringIO] | None = None
        """The kind and the text of the current part: a member of a message would be copied with every
        delta."""
        self._next_look = 0

    @property
    def is_text(self) -> bool:
        """Whether the item is text."""
        return self.item.type == "message"

    def wait_with(self, kind: _Kind, text: str, place: int, logprobs: ListValue) -> None:
        """Buffer text until the item's turn."""
        if not self.waiting or self.waiting[-1][0] != kind:
            self.waiting.append((kind, StringIO(), place, ListValue()))
        self.waiting[-1][1].write(text)
        self.waiting[-1][3].values.extend(logprobs.values)

    def is_over(self) -> bool:
        """Return whether the item can be closed once another has begun. Long arguments are checked again only
        when they have doubled in length."""
        if self.item.type == "custom_tool_call":  # any text may be followed by more
            return False
        if self.item.type != "function_call":
            return True
        text_so_far = self.part[1] if self.part else StringIO()
        if text_so_far.tell() < self._next_look:
            return False
        arguments = text_so_far.getvalue()
        if not arguments.rstrip().endswith("}"):
            return False
        self._next_look = 2 * len(arguments)
        return is_whole(arguments)


class ResponseEvents:
    """Translates the events of one streamed exchange to those of the Responses interface, numbered from 0."""

    def __init__(
        self, request: CreateResponseRequest, temperature: float | None, view: View = DEFAULT_VIEW
    ) -> None:
        self._request = request
        self._view = view
        self._temperature = temperature
        self._message_id = ""
        self._response = Response()
        self._number = 0
        self._output: list[ResponseItem] = []
        """The emitted items in their current state; the last one may not be over."""
        self._begun: list[_Item] = []
        """The unfinished items of the message, in the order in which they began; the first one is being
        emitted."""
        self._calls: dict[int, _Item] = {}
        self._stretches = self._thoughts = 0
        """The numbers of text stretches and of reasoning stretches in the message."""
        self._unsealed: ResponseItem | None = None
        """The first reasoning of the message, which is over but for its encrypted content: a provider may send
        what that has last."""

    def consume(self, events: Iterable[ChatEvent], stream: ReadableExchange) -> Iterator[ResponseStreamEvent]:
        """Yield the events for some events of the exchange."""
        for event in events:
            kind = event.WhichOneof("event")
            if kind == "started":
                yield from self._begin(event)
            elif kind == "delta" and event.delta.choice == 0 and event.delta.text:
                yield from self._add_text(event.delta)
            elif kind == "reasoning" and event.reasoning.choice == 0:
                yield from self._add_reasoning(event.reasoning)
            elif kind == "tool_call" and event.tool_call.choice == 0:
                yield from self._add_call(event.tool_call)
            elif kind == "round":
                yield from self._add_round(event, stream.outcome.kept)
            elif kind == "completed":
                yield from self._end(event.completed, stream.outcome)
            elif kind == "failed":
                yield from self._fail(event.failed, stream.outcome)

    def _event(self, kind: str, **members: Any) -> ResponseStreamEvent:
        event = ResponseStreamEvent(type=kind, sequence_number=self._number, **members)
        self._number += 1
        return event

    def _begin(self, event: ChatEvent) -> Iterator[ResponseStreamEvent]:
        self._message_id = event.message_id
        self._response = response_of(
            self._request,
            event.started,
            event.model,
            temperature=self._temperature,
            service_tier=event.service_tier,
        )
        yield self._event("response.created", response=self._response)
        yield self._event("response.in_progress", response=self._response)

    def _add_text(self, delta: ContentDelta) -> Iterator[ResponseStreamEvent]:
        """Append text to the latest item if that is text, otherwise begin an item."""
        if not (self._begun and self._begun[-1].is_text):
            self._begun.append(_Item(message_item(self._message_id, self._stretches, "in_progress")))
            self._stretches += 1
        kind = _Kind("refusal" if delta.refusal else "output_text")
        yield from self._add(self._begun[-1], kind, delta.text, delta.output_index, delta.logprobs)

    def _add_reasoning(self, delta: ReasoningDelta) -> Iterator[ResponseStreamEvent]:
        """Append reasoning that the caller may read to the latest item if that is reasoning, otherwise begin an
        item."""
        if self._view.publishable and not delta.exposed:
            return
        if not (self._begun and self._begun[-1].item.type == "reasoning"):
            self._begun.append(_Item(reasoning_item(self._message_id, self._thoughts, "in_progress")))
            self._thoughts += 1
        kind = _Kind("summary_text" if delta.summary else "reasoning_text", delta.part)
        yield from self._add(self._begun[-1], kind, delta.text, delta.output_index)

    def _add_call(self, delta: ToolCallDelta) -> Iterator[ResponseStreamEvent]:
        if delta.index not in self._calls:
            item = call_item(
                self._message_id, delta.index, "in_progress", delta.id, delta.name, custom=delta.custom
            )
            made = self._calls[delta.index] = _Item(item)
            self._begun.append(made)
        call = self._calls[delta.index]
        if call in self._begun:  # otherwise its arguments were complete, and white space follows
            yield from self._add(call, _Kind(_ARGUMENTS), delta.arguments, delta.output_index)

    def _add(
        self, item: _Item, kind: _Kind, text: str, place: int, logprobs: ListValue = _NONE
    ) -> Iterator[ResponseStreamEvent]:
        """Extend an item: emitted at once if it is that item's turn. Then emit the items whose turn it has
        become."""
        if item is self._begun[0]:
            yield from self._emit(item, kind, text, place, logprobs)
        else:
            item.wait_with(kind, text, place, logprobs)
        while len(self._begun) > 1 and self._begun[0].is_over():
            yield from self._close("completed")
            yield from self._emit_waiting(self._begun[0])

    def _emit_waiting(self, item: _Item) -> Iterator[ResponseStreamEvent]:
        for kind, text, place, logprobs in item.waiting:
            yield from self._emit(item, kind, text.getvalue(), place, logprobs)

    def _emit(
        self, item: _Item, kind: _Kind, text: str, place: int, logprobs: ListValue
    ) -> Iterator[ResponseStreamEvent]:
        if not item.emitted:
            item.emitted = True
            yield self._add_item(item.item)
        if item.item.type == "reasoning" and not text:
            return
        if item.part is None or item.part[0] != kind:
            yield from self._close_part(item)
            yield from self._open_part(item, kind)
        assert item.part is not None
        item.part[1].write(text)
        if logprobs.values:
            item.logprobs.values.extend(logprobs.values)
        if kind.name != _ARGUMENTS:
            path = {} if item.item.type == "reasoning" else {"path": f"chat.output[{place}].content"}
            yield self._event(
                f"response.{_EVENTS.get(kind.name, kind.name)}.delta",
                **self._in(item.item, kind),
                delta=text,
                logprobs=logprobs if logprobs.values else None,
                **path,
            )
        elif text:
            yield self._event(f"response.{_call_events(item.item)}.delta", **self._at(item.item), delta=text)

    def _at(self, item: ResponseItem) -> dict[str, Any]:
        return {"item_id": item.id, "output_index": len(self._output) - 1}

    def _in(self, item: ResponseItem, kind: _Kind) -> dict[str, Any]:
        """Where the part of an item is that is being told."""
        if kind.name == "summary_text":
            return {**self._at(item), "summary_index": len(item.summary)}
        return {**self._at(item), "content_index": len(item.content)}

    def _open_part(self, item: _Item, kind: _Kind) -> Iterator[ResponseStreamEvent]:
        item.part, item.logprobs = (kind, StringIO()), ListValue()
        if kind.name != _ARGUMENTS:
            yield self._event(
                f"response.{_part_events(kind)}.added",
                **self._in(item.item, kind),
                part=part_of(kind.name, ""),
            )

    def _close_part(self, item: _Item) -> Iterator[ResponseStreamEvent]:
        if item.part is None:
            return
        kind, text = item.part[0], item.part[1].getvalue()
        if kind.name == _ARGUMENTS:
            set_text(item.item, text)
            members = (
                {"input": text}
                if item.item.type == "custom_tool_call"
                else {"name": item.item.name, "arguments": text}
            )
            yield self._event(f"response.{_call_events(item.item)}.done", **self._at(item.item), **members)
            return
        at, part = self._in(item.item, kind), part_of(kind.name, text, item.logprobs)
        (item.item.summary if kind.name == "summary_text" else item.item.content).append(part)
        logprobs = part.logprobs if part.HasField("logprobs") else None
        yield self._event(
            f"response.{_EVENTS.get(kind.name, kind.name)}.done",
            **at,
            **{MEMBERS[kind.name]: text},
            logprobs=logprobs,
        )
        yield self._event(f"response.{_part_events(kind)}.done", **at, part=part)

    def _close(self, status: str) -> Iterator[ResponseStreamEvent]:
        """End the current item. The first reasoning of a message waits for its encrypted content."""
        item = self._begun.pop(0)
        yield from self._close_part(item)
        item.item.status = status
        if self._view.seal and item.item.id == thought_id(self._message_id, 0):
            self._unsealed = item.item
        else:
            yield self._done(item.item)

    def _done(self, item: ResponseItem) -> ResponseStreamEvent:
        place = next(at for at in reversed(range(len(self._output))) if self._output[at].id == item.id)
        return self._event("response.output_item.done", output_index=place, item=item)

    def _close_all(
        self, status: str, kept: Kept, run: Mapping[str, str] | None = None
    ) -> Iterator[ResponseStreamEvent]:
        """End the message; its unfinished items get this status."""
        while self._begun:
            yield from self._close(status)
            if self._begun:
                yield from self._emit_waiting(self._begun[0])
        waiting = [self._unsealed] if self._unsealed else []
        added = self._view.encrypted(waiting, self._message_id, kept, run or {})
        for item in added:
            yield self._add_item(reasoning_item(self._message_id, 0, "in_progress"))
            self._output[-1] = item
        for item in [*waiting, *added]:
            yield self._done(item)
        self._calls.clear()
        self._stretches = self._thoughts = 0
        self._unsealed = None

    def _add_round(self, event: ChatEvent, kept: Kept) -> Iterator[ResponseStreamEvent]:
        message, *results = event.round.messages
        yield from self._close_all("completed", kept, run_ids(message, results))
        for done in run_items(message, results):
            begun = ResponseItem()
            begun.CopyFrom(done)
            begun.status, begun.arguments = "in_progress", ""
            begun.ClearField("output")
            yield self._add_item(begun)
            at = self._at(done)
            yield self._event("response.mcp_call.in_progress", **at)
            yield self._event("response.mcp_call_arguments.done", **at, arguments=done.arguments)
            yield self._event(f"response.mcp_call.{done.status}", **at)
            self._output[-1] = done
            yield self._event("response.output_item.done", output_index=len(self._output) - 1, item=done)
        self._message_id = event.message_id

    def _add_item(self, item: ResponseItem) -> ResponseStreamEvent:
        self._output.append(item)
        return self._event("response.output_item.added", output_index=len(self._output) - 1, item=item)

    def _end(self, chat: Chat, outcome: Outcome | None) -> Iterator[ResponseStreamEvent]:
        # the last message is empty
        if not self._begun and chat.output and chat.output[-1].role == "assistant":
            yield from self._add_text(ContentDelta(output_index=len(chat.output) - 1))
        yield from self._close_all(
            "completed" if chat.status == "completed" else "incomplete", outcome.kept if outcome else {}
        )
        response = self._over(chat, outcome)
        yield self._event(
            "response.completed" if response.status == "completed" else "response.incomplete",
            response=response,
        )

    def _fail(self, chat: Chat, outcome: Outcome | None) -> Iterator[ResponseStreamEvent]:
        yield from self._close_all("incomplete", outcome.kept if outcome else {})
        yield self._event("response.failed", response=self._over(chat, outcome))
        yield self._event("error", code=chat.error.code, message=chat.error.message)

    def _over(self, chat: Chat, outcome: Outcome | None) -> Response:
        response = complete(self._response, chat, outcome, None)
        response.output.extend(self._output)
        return response


def _call_events(item: ResponseItem) -> str:
    """What the events of a call's text are called."""
    return "custom_tool_call_input" if item.type == "custom_tool_call" else "function_call_arguments"


def _part_events(kind: _Kind) -> str:
    """What the events are called with which a part begins and ends."""
    return "reasoning_summary_part" if kind.name == "summary_text" else "content_part"
