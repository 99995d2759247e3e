"""A running hoopjump-ca of a test's own: its files, its process, and a client that asks it as anybody would."""

from __future__ import annotations

import hashlib
import http.client
import json
import re
import secrets
import socket
import ssl
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Self

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from hoopjump.ca.authority import TokenSigner
from hoopjump.cli.token_key import generate, public_jwk
from hoopjump.decision.certificate import Certificate, read_certificate
from hoopjump.dev import programs
from hoopjump.dev.services import Service, free_port, minimal_environment

HOST = "ca.example.com"
URL = f"https://{HOST}"
ISSUER = "https://idp.example.com"
AUDIENCE = "hoopjump-ca"
BASTION = "bastion"
NAMESPACE = "hoopjump-ca@hoopjump"
EMAIL = "alice@example.com"


@dataclass(frozen=True, slots=True)
class Answered:
    """What HTTP gave: status and, where it was JSON, the object."""

    status: int
    body: bytes
    headers: Mapping[str, str]

    @property
    def json(self) -> dict[str, Any]:
        """The object."""
        found = json.loads(self.body)
        assert isinstance(found, dict)
        return found

    @property
    def outcome(self) -> tuple[int, str]:
        """Status and reason of a refusal."""
        return self.status, self.json["reason"]

    @property
    def certificate(self) -> Certificate:
        """The certificate; the answer must have one."""
        assert self.status == 200, self.body
        return read_certificate(self.json["certificate"].encode())


def token_signer(directory: Path, name: str) -> TokenSigner:
    """A key that signs tokens, and its key set beside it (``NAME.jwks``)."""
    path = directory / name
    if not path.exists():
        path.touch(mode=0o600)
        path.write_bytes(generate("EdDSA"))
        keys = {"keys": [public_jwk(path.read_bytes(), name)]}
        path.with_name(f"{name}.jwks").write_text(json.dumps(keys))
    return TokenSigner.open(f"file:{path}")


def ssh_key(directory: Path, name: str, *options: str) -> Path:
    """A key pair of ssh-keygen's; the public key is ``NAME.pub``."""
    path = directory / name
    if not path.exists():
        argv: list[str | Path] = ["ssh-keygen", "-q", "-N", "", "-C", name, "-f", path, *(options or ("-t", "ed25519"))]
        subprocess.run(argv, check=True, capture_output=True)
    return path


def statement(token: str, moment: int, url: str = URL) -> bytes:
    """What is signed, written down once more from the documentation."""
    return f"hoopjump-ca v1\n{url}\n{moment}\n{hashlib.sha256(token.encode()).hexdigest()}\n".encode()


def prove(key: Path, message: bytes, namespace: str = NAMESPACE) -> str:
    """A signature of the real ssh-keygen's."""
    argv: list[str | Path] = ["ssh-keygen", "-q", "-Y", "sign", "-n", namespace, "-f", key]
    return subprocess.run(argv, input=message, check=True, capture_output=True).stdout.decode()


def tls_pair(directory: Path, name: str = "tls") -> Path:
    """A new self-signed certificate for localhost and :data:`HOST` (``NAME.pem``), and its key (``NAME.key``)."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "hoopjump-ca")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost"), x509.DNSName(HOST)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    (directory / f"{name}.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    path = directory / f"{name}.key"
    path.touch(mode=0o600)
    path.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return path


def trusting(directory: Path) -> ssl.SSLContext:
    """What a client needs to verify the certificate of :func:`tls_pair`."""
    context = ssl.create_default_context(cafile=str(directory / "tls.pem"))
    context.verify_flags &= ~getattr(ssl, "VERIFY_X509_STRICT", 0)
    return context


class Yard:
    """Files and process of one hoopjump-ca; use it as a context manager.

    ``sections`` are lines of ca.toml by the section that they go to; None leaves one out.
    """

    def __init__(
        self, directory: Path, sections: Mapping[str, str | None] | None = None, *, unix: bool = False
    ) -> None:
        self.directory = directory
        self.issuer = token_signer(directory, "issuer")
        self.bound = token_signer(directory, "bound")
        self.ca = ssh_key(directory, "ca")
        tls_pair(directory)
        self.port = free_port()
        self.unix = directory / "ca.sock" if unix else None
        self.audit = directory / "audit.jsonl"
        self.log = directory / "ca.log"
        self.config = directory / "ca.toml"
        self.keys = directory / "keys"
        self.keys.mkdir(mode=0o700, exist_ok=True)
        listen = f'"unix:{self.unix}"' if unix else f'"127.0.0.1:{self.port}"'
        tls = f'tls_certificate = "{directory}/tls.pem"\ntls_key = "file:{directory}/tls.key"'
        lines = {
            "[server]": f'url = "{URL}"\nlisten = {listen}\nkeys_dir = "{self.keys}"\n{"" if unix else tls}',
            "[certificate]": f'ca_key = "file:{self.ca}"',
            "[token]": f'issuer = "{URL}"\naudience = "{BASTION}"\nkey = "file:{directory}/bound"',
            "[[issuer]]": f'issuer = "{ISSUER}"\naudiences = ["{AUDIENCE}"]\nkeys = "file:{directory}/issuer.jwks"\n'
            'user_claim = "email"\ngroups_claim = "groups"',
            "[audit]": f'file = "{self.audit}"\nlog = "stderr"',
        }
        for section, more in (sections or {}).items():
            if more is None:
                del lines[section]
                continue
            kept = [line for line in lines.get(section, "").splitlines() if line.split(" = ")[0] + " =" not in more]
            lines[section] = "\n".join([*kept, more])
        self.config.write_text("".join(f"{section}\n{text}\n" for section, text in lines.items()))
        self.config.chmod(0o644)
        notify = directory / "notify"
        self._notified = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self._notified.bind(str(notify))
        self.service = Service(
            "hoopjump-ca",
            [str(programs.python()), "-m", "hoopjump.ca.main", "--config", str(self.config)],
            self.log,
            ready=self._ready,
            environment=minimal_environment(
                NOTIFY_SOCKET=str(notify),
                PYTHONPATH=str(programs.reachable(programs.CHECKOUT)),
                PYTHONDONTWRITEBYTECODE="1",
            ),
        )

    def __enter__(self) -> Self:
        self.service.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.service.stop()
        self._notified.close()
        said = self.log.read_text()
        assert not re.search("Traceback|never retrieved|unforeseen", said), said

    def _ready(self) -> bool:
        try:
            return b"READY=1" in self._notified.recv(4096)
        except BlockingIOError:
            return False

    # -- Asking ------------------------------------------------------------------------------------------------------

    def token(self, signer: TokenSigner | None = None, **claims: Any) -> str:
        """A token of the provider's for alice; claims that are None are left out."""
        now = int(time.time())
        usual = {
            "iss": ISSUER,
            "aud": AUDIENCE,
            "sub": "u-1",
            "email": EMAIL,
            "groups": ["dev", "ops"],
            "iat": now,
            "exp": now + 600,
            "jti": secrets.token_hex(8),
        }
        wanted = {name: value for name, value in {**usual, **claims}.items() if value is not None}
        return (signer or self.issuer).sign(wanted).decode()

    def key(self, name: str = "user", *options: str) -> Path:
        """A key of a user's."""
        return ssh_key(self.directory, name, *options)

    def body(self, key: Path, token: str | None = None, **members: Any) -> dict[str, Any]:
        """A right request, but for ``members``; a proof that is a function is made from token and time."""
        token = self.token() if token is None else token
        moment = members.pop("time", int(time.time()))
        made: dict[str, Any] = {"token": token, "public_key": key.with_suffix(".pub").read_text(), "time": moment}
        if "proof" not in members:
            made["proof"] = prove(key, statement(token, moment))
        return {**made, **members}

    def connection(self, timeout: float = 20.0) -> http.client.HTTPConnection:
        """A connection to the service, its TLS verified."""
        if self.unix is not None:
            return _UnixConnection(self.unix, timeout)
        context = trusting(self.directory)
        connection = http.client.HTTPSConnection("localhost", self.port, timeout=timeout, context=context)
        connection._create_connection = lambda *_: socket.create_connection(("127.0.0.1", self.port), timeout)  # type: ignore[attr-defined]
        return connection

    def ask(
        self, method: str, path: str, body: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> Answered:
        """One request."""
        connection = self.connection()
        try:
            connection.request(method, path, body, dict(headers or {}))
            response = connection.getresponse()
            return Answered(response.status, response.read(), dict(response.getheaders()))
        finally:
            connection.close()

    def post(self, body: Mapping[str, Any] | bytes, headers: Mapping[str, str] | None = None) -> Answered:
        """Ask for a certificate."""
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        return self.ask("POST", "/ssh/certificates", data, {"Content-Type": "application/json", **(headers or {})})

    def certify(self, key: Path, token: str | None = None, **members: Any) -> Answered:
        """Ask for a certificate for a key, rightly but for ``members``."""
        return self.post(self.body(key, token, **members))

    def events(self) -> list[dict[str, Any]]:
        """The audit trail."""
        return [json.loads(line) for line in self.audit.read_text().splitlines()] if self.audit.exists() else []


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: Path, timeout: float) -> None:
        super().__init__("localhost", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))
