import datetime

from generated.buf.validate import validate_pb2 as _validate_pb2
from google.protobuf import struct_pb2 as _struct_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Squad(_message.Message):
    __slots__ = ("id", "org_id", "created_at", "updated_at", "document", "name", "members", "members_overrides", "warnings")
    ID_FIELD_NUMBER: _ClassVar[int]
    ORG_ID_FIELD_NUMBER: _ClassVar[int]
    CREATED_AT_FIELD_NUMBER: _ClassVar[int]
    UPDATED_AT_FIELD_NUMBER: _ClassVar[int]
    DOCUMENT_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    MEMBERS_FIELD_NUMBER: _ClassVar[int]
    MEMBERS_OVERRIDES_FIELD_NUMBER: _ClassVar[int]
    WARNINGS_FIELD_NUMBER: _ClassVar[int]
    id: str
    org_id: str
    created_at: _timestamp_pb2.Timestamp
    updated_at: _timestamp_pb2.Timestamp
    document: _struct_pb2.Struct
    name: str
    members: _containers.RepeatedCompositeFieldContainer[SquadMember]
    members_overrides: _struct_pb2.Struct
    warnings: _struct_pb2.ListValue
    def __init__(self, id: _Optional[str] = ..., org_id: _Optional[str] = ..., created_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., updated_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., document: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ..., name: _Optional[str] = ..., members: _Optional[_Iterable[_Union[SquadMember, _Mapping]]] = ..., members_overrides: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ..., warnings: _Optional[_Union[_struct_pb2.ListValue, _Mapping]] = ...) -> None: ...

class SquadMember(_message.Message):
    __slots__ = ("assistant_id", "assistant", "assistant_overrides", "assistant_destinations")
    ASSISTANT_ID_FIELD_NUMBER: _ClassVar[int]
    ASSISTANT_FIELD_NUMBER: _ClassVar[int]
    ASSISTANT_OVERRIDES_FIELD_NUMBER: _ClassVar[int]
    ASSISTANT_DESTINATIONS_FIELD_NUMBER: _ClassVar[int]
    assistant_id: str
    assistant: _struct_pb2.Struct
    assistant_overrides: _struct_pb2.Struct
    assistant_destinations: _containers.RepeatedCompositeFieldContainer[_struct_pb2.Struct]
    def __init__(self, assistant_id: _Optional[str] = ..., assistant: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ..., assistant_overrides: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ..., assistant_destinations: _Optional[_Iterable[_Union[_struct_pb2.Struct, _Mapping]]] = ...) -> None: ...
