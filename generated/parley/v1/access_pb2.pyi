from google.protobuf.internal import extension_dict as _extension_dict
from google.protobuf import descriptor_pb2 as _descriptor_pb2
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from typing import ClassVar as _ClassVar

DESCRIPTOR: _descriptor.FileDescriptor

class Access(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ACCESS_UNSPECIFIED: _ClassVar[Access]
    ACCESS_ORG_KEY: _ClassVar[Access]
    ACCESS_ANY_KEY: _ClassVar[Access]
    ACCESS_NO_KEY: _ClassVar[Access]

class Record(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    RECORD_UNSPECIFIED: _ClassVar[Record]
    RECORD_NONE: _ClassVar[Record]
    RECORD_ORG: _ClassVar[Record]
    RECORD_ASSISTANT: _ClassVar[Record]
    RECORD_SQUAD: _ClassVar[Record]
    RECORD_TOOL: _ClassVar[Record]
    RECORD_SESSION: _ClassVar[Record]
    RECORD_CHAT: _ClassVar[Record]
    RECORD_ITEM: _ClassVar[Record]

class Sender(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    SENDER_UNSPECIFIED: _ClassVar[Sender]
    SENDER_ORG_KEY: _ClassVar[Sender]
ACCESS_UNSPECIFIED: Access
ACCESS_ORG_KEY: Access
ACCESS_ANY_KEY: Access
ACCESS_NO_KEY: Access
RECORD_UNSPECIFIED: Record
RECORD_NONE: Record
RECORD_ORG: Record
RECORD_ASSISTANT: Record
RECORD_SQUAD: Record
RECORD_TOOL: Record
RECORD_SESSION: Record
RECORD_CHAT: Record
RECORD_ITEM: Record
SENDER_UNSPECIFIED: Sender
SENDER_ORG_KEY: Sender
ACCESS_FIELD_NUMBER: _ClassVar[int]
access: _extension_dict._ExtensionFieldDescriptor[_descriptor_pb2.MethodOptions, Access]
ONLY_STORES_FIELD_NUMBER: _ClassVar[int]
only_stores: _extension_dict._ExtensionFieldDescriptor[_descriptor_pb2.MethodOptions, bool]
NAMES_FIELD_NUMBER: _ClassVar[int]
names: _extension_dict._ExtensionFieldDescriptor[_descriptor_pb2.FieldOptions, Record]
SENT_WITH_FIELD_NUMBER: _ClassVar[int]
sent_with: _extension_dict._ExtensionFieldDescriptor[_descriptor_pb2.FieldOptions, Sender]
