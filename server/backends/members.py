"""One table of the optional members that each provider accepts.

Members that are not sent are named in the answer, or refused where leaving them out would change the answer.
Sends nothing itself.
"""

from dataclasses import replace
from typing import Any, NamedTuple

from server.backends.backend import ModelRequest
from server.core.errors import InvalidArgument

_ALL = frozenset(
    {
        "logit_bias",
        "logprobs",
        "prediction",
        "prompt_cache_key",
        "prompt_cache_options",
        "prompt_cache_retention",
        "safety_identifier",
        "service_tier",
        "top_logprobs",
        "user",
        "verbosity",
    }
)
"""Every such member of chat completions: the keys that `ModelRequest.more` may have."""
_SAMPLING = frozenset({"temperature", "top_p", "frequency_penalty", "presence_penalty"})

ACCEPTED: dict[str, frozenset[str]] = {
    "openai": _ALL,
    # https://learn.microsoft.com/en-us/azure/ai-foundry/openai/latest
    "azure-openai": _ALL - {"prompt_cache_options"},
    # As metadata.user_id: https://docs.claude.com/en/api/messages
    "anthropic": frozenset({"safety_identifier", "user"}),
    # https://inference-docs.cerebras.ai/api-reference/chat-completions
    "cerebras": frozenset({"user"}),
    # https://console.groq.com/docs/openai: logit_bias is a 400
    "groq": frozenset({"service_tier", "user"}),
    # https://openrouter.ai/docs/api-reference/parameters
    "openrouter": frozenset({"logit_bias", "logprobs", "top_logprobs", "user", "verbosity"}),
    # https://docs.together.ai/reference/chat-completions-1: its logprobs are a number, and of another form
    "together-ai": frozenset({"logit_bias"}),
    # https://docs.x.ai/docs/api-reference
    "xai": frozenset({"logprobs", "top_logprobs"}),
    # DeepSeek's thinking models refuse logprobs: https://api-docs.deepseek.com/guides/reasoning_model
    **dict.fromkeys(("deep-seek", "deepinfra", "google", "mistral", "offline", "perplexity-ai"), frozenset()),
}
"""The members that each provider accepts. A provider not listed is a self-hosted server, which gets all."""
LACKS: dict[str, frozenset[str]] = {
    "anthropic": _SAMPLING | {"seed"},
    # https://github.com/Vali-98/ChatterUI/issues/227 and
    # https://github.com/PublicAffairs/openai-gemini/issues/63
    "google": frozenset({"seed", "frequency_penalty", "presence_penalty"}),
    "offline": _SAMPLING,
}
"""The other members, all optional, that each provider does not support; summaries: `_SUMMARIZES`."""
_SUMMARIZES = frozenset({"anthropic", "offline"})
"""The providers that can be asked for a summary of the reasoning. Chat completions have no member for it."""
_DEFAULTS: dict[str, tuple[Any, ...]] = {
    "temperature": (1,),
    "top_p": (1,),
    "frequency_penalty": (0,),
    "presence_penalty": (0,),
    "verbosity": ("medium",),
    "service_tier": ("auto", "default"),
}
"""Values equivalent to leaving the member out."""
_CHANGING = frozenset({"logit_bias", "logprobs"})
"""Members that the caller relies on."""


class Split(NamedTuple):
    """A request divided by what its provider supports."""

    request: ModelRequest
    """The request with only the members that the provider accepts."""
    unused: tuple[str, ...]
    """The requested members that the provider does not support."""


def split(request: ModelRequest) -> Split:
    """Divide a request by what its provider supports. Raises InvalidArgument for a member that must not be left
    out."""
    provider, accepted = request.provider, ACCEPTED.get(request.provider, _ALL)
    if refused := [name for name in request.more if name in _CHANGING - accepted]:
        text = f"cannot be sent to provider {provider}, which has nothing for it; leave it out"
        raise InvalidArgument.of(refused[0], text, reason="UNSUPPORTED_PARAMETER")
    summaries = frozenset() if _summarizes(request) else frozenset({"reasoning_summary"})
    lacking = {
        name: value
        for name in sorted(LACKS.get(provider, frozenset()) | summaries)
        if (value := getattr(request, name)) is not None
    }
    left_out = {name: value for name, value in request.more.items() if name not in accepted}
    if lacking or left_out:
        more = {name: value for name, value in request.more.items() if name in accepted}
        unset: dict[str, Any] = dict.fromkeys(lacking)
        request = replace(request, more=more, **unset)
    return Split(
        request,
        tuple(
            name for name, value in {**lacking, **left_out}.items() if value not in _DEFAULTS.get(name, ())
        ),
    )


def _summarizes(request: ModelRequest) -> bool:
    """Whether a summary can be asked for: of `anthropic`, when the assistant has it think."""
    return request.provider in _SUMMARIZES and (
        request.provider != "anthropic" or request.thinking is not None
    )
