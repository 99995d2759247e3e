"""TLS certificates for the servers of tests."""

from __future__ import annotations

import datetime
import ipaddress
import ssl
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

LOOPBACK: Final = "127.0.0.1"
_DAY: Final = datetime.timedelta(days=1)


class Authority:
    """A CA of TLS servers."""

    def __init__(self, name: str = "test CA") -> None:
        self._name = _common_name(name)
        self._key = ec.generate_private_key(ec.SECP256R1())
        constraints = x509.BasicConstraints(ca=True, path_length=0)
        certificate = self._builder(self._name, self._key.public_key()).add_extension(constraints, critical=True)
        self._pem = certificate.sign(self._key, hashes.SHA256()).public_bytes(Encoding.PEM)

    def write(self, path: Path) -> Path:
        """A file that everybody can read, for a ``ca_file``."""
        path.write_bytes(self._pem)
        path.chmod(0o644)
        return path

    def issue(self, directory: Path, *hosts: str, expired: bool = False) -> ssl.SSLContext:
        """A server's side of TLS with a certificate for names or addresses; ``directory`` holds it while it is read."""
        key = ec.generate_private_key(ec.SECP256R1())
        alternative = x509.SubjectAlternativeName([_general_name(host) for host in hosts or (LOOPBACK,)])
        builder = self._builder(_common_name("server"), key.public_key(), expired=expired)
        certificate = builder.add_extension(alternative, critical=False).sign(self._key, hashes.SHA256())
        file = directory / "server.pem"
        private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        file.write_bytes(private + certificate.public_bytes(Encoding.PEM))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(file)
        return context

    def _builder(
        self, subject: x509.Name, key: ec.EllipticCurvePublicKey, *, expired: bool = False
    ) -> x509.CertificateBuilder:
        now = datetime.datetime.now(datetime.UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - 2 * _DAY)
            .not_valid_after(now - _DAY if expired else now + _DAY)
        )


def _common_name(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])


def _general_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)
