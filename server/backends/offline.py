"""The offline model: deterministic, free, embedded, and useful in tests because it reads its context.

Its tokens, in `max_tokens` and in `Usage`, are words. It reasons when a reasoning effort other than `none` is
asked for, and summarizes that when a summary is. Does not understand anything, and ignores temperature, top_p,
the penalties, thinking and the model's name (it reports its own).
"""

import asyncio
import json
import re
from collections.abc import Awaitable, Callable, Iterator, Sequence
from itertools import chain
from typing import Any, NamedTuple

from generated.parley.v1.chat_pb2 import ContentDelta, ReasoningDelta, ToolCallDelta
from generated.parley.v1.message_pb2 import Message
from server.backends.backend import (
    Emit,
    Finish,
    FinishReason,
    ModelEvent,
    ModelRequest,
    Ran,
    StateEvent,
    Usage,
)
from server.backends.state import new_state
from server.content.custom_tools import is_custom, name_of
from server.content.json_values import size_of
from server.content.messages import text_of, tool_calls_of
from server.core.errors import InvalidArgument

MODEL = "offline-1"

_WORD = re.compile(r"\s*\S+(?:\s+$)?")
_WORD_OF_NAME = re.compile(r"[A-Z]+(?![^\W\d_A-Z])|[A-Z]?[^\W\d_A-Z]+")
_TOKEN = re.compile(r"[\w-]+")
_PIECES_OF_READ = 256
"""Pieces that are emitted together: those of a whole long answer would take a hundred times its text."""
_SHORT = 3
"""Letters. Words of at most this length, such as `get`, are in too many names and texts to identify a
tool."""
_NAME_QUESTION = re.compile(r"\bwhat(?:\s+is|\s+was|['’]?s)\s+my\s+name\b", re.IGNORECASE)
# A look-ahead, so that two names in one sentence are two matches.
_NAME = re.compile(r"\bmy\s+name(?:\s+is|['’]s)\s+(?=(\w[\w'’-]*(?:[ \t]+\w[\w'’-]*){0,4}))", re.IGNORECASE)
_NAME_ROLES = frozenset({"user", "system", "developer"})
_SCHEMA_NODES = 1000
_MOST_REFERENCE = 1000
"""Characters: every node of a schema may have a reference, even to the same place."""
_MOST_CONSTANT = 10_000
"""Of all constants and names together, by `size_of`: every node may refer to the same one."""
_MOST_TYPES = 8


class _Reply(NamedTuple):
    """One choice: its text, or a tool call."""

    text: str
    reason: FinishReason
    tool: str | None = None
    arguments: str = ""
    number: int = 0
    """Number of the call within the conversation."""
    custom: bool = False
    """Whether the tool is a custom one, whose input `arguments` is."""

    def words(self) -> int:
        return len((self.arguments if self.tool else self.text).split()) + bool(self.tool)


class OfflineBackend:
    """Answers `You said: <last user text>`; also fills tool calls and schemas, and knows the user's name."""

    def __init__(
        self, delay_seconds: float = 0.0, *, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    ) -> None:
        self._delay = delay_seconds
        self._sleep = sleep

    async def generate(self, request: ModelRequest, emit: Emit) -> None:
        """Emit the answer word by word if there is a delay, otherwise in pieces of many words."""
        choices = _choices(request)
        thought = _reasoning(request)
        thinking = len(thought.split()) * len(choices)
        usage = Usage(
            _prompt_words(request.messages),
            thinking + sum(reply.words() for reply in choices),
            reasoning_tokens=thinking,
        )
        begun = Ran(MODEL, "fp_offline" if request.seed is None else f"fp_offline_{request.seed}")
        delay = self._delay if request.streams else 0.0
        events: list[ModelEvent] = [begun]
        for index, reply in enumerate(choices):
            for piece in chain(_thoughts(index, thought, request), _pieces(index, reply)):
                if self._delay > 0:
                    if events and delay:
                        await emit(events)
                        events = []
                    await self._sleep(self._delay)
                events.append(piece)
                if len(events) >= _PIECES_OF_READ:
                    await emit(events)
                    events = []
            if thought and request.tools:
                state = new_state(request)
                state.reasoning_content = thought
                events.append(StateEvent(index, state))
            events.append(Finish(index, reply.reason))
        events.append(usage)
        await emit(events)

    async def close(self) -> None:
        """Do nothing: there is nothing to release."""


def _choices(request: ModelRequest) -> list[_Reply]:
    context = _Context(request.messages)
    if tool := _tool_to_call(request, context):
        number = _calls_in(request.messages)
        return [_call(tool, context, number + index) for index in range(request.n)]
    schema = _schema(request.response_format)
    if schema is not None:
        text = json.dumps(_Filler(schema).fill(schema), ensure_ascii=False)
        return [_bounded(text, request)] * request.n  # a ` (2)` after it would no longer be JSON
    text = context.answer()
    return [_bounded(text if index == 0 else f"{text} ({index + 1})", request) for index in range(request.n)]


def _reasoning(request: ModelRequest) -> str:
    """What it thinks before it answers; nothing unless a reasoning effort is asked for."""
    if request.reasoning_effort in (None, "none"):
        return ""
    context = _Context(request.messages)
    if context.results:
        return "My tools have answered, so I repeat what they returned."
    return f"The user said {len(context.prompt.split())} words, so I look for a tool or repeat them."


def _thoughts(index: int, text: str, request: ModelRequest) -> Iterator[ReasoningDelta]:
    for found in _WORD.finditer(text):
        yield ReasoningDelta(choice=index, text=found[0], summary=request.reasoning_summary is not None)


def _pieces(index: int, reply: _Reply) -> Iterator[ContentDelta | ToolCallDelta]:
    if reply.tool:
        yield ToolCallDelta(
            choice=index,
            index=0,
            id=f"call_offline_{reply.number}",
            name=reply.tool,
            arguments=reply.arguments,
            custom=reply.custom,
        )
        return
    words = (found[0] for found in _WORD.finditer(reply.text))
    for word in chain([next(words, reply.text)], words):
        yield ContentDelta(choice=index, text=word)


def _calls_in(messages: Sequence[Message]) -> int:
    return sum(len(tool_calls_of(message)) for message in messages)


def _prompt_words(messages: Sequence[Message]) -> int:
    return sum(len(text_of(message).split()) for message in messages)


def _bounded(text: str, request: ModelRequest) -> _Reply:
    """Return the text cut at the first stop sequence, then at max_tokens words."""
    ends = [end for stop in request.stop if stop and (end := text.find(stop)) >= 0]
    text = text[: min(ends, default=len(text))]
    if request.max_tokens is not None and len(text.split()) > request.max_tokens:
        return _Reply("".join(_WORD.findall(text)[: request.max_tokens]), "length")
    return _Reply(text, "stop")


class _Context:
    """The parts of a context that matter: the last user text, and the tool results after it."""

    def __init__(self, messages: Sequence[Message]) -> None:
        self._messages = messages
        self._names: dict[str, str] | None = None
        last = next((i for i in range(len(messages) - 1, -1, -1) if messages[i].role == "user"), -1)
        self.prompt = text_of(messages[last]) if last >= 0 else ""
        self.results = [message for message in messages[last + 1 :] if message.role == "tool"]

    def answer(self) -> str:
        if self.results:
            return "\n".join(
                f"{self._tool_of(result)} returned: {text_of(result)}" for result in self.results
            )
        if _NAME_QUESTION.search(self.prompt):
            name = self._name()
            return f"Your name is {name}." if name else "I don't know your name."
        return f"You said: {self.prompt}"

    def _name(self) -> str | None:
        candidates = (message for message in reversed(self._messages) if message.role in _NAME_ROLES)
        return next(
            (_person(found[-1]) for candidate in candidates if (found := _NAME.findall(text_of(candidate)))),
            None,
        )

    def _tool_of(self, result: Message) -> str:
        if result.name:
            return result.name
        if self._names is None:  # the last call of an id counts
            self._names = {
                call["id"]: call["name"] for message in self._messages for call in tool_calls_of(message)
            }
        return self._names.get(result.tool_call_id, "tool")


def _person(words: str) -> str:
    """Return the name at the beginning of some words: the first word, and the capitalized ones that
    follow."""
    first, *more = words.split()
    name = [first]
    for word in more:
        if not word[0].isupper() or word == "I":
            break
        name.append(word)
    return " ".join(name)


def _tool_to_call(request: ModelRequest, context: _Context) -> dict[str, Any] | None:
    choice, tools = request.tool_choice, request.tools
    if isinstance(choice, dict):
        named = next(
            (tool for tool in tools if (tool["type"], name_of(tool)) == (choice["type"], name_of(choice))),
            None,
        )
        if named is None:
            raise InvalidArgument.of("tool_choice", "names a tool that is not in tools")
        return None if context.results else named
    if choice == "required" and not tools:
        raise InvalidArgument.of("tool_choice", "requires a tool, and tools has none")
    if choice == "none" or not tools or context.results:
        return None
    return _mentioned(tools, context.prompt) or (tools[0] if choice == "required" else None)


def _mentioned(tools: Sequence[dict[str, Any]], prompt: str) -> dict[str, Any] | None:
    """Return the tool whose whole name is in the text, otherwise the first one that shares a word with it."""
    words, tokens = _words(prompt), set(_TOKEN.findall(prompt))
    meant = [tool for tool in tools if words & _words(name_of(tool))]
    return next((tool for tool in meant if name_of(tool) in tokens), meant[0] if meant else None)


def _words(text: str) -> set[str]:
    """Return the significant words of a text or a name: `weather` of `get_weather`, `get-weather` and
    `getWeather`."""
    return {word.lower() for word in _WORD_OF_NAME.findall(text) if len(word) > _SHORT}


def _call(tool: dict[str, Any], context: _Context, number: int) -> _Reply:
    """Return a call: of a custom tool with the user's words, whatever its grammar."""
    if is_custom(tool):
        return _Reply("", "tool_calls", name_of(tool), context.prompt, number, custom=True)
    function = tool["function"]
    schema = function.get("parameters") or {}
    arguments = _Filler(schema).fill({"type": "object", **schema})
    return _Reply("", "tool_calls", function["name"], json.dumps(arguments, ensure_ascii=False), number)


def _schema(response_format: dict[str, Any] | None) -> dict[str, Any] | None:
    kind = (response_format or {}).get("type")
    if kind == "json_object":
        return {"type": "object"}
    if kind != "json_schema":
        return None
    schema = (response_format or {}).get("json_schema", {}).get("schema")
    return schema if isinstance(schema, dict) else {"type": "object"}


class _Filler:
    """Makes the smallest value of a schema. Bounded: beyond its limits, values are null."""

    def __init__(self, root: dict[str, Any]) -> None:
        self._root = root
        self._left = _SCHEMA_NODES
        self._left_of_constants = _MOST_CONSTANT

    def fill(self, schema: Any, depth: int = 8) -> Any:
        self._left -= 1
        if not isinstance(schema, dict) or depth == 0 or self._left < 0:
            return None
        if "const" in schema:
            return self._constant(schema["const"])
        if isinstance(options := schema.get("enum"), list) and options:
            return self._constant(options[0])
        if isinstance(reference := schema.get("$ref"), str) and len(reference) <= _MOST_REFERENCE:
            return self.fill(self._resolve(reference), depth - 1)
        for combination in ("anyOf", "oneOf", "allOf"):
            if isinstance(options := schema.get(combination), list) and options:
                return self.fill(options[0], depth - 1)
        return self._of_type(_type(schema), schema, depth)

    def _of_type(self, kind: str | None, schema: dict[str, Any], depth: int) -> Any:
        if kind == "object":
            properties = schema.get("properties")
            known = properties if isinstance(properties, dict) else {}
            names = [
                name for name in _required(schema, max(0, self._left)) if self._constant(name) is not None
            ]
            return {name: self.fill(known.get(name), depth - 1) for name in names}
        simple = {"string": "", "integer": 0, "number": 0, "boolean": False, "array": []}
        return simple.get(kind or "")

    def _constant(self, value: Any) -> Any:
        self._left_of_constants -= size_of(value, max(0, self._left_of_constants))
        return value if self._left_of_constants >= 0 else None

    def _resolve(self, reference: str) -> Any:
        """Return the target of a reference inside the schema, such as `#/$defs/Item`."""
        found: Any = self._root
        for step in reference.removeprefix("#").split("/")[1:]:
            found = found.get(step) if isinstance(found, dict) else None
        return found


def _type(schema: dict[str, Any]) -> str | None:
    kind = schema.get("type", "object" if "properties" in schema else None)
    if isinstance(kind, list):
        kind = next((option for option in kind[:_MOST_TYPES] if option != "null"), None)
    return kind if isinstance(kind, str) else None


def _required(schema: dict[str, Any], most: int) -> list[str]:
    required = schema.get("required")
    return [name for name in required[:most] if isinstance(name, str)] if isinstance(required, list) else []
