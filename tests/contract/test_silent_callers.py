"""Callers that send no message, or never read: what they get, and that nobody else waits for them.

Over the server's own port and through Envoy. Limits of keys are in test_limits.py.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from generated.parley.v1.session_service_pb2 import GetSessionRequest, ListSessionsRequest
from generated.parley.v1.session_service_pb2_grpc import SessionServiceStub
from tests.conftest import Org, Service, running
from tests.descriptors import METHODS
from tests.raw_http2 import Http2, framed

LIST, STREAM = "/parley.v1.SessionService/ListSessions", "/parley.v1.ChatService/StreamChat"
CHECK, WATCH = "/grpc.health.v1.Health/Check", "/grpc.health.v1.Health/Watch"
RECEIVE = "/parley.v1.TransportService/ReceiveTwilioMessage"
REFLECT = "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"
INVALID_ARGUMENT, DEADLINE_EXCEEDED, RESOURCE_EXHAUSTED, UNIMPLEMENTED, UNAUTHENTICATED = (
    "3",
    "4",
    "8",
    "12",
    "16",
)
PLACES = 5


@pytest.fixture(scope="module")
async def small(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Service]:
    """A service that has five places, and waits for a message for a tenth of a second."""
    async with running(
        tmp_path_factory.mktemp("small"), server_calls=PLACES, key_calls=2, message_seconds=0.1
    ) as started:
        yield started


@pytest.fixture(scope="module")
async def patient(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Service]:
    """A service that has five places, and waits for long."""
    async with running(
        tmp_path_factory.mktemp("patient"), server_calls=PLACES, edge_calls=PLACES, key_calls=2
    ) as started:
        yield started


def _health(channel: grpc.aio.Channel) -> Any:
    """The stub, whose types name no method."""
    return health_pb2_grpc.HealthStub(channel)


def address_of(service: Service, port: str) -> str:
    return service.grpc_address if port == "server" else service.http_url.removeprefix("http://")


at_both_ports = pytest.mark.parametrize("port", ["server", "edge"])


async def until(condition: Callable[[], object]) -> None:
    """Wait for what nobody tells of."""
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0)


async def served(service: Service, org: Org) -> bool:
    """Whether a caller with a key is served, at both ports."""
    for port in ("server", "edge"):
        async with grpc.aio.insecure_channel(address_of(service, port)) as channel:
            await SessionServiceStub(channel).ListSessions(
                ListSessionsRequest(), metadata=org.metadata, timeout=20
            )
    return True


# --- no message ---------------------------------------------------------------------------------------------


@at_both_ports
async def test_every_method_answers_a_call_that_ends_without_a_message(
    service: Service, org: Org, port: Any
) -> None:
    async with Http2(address_of(service, port)) as connection:
        streams = [connection.call(method.path, org.metadata) for method in METHODS if not method.connects]
        answers = await connection.answers(*streams)

    assert {(answer["grpc-status"], answer["grpc-message"]) for answer in answers} == {
        (INVALID_ARGUMENT, "the call ended without a message; send one, which may be empty")
    }


@at_both_ports
async def test_connection_may_end_without_a_message(service: Service, org: Org, port: Any) -> None:
    async with Http2(address_of(service, port)) as connection:
        streams = [connection.call(method.path, org.metadata) for method in METHODS if method.connects]
        answers = await connection.answers(*streams)

    assert {answer["grpc-status"] for answer in answers} == {"0"}


@at_both_ports
async def test_without_a_key_such_calls_are_refused_for_that(service: Service, port: Any) -> None:
    keyed = [method for method in METHODS if method.name != "ReceiveTwilioMessage"]
    async with Http2(address_of(service, port)) as connection:
        answers = await connection.answers(*(connection.call(method.path) for method in keyed))

    assert {answer["grpc-status"] for answer in answers} == {UNAUTHENTICATED}


@at_both_ports
@pytest.mark.parametrize("method", [LIST, STREAM])
async def test_caller_without_a_key_is_refused_before_there_is_a_message(
    patient: Service, port: Any, method: Any
) -> None:
    async with Http2(address_of(patient, port)) as connection:
        silent = connection.call(method, end=False)
        truncated = connection.call(
            method, (("x-api-key", "unknown"),), body=framed(b"x" * 100)[:50], end=False
        )
        answers = await connection.answers(silent, truncated)

    assert [answer["grpc-status"] for answer in answers] == [UNAUTHENTICATED] * 2


@pytest.mark.parametrize(
    "body", [b"", framed(b"x" * 100)[:3], framed(b"x" * 100)[:50]], ids=["none", "prefix", "half"]
)
@at_both_ports
async def test_message_that_does_not_come_is_waited_for_a_while(small: Service, port: Any, body: Any) -> None:
    org = await small.new_org()
    async with Http2(address_of(small, port)) as connection:
        answers = await connection.answers(
            *(connection.call(method, org.metadata, body=body, end=False) for method in (LIST, STREAM))
        )

    assert [(answer["grpc-status"], answer["grpc-message"]) for answer in answers] == [
        (DEADLINE_EXCEEDED, "the message of the call did not arrive within 0.1 s")
    ] * 2
    assert await served(small, org)


@at_both_ports
async def test_message_that_comes_late_but_in_time_is_answered(patient: Service, port: Any) -> None:
    org = await patient.new_org()
    async with Http2(address_of(patient, port)) as connection:
        late = connection.call(LIST, org.metadata, body=framed(b"")[:2], end=False)
        assert await served(patient, org)
        connection.send(late, framed(b"")[2:])
        [answer] = await connection.answers(late)

    assert answer["grpc-status"] == "0"


@at_both_ports
async def test_second_message_of_a_call_changes_nothing(service: Service, org: Org, port: Any) -> None:
    async with Http2(address_of(service, port)) as connection:
        [answer] = await connection.answers(connection.call(LIST, org.metadata, body=framed(b"") * 2))

    assert answer["grpc-status"] == "0"


async def test_calls_that_wait_for_a_message_count_among_those_of_their_key(patient: Service) -> None:
    org = await patient.new_org()
    async with Http2(patient.grpc_address) as connection:
        waiting = [connection.call(LIST, org.metadata, end=False) for _ in range(2)]
        refused = connection.call(LIST, org.metadata, body=framed(b""))
        [answer] = await connection.answers(refused)
        for stream in waiting:
            connection.send(stream, framed(b""))
        answers = await connection.answers(*waiting)

    assert answer["grpc-status"] == RESOURCE_EXHAUSTED
    assert [answer["grpc-status"] for answer in answers] == ["0", "0"]


# --- nothing keyless takes a keyed caller's place -----------------------------------------------------------


@pytest.mark.parametrize(
    "metadata", [(), (("authorization", "Bearer api_unknown"),)], ids=["no key", "unknown key"]
)
@pytest.mark.parametrize(
    ("port", "kind"),
    [("server", "application/grpc"), ("edge", "application/grpc"), ("edge", "application/grpc-web+proto")],
)
async def test_calls_without_a_key_take_no_place(
    patient: Service, port: str, kind: str, metadata: Any
) -> None:
    """Of callers with a key five would be all. What no key opens is refused at once; what needs none may
    wait, elsewhere."""
    org = await patient.new_org()
    headers, half = (("te", "trailers"), ("content-type", kind), *metadata), framed(b"x" * 100)[:50]
    async with AsyncExitStack() as connections:
        for _ in range(9):
            connection = await connections.enter_async_context(Http2(address_of(patient, port)))
            for method in (CHECK, WATCH, REFLECT, RECEIVE):
                for body, end in ((b"", True), (b"", False), (half, False)):
                    connection.open("POST", method, headers, body=body, end=end)
            refused = [
                connection.open("POST", method, headers, body=body, end=end)
                for method in (LIST, STREAM, "/none.Such/Method")
                for body, end in ((b"", True), (b"", False), (half, False))
            ]
            await connection.answers(*refused)

        assert await served(patient, org)


@at_both_ports
async def test_streams_of_health_take_no_place(patient: Service, port: Any) -> None:
    org = await patient.new_org()
    async with Http2(address_of(patient, port)) as connection:
        for _ in range(4 * PLACES):
            connection.call(WATCH, body=framed(b""))

        assert await served(patient, org)


async def test_health_is_not_watched_from_outside(service: Service) -> None:
    async with Http2(address_of(service, "edge")) as connection:
        web = connection.open("POST", WATCH, (("content-type", "application/grpc-web"),), body=framed(b""))
        native, of_web = await connection.answers(connection.call(WATCH, body=framed(b"")), web)

    assert (native["grpc-status"], native["grpc-message"]) == (
        UNIMPLEMENTED,
        "health can be asked for here (Check), and not watched",
    )
    assert of_web[":status"] == "404"


async def test_streams_of_health_and_reflection_are_few(patient: Service) -> None:
    async with Http2(patient.grpc_address) as connection:
        watching = [connection.call(WATCH, body=framed(b"")) for _ in range(32)]
        await connection.until(lambda: connection.bodies.keys() >= set(watching))
        refused = await connection.answers(
            connection.call(WATCH, body=framed(b"")), connection.call(REFLECT, body=framed(b""), end=False)
        )
        checked = await connection.answers(*(connection.call(CHECK, body=framed(b"")) for _ in range(100)))

    assert [answer["grpc-status"] for answer in refused] == [RESOURCE_EXHAUSTED] * 2
    assert {answer["grpc-status"] for answer in checked} == {"0"}


async def test_watcher_that_does_not_read_keeps_no_other_from_notifications(tmp_path: Path) -> None:
    async with running(tmp_path) as own:
        async with Http2(own.grpc_address, window=0) as unread:
            unread.call(WATCH, body=framed(b""))
            async with grpc.aio.insecure_channel(own.grpc_address) as channel:
                watch = _health(channel).Watch(health_pb2.HealthCheckRequest(), timeout=20)
                health = [(await watch.read()).status]
                assert own.app is not None
                await own.app.drain()
                health.append((await watch.read()).status)
                watch.cancel()

    assert health == [health_pb2.HealthCheckResponse.SERVING, health_pb2.HealthCheckResponse.NOT_SERVING]


async def test_health_is_answered_while_many_callers_send_no_message(patient: Service) -> None:
    async with Http2(patient.grpc_address) as connection:
        silent = [connection.call(CHECK, end=False) for _ in range(500)]
        [answer] = await connection.answers(connection.call(CHECK, body=framed(b"")))
        assert not connection.ended & set(silent)

    assert answer["grpc-status"] == "0"


async def test_health_and_reflection_answer_calls_without_a_message(small: Service) -> None:
    async with Http2(small.grpc_address) as connection:
        ended = await connection.answers(*(connection.call(method) for method in (CHECK, WATCH, REFLECT)))
        silent = await connection.answers(
            *(connection.call(method, end=False) for method in (CHECK, WATCH, REFLECT))
        )

    assert [answer["grpc-status"] for answer in ended] == [INVALID_ARGUMENT, INVALID_ARGUMENT, "0"]
    assert [answer["grpc-status"] for answer in silent] == [DEADLINE_EXCEEDED] * 3


async def test_message_that_is_none_of_health_is_an_error_of_the_caller(service: Service) -> None:
    async with Http2(service.grpc_address) as connection:
        answers = await connection.answers(
            *(connection.call(method, body=framed(b"\xff")) for method in (CHECK, WATCH, REFLECT))
        )

    assert [answer["grpc-status"] for answer in answers] == [INVALID_ARGUMENT] * 3


async def test_health_can_be_watched_and_reflection_asked_again(service: Service) -> None:
    async with grpc.aio.insecure_channel(service.grpc_address) as channel:
        watch = _health(channel).Watch(health_pb2.HealthCheckRequest())
        health = await watch.read()
        watch.cancel()
        # whose types are those of channels that block
        reflection: Any = reflection_pb2_grpc.ServerReflectionStub
        talk = reflection(channel).ServerReflectionInfo()
        answers = []
        for _ in range(2):
            await talk.write(reflection_pb2.ServerReflectionRequest(file_containing_symbol="parley.v1.Chat"))
            answers.append(await talk.read())
        await talk.done_writing()

        assert health.status == health_pb2.HealthCheckResponse.SERVING
        assert [len(answer.file_descriptor_response.file_descriptor_proto) > 0 for answer in answers] == [
            True,
            True,
        ]
        assert await talk.code() is grpc.StatusCode.OK


async def test_caller_that_leaves_before_its_message_leaves_nothing_behind(
    patient: Service, caplog: pytest.LogCaptureFixture
) -> None:
    org = await patient.new_org()
    assert patient.app is not None
    limits = patient.app.limits
    async with Http2(patient.grpc_address) as connection:
        for _ in range(2):
            connection.call(LIST, org.metadata, end=False)
        await until(lambda: limits.under_way == 2)
    await until(lambda: limits.under_way == 0)

    assert await served(patient, org)
    assert not caplog.records


async def test_key_whose_answers_nobody_reads_gets_no_more_until_they_are_read(tmp_path: Path) -> None:
    async with running(tmp_path, unread_bytes=1 << 20) as own:
        org, other = await own.new_org(), await own.new_org()
        async with httpx.AsyncClient(base_url=own.http_url, timeout=20) as http:
            made = await http.post(
                "/session",
                headers=org.bearer,
                json={
                    "assistantId": org.assistant_id,
                    "messages": [{"role": "user", "content": "x" * 600_000}],
                },
            )
        request = framed(GetSessionRequest(id=made.json()["id"]).SerializeToString())
        async with (
            Http2(own.grpc_address, window=0) as unread,
            grpc.aio.insecure_channel(own.grpc_address) as channel,
        ):
            sessions = SessionServiceStub(channel)
            answers = [
                unread.call("/parley.v1.SessionService/GetSession", org.metadata, body=request)
                for _ in range(4)
            ]
            await unread.until(lambda: unread.headers.keys() >= set(answers))
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await sessions.ListSessions(ListSessionsRequest(), metadata=org.metadata)
            await sessions.ListSessions(ListSessionsRequest(), metadata=other.metadata)

        async with grpc.aio.insecure_channel(own.grpc_address) as channel:
            async with asyncio.timeout(20):
                while True:
                    with contextlib.suppress(grpc.aio.AioRpcError):
                        await SessionServiceStub(channel).ListSessions(
                            ListSessionsRequest(), metadata=org.metadata
                        )
                        break

    assert refused.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
    assert "bytes of answers to calls with this key are not read yet, and 1048576 may be" in (
        refused.value.details() or ""
    )
