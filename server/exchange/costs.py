"""Costs of an exchange, by the operator's price table, and for other models by the list prices of their providers;
and how many tokens it has where no provider counts them. Models without an entry in either cost 0, and their part
is listed as 0."""

from collections.abc import Mapping, Sequence

import orjson

from generated.parley.v1.chat_pb2 import Cost
from generated.parley.v1.message_pb2 import Message
from server.backends.backend import ModelRequest, Usage
from server.content.messages import text_of
from server.core.config import Price

_PER = 1_000_000
_CHARACTERS = 4
"""Of a token, in a common text."""
_NONE: Mapping[tuple[str, str], float] = {}


def costs_of(
    prices: Mapping[str, Price],
    spent: Mapping[tuple[str, str], Usage],
    listed: Mapping[tuple[str, str], float] = _NONE,
) -> list[Cost]:
    """Return the parts of a cost in USD, one per provider and model that ran; a chat's cost is exactly their
    sum.

    `listed` is what they cost by the lists of their providers, where the operator's `prices` have none.
    """
    return [
        *(_cost_of(prices, *ran, usage, listed.get(ran, 0.0)) for ran, usage in spent.items()),
        Cost(type="chat", cost=0),
    ]


def _cost_of(prices: Mapping[str, Price], provider: str, model: str, usage: Usage, listed: float) -> Cost:
    price = prices.get(f"{provider}/{model}") or prices.get(model)
    cost = (_cost_of_input(price, usage) + usage.completion_tokens * price.output) / _PER if price else listed
    part = Cost(
        type="model",
        prompt_tokens=usage.prompt_tokens,
        completion_tokens=usage.completion_tokens,
        cost=cost,
        estimated=usage.estimated or None,
    )
    part.model.fields["provider"].string_value = provider
    part.model.fields["model"].string_value = model
    return part


def _cost_of_input(price: Price, usage: Usage) -> float:
    """Return what the input costs, in millionths of USD; of its tokens some came from the provider's cache."""
    if price.cached_input is None:
        return usage.prompt_tokens * price.input
    cached = min(usage.cached_tokens, usage.prompt_tokens)
    return (usage.prompt_tokens - cached) * price.input + cached * price.cached_input


def input_tokens(request: ModelRequest) -> int:
    """Return about how many tokens a model is given: its messages and its tools."""
    tools = len(orjson.dumps(list(request.tools))) if request.tools else 0
    return tokens_of(request.messages, tools)


def tokens_of(messages: Sequence[Message], characters: int = 0) -> int:
    """Return about how many tokens messages have, and some characters more: four characters make one."""
    return -(-(sum(len(text_of(message)) for message in messages) + characters) // _CHARACTERS)
