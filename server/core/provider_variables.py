"""Keys and base URLs of model providers by the variables that their own documentation names. Does not decide
which provider is called."""

from collections.abc import Mapping
from typing import NamedTuple
from urllib.parse import urlsplit

KEYS: dict[str, tuple[str, ...]] = {
    "anthropic": ("ANTHROPIC_API_KEY",),
    "cerebras": ("CEREBRAS_API_KEY",),
    "deep-seek": ("DEEPSEEK_API_KEY",),
    "deepinfra": ("DEEPINFRA_API_KEY",),
    "google": ("GEMINI_API_KEY", "GOOGLE_API_KEY"),
    "groq": ("GROQ_API_KEY",),
    "mistral": ("MISTRAL_API_KEY",),
    "ollama": ("OLLAMA_API_KEY",),
    "openai": ("OPENAI_API_KEY",),
    "openrouter": ("OPENROUTER_API_KEY",),
    "perplexity-ai": ("PERPLEXITY_API_KEY",),
    "together-ai": ("TOGETHER_API_KEY",),
    "vllm": ("VLLM_API_KEY",),
    "xai": ("XAI_API_KEY",),
}
"""By provider; of several variables the first that is set holds."""

URLS = {
    "anthropic": "ANTHROPIC_BASE_URL",
    "ollama": "OLLAMA_BASE_URL",
    "openai": "OPENAI_BASE_URL",
    "vllm": "VLLM_BASE_URL",
}
"""By provider. Those of `SELF_HOSTED` are called only where the variable, or the setting, names their URL."""

SELF_HOSTED = frozenset({"ollama", "vllm"})
"""Servers that an operator runs. Their interface of OpenAI's form is under /v1, which a URL may leave out."""


class Found(NamedTuple):
    """A variable that is set, and its value."""

    variable: str
    value: str


def keys_in(environment: Mapping[str, str]) -> dict[str, Found]:
    """The key of each provider that has one."""
    found = {}
    for provider, names in KEYS.items():
        for name in names:
            if key := environment.get(name, "").strip():
                found[provider] = Found(name, key)
                break
    return found


def urls_in(environment: Mapping[str, str]) -> dict[str, Found]:
    """The base URL of each provider that has one. Raises ValueError for what is no URL."""
    found = {}
    for provider, name in URLS.items():
        if url := environment.get(name, "").strip().rstrip("/"):
            parts = urlsplit(url)
            if parts.scheme not in ("http", "https") or not parts.hostname:
                raise ValueError(f"{name}: {url!r} must be a URL, such as http://localhost:11434")
            bare = provider in SELF_HOSTED and not parts.path
            found[provider] = Found(name, f"{url}/v1" if bare else url)
    return found
