from generated.buf.validate import validate_pb2 as _validate_pb2
from google.api import annotations_pb2 as _annotations_pb2
from google.api import httpbody_pb2 as _httpbody_pb2
from google.protobuf import struct_pb2 as _struct_pb2
from generated.parley.v1 import access_pb2 as _access_pb2
from generated.parley.v1 import chat_pb2 as _chat_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class CreateChatRequest(_message.Message):
    __slots__ = ("input", "assistant_id", "assistant", "assistant_overrides", "squad_id", "squad", "name", "session_id", "stream", "previous_chat_id", "transport")
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
    transport: ChatTransport
    def __init__(self, input: _Optional[_Union[_struct_pb2.Value, _Mapping]] = ..., assistant_id: _Optional[str] = ..., assistant: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ..., assistant_overrides: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ..., squad_id: _Optional[str] = ..., squad: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ..., name: _Optional[str] = ..., session_id: _Optional[str] = ..., stream: _Optional[bool] = ..., previous_chat_id: _Optional[str] = ..., transport: _Optional[_Union[ChatTransport, _Mapping]] = ...) -> None: ...

class ChatTransport(_message.Message):
    __slots__ = ("type", "phone_number_id", "customer", "use_llm_generated_message_for_outbound")
    TYPE_FIELD_NUMBER: _ClassVar[int]
    PHONE_NUMBER_ID_FIELD_NUMBER: _ClassVar[int]
    CUSTOMER_FIELD_NUMBER: _ClassVar[int]
    USE_LLM_GENERATED_MESSAGE_FOR_OUTBOUND_FIELD_NUMBER: _ClassVar[int]
    type: str
    phone_number_id: str
    customer: _struct_pb2.Struct
    use_llm_generated_message_for_outbound: bool
    def __init__(self, type: _Optional[str] = ..., phone_number_id: _Optional[str] = ..., customer: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ..., use_llm_generated_message_for_outbound: _Optional[bool] = ...) -> None: ...

class ListChatsRequest(_message.Message):
    __slots__ = ("id", "id_any", "assistant_id", "assistant_id_any", "squad_id", "session_id", "previous_chat_id", "created_at_gt", "created_at_lt", "created_at_ge", "created_at_le", "updated_at_gt", "updated_at_lt", "updated_at_ge", "updated_at_le", "page", "limit", "sort_order", "sort_by", "cursor")
    ID_FIELD_NUMBER: _ClassVar[int]
    ID_ANY_FIELD_NUMBER: _ClassVar[int]
    ASSISTANT_ID_FIELD_NUMBER: _ClassVar[int]
    ASSISTANT_ID_ANY_FIELD_NUMBER: _ClassVar[int]
    SQUAD_ID_FIELD_NUMBER: _ClassVar[int]
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    PREVIOUS_CHAT_ID_FIELD_NUMBER: _ClassVar[int]
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
    CURSOR_FIELD_NUMBER: _ClassVar[int]
    id: str
    id_any: str
    assistant_id: str
    assistant_id_any: str
    squad_id: str
    session_id: str
    previous_chat_id: str
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
    cursor: str
    def __init__(self, id: _Optional[str] = ..., id_any: _Optional[str] = ..., assistant_id: _Optional[str] = ..., assistant_id_any: _Optional[str] = ..., squad_id: _Optional[str] = ..., session_id: _Optional[str] = ..., previous_chat_id: _Optional[str] = ..., created_at_gt: _Optional[str] = ..., created_at_lt: _Optional[str] = ..., created_at_ge: _Optional[str] = ..., created_at_le: _Optional[str] = ..., updated_at_gt: _Optional[str] = ..., updated_at_lt: _Optional[str] = ..., updated_at_ge: _Optional[str] = ..., updated_at_le: _Optional[str] = ..., page: _Optional[float] = ..., limit: _Optional[float] = ..., sort_order: _Optional[str] = ..., sort_by: _Optional[str] = ..., cursor: _Optional[str] = ...) -> None: ...

class ListChatsResponse(_message.Message):
    __slots__ = ("results", "metadata")
    RESULTS_FIELD_NUMBER: _ClassVar[int]
    METADATA_FIELD_NUMBER: _ClassVar[int]
    results: _containers.RepeatedCompositeFieldContainer[_chat_pb2.Chat]
    metadata: _chat_pb2.PaginationMeta
    def __init__(self, results: _Optional[_Iterable[_Union[_chat_pb2.Chat, _Mapping]]] = ..., metadata: _Optional[_Union[_chat_pb2.PaginationMeta, _Mapping]] = ...) -> None: ...

class GetChatRequest(_message.Message):
    __slots__ = ("id",)
    ID_FIELD_NUMBER: _ClassVar[int]
    id: str
    def __init__(self, id: _Optional[str] = ...) -> None: ...

class WatchChatRequest(_message.Message):
    __slots__ = ("id", "after")
    ID_FIELD_NUMBER: _ClassVar[int]
    AFTER_FIELD_NUMBER: _ClassVar[int]
    id: str
    after: int
    def __init__(self, id: _Optional[str] = ..., after: _Optional[int] = ...) -> None: ...

class DeleteChatRequest(_message.Message):
    __slots__ = ("id",)
    ID_FIELD_NUMBER: _ClassVar[int]
    id: str
    def __init__(self, id: _Optional[str] = ...) -> None: ...
