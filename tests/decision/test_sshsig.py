"""Detached signatures: what ssh-keygen makes is read, and nothing else."""

from __future__ import annotations

import base64
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hoopjump.decision import sshsig
from hoopjump.decision.wire import FormatError
from tests.ca.forge import armor, armored, detached
from tests.decision.forge import Ecdsa, Ed25519, FidoEcdsa, FidoEd25519, Rsa, Signer, blob, string

NAMESPACE = "hoopjump-ca@hoopjump"
WHOLE = detached(Ed25519(), b"message")


@pytest.mark.parametrize("digest", ["sha256", "sha512"])
@pytest.mark.parametrize("options", [("ed25519",), ("ecdsa", "-b", "384"), ("rsa", "-b", "2048")])
def test_what_ssh_keygen_signs_is_read_and_holds(tmp_path: Path, options: tuple[str, ...], digest: str) -> None:
    """For its message and its key, and for no other message."""
    key = tmp_path / "key"
    subprocess.run(["ssh-keygen", "-q", "-N", "", "-f", key, "-t", *options], check=True)
    sign = ["ssh-keygen", "-q", "-Y", "sign", "-O", f"hashalg={digest}", "-n", NAMESPACE, "-f", str(key)]
    text = subprocess.run(sign, input=b"message", check=True, capture_output=True).stdout
    signature = sshsig.read_armored(text)
    assert (signature.namespace, signature.hash) == (NAMESPACE, digest)
    assert base64.b64encode(signature.key.blob).decode() == key.with_suffix(".pub").read_text().split()[1]
    assert sshsig.verify(signature, b"message")
    assert not sshsig.verify(signature, b"messages")


@pytest.mark.parametrize("key", [Ed25519(), Ecdsa("nistp521"), Rsa(), FidoEd25519(), FidoEcdsa()], ids=lambda k: k.type)
def test_all_kinds_of_keys_are_read(key: Signer) -> None:
    """Those that hardware holds, too; ssh-keygen would want it to be there."""
    signature = sshsig.read_armored(armored(key, b"message").encode())
    assert signature.key.blob == blob(key)
    assert sshsig.verify(signature, b"message")


@pytest.mark.parametrize(
    ("parts", "fault"),
    [
        ({"head": b"SSHSIC\0\0\0\1"}, "SSHSIG"),
        ({"head": b"SSHSIG\0\0\0\2"}, "version"),
        ({"namespace": b""}, "namespace"),
        ({"namespace": b"hoop\xff"}, "namespace"),
        ({"reserved": b"x"}, "reserved"),
        ({"hash_algorithm": b"md5"}, "hash algorithm"),
        ({"publickey": string("ssh-dss")}, "key type"),
        ({"publickey": b""}, "key type"),
        ({"signature": b""}, "signature algorithm"),
        ({"signature": string("ssh-rsa") + string(bytes(64))}, "signature algorithm"),
        ({"signature": string("ssh-ed25519") + string(bytes(63))}, "signature"),
        ({"tail": b"\0"}, "unexpected bytes"),
    ],
)
def test_forms_that_are_not_quite_right(parts: dict[str, bytes], fault: str) -> None:
    """Each is refused by name of the field."""
    with pytest.raises(FormatError, match=fault):
        sshsig.parse(detached(Ed25519(), b"message", **parts))


def test_a_signature_cut_off_anywhere_is_refused() -> None:
    """At every length."""
    whole = detached(Ed25519(), b"message")
    for length in range(len(whole)):
        with pytest.raises(FormatError):
            sshsig.parse(whole[:length])


@given(data=st.data())
def test_a_bent_signature_is_refused_or_does_not_hold(data: st.DataObject) -> None:
    """Whatever byte is changed: a FormatError, or a signature that proves nothing for this purpose and message."""
    bent = bytearray(WHOLE)
    position = data.draw(st.integers(0, len(bent) - 1))
    bent[position] = data.draw(st.integers(0, 255).filter(lambda byte: byte != WHOLE[position]))
    try:
        signature = sshsig.parse(bytes(bent))
    except FormatError:
        return
    assert not sshsig.verify(signature, b"message")


def test_armor_that_is_not_quite_right() -> None:
    """One form only: nothing around it, no other base64."""
    good = armored(Ed25519(), b"message")
    sshsig.read_armored(good.encode())
    sshsig.read_armored(good.rstrip("\n").encode())
    head, *lines, tail = good.splitlines()
    for text in (
        f"\n{good}",
        f"{good}\n",
        f"{good} ",
        good.replace("\n", "\r\n"),
        good.lower(),
        "\n".join([head, "", *lines, tail]),
        "\n".join([head, "".join(lines), tail]),
        "\n".join([head, *lines[:-1], lines[-1].rstrip("=") + "====", tail]),
        "\n".join([head, tail]),
        f"{head}\n{tail}",
        "x" * 20000,
    ):
        with pytest.raises(FormatError):
            sshsig.read_armored(text.encode())


def test_a_signature_over_the_bare_message_is_none() -> None:
    """What is signed is never the message itself, so no signature of SSH's own protocol can be passed off as one."""
    key = Ed25519()
    forged = armor(detached(key, b"message", signature=key.sign(b"message")))
    assert not sshsig.verify(sshsig.read_armored(forged.encode()), b"message")
