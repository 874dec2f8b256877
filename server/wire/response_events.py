"""An exchange in the form of the Responses interface: the Response object, and the events of a streamed one.

Makes typed messages from Chats and ChatEvents; `wire/responses.py` makes bytes of them. Runs nothing.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from io import StringIO
from typing import Any

from google.protobuf.struct_pb2 import Struct, Value

from generated.parley.v1.chat_pb2 import Chat, ChatEvent, ToolCallDelta
from generated.parley.v1.message_pb2 import Message
from generated.parley.v1.response_pb2 import (
    InputTokensDetails,
    OutputTokensDetails,
    Response,
    ResponseContentPart,
    ResponseError,
    ResponseIncompleteDetails,
    ResponseItem,
    ResponseStreamEvent,
    ResponseUsage,
)
from generated.parley.v1.response_service_pb2 import CompactedResponse, CreateResponseRequest
from server.content.compaction import compaction_item
from server.content.json_values import from_python, struct_from
from server.content.messages import answer_of, text_of, tool_calls_of
from server.content.record_secrets import hide_secrets
from server.core.errors import ServiceError
from server.core.ids import hex_of
from server.exchange.run import ENDED, Happening, Outcome

_ECHOED = ("max_output_tokens", "max_tool_calls", "prompt_cache_key", "prompt_cache_retention", "safety_identifier", "user",
           "background", "top_logprobs", "frequency_penalty", "presence_penalty")
_ECHOED_MESSAGES = ("instructions", "reasoning", "metadata", "tool_choice", "text")


_MEMBERS = {"output_text": "text", "refusal": "refusal"}
"""The member that has the text of a part, by the part's type."""
_FUNCTION: dict[str, Any] = {"type": "function", "description": None, "parameters": None, "strict": False}
_FORMAT: dict[str, Any] = {"description": None, "schema": None, "strict": False}
"""The members that the public schema has in a function tool and in a text's form, where the caller left them out."""


def response_of(request: CreateResponseRequest, chat: Chat, model: str, *, temperature: float | None = None) -> Response:
    """The Response of a chat, with what the request asked for echoed; without output and usage."""
    response = Response(
        id=f"resp_{hex_of(chat.id)}", object="response", created_at=chat.created_at.seconds, status="in_progress",
        model=model, parallel_tool_calls=not request.HasField("parallel_tool_calls") or request.parallel_tool_calls,
        service_tier="default", store=not request.HasField("store") or request.store,
        temperature=_given(request, "temperature", 1.0 if temperature is None else temperature),
        top_p=_given(request, "top_p", 1.0), truncation=request.truncation or "disabled", tools=request.tools)
    for name in _ECHOED:
        if request.HasField(name):
            setattr(response, name, getattr(request, name))
    for name in _ECHOED_MESSAGES:
        if request.HasField(name):
            getattr(response, name).CopyFrom(getattr(request, name))
    hide_secrets(response)
    _fill_defaults(response)
    if chat.HasField("previous_chat_id"):
        response.previous_response_id = f"resp_{hex_of(chat.previous_chat_id)}"
    if chat.HasField("session_id"):
        response.conversation.fields["id"].string_value = f"conv_{hex_of(chat.session_id)}"
    return response


def complete(response: Response, chat: Chat, outcome: Outcome | None) -> Response:
    """The same Response once the exchange is over."""
    response.status = "failed" if chat.error.code and chat.error.code not in ENDED else chat.status
    if chat.HasField("transport"):
        response.transport.CopyFrom(chat.transport)
    if response.status == "completed":
        response.completed_at = chat.updated_at.seconds
    elif response.status in ("incomplete", "cancelled"):
        response.incomplete_details.CopyFrom(ResponseIncompleteDetails(reason=chat.error.code))
    else:
        response.error.CopyFrom(ResponseError(code="server_error", message=chat.error.message))
    if outcome is not None:
        response.model = outcome.model
        response.usage.CopyFrom(_usage(outcome))
    status = "completed" if response.status == "completed" else "incomplete"
    before = outcome.calls_before_text if outcome is not None else 0
    for message, results in _rounds_of(chat.output):
        response.output.extend(round_items(message, results) if results else items_of(message, status, before))
        if not results:  # the last of the first choice
            break
    return response


def _rounds_of(output: Iterable[Message]) -> list[tuple[Message, list[Message]]]:
    """The assistant's messages, each with the results of the tools that the server ran for it."""
    rounds: list[tuple[Message, list[Message]]] = []
    for message in output:
        if message.role == "tool" and rounds:
            rounds[-1][1].append(message)
        else:
            rounds.append((message, []))
    return rounds


def round_items(message: Message, results: Sequence[Message]) -> list[ResponseItem]:
    """The items of a round: what was said in it, then the calls that the server ran.

    They are mcp_call items, which no caller tries to answer; whoever loops over function_call items would.
    """
    text = text_of(message)
    items = [_message_item(message.id, "completed", _parts_of(message))] if text else []
    return items + [_run_item(message.id, index, call, result)
                    for index, (call, result) in enumerate(zip(tool_calls_of(message), results, strict=False))]


def items_of(message: Message, status: str, calls_before_text: int = 0) -> list[ResponseItem]:
    """The output items of an assistant message, in the order in which they began."""
    text, calls = text_of(message), tool_calls_of(message)
    items = [_call_item(message.id, index, status, call["id"], call["name"], call["arguments"])
             for index, call in enumerate(calls)]
    if text or not calls:
        items.insert(calls_before_text, _message_item(message.id, status, _parts_of(message)))
    return items


def _parts_of(message: Message) -> list[ResponseContentPart]:
    text, refusal = answer_of(message)
    parts = [_part("output_text", text)] if text or not refusal else []
    return [*parts, _part("refusal", refusal)] if refusal else parts


def compacted_of(outcome: Outcome) -> CompactedResponse:
    """The answer of a compaction that is over."""
    return CompactedResponse(
        id=f"resp_{hex_of(outcome.chat.id)}", object="response.compaction", created_at=outcome.chat.created_at.seconds,
        output=[struct_from(compaction_item(outcome.chat.output[0]))], usage=_usage(outcome))


class ResponseEvents:
    """Turns the events of one streamed exchange into those of the Responses interface, numbered from 0."""

    def __init__(self, request: CreateResponseRequest, temperature: float | None) -> None:
        self._request = request
        self._temperature = temperature
        self._message_id = ""
        self._response = Response()
        self._number = 0
        self._items: list[ResponseItem] = []
        self._said: list[dict[str, StringIO]] = []
        """The parts of each by their types, or the arguments, until it is done: a member of a message would be copied with
        every delta."""
        self._finished = 0
        """How many of them are done."""
        self._text: int | None = None
        self._calls: dict[int, int] = {}

    def take(self, events: Iterable[ChatEvent], stream: Happening) -> Iterator[ResponseStreamEvent]:
        for event in events:
            kind = event.WhichOneof("event")
            if kind == "started":
                yield from self._begin(event)
            elif kind == "delta" and event.delta.choice == 0 and event.delta.text:
                kind = "refusal" if event.delta.refusal else "output_text"
                yield from self._add_text(event.delta.text, event.delta.output_index, kind)
            elif kind == "tool_call" and event.tool_call.choice == 0:
                yield from self._add_call(event.tool_call)
            elif kind == "round":
                yield from self._add_round(event)
            elif kind == "completed":
                yield from self._end(event.completed, stream.outcome)
            elif kind == "failed":
                yield from self._fail(event.failed, stream.outcome, stream.error)

    def _event(self, kind: str, **members: Any) -> ResponseStreamEvent:
        event = ResponseStreamEvent(type=kind, sequence_number=self._number, **members)
        self._number += 1
        return event

    def _begin(self, event: ChatEvent) -> Iterator[ResponseStreamEvent]:
        self._message_id = event.message_id
        self._response = response_of(self._request, event.started, event.model, temperature=self._temperature)
        yield self._event("response.created", response=self._response)
        yield self._event("response.in_progress", response=self._response)

    def _add_text(self, text: str, place: int = 0, kind: str = "output_text") -> Iterator[ResponseStreamEvent]:
        if self._text is None:
            self._text = len(self._items)
            yield self._add_item(_message_item(self._message_id, "in_progress"))
        item, said = self._items[self._text], self._said[self._text]
        if kind not in said:
            yield self._event("response.content_part.added", item_id=item.id, output_index=self._text,
                              content_index=len(said), part=_part(kind, ""))
            said[kind] = StringIO()
        said[kind].write(text)
        yield self._event(f"response.{kind}.delta", item_id=item.id, output_index=self._text,
                          content_index=[*said].index(kind), delta=text, path=f"chat.output[{place}].content")

    def _add_call(self, delta: ToolCallDelta) -> Iterator[ResponseStreamEvent]:
        if delta.index not in self._calls:
            self._calls[delta.index] = len(self._items)
            yield self._add_item(_call_item(self._message_id, delta.index, "in_progress", delta.id,
                                            delta.name, ""))
        index = self._calls[delta.index]
        item = self._items[index]
        self._said[index].setdefault("arguments", StringIO()).write(delta.arguments)
        if delta.arguments:
            yield self._event("response.function_call_arguments.delta", item_id=item.id, output_index=index,
                              delta=delta.arguments)

    def _add_round(self, event: ChatEvent) -> Iterator[ResponseStreamEvent]:
        yield from self._finish_items("completed")
        message, *results = event.round.messages
        for done in round_items(message, results):
            if done.type == "message":  # it was streamed
                continue
            index = len(self._items)
            begun = ResponseItem()
            begun.CopyFrom(done)
            begun.status, begun.arguments = "in_progress", ""
            begun.ClearField("output")
            yield self._add_item(begun)
            yield self._event("response.mcp_call.in_progress", item_id=done.id, output_index=index)
            yield self._event("response.mcp_call_arguments.done", item_id=done.id, output_index=index,
                              arguments=done.arguments)
            yield self._event(f"response.mcp_call.{done.status}", item_id=done.id, output_index=index)
            self._items[index] = done
            yield self._event("response.output_item.done", output_index=index, item=done)
        self._finished = len(self._items)
        self._message_id, self._text = event.message_id, None
        self._calls.clear()

    def _add_item(self, item: ResponseItem) -> ResponseStreamEvent:
        self._items.append(item)
        self._said.append({})
        return self._event("response.output_item.added", output_index=len(self._items) - 1, item=item)

    def _end(self, chat: Chat, outcome: Outcome | None) -> Iterator[ResponseStreamEvent]:
        if self._finished == len(self._items):  # the last message is there, even when it says nothing
            yield from self._add_text("", max(0, len(chat.output) - 1))
        yield from self._finish_items("completed" if chat.status == "completed" else "incomplete")
        response = self._over(chat, outcome)
        yield self._event("response.completed" if response.status == "completed" else "response.incomplete",
                          response=response)

    def _fail(self, chat: Chat, outcome: Outcome | None, error: ServiceError | None) -> Iterator[ResponseStreamEvent]:
        yield from self._finish_items("incomplete")
        yield self._event("response.failed", response=self._over(chat, outcome))
        yield self._event("error", code=chat.error.code, message=chat.error.message)

    def _over(self, chat: Chat, outcome: Outcome | None) -> Response:
        response = complete(self._response, chat, outcome)
        del response.output[:]  # the items as they were streamed: clients refuse ids that change
        response.output.extend(self._items)
        return response

    def _finish_items(self, status: str) -> Iterator[ResponseStreamEvent]:
        for index, item in enumerate(self._items[self._finished:], self._finished):
            item.status = status
            said = {kind: text.getvalue() for kind, text in self._said[index].items()}
            self._said[index].clear()
            if item.type == "message":
                for place, (kind, text) in enumerate(said.items()):
                    item.content.append(_part(kind, text))
                    yield self._event(f"response.{kind}.done", item_id=item.id, output_index=index, content_index=place,
                                      **{_MEMBERS[kind]: text})
                    yield self._event("response.content_part.done", item_id=item.id, output_index=index,
                                      content_index=place, part=item.content[place])
            else:
                item.arguments = said.get("arguments", "")
                yield self._event("response.function_call_arguments.done", item_id=item.id, output_index=index,
                                  name=item.name, arguments=item.arguments)
            yield self._event("response.output_item.done", output_index=index, item=item)
        self._finished = len(self._items)


def _part(kind: str, text: str) -> ResponseContentPart:
    return ResponseContentPart(type=kind, **{_MEMBERS[kind]: text})


def _message_item(identifier: str, status: str, content: Sequence[ResponseContentPart] = ()) -> ResponseItem:
    return ResponseItem(id=f"msg_{hex_of(identifier)}", type="message", status=status, role="assistant", content=content)


def _call_item(identifier: str, index: int, status: str, call_id: str, name: str, arguments: str) -> ResponseItem:
    return ResponseItem(id=f"fc_{hex_of(identifier)}{index:02x}", type="function_call", status=status, call_id=call_id,
                        name=name, arguments=arguments)


def _run_item(identifier: str, index: int, call: dict[str, Any], result: Message) -> ResponseItem:
    failed = "failure" in result.metadata
    return ResponseItem(id=f"mcp_{hex_of(identifier)}{index:02x}", type="mcp_call", server_label="parley",
                        status="failed" if failed else "completed", name=call["name"], arguments=call["arguments"],
                        output=text_of(result))


def _usage(outcome: Outcome) -> ResponseUsage:
    usage = outcome.usage
    return ResponseUsage(
        input_tokens=usage.prompt_tokens, input_tokens_details=InputTokensDetails(cached_tokens=usage.cached_tokens),
        output_tokens=usage.completion_tokens,
        output_tokens_details=OutputTokensDetails(reasoning_tokens=usage.reasoning_tokens),
        total_tokens=usage.prompt_tokens + usage.completion_tokens)


def _given(request: CreateResponseRequest, name: str, otherwise: float) -> float:
    return getattr(request, name) if request.HasField(name) else otherwise


def _fill_defaults(response: Response) -> None:
    """What the public schema has where nothing was asked for."""
    if not response.HasField("tool_choice") or response.tool_choice.HasField("null_value"):
        response.tool_choice.CopyFrom(Value(string_value="auto"))
    if not response.text.fields["format"].HasField("struct_value"):
        response.text.get_or_create_struct("format").update({"type": "text"})
    form = response.text.fields["format"].struct_value
    if _text(form, "type") == "json_schema":
        _fill(form, _FORMAT)
    for tool in response.tools:
        if _text(tool, "type") in ("", "function") and "function" not in tool.fields:
            _fill(tool, _FUNCTION)
    response.metadata.SetInParent()


def _fill(members: Struct, defaults: Mapping[str, Any]) -> None:
    """Add what is left out, or null where the schema has none."""
    for name, value in defaults.items():
        if name not in members.fields or members.fields[name].HasField("null_value"):
            members.fields[name].CopyFrom(from_python(value))


def _text(members: Struct, name: str) -> str:
    return members.fields[name].string_value if name in members.fields else ""
