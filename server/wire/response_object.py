"""An exchange in the form of the Responses interface: the Response object.

Translates Chats to typed messages; `wire/responses.py` serializes them. Runs nothing.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from google.protobuf.struct_pb2 import Struct, Value

from generated.parley.v1.chat_pb2 import Chat
from generated.parley.v1.message_pb2 import Message
from generated.parley.v1.response_pb2 import (
    InputTokensDetails,
    OutputTokensDetails,
    Response,
    ResponseError,
    ResponseIncompleteDetails,
    ResponseItem,
    ResponseUsage,
)
from generated.parley.v1.response_service_pb2 import CompactedResponse, CreateResponseRequest
from server.content.compaction import compaction_item
from server.content.json_values import from_python, struct_from
from server.content.reasoning import Kept
from server.content.record_secrets import hide_secrets
from server.core.ids import hex_of
from server.exchange.run import ENDED, Outcome
from server.wire.response_items import DEFAULT_VIEW, View, items_of, own_items, run_ids, run_items

_ECHOED = (
    "max_output_tokens",
    "max_tool_calls",
    "prompt_cache_key",
    "prompt_cache_retention",
    "safety_identifier",
    "user",
    "background",
    "top_logprobs",
    "frequency_penalty",
    "presence_penalty",
)
_ECHOED_MESSAGES = ("instructions", "reasoning", "metadata", "tool_choice", "text", "prompt_cache_options")
_FUNCTION: dict[str, Any] = {"type": "function", "description": None, "parameters": None, "strict": False}
_FORMAT: dict[str, Any] = {"description": None, "schema": None, "strict": False}
"""The members that the public schema has in a function tool and in a text's form, where the caller left them
out."""


def response_of(
    request: CreateResponseRequest,
    chat: Chat,
    model: str,
    *,
    temperature: float | None = None,
    service_tier: str | None = None,
) -> Response:
    """Return the Response of a chat with the members of its request, without output and usage."""
    response = Response(
        id=f"resp_{hex_of(chat.id)}",
        object="response",
        created_at=chat.created_at.seconds,
        status="in_progress",
        model=model,
        parallel_tool_calls=not request.HasField("parallel_tool_calls") or request.parallel_tool_calls,
        service_tier=service_tier or "default",
        store=not request.HasField("store") or request.store,
        temperature=_given(request, "temperature", 1.0 if temperature is None else temperature),
        top_p=_given(request, "top_p", 1.0),
        truncation=request.truncation or "disabled",
        tools=request.tools,
    )
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


def complete(
    response: Response, chat: Chat, outcome: Outcome | None, view: View | None = DEFAULT_VIEW
) -> Response:
    """Complete the Response of an exchange that is over; without its output when `view` is None."""
    response.status = "failed" if chat.error.code and chat.error.code not in ENDED else chat.status
    if chat.HasField("transport"):
        response.transport.CopyFrom(chat.transport)
    if chat.HasField("warnings"):
        response.warnings.CopyFrom(chat.warnings)
    if response.status == "completed":
        response.completed_at = chat.updated_at.seconds
    elif response.status in ("incomplete", "cancelled"):
        response.incomplete_details.CopyFrom(ResponseIncompleteDetails(reason=chat.error.code))
    else:
        response.error.CopyFrom(ResponseError(code="server_error", message=chat.error.message))
    if outcome is not None:
        response.model, response.service_tier = outcome.model, outcome.service_tier or "default"
        response.usage.CopyFrom(_usage(outcome))
    if view is not None:
        status = "completed" if response.status == "completed" else "incomplete"
        response.output.extend(_output(chat, outcome.kept if outcome else {}, status, view))
    return response


def _output(chat: Chat, kept: Kept, status: str, view: View) -> Iterator[ResponseItem]:
    for message, results in _rounds_of(chat.output):
        seen = view.of(message, kept)
        items = own_items(seen) if results else items_of(seen, status)
        yield from [
            *items,
            *view.encrypted(items, message.id, kept, run_ids(message, results)),
            *run_items(message, results),
        ]
        if not results:  # the last message of the first choice
            break


def _rounds_of(output: Iterable[Message]) -> list[tuple[Message, list[Message]]]:
    """Return the assistant's messages, each with the results of the tools that the server ran for it."""
    rounds: list[tuple[Message, list[Message]]] = []
    for message in output:
        if message.role == "tool" and rounds:
            rounds[-1][1].append(message)
        else:
            rounds.append((message, []))
    return rounds


def compacted_of(outcome: Outcome) -> CompactedResponse:
    """Return the answer of a finished compaction."""
    return CompactedResponse(
        id=f"resp_{hex_of(outcome.chat.id)}",
        object="response.compaction",
        created_at=outcome.chat.created_at.seconds,
        output=[struct_from(compaction_item(outcome.chat.output[0]))],
        usage=_usage(outcome),
    )


def _usage(outcome: Outcome) -> ResponseUsage:
    usage = outcome.usage
    return ResponseUsage(
        input_tokens=usage.prompt_tokens,
        input_tokens_details=InputTokensDetails(
            cached_tokens=usage.cached_tokens, cache_write_tokens=usage.cache_write_tokens
        ),
        output_tokens=usage.completion_tokens,
        output_tokens_details=OutputTokensDetails(reasoning_tokens=usage.reasoning_tokens),
        total_tokens=usage.prompt_tokens + usage.completion_tokens,
    )


def _given(request: CreateResponseRequest, name: str, otherwise: float) -> float:
    return getattr(request, name) if request.HasField(name) else otherwise


def _fill_defaults(response: Response) -> None:
    """Set the defaults of the public schema for members that the request left out."""
    if not response.HasField("tool_choice") or response.tool_choice.HasField("null_value"):
        response.tool_choice.CopyFrom(Value(string_value="auto"))
    if not response.text.fields["format"].HasField("struct_value"):
        response.text.get_or_create_struct("format").update({"type": "text"})
    form = response.text.fields["format"].struct_value
    _fill(form, {"type": "text"})
    if _text(form, "type") == "json_schema":
        _fill(form, _FORMAT)
    if "verbosity" in response.text.fields and response.text.fields["verbosity"].HasField("null_value"):
        del response.text.fields["verbosity"]
    choice = response.tool_choice.struct_value
    _lift(choice, _text(choice, "type"))
    if _text(choice, "type") == "allowed_tools":
        _fill(choice, {"mode": "auto"})
    for tool in response.tools:
        _lift(tool, "custom" if _text(tool, "type") == "custom" else "function")
        _lift_grammar(tool)
        if _text(tool, "type") in ("", "function"):
            _fill(tool, _FUNCTION)
    response.metadata.SetInParent()


def _lift(members: Struct, name: str) -> None:
    """Move the members of an object of this name, where chat completions have them, to where the Responses
    interface has them."""
    if name in members.fields and members.fields[name].HasField("struct_value"):
        inner = Struct()
        inner.CopyFrom(members.fields[name].struct_value)
        del members.fields[name]
        for member, value in inner.fields.items():
            members.fields[member].CopyFrom(value)


def _lift_grammar(tool: Struct) -> None:
    """Give the format of a custom tool the form of the Responses interface."""
    if "format" in tool.fields and tool.fields["format"].HasField("struct_value"):
        _lift(tool.fields["format"].struct_value, "grammar")


def _fill(members: Struct, defaults: Mapping[str, Any]) -> None:
    """Add members that are left out, or null where the schema has no default."""
    for name, value in defaults.items():
        if name not in members.fields or members.fields[name].HasField("null_value"):
            members.fields[name].CopyFrom(from_python(value))


def _text(members: Struct, name: str) -> str:
    return members.fields[name].string_value if name in members.fields else ""
