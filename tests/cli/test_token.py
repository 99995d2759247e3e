"""`hoopjump token`: keys, tokens, and the verdict on them."""

from __future__ import annotations

import json
import stat
import subprocess
import time
from pathlib import Path

import jwt as pyjwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from hoopjump.cli.token_key import KINDS
from tests.cli.conftest import Run
from tests.hostile.tokens.forge import AUDIENCE, ISSUER

NAMES = ("--issuer", ISSUER, "--audience", AUDIENCE)


@pytest.fixture
def signing(hoopjump: Run, tmp_path: Path) -> Path:
    """A directory with a key (``key``) and its set (``key.jwks``)."""
    assert hoopjump("token", "keygen", tmp_path / "key").status == 0
    return tmp_path


def issued(hoopjump: Run, *arguments: str | Path) -> bytes:
    """A token of alice's."""
    said = hoopjump("token", "issue", *NAMES, "--subject", "alice", *arguments)
    assert said.status == 0, said.err
    return said.out.encode()


@pytest.mark.parametrize("algorithm", [kind for kind in KINDS if kind != "HS256"])
def test_a_token_of_every_algorithm_is_made_and_verified(hoopjump: Run, tmp_path: Path, algorithm: str) -> None:
    """By us, and by PyJWT with the key set that was written."""
    said = hoopjump("token", "keygen", tmp_path / "key", "--algorithm", algorithm)
    assert said.out == f"{tmp_path}/key.jwks\n"
    assert stat.S_IMODE((tmp_path / "key").stat().st_mode) == 0o600
    choice = () if algorithm in ("EdDSA", "ES256", "ES384") else ("--algorithm", algorithm)
    made = issued(hoopjump, "--key", tmp_path / "key", "--claim", 'groups=["a","b"]', *choice)
    said = hoopjump(
        *("token", "verify", "--jwks", tmp_path / "key.jwks", *NAMES, "--algorithm", algorithm),
        *("--groups-claim", "groups", "--json", "-"),
        stdin=made,
    )
    assert said.status == 0, said.err
    found = json.loads(said.out)
    assert (found["valid"], found["user"], found["groups"]) == (True, "alice", ["a", "b"])
    (key,) = pyjwt.PyJWKSet.from_json((tmp_path / "key.jwks").read_text()).keys
    assert found["key"] == key.key_id
    assert pyjwt.decode(made.strip(), key, [algorithm], audience=AUDIENCE, issuer=ISSUER)["sub"] == "alice"


def test_a_token_by_a_shared_secret(hoopjump: Run, tmp_path: Path) -> None:
    """Who signs keeps its file as private as a key's; another secret is another issuer."""
    for name in ("secret", "other"):
        assert hoopjump("token", "keygen", tmp_path / name, "--algorithm", "HS256").status == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["other", "secret"]
    made = issued(hoopjump, "--secret-file", tmp_path / "secret")
    assert hoopjump("token", "verify", "--secret-file", tmp_path / "secret", *NAMES, "-", stdin=made).status == 0
    said = hoopjump("token", "verify", "--secret-file", tmp_path / "other", *NAMES, "-", stdin=made)
    assert said.status == 1
    assert said.err.startswith("hoopjump: token-bad-signature: ")
    (tmp_path / "secret").chmod(0o644)
    assert hoopjump("token", "verify", "--secret-file", tmp_path / "secret", *NAMES, "-", stdin=made).status == 0
    said = hoopjump("token", "issue", "--secret-file", tmp_path / "secret", *NAMES, "--subject", "alice")
    assert said.status == 2
    assert (
        said.err == f"hoopjump: {tmp_path}/secret: others may read this\nhoopjump: hint: chmod 0600 {tmp_path}/secret\n"
    )


def test_a_verified_token_is_shown_to_people(hoopjump: Run, signing: Path) -> None:
    """Whom it names, and until when."""
    made = issued(hoopjump, "--key", signing / "key", "--valid", "20260101000000Z:20360101000000Z")
    (signing / "token").write_bytes(made)
    said = hoopjump("token", "verify", "--jwks", signing / "key.jwks", *NAMES, signing / "token")
    assert said.status == 0
    assert said.out.startswith(
        f"issuer   {ISSUER}\nsubject  alice\nuser     alice\ngroups\nexpires  2036-01-01 00:00:00 UTC\n"
    )


def test_a_refusal_is_one_line_with_its_reason(hoopjump: Run, signing: Path) -> None:
    """On stderr, and in the JSON; nothing of the signature is in either."""
    made = issued(hoopjump, "--key", signing / "key", "--valid", "-2h:-1h")
    said = hoopjump("token", "verify", "--jwks", signing / "key.jwks", *NAMES, "--json", "-", stdin=made)
    assert said.status == 1
    found = json.loads(said.out)
    assert (found["valid"], found["reason"], found["sentence"]) == (False, "token-expired", "The token has expired.")
    assert said.err.startswith("hoopjump: token-expired: the token has expired (ended ")
    assert said.err.count("\n") == 1
    assert made.rpartition(b".")[2].decode().strip() not in said.out + said.err


def test_a_token_is_verified_as_of_another_time(hoopjump: Run, signing: Path) -> None:
    """Unix seconds and ISO 8601; what is no time is wrong usage."""
    made = issued(hoopjump, "--key", signing / "key")

    def at(moment: str) -> tuple[int, str]:
        said = hoopjump(
            "token", "verify", "--jwks", signing / "key.jwks", *NAMES, "--at", moment, "--json", "-", stdin=made
        )
        return said.status, json.loads(said.out).get("reason", "") if said.status < 2 else ""

    assert at(str(int(time.time()) + 60)) == (0, "")
    assert at("2999-01-01") == (1, "token-expired")
    assert at("2020-01-31T12:00:00Z") == (1, "token-not-yet-valid")
    assert at("soon") == (2, "")
    assert at("9" * 400) == (2, "")


def test_issuer_and_audience_must_be_the_named_ones(hoopjump: Run, signing: Path) -> None:
    """And the algorithm one of those named."""
    made = issued(hoopjump, "--key", signing / "key")
    for arguments, code in (
        (("--issuer", "https://other.example", "--audience", AUDIENCE), "token-wrong-issuer"),
        (("--issuer", ISSUER, "--audience", "other"), "token-wrong-audience"),
        ((*NAMES, "--algorithm", "RS256"), "token-wrong-algorithm"),
        ((*NAMES, "--typ", "at+jwt"), "token-wrong-type"),
        ((*NAMES, "--require", "email"), "token-claim-missing"),
        ((*NAMES, "--user-claim", "email"), "token-user-missing"),
    ):
        said = hoopjump("token", "verify", "--jwks", signing / "key.jwks", *arguments, "--json", "-", stdin=made)
        assert (said.status, json.loads(said.out)["reason"]) == (1, code)


def test_keys_and_algorithms_that_do_not_fit_are_wrong_usage(hoopjump: Run, signing: Path) -> None:
    """Nobody can ask for HMAC with a key set."""
    made = issued(hoopjump, "--key", signing / "key")
    for arguments in (
        ("--jwks", signing / "key.jwks", "--algorithm", "HS256"),
        ("--jwks", signing / "key.jwks", "--typ", "logout+jwt"),
        ("--jwks", signing / "key.jwks", "--secret-file", signing / "key"),
        (),
    ):
        assert hoopjump("token", "verify", *arguments, *NAMES, "-", stdin=made).status == 2
    said = hoopjump("token", "verify", "--jwks", signing / "key.jwks", "--algorithm", "HS256", *NAMES, "-", stdin=made)
    assert said.err.startswith("hoopjump: HS256 goes with a shared secret")


def test_a_public_key_is_no_shared_secret(hoopjump: Run, signing: Path) -> None:
    """Not even where somebody names it as one."""
    (signing / "key.jwks").chmod(0o600)
    for command in ("issue", "verify"):
        rest = ("--subject", "root") if command == "issue" else ("-",)
        said = hoopjump("token", command, "--secret-file", signing / "key.jwks", *NAMES, *rest)
        assert said.status == 2
        assert "not a shared secret" in said.err


def test_a_claim_without_an_end_is_wrong_usage(hoopjump: Run, tmp_path: Path) -> None:
    """And no fault of ours."""
    assert hoopjump("token", "keygen", tmp_path / "key").status == 0
    said = hoopjump(
        *("token", "issue", "--key", tmp_path / "key", "--issuer", "i", "--audience", "a", "--subject", "s"),
        *("--claim", f"x={'[' * 100_000}"),
    )
    assert (said.status, said.out) == (2, "")
    assert "nested too deeply" in said.err


def test_inspect_shows_what_is_said_and_not_the_signature(hoopjump: Run, signing: Path) -> None:
    """Without a verdict."""
    made = issued(hoopjump, "--key", signing / "key", "--claim", "email=alice@example.com")
    said = hoopjump("token", "inspect", "-", stdin=made)
    found = json.loads(said.out)
    assert (said.status, found["verified"], found["header"]["alg"]) == (0, False, "EdDSA")
    assert found["claims"]["email"] == "alice@example.com"
    assert made.rpartition(b".")[2].decode().strip() not in said.out
    said = hoopjump("token", "inspect", "-", stdin=b"no token")
    assert (said.status, said.err.count("\n")) == (1, 1)


def test_jwks_gathers_public_keys(hoopjump: Run, signing: Path) -> None:
    """From private and public ones, and never a private member."""
    assert hoopjump("token", "keygen", signing / "rsa", "--algorithm", "RS256").status == 0
    public = subprocess.run(["openssl", "pkey", "-in", signing / "rsa", "-pubout"], capture_output=True, check=True)
    (signing / "rsa.pub").write_bytes(public.stdout)
    said = hoopjump("token", "jwks", signing / "key", signing / "rsa", signing / "rsa.pub")
    keys = json.loads(said.out)["keys"]
    assert [key["kty"] for key in keys] == ["OKP", "RSA"]
    assert json.loads(hoopjump("token", "jwks", signing / "rsa.pub").out)["keys"] == keys[1:]
    assert not {"d", "p", "q"} & {name for key in keys for name in key}
    assert hoopjump("token", "jwks", signing / "key.jwks").status == 2


def test_nothing_is_overwritten_without_force(hoopjump: Run, signing: Path) -> None:
    """Neither the key nor its set."""
    before = (signing / "key").read_bytes()
    assert hoopjump("token", "keygen", signing / "key").status == 1
    assert (signing / "key").read_bytes() == before
    assert hoopjump("token", "keygen", signing / "key", "--force").status == 0
    assert (signing / "key").read_bytes() != before


def test_a_token_has_an_end(hoopjump: Run, signing: Path) -> None:
    """What would be refused is not issued by mistake."""
    arguments = ("--key", signing / "key", *NAMES, "--subject", "alice", "--valid", "forever")
    said = hoopjump("token", "issue", *arguments)
    assert (said.status, said.out) == (2, "")


def test_a_claim_is_json_or_text(hoopjump: Run, signing: Path) -> None:
    """NaN, which Python takes for JSON, is text."""
    claims = ("--claim", "a=NaN", "--claim", "b=-Infinity", "--claim", "c=null", "--claim", "d=1=2")
    made = issued(hoopjump, "--key", signing / "key", *claims)
    found = json.loads(hoopjump("token", "inspect", "-", stdin=made).out)["claims"]
    assert [found[name] for name in "abcd"] == ["NaN", "-Infinity", None, "1=2"]


def test_a_number_without_a_value_is_not_issued(hoopjump: Run, signing: Path) -> None:
    """Nobody could read the token."""
    arguments = ("--key", signing / "key", *NAMES, "--subject", "alice", "--claim", "n=[1e999]")
    said = hoopjump("token", "issue", *arguments)
    assert (said.status, said.out) == (2, "")
    assert "1e999" in said.err


def test_a_key_that_cannot_sign_is_refused_with_its_reason(hoopjump: Run, signing: Path, tmp_path: Path) -> None:
    """A weak one is not published either."""
    weak = tmp_path / "weak"
    key = rsa.generate_private_key(65537, 1024)
    weak.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    weak.chmod(0o600)
    for arguments in (("issue", "--key", weak, *NAMES, "--subject", "alice"), ("jwks", weak)):
        said = hoopjump("token", *arguments)
        assert (said.status, said.out) == (2, "")
        assert "an RSA key of 1024 bits is too weak" in said.err
    said = hoopjump("token", "issue", "--key", signing / "key", "--algorithm", "RS256", *NAMES, "--subject", "alice")
    assert said.status == 2
    assert "hint: this one signs with EdDSA" in said.err
