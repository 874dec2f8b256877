"""What an exchange costs, by the operator's price table."""

import pytest

from server.backends.backend import Usage
from server.content.json_values import to_python
from server.core.config import Price
from server.exchange.costs import costs_of

PRICES = {
    "openai/gpt-4o": Price(input=2.5, output=10),
    "gpt-4o": Price(input=5, output=20),
    "mini": Price(input=0.15, output=0.6),
}

LOOKED_UP = {
    "provider and model": ("openai", "gpt-4o", 2.5),
    "another provider of the model": ("azure-openai", "gpt-4o", 5.0),
    "model of any provider": ("openai", "mini", 0.15),
    "unknown model": ("openai", "gpt-5", 0.0),
    "unknown model of a known name's provider": ("gpt-4o", "x", 0.0),
}


@pytest.mark.parametrize(("provider", "model", "cost"), LOOKED_UP.values(), ids=LOOKED_UP)
def test_price_of_provider_and_model_wins_over_that_of_the_model(provider, model, cost):
    part, chat = costs_of(PRICES, {(provider, model): Usage(1_000_000, 0)})

    assert (part.cost, chat.cost) == (cost, 0)


def test_part_says_what_was_used_of_which_model():
    part, _ = costs_of(PRICES, {("openai", "gpt-4o"): Usage(12, 34)})

    assert (part.type, part.prompt_tokens, part.completion_tokens) == ("model", 12, 34)
    assert to_python(part.model) == {"provider": "openai", "model": "gpt-4o"}


@pytest.mark.parametrize("tokens", [0, 1, 3, 7, 999, 1_000_001, 2**31], ids=str)
def test_input_and_output_have_their_own_price(tokens):
    part, _ = costs_of(PRICES, {("openai", "mini"): Usage(tokens, 2 * tokens)})

    assert part.cost == pytest.approx(tokens * (0.15 + 1.2) / 1e6, rel=1e-12)


def test_free_model_costs_nothing_and_says_so():
    parts = costs_of({}, {("offline", "offline-1"): Usage(100, 100)})

    assert [(part.type, part.cost) for part in parts] == [("model", 0), ("chat", 0)]


def test_price_of_nothing_is_a_price():
    assert (
        costs_of({"a/b": Price(input=0, output=0), "b": Price(input=9, output=9)}, {("a", "b"): Usage(9, 9)})[
            0
        ].cost
        == 0
    )


@pytest.mark.parametrize(
    ("cached_price", "cached", "cost"),
    [
        (None, 400, 1.0),
        (0.25, 0, 1.0),
        (0.25, 400, 0.7),
        (0.25, 1000, 0.25),
        (0, 1000, 0),
        (0.25, 2000, 0.25),
    ],
)
def test_tokens_from_the_cache_have_their_own_price(cached_price, cached, cost):
    prices = {"m": Price(input=1000, output=0, cached_input=cached_price and cached_price * 1000)}

    part, _ = costs_of(prices, {("openai", "m"): Usage(1000, 0, cached_tokens=cached)})

    assert part.cost == pytest.approx(cost)
