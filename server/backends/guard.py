"""Which addresses may be called: the rule for URLs of models and tools, and for what their names resolve to.

Does not connect (`transport.py` asks this module for every address it is about to connect to).
"""

import re
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from typing import NamedTuple
from urllib.parse import SplitResult, urlsplit

from server.errors import InvalidArgument

SETTING = "PARLEY_UPSTREAM_ALLOW_HOSTS"

_DEFAULT_PORTS = {"http": 80, "https": 443}
# Stricter than any URL parser, so that no two parsers can disagree on which host is meant.
_HOST = re.compile(r"[a-z0-9]([a-z0-9._-]*[a-z0-9])?\.?")
_PATH = re.compile(r"[A-Za-z0-9._~!$&'()*+,;=:@%/-]*")
_QUERY = re.compile(r"[A-Za-z0-9._~!$&'()*+,;=:@%/?-]*")
_TRANSLATED = (IPv6Network("64:ff9b::/96"), IPv6Network("64:ff9b:1::/48"), IPv6Network("::/96"))


class ModelUrl(NamedTuple):
    """An assistant's own URL, of its model or of a tool, taken apart and put together again."""

    origin_and_path: str
    query: str

    @property
    def text(self) -> str:
        return f"{self.origin_and_path}?{self.query}" if self.query else self.origin_and_path


class AllowedHosts:
    """The operator's list of `host` or `host:port` entries; IPv6 addresses bare or in brackets.

    Raises ValueError for an entry that is neither.
    """

    def __init__(self, entries: Iterable[str] = ()) -> None:
        self._entries = frozenset(_entry(entry) for entry in entries if entry.strip())

    def has(self, host: str, port: int) -> bool:
        """Whether the host is listed, with this port or for every port."""
        host = _normal(host)
        return (host, None) in self._entries or (host, port) in self._entries

    def permits(self, host: str, port: int, address: str) -> bool:
        """Whether `address`, to which `host` resolved, may be connected to: it is public, or the host is listed."""
        return self.has(host, port) or is_public(address)

    def check_url(self, url: str, field: str = "model.url") -> ModelUrl:
        """Return an assistant's own URL, of its model or of a tool, when its host is listed.

        Raises InvalidArgument naming `field` for one that is not, and for anything but plain http and https.
        """
        parts, host, port = _split(url, field)
        if not self.has(host, port):
            raise InvalidArgument.of(field, f"names a host that the operator has not listed in {SETTING}")
        name = f"[{host}]" if ":" in host else host
        return ModelUrl(f"{parts.scheme}://{name}:{port}{parts.path}", parts.query)


def is_public(address: str) -> bool:
    """Whether an IP address is on the public internet, and so is any IPv4 address written inside it."""
    ip = ip_address(address)
    if isinstance(ip, IPv6Address):
        if ip.is_site_local or any(ip in network for network in _TRANSLATED):
            return False
        if inner := ip.ipv4_mapped or ip.sixtofour:
            return _is_global(inner)
    return _is_global(ip)


def _is_global(ip: IPv4Address | IPv6Address) -> bool:
    return ip.is_global and not ip.is_multicast and not ip.is_reserved


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


def _normal(host: str) -> str:
    host = host.lower().removesuffix(".")
    return ip_address(host).compressed if _is_address(host) else host


def _entry(entry: str) -> tuple[str, int | None]:
    text = entry.strip().lower()
    host, port = text, ""
    if text.startswith("["):
        host, bracket, rest = text[1:].partition("]")
        if not bracket or (rest and not rest.startswith(":")):
            raise ValueError(f"{SETTING}: {entry!r} is not host or host:port")
        port = rest[1:]
    elif text.count(":") == 1:
        host, _, port = text.partition(":")
    if not _is_host(host) or not (port == "" or (port.isdecimal() and 0 < int(port) < 65536)):
        raise ValueError(f"{SETTING}: {entry!r} is not host or host:port")
    return _normal(host), int(port) if port else None
