"""One small call of each model provider, as the server would call it, for `parley providers test`. Prints
nothing."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from google.protobuf.struct_pb2 import Value

from generated.parley.v1.chat_pb2 import ContentDelta
from generated.parley.v1.message_pb2 import Message
from server.backends.backend import ModelEvent, ModelRequest, Ran, Usage
from server.backends.calls import json_or_none
from server.backends.endpoint import USER_AGENT
from server.backends.providers import BASE_URLS, OFFLINE, URLS_SETTING, Providers
from server.cli.console import fail
from server.cli.settings import Read
from server.core.errors import ServiceError
from server.core.outbound.guard import MODELS, AllowedHosts
from server.core.outbound.limits import Limits
from server.core.outbound.transport import TRANSPORT_ERRORS, HttpClient, abandon, beginning
from server.core.provider_variables import URLS

_PROMPT = "Reply with the word ok."
_MOST_TOKENS = 16
_SECONDS = 60.0
_LIST_BYTES = 1 << 20
_EXPLAINED = 500
_MODELS = {
    "anthropic": "claude-haiku-4-5",
    "cerebras": "llama3.1-8b",
    "deep-seek": "deepseek-chat",
    "deepinfra": "meta-llama/Meta-Llama-3.1-8B-Instruct",
    "google": "gemini-2.5-flash-lite",
    "groq": "llama-3.1-8b-instant",
    "mistral": "mistral-small-latest",
    OFFLINE: "offline-1",
    "openai": "gpt-4o-mini",
    "openrouter": "openai/gpt-4o-mini",
    "perplexity-ai": "sonar",
    "together-ai": "meta-llama/Llama-3.3-70B-Instruct-Turbo",
    "xai": "grok-3-mini",
}
"""A small model of each provider, tested unless --model names another. Other servers are asked for their first."""


async def test_all(read: Read, names: Sequence[str], model: str | None) -> list[dict[str, Any]]:
    """The result of each provider's call, as it is printed; `model` None means a small one of the provider."""
    settings = read.settings
    allowed = AllowedHosts(settings.upstream_allow_hosts | settings.model_allow_hosts, MODELS)
    limits = replace(Limits(), attempts=1)
    try:
        backend = Providers(
            api_keys=settings.provider_keys, base_urls=settings.provider_urls, allowed=allowed, limits=limits
        )
        client = HttpClient(allowed.with_own(settings.provider_urls), limits)
    except ValueError as error:
        fail(str(error))
    try:
        return [await _test(backend, client, read, name, model or _MODELS.get(name)) for name in names]
    finally:
        await backend.close()
        await client.close()


async def _test(
    backend: Providers, client: HttpClient, read: Read, name: str, model: str | None
) -> dict[str, Any]:
    if model is None:
        try:
            model = await _first_model(client, name, read)
        except (ServiceError, ValueError, *TRANSPORT_ERRORS) as error:
            reason = f"its list of models cannot be read ({error}); name a model with --model"
            return {"name": name, "model": None, "ok": False, "error": reason}
    explained: list[str] = []
    events: list[ModelEvent] = []
    first: list[float] = []
    request = ModelRequest(
        provider=name,
        model=model,
        messages=[Message(role="user", content=Value(string_value=_PROMPT))],
        max_tokens=_MOST_TOKENS,
        timeout_seconds=_SECONDS,
        explain=explained.append,
    )

    async def emit(found: Sequence[ModelEvent]) -> None:
        if not first and any(isinstance(event, ContentDelta) for event in found):
            first.append(time.monotonic())
        events.extend(found)

    began = time.monotonic()
    result: dict[str, Any] = {"name": name, "model": model}
    try:
        await backend.generate(request, emit)
    except ServiceError as error:
        result |= {"ok": False, "error": str(error)}
        if explained:
            result["providerError"] = " ".join(explained[-1].split())[:_EXPLAINED]
    else:
        usage = next((event for event in events if isinstance(event, Usage)), Usage(0, 0))
        result |= {
            "ok": True,
            "ran": next((event.model for event in events if isinstance(event, Ran)), model),
            "text": "".join(event.text for event in events if isinstance(event, ContentDelta)),
            "promptTokens": usage.prompt_tokens,
            "completionTokens": usage.completion_tokens,
        }
        if first:
            result["firstTokenMs"] = round((first[0] - began) * 1000)
    return {**result, "milliseconds": round((time.monotonic() - began) * 1000)}


async def _first_model(client: HttpClient, name: str, read: Read) -> str:
    """The first model that a server lists. Raises ValueError when it lists none, and as `HttpClient.send`."""
    base = read.settings.provider_urls.get(name) or BASE_URLS.get(name)
    if not base:
        raise ValueError(f"it has no URL: set {URLS.get(name, URLS_SETTING)}")
    key = read.settings.provider_keys.get(name, "none")
    headers = {"authorization": f"Bearer {key}", "accept": "application/json", "user-agent": USER_AGENT}
    async with asyncio.timeout(_SECONDS):
        response = await client.send("GET", f"{base.rstrip('/')}/models", headers, None)
        try:
            listed = json_or_none(await beginning(response, _LIST_BYTES))
        finally:
            abandon(response)
    match listed:
        case {"data": [{"id": str(model)}, *_]}:
            return model
    raise ValueError(f"{response.status} {response.reason}, without a model")
