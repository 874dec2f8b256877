"""What operators scrape and probe: metrics of real servers behind Envoy, with the values of the calls made, and
readiness."""

import asyncio
import json
import signal
import subprocess
import sys
from collections import defaultdict
from contextlib import asynccontextmanager

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from server.core.config import Address
from server.core.errors import StorageUnavailable
from server.core.telemetry.listener import Answer, Listener
from server.core.telemetry.prometheus import OTHER, PrometheusMeter
from server.exchange.session_queue import SessionQueue
from server.storage.store import opened
from tests.documents import text_of
from tests.processes import Serving, free_address, run
from tests.test_admin import serving
from tests.test_logs import by_grpc
from tests.test_serve import chat_body, client_of
from tests.test_workers import workers_of
from tests.upstream import OpenAIUpstream, chunk, openai_stream, rate_limited, usage_chunk

PRICES = {"openai/gpt-4o-mini": {"input": 2.0, "output": 8.0}}
MODEL = {"model": {"provider": "openai", "model": "gpt-4o-mini"}}
SLOW = {"PARLEY_DRAIN_SECONDS": 20, "PARLEY_OFFLINE_DELAY_MS": 0}


class Scrape:
    """One scrape, read as Prometheus reads it."""

    def __init__(self, text):
        self.families = list(text_string_to_metric_families(text))
        self.samples = [sample for family in self.families for sample in family.samples]

    def total(self, name, **labels):
        """The sum of the samples of a name that have these labels."""
        return sum(
            sample.value
            for sample in self.samples
            if sample.name == name and labels.items() <= sample.labels.items()
        )

    def by(self, name, label, **labels):
        found = defaultdict(float)
        for sample in self.samples:
            if sample.name == name and labels.items() <= sample.labels.items():
                found[sample.labels[label]] += sample.value
        return dict(found)


async def scraped(address):
    async with httpx.AsyncClient() as client:
        answer = await client.get(f"http://{address}/metrics")
    assert (answer.status_code, answer.headers["content-type"]) == (
        200,
        "text/plain; version=0.0.4; charset=utf-8",
    )
    return Scrape(answer.text)


async def readiness_of(address):
    async with httpx.AsyncClient() as client:
        answer = await client.get(f"http://{address}/readyz")
    return answer.status_code, answer.json()["reasons"]


@asynccontextmanager
async def scraping(folder, *options, **environment):
    """A server with metrics, and their address."""
    address = free_address()
    async with Serving(folder, "--metrics", address, *options, **environment) as parley:
        yield parley, address


async def test_metrics_have_the_values_of_the_calls_that_were_made(tmp_path):
    pieces = [chunk({"content": word}) for word in ("One ", "two ", "three")]
    answer = openai_stream(*pieces, chunk(finish="stop"), usage_chunk(11, 5))
    async with (
        OpenAIUpstream([answer, rate_limited("99")]) as upstream,
        scraping(
            tmp_path,
            PARLEY_PROVIDER_KEYS=json.dumps({"openai": "sk-1"}),
            PARLEY_PROVIDER_URLS=json.dumps({"openai": upstream.base_url}),
            PARLEY_MODEL_ALLOW_HOSTS="127.0.0.1",
            PARLEY_PRICES=json.dumps(PRICES),
        ) as (parley, address),
        client_of(parley) as client,
    ):
        offline = [(await client.post("/chat", json=chat_body(parley, "Hello"))).json() for _ in range(2)]
        streamed = await client.post("/chat", json={"assistant": MODEL, "input": "Hi", "stream": True})
        limited = await client.post("/chat", json={"assistant": MODEL, "input": "Hi"})
        missing = await client.get("/chat/nothing")
        await by_grpc(parley)
        found = await scraped(address)

    assert [one.status_code for one in (streamed, limited, missing)] == [200, 429, 404]
    service = {"grpc_service": "parley.v1.ChatService"}
    posted = {**service, "grpc_method": "PostChat", "grpc_type": "server_stream"}
    assert found.by("grpc_server_handled_total", "grpc_code", **posted) == {"OK": 3, "ResourceExhausted": 1}
    assert found.total("grpc_server_started_total", **posted) == 4
    assert found.total("grpc_server_handling_seconds_count", **posted) == 4
    assert found.by("grpc_server_handled_total", "grpc_code", **service, grpc_type="unary") == {
        "NotFound": 1,
        "OK": 1,
    }
    ours, theirs = {"provider": "offline"}, {"provider": "openai", "model": "gpt-4o-mini"}
    used = [part for chat in offline for part in chat["costs"] if part["type"] == "model"]
    assert found.by("parley_tokens_total", "kind", **ours) == {
        "prompt": 1.5 * sum(part["promptTokens"] for part in used),  # the call over gRPC is a third one
        "completion": 1.5 * sum(part["completionTokens"] for part in used),
        "cached": 0,
        "reasoning": 0,
    }
    assert found.by("parley_tokens_total", "kind", **theirs) == {
        "prompt": 11,
        "completion": 5,
        "cached": 0,
        "reasoning": 0,
    }
    assert found.total("parley_cost_usd_total", **theirs) == pytest.approx((11 * 2 + 5 * 8) / 1e6)
    assert found.by("parley_provider_seconds_count", "status", provider="openai") == {
        "ok": 1,
        "upstream_rate_limited": 1,
    }
    assert found.by("parley_provider_seconds_count", "status", **ours) == {"ok": 3}
    assert found.by("parley_first_token_seconds_count", "provider") == {"openai": 1}
    assert found.total("parley_commit_writes_sum") >= found.total("parley_commit_seconds_count") >= 4
    edge = found.by(
        "envoy_http_downstream_rq_xx_total", "envoy_response_code_class"
    )  # the parser's own _total
    assert (edge["2"], edge["4"], edge["5"]) == (3, 2, 0)
    assert (found.total("parley_under_way"), found.total("parley_storage_writes")) == (0, 1)
    assert found.total("process_resident_memory_bytes") > 1 << 20


async def test_readiness_ends_when_the_server_is_to_stop_and_life_does_not(tmp_path):
    async with scraping(tmp_path, **SLOW) as (parley, address):
        before = await readiness_of(address)
        async with client_of(parley) as client:
            await client.post("/chat", json=chat_body(parley, "Hello"))
            parley.send(signal.SIGTERM)
            while (after := await readiness_of(address))[0] == 200:
                pass
            served = await client.post("/chat", json=chat_body(parley, "Hello"))
            alive = await client.get(f"http://{address}/healthz")
        parley.send(signal.SIGKILL)

    assert before == (200, [])
    assert after[0] == 503 and "the server is stopping" in after[1]
    assert (served.status_code, alive.status_code) == (200, 200)


async def test_database_that_takes_no_writes_is_read_and_counted(tmp_path):
    async with serving(tmp_path, metrics=Address(host="127.0.0.1", port=0)) as app:
        seen = []
        for works in (False, True):
            app.store.database.watch(works)
            await asyncio.sleep(0)
            writes = "parley_storage_writes 1.0" in await app.metrics()
            seen.append((await app.not_ready(), writes))

    assert seen == [([], False), ([], True)]


async def test_database_that_cannot_be_read_is_a_reason(tmp_path, monkeypatch):
    async with serving(tmp_path) as app:

        async def read(work):
            raise StorageUnavailable("the database cannot be reached")

        monkeypatch.setattr(app.store.database, "read", read)

        assert await app.not_ready() == ["the database cannot be read: the database cannot be reached"]


async def test_workers_are_scraped_and_probed_at_one_port(tmp_path):
    async with scraping(tmp_path, "--workers", "2") as (parley, address), client_of(parley) as client:
        for _ in range(4):
            await client.post("/chat", json=chat_body(parley, "Hello"))
        found = await scraped(address)
        ready = await readiness_of(address)
        workers = workers_of(parley)

    assert len(workers) == 2
    handled = found.by("grpc_server_handled_total", "worker", grpc_service="parley.v1.ChatService")
    assert sum(handled.values()) == 4
    assert set(found.by("process_resident_memory_bytes", "worker")) == {"0", "1"}
    ours = [family.name for family in found.families if not family.name.startswith("envoy_")]
    assert len(set(ours)) == len(ours)
    assert ready == (200, [])


async def test_address_that_is_taken_is_refused_by_name(tmp_path):
    listener = Listener(Address(host="127.0.0.1", port=0), {})
    await listener.start()
    try:
        ended = await run("parley", "serve", "--data", tmp_path, "--metrics", f"127.0.0.1:{listener.port}")
    finally:
        await listener.stop()

    expected = f"Error: metrics address 127.0.0.1:{listener.port} is taken or cannot be listened on;"
    expected += " --metrics names another\n"
    assert (ended.code, ended.err) == (1, expected)


async def test_each_server_has_its_own_port_for_operators_and_warns_where_others_reach_it(tmp_path):
    port = free_address().rpartition(":")[2]
    async with Serving(tmp_path, "--metrics", f"0.0.0.0:{port}") as parley:
        assert await readiness_of(f"127.0.0.1:{port}") == (200, [])
        stopped = await parley.stop()

    assert stopped.faults == ["metrics_port_is_open_to_others"]


def test_nothing_of_it_is_loaded_without_the_setting():
    program = "import sys, server.app, server.cli.serve; print('prometheus_client' in sys.modules)"
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert ended.stdout == "False\n"


def test_names_that_callers_choose_do_not_become_labels_without_end():
    meter = PrometheusMeter("1", providers=["openai"], priced=["openai/priced", "priced-too"])
    for number in range(500):
        meter.spent("openai", f"model-{number}", {"prompt": 1}, 0.0)
        meter.spent(f"provider-{number}", "model", {"prompt": 1}, 0.0)
        meter.provider_called(f"provider-{number}", "ok", 0.1)
    for model in ("priced", "priced-too", "x" * 10_000):
        meter.spent("openai", model, {"prompt": 1}, 0.0)
    found = Scrape(meter.text())

    models = found.by("parley_tokens_total", "model", provider="openai")
    assert len(models) <= 103 and {"priced", "priced-too", OTHER} <= set(models)
    assert sum(models.values()) == 503
    assert found.by("parley_tokens_total", "model", provider=OTHER) == {OTHER: 500}
    assert found.by("parley_provider_seconds_count", "provider") == {OTHER: 500}


async def test_queue_of_a_session_counts_those_who_wait(tmp_path):
    async with opened(tmp_path) as store:
        queue = SessionQueue(store.peers)

        async def wait():
            async with queue.locked("s"):
                pass

        async with queue.locked("s"), queue.locked("another"):
            waiting = asyncio.create_task(wait())
            await asyncio.sleep(0)
            counted = queue.waiting
        await waiting

    assert (counted, queue.waiting) == (1, 0)


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"GET /there HTTP/1.1\r\nhost: x\r\n\r\n", b"200 OK"),
        (b"GET /there?x=1 HTTP/1.0\r\n\r\n", b"200 OK"),
        (b"HEAD /there HTTP/1.1\r\n\r\n", b"200 OK"),
        (b"POST /there HTTP/1.1\r\ncontent-length: 1\r\n\r\nx", b"405 Method Not Allowed"),
        (b"GET /elsewhere HTTP/1.1\r\n\r\n", b"404 Not Found"),
        (b"\x16\x03\x01\r\n\r\n", b"404 Not Found"),
        (b"GET /" + b"x" * 20_000 + b"\r\n\r\n", b""),
        (b"GET /there", b""),
    ],
)
async def test_operators_get_one_answer_and_garbage_none(sent, status):
    async def answer():
        return Answer(b'{"well":true}')

    listener = Listener(Address(host="127.0.0.1", port=0), {"/there": answer})
    await listener.start()
    reader, writer = await asyncio.open_connection("127.0.0.1", listener.port)
    writer.write(sent)
    writer.write_eof()
    try:
        got = await reader.read()
    except ConnectionResetError:
        got = b""
    writer.close()
    await listener.stop()

    assert got.partition(b"\r\n")[0].partition(b" ")[2] == status
    assert got.endswith(b'{"well":true}') is (status == b"200 OK" and not sent.startswith(b"HEAD"))


def test_every_metric_has_its_row_in_the_docs():
    page = text_of("docs/operations.md")
    families = text_string_to_metric_families(PrometheusMeter("1", providers=[]).text())

    for family in families:
        name = f"{family.name}_total" if family.type == "counter" else family.name
        if not name.startswith("process_"):
            assert f"| `{name}` |" in page, name
