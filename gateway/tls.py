"""TLS of the HTTP port: the files, checked before Envoy reads them, and what Envoy's configuration says of them.

Envoy reads the files again when they are replaced by a rename in their folder. Knows no certificate authority of
its own, and nothing of the gRPC server's port.
"""

import json
import ssl
from pathlib import Path
from typing import Any, NamedTuple

_TYPES = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3"
SERVER, CLIENTS = "server", "clients"
"""The names of the secrets."""


class TlsError(Exception):
    """A file cannot be used; the message names it in one line."""


class Tls(NamedTuple):
    """PEM files: the certificate with its chain, its key, and who signs the certificates of clients."""

    cert: Path
    key: Path
    client_ca: Path | None = None
    """None: clients show no certificate. Otherwise those without one are refused."""

    def resolved(self) -> "Tls":
        """The same files from any working folder."""
        return Tls(self.cert.absolute(), self.key.absolute(), self.client_ca and self.client_ca.absolute())

    def check(self) -> None:
        """Raise TlsError for a file that is missing, is not what it is to be, or does not fit the other."""
        for option, path in (("cert", self.cert), ("key", self.key), ("client-ca", self.client_ca)):
            _read(option, path)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        try:
            context.load_verify_locations(self.cert)
        except ssl.SSLError:
            raise TlsError(f"{_option('cert')}: {self.cert} is not a certificate in PEM form") from None
        try:
            context.load_cert_chain(self.cert, self.key, password=_no_password)
        except _Encrypted:
            raise TlsError(
                f"{_option('key')}: {self.key} is encrypted; name a file of the key without a password"
            ) from None
        except ssl.SSLError as error:
            wrong = "does not fit the certificate" if "MISMATCH" in str(error) else "is not a key in PEM form"
            raise TlsError(f"{_option('key')}: {self.key} {wrong}") from None
        if self.client_ca is not None:
            try:
                context.load_verify_locations(self.client_ca)
            except ssl.SSLError:
                raise TlsError(
                    f"{_option('client-ca')}: {self.client_ca} is not a certificate in PEM form"
                ) from None


def transport_socket(tls: Tls, folder: Path) -> dict[str, Any]:
    """What a filter chain of Envoy's has. `folder` holds the files of `secrets_of`."""
    common: dict[str, Any] = {
        "alpn_protocols": ["h2", "http/1.1"],
        "tls_certificate_sds_secret_configs": [_source(SERVER, folder)],
    }
    if tls.client_ca is not None:
        common["validation_context_sds_secret_config"] = _source(CLIENTS, folder)
    return {
        "name": "envoy.transport_sockets.tls",
        "typed_config": {
            "@type": f"{_TYPES}.DownstreamTlsContext",
            "require_client_certificate": tls.client_ca is not None,
            "common_tls_context": common,
        },
    }


def secrets_of(tls: Tls) -> dict[str, str]:
    """The files, by name, from which Envoy learns where the PEM files are, and which make it watch their folders."""
    secrets: dict[str, dict[str, Any]] = {
        SERVER: {
            "tls_certificate": {
                "certificate_chain": {"filename": str(tls.cert)},
                "private_key": {"filename": str(tls.key)},
            }
        }
    }
    if tls.client_ca is not None:
        secrets[CLIENTS] = {"validation_context": {"trusted_ca": {"filename": str(tls.client_ca)}}}
    return {
        _file_of(name): json.dumps({"resources": [{"@type": f"{_TYPES}.Secret", "name": name, **secret}]})
        for name, secret in secrets.items()
    }


def _source(name: str, folder: Path) -> dict[str, Any]:
    path = {"path_config_source": {"path": str(folder / _file_of(name))}, "resource_api_version": "V3"}
    return {"name": name, "sds_config": path}


def _file_of(name: str) -> str:
    return f"envoy-tls-{name}.json"


class _Encrypted(Exception):
    """OpenSSL asks for a password."""


def _no_password() -> str:
    raise _Encrypted


def _option(name: str) -> str:
    return (
        "--client-ca (PARLEY_CLIENT_CA)"
        if name == "client-ca"
        else f"--tls-{name} (PARLEY_TLS_{name.upper()})"
    )


def _read(option: str, path: Path | None) -> None:
    try:
        if path is not None:
            path.read_bytes()
    except OSError as error:
        raise TlsError(f"{_option(option)}: {path} cannot be read: {error.strerror}") from None
