"""`parley providers`: which model providers the settings name, and whether one answers.

`test` calls a model as the server would, and costs a few tokens. Changes nothing.
"""

import logging
from typing import Any

import click
import structlog

from server.backends.providers import BASE_URLS, KEYS_SETTING, OFFLINE, URLS_SETTING, unknown
from server.cli.commands import Commands
from server.cli.config import without_password
from server.cli.console import config_option, fail, json_option, read_of, show
from server.cli.settings import Read
from server.core.provider_variables import KEYS, SELF_HOSTED, URLS

BUILT_IN = "built in"


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
    import asyncio

    from server.cli.provider_calls import test_all  # the HTTP client takes as long to load as all the rest

    results = asyncio.run(test_all(read, names, model))
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


def _result_text(result: dict[str, Any]) -> str:
    where = f"{result['name']}/{result['model']}" if result["model"] else result["name"]
    if result["ok"]:
        first = f", first token after {result['firstTokenMs']} ms" if "firstTokenMs" in result else ""
        tokens = f"{result['promptTokens']}/{result['completionTokens']} tokens"
        return f"{where}: ok in {result['milliseconds']} ms{first}, {tokens}: {result['text'].strip()!r}"
    told = f"\n  {result['providerError']}" if "providerError" in result else ""
    return f"{where}: FAILED: {result['error']}{told}"
