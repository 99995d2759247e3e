"""Signed by the right key, and yet no reason to let anybody in."""

from __future__ import annotations

from tests.hostile.tokens.forge import DAY, DROP, ISSUER, MAILING, NOW, SINGLE, claims, text, token

BAD_DATES: dict[str, object] = {
    "null": None,
    "text": str(NOW),
    "iso-text": "2038-01-19T03:14:07Z",
    "true": True,
    "false": False,
    "list": [NOW],
    "object": {"seconds": NOW},
    "negative": -1,
    "huge": 10**20,
    "past-year-9999": 253402300800,
    "beyond-53-bits": 2**53 + 1,
    "beyond-63-bits": 2**63,
    "beyond-64-bits": 2**64 + NOW,
    "in-milliseconds": NOW * 1000,
}
# As text, since they have no other form in Python.
BAD_NUMBERS = {
    "fractional": f"{NOW}.5",
    "float": f"{NOW}.0",
    "exponent": "1e9",
    "exponent-and-sign": "1E+10",
    "negative-zero-with-point": "-0.0",
}

GOOD_DATES = {"exp": NOW + 600, "nbf": NOW - 10, "iat": NOW - 10}


def number(name: str, value: str) -> bytes:
    """A date as it would stand in the text."""
    return token(text(claims()).replace(f'"{name}":{GOOD_DATES[name]}', f'"{name}":{value}'))


def saying(**changes: object) -> bytes:
    """A good token but for these claims."""
    return token(claims(**changes))


TABLE: dict[str, tuple[bytes, str]] = {
    # dates
    **{
        f"{name}-{kind}": (saying(**{name: value}), "date-malformed")
        for name in GOOD_DATES
        for kind, value in BAD_DATES.items()
    },
    **{
        f"{name}-{kind}": (number(name, value), "date-malformed")
        for name in GOOD_DATES
        for kind, value in BAD_NUMBERS.items()
    },
    **{f"{name}-float-overflow": (number(name, "1e999"), "not-json") for name in GOOD_DATES},
    "float-overflow-anywhere": (token(text(claims(x=0)).replace('"x":0', '"x":-1e999')), "not-json"),
    "exp-negative-zero": (number("exp", "-0"), "expired"),
    "exp-missing": (saying(exp=DROP), "expiry-missing"),
    "exp-just-now": (saying(exp=NOW - 30), "expired"),
    "exp-yesterday": (saying(exp=NOW - DAY), "expired"),
    "exp-zero": (saying(exp=0), "expired"),
    "exp-in-capitals": (saying(exp=DROP, EXP=NOW + 600), "expiry-missing"),
    "nbf-soon": (saying(nbf=NOW + 31), "not-yet-valid"),
    "nbf-tomorrow": (saying(nbf=NOW + DAY, exp=NOW + 2 * DAY), "not-yet-valid"),
    "iat-soon": (saying(iat=NOW + 31), "issued-in-future"),
    "iat-tomorrow": (saying(iat=NOW + DAY, exp=NOW + 2 * DAY), "issued-in-future"),
    "iat-just-too-old": (saying(iat=NOW - DAY - 30), "too-old"),
    "iat-last-year": (saying(iat=NOW - 365 * DAY), "too-old"),
    "iat-missing": (saying(iat=DROP), "claim-missing"),
    # issuer
    "iss-missing": (saying(iss=DROP), "issuer-missing"),
    "iss-null": (saying(iss=None), "issuer-missing"),
    "iss-empty": (saying(iss=""), "issuer-missing"),
    "iss-other": (saying(iss="https://evil.example.com"), "wrong-issuer"),
    "iss-with-slash": (saying(iss=ISSUER + "/"), "wrong-issuer"),
    "iss-in-capitals": (saying(iss=ISSUER.upper()), "wrong-issuer"),
    "iss-over-http": (saying(iss=ISSUER.replace("https", "http")), "wrong-issuer"),
    "iss-with-port": (saying(iss=ISSUER + ":443"), "wrong-issuer"),
    "iss-with-nul": (saying(iss=ISSUER + "\0"), "wrong-issuer"),
    "iss-with-space-behind": (saying(iss=ISSUER + " "), "wrong-issuer"),
    "iss-homoglyph": (saying(iss=ISSUER.replace("e", "\u0435")), "wrong-issuer"),
    "iss-with-user": (saying(iss=ISSUER.replace("//", "//evil@")), "wrong-issuer"),
    "iss-with-dot": (saying(iss=ISSUER + "."), "wrong-issuer"),
    "iss-longer": (saying(iss=ISSUER + ".evil.example"), "wrong-issuer"),
    "iss-shorter": (saying(iss=ISSUER[:-1]), "wrong-issuer"),
    "iss-list": (saying(iss=[ISSUER]), "wrong-issuer"),
    "iss-object": (saying(iss={ISSUER: 1}), "wrong-issuer"),
    "iss-number": (saying(iss=1), "wrong-issuer"),
    "iss-true": (saying(iss=True), "wrong-issuer"),
    # audience
    "aud-missing": (saying(aud=DROP), "audience-missing"),
    "aud-null": (saying(aud=None), "audience-missing"),
    "aud-empty": (saying(aud=""), "audience-missing"),
    "aud-empty-list": (saying(aud=[]), "audience-missing"),
    "aud-other": (saying(aud="somebody"), "wrong-audience"),
    "aud-others": (saying(aud=["somebody", "else"]), "wrong-audience"),
    "aud-longer": (saying(aud="bastion2"), "wrong-audience"),
    "aud-shorter": (saying(aud="bastio"), "wrong-audience"),
    "aud-in-capitals": (saying(aud="BASTION"), "wrong-audience"),
    "aud-with-spaces": (saying(aud=" bastion "), "wrong-audience"),
    "aud-list-with-empty": (saying(aud=[""]), "wrong-audience"),
    "aud-list-of-many": (saying(aud=[f"bastion{number}" for number in range(500)]), "wrong-audience"),
    "aud-list-in-list": (saying(aud=["somebody", ["bastion"]]), "claim-malformed"),
    "aud-joined": (saying(aud="bastion somebody"), "wrong-audience"),
    "aud-wildcard": (saying(aud="*"), "wrong-audience"),
    "aud-number": (saying(aud=1), "claim-malformed"),
    "aud-true": (saying(aud=True), "claim-malformed"),
    "aud-object": (saying(aud={"bastion": True}), "claim-malformed"),
    "aud-list-with-a-number": (saying(aud=["bastion", 1]), "claim-malformed"),
    "aud-list-with-a-list": (saying(aud=[["bastion"]]), "claim-malformed"),
    "aud-list-with-null": (saying(aud=["bastion", None]), "claim-malformed"),
    # subject and user
    "sub-missing": (saying(sub=DROP), "subject-missing"),
    "sub-null": (saying(sub=None), "subject-missing"),
    "sub-empty": (saying(sub=""), "subject-missing"),
    "sub-number": (saying(sub=1000), "claim-malformed"),
    "sub-true": (saying(sub=True), "claim-malformed"),
    "sub-list": (saying(sub=["alice"]), "claim-malformed"),
    "sub-object": (saying(sub={"name": "alice"}), "claim-malformed"),
    "sub-too-long": (saying(sub="a" * 256), "claim-malformed"),
    "sub-with-newline": (saying(sub="alice\nroot"), "claim-malformed"),
    "sub-of-too-many-umlauts": (saying(sub="\u00e4" * 256), "claim-malformed"),
    "sub-with-delete": (saying(sub="alice\x7f"), "claim-malformed"),
    "sub-with-c1": (saying(sub="alice\x9b2J"), "claim-malformed"),
    "sub-with-nothing-in-it": (saying(sub="al\u200bice"), "claim-malformed"),
    "sub-with-line-separator": (saying(sub="alice\u2028root"), "claim-malformed"),
    "sub-with-byte-order-mark": (saying(sub="\ufeffalice"), "claim-malformed"),
    "sub-of-tags": (saying(sub="alice\U000e0041"), "claim-malformed"),
    "sub-with-nul": (saying(sub="alice\0"), "claim-malformed"),
    "sub-with-escape": (saying(sub="\x1b[2Jalice"), "claim-malformed"),
    "sub-turned-round": (saying(sub="\u202eecila"), "claim-malformed"),
    "user-missing": (saying(iss=MAILING, email=DROP), "user-missing"),
    "user-null": (saying(iss=MAILING, email=None), "user-missing"),
    "user-empty": (saying(iss=MAILING, email=""), "user-missing"),
    "user-list": (saying(iss=MAILING, email=["alice@example.com"]), "claim-malformed"),
    "user-with-newline": (saying(iss=MAILING, email="a@example.com\nb@example.com"), "claim-malformed"),
    "email-unverified": (saying(iss=MAILING, email_verified=False), "email-unverified"),
    "email-unverified-text": (saying(iss=MAILING, email_verified="false"), "email-unverified"),
    **{
        f"email-unverified-{name}": (saying(iss=MAILING, email_verified=value), "email-unverified")
        for name, value in {
            "one": 1,
            "one-with-point": 1.0,
            "zero": 0,
            "in-capitals": "True",
            "yes": "yes",
            "empty": "",
            "list": [True],
            "object": {"email": True},
        }.items()
    },
    "email-unverified-null": (saying(iss=MAILING, email_verified=None), "email-unverified"),
    # groups, identifiers, what is required
    "groups-number": (saying(groups=1), "claim-malformed"),
    "groups-object": (saying(groups={"admins": True}), "claim-malformed"),
    "groups-with-number": (saying(groups=["admins", 1]), "claim-malformed"),
    "groups-with-null": (saying(groups=[None]), "claim-malformed"),
    "groups-with-list": (saying(groups=[["admins"]]), "claim-malformed"),
    "groups-with-empty-name": (saying(groups=["admins", ""]), "claim-malformed"),
    "groups-with-newline": (saying(groups=["a\nadmins"]), "claim-malformed"),
    "jti-number": (saying(jti=1), "claim-malformed"),
    "jti-null": (saying(jti=None), "claim-malformed"),
    "jti-empty": (saying(jti=""), "claim-malformed"),
    "jti-list": (saying(jti=["token-1"]), "claim-malformed"),
    "jti-revoked": (saying(jti="revoked"), "revoked"),
    "required-missing": (saying(email=DROP), "claim-missing"),
    "required-null": (saying(email=None), "claim-missing"),
    # tokens about something else
    "events": (
        saying(events={"http://schemas.openid.net/event/backchannel-logout": {}}),
        "wrong-type",
    ),
    "events-empty": (saying(events={}), "wrong-type"),
    "claims-empty": (token("{}"), "issuer-missing"),
    "for-another-issuers-rules": (saying(iss=SINGLE), "wrong-type"),
}
