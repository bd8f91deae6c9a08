"""The server's certificate: one `SSLContext` for the life of the process, whose certificate can be renewed.

Every door shares it, so a renewal needs no restart and no new listener. RFC 8996 (no TLS before 1.2, unless
an operator asks for it), RFC 8314.
"""

from __future__ import annotations

import ssl
from pathlib import Path


class BadCertificate(Exception):
    """The certificate and key cannot be used; the message says why."""


class ServerTls:
    """Holds `context`; `reload` reads the files again."""

    def __init__(
        self,
        certificate: Path,
        private_key: Path,
        minimum: ssl.TLSVersion = ssl.TLSVersion.TLSv1_2,
    ) -> None:
        """Load both PEM files (the certificate with its chain); raise `BadCertificate`."""
        self._certificate = certificate
        self._private_key = private_key
        self._minimum = minimum
        self.context = self._loaded()

    def reload(self) -> None:
        """Show the files as they are now from the next handshake on.

        When they cannot be used, raises `BadCertificate` and goes on with what was loaded before.
        """
        self._loaded()  # first into a context nobody uses, so that half a renewal breaks nothing
        self.context.load_cert_chain(self._certificate, self._private_key)

    def _loaded(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = self._minimum
        if self._minimum < ssl.TLSVersion.TLSv1_2:
            context.set_ciphers("DEFAULT:@SECLEVEL=0")  # OpenSSL 3 has nothing else for what is so old
        context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION
        try:
            context.load_cert_chain(self._certificate, self._private_key)
        except (OSError, ssl.SSLError) as error:
            raise BadCertificate(f"{self._certificate}, {self._private_key}: {error}") from error
        return context
