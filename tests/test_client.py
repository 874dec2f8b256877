"""`parley_client`, sync and async from one body: against a real server, connections that are cut, a server
that restarts, and one that refuses.
"""

import asyncio
import importlib
import shutil
import ssl
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.struct_pb2 import Value

from generated.parley.v1.agent_chat_service_pb2 import CreateAgentChatRequest, CreateMessageRequest
from generated.parley.v1.chat_service_pb2 import (
    CreateChatRequest,
    DeleteChatRequest,
    GetChatRequest,
    ListChatsRequest,
    WatchChatRequest,
)
from generated.parley.v1.completion_service_pb2 import CreateChatCompletionRequest
from generated.parley.v1.response_service_pb2 import CreateResponseRequest
from generated.parley.v1.session_service_pb2 import CreateSessionRequest
from tests.conftest import Org, Service, rows_of, running
from tests.cutting_proxy import CuttingProxy
from tests.documents import ROOT
from tests.processes import Serving

LONG = " ".join(f"word{number}" for number in range(60))


@pytest.fixture(scope="module")
def parley_client(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The package as its wheel has it, with the stubs beside it."""
    folder = tmp_path_factory.mktemp("client")
    for name in ("clients/python", "generated"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__", "v1_"))
    project = folder / "clients" / "python"
    subprocess.run([sys.executable, "setup.py", "--quiet", "--version"], cwd=project, check=True)
    sys.path.insert(0, str(project / "src"))
    yield importlib.import_module("parley_client")
    sys.path.remove(str(project / "src"))


class Blocking:
    """The sync client behind the methods of the async one, each in a thread."""

    def __init__(self, client: Any) -> None:
        self.client = client

    async def call(self, service: str, method: str, *arguments: Any, **options: Any) -> Any:
        return await asyncio.to_thread(
            lambda: getattr(getattr(self.client, service), method)(*arguments, **options)
        )

    async def events(self, stream: Any) -> AsyncIterator[Any]:
        ended = object()
        while (event := await asyncio.to_thread(next, stream, ended)) is not ended:
            yield event

    def open(self, service: str, method: str, *arguments: Any, **options: Any) -> Any:
        return getattr(getattr(self.client, service), method)(*arguments, **options)

    async def close_stream(self, stream: Any) -> None:
        await asyncio.to_thread(stream.close)

    async def close(self) -> None:
        self.client.close()


class Awaiting(Blocking):
    async def call(self, service: str, method: str, *arguments: Any, **options: Any) -> Any:
        return await self.open(service, method, *arguments, **options)

    async def events(self, stream: Any) -> AsyncIterator[Any]:
        async for event in stream:
            yield event

    async def close_stream(self, stream: Any) -> None:
        await stream.aclose()

    async def close(self) -> None:
        await self.client.aclose()


@pytest.fixture(params=["sync", "async"])
async def connect(parley_client: Any, request: pytest.FixtureRequest) -> AsyncIterator[Any]:
    """Makes a client of an address and a key; closes what it made."""
    made = []

    def client(address: str, key: str, **options: Any) -> Blocking:
        chosen = parley_client.Options(api_key=key, **{"plaintext": True, **options})
        made.append(
            Blocking(parley_client.Client(address, chosen))
            if request.param == "sync"
            else Awaiting(parley_client.AsyncClient(address, chosen))
        )
        return made[-1]

    yield client
    for one in made:
        await one.close()


@pytest.fixture(scope="module")
async def slow(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Service]:
    """A service whose model takes its time, so that streams can be cut in the middle."""
    async with running(tmp_path_factory.mktemp("slow"), offline_delay_ms=4) as started:
        yield started


@pytest.fixture
def own_ca(tmp_path: Path) -> tuple[ssl.SSLContext, bytes]:
    """What a server of 127.0.0.1 has, and what signed it: a certificate that no machine trusts."""
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    made = f"openssl req -x509 -newkey rsa:2048 -nodes -subj /CN=localhost -keyout {key} -out {certificate}"
    subprocess.run([*made.split(), "-addext", "subjectAltName=IP:127.0.0.1"], check=True, capture_output=True)
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(certificate, key)
    tls.set_alpn_protocols(["h2"])
    return tls, certificate.read_bytes()


def hello(org: Org, text: str = "Hello!") -> CreateChatRequest:
    return CreateChatRequest(assistant_id=org.assistant_id, input=Value(string_value=text))


async def test_calls_answer_typed_messages(connect: Any, service: Service, org: Org) -> None:
    client = connect(service.grpc_address, org.api)

    made = await client.call("chats", "create", hello(org))
    listed = await client.call("chats", "list", ListChatsRequest())
    stored = await client.call("chats", "get", GetChatRequest(id=made.id))
    await client.call("chats", "delete", DeleteChatRequest(id=made.id))

    assert made.output[0].message == "You said: Hello!"
    assert [one.id for one in listed.results] == [stored.id] == [made.id]


async def test_errors_are_classes_with_reason_violations_and_request(
    connect: Any, parley_client: Any, service: Service, org: Org
) -> None:
    client = connect(service.grpc_address, org.api)

    with pytest.raises(parley_client.InvalidArgument) as wrong:
        await client.call("chats", "create", CreateChatRequest(assistant_id=org.assistant_id))
    with pytest.raises(parley_client.NotFound) as absent:
        await client.call("chats", "get", GetChatRequest(id="01a2b3c4-0000-7000-8000-000000000000"))
    with pytest.raises(parley_client.Unauthenticated):
        await connect(service.grpc_address, "api_nobody").call("chats", "list", ListChatsRequest())

    assert [one.field for one in wrong.value.violations] == ["input"]
    assert absent.value.reason == "CHAT_NOT_FOUND"
    assert absent.value.request_id


@pytest.mark.parametrize("door", ["chats", "responses", "agent_chats"])
async def test_stream_that_is_cut_reads_on_with_every_event_once(
    connect: Any, slow: Service, door: str
) -> None:
    org = await slow.new_org()
    async with CuttingProxy(slow.grpc_address) as proxy:
        client = connect(proxy.address, org.api)
        stream = await _stream(client, door, org)
        events = []
        async for event in client.events(stream):
            events.append(event)
            if len(events) in (4, 6):
                proxy.cut()

    assert proxy.connections >= 2
    if door == "responses":
        assert [one.sequence_number for one in events] == list(range(len(events)))
        assert events[-1].type == "response.completed"
        assert "".join(one.delta for one in events if one.type.endswith("text.delta")) == f"You said: {LONG}"
    else:
        assert [one.sequence for one in events] == list(range(len(events)))
        said = "".join(one.delta.text for one in events if one.HasField("delta"))
        assert said == events[-1].completed.output[0].content.string_value


async def _stream(client: Blocking, door: str, org: Org) -> Any:
    if door == "chats":
        return client.open("chats", "stream", hello(org, LONG))
    if door == "responses":
        request = CreateResponseRequest(
            assistant_id=org.assistant_id, input=Value(string_value=LONG), background=True
        )
        return client.open("responses", "stream", request)
    chat = await client.call("agent_chats", "create", CreateAgentChatRequest(agent_id=org.assistant_id))
    return client.open("agent_chats", "stream_message", CreateMessageRequest(chat_id=chat.id, content=LONG))


async def test_watch_reads_on_after_the_event_that_was_seen(connect: Any, slow: Service) -> None:
    org = await slow.new_org()
    async with CuttingProxy(slow.grpc_address) as proxy:
        client = connect(proxy.address, org.api)
        made = await client.call("chats", "create", hello(org, LONG))
        seen = []
        async for event in client.events(
            client.open("chats", "watch", WatchChatRequest(id=made.id, after=2))
        ):
            seen.append(event.sequence)
            if len(seen) == 3:
                proxy.cut()

    assert seen == list(range(3, len(seen) + 3))


async def test_completion_stream_that_is_cut_raises_and_is_not_run_again(
    connect: Any, parley_client: Any, slow: Service
) -> None:
    org = await slow.new_org()
    async with CuttingProxy(slow.grpc_address) as proxy:
        client = connect(proxy.address, org.api)
        request = CreateChatCompletionRequest(model=org.assistant_id)
        request.messages.add(role="user").content.string_value = LONG
        stream, ids = client.open("completions", "stream", request), []
        with pytest.raises(parley_client.Unavailable):
            async for chunk in client.events(stream):
                ids.append(chunk.id)
                proxy.cut()
        listed = await client.call("chats", "list", ListChatsRequest())

    assert len(listed.results) == 1


async def test_response_that_is_not_stored_ends_with_what_cut_its_stream(
    connect: Any, parley_client: Any, slow: Service
) -> None:
    org = await slow.new_org()
    async with CuttingProxy(slow.grpc_address) as proxy:
        client = connect(proxy.address, org.api)
        request = CreateResponseRequest(
            assistant_id=org.assistant_id, input=Value(string_value=LONG), store=False
        )
        with pytest.raises(parley_client.Unavailable):
            async for _ in client.events(client.open("responses", "stream", request)):
                proxy.cut()


async def test_tls_trusts_the_own_ca_that_is_given_and_no_other(
    connect: Any, parley_client: Any, service: Service, org: Org, own_ca: tuple[ssl.SSLContext, bytes]
) -> None:
    tls, certificate = own_ca
    once = parley_client.Retry(attempts=1)
    async with CuttingProxy(service.grpc_address, tls) as proxy:
        trusting = connect(proxy.address, org.api, plaintext=False, root_certificates=certificate)
        others = connect(proxy.address, org.api, plaintext=False, retry=once)

        made_chat = await trusting.call("chats", "create", hello(org))
        with pytest.raises(parley_client.Unavailable):
            await others.call("chats", "list", ListChatsRequest())

    assert made_chat.status == "completed"


async def test_unary_call_whose_answer_is_lost_is_carried_out_once(connect: Any, slow: Service) -> None:
    org = await slow.new_org()
    async with CuttingProxy(slow.grpc_address) as proxy:
        client = connect(proxy.address, org.api)
        proxy.cut_before(org.id.encode())  # the answer has it, the request has not
        made = await client.call("sessions", "create", CreateSessionRequest(assistant_id=org.assistant_id))
    sessions = await rows_of(slow.store, "SELECT id FROM sessions WHERE org_id = ?", (org.id,))

    assert proxy.connections == 2
    assert sessions == [(made.id,)]


async def test_close_cancels_the_call(connect: Any, slow: Service) -> None:
    org = await slow.new_org()
    client = connect(slow.grpc_address, org.api)
    stream, seen = client.open("chats", "stream", hello(org, LONG)), []
    async for event in client.events(stream):
        seen.append(event)
        await client.close_stream(stream)

    rest = [
        event
        async for event in client.events(client.open("chats", "watch", WatchChatRequest(id=seen[0].chat_id)))
    ]

    assert len(seen) == 1
    assert rest[-1].completed.error.code == "client_disconnected"


async def test_deadline_ends_a_call_and_its_repeats(connect: Any, parley_client: Any, slow: Service) -> None:
    org = await slow.new_org()
    client = connect(slow.grpc_address, org.api)

    with pytest.raises(parley_client.DeadlineExceeded):
        await client.call("chats", "create", hello(org, LONG), timeout=0.05)


async def test_stream_reads_on_after_the_server_was_killed(connect: Any, tmp_path: Path) -> None:
    events: list[Any] = []
    async with Serving(tmp_path, PARLEY_OFFLINE_DELAY_MS=4) as first:
        keys = first.keys
        client = connect(first.grpc, keys["api"])
        request = CreateChatRequest(assistant_id=keys["assistantId"], input=Value(string_value=LONG))
        stream = client.events(client.open("chats", "stream", request))
        async for event in stream:
            events.append(event)
            if len(events) == 5:
                break
        first.send(9)
        await first.ended()
    async with Serving(tmp_path, http=first.http, grpc=first.grpc):
        async for event in stream:
            events.append(event)

    assert [one.sequence for one in events] == list(range(len(events)))
    assert events[-1].completed.error.code or events[-1].failed.error.code


async def test_refused_call_is_repeated_after_the_delay_the_server_names(
    connect: Any, parley_client: Any, tmp_path: Path
) -> None:
    async with running(tmp_path, key_requests_per_minute=60) as limited:
        org = await limited.new_org()
        patient = connect(limited.grpc_address, org.api)
        hasty = connect(limited.grpc_address, org.api, retry=parley_client.Retry(attempts=1))
        with pytest.raises(parley_client.ResourceExhausted) as refused:
            for _ in range(100):
                await hasty.call("chats", "list", ListChatsRequest())

        await patient.call("chats", "list", ListChatsRequest())

    assert refused.value.reason == "RATE_LIMIT_EXCEEDED"
    assert refused.value.retry_after


def test_options_name_what_is_wrong(parley_client: Any) -> None:
    with pytest.raises(ValueError, match="api_key must be visible ASCII"):
        parley_client.Options(api_key="with space")
    with pytest.raises(ValueError, match="plaintext and root_certificates"):
        parley_client.Options(api_key="k", plaintext=True, root_certificates=b"pem")


async def test_key_is_refused_where_the_method_takes_none(connect: Any, service: Service, org: Org) -> None:
    client = connect(service.grpc_address, org.api)
    with pytest.raises(TypeError, match="idempotency_key"):
        await client.call("chats", "list", ListChatsRequest(), idempotency_key="once")
