from generated.buf.validate import validate_pb2 as _validate_pb2
from google.api import annotations_pb2 as _annotations_pb2
from google.api import httpbody_pb2 as _httpbody_pb2
from google.protobuf import struct_pb2 as _struct_pb2
from generated.parley.v1 import access_pb2 as _access_pb2
from generated.parley.v1 import chat_service_pb2 as _chat_service_pb2
from generated.parley.v1 import item_pb2 as _item_pb2
from generated.parley.v1 import response_pb2 as _response_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class CreateResponseRequest(_message.Message):
    __slots__ = ("input", "assistant_id", "assistant", "assistant_overrides", "squad_id", "squad", "name", "session_id", "stream", "previous_chat_id", "transport", "model", "instructions", "tools", "tool_choice", "text", "temperature", "top_p", "max_output_tokens", "max_tool_calls", "metadata", "previous_response_id", "store", "background", "stream_options", "parallel_tool_calls", "reasoning", "include", "truncation", "user", "service_tier", "safety_identifier", "prompt_cache_key", "prompt_cache_retention", "top_logprobs", "frequency_penalty", "presence_penalty", "conversation", "prompt_cache_options", "prompt", "moderation", "context_management", "access_programs", "background_options", "image")
    INPUT_FIELD_NUMBER: _ClassVar[int]
    ASSISTANT_ID_FIELD_NUMBER: _ClassVar[int]
    ASSISTANT_FIELD_NUMBER: _ClassVar[int]
    ASSISTANT_OVERRIDES_FIELD_NUMBER: _ClassVar[int]
    SQUAD_ID_FIELD_NUMBER: _ClassVar[int]
    SQUAD_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    STREAM_FIELD_NUMBER: _ClassVar[int]
    PREVIOUS_CHAT_ID_FIELD_NUMBER: _ClassVar[int]
    TRANSPORT_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    INSTRUCTIONS_FIELD_NUMBER: _ClassVar[int]
    TOOLS_FIELD_NUMBER: _ClassVar[int]
    TOOL_CHOICE_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    TEMPERATURE_FIELD_NUMBER: _ClassVar[int]
    TOP_P_FIELD_NUMBER: _ClassVar[int]
    MAX_OUTPUT_TOKENS_FIELD_NUMBER: _ClassVar[int]
    MAX_TOOL_CALLS_FIELD_NUMBER: _ClassVar[int]
    METADATA_FIELD_NUMBER: _ClassVar[int]
    PREVIOUS_RESPONSE_ID_FIELD_NUMBER: _ClassVar[int]
    STORE_FIELD_NUMBER: _ClassVar[int]
    BACKGROUND_FIELD_NUMBER: _ClassVar[int]
    STREAM_OPTIONS_FIELD_NUMBER: _ClassVar[int]
    PARALLEL_TOOL_CALLS_FIELD_NUMBER: _ClassVar[int]
    REASONING_FIELD_NUMBER: _ClassVar[int]
    INCLUDE_FIELD_NUMBER: _ClassVar[int]
    TRUNCATION_FIELD_NUMBER: _ClassVar[int]
    USER_FIELD_NUMBER: _ClassVar[int]
    SERVICE_TIER_FIELD_NUMBER: _ClassVar[int]
    SAFETY_IDENTIFIER_FIELD_NUMBER: _ClassVar[int]
    PROMPT_CACHE_KEY_FIELD_NUMBER: _ClassVar[int]
    PROMPT_CACHE_RETENTION_FIELD_NUMBER: _ClassVar[int]
    TOP_LOGPROBS_FIELD_NUMBER: _ClassVar[int]
    FREQUENCY_PENALTY_FIELD_NUMBER: _ClassVar[int]
    PRESENCE_PENALTY_FIELD_NUMBER: _ClassVar[int]
    CONVERSATION_FIELD_NUMBER: _ClassVar[int]
    PROMPT_CACHE_OPTIONS_FIELD_NUMBER: _ClassVar[int]
    PROMPT_FIELD_NUMBER: _ClassVar[int]
    MODERATION_FIELD_NUMBER: _ClassVar[int]
    CONTEXT_MANAGEMENT_FIELD_NUMBER: _ClassVar[int]
    ACCESS_PROGRAMS_FIELD_NUMBER: _ClassVar[int]
    BACKGROUND_OPTIONS_FIELD_NUMBER: _ClassVar[int]
    IMAGE_FIELD_NUMBER: _ClassVar[int]
    input: _struct_pb2.Value
    assistant_id: str
    assistant: _struct_pb2.Struct
    assistant_overrides: _struct_pb2.Struct
    squad_id: str
    squad: _struct_pb2.Struct
    name: str
    session_id: str
    stream: bool
    previous_chat_id: str
    transport: _chat_service_pb2.ChatTransport
    model: str
    instructions: _struct_pb2.Value
    tools: _containers.RepeatedCompositeFieldContainer[_struct_pb2.Struct]
    tool_choice: _struct_pb2.Value
    text: _struct_pb2.Struct
    temperature: float
    top_p: float
    max_output_tokens: int
    max_tool_calls: int
    metadata: _struct_pb2.Struct
    previous_response_id: str
    store: bool
    background: bool
    stream_options: _struct_pb2.Struct
    parallel_tool_calls: bool
    reasoning: _struct_pb2.Struct
    include: _containers.RepeatedScalarFieldContainer[str]
    truncation: str
    user: str
    service_tier: str
    safety_identifier: str
    prompt_cache_key: str
    prompt_cache_retention: str
    top_logprobs: int
    frequency_penalty: float
    presence_penalty: float
    conversation: _struct_pb2.Value
    prompt_cache_options: _struct_pb2.Struct
    prompt: _struct_pb2.Value
    moderation: _struct_pb2.Value
    context_management: _struct_pb2.Value
    access_programs: _struct_pb2.Value
    background_options: _struct_pb2.Value
    image: _struct_pb2.Value
    def __init__(self, input: _Optional[_Union[_struct_pb2.Value, _Mapping]] = ..., assistant_id: _Optional[str] = ..., assistant: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ..., assistant_overrides: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ..., squad_id: _Optional[str] = ..., squad: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ..., name: _Optional[str] = ..., session_id: _Optional[str] = ..., stream: _Optional[bool] = ..., previous_chat_id: _Optional[str] = ..., transport: _Optional[_Union[_chat_service_pb2.ChatTransport, _Mapping]] = ..., model: _Optional[str] = ..., instructions: _Optional[_Union[_struct_pb2.Value, _Mapping]] = ..., tools: _Optional[_Iterable[_Union[_struct_pb2.Struct, _Mapping]]] = ..., tool_choice: _Optional[_Union[_struct_pb2.Value, _Mapping]] = ..., text: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ..., temperature: _Optional[float] = ..., top_p: _Optional[float] = ..., max_output_tokens: _Optional[int] = ..., max_tool_calls: _Optional[int] = ..., metadata: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ..., previous_response_id: _Optional[str] = ..., store: _Optional[bool] = ..., background: _Optional[bool] = ..., stream_options: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ..., parallel_tool_calls: _Optional[bool] = ..., reasoning: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ..., include: _Optional[_Iterable[str]] = ..., truncation: _Optional[str] = ..., user: _Optional[str] = ..., service_tier: _Optional[str] = ..., safety_identifier: _Optional[str] = ..., prompt_cache_key: _Optional[str] = ..., prompt_cache_retention: _Optional[str] = ..., top_logprobs: _Optional[int] = ..., frequency_penalty: _Optional[float] = ..., presence_penalty: _Optional[float] = ..., conversation: _Optional[_Union[_struct_pb2.Value, _Mapping]] = ..., prompt_cache_options: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ..., prompt: _Optional[_Union[_struct_pb2.Value, _Mapping]] = ..., moderation: _Optional[_Union[_struct_pb2.Value, _Mapping]] = ..., context_management: _Optional[_Union[_struct_pb2.Value, _Mapping]] = ..., access_programs: _Optional[_Union[_struct_pb2.Value, _Mapping]] = ..., background_options: _Optional[_Union[_struct_pb2.Value, _Mapping]] = ..., image: _Optional[_Union[_struct_pb2.Value, _Mapping]] = ...) -> None: ...

class ConnectResponsesRequest(_message.Message):
    __slots__ = ("create", "generate", "idempotency_key")
    CREATE_FIELD_NUMBER: _ClassVar[int]
    GENERATE_FIELD_NUMBER: _ClassVar[int]
    IDEMPOTENCY_KEY_FIELD_NUMBER: _ClassVar[int]
    create: CreateResponseRequest
    generate: bool
    idempotency_key: str
    def __init__(self, create: _Optional[_Union[CreateResponseRequest, _Mapping]] = ..., generate: _Optional[bool] = ..., idempotency_key: _Optional[str] = ...) -> None: ...

class ConnectResponsesEvent(_message.Message):
    __slots__ = ("response", "error")
    RESPONSE_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    response: _response_pb2.ResponseStreamEvent
    error: RequestError
    def __init__(self, response: _Optional[_Union[_response_pb2.ResponseStreamEvent, _Mapping]] = ..., error: _Optional[_Union[RequestError, _Mapping]] = ...) -> None: ...

class RequestError(_message.Message):
    __slots__ = ("status", "type", "code", "message", "param", "retry_after")
    STATUS_FIELD_NUMBER: _ClassVar[int]
    TYPE_FIELD_NUMBER: _ClassVar[int]
    CODE_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    PARAM_FIELD_NUMBER: _ClassVar[int]
    RETRY_AFTER_FIELD_NUMBER: _ClassVar[int]
    status: int
    type: str
    code: str
    message: str
    param: str
    retry_after: float
    def __init__(self, status: _Optional[int] = ..., type: _Optional[str] = ..., code: _Optional[str] = ..., message: _Optional[str] = ..., param: _Optional[str] = ..., retry_after: _Optional[float] = ...) -> None: ...

class GetResponseRequest(_message.Message):
    __slots__ = ("response_id", "stream", "starting_after", "include", "include_obfuscation")
    RESPONSE_ID_FIELD_NUMBER: _ClassVar[int]
    STREAM_FIELD_NUMBER: _ClassVar[int]
    STARTING_AFTER_FIELD_NUMBER: _ClassVar[int]
    INCLUDE_FIELD_NUMBER: _ClassVar[int]
    INCLUDE_OBFUSCATION_FIELD_NUMBER: _ClassVar[int]
    response_id: str
    stream: bool
    starting_after: int
    include: _containers.RepeatedScalarFieldContainer[str]
    include_obfuscation: bool
    def __init__(self, response_id: _Optional[str] = ..., stream: _Optional[bool] = ..., starting_after: _Optional[int] = ..., include: _Optional[_Iterable[str]] = ..., include_obfuscation: _Optional[bool] = ...) -> None: ...

class DeleteResponseRequest(_message.Message):
    __slots__ = ("response_id",)
    RESPONSE_ID_FIELD_NUMBER: _ClassVar[int]
    response_id: str
    def __init__(self, response_id: _Optional[str] = ...) -> None: ...

class DeletedResponse(_message.Message):
    __slots__ = ("id", "object", "deleted")
    ID_FIELD_NUMBER: _ClassVar[int]
    OBJECT_FIELD_NUMBER: _ClassVar[int]
    DELETED_FIELD_NUMBER: _ClassVar[int]
    id: str
    object: str
    deleted: bool
    def __init__(self, id: _Optional[str] = ..., object: _Optional[str] = ..., deleted: _Optional[bool] = ...) -> None: ...

class CancelResponseRequest(_message.Message):
    __slots__ = ("response_id",)
    RESPONSE_ID_FIELD_NUMBER: _ClassVar[int]
    response_id: str
    def __init__(self, response_id: _Optional[str] = ...) -> None: ...

class ListInputItemsRequest(_message.Message):
    __slots__ = ("response_id", "after", "limit", "order", "include")
    RESPONSE_ID_FIELD_NUMBER: _ClassVar[int]
    AFTER_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    ORDER_FIELD_NUMBER: _ClassVar[int]
    INCLUDE_FIELD_NUMBER: _ClassVar[int]
    response_id: str
    after: str
    limit: int
    order: str
    include: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, response_id: _Optional[str] = ..., after: _Optional[str] = ..., limit: _Optional[int] = ..., order: _Optional[str] = ..., include: _Optional[_Iterable[str]] = ...) -> None: ...

class CountInputTokensRequest(_message.Message):
    __slots__ = ("model", "input", "conversation", "instructions", "previous_response_id", "tools", "tool_choice", "text", "reasoning", "parallel_tool_calls", "truncation", "personality", "assistant_id")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    INPUT_FIELD_NUMBER: _ClassVar[int]
    CONVERSATION_FIELD_NUMBER: _ClassVar[int]
    INSTRUCTIONS_FIELD_NUMBER: _ClassVar[int]
    PREVIOUS_RESPONSE_ID_FIELD_NUMBER: _ClassVar[int]
    TOOLS_FIELD_NUMBER: _ClassVar[int]
    TOOL_CHOICE_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    REASONING_FIELD_NUMBER: _ClassVar[int]
    PARALLEL_TOOL_CALLS_FIELD_NUMBER: _ClassVar[int]
    TRUNCATION_FIELD_NUMBER: _ClassVar[int]
    PERSONALITY_FIELD_NUMBER: _ClassVar[int]
    ASSISTANT_ID_FIELD_NUMBER: _ClassVar[int]
    model: str
    input: _struct_pb2.Value
    conversation: _struct_pb2.Value
    instructions: _struct_pb2.Value
    previous_response_id: str
    tools: _containers.RepeatedCompositeFieldContainer[_struct_pb2.Struct]
    tool_choice: _struct_pb2.Value
    text: _struct_pb2.Struct
    reasoning: _struct_pb2.Struct
    parallel_tool_calls: bool
    truncation: str
    personality: _struct_pb2.Value
    assistant_id: str
    def __init__(self, model: _Optional[str] = ..., input: _Optional[_Union[_struct_pb2.Value, _Mapping]] = ..., conversation: _Optional[_Union[_struct_pb2.Value, _Mapping]] = ..., instructions: _Optional[_Union[_struct_pb2.Value, _Mapping]] = ..., previous_response_id: _Optional[str] = ..., tools: _Optional[_Iterable[_Union[_struct_pb2.Struct, _Mapping]]] = ..., tool_choice: _Optional[_Union[_struct_pb2.Value, _Mapping]] = ..., text: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ..., reasoning: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ..., parallel_tool_calls: _Optional[bool] = ..., truncation: _Optional[str] = ..., personality: _Optional[_Union[_struct_pb2.Value, _Mapping]] = ..., assistant_id: _Optional[str] = ...) -> None: ...

class InputTokens(_message.Message):
    __slots__ = ("object", "input_tokens", "estimated")
    OBJECT_FIELD_NUMBER: _ClassVar[int]
    INPUT_TOKENS_FIELD_NUMBER: _ClassVar[int]
    ESTIMATED_FIELD_NUMBER: _ClassVar[int]
    object: str
    input_tokens: int
    estimated: bool
    def __init__(self, object: _Optional[str] = ..., input_tokens: _Optional[int] = ..., estimated: _Optional[bool] = ...) -> None: ...

class CompactResponseRequest(_message.Message):
    __slots__ = ("model", "input", "previous_response_id", "instructions", "assistant_id", "prompt_cache_key", "prompt_cache_retention", "prompt_cache_options", "service_tier", "image")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    INPUT_FIELD_NUMBER: _ClassVar[int]
    PREVIOUS_RESPONSE_ID_FIELD_NUMBER: _ClassVar[int]
    INSTRUCTIONS_FIELD_NUMBER: _ClassVar[int]
    ASSISTANT_ID_FIELD_NUMBER: _ClassVar[int]
    PROMPT_CACHE_KEY_FIELD_NUMBER: _ClassVar[int]
    PROMPT_CACHE_RETENTION_FIELD_NUMBER: _ClassVar[int]
    PROMPT_CACHE_OPTIONS_FIELD_NUMBER: _ClassVar[int]
    SERVICE_TIER_FIELD_NUMBER: _ClassVar[int]
    IMAGE_FIELD_NUMBER: _ClassVar[int]
    model: str
    input: _struct_pb2.Value
    previous_response_id: str
    instructions: _struct_pb2.Value
    assistant_id: str
    prompt_cache_key: str
    prompt_cache_retention: str
    prompt_cache_options: _struct_pb2.Struct
    service_tier: str
    image: _struct_pb2.Value
    def __init__(self, model: _Optional[str] = ..., input: _Optional[_Union[_struct_pb2.Value, _Mapping]] = ..., previous_response_id: _Optional[str] = ..., instructions: _Optional[_Union[_struct_pb2.Value, _Mapping]] = ..., assistant_id: _Optional[str] = ..., prompt_cache_key: _Optional[str] = ..., prompt_cache_retention: _Optional[str] = ..., prompt_cache_options: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ..., service_tier: _Optional[str] = ..., image: _Optional[_Union[_struct_pb2.Value, _Mapping]] = ...) -> None: ...

class CompactedResponse(_message.Message):
    __slots__ = ("id", "object", "created_at", "output", "usage")
    ID_FIELD_NUMBER: _ClassVar[int]
    OBJECT_FIELD_NUMBER: _ClassVar[int]
    CREATED_AT_FIELD_NUMBER: _ClassVar[int]
    OUTPUT_FIELD_NUMBER: _ClassVar[int]
    USAGE_FIELD_NUMBER: _ClassVar[int]
    id: str
    object: str
    created_at: float
    output: _containers.RepeatedCompositeFieldContainer[_struct_pb2.Struct]
    usage: _response_pb2.ResponseUsage
    def __init__(self, id: _Optional[str] = ..., object: _Optional[str] = ..., created_at: _Optional[float] = ..., output: _Optional[_Iterable[_Union[_struct_pb2.Struct, _Mapping]]] = ..., usage: _Optional[_Union[_response_pb2.ResponseUsage, _Mapping]] = ...) -> None: ...
