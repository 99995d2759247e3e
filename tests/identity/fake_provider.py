"""A provider, and a hoopjump-ca, that do wrong what a test tells them to; in this process, on loopback."""

from __future__ import annotations

import base64
import hashlib
import json
import time
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler
from typing import Any, Self
from urllib.parse import parse_qsl, urlencode, urlsplit

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from hoopjump.decision.keys import read_public_key
from hoopjump.handoff.issue import USER, CertificateSpec, PrivateKeySigner, issue, options
from tests.hostile.tokens import forge
from tests.serving import Server

Form = dict[str, str]
Changes = Mapping[str, object]


class FakeProvider:
    """Use it as a context manager. Every attribute may be set; what is unset is as it should be.

    ``metadata``, ``answer`` (to the token endpoint), ``claims`` and ``header`` (of ID tokens) are changes, as
    :func:`tests.hostile.tokens.forge.changed` takes them. ``redirect`` makes the parameters of the redirect;
    ``device`` is a list of the errors that the device flow's polls get before it succeeds.
    """

    def __init__(self) -> None:
        self.metadata: Changes = {}
        self.answer: Changes = {}
        self.claims: Changes = {}
        self.header: Changes = {}
        self.invitation: Changes = {}
        self.device: list[str] = []
        self.key = "p256"
        self.keys = ["p256"]
        self.life = 3600
        self.redirect: Callable[[Form], Mapping[str, str]] = lambda right: right
        self.certificate: Callable[[CertificateSpec], str] = self.certified
        self.ca_refusal: tuple[int, Mapping[str, Any]] | None = None
        self.replays = 0  # so many requests are told that their proof was used before
        self.asked: list[tuple[str, Form]] = []
        self.certificates_asked: list[dict[str, Any]] = []
        self.ca = PrivateKeySigner(Ed25519PrivateKey.generate())
        self._codes: dict[str, Form] = {}
        self._refresh = 0
        self._server = Server(self._handler())
        self.issuer = self._server.url

    def __enter__(self) -> Self:
        self._server.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.__exit__()

    def asks(self, path: str) -> list[Form]:
        """The forms that a path was sent so far."""
        return [form for place, form in self.asked if place == path]

    # -- The provider ------------------------------------------------------------------------------------------------

    def _describe(self) -> object:
        usual = {
            "issuer": self.issuer,
            "authorization_endpoint": f"{self.issuer}/auth",
            "token_endpoint": f"{self.issuer}/token",
            "jwks_uri": f"{self.issuer}/jwks",
            "device_authorization_endpoint": f"{self.issuer}/device",
            "revocation_endpoint": f"{self.issuer}/revoke",
            "authorization_response_iss_parameter_supported": True,
            "code_challenge_methods_supported": ["S256"],
        }
        return forge.changed(usual, self.metadata)

    def authorize(self, form: Form) -> str:
        """Where the browser is sent once somebody has logged in."""
        code = base64.urlsafe_b64encode(hashlib.sha256(repr(sorted(form.items())).encode()).digest()).decode()
        self._codes[code] = form
        right = {"code": code, "state": form["state"], "iss": self.issuer}
        return f"{form['redirect_uri']}?{urlencode(self.redirect(right))}"

    def tokens(self, nonce: str | None = None) -> dict[str, object]:
        """A right answer, but for what was to be changed."""
        now = int(time.time())
        claims = {
            "iss": self.issuer,
            "aud": "hoopjump",
            "sub": "u-1",
            "email": "alice@example.com",
            "groups": ["dev"],
            "iat": now,
            "exp": now + self.life,
            **({"nonce": nonce} if nonce else {}),
        }
        body = forge.text(forge.changed(claims, self.claims))
        self._refresh += 1
        usual = {
            "token_type": "Bearer",
            "access_token": f"access-{self._refresh}",
            "refresh_token": f"refresh-{self._refresh}",
            "expires_in": self.life,
            "id_token": forge.token(body, self.header, key=self.key).decode(),
        }
        return forge.changed(usual, self.answer)

    def _give(self, form: Form) -> tuple[int, object]:
        kind = form.get("grant_type", "")
        if kind == "authorization_code":
            asked = self._codes.pop(form["code"], None)
            challenge = base64.urlsafe_b64encode(hashlib.sha256(form["code_verifier"].encode()).digest())
            if asked is None or challenge.rstrip(b"=").decode() != asked["code_challenge"]:
                return 400, {"error": "invalid_grant"}
            return 200, self.tokens(asked["nonce"])
        if kind == "refresh_token":
            if form["refresh_token"] != f"refresh-{self._refresh}":
                return 400, {"error": "invalid_grant"}
            return 200, self.tokens()
        if self.device:
            return 400, {"error": self.device.pop(0), "error_description": "as told"}
        return 200, self.tokens()

    def _invite(self) -> object:
        usual = {
            "device_code": "device-code",
            "user_code": "ABCD-EFGH",
            "verification_uri": f"{self.issuer}/type",
            "verification_uri_complete": f"{self.issuer}/type?user_code=ABCD-EFGH",
            "expires_in": 600,
            "interval": 5,
        }
        return forge.changed(usual, self.invitation)

    # -- hoopjump-ca -------------------------------------------------------------------------------------------------

    def certified(self, spec: CertificateSpec) -> str:
        """The line of a certificate."""
        blob = issue(spec, self.ca)
        kind = blob[4 : 4 + int.from_bytes(blob[:4], "big")].decode()
        return f"{kind} {base64.b64encode(blob).decode()}"

    def _certify(self, request: dict[str, Any]) -> tuple[int, object]:
        self.certificates_asked.append(request)
        if len(self.certificates_asked) <= self.replays:
            return 403, {"reason": "proof-replayed", "sentence": "The proof was used.", "ref": "0a1b2c3d"}
        if self.ca_refusal is not None:
            return self.ca_refusal
        now = int(time.time())
        spec = CertificateSpec(
            public_key=read_public_key(request["public_key"].encode()).blob,
            key_id="alice",
            principals=("alice@example.com",),
            valid_after=now - 60,
            valid_before=now + self.life,
            serial=7,
            kind=USER,
            critical_options=(),
            extensions=options({"permit-pty": ""}),
        )
        return 200, {
            "certificate": self.certificate(spec),
            "valid_before": spec.valid_before,
            "principals": list(spec.principals),
            "serial": spec.serial,
        }

    # -- HTTP --------------------------------------------------------------------------------------------------------

    def _answer(self, method: str, target: str, body: bytes) -> tuple[int, object]:
        path = urlsplit(target).path
        if method == "GET":
            if path == "/auth":
                return 302, self.authorize(dict(parse_qsl(urlsplit(target).query)))
            known = {"/.well-known/openid-configuration": self._describe(), "/jwks": self._jwks()}
            return (200, known[path]) if path in known else (404, {})
        if path == "/ssh/certificates":
            return self._certify(json.loads(body))
        form = dict(parse_qsl(body.decode()))
        self.asked.append((path, form))
        if path == "/token":
            return self._give(form)
        return (200, self._invite()) if path == "/device" else (200, {})

    def _jwks(self) -> object:
        return {"keys": [forge.jwk(name) for name in self.keys]}

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        provider = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self._reply(*provider._answer("GET", self.path, b""))

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                self._reply(*provider._answer("POST", self.path, body))

            def _reply(self, status: int, value: object) -> None:
                self.send_response_only(status)
                if status == 302:
                    self.send_header("Location", str(value))
                data = b"" if status == 302 else json.dumps(value).encode()
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

        return Handler
