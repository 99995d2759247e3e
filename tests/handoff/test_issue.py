"""Certificates that we write, read back by ssh-keygen."""

from __future__ import annotations

import base64
import subprocess
from pathlib import Path

import pytest

from hoopjump.decision.keys import fingerprint, read_public_key
from hoopjump.decision.wire import Reader, encode_string
from hoopjump.handoff.issue import HOST, CertificateSpec, IssueError, PrivateKeySigner, issue, options

KINDS = [("ed25519", "256"), ("ecdsa", "256"), ("ecdsa", "384"), ("ecdsa", "521"), ("rsa", "2048")]
POINT = b"\x04" + bytes.fromhex(
    # The base point of NIST P-256: a valid point is all that is wanted of a hardware key that does not exist.
    "6b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c296"
    "4fe342e2fe1a7f9b8ee7eb4a7c0f9e162bce33576b315ececbb6406837bf51f5"
)
SK_ED25519 = encode_string(b"sk-ssh-ed25519@openssh.com") + encode_string(b"\x07" * 32) + encode_string(b"ssh:")
SK_ECDSA = (
    encode_string(b"sk-ecdsa-sha2-nistp256@openssh.com")
    + encode_string(b"nistp256")
    + encode_string(POINT)
    + encode_string(b"ssh:")
)


def keygen(directory: Path, name: str, kind: str = "ed25519", bits: str = "256") -> Path:
    path = directory / name
    subprocess.run(["ssh-keygen", "-q", "-t", kind, "-b", bits, "-N", "", "-C", "", "-f", path], check=True)
    return path


def public_blob(path: Path) -> bytes:
    return read_public_key(path.with_suffix(".pub").read_bytes()).blob


def shown(directory: Path, blob: bytes) -> str:
    path = directory / "shown-cert.pub"
    kind = Reader(blob).text("key type")
    path.write_text(f"{kind} {base64.b64encode(blob).decode()}\n")
    environment = {"PATH": "/usr/bin:/bin", "TZ": "UTC"}
    return subprocess.run(
        ["ssh-keygen", "-L", "-f", path], check=True, text=True, capture_output=True, env=environment
    ).stdout


def fields(text: str) -> list[str]:
    return [line.strip() for line in text.splitlines()]


@pytest.mark.parametrize(("kind", "bits"), KINDS)
def test_keygen_reads_every_field_of_a_certificate(tmp_path: Path, kind: str, bits: str) -> None:
    """ssh-keygen -L shows the fields that were asked for, whatever kinds the key and the authority are."""
    authority, key = keygen(tmp_path, "ca", kind, bits), keygen(tmp_path, "key", kind, bits)
    signer = PrivateKeySigner.from_openssh(authority.read_text())
    spec = CertificateSpec(
        public_key=public_blob(key),
        key_id="alice's laptop",
        principals=("alice@x.io", "alice"),
        valid_after=1_700_000_000,
        valid_before=1_700_003_600,
        serial=2**64 - 1,
        critical_options=options({"source-address": "10.0.0.0/8"}),
        extensions=options({"permit-pty": "", "permit-X11-forwarding": "", "note@x.io": "hello"}),
    )
    lines = fields(shown(tmp_path, issue(spec, signer)))
    assert 'Key ID: "alice\'s laptop"' in lines
    assert "Serial: 18446744073709551615" in lines
    assert "Valid: from 2023-11-14T22:13:20 to 2023-11-14T23:13:20" in lines
    assert lines[lines.index("Principals:") + 1 :][:2] == ["alice@x.io", "alice"]
    assert "source-address 10.0.0.0/8" in lines
    extensions = lines[lines.index("Extensions:") + 1 :]
    assert extensions[:1] == ["note@x.io UNKNOWN OPTION: 0000000568656c6c6f (len 9)"]
    assert extensions[1:] == ["permit-X11-forwarding", "permit-pty"]
    assert any(fingerprint(public_blob(authority)) in line for line in lines)
    assert any(fingerprint(public_blob(key)) in line for line in lines if line.startswith("Public key"))


@pytest.mark.parametrize("blob", [SK_ED25519, SK_ECDSA], ids=["sk-ed25519", "sk-ecdsa"])
def test_hardware_keys_can_be_certified(tmp_path: Path, blob: bytes) -> None:
    """A FIDO public key is certified with its application, though nobody here can use it."""
    signer = PrivateKeySigner.from_openssh(keygen(tmp_path, "ca").read_text())
    text = shown(tmp_path, issue(CertificateSpec(public_key=blob, principals=("bob",)), signer))
    assert "Type: sk-" in text
    assert "Valid: forever" in text


def test_a_wrong_certificate_is_written_as_told(tmp_path: Path) -> None:
    """The writer does not judge: a host certificate without principals whose window is empty comes out so."""
    signer = PrivateKeySigner.from_openssh(keygen(tmp_path, "ca").read_text())
    spec = CertificateSpec(public_blob(keygen(tmp_path, "key")), kind=HOST, valid_after=200, valid_before=100)
    text = shown(tmp_path, issue(spec, signer))
    assert "host certificate" in text
    assert "Valid: from 1970-01-01T00:03:20 to 1970-01-01T00:01:40" in text
    assert "Principals: (none)" in text


@pytest.mark.parametrize(
    "spec",
    [
        CertificateSpec(public_key=b""),
        CertificateSpec(public_key=encode_string(b"ssh-dss")),
        CertificateSpec(public_key=SK_ED25519, serial=2**64),
        CertificateSpec(public_key=SK_ED25519, valid_after=-1),
    ],
    ids=["empty key", "dsa", "serial too large", "time before 1970"],
)
def test_what_cannot_be_encoded_is_refused(tmp_path: Path, spec: CertificateSpec) -> None:
    """A field that has no encoding is an IssueError."""
    signer = PrivateKeySigner.from_openssh(keygen(tmp_path, "ca").read_text())
    with pytest.raises(IssueError):
        issue(spec, signer)


@pytest.mark.parametrize("text", ["", "-----BEGIN OPENSSH PRIVATE KEY-----\nx\n", "\x00" * 100])
def test_an_unreadable_authority_key_is_refused(text: str) -> None:
    """Anything but an OpenSSH private key is an IssueError that says so."""
    with pytest.raises(IssueError, match="cannot be read"):
        PrivateKeySigner.from_openssh(text)


def test_an_encrypted_authority_key_without_passphrase_is_refused(tmp_path: Path) -> None:
    """The daemon has nobody to ask for a passphrase."""
    path = tmp_path / "ca"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "secret", "-f", path], check=True)
    with pytest.raises(IssueError, match="cannot be read"):
        PrivateKeySigner.from_openssh(path.read_text())
