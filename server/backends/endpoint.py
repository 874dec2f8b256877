"""Where a request to a model provider goes. `providers.py` finds it."""

from dataclasses import dataclass, field

MOST_CLIENTS = 256
"""How many clients of one SDK are kept, one for each endpoint. Making one takes as long as using it, and its
first call asks a thread for the platform it runs on."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where one request goes, and the key that goes with it."""

    base_url: str
    api_key: str = field(repr=False)
    query: tuple[tuple[str, str], ...] = field(default=(), repr=False)
