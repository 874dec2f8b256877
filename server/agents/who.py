"""Who must answer, in the forms that requests of all doors can name. Resolves nothing: `agents.py` does."""

from dataclasses import dataclass
from typing import Any, NamedTuple

from google.protobuf.struct_pb2 import Struct

from server.core.errors import ServiceError


class StoredAssistant(NamedTuple):
    """A stored assistant, by its id."""

    id: str | None
    """None for a text that is no id, which no assistant has."""


class TransientAssistant(NamedTuple):
    """An assistant that is sent with the request."""

    document: Struct


class StoredSquad(NamedTuple):
    """A stored squad, by its id."""

    id: str


class TransientSquad(NamedTuple):
    """A squad that is sent with the request."""

    document: Struct


Name = StoredAssistant | TransientAssistant | StoredSquad | TransientSquad


class Model(NamedTuple):
    """The `model` of an OpenAI request, which may be the id or the name of a stored assistant."""

    name: str
    unknown: ServiceError | None = None
    """Raised when no assistant has the name; None when unknown names are allowed."""


@dataclass(frozen=True, slots=True)
class Who:
    """Who must answer. `name` is None when the conversation determines it."""

    name: Name | None = None
    model: Model | None = None
    """Weaker than a name: the assistant that answers in the conversation anyway keeps its own overrides."""
    overrides: dict[str, Any] | None = None
    """The `assistantOverrides` of the request, as sent."""
