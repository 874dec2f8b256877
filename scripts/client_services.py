"""The services of the Python client, sync and async: a typed method for each method of the protos.

Leaves out methods that exist for HTTP only (they answer an HttpBody) and TransportService, which no user of
the client calls. The HTTP rules determine which calls may be repeated, as in the server.
"""

import keyword
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from google.api import annotations_pb2, http_pb2
from google.protobuf.descriptor_pb2 import (
    FileDescriptorProto,
    FileDescriptorSet,
    MethodDescriptorProto,
    ServiceDescriptorProto,
)

_LEFT_OUT = frozenset({"TransportService"})
_HTTP_BODY = ".google.api.HttpBody"
_PLACES = {".parley.v1.ChatEvent": "ChatPlace", ".parley.v1.ResponseStreamEvent": "ResponsePlace"}
_READING = re.compile(r"Get|List|Watch|Export")
_UNCOUNTED = frozenset({"usage", "history"})
_TITLES = {
    "_methods.py": "The methods that the clients call",
    "_services.py": "The services of the sync client",
    "_aio_services.py": "The services of the async client",
}
_HEAD = '"""{title}. Written by scripts/generate from the protos; edit nothing here."""\n\n'


class _Method(NamedTuple):
    service: str
    name: str
    request: str
    answer: str
    streams: bool
    keyed: bool
    place: str | None
    summary: str

    @property
    def constant(self) -> str:
        return f"{_snake(self.service.removesuffix('Service'))}_{_snake(self.name)}".upper()

    @property
    def python_name(self) -> str:
        """`create` for the service's own noun, `create_items` for another."""
        verb, *rest = re.findall(r"[A-Z][a-z]*", self.name)
        noun = self.service.removesuffix("Service")
        own = "".join(rest) in {noun, f"{noun}s", f"Chat{noun}", "History"}
        name = verb.lower() if own else _snake(self.name)
        return f"{name}_" if keyword.iskeyword(name) else name


def modules(described: bytes, folder: Path) -> dict[Path, str]:
    """The text of each module of the client that is generated."""
    files = FileDescriptorSet.FromString(described)
    homes = {
        f".{file.package}.{message.name}": file.name.replace(".proto", "_pb2").replace("/", ".")
        for file in files.file
        for message in file.message_type
    }
    services = {
        service.name: list(_methods_of(service, _summaries(file, index)))
        for file in files.file
        for index, service in enumerate(file.service)
        if file.package == "parley.v1" and service.name not in _LEFT_OUT
    }
    texts = {
        "_methods.py": _constants(services, homes),
        "_services.py": _classes(services, homes, is_async=False),
        "_aio_services.py": _classes(services, homes, is_async=True),
    }
    return {folder / name: _HEAD.format(title=_TITLES[name]) + text for name, text in texts.items()}


def _summaries(file: FileDescriptorProto, index: int) -> dict[int, str]:
    """The first sentence of each method's comment, by the method's place."""
    found = {}
    for location in file.source_code_info.location:
        if len(location.path) == 4 and list(location.path[:3]) == [6, index, 2]:
            paragraph = " ".join(location.leading_comments.strip().split("\n\n")[0].split())
            found[location.path[3]] = re.split(r"(?<=\.) |: ", paragraph)[0].rstrip(".") + "."
    return found


def _methods_of(service: ServiceDescriptorProto, summaries: dict[int, str]) -> Iterator[_Method]:
    posted = {method.input_type for method in service.method if _has_post(method)}
    for place, method in enumerate(service.method):
        # a call with many requests has no place in these methods: its stub is among those of the protos
        if method.output_type != _HTTP_BODY and not method.client_streaming:
            yield _Method(
                service.name,
                method.name,
                method.input_type,
                method.output_type,
                method.server_streaming,
                method.input_type in posted,
                _PLACES.get(method.output_type) if method.server_streaming else None,
                summaries[place],
            )


def _has_post(method: MethodDescriptorProto) -> bool:
    rule: http_pb2.HttpRule = method.options.Extensions[annotations_pb2.http]  # type: ignore[index]  # google.api types no extension
    return any(one.HasField("post") for one in (rule, *rule.additional_bindings))


def _imports(names: set[str], homes: dict[str, str]) -> str:
    named = defaultdict(set)
    for name in names:
        named[homes[name]].add(_simple(name))
    return "".join(
        f"from {module} import {', '.join(sorted(found))}\n" for module, found in sorted(named.items())
    )


def _constants(services: dict[str, list[_Method]], homes: dict[str, str]) -> str:
    every = [method for methods in services.values() for method in methods]
    text = _imports({name for one in every for name in (one.request, one.answer)}, homes)
    text += "from parley_client._calls import ChatPlace, Method, ResponsePlace\n\n"
    for one in every:
        flags = ", reads=True" * bool(_READING.match(one.name)) + ", keyed=True" * one.keyed
        flags += f", place={one.place}" if one.place else ""
        text += (
            f"{one.constant}: Method[{_simple(one.request)}, {_simple(one.answer)}] = Method(\n"
            f'    "/parley.v1.{one.service}/{one.name}", {_simple(one.answer)}{flags}\n)\n'
        )
    return text


def _classes(services: dict[str, list[_Method]], homes: dict[str, str], *, is_async: bool) -> str:
    """A class for each service, and one that has them all as properties."""
    prefix = "Async" if is_async else ""
    module = "_aio" if is_async else "_sync"
    every = [method for methods in services.values() for method in methods]
    text = "from functools import cached_property\n\n"
    text += _imports({name for one in every for name in (one.request, one.answer)}, homes)
    text += "from parley_client import _methods\n"
    text += f"from parley_client.{module} import {prefix}Connection, {prefix}Stream\n"
    text += "from parley_client._timeout import DEFAULT, Default, chosen\n"
    for name, methods in services.items():
        noun = name.removesuffix("Service")
        text += f'\n\nclass {prefix}{noun}Calls:\n    """The methods of {name}."""\n\n'
        text += f"    def __init__(self, connection: {prefix}Connection) -> None:\n"
        text += "        self._connection = connection\n"
        text += "".join(_method(one, prefix) for one in methods)
    text += f'\n\nclass {prefix}Services:\n    """Every service of one connection."""\n\n'
    text += f"    _connection: {prefix}Connection\n"
    for name in services:
        noun = name.removesuffix("Service")
        text += f"\n    @cached_property\n    def {_plural(noun)}(self) -> {prefix}{noun}Calls:\n"
        text += f'        """The methods of {name}."""\n'
        text += f"        return {prefix}{noun}Calls(self._connection)\n"
    return text


def _method(one: _Method, prefix: str) -> str:
    request, answer = _simple(one.request), _simple(one.answer)
    define = "async def" if prefix and not one.streams else "def"
    key = ", idempotency_key: str | None = None" if one.keyed else ""
    timeout = "timeout: float | None = None" if one.streams else "timeout: float | Default | None = DEFAULT"
    returns = f"{prefix}Stream[{answer}]" if one.streams else answer
    given = "timeout" if one.streams else "chosen(timeout, self._connection.options.timeout)"
    call = "await self" if define != "def" else "self"
    return (
        f"\n    {define} {one.python_name}(\n        self, request: {request}, *, {timeout}{key}\n"
        f'    ) -> {returns}:\n        """{one.summary}"""\n'
        f"        return {call}._connection.{'stream' if one.streams else 'unary'}(\n"
        f"            _methods.{one.constant}, request, {given}, {'idempotency_key' if one.keyed else 'None'}\n"
        "        )\n"
    )


def _plural(noun: str) -> str:
    name = _snake(noun)
    return name if name in _UNCOUNTED else f"{name}s"


def _snake(name: str) -> str:
    return re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()


def _simple(name: str) -> str:
    return name.rpartition(".")[2]
