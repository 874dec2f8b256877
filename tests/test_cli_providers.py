"""`parley providers`, and servers of an operator's own that one variable names."""

import json
import re

import httpx
import pytest
from click.testing import CliRunner

from server.cli.providers import providers
from server.core.outbound.guard import AllowedHosts
from tests.documents import text_of
from tests.processes import Serving, run
from tests.upstream import (
    Answer,
    AnthropicUpstream,
    OpenAIUpstream,
    anthropic_text,
    failure,
    openai_text,
)

KEY = "sk-0123456789abcdef"


class OllamaUpstream(OpenAIUpstream):
    """Lists its models too."""

    def flaw_in(self, request):
        return None if request.method == "GET" else super().flaw_in(request)


def models(*names):
    body = {"object": "list", "data": [{"id": name, "object": "model"} for name in names]}
    return Answer([json.dumps(body).encode()], 200, {"content-type": "application/json"})


def origin(upstream):
    return f"http://localhost:{upstream.port}"


async def listed(**environment):
    ended = await run("parley", "providers", "list", "--json", **environment)
    return {row["name"]: row for row in json.loads(ended.out)}


async def test_list_says_whose_key_and_url_come_from_where(tmp_path):
    secret = tmp_path / "key"
    secret.write_text(KEY)
    rows = await listed(
        OPENAI_API_KEY=KEY,
        GROQ_API_KEY_FILE=secret,
        OLLAMA_BASE_URL="http://localhost:11434",
        PARLEY_PROVIDER_URLS='{"mine": "https://u:secret@h/v1?api-key=secret"}',
        PARLEY_PROVIDER_KEYS='{"mine": "short-secret"}',
    )

    def shown(name):
        row = rows[name]
        return row["url"], row["urlFrom"], row["key"], row["keyFrom"], row["callable"]

    assert shown("openai") == ("https://api.openai.com/v1", "built in", "****cdef", "OPENAI_API_KEY", True)
    assert shown("groq")[2:] == ("****cdef", f"GROQ_API_KEY_FILE ({secret})", True)
    assert shown("ollama") == ("http://localhost:11434/v1", "OLLAMA_BASE_URL", None, None, True)
    assert shown("vllm") == (None, None, None, None, False)
    assert shown("anthropic")[1:] == ("built in", None, None, False)
    assert shown("mine") == (
        "https://u:****@h/v1?api-key=****", "PARLEY_PROVIDER_URLS", "****", "PARLEY_PROVIDER_KEYS", True
    )  # fmt: skip


async def test_list_says_in_words_what_is_ready_and_what_is_to_be_set():
    ended = await run("parley", "providers", "list", OPENAI_API_KEY=KEY, OLLAMA_BASE_URL="http://localhost:1")
    lines = {line.split()[0]: " ".join(line.split()[1:]) for line in ended.out.splitlines()}

    assert lines["openai"] == "https://api.openai.com/v1 ready: key ****cdef (OPENAI_API_KEY)"
    assert lines["ollama"] == "http://localhost:1/v1 ready: no key, and none needed, URL of OLLAMA_BASE_URL"
    assert lines["google"].endswith("set GEMINI_API_KEY or GOOGLE_API_KEY")
    assert lines["vllm"] == "- set VLLM_BASE_URL, or model.url in assistants"
    assert KEY not in ended.out


async def test_provider_that_answers_is_reported_with_its_latency_and_tokens():
    async with (
        OpenAIUpstream(openai_text("ok")) as openai,
        AnthropicUpstream(anthropic_text("ok")) as anthropic,
    ):
        ended = await run(
            "parley", "providers", "test", "--json",
            OPENAI_BASE_URL=openai.base_url, OPENAI_API_KEY=KEY,
            ANTHROPIC_BASE_URL=anthropic.base_url, ANTHROPIC_API_KEY=KEY,
        )  # fmt: skip
    results = {one["name"]: one for one in json.loads(ended.out)}

    assert (ended.code, ended.err) == (0, "")
    assert list(results) == ["offline", "anthropic", "openai"]
    assert all(one["ok"] and one["milliseconds"] >= one["firstTokenMs"] for one in results.values())
    assert (results["openai"]["text"], results["openai"]["promptTokens"]) == ("ok", 3)
    assert openai.requests[0].headers["authorization"] == f"Bearer {KEY}"
    assert openai.requests[0].body["model"] == "gpt-4o-mini"
    assert (openai.flaws, anthropic.flaws) == ([], [])


async def test_provider_that_refuses_is_reported_in_its_own_words_and_fails_the_command():
    refusal = failure(401, {"error": {"message": "Incorrect API key provided"}})
    async with OpenAIUpstream(refusal) as openai:
        environment = {"OPENAI_BASE_URL": openai.base_url, "OPENAI_API_KEY": KEY}
        ended = await run("parley", "providers", "test", "openai", "--model", "gpt-x", **environment)

    assert ended.code == 1
    assert ended.out.startswith(
        "openai/gpt-x: FAILED: The model provider openai refused the operator's credentials.\n"
        '  401 Scripted: {"error": {"message": "Incorrect API key provided"}}'
    )
    assert KEY not in ended.out + ended.err
    assert openai.requests[0].body["model"] == "gpt-x"


async def test_server_of_ones_own_is_asked_for_its_first_model():
    async with OllamaUpstream([models("llama3.2", "other"), openai_text("ok")]) as ollama:
        ended = await run("parley", "providers", "test", "ollama", OLLAMA_BASE_URL=origin(ollama))

    assert (ended.code, ended.out.split(":")[0]) == (0, "ollama/llama3.2")
    assert [request.path for request in ollama.requests] == ["/v1/models", "/v1/chat/completions"]


@pytest.mark.parametrize(
    ("arguments", "environment", "printed"),
    [
        (["openia"], {}, "did you mean openai?"),
        (["ollama"], {}, "ollama has no URL here: let the operator set OLLAMA_BASE_URL"),
        (
            ["openai"],
            {"PARLEY_PROVIDER_URLS": '{"openai": "nowhere"}'},
            "base URL of provider openai must be",
        ),
        (["openai"], {}, "let the operator set OPENAI_API_KEY or PARLEY_PROVIDER_KEYS"),
        (["custom-llm", "--model", "m"], {}, "model.url is required for provider custom-llm"),
        (["custom-llm"], {}, "it has no URL: set PARLEY_PROVIDER_URLS); name a model with --model"),
        (["--model", "m"], {}, "--model needs the NAME of a provider"),
        (["ollama", "--model", "m"], {"OLLAMA_BASE_URL": "http://localhost:1"}, "Connect call failed"),
        (["ollama"], {"OLLAMA_BASE_URL": "http://localhost:1"}, "its list of models cannot be read ([Errno"),
    ],
    ids=str,
)
def test_what_cannot_be_called_is_said_with_the_remedy(monkeypatch, arguments, environment, printed):
    monkeypatch.setattr("server.core.telemetry.logs.configure", lambda *_: None)
    monkeypatch.setattr("server.cli.providers._log_errors_alone", lambda: None)
    ended = CliRunner().invoke(providers, ["test", *arguments], env=environment)

    assert ended.exit_code == 1
    assert printed in ended.output


async def test_server_without_a_model_is_reported():
    async with OllamaUpstream(models()) as ollama:
        ended = await run("parley", "providers", "test", "ollama", OLLAMA_BASE_URL=origin(ollama))

    assert (ended.code, "(200 Scripted, without a model); name a model" in ended.out) == (1, True)


ROWS = re.findall(r"^\| \w+ \| `(\w+)=(\S+) scripts/serve` \| `(\{.*\})` \|$", text_of("README.md"), re.M)
"""Of the README's table: a variable, its value, and the `model` of an assistant."""


async def test_one_variable_connects_each_provider_of_the_readme_and_opens_its_host_to_nobody_s_url(tmp_path):
    """Those that an operator runs are at a private address; the others' own servers are stood in for."""
    async with (
        OllamaUpstream(openai_text("Hi")) as openai,
        AnthropicUpstream(anthropic_text("Hi")) as anthropic,
    ):
        local = f"{origin(openai)}/v1"
        keys = {name: value for name, value, _ in ROWS if name.endswith("_KEY")}
        urls = {name: origin(openai) for name, _, _ in ROWS if name.endswith("_URL")}
        stand_ins = {"OPENAI_BASE_URL": local, "ANTHROPIC_BASE_URL": anthropic.base_url}
        async with (
            Serving(tmp_path, **keys, **urls, **stand_ins) as parley,
            httpx.AsyncClient(base_url=parley.url, timeout=20) as http,
        ):
            headers = {"authorization": f"Bearer {parley.keys['api']}"}

            async def ask(model):
                body = {"assistant": {"model": model}, "input": "Hi"}
                return (await http.post("/chat", headers=headers, json=body)).json()

            models = [json.loads(model) for _, _, model in ROWS]
            answers = [await ask(model) for model in models]
            refused = await ask({"provider": "custom-llm", "model": "m", "url": local})

    assert len(ROWS) == 4
    assert [answer["output"][0]["content"] for answer in answers] == ["Hi"] * 4
    assert [request.body["model"] for request in [*openai.requests, *anthropic.requests]] == [
        model["model"] for model in sorted(models, key=lambda model: model["provider"] == "anthropic")
    ]
    assert [answer["cost"] > 0 for answer in answers] == [True, True, False, False]
    assert "model.url names a host that the operator has not listed" in str(refused["message"])


def test_own_host_is_permitted_at_its_port_alone():
    allowed = AllowedHosts(["listed.example"]).with_own({"mine": "http://gpu.internal:8000/v1"})

    assert allowed.permits("gpu.internal", 8000, "10.0.0.5")
    assert not allowed.permits("gpu.internal", 8001, "10.0.0.5")
    assert not allowed.permits("gpu.internal", 8000, "169.254.169.254")
    assert not allowed.permits("listed.example", 8000, "10.0.0.5")


@pytest.mark.parametrize("url", ["nowhere", "ftp://h/v1", "http://u:p@h/v1", "http://h/v1?a=b"])
def test_own_url_that_is_none_is_refused_by_the_name_of_its_provider(url):
    with pytest.raises(ValueError, match="base URL of provider mine must"):
        AllowedHosts().with_own({"mine": url})
