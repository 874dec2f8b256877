"""Our own parsers as fuzz targets: a target makes something of some bytes, hands it to a parser, and raises
what is a bug.

A ServiceError is an answer; everything else that a parser raises, or an answer that breaks its promise, is a
bug. `scripts/fuzz parsers` runs them under atheris (`long_run.py`), test_fuzz_parsers.py for a moment on
random bytes.
"""

import atexit
import json
import shutil
import tempfile
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlencode

import orjson
from google.api.httpbody_pb2 import HttpBody
from google.protobuf.message import Message as AnyMessage

from generated.parley.v1.agent_chat_service_pb2 import CreateMessageRequest
from generated.parley.v1.assistant_pb2 import Assistant
from generated.parley.v1.assistant_service_pb2 import CreateAssistantRequest, ListAssistantsRequest
from generated.parley.v1.chat_pb2 import Chat
from generated.parley.v1.chat_record_pb2 import ChatRecord
from generated.parley.v1.chat_service_pb2 import CreateChatRequest, ListChatsRequest
from generated.parley.v1.completion_service_pb2 import CreateChatCompletionRequest
from generated.parley.v1.message_pb2 import Message
from generated.parley.v1.response_service_pb2 import CreateResponseRequest
from generated.parley.v1.session_pb2 import Session
from generated.parley.v1.session_service_pb2 import UpdateSessionRequest
from generated.parley.v1.squad_pb2 import Squad
from generated.parley.v1.tool_pb2 import Tool
from generated.parley.v1.transport_service_pb2 import ReceiveTwilioMessageRequest
from server.agents import document_warnings, documents, ignored_settings, knowledge, templates, tools
from server.agents import handoffs as squads
from server.agents.agents import AssistantSettings
from server.agents.bounded_liquid import Allowance
from server.backends import anthropic, offline, openai
from server.backends.backend import ModelRequest
from server.content import inputs, messages, secrets
from server.content.items import items_of, list_of
from server.content.json_values import from_python, struct_from, to_python
from server.content.walk import check_values
from server.content.well_formed import well_formed
from server.core.config import TwilioNumber
from server.core.errors import ServiceError, Violation
from server.core.ids import hex_of, new_id, parse_id
from server.delivery.twilio_account import TwilioAccount
from server.rpc import interceptor as interceptors
from server.rpc import refusals
from server.rpc.call import Call, enter
from server.services import completions, response_asking, responses
from server.services.transports import TransportService
from server.storage.listing import listing_of
from server.storage.scope import Scope
from server.storage.store import open_store
from server.wire.errors import body_of, header_of
from server.wire.history import lines as history
from tests.fuzz.values import Values

T = TypeVar("T")

Target = Callable[[bytes], None]

_MESSAGE_WORDS = (
    "type",
    "role",
    "content",
    "message",
    "text",
    "name",
    "tool_calls",
    "tool_call_id",
    "function",
    "arguments",
    "id",
    "call_id",
    "output",
    "refusal",
    "metadata",
    "function_call",
    "function_call_output",
    "mcp_call",
    "compaction",
    "encrypted_content",
    "aGk=",
    "input_text",
    "output_text",
    "image_url",
    "input_image",
    "file",
    "input_file",
    "file_id",
    "file_data",
    "file_url",
    "filename",
    "url",
    "detail",
    "user",
    "assistant",
    "tool",
    "system",
    "developer",
)
_SCHEMA_WORDS = (
    "type",
    "properties",
    "items",
    "required",
    "enum",
    "const",
    "anyOf",
    "allOf",
    "oneOf",
    "$ref",
    "$defs",
    "#",
    "#/$defs/a",
    "object",
    "array",
    "string",
    "number",
    "integer",
    "boolean",
    "json_schema",
    "json_object",
    "schema",
    "name",
    "strict",
    "function",
    "parameters",
    "description",
    "minItems",
    "minimum",
    "default",
    "prefixItems",
    "additionalProperties",
)
_TEMPLATE_PIECES = (
    "{{",
    "}}",
    "{%",
    "%}",
    " ",
    "a",
    "b.c",
    "now",
    "| upcase",
    "| split: ','",
    "| join: 'x'",
    "| replace: 'a', 'b'",
    "| times: 9",
    "| divided_by: 0",
    "| date: '%s'",
    "| slice: 1, 2",
    "| default: 1",
    "| sort",
    "| map: 'c'",
    "(1..99)",
    "for i in a",
    "endfor",
    "if a",
    "elsif b",
    "else",
    "endif",
    "assign x = a",
    "capture x",
    "endcapture",
    "case a",
    "when 1",
    "endcase",
    "cycle 1, 2",
    "tablerow i in a",
    "endtablerow",
    "raw",
    "endraw",
    "comment",
    "endcomment",
    "liquid",
    "echo a",
    "unless a",
    "endunless",
    "include 'a'",
    "render 'a'",
    "macro",
    "[0]",
    "['c']",
    "'",
    '"',
    "\n",
    "-",
    "##",
    "increment a",
    "contains",
    "and",
    "==",
    "1e9",
    "999999999999",
    "\U0001f600",
    "text",
)
_HISTORY_WORDS = ("kind", "history", *history.TABLES)
_ANSWER_WORDS = (
    "results",
    "toolCallId",
    "result",
    "error",
    "call_1",
    "documents",
    "message",
    "content",
    "schema",
    "properties",
    "aliases",
    "key",
    "value",
    "title",
    "a",
    "{{ $.a }}",
    "{{ tool.response.body.a }}",
    "type",
    "object",
    "parameters",
    "required",
    "enum",
    "default",
    "const",
)


# --- the targets --------------------------------------------------------------------------------------------


def fuzz_ids(data: bytes) -> None:
    text = data.decode(errors="surrogateescape") if len(data) % 2 else data.hex()
    found = parse_id(text)
    if found is not None:
        assert parse_id(f"resp_{hex_of(found)}") == parse_id(found) == found


def fuzz_json_values(data: bytes) -> None:
    sent = Values(data, surrogates=True).json()
    try:
        value = from_python(sent)
    except ValueError:  # documented: too deep, or no UTF-8
        return
    assert to_python(value) == sent
    check_values(Message(content=value))
    assert to_python(type(value).FromString(value.SerializeToString())) == sent


def fuzz_messages(data: bytes) -> None:
    """What callers say, through everything that reads it again: items, providers' forms, the offline
    model."""
    values = Values(data, _MESSAGE_WORDS)
    sent = (
        values.text()
        if values.below(8) == 7
        else [values.object() if values.below(4) else values.json() for _ in range(values.below(4))]
    )
    with suppress(ValueError):
        parsed = inputs.parse_input(from_python(sent))
        for message in parsed:
            message.id = new_id()
            messages.text_of(message)
        list_of(items_of(parsed)).SerializeToString()
        _build_request(parsed)


def fuzz_tools(data: bytes) -> None:
    """What a request offers and asks of the answer's form, as both OpenAI forms send it."""
    values = Values(data, _SCHEMA_WORDS)
    with suppress(ValueError):
        offered = [
            struct_from(
                {"type": "function", "function": values.object()} if values.below(2) else values.object()
            )
            for _ in range(values.below(3))
        ]
        choice, form = from_python(values.json()), struct_from(values.object())
        completion = CreateChatCompletionRequest(tools=offered, tool_choice=choice, response_format=form)
        response = CreateResponseRequest(
            tools=offered,
            tool_choice=choice,
            text=struct_from({"format": to_python(form)}),
            reasoning=form,
            conversation=choice,
        )
        _build_request_with(completions._options, completion)
        _build_request_with(responses._options, response)
        response_asking._conversation_id(response)


def fuzz_documents(data: bytes) -> None:
    """Assistants, squads and tools: what passes the check can be typed, shown, sent back and acted on."""
    values = Values(data, ("offline", "function", "apiRequest", "custom-llm", "assistant-speaks-first"))
    for kind, check, typed in (
        (Assistant, documents.check_assistant, documents.typed_assistant),
        (Squad, documents.check_squad, documents.typed_squad),
        (Tool, documents.check_tool, documents.typed_tool),
    ):
        document = values.document(kind.DESCRIPTOR)
        try:
            check(document)
        except ServiceError:
            continue
        typed(document).SerializeToString()
        _act_on(kind, document)
        _sent_back(document)


def fuzz_templates(data: bytes) -> None:
    values = Values(data, ("a", "b", "c"))
    variables = values.object()
    text = "".join(values.one_of(_TEMPLATE_PIECES) for _ in range(values.below(24)))
    templates.render(text, variables)
    text, allowance = values.rest.decode(errors="replace"), Allowance()
    if templates.render(text, variables, allowance) == text and templates.faults_of(text, Allowance()):
        assert allowance.faults


def fuzz_requests(data: bytes) -> None:
    """Bytes as requests, as gRPC callers may send them."""
    for kind in (
        CreateChatRequest,
        CreateChatCompletionRequest,
        CreateResponseRequest,
        CreateAssistantRequest,
        CreateMessageRequest,
        UpdateSessionRequest,
    ):
        interceptors._read(kind.FromString, data, None)


def fuzz_typed_requests(data: bytes) -> None:
    """Requests with members of the right types, so that the rules of the proto are reached."""
    values = Values(data, ("offline",))
    for kind in (CreateChatRequest, CreateChatCompletionRequest, CreateResponseRequest, UpdateSessionRequest):
        with suppress(ServiceError):
            interceptors._read(kind.FromString, _encoded(kind, values), None)


def fuzz_filters(data: bytes) -> None:
    values = Values(data)
    text = values.rest.decode(errors="replace")
    for kind in (ListChatsRequest, ListAssistantsRequest):
        request = kind()
        for field in kind.DESCRIPTOR.fields:
            if field.cpp_type == field.CPPTYPE_STRING and values.below(4) == 3:
                setattr(request, field.name, text)
        with suppress(ServiceError):
            listing_of(request, Scope("org"), {"id": "id", "assistant_id": "assistant_id"}).select(
                "*", "chats"
            )


def fuzz_errors(data: bytes) -> None:
    values = Values(data)
    broken = tuple(
        Violation(values.text(), values.text() * (1 + values.below(256)), values.text())
        for _ in range(values.below(40))
    )
    error = ServiceError(values.text() * (1 + values.below(256)), violations=broken)
    error.http_status = values.one_of((400, 401, 404, 409, 422, 429, 500, 503))
    for door in ("assistants", "agents", "responses", "completions"):
        body_of(error, door)
        header = header_of(error, door)
        assert header.isascii() and header.isprintable() and len(header) <= 7_500
        orjson.loads(header.encode())
    refusals._fitting_details(error)


def fuzz_history(data: bytes) -> None:
    """Lines of an import: bytes as they are, and rows with members of the right names."""
    values = Values(data, _HISTORY_WORDS)
    columns = _history_columns()
    kind = values.one_of(_HISTORY_WORDS)
    names = list(columns.get(kind, ("id",)))
    row: dict[str, Any] = {"kind": kind}
    for _ in range(values.below(16)):
        name = values.one_of(names)
        row[history.camel(name)] = _cell(values, kind, name)
    for line in (data, orjson.dumps(row)):
        with suppress(ServiceError):
            for _, kind, row in history._rows([history.Line(1, line)], columns):
                history._owned(kind, row, "org")


def fuzz_forms(data: bytes) -> None:
    """What a carrier posts: bytes as they are, and signed forms."""
    values = Values(data, ("MessageSid", "To", "From", "Body", "+15550100"))
    account = TwilioAccount("AC1", "token", "http://carrier", {"p": TwilioNumber(number="+15550100")})
    service = TransportService(account, "http://parley", None, None)
    form = [(values.text(), values.text()) for _ in range(values.below(6))]
    data = urlencode(form).encode() if form else data
    signed = account.signature("http://parley/t", form)
    enter(
        Call(
            "1",
            "/parley.v1.TransportService/ReceiveTwilioMessage",
            {"x-twilio-signature": signed, "x-envoy-original-path": "/t"},
        )
    )
    with suppress(ServiceError):
        service._checked(account, ReceiveTwilioMessageRequest(org_id="o", body=HttpBody(data=data)))


def fuzz_answers(data: bytes) -> None:
    """What tools and knowledge bases answer, and the arguments that models write."""
    values, untidy = Values(data, _ANSWER_WORDS), Values(data, _ANSWER_WORDS, surrogates=True)
    call = tools.ToolCall("call_1", "tool", values.text() if values.below(2) else json.dumps(untidy.object()))
    answer = tools._Answer({"content-type": values.text()}, json.dumps(untidy.json()))
    variables = values.object()
    with suppress(tools._Failed):
        tools._result_of(answer, call)
    found = tools._extract(
        {"schema": values.object(), "aliases": values.json()}, answer, variables, Allowance()
    ).variables
    with suppress(ValueError):
        struct_from(found)
    with suppress(ServiceError):
        knowledge._documents(answer.body)
    tool = values.document(Tool.DESCRIPTOR) | {"type": "apiRequest", "url": "http://127.0.0.1/{{a}}"}
    documents.check_tool(tool)
    tools.function_of(tool)
    with suppress(tools._Failed):
        tools._api_request(tool, tools._arguments(call), variables, Allowance())


TARGETS: dict[str, Target] = {
    name.removeprefix("fuzz_"): target
    for name, target in sorted(globals().items())
    if name.startswith("fuzz_")
}


def run(name: str, data: bytes) -> None:
    """One run of a target. Raises what is a bug."""
    with suppress(ServiceError):
        TARGETS[name](data)


# --- what the targets share ---------------------------------------------------------------------------------


def _build_request(parsed: list[Message], **members: Any) -> None:
    """The request in the form of every provider."""
    request = ModelRequest(provider="openai", model="m", messages=well_formed(parsed), **members)
    for body_of_provider in (openai.request_body, anthropic.request_body):
        with suppress(ServiceError):
            orjson.dumps(body_of_provider(request))
    with suppress(ServiceError):
        for index, choice in enumerate(offline._choices(request)):
            list(offline._pieces(index, choice))


def _build_request_with(options_of: Callable[[Any], Any], request: AnyMessage) -> None:
    with suppress(ServiceError):
        options = options_of(request)
        _build_request(
            inputs.parse_input(from_python("what is a?")),
            tools=options.tools,
            tool_choice=options.tool_choice,
            response_format=options.response_format,
        )


def _act_on(kind: type[AnyMessage], document: dict[str, Any]) -> None:
    """What a chat reads of a document that was checked."""
    if kind is Tool:
        tools.function_of(document)
        tools.is_run_here(document)
    if kind is Assistant:
        settings = AssistantSettings.of(document)
        for tool in settings.tools:
            tools.function_of(tool)
        for _, text, _ in settings.prompts:
            templates.render(text, {"a": 1})
        document_warnings.of_assistant(document, _not_called)
    if kind is Squad:
        document_warnings.of_squad(document, _not_called)
        for entry in document["members"]:
            if isinstance(entry.get("assistant"), dict):
                AssistantSettings.of(entry["assistant"])
            squads.handoffs(entry, "a", {"a": "One", "b": "Two", "c": "Two"})
            ignored_settings.of_destinations(squads.Seat(entry, "a", 0), {"a": "One", "b": "Two", "c": "Two"})
        with suppress(ServiceError):
            squads.check_destinations(document, {})


def _not_called(provider: str, url: str | None) -> str:
    return "is not called"


def _sent_back(document: dict[str, Any]) -> None:
    """A client sends back what it has read: every secret stays what it was, or the request is refused."""
    secrets.without_secrets(document)
    with suppress(ServiceError):
        stored = secrets.restore_secrets(document, {})
        shown = secrets.mask_secrets(stored)
        documents.merge_patch(stored, shown)
        assert secrets.restore_secrets(shown, stored) == stored


def _encoded(kind: type[AnyMessage], values: Values) -> bytes:
    """A request of this kind as bytes, some members set."""
    request = kind()
    given = values.document(kind.DESCRIPTOR)
    for field in kind.DESCRIPTOR.fields:
        with suppress(TypeError, ValueError, AttributeError):
            if field.json_name in given and field.message_type is None and not field.is_repeated:
                setattr(request, field.name, given[field.json_name])
            elif field.json_name in given and field.message_type.name == "Value":
                getattr(request, field.name).CopyFrom(from_python(given[field.json_name]))
            elif field.json_name in given and field.message_type.name == "Struct" and not field.is_repeated:
                getattr(request, field.name).CopyFrom(struct_from(given[field.json_name]))
    return request.SerializeToString()


def _cell(values: Values, kind: str, name: str) -> Any:
    """A value for a column, mostly of the form that it has in a line."""
    if values.below(8) == 7:
        return values.json()
    if name in ("id", "thread_id", "parent_id", "session_id"):
        return new_id()
    forms: dict[tuple[str, str], type[AnyMessage]] = {
        ("session", "body"): Session,
        ("chat", "body"): Chat,
        ("chat", "record"): ChatRecord,
        ("message", "body"): Message,
        ("assistant", "document"): Assistant,
        ("squad", "document"): Squad,
        ("tool", "document"): Tool,
    }
    if (kind, name) in forms:
        return values.document(forms[kind, name].DESCRIPTOR)
    return values.one_of((0, 1, 2**53, "completed", "active", 1.5))


@cache
def _history_columns() -> dict[str, dict[str, tuple[str, bool]]]:
    """The columns of each kind of row, as an empty database has them."""
    folder = Path(tempfile.mkdtemp(prefix="parley-fuzz-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    store = open_store(folder)
    atexit.register(store.close)
    return {kind: history.columns_of(store.database.reader, kind) for kind in history.TABLES}
