"""The metrics of one server process, in a registry of prometheus-client's. Loaded for `--metrics` alone: it takes
70 ms and 2 MB.

The names are conventional: those of gRPC calls are the ones of go-grpc-prometheus, which dashboards know. Label
values are bounded: callers choose the names of models and providers, so that beyond `_MOST_MODELS` they are `other`.
"""

from collections.abc import Callable, Collection, Mapping
from functools import cache

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    Info,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)

from server.core.telemetry.meter import Meter

disable_created_metrics()  # type: ignore[no-untyped-call]  # they double the series, and nobody reads them

OTHER = "other"
_MOST_MODELS = 100
_MOST_CHARACTERS = 100
_CALL_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300)
_PROVIDER_SECONDS = (0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600)
_FIRST_TOKEN_SECONDS = (0.05, 0.1, 0.25, 0.5, 1, 2, 4, 8, 16, 32, 64)
_INTER_TOKEN_SECONDS = (0.001, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 5)
_COMMIT_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5)
_COMMIT_WRITES = (1, 2, 4, 8, 16, 32, 64, 128, 256)


class PrometheusMeter(Meter):
    """Counts into a registry of its own, so that a process may have several servers."""

    def __init__(self, version: str, *, providers: Collection[str], priced: Collection[str] = ()) -> None:
        """`providers` are the known ones; `priced` the models of the price table, by `provider/model` or `model`,
        which have their name in labels however many others there are."""
        self.registry = registry = CollectorRegistry()
        self._providers = frozenset(providers)
        self._priced = frozenset(priced)
        self._models: set[tuple[str, str]] = set()
        self._room = _MOST_MODELS
        ProcessCollector(registry=registry)
        Info("parley", "The version that runs.", registry=registry).info({"version": version})
        names = ["grpc_type", "grpc_service", "grpc_method"]
        self._started = Counter("grpc_server_started", "Calls that have come.", names, registry=registry)
        self._handled = Counter(
            "grpc_server_handled", "Calls that have ended.", [*names, "grpc_code"], registry=registry
        )
        self._handling = Histogram(
            "grpc_server_handling_seconds",
            "From the arrival of a call to its status; of a stream to its last frame.",
            names,
            buckets=_CALL_SECONDS,
            registry=registry,
        )
        self._first_token = Histogram(
            "parley_first_token_seconds",
            "From the arrival of a streamed call to the first token of its model.",
            ["provider"],
            buckets=_FIRST_TOKEN_SECONDS,
            registry=registry,
        )
        self._inter_token = Histogram(
            "parley_inter_token_seconds",
            "Between two pieces of a stream as they come from the provider.",
            ["provider"],
            buckets=_INTER_TOKEN_SECONDS,
            registry=registry,
        )
        self._provider = Histogram(
            "parley_provider_seconds",
            "Calls of model providers with their retries, by how they ended: ok, cancelled, or the error's reason.",
            ["provider", "status"],
            buckets=_PROVIDER_SECONDS,
            registry=registry,
        )
        self._tokens = Counter(
            "parley_tokens",
            "Tokens by kind. Those cached are prompt tokens too, those of reasoning completion tokens.",
            ["provider", "model", "kind"],
            registry=registry,
        )
        self._cost = Counter(
            "parley_cost_usd",
            "What the tokens cost by the table of prices.",
            ["provider", "model"],
            registry=registry,
        )
        self._commit_writes = Histogram(
            "parley_commit_writes", "Writes in one commit.", buckets=_COMMIT_WRITES, registry=registry
        )
        self._commit_seconds = Histogram(
            "parley_commit_seconds",
            "Commits of the database, until they are on disk.",
            buckets=_COMMIT_SECONDS,
            registry=registry,
        )
        # Looking labels up takes longer than counting; bounded, because the labels are.
        self._first_token_of = cache(self._first_token.labels)
        self._inter_token_of = cache(self._inter_token.labels)
        self._provider_of = cache(self._provider.labels)
        self._tokens_of = cache(self._tokens.labels)
        self._cost_of = cache(self._cost.labels)
        self._deliveries = Counter(
            "parley_deliveries",
            "Attempts to deliver messages and events: delivered, failed (to be tried again), dead.",
            ["kind", "outcome"],
            registry=registry,
        )

    def gauge(self, name: str, meaning: str, value: Callable[[], float]) -> None:
        Gauge(name, meaning, registry=self.registry).set_function(value)

    def text(self) -> str:
        return generate_latest(self.registry).decode()

    def method(self, method: str, *, streams: bool) -> "_Method":
        service, _, name = method.removeprefix("/").partition("/")
        labels = ("server_stream" if streams else "unary", service, name)
        return _Method(
            self._started.labels(*labels),
            self._handling.labels(*labels),
            lambda code: self._handled.labels(*labels, code),
        )

    def first_token(self, provider: str, seconds: float) -> None:
        self._first_token_of(self._provider_label(provider)).observe(seconds)

    def inter_token(self, provider: str, seconds: float) -> None:
        self._inter_token_of(self._provider_label(provider)).observe(seconds)

    def provider_called(self, provider: str, status: str, seconds: float) -> None:
        self._provider_of(self._provider_label(provider), status).observe(seconds)

    def spent(self, provider: str, model: str, tokens: Mapping[str, int], usd: float) -> None:
        labels = self._provider_label(provider), self._model_label(provider, model)
        for kind, number in tokens.items():
            self._tokens_of(*labels, kind).inc(number)
        self._cost_of(*labels).inc(usd)

    def committed(self, writes: int, seconds: float) -> None:
        self._commit_writes.observe(writes)
        self._commit_seconds.observe(seconds)

    def delivered(self, kind: str, outcome: str) -> None:
        self._deliveries.labels(kind, outcome).inc()

    def _provider_label(self, provider: str) -> str:
        return provider if provider in self._providers else OTHER

    def _model_label(self, provider: str, model: str) -> str:
        if (
            (provider, model) in self._models
            or model in self._priced
            or f"{provider}/{model}" in self._priced
        ):
            return model
        if provider not in self._providers or len(model) > _MOST_CHARACTERS or not self._room:
            return OTHER
        self._room -= 1
        self._models.add((provider, model))
        return model


class _Method:
    """Counts the calls of one method; its labels are looked up once."""

    __slots__ = ("_codes", "_handled", "_handling", "_started")

    def __init__(self, started: Counter, handling: Histogram, handled: Callable[[str], Counter]) -> None:
        self._started = started
        self._handling = handling
        self._handled = handled
        self._codes: dict[str, Counter] = {}

    def begin(self) -> None:
        self._started.inc()

    def end(self, code: str, seconds: float) -> None:
        counter = self._codes.get(code)
        if counter is None:
            counter = self._codes[code] = self._handled(code)
        counter.inc()
        self._handling.observe(seconds)
