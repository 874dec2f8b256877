"""The contract between the engine and a model provider.

Does not choose a provider (`providers.py`) and does not store anything.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, Protocol

from generated.parley.v1.chat_pb2 import ContentDelta, ReasoningDelta, ToolCallDelta
from generated.parley.v1.message_pb2 import Message, ProviderState

FinishReason = Literal[
    "stop", "length", "tool_calls", "content_filter", "max_tool_rounds", "max_output_bytes"
]
"""Why a choice ended. The last two never come from a provider: the engine sets them at its own limits."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelRequest:
    """One call of a model. Members left at None are not sent to the provider."""

    provider: str
    model: str
    messages: Sequence[Message]
    """The whole context in order: system and developer messages, history, input; as `well_formed.py` makes it."""
    temperature: float | None = None
    top_p: float | None = None
    max_tokens: int | None = None
    stop: Sequence[str] = ()
    seed: int | None = None
    n: int = 1
    frequency_penalty: float | None = None
    presence_penalty: float | None = None
    tools: Sequence[dict[str, Any]] = ()
    """Function tools, as {"type": "function", "function": {name, description, parameters, strict}}, and custom ones, as
    {"type": "custom", "custom": {name, description, format}}."""
    tool_choice: Any = None
    """none, auto, required, or {"type": "function", "function": {"name": …}}; or the same of custom."""
    parallel_tool_calls: bool | None = None
    response_format: dict[str, Any] | None = None
    """As in chat completions: {"type": "json_schema", "json_schema": {name, schema, strict}} or {"type":
    "json_object"}."""
    thinking: dict[str, Any] | None = None
    """The assistant's `model.thinking`: {"type": "enabled", "budgetTokens": N}."""
    reasoning_effort: str | None = None
    reasoning_summary: str | None = None
    """Whether a summary of the reasoning is wanted: auto, concise or detailed."""
    more: Mapping[str, Any] = field(default_factory=dict)
    """Members of chat completions, under their names, that only some providers take (`members.py`)."""
    url: str | None = None
    """The assistant's own `model.url`; called only when the operator's allow-list has its host."""
    api_key: str | None = field(default=None, repr=False)
    """The key in the assistant's `credentials` for this provider; None means the operator's."""
    timeout_seconds: float = 600.0
    """For the whole call, retries included."""
    streams: bool = True
    """Whether output is wanted as it is generated; otherwise the provider is asked for a whole answer."""
    explain: Callable[[str], None] | None = field(default=None, repr=False, compare=False)
    """Receives the provider's own words about a failure: only for an operator who tests it, never for callers."""


class Finish(NamedTuple):
    """One choice is complete."""

    choice: int
    reason: FinishReason


class Usage(NamedTuple):
    """Tokens of the whole call, all choices together; sent once, when known."""

    prompt_tokens: int
    completion_tokens: int
    cached_tokens: int = 0
    reasoning_tokens: int = 0
    cache_write_tokens: int = 0
    """How many of the prompt's tokens were written to the provider's cache."""
    estimated: bool = False
    """Whether the provider reported no usage; never set by a backend."""


class Ran(NamedTuple):
    """The model that the provider reports it ran; sent at most once, before the first delta."""

    model: str
    system_fingerprint: str | None = None
    service_tier: str | None = None


class Unused(NamedTuple):
    """Members of the request that the provider does not support, by their names in chat completions; sent
    first, if at all."""

    names: tuple[str, ...]


class StateEvent(NamedTuple):
    """The provider state to send back with the message of one choice; sent at most once, before its
    `Finish`."""

    choice: int
    state: ProviderState


ModelEvent = ContentDelta | ReasoningDelta | ToolCallDelta | Ran | Unused | StateEvent | Finish | Usage


Emit = Callable[[Sequence[ModelEvent]], Awaitable[None]]
"""Takes events that arrived together, in order, and returns when there is room for more. An exception from it
ends the call and propagates."""


class Backend(Protocol):
    """A kind of model provider."""

    async def generate(self, request: ModelRequest, emit: Emit) -> None:
        """Call the model and emit what it sends, in order.

        Promises: every choice ends in exactly one `Finish`, or this raises `UpstreamError` (or `InvalidArgument` when
        the provider refuses the request itself). Nothing is retried after the first delta. Cancelling the task closes
        the provider's connection. No text of the provider's error leaves here.
        """
        ...

    async def close(self) -> None:
        """Release connections. Calls in flight fail."""
        ...
