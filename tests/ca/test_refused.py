"""Who gets no certificate: every attack has its reason, and leaves nothing behind that could be used."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hoopjump.decision.jose import parse_segment
from hoopjump.decision.jwk import thumbprint
from hoopjump.decision.presented import embedded_token
from tests.ca.forge import armored
from tests.ca.yard import URL, Answered, Yard, prove, ssh_key, statement, token_signer
from tests.decision.forge import FidoEcdsa, FidoEd25519, Signer, blob


def certified(directory: Path, key: Path) -> str:
    """A certificate for a key, of some CA."""
    ca = ssh_key(directory, "other-ca")
    argv: list[str | Path] = ["ssh-keygen", "-q", "-s", ca, "-I", "x", "-n", "x", key.with_suffix(".pub")]
    subprocess.run(argv, check=True, capture_output=True)
    return key.with_name(f"{key.name}-cert.pub").read_text()


def hs256(yard: Yard, claims: dict[str, Any]) -> str:
    """A token signed with the issuer's public key as if it were a secret."""
    parts = [
        base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=")
        for part in ({"alg": "HS256", "typ": "JWT"}, claims)
    ]
    secret = (yard.directory / "issuer.jwks").read_bytes()
    mac = hmac.digest(secret, b".".join(parts), "sha256")
    return b".".join([*parts, base64.urlsafe_b64encode(mac).rstrip(b"=")]).decode()


# -- The proof ------------------------------------------------------------------------------------------------------


def test_a_proof_is_taken_once(yard: Yard) -> None:
    """Whoever overhears a request cannot make it again."""
    body = yard.body(yard.key())
    assert yard.post(body).status == 200
    assert yard.post(body).outcome == (403, "proof-replayed")
    assert yard.post({**body, "embed_token": True}).outcome == (403, "proof-replayed")


def test_a_proof_of_a_twin_signature_is_the_same_proof(yard: Yard) -> None:
    """Of an ECDSA signature anybody can make another; what was proven is no different."""
    key = yard.key("ecdsa", "-t", "ecdsa", "-b", "256")
    token, now = yard.token(), int(time.time())
    proofs = {prove(key, statement(token, now)) for _ in range(2)}
    assert len(proofs) == 2
    first, second = (yard.certify(key, token, time=now, proof=proof) for proof in proofs)
    assert first.status == 200
    assert second.outcome == (403, "proof-replayed")


def test_a_stolen_token_without_the_key(yard: Yard) -> None:
    """A thief who signs with a key of their own gets no certificate for the owner's."""
    token, now = yard.token(), int(time.time())
    proof = prove(yard.key("thief"), statement(token, now))
    assert yard.certify(yard.key(), token, time=now, proof=proof).outcome == (403, "proof-other-key")


@pytest.mark.parametrize("made_for", ["token", "service", "moment"])
def test_a_proof_for_something_else(yard: Yard, made_for: str) -> None:
    """For another token, another service, or another moment than the request says."""
    key, token, now = yard.key(), yard.token(), int(time.time())
    message = {
        "token": statement(yard.token(), now),
        "service": statement(token, now, "https://evil.example.com"),
        "moment": statement(token, now - 1),
    }[made_for]
    answer = yard.certify(key, token, time=now, proof=prove(key, message))
    assert answer.outcome == (403, "proof-bad-signature")


@pytest.mark.parametrize("away", [-(10**400), -3600, 3600, 10**400])
def test_a_proof_made_long_ago_or_in_the_future(yard: Yard, away: int) -> None:
    """It holds for a minute around the moment it was made."""
    assert yard.certify(yard.key(), time=int(time.time()) + away).outcome == (403, "proof-stale")


def test_a_proof_from_before_a_restart_is_not_taken_again(new_yard: Callable[..., Yard]) -> None:
    """What was used up is not known any more, so nothing of before counts."""
    yard = new_yard()
    body = yard.body(yard.key())
    assert yard.post(body).status == 200
    yard.service.stop()
    while int(time.time()) == body["time"]:
        time.sleep(0.01)
    yard.service.start()
    assert yard.post(body).outcome == (403, "proof-stale")
    assert yard.certify(yard.key()).status == 200


def test_a_signature_for_another_purpose(yard: Yard) -> None:
    """What was signed as a file, or a commit, is no proof."""
    key, token, now = yard.key(), yard.token(), int(time.time())
    proof = prove(key, statement(token, now), "file")
    assert yard.certify(key, token, time=now, proof=proof).outcome == (403, "proof-other-purpose")


def test_a_proof_that_is_none(yard: Yard) -> None:
    """Anything else than one armored signature."""
    key = yard.key()
    good = yard.body(key)["proof"]
    for proof in ("", "x", good + good, " " + good, good.replace("BEGIN", "START"), good[:60], good.replace("A", "*")):
        assert yard.certify(key, proof=proof).outcome == (400, "proof-malformed"), proof


@pytest.mark.parametrize("kind", [FidoEd25519, FidoEcdsa])
def test_a_security_key_must_have_been_touched(yard: Yard, kind: type[FidoEd25519 | FidoEcdsa]) -> None:
    """As sshd asks at every login; flags and counter are signed, too."""

    def ask(key: Signer) -> Answered:
        token, now = yard.token(), int(time.time())
        line = f"{key.type} {base64.b64encode(blob(key)).decode()}"
        proof = armored(key, statement(token, now))
        return yard.post({"token": token, "public_key": line, "time": now, "proof": proof, "embed_token": True})

    assert ask(kind(flags=0)).outcome == (403, "proof-untouched")
    certificate = ask(kind(flags=5)).certificate
    assert certificate.key_type == kind().type.replace("@openssh.com", "-cert-v01@openssh.com")
    token = embedded_token(certificate)
    assert token is not None
    confirmed = parse_segment(token.split(b".")[1])["cnf"]
    assert confirmed == {"jkt": thumbprint(certificate.key.primitive)}


# -- The key --------------------------------------------------------------------------------------------------------


def test_a_weak_key(yard: Yard) -> None:
    """RSA below 2048 bits, as `hoopjump cert issue` refuses it."""
    assert yard.certify(yard.key("weak", "-t", "rsa", "-b", "1024")).outcome == (403, "public-key-weak")


def test_a_certificate_in_place_of_a_key(yard: Yard) -> None:
    """Only plain keys are certified."""
    key = yard.key()
    line = certified(yard.directory, key)
    key.with_name(f"{key.name}-cert.pub").unlink()
    assert yard.certify(key, public_key=line).outcome == (400, "public-key-certificate")
    bare = line.split()[1]
    assert yard.certify(key, public_key=bare).outcome == (400, "public-key-malformed")


@pytest.mark.parametrize(
    "line", ["", "ssh-ed25519", "ssh-ed25519 AAAA", "ssh-dss AAAAB3NzaC1kc3MAAAAA", "x" * 40000, "a\nb\nc"]
)
def test_what_is_no_key(yard: Yard, line: str) -> None:
    """Neither unknown kinds nor remains of one."""
    assert yard.certify(yard.key(), public_key=line).outcome == (400, "public-key-malformed")


# -- The token ------------------------------------------------------------------------------------------------------


def test_tokens_that_do_not_hold(yard: Yard) -> None:
    """Each for its own reason; tests/hostile/tokens has hundreds more for the same verification."""
    now = int(time.time())
    claims = {"iss": "https://idp.example.com", "aud": "hoopjump-ca", "sub": "u-1", "exp": now + 600}
    stranger = token_signer(yard.directory, "stranger")
    reasons = {
        yard.token(exp=now - 3600): "token-expired",
        yard.token(nbf=now + 3600): "token-not-yet-valid",
        yard.token(aud="somebody-else"): "token-wrong-audience",
        yard.token(iss="https://evil.example.com"): "token-wrong-issuer",
        yard.token(stranger): "token-key-unknown",
        yard.token(email=None): "token-user-missing",
        yard.token(email_verified=False): "token-email-unverified",
        hs256(yard, claims): "token-hmac-with-key-set",
        "e30.e30.": "token-header-malformed",
        "": "token-malformed",
    }
    for token, reason in reasons.items():
        assert yard.certify(yard.key(), token).outcome == (401, reason), token


def test_a_token_that_ended_a_moment_ago(yard: Yard) -> None:
    """Leeway would still let it in; a certificate that has ended is of no use."""
    assert yard.certify(yard.key(), yard.token(exp=int(time.time()) - 5)).outcome == (401, "token-expired")


def test_the_token_of_a_certificate_buys_no_other(yard: Yard) -> None:
    """What hoopjump-ca embeds is for the bastion alone."""
    token = yard.bound.sign({"iss": URL, "aud": "bastion", "sub": "x", "exp": int(time.time()) + 60}).decode()
    assert yard.certify(yard.key(), token).outcome == (401, "token-wrong-issuer")


@pytest.mark.parametrize("user", ["alice bob", "alice,root", "a*", "ali\u00e7e", "alice\\n"])
def test_a_name_that_cannot_be_a_principal(yard: Yard, user: str) -> None:
    """A comma would be two names, a star would be everybody."""
    assert yard.certify(yard.key(), yard.token(email=user)).outcome == (403, "user-not-principal")


@pytest.mark.parametrize("bound", [{"jkt": "x" * 43}, {"x5t#S256": "x" * 43}, {}])
def test_a_stolen_token_that_is_bound_to_a_key_is_not_unbound_here(yard: Yard, bound: dict[str, str]) -> None:
    """By DPoP (RFC 9449) or TLS (RFC 8705): the thief's own SSH key is not the one that it names."""
    assert yard.certify(yard.key(), yard.token(cnf=bound)).outcome == (401, "token-misplaced")


def test_embedding_where_there_is_no_key_for_it(new_yard: Callable[..., Yard]) -> None:
    """Without [token] the request is refused, and not granted without what was asked for."""
    yard = new_yard({"[token]": None})
    assert yard.certify(yard.key(), embed_token=True).outcome == (400, "embedding-off")
    assert yard.certify(yard.key()).status == 200


# -- The request ----------------------------------------------------------------------------------------------------


def test_requests_that_are_none(yard: Yard) -> None:
    """JSON as strict as in tokens, and no member more or of another type."""
    body = yard.body(yard.key())
    text = json.dumps(body)
    for data in (
        b"",
        b"null",
        b"[]",
        text.encode("utf-16"),
        text.replace("{", '{"token": "x", ', 1).encode(),
        json.dumps({**body, "principals": ["root"]}).encode(),
        json.dumps({**body, "time": str(body["time"])}).encode(),
        json.dumps({**body, "time": float(body["time"])}).encode(),
        json.dumps({**body, "time": True}).encode(),
        json.dumps({**body, "embed_token": 1}).encode(),
        json.dumps({**body, "token": None}).encode(),
        json.dumps({name: value for name, value in body.items() if name != "proof"}).encode(),
        b"[" * 60000,
        b'{"a":' * 10000,
    ):
        assert yard.post(data).outcome == (400, "request-malformed"), data[:60]
    assert yard.post(json.dumps({**body, "token": "\u00e9"}).encode()).outcome == (400, "request-malformed")


def test_refusals_say_a_sentence_and_a_reference_and_no_more(yard: Yard) -> None:
    """The detail is for the log."""
    answer = yard.certify(yard.key(), yard.token(aud="elsewhere"))
    assert answer.json.keys() == {"reason", "sentence", "ref"}
    assert answer.json["sentence"] == "The token is for somebody else."
    assert len(answer.json["ref"]) == 8
    line = next(event for event in yard.events() if event["ref"] == answer.json["ref"])
    assert "elsewhere" in line["detail"]


def test_the_statement_is_the_documented_one(yard: Yard) -> None:
    """Written by hand, signed by ssh-keygen, taken by the service."""
    key, token, now = yard.key(), yard.token(), int(time.time())
    digest = hashlib.sha256(token.encode()).hexdigest()
    text = f"hoopjump-ca v1\nhttps://ca.example.com\n{now}\n{digest}\n"
    assert yard.certify(key, token, time=now, proof=prove(key, text.encode())).status == 200
