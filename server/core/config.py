"""Settings of the operator: options of `parley serve` and environment variables `PARLEY_…`. Does not apply
them."""

from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import orjson
from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from server.core.accepted import E164


class Price(BaseModel):
    """USD per million tokens."""

    model_config = ConfigDict(extra="forbid")

    input: float = Field(ge=0)
    output: float = Field(ge=0)
    cached_input: float | None = Field(default=None, ge=0)
    """Of tokens that the provider read from its cache; None: as `input`."""


class Address(BaseModel):
    """HOST:PORT; an IPv6 host in brackets."""

    host: str
    port: int = Field(ge=0, le=65535)

    @classmethod
    def parse(cls, text: str) -> "Address":
        """Parse HOST:PORT. Raises ValueError."""
        host, colon, port = text.rpartition(":")
        if not colon or not host or not port.isdecimal():
            raise ValueError(f"{text!r} is not HOST:PORT")
        return cls(host=host.removeprefix("[").removesuffix("]"), port=int(port))

    @property
    def is_loopback(self) -> bool:
        """Whether none but this machine reaches it."""
        try:
            return ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class TwilioNumber(BaseModel):
    """A number of the operator's Twilio account; a bare string is just the number."""

    model_config = ConfigDict(extra="forbid")

    number: str = Field(pattern=f"^{E164}$")
    org_id: str | None = Field(default=None, alias="orgId")
    """The only org that may use it; None means every org."""


class Settings(BaseSettings):
    """All settings of an operator. Options of the command override the environment."""

    model_config = SettingsConfigDict(env_prefix="PARLEY_", extra="ignore")

    data: Path = Path("data")
    """Folder of the database, of its key secret and of Envoy's files."""
    http: Annotated[Address, NoDecode] = Address(host="127.0.0.1", port=8080)
    """Where Envoy answers HTTP and gRPC."""
    grpc: Annotated[Address, NoDecode] = Address(host="127.0.0.1", port=50051)
    """Where the server itself answers gRPC, to internal callers."""
    tls_cert: Path | None = None
    """PEM file of the certificate, with its chain, of the HTTP and the gRPC port; not set means plain text."""
    tls_key: Path | None = None
    """PEM file of the certificate's key."""
    client_ca: Path | None = None
    """PEM file of the CAs that sign clients' certificates; clients must then present one."""
    websocket: Annotated[Address, NoDecode] = Address(host="127.0.0.1", port=0)
    """Where a server process takes WebSocket connections from Envoy; port 0 means any free one."""
    database: str | None = Field(default=None, repr=False)
    """A URL postgresql://…; None means the SQLite file in `data`."""
    database_connections: int = Field(default=10, ge=1, le=1000)
    """The most PostgreSQL connections of a server, besides two or three for locks, notifications and
    exports."""
    workers: int = Field(default=1, ge=1, le=64)
    """Server processes behind the one Envoy."""
    dev: bool = True
    """Whether the first start makes an org `dev` with keys and an assistant, and prints the keys."""
    reflection: bool = True
    """Whether the server answers gRPC reflection."""
    admin: Annotated[Address | None, NoDecode] = None
    """Address of the admin port, which requires no key; several workers take the ports from this one on."""
    channelz: bool = False
    """Whether the admin port also serves channelz."""
    metrics: Annotated[Address | None, NoDecode] = None
    """Where the command answers its operator over HTTP, for all of its server processes."""
    otlp_endpoint: str | None = None
    """http://HOST:PORT of a collector that takes OTLP over gRPC; None means no traces."""
    trace_ratio: float = Field(default=1, ge=0, le=1)
    """Which part of the traces that begin here is recorded; a caller's `traceparent` decides for itself."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """The lowest level that is logged; each call is one of `info`, or `warning` where the server failed."""
    log_format: Literal["auto", "console", "json"] = "auto"
    """`auto` means `console` on a terminal and `json` elsewhere."""
    offline_delay_ms: float = Field(default=0, ge=0)
    """How long the offline model waits before each word."""
    model_allow_hosts: Annotated[frozenset[str], NoDecode] = frozenset()
    """`host[:port]`, comma-separated: a private address or an assistant's own `model.url` is called only when
    it is listed. `+private` after a name allows private addresses for it."""
    tool_allow_hosts: Annotated[frozenset[str], NoDecode] = frozenset()
    """`host[:port]`, comma-separated, for tools, knowledge bases and webhooks: every tenant may send them any
    method and any path."""
    upstream_allow_hosts: Annotated[frozenset[str], NoDecode] = frozenset()
    """Hosts that are allowed both for models and for tools."""
    provider_keys: Annotated[dict[str, str], NoDecode] = Field(
        default_factory=dict, repr=False, examples=['{"openai": "KEY"}']
    )
    """The operator's own key for each provider, as a JSON object."""
    provider_urls: Annotated[dict[str, str], NoDecode] = Field(
        default_factory=dict, examples=['{"openai": "https://models.example.com/v1"}']
    )
    """Base URLs that replace the built-in ones, by provider, as a JSON object."""
    models_without_assistant: bool = False
    """Whether `model` may name PROVIDER/MODEL at the doors of OpenAI's form, with no assistant. It is called
    with the operator's key, by every api and secret key."""
    model_timeout_seconds: float = Field(default=600, gt=0)
    """How long one model call may take, retries included."""
    turn_wait_seconds: float = Field(default=30, ge=0)
    """The longest that an exchange waits for earlier ones in its session."""
    prices: Annotated[dict[str, Price], NoDecode] = Field(
        default_factory=dict, examples=['{"openai/gpt-4o-mini": {"input": 0.15, "output": 0.6}}']
    )
    """Price of each model, by `provider/model` or `model`, as a JSON object; others cost what providers list."""
    key_secret: str | None = Field(default=None, min_length=16, repr=False)
    """Secret of the key digests; None means the one stored in `data`, or in the PostgreSQL database."""
    twilio_account_sid: str | None = None
    """The Twilio account; None means that messages are only recorded."""
    twilio_auth_token: str | None = Field(default=None, repr=False)
    """Token of the Twilio account."""
    twilio_url: str = "https://api.twilio.com"
    """Base URL of Twilio."""
    twilio_numbers: Annotated[dict[str, TwilioNumber], NoDecode] = Field(
        default_factory=dict, examples=['{"main": "+14155550100"}']
    )
    """The E.164 number of each phoneNumberId, or {number, orgId}, as a JSON object."""
    public_url: str | None = None
    """URL of the HTTP port as Twilio reaches it, which is part of Twilio's signature; None means as each
    request names it."""
    delivery_attempts: int = Field(default=15, ge=1, le=100)
    """The most attempts to deliver a message or an event. The pauses double: 15 attempts take three hours."""
    delivery_base_seconds: float = Field(default=1, ge=0)
    """The first pause between the attempts of a delivery."""
    delivery_most_seconds: float = Field(default=3600, ge=0)
    """The longest pause between the attempts of a delivery."""
    retention_days: float | None = Field(default=None, gt=0)
    """Days after which expired sessions, and chats outside of sessions, are deleted; None means never."""
    drain_seconds: float = Field(default=2, ge=0)
    """On a stop, how long a server in use still accepts calls after its health reports that it goes away."""
    grace_seconds: float = Field(default=10, ge=0)
    """How long a stopping server lets running calls end."""
    limits: bool = True
    """False disables the limits on requests and calls below, for measurements."""
    key_requests_per_minute: float = Field(default=60_000, gt=0)
    """How many requests a key may send; every method counts."""
    key_burst: int | None = Field(default=None, ge=1)
    """The most requests of a key at once; None means a minute's worth."""
    org_requests_per_minute: float = Field(default=120_000, gt=0)
    """How many requests an org may send."""
    org_burst: int | None = Field(default=None, ge=1)
    """How many requests of an org may come at once; None means a minute's."""
    key_calls: int = Field(default=2_000, ge=1)
    """The most concurrent calls of a key, streams included."""
    org_calls: int = Field(default=4_000, ge=1)
    """How many calls of an org may be under way at once."""
    server_calls: int = Field(default=8_000, ge=1)
    """The most concurrent calls of all orgs and all workers together. Envoy refuses further calls at once: short
    ones would wait in gRPC, which counts none of them."""
    chat_readers: int = Field(default=100, ge=1)
    """The most concurrent calls that read the events of one chat, besides the one that began it; for all
    workers together."""
    unread_seconds: float = Field(default=60, gt=0)
    """How long a model waits for a caller that does not read; then the exchange ends as if the caller had
    disconnected."""
    silent_seconds: float = Field(default=15, gt=0)
    """The longest silence of a stream over HTTP before a comment line is sent, so that no client takes it for
    dead."""
    unread_bytes: int = Field(default=128 << 20, ge=1)
    """The most bytes of whole answers that a key's callers may leave unread in a process before its calls are
    refused."""
    publishable_request_bytes: int = Field(default=256 << 10, ge=1)
    """The largest request with a publishable key that runs a model."""
    publishable_day_bytes: int = Field(default=1 << 30, ge=1)
    """The most bytes of requests with a publishable key per day."""
    publishable_key_bytes: int = Field(default=16 << 30, ge=1)
    """The most bytes of records that one publishable key made."""
    publishable_exchange_bytes: int = Field(default=4 << 20, ge=1)
    """The largest conversation in which a publishable key may run a model. Each exchange reads all of it."""
    exchange_bytes: int = Field(default=16 << 20, ge=1)
    """The most bytes of a conversation in which any key asks a model."""
    conversation_bytes: int = Field(default=96 << 20, ge=1)
    """The largest conversation, in bytes. Beyond `exchange_bytes` it can only be read page by page."""
    call_seconds: float = Field(default=900, gt=0)
    """Deadline of a unary call; longer than that of a model call."""
    connection_seconds: float = Field(default=3600, gt=0)
    """How long a connection with many requests may be open: a WebSocket, or gRPC's ConnectResponses. A response that
    runs then ends first."""
    message_seconds: float = Field(default=30, gt=0)
    """The longest that a gRPC caller may take to send its message; 3 seconds without a key."""

    def edge_of(self, port: int) -> tuple[str, int] | Path:
        """Where Envoy reaches the server whose gRPC port this is: there, or with TLS at a socket."""
        if self.tls_cert is None:
            return self.grpc.host, port
        return self.data.resolve() / "run" / f"grpc-{port}.sock"

    @field_validator("http", "grpc", "websocket", "admin", "metrics", mode="before")
    @classmethod
    def _address(cls, value: Any) -> Any:
        if not isinstance(value, str | dict | Address | None):
            raise ValueError("must be HOST:PORT, in quotes")
        return Address.parse(value) if isinstance(value, str) else value

    @field_validator("admin")
    @classmethod
    def _room_for_workers(cls, value: Address | None, info: ValidationInfo) -> Address | None:
        last = 65536 - info.data.get("workers", 1)
        if value and value.port > last:
            raise ValueError(f"each worker takes a port from this one on; choose one up to {last}")
        return value

    @model_validator(mode="after")
    def _whole_tls(self) -> Self:
        """Raise ValueError for one file of TLS without another."""
        for name, needed in (("tls_cert", "tls_key"), ("tls_key", "tls_cert"), ("client_ca", "tls_cert")):
            if getattr(self, name) is not None and getattr(self, needed) is None:
                flag, other = (one.replace("_", "-") for one in (name, needed))
                raise ValueError(f"--{flag} needs --{other} (PARLEY_{needed.upper()})")
        return self

    @field_validator("channelz")
    @classmethod
    def _on_the_admin_port(cls, value: bool, info: ValidationInfo) -> bool:
        if value and "admin" in info.data and info.data["admin"] is None:
            raise ValueError("is on the admin port alone; name one with --admin HOST:PORT (PARLEY_ADMIN)")
        return value

    @field_validator("otlp_endpoint")
    @classmethod
    def _collector(cls, value: str | None) -> str | None:
        scheme, _, rest = (value or "").partition("://")
        if value is not None:
            if scheme not in ("http", "https"):
                raise ValueError("must be a URL http://HOST:PORT, or https://HOST:PORT")
            Address.parse(rest)
        return value

    @field_validator("database")
    @classmethod
    def _url(cls, value: str | None) -> str | None:
        if value is not None and not value.startswith(("postgresql://", "postgres://")):
            raise ValueError("must be a URL postgresql://USER:PASSWORD@HOST:PORT/NAME")
        return value

    @field_validator("provider_keys", "provider_urls", "prices", "twilio_numbers", mode="before")
    @classmethod
    def _object(cls, value: Any, info: ValidationInfo) -> Any:
        examples = cls.model_fields[info.field_name].examples if info.field_name else None
        wanted = f"must be a JSON object, such as {examples[0] if examples else {}}"
        try:
            read = orjson.loads(value) if isinstance(value, str) else value
        except orjson.JSONDecodeError as error:
            raise ValueError(f"{wanted}; it cannot be read from character {error.pos + 1} on") from None
        if not isinstance(read, dict):
            raise ValueError(wanted)
        if info.field_name == "twilio_numbers":
            return {
                name: {"number": number} if isinstance(number, str) else number
                for name, number in read.items()
            }
        return read

    @field_validator("model_allow_hosts", "tool_allow_hosts", "upstream_allow_hosts", mode="before")
    @classmethod
    def _hosts(cls, value: Any) -> Any:
        if not isinstance(value, str):
            return value
        return frozenset(host.strip().lower() for host in value.split(",") if host.strip())
