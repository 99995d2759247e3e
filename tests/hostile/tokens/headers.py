"""A header that asks for something else than the check of a signature by a key of the issuer's."""

from __future__ import annotations

from tests.hostile.tokens.forge import (
    DROP,
    ISSUER,
    PRIVATE,
    SECRET,
    SHARING,
    SINGLE,
    claims,
    jwk,
    pem,
    segment,
    signature,
    text,
    token,
)


def unsigned(algorithm: str, tail: bytes = b"") -> bytes:
    """A token that claims to need no signature."""
    return segment(text({"alg": algorithm, "typ": "JWT"})) + b"." + segment(text(claims())) + b"." + tail


def unencoded() -> bytes:
    """RFC 7797: the claims stand in the token as they are, and are signed so."""
    beginning = segment('{"alg":"EdDSA","kid":"ed","b64":false,"crit":["b64"]}') + b"." + text(claims()).encode()
    return beginning + b"." + segment(PRIVATE["ed"].sign(beginning))


def forged(name: str, value: object) -> bytes:
    """Signed by a stranger's key that the header offers."""
    return token(None, {"kid": "ed", name: value}, key="stranger")


PUBLIC_AS_SECRET = {
    "pem": pem("rsa"),
    "pem-without-newline": pem("rsa").rstrip(b"\n"),
    "modulus": str(jwk("rsa")["n"]).encode(),
    "jwk": text(jwk("rsa")).encode(),
}

TABLE: dict[str, tuple[bytes, str]] = {
    # no signature
    **{f"alg-{name}": (unsigned(name), "algorithm-none") for name in ("none", "None", "NONE", "nOnE")},
    "alg-none-with-signature": (token(None, {"alg": "none"}), "algorithm-none"),
    "alg-none-with-kid": (token(None, {"alg": "none", "kid": "rsa"}, key="rsa"), "algorithm-none"),
    "alg-none-with-rubbish": (unsigned("none", b"AAAA"), "algorithm-none"),
    # algorithms
    "alg-missing": (token(None, {"alg": DROP}), "header-malformed"),
    "alg-null": (token(None, {"alg": None}), "header-malformed"),
    "alg-number": (token(None, {"alg": 256}), "header-malformed"),
    "alg-list": (token(None, {"alg": ["EdDSA"]}), "header-malformed"),
    "alg-empty": (token(None, {"alg": ""}), "wrong-algorithm"),
    "alg-none-with-space": (unsigned("none "), "wrong-algorithm"),
    "alg-in-lower-case": (token(None, {"alg": "rs256"}, key="rsa"), "wrong-algorithm"),
    "alg-es256-in-lower-case": (token(None, {"alg": "es256"}, key="p256"), "wrong-algorithm"),
    "alg-eddsa-in-capitals": (token(None, {"alg": "EDDSA"}), "wrong-algorithm"),
    "alg-by-its-later-name": (token(None, {"alg": "Ed25519"}), "wrong-algorithm"),
    "alg-full-width": (token(None, {"alg": "\uff25dDSA"}), "wrong-algorithm"),
    "alg-true": (token(None, {"alg": True}), "header-malformed"),
    "alg-object": (token(None, {"alg": {"alg": "EdDSA"}}), "header-malformed"),
    "alg-with-space": (token(None, {"alg": "EdDSA "}), "wrong-algorithm"),
    "alg-with-nul": (token(None, {"alg": "EdDSA\0"}), "wrong-algorithm"),
    **{
        f"alg-{name}": (token(None, {"alg": name}, key="rsa"), "wrong-algorithm")
        for name in ("PS384", "PS512", "RS1", "ES512", "ES256K", "Ed448", "RSA-OAEP", "dir", "A128KW", "unknown")
    },
    "alg-es256-where-only-eddsa-is": (token(claims(iss=SINGLE), {"typ": "at+jwt"}, key="p256"), "wrong-algorithm"),
    "alg-rs256-where-a-secret-is": (token(claims(iss=SHARING), key="rsa"), "wrong-algorithm"),
    "alg-eddsa-where-a-secret-is": (token(claims(iss=SHARING)), "wrong-algorithm"),
    "alg-hs384-with-the-secret": (
        token(claims(iss=SHARING), algorithm="HS384", secret=SECRET),
        "wrong-algorithm",
    ),
    "alg-hs512-with-the-secret": (token(claims(iss=SHARING), algorithm="HS512", secret=SECRET), "wrong-algorithm"),
    # a public key as a shared secret
    **{
        f"{algorithm.lower()}-with-{name}".replace("hs", "hmac"): (
            token(None, key="rsa", algorithm=algorithm, secret=secret),
            "hmac-with-key-set",
        )
        for name, secret in PUBLIC_AS_SECRET.items()
        for algorithm in ("HS256", "HS512")
    },
    "hmac-with-published-secret": (
        token(None, {"kid": "published-secret"}, algorithm="HS256", secret=SECRET),
        "hmac-with-key-set",
    ),
    "hmac-with-empty-secret": (
        unsigned("HS256", segment(signature("HS256", b"", b""))),
        "hmac-with-key-set",
    ),
    # kinds of tokens
    **{
        f"typ-{name.replace('/', '-')}": (token(None, {"typ": name}), "wrong-type")
        for name in (
            "logout+jwt",
            "LOGOUT+JWT",
            "application/logout+jwt",
            "secevent+jwt",
            "dpop+jwt",
            "application/dpop+jwt",
            "token-introspection+jwt",
            "entity-statement+jwt",
            "oauth-authz-req+jwt",
            "kb+jwt",
            "vc+sd-jwt",
            "JOSE",
            "JOSE+JSON",
            "JWE",
            "JWT ",
            "application/application/jwt",
            "text/jwt",
            "id_token+jwt",
            "example+jwt",
            "",
        )
    },
    "typ-application-alone": (token(None, {"typ": "application/"}), "wrong-type"),
    "typ-with-parameter": (token(None, {"typ": "JWT;charset=utf-8"}), "wrong-type"),
    "typ-with-nul": (token(None, {"typ": "JWT\0"}), "wrong-type"),
    "typ-full-width": (token(None, {"typ": "\uff2aWT"}), "wrong-type"),
    "typ-number": (token(None, {"typ": 1}), "header-malformed"),
    "typ-null": (token(None, {"typ": None}), "header-malformed"),
    "typ-list": (token(None, {"typ": ["JWT"]}), "header-malformed"),
    "typ-jwt-where-at-jwt-is-wanted": (token(claims(iss=SINGLE), {"kid": DROP}), "wrong-type"),
    "typ-missing-where-at-jwt-is-wanted": (token(claims(iss=SINGLE), {"kid": DROP, "typ": DROP}), "wrong-type"),
    # extensions
    "crit-unknown": (token(None, {"crit": ["x"], "x": 1}), "critical"),
    "crit-empty": (token(None, {"crit": []}), "critical"),
    "crit-twice-the-same": (token(None, {"crit": ["x", "x"], "x": 1}), "critical"),
    "crit-itself": (token(None, {"crit": ["crit"]}), "critical"),
    "crit-a-claim": (token(None, {"crit": ["exp"], "exp": 1}), "critical"),
    "crit-number": (token(None, {"crit": 1}), "critical"),
    "crit-object": (token(None, {"crit": {"x": 1}, "x": 1}), "critical"),
    "crit-b64-true": (token(None, {"crit": ["b64"], "b64": True}), "critical"),
    "crit-null": (token(None, {"crit": None}), "critical"),
    "crit-text": (token(None, {"crit": "exp"}), "critical"),
    "crit-registered-name": (token(None, {"crit": ["alg"]}), "critical"),
    "crit-without-its-member": (token(None, {"crit": ["x"]}), "critical"),
    "crit-b64": (token(None, {"crit": ["b64"], "b64": False}), "critical"),
    "b64-false-without-crit": (token(None, {"b64": False}), "critical"),
    "b64-null": (token(None, {"b64": None}), "critical"),
    "b64-zero": (token(None, {"b64": 0}), "critical"),
    "b64-one": (token(None, {"b64": 1}), "critical"),
    "b64-text": (token(None, {"b64": "true"}), "critical"),
    "b64-false-and-claims-as-they-are": (unencoded(), "critical"),
    # keys that the token brings along
    "jwk-of-a-stranger": (forged("jwk", jwk("stranger")), "bad-signature"),
    "jwk-of-a-stranger-without-kid": (
        token(None, {"kid": DROP, "jwk": jwk("stranger")}, key="stranger"),
        "key-unnamed",
    ),
    "jku-of-a-stranger": (forged("jku", "https://evil.example.com/jwks"), "bad-signature"),
    "jku-of-a-stranger-with-its-kid": (
        token(None, {"jku": "https://evil.example.com/jwks"}, key="stranger"),
        "key-unknown",
    ),
    "jku-of-a-file": (forged("jku", "file:///etc/passwd"), "bad-signature"),
    "x5u-of-a-stranger": (forged("x5u", "https://evil.example.com/chain.pem"), "bad-signature"),
    "x5c-of-a-stranger": (forged("x5c", ["MIIB"]), "bad-signature"),
    "iss-in-header": (token(claims(iss=DROP), {"iss": ISSUER}), "issuer-missing"),
    # kid
    "kid-number": (token(None, {"kid": 1}), "header-malformed"),
    "kid-null": (token(None, {"kid": None}), "header-malformed"),
    "kid-true": (token(None, {"kid": True}), "header-malformed"),
    "kid-list": (token(None, {"kid": ["ed"]}), "header-malformed"),
    "kid-object": (token(None, {"kid": {"kid": "ed"}}), "header-malformed"),
}
