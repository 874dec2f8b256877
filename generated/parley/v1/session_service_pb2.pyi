from generated.buf.validate import validate_pb2 as _validate_pb2
from google.api import annotations_pb2 as _annotations_pb2
from google.protobuf import struct_pb2 as _struct_pb2
from generated.parley.v1 import access_pb2 as _access_pb2
from generated.parley.v1 import chat_pb2 as _chat_pb2
from generated.parley.v1 import session_pb2 as _session_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class CreateSessionRequest(_message.Message):
    __slots__ = ("name", "status", "expiration_seconds", "assistant_id", "assistant", "assistant_overrides", "squad_id", "squad", "messages", "customer", "customer_id", "phone_number_id", "metadata")
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
    CUSTOMER_ID_FIELD_NUMBER: _ClassVar[int]
    PHONE_NUMBER_ID_FIELD_NUMBER: _ClassVar[int]
    METADATA_FIELD_NUMBER: _ClassVar[int]
    name: str
    status: str
    expiration_seconds: float
    assistant_id: str
    assistant: _struct_pb2.Struct
    assistant_overrides: _struct_pb2.Struct
    squad_id: str
    squad: _struct_pb2.Struct
    messages: _struct_pb2.Value
    customer: _struct_pb2.Struct
    customer_id: str
    phone_number_id: str
    metadata: _struct_pb2.Struct
    def __init__(self, name: _Optional[str] = ..., status: _Optional[str] = ..., expiration_seconds: _Optional[float] = ..., assistant_id: _Optional[str] = ..., assistant: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ..., assistant_overrides: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ..., squad_id: _Optional[str] = ..., squad: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ..., messages: _Optional[_Union[_struct_pb2.Value, _Mapping]] = ..., customer: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ..., customer_id: _Optional[str] = ..., phone_number_id: _Optional[str] = ..., metadata: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ...) -> None: ...

class ListSessionsRequest(_message.Message):
    __slots__ = ("id", "id_any", "name", "assistant_id", "assistant_id_any", "squad_id", "phone_number_id", "created_at_gt", "created_at_lt", "created_at_ge", "created_at_le", "updated_at_gt", "updated_at_lt", "updated_at_ge", "updated_at_le", "page", "limit", "sort_order", "sort_by", "number", "customer_number_any", "phone_number_id_any", "cursor")
    ID_FIELD_NUMBER: _ClassVar[int]
    ID_ANY_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    ASSISTANT_ID_FIELD_NUMBER: _ClassVar[int]
    ASSISTANT_ID_ANY_FIELD_NUMBER: _ClassVar[int]
    SQUAD_ID_FIELD_NUMBER: _ClassVar[int]
    PHONE_NUMBER_ID_FIELD_NUMBER: _ClassVar[int]
    CREATED_AT_GT_FIELD_NUMBER: _ClassVar[int]
    CREATED_AT_LT_FIELD_NUMBER: _ClassVar[int]
    CREATED_AT_GE_FIELD_NUMBER: _ClassVar[int]
    CREATED_AT_LE_FIELD_NUMBER: _ClassVar[int]
    UPDATED_AT_GT_FIELD_NUMBER: _ClassVar[int]
    UPDATED_AT_LT_FIELD_NUMBER: _ClassVar[int]
    UPDATED_AT_GE_FIELD_NUMBER: _ClassVar[int]
    UPDATED_AT_LE_FIELD_NUMBER: _ClassVar[int]
    PAGE_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    SORT_ORDER_FIELD_NUMBER: _ClassVar[int]
    SORT_BY_FIELD_NUMBER: _ClassVar[int]
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    CUSTOMER_NUMBER_ANY_FIELD_NUMBER: _ClassVar[int]
    PHONE_NUMBER_ID_ANY_FIELD_NUMBER: _ClassVar[int]
    CURSOR_FIELD_NUMBER: _ClassVar[int]
    id: str
    id_any: str
    name: str
    assistant_id: str
    assistant_id_any: str
    squad_id: str
    phone_number_id: str
    created_at_gt: str
    created_at_lt: str
    created_at_ge: str
    created_at_le: str
    updated_at_gt: str
    updated_at_lt: str
    updated_at_ge: str
    updated_at_le: str
    page: float
    limit: float
    sort_order: str
    sort_by: str
    number: str
    customer_number_any: str
    phone_number_id_any: _containers.RepeatedScalarFieldContainer[str]
    cursor: str
    def __init__(self, id: _Optional[str] = ..., id_any: _Optional[str] = ..., name: _Optional[str] = ..., assistant_id: _Optional[str] = ..., assistant_id_any: _Optional[str] = ..., squad_id: _Optional[str] = ..., phone_number_id: _Optional[str] = ..., created_at_gt: _Optional[str] = ..., created_at_lt: _Optional[str] = ..., created_at_ge: _Optional[str] = ..., created_at_le: _Optional[str] = ..., updated_at_gt: _Optional[str] = ..., updated_at_lt: _Optional[str] = ..., updated_at_ge: _Optional[str] = ..., updated_at_le: _Optional[str] = ..., page: _Optional[float] = ..., limit: _Optional[float] = ..., sort_order: _Optional[str] = ..., sort_by: _Optional[str] = ..., number: _Optional[str] = ..., customer_number_any: _Optional[str] = ..., phone_number_id_any: _Optional[_Iterable[str]] = ..., cursor: _Optional[str] = ...) -> None: ...

class ListSessionsResponse(_message.Message):
    __slots__ = ("results", "metadata")
    RESULTS_FIELD_NUMBER: _ClassVar[int]
    METADATA_FIELD_NUMBER: _ClassVar[int]
    results: _containers.RepeatedCompositeFieldContainer[_session_pb2.Session]
    metadata: _chat_pb2.PaginationMeta
    def __init__(self, results: _Optional[_Iterable[_Union[_session_pb2.Session, _Mapping]]] = ..., metadata: _Optional[_Union[_chat_pb2.PaginationMeta, _Mapping]] = ...) -> None: ...

class GetSessionRequest(_message.Message):
    __slots__ = ("id",)
    ID_FIELD_NUMBER: _ClassVar[int]
    id: str
    def __init__(self, id: _Optional[str] = ...) -> None: ...

class UpdateSessionRequest(_message.Message):
    __slots__ = ("id", "name", "status", "expiration_seconds", "messages")
    ID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    EXPIRATION_SECONDS_FIELD_NUMBER: _ClassVar[int]
    MESSAGES_FIELD_NUMBER: _ClassVar[int]
    id: str
    name: _struct_pb2.Value
    status: str
    expiration_seconds: float
    messages: _struct_pb2.Value
    def __init__(self, id: _Optional[str] = ..., name: _Optional[_Union[_struct_pb2.Value, _Mapping]] = ..., status: _Optional[str] = ..., expiration_seconds: _Optional[float] = ..., messages: _Optional[_Union[_struct_pb2.Value, _Mapping]] = ...) -> None: ...

class DeleteSessionRequest(_message.Message):
    __slots__ = ("id",)
    ID_FIELD_NUMBER: _ClassVar[int]
    id: str
    def __init__(self, id: _Optional[str] = ...) -> None: ...
