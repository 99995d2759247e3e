"""A certificate of hoopjump-ca for a token and a key."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from hoopjump.decision.certificate import (
    Certificate,
    CertificateError,
    CertificateType,
    read_certificate,
    verify_ca_signature,
)
from hoopjump.decision.keys import read_public_key
from hoopjump.decision.possession import Statement
from hoopjump.decision.reasons import Reason, printable
from hoopjump.identity import agent, private_files
from hoopjump.identity.errors import IdentityError
from hoopjump.identity.http import Http, Reply
from hoopjump.identity.keys import PUBLIC, Key
from hoopjump.identity.settings import LoginSettings
from hoopjump.identity.state import MARGIN, State
from hoopjump.identity.tokens import Tokens

PATH: Final = "/ssh/certificates"
_REPLAYED: Final = Reason.PROOF_REPLAYED.code


@dataclass(frozen=True, slots=True)
class Issued:
    """A certificate, with the line for its file."""

    certificate: Certificate
    line: str


def ask(http: Http, settings: LoginSettings, tokens: Tokens, key: Key) -> Issued:
    """Have a key certified; raises :class:`IdentityError`."""
    assert settings.ca_url is not None
    reply = _request(http, settings, settings.ca_url, tokens.chosen(settings), key)
    if (reply.members or {}).get("reason") == _REPLAYED:
        # Another login of this key and token was made in this second; the next one has another statement.
        time.sleep(1 - time.time() % 1)
        reply = _request(http, settings, settings.ca_url, tokens.chosen(settings), key)
    if reply.status != 200:
        raise _refusal(reply, settings.ca_url)
    line = (reply.members or {}).get("certificate")
    if type(line) is not str:
        raise IdentityError("ca-malformed", f"{settings.ca_url} answers without a certificate", "is it a hoopjump-ca?")
    certificate = _checked(line, key)
    # Nothing that came with it: what a terminal obeys, or what ssh takes for a comment.
    return Issued(certificate, f"{certificate.key_type} {base64.b64encode(certificate.blob).decode()}")


def _request(http: Http, settings: LoginSettings, url: str, token: str, key: Key) -> Reply:
    moment = int(time.time())
    request: dict[str, Any] = {
        "token": token,
        "public_key": " ".join(key.line.split()[:2]),
        "proof": key.sign(Statement(url, moment, token.encode()).text()),
        "time": moment,
        "embed_token": settings.embed_token,
    }
    return http.post_json(url + PATH, request)


def keep(settings: LoginSettings, issued: Issued, key: Key) -> None:
    """Put a certificate beside its key, and take the last one out of the agent; raises :class:`IdentityError`."""
    path = settings.certificate
    before = _there(path)
    if before is not None and before.ca_key != issued.certificate.ca_key and before.valid_before > time.time() + MARGIN:
        raise IdentityError(
            "key-unusable", f"{path} is a certificate of another authority", "move it away, or name another `key`"
        )
    if settings.keep == "agent" and before is not None:
        agent.remove(path.read_bytes())
    key.keep(issued.certificate.blob, issued.certificate.valid_before)
    private_files.write(path, f"{issued.line}\n".encode(), PUBLIC)


def forget(state: State) -> bool:
    """Remove the last login's certificate, in the agent too; False when it had none, or another is in its place."""
    path = Path(state.certificate)
    try:
        line = path.read_bytes() if state.certificate else b""
    except OSError:
        return False
    if hashlib.sha256(line).hexdigest() != state.certificate_digest:
        return False
    # Also one that somebody has added with ssh-add.
    agent.remove(line)
    path.unlink()
    return True


def _there(path: Path) -> Certificate | None:
    """The certificate beside the key, if there is one. One that ssh may take and we do not is not ours to replace."""
    try:
        line = path.read_bytes()
        return read_certificate(line)
    except FileNotFoundError:
        return None
    except CertificateError as error:
        if b"-cert-v01@openssh.com " not in line:
            return None
        raise IdentityError(
            "key-unusable", f"{path} is not a certificate of ours: {error}", "move it away, or name another `key`"
        ) from error


def _checked(line: str, key: Key) -> Certificate:
    """What was given must be what was asked for, or ssh would offer something else."""
    try:
        certificate = read_certificate(line.encode())
    except CertificateError as error:
        raise IdentityError("ca-malformed", f"the new certificate cannot be read: {error}") from error
    if not verify_ca_signature(certificate):
        raise IdentityError("ca-malformed", "the new certificate's signature is wrong")
    if certificate.type is not CertificateType.USER or not certificate.principals or "" in certificate.principals:
        raise IdentityError("ca-malformed", "the new certificate is not one for a user")
    if certificate.public_key != read_public_key(key.line.encode()).blob:
        raise IdentityError("ca-malformed", "the new certificate is for another key")
    now = time.time()
    if certificate.valid_after > now:
        raise IdentityError("ca-malformed", "the new certificate is not valid yet", "compare this machine's clock")
    if certificate.valid_before <= now:
        raise IdentityError("ca-malformed", "the new certificate has ended already", "compare this machine's clock")
    return certificate


def _refusal(reply: Reply, url: str) -> IdentityError:
    members = reply.members or {}
    reason, sentence, ref = (members.get(name) for name in ("reason", "sentence", "ref"))
    if not all(type(text) is str and 0 < len(text) <= 500 for text in (reason, sentence)):
        return IdentityError("ca-malformed", f"{url} answers with {reply.status}", "is it a hoopjump-ca?")
    # Each on its line, so that nothing in them passes for ours.
    told = f"{printable(str(sentence), 500)} ({printable(str(reason), 500)})"
    hints = []
    with contextlib.suppress(KeyError):
        hints.append(Reason.from_code(str(reason)).value.hint)
    if type(ref) is str and len(ref) <= 64:
        hints.append(f"your administrator finds more in its log under the reference {printable(ref)}")
    return IdentityError("ca-refused", f"{url} refuses: {told}", "\n".join(hints))
