"""Chooses the provider of a request, its URL and its key.

The operator's keys go to the built-in or the operator's own base URLs only, never to an assistant's
`model.url`. Implements no protocol: it makes the backend of each kind on first use.
"""

import asyncio
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

from server.backends.backend import Backend, Emit, ModelRequest, Unused
from server.backends.endpoint import Endpoint
from server.backends.members import split
from server.backends.offline import OfflineBackend
from server.core.errors import InvalidArgument
from server.core.nearest import did_you_mean
from server.core.outbound.guard import AllowedHosts
from server.core.outbound.limits import Limits
from server.core.provider_variables import KEYS, SELF_HOSTED, URLS

if TYPE_CHECKING:
    from server.core.outbound.transport import Resolve

OFFLINE = "offline"
ANTHROPIC = "anthropic"

BASE_URLS: dict[str, str | None] = {
    OFFLINE: None,
    ANTHROPIC: "https://api.anthropic.com",
    # The rest speak OpenAI's chat completions. Those with None have one URL per customer, or no public one.
    "anyscale": None,
    "azure-openai": None,  # https://RESOURCE.openai.azure.com/openai/v1
    "cerebras": "https://api.cerebras.ai/v1",
    "custom-llm": None,
    "deep-seek": "https://api.deepseek.com/v1",
    "deepinfra": "https://api.deepinfra.com/v1/openai",
    "google": "https://generativelanguage.googleapis.com/v1beta/openai",
    "groq": "https://api.groq.com/openai/v1",
    "inflection-ai": None,
    "mistral": "https://api.mistral.ai/v1",
    "openai": "https://api.openai.com/v1",
    "openrouter": "https://openrouter.ai/api/v1",
    "perplexity-ai": "https://api.perplexity.ai",
    "together-ai": "https://api.together.xyz/v1",
    "xai": "https://api.x.ai/v1",
}

DOCUMENTED = frozenset({"anthropic-bedrock", "minimax", "vapi"})
"""Other providers that the assistants interface documents: an assistant with one can be stored."""

KEYS_SETTING = "PARLEY_PROVIDER_KEYS"
URLS_SETTING = "PARLEY_PROVIDER_URLS"
NO_KEY = "none"
"""The key sent to a self-hosted server that has none configured."""

_ENDINGS = ("/chat/completions", "/v1/messages")


class Providers:
    """The backend of every provider, and itself one that chooses by the request.

    `api_keys` and `base_urls` are the operator's, by provider; `allowed` holds the hosts listed for models.
    """

    def __init__(
        self, *, api_keys: Mapping[str, str] | None = None, base_urls: Mapping[str, str] | None = None,
        allowed: AllowedHosts | None = None, offline_delay_seconds: float = 0.0, limits: Limits | None = None,
        resolve: "Resolve | None" = None,
    ) -> None:  # fmt: skip
        """Raises ValueError for a base URL that is none."""
        allowed = allowed or AllowedHosts()
        self._endpoints = Endpoints(api_keys or {}, base_urls or {}, allowed)
        self._allowed = allowed.with_own(base_urls or {})
        self._limits = limits or Limits()
        self._resolve = resolve
        self._offline = OfflineBackend(offline_delay_seconds)
        making = asyncio.Lock()  # the makers share a client
        self._anthropic = _OnFirstUse(self._make_anthropic, making)
        self._openai = _OnFirstUse(self._make_openai, making)
        self._client: Any = None

    async def generate(self, request: ModelRequest, emit: Emit) -> None:
        """Call the request's provider, and first emit the members that it does not support.

        Raises InvalidArgument for a provider that is unknown or not configured, and for unsupported members
        that must not be left out.
        """
        backend = self.backend_for(request.provider, request.url)
        request, unused = split(request)
        if unused:
            await emit([Unused(unused)])
        await backend.generate(request, emit)

    def backend_for(self, provider: str, url: str | None = None) -> Backend:
        """The backend of a provider; an unknown provider needs its own OpenAI-compatible `model.url`."""
        if provider == OFFLINE:
            return self._offline
        if provider == ANTHROPIC:
            return self._anthropic
        self._endpoints.check_known(provider, url)
        return self._openai

    async def close(self) -> None:
        """Close every connection. Calls in flight fail."""
        if self._client is not None:
            await self._client.close()

    # The HTTP stack takes a tenth of a second and 14 MB to import, so it is imported only when a provider is called.

    def _make_anthropic(self) -> Backend:
        from server.backends.anthropic import AnthropicBackend

        return AnthropicBackend(self._endpoints.of, self._http(), self._limits)

    def _make_openai(self) -> Backend:
        from server.backends.openai import OpenAIBackend

        return OpenAIBackend(self._endpoints.of, self._http(), self._limits)

    def _http(self) -> Any:
        from server.core.outbound.transport import HttpClient

        if self._client is None:
            self._client = HttpClient(self._allowed, self._limits, self._resolve)
        return self._client


class Endpoints:
    """Finds the endpoint of a request."""

    def __init__(
        self, api_keys: Mapping[str, str], base_urls: Mapping[str, str], allowed: AllowedHosts
    ) -> None:
        self._api_keys = api_keys
        self._base_urls = base_urls
        self.allowed = allowed

    def check_known(self, provider: str, url: str | None) -> None:
        """Raise InvalidArgument naming `model.provider` when there is no way to call it."""
        check_known(provider, url, self._base_urls)

    def of(self, request: ModelRequest) -> Endpoint:
        """The endpoint: the assistant's own URL if it has one, else the operator's, else the built-in one."""
        key = _checked_key(request.api_key)
        if request.url:
            url = self.allowed.check_url(request.url)
            return Endpoint(base_of(url.origin_and_path), key or NO_KEY, tuple(parse_qsl(url.query)))
        base_url = self._base_urls.get(request.provider) or BASE_URLS.get(request.provider)
        if not base_url:
            raise _without_url(request.provider)
        return Endpoint(base_of(base_url), key or self._operators_key(request.provider))

    def _operators_key(self, provider: str) -> str:
        key = self._api_keys.get(provider)
        if key:
            return key
        if provider in self._base_urls:  # the operator's own server needs no key
            return NO_KEY
        raise InvalidArgument.of(
            "model.provider",
            f"{provider} has no key: put one in the assistant's credentials, or let the operator set "
            + " or ".join([*KEYS.get(provider, ()), KEYS_SETTING]),
            reason="PROVIDER_WITHOUT_KEY",
        )


class _OnFirstUse:
    """A backend made on its first call, in a thread, because its imports would block the event loop."""

    def __init__(self, make: Callable[[], Backend], making: asyncio.Lock) -> None:
        self._make = make
        self._making = making
        self._made: Backend | None = None

    async def generate(self, request: ModelRequest, emit: Emit) -> None:
        backend = self._made or await self._get()
        await backend.generate(request, emit)

    async def close(self) -> None:
        """Do nothing: there are no resources of its own to release."""

    async def _get(self) -> Backend:
        async with self._making:
            if self._made is None:
                self._made = await asyncio.to_thread(self._make)
        return self._made


def check_known(provider: str, url: str | None, base_urls: Mapping[str, str]) -> None:
    """Raise InvalidArgument naming `model.provider` when there is no way to call it. `base_urls` are the
    operator's."""
    if fault := unknown(provider, url, base_urls) or not_called(provider, url, base_urls):
        raise InvalidArgument.of("model.provider", fault)


def unknown(provider: str, url: str | None, base_urls: Mapping[str, str]) -> str | None:
    """The error text for a provider that no interface documents; None when the provider is valid."""
    if url or provider in BASE_URLS or provider in DOCUMENTED or provider in base_urls:
        return None
    if provider in SELF_HOSTED:
        return f"{provider} has no URL here: let the operator set {URLS[provider]}, or send an OpenAI-compatible model.url"
    nearest = did_you_mean(provider, {*BASE_URLS, *base_urls})
    return f"must be one of {', '.join(BASE_URLS)}, or any other together with an OpenAI-compatible model.url{nearest}"


def not_called(provider: str, url: str | None, base_urls: Mapping[str, str]) -> str | None:
    """The reason why a documented provider cannot be called, with the remedy; None when it can."""
    if url or provider in base_urls or provider not in DOCUMENTED:
        return None
    return (
        f"{provider} is not called here: use one of {', '.join(BASE_URLS)}, give an OpenAI-compatible model.url, or let "
        f"the operator set {URLS_SETTING}"
    )


def check_callable(provider: str, url: str | None, base_urls: Mapping[str, str]) -> None:
    """Check like `check_known`, and also raise InvalidArgument naming `model.url` when the provider is known but
    has no URL."""
    check_known(provider, url, base_urls)
    if not url and provider != OFFLINE and not base_urls.get(provider) and not BASE_URLS.get(provider):
        raise _without_url(provider)


def keys_without_use(api_keys: Mapping[str, str], base_urls: Mapping[str, str]) -> dict[str, str]:
    """The operator's keys that are never sent, by their names, each with the name that was probably meant."""
    known = {*BASE_URLS, *base_urls}
    return {name: did_you_mean(name, known) for name in sorted(api_keys) if name not in known}


def _without_url(provider: str) -> InvalidArgument:
    return InvalidArgument.of(
        "model.url",
        f"is required for provider {provider}, unless the operator sets {URLS.get(provider, URLS_SETTING)}",
    )


def base_of(url: str) -> str:
    """The base URL of a URL that may end with the method's path."""
    url = url.rstrip("/")
    for ending in _ENDINGS:
        url = url.removesuffix(ending)
    return url


def _checked_key(key: str | None) -> str | None:
    if key and not (key.isascii() and key.isprintable()):
        raise InvalidArgument.of("credentials", "must hold a key of printable ASCII characters")
    return key
