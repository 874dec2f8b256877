"""TLS of both ports, with a certificate authority of the test's own: who is served, who is refused, which files
are, and a certificate that is renewed."""

import asyncio
import os
import signal
import ssl
from contextlib import asynccontextmanager

import grpc
import httpx
import openai
import pytest
import trustme
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)
from google.protobuf.struct_pb2 import Value

from gateway.tls import Tls, TlsError
from generated.parley.v1.chat_service_pb2 import CreateChatRequest
from generated.parley.v1.chat_service_pb2_grpc import ChatServiceStub
from server.cli.settings import SettingsError, read_settings
from tests.processes import Serving, run

CURL = ("curl", "-s", "-o", os.devnull, "-w", "%{http_code} %{http_version}")


class Authority:
    """A CA, and its files in a folder."""

    def __init__(self, folder, name):
        self.ca = trustme.CA()
        self.folder = folder
        self.file = folder / f"{name}.pem"
        self.ca.cert_pem.write_to_path(self.file)

    def issue(self, name, *identities):
        """The files of a certificate and its key; those that are there are replaced."""
        issued = self.ca.issue_cert(*identities)
        cert, key = self.folder / f"{name}.crt", self.folder / f"{name}.key"
        pieces = {key: [issued.private_key_pem], cert: issued.cert_chain_pems}
        for path, parts in pieces.items():
            fresh = path.with_suffix(".new")
            fresh.write_bytes(b"".join(part.bytes() for part in parts))
            fresh.rename(path)
        return cert, key


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """(The authority of the server, its certificate and key; the authority of clients, and theirs.)"""
    folder = tmp_path_factory.mktemp("tls")
    servers, clients = Authority(folder, "ca"), Authority(folder, "client-ca")
    return (
        servers,
        servers.issue("server", "127.0.0.1"),
        clients,
        clients.issue("client", "caller@example.com"),
    )


def context_of(authority, client=None):
    context = ssl.create_default_context(cafile=authority.file)
    if client is not None:
        context.load_cert_chain(*client)
    return context


def channel_to(address, authority, client=None):
    read = [path.read_bytes() for path in reversed(client)] if client else (None, None)
    return grpc.aio.secure_channel(address, grpc.ssl_channel_credentials(authority.file.read_bytes(), *read))


async def said_by_grpc(address, parley, authority, client=None):
    async with channel_to(address, authority, client) as channel:
        request = CreateChatRequest(assistant_id=parley.keys["assistantId"], input=Value(string_value="Hi"))
        metadata = (("authorization", f"Bearer {parley.keys['api']}"),)
        chat = await ChatServiceStub(channel).CreateChat(request, metadata=metadata)
    return chat.output[0].content.string_value


async def curl(*arguments):
    process = await asyncio.create_subprocess_exec(
        *CURL, *map(str, arguments), stdout=asyncio.subprocess.PIPE
    )
    out, _ = await process.communicate()
    return process.returncode, out.decode()


@asynccontextmanager
async def serving(folder, files, *options, by=None):
    cert, key = by or files[1]
    async with Serving(folder, "--tls-cert", str(cert), "--tls-key", str(key), *options) as parley:
        yield parley, f"https://{parley.http}"
        assert (await parley.stop()).code == 0


async def test_both_ports_speak_tls_to_whoever_trusts_the_authority(tmp_path, files):
    authority = files[0]
    async with serving(tmp_path, files) as (parley, url):
        page = f"{url}/openapi.json"
        trusting = await asyncio.gather(
            curl("--cacert", authority.file, "--http2", page),
            curl("--cacert", authority.file, "--http1.1", page),
        )
        distrusting = await curl(page)
        plain = await curl(f"http://{parley.http}/openapi.json")
        async with openai.AsyncOpenAI(
            base_url=f"{url}/v1",
            api_key=parley.keys["api"],
            http_client=httpx.AsyncClient(verify=context_of(authority)),
        ) as client:
            answer = await client.responses.create(model="demo", input="Hi")
        said = await asyncio.gather(
            *(said_by_grpc(address, parley, authority) for address in (parley.http, parley.grpc))
        )
        async with grpc.aio.insecure_channel(parley.grpc) as channel:
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await ChatServiceStub(channel).CreateChat(CreateChatRequest(), timeout=20)

    assert trusting == [(0, "200 2"), (0, "200 1.1")]
    assert (distrusting[0], plain[0] != 0 or plain[1][:3] != "200") == (60, True)
    assert answer.output_text == "You said: Hi"
    assert said == ["You said: Hi"] * 2
    assert refused.value.code() is grpc.StatusCode.UNAVAILABLE
    assert parley.lines[-1] == f"ready http={url} grpc={parley.grpc}"


async def test_with_a_ca_of_clients_nobody_is_served_without_a_certificate_of_it(tmp_path, files):
    """By several workers too, and after those were restarted."""
    authority, _, clients, client = files
    stranger = authority.issue("stranger", "caller@example.com")
    async with serving(tmp_path, files, "--client-ca", str(clients.file), "--workers", "2") as (parley, url):
        page = f"{url}/openapi.json"

        async def shown(cert, key):
            return await curl("--cacert", authority.file, "--cert", cert, "--key", key, page)

        assert await shown(*client) == (0, "200 2")
        assert (await shown(*stranger))[1] == (await curl("--cacert", authority.file, page))[1] == "000 0"
        parley.send(signal.SIGHUP)
        await parley.logged("workers_restarted")
        for address in (parley.http, parley.grpc):
            assert await said_by_grpc(address, parley, authority, client) == "You said: Hi"
            for wrong in (None, stranger):
                with pytest.raises(grpc.aio.AioRpcError) as refused:
                    await said_by_grpc(address, parley, authority, wrong)
                assert refused.value.code() is grpc.StatusCode.UNAVAILABLE
        assert [(tmp_path / "run").stat().st_mode & 0o777, len(list((tmp_path / "run").glob("*.sock")))] == [
            0o700,
            3,  # Envoy's admin, and one of each server
        ]


async def serial_of(address, authority):
    host, _, port = address.rpartition(":")
    _, writer = await asyncio.open_connection(host, int(port), ssl=context_of(authority))
    try:
        return writer.get_extra_info("ssl_object").getpeercert()["serialNumber"]
    finally:
        writer.close()


async def test_certificate_that_is_replaced_is_used_for_the_next_connection(tmp_path, files):
    authority = files[0]
    own = authority.issue("renewed", "127.0.0.1")
    async with Serving(tmp_path, "--tls-cert", str(own[0]), "--tls-key", str(own[1])) as parley:
        addresses = parley.http, parley.grpc
        before = [await serial_of(address, authority) for address in addresses]
        authority.issue("renewed", "127.0.0.1")
        async with asyncio.timeout(20):
            for address, serial in zip(addresses, before, strict=True):
                while await serial_of(address, authority) == serial:  # Envoy hears of it from the kernel
                    pass
        after = [await serial_of(address, authority) for address in addresses]
        await parley.stop()

    assert before[0] == before[1] != after[0] == after[1]


def wrong(files, folder):
    """Files, and what is said of them."""
    (cert, key), other = files[1], files[0].issue("other", "127.0.0.1")
    text, locked = folder / "text", folder / "locked.key"
    text.write_text("no PEM")
    locked.write_bytes(
        load_pem_private_key(key.read_bytes(), None).private_bytes(
            Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"password")
        )
    )
    gone = folder / "gone"
    return [
        (Tls(gone, key), f"--tls-cert (PARLEY_TLS_CERT): {gone} cannot be read: No such file or directory"),
        (Tls(cert, gone), f"--tls-key (PARLEY_TLS_KEY): {gone} cannot be read: No such file or directory"),
        (Tls(cert, key, gone), f"--client-ca (PARLEY_CLIENT_CA): {gone} cannot be read: No such file"),
        (Tls(folder, key), f"--tls-cert (PARLEY_TLS_CERT): {folder} cannot be read: Is a directory"),
        (Tls(text, key), f"--tls-cert (PARLEY_TLS_CERT): {text} is not a certificate in PEM form"),
        (Tls(cert, text), f"--tls-key (PARLEY_TLS_KEY): {text} is not a key in PEM form"),
        (Tls(cert, locked), f"--tls-key (PARLEY_TLS_KEY): {locked} is encrypted"),
        (Tls(cert, other[1]), f"--tls-key (PARLEY_TLS_KEY): {other[1]} does not fit the certificate"),
        (Tls(cert, key, text), f"--client-ca (PARLEY_CLIENT_CA): {text} is not a certificate in PEM form"),
    ]


def test_file_that_cannot_be_used_is_refused_by_its_name(files, tmp_path):
    for tls, said in wrong(files, tmp_path):
        with pytest.raises(TlsError) as refused:
            tls.check()
        assert str(refused.value).startswith(said)
    Tls(*files[1], files[2].file).check()


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"tls_cert": "/a"}, "--tls-cert needs --tls-key (PARLEY_TLS_KEY)"),
        ({"tls_key": "/a"}, "--tls-key needs --tls-cert (PARLEY_TLS_CERT)"),
        ({"client_ca": "/a"}, "--client-ca needs --tls-cert (PARLEY_TLS_CERT)"),
    ],
    ids=str,
)
def test_one_file_without_the_other_is_refused(given, said):
    with pytest.raises(SettingsError) as refused:
        read_settings(given, {})

    assert str(refused.value) == said


async def test_server_does_not_start_without_its_files(tmp_path):
    ended = await run(
        "parley", "serve", "--data", tmp_path / "data", "--tls-cert", "/gone", "--tls-key", "/gone"
    )

    assert (ended.code, ended.out) == (1, "")
    assert ended.err.startswith("Error: --tls-cert (PARLEY_TLS_CERT): /gone cannot be read")
    assert not (tmp_path / "data").exists()


async def test_folder_that_is_too_long_for_a_socket_is_refused(tmp_path, files):
    cert, key = files[1]
    ended = await run(
        "parley", "serve", "--data", tmp_path / ("long" * 25), "--tls-cert", cert, "--tls-key", key
    )

    assert (ended.code, "whose path is too long; name a shorter folder" in ended.err) == (1, True)
