"""Tokens that come with a login: in its certificate, or in the environment of a session.

A certificate is public: it stands in an argv, in logs of authorities, on disks. What it holds may therefore be worth
nothing to who copies it: only a token of an issuer that binds (hoopjump-ca), and only with ``cnf`` (RFC 7800) naming
the certificate's own key, whose possession sshd has had proven. Where nothing proves a key, in the environment, it is
the other way round: what is bound to one does not count.
"""

from __future__ import annotations

from typing import Final, Literal

from hoopjump.decision.certificate import Certificate
from hoopjump.decision.jose import TokenError
from hoopjump.decision.jwk import thumbprint
from hoopjump.decision.keys import PublicKey
from hoopjump.decision.moments import moment_text
from hoopjump.decision.reasons import Reason, printable
from hoopjump.decision.rules import Rule, rule
from hoopjump.decision.token import VerifiedToken
from hoopjump.decision.values import Presented, RefusedToken, Token, TokenUse, User
from hoopjump.decision.wire import FormatError, Reader

EXTENSION: Final = "jwt@hoopjump"

Attribute = Literal["email", "subject"]


def embedded_token(certificate: Certificate) -> bytes | None:
    """The token in a certificate: an extension whose data is one SSH string. Raises :class:`TokenError`."""
    data = next((data for name, data in certificate.extensions if name == EXTENSION), None)
    if data is None:
        return None
    try:
        reader = Reader(data)
        token = reader.string(EXTENSION)
        reader.end(EXTENSION)
    except FormatError as error:
        raise TokenError(Reason.TOKEN_MALFORMED, f"the extension {error}") from error
    return token


def key_thumbprint(key: PublicKey) -> str:
    """What ``jkt`` says of an SSH key: RFC 7638, of the plain EC or OKP key where it is a FIDO one."""
    return thumbprint(key.primitive)


def bound_to(verified: VerifiedToken) -> str:
    """The thumbprint of the key that a token is bound to (RFC 7800 section 3). Raises :class:`TokenError`."""
    confirmation = verified.claims.get("cnf")
    named = confirmation.get("jkt") if type(confirmation) is dict else None
    if type(named) is not str or not named:
        raise TokenError(Reason.TOKEN_UNBOUND, "no `cnf` with `jkt`")
    return named


def in_certificate(verified: VerifiedToken, attribute: Attribute, certificate: Certificate, *, bound: bool) -> Token:
    """A verified token as it counts in a certificate; ``bound``: its issuer binds. Raises :class:`TokenError`."""
    if not bound:
        raise TokenError(Reason.TOKEN_NOT_FOR_CERTIFICATES, f"iss {verified.issuer[:128]!a}")
    named = bound_to(verified)
    own = key_thumbprint(certificate.key)
    if named != own:
        raise TokenError(Reason.TOKEN_OTHER_KEY, f"bound to {named[:64]!a}, the certificate's key is {own}")
    return _token(verified, attribute)


def in_environment(verified: VerifiedToken, attribute: Attribute, *, bound: bool) -> Token:
    """A verified token as it counts in the environment of a session. Raises :class:`TokenError`.

    ``cnf`` also binds tokens of others (RFC 9449, DPoP): without their proof they are anybody's.
    """
    if bound or "cnf" in verified.claims:
        raise TokenError(Reason.TOKEN_MISPLACED, f"iss {verified.issuer[:128]!a}")
    return _token(verified, attribute)


def _token(verified: VerifiedToken, attribute: Attribute) -> Token:
    return Token(
        issuer=verified.issuer,
        subject=verified.subject,
        user=verified.user,
        attribute=attribute,
        groups=verified.groups,
        ends=verified.ends,
        token_id=verified.token_id,
        mark=verified.mark,
    )


def token_rules(place: str, presented: Presented, user: User | None) -> tuple[Rule, ...]:
    """Is the token at a place good, and its user's the certificate's? None is asked for here."""
    match presented:
        case None:
            return ()
        case RefusedToken(reason, detail):
            return (rule(f"token-{place}", False, reason, printable(detail)),)
        case Token():
            expected = None if user is None else getattr(user, presented.attribute)
            names = f"the token is {printable(presented.user)}'s, the certificate {printable(expected or 'nobody')}'s"
            until = f"{printable(presented.issuer)}, until {moment_text(presented.ends)}"
            return (
                rule(f"token-{place}", True, Reason.ALLOWED, until),
                rule(
                    f"token-{place}-user",
                    bool(expected) and presented.user == expected,
                    Reason.TOKEN_OTHER_USER,
                    f"{presented.attribute}: {names}",
                ),
            )


def session_token_rules(use: TokenUse, embedded: Token | None, environment: Presented, user: User) -> tuple[Rule, ...]:
    """What a session's own token must be like, and whether one is lacking; the embedded one has been judged."""
    if use == "never":
        return ()
    found = [name for name, token in (("certificate", embedded), ("environment", environment)) if token is not None]
    return (
        *token_rules("environment", environment, user),
        rule(
            "token-session",
            use == "optional" or bool(found),
            Reason.TOKEN_REQUIRED,
            f"{use}; found in: {', '.join(found) or 'nowhere'}",
        ),
    )
