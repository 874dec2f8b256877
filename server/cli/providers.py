"""`parley providers`: which model providers the settings name, and whether one answers.

`test` calls a model as the server would, and costs a few tokens. Changes nothing.
"""

import asyncio
import logging
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import click
import structlog
from google.protobuf.struct_pb2 import Value

from generated.parley.v1.chat_pb2 import ContentDelta
from generated.parley.v1.message_pb2 import Message
from server.backends.backend import ModelEvent, ModelRequest, Ran, Usage
from server.backends.calls import json_or_none
from server.backends.endpoint import USER_AGENT
from server.backends.providers import BASE_URLS, KEYS_SETTING, OFFLINE, URLS_SETTING, Providers, unknown
from server.cli.commands import Commands
from server.cli.config import without_password
from server.cli.console import config_option, fail, json_option, read_of, show
from server.cli.settings import Read
from server.core.errors import ServiceError
from server.core.outbound.guard import MODELS, AllowedHosts
from server.core.outbound.limits import Limits
from server.core.outbound.transport import TRANSPORT_ERRORS, HttpClient, abandon, beginning
from server.core.provider_variables import KEYS, SELF_HOSTED, URLS

_PROMPT = "Reply with the word ok."
_MOST_TOKENS = 16
_SECONDS = 60.0
_LIST_BYTES = 1 << 20
_EXPLAINED = 500
BUILT_IN = "built in"
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


@click.group(cls=Commands)
def providers() -> None:
    """List and test the model providers."""


@providers.command("list")
@config_option
@json_option
def list_providers(config: Any, as_json: bool) -> None:
    """List the providers with their URLs and where each one's key comes from. A key is shown by its last four
    characters.
    """
    rows = rows_of(read_of(config))
    wide = max(len(row["name"]) for row in rows), max(len(row["url"] or "-") for row in rows)
    shown = sorted(rows, key=lambda row: not row["callable"])
    lines = [f"{row['name']:{wide[0]}}  {row['url'] or '-':{wide[1]}}  {_state(row)}" for row in shown]
    show(rows, as_json, "\n".join(lines))


@providers.command("test")
@click.argument("name", required=False)
@click.option("--model", metavar="MODEL", help="The model to call, instead of a small one of the provider.")
@config_option
@json_option
def test_providers(name: str | None, model: str | None, config: Any, as_json: bool) -> None:
    """Call a model of the provider NAME, or of every one that has a key or a URL of yours. Costs a few tokens.

    The exit code is not 0 when a call fails.
    """
    read = read_of(config)
    _log_errors_alone()
    settings = read.settings
    if name is None and model is not None:
        fail("--model needs the NAME of a provider")
    if name is not None and (fault := unknown(name, None, settings.provider_urls)):
        fail(f"{name}: {fault}")
    names = [name] if name else [row["name"] for row in rows_of(read) if row["callable"]]
    results = asyncio.run(_test_all(read, names, model))
    show(results, as_json, "\n".join(map(_result_text, results)))
    if not all(one["ok"] for one in results):
        raise SystemExit(1)


def _log_errors_alone() -> None:
    """Leave out the warnings of failed calls: the result has them."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))


def rows_of(read: Read) -> list[dict[str, Any]]:
    """Every provider that has a URL, or a variable that gives it one."""
    urls, keys = read.settings.provider_urls, read.settings.provider_keys
    rows = []
    for name in sorted({*BASE_URLS, *SELF_HOSTED, *urls, *keys}, key=lambda one: (one != OFFLINE, one)):
        url, key = urls.get(name) or BASE_URLS.get(name), keys.get(name)
        rows.append(
            {
                "name": name,
                "url": url and without_password(url),
                "urlFrom": read.urls.get(name) or (BUILT_IN if url else None),
                "key": key and f"****{key[-4:] if len(key) > 12 else ''}",
                "keyFrom": read.keys.get(name),
                "callable": name == OFFLINE or bool(url and (key or name in urls)),
            }
        )
    return rows


def _state(row: dict[str, Any]) -> str:
    """Whether a provider can be called, or what is to be set."""
    name, key, url_from = row["name"], row["key"], row["urlFrom"]
    if row["callable"]:
        of_key = f"key {key} ({row['keyFrom']})" if key else "no key, and none needed"
        return f"ready: {of_key}" + (f", URL of {url_from}" if url_from not in (None, BUILT_IN) else "")
    if row["url"] is None:
        return f"set {URLS.get(name, URLS_SETTING)}, or model.url in assistants"
    return f"set {' or '.join(KEYS.get(name, (KEYS_SETTING,)))}"


async def _test_all(read: Read, names: Sequence[str], model: str | None) -> list[dict[str, Any]]:
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


def _result_text(result: dict[str, Any]) -> str:
    where = f"{result['name']}/{result['model']}" if result["model"] else result["name"]
    if result["ok"]:
        first = f", first token after {result['firstTokenMs']} ms" if "firstTokenMs" in result else ""
        tokens = f"{result['promptTokens']}/{result['completionTokens']} tokens"
        return f"{where}: ok in {result['milliseconds']} ms{first}, {tokens}: {result['text'].strip()!r}"
    told = f"\n  {result['providerError']}" if "providerError" in result else ""
    return f"{where}: FAILED: {result['error']}{told}"
