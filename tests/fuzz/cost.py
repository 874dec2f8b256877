"""Requests that grow: for every member of every method's request, forms of it of any size, made from the
descriptors.

Sent through the real service, where the work of a call must grow no faster than the member. `scripts/fuzz
cost` measures it in seconds, test_cost.py counts it. Decides nothing about what is too much.
"""

import gc
import itertools
import json
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from typing import Any, NamedTuple

import grpc
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.json_format import ParseDict, ParseError
from google.protobuf.message import Message as AnyMessage

from generated.parley.v1.access_pb2 import (
    RECORD_ASSISTANT,
    RECORD_CHAT,
    RECORD_ITEM,
    RECORD_SESSION,
    RECORD_SQUAD,
    RECORD_TOOL,
    Record,
    names,
)
from generated.parley.v1.assistant_pb2 import Assistant
from generated.parley.v1.chat_service_pb2 import CreateChatRequest
from generated.parley.v1.chat_service_pb2_grpc import ChatServiceStub
from generated.parley.v1.conversation_service_pb2 import ListItemsRequest
from generated.parley.v1.conversation_service_pb2_grpc import ConversationServiceStub
from generated.parley.v1.session_service_pb2 import CreateSessionRequest
from generated.parley.v1.session_service_pb2_grpc import SessionServiceStub
from generated.parley.v1.squad_pb2 import Squad
from generated.parley.v1.tool_pb2 import Tool
from server.content.json_values import from_python
from server.wire.history.lines import HEADER
from tests.descriptors import METHODS, Method

Grow = Callable[[int], Any]
"""JSON of a size."""
Records = dict[int, str]
"""The id of one record of each kind."""
NO_RECORDS: Records = dict.fromkeys(Record.values(), "0190a0b0-c0d0-7000-8000-000000000000")

BASES: dict[str, dict[str, Any]] = {
    "CreateAgentChatRequest": {"input": "hi"},
    "CreateMessageRequest": {"content": "hi", "role": "user"},
    "CreateAssistantRequest": {"document": {}},
    "CreateSquadRequest": {"document": {"members": [{"assistant": {}}]}},
    "CreateToolRequest": {"document": {"type": "function", "function": {"name": "f"}}},
    "CreateChatRequest": {"input": "hi", "assistantId": RECORD_ASSISTANT},
    "CreateChatCompletionRequest": {"messages": [{"role": "user", "content": "hi"}]},
    "CreateResponseRequest": {"input": "hi", "assistantId": RECORD_ASSISTANT},
    "ConnectResponsesRequest": {"create": {"input": "hi", "assistantId": RECORD_ASSISTANT}},
    "CompactResponseRequest": {"input": "hi", "assistantId": RECORD_ASSISTANT},
    "CountInputTokensRequest": {"input": "hi", "assistantId": RECORD_ASSISTANT},
    "UpdateChatCompletionRequest": {"metadata": {}},
    "CreateSessionRequest": {"assistantId": RECORD_ASSISTANT},
    "CreateItemsRequest": {"items": [{"role": "user", "content": "hi"}]},
    "UpdateAssistantRequest": {"patch": {}},
    "UpdateSquadRequest": {"patch": {}},
    "UpdateToolRequest": {"patch": {}},
    "UpdateConversationRequest": {"metadata": {}},
    "GetModelRequest": {"model": RECORD_ASSISTANT},
    "ImportHistoryRequest": {"lines": [json.dumps(HEADER)]},
    "ReceiveTwilioMessageRequest": {"body": {"contentType": "application/x-www-form-urlencoded"}},
}
"""What a request has beside the ids that it must have, by its message. A number is the record whose id it
is."""
ALTERNATIVES = (
    {
        "assistant",
        "assistantId",
        "squad",
        "squadId",
        "sessionId",
        "previousChatId",
        "previousResponseId",
        "model",
        "conversation",
    },
    {"assistant", "document"},
    {"squad", "document"},
    {"tool", "document"},
)
"""Of each of these a request has one: what grows takes the place of what the base has."""
DOCUMENTS = {"assistant": Assistant, "assistantOverrides": Assistant, "squad": Squad, "tool": Tool}
WHOLE_DEPTH = 4
"""Of the members of documents in one another; an assistant has assistants in it."""

MODEL = {"provider": "offline", "model": "offline-1"}
_NEW = itertools.count()
"""For templates that are in no cache yet."""
_MESSAGE = {"role": "user", "content": "x"}
_CALL = {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"}

TEXTS: dict[str, Grow] = {
    "text": lambda size: "x" * size,
    "marks": lambda size: "{{" * size,
    "closed marks": lambda size: "{{a}}" * size,
    "words": lambda size: "my name is " * size,
    "commas": lambda size: "a," * size,
    "blanks": lambda size: " " * size,
}
LISTS: dict[str, Grow] = {
    "texts": lambda size: [f"x{index}" for index in range(size)],
    "empty objects": lambda size: [{}] * size,
    "lists in a list": lambda size: [[[] for _ in range(size)]],
    "messages": lambda size: [_MESSAGE] * size,
    "parts of a message": lambda size: [{"role": "user", "content": [{"type": "text", "text": "x"}] * size}],
    "calls": lambda size: [{**_CALL, "call_id": f"c{index}"} for index in range(size)],
    "calls and results": lambda size: [
        _MESSAGE,
        *({**_CALL, "call_id": f"c{index}"} for index in range(size)),
        *({"type": "function_call_output", "call_id": f"c{index}", "output": "x"} for index in range(size)),
    ],
    "tools": lambda size: [
        {"type": "function", "name": f"f{index}", "function": {"name": f"f{index}"}} for index in range(size)
    ],
}
OBJECTS: dict[str, Grow] = {
    "members": lambda size: {f"k{index}": "x" for index in range(size)},
    "list": lambda size: {"a": [{}] * size},
    "long name": lambda size: {"x" * size: [{f"k{index}": {}} for index in range(size)]},
    "long text": lambda size: {"a": "x" * size},
    "required": lambda size: {
        "type": "json_schema",
        "name": "x",
        "json_schema": {
            "name": "x",
            "schema": {"type": "object", "required": [f"k{index}" for index in range(size)]},
        },
        "format": {
            "type": "json_schema",
            "name": "x",
            "schema": {"type": "object", "required": [f"k{index}" for index in range(size)]},
        },
    },
    "variables": lambda size: {"variableValues": {f"k{index}": "x" for index in range(size)}},
    "allowed tools": lambda size: {
        "type": "allowed_tools",
        "mode": "auto",
        "tools": [{"type": "function", "name": f"f{index}"} for index in range(size)],
    },
}
SQUADS: dict[str, Grow] = {
    "members": lambda size: {"members": [{"assistant": {"name": f"a{index}"}} for index in range(size)]},
    "members of one name": lambda size: {"members": [{"assistant": {"name": "a"}} for _ in range(size)]},
    "members that are not there": lambda size: {
        "members": [{"assistantId": f"0190a0b0-c0d0-7000-8000-{index:012}"} for index in range(size)]
    },
    "destinations": lambda size: {
        "members": [
            {
                "assistant": {"name": "a"},
                "assistantDestinations": [{"type": "assistant", "assistantName": "a"}] * size,
            }
        ]
    },
}
ASSISTANTS: dict[str, Grow] = {
    "mistyped messages": lambda size: {"model": {**MODEL, "messages": [{"role": 1}] * size}},
    "odd messages": lambda size: {"model": {**MODEL, "messages": [{"role": "pirate"}] * size}},
    "prompts": lambda size: {
        "model": {
            **MODEL,
            "messages": [
                {"role": "system", "content": f"{{{{a{next(_NEW)}}}}} {{% if a %}}x{{% endif %}}"}
                for _ in range(size)
            ],
        }
    },
    "a long template": lambda size: {
        "model": {**MODEL, "messages": [{"role": "system", "content": "{{a}}{% if a %}x{% endif %}" * size}]}
    },
    "tools": lambda size: {
        "model": {
            **MODEL,
            "tools": [{"type": "function", "function": {"name": f"f{index}"}} for index in range(size)],
        }
    },
    "tools of one name": lambda size: {
        "model": {**MODEL, "tools": [{"type": "function", "function": {"name": "f"}}] * size}
    },
    "masked secrets": lambda size: {"credentials": [{"provider": "a", "apiKey": "****1234"}] * size},
    "secrets": lambda size: {
        "credentials": [{"provider": "a", "apiKey": f"{index:016}"} for index in range(size)]
    },
}
_KNOWN = {Assistant: ASSISTANTS, Squad: SQUADS, Tool: {}}


class Case(NamedTuple):
    """A request of which a member grows."""

    method: Method
    field: FieldDescriptor
    form: str
    grow: Grow

    @property
    def name(self) -> str:
        return f"{self.field.json_name}: {self.form}"

    def __str__(self) -> str:
        return f"{self.method} {self.name}"

    def request(self, size: int, records: Records) -> AnyMessage:
        """Raises ParseError where a typed member cannot have this form."""
        base = {
            name: value
            for name, value in base_of(self.method, records).items()
            if not any({name, self.field.json_name} <= alternatives for alternatives in ALTERNATIVES)
        }
        return ParseDict({**base, self.field.json_name: self.grow(size)}, self.method.request())


def methods() -> list[Method]:
    """One method for each kind of request: those for HTTP share theirs with a typed one."""
    return list({method.request: method for method in reversed(METHODS)}.values())[::-1]


def base_of(method: Method, records: Records) -> dict[str, Any]:
    """A request that is answered, as JSON: the ids that it must have, and what BASES says."""
    base = _with_records(BASES.get(method.request.DESCRIPTOR.name, {}), records)
    for field in method.request.DESCRIPTOR.fields:
        record = field.GetOptions().Extensions[names]
        if (
            record in records
            and not field.has_presence
            and not field.is_repeated
            and field.message_type is None
        ):
            base.setdefault(field.json_name, records[record])
    if "itemId" in base and "responseId" not in base:
        base["conversationId"] = records[RECORD_SESSION]
    return base


def _with_records(base: dict[str, Any], records: Records) -> dict[str, Any]:
    return {
        name: records[value]
        if isinstance(value, int)
        else _with_records(value, records)
        if isinstance(value, dict)
        else value
        for name, value in base.items()
    }


def cases_of(method: Method, depth: int = WHOLE_DEPTH) -> Iterator[Case]:
    """Every member of the method's request, in every form that it may have; of documents, members of so many
    levels."""
    for field in method.request.DESCRIPTOR.fields:
        for form, grow in _forms_of(field, depth, _kind_of(method, field)):
            case = Case(method, field, form, grow)
            with suppress(ParseError):
                case.request(1, NO_RECORDS)
                yield case


def short_cases() -> dict[Method, list[Case]]:
    """Those that are different enough: what a document has inside only where a request first has it."""
    seen: set[tuple[str, str, str]] = set()
    found: dict[Method, list[Case]] = {}
    for method in methods():
        found[method] = []
        for case in cases_of(method, depth=1):
            kind = _kind_of(method, case.field)
            key = (
                case.field.json_name,
                method.service if case.field.json_name in ("document", "patch") else "",
                case.form,
            )
            if kind is None or case.form in _KNOWN[kind] or key not in seen:
                found[method].append(case)
                seen.add(key)
    return found


def _kind_of(method: Method, field: FieldDescriptor) -> type[Assistant] | type[Squad] | type[Tool] | None:
    """Which document a member is."""
    if field.json_name in ("document", "patch"):
        return {"AssistantService": Assistant, "SquadService": Squad, "ToolService": Tool}[method.service]
    return DOCUMENTS.get(field.json_name)


def _forms_of(field: FieldDescriptor, depth: int, kind: Any = None) -> Iterator[tuple[str, Grow]]:
    """What can grow in a member of a request, or of a document, of which so many levels are looked into."""
    kind_of_message = field.message_type and field.message_type.full_name
    if field.is_repeated:
        yield from _several(field, depth)
    elif kind_of_message is None:
        yield from TEXTS.items() if field.cpp_type == FieldDescriptor.CPPTYPE_STRING else ()
    elif kind_of_message == "google.protobuf.Value":
        yield from (*TEXTS.items(), *LISTS.items(), *OBJECTS.items())
    elif kind is not None:
        yield from _KNOWN[kind].items()
        yield from OBJECTS.items() if kind_of_message == "google.protobuf.Struct" else ()
        yield from _inside(kind.DESCRIPTOR, depth)
    elif kind_of_message == "google.protobuf.Struct":
        yield from OBJECTS.items()
    elif kind_of_message == "google.api.HttpBody":
        yield "body", lambda size: {"data": "YWFh" * size}
    elif field.message_type.file.package != "google.protobuf":
        yield from _inside(field.message_type, depth)


def _inside(message: Descriptor, depth: int) -> Iterator[tuple[str, Grow]]:
    for field in message.fields if depth else ():
        if field.name != "document":
            for form, grow in _forms_of(field, depth - 1):
                yield (
                    f"{field.json_name}.{form}",
                    lambda size, name=field.json_name, grow=grow: {name: grow(size)},
                )


def _several(field: FieldDescriptor, depth: int) -> Iterator[tuple[str, Grow]]:
    if field.message_type is None:
        yield "many", lambda size: [f"x{index}" for index in range(size)]
        yield "one long", lambda size: ["x" * size]
        return
    yield "many", lambda size: [{}] * size
    if field.message_type.full_name in ("google.protobuf.Struct", "google.protobuf.Value"):
        inside = list(OBJECTS.items())
        yield from ((form, grow) for form, grow in LISTS.items() if form not in ("texts", "lists in a list"))
    else:
        inside = list(_inside(field.message_type, depth))
        sample = _sample(field.message_type)
        yield "many filled", lambda size: [sample] * size
    for form, grow in inside:
        yield f"one of {form}", lambda size, grow=grow: [grow(size)]


def _sample(message: Descriptor) -> dict[str, Any]:
    """An item with the texts that it can have; `role` must be one."""
    return {
        field.json_name: "user" if field.name == "role" else "x"
        for field in message.fields
        if not field.is_repeated
        and (
            field.cpp_type == FieldDescriptor.CPPTYPE_STRING
            or (
                field.message_type
                and field.message_type.full_name == "google.protobuf.Value"
                and field.name == "content"
            )
        )
    }


# --- seconds ------------------------------------------------------------------------------------------------

MOST_GROWTH = 3
"""Times what the first doubling added: 2 is in proportion, 4 is the square, and clocks are not exact."""
SOON = 0.2
"""Seconds of this process in which it does not matter how work grows."""
_ATTEMPTS = 3


async def seconds_of(caller: "Caller", case: Case, size: int, records: Records) -> list[float]:
    """The seconds of this process for members of three sizes; of only the largest, when those are few.

    The least of some attempts where they seem too many: other processes take their share of the caches.
    """

    async def duration(factor: int) -> float:
        request = case.request(size * factor, await caller.renewed(case.method, records))
        gc.collect()
        began = time.process_time()
        await caller.call(case.method, request)
        return time.process_time() - began

    largest = await duration(4)
    if largest < SOON:
        return [largest]
    seconds = [await duration(1), await duration(2), largest]
    for _ in range(_ATTEMPTS if is_too_slow(seconds) else 0):
        seconds = [
            min(before, await duration(factor)) for before, factor in zip(seconds, (1, 2, 4), strict=True)
        ]
    return seconds


def is_too_slow(seconds: list[float]) -> bool:
    if len(seconds) == 1:
        return False
    once, twice, fourfold = seconds
    return fourfold > SOON and fourfold - twice > MOST_GROWTH * max(twice - once, SOON / 10)


# --- the service --------------------------------------------------------------------------------------------


@asynccontextmanager
async def caller_of(service: Any) -> AsyncIterator["Caller"]:
    """A caller with an org of its own."""
    async with grpc.aio.insecure_channel(
        service.grpc_address,
        options=[("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)],
    ) as channel:
        yield Caller(service, channel, await service.new_org())


class Caller:
    def __init__(self, service: Any, channel: grpc.aio.Channel, org: Any) -> None:
        self._store = service.store
        self._channel = channel
        self._org = org

    async def records(self) -> Records:
        """One record of each kind."""
        documents, metadata = await self._documents(), self._org.metadata
        session = await SessionServiceStub(self._channel).CreateSession(
            CreateSessionRequest(assistant_id=documents[RECORD_ASSISTANT]), metadata=metadata
        )
        chat = await ChatServiceStub(self._channel).CreateChat(
            CreateChatRequest(session_id=session.id, input=from_python("hi")), metadata=metadata
        )
        items = await ConversationServiceStub(self._channel).ListItems(
            ListItemsRequest(conversation_id=session.id), metadata=metadata
        )
        return {
            **documents,
            RECORD_SESSION: session.id,
            RECORD_CHAT: chat.id,
            RECORD_ITEM: items.data[0]["id"],
        }

    async def renewed(self, method: Method, records: Records) -> Records:
        """The same, with new ones of what the method changes: what is stored is work too."""
        if not method.name.startswith(("Update", "Patch")):
            return records
        documents = await self._documents()
        session = await SessionServiceStub(self._channel).CreateSession(
            CreateSessionRequest(assistant_id=documents[RECORD_ASSISTANT]), metadata=self._org.metadata
        )
        return {**records, **documents, RECORD_SESSION: session.id}

    async def _documents(self) -> Records:
        assistant = await self._store.assistants.create(self._org.id, {"name": "a", "model": MODEL})
        squad = await self._store.squads.create(self._org.id, {"members": [{"assistantId": assistant.id}]})
        tool = await self._store.tools.create(self._org.id, {"type": "function", "function": {"name": "f"}})
        return {RECORD_ASSISTANT: assistant.id, RECORD_SQUAD: squad.id, RECORD_TOOL: tool.id}

    async def call(self, method: Method, request: AnyMessage) -> grpc.StatusCode:
        """The status of a call, its answer read to the end."""
        make = self._channel.unary_stream if method.streams else self._channel.unary_unary
        calling = make(method.path)(request.SerializeToString(), metadata=self._org.metadata)
        with suppress(grpc.aio.AioRpcError):
            if method.streams:
                async for _ in calling:
                    pass
            else:
                await calling
        return await calling.code()
