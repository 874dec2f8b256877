"""Which provider is called where, with whose key."""

import subprocess
import sys
from typing import Any

import pytest

from generated.parley.v1.chat_pb2 import ContentDelta
from generated.parley.v1.message_pb2 import Message
from server.backends.backend import ModelRequest
from server.backends.endpoint import Endpoint
from server.backends.providers import BASE_URLS, Endpoints, Providers, base_of
from server.core.errors import InvalidArgument
from server.core.outbound.guard import AllowedHosts
from tests.pulled import pulled
from tests.upstream import AnthropicUpstream, OpenAIUpstream, anthropic_text, openai_text

KEYS = {"openai": "sk-operator", "anthropic": "sk-operator", "custom-llm": "sk-operator"}


def model_request(provider: str, **members: Any) -> ModelRequest:
    return ModelRequest(
        provider=provider, model="m", messages=[Message(role="user", message="hi")], **members
    )


def endpoint(
    request: ModelRequest, *, base_urls: dict[str, str] | None = None, allowed: tuple[str, ...] = ()
) -> Endpoint:
    return Endpoints(KEYS, base_urls or {}, AllowedHosts(allowed)).of(request)


async def text_of(providers: Providers, request: ModelRequest) -> str:
    try:
        return "".join(
            [event.text async for event in pulled(providers, request) if isinstance(event, ContentDelta)]
        )
    finally:
        await providers.close()


async def test_offline_needs_nothing():
    assert await text_of(Providers(), model_request("offline")) == "You said: hi"


@pytest.mark.parametrize(
    ("provider", "server", "answer"),
    [("openai", OpenAIUpstream, openai_text("Hi")), ("anthropic", AnthropicUpstream, anthropic_text("Hi"))],
)
async def test_operators_url_is_called_with_the_operators_key(provider, server, answer):
    async with server(answer) as upstream:
        urls = {provider: upstream.base_url}
        providers = Providers(api_keys=KEYS, base_urls=urls, allowed=AllowedHosts(["127.0.0.1"]))

        assert await text_of(providers, model_request(provider)) == "Hi"
    assert upstream.requests[0].headers["authorization"] == "Bearer sk-operator"


@pytest.mark.parametrize("provider", ["openai", "anthropic", "custom-llm", "never-heard-of"])
@pytest.mark.parametrize("ending", ["", "/", "/chat/completions", "/v1/messages"])
async def test_assistants_url_never_gets_the_operators_key(provider, ending):
    server, answer = (
        (AnthropicUpstream, anthropic_text("Hi"))
        if provider == "anthropic"
        else (OpenAIUpstream, openai_text("Hi"))
    )
    async with server(answer) as upstream:
        providers = Providers(api_keys=KEYS, allowed=AllowedHosts([f"127.0.0.1:{upstream.port}"]))

        assert await text_of(providers, model_request(provider, url=upstream.base_url + ending)) == "Hi"
    [received] = upstream.requests
    assert received.path == ("/v1/messages" if provider == "anthropic" else "/v1/chat/completions")
    assert received.headers["authorization"] == "Bearer none"
    assert "sk-operator" not in repr(received)


async def test_assistants_url_gets_the_assistants_key_and_keeps_its_query():
    async with OpenAIUpstream(openai_text("Hi")) as upstream:
        url = f"{upstream.base_url}/chat/completions?api-version=1"
        providers = Providers(allowed=AllowedHosts(["127.0.0.1"]))

        assert await text_of(providers, model_request("custom-llm", url=url, api_key="sk-own")) == "Hi"
    [received] = upstream.requests
    assert (received.path, received.headers["authorization"]) == (
        "/v1/chat/completions?api-version=1",
        "Bearer sk-own",
    )


@pytest.mark.parametrize("provider", ["openai", "anthropic", "custom-llm", "offline-2"])
async def test_assistants_url_that_is_not_listed_is_refused_and_not_called(provider):
    async with OpenAIUpstream(openai_text("Hi")) as upstream:
        with pytest.raises(InvalidArgument, match=r"^model\.url .*PARLEY_UPSTREAM_ALLOW_HOSTS"):
            await text_of(Providers(), model_request(provider, url=upstream.base_url))

    assert upstream.connections == 0


@pytest.mark.parametrize("provider", sorted(name for name, url in BASE_URLS.items() if url))
def test_built_in_provider_is_called_over_https_with_the_assistants_key(provider):
    found = endpoint(model_request(provider, api_key="sk-own"))

    assert found.base_url.startswith("https://") and found.api_key == "sk-own"


@pytest.mark.parametrize(
    ("request_", "field"),
    [
        (model_request("never-heard-of"), "model.provider"),
        (model_request("groq"), "model.provider"),
        (model_request("custom-llm"), "model.url"),
        (model_request("azure-openai"), "model.url"),
        (model_request("openai", api_key="sk\n"), "credentials"),
        (model_request("openai", api_key="sk-ü"), "credentials"),
    ],
    ids=["unknown", "no-key", "no-url", "no-azure-url", "key-with-newline", "key-not-ascii"],
)
async def test_provider_that_cannot_be_called_is_refused_naming_the_field(request_, field):
    with pytest.raises(InvalidArgument) as refused:
        await text_of(Providers(api_keys=KEYS), request_)

    assert [violation.field for violation in refused.value.violations] == [field]


def test_operators_own_server_needs_no_key():
    assert endpoint(model_request("groq"), base_urls={"groq": "http://llm:8000/v1/"}) == Endpoint(
        "http://llm:8000/v1", "none"
    )


def test_key_does_not_show():
    assert "sk-own" not in repr(endpoint(model_request("openai", api_key="sk-own")))


@pytest.mark.parametrize(
    "url", ["http://h/v1", "http://h/v1/", "http://h/v1/chat/completions", "http://h/v1/chat/completions/"]
)
def test_base_url_of_a_model_url(url):
    assert base_of(url) == "http://h/v1"


def test_http_stack_is_not_imported_until_used():
    code = (
        "import sys, server.backends.providers as p; p.Providers(); "
        "print([m for m in ('openai', 'anthropic', 'httpx2', 'aiohttp', 'tenacity') if m in sys.modules])"
    )

    assert (
        subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
        == "[]\n"
    )
