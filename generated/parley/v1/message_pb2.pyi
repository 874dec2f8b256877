from generated.buf.validate import validate_pb2 as _validate_pb2
from google.protobuf import struct_pb2 as _struct_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Message(_message.Message):
    __slots__ = ("id", "role", "content", "message", "time", "seconds_from_start", "tool_calls", "tool_call_id", "name", "metadata", "refusal", "logprobs", "provider_state", "text_before_calls", "run_by_server", "reasoning", "custom_tool", "calls_key")
    ID_FIELD_NUMBER: _ClassVar[int]
    ROLE_FIELD_NUMBER: _ClassVar[int]
    CONTENT_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    TIME_FIELD_NUMBER: _ClassVar[int]
    SECONDS_FROM_START_FIELD_NUMBER: _ClassVar[int]
    TOOL_CALLS_FIELD_NUMBER: _ClassVar[int]
    TOOL_CALL_ID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    METADATA_FIELD_NUMBER: _ClassVar[int]
    REFUSAL_FIELD_NUMBER: _ClassVar[int]
    LOGPROBS_FIELD_NUMBER: _ClassVar[int]
    PROVIDER_STATE_FIELD_NUMBER: _ClassVar[int]
    TEXT_BEFORE_CALLS_FIELD_NUMBER: _ClassVar[int]
    RUN_BY_SERVER_FIELD_NUMBER: _ClassVar[int]
    REASONING_FIELD_NUMBER: _ClassVar[int]
    CUSTOM_TOOL_FIELD_NUMBER: _ClassVar[int]
    CALLS_KEY_FIELD_NUMBER: _ClassVar[int]
    id: str
    role: str
    content: _struct_pb2.Value
    message: str
    time: float
    seconds_from_start: float
    tool_calls: _struct_pb2.Value
    tool_call_id: str
    name: str
    metadata: _struct_pb2.Struct
    refusal: str
    logprobs: _struct_pb2.ListValue
    provider_state: ProviderState
    text_before_calls: _struct_pb2.ListValue
    run_by_server: RunByServer
    reasoning: Reasoning
    custom_tool: bool
    calls_key: str
    def __init__(self, id: _Optional[str] = ..., role: _Optional[str] = ..., content: _Optional[_Union[_struct_pb2.Value, _Mapping]] = ..., message: _Optional[str] = ..., time: _Optional[float] = ..., seconds_from_start: _Optional[float] = ..., tool_calls: _Optional[_Union[_struct_pb2.Value, _Mapping]] = ..., tool_call_id: _Optional[str] = ..., name: _Optional[str] = ..., metadata: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ..., refusal: _Optional[str] = ..., logprobs: _Optional[_Union[_struct_pb2.ListValue, _Mapping]] = ..., provider_state: _Optional[_Union[ProviderState, _Mapping]] = ..., text_before_calls: _Optional[_Union[_struct_pb2.ListValue, _Mapping]] = ..., run_by_server: _Optional[_Union[RunByServer, _Mapping]] = ..., reasoning: _Optional[_Union[Reasoning, _Mapping]] = ..., custom_tool: _Optional[bool] = ..., calls_key: _Optional[str] = ...) -> None: ...

class Reasoning(_message.Message):
    __slots__ = ("parts",)
    PARTS_FIELD_NUMBER: _ClassVar[int]
    parts: _containers.RepeatedCompositeFieldContainer[ReasoningPart]
    def __init__(self, parts: _Optional[_Iterable[_Union[ReasoningPart, _Mapping]]] = ...) -> None: ...

class ReasoningPart(_message.Message):
    __slots__ = ("text", "summary", "characters_before", "calls_before", "exposed")
    TEXT_FIELD_NUMBER: _ClassVar[int]
    SUMMARY_FIELD_NUMBER: _ClassVar[int]
    CHARACTERS_BEFORE_FIELD_NUMBER: _ClassVar[int]
    CALLS_BEFORE_FIELD_NUMBER: _ClassVar[int]
    EXPOSED_FIELD_NUMBER: _ClassVar[int]
    text: str
    summary: bool
    characters_before: int
    calls_before: int
    exposed: bool
    def __init__(self, text: _Optional[str] = ..., summary: _Optional[bool] = ..., characters_before: _Optional[int] = ..., calls_before: _Optional[int] = ..., exposed: _Optional[bool] = ...) -> None: ...

class RunByServer(_message.Message):
    __slots__ = ("arguments",)
    ARGUMENTS_FIELD_NUMBER: _ClassVar[int]
    arguments: str
    def __init__(self, arguments: _Optional[str] = ...) -> None: ...

class ProviderState(_message.Message):
    __slots__ = ("provider", "model_family", "host", "reasoning_content", "extra_content", "thinking", "reasoning_details")
    PROVIDER_FIELD_NUMBER: _ClassVar[int]
    MODEL_FAMILY_FIELD_NUMBER: _ClassVar[int]
    HOST_FIELD_NUMBER: _ClassVar[int]
    REASONING_CONTENT_FIELD_NUMBER: _ClassVar[int]
    EXTRA_CONTENT_FIELD_NUMBER: _ClassVar[int]
    THINKING_FIELD_NUMBER: _ClassVar[int]
    REASONING_DETAILS_FIELD_NUMBER: _ClassVar[int]
    provider: str
    model_family: str
    host: str
    reasoning_content: str
    extra_content: _containers.RepeatedCompositeFieldContainer[ExtraContent]
    thinking: _containers.RepeatedCompositeFieldContainer[ThinkingBlock]
    reasoning_details: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, provider: _Optional[str] = ..., model_family: _Optional[str] = ..., host: _Optional[str] = ..., reasoning_content: _Optional[str] = ..., extra_content: _Optional[_Iterable[_Union[ExtraContent, _Mapping]]] = ..., thinking: _Optional[_Iterable[_Union[ThinkingBlock, _Mapping]]] = ..., reasoning_details: _Optional[_Iterable[str]] = ...) -> None: ...

class ExtraContent(_message.Message):
    __slots__ = ("call_id", "json")
    CALL_ID_FIELD_NUMBER: _ClassVar[int]
    JSON_FIELD_NUMBER: _ClassVar[int]
    call_id: str
    json: str
    def __init__(self, call_id: _Optional[str] = ..., json: _Optional[str] = ...) -> None: ...

class ThinkingBlock(_message.Message):
    __slots__ = ("thinking", "signature", "data", "characters_before", "calls_before")
    THINKING_FIELD_NUMBER: _ClassVar[int]
    SIGNATURE_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    CHARACTERS_BEFORE_FIELD_NUMBER: _ClassVar[int]
    CALLS_BEFORE_FIELD_NUMBER: _ClassVar[int]
    thinking: str
    signature: str
    data: str
    characters_before: int
    calls_before: int
    def __init__(self, thinking: _Optional[str] = ..., signature: _Optional[str] = ..., data: _Optional[str] = ..., characters_before: _Optional[int] = ..., calls_before: _Optional[int] = ...) -> None: ...
