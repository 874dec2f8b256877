"""A protoc image as the generator reads it: messages, methods with their HTTP paths, comments and
buf.validate rules.

The rules are parsed in a pool of the image's own, so that nothing needs to have been generated before.
Decides nothing about the document.
"""

import re
from collections.abc import Iterator
from typing import Any, NamedTuple

from google.protobuf import descriptor_pool
from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    FieldDescriptorProto,
    FileDescriptorProto,
    FileDescriptorSet,
    MethodDescriptorProto,
)
from google.protobuf.message_factory import GetMessageClass

from gateway.checker import http_rules

from .texts import for_callers

PACKAGE = "parley.v1"
# numbers of FileDescriptorProto.message_type, .service, and of their members
_MESSAGES, _SERVICES, _MEMBERS = 4, 6, 2


class Method(NamedTuple):
    """A method of one of the project's services."""

    service: str
    name: str
    proto: MethodDescriptorProto
    comment: str
    access: str
    """The keys that may call it, such as ACCESS_ANY_KEY."""

    @property
    def request(self) -> str:
        return simple(self.proto.input_type)

    @property
    def answer(self) -> str:
        return simple(self.proto.output_type)


class Path(NamedTuple):
    """One google.api.http rule of a method; each additional binding is separate."""

    verb: str
    template: str
    body: str
    """`*`, a member of the request, or nothing."""

    @property
    def variables(self) -> list[str]:
        """Return the fields of the request that are in the path."""
        return re.findall(r"\{([^}=]*)[^}]*\}", self.template)


class Source:
    """The protos as a descriptor set, with their comments."""

    def __init__(self, image: bytes) -> None:
        files = FileDescriptorSet.FromString(image)
        self._pool = descriptor_pool.DescriptorPool()
        self.messages: dict[str, DescriptorProto] = {}
        self.comments: dict[str, str] = {}
        """By the name of the message, service, or `Owner.member`."""
        self.methods: list[Method] = []
        for file in files.file:
            self._pool.AddSerializedFile(file.SerializeToString())
            if file.package == PACKAGE:
                self._read(file)

    def rules(self, element: FieldDescriptorProto | DescriptorProto) -> Any:
        """Return the FieldRules of a field, or the MessageRules of a message; empty ones when it has none."""
        kind = "Field" if isinstance(element, FieldDescriptorProto) else "Message"
        return self._option(element, kind, f"buf.validate.{kind.lower()}")

    def access(self, method: MethodDescriptorProto) -> str:
        """Return the name of the access that a method declares."""
        access = self._pool.FindEnumTypeByName(f"{PACKAGE}.Access")
        return access.values_by_number[self._option(method, "Method", f"{PACKAGE}.access")].name

    def _option(
        self, element: FieldDescriptorProto | DescriptorProto | MethodDescriptorProto, kind: str, name: str
    ) -> Any:
        options = GetMessageClass(self._pool.FindMessageTypeByName(f"google.protobuf.{kind}Options"))
        found = options.FromString(element.options.SerializeToString()).Extensions
        return found[self._pool.FindExtensionByName(name)]  # type: ignore[index]  # its type is in the pool alone

    def _read(self, file: FileDescriptorProto) -> None:
        self.comments |= dict(_comments(file))
        self.messages |= {message.name: message for message in file.message_type}
        self.methods += [
            Method(
                service.name,
                method.name,
                method,
                self.comments.get(f"{service.name}.{method.name}", ""),
                self.access(method),
            )
            for service in file.service
            for method in service.method
        ]


def simple(full_name: str) -> str:
    """Return `.parley.v1.Chat` as `Chat`; names of other packages stay whole."""
    return full_name.removeprefix(".").removeprefix(f"{PACKAGE}.")


def paths_of(method: Method) -> list[Path]:
    """Return the HTTP paths of a method; none for a gRPC-only method."""
    return [Path(*rule) for rule in http_rules(method.proto)]


def _comments(file: FileDescriptorProto) -> Iterator[tuple[str, str]]:
    for location in file.source_code_info.location:
        name = _named(file, list(location.path))
        if name and location.leading_comments:
            yield name, for_callers(_paragraphs(location.leading_comments))


def _named(file: FileDescriptorProto, path: list[int]) -> str | None:
    """Return the name of the element at a location's path; None for an element without a relevant comment."""
    if len(path) not in (2, 4) or path[0] not in (_MESSAGES, _SERVICES):
        return None
    if path[0] == _MESSAGES:
        owner, members = (
            file.message_type[path[1]].name,
            [one.name for one in file.message_type[path[1]].field],
        )
    else:
        owner, members = file.service[path[1]].name, [one.name for one in file.service[path[1]].method]
    if len(path) == 2:
        return owner
    return f"{owner}.{members[path[3]]}" if path[2] == _MEMBERS else None


def _paragraphs(comment: str) -> str:
    """Return the comment with a blank line between paragraphs and no other line ends."""
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in re.split(r"\n\s*\n", comment.strip()))
