"""Which service a load calls, and who calls: the URL, the door, the key and the assistant."""

import ipaddress
import ssl
from pathlib import Path
from typing import Any, Literal, NamedTuple
from urllib.parse import urlsplit

import orjson

from server.cli.console import fail
from server.core.config import Settings

_DOORS: dict[str, Literal["rest", "grpc"]] = {
    "http": "rest",
    "https": "rest",
    "grpc": "grpc",
    "grpcs": "grpc",
}
Door = Literal["rest", "grpc"]


class Target(NamedTuple):
    """A service, and who calls it."""

    url: str
    door: Door
    key: str
    assistant: str


def target_of(
    settings: Settings, url: str | None, door: Door | None, key: str | None, assistant: str | None
) -> Target:
    """Return what the options name; what they leave open is that of the server on this machine.

    The development keys are sent to this machine alone.
    """
    if url is None:
        url = f"grpc://{settings.grpc}" if door == "grpc" else f"http://{settings.http}"
    found = _door(url, door)
    if key is None or assistant is None:
        made = _made_here(settings.data, url)
        key, assistant = key or made.get("api"), assistant or made.get("assistantId")
    if not key:
        fail(f"there is no key: give --key or PARLEY_KEY ({_why(settings.data, url)})")
    if not (key.isascii() and key.isprintable()):
        fail("--key (PARLEY_KEY) has a character that no key has, such as the end of a line")
    if not assistant:
        fail(f"there is no assistant: give --assistant with its id ({_why(settings.data, url)})")
    return Target(url, found, key, assistant)


def check_certificates(file: Path | None) -> None:
    """Refuse a file that has no certificates to trust: gRPC would say so at its first call, in other words."""
    try:
        ssl.create_default_context(cafile=file)
    except ssl.SSLError:
        fail(f"--ca {file} has no certificates in PEM form (-----BEGIN CERTIFICATE-----)")


def _door(url: str, door: Door | None) -> Door:
    try:
        parts = urlsplit(url)
        port, host = parts.port, parts.hostname
    except ValueError as error:
        fail(f"--url {url}: {error}")
    if parts.scheme not in _DOORS or not host:
        fail(
            f"--url {url} must be http://, https://, grpc:// or grpcs:// with a host, such as http://127.0.0.1:8080"
        )
    by_scheme = _DOORS[parts.scheme]
    if door == "rest" and by_scheme == "grpc":
        fail(f"--url {url} is for gRPC; give --door grpc, or an http:// URL")
    found = door or by_scheme
    if found == "grpc" and (port is None or parts.path.strip("/")):
        fail(f"--url {url}: gRPC needs a host and a port, and no path, such as grpc://127.0.0.1:50051")
    return found


def _made_here(data: Path, url: str) -> dict[str, Any]:
    """The development keys, if the URL is of this machine."""
    if not _is_here(url):
        return {}
    try:
        made = orjson.loads((data / "dev-keys.json").read_bytes())
    except (OSError, orjson.JSONDecodeError):
        return {}
    return made if isinstance(made, dict) else {}


def _is_here(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host == "localhost"
    return address.is_loopback or address.is_unspecified


def _why(data: Path, url: str) -> str:
    if not _is_here(url):
        return "the development keys are for the server on this machine alone"
    return f"{data / 'dev-keys.json'}, with the development keys, cannot be read"
