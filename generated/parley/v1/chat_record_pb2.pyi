from google.protobuf import struct_pb2 as _struct_pb2
from generated.parley.v1 import chat_pb2 as _chat_pb2
from generated.parley.v1 import message_pb2 as _message_pb2
from generated.parley.v1 import response_service_pb2 as _response_service_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ChatRecord(_message.Message):
    __slots__ = ("request", "model", "system_fingerprint", "message_id", "pieces", "cached_tokens", "reasoning_tokens", "prompt_tokens", "completion_tokens", "said", "service_tier", "completion", "cache_write_tokens", "state")
    REQUEST_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    SYSTEM_FINGERPRINT_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_ID_FIELD_NUMBER: _ClassVar[int]
    PIECES_FIELD_NUMBER: _ClassVar[int]
    CACHED_TOKENS_FIELD_NUMBER: _ClassVar[int]
    REASONING_TOKENS_FIELD_NUMBER: _ClassVar[int]
    PROMPT_TOKENS_FIELD_NUMBER: _ClassVar[int]
    COMPLETION_TOKENS_FIELD_NUMBER: _ClassVar[int]
    SAID_FIELD_NUMBER: _ClassVar[int]
    SERVICE_TIER_FIELD_NUMBER: _ClassVar[int]
    COMPLETION_FIELD_NUMBER: _ClassVar[int]
    CACHE_WRITE_TOKENS_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    request: _response_service_pb2.CreateResponseRequest
    model: str
    system_fingerprint: str
    message_id: str
    pieces: _containers.RepeatedCompositeFieldContainer[StreamPiece]
    cached_tokens: int
    reasoning_tokens: int
    prompt_tokens: int
    completion_tokens: int
    said: _containers.RepeatedCompositeFieldContainer[_message_pb2.Message]
    service_tier: str
    completion: StoredCompletion
    cache_write_tokens: int
    state: ConversationState
    def __init__(self, request: _Optional[_Union[_response_service_pb2.CreateResponseRequest, _Mapping]] = ..., model: _Optional[str] = ..., system_fingerprint: _Optional[str] = ..., message_id: _Optional[str] = ..., pieces: _Optional[_Iterable[_Union[StreamPiece, _Mapping]]] = ..., cached_tokens: _Optional[int] = ..., reasoning_tokens: _Optional[int] = ..., prompt_tokens: _Optional[int] = ..., completion_tokens: _Optional[int] = ..., said: _Optional[_Iterable[_Union[_message_pb2.Message, _Mapping]]] = ..., service_tier: _Optional[str] = ..., completion: _Optional[_Union[StoredCompletion, _Mapping]] = ..., cache_write_tokens: _Optional[int] = ..., state: _Optional[_Union[ConversationState, _Mapping]] = ...) -> None: ...

class StoredCompletion(_message.Message):
    __slots__ = ("metadata",)
    METADATA_FIELD_NUMBER: _ClassVar[int]
    metadata: _struct_pb2.Struct
    def __init__(self, metadata: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ...) -> None: ...

class ConversationState(_message.Message):
    __slots__ = ("member", "context_from", "variables")
    MEMBER_FIELD_NUMBER: _ClassVar[int]
    CONTEXT_FROM_FIELD_NUMBER: _ClassVar[int]
    VARIABLES_FIELD_NUMBER: _ClassVar[int]
    member: str
    context_from: str
    variables: _struct_pb2.Struct
    def __init__(self, member: _Optional[str] = ..., context_from: _Optional[str] = ..., variables: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ...) -> None: ...

class StreamPiece(_message.Message):
    __slots__ = ("choice", "tool_call", "length", "logprobs", "reasoning", "next_message_id")
    CHOICE_FIELD_NUMBER: _ClassVar[int]
    TOOL_CALL_FIELD_NUMBER: _ClassVar[int]
    LENGTH_FIELD_NUMBER: _ClassVar[int]
    LOGPROBS_FIELD_NUMBER: _ClassVar[int]
    REASONING_FIELD_NUMBER: _ClassVar[int]
    NEXT_MESSAGE_ID_FIELD_NUMBER: _ClassVar[int]
    choice: int
    tool_call: int
    length: int
    logprobs: int
    reasoning: int
    next_message_id: str
    def __init__(self, choice: _Optional[int] = ..., tool_call: _Optional[int] = ..., length: _Optional[int] = ..., logprobs: _Optional[int] = ..., reasoning: _Optional[int] = ..., next_message_id: _Optional[str] = ...) -> None: ...

class ChatEventBatch(_message.Message):
    __slots__ = ("events", "state", "provider_states")
    EVENTS_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    PROVIDER_STATES_FIELD_NUMBER: _ClassVar[int]
    events: _containers.RepeatedCompositeFieldContainer[_chat_pb2.ChatEvent]
    state: ConversationState
    provider_states: _containers.RepeatedCompositeFieldContainer[_message_pb2.ProviderState]
    def __init__(self, events: _Optional[_Iterable[_Union[_chat_pb2.ChatEvent, _Mapping]]] = ..., state: _Optional[_Union[ConversationState, _Mapping]] = ..., provider_states: _Optional[_Iterable[_Union[_message_pb2.ProviderState, _Mapping]]] = ...) -> None: ...
