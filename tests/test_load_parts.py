"""What `parley load` measures is what callers saw: calls begin by the schedule, latency counts from there, and
every error has its kind. Against a server that misbehaves as the test wants, or a clock that does.

The command itself, against the service, is in `tests/test_load.py`.
"""

import asyncio
import itertools
import random
import re
import ssl
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
import grpc
import pytest
import trustme
from aiohttp import web
from hdrh.histogram import HdrHistogram

from generated.parley.v1.chat_pb2 import Chat, ChatEvent, ContentDelta
from generated.parley.v1.chat_service_pb2_grpc import ChatServiceServicer, add_ChatServiceServicer_to_server
from server.cli.load import rest, stubs
from server.cli.load.calls import Answer, Clock, Failed, now
from server.cli.load.histogram import Histogram
from server.cli.load.measured import Call, Measured
from server.cli.load.plan import Duration, Mix, Plan, Share
from server.cli.load.preflight import Unusable, try_each
from server.cli.load.report import Ran, report_of
from server.cli.load.rest import RestCaller
from server.cli.load.run import Load
from server.cli.load.stubs import GrpcCaller
from tests.conftest import Org, Service
from tests.cutting_proxy import CuttingProxy
from tests.load_server import DELTA, Holding, serving, streamed, whole

PLAN = Plan("rest", "http://127.0.0.1:1", "key", "assistant", {"chat": 1}, ("Hello",), 1.0, rate=100.0)


def plan(**changes: Any) -> Plan:
    return Plan(**{**PLAN.__dict__, "arrivals": "constant", "timeout": 20.0, **changes})


class Kept(Measured):
    """Keeps every call too."""

    def __init__(self, plan: Plan) -> None:
        super().__init__(plan)
        self.calls: list[Call] = []

    def record(self, call: Call) -> None:
        self.calls.append(call)
        super().record(call)


async def measured(plan: Plan, caller: Any, clock: Clock = now, sleep: Any = asyncio.sleep) -> Kept:
    found = Kept(plan)
    try:
        await Load(plan, caller, found, clock, sleep).run()
    finally:
        await caller.aclose()
    return found


async def over_rest(url: str, **changes: Any) -> Kept:
    made = plan(url=url, **changes)
    return await measured(made, RestCaller(made))


class Ready:
    """Answers at once."""

    def __init__(self, before: Callable[[int], None] = lambda number: None) -> None:
        self._before = before
        self._number = 0

    async def call(self, kind: str, text: str) -> Answer:
        self._number += 1
        self._before(self._number)
        return Answer()

    async def aclose(self) -> None:
        pass


class SetClock:
    """A clock that goes on only when something sleeps, or a test says so."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(0)  # what has been begun is sent first
        self.now += seconds


# Coordinated omission


async def test_stall_of_the_server_shows_in_every_call_that_was_to_begin_meanwhile() -> None:
    server = Holding(20)
    async with serving(server) as url:
        found = await over_rest(url, rate=100.0, seconds=0.2)

    # All were sent while none was answered, which callers who wait for answers would not have done.
    assert server.held == found.succeeded == 20
    assert [call for call in found.calls if call.ended - call.due < server.released_at - call.due] == []
    stalled = sorted(server.released_at - call.due for call in found.calls)
    assert found.total().latency.above(stalled[9]) >= 10


async def test_call_that_the_generator_sends_late_has_the_wait_in_its_latency() -> None:
    clock = SetClock()

    def stop_a_second(number: int) -> None:
        if number == 10:
            clock.now += 1.0

    made = plan(rate=100.0, seconds=2.0)
    found = await measured(made, Ready(stop_a_second), clock, clock.sleep)
    total = found.total()

    assert found.succeeded == 200
    # The tenth, and the hundred whose time came while it held everything up: half of these waited half a second.
    assert total.latency.above(0.5) == pytest.approx(51, abs=1)
    assert total.service.above(0.5) == 1
    assert found.late == pytest.approx(99, abs=1)
    assert found.lateness.percentiles([100]) == [pytest.approx(1000, rel=0.01)]
    for used, reason in (
        (0.2, "used 0.1 cores, and shares this machine"),
        (1.9, "used 0.95 cores, and has one"),
    ):
        [text] = report_of(found, Ran(datetime.now(UTC), 2.0, used, interrupted=False))["warnings"]
        assert re.match(rf"\d+ of 200 calls began late, by up to 1000 ms. The generator {reason}", text)


async def test_calls_that_find_no_room_until_the_end_are_errors_and_not_forgotten(monkeypatch) -> None:
    monkeypatch.setattr("server.cli.load.run._GRACE_SECONDS", 0.0)
    clock = SetClock()

    class Silent(Ready):
        async def call(self, kind: str, text: str) -> Answer:
            await asyncio.Event().wait()
            raise AssertionError

    made = plan(rate=10.0, seconds=0.4, most_in_flight=2, timeout=0.6)
    found = await measured(made, Silent(), clock, clock.sleep)

    assert found.errors == {("unsent", "", "chat"): 2, ("timeout", "", "chat"): 2}
    assert found.was_full and found.error_ratio == 1.0


async def test_closed_loop_has_as_many_calls_under_way_as_users() -> None:
    under_way, most = 0, 0

    async def answer(request: web.Request) -> web.Response:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        await asyncio.sleep(0)
        under_way -= 1
        return whole()

    async with serving(answer) as url:
        found = await over_rest(url, rate=None, users=3, seconds=0.2)

    assert most == 3
    assert found.succeeded >= 3 and found.failed == 0


async def test_calls_of_the_ramp_and_the_warm_up_are_in_no_percentile() -> None:
    clock = SetClock()
    made = plan(rate=10.0, ramp=2.0, warm_up=1.0, seconds=4.0)
    found = await measured(made, Ready(), clock, clock.sleep)

    assert (found.uncounted, found.succeeded) == (20, 40)
    assert [one.due for one in found.intervals] == [3, 7, 10, 10, 10, 10, 10]


@pytest.mark.parametrize("caller", [RestCaller, GrpcCaller])
async def test_read_has_no_use_for_a_server_that_makes_no_chat(caller) -> None:
    made = plan(mix={"read": 1}, url="http://127.0.0.1:1")
    calls = caller(made)

    with pytest.raises(Unusable, match=r"127\.0\.0\.1:1 cannot be reached"):
        await try_each(made, calls)
    await calls.aclose()


async def test_server_that_is_merely_busy_is_measured_all_the_same() -> None:
    async def answer(request: web.Request) -> web.Response:
        return web.Response(status=429, text="busy")

    async with serving(answer) as url:
        made = plan(url=url, mix={"chat": 1, "list": 1})
        caller = RestCaller(made)
        await try_each(made, caller)
        with pytest.raises(Unusable, match=r"`read` needs a chat, and none could be made: .* 429: busy"):
            await try_each(plan(url=url, mix={"read": 1}), caller)
        await caller.aclose()


# TLS


@pytest.mark.parametrize("door", ["rest", "grpc"])
async def test_certificate_of_a_private_authority_is_trusted_when_it_is_named(
    door: Any, service: Service, org: Org, tmp_path: Path
) -> None:
    authority = trustme.CA()
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.set_alpn_protocols(["h2"] if door == "grpc" else ["http/1.1"])
    authority.issue_cert("localhost").configure_cert(tls)
    authority.cert_pem.write_to_path(ca := tmp_path / "ca.pem")
    scheme, caller = ("grpcs", GrpcCaller) if door == "grpc" else ("https", RestCaller)
    async with CuttingProxy(service.http_url.removeprefix("http://"), tls=tls) as proxy:
        url = f"{scheme}://localhost:{proxy.address.rpartition(':')[2]}"
        who = {"door": door, "url": url, "key": org.api, "assistant": org.assistant_id, "seconds": 0.02}
        trusted, untrusted = plan(**who, ca=ca), plan(**who)
        answered = await measured(trusted, caller(trusted))
        refused = await measured(untrusted, caller(untrusted))

    assert (answered.succeeded, answered.failed) == (2, 0)
    assert [kind for kind, *_ in refused.errors] == ["connection"]


# Errors by kind


@pytest.mark.parametrize(
    ("status", "headers", "kind"),
    [(503, {}, "http"), (503, {"x-envoy-overloaded": "true"}, "shed"), (429, {}, "shed"), (404, {}, "http")],
)
async def test_every_second_refusal_is_counted_as_what_it_is(status, headers, kind) -> None:
    requests = 0

    async def answer(request: web.Request) -> web.Response:
        nonlocal requests
        requests += 1
        return web.Response(status=status, headers=headers, text="busy") if requests % 2 else whole()

    async with serving(answer) as url:
        found = await over_rest(url, seconds=0.2)

    about = (kind, str(status), "chat")
    assert found.errors == {about: 10}
    assert (found.succeeded, found.error_ratio, found.examples[about]) == (10, 0.5, "busy")
    # A refusal is fast; the latency of what was answered has none of it.
    assert found.total().latency.count == found.total().failed.count == 10


async def test_stream_that_breaks_off_is_cut() -> None:
    async def answer(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(DELTA)
        assert request.transport
        request.transport.abort()
        return response

    async with serving(answer) as url:
        found = await over_rest(url, mix={"stream": 1}, seconds=0.02)

    assert found.errors == {("cut", "", "stream"): 2}


@pytest.mark.parametrize(
    ("kind", "pieces"),
    [
        ("stream", []),
        ("stream", [DELTA, b'data: {"id":"1"']),
        ("completions-stream", [b'data: {"choices":[{"delta":{"content":"Hi"}}]}\n\n']),
        ("responses-stream", [b'data: {"type":"response.output_text.delta","delta":"Hi"}\n\n']),
    ],
)
async def test_stream_without_its_end_is_cut_though_http_says_that_it_is_over(kind, pieces) -> None:
    async with serving(lambda request: streamed(request, *pieces)) as url:
        found = await over_rest(url, mix={kind: 1}, seconds=0.01)

    assert found.errors == {("cut", "", kind): 1}


@pytest.mark.parametrize(
    ("kind", "event"),
    [
        ("stream", b'{"id":"1","error":{"code":"model_error","message":"no"}}'),
        ("completions-stream", b'{"error":{"code":"model_error","message":"no"}}'),
        ("responses-stream", b'{"type":"error","code":"model_error","message":"no"}'),
    ],
)
async def test_stream_that_ends_in_an_error_is_incomplete(kind, event) -> None:
    async with serving(lambda request: streamed(request, b"data: " + event + b"\n\n")) as url:
        found = await over_rest(url, mix={kind: 1}, seconds=0.01)

    assert found.errors == {("incomplete", "model_error", kind): 1}


async def test_answer_in_another_form_is_an_error() -> None:
    async def answer(request: web.Request) -> web.Response:
        return web.Response(text="<html>")

    async with serving(answer) as url:
        found = await over_rest(url, seconds=0.01)

    assert found.errors == {("answer", "not JSON", "chat"): 1}


@pytest.mark.parametrize("caller", [RestCaller, GrpcCaller])
async def test_server_that_is_not_there_is_an_error_of_the_connection(caller) -> None:
    made = plan(url="http://127.0.0.1:1", seconds=0.01)
    found = await measured(made, caller(made))

    [(kind, _, call)] = found.errors
    assert (kind, call) == ("connection", "chat")


class Streaming(ChatServiceServicer):
    """Sends one piece of an answer, and then what the test wants."""

    def __init__(self, then: Any) -> None:
        self._then = then

    async def StreamChat(self, request: Any, context: grpc.aio.ServicerContext) -> Any:
        yield ChatEvent(chat_id="1", delta=ContentDelta(text="Hi"))
        if event := await self._then(context):
            yield event


async def streamed_over_grpc(then: Any, monkeypatch: Any = None) -> Kept:
    server = grpc.aio.server()
    add_ChatServiceServicer_to_server(Streaming(then), server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        async with CuttingProxy(f"127.0.0.1:{port}") as proxy:
            if monkeypatch:
                # The moment when the first text has arrived.
                monkeypatch.setattr(stubs, "now", lambda: proxy.cut() or now())
            made = plan(url=f"grpc://{proxy.address}", mix={"stream": 1}, seconds=0.01)
            return await measured(made, GrpcCaller(made))
    finally:
        await server.stop(None)


async def test_grpc_stream_has_the_errors_of_its_status_of_its_end_and_of_its_connection(monkeypatch) -> None:
    async def exhausted(context: grpc.aio.ServicerContext) -> None:
        await context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "busy", (("x-request-id", "1"),))

    async def unavailable(context: grpc.aio.ServicerContext) -> None:
        await context.abort(grpc.StatusCode.UNAVAILABLE, "down", (("x-request-id", "1"),))

    async def over(context: grpc.aio.ServicerContext) -> None:
        return None

    async def failed(context: grpc.aio.ServicerContext) -> ChatEvent:
        chat = Chat(id="1")
        chat.error.code, chat.error.message = "model_error", "no"
        return ChatEvent(chat_id="1", failed=chat)

    async def silent(context: grpc.aio.ServicerContext) -> None:
        await asyncio.Event().wait()

    found = [[*(await streamed_over_grpc(then)).errors] for then in (exhausted, unavailable, over, failed)]
    [(cut, _, _)] = (await streamed_over_grpc(silent, monkeypatch)).errors

    assert found == [
        [("shed", "RESOURCE_EXHAUSTED", "stream")],
        [("grpc", "UNAVAILABLE", "stream")],
        [("cut", "", "stream")],
        [("incomplete", "model_error", "stream")],
    ]
    assert cut == "cut"


# Tokens


def test_text_that_arrives_together_is_one_arrival() -> None:
    answer = Answer()
    for at in (1.0, 1.0002, 1.05, 1.0509, 1.2):
        answer.arrived(at)

    assert answer.first == 1.0
    assert answer.gaps == pytest.approx([0.05, 0.15])


async def test_first_token_counts_from_when_the_call_was_to_begin(monkeypatch) -> None:
    arrivals = iter([5.0, 5.25])
    monkeypatch.setattr(rest, "now", lambda: next(arrivals))

    async def answer(request: web.Request) -> web.StreamResponse:
        return await streamed(request, DELTA)

    async with serving(answer) as url:
        made = plan(url=url, mix={"stream": 1})
        caller = RestCaller(made)
        read = await caller.call("stream", "Hello")
        await caller.aclose()
    found = Kept(made)
    found.record(Call("stream", 4.0, 4.5, 6.0, read))

    assert found.total().first_token.percentiles([100]) == [pytest.approx(1000, rel=0.001)]
    assert found.total().service.percentiles([100]) == [pytest.approx(1500, rel=0.001)]


# Histograms


def test_percentiles_and_the_encoding_are_those_of_hdrhistogram() -> None:
    draw = random.Random(7)
    values = [0, 1, 2047, 2048, *(int(draw.lognormvariate(9, 3)) for _ in range(5000))]
    ours, theirs, decoded_into = (
        Histogram(),
        HdrHistogram(1, 24 * 3600 * 10**6, 3),
        HdrHistogram(1, 24 * 3600 * 10**6, 3),
    )
    for value in values:
        value = min(value, 24 * 3600 * 10**6)
        ours.record(value / 1e6)
        theirs.record_value(value)
    decoded_into.decode_and_add(ours.encoded())
    wanted = [0.1, 25, 50, 90, 99, 99.9, 100]

    assert ours.percentiles(wanted) == [theirs.get_value_at_percentile(one) / 1e3 for one in wanted]
    assert decoded_into.get_total_count() == theirs.get_total_count() == ours.count
    assert [decoded_into.get_value_at_percentile(one) for one in wanted] == [
        theirs.get_value_at_percentile(one) for one in wanted
    ]
    assert ours.mean == pytest.approx(theirs.get_mean_value() / 1e3, rel=0.001)


def test_histogram_of_nothing_has_no_percentiles() -> None:
    assert Histogram().percentiles([50, 99]) == [0.0, 0.0]
    assert HdrHistogram.decode(Histogram().encoded()).get_total_count() == 0


# What is asked for


@pytest.mark.parametrize(
    ("text", "seconds"), [("60s", 60), ("5m", 300), ("1m30s", 90), ("500ms", 0.5), ("1.5h", 5400), ("7", 7)]
)
def test_durations_are_written_as_people_write_them(text, seconds) -> None:
    assert Duration().convert(text, None, None) == seconds


@pytest.mark.parametrize(
    ("kind", "text", "reason"),
    [
        (Duration(), "soon", "'soon' is not a duration; write it as 60s, 5m"),
        (Duration(), "25h", "is not between 0 s and 24 h"),
        (Duration(0.1), "0s", "is not between 0.1 s and 24 h"),
        (Mix(), "chat=3,talk=1", "'talk' is none of chat, stream, responses"),
        (Mix(), "chat=0", "'chat=0' has no weight of 1 to 1000000"),
        (Mix(), "chat,chat=2", "'chat' is named twice"),
        (Share(), "101%", "'101%' is not a share; write it as 1% or 0.01"),
        (Share(), "few", "'few' is not a share"),
    ],
)
def test_what_is_written_wrong_is_refused_with_what_would_be_right(kind, text, reason) -> None:
    with pytest.raises(click.BadParameter, match=reason.replace("(", r"\(")):
        kind.convert(text, None, None)


def test_mix_has_the_proportions_that_are_asked_for() -> None:
    mix = Mix().convert("chat=3, stream", None, None)
    kinds = plan(mix=mix).kinds(random.Random(1))
    drawn = [next(kinds) for _ in range(4000)]

    assert mix == {"chat": 3, "stream": 1}
    assert drawn.count("stream") == pytest.approx(1000, abs=150)


def test_poisson_arrivals_have_the_rate_and_are_the_same_for_the_same_seed() -> None:
    made = plan(rate=50.0, arrivals="poisson", seconds=100.0)
    first, again = ([*made.begins(random.Random(3))] for _ in range(2))

    assert first == again == sorted(first)
    assert len(first) == pytest.approx(5000, abs=300)
    assert len({round(after - before, 6) for before, after in itertools.pairwise(first)}) > 1000


async def test_call_that_breaks_this_program_ends_the_load() -> None:
    def broken(number: int) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await measured(plan(seconds=0.05), Ready(broken))


def test_message_of_an_error_is_cut_short() -> None:
    assert len(Failed("http", 500, "x" * 9999).message) == 300
