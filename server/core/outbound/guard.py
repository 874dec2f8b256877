"""The rule that decides which URLs of models and tools may be called, and which addresses their names may
resolve to.

An operator lists hosts for models, for tools, or for both. A model is only called with its one method; a tool
takes any method and any path from every tenant, so a host listed for models is not allowed for tools. Does
not connect (`transport.py` asks this module for every address it is about to connect to).
"""

import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address, ip_network
from typing import NamedTuple
from urllib.parse import SplitResult, urlsplit

from server.core.errors import InvalidArgument

BOTH = "PARLEY_UPSTREAM_ALLOW_HOSTS"
MODELS = "PARLEY_MODEL_ALLOW_HOSTS"
TOOLS = "PARLEY_TOOL_ALLOW_HOSTS"

_PRIVATE = "+private"
_DEFAULT_PORTS = {"http": 80, "https": 443}
# Stricter than any URL parser, so that no two parsers can disagree on the host.
_HOST = re.compile(r"[a-z0-9]([a-z0-9._-]*[a-z0-9])?\.?")
_PATH = re.compile(r"[A-Za-z0-9._~!$&'()*+,;=:@%/-]*")
_QUERY = re.compile(r"[A-Za-z0-9._~!$&'()*+,;=:@%/?-]*")
_TRANSLATED = (IPv6Network("64:ff9b::/96"), IPv6Network("64:ff9b:1::/48"), IPv6Network("::/96"))
_ORDINARY = tuple(
    map(
        ip_network,
        (
            "10.0.0.0/8",
            "100.64.0.0/10",
            "127.0.0.0/8",
            "172.16.0.0/12",
            "192.168.0.0/16",
            "::1/128",
            "fc00::/7",
        ),
    )
)
_METADATA = frozenset(map(ip_address, ("100.100.100.200", "fd00:ec2::254")))
"""Addresses at which some clouds hand out the credentials of a machine; others use link-local addresses, which
are never ordinary."""


class ModelUrl(NamedTuple):
    """An assistant's own URL, of its model or of a tool, parsed and put together again."""

    origin_and_path: str
    query: str

    @property
    def text(self) -> str:
        """The whole URL."""
        return f"{self.origin_and_path}?{self.query}" if self.query else self.origin_and_path


class AllowedHosts:
    """The operator's list of `host` or `host:port` entries; IPv6 addresses bare or in brackets.

    A name may resolve to public addresses; to private ones too when `+private` follows its entry, or
    when it has no dot, like `localhost` and the names of containers: no public zone can move those. `setting`
    names the list's source. Raises ValueError for an entry that cannot be read.
    """

    def __init__(self, entries: Iterable[str] = (), setting: str = BOTH) -> None:
        self._setting = setting
        self._entries: dict[tuple[str, int | None], bool] = {}
        """Whether the host may resolve to private addresses."""
        for entry in entries:
            if entry.strip():
                host, port, private = _entry(entry, setting)
                self._entries[host, port] = private or self._entries.get((host, port), False)

    def with_own(self, urls: Mapping[str, str]) -> "AllowedHosts":
        """This list and the hosts of the operator's own base URLs, by provider, at their ports alone.

        These may have private addresses. Nobody else's URL may name them by that: `check_url` is asked of the
        list without them. Raises ValueError for what is no such URL.
        """
        own = AllowedHosts((), self._setting)
        own._entries = dict(self._entries)
        for name, url in urls.items():
            try:
                parts, host, port = _split(url, name)
            except InvalidArgument:
                raise ValueError(
                    f"the base URL of provider {name} must be an http or https URL without user name and password"
                ) from None
            if parts.query or parts.fragment:
                raise ValueError(f"the base URL of provider {name} must have neither query nor fragment")
            own._entries[host, port] = True
        return own

    @property
    def settings(self) -> str:
        """The settings in which an operator lists a host, as named in errors."""
        return BOTH if self._setting == BOTH else f"{self._setting} or {BOTH}"

    def has(self, host: str, port: int) -> bool:
        """Whether the host is listed, with this port or for every port."""
        host = _normal(host)
        return (host, None) in self._entries or (host, port) in self._entries

    def permits(self, host: str, port: int, address: str) -> bool:
        """Whether `address`, to which `host` resolved, may be connected to."""
        if is_public(address):
            return True
        host = _normal(host)
        if _is_address(host):
            return self.has(host, port)
        private = any(self._entries.get((host, listed), False) for listed in (port, None))
        return private and _is_ordinary(address)

    def check_url(self, url: str, field: str = "model.url") -> ModelUrl:
        """Return an assistant's own URL, of its model or of a tool, when its host is listed.

        Raises InvalidArgument naming `field` for an unlisted host and for anything but plain http and https.
        """
        parts, host, port = _split(url, field)
        if not self.has(host, port):
            raise InvalidArgument.of(
                field, f"names a host that the operator has not listed in {self.settings}"
            )
        name = f"[{host}]" if ":" in host else host
        return ModelUrl(f"{parts.scheme}://{name}:{port}{parts.path}", parts.query)


def is_public(address: str) -> bool:
    """Whether an IP address, along with any IPv4 address embedded in it, is on the public internet."""
    ip = ip_address(address)
    if isinstance(ip, IPv6Address):
        if ip.is_site_local or any(ip in network for network in _TRANSLATED):
            return False
        if inner := ip.ipv4_mapped or ip.sixtofour:
            return _is_global(inner)
    return _is_global(ip)


def _is_ordinary(address: str) -> bool:
    """Whether a private address may be the operator's own server: a name never leads to an address that hands
    out credentials."""
    ip = ip_address(address)
    return ip not in _METADATA and any(ip in network for network in _ORDINARY)


def _is_global(ip: IPv4Address | IPv6Address) -> bool:
    return ip.is_global and not ip.is_multicast and not ip.is_reserved


@lru_cache(maxsize=256)
def _split(url: str, field: str) -> tuple[SplitResult, str, int]:
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        raise _bad_url(field) from None
    if parts.scheme not in _DEFAULT_PORTS or "@" in parts.netloc or not _is_host(host):
        raise _bad_url(field)
    if not url.isprintable() or not _PATH.fullmatch(parts.path) or not _QUERY.fullmatch(parts.query):
        raise _bad_url(field)
    return parts, _normal(host), port or _DEFAULT_PORTS[parts.scheme]


def _bad_url(field: str) -> InvalidArgument:
    return InvalidArgument.of(field, "must be an http or https URL without user name and password")


def _is_host(host: str) -> bool:
    return bool(_HOST.fullmatch(host)) or _is_address(host)


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return "%" not in host  # a scope id names a local interface


@lru_cache(maxsize=256)
def _normal(host: str) -> str:
    host = host.lower().removesuffix(".")
    return ip_address(host).compressed if _is_address(host) else host


def _entry(entry: str, setting: str) -> tuple[str, int | None, bool]:
    """The host, its port, and whether it may resolve to private addresses."""
    text = entry.strip().lower()
    private = text.endswith(_PRIVATE)
    text = host = text.removesuffix(_PRIVATE)
    port = ""
    if text.startswith("["):
        host, bracket, rest = text[1:].partition("]")
        if not bracket or (rest and not rest.startswith(":")):
            raise _bad_entry(entry, setting)
        port = rest[1:]
    elif text.count(":") == 1:
        host, _, port = text.partition(":")
    if not _is_host(host) or not (port == "" or (port.isdecimal() and 0 < int(port) < 65536)):
        raise _bad_entry(entry, setting)
    host = _normal(host)
    return host, int(port) if port else None, private or "." not in host


def _bad_entry(entry: str, setting: str) -> ValueError:
    return ValueError(
        f"{setting}: {entry!r} is not host or host:port, with {_PRIVATE} behind a name at a private address"
    )
