"""A certificate for a token: what is in it, as ssh-keygen reads it, and who may have it."""

from __future__ import annotations

import json
import re
import subprocess
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import pytest

from hoopjump.decision.jwk import parse_key_set
from hoopjump.decision.presented import embedded_token, in_certificate
from hoopjump.decision.token import VerifiedToken, verify
from hoopjump.decision.token_policy import IssuerPolicy, TrustedIssuer, trust
from tests.ca.yard import BASTION, EMAIL, ISSUER, URL, Yard


def listed(directory: Path, line: str) -> dict[str, str]:
    """What `ssh-keygen -L` says, by its labels; lists are joined with commas."""
    path = directory / "listed-cert.pub"
    path.write_text(line)
    said = subprocess.run(["ssh-keygen", "-L", "-f", path], capture_output=True, text=True, check=True).stdout
    fields: dict[str, str] = {}
    label = ""
    for text in said.splitlines()[1:]:
        found = re.match(r" {8}(\S[^:]*): ?(.*)", text)
        if found:
            label = found[1]
            fields[label] = found[2]
        else:
            fields[label] += ("," if fields[label] else "") + text.strip()
    return fields


def verified_bound(yard: Yard, token: bytes) -> VerifiedToken:
    """The token within, as the bastion verifies it."""
    policy = IssuerPolicy(URL, frozenset({BASTION}), frozenset({"EdDSA"}), groups_claim="groups")
    keys = parse_key_set((yard.directory / "bound.jwks").read_bytes())
    return verify(token, trust(TrustedIssuer(policy, keys)), time.time())


def test_ssh_keygen_reads_in_it_what_was_to_be_granted(yard: Yard, tmp_path: Path) -> None:
    """Field by field, with its defaults."""
    before = int(time.time())
    answer = yard.certify(yard.key(), yard.token(exp=before + 600, jti="t-1"))
    after = int(time.time())
    fields = listed(tmp_path, answer.json["certificate"])
    key = subprocess.run(["ssh-keygen", "-lf", yard.key()], capture_output=True, text=True, check=True).stdout
    ca = subprocess.run(["ssh-keygen", "-lf", yard.ca], capture_output=True, text=True, check=True).stdout
    assert fields["Type"] == "ssh-ed25519-cert-v01@openssh.com user certificate"
    assert fields["Public key"] == f"ED25519-CERT {key.split()[1]}"
    assert fields["Signing CA"] == f"ED25519 {ca.split()[1]} (using ssh-ed25519)"
    assert fields["Key ID"] == f'"{EMAIL} jti=t-1"'
    assert fields["Serial"] == str(answer.json["serial"])
    assert fields["Principals"] == EMAIL
    assert answer.json["principals"] == [EMAIL]
    assert fields["Critical Options"] == "(none)"
    assert fields["Extensions"] == "permit-port-forwarding,permit-pty"
    begin, end = (
        datetime.fromisoformat(text).astimezone().timestamp()
        for text in re.findall(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d", fields["Valid"])
    )
    assert before - 60 <= begin <= after - 60
    assert end == answer.json["valid_before"] == before + 600


def test_it_ends_with_the_token_or_with_the_longest_life(yard: Yard) -> None:
    """Whichever comes first: eight hours unless configured."""
    now = int(time.time())
    assert yard.certify(yard.key(), yard.token(exp=now + 90)).json["valid_before"] == now + 90
    long = yard.certify(yard.key("other"), yard.token(exp=now + 30 * 3600)).json["valid_before"]
    assert now + 8 * 3600 <= long <= int(time.time()) + 8 * 3600


@pytest.mark.parametrize(
    "options",
    [
        ("-t", "ed25519"),
        ("-t", "ecdsa", "-b", "256"),
        ("-t", "ecdsa", "-b", "384"),
        ("-t", "ecdsa", "-b", "521"),
        ("-t", "rsa", "-b", "2048"),
    ],
    ids=lambda options: "-".join(options[1::2]),
)
def test_every_kind_of_key_gets_one_with_a_token_bound_to_it(yard: Yard, options: tuple[str, ...]) -> None:
    """The bastion takes the embedded token with this certificate, and with the certificate of no other key."""
    answer = yard.certify(yard.key("-".join(options[1::2]), *options), yard.token(jti="t-1"), embed_token=True)
    certificate = answer.certificate
    token = embedded_token(certificate)
    assert token is not None
    verified = verified_bound(yard, token)
    told = in_certificate(verified, "email", certificate, bound=True)
    assert (told.user, told.groups, told.ends - 30) == (EMAIL, ("dev", "ops"), certificate.valid_before)
    original = {"iss": ISSUER, "sub": "u-1", "jti": "t-1"}
    assert original.items() <= verified.claims["orig"].items()
    other = yard.certify(yard.key("other"), yard.token()).certificate
    with pytest.raises(Exception, match="token-other-key"):
        in_certificate(verified, "email", other, bound=True)


def test_the_provider_s_own_token_is_nowhere_in_it(yard: Yard) -> None:
    """A certificate is public, and whoever had the provider's token could use it elsewhere."""
    token = yard.token()
    certificate = yard.certify(yard.key(), token, embed_token=True).certificate
    assert token.split(".")[2].encode() not in certificate.blob
    assert embedded_token(yard.certify(yard.key("other"), token).certificate) is None


def test_serials_are_random(yard: Yard) -> None:
    """Nobody can tell from one how many there were, and revocation lists can name each."""
    serials = {yard.certify(yard.key(name), yard.token()).json["serial"] for name in ("user", "other", "third")}
    assert len(serials) == 3
    assert max(serials) > 2**32


def test_each_certificate_and_each_refusal_leaves_a_line(yard: Yard) -> None:
    """Who, from where, for which token, which certificate; and no token."""
    token = yard.token(jti="t-audited")
    issued = yard.certify(yard.key(), token)
    refused = yard.certify(yard.key(), "x.y.z")
    events = yard.events()
    line = next(event for event in events if event.get("token_id") == "t-audited")
    assert line["kind"] == "certificate-issued"
    assert (line["user"], line["subject"], line["issuer"], line["source"]) == (EMAIL, "u-1", ISSUER, "127.0.0.1")
    assert line["certificate"]["serial"] == str(issued.json["serial"])
    line = next(event for event in events if event["ref"] == refused.json["ref"])
    assert (line["kind"], line["reason"]) == ("certificate-refused", refused.json["reason"])
    assert token not in yard.audit.read_text() + yard.log.read_text()
    assert token.split(".")[2] not in yard.audit.read_text() + yard.log.read_text()


def test_extensions_life_and_key_id_are_as_configured(new_yard: Callable[..., Yard], tmp_path: Path) -> None:
    """Everything that ca.toml says of certificates."""
    text = 'extensions = ["permit-pty", "permit-agent-forwarding"]\nlongest = 60\nkey_id = "user"'
    yard = new_yard({"[certificate]": f'ca_key = "file:{tmp_path}/ca"\n{text}'})
    now = int(time.time())
    answer = yard.certify(yard.key())
    fields = listed(tmp_path, answer.json["certificate"])
    assert fields["Extensions"] == "permit-agent-forwarding,permit-pty"
    assert fields["Key ID"] == f'"{EMAIL}"'
    assert now + 60 <= answer.json["valid_before"] <= int(time.time()) + 60


def test_behind_a_proxy_the_header_tells_the_source(new_yard: Callable[..., Yard]) -> None:
    """On a Unix socket, which nobody but owner and group can reach; without the header nothing is issued."""
    yard = new_yard(unix=True)
    assert yard.unix is not None
    assert yard.unix.stat().st_mode & 0o777 == 0o660
    assert yard.post(yard.body(yard.key()), {"X-Real-IP": "2001:db8::7"}).status == 200
    assert yard.post(yard.body(yard.key("other"))).outcome == (400, "request-malformed")
    issued, refused = yard.events()
    assert issued["source"] == "2001:db8::7"
    assert (refused["source"], refused["detail"]) == ("unknown", "the proxy sends no single address in X-Real-IP")


@pytest.mark.parametrize("sent", [[], [""], ["203.0.113.66", "192.0.2.1"], ["203.0.113.66, 192.0.2.1"], ["localhost"]])
def test_a_proxy_that_lets_clients_have_a_say(new_yard: Callable[..., Yard], sent: list[str]) -> None:
    """One that adds its header to the client's own, or none: nothing is issued, and the audit trail is not flooded."""
    yard = new_yard({"[limits]": "per_source = 3"}, unix=True)
    outcomes = []
    for _ in range(8):
        connection = yard.connection()
        connection.putrequest("POST", "/ssh/certificates")
        for number, address in enumerate(sent):
            connection.putheader("X-Real-IP" if number else "x-real-ip", address)
        connection.putheader("Content-Length", "0")
        connection.endheaders()
        outcomes.append(connection.getresponse().status)
        connection.close()
    assert (outcomes[:3], outcomes[-1]) == ([400, 400, 400], 429)
    assert {event["source"] for event in yard.events()} == {"unknown"}
    assert len(yard.events()) <= 5
    assert yard.post(yard.body(yard.key()), {"X-Real-IP": "192.0.2.1"}).status == 200


def test_over_tls_nobody_believes_the_header(yard: Yard) -> None:
    """Else everybody could choose whose limit counts."""
    answer = yard.post({**yard.body(yard.key()), "proof": "x"}, {"X-Real-IP": "192.0.2.1"})
    line = next(event for event in yard.events() if event["ref"] == answer.json["ref"])
    assert line["source"] == "127.0.0.1"


def test_health_and_numbers_and_nothing_else(yard: Yard) -> None:
    """Two more paths; everything else is not found."""
    yard.certify(yard.key())
    assert (yard.ask("GET", "/healthz").status, yard.ask("GET", "/healthz").body) == (200, b"ok\n")
    numbers = yard.ask("GET", "/metrics")
    assert numbers.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    counted = dict(
        line.rsplit(" ", 1) for line in numbers.body.decode().splitlines() if line and not line.startswith("#")
    )
    issued = sum(event["kind"] == "certificate-issued" for event in yard.events())
    assert int(counted["hoopjump_ca_certificates_total"]) == issued
    assert int(counted["hoopjump_ca_connections"]) >= 1
    for path in ("/", "/ssh/certificates/", "/ssh", "/jwks.json", "/metrics/../etc/passwd", "/%2e%2e/", "/%6detrics"):
        assert yard.ask("GET", path).status == 404, path
    assert yard.ask("GET", "/ssh/certificates").status == yard.ask("POST", "/metrics").status == 405


def test_a_token_without_an_identifier_and_one_with_a_strange_one(yard: Yard) -> None:
    """The key ID then names the user alone: what a log shows must not be bent by a token."""
    key = yard.key()
    assert yard.certify(key, yard.token(jti=None)).certificate.key_id == EMAIL
    assert yard.certify(yard.key("other"), yard.token(jti="a b\n" + "c" * 200)).certificate.key_id == EMAIL
    assert json.loads(yard.audit.read_text().splitlines()[-1])["kind"] == "certificate-issued"
