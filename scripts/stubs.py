"""Types of the generated code that protoc leaves out: a `_pb2_grpc.pyi` of each service, and what options
hold.

The stub of a channel that blocks is typed as a class of its own, which is there for types only. Writes no
code that runs, and no documentation.
"""

import re
from collections import defaultdict
from pathlib import Path

from google.protobuf.descriptor_pb2 import (
    FieldDescriptorProto,
    FileDescriptorProto,
    FileDescriptorSet,
    MethodDescriptorProto,
)

_HEAD = '''\
"""Types of the gRPC stubs: callers of grpc and grpc.aio, and servers of grpc.aio."""

from collections.abc import AsyncIterator, Awaitable
from typing import overload, type_check_only

import grpc
import grpc.aio

'''
_UNTYPED = re.compile(r"^(\w+): _descriptor\.FieldDescriptor$", re.MULTILINE)
_EXTENSIONS = "from google.protobuf.internal import extension_dict as _extension_dict\n"


def write(described: bytes, services: list[str], target: Path) -> None:
    """Write the type stubs beside the modules in `target`, for the files of `services` and for every option
    of the project."""
    files = FileDescriptorSet.FromString(described).file
    homes = {
        f".{file.package}.{message.name}": _module(file) for file in files for message in file.message_type
    }
    for file in files:
        if file.name in services:
            (target / file.name.replace(".proto", "_pb2_grpc.pyi")).write_text(_service_types(file, homes))
        elif file.extension and file.package.startswith("parley."):
            _type_options(file, target / file.name.replace(".proto", "_pb2.pyi"))


def _module(file: FileDescriptorProto) -> str:
    return file.name.replace(".proto", "_pb2").replace("/", ".")


def _simple(name: str) -> str:
    return name.rpartition(".")[2]


def _service_types(file: FileDescriptorProto, homes: dict[str, str]) -> str:
    named = defaultdict(set)
    for service in file.service:
        for method in service.method:
            for name in (method.input_type, method.output_type):
                named[homes[name]].add(_simple(name))
    imports = [
        f"from {module} import {', '.join(sorted(names))}\n" for module, names in sorted(named.items())
    ]
    lines = []
    for service in file.service:
        stub, blocking = f"{service.name}Stub", f"_Blocking{service.name}Stub"
        lines += [
            f"\nclass {stub}:",
            "    @overload",
            f"    def __new__(cls, channel: grpc.Channel) -> {blocking}: ...",
            "    @overload",
            f"    def __new__(cls, channel: grpc.aio.Channel) -> {stub}: ...",
        ]
        lines += [_caller(method, "grpc.aio") for method in service.method]
        lines += ["\n@type_check_only", f"class {blocking}({stub}):"]
        lines += [_caller(method, "grpc") + "  # type: ignore[assignment]" for method in service.method]
        lines += [
            f"\nclass {service.name}Servicer:",
            *map(_handler, service.method),
            f"\ndef add_{service.name}Servicer_to_server(servicer: {service.name}Servicer, server: grpc.aio.Server)"
            " -> None: ...",
        ]
    return _HEAD + "".join(imports) + "\n".join(lines) + "\n"


def _caller(method: MethodDescriptorProto, library: str) -> str:
    kind = "".join(
        "Stream" if streams else "Unary" for streams in (method.client_streaming, method.server_streaming)
    )
    return f"    {method.name}: {library}.{kind}MultiCallable[{_simple(method.input_type)}, {_simple(method.output_type)}]"


def _handler(method: MethodDescriptorProto) -> str:
    """A method that streams may also write to its context, and return nothing."""
    request, answer = _simple(method.input_type), _simple(method.output_type)
    sent = f"AsyncIterator[{request}]" if method.client_streaming else request
    given = (
        f"AsyncIterator[{answer}] | Awaitable[None]" if method.server_streaming else f"Awaitable[{answer}]"
    )
    return (
        f"    def {method.name}(self, request: {sent}, context: grpc.aio.ServicerContext[{request}, {answer}])"
        f" -> {given}: ..."
    )


def _type_options(file: FileDescriptorProto, stub: Path) -> None:
    """Type each option by the descriptor that it extends and its value."""
    types = {
        one.name: f"_extension_dict._ExtensionFieldDescriptor[_descriptor_pb2.{_simple(one.extendee)}, {_value_of(one)}]"
        for one in file.extension
    }
    stub.write_text(
        _EXTENSIONS + _UNTYPED.sub(lambda found: f"{found[1]}: {types[found[1]]}", stub.read_text())
    )


def _value_of(option: FieldDescriptorProto) -> str:
    if option.type == FieldDescriptorProto.TYPE_BOOL:
        return "bool"
    if option.type == FieldDescriptorProto.TYPE_ENUM:
        return _simple(option.type_name)
    raise ValueError(f"the option {option.name} holds neither a flag nor a name")
