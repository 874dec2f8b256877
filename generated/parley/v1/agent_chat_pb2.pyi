import datetime

from google.protobuf import struct_pb2 as _struct_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class AgentChat(_message.Message):
    __slots__ = ("id", "agent_id", "team_id", "user_id", "created_at", "warnings")
    ID_FIELD_NUMBER: _ClassVar[int]
    AGENT_ID_FIELD_NUMBER: _ClassVar[int]
    TEAM_ID_FIELD_NUMBER: _ClassVar[int]
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    CREATED_AT_FIELD_NUMBER: _ClassVar[int]
    WARNINGS_FIELD_NUMBER: _ClassVar[int]
    id: str
    agent_id: str
    team_id: str
    user_id: str
    created_at: _timestamp_pb2.Timestamp
    warnings: _struct_pb2.ListValue
    def __init__(self, id: _Optional[str] = ..., agent_id: _Optional[str] = ..., team_id: _Optional[str] = ..., user_id: _Optional[str] = ..., created_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., warnings: _Optional[_Union[_struct_pb2.ListValue, _Mapping]] = ...) -> None: ...

class AgentChatWithMessages(_message.Message):
    __slots__ = ("id", "agent_id", "team_id", "messages", "created_at", "has_more")
    ID_FIELD_NUMBER: _ClassVar[int]
    AGENT_ID_FIELD_NUMBER: _ClassVar[int]
    TEAM_ID_FIELD_NUMBER: _ClassVar[int]
    MESSAGES_FIELD_NUMBER: _ClassVar[int]
    CREATED_AT_FIELD_NUMBER: _ClassVar[int]
    HAS_MORE_FIELD_NUMBER: _ClassVar[int]
    id: str
    agent_id: str
    team_id: str
    messages: _containers.RepeatedCompositeFieldContainer[AgentMessage]
    created_at: _timestamp_pb2.Timestamp
    has_more: bool
    def __init__(self, id: _Optional[str] = ..., agent_id: _Optional[str] = ..., team_id: _Optional[str] = ..., messages: _Optional[_Iterable[_Union[AgentMessage, _Mapping]]] = ..., created_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., has_more: _Optional[bool] = ...) -> None: ...

class AgentMessage(_message.Message):
    __slots__ = ("id", "chat_id", "content", "role", "created_at", "warnings")
    ID_FIELD_NUMBER: _ClassVar[int]
    CHAT_ID_FIELD_NUMBER: _ClassVar[int]
    CONTENT_FIELD_NUMBER: _ClassVar[int]
    ROLE_FIELD_NUMBER: _ClassVar[int]
    CREATED_AT_FIELD_NUMBER: _ClassVar[int]
    WARNINGS_FIELD_NUMBER: _ClassVar[int]
    id: str
    chat_id: str
    content: str
    role: str
    created_at: _timestamp_pb2.Timestamp
    warnings: _struct_pb2.ListValue
    def __init__(self, id: _Optional[str] = ..., chat_id: _Optional[str] = ..., content: _Optional[str] = ..., role: _Optional[str] = ..., created_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., warnings: _Optional[_Union[_struct_pb2.ListValue, _Mapping]] = ...) -> None: ...
