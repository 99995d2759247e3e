"""`hoopjump cert inspect`: every field, one sentence for what is wrong, and nothing that acts on a terminal."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from hoopjump.cli.flaws import FLAWS
from tests.cli.conftest import Run, keygen

# What is malformed, or not signed by the CA that it names; all other flaws are for the decision to refuse.
REFUSED = {
    "nul-principal": "principals: contains a NUL byte",
    "too-many-principals": "principals: are more than 256",
    "forged": "signature: is not by the CA that the certificate names",
    "bad-signature": "signature: is not by the CA that the certificate names",
    "sha1-signature": "signature algorithm: 'ssh-rsa' is not accepted",
    "ca-is-certificate": "signature key: is itself a certificate",
    "no-type": "certificate type: 3 is neither",
    "unsorted-options": "extensions: 'permit-port-forwarding' is out of order",
    "repeated-option": "extensions: 'permit-pty' is there twice",
    "extension-data": "extensions: 'permit-pty' carries data",
    "trailing-bytes": "certificate: is followed by 1 unexpected bytes",
    "truncated": "signature: is cut off",
}


@pytest.fixture
def flawed(hoopjump: Run, place: Path, request: pytest.FixtureRequest) -> Path:
    """A certificate with the flaw that the test is parametrized with."""
    said = hoopjump(
        *("cert", "issue", "--ca", place / "ca", "--principal", "alice", "--flaw", request.param),
        *("--out", place / "flawed", place / "user.pub"),
    )
    assert said.status == 0, said.err
    assert f"hoopjump: warning: for tests only: it {FLAWS[request.param].text}\n" in said.err
    return place / "flawed"


@pytest.mark.parametrize("flawed", REFUSED, indirect=True)
def test_what_is_malformed_or_wrongly_signed_is_one_sentence_and_exit_1(
    flawed: Path, hoopjump: Run, request: pytest.FixtureRequest
) -> None:
    """Nothing on stdout; with --json the same as data."""
    name = request.node.callspec.params["flawed"]
    said = hoopjump("cert", "inspect", flawed)
    assert (said.status, said.out) == (1, "")
    assert said.err.startswith(f"hoopjump: {flawed}: {REFUSED[name]}")
    assert said.err.count("\n") == 1
    said = hoopjump("cert", "inspect", "--json", flawed)
    assert said.status == 1
    assert json.loads(said.out)["well_formed"] is False


@pytest.mark.parametrize("flawed", [name for name in FLAWS if name not in REFUSED], indirect=True)
def test_what_is_well_formed_and_signed_is_shown_and_exit_0(flawed: Path, hoopjump: Run) -> None:
    """Also when it has expired, names nobody or comes from an unknown CA: that is for the decision."""
    said = hoopjump("cert", "inspect", flawed)
    assert (said.status, said.err) == (0, "")
    assert re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]", said.out) is None


@pytest.mark.parametrize("flawed", ["expired", "not-yet-valid"], indirect=True)
def test_the_window_is_told_as_it_stands_now(flawed: Path, hoopjump: Run, request: pytest.FixtureRequest) -> None:
    """Next to the dates, in words."""
    word = {"expired": "(expired)", "not-yet-valid": "(not yet valid)"}[request.node.callspec.params["flawed"]]
    assert word in hoopjump("cert", "inspect", flawed).out


def test_every_field_is_shown(hoopjump: Run, place: Path) -> None:
    """Labels and values, the nonce and the reserved field included."""
    hoopjump(
        *("cert", "issue", "--ca", place / "ca", "--principal", "alice", "--principal", "bob", "--serial", "7"),
        *("--critical-option", "force-command=/bin/ls -l", "--valid", "always:forever", place / "user.pub"),
    )
    said = hoopjump("cert", "inspect", place / "user-cert.pub")
    key = keygen("-l", "-f", place / "user.pub").stdout.split()[1]
    ca = keygen("-l", "-f", place / "ca.pub").stdout.split()[1]
    nonce = re.search(r"^nonce +([0-9a-f]{64})$", said.out, re.MULTILINE)
    assert nonce
    assert said.out.splitlines() == [
        "type              user certificate, ssh-ed25519-cert-v01@openssh.com",
        f"key               ssh-ed25519, 256 bits, {key}",
        f"signed by         ssh-ed25519, 256 bits, {ca} (signature ssh-ed25519)",
        "serial            7",
        "key ID            alice",
        "principals        alice",
        "                  bob",
        "valid             from always to forever (valid now)",
        "critical options  force-command /bin/ls -l",
        "extensions        permit-port-forwarding",
        "                  permit-pty",
        f"nonce             {nonce[1]}",
        "reserved          (empty)",
    ]


def test_json_holds_the_same_fields(hoopjump: Run, place: Path) -> None:
    """Numbers of 64 bits are text, option data hexadecimal beside their text."""
    hoopjump(
        *("cert", "issue", "--ca", place / "ca", "--principal", "alice", "--serial", "18446744073709551615"),
        *("--extension", "note@x=hi", "--valid", "20260101Z:forever", place / "user.pub"),
    )
    data = json.loads(hoopjump("cert", "inspect", "--json", place / "user-cert.pub").out)
    assert data["well_formed"] is True
    assert data["serial"] == "18446744073709551615"
    assert data["valid_after"] == "1767225600"
    assert data["valid_before"] == "18446744073709551615"
    assert data["extensions"] == [{"name": "note@x", "value": "hi", "data": "000000026869"}]
    assert set(data) >= {"type", "key_type", "key", "ca", "signature_algorithm", "principals", "nonce", "reserved"}


def test_control_characters_come_out_as_escapes(hoopjump: Run, place: Path) -> None:
    """A certificate of another tool may hold anything; ssh-keygen signs such a key ID."""
    hostile = "x\x1b]0;owned\x07\r\nhoopjump: ok \x9b31m"
    keygen("-q", "-s", place / "ca", "-I", hostile, "-n", "al\x1bice", "-O", "clear", place / "user.pub")
    said = hoopjump("cert", "inspect", place / "user-cert.pub")
    assert said.status == 0
    assert "key ID            x\\x1b]0;owned\\x07\\r\\nhoopjump: ok \\x9b31m\n" in said.out
    assert "principals        al\\x1bice\n" in said.out
    as_json = hoopjump("cert", "inspect", "--json", place / "user-cert.pub").out
    assert json.loads(as_json)["key_id"] == hostile
    assert re.search(r"[^\n\x20-\x7e]", as_json) is None


def test_an_endless_file_is_read_with_a_bound(hoopjump: Run) -> None:
    """/dev/zero ends in a sentence."""
    said = hoopjump("cert", "inspect", "/dev/zero")
    assert said.status == 1
    assert said.err.startswith("hoopjump: /dev/zero: larger than ")


@pytest.mark.parametrize("content", [b"", b"\xff\xfe\x00", b"ssh-ed25519-cert-v01@openssh.com\n", b"\x1b[2J x y"])
def test_what_is_no_certificate_is_one_sentence(content: bytes, hoopjump: Run) -> None:
    """Read from stdin as well; a plain key says so."""
    said = hoopjump("cert", "inspect", "-", stdin=content)
    assert (said.status, said.out, said.err.count("\n")) == (1, "", 1)
    assert "\x1b" not in said.err


def test_a_plain_key_is_told_apart(hoopjump: Run, place: Path) -> None:
    """The commonest mistake gets its own words."""
    said = hoopjump("cert", "inspect", place / "user.pub")
    assert said.status == 1
    assert "a plain key, not a certificate" in said.err
