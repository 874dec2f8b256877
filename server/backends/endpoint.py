"""The destination of a request to a model provider, which `providers.py` determines."""

from dataclasses import dataclass, field
from urllib.parse import urlencode

USER_AGENT = "parley"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """The base URL of one request, and the key that goes with it."""

    base_url: str
    api_key: str = field(repr=False)
    query: tuple[tuple[str, str], ...] = field(default=(), repr=False)

    def url_of(self, path: str) -> str:
        """Return the URL of one method, whose path begins with a slash."""
        url = self.base_url.rstrip("/") + path
        return f"{url}?{urlencode(self.query)}" if self.query else url
