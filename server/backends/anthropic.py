"""Anthropic's Messages API.

Not sent, because the API has no such members: `temperature` and `top_p` (since its version 2026-10-21 it
refuses a request with them), `seed` and the penalties. Thinking is emitted as reasoning; when there are tools,
the API gets it back (`thinking.py`). Does not retry or time out by itself (`calls.py`).
"""

import asyncio
import base64
import json
import mimetypes
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import orjson

from generated.parley.v1.chat_pb2 import ContentDelta, ToolCallDelta
from generated.parley.v1.message_pb2 import Message
from server.backends.backend import Emit, Finish, FinishReason, ModelEvent, ModelRequest, Ran, Usage
from server.backends.call_ids import CallIds
from server.backends.calls import Call, json_of, json_or_none
from server.backends.dialects import check_names
from server.backends.endpoint import USER_AGENT, Endpoint
from server.backends.event_stream import Event
from server.backends.parts import check_text_only, refused_part
from server.backends.state import state_for
from server.backends.thinking import Thoughts, may_think, with_thinking, without_thinking
from server.content.json_values import encodable
from server.content.messages import parts_of, refusal_beside, text_of, tool_calls_of
from server.core.accepted import TEXT_PARTS
from server.core.errors import InvalidArgument
from server.core.outbound.client import Sleep
from server.core.outbound.limits import Limits
from server.core.outbound.transport import HttpClient

DEFAULT_MAX_TOKENS = 4096
"""Sent because the API requires a number; the budget for thinking is added to it."""

_VERSION = "2026-10-21"
_MOST_WHOLE_TOKENS = 21_333
"""Limit of a request without a stream. A larger answer is expected to take more than ten minutes, at 128,000
tokens an hour, and the official client insists on a stream: `_calculate_nonstreaming_timeout` of
github.com/anthropics/anthropic-sdk-python."""
_PDF = "application/pdf"
_NO_TOKENS = {"input_tokens": 0, "output_tokens": 0}
_OPENING = "(The conversation begins.)"
_EFFORTS = {
    "minimal": "low",
    "low": "low",
    "medium": "medium",
    "high": "high",
    "xhigh": "xhigh",
    "max": "max",
}
_EVENTS = frozenset(
    {
        "message_start",
        "message_delta",
        "message_stop",
        "content_block_start",
        "content_block_delta",
        "content_block_stop",
    }
)
"""The named events that are read; others are ignored."""
_FINISH_REASONS: dict[str, FinishReason] = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
    "refusal": "content_filter",
}


class AnthropicBackend:
    """Calls messages. The creator of `http` closes it."""

    def __init__(
        self,
        endpoint_of: Callable[[ModelRequest], Endpoint],
        http: HttpClient,
        limits: Limits | None = None,
        *,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        self._endpoint_of = endpoint_of
        self._http = http
        self._limits = limits or Limits()
        self._sleep = sleep

    async def generate(self, request: ModelRequest, emit: Emit) -> None:
        """Call messages, as `Backend.generate` specifies."""
        body = request_body(request)
        endpoint = self._endpoint_of(request)
        call = Call(request, self._limits, streams="stream" in body, sleep=self._sleep)
        headers = {
            "authorization": f"Bearer {endpoint.api_key}",
            "anthropic-version": _VERSION,
            "accept": "application/json",
            "content-type": "application/json",
            "user-agent": USER_AGENT,
        }
        path = "/messages" if endpoint.base_url.endswith("/v1") else "/v1/messages"
        response = await call.post(self._http, endpoint.url_of(path), headers, body)
        await call.read(response, _Answer(request, call), emit)

    async def close(self) -> None:
        """Do nothing: there are no resources of its own to release."""


def request_body(request: ModelRequest) -> dict[str, Any]:
    """The members to send: those that are set. Raises InvalidArgument for features that the API lacks."""
    if request.n != 1:
        raise InvalidArgument.of("n", "must be 1 for provider anthropic")
    check_names(request)
    thinking, turns = _thinking(request), _turns(request)
    if not may_think(thinking, turns):
        thinking, turns = None, without_thinking(turns)
    choice = _tool_choice(request) if request.tools else None
    if (thinking or {}).get("type", "disabled") != "disabled" and (choice or {}).get("type") in (
        "any",
        "tool",
    ):
        raise InvalidArgument.of(
            "tool_choice", "must be auto or none for provider anthropic while it is to think"
        )
    most = request.max_tokens or DEFAULT_MAX_TOKENS + (thinking or {}).get("budget_tokens", 0)
    members = {
        "model": request.model,
        "max_tokens": most,
        "messages": turns,
        "stream": True if request.streams or most > _MOST_WHOLE_TOKENS else None,
        "system": _system(request.messages),
        "stop_sequences": list(request.stop) or None,
        "thinking": thinking,
        "tools": [_tool(tool) for tool in request.tools] or None,
        "tool_choice": choice,
        "output_config": _output_config(request),
        "metadata": {"user_id": user}
        if (user := request.more.get("safety_identifier", request.more.get("user")))
        else None,
    }
    return {name: value for name, value in members.items() if value is not None}


def _system(messages: Sequence[Message]) -> str | None:
    systems = [message for message in messages if _is_system(message)]
    for message in systems:
        check_text_only(message, "anthropic", "in a system message")
    return "\n\n".join(text for message in systems if (text := text_of(message)).strip()) or None


def _is_system(message: Message) -> bool:
    return message.role in ("system", "developer")


def _thinking(request: ModelRequest) -> dict[str, Any] | None:
    """The assistant's `model.thinking`, with `display` when a summary is wanted: newer models omit it otherwise.

    platform.claude.com/docs/en/build-with-claude/extended-thinking
    """
    if (thinking := request.thinking) is None:
        return None
    budget = thinking.get("budgetTokens", thinking.get("budget_tokens"))
    sent = {"type": thinking.get("type", "enabled")}
    if budget is not None:
        sent["budget_tokens"] = int(budget)
    if request.reasoning_summary and sent["type"] != "disabled":
        sent["display"] = "summarized"
    return sent


def _output_config(request: ModelRequest) -> dict[str, Any] | None:
    config: dict[str, Any] = {}
    kind = (request.response_format or {}).get("type", "text")
    if kind == "json_schema":
        schema = (request.response_format or {}).get("json_schema", {}).get("schema", {})
        config["format"] = {"type": "json_schema", "schema": schema}
    elif kind != "text":
        raise InvalidArgument.of(
            "response_format", f"{kind} is not known to provider anthropic; send a json_schema"
        )
    if effort := _EFFORTS.get(request.reasoning_effort or ""):
        config["effort"] = effort
    return config or None


def _tool(tool: dict[str, Any]) -> dict[str, Any]:
    function = tool.get("function", {})
    sent = {
        "name": function.get("name"),
        "input_schema": {**(function.get("parameters") or {}), "type": "object"},
    }
    return sent | {
        name: function[name] for name in ("description", "strict") if function.get(name) is not None
    }


def _tool_choice(request: ModelRequest) -> dict[str, Any] | None:
    choice = request.tool_choice
    if isinstance(choice, dict):
        sent = {"type": "tool", "name": choice.get("function", choice).get("name")}
    else:
        sent = {"type": {"required": "any", "none": "none"}.get(choice, "auto")}
    if request.parallel_tool_calls is False and sent["type"] != "none":
        return sent | {"disable_parallel_tool_use": True}
    return sent if choice is not None else None


def _turns(request: ModelRequest) -> list[dict[str, Any]]:
    """The conversation as alternating turns of user and assistant, beginning with the user's."""
    turns: list[dict[str, Any]] = []
    ids = CallIds("anthropic")
    for message in request.messages:
        blocks = [] if _is_system(message) else _blocks(message, request, ids)
        if not blocks:
            continue
        role = "assistant" if message.role == "assistant" else "user"
        if turns and turns[-1]["role"] == role:
            turns[-1]["content"].extend(blocks)
        else:
            turns.append({"role": role, "content": blocks})
    if not turns:
        raise InvalidArgument.of("input", "must say something for provider anthropic")
    if turns[0]["role"] == "assistant":  # a firstMessage; the API requires the user to begin
        turns.insert(0, {"role": "user", "content": [_text_block(_OPENING)]})
    return turns


def _blocks(message: Message, request: ModelRequest, ids: CallIds) -> list[dict[str, Any]]:
    if message.role == "tool":
        return [
            {
                "type": "tool_result",
                "tool_use_id": ids.of_result(message.tool_call_id),
                "content": _result(message),
            }
        ]
    calls = tool_calls_of(message)
    uses = [_tool_use(call, call_id) for call, call_id in zip(calls, ids.of_calls(calls), strict=True)]
    content = _blocks_of_parts(message)
    if refusal := refusal_beside(message).strip():
        content.append(_text_block(refusal))
    state = (
        state_for(message, request) if content or uses else None
    )  # the API refuses a turn of thinking alone
    return (
        with_thinking(text_of(message), state.thinking, content, uses)
        if state and state.thinking
        else content + uses
    )


def _result(message: Message) -> str | list[dict[str, Any]]:
    blocks = _blocks_of_parts(message)
    text = all(block["type"] == "text" for block in blocks)
    return (text_of(message) if blocks else "") if text else blocks


def _blocks_of_parts(message: Message) -> list[dict[str, Any]]:
    return [block for part in parts_of(message) if (block := _block(part)) is not None]


def _block(part: dict[str, Any]) -> dict[str, Any] | None:
    """A part in the API's form; None for blank text, which it refuses."""
    kind = part.get("type", "text")
    if kind in TEXT_PARTS:
        return _text_block(part["text"]) if part.get("text", "").strip() else None
    match part:
        case {"type": "image_url", "image_url": {"url": str(url)}}:
            return {"type": "image", "source": _source(url)}
        case {"type": "input_image" | "image_url", "image_url": str(url)}:
            return {"type": "image", "source": _source(url)}
        case {"type": "input_image"}:
            raise refused_part(part, "anthropic", "by its file_id", "send its image_url")
        case {"type": "file", "file": dict(file)}:
            return _document(part, file)
        case {"type": "input_file"}:
            return _document(part, part)
        case {"type": "refusal", "refusal": str(text)}:
            return _text_block(text) if text.strip() else None
    raise refused_part(part, "anthropic")


def _document(part: dict[str, Any], file: dict[str, Any]) -> dict[str, Any]:
    """A file in the API's form: text unchanged, anything else in base64 or by its URL."""
    title = {"title": file["filename"]} if isinstance(file.get("filename"), str) and file["filename"] else {}
    if isinstance(url := file.get("file_url"), str):
        return {"type": "document", "source": {"type": "url", "url": url}, **title}
    if not isinstance(data := file.get("file_data"), str):
        raise refused_part(part, "anthropic", "by its file_id", "send its file_data")
    if not data.startswith(("data:", "https://", "http://")):  # bare base64; the file name gives its type
        media_type = mimetypes.guess_type(file.get("filename") or "")[0] or _PDF
        data = f"data:{media_type};base64,{data}"
    source = _source(data)
    if source.get("media_type", _PDF) == _PDF:
        return {"type": "document", "source": source, **title}
    if not source["media_type"].startswith("text/"):
        raise refused_part(part, "anthropic", f"of type {source['media_type']}", "send a PDF or text")
    text = {"type": "text", "media_type": "text/plain", "data": _decoded(source["data"])}
    return {"type": "document", "source": text, **title}


def _decoded(data: str) -> str:
    try:
        return base64.b64decode(data, validate=True).decode()
    except ValueError:
        raise InvalidArgument.of("input", "has a text file that is not base64 of UTF-8") from None


def _text_block(text: str) -> dict[str, Any]:
    return {"type": "text", "text": text}


def _source(url: str) -> dict[str, Any]:
    head, comma, data = url.partition(",")
    if not head.startswith("data:"):
        return {"type": "url", "url": url}
    if not comma or not head.endswith(";base64"):
        raise InvalidArgument.of("input", "has a data URL that is not base64")
    return {"type": "base64", "media_type": head[5:].partition(";")[0], "data": data}


def _tool_use(call: dict[str, Any], call_id: str) -> dict[str, Any]:
    return {"type": "tool_use", "id": call_id, "name": call["name"], "input": orjson.loads(call["arguments"])}


class _Answer:
    """Reads the events of one call."""

    def __init__(self, request: ModelRequest, call: Call) -> None:
        self._call = call
        self._thoughts = Thoughts(request, call)
        self._usage: dict[str, Any] = dict(_NO_TOKENS)
        self._tools: dict[int, _ToolUse] = {}
        self._stop_reason: Any = None
        self.over = False

    @property
    def complete(self) -> bool:
        return self.over

    def read(self, event: Event) -> Iterator[ModelEvent]:
        if event.name == "error":
            raise self._call.reported(json_or_none(event.data))
        if event.name and event.name not in _EVENTS:
            return iter(())
        return self._event(json_of(event.data))

    def read_document(self, document: Any) -> Iterator[ModelEvent]:
        """Read a whole message, which is complete even without a stop reason."""
        if isinstance(document, dict) and document.get("error"):
            raise self._call.reported(document)
        if not isinstance(document, dict) or not isinstance(blocks := document.get("content"), list):
            raise ValueError("neither a message nor an error")
        yield from self._start(document)
        for place, block in enumerate(map(_dict, blocks)):
            yield from self._block_start(place, block)
            yield from self._block_stop(place)
        self._stop_reason = document.get("stop_reason") or "end_turn"
        yield from self._stop()

    def end(self) -> Iterator[ModelEvent]:
        if not self.over:
            raise self._call.incomplete()
        return iter(())

    def _event(self, event: Any) -> Iterator[ModelEvent]:
        if not isinstance(event, dict):
            raise self._call.unreadable()
        place = index if isinstance(index := event.get("index"), int) else 0
        match event.get("type"):
            case "content_block_delta":
                yield from self._delta(place, _dict(event.get("delta")))
            case "content_block_start":
                yield from self._block_start(place, _dict(event.get("content_block")))
            case "content_block_stop":
                yield from self._block_stop(place)
            case "message_start":
                yield from self._start(_dict(event.get("message")))
            case "message_delta":
                self._stop_reason = _dict(event.get("delta")).get("stop_reason")
                self._add_usage(event.get("usage"))
            case "message_stop":
                yield from self._stop()
            case "error":
                raise self._call.reported(event)

    def _start(self, message: dict[str, Any]) -> Iterator[ModelEvent]:
        self._add_usage(message.get("usage"))
        if isinstance(model := message.get("model"), str):
            yield Ran(encodable(model))

    def _block_start(self, place: int, block: dict[str, Any]) -> Iterator[ModelEvent]:
        if block.get("type") == "text" and block.get("text"):
            yield from self._delta(place, {"type": "text_delta", "text": block["text"]})
        yield from self._thoughts.begin(place, block, calls_before=len(self._tools))
        if block.get("type") != "tool_use":
            return
        if not (
            isinstance(block.get("id"), str)
            and isinstance(block.get("name"), str)
            and block["id"]
            and block["name"]
        ):
            raise self._call.unreadable()  # such a call cannot be answered
        tool = self._tools[place] = _ToolUse(len(self._tools))
        arguments = json.dumps(block["input"]) if block.get("input") else ""
        tool.has_arguments = bool(arguments)
        yield ToolCallDelta(
            index=tool.index,
            id=encodable(block["id"]),
            name=encodable(block["name"]),
            arguments=self._call.accept(arguments),
        )

    def _delta(self, place: int, delta: dict[str, Any]) -> Iterator[ModelEvent]:
        yield from self._thoughts.add(place, delta)
        match delta:
            case {"type": "text_delta", "text": str(text)}:
                self._thoughts.characters += len(text)
                yield ContentDelta(text=self._call.accept(text))
            case {"type": "input_json_delta", "partial_json": str(text)} if text and (
                tool := self._tools.get(place)
            ):
                tool.has_arguments = True
                yield ToolCallDelta(index=tool.index, arguments=self._call.accept(text))

    def _block_stop(self, place: int) -> Iterator[ModelEvent]:
        self._thoughts.end(place)
        tool = self._tools.get(place)
        if tool and not tool.has_arguments:  # a tool without parameters; complete arguments must be JSON
            tool.has_arguments = True
            yield ToolCallDelta(index=tool.index, arguments="{}")

    def _stop(self) -> Iterator[ModelEvent]:
        reason = _FINISH_REASONS.get(str(self._stop_reason))
        if reason is None:
            raise self._call.incomplete()
        self.over = True
        if reason in ("stop", "tool_calls"):  # compatible servers send either one, with calls or without
            reason = "tool_calls" if self._tools else "stop"
        yield from self._thoughts.state_events()
        yield Finish(0, reason)
        if self._usage != _NO_TOKENS:
            yield _usage(self._usage)

    def _add_usage(self, usage: Any) -> None:
        """Later counts replace earlier ones: they are cumulative."""
        self._usage.update({name: value for name, value in _dict(usage).items() if value is not None})


class _ToolUse:
    """A tool call that is being sent."""

    def __init__(self, index: int) -> None:
        self.index = index
        self.has_arguments = False


def _usage(usage: dict[str, Any]) -> Usage:
    cached = _count(usage, "cache_read_input_tokens")
    # The API counts tokens read from and written to its cache separately.
    written = _count(usage, "cache_creation_input_tokens")
    prompt = _count(usage, "input_tokens") + written + cached
    reasoning = _count(_dict(usage.get("output_tokens_details")), "thinking_tokens")
    return Usage(prompt, _count(usage, "output_tokens"), cached, reasoning, written)


def _count(members: dict[str, Any], name: str) -> int:
    value = members.get(name)
    return value if isinstance(value, int) and value >= 0 else 0


def _dict(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
