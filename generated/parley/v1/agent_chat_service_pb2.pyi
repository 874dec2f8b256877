from generated.buf.validate import validate_pb2 as _validate_pb2
from google.api import annotations_pb2 as _annotations_pb2
from google.protobuf import empty_pb2 as _empty_pb2
from google.protobuf import struct_pb2 as _struct_pb2
from generated.parley.v1 import access_pb2 as _access_pb2
from generated.parley.v1 import agent_chat_pb2 as _agent_chat_pb2
from generated.parley.v1 import chat_pb2 as _chat_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class CreateAgentChatRequest(_message.Message):
    __slots__ = ("agent_id", "user_id", "metadata", "input")
    AGENT_ID_FIELD_NUMBER: _ClassVar[int]
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    METADATA_FIELD_NUMBER: _ClassVar[int]
    INPUT_FIELD_NUMBER: _ClassVar[int]
    agent_id: str
    user_id: str
    metadata: _struct_pb2.Struct
    input: _struct_pb2.Value
    def __init__(self, agent_id: _Optional[str] = ..., user_id: _Optional[str] = ..., metadata: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ..., input: _Optional[_Union[_struct_pb2.Value, _Mapping]] = ...) -> None: ...

class ListAgentChatsRequest(_message.Message):
    __slots__ = ("user_id", "agent_type", "created_at_lt", "limit", "before")
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    AGENT_TYPE_FIELD_NUMBER: _ClassVar[int]
    CREATED_AT_LT_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    BEFORE_FIELD_NUMBER: _ClassVar[int]
    user_id: str
    agent_type: str
    created_at_lt: str
    limit: float
    before: str
    def __init__(self, user_id: _Optional[str] = ..., agent_type: _Optional[str] = ..., created_at_lt: _Optional[str] = ..., limit: _Optional[float] = ..., before: _Optional[str] = ...) -> None: ...

class ListAgentChatsResponse(_message.Message):
    __slots__ = ("chats", "has_more")
    CHATS_FIELD_NUMBER: _ClassVar[int]
    HAS_MORE_FIELD_NUMBER: _ClassVar[int]
    chats: _containers.RepeatedCompositeFieldContainer[_agent_chat_pb2.AgentChat]
    has_more: bool
    def __init__(self, chats: _Optional[_Iterable[_Union[_agent_chat_pb2.AgentChat, _Mapping]]] = ..., has_more: _Optional[bool] = ...) -> None: ...

class GetAgentChatRequest(_message.Message):
    __slots__ = ("chat_id",)
    CHAT_ID_FIELD_NUMBER: _ClassVar[int]
    chat_id: str
    def __init__(self, chat_id: _Optional[str] = ...) -> None: ...

class DeleteAgentChatRequest(_message.Message):
    __slots__ = ("chat_id",)
    CHAT_ID_FIELD_NUMBER: _ClassVar[int]
    chat_id: str
    def __init__(self, chat_id: _Optional[str] = ...) -> None: ...

class CreateMessageRequest(_message.Message):
    __slots__ = ("chat_id", "content", "role")
    CHAT_ID_FIELD_NUMBER: _ClassVar[int]
    CONTENT_FIELD_NUMBER: _ClassVar[int]
    ROLE_FIELD_NUMBER: _ClassVar[int]
    chat_id: str
    content: str
    role: str
    def __init__(self, chat_id: _Optional[str] = ..., content: _Optional[str] = ..., role: _Optional[str] = ...) -> None: ...

class ListMessagesRequest(_message.Message):
    __slots__ = ("chat_id", "before")
    CHAT_ID_FIELD_NUMBER: _ClassVar[int]
    BEFORE_FIELD_NUMBER: _ClassVar[int]
    chat_id: str
    before: str
    def __init__(self, chat_id: _Optional[str] = ..., before: _Optional[str] = ...) -> None: ...

class ListMessagesResponse(_message.Message):
    __slots__ = ("messages", "has_more")
    MESSAGES_FIELD_NUMBER: _ClassVar[int]
    HAS_MORE_FIELD_NUMBER: _ClassVar[int]
    messages: _containers.RepeatedCompositeFieldContainer[_agent_chat_pb2.AgentMessage]
    has_more: bool
    def __init__(self, messages: _Optional[_Iterable[_Union[_agent_chat_pb2.AgentMessage, _Mapping]]] = ..., has_more: _Optional[bool] = ...) -> None: ...
