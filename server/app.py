"""The wiring: settings → store, engine, services → one gRPC server. The only module that imports every other
package except the edge.

`parley serve` (`cli/main.py`) puts Envoy in front of it; tests start it without Envoy.
"""

import asyncio
import gc
from functools import partial
from pathlib import Path
from typing import Any

import grpc
import structlog
from grpc_health.v1 import health_pb2_grpc

from generated.parley.v1 import (
    agent_chat_service_pb2,
    agent_chat_service_pb2_grpc,
    assistant_service_pb2,
    assistant_service_pb2_grpc,
    chat_service_pb2,
    chat_service_pb2_grpc,
    completion_service_pb2,
    completion_service_pb2_grpc,
    conversation_service_pb2,
    conversation_service_pb2_grpc,
    history_service_pb2,
    history_service_pb2_grpc,
    model_service_pb2,
    model_service_pb2_grpc,
    response_service_pb2,
    response_service_pb2_grpc,
    session_service_pb2,
    session_service_pb2_grpc,
    squad_service_pb2,
    squad_service_pb2_grpc,
    tool_service_pb2,
    tool_service_pb2_grpc,
    transport_service_pb2,
    transport_service_pb2_grpc,
    usage_service_pb2,
    usage_service_pb2_grpc,
)
from generated.parley.v1.response_service_pb2 import ConnectResponsesEvent
from server.agents.agents import Agents
from server.agents.knowledge import KnowledgeBases
from server.agents.tools import ToolRunner
from server.backends.backend import Backend
from server.backends.measured import MeasuredBackend
from server.backends.providers import Providers, not_called, unknown
from server.content import validation
from server.core import offload
from server.core.clock import Clock, now_ms
from server.core.config import Settings
from server.core.outbound.guard import MODELS, TOOLS, AllowedHosts
from server.core.outbound.json_post import JsonPoster
from server.core.telemetry.meter import NO_METER
from server.core.telemetry.tracing import NO_TRACING
from server.delivery import webhooks
from server.delivery.loop import Deliveries, Patience, Sink
from server.delivery.post import Poster
from server.delivery.server_events import ServerEvents
from server.delivery.twilio import TwilioMessages
from server.delivery.twilio_account import SMS, TwilioAccount
from server.delivery.webhooks import Webhooks
from server.exchange import inbound
from server.exchange.capacity import Capacity
from server.exchange.engine import Engine
from server.exchange.inbound import Inbound
from server.exchange.outgoing import OutgoingMessages
from server.exchange.recovery import Recovery
from server.exchange.resolve import TurnResolver
from server.exchange.session_queue import SessionQueue
from server.exchange.streams import Streams
from server.exchange.tool_loop import ToolLoop
from server.rpc import health
from server.rpc.activity import Traffic
from server.rpc.admin import Admin
from server.rpc.context import asynchronous
from server.rpc.idempotency import Idempotency
from server.rpc.interceptor import CallInterceptor
from server.rpc.key_ends import KeyEnds
from server.rpc.rate_limits import Limits
from server.rpc.reflection import add_reflection
from server.rpc.state import ServerState, meter_of, tracing_of
from server.rpc.tls import server_credentials
from server.rpc.websocket.listener import Listener
from server.services.agent_chats import AgentChatService
from server.services.assistants import AssistantService
from server.services.chats import ChatService
from server.services.completions import CompletionService
from server.services.conversations import ConversationService
from server.services.history import HistoryService
from server.services.models import ModelService
from server.services.responses import ResponseService
from server.services.sessions import SessionService
from server.services.squads import SquadService
from server.services.tools import ToolService
from server.services.transports import TransportService
from server.services.usage import UsageService
from server.storage.retention import Retention
from server.storage.store import Store
from server.wire.history.lines import History
from server.wire.response_frames import frame_of, request_of

log = structlog.get_logger()

# Larger than the 4 MB that Envoy lets through, so that Envoy always answers an oversized body with 413.
_MOST_BYTES = 8 * 1024 * 1024
_OPTIONS = [
    ("grpc.so_reuseport", 0),  # otherwise a second server on the port would silently take half of the calls
    ("grpc.max_receive_message_length", _MOST_BYTES),
    ("grpc.max_send_message_length", -1),
    # Likewise larger than Envoy's 60 KB of headers, so that Envoy always answers oversized headers with 431:
    # between these two sizes gRPC refuses some calls at random.
    ("grpc.max_metadata_size", 96 * 1024),
    ("grpc.absolute_max_metadata_size", 128 * 1024),
    # Limit of pending calls; beyond the default of a thousand gRPC cancels some at random. Envoy passes on half
    # as many.
    ("grpc.server.max_pending_requests", 20_000),
    ("grpc.server.max_pending_requests_hard_limit", 20_000),
    ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
    ("grpc.http2.max_ping_strikes", 0),  # Envoy pings idle connections
]
_CONNECT = "/parley.v1.ResponseService/ConnectResponses"
_PAUSE_SECONDS = 0.05
_QUIET_PAUSES = 4
_MOST_PAUSES = 40
_USED_SECONDS = 2.0
_NOTICE_SECONDS = 2.0
"""Time that a client has to read the last event of its call."""
EDGE = "parley.edge"
"""The health service that Envoy checks: not serving while the server takes no new calls. The health without a
name also reports failures."""
_SERVICES = (
    agent_chat_service_pb2,
    assistant_service_pb2,
    chat_service_pb2,
    completion_service_pb2,
    conversation_service_pb2,
    history_service_pb2,
    model_service_pb2,
    response_service_pb2,
    session_service_pb2,
    squad_service_pb2,
    tool_service_pb2,
    transport_service_pb2,
    usage_service_pb2,
)
_NAMES = tuple(
    service.full_name for module in _SERVICES for service in module.DESCRIPTOR.services_by_name.values()
)
"""Services with a health of their own, besides the whole server: each serves while the server takes calls."""


class ListenError(Exception):
    """The server cannot listen on the address, which the text names."""


class _Methods:
    """Stands in for the server in generated code and ignores its second registration, method by method.

    With every incoming call grpc.aio waits anew for a call of each registered method, which takes longer with
    every method; for calls that the generic handlers take it waits once.
    """

    def __init__(self, server: grpc.aio.Server) -> None:
        self.add_generic_rpc_handlers = server.add_generic_rpc_handlers

    def add_registered_method_handlers(self, service_name: str, method_handlers: object) -> None:
        """Do nothing: the generic handler of the service has these methods."""


def spare_the_loaded() -> None:
    """Exempt the objects loaded so far from garbage collection, once a process has loaded all it serves with.

    The collector would otherwise scan them again and again, each time for as long as a hundred calls take.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 20, 20)


class App:
    """One gRPC server over one store."""

    def __init__(self, settings: Settings, store: Store, clock: Clock = now_ms) -> None:
        """Wire the parts. Must be called inside the event loop that serves."""
        validation.prepare()
        self._settings = settings
        self._health = health.Health()
        self._admin = settings.admin and Admin(settings.admin, self._health, channelz=settings.channelz)
        allowed = AllowedHosts(settings.upstream_allow_hosts | settings.tool_allow_hosts, TOOLS)
        self.store = store = store.announcing_with(ServerEvents(allowed, clock).compose)
        self._providers = Providers(
            api_keys=settings.provider_keys,
            base_urls=settings.provider_urls,
            allowed=AllowedHosts(settings.upstream_allow_hosts | settings.model_allow_hosts, MODELS),
            offline_delay_seconds=settings.offline_delay_ms / 1000,
        )
        self._provider_fault, self._not_called = [
            partial(fault, base_urls=settings.provider_urls) for fault in (unknown, not_called)
        ]
        self._traffic = Traffic()
        self._meter, self._tracing = meter_of(settings), tracing_of(settings)
        self.limits = Limits(settings)
        self._key_ends = KeyEnds(store.keys, store.peers)
        self._interceptor = CallInterceptor(
            store.keys,
            self._key_ends,
            Idempotency(store.idempotency),
            self.limits,
            self._traffic,
            call_seconds=settings.call_seconds,
            message_seconds=settings.message_seconds,
            meter=self._meter,
            tracing=self._tracing,
            connection_seconds=settings.connection_seconds,
        )
        self._server = grpc.aio.server(interceptors=[self._interceptor], options=_OPTIONS)
        self._tools = ToolRunner(allowed, clock)
        self._json_poster = JsonPoster(allowed)
        self._account = TwilioAccount.of(settings)
        self._recovery = Recovery(store.chats, store.peers)
        self.capacity = Capacity(
            store.usage,
            conversation=settings.conversation_bytes,
            exchange=settings.exchange_bytes,
            publishable_exchange=settings.publishable_exchange_bytes,
            publishable_key=settings.publishable_key_bytes,
        )
        engine = Engine(
            store,
            ToolLoop(self._backend(), self._tools),
            settings.prices,
            clock,
            settings.model_timeout_seconds,
            OutgoingMessages(self._account),
            KnowledgeBases(self._json_poster),
            session_queue := SessionQueue(store.peers, settings.turn_wait_seconds),
            self._recovery,
            self.capacity,
            self._meter,
        )
        agents = Agents(store, self._provider_fault, settings.models_without_assistant)
        resolver = TurnResolver(store, agents, clock, self.capacity)
        self._streams = Streams(
            engine,
            store.chats,
            store.peers,
            self._recovery,
            self.limits.call_of,
            self._key_ends.subscribe,
            settings.unread_seconds,
            self.limits.most_readers,
        )
        self._retention = Retention(store, settings.retention_days, clock)
        self._poster = Poster(allowed)
        self._deliveries = self._delivering(allowed, Inbound(engine, resolver), clock)
        self._register(engine, self._streams, agents, resolver, clock)
        self._state = ServerState(store, self._meter, self._health)
        self._state.show(self.limits, session_queue, self._deliveries)
        self.grpc_port = self.websocket_port = self.admin_port = 0
        self._is_draining = False

    async def start(self) -> None:
        """Listen and serve. Raises ListenError when the address is taken."""
        try:
            self._listen()
        except RuntimeError:
            raise ListenError(
                f"gRPC address {self._settings.grpc} is taken or cannot be listened on; --grpc names another"
            ) from None
        if self._admin:
            try:
                await self._admin.start()
            except RuntimeError:
                raise ListenError(
                    f"admin address {self._settings.admin} is taken or cannot be listened on; --admin names another"
                ) from None
            self.admin_port = self._admin.port
        websocket = self._settings.websocket
        try:
            await self._sockets.start(websocket.host, websocket.port)
        except OSError:
            raise ListenError(
                f"WebSocket address {websocket} is taken or cannot be listened on; --websocket names another"
            ) from None
        self.websocket_port = self._sockets.port
        offload.leave_turns()
        await self._recovery.start()
        self._key_ends.start()
        self._deliveries.start()
        self._retention.start()
        soon = asyncio.get_running_loop().call_soon_threadsafe

        def watch(working: bool) -> None:
            soon(self._writes_work, working)

        self.store.database.watch = watch
        self.store.database.measure = self._meter.committed
        await self._server.start()
        for name in ("", EDGE, *_NAMES):
            self._health.set(name, serving=True)

    def _listen(self) -> None:
        """Listen on the gRPC port; with TLS also on a socket for Envoy, which has no certificate of a client's.

        The socket is in the data folder, for its owner alone.
        """
        settings, address = self._settings, str(self._settings.grpc)
        if settings.tls_cert is None or settings.tls_key is None:
            self.grpc_port = self._server.add_insecure_port(address)
            return
        credentials = server_credentials(settings.tls_cert, settings.tls_key, settings.client_ca)
        self.grpc_port = self._server.add_secure_port(address, credentials)
        [edge] = self.edges
        assert isinstance(edge, Path)
        edge.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._server.add_insecure_port(f"unix:{edge}")

    def _writes_work(self, working: bool) -> None:
        """Report in the health whether writes work. Envoy keeps sending calls: stored records can still be
        read, and an error says why writes fail."""
        log.error("writes succeed again" if working else "writes fail")
        for name in ("", *_NAMES):
            self._health.set(name, serving=working)

    async def metrics(self) -> str:
        """Return the metrics of this process in Prometheus' text format."""
        return await self._state.metrics()

    async def not_ready(self) -> list[str]:
        """Return why this process is to get no calls; nothing when it is ready."""
        return await self._state.not_ready()

    def _backend(self) -> Backend:
        """Return the backend of every provider, as operators want to see it."""
        if self._meter is NO_METER and self._tracing is NO_TRACING:
            return self._providers
        return MeasuredBackend(self._providers, self._meter, self._tracing)

    @property
    def ports(self) -> list[int]:
        """The server's gRPC port, as the only item."""
        return [self.grpc_port]

    @property
    def edges(self) -> list[tuple[str, int] | Path]:
        return [self._settings.edge_of(self.grpc_port)]

    @property
    def websocket_ports(self) -> list[int]:
        return [self.websocket_port]

    async def drain(self, *, always: bool = False) -> None:
        """Report as not serving, and serve on until every health check has certainly seen it.

        Does not wait when no call has come for that long, unless `always`: an unused server stops at once.
        """
        self._health.stop()
        self._sockets.leave()
        if always or self._traffic.within(self._settings.drain_seconds):
            self._is_draining = True
            log.info("draining", calls=self._traffic.under_way, seconds=self._settings.drain_seconds)
            await asyncio.sleep(self._settings.drain_seconds)
        self._traffic.retire()  # not before: whoever connects again is to come to another server

    async def drain_arrivals(self) -> None:
        """Take the calls that were already sent to a server that gets no new ones, until none has come for a
        while.

        Calls that still wait in gRPC when it stops are cancelled. Does not wait for clients that keep calling.
        """
        quiet = 0 if self._traffic.begun_within(_USED_SECONDS) else _QUIET_PAUSES
        for _ in range(_MOST_PAUSES):
            if quiet == _QUIET_PAUSES:
                return
            begun = self._traffic.begun
            # counted, because one round may take the whole time on a busy machine
            await asyncio.sleep(_PAUSE_SECONDS)
            quiet = quiet + 1 if self._traffic.begun == begun else 0

    async def stop(self, grace_seconds: float | None = None) -> None:
        """Give calls and background work `grace_seconds` to end, then end the rest and close the providers.

        A stream ended this way reports it in its last event, and its output so far is stored; an unanswered
        call is refused. gRPC cancels only the calls whose clients do not read to the end.
        """
        grace = self._settings.grace_seconds if grace_seconds is None else grace_seconds
        self._traffic.retire()
        closing = asyncio.create_task(self._close_doors(grace + 2 * _NOTICE_SECONDS))
        finishing = asyncio.create_task(self._streams.finish(grace))
        await asyncio.wait({closing, finishing}, timeout=grace)
        await self._traffic.refuse(_NOTICE_SECONDS, begun=False)
        await self._streams.close()
        await asyncio.wait({closing}, timeout=_NOTICE_SECONDS)
        if self._traffic.under_way:
            log.warning("calls_broken_off", calls=self._traffic.under_way, grace_seconds=grace)
        await self._traffic.refuse(_NOTICE_SECONDS, begun=True)
        await closing
        await self._retention.close()
        await self._key_ends.close()
        await self._deliveries.close()
        await self._recovery.close()
        await self.capacity.close()
        await self._tools.close()
        await self._poster.close()
        await self._providers.close()
        await self._json_poster.close()
        await self._tracing.close()
        if self._admin:
            await self._admin.stop()
        if self._is_draining:  # one that nobody has used stops without a word
            log.info("stopped")

    async def _close_doors(self, within_seconds: float) -> None:
        """Take no more calls, and wait for those that run."""
        await asyncio.gather(self._server.stop(within_seconds), self._sockets.close())

    def _delivering(self, allowed: AllowedHosts, answering: Inbound, clock: Clock) -> Deliveries:
        settings = self._settings
        patience = Patience(
            settings.delivery_attempts, settings.delivery_base_seconds, settings.delivery_most_seconds
        )
        sinks: dict[str, Sink] = {
            webhooks.KIND: Webhooks(self._poster, allowed, clock),
            SMS: TwilioMessages(self._poster, self._account),
            inbound.KIND: answering,
        }
        return Deliveries(self.store.outbox, sinks, patience, self.store.peers, self._meter)

    def _listener(self, responses: ResponseService) -> Listener:
        """WebSocket connections: calls of ConnectResponses, in JSON."""
        in_json: Any = grpc.stream_stream_rpc_method_handler(
            responses.ConnectResponses,
            request_deserializer=request_of,
            response_serializer=ConnectResponsesEvent.SerializeToString,
        )
        wrapped: Any = self._interceptor.wrap_connection(_CONNECT, asynchronous(in_json))
        return Listener(wrapped.stream_stream, frame_of, self._settings.unread_seconds)

    def _register(
        self, engine: Engine, streams: Streams, agents: Agents, resolver: TurnResolver, clock: Clock
    ) -> None:
        store, silent = self.store, self._settings.silent_seconds
        server: grpc.aio.Server = _Methods(self._server)  # type: ignore[assignment]  # has all that generated code uses
        agent_chat_service_pb2_grpc.add_AgentChatServiceServicer_to_server(
            AgentChatService(engine, streams, resolver, agents, store.sessions), server
        )
        assistant_service_pb2_grpc.add_AssistantServiceServicer_to_server(
            AssistantService(store.assistants, store.tools, self._provider_fault, self._not_called), server
        )
        chat_service_pb2_grpc.add_ChatServiceServicer_to_server(
            ChatService(engine, streams, resolver, store.chats, silent), server
        )
        completion_service_pb2_grpc.add_CompletionServiceServicer_to_server(
            CompletionService(
                engine, streams, resolver, agents, store.chats, store.completions, store.assistants, silent
            ),
            server,
        )
        responses = ResponseService(engine, streams, resolver, store.chats, store.keys.sealer, silent)
        response_service_pb2_grpc.add_ResponseServiceServicer_to_server(responses, server)
        self._sockets = self._listener(responses)
        conversation_service_pb2_grpc.add_ConversationServiceServicer_to_server(
            ConversationService(
                streams, resolver, store.sessions, store.chats, clock, self.capacity, store.keys.sealer
            ),
            server,
        )
        history_service_pb2_grpc.add_HistoryServiceServicer_to_server(
            HistoryService(History(store.database), self._settings.unread_seconds), server
        )
        model_service_pb2_grpc.add_ModelServiceServicer_to_server(ModelService(store.assistants), server)
        session_service_pb2_grpc.add_SessionServiceServicer_to_server(
            SessionService(streams, resolver, agents, store.sessions, clock), server
        )
        squad_service_pb2_grpc.add_SquadServiceServicer_to_server(
            SquadService(store.squads, store.assistants, self._provider_fault, self._not_called), server
        )
        tool_service_pb2_grpc.add_ToolServiceServicer_to_server(ToolService(store.tools), server)
        usage_service_pb2_grpc.add_UsageServiceServicer_to_server(UsageService(store.usage), server)
        transport_service_pb2_grpc.add_TransportServiceServicer_to_server(
            TransportService(self._account, self._settings.public_url, store.sessions, store.outbox), server
        )
        health_pb2_grpc.add_HealthServicer_to_server(self._health, server)
        if self._settings.reflection:
            add_reflection(server, [*_NAMES, health.NAME])
