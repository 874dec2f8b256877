"""Warnings for the caller that stores an assistant or a squad: faults of templates, and providers that are
not called.

Chats with it report the same, and the settings that they ignore (`ignored_settings.py`): a document no worse
than the interface's own samples is returned as it was sent. Refuses nothing.
"""

from collections.abc import Iterable, Iterator
from typing import Any

from server.agents import model_providers
from server.agents.agents import AssistantSettings
from server.agents.bounded_liquid import Allowance
from server.agents.chat_warnings import ChatWarning, of_fault
from server.agents.documents import assistants_in
from server.agents.model_providers import Fault, Named
from server.agents.templates import faults_of
from server.content.validation import join


def of_assistant(document: dict[str, Any], not_called: Fault) -> list[ChatWarning]:
    """Return the warnings of a checked assistant; `not_called` returns why a provider is not called."""
    named = model_providers.of_assistant(document)
    return [*_of_providers(named, not_called), *_of_templates(document, Allowance())]


def of_squad(document: dict[str, Any], not_called: Fault) -> list[ChatWarning]:
    """Return the warnings of a checked squad."""
    allowance = Allowance()
    return [
        *_of_providers(model_providers.of_squad(document), not_called),
        *(
            warning
            for path, assistant in assistants_in(document)
            for warning in _of_templates(assistant, allowance, path)
        ),
    ]


def _of_providers(named: Iterable[Named], not_called: Fault) -> Iterator[ChatWarning]:
    for param, provider, url in named:
        if fault := not_called(provider, url):
            yield ChatWarning("provider_not_called", f"Chats are refused: {fault}.", param)


def _of_templates(document: dict[str, Any], allowance: Allowance, at: str = "") -> Iterator[ChatWarning]:
    settings = AssistantSettings.of(document)
    templates = [(text, param) for _, text, param in settings.prompts]
    if settings.first_message:
        templates.append((settings.first_message, "firstMessage"))
    for text, param in templates:
        yield from (of_fault(fault, join(at, param)) for fault in faults_of(text, allowance.part()))
