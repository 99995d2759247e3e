"""Where we are stricter than OpenSSH, and why; all else that is hostile it refuses as well."""

from __future__ import annotations

from tests.hostile.certificates.keys import SMALL_ORDER

_WHY: dict[str, tuple[str, ...]] = {
    "The hook could not be given it: Linux bounds a word of argv.": ("outside-larger-than-argv",),
    "A type has one spelling (PROTOCOL.certkeys); sshd also takes the name of the signature.": (
        "outside-signature-name-as-type",
        "outside-type-with-nul",
    ),
    "Anybody can sign for such a key; OpenSSH does not look.": (
        "key-sk-ed25519-small-order",
        *(f"{kind}-small-order-{n}" for kind in ("key", "authority-ca") for n in range(len(SMALL_ORDER))),
    ),
    "No RSA key is like that, and some of them verify anything; OpenSSH leaves it to OpenSSL, when it is used.": (
        "key-rsa-even-modulus",
        "key-rsa-exponent-0",
        "key-rsa-exponent-1",
        "key-rsa-exponent-2",
        "key-rsa-exponent-even",
        "key-rsa-exponent-huge",
    ),
    "RFC 4251 section 5 forbids needless zeros: one key, one blob.": (
        "key-rsa-padded-exponent",
        "key-rsa-padded-modulus",
    ),
    "A C string ends at NUL, ours does not: what one program reads must be what the other reads.": (
        "key-sk-application-with-nul",
        "body-key-id-ending-in-nul",
        "body-principal-ending-in-nul",
        "body-principal-only-nul",
        "body-extension-name-with-nul",
        "body-critical-name-with-nul",
        "body-source-address-with-nul",
        "body-force-command-with-nul",
    ),
    "What goes to logs, JSON and the gateway is UTF-8.": (
        "key-sk-application-not-utf-8",
        "body-key-id-not-utf-8",
        "body-key-id-overlong-nul",
        "body-key-id-surrogate",
        "body-principal-latin-1",
        "body-principal-not-utf-8",
        "body-principal-overlong-utf-8",
        "body-extension-name-not-utf-8",
        "body-critical-name-not-utf-8",
        "body-source-address-not-utf-8",
    ),
    "PROTOCOL.certkeys wants order, and each name once; OpenSSH looks at few names, others may take the first.": (
        "body-critical-twice",
        "body-critical-unsorted",
        "body-extension-empty-name-twice",
        "body-extension-sorted-by-length",
        "body-extension-twice",
        "body-extension-twice-apart",
        "body-extensions-unsorted",
    ),
    "A permission has no data; where there is some, somebody meant something else.": (
        "body-permit-pty-critical-with-data",
        "body-permit-unknown-with-data",
    ),
    "sshd refuses SHA-1 as we do; `ssh-keygen -L` only shows it.": ("authority-signature-sha1",),
    "RequiredRSASize is 1024 by default; NIST SP 800-57 part 1 asks for 2048.": (
        "decided-rsa-1024",
        "decided-rsa-1024-authority",
    ),
    "The gateway refuses these options, so the bastion does.": (
        "decided-critical-force-command",
        "decided-critical-force-command-empty",
        "decided-critical-verify-required",
    ),
    "getaddrinfo knows more ways to write an address than people do.": (
        "decided-source-address-number",
        "decided-source-address-octal",
        "decided-source-address-short",
    ),
    "sshd looks for one principal that fits; we must know who it is.": ("decided-principals-of-two-users",),
}

STRICTER = {name: why for why, names in _WHY.items() for name in names}
"""Name in the table, and why OpenSSH may take it."""
