import datetime

from google.protobuf import struct_pb2 as _struct_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from generated.parley.v1 import message_pb2 as _message_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Chat(_message.Message):
    __slots__ = ("id", "org_id", "created_at", "updated_at", "assistant_id", "assistant", "assistant_overrides", "squad_id", "squad", "name", "session_id", "input", "stream", "previous_chat_id", "messages", "output", "costs", "cost", "status", "error", "transport", "knowledge", "omitted", "warnings")
    ID_FIELD_NUMBER: _ClassVar[int]
    ORG_ID_FIELD_NUMBER: _ClassVar[int]
    CREATED_AT_FIELD_NUMBER: _ClassVar[int]
    UPDATED_AT_FIELD_NUMBER: _ClassVar[int]
    ASSISTANT_ID_FIELD_NUMBER: _ClassVar[int]
    ASSISTANT_FIELD_NUMBER: _ClassVar[int]
    ASSISTANT_OVERRIDES_FIELD_NUMBER: _ClassVar[int]
    SQUAD_ID_FIELD_NUMBER: _ClassVar[int]
    SQUAD_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    INPUT_FIELD_NUMBER: _ClassVar[int]
    STREAM_FIELD_NUMBER: _ClassVar[int]
    PREVIOUS_CHAT_ID_FIELD_NUMBER: _ClassVar[int]
    MESSAGES_FIELD_NUMBER: _ClassVar[int]
    OUTPUT_FIELD_NUMBER: _ClassVar[int]
    COSTS_FIELD_NUMBER: _ClassVar[int]
    COST_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    TRANSPORT_FIELD_NUMBER: _ClassVar[int]
    KNOWLEDGE_FIELD_NUMBER: _ClassVar[int]
    OMITTED_FIELD_NUMBER: _ClassVar[int]
    WARNINGS_FIELD_NUMBER: _ClassVar[int]
    id: str
    org_id: str
    created_at: _timestamp_pb2.Timestamp
    updated_at: _timestamp_pb2.Timestamp
    assistant_id: str
    assistant: _struct_pb2.Struct
    assistant_overrides: _struct_pb2.Struct
    squad_id: str
    squad: _struct_pb2.Struct
    name: str
    session_id: str
    input: _struct_pb2.Value
    stream: bool
    previous_chat_id: str
    messages: _containers.RepeatedCompositeFieldContainer[_message_pb2.Message]
    output: _containers.RepeatedCompositeFieldContainer[_message_pb2.Message]
    costs: _containers.RepeatedCompositeFieldContainer[Cost]
    cost: float
    status: str
    error: ChatError
    transport: ChatDelivery
    knowledge: ChatKnowledge
    omitted: Omitted
    warnings: _struct_pb2.ListValue
    def __init__(self, id: _Optional[str] = ..., org_id: _Optional[str] = ..., created_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., updated_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., assistant_id: _Optional[str] = ..., assistant: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ..., assistant_overrides: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ..., squad_id: _Optional[str] = ..., squad: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ..., name: _Optional[str] = ..., session_id: _Optional[str] = ..., input: _Optional[_Union[_struct_pb2.Value, _Mapping]] = ..., stream: _Optional[bool] = ..., previous_chat_id: _Optional[str] = ..., messages: _Optional[_Iterable[_Union[_message_pb2.Message, _Mapping]]] = ..., output: _Optional[_Iterable[_Union[_message_pb2.Message, _Mapping]]] = ..., costs: _Optional[_Iterable[_Union[Cost, _Mapping]]] = ..., cost: _Optional[float] = ..., status: _Optional[str] = ..., error: _Optional[_Union[ChatError, _Mapping]] = ..., transport: _Optional[_Union[ChatDelivery, _Mapping]] = ..., knowledge: _Optional[_Union[ChatKnowledge, _Mapping]] = ..., omitted: _Optional[_Union[Omitted, _Mapping]] = ..., warnings: _Optional[_Union[_struct_pb2.ListValue, _Mapping]] = ...) -> None: ...

class Omitted(_message.Message):
    __slots__ = ("members", "message")
    MEMBERS_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    members: _containers.RepeatedScalarFieldContainer[str]
    message: str
    def __init__(self, members: _Optional[_Iterable[str]] = ..., message: _Optional[str] = ...) -> None: ...

class ChatKnowledge(_message.Message):
    __slots__ = ("documents", "error")
    DOCUMENTS_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    documents: int
    error: ChatError
    def __init__(self, documents: _Optional[int] = ..., error: _Optional[_Union[ChatError, _Mapping]] = ...) -> None: ...

class ChatDelivery(_message.Message):
    __slots__ = ("type", "status", "message")
    TYPE_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    type: str
    status: str
    message: str
    def __init__(self, type: _Optional[str] = ..., status: _Optional[str] = ..., message: _Optional[str] = ...) -> None: ...

class ChatError(_message.Message):
    __slots__ = ("code", "message")
    CODE_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    code: str
    message: str
    def __init__(self, code: _Optional[str] = ..., message: _Optional[str] = ...) -> None: ...

class Cost(_message.Message):
    __slots__ = ("type", "model", "prompt_tokens", "completion_tokens", "cost", "estimated")
    TYPE_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    PROMPT_TOKENS_FIELD_NUMBER: _ClassVar[int]
    COMPLETION_TOKENS_FIELD_NUMBER: _ClassVar[int]
    COST_FIELD_NUMBER: _ClassVar[int]
    ESTIMATED_FIELD_NUMBER: _ClassVar[int]
    type: str
    model: _struct_pb2.Struct
    prompt_tokens: float
    completion_tokens: float
    cost: float
    estimated: bool
    def __init__(self, type: _Optional[str] = ..., model: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ..., prompt_tokens: _Optional[float] = ..., completion_tokens: _Optional[float] = ..., cost: _Optional[float] = ..., estimated: _Optional[bool] = ...) -> None: ...

class ChatEvent(_message.Message):
    __slots__ = ("chat_id", "session_id", "started", "delta", "tool_call", "completed", "failed", "round", "reasoning", "model", "system_fingerprint", "message_id", "sequence", "service_tier")
    CHAT_ID_FIELD_NUMBER: _ClassVar[int]
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    STARTED_FIELD_NUMBER: _ClassVar[int]
    DELTA_FIELD_NUMBER: _ClassVar[int]
    TOOL_CALL_FIELD_NUMBER: _ClassVar[int]
    COMPLETED_FIELD_NUMBER: _ClassVar[int]
    FAILED_FIELD_NUMBER: _ClassVar[int]
    ROUND_FIELD_NUMBER: _ClassVar[int]
    REASONING_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    SYSTEM_FINGERPRINT_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_ID_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    SERVICE_TIER_FIELD_NUMBER: _ClassVar[int]
    chat_id: str
    session_id: str
    started: Chat
    delta: ContentDelta
    tool_call: ToolCallDelta
    completed: Chat
    failed: Chat
    round: ToolRound
    reasoning: ReasoningDelta
    model: str
    system_fingerprint: str
    message_id: str
    sequence: int
    service_tier: str
    def __init__(self, chat_id: _Optional[str] = ..., session_id: _Optional[str] = ..., started: _Optional[_Union[Chat, _Mapping]] = ..., delta: _Optional[_Union[ContentDelta, _Mapping]] = ..., tool_call: _Optional[_Union[ToolCallDelta, _Mapping]] = ..., completed: _Optional[_Union[Chat, _Mapping]] = ..., failed: _Optional[_Union[Chat, _Mapping]] = ..., round: _Optional[_Union[ToolRound, _Mapping]] = ..., reasoning: _Optional[_Union[ReasoningDelta, _Mapping]] = ..., model: _Optional[str] = ..., system_fingerprint: _Optional[str] = ..., message_id: _Optional[str] = ..., sequence: _Optional[int] = ..., service_tier: _Optional[str] = ...) -> None: ...

class ContentDelta(_message.Message):
    __slots__ = ("choice", "text", "output_index", "refusal", "logprobs")
    CHOICE_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    OUTPUT_INDEX_FIELD_NUMBER: _ClassVar[int]
    REFUSAL_FIELD_NUMBER: _ClassVar[int]
    LOGPROBS_FIELD_NUMBER: _ClassVar[int]
    choice: int
    text: str
    output_index: int
    refusal: bool
    logprobs: _struct_pb2.ListValue
    def __init__(self, choice: _Optional[int] = ..., text: _Optional[str] = ..., output_index: _Optional[int] = ..., refusal: _Optional[bool] = ..., logprobs: _Optional[_Union[_struct_pb2.ListValue, _Mapping]] = ...) -> None: ...

class ReasoningDelta(_message.Message):
    __slots__ = ("choice", "text", "part", "summary", "output_index", "exposed")
    CHOICE_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    PART_FIELD_NUMBER: _ClassVar[int]
    SUMMARY_FIELD_NUMBER: _ClassVar[int]
    OUTPUT_INDEX_FIELD_NUMBER: _ClassVar[int]
    EXPOSED_FIELD_NUMBER: _ClassVar[int]
    choice: int
    text: str
    part: int
    summary: bool
    output_index: int
    exposed: bool
    def __init__(self, choice: _Optional[int] = ..., text: _Optional[str] = ..., part: _Optional[int] = ..., summary: _Optional[bool] = ..., output_index: _Optional[int] = ..., exposed: _Optional[bool] = ...) -> None: ...

class ToolRound(_message.Message):
    __slots__ = ("messages",)
    MESSAGES_FIELD_NUMBER: _ClassVar[int]
    messages: _containers.RepeatedCompositeFieldContainer[_message_pb2.Message]
    def __init__(self, messages: _Optional[_Iterable[_Union[_message_pb2.Message, _Mapping]]] = ...) -> None: ...

class ToolCallDelta(_message.Message):
    __slots__ = ("choice", "index", "id", "name", "arguments", "output_index", "custom")
    CHOICE_FIELD_NUMBER: _ClassVar[int]
    INDEX_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    ARGUMENTS_FIELD_NUMBER: _ClassVar[int]
    OUTPUT_INDEX_FIELD_NUMBER: _ClassVar[int]
    CUSTOM_FIELD_NUMBER: _ClassVar[int]
    choice: int
    index: int
    id: str
    name: str
    arguments: str
    output_index: int
    custom: bool
    def __init__(self, choice: _Optional[int] = ..., index: _Optional[int] = ..., id: _Optional[str] = ..., name: _Optional[str] = ..., arguments: _Optional[str] = ..., output_index: _Optional[int] = ..., custom: _Optional[bool] = ...) -> None: ...

class PaginationMeta(_message.Message):
    __slots__ = ("items_per_page", "total_items", "current_page", "total_pages", "has_next_page", "sort_order", "next_cursor")
    ITEMS_PER_PAGE_FIELD_NUMBER: _ClassVar[int]
    TOTAL_ITEMS_FIELD_NUMBER: _ClassVar[int]
    CURRENT_PAGE_FIELD_NUMBER: _ClassVar[int]
    TOTAL_PAGES_FIELD_NUMBER: _ClassVar[int]
    HAS_NEXT_PAGE_FIELD_NUMBER: _ClassVar[int]
    SORT_ORDER_FIELD_NUMBER: _ClassVar[int]
    NEXT_CURSOR_FIELD_NUMBER: _ClassVar[int]
    items_per_page: float
    total_items: float
    current_page: float
    total_pages: float
    has_next_page: bool
    sort_order: str
    next_cursor: str
    def __init__(self, items_per_page: _Optional[float] = ..., total_items: _Optional[float] = ..., current_page: _Optional[float] = ..., total_pages: _Optional[float] = ..., has_next_page: _Optional[bool] = ..., sort_order: _Optional[str] = ..., next_cursor: _Optional[str] = ...) -> None: ...
