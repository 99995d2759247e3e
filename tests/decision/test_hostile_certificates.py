"""Certificates with one thing wrong, each correctly signed otherwise: refused, and the refusal names the part."""

from __future__ import annotations

import base64
import subprocess
from pathlib import Path

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from hoopjump.decision.certificate import Certificate, CertificateError, parse_certificate, verify_ca_signature
from hoopjump.decision.keys import KEY_TYPES, parse_public_key
from hoopjump.decision.wire import FormatError
from tests.decision.forge import (
    CA,
    KEYGEN,
    Ecdsa,
    Ed25519,
    FidoEcdsa,
    FidoEd25519,
    Forged,
    Rsa,
    blob,
    mpint,
    options,
    string,
)

RSA = Rsa(2048)
RSA_NUMBERS = RSA.key.public_key().public_numbers()
P256 = Ecdsa("nistp256")
P384 = Ecdsa("nistp384")
SK_ECDSA = FidoEcdsa()
SK_ED25519 = FidoEd25519()
COMPRESSED = bytes([2]) + P256.point[1:33]
OFF_CURVE = P256.point[:-1] + bytes([P256.point[-1] ^ 1])
DSA_KEY = string("ssh-dss") + mpint(2**1024 - 1) + mpint(2**160 - 1) + mpint(2) + mpint(3)


def rsa_fields(e: int, n: int) -> bytes:
    return mpint(e) + mpint(n)


def signed_by(ca: Ed25519 | Rsa | Ecdsa, signature: bytes) -> Forged:
    return Forged(ca=ca, signature=signature)


def sha1() -> Forged:
    return Forged(ca=Rsa(2048, "ssh-rsa"))


HOSTILE: dict[str, tuple[Forged | bytes, str]] = {
    # the outside
    "empty": (b"", "key type"),
    "zeros": (bytes(64), "key type"),
    "huge-length": (b"\xff" * 64, "key type"),
    "plain-key": (blob(CA), "key type"),
    "trailing-byte": (Forged(tail=b"\0"), "certificate"),
    "trailing-certificate": (Forged(tail=Forged().blob), "certificate"),
    "cut-by-one": (Forged().blob[:-1], "signature"),
    "cut-in-half": (Forged().blob[: len(Forged().blob) // 2], "extensions"),
    "unknown-type": (Forged(key_type="ssh-ed448-cert-v01@openssh.com"), "key type"),
    "version-00": (Forged(key_type="ssh-ed25519-cert-v00@openssh.com"), "key type"),
    "dsa-certificate": (Forged(key_type="ssh-dss-cert-v01@openssh.com"), "key type"),
    "xmss-certificate": (Forged(key_type="ssh-xmss-cert-v01@openssh.com"), "key type"),
    "signature-name-as-type": (Forged(key=RSA, key_type="rsa-sha2-512-cert-v01@openssh.com"), "key type"),
    "sk-type-spelled-like-its-key": (
        Forged(key=SK_ED25519, key_type="sk-ssh-ed25519@openssh.com-cert-v01@openssh.com"),
        "key type",
    ),
    "type-with-nul": (Forged(key_type="ssh-ed25519-cert-v01@openssh.com\0"), "key type"),
    "type-in-capitals": (Forged(key_type="SSH-ED25519-CERT-V01@OPENSSH.COM"), "key type"),
    "key-of-another-type": (Forged(key=RSA, key_type="ssh-ed25519-cert-v01@openssh.com"), "public key"),
    # the certified key
    "ed25519-of-31-bytes": (Forged(key_fields=string(b"k" * 31)), "public key"),
    "ed25519-of-33-bytes": (Forged(key_fields=string(b"k" * 33)), "public key"),
    "rsa-768": (Forged(key=RSA, key_fields=rsa_fields(65537, 2**767 + 1)), "RSA modulus"),
    "rsa-1023": (Forged(key=RSA, key_fields=rsa_fields(65537, 2**1022 + 1)), "RSA modulus"),
    "rsa-16392": (Forged(key=RSA, key_fields=rsa_fields(65537, 2**16391 + 1)), "RSA modulus"),
    "rsa-even-modulus": (Forged(key=RSA, key_fields=rsa_fields(65537, RSA_NUMBERS.n - 1)), "RSA modulus"),
    "rsa-modulus-zero": (Forged(key=RSA, key_fields=rsa_fields(65537, 0)), "RSA modulus"),
    "rsa-exponent-0": (Forged(key=RSA, key_fields=rsa_fields(0, RSA_NUMBERS.n)), "RSA exponent"),
    "rsa-exponent-1": (Forged(key=RSA, key_fields=rsa_fields(1, RSA_NUMBERS.n)), "RSA exponent"),
    "rsa-exponent-even": (Forged(key=RSA, key_fields=rsa_fields(65536, RSA_NUMBERS.n)), "RSA exponent"),
    "rsa-exponent-huge": (Forged(key=RSA, key_fields=rsa_fields(2**65 + 1, RSA_NUMBERS.n)), "RSA exponent"),
    "rsa-negative-modulus": (Forged(key=RSA, key_fields=mpint(65537) + string(b"\xff" * 256)), "RSA modulus"),
    "rsa-padded-modulus": (
        Forged(key=RSA, key_fields=mpint(65537) + string(b"\0\0" + RSA_NUMBERS.n.to_bytes(256, "big"))),
        "RSA modulus",
    ),
    "rsa-padded-exponent": (Forged(key=RSA, key_fields=string(b"\0\3") + mpint(RSA_NUMBERS.n)), "RSA exponent"),
    "ecdsa-other-curve-name": (Forged(key=P256, key_fields=string("nistp384") + string(P256.point)), "curve"),
    "ecdsa-other-curve-point": (Forged(key=P256, key_fields=string("nistp256") + string(P384.point)), "public key"),
    "ecdsa-compressed": (Forged(key=P256, key_fields=string("nistp256") + string(COMPRESSED)), "public key"),
    "ecdsa-hybrid": (
        Forged(key=P256, key_fields=string("nistp256") + string(bytes([6]) + P256.point[1:])),
        "public key",
    ),
    "ecdsa-infinity": (Forged(key=P256, key_fields=string("nistp256") + string(b"\0")), "public key"),
    "ecdsa-empty": (Forged(key=P256, key_fields=string("nistp256") + string(b"")), "public key"),
    "ecdsa-off-curve": (Forged(key=P256, key_fields=string("nistp256") + string(OFF_CURVE)), "public key"),
    "ecdsa-point-zero": (
        Forged(key=P256, key_fields=string("nistp256") + string(b"\4" + bytes(64))),
        "public key",
    ),
    "sk-ecdsa-off-curve": (
        Forged(key=SK_ECDSA, key_fields=string("nistp256") + string(OFF_CURVE) + string("ssh:")),
        "public key",
    ),
    "sk-application-with-nul": (
        Forged(key=SK_ED25519, key_fields=Ed25519.fields.fget(SK_ED25519) + string("ssh:\0")),  # type: ignore[attr-defined]
        "FIDO application",
    ),
    # the body
    "type-0": (Forged(type=0), "certificate type"),
    "type-3": (Forged(type=3), "certificate type"),
    "type-huge": (Forged(type=2**32 - 1), "certificate type"),
    "key-id-with-nul": (Forged(key_id=b"alice\0root"), "key ID"),
    "key-id-ending-in-nul": (Forged(key_id=b"alice\0"), "key ID"),
    "key-id-not-utf-8": (Forged(key_id=b"\xe4lice"), "key ID"),
    "key-id-surrogate": (Forged(key_id=b"\xed\xa0\x80"), "key ID"),
    "principal-with-nul": (Forged(principals=string("alice\0bob")), "principals"),
    "principal-ending-in-nul": (Forged(principals=string("alice\0")), "principals"),
    "principal-not-utf-8": (Forged(principals=string(b"\xff")), "principals"),
    "principal-overlong-utf-8": (Forged(principals=string(b"\xc1\xa1")), "principals"),
    "principal-cut-off": (Forged(principals=string("alice")[:-1]), "principals"),
    "principals-with-loose-bytes": (Forged(principals=string("alice") + b"\0\0"), "principals"),
    "principals-257": (Forged(principals=string("p") * 257), "principals"),
    "principals-20000-empty": (Forged(principals=string("") * 20000), "principals"),
    # options
    "extensions-unsorted": (Forged(extensions=options(("permit-pty", b""), ("permit-agent", b""))), "extensions"),
    "extension-twice": (Forged(extensions=options(("permit-pty", b""), ("permit-pty", b""))), "extensions"),
    "extension-twice-apart": (
        Forged(extensions=options(("a@x", b""), ("permit-pty", b""), ("a@x", b""))),
        "extensions",
    ),
    "extension-without-data": (Forged(extensions=string("permit-pty")), "extensions"),
    "extension-data-cut-off": (Forged(extensions=options(("a@x", b"data"))[:-1]), "extensions"),
    "extension-name-with-nul": (Forged(extensions=options(("permit-pty\0", b""))), "extensions"),
    "extension-name-not-utf-8": (Forged(extensions=options((b"\xff", b""))), "extensions"),
    "permit-pty-with-data": (Forged(extensions=options(("permit-pty", b"1"))), "extensions"),
    "permit-pty-with-empty-string": (Forged(extensions=options(("permit-pty", string("")))), "extensions"),
    "permit-port-forwarding-with-data": (
        Forged(extensions=options(("permit-port-forwarding", string("no")))),
        "extensions",
    ),
    "permit-unknown-with-data": (Forged(extensions=options(("permit-x", b"\0"))), "extensions"),
    "no-touch-required-with-data": (Forged(extensions=options(("no-touch-required", b"1"))), "extensions"),
    "critical-unsorted": (
        Forged(critical=options(("source-address", string("10.0.0.1")), ("force-command", string("id")))),
        "critical options",
    ),
    "critical-twice": (
        Forged(critical=options(("source-address", string("10.0.0.1")), ("source-address", string("0.0.0.0/0")))),
        "critical options",
    ),
    "verify-required-with-data": (Forged(critical=options(("verify-required", b"0"))), "critical options"),
    "source-address-bare": (Forged(critical=options(("source-address", b"10.0.0.1"))), "source-address"),
    "source-address-empty": (Forged(critical=options(("source-address", b""))), "source-address"),
    "source-address-two-strings": (
        Forged(critical=options(("source-address", string("10.0.0.1") + string("0.0.0.0/0")))),
        "source-address",
    ),
    "source-address-with-nul": (Forged(critical=options(("source-address", string("10.0.0.1\0")))), "source-address"),
    "force-command-bare": (Forged(critical=options(("force-command", b"id"))), "force-command"),
    "force-command-with-tail": (Forged(critical=options(("force-command", string("id") + b"x"))), "force-command"),
    # the authority and its signature
    "ca-empty": (Forged(ca_blob=b""), "signature key"),
    "ca-unknown-type": (Forged(ca_blob=string("ssh-ed448") + string(b"k" * 57)), "signature key"),
    "ca-dsa": (Forged(ca_blob=DSA_KEY, signature=string("ssh-dss") + string(b"s" * 40)), "signature key"),
    "ca-is-a-certificate": (Forged(ca_blob=Forged().blob), "signature key"),
    "ca-is-a-certificate-of-itself": (Forged(ca_blob=Forged(key=CA).blob), "signature key"),
    "ca-with-tail": (Forged(ca_blob=blob(CA) + b"\0"), "signature key"),
    "ca-rsa-exponent-1": (
        Forged(ca_blob=string("ssh-rsa") + rsa_fields(1, RSA_NUMBERS.n), signature=RSA.sign(b"")),
        "signature key",
    ),
    "ca-rsa-512": (Forged(ca_blob=string("ssh-rsa") + rsa_fields(3, 2**511 + 1), signature=b""), "signature key"),
    "ca-off-curve": (
        Forged(ca_blob=string("ecdsa-sha2-nistp256") + string("nistp256") + string(OFF_CURVE)),
        "signature key",
    ),
    "signature-sha1": (sha1(), "signature algorithm"),
    "signature-empty": (Forged(signature=b""), "signature algorithm"),
    "signature-without-value": (Forged(signature=string("ssh-ed25519")), "signature"),
    "signature-of-another-type": (Forged(signature=RSA.sign(b"")), "signature algorithm"),
    "signature-plain-from-fido-key": (Forged(ca=SK_ED25519, signature=CA.sign(b"")), "signature algorithm"),
    "signature-fido-from-plain-key": (Forged(signature=SK_ED25519.sign(b"")), "signature algorithm"),
    "signature-webauthn": (
        Forged(ca=SK_ECDSA, signature=string("webauthn-sk-ecdsa-sha2-nistp256@openssh.com") + string(b"")),
        "signature algorithm",
    ),
    "signature-with-tail": (Forged(signature=CA.sign(b"") + b"\0"), "signature"),
    "signature-ed25519-short": (Forged(signature=string("ssh-ed25519") + string(b"s" * 63)), "signature"),
    "signature-ed25519-long": (Forged(signature=string("ssh-ed25519") + string(b"s" * 65)), "signature"),
    "signature-rsa-empty": (signed_by(RSA, string("rsa-sha2-512") + string(b"")), "signature"),
    "signature-rsa-long": (signed_by(RSA, string("rsa-sha2-512") + string(b"s" * 257)), "signature"),
    "signature-ecdsa-other-curve": (signed_by(P256, P384.sign(b"")), "signature algorithm"),
    "signature-ecdsa-negative": (
        signed_by(P256, string(P256.type) + string(string(b"\xff" * 32) + mpint(1))),
        "signature r",
    ),
    "signature-ecdsa-padded": (
        signed_by(P256, string(P256.type) + string(string(b"\0\1") + mpint(1))),
        "signature r",
    ),
    "signature-ecdsa-huge": (
        signed_by(P256, string(P256.type) + string(mpint(1) + mpint(2**4000))),
        "signature s",
    ),
    "signature-ecdsa-with-tail": (
        signed_by(P256, string(P256.type) + string(mpint(1) + mpint(1) + mpint(1))),
        "signature",
    ),
    "signature-ecdsa-der": (signed_by(P256, string(P256.type) + string(b"\x30\x06\2\1\1\2\1\1")), "signature r"),
    "signature-fido-without-counter": (
        Forged(ca=SK_ED25519, signature=string(SK_ED25519.type) + string(b"s" * 64) + b"\1"),
        "FIDO counter",
    ),
    "signature-fido-with-tail": (Forged(ca=SK_ED25519, signature=SK_ED25519.sign(b"") + b"\0"), "signature"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_certificate_with_one_thing_wrong_is_refused(name: str) -> None:
    """Each is refused with a CertificateError that names the part at fault."""
    forged, part = HOSTILE[name]
    with pytest.raises(CertificateError) as refused:
        parse_certificate(_raw(forged))
    assert part in refused.value.field
    assert str(refused.value).isprintable()


WRONG_SIGNATURES = {
    "zero-numbers": signed_by(P256, string(P256.type) + string(mpint(0) + mpint(0))),
    "numbers-of-the-order": signed_by(P256, string(P256.type) + string(mpint(2**256 - 1) + mpint(2**256 - 1))),
    "zeros-ed25519": Forged(signature=string("ssh-ed25519") + string(bytes(64))),
    "zeros-rsa": signed_by(RSA, string("rsa-sha2-512") + string(bytes(256))),
    "ones-rsa": signed_by(RSA, string("rsa-sha2-512") + string(b"\xff" * 256)),
    "short-rsa": signed_by(RSA, string("rsa-sha2-512") + string(b"\1")),
    "other-hash-rsa": signed_by(RSA, string("rsa-sha2-256") + string(b"\1" * 256)),
}


@pytest.mark.parametrize("name", WRONG_SIGNATURES)
def test_a_well_formed_wrong_signature_is_wrong(name: str) -> None:
    """Degenerate numbers in a signature neither verify nor raise."""
    assert not verify_ca_signature(parse_certificate(WRONG_SIGNATURES[name].blob))


SMALL_ORDER = (
    "0000000000000000000000000000000000000000000000000000000000000000",
    "0100000000000000000000000000000000000000000000000000000000000000",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
)


@pytest.mark.parametrize("sign", [0, 0x80])
@pytest.mark.parametrize("encoded", SMALL_ORDER)
def test_a_key_that_anybody_can_sign_for_is_refused(encoded: str, sign: int) -> None:
    """The attack works on the bare primitive; as a certified key and as an authority such a key is refused."""
    raw = bytearray.fromhex(encoded)
    raw[31] |= sign
    public = ed25519.Ed25519PublicKey.from_public_bytes(bytes(raw))
    assert any(_verifies(public, b"\1" + bytes(63), b"message %d" % number) for number in range(500))
    for forged in (Forged(key_fields=string(bytes(raw))), Forged(ca_blob=string("ssh-ed25519") + string(bytes(raw)))):
        with pytest.raises(CertificateError, match="anybody can sign"):
            parse_certificate(forged.blob)


def _verifies(public: ed25519.Ed25519PublicKey, signature: bytes, message: bytes) -> bool:
    try:
        public.verify(signature, message)
    except InvalidSignature:
        return False
    return True


STRICTER_THAN_SSH_KEYGEN = {
    "signature-name-as-type",
    "type-with-nul",
    "rsa-even-modulus",
    "rsa-exponent-0",
    "rsa-exponent-1",
    "rsa-exponent-even",
    "rsa-exponent-huge",
    "rsa-padded-modulus",
    "rsa-padded-exponent",
    "sk-application-with-nul",
    "key-id-ending-in-nul",
    "key-id-not-utf-8",
    "key-id-surrogate",
    "principal-ending-in-nul",
    "principal-not-utf-8",
    "principal-overlong-utf-8",
    "extensions-unsorted",
    "extension-twice",
    "extension-twice-apart",
    "extension-name-with-nul",
    "extension-name-not-utf-8",
    "permit-unknown-with-data",
    "critical-unsorted",
    "critical-twice",
    "source-address-with-nul",
    "signature-sha1",
}


@pytest.mark.skipif(KEYGEN is None, reason="ssh-keygen is not installed")
def test_ssh_keygen_refuses_the_same_but_for_what_is_named_here(tmp_path: Path) -> None:
    """A second opinion: `ssh-keygen -L` reads none of the table except where we are stricter on purpose."""
    assert _keygen_reads(tmp_path, Forged().blob)
    read = [name for name, (forged, _) in HOSTILE.items() if _keygen_reads(tmp_path, _raw(forged))]
    assert set(read) <= STRICTER_THAN_SSH_KEYGEN


def _raw(forged: Forged | bytes) -> bytes:
    return forged if isinstance(forged, bytes) else forged.blob


def _keygen_reads(directory: Path, raw: bytes) -> bool:
    length = int.from_bytes(raw[:4], "big") if len(raw) > 4 else 0
    kind = raw[4 : 4 + length].decode("ascii", "replace") if length < 100 else "ssh-ed25519-cert-v01@openssh.com"
    path = directory / "hostile.pub"
    path.write_bytes(kind.replace("\0", "").encode() + b" " + base64.b64encode(raw) + b"\n")
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
