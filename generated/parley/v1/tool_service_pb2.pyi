from generated.buf.validate import validate_pb2 as _validate_pb2
from google.api import annotations_pb2 as _annotations_pb2
from google.api import httpbody_pb2 as _httpbody_pb2
from google.protobuf import struct_pb2 as _struct_pb2
from generated.parley.v1 import access_pb2 as _access_pb2
from generated.parley.v1 import tool_pb2 as _tool_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class CreateToolRequest(_message.Message):
    __slots__ = ("tool", "document")
    TOOL_FIELD_NUMBER: _ClassVar[int]
    DOCUMENT_FIELD_NUMBER: _ClassVar[int]
    tool: _tool_pb2.Tool
    document: _struct_pb2.Struct
    def __init__(self, tool: _Optional[_Union[_tool_pb2.Tool, _Mapping]] = ..., document: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ...) -> None: ...

class GetToolRequest(_message.Message):
    __slots__ = ("id",)
    ID_FIELD_NUMBER: _ClassVar[int]
    id: str
    def __init__(self, id: _Optional[str] = ...) -> None: ...

class ListToolsRequest(_message.Message):
    __slots__ = ("limit", "created_at_gt", "created_at_lt", "created_at_ge", "created_at_le", "updated_at_gt", "updated_at_lt", "updated_at_ge", "updated_at_le", "id_any")
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    CREATED_AT_GT_FIELD_NUMBER: _ClassVar[int]
    CREATED_AT_LT_FIELD_NUMBER: _ClassVar[int]
    CREATED_AT_GE_FIELD_NUMBER: _ClassVar[int]
    CREATED_AT_LE_FIELD_NUMBER: _ClassVar[int]
    UPDATED_AT_GT_FIELD_NUMBER: _ClassVar[int]
    UPDATED_AT_LT_FIELD_NUMBER: _ClassVar[int]
    UPDATED_AT_GE_FIELD_NUMBER: _ClassVar[int]
    UPDATED_AT_LE_FIELD_NUMBER: _ClassVar[int]
    ID_ANY_FIELD_NUMBER: _ClassVar[int]
    limit: float
    created_at_gt: str
    created_at_lt: str
    created_at_ge: str
    created_at_le: str
    updated_at_gt: str
    updated_at_lt: str
    updated_at_ge: str
    updated_at_le: str
    id_any: str
    def __init__(self, limit: _Optional[float] = ..., created_at_gt: _Optional[str] = ..., created_at_lt: _Optional[str] = ..., created_at_ge: _Optional[str] = ..., created_at_le: _Optional[str] = ..., updated_at_gt: _Optional[str] = ..., updated_at_lt: _Optional[str] = ..., updated_at_ge: _Optional[str] = ..., updated_at_le: _Optional[str] = ..., id_any: _Optional[str] = ...) -> None: ...

class ListToolsResponse(_message.Message):
    __slots__ = ("tools", "has_more")
    TOOLS_FIELD_NUMBER: _ClassVar[int]
    HAS_MORE_FIELD_NUMBER: _ClassVar[int]
    tools: _containers.RepeatedCompositeFieldContainer[_tool_pb2.Tool]
    has_more: bool
    def __init__(self, tools: _Optional[_Iterable[_Union[_tool_pb2.Tool, _Mapping]]] = ..., has_more: _Optional[bool] = ...) -> None: ...

class UpdateToolRequest(_message.Message):
    __slots__ = ("id", "patch")
    ID_FIELD_NUMBER: _ClassVar[int]
    PATCH_FIELD_NUMBER: _ClassVar[int]
    id: str
    patch: _struct_pb2.Struct
    def __init__(self, id: _Optional[str] = ..., patch: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ...) -> None: ...

class DeleteToolRequest(_message.Message):
    __slots__ = ("id",)
    ID_FIELD_NUMBER: _ClassVar[int]
    id: str
    def __init__(self, id: _Optional[str] = ...) -> None: ...
