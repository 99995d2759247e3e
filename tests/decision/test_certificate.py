"""Certificates that ssh-keygen wrote read as ssh-keygen reads them, and what must be fine is fine."""

from __future__ import annotations

import base64
import re
from datetime import UTC, datetime

import pytest

from hoopjump.decision.certificate import (
    CERTIFICATE_LIMIT,
    FOREVER,
    TEXT_LIMIT,
    Certificate,
    CertificateError,
    CertificateType,
    fingerprint,
    parse_certificate,
    read_certificate,
    verify_ca_signature,
)
from hoopjump.decision.keys import read_public_key
from tests.decision.conftest import GENERATED, KINDS, Keys
from tests.decision.forge import Ecdsa, FidoEcdsa, FidoEd25519, Forged, Rsa, Signer, blob, keygen, options, string


def as_keygen_prints(certificate: Certificate, listing: str) -> dict[str, object]:
    """The fields of a certificate in the form that `ssh-keygen -L` gives them."""
    kind = re.match(r".*?Public key: (\S+) ", listing, re.DOTALL)
    assert kind
    return {
        "Type": f"{certificate.key_type} {certificate.type.name.lower()} certificate",
        "Public key": f"{kind[1]} {fingerprint(certificate.public_key)}",
        "Signing CA": f"{fingerprint(certificate.ca_key)} (using {certificate.signature_algorithm})",
        "Key ID": f'"{certificate.key_id}"',
        "Serial": str(certificate.serial),
        "Valid": _validity(certificate.valid_after, certificate.valid_before),
        "Principals": list(certificate.principals),
        "Critical Options": [_option(name, data) for name, data in certificate.critical_options],
        "Extensions": [_option(name, data) for name, data in certificate.extensions],
    }


def _validity(after: int, before: int) -> str:
    if after == 0 and before == FOREVER:
        return "forever"
    begin, end = (datetime.fromtimestamp(min(at, 2**37), UTC).strftime("%Y-%m-%dT%H:%M:%S") for at in (after, before))
    if after == 0:
        return f"before {end}"
    return f"after {begin}" if before == FOREVER else f"from {begin} to {end}"


def _option(name: str, data: bytes) -> str:
    if name in ("force-command", "source-address"):
        return f"{name} {data[4:].decode()}"
    if name.startswith("permit-") or name in ("no-touch-required", "verify-required"):
        return name
    return f"{name} UNKNOWN OPTION: {data.hex()} (len {len(data)})" if data else f"{name} UNKNOWN FLAG OPTION"


def parse_listing(listing: str) -> dict[str, object]:
    """`ssh-keygen -L` taken apart: a scalar, or a list of the lines below a heading."""
    fields: dict[str, object] = {}
    heading = ""
    for line in listing.splitlines()[1:]:
        if line.startswith(" " * 16):
            below = fields.setdefault(heading, [])
            assert isinstance(below, list)
            below.append(line.strip())
            continue
        heading, _, value = line.strip().partition(":")
        value = value.strip()
        fields[heading] = [] if value in ("", "(none)") else value
    signing = fields["Signing CA"]
    assert isinstance(signing, str)
    fields["Signing CA"] = signing.partition(" ")[2]
    return fields


@pytest.mark.parametrize("ca", GENERATED)
@pytest.mark.parametrize("kind", KINDS)
def test_a_certificate_of_every_kind_reads_as_ssh_keygen_prints_it(keys: Keys, kind: str, ca: str) -> None:
    """Every key type under every authority agrees with `ssh-keygen -L` field by field, and its signature is right."""
    path = keys.issue(
        kind,
        *("-I", "alice's key", "-n", "alice@x.io,auth0|1", "-z", "18446744073709551615"),
        *("-V", "20260101000000Z:20271231235959Z", "-O", "source-address=10.0.0.0/8,2001:db8::/32"),
        *("-O", "extension:jwt@hoopjump=abc", "-O", "extension:marked@x.io", "-O", "no-user-rc"),
        ca=ca,
    )
    certificate = read_certificate(path.read_bytes())
    listing = keygen("-L", "-f", path, cwd=keys.directory)
    assert as_keygen_prints(certificate, listing) == parse_listing(listing)
    assert certificate.public_key == read_public_key(keys.public(kind).read_bytes()).blob
    assert certificate.ca_key == read_public_key(keys.public(ca).read_bytes()).blob
    assert verify_ca_signature(certificate)


@pytest.mark.parametrize(
    "arguments",
    [
        ("-h", "-n", "bastion.x.io"),
        (),
        ("-n", "alice", "-O", "clear"),
        ("-n", "alice", "-V", "always:forever"),
        ("-n", "alice", "-V", "always:20300101000000Z"),
        ("-n", "alice", "-V", "20200101000000Z:forever"),
        ("-n", "alice", "-O", "force-command=ls -l", "-O", "verify-required"),
        ("-n", "alice", "-O", "critical:unknown@x.io=1"),
        ("-n", "alice", "-O", "no-touch-required"),
        ("-n", "älice,b c", "-z", "0"),
    ],
    ids=" ".join,
)
def test_what_ssh_keygen_issues_reads_as_it_prints_it(keys: Keys, arguments: tuple[str, ...]) -> None:
    """Host certificates, no principals, no extensions, open dates and every critical option agree with ssh-keygen."""
    path = keys.issue("ed25519", "-I", "id", *arguments)
    certificate = read_certificate(path.read_bytes())
    listing = keygen("-L", "-f", path, cwd=keys.directory)
    assert as_keygen_prints(certificate, listing) == parse_listing(listing)


@pytest.mark.parametrize("ca", [FidoEd25519(), FidoEcdsa(), FidoEd25519(flags=0), FidoEcdsa(application="ssh:work")])
def test_a_fido_key_can_be_the_authority(keys: Keys, ca: Signer) -> None:
    """A FIDO authority's signature is verified over its flags and counter, as ssh-keygen does."""
    forged = Forged(ca=ca).blob
    certificate = parse_certificate(forged)
    assert verify_ca_signature(certificate)
    assert certificate.signature_algorithm == ca.type
    path = keys.directory / "fido.pub"
    path.write_text(f"{certificate.key_type} {base64.b64encode(forged).decode()}\n")
    listing = keygen("-L", "-f", path, cwd=keys.directory)
    assert as_keygen_prints(certificate, listing) == parse_listing(listing)


@pytest.mark.parametrize("ca", [FidoEd25519(), FidoEcdsa()])
def test_the_counter_of_a_fido_authority_is_signed(ca: Signer) -> None:
    """A FIDO signature whose flags or counter were changed is wrong."""
    forged = Forged(ca=ca).blob
    for altered in (forged[:-1] + bytes([forged[-1] ^ 1]), forged[:-5] + b"\x05" + forged[-4:]):
        assert not verify_ca_signature(parse_certificate(altered))


@pytest.mark.parametrize(
    "forged",
    [
        Forged(nonce=b""),
        Forged(nonce=b"n" * 1000),
        Forged(reserved=b"something of the future"),
        Forged(valid_after=10**15, valid_before=2**64 - 2),
        Forged(valid_after=2**63, valid_before=1),
        Forged(principals=string("p") * 256),
        Forged(principals=string("")),
        Forged(key_id=b""),
        Forged(key_id=b"\x1b[2J\n"),
        Forged(serial=0),
        Forged(extensions=options(("jwt@hoopjump", string("a\0b")))),
        Forged(ca=Rsa(1024), key=Rsa(1024)),
        Forged(ca=Rsa(algorithm="rsa-sha2-256")),
        Forged(ca=Rsa(2056)),
        Forged(ca=Ecdsa("nistp521"), key=Ecdsa("nistp384")),
        Forged(ca=Forged().key),
    ],
    ids=lambda forged: ",".join(
        f"{name}={str(value)[:20]}" for name, value in vars(forged).items() if value != vars(Forged())[name]
    ),
)
def test_what_is_unusual_but_right_is_read(keys: Keys, forged: Forged) -> None:
    """Empty nonce, reserved field in use, any date, exactly 256 principals are fine, for ssh-keygen too."""
    raw = forged.blob
    certificate = parse_certificate(raw)
    assert verify_ca_signature(certificate)
    assert (certificate.serial, certificate.valid_after, certificate.valid_before) == (
        forged.serial,
        forged.valid_after,
        forged.valid_before,
    )
    path = keys.directory / "unusual.pub"
    path.write_text(f"{certificate.key_type} {base64.b64encode(raw).decode()}\n")
    keygen("-L", "-f", path, cwd=keys.directory)


def test_an_rsa_signature_without_its_leading_zeros_is_verified() -> None:
    """As in ssh-rsa.c, a signature that begins with zeros may leave them out."""
    ca = Rsa(1024)
    for serial in range(5000):
        forged = Forged(ca=ca, serial=serial)
        made = ca.sign(forged.signed)
        value = made[-128:]
        if value[0] == 0:
            forged.signature = string("rsa-sha2-512") + string(value.lstrip(b"\0"))
            assert verify_ca_signature(parse_certificate(forged.blob))
            return
    raise AssertionError("no signature began with a zero")


def test_any_changed_byte_of_the_signed_part_spoils_the_signature() -> None:
    """Nothing that is signed can be changed: each byte in turn."""
    original = Forged().blob
    signed = len(parse_certificate(original).signed)
    for at in range(signed):
        changed = original[:at] + bytes([original[at] ^ 1]) + original[at + 1 :]
        try:
            certificate = parse_certificate(changed)
        except CertificateError:
            continue
        assert not verify_ca_signature(certificate)


def test_a_signature_by_another_key_is_wrong() -> None:
    """A certificate that names one authority and is signed by another does not verify."""
    forged = Forged()
    forged.signature = Forged(ca=Forged().key).ca.sign(forged.signed)
    assert not verify_ca_signature(parse_certificate(forged.blob))


def line(forged: Forged | None = None, comment: bytes = b"") -> bytes:
    certificate = forged or Forged()
    return certificate.cert_type.encode() + b" " + base64.b64encode(certificate.blob) + comment


@pytest.mark.parametrize(
    "text",
    [
        line(),
        line(comment=b" alice@laptop with words\n"),
        b"# a comment\r\n\r\n" + line() + b"\r\n",
        b"  " + line() + b"\n\n",
        base64.b64encode(Forged().blob),
        base64.b64encode(Forged().blob) + b"\n",
    ],
    ids=["line", "comment", "file", "blanks", "bare", "bare-line"],
)
def test_text_forms_that_are_read(text: bytes) -> None:
    """A line with type and comment, and bare base64, both give the certificate."""
    assert read_certificate(text).principals == ("alice@x.io",)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"", "is empty"),
        (b"\n# only a comment\n", "is empty"),
        (line() + b"\n" + line(), "more than one line"),
        (line().replace(b"AAAA", b"AAA=", 1), "not base64"),
        (line()[:-1], "not base64"),
        (line() + b"=", "not base64"),
        (line().replace(b"A", b"A\xff", 1), "not base64"),
        (b"ssh-rsa-cert-v01@openssh.com " + line().split()[1], "the line says"),
        (b"\xff " + line().split()[1], "the line says"),
        (b"ssh-ed25519 " + base64.b64encode(blob(Forged().key)), "plain key"),
        (b"x" * (TEXT_LIMIT + 1), "longer than"),
        (b"-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n", "more than one line"),
    ],
)
def test_text_that_is_no_certificate_is_refused(text: bytes, message: str) -> None:
    """Anything but one certificate on one line is a CertificateError that says so."""
    with pytest.raises(CertificateError, match=message):
        read_certificate(text)


def test_spare_bits_in_the_base64_are_refused() -> None:
    """Two texts never stand for one certificate."""
    forged = next(f for n in range(3) if len((f := Forged(nonce=b"n" * n)).blob) % 3 == 1)
    text = base64.b64encode(forged.blob)
    assert text.endswith(b"==")
    last = text[-3:-2]
    spare = bytes([last[0] + 1])
    read_certificate(text)
    with pytest.raises(CertificateError, match="spare bits"):
        read_certificate(text[:-3] + spare + b"==")


def test_a_certificate_larger_than_an_argument_is_refused() -> None:
    """The bound is what sshd could hand to the hook at all."""
    room = CERTIFICATE_LIMIT - len(Forged(nonce=b"").blob)
    assert parse_certificate(Forged(nonce=b"n" * room).blob).type is CertificateType.USER
    with pytest.raises(CertificateError, match="larger than"):
        parse_certificate(Forged(nonce=b"n" * (room + 1)).blob)
