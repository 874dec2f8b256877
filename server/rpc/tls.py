"""TLS of the server's own gRPC port. The files were checked before; a handshake after one was replaced uses the new
one."""

from pathlib import Path

import grpc
import structlog

log = structlog.get_logger()


def server_credentials(cert: Path, key: Path, client_ca: Path | None) -> grpc.ServerCredentials:
    """The credentials of these PEM files. With a CA, clients have to show a certificate that it signed."""
    files = _Files(cert, key, client_ca)
    return grpc.dynamic_ssl_server_credentials(
        files.configuration(),
        files.changed,  # type: ignore[arg-type]  # None means the one before, as gRPC documents
        require_client_authentication=client_ca is not None,
    )


class _Files:
    """What is in the files, and whether that is another content than before."""

    def __init__(self, cert: Path, key: Path, client_ca: Path | None) -> None:
        self._cert, self._key, self._client_ca = cert, key, client_ca
        self._stamps = self._now()

    def configuration(self) -> grpc.ServerCertificateConfiguration:
        """The content of the files."""
        authorities = None if self._client_ca is None else self._client_ca.read_bytes()
        return grpc.ssl_server_certificate_configuration(
            [(self._key.read_bytes(), self._cert.read_bytes())], root_certificates=authorities
        )

    def changed(self) -> grpc.ServerCertificateConfiguration | None:
        """The content, where a file is another one than at the last handshake; gRPC asks at every one."""
        try:
            if (stamps := self._now()) == self._stamps:
                return None
            found = self.configuration()
        except OSError as error:
            log.error("certificate_is_not_read", path=error.filename, reason=error.strerror)
            return None
        self._stamps = stamps
        log.info("certificate_renewed", path=str(self._cert))
        return found

    def _now(self) -> list[tuple[int, int]]:
        files = [path for path in (self._cert, self._key, self._client_ca) if path is not None]
        return [(found.st_mtime_ns, found.st_ino) for found in (path.stat() for path in files)]
