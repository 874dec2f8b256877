"""Providers' own variables: whose keys and base URLs a server has, and which of two holds."""

import re

import pytest
from click import ClickException

from server.backends.providers import BASE_URLS
from server.cli.console import settings_of
from server.core.provider_variables import KEYS, SELF_HOSTED, URLS
from tests.documents import text_of

NAMES = [(provider, name) for provider, names in KEYS.items() for name in names]


@pytest.fixture(autouse=True)
def no_keys(monkeypatch):
    for name in [
        *(name for _, name in NAMES),
        *URLS.values(),
        "PARLEY_PROVIDER_KEYS",
        "PARLEY_PROVIDER_URLS",
    ]:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("server.core.telemetry.logs.configure", lambda *_: None)


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


@pytest.mark.parametrize(
    ("provider", "name", "given", "read"),
    [
        ("ollama", "OLLAMA_BASE_URL", "http://localhost:11434", "http://localhost:11434/v1"),
        ("ollama", "OLLAMA_BASE_URL", "http://localhost:11434/", "http://localhost:11434/v1"),
        ("vllm", "VLLM_BASE_URL", "http://gpu:8000/v1", "http://gpu:8000/v1"),
        ("openai", "OPENAI_BASE_URL", "https://proxy.example/openai/v1", "https://proxy.example/openai/v1"),
        ("anthropic", "ANTHROPIC_BASE_URL", "https://proxy.example", "https://proxy.example"),
    ],
)
def test_base_url_is_read_from_the_variable_of_the_provider(monkeypatch, provider, name, given, read):
    monkeypatch.setenv(name, given)

    assert settings_of().provider_urls == {provider: read}


def test_base_url_of_the_setting_wins(monkeypatch):
    monkeypatch.setenv("OLLAMA_BASE_URL", "http://localhost:11434")
    monkeypatch.setenv("PARLEY_PROVIDER_URLS", '{"ollama": "http://gpu:1/v1"}')

    assert settings_of().provider_urls == {"ollama": "http://gpu:1/v1"}


def test_key_is_sent_to_the_server_that_its_provider_s_own_variable_names(monkeypatch):
    monkeypatch.setenv("OPENAI_BASE_URL", "https://proxy.example/v1")
    monkeypatch.setenv("OPENAI_API_KEY", "sk-own")

    assert settings_of().provider_keys == {"openai": "sk-own"}


@pytest.mark.parametrize("given", ["localhost:11434", "ftp://localhost", "http://"])
def test_base_url_that_is_none_is_refused(monkeypatch, given):
    monkeypatch.setenv("OLLAMA_BASE_URL", given)

    with pytest.raises(ClickException, match=r"OLLAMA_BASE_URL: .* must be a URL, such as http://localhost"):
        settings_of()


def test_providers_are_those_that_have_a_url_of_their_own_and_those_that_operators_run():
    assert set(KEYS) == {provider for provider, url in BASE_URLS.items() if url} | SELF_HOSTED
    assert set(URLS) <= set(KEYS)


def test_variables_are_those_in_the_settings_page():
    page = text_of("docs/settings.md")
    paragraph = re.search(r"^The keys of model providers.*?\n\n", page, re.M | re.S)

    assert paragraph and set(re.findall(r"`([A-Z_]+_API_KEY)`", paragraph[0])) == {name for _, name in NAMES}
    assert set(re.findall(r"`([A-Z]+_BASE_URL)`", page)) == set(URLS.values())
