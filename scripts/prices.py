"""The prices of generated/prices.json, taken from the package genai-prices: tokens of text, as providers list them.

The package itself is not installed with the server: it is 1.6 MB of Python, takes 7 MB of memory, and brings a
second HTTP client. `scripts/generate` writes the file; a newer package goes into pyproject.toml, and the day into
TAKEN.
"""

import json
from importlib.metadata import version
from typing import Any

from genai_prices.data import providers
from genai_prices.types import ModelPrice, StartDateConstraint, TieredPrices, TimeOfDateConstraint

TAKEN = "2026-12-01"
NAMES = {
    "anthropic": "anthropic",
    "azure": "azure-openai",
    "cerebras": "cerebras",
    "deepseek": "deep-seek",
    "google": "google",
    "groq": "groq",
    "mistral": "mistral",
    "openai": "openai",
    "openrouter": "openrouter",
    "perplexity": "perplexity-ai",
    "together": "together-ai",
    "x-ai": "xai",
}
"""The package's names of providers, and ours."""
_UNITS = {"input": "input_mtok", "cached": "cache_read_mtok", "output": "output_mtok"}


def table() -> str:
    """The file, a line for each model."""
    lines = []
    for provider in sorted(providers, key=lambda one: NAMES.get(one.id, "")):
        if name := NAMES.get(provider.id):
            rows = [row for model in provider.models if (row := _row(model))]
            lines.append(f' "{name}": [\n  ' + ",\n  ".join(map(_json, rows)) + "\n ]")
    head = f'"package": "genai-prices {version("genai-prices")}",\n"taken": "{TAKEN}",\n'
    return "{\n" + head + '"providers": {\n' + ",\n".join(lines) + "\n}\n}\n"


def _row(model: Any) -> dict[str, Any] | None:
    conditional = model.prices if isinstance(model.prices, list) else [model]
    prices = [found for one in conditional if (found := _price(one))]
    return {"model": _clause(model.match), "prices": prices} if prices else None


def _price(conditional: Any) -> dict[str, Any] | None:
    price: ModelPrice = conditional.prices
    if price.input_mtok is None or price.output_mtok is None:
        return None
    found = {name: _rate(rate) for name, unit in _UNITS.items() if (rate := getattr(price, unit)) is not None}
    match getattr(conditional, "constraint", None):
        case None:
            return found
        case StartDateConstraint(start_date=date):
            return {**found, "from": str(date)}
        case TimeOfDateConstraint(start_time=start, end_time=end):
            return {**found, "hours": [f"{start:%H:%M}", f"{end:%H:%M}"]}
        case other:
            raise ValueError(f"unknown constraint {other!r}")


def _rate(rate: Any) -> Any:
    """A number, or that below the first tier with the tiers: [tokens of input, price from there on]."""
    if isinstance(rate, TieredPrices):
        return [float(rate.base), *([tier.start, float(tier.price)] for tier in rate.tiers)]
    return float(rate)


def _clause(clause: Any) -> dict[str, Any]:
    """Which names of models are meant: {"equals": text}, and so on; `or` and `and` have a list."""
    [(name, value)] = vars(clause).items()
    return {name.rstrip("_"): list(map(_clause, value)) if isinstance(value, list) else value}


def _json(row: dict[str, Any]) -> str:
    return json.dumps(row, separators=(",", ":"))
