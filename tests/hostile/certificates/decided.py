"""Certificates that can be read, and yet are no reason to let anybody in."""

from __future__ import annotations

from tests.decision.forge import CA, KEY, USUAL, Ed25519, FidoEd25519, Rsa, Signer, mpint, options, string
from tests.hostile.certificates.authority import signed_by
from tests.hostile.certificates.forge import NOW, P256, RSA, SK_ED25519, STRANGER, WEAK, Fresh, Row

GOOD = Fresh()
# The order of the group of nistp256: r and s must be below it.
P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
ADDRESS = "source-address"


def altered(**parts: object) -> Row:
    """A good certificate in which something was changed after it was signed."""
    return Fresh(**parts, signature=CA.sign(GOOD.signed))  # type: ignore[arg-type]


def named(*principals: str) -> Row:
    """A good certificate for these principals."""
    return Fresh(principals=b"".join(map(string, principals)))


def critical(name: str, data: bytes = b"") -> Row:
    """A good certificate with one critical option."""
    return Fresh(critical=options((name, data)))


def turned(ca: Signer, at: int) -> Row:
    """A good certificate of an authority with one bit of its signature turned."""
    good = Fresh(ca=ca)
    signature = bytearray(ca.sign(good.signed))
    signature[at] ^= 1
    return Fresh(ca=ca, signature=bytes(signature))


TABLE: dict[str, tuple[Row, str]] = {
    # whose
    "stranger": (Fresh(ca=STRANGER), "cert-untrusted-ca"),
    "stranger-rsa": (Fresh(ca=Rsa(2048)), "cert-untrusted-ca"),
    "stranger-fido": (Fresh(ca=FidoEd25519()), "cert-untrusted-ca"),
    "signed-by-itself": (Fresh(ca=KEY), "cert-untrusted-ca"),
    "signed-by-a-stranger-for-itself": (Fresh(key=STRANGER, ca=STRANGER), "cert-untrusted-ca"),
    "our-authority-for-another-application": (
        Fresh(ca=FidoEd25519(key=SK_ED25519.key, application="ssh:other")),
        "cert-untrusted-ca",
    ),
    "names-ours-signed-by-a-stranger": (Fresh(signature=STRANGER.sign(GOOD.signed)), "cert-bad-signature"),
    "names-ours-signed-by-its-own-key": (Fresh(signature=KEY.sign(GOOD.signed)), "cert-bad-signature"),
    "names-another-of-ours": (
        Fresh(ca=RSA, signature=string("rsa-sha2-512") + string(Ed25519().sign(b"")[-64:])),
        "cert-bad-signature",
    ),
    # changed after it was signed
    "altered-nonce": (altered(nonce=b"m" * 32), "cert-bad-signature"),
    "altered-key": (altered(key=STRANGER), "cert-bad-signature"),
    "altered-serial": (altered(serial=2), "cert-bad-signature"),
    "altered-type": (altered(type=2), "cert-bad-signature"),
    "altered-key-id": (altered(key_id=b"root"), "cert-bad-signature"),
    "altered-principals": (altered(principals=string("root@x.io")), "cert-bad-signature"),
    "altered-principal-added": (altered(principals=string("alice@x.io") + string("root")), "cert-bad-signature"),
    "altered-begin": (altered(valid_after=0), "cert-bad-signature"),
    "altered-end": (altered(valid_before=2**64 - 1), "cert-bad-signature"),
    "altered-critical": (altered(critical=options((ADDRESS, string("0.0.0.0/0")))), "cert-bad-signature"),
    "altered-critical-removed": (
        Fresh(signature=CA.sign(Fresh(critical=options((ADDRESS, string("10.0.0.1")))).signed)),
        "cert-bad-signature",
    ),
    "altered-extension-added": (
        altered(extensions=options(("permit-X11-forwarding", b"")) + USUAL),
        "cert-bad-signature",
    ),
    "altered-extensions-removed": (altered(extensions=b""), "cert-bad-signature"),
    "altered-reserved": (altered(reserved=b"x"), "cert-bad-signature"),
    # signatures that are well-formed and wrong
    "bit-turned-ed25519": (turned(CA, -1), "cert-bad-signature"),
    "bit-turned-rsa": (turned(RSA, -1), "cert-bad-signature"),
    "bit-turned-p256": (turned(P256, -1), "cert-bad-signature"),
    "fido-counter-turned": (turned(SK_ED25519, -1), "cert-bad-signature"),
    "fido-flags-turned": (turned(SK_ED25519, -5), "cert-bad-signature"),
    "zeros-ed25519": (Fresh(signature=string("ssh-ed25519") + string(bytes(64))), "cert-bad-signature"),
    "zeros-p256": (signed_by(P256, string(P256.type) + string(mpint(0) + mpint(0))), "cert-bad-signature"),
    "order-p256": (
        signed_by(P256, string(P256.type) + string(mpint(P256_ORDER) + mpint(P256_ORDER))),
        "cert-bad-signature",
    ),
    "largest-p256": (
        signed_by(P256, string(P256.type) + string(mpint(2**256 - 1) + mpint(2**256 - 1))),
        "cert-bad-signature",
    ),
    "zeros-rsa": (signed_by(RSA, string("rsa-sha2-512") + string(bytes(256))), "cert-bad-signature"),
    "ones-rsa": (signed_by(RSA, string("rsa-sha2-512") + string(b"\xff" * 256)), "cert-bad-signature"),
    "short-rsa": (signed_by(RSA, string("rsa-sha2-512") + string(b"\1")), "cert-bad-signature"),
    "other-hash-rsa": (signed_by(RSA, string("rsa-sha2-256") + string(b"\1" * 256)), "cert-bad-signature"),
    # weak keys
    "rsa-1024": (Fresh(key=WEAK), "cert-weak-key"),
    "rsa-1024-authority": (Fresh(ca=WEAK), "cert-weak-key"),
    # for what, and when
    "host": (Fresh(type=2), "cert-not-user"),
    "begins-tomorrow": (Fresh(valid_after=NOW + 86400, valid_before=NOW + 90000), "cert-not-yet-valid"),
    "begins-never": (Fresh(valid_after=2**64 - 1, valid_before=2**64 - 1), "cert-not-yet-valid"),
    "expired": (Fresh(valid_before=NOW - 1), "cert-expired"),
    "ends-now": (Fresh(valid_before=NOW), "cert-expired"),
    "ends-before-it-begins": (Fresh(valid_after=NOW - 10, valid_before=NOW - 20), "cert-expired"),
    "never-valid": (Fresh(valid_after=0, valid_before=0), "cert-expired"),
    # for whom
    "no-principals": (Fresh(principals=b""), "cert-no-principals"),
    **{
        f"principal-{name}": (named(principal), "cert-unsafe-principal")
        for name, principal in {
            "empty": "",
            "with-space": "alice smith",
            "with-space-behind": "alice@x.io ",
            "with-options": 'permitopen="*:*" alice@x.io',
            "with-comment": "alice@x.io#",
            "with-quote": 'alice"@x.io',
            "with-comma": "alice@x.io,root",
            "with-newline": "alice@x.io\nroot",
            "with-newline-behind": "alice@x.io\n",
            "with-return": "alice@x.io\r",
            "with-tab": "alice\t@x.io",
            "with-escape": "\x1b[2Jalice@x.io",
            "wildcard": "*",
            "negated": "!alice@x.io",
            "in-another-alphabet": "\u0430lice@x.io",
            "with-combining-mark": "alice\u0301@x.io",
            "right-to-left": "\u202eoi.x@ecila",
            "with-backslash": "alice\\@x.io",
            "with-slash": "../alice@x.io",
            "of-513-letters": "a" * 513,
        }.items()
    },
    "principal-of-somebody-unknown": (named("mallory@x.io"), "user-unknown"),
    "principal-in-capitals": (named("ALICE@X.IO"), "user-unknown"),
    "principal-root": (named("root"), "user-unknown"),
    "principal-with-a-longer-domain": (named("alice@x.io.evil.example"), "user-unknown"),
    "principals-of-two-users": (named("alice@x.io", "bob@x.io"), "user-ambiguous"),
    # under which conditions
    **{
        f"critical-{name}": (row, "cert-unknown-option")
        for name, row in {
            "force-command": critical("force-command", string("id")),
            "force-command-empty": critical("force-command", string("")),
            "verify-required": critical("verify-required"),
            "no-touch-required": critical("no-touch-required"),
            "permit-pty": critical("permit-pty"),
            "unknown": critical("new@x.io"),
            "empty-name": critical(""),
            "in-capitals": critical("Source-Address", string("0.0.0.0/0")),
            "with-space-behind": critical("source-address ", string("0.0.0.0/0")),
            "with-escape": critical("\x1b[2J"),
        }.items()
    },
    **{
        f"source-address-{name}": (critical(ADDRESS, string(text)), "cert-source-address")
        for name, text in {
            "another": "10.0.0.1",
            "another-network": "10.0.0.0/8",
            "of-version-6": "::1",
            "empty": "",
            "comma": ",",
            "comma-behind": "127.0.0.1,",
            "space": " 127.0.0.1",
            "host-name": "localhost",
            "wildcard": "127.0.0.*",
            "everything": "*",
            "negated": "!10.0.0.1,127.0.0.1",
            "host-bits": "127.0.0.1/8",
            "length-33": "127.0.0.0/33",
            "length-empty": "127.0.0.1/",
            "length-negative": "127.0.0.1/-1",
            "mask": "127.0.0.0/255.0.0.0",
            "short": "127.1",
            "octal": "0177.0.0.1",
            "number": "2130706433",
            "zone": "::1%lo",
            "with-port": "127.0.0.1:22",
            "in-other-digits": "\u0661\u0662\u0667.0.0.1",
        }.items()
    },
}
