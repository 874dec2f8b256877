"""Providers' own variables: whose keys a server has, and which of two holds."""

import re

import pytest

from server.backends.providers import BASE_URLS
from server.cli.console import settings_of
from server.core.provider_variables import VARIABLES
from tests.documents import text_of

NAMES = [(provider, name) for provider, names in VARIABLES.items() for name in names]


@pytest.fixture(autouse=True)
def no_keys(monkeypatch):
    for name in [*(name for _, name in NAMES), "PARLEY_PROVIDER_KEYS", "PARLEY_PROVIDER_URLS"]:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("server.cli.console.log_as_json", lambda: None)


@pytest.mark.parametrize(("provider", "name"), NAMES)
def test_key_is_read_from_the_variable_of_the_provider(monkeypatch, provider, name):
    monkeypatch.setenv(name, " sk-own\n")

    assert settings_of().provider_keys == {provider: "sk-own"}


def test_empty_variable_is_no_key(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "")

    assert settings_of().provider_keys == {}


def test_key_of_the_setting_wins(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-own")
    monkeypatch.setenv("GROQ_API_KEY", "gsk-own")
    monkeypatch.setenv("PARLEY_PROVIDER_KEYS", '{"openai": "sk-set"}')

    assert settings_of().provider_keys == {"openai": "sk-set", "groq": "gsk-own"}


def test_server_of_the_operators_own_is_not_sent_the_key_of_the_provider(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-own")
    monkeypatch.setenv("PARLEY_PROVIDER_URLS", '{"openai": "http://127.0.0.1:8000/v1"}')

    assert settings_of().provider_keys == {}


def test_providers_are_those_that_have_a_url_of_their_own():
    assert set(VARIABLES) == {provider for provider, url in BASE_URLS.items() if url}


def test_variables_are_those_in_the_settings_page():
    paragraph = re.search(r"^The keys of model providers.*?\n\n", text_of("docs/settings.md"), re.M | re.S)

    assert paragraph and set(re.findall(r"`([A-Z_]+_API_KEY)`", paragraph[0])) == {name for _, name in NAMES}
