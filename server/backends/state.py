"""The origin of the state that a provider wants back with its messages, and whether a request may carry it.

Does not know its content (`openai.py`, `anthropic.py`).
"""

import re
from urllib.parse import urlsplit

from generated.parley.v1.message_pb2 import Message, ProviderState
from server.backends.backend import ModelRequest

_FIRST_WORD = re.compile(r"[a-z]*")


def new_state(request: ModelRequest) -> ProviderState:
    """Return an empty state for an answer to this request."""
    return empty_state(request.provider, request.model, request.url)


def empty_state(provider: str, model: str, url: str | None) -> ProviderState:
    """Return a state that has its origin and nothing else."""
    return ProviderState(provider=provider, model_family=_family(model), host=_host(url))


def state_for(message: Message, request: ModelRequest) -> ProviderState | None:
    """Return the state to send back with a message; None unless the request goes to the provider, model
    family and host that sent it."""
    if not message.HasField("provider_state"):
        return None
    state, own = message.provider_state, new_state(request)
    same = (state.provider, state.model_family, state.host) == (own.provider, own.model_family, own.host)
    return state if same else None


def _family(model: str) -> str:
    """Return the first word of a model's name; the maker before a slash does not count."""
    found = _FIRST_WORD.match(model.rpartition("/")[2].lower())
    return found[0] if found else ""


def _host(url: str | None) -> str:
    """Return the host of a URL, without its path and query, which may contain a key."""
    return urlsplit(url).netloc.rpartition("@")[2].lower() if url else ""
