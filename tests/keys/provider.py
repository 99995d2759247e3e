"""An identity provider on loopback: HTTPS with a CA of its own, a key set, and whatever else it is told to answer."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec

from hoopjump.cli.token_key import Signer
from hoopjump.decision.jose import encode_segment
from hoopjump.decision.jwk import public_members, thumbprint
from tests.serving import Server
from tests.tls import Authority

JWKS = "/jwks"
DISCOVERY = "/.well-known/openid-configuration"


@dataclass(frozen=True)
class Answer:
    """What the provider says; the body in ``pieces`` comes piece by piece, ``pause`` seconds between.

    ``length`` is what it says of the body's, where that is not known.
    """

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    pieces: Iterable[bytes] = ()
    pause: float = 0.0
    length: int | None = None


class TokenKey:
    """A key that signs tokens; made anew."""

    def __init__(self, kid: str) -> None:
        self.kid = kid
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.signer = Signer("ES256", self.key, kid)

    @property
    def jwk(self) -> dict[str, str]:
        return {**public_members(self.key.public_key()), "kid": self.kid, "use": "sig", "alg": "ES256"}

    @property
    def thumbprint(self) -> str:
        return thumbprint(self.key.public_key())

    def sign(self, claims: Mapping[str, Any]) -> bytes:
        parts = ({"alg": "ES256", "typ": "JWT", "kid": self.kid}, claims)
        signed = b".".join(encode_segment(json.dumps(part).encode()) for part in parts)
        return signed + b"." + encode_segment(self.signer.sign(signed))


class Provider:
    """See the module; made by :func:`provider`. ``keys`` are those that it publishes, ``requests`` what was asked."""

    def __init__(self, port: int, ca_file: Path) -> None:
        self.port = port
        self.ca_file = ca_file
        self.issuer = f"https://127.0.0.1:{port}"
        self.keys = [TokenKey("first")]
        self.headers: dict[str, str] = {"Cache-Control": "max-age=300"}
        self.answers: dict[str, Callable[[], Answer]] = {}
        self.down = False
        self.requests: list[tuple[str, dict[str, str]]] = []

    @property
    def key(self) -> TokenKey:
        return self.keys[0]

    def asked(self, path: str = JWKS) -> int:
        """How often it was asked for a path."""
        return sum(1 for asked, _ in self.requests if asked == path)

    def answer(self, path: str) -> Answer:
        if path in self.answers:
            return self.answers[path]()
        if self.down:
            return Answer(503)
        if path == JWKS:
            return Answer(200, json.dumps({"keys": [key.jwk for key in self.keys]}).encode(), self.headers)
        if path == DISCOVERY:
            members = {"issuer": self.issuer, "jwks_uri": self.issuer + JWKS, "token_endpoint": "x"}
            return Answer(200, json.dumps(members).encode())
        return Answer(404)

    def claims(self, **changes: Any) -> dict[str, Any]:
        """Those of a good token; a change to None leaves a claim out."""
        now = int(time.time())
        usual = {
            "iss": self.issuer,
            "aud": "hoopjump",
            "sub": "auth0|alice",
            "email": "alice@x.io",
            "iat": now,
            "exp": now + 600,
            "jti": f"jti{time.monotonic_ns()}",
        }
        return {name: value for name, value in {**usual, **changes}.items() if value is not None}

    def token(self, key: TokenKey | None = None, **changes: Any) -> bytes:
        """A good token but for the changes."""
        return (key or self.key).sign(self.claims(**changes))

    def section(self, **changes: Any) -> dict[str, Any]:
        """Its ``[[tokens.issuer]]``."""
        usual = {
            "issuer": self.issuer,
            "audiences": ["hoopjump"],
            "ca_file": str(self.ca_file),
            "allow_private": True,
        }
        return {**usual, **changes}


@contextmanager
def provider(directory: Path) -> Iterator[Provider]:
    """A running provider, its files in ``directory``."""
    authority = Authority()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            served.requests.append((self.path, dict(self.headers)))
            answer = served.answer(self.path)
            etag = answer.headers.get("ETag")
            if etag is not None and self.headers.get("If-None-Match") == etag:
                answer = Answer(304, b"", answer.headers)
            try:
                self.send_response(answer.status)
                for name, value in answer.headers.items():
                    self.send_header(name, value)
                length = len(answer.body) + sum(map(len, answer.pieces)) if answer.length is None else answer.length
                self.send_header("Content-Length", str(length))
                self.end_headers()
                self.wfile.write(answer.body)
                for piece in answer.pieces:
                    self.wfile.write(piece)
                    if stopping.wait(answer.pause):
                        return
            except OSError:
                self.close_connection = True

    stopping = threading.Event()
    with Server(Handler, authority.issue(directory, "127.0.0.1", "localhost")) as server:
        served = Provider(server.server_port, authority.write(directory / "provider-ca.pem"))
        try:
            yield served
        finally:
            stopping.set()
