"""The model providers that assistants and squads name: those that nobody could call are refused.

Knows no provider itself: whoever calls them says what is wrong with one.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from server.content.validation import join, refuse
from server.core.errors import Violation

Fault = Callable[[str, str | None], str | None]
"""What is wrong with a provider that comes with this `model.url`; None when nothing is."""


def check_providers(document: Mapping[str, Any], fault: Fault, at: str = "",
                    before: Mapping[str, Any] | None = None) -> None:
    """Raise InvalidArgument for the models of a checked assistant or squad whose provider has a fault.

    `at` is where the document stands in the request. What the document `before` it had already is no reason to refuse other
    changes.
    """
    had = {_named(model) for _, model in models_of(before or {})}
    refuse([Violation(join(path, "provider"), found, "unknown") for path, model in models_of(document, at)
            if _named(model) not in had and (found := fault(*_named(model)))])


def models_of(document: Mapping[str, Any], at: str = "") -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Every `model` with a provider in an assistant or a squad, and where it stands."""
    if _has_provider(document):
        yield join(at, "model"), document["model"]
    for index, member in enumerate(document.get("members") or ()):
        for name in ("assistant", "assistantOverrides"):
            if _has_provider(member.get(name)):
                yield join(at, f"members[{index}].{name}.model"), member[name]["model"]
    if _has_provider(document.get("membersOverrides")):
        yield join(at, "membersOverrides.model"), document["membersOverrides"]["model"]


def _has_provider(assistant: Any) -> bool:
    model = assistant.get("model") if isinstance(assistant, dict) else None
    return isinstance(model, dict) and isinstance(model.get("provider"), str)


def _named(model: Mapping[str, Any]) -> tuple[str, str | None]:
    return model["provider"], model.get("url") or None
