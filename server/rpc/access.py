"""Which keys may call a method and send its members, read from the proto's `access` and `sent_with`; nothing
is listed here.

A publishable key creates chats and sessions, runs exchanges at any door, and reads or continues by id only
what it created itself; `storage/scope.py` enforces that.
"""

from functools import cache

from google.protobuf import descriptor_pool
from google.protobuf.descriptor import Descriptor, FieldDescriptor, MethodDescriptor
from google.protobuf.message import Message

from generated.parley.v1.access_pb2 import (
    ACCESS_ANY_KEY,
    ACCESS_NO_KEY,
    ACCESS_ORG_KEY,
    SENDER_ORG_KEY,
    Access,
    access,
    sent_with,
)
from generated.parley.v1.access_pb2 import only_stores as only_stores_option
from server.core.errors import PermissionDenied

_BODY = "google.api.HttpBody"


@cache
def access_to(method: str) -> Access:
    """Return the access that `/package.Service/Method` requires. The service's module must be loaded, as it
    is while being served."""
    return _declared(method).GetOptions().Extensions[access]


@cache
def only_stores(method: str) -> bool:
    """Return whether the method calls no model."""
    return _declared(method).GetOptions().Extensions[only_stores_option]


@cache
def answers_with_bodies(method: str) -> bool:
    """Whether an answer is HTTP bodies: a whole one, or those of a stream."""
    return _declared(method).output_type.full_name == _BODY


def _declared(method: str) -> MethodDescriptor:
    service, _, name = method.removeprefix("/").partition("/")
    return descriptor_pool.Default().FindServiceByName(service).methods_by_name[name]


def needs_key(method: str) -> bool:
    """Return whether the method requires a key."""
    return access_to(method) != ACCESS_NO_KEY


def admits(method: str, *, publishable: bool) -> bool:
    """Return whether a key of this kind may call the method. A method without declared access admits no key."""
    return access_to(method) in ((ACCESS_ANY_KEY,) if publishable else (ACCESS_ANY_KEY, ACCESS_ORG_KEY))


def check_sent(request: Message) -> None:
    """Raise PermissionDenied naming the first member of a publishable key's request that requires an api or
    secret key."""
    for field in _of_org_keys(request.DESCRIPTOR):
        if request.HasField(field.name):
            raise PermissionDenied.of(
                field.json_name,
                "cannot be sent with a publishable key, which every visitor of a "
                "page can read; use an api or a secret key",
            )
    for one in requests_in(request):
        check_sent(one)


@cache
def _of_org_keys(request: Descriptor) -> list[FieldDescriptor]:
    return [field for field in request.fields if field.GetOptions().Extensions[sent_with] == SENDER_ORG_KEY]


def requests_in(request: Message) -> list[Message]:
    """Return the requests of other methods that a request holds, as that of a connection does."""
    return [
        getattr(request, field.name)
        for field in _request_members(request.DESCRIPTOR)
        if request.HasField(field.name)
    ]


@cache
def _request_members(request: Descriptor) -> list[FieldDescriptor]:
    return [
        field
        for field in request.fields
        if field.message_type is not None
        and field.message_type.full_name.startswith("parley.")
        and field.message_type.full_name.endswith("Request")
    ]
