"""Prices as providers list them, from generated/prices.json, for models that the operator has set none for.

Counts tokens of text: those of input, those of it that the provider read from its cache, and those of output.
Asks no provider, and knows no price of the operator's (`costs.py`).
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

import orjson

import generated
from server.agents.agents import DEFAULT_PROVIDER
from server.backends.backend import Usage

_FILE = Path(next(iter(generated.__path__))) / "prices.json"
_PER = 1_000_000
Ran = tuple[str, str]
"""A provider and a model."""


def listed_costs(calls: Iterable[tuple[Ran, Usage]], at_ms: int) -> dict[Ran, float]:
    """The cost in USD of each model that is listed. Each call has its own: prices may rise with its length."""
    costs: dict[Ran, float] = {}
    for ran, usage in calls:
        if rows := prices_of(*ran):
            costs[ran] = costs.get(ran, 0.0) + _cost(_current(rows, at_ms), usage)
    return costs


@lru_cache(maxsize=1024)
def prices_of(provider: str, model: str) -> list[dict[str, Any]]:
    """The prices of a model, of which the last that applies holds; empty when it is not listed."""
    if provider == DEFAULT_PROVIDER:  # the offline model, which is free
        return []
    for row in table()["providers"].get(provider, ()):
        if _matches(row["model"], model.lower()):
            prices: list[dict[str, Any]] = row["prices"]
            return prices
    return []


@cache
def table() -> dict[str, Any]:
    """The file. It is read when the first model is called that is not the offline one."""
    content: dict[str, Any] = orjson.loads(_FILE.read_bytes())
    return content


def _matches(clause: Mapping[str, Any], model: str) -> bool:
    [(name, value)] = clause.items()
    match name:
        case "or":
            return any(_matches(one, model) for one in value)
        case "and":
            return all(_matches(one, model) for one in value)
        case "equals":
            return bool(model == value.lower())
        case "starts_with":
            return model.startswith(value.lower())
        case "ends_with":
            return model.endswith(value.lower())
        case "contains":
            return value.lower() in model
        case _:
            return re.search(value, model) is not None


def _current(prices: Sequence[Mapping[str, Any]], at_ms: int) -> Mapping[str, Any]:
    at = datetime.fromtimestamp(at_ms / 1000, UTC)
    return next((price for price in reversed(prices) if _applies(price, at)), prices[0])


def _applies(price: Mapping[str, Any], at: datetime) -> bool:
    hour, hours = f"{at:%H:%M}", price.get("hours")
    if hours is not None:
        first, last = map(str, hours)
        return first <= hour < last if first <= last else hour >= first or hour < last
    return str(price.get("from", "")) <= f"{at:%Y-%m-%d}"


def _cost(price: Mapping[str, Any], usage: Usage) -> float:
    size = usage.prompt_tokens
    cached = min(usage.cached_tokens, size)
    fresh_rate = _rate(price["input"], size)
    cached_rate = _rate(price["cached"], size) if "cached" in price else fresh_rate
    return (
        (size - cached) * fresh_rate
        + cached * cached_rate
        + usage.completion_tokens * _rate(price["output"], size)
    ) / _PER


def _rate(rate: Any, size: int) -> float:
    if not isinstance(rate, list):
        return float(rate)
    found = rate[0]
    for start, price in rate[1:]:
        if size > start:
            found = price
    return float(found)
