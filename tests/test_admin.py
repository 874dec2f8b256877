"""The admin port: health, reflection and channelz for the operator, without a key, and on no other port.

That channelz counts rightly is gRPC's own affair; tested is that it sees the server's ports and calls.
"""

import socket
import sys
from contextlib import asynccontextmanager

import grpc
import pytest
from grpc_channelz.v1 import channelz_pb2 as request_body
from grpc_channelz.v1.channelz_pb2_grpc import ChannelzStub
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from pydantic import ValidationError

from server.app import App, ListenError
from server.core.config import Address, Settings
from server.storage.store import opened
from tests.processes import Serving, free_address

ANY_PORT = Address(host="127.0.0.1", port=0)


@asynccontextmanager
async def serving(folder, **settings):
    """A server without Envoy."""
    settings = Settings(data=folder, grpc=ANY_PORT, **settings)
    async with opened(folder) as store:
        app = App(settings, store)
        try:
            await app.start()
            yield app
        finally:
            await app.stop(0)


def channel_to(port):
    return grpc.aio.insecure_channel(f"127.0.0.1:{port}")


async def listed_by(channel):
    question = reflection_pb2.ServerReflectionRequest(list_services="")
    answers = reflection_pb2_grpc.ServerReflectionStub(channel).ServerReflectionInfo(iter([question]))
    return [one.name for one in (await answers.read()).list_services_response.service]


async def health_of(channel, name):
    answer = await health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(service=name))
    return health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status)


async def test_channelz_shows_the_ports_connections_and_calls_of_the_server(tmp_path):
    async with serving(tmp_path, admin=ANY_PORT, channelz=True) as app:
        async with channel_to(app.grpc_port) as caller, channel_to(app.admin_port) as operator:
            for _ in range(3):
                await health_of(caller, "parley.v1.ChatService")
            channelz = ChannelzStub(operator)
            found = await channelz.GetServers(request_body.GetServersRequest())
            calls = {}
            for server in found.server:
                request = request_body.GetServerSocketsRequest(server_id=server.ref.server_id)
                for ref in (await channelz.GetServerSockets(request)).socket_ref:
                    connection = await channelz.GetSocket(
                        request_body.GetSocketRequest(socket_id=ref.socket_id)
                    )
                    port = connection.socket.local.tcpip_address.port
                    calls[port] = server.data.calls_succeeded, connection.socket.data.streams_succeeded
            top = await channelz.GetTopChannels(request_body.GetTopChannelsRequest())

    assert calls[app.grpc_port] == (3, 3)
    assert app.admin_port in calls
    assert f"127.0.0.1:{app.grpc_port}" in {
        channel.data.target.removeprefix("dns:///") for channel in top.channel
    }


async def test_what_channelz_does_not_know_is_not_found(tmp_path):
    async with (
        serving(tmp_path, admin=ANY_PORT, channelz=True) as app,
        channel_to(app.admin_port) as operator,
    ):
        with pytest.raises(grpc.aio.AioRpcError) as error:
            await ChannelzStub(operator).GetServer(request_body.GetServerRequest(server_id=1 << 40))

    assert error.value.code() is grpc.StatusCode.NOT_FOUND


async def test_admin_port_has_health_and_reflection_and_channelz_by_its_flag_alone(tmp_path):
    listed = {}
    for channelz in (False, True):
        async with serving(tmp_path, admin=ANY_PORT, channelz=channelz, reflection=False) as app:
            async with channel_to(app.admin_port) as operator:
                listed[channelz] = await listed_by(operator)
                assert await health_of(operator, "") == "SERVING"
                await app.drain()
                assert await health_of(operator, "") == "NOT_SERVING"

    usual = [
        "grpc.health.v1.Health",
        "grpc.reflection.v1.ServerReflection",
        "grpc.reflection.v1alpha.ServerReflection",
    ]
    assert listed == {False: usual, True: ["grpc.channelz.v1.Channelz", *usual]}


async def test_ports_of_callers_have_no_channelz(tmp_path):
    async with serving(tmp_path, admin=ANY_PORT, channelz=True) as app, channel_to(app.grpc_port) as caller:
        with pytest.raises(grpc.aio.AioRpcError) as error:
            await ChannelzStub(caller).GetServers(request_body.GetServersRequest())

        assert error.value.code() is grpc.StatusCode.UNIMPLEMENTED
        assert "grpc.channelz.v1.Channelz" not in await listed_by(caller)


async def test_admin_address_that_is_taken_is_refused_by_name(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as other:
        result = Address(host="127.0.0.1", port=other.getsockname()[1])
        with pytest.raises(ListenError, match=f"admin address {result} is taken"):
            async with serving(tmp_path, admin=result):
                pass


async def test_channelz_without_its_package_says_how_to_install_it(tmp_path, monkeypatch):
    for name in [name for name in sys.modules if name.split(".")[0] == "grpc_channelz"]:
        monkeypatch.setitem(sys.modules, name, None)

    with pytest.raises(ValueError, match=r"pip install 'parley-server\[channelz\]'"):
        async with serving(tmp_path, admin=ANY_PORT, channelz=True):
            pass


@pytest.mark.parametrize(
    ("settings", "reported"),
    [
        ({"channelz": True}, "is on the admin port alone; name one with --admin HOST:PORT"),
        ({"admin": "nowhere"}, "'nowhere' is not HOST:PORT"),
        ({"admin": "127.0.0.1:65535", "workers": 2}, "each worker takes a port .*; choose one up to 65534"),
    ],
    ids=str,
)
def test_what_cannot_be_served_is_refused_before_the_start(settings, reported):
    with pytest.raises(ValidationError, match=reported):
        Settings(**settings)


async def test_every_worker_has_an_admin_port_of_its_own(tmp_path):
    host, _, port = free_address().rpartition(":")
    options = ("--workers", "2", "--admin", f"{host}:{port}", "--channelz")
    async with Serving(tmp_path, *options) as parley:
        servers = []
        for number in range(2):
            async with channel_to(int(port) + number) as operator:
                found = await ChannelzStub(operator).GetServers(request_body.GetServersRequest())
                servers.append({one.name for server in found.server for one in server.listen_socket})
        await parley.stop()

    grpc_port = parley.grpc.rpartition(":")[2]
    assert [any(name.endswith(f":{grpc_port}") for name in names) for names in servers] == [True, False]
