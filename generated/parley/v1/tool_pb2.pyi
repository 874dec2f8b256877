import datetime

from generated.buf.validate import validate_pb2 as _validate_pb2
from google.protobuf import struct_pb2 as _struct_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from generated.parley.v1 import assistant_pb2 as _assistant_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Tool(_message.Message):
    __slots__ = ("id", "org_id", "created_at", "updated_at", "document", "type", "function", "name", "description", "method", "url", "body", "headers", "timeout_seconds", "backoff_plan", "variable_extraction_plan", "messages", "server")
    ID_FIELD_NUMBER: _ClassVar[int]
    ORG_ID_FIELD_NUMBER: _ClassVar[int]
    CREATED_AT_FIELD_NUMBER: _ClassVar[int]
    UPDATED_AT_FIELD_NUMBER: _ClassVar[int]
    DOCUMENT_FIELD_NUMBER: _ClassVar[int]
    TYPE_FIELD_NUMBER: _ClassVar[int]
    FUNCTION_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    METHOD_FIELD_NUMBER: _ClassVar[int]
    URL_FIELD_NUMBER: _ClassVar[int]
    BODY_FIELD_NUMBER: _ClassVar[int]
    HEADERS_FIELD_NUMBER: _ClassVar[int]
    TIMEOUT_SECONDS_FIELD_NUMBER: _ClassVar[int]
    BACKOFF_PLAN_FIELD_NUMBER: _ClassVar[int]
    VARIABLE_EXTRACTION_PLAN_FIELD_NUMBER: _ClassVar[int]
    MESSAGES_FIELD_NUMBER: _ClassVar[int]
    SERVER_FIELD_NUMBER: _ClassVar[int]
    id: str
    org_id: str
    created_at: _timestamp_pb2.Timestamp
    updated_at: _timestamp_pb2.Timestamp
    document: _struct_pb2.Struct
    type: str
    function: _assistant_pb2.ToolFunction
    name: str
    description: str
    method: str
    url: str
    body: _assistant_pb2.JsonSchema
    headers: _assistant_pb2.JsonSchema
    timeout_seconds: float
    backoff_plan: _assistant_pb2.BackoffPlan
    variable_extraction_plan: _assistant_pb2.VariableExtractionPlan
    messages: _containers.RepeatedCompositeFieldContainer[_assistant_pb2.AssistantToolMessage]
    server: _assistant_pb2.WebhookServer
    def __init__(self, id: _Optional[str] = ..., org_id: _Optional[str] = ..., created_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., updated_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., document: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ..., type: _Optional[str] = ..., function: _Optional[_Union[_assistant_pb2.ToolFunction, _Mapping]] = ..., name: _Optional[str] = ..., description: _Optional[str] = ..., method: _Optional[str] = ..., url: _Optional[str] = ..., body: _Optional[_Union[_assistant_pb2.JsonSchema, _Mapping]] = ..., headers: _Optional[_Union[_assistant_pb2.JsonSchema, _Mapping]] = ..., timeout_seconds: _Optional[float] = ..., backoff_plan: _Optional[_Union[_assistant_pb2.BackoffPlan, _Mapping]] = ..., variable_extraction_plan: _Optional[_Union[_assistant_pb2.VariableExtractionPlan, _Mapping]] = ..., messages: _Optional[_Iterable[_Union[_assistant_pb2.AssistantToolMessage, _Mapping]]] = ..., server: _Optional[_Union[_assistant_pb2.WebhookServer, _Mapping]] = ...) -> None: ...
