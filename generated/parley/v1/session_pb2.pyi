import datetime

from google.protobuf import struct_pb2 as _struct_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from generated.parley.v1 import chat_pb2 as _chat_pb2
from generated.parley.v1 import message_pb2 as _message_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Session(_message.Message):
    __slots__ = ("id", "org_id", "created_at", "updated_at", "name", "status", "expiration_seconds", "assistant_id", "assistant", "assistant_overrides", "squad_id", "squad", "messages", "customer", "phone_number_id", "metadata", "costs", "cost", "user_id", "customer_id", "omitted", "warnings")
    ID_FIELD_NUMBER: _ClassVar[int]
    ORG_ID_FIELD_NUMBER: _ClassVar[int]
    CREATED_AT_FIELD_NUMBER: _ClassVar[int]
    UPDATED_AT_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    EXPIRATION_SECONDS_FIELD_NUMBER: _ClassVar[int]
    ASSISTANT_ID_FIELD_NUMBER: _ClassVar[int]
    ASSISTANT_FIELD_NUMBER: _ClassVar[int]
    ASSISTANT_OVERRIDES_FIELD_NUMBER: _ClassVar[int]
    SQUAD_ID_FIELD_NUMBER: _ClassVar[int]
    SQUAD_FIELD_NUMBER: _ClassVar[int]
    MESSAGES_FIELD_NUMBER: _ClassVar[int]
    CUSTOMER_FIELD_NUMBER: _ClassVar[int]
    PHONE_NUMBER_ID_FIELD_NUMBER: _ClassVar[int]
    METADATA_FIELD_NUMBER: _ClassVar[int]
    COSTS_FIELD_NUMBER: _ClassVar[int]
    COST_FIELD_NUMBER: _ClassVar[int]
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    CUSTOMER_ID_FIELD_NUMBER: _ClassVar[int]
    OMITTED_FIELD_NUMBER: _ClassVar[int]
    WARNINGS_FIELD_NUMBER: _ClassVar[int]
    id: str
    org_id: str
    created_at: _timestamp_pb2.Timestamp
    updated_at: _timestamp_pb2.Timestamp
    name: str
    status: str
    expiration_seconds: int
    assistant_id: str
    assistant: _struct_pb2.Struct
    assistant_overrides: _struct_pb2.Struct
    squad_id: str
    squad: _struct_pb2.Struct
    messages: _containers.RepeatedCompositeFieldContainer[_message_pb2.Message]
    customer: _struct_pb2.Struct
    phone_number_id: str
    metadata: _struct_pb2.Struct
    costs: _containers.RepeatedCompositeFieldContainer[_chat_pb2.Cost]
    cost: float
    user_id: str
    customer_id: str
    omitted: _chat_pb2.Omitted
    warnings: _struct_pb2.ListValue
    def __init__(self, id: _Optional[str] = ..., org_id: _Optional[str] = ..., created_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., updated_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., name: _Optional[str] = ..., status: _Optional[str] = ..., expiration_seconds: _Optional[int] = ..., assistant_id: _Optional[str] = ..., assistant: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ..., assistant_overrides: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ..., squad_id: _Optional[str] = ..., squad: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ..., messages: _Optional[_Iterable[_Union[_message_pb2.Message, _Mapping]]] = ..., customer: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ..., phone_number_id: _Optional[str] = ..., metadata: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ..., costs: _Optional[_Iterable[_Union[_chat_pb2.Cost, _Mapping]]] = ..., cost: _Optional[float] = ..., user_id: _Optional[str] = ..., customer_id: _Optional[str] = ..., omitted: _Optional[_Union[_chat_pb2.Omitted, _Mapping]] = ..., warnings: _Optional[_Union[_struct_pb2.ListValue, _Mapping]] = ...) -> None: ...
