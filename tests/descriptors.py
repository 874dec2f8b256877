"""Everything that the protos of parley.v1 declare, so that what is new is tested without being listed."""

from importlib import import_module
from pkgutil import iter_modules
from typing import NamedTuple

from google.protobuf.descriptor import Descriptor
from google.protobuf.message_factory import GetMessageClass

import generated.parley.v1

FILES = [
    import_module(f"generated.parley.v1.{module.name}").DESCRIPTOR
    for module in iter_modules(generated.parley.v1.__path__)
    if module.name.endswith("_pb2")
]
MESSAGES: list[Descriptor] = [message for file in FILES for message in file.message_types_by_name.values()]


class Method(NamedTuple):
    """One method of one service."""

    service: str
    name: str
    request: type
    response: Descriptor
    streams: bool
    connects: bool = False
    """Whether one call takes many requests, and answers to each."""

    @property
    def path(self) -> str:
        return f"/parley.v1.{self.service}/{self.name}"

    def __str__(self) -> str:
        return f"{self.service}/{self.name}"


METHODS = [
    Method(
        service.name,
        method.name,
        GetMessageClass(method.input_type),
        method.output_type,
        method.server_streaming,
        method.client_streaming,
    )
    for file in FILES
    for service in file.services_by_name.values()
    for method in service.methods
]
