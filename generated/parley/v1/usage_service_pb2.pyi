from generated.buf.validate import validate_pb2 as _validate_pb2
from generated.parley.v1 import access_pb2 as _access_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class GetUsageRequest(_message.Message):
    __slots__ = ("start", "end", "group_by")
    START_FIELD_NUMBER: _ClassVar[int]
    END_FIELD_NUMBER: _ClassVar[int]
    GROUP_BY_FIELD_NUMBER: _ClassVar[int]
    start: str
    end: str
    group_by: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, start: _Optional[str] = ..., end: _Optional[str] = ..., group_by: _Optional[_Iterable[str]] = ...) -> None: ...

class GetUsageResponse(_message.Message):
    __slots__ = ("rows",)
    ROWS_FIELD_NUMBER: _ClassVar[int]
    rows: _containers.RepeatedCompositeFieldContainer[UsageRow]
    def __init__(self, rows: _Optional[_Iterable[_Union[UsageRow, _Mapping]]] = ...) -> None: ...

class UsageRow(_message.Message):
    __slots__ = ("day", "assistant_id", "key_id", "chats", "prompt_tokens", "completion_tokens", "cost", "estimated_chats")
    DAY_FIELD_NUMBER: _ClassVar[int]
    ASSISTANT_ID_FIELD_NUMBER: _ClassVar[int]
    KEY_ID_FIELD_NUMBER: _ClassVar[int]
    CHATS_FIELD_NUMBER: _ClassVar[int]
    PROMPT_TOKENS_FIELD_NUMBER: _ClassVar[int]
    COMPLETION_TOKENS_FIELD_NUMBER: _ClassVar[int]
    COST_FIELD_NUMBER: _ClassVar[int]
    ESTIMATED_CHATS_FIELD_NUMBER: _ClassVar[int]
    day: str
    assistant_id: str
    key_id: str
    chats: float
    prompt_tokens: float
    completion_tokens: float
    cost: float
    estimated_chats: float
    def __init__(self, day: _Optional[str] = ..., assistant_id: _Optional[str] = ..., key_id: _Optional[str] = ..., chats: _Optional[float] = ..., prompt_tokens: _Optional[float] = ..., completion_tokens: _Optional[float] = ..., cost: _Optional[float] = ..., estimated_chats: _Optional[float] = ...) -> None: ...
