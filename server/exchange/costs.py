"""Costs of an exchange, by the operator's price table, and for other models by the list prices of their providers.
Models without an entry in either cost 0, and their part is listed as 0."""

from collections.abc import Mapping

from generated.parley.v1.chat_pb2 import Cost
from server.backends.backend import Usage
from server.core.config import Price

_PER = 1_000_000
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
    cost = (
        (usage.prompt_tokens * price.input + usage.completion_tokens * price.output) / _PER
        if price
        else listed
    )
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
