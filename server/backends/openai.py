"""Every provider that speaks OpenAI's chat completions.

Reads answers leniently, because compatible servers differ: whole messages instead of deltas, content in
parts, missing indexes, usage in every chunk or in none. A refusal is passed on as
text marked as such. Reasoning is emitted as such; when there are tools, its provider gets it back
(`reasoning.py`). Does not retry or time out by itself (`calls.py`).
"""

import asyncio
import json
import secrets
from collections.abc import Callable, Iterator
from typing import Any

import aiohttp

from generated.parley.v1.chat_pb2 import ContentDelta, ToolCallDelta
from generated.parley.v1.message_pb2 import Message, ProviderState
from server.backends.backend import Emit, Finish, FinishReason, ModelEvent, ModelRequest, Ran, Usage
from server.backends.call_ids import CallIds
from server.backends.calls import Call, json_of
from server.backends.dialects import check_values, dialect_of, in_order, tools_for
from server.backends.endpoint import USER_AGENT, Endpoint
from server.backends.event_stream import Event
from server.backends.parts import check_text_only, refused_part
from server.backends.reasoning import Reasoning, add_state
from server.backends.state import new_state, state_for
from server.backends.tool_deltas import ToolCall
from server.content.custom_tools import WITHOUT, sent_call
from server.content.json_values import encodable, from_python
from server.content.messages import parts_of, refusal_beside, text_of, tool_calls_of
from server.core.errors import InvalidArgument
from server.core.outbound.client import Sleep
from server.core.outbound.limits import Limits
from server.core.outbound.transport import HttpClient

_MOST_TOOL_CALLS = 128
_DONE = b"[DONE]"

_FINISH_REASONS: dict[str, FinishReason] = {
    "stop": "stop", "end_turn": "stop", "eos": "stop", "stop_sequence": "stop",
    "length": "length", "max_tokens": "length", "model_length": "length",
    "tool_calls": "tool_calls", "function_call": "tool_calls", "tool_use": "tool_calls",
    "content_filter": "content_filter", "safety": "content_filter",
}  # fmt: skip


class OpenAIBackend:
    """Calls chat completions. The creator of `http` closes it."""

    def __init__(
        self, endpoint_of: Callable[[ModelRequest], Endpoint], http: HttpClient, limits: Limits | None = None,
        *, sleep: Sleep = asyncio.sleep,
    ) -> None:  # fmt: skip
        self._endpoint_of = endpoint_of
        self._http = http
        self._limits = limits or Limits()
        self._sleep = sleep

    async def generate(self, request: ModelRequest, emit: Emit) -> None:
        """Call chat completions, as `Backend.generate` specifies."""
        call = Call(request, self._limits, streams=request.streams, sleep=self._sleep)
        response = await self._open(call, self._endpoint_of(request), request)
        await call.read(response, _Answer(request, call), emit)

    async def close(self) -> None:
        """Do nothing: there are no resources of its own to release."""

    async def _open(self, call: Call, endpoint: Endpoint, request: ModelRequest) -> aiohttp.ClientResponse:
        url = endpoint.url_of("/chat/completions")
        headers = {
            "authorization": f"Bearer {endpoint.api_key}",
            "accept": "application/json",
            "content-type": "application/json",
            "user-agent": USER_AGENT,
        }
        body = request_body(request)
        try:
            return await call.post(self._http, url, headers, body)
        except InvalidArgument:
            if dialect_of(request.provider).is_newest or body.pop("stream_options", None) is None:
                raise
        # the server may have refused stream_options, which not every server knows
        return await call.post(self._http, url, headers, body)


def request_body(request: ModelRequest) -> dict[str, Any]:
    """The members to send: those that are set and that the provider accepts. Raises InvalidArgument for values
    that it refuses."""
    check_values(request)
    members = {
        "model": request.model,
        "messages": _messages(request),
        "stream": True if request.streams else None,
        "stream_options": {"include_usage": True} if request.streams else None,
        "temperature": request.temperature,
        "top_p": request.top_p,
        "max_tokens": request.max_tokens,
        "stop": list(request.stop) or None,
        "seed": request.seed,
        "n": request.n if request.n != 1 else None,
        "frequency_penalty": request.frequency_penalty,
        "presence_penalty": request.presence_penalty,
        "response_format": request.response_format,
        "reasoning_effort": request.reasoning_effort,
        **request.more,
        "tools": tools_for(request) or None,
        "tool_choice": request.tool_choice if request.tools else None,
        "parallel_tool_calls": request.parallel_tool_calls if request.tools else None,
    }
    names = dialect_of(request.provider).members
    return {
        sent: value
        for name, value in members.items()
        if value is not None and (sent := names.get(name, name))
    }


def _messages(request: ModelRequest) -> list[dict[str, Any]]:
    ids = CallIds(request.provider)
    return in_order(request.provider, [_message(message, request, ids) for message in request.messages])


def _message(message: Message, request: ModelRequest, ids: CallIds) -> dict[str, Any]:
    role, provider, dialect = message.role, request.provider, dialect_of(request.provider)
    if role == "tool":
        check_text_only(message, provider, "in a tool's result")
        return {
            "role": role,
            "tool_call_id": ids.of_result(message.tool_call_id),
            "content": text_of(message),
        }
    if role == "developer" and not dialect.is_newest:
        role = "system"
    calls = tool_calls_of(message)
    sent: dict[str, Any] = {"role": role, "content": _content(message, provider) or (None if calls else "")}
    if message.name and dialect.names:
        sent["name"] = message.name
    if calls:
        sent["tool_calls"] = [sent_call(call, custom=provider not in WITHOUT) for call in calls]
    if dialect.is_newest and (refusal := refusal_beside(message)):
        sent["refusal"] = refusal
    if role == "assistant":
        add_state(sent, state_for(message, request), provider)
    for call, call_id in zip(sent.get("tool_calls", ()), ids.of_calls(calls), strict=True):
        call["id"] = call_id  # last: a provider's state is stored under the ids that it gave
    return sent


def _content(message: Message, provider: str) -> str | list[dict[str, Any]]:
    refusal = "" if dialect_of(provider).is_newest else refusal_beside(message)
    if message.content.WhichOneof("kind") == "list_value":
        parts = [_part(part, provider) for part in parts_of(message)]
        return [*parts, {"type": "text", "text": refusal}] if refusal else parts
    return "\n\n".join(filter(None, (text_of(message), refusal)))


def _part(part: dict[str, Any], provider: str) -> dict[str, Any]:
    """A part in the form of chat completions; the Responses API has other names for the same things.

    A type that neither API has is sent unchanged: compatible servers have types of their own. Raises
    InvalidArgument for a part that chat completions cannot express.
    """
    match part:
        case {"type": "input_text" | "output_text", "text": text}:
            return {"type": "text", "text": text}
        case {"type": "refusal", "refusal": str(text)} if not dialect_of(provider).is_newest:
            return {"type": "text", "text": text}
        case {"type": "input_image" | "image_url", "image_url": str(url)}:
            detail = {"detail": part["detail"]} if isinstance(part.get("detail"), str) else {}
            return {"type": "image_url", "image_url": {"url": url, **detail}}
        case {"type": "input_image"}:
            raise refused_part(part, provider, "by its file_id", "send its image_url")
        case {"type": "input_file", "file_data": str()} | {"type": "input_file", "file_id": str()}:
            members = {name: part[name] for name in ("file_data", "file_id", "filename") if name in part}
            return {"type": "file", "file": members}
        case {"type": "input_file"}:
            raise refused_part(part, provider, "by its file_url", "send its file_data")
    return part if "type" in part else {"type": "text", **part}


class _Answer:
    """Reads the chunks of one call."""

    def __init__(self, request: ModelRequest, call: Call) -> None:
        self._call = call
        self._choices = [
            _Choice(index, call, new_state(request) if request.tools else None) for index in range(request.n)
        ]
        self._usage: Usage | None = None
        self._begun = False
        self.over = False

    @property
    def complete(self) -> bool:
        return all(choice.finished for choice in self._choices)

    def read(self, event: Event) -> Iterator[ModelEvent]:
        if event.data.startswith(_DONE):
            self.over = True
            return self.end()
        return self._chunk(json_of(event.data))

    def read_document(self, document: Any) -> Iterator[ModelEvent]:
        """Read a whole completion, which is complete even without a finish reason."""
        choices = document.get("choices") if isinstance(document, dict) else None
        if not isinstance(document, dict) or not (choices or document.get("error")):
            raise ValueError("neither a completion nor an error")
        for choice in _dicts(choices):
            choice["finish_reason"] = choice.get("finish_reason") or "stop"
        return self._chunk(document)

    def _chunk(self, chunk: Any) -> Iterator[ModelEvent]:
        if not isinstance(chunk, dict):
            raise self._call.unreadable()
        if chunk.get("error"):
            raise self._call.reported(chunk)
        self._usage = _usage(chunk.get("usage")) or self._usage
        if not self._begun and (model := _text_or_none(chunk.get("model"))):
            self._begun = True
            yield Ran(
                model, *(_text_or_none(chunk.get(name)) for name in ("system_fingerprint", "service_tier"))
            )
        for item in _dicts(chunk.get("choices")):
            choice = self._choice(item.get("index") or 0)
            if choice is not None and not choice.finished:
                for event in choice.read(item):
                    self._begun = True  # too late for Ran
                    yield event

    def end(self) -> Iterator[ModelEvent]:
        """Handle the end of the stream. Raises UpstreamIncomplete when a choice has not ended."""
        if not self.complete:
            raise self._call.incomplete()
        if self._usage is not None:
            yield self._usage

    def _choice(self, index: Any) -> "_Choice | None":
        return self._choices[index] if isinstance(index, int) and 0 <= index < len(self._choices) else None


class _Choice:
    """Reads one choice of a call."""

    def __init__(self, index: int, call: Call, state: ProviderState | None) -> None:
        self._index = index
        self._call = call
        self._reasoning = Reasoning(state, call)
        self._tool_calls: list[ToolCall] = []
        self._emitted_ids: set[str] = set()
        self.finished = False

    def read(self, item: dict[str, Any]) -> Iterator[ModelEvent]:
        delta = item.get("delta") or item.get("message")  # some servers send the whole message
        if isinstance(delta, dict):
            yield from self._reasoning.add(self._index, delta)
            logprobs = item.get("logprobs")
            if text := _text(delta.get("content")):
                yield self._content(text, logprobs, "content")
            if text := _text(delta.get("refusal")):
                yield self._content(text, logprobs, "refusal", refusal=True)
            for call in _calls(delta):
                yield from self._tool_call(call)
        if isinstance(reason := item.get("finish_reason"), str) and reason:
            yield from self._finish(reason)

    def _content(self, text: str, logprobs: Any, kind: str, *, refusal: bool | None = None) -> ContentDelta:
        """A piece of text, with the log probabilities of its tokens where the provider gives them."""
        tokens = _dicts(logprobs.get(kind)) if isinstance(logprobs, dict) else []
        try:
            given = from_python(tokens).list_value if tokens else None
        except ValueError:
            raise self._call.unreadable() from None
        return ContentDelta(choice=self._index, text=self._call.accept(text), refusal=refusal, logprobs=given)

    def _tool_call(self, delta: dict[str, Any]) -> Iterator[ToolCallDelta]:
        """The deltas to emit for a tool call: none until its name is known, which some servers send after its
        id."""
        # a delta of one kind may have the other's member as null: github.com/Oaklight/llm-rosetta/pull/489
        custom = delta.get("custom")
        function = custom if isinstance(custom, dict) else delta.get("function")
        function = function if isinstance(function, dict) else {}
        name = _text_or_none(function.get("name"))
        call = self._find(delta.get("index"), _text_or_none(delta.get("id")), name)
        call.custom = call.custom or isinstance(custom, dict)
        text = function.get("input") if call.custom else function.get("arguments")
        arguments = self._call.accept(_arguments(text))
        call.arguments.append(arguments)
        call.extra = self._reasoning.extra_of(delta) or call.extra
        if call.name:
            yield ToolCallDelta(choice=self._index, index=call.index, arguments=arguments, custom=call.custom)
        elif name:
            call.name = name
            call.index = sum(other.index is not None for other in self._tool_calls)
            call.emitted_id = self._unused_id(call)
            yield ToolCallDelta(
                choice=self._index,
                index=call.index,
                id=call.emitted_id,
                name=name,
                arguments="".join(call.arguments),
                custom=call.custom,
            )

    def _find(self, place: Any, call_id: str | None, name: str | None) -> ToolCall:
        """The call that a delta belongs to: by its index and its id, otherwise the last call at that index,
        unless the delta begins another one."""
        calls = [call for call in self._tool_calls if place is None or call.place == place]
        for call in calls:
            if call_id and call.id == call_id:
                return call
        if calls and not calls[-1].is_followed(place, call_id, name):
            calls[-1].id = calls[-1].id or call_id
            return calls[-1]
        if len(self._tool_calls) >= _MOST_TOOL_CALLS:
            raise self._call.unreadable()
        self._tool_calls.append(ToolCall(place, call_id))
        return self._tool_calls[-1]

    def _unused_id(self, call: ToolCall) -> str:
        """The provider's id of the call, or a new one when it has none or another call has the same: results
        refer to calls by id."""
        if call.id is None or call.id in self._emitted_ids:
            return f"call_{secrets.token_hex(12)}"
        self._emitted_ids.add(call.id)
        return call.id

    def _finish(self, reason: str) -> Iterator[ModelEvent]:
        known = _FINISH_REASONS.get(reason.lower())
        if known is None:
            raise self._call.incomplete()
        for call in self._tool_calls:
            # a tool without parameters; complete arguments must be JSON
            if not call.has_arguments and call.index is not None and not call.custom:
                yield ToolCallDelta(choice=self._index, index=call.index, arguments="{}")
            elif call.has_arguments and call.index is None and known in ("stop", "tool_calls"):
                raise self._call.unreadable()  # a call without a name cannot be answered
        self.finished = True
        # OpenAI sends `stop` when tool_choice named the tool, others always send one of the two
        if known in ("stop", "tool_calls"):
            known = "tool_calls" if any(call.name for call in self._tool_calls) else "stop"
        yield from self._reasoning.state_events(
            self._index, {call.emitted_id: call.extra for call in self._tool_calls if call.emitted_id}
        )
        yield Finish(self._index, known)


def _calls(delta: dict[str, Any]) -> list[dict[str, Any]]:
    """The tool calls of a delta; at most one in the deprecated `function_call` form, which older servers
    send."""
    if not (calls := _dicts(delta.get("tool_calls"))) and isinstance(
        function := delta.get("function_call"), dict
    ):
        return [{"index": "function_call", "function": function}]
    return calls


def _usage(usage: Any) -> Usage | None:
    if not isinstance(usage, dict):
        return None
    prompt, completion = usage.get("prompt_tokens_details"), usage.get("completion_tokens_details")
    return Usage(
        _count(usage, "prompt_tokens"), _count(usage, "completion_tokens"), _count(prompt, "cached_tokens"),
        _count(completion, "reasoning_tokens"), _count(prompt, "cache_write_tokens"),
    )  # fmt: skip


def _count(members: Any, name: str) -> int:
    value = members.get(name) if isinstance(members, dict) else None
    return value if isinstance(value, int) and value >= 0 else 0


def _text(content: Any) -> str:
    if isinstance(content, str):
        return content
    return "".join(part["text"] for part in _dicts(content) if isinstance(part.get("text"), str))


def _text_or_none(value: Any) -> str | None:
    return encodable(value) if isinstance(value, str) and value else None


def _arguments(arguments: Any) -> str:
    if isinstance(arguments, str):
        return arguments
    return json.dumps(arguments) if isinstance(arguments, dict) else ""


def _dicts(items: Any) -> list[dict[str, Any]]:
    return [item for item in items if isinstance(item, dict)] if isinstance(items, list) else []
