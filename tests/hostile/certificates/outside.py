"""Wrong before anything has been said: not a certificate, not the whole of one, or more than one."""

from __future__ import annotations

from hoopjump.decision.certificate import CERTIFICATE_LIMIT
from tests.decision.forge import CA, Ed25519, blob, mpint, options, string
from tests.hostile.certificates.forge import RSA, SK_ED25519, Fresh, Row

WHOLE = Fresh().blob
TYPE = "ssh-ed25519-cert-v01@openssh.com"
# Where each field begins in a certificate of Ed25519 with one principal and the usual extensions.
SIZES = {
    "key type": 4 + len(TYPE),
    "nonce": 36,
    "public key": 36,
    "serial": 8,
    "certificate type": 4,
    "key ID": 4 + 2,
    "principals": 4 + 4 + 10,
    "valid after": 8,
    "valid before": 8,
    "critical options": 4,
}


def cut_in(field: str) -> bytes:
    """All that stands before the last byte of a field."""
    fields = list(SIZES)
    return WHOLE[: sum(SIZES[name] for name in fields[: fields.index(field) + 1]) - 1]


TABLE: dict[str, tuple[Row, str]] = {
    "empty": (b"", "key type"),
    "zeros": (bytes(64), "key type"),
    "huge-length": (b"\xff" * 64, "key type"),
    "plain-key": (blob(CA), "key type"),
    "trailing-byte": (Fresh(tail=b"\0"), "certificate"),
    "trailing-certificate": (Fresh(tail=Fresh().blob), "certificate"),
    "cut-by-one": (Fresh().blob[:-1], "signature"),
    "cut-in-half": (Fresh().blob[: len(Fresh().blob) // 2], "extensions"),
    "unknown-type": (Fresh(key_type="ssh-ed448-cert-v01@openssh.com"), "key type"),
    "version-00": (Fresh(key_type="ssh-ed25519-cert-v00@openssh.com"), "key type"),
    "dsa-certificate": (Fresh(key_type="ssh-dss-cert-v01@openssh.com"), "key type"),
    "xmss-certificate": (Fresh(key_type="ssh-xmss-cert-v01@openssh.com"), "key type"),
    "signature-name-as-type": (Fresh(key=RSA, key_type="rsa-sha2-512-cert-v01@openssh.com"), "key type"),
    "sk-type-spelled-like-its-key": (
        Fresh(key=SK_ED25519, key_type="sk-ssh-ed25519@openssh.com-cert-v01@openssh.com"),
        "key type",
    ),
    "type-with-nul": (Fresh(key_type="ssh-ed25519-cert-v01@openssh.com\0"), "key type"),
    "type-in-capitals": (Fresh(key_type="SSH-ED25519-CERT-V01@OPENSSH.COM"), "key type"),
    "key-of-another-type": (Fresh(key=RSA, key_type="ssh-ed25519-cert-v01@openssh.com"), "public key"),
    **{f"cut-in-{field.replace(' ', '-')}": (cut_in(field), field) for field in SIZES},
    "larger-than-argv": (Fresh(extensions=options(("a@x", bytes(CERTIFICATE_LIMIT)))), "certificate"),
    "nonce-longer-than-all": (string(TYPE) + b"\xff\xff\xff\xff" + bytes(400), "nonce"),
    "nonce-length-negative": (string(TYPE) + b"\x80\0\0\0" + bytes(400), "nonce"),
    "type-empty": (Fresh(key_type="").signed[4:], "key type"),
    "type-with-space-behind": (Fresh(key_type=TYPE + " "), "key type"),
    "type-with-newline-behind": (Fresh(key_type=TYPE + "\n"), "key type"),
    "type-not-utf-8": (string(b"\xff\xfe") + WHOLE[36:], "key type"),
    "type-twice": (string(TYPE) + WHOLE, "certificate type"),
    "private-key": (b"openssh-key-v1\0" + string("none") + string("none"), "key type"),
    "signature-of-a-file": (b"SSHSIG" + WHOLE, "key type"),
    "lengths-little-endian": (len(TYPE).to_bytes(4, "little") + WHOLE[4:], "key type"),
    "text-of-a-certificate": (TYPE.encode() + b" AAAA", "key type"),
    "dsa-key": (string("ssh-dss") + mpint(3) + mpint(3) + mpint(3) + mpint(3), "key type"),
    "key-and-certificate": (Ed25519.fields.fget(CA) + WHOLE, "key type"),  # type: ignore[attr-defined]
}
