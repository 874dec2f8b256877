"""What models cost that the operator has set no price for: as the package calculates that the list is from."""

from datetime import UTC, datetime
from importlib.metadata import version

import pytest
from genai_prices import Usage as Theirs
from genai_prices import calc_price
from genai_prices.data import providers

from scripts import prices
from server.backends.backend import Usage
from server.core.config import Price
from server.exchange.costs import costs_of
from server.exchange.listed_prices import listed_costs, prices_of, table
from tests.documents import text_of

NOW = datetime(2026, 12, 1, 12, tzinfo=UTC)
NIGHT = datetime(2026, 12, 1, 17, tzinfo=UTC)
BEFORE = datetime(2025, 1, 1, tzinfo=UTC)
USAGES = [Usage(1_000, 500), Usage(1_000, 500, cached_tokens=400), Usage(300_000, 10), Usage(0, 0)]
OTHER_UNITS = ("requests_kcount", "input_mchars")
"""Not counted here: what is paid for a request, or by the character."""
BY_PACKAGE = {prices.NAMES[one.id]: one for one in providers if one.id in prices.NAMES}


def ours(provider, model, usage, at):
    return listed_costs([((provider, model), usage)], int(at.timestamp() * 1000)).get((provider, model))


def is_counted(model):
    found = (
        [getattr(one, "prices", one) for one in model.prices]
        if isinstance(model.prices, list)
        else [model.prices]
    )
    return all(
        one.input_mtok is not None
        and one.output_mtok is not None
        and all(getattr(one, unit, None) is None for unit in OTHER_UNITS)
        for one in found
    )


@pytest.mark.parametrize("at", [NOW, NIGHT, BEFORE], ids=str)
@pytest.mark.parametrize("provider", BY_PACKAGE)
def test_cost_is_what_the_package_calculates(provider, at):
    compared = 0
    for model in BY_PACKAGE[provider].models:
        if not is_counted(model) or BY_PACKAGE[provider].find_model(model.id) is not model:
            continue
        for usage in USAGES:
            theirs = calc_price(
                Theirs(
                    input_tokens=usage.prompt_tokens,
                    cache_read_tokens=usage.cached_tokens,
                    output_tokens=usage.completion_tokens,
                ),
                model_ref=model.id,
                provider_id=BY_PACKAGE[provider].id,
                genai_request_timestamp=at,
            ).total_price
            assert ours(provider, model.id, usage, at) == pytest.approx(float(theirs)), (model.id, usage)
            compared += 1
    assert compared


def test_calls_are_priced_one_by_one():
    """A price that rises with the length of a call does not rise with the number of calls."""
    [tiered] = [
        model for model in BY_PACKAGE["google"].models if model.id == "gemini-2.5-pro"
    ]  # dearer from 200,001 tokens on
    one = ("google", tiered.id), Usage(150_000, 0)
    at = int(NOW.timestamp() * 1000)

    assert listed_costs([one, one], at)[one[0]] == 2 * listed_costs([one], at)[one[0]]
    assert ours("google", tiered.id, Usage(300_000, 0), NOW) > listed_costs([one, one], at)[one[0]]


def test_price_of_the_operator_wins_and_is_that_of_input_and_output_alone():
    ran, usage = ("openai", "gpt-4o-mini"), Usage(1_000_000, 0, cached_tokens=500_000)
    listed = listed_costs([(ran, usage)], int(NOW.timestamp() * 1000))
    own = {"gpt-4o-mini": Price(input=7, output=0)}
    free = {"openai/gpt-4o-mini": Price(input=0, output=0)}

    assert [costs_of(prices, {ran: usage}, listed)[0].cost for prices in (own, free, {})] == [
        7,
        0,
        listed[ran],
    ]
    assert listed[ran] > 0


@pytest.mark.parametrize(
    "ran", [("offline", "offline-1"), ("ollama", "llama3.2"), ("openai", "no-such"), ("my-vllm", "gpt-4o")]
)
def test_model_that_is_not_listed_costs_nothing(ran):
    assert prices_of(*ran) == []
    assert listed_costs([(ran, Usage(10, 10))], 0) == {}


def test_list_is_that_of_the_package_and_the_page_says_which():
    page = text_of("docs/models.md")

    assert table()["package"] == f"genai-prices {version('genai-prices')}"
    assert f"{table()['package']}, taken on {table()['taken']}" in page.replace("`", "")
