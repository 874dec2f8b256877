"""What a provider wants back with its messages: whose it is, and whether a request may carry it.

Does not know what is in it (`openai.py`, `anthropic.py`).
"""

import re
from urllib.parse import urlsplit

from generated.parley.v1.message_pb2 import Message, ProviderState
from server.backends.backend import ModelRequest

_FIRST_WORD = re.compile(r"[a-z]*")


def new_state(request: ModelRequest) -> ProviderState:
    """The state of an answer to this request, still without anything in it."""
    return empty_state(request.provider, request.model, request.url)


def empty_state(provider: str, model: str, url: str | None) -> ProviderState:
    """Whose a state is, and nothing else."""
    return ProviderState(provider=provider, model_family=_family(model), host=_host(url))


def state_for(message: Message, request: ModelRequest) -> ProviderState | None:
    """What to send back with a message; None unless the request goes to the provider and the model family
    that sent it."""
    if not message.HasField("provider_state"):
        return None
    state, own = message.provider_state, new_state(request)
    same = (state.provider, state.model_family, state.host) == (own.provider, own.model_family, own.host)
    return state if same else None


def _family(model: str) -> str:
    """The first word of a model's name; what stands before a slash is who made it."""
    found = _FIRST_WORD.match(model.rpartition("/")[2].lower())
    return found[0] if found else ""


def _host(url: str | None) -> str:
    """Without the path and the query of the URL, which may hold a key."""
    return urlsplit(url).netloc.rpartition("@")[2].lower() if url else ""
