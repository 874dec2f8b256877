"""Settings of the operator: options of `parley serve` and environment variables `PARLEY_…`. Does not act on
them."""

from pathlib import Path
from typing import Annotated, Any

import orjson
from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from server.core.accepted import E164


class Price(BaseModel):
    """USD per million tokens."""

    model_config = ConfigDict(extra="forbid")

    input: float = Field(ge=0)
    output: float = Field(ge=0)


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

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class TwilioNumber(BaseModel):
    """A number of the operator's Twilio account; a bare string is the number alone."""

    model_config = ConfigDict(extra="forbid")

    number: str = Field(pattern=f"^{E164}$")
    org_id: str | None = Field(default=None, alias="orgId")
    """The one org that may use it; None means every org."""


class Settings(BaseSettings):
    """All settings of an operator. Options of the command override the environment."""

    model_config = SettingsConfigDict(env_prefix="PARLEY_", extra="ignore")

    data: Path = Path("data")
    http: Annotated[Address, NoDecode] = Address(host="127.0.0.1", port=8080)
    grpc: Annotated[Address, NoDecode] = Address(host="127.0.0.1", port=50051)
    database: str | None = Field(default=None, repr=False)
    """A URL postgresql://…; None means the SQLite file in `data`."""
    database_connections: int = Field(default=10, ge=1, le=1000)
    """How many connections to PostgreSQL a server has at most."""
    workers: int = Field(default=1, ge=1, le=64)
    dev: bool = True
    """Whether the first start makes an org `dev` with keys and an assistant, and prints the keys."""
    reflection: bool = True
    admin: Annotated[Address | None, NoDecode] = None
    """Where each server process answers its operator, without a key; workers take the ports from this one
    on."""
    channelz: bool = False
    """Whether the admin port has channelz too."""
    offline_delay_ms: float = Field(default=0, ge=0)
    model_allow_hosts: Annotated[frozenset[str], NoDecode] = frozenset()
    """`host[:port]`, comma-separated: where a private address or an assistant's own `model.url` must be
    listed to be called. A name that may have a private address has `+private` behind it."""
    tool_allow_hosts: Annotated[frozenset[str], NoDecode] = frozenset()
    """The same for tools, knowledge bases and webhooks: every tenant may send them any method and any
    path."""
    upstream_allow_hosts: Annotated[frozenset[str], NoDecode] = frozenset()
    """Hosts that are listed for models and for tools."""
    provider_keys: Annotated[dict[str, str], NoDecode] = Field(
        default_factory=dict, repr=False, examples=['{"openai": "KEY"}']
    )
    """The operator's own key for each provider, as a JSON object."""
    provider_urls: Annotated[dict[str, str], NoDecode] = Field(
        default_factory=dict, examples=['{"openai": "https://models.example.com/v1"}']
    )
    """Base URLs that replace the built-in ones, by provider, as a JSON object."""
    model_timeout_seconds: float = Field(default=600, gt=0)
    turn_wait_seconds: float = Field(default=30, ge=0)
    """How long an exchange waits for those before it in its session."""
    prices: Annotated[dict[str, Price], NoDecode] = Field(
        default_factory=dict, examples=['{"openai/gpt-4o-mini": {"input": 0.15, "output": 0.6}}']
    )
    """Price of each model, by `provider/model` or `model`, as a JSON object; models not listed cost 0."""
    key_secret: str | None = Field(default=None, min_length=16, repr=False)
    """Secret of the key digests; None means the one kept in `data`."""
    twilio_account_sid: str | None = None
    twilio_auth_token: str | None = Field(default=None, repr=False)
    twilio_url: str = "https://api.twilio.com"
    twilio_numbers: Annotated[dict[str, TwilioNumber], NoDecode] = Field(
        default_factory=dict, examples=['{"main": "+14155550100"}']
    )
    """The E.164 number of each phoneNumberId, or {number, orgId}, as a JSON object."""
    public_url: str | None = None
    """Where the HTTP port is reached from outside; None means as each request says. Twilio signs it."""
    delivery_attempts: int = Field(default=15, ge=1, le=100)
    """How often a message or an event is tried. The pauses double from the first on: 15 attempts take three
    hours."""
    delivery_base_seconds: float = Field(default=1, ge=0)
    delivery_most_seconds: float = Field(default=3600, ge=0)
    retention_days: float | None = Field(default=None, gt=0)
    """Days after which expired sessions, and chats outside of sessions, are deleted; None means never."""
    drain_seconds: float = Field(default=2, ge=0)
    """How long a server that is in use and is to stop still takes calls, once its health says that it goes
    away."""
    grace_seconds: float = Field(default=10, ge=0)
    """How long it then lets calls end that have begun."""
    limits: bool = True
    """False takes away every limit on requests and calls below, as measurements want it."""
    key_requests_per_minute: float = Field(default=60_000, gt=0)
    key_burst: int | None = Field(default=None, ge=1)
    """How many of these may come at once; None means a minute's."""
    org_requests_per_minute: float = Field(default=120_000, gt=0)
    org_burst: int | None = Field(default=None, ge=1)
    key_calls: int = Field(default=2_000, ge=1)
    """How many calls may be under way at once, streams included."""
    org_calls: int = Field(default=4_000, ge=1)
    server_calls: int = Field(default=8_000, ge=1)
    """Of all orgs, for all workers together. Envoy refuses what is more at once: calls that cost little would
    wait in gRPC, where nobody counts them."""
    chat_readers: int = Field(default=100, ge=1)
    """How many calls may read the events of one chat at once, beside the one that began it; for all workers
    together."""
    unread_seconds: float = Field(default=60, gt=0)
    """How long a model waits for a caller who does not read its answer; then the exchange ends as if the
    caller had left."""
    silent_seconds: float = Field(default=15, gt=0)
    """How long a stream over HTTP may be silent before a comment line is sent, lest somebody take it for
    dead."""
    unread_bytes: int = Field(default=128 << 20, ge=1)
    """How many bytes of whole answers a key's callers may leave unread in a process, before calls of the key
    are refused."""
    publishable_request_bytes: int = Field(default=256 << 10, ge=1)
    """How many bytes a request may have that comes with a publishable key and asks a model."""
    publishable_day_bytes: int = Field(default=1 << 30, ge=1)
    """How many bytes of requests a publishable key may send in a day."""
    publishable_key_bytes: int = Field(default=16 << 30, ge=1)
    """How many bytes may be on record of what was made with a publishable key."""
    publishable_exchange_bytes: int = Field(default=4 << 20, ge=1)
    """How many bytes a conversation may hold in which a publishable key asks a model. Each exchange reads all
    of it."""
    exchange_bytes: int = Field(default=16 << 20, ge=1)
    """The same, whatever the key."""
    conversation_bytes: int = Field(default=96 << 20, ge=1)
    """How many bytes a conversation may hold. What is beyond the bounds above is read page by page alone."""
    call_seconds: float = Field(default=900, gt=0)
    """How long a call may take that is no stream; more than a model call may."""
    message_seconds: float = Field(default=30, gt=0)
    """How long a gRPC caller may take to send its message; one without a key no longer than 3."""

    @field_validator("http", "grpc", "admin", mode="before")
    @classmethod
    def _address(cls, value: Any) -> Any:
        return Address.parse(value) if isinstance(value, str) else value

    @field_validator("admin")
    @classmethod
    def _room_for_workers(cls, value: Address | None, info: ValidationInfo) -> Address | None:
        last = 65536 - info.data.get("workers", 1)
        if value and value.port > last:
            raise ValueError(f"each worker takes a port from this one on; choose one up to {last}")
        return value

    @field_validator("channelz")
    @classmethod
    def _on_the_admin_port(cls, value: bool, info: ValidationInfo) -> bool:
        if value and "admin" in info.data and info.data["admin"] is None:
            raise ValueError("is on the admin port alone; name one with --admin HOST:PORT (PARLEY_ADMIN)")
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
