"""Tokens verified in a second, on one core: the bare signature, ours, and PyJWT."""

from __future__ import annotations

import math
import os
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

import jwt as pyjwt
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from hoopjump.decision.jose import decode_segment
from hoopjump.decision.jwk import KeySet, parse_key, public_members
from hoopjump.decision.token import VerifiedToken, verify
from hoopjump.decision.token_memory import VerifiedTokens
from hoopjump.decision.token_policy import IssuerPolicy, TrustedIssuer, trust
from hoopjump.dev.bench.table import Row, row

DISTINCT: Final = 1500
BLOCK: Final = 50
WARM: Final = 10
ROUNDS: Final = 25
ISSUER: Final = "https://idp.example.com"
AUDIENCE: Final = "bastion"
GROUPS: Final = ["admins", "developers", "operations"]

_KEYS: Final[dict[str, Callable[[], Any]]] = {
    "RS256": lambda: rsa.generate_private_key(65537, 2048),
    "ES256": lambda: ec.generate_private_key(ec.SECP256R1()),
    "EdDSA": ed25519.Ed25519PrivateKey.generate,
}
_ARGUMENTS: Final[dict[str, tuple[Any, ...]]] = {
    "RS256": (padding.PKCS1v15(), hashes.SHA256()),
    "ES256": (ec.ECDSA(hashes.SHA256()),),
    "EdDSA": (),
}


def jwt() -> tuple[list[Row], str]:
    """Distinct tokens by algorithm, interleaved; the ratio of a row is its time to that of the bare signature."""
    rows = []
    with _one_core():
        for algorithm in _KEYS:
            rows += _verified(algorithm)
        rows.append(_remembered())
    return rows, (
        f"one pinned core; a run is {BLOCK} of {DISTINCT} distinct tokens, after {WARM} that are not timed, best of"
        f" {ROUNDS} rounds, processor time; percent_of_raw is the speed as a part of that of the bare signature, goals"
        " 80 for RS256, 90 for ES256, EdDSA where PyJWT has 31, 60 and 72; percent_of_added is what is added to the"
        " signature, as a part of what PyJWT adds, and the same goals are 11.2, 16.7 and 28.6, however fast Python is"
        " beside OpenSSL on a machine; a token seen before: 500,000 a second"
    )


@contextmanager
def _one_core() -> Iterator[None]:
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(before)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def _tokens(algorithm: str, key: Any, count: int) -> list[bytes]:  # noqa: ANN401 - any private key
    now = int(time.time())
    return [
        pyjwt.encode(
            {
                "iss": ISSUER,
                "aud": AUDIENCE,
                "exp": now + 3600,
                "nbf": now,
                "iat": now,
                "sub": f"user-{number:06}",
                "jti": f"{number:032x}",
                "groups": GROUPS,
                "email": f"user-{number:06}@example.com",
            },
            key,
            algorithm,
            headers={"kid": "key-1"},
        ).encode()
        for number in range(count)
    ]


def _verified(algorithm: str) -> list[Row]:
    private = _KEYS[algorithm]()
    public = private.public_key()
    tokens = _tokens(algorithm, private, DISTINCT)
    key = parse_key({"kid": "key-1", **public_members(public)})
    policy = IssuerPolicy(ISSUER, frozenset({AUDIENCE}), frozenset({algorithm}), groups_claim="groups")
    issuers = trust(TrustedIssuer(policy, KeySet.of(key)))
    bare = [_bare(algorithm, token) for token in tokens]
    arguments = _ARGUMENTS[algorithm]
    settings: Any = {"key": public, "algorithms": [algorithm], "audience": AUDIENCE, "issuer": ISSUER}

    def raw(begin: int, end: int) -> None:
        for signature, signed in bare[begin:end]:
            public.verify(signature, signed, *arguments)

    def ours(begin: int, end: int) -> None:
        now = time.time()
        for token in tokens[begin:end]:
            verify(token, issuers, now)

    def theirs(begin: int, end: int) -> None:
        for token in tokens[begin:end]:
            pyjwt.decode(token, **settings)

    return _rows(algorithm, {"raw": raw, "hoopjump": ours, "PyJWT": theirs})


def _rows(prefix: str, variants: dict[str, Callable[[int, int], None]]) -> list[Row]:
    """Every variant over every block of tokens, the variants by turns: processor time of this thread.

    A block's time is that of its best round, since whoever shares the core's caches slows Python more than OpenSSL. It
    begins warm, after some tokens that are not timed: what a variant does first is slower, and a pass would have only
    one such beginning.
    """
    blocks = range(0, DISTINCT, BLOCK)
    best = {name: [math.inf] * len(blocks) for name in variants}
    for _ in range(ROUNDS):
        for number, begin in enumerate(blocks):
            for name, variant in variants.items():
                away = (begin + DISTINCT // 2) % DISTINCT
                variant(away, away + WARM)
                start = time.thread_time()
                variant(begin, begin + BLOCK)
                best[name][number] = min(best[name][number], (time.thread_time() - start) * 1000)
    base, last = best[next(iter(variants))], next(reversed(best.values()))
    rows = []
    for name, times in best.items():
        figures = {"per_second": DISTINCT / sum(times) * 1000, "percent_of_raw": 100 * sum(base) / sum(times)}
        if times is not base:
            figures["percent_of_added"] = 100 * (sum(times) - sum(base)) / (sum(last) - sum(base))
        rows.append(row(f"{prefix} {name}", times, statistics.median(base), **figures))
    return rows


def _bare(algorithm: str, token: bytes) -> tuple[bytes, bytes]:
    signed, _, tail = token.rpartition(b".")
    signature = decode_segment(tail)
    if algorithm == "ES256":
        signature = encode_dss_signature(int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big"))
    return signature, signed


def _remembered() -> Row:
    now = time.time()
    tokens = _tokens("EdDSA", _KEYS["EdDSA"](), DISTINCT)
    memory = VerifiedTokens()
    for number, token in enumerate(tokens):
        claims = {"iss": ISSUER, "sub": "user", "jti": f"{number}"}
        ends = int(now) + 3600
        memory.remember(token, VerifiedToken("user", (), 0, ends, None, claims))

    def look(begin: int, end: int) -> None:
        for token in tokens[begin:end]:
            if memory.get(token, now) is None:
                raise AssertionError(token)

    (found,) = _rows("a token", {"seen before": look})
    return Row(found.variant, found.median_ms, found.p95_ms, 1.0, {"per_second": found.figures["per_second"]})
