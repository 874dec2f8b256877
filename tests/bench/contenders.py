"""Who stands between a caller and the paced upstream: the service, and the peers that it is compared with.

Each is started as its users start it, with one process where it can have several. What a peer needs that the
project does not is installed into an environment of its own in the cache folder, never into `.venv`.
"""

import asyncio
import hashlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple

import click

from tests.bench.client import Connection, request
from tests.bench.load import tree
from tests.bench.running import Parley, listening, parley
from tests.bench.upstream import Pace
from tests.processes import COMMANDS, SECONDS, free_address

INPUT = "Tell me about the sea, and about those who live by it."
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "parley-bench"
LITELLM = Path(__file__).with_name("litellm.txt")
OPENAI_PATH = "/v1/chat/completions"
_KEY = "sk-bench"


class Contender(NamedTuple):
    """Where something listens, and how a chat with a model of this pace is requested there."""

    name: str
    address: str
    request: Callable[[Pace, bool], bytes]
    """The request's bytes; whether the answer is streamed."""
    pid: int

    @property
    def pids(self) -> list[int]:
        """All of its processes, as of now."""
        return tree(self.pid)


def openai_form(name: str, address: str, pid: int, key: str = _KEY) -> Contender:
    """One that takes requests as the provider does."""
    return Contender(
        name, address, lambda pace, stream: request(OPENAI_PATH, key, openai_body(pace.model, stream)), pid
    )


def openai_body(model: str, stream: bool) -> dict[str, object]:
    return {"model": model, "messages": [{"role": "user", "content": INPUT}], "stream": stream}


@asynccontextmanager
async def upstream() -> AsyncIterator[Contender]:
    """The provider itself."""
    address = free_address()
    async with _process(address, sys.executable, "-m", "tests.bench.upstream", _port(address)) as pid:
        yield openai_form("upstream", address, pid)


class Service(NamedTuple):
    """The service with an assistant for each of these paces, at the two doors that are measured."""

    parley: Parley
    chat: Contender
    openai: Contender


@asynccontextmanager
async def service(provider: Contender, *paces: Pace) -> AsyncIterator[Service]:
    """`parley serve` as it is by default, but for its limits on calls."""
    async with parley(PARLEY_UPSTREAM_ALLOW_HOSTS=provider.address) as running:
        key, ids = running.keys["api"], {}
        for pace in paces:
            ids[pace] = await _assistant(running.process.http, key, provider.address, pace)

        def chat(pace: Pace, stream: bool) -> bytes:
            return request(
                "/chat",
                key,
                {"assistantId": ids[pace], "input": INPUT, **({"stream": True} if stream else {})},
            )

        def completion(pace: Pace, stream: bool) -> bytes:
            return request(OPENAI_PATH, key, openai_body(ids[pace], stream))

        pid = running.process.pid
        yield Service(
            running,
            Contender("Parley, POST /chat", running.process.http, chat, pid),
            Contender("Parley, OpenAI form", running.process.http, completion, pid),
        )


async def _assistant(address: str, key: str, provider: str, pace: Pace) -> str:
    connection = Connection(address)
    model = {"provider": "custom-llm", "model": pace.model, "url": f"http://{provider}/v1"}
    answer = await connection.call(request("/assistant", key, {"name": pace.model, "model": model}))
    connection.close()
    assert answer.status in (200, 201), answer.body
    return str(json.loads(answer.body)["id"])


@asynccontextmanager
async def afternoon(provider: Contender, *paces: Pace) -> AsyncIterator[Contender]:
    address = free_address()

    def chat(pace: Pace, stream: bool) -> bytes:
        return request("/chat", _KEY, {"model": pace.model, "input": INPUT, "stream": stream})

    with tempfile.TemporaryDirectory(prefix="parley-bench-") as folder:
        command = (sys.executable, "-m", "tests.bench.afternoon", _port(address), folder, _base(provider))
        async with _process(address, *command) as pid:
            yield Contender("FastAPI + OpenAI SDK", address, chat, pid)


@asynccontextmanager
async def floor(provider: Contender, *paces: Pace) -> AsyncIterator[Contender]:
    """The parts that the service is made of, without its own work."""
    address = free_address()

    def chat(pace: Pace, stream: bool) -> bytes:
        return request("/chat", _KEY, {"assistantId": pace.model, "input": INPUT, "stream": stream})

    command = (sys.executable, "-m", "tests.bench.floor", _port(address), _base(provider))
    async with _process(address, *command) as pid:
        yield Contender("Envoy + grpc.aio + aiohttp", address, chat, pid)


@asynccontextmanager
async def envoy(provider: Contender, *paces: Pace) -> AsyncIterator[Contender]:
    """Envoy that passes everything on: the least that a proxy costs."""
    address = free_address()
    with tempfile.TemporaryDirectory(prefix="parley-bench-") as folder:
        configuration = Path(folder) / "envoy.json"
        configuration.write_text(json.dumps(_envoy_configuration(address, provider.address)))
        options = ("--disable-hot-restart", "--concurrency", "1", "--log-level", "error")
        async with _process(address, str(COMMANDS / "envoy"), *options, "-c", str(configuration)) as pid:
            yield openai_form("plain Envoy", address, pid)


@asynccontextmanager
async def litellm(provider: Contender, *paces: Pace) -> AsyncIterator[Contender]:
    """LiteLLM's proxy with one worker, no database and no log of calls."""
    command, address = litellm_command(), free_address()
    models = [
        {
            "model_name": pace.model,
            "litellm_params": {
                "model": f"openai/{pace.model}",
                "api_base": _base(provider),
                "api_key": "none",
            },
        }
        for pace in paces
    ]
    with tempfile.TemporaryDirectory(prefix="parley-bench-") as folder:
        configuration = Path(folder) / "config.yaml"
        configuration.write_text(
            json.dumps({"model_list": models, "general_settings": {"master_key": _KEY}})  # JSON is YAML
        )
        host, port = address.split(":")
        options = ("--config", str(configuration), "--host", host, "--port", port, "--telemetry", "False")
        # Without these it looks for prices on the network, and logs as in development.
        environment = {
            "LITELLM_LOCAL_MODEL_COST_MAP": "True",
            "LITELLM_MODE": "PRODUCTION",
            "LITELLM_LOG": "ERROR",
        }
        async with _process(address, str(command), *options, cwd=folder, **environment) as pid:
            yield openai_form("LiteLLM proxy", address, pid)


PEERS: dict[str, Callable] = {
    "fastapi": afternoon,
    "litellm": litellm,
    "floor": floor,
    "envoy": envoy,
}


def litellm_command() -> Path:
    """LiteLLM's command, installed into the cache folder if these versions are not there yet."""
    versions = LITELLM.read_bytes()
    folder = CACHE / f"litellm-{hashlib.sha256(versions).hexdigest()[:12]}"
    command = folder / "bin" / "litellm"
    if not (folder / "installed").exists():
        click.echo(f"installing LiteLLM into {folder} (some 750 MB) ...", err=True)
        pip = [folder / "bin" / "python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        try:
            subprocess.run([sys.executable, "-m", "venv", "--clear", folder], check=True)
            subprocess.run([*pip, "--requirement", LITELLM], check=True)
        except subprocess.CalledProcessError as error:
            raise click.ClickException(
                f"LiteLLM cannot be installed ({error}); leave it out: --peers fastapi,envoy"
            ) from None
        (folder / "installed").touch()
    return command


def _envoy_configuration(address: str, upstream: str) -> dict[str, object]:
    def socket(address: str) -> dict[str, object]:
        host, _, port = address.partition(":")
        return {"socket_address": {"address": host, "port_value": int(port)}}

    kinds = "type.googleapis.com/envoy.extensions.filters"
    manager = {
        "@type": f"{kinds}.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "bench",
        "stream_idle_timeout": "0s",
        "http_filters": [
            {"name": "router", "typed_config": {"@type": f"{kinds}.http.router.v3.Router"}},
        ],
        "route_config": {
            "virtual_hosts": [
                {
                    "name": "all",
                    "domains": ["*"],
                    "routes": [{"match": {"prefix": "/"}, "route": {"cluster": "upstream", "timeout": "0s"}}],
                }
            ]
        },
    }
    return {
        "static_resources": {
            "listeners": [
                {
                    "address": socket(address),
                    "filter_chains": [{"filters": [{"name": "http", "typed_config": manager}]}],
                }
            ],
            "clusters": [
                {
                    "name": "upstream",
                    "connect_timeout": "5s",
                    "circuit_breakers": {
                        "thresholds": [{"max_connections": 10_000, "max_requests": 10_000}],
                    },
                    "load_assignment": {
                        "cluster_name": "upstream",
                        "endpoints": [{"lb_endpoints": [{"endpoint": {"address": socket(upstream)}}]}],
                    },
                }
            ],
        }
    }


@asynccontextmanager
async def _process(address: str, *command: str, cwd: str | None = None, **more: str) -> AsyncIterator[int]:
    """A process that listens at this address; what it says is shown only if it ends before it does."""
    with tempfile.TemporaryFile() as log:
        process = await asyncio.create_subprocess_exec(
            *command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=cwd, env={**os.environ, **more}
        )
        try:
            ended = asyncio.create_task(process.wait())
            starting = asyncio.create_task(listening(address, 2 * SECONDS))
            await asyncio.wait([ended, starting], return_when=asyncio.FIRST_COMPLETED)
            if not starting.done():
                starting.cancel()
                log.seek(0)
                raise click.ClickException(f"{command[0]} ended: {log.read().decode()[-2000:]}")
            await starting
            yield process.pid
        finally:
            if process.returncode is None:
                process.kill()
            await ended


def _port(address: str) -> str:
    return address.partition(":")[2]


def _base(provider: Contender) -> str:
    return f"http://{provider.address}/v1"
