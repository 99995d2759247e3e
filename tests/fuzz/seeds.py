"""What the targets begin with: the hostile tables, and good ones of their kind. Made anew, as keys and dates are."""

from __future__ import annotations

import base64
import json
from contextlib import suppress
from functools import cache

from hoopjump import hook
from hoopjump.daemon import wire
from hoopjump.decision.certificate import CertificateError, parse_certificate
from tests.ca.forge import armored, detached
from tests.decision.forge import CA, Ecdsa, FidoEd25519, Rsa, Signer, blob
from tests.hostile.certificates import decided
from tests.hostile.certificates.forge import PRINCIPAL, TRUSTED, Fresh
from tests.hostile.certificates.table import HOSTILE as HOSTILE_CERTIFICATES
from tests.hostile.tokens import forge
from tests.hostile.tokens.table import HOSTILE as HOSTILE_TOKENS

NAMESPACE = "hoopjump-ca@hoopjump"
MESSAGE = b"message"

SIGNERS: tuple[Signer, ...] = (CA, Ecdsa("nistp384"), Rsa(2048), FidoEd25519())


def _decoded(segment: bytes) -> bytes:
    return base64.urlsafe_b64decode(segment + b"=" * (-len(segment) % 4))


def tokens() -> list[bytes]:
    """Whole tokens; and headers and claims without their signature, which the target makes."""
    made = [forge.token(), forge.token(key="p256"), *(hostile.token for hostile in HOSTILE_TOKENS.values())]
    unsigned = []
    for token in made:
        head, _, rest = token.partition(b".")
        with suppress(ValueError):
            unsigned.append(b"\0" + _decoded(head) + b"\0" + _decoded(rest.partition(b".")[0]))
    return made + unsigned


@cache
def certificates() -> list[bytes]:
    """Good ones of every authority, and the table; and what is signed in some, which the target signs."""
    good = [Fresh(ca=ca).blob for ca in TRUSTED]
    rows = [Fresh(), *(row for row, _ in decided.TABLE.values() if isinstance(row, Fresh))]
    hostile = [row.blob for row in HOSTILE_CERTIFICATES.values()]
    return good + hostile + [b"S" + row.signed for row in rows]


@cache
def signed() -> frozenset[bytes]:
    """What the authorities have signed."""
    found = set()
    for raw in certificates():
        try:
            found.add(parse_certificate(raw).signed)
        except CertificateError:
            continue
    return frozenset(found)


def messages() -> list[bytes]:
    """Questions and answers, and what is nearly one."""
    question = hook.encode([("v", b"1"), ("verb", b"session"), ("command", b"ls"), ("env", b"A=1"), ("env", b"B=2")])
    answer = wire.encode([("outcome", "refuse"), ("exit", "77"), ("text", "No."), ("text", "Not now.")])
    good = [question[4:], answer[4:]]
    bent = [b"1:v,2:01,", b"1:v,1:0,", b"1:v,1:1,1:v,1:1,", b"1:v,1:1,01:a,", b"1:v,1:1,1:a,0:,", b"1:v,1:1,1:A,0:,"]
    return good + bent + [raw[:-1] for raw in good] + [raw.replace(b",", b";", 1) for raw in good]


def lines() -> list[bytes]:
    """Lines, and what the target makes lines of."""
    return [
        b"restrict,pty alice@x.io",
        b'restrict,pty,port-forwarding,permitopen="gw.x.io:12222",permitopen="[::1]:22" alice@x.io',
        b'permitopen="*:*" root',
        b"\n".join((PRINCIPAL.encode() + b"\0bob|1", b"permit-port-forwarding\0permit-pty", b"gw.x.io:22")),
        b"\n".join((b'alice smith\0#\0"\0root', b"permit-pty", b"[2001:db8::1]:65535")),
        b"\n".join((b"a" * 2100, b"permit-port-forwarding", b"gw:99999")),
    ]


def key_sets() -> list[bytes]:
    """Each key of the tokens' set alone, all of them, and none."""
    singles = [json.dumps({"keys": [key]}).encode() for key in forge.JWKS]
    return [*singles, json.dumps({"keys": forge.JWKS[:6]}).encode(), b'{"keys":[]}', b"[]", b'{"keys":[{}],"keys":1}']


@cache
def signing_keys() -> frozenset[bytes]:
    """The public halves of those that sign."""
    return frozenset(map(blob, SIGNERS))


def signatures() -> list[bytes]:
    """Of every kind of key, in armor and without."""
    bare = [detached(key, MESSAGE) for key in SIGNERS]
    return bare + [armored(key, MESSAGE).encode() for key in SIGNERS]
