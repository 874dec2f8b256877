"""Keys of model providers by the variables that their own documentation names. Does not decide which provider
is called."""

from collections.abc import Mapping

VARIABLES: dict[str, tuple[str, ...]] = {
    "anthropic": ("ANTHROPIC_API_KEY",),
    "cerebras": ("CEREBRAS_API_KEY",),
    "deep-seek": ("DEEPSEEK_API_KEY",),
    "deepinfra": ("DEEPINFRA_API_KEY",),
    "google": ("GEMINI_API_KEY", "GOOGLE_API_KEY"),
    "groq": ("GROQ_API_KEY",),
    "mistral": ("MISTRAL_API_KEY",),
    "openai": ("OPENAI_API_KEY",),
    "openrouter": ("OPENROUTER_API_KEY",),
    "perplexity-ai": ("PERPLEXITY_API_KEY",),
    "together-ai": ("TOGETHER_API_KEY",),
    "xai": ("XAI_API_KEY",),
}
"""By provider; of several variables the first that is set holds."""


def keys_in(environment: Mapping[str, str]) -> dict[str, tuple[str, str]]:
    """The variable and the key of each provider that has one."""
    found = {}
    for provider, names in VARIABLES.items():
        for name in names:
            if key := environment.get(name, "").strip():
                found[provider] = (name, key)
                break
    return found
