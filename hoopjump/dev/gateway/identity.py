"""Who calls the API: the credentials of a request, in the order in which the gateway looks at them."""

from __future__ import annotations

import base64
import hashlib
import json
import time
from dataclasses import dataclass

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from hoopjump.dev.gateway.model import ApiKey, Role, Session, Store, User, now

TOKEN_LIFETIME = 12 * 3600


class Unauthorized(Exception):  # noqa: N818 - the name of the status
    """No identity; the text is the answer's message."""


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls: a user, or an API key (then ``subject`` is the key's id, and its name stands for the e-mail)."""

    subject: str
    email: str
    name: str
    groups: tuple[str, ...]
    is_key: bool

    @property
    def is_admin(self) -> bool:
        """Admins pass every route and see every role."""
        return "admin" in self.groups

    @property
    def is_auditor(self) -> bool:
        """Auditors read everything but targets' secrets, and write nothing."""
        return "auditor" in self.groups and not self.is_admin

    def sees_all_roles(self) -> bool:
        """Admins and auditors are not subject to access control."""
        return self.is_admin or self.is_auditor

    def session(self, role: Role, verb: str, script: str = "") -> Session:
        """The row of a session that begins now."""
        return Session(self.email, self.subject, self.name, role.name, role.type, role.subtype, verb, script=script)


def caller_of_key(key: ApiKey) -> Caller:
    """The identity of an API key."""
    return Caller(key.id, key.name, key.name, tuple(key.groups), is_key=True)


def caller_of_user(user: User) -> Caller:
    """The identity of a user."""
    return Caller(user.subject, user.email, user.name, tuple(user.groups), is_key=False)


def authenticate(store: Store, api_key: str, authorization: str) -> Caller:
    """The caller of a request, from its ``Api-Key`` and ``Authorization`` headers; raises :class:`Unauthorized`."""
    if api_key:
        # A static organisation key is configured, and this is never it.
        raise Unauthorized("unauthorize")
    scheme, _, token = authorization.partition(" ")
    if scheme != "Bearer" or not token or " " in token:
        raise Unauthorized("access denied")
    if token.startswith("hpk_"):
        digest = hashlib.sha256(token.encode()).hexdigest()
        for key in store.api_keys:
            if key.digest == digest and key.status == "active":
                key.last_used_at = now()
                return caller_of_key(key)
        raise Unauthorized("access denied")
    subject = _verified_subject(store, token)
    user = next((user for user in store.users if user.subject == subject), None)
    if user is None or user.status != "active":
        raise Unauthorized("access denied")
    return caller_of_user(user)


def issue_token(store: Store, user: User) -> str:
    """A token as local authentication issues it: EdDSA, ``sub`` is the e-mail, twelve hours."""
    issued = int(time.time())
    claims = {
        "sub": user.email,
        "email": user.email,
        "iat": issued,
        "exp": issued + TOKEN_LIFETIME,
        "auth_time": issued,
    }
    signed = _encode(b'{"alg":"EdDSA","typ":"JWT"}') + "." + _encode(json.dumps(claims).encode())
    return signed + "." + _encode(_signer(store).sign(signed.encode()))


def _verified_subject(store: Store, token: str) -> str:
    parts = token.split(".")
    if len(parts) != 3:
        raise Unauthorized("access denied")
    try:
        header = json.loads(_decode(parts[0]))
        claims = json.loads(_decode(parts[1]))
        _signer(store).public_key().verify(_decode(parts[2]), f"{parts[0]}.{parts[1]}".encode())
    except (ValueError, InvalidSignature) as error:
        raise Unauthorized("access denied") from error
    if not isinstance(header, dict) or header.get("alg") != "EdDSA" or not isinstance(claims, dict):
        raise Unauthorized("access denied")
    expires = claims.get("exp")
    if expires is not None and (not isinstance(expires, int) or time.time() >= expires):
        raise Unauthorized("access denied")
    return str(claims.get("sub", ""))


def _signer(store: Store) -> Ed25519PrivateKey:
    return Ed25519PrivateKey.from_private_bytes(store.token_key)


def _encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _decode(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
