"""Hostile certificates: each refused as the table says, whoever reads it; then whatever Hypothesis can think of."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from hoopjump.decision.certificate import Certificate, CertificateError, parse_certificate, verify_ca_signature
from hoopjump.decision.keys import KEY_TYPES, parse_public_key
from hoopjump.decision.reasons import Reason
from hoopjump.decision.values import (
    Access,
)
from hoopjump.decision.wire import FormatError
from tests.decision.forge import KEYGEN, Forged, Signer, blob, options, string
from tests.hostile.certificates.forge import (
    P256,
    P384,
    RSA,
    SK_ECDSA,
    SK_ED25519,
    TRUSTED,
    WEAK,
    Fresh,
    line,
)
from tests.hostile.certificates.keys import SMALL_ORDER
from tests.hostile.certificates.login import login
from tests.hostile.certificates.stricter import STRICTER
from tests.hostile.certificates.table import HOSTILE


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_certificate_is_refused_for_its_own_reason(name: str) -> None:
    """One that cannot be read names the part at fault; whose owner may not go on gets in to nothing."""
    hostile = HOSTILE[name]
    verdict = login(hostile.blob)
    assert verdict.reason.code == hostile.code
    assert all(check.detail.isprintable() and len(check.detail) < 600 for check in verdict.trace)
    if hostile.code.startswith("cert-"):
        assert (verdict.access, verdict.line) == (Access.DENY, None)
    else:
        assert verdict.access is Access.HOLD
        assert verdict.line is not None
        assert "port-forwarding" not in verdict.line
    if hostile.part:
        with pytest.raises(CertificateError) as refused:
            parse_certificate(hostile.blob)
        assert hostile.part in refused.value.field


def test_the_table_is_long_and_has_every_reason_of_certificates() -> None:
    """At least 150 certificates, no two alike."""
    assert len(HOSTILE) >= 150
    assert len({hostile.blob for hostile in HOSTILE.values()}) == len(HOSTILE)
    of_certificates = {reason.code for reason in Reason if reason.name.startswith("CERT_")}
    # Said where users are found by key ID only: a principal that is empty is unsafe first.
    assert of_certificates - {hostile.code for hostile in HOSTILE.values()} == {"cert-no-identity"}


@pytest.mark.parametrize("ca", TRUSTED, ids=lambda ca: ca.type)
def test_a_good_certificate_is_taken(ca: Signer) -> None:
    """Else the table would prove nothing; but for the authority that is too weak."""
    verdict = login(Fresh(ca=ca).blob)
    assert verdict.reason is (Reason.CERT_WEAK_KEY if ca is WEAK else Reason.ALLOWED)


def test_hostile_certificates_are_written_out(tmp_path: Path) -> None:
    """A file for each, the keys of the authorities, and what is expected."""
    subprocess.run([sys.executable, "-m", "tests.hostile.certificates", str(tmp_path)], check=True)
    expected = json.loads((tmp_path / "expected.json").read_text())
    assert len(list(tmp_path.glob("*-cert.pub"))) == len(HOSTILE) == len(expected["outcomes"])
    assert len((tmp_path / "cas.pub").read_bytes().splitlines()) == len(TRUSTED)
    assert expected["outcomes"]["decided-host"] == {"code": "cert-not-user", "part": ""}


@pytest.mark.parametrize("raw", SMALL_ORDER, ids=bytes.hex)
def test_a_key_that_anybody_can_sign_for_is_refused(raw: bytes) -> None:
    """The attack works on the bare primitive; as a certified key and as an authority such a key is refused."""
    public = ed25519.Ed25519PublicKey.from_public_bytes(raw)
    assert any(_verifies(public, b"\1" + bytes(63), b"message %d" % number) for number in range(500))
    for forged in (Fresh(key_fields=string(raw)), Fresh(ca_blob=string("ssh-ed25519") + string(raw))):
        with pytest.raises(CertificateError, match="anybody can sign"):
            parse_certificate(forged.blob)


def _verifies(public: ed25519.Ed25519PublicKey, signature: bytes, message: bytes) -> bool:
    try:
        public.verify(signature, message)
    except InvalidSignature:
        return False
    return True


@pytest.mark.skipif(KEYGEN is None, reason="ssh-keygen is not installed")
def test_ssh_keygen_refuses_the_same_but_for_what_is_named_here(tmp_path: Path) -> None:
    """A second opinion: `ssh-keygen -L` reads none of the table except where we are stricter on purpose."""
    assert _keygen_reads(tmp_path, Fresh().blob)
    read = [name for name, hostile in HOSTILE.items() if hostile.part and _keygen_reads(tmp_path, hostile.blob)]
    assert set(read) <= set(STRICTER) <= set(HOSTILE)


def _keygen_reads(directory: Path, raw: bytes) -> bool:
    path = directory / "hostile.pub"
    path.write_bytes(line(raw))
    assert KEYGEN
    return subprocess.run([KEYGEN, "-L", "-f", path], check=False, capture_output=True).returncode == 0


BASES = [
    Forged(critical=options(("source-address", string("10.0.0.0/8"))), principals=string("alice") + string("bob")).blob,
    Forged(ca=P256, key=P384).blob,
    Forged(ca=RSA, key=RSA).blob,
    Forged(ca=SK_ECDSA, key=SK_ED25519).blob,
    Forged(ca=SK_ED25519, key=SK_ECDSA).blob,
]
LENGTHS = [0, 1, 3, 4, 5, 31, 32, 33, 64, 255, 256, 2**16, 2**31 - 1, 2**31, 2**32 - 5, 2**32 - 1]


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """A good certificate with a few bytes changed, put in, taken out or copied, or a length replaced."""
    raw = bytearray(draw(st.sampled_from(BASES)))
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, max(0, len(raw) - 1)))
        match draw(st.sampled_from(("flip", "insert", "delete", "length", "copy", "cut"))):
            case "flip" if raw:
                raw[at] ^= draw(st.integers(1, 255))
            case "insert":
                raw[at:at] = draw(st.binary(min_size=1, max_size=8))
            case "delete":
                del raw[at : at + draw(st.integers(1, 40))]
            case "length":
                raw[at : at + 4] = draw(st.sampled_from(LENGTHS)).to_bytes(4, "big")
            case "copy":
                raw[at:at] = raw[at : at + draw(st.integers(1, 80))]
            case _:
                del raw[at:]
    return bytes(raw)


@settings(max_examples=1500, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(mutated())
def test_a_mutated_certificate_is_read_or_refused_and_never_verifies(raw: bytes) -> None:
    """Whatever is done to a certificate: a Certificate whose signature is wrong, or a CertificateError."""
    try:
        certificate = parse_certificate(raw)
    except CertificateError as error:
        assert error.field
        return
    assert isinstance(certificate, Certificate)
    assert certificate.blob == raw
    assert verify_ca_signature(certificate) == (raw in BASES)


_FIELD = st.one_of(st.binary(max_size=80), st.sampled_from(sorted(KEY_TYPES)).map(str.encode))


@settings(max_examples=500, deadline=None)
@given(
    st.sampled_from(sorted(KEY_TYPES)),
    st.lists(_FIELD, max_size=4),
    st.binary(max_size=20),
)
@example("ssh-rsa", [b"\3", b"\0" + b"\xff" * 128], b"")
@example("ecdsa-sha2-nistp256", [b"nistp256", P256.point], b"")
def test_any_bytes_are_a_public_key_or_a_format_error(kind: str, fields: list[bytes], tail: bytes) -> None:
    """A key made of arbitrary fields is read, keeping its bytes, or is a FormatError."""
    raw = string(kind) + b"".join(map(string, fields)) + tail
    try:
        key = parse_public_key(raw)
    except FormatError:
        return
    assert (key.blob, key.type) == (raw, kind)


@settings(max_examples=200, deadline=None)
@given(
    principals=st.lists(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=12)),
    key_id=st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])),
    serial=st.integers(0, 2**64 - 1),
    after=st.integers(0, 2**64 - 1),
    before=st.integers(0, 2**64 - 1),
    names=st.lists(st.text("abcxyz-@.", min_size=1, max_size=8), unique=True),
)
def test_every_well_formed_certificate_is_read_as_written(
    principals: list[str], key_id: str, serial: int, after: int, before: int, names: list[str]
) -> None:
    """Any text, number and sorted extension comes out as it went in, under a signature that verifies."""
    extensions = tuple((name, name.encode()) for name in sorted(names) if not name.startswith("permit-"))
    certificate = parse_certificate(
        Forged(
            principals=b"".join(map(string, principals)),
            key_id=key_id.encode(),
            serial=serial,
            valid_after=after,
            valid_before=before,
            extensions=options(*extensions),
        ).blob
    )
    assert certificate.principals == tuple(principals)
    assert (certificate.key_id, certificate.serial) == (key_id, serial)
    assert (certificate.valid_after, certificate.valid_before) == (after, before)
    assert certificate.extensions == extensions
    assert verify_ca_signature(certificate)


def test_the_curve_of_a_key_is_part_of_what_is_checked() -> None:
    """A key read from its blob is on the curve that its type names."""
    key = parse_public_key(blob(P384))
    assert isinstance(key.primitive, ec.EllipticCurvePublicKey)
    assert (key.primitive.curve.name, key.bits) == ("secp384r1", 384)
