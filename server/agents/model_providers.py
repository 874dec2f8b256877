"""Refuses model providers of assistants and squads that the server cannot call.

Knows no provider itself: the caller passes the function that finds faults.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from server.agents.documents import Document, assistants_in
from server.content.validation import join, refuse
from server.core.errors import Violation

Fault = Callable[[str, str | None], str | None]
"""Returns the fault of a provider with this `model.url`; None when there is none."""


class Named(NamedTuple):
    """The provider of a model, and the URL that comes with it."""

    param: str
    """Where it stands."""
    provider: str
    url: str | None


def check_providers(named: Iterable[Named], fault: Fault, before: Iterable[Named] = ()) -> None:
    """Raise InvalidArgument for the providers that have a fault.

    A provider that the document named `before` its change is not refused.
    """
    had = {one[1:] for one in before}
    refuse(
        [
            Violation(one.param, found, "unknown")
            for one in named
            if one[1:] not in had and (found := fault(one.provider, one.url))
        ]
    )


def of_assistant(document: Document, at: str = "") -> Iterator[Named]:
    """Yield the providers of a checked assistant. `at` is its path in the request."""
    model = document.get("model")
    if isinstance(model, dict) and isinstance(model.get("provider"), str):
        yield Named(join(at, "model.provider"), model["provider"], model.get("url") or None)


def of_squad(document: Document, at: str = "") -> Iterator[Named]:
    """Yield the providers of a checked squad, in its own assistants and in overrides."""
    for path, assistant in assistants_in(document, at):
        yield from of_assistant(assistant, path)
