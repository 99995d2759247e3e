"""What is said under a good signature, and cannot be read, or could be read in two ways."""

from __future__ import annotations

from tests.decision.forge import options, string
from tests.hostile.certificates.forge import Fresh, Row

TABLE: dict[str, tuple[Row, str]] = {
    "type-0": (Fresh(type=0), "certificate type"),
    "type-3": (Fresh(type=3), "certificate type"),
    "type-huge": (Fresh(type=2**32 - 1), "certificate type"),
    "key-id-with-nul": (Fresh(key_id=b"alice\0root"), "key ID"),
    "key-id-ending-in-nul": (Fresh(key_id=b"alice\0"), "key ID"),
    "key-id-not-utf-8": (Fresh(key_id=b"\xe4lice"), "key ID"),
    "key-id-surrogate": (Fresh(key_id=b"\xed\xa0\x80"), "key ID"),
    "principal-with-nul": (Fresh(principals=string("alice\0bob")), "principals"),
    "principal-ending-in-nul": (Fresh(principals=string("alice\0")), "principals"),
    "principal-not-utf-8": (Fresh(principals=string(b"\xff")), "principals"),
    "principal-overlong-utf-8": (Fresh(principals=string(b"\xc1\xa1")), "principals"),
    "principal-cut-off": (Fresh(principals=string("alice")[:-1]), "principals"),
    "principals-with-loose-bytes": (Fresh(principals=string("alice") + b"\0\0"), "principals"),
    "principals-257": (Fresh(principals=string("p") * 257), "principals"),
    "principals-20000-empty": (Fresh(principals=string("") * 20000), "principals"),
    "key-id-overlong-nul": (Fresh(key_id=b"alice\xc0\x80"), "key ID"),
    "key-id-utf-16": (Fresh(key_id="alice".encode("utf-16")), "key ID"),
    "principal-only-nul": (Fresh(principals=string("\0")), "principals"),
    "principal-latin-1": (Fresh(principals=string("j\xf6rg@x.io".encode("latin-1"))), "principals"),
    "principal-longer-than-all": (Fresh(principals=b"\xff\xff\xff\xff" + b"alice@x.io"), "principals"),
    "principals-as-a-list-of-words": (Fresh(principals=b"alice@x.io,bob@x.io"), "principals"),
    "second-principal-with-nul": (Fresh(principals=string("alice@x.io") + string("\0root")), "principals"),
    # options
    "extensions-unsorted": (Fresh(extensions=options(("permit-pty", b""), ("permit-agent", b""))), "extensions"),
    "extension-twice": (Fresh(extensions=options(("permit-pty", b""), ("permit-pty", b""))), "extensions"),
    "extension-twice-apart": (
        Fresh(extensions=options(("a@x", b""), ("permit-pty", b""), ("a@x", b""))),
        "extensions",
    ),
    "extension-without-data": (Fresh(extensions=string("permit-pty")), "extensions"),
    "extension-data-cut-off": (Fresh(extensions=options(("a@x", b"data"))[:-1]), "extensions"),
    "extension-name-with-nul": (Fresh(extensions=options(("permit-pty\0", b""))), "extensions"),
    "extension-name-not-utf-8": (Fresh(extensions=options((b"\xff", b""))), "extensions"),
    "permit-pty-with-data": (Fresh(extensions=options(("permit-pty", b"1"))), "extensions"),
    "permit-pty-with-empty-string": (Fresh(extensions=options(("permit-pty", string("")))), "extensions"),
    "permit-port-forwarding-with-data": (
        Fresh(extensions=options(("permit-port-forwarding", string("no")))),
        "extensions",
    ),
    "permit-unknown-with-data": (Fresh(extensions=options(("permit-x", b"\0"))), "extensions"),
    "no-touch-required-with-data": (Fresh(extensions=options(("no-touch-required", b"1"))), "extensions"),
    "critical-unsorted": (
        Fresh(critical=options(("source-address", string("10.0.0.1")), ("force-command", string("id")))),
        "critical options",
    ),
    "critical-twice": (
        Fresh(critical=options(("source-address", string("10.0.0.1")), ("source-address", string("0.0.0.0/0")))),
        "critical options",
    ),
    "verify-required-with-data": (Fresh(critical=options(("verify-required", b"0"))), "critical options"),
    "source-address-bare": (Fresh(critical=options(("source-address", b"10.0.0.1"))), "source-address"),
    "source-address-empty": (Fresh(critical=options(("source-address", b""))), "source-address"),
    "source-address-two-strings": (
        Fresh(critical=options(("source-address", string("10.0.0.1") + string("0.0.0.0/0")))),
        "source-address",
    ),
    "source-address-with-nul": (Fresh(critical=options(("source-address", string("10.0.0.1\0")))), "source-address"),
    "force-command-bare": (Fresh(critical=options(("force-command", b"id"))), "force-command"),
    "force-command-with-tail": (Fresh(critical=options(("force-command", string("id") + b"x"))), "force-command"),
    "extension-names-without-data": (
        Fresh(extensions=string("permit-port-forwarding") + string("permit-pty")),
        "extensions",
    ),
    "extension-name-longer-than-all": (Fresh(extensions=b"\x7f\xff\xff\xff" + b"permit-pty"), "extensions"),
    "extension-empty-name-twice": (Fresh(extensions=options(("", b""), ("", b""))), "extensions"),
    "extension-sorted-by-length": (Fresh(extensions=options(("z", b""), ("permit-pty", b""))), "extensions"),
    "extension-loose-byte": (Fresh(extensions=options(("permit-pty", b"")) + b"\0"), "extensions"),
    "critical-name-with-nul": (
        Fresh(critical=options(("source-address\0", string("10.0.0.1")))),
        "critical options",
    ),
    "critical-name-not-utf-8": (Fresh(critical=options((b"\xff", b""))), "critical options"),
    "critical-without-data": (Fresh(critical=string("source-address")), "critical options"),
    "critical-loose-bytes": (
        Fresh(critical=options(("source-address", string("127.0.0.1"))) + b"\0\0"),
        "critical options",
    ),
    "permit-pty-critical-with-data": (Fresh(critical=options(("permit-pty", b"1"))), "critical options"),
    "source-address-not-utf-8": (Fresh(critical=options(("source-address", string(b"\xff")))), "source-address"),
    "source-address-cut-off": (
        Fresh(critical=options(("source-address", string("127.0.0.1")[:-1]))),
        "source-address",
    ),
    "force-command-with-nul": (Fresh(critical=options(("force-command", string("id\0")))), "force-command"),
}
