"""From a verified token and a key that its owner holds to a certificate, with the bound token in it when asked."""

from __future__ import annotations

import re
import secrets
from typing import Any, Final

from hoopjump.ca.authority import Authority, TokenSigner
from hoopjump.ca.refusal import RefusedError
from hoopjump.ca.settings import CertificateSection, TokenSection
from hoopjump.decision.certificate import Certificate
from hoopjump.decision.keys import PublicKey
from hoopjump.decision.moments import moment_text
from hoopjump.decision.presented import EXTENSION, key_thumbprint
from hoopjump.decision.reasons import Reason
from hoopjump.decision.token import TOKEN_LIMIT, VerifiedToken
from hoopjump.decision.wire import encode_string
from hoopjump.handoff.checked import issue_checked
from hoopjump.handoff.issue import CertificateSpec

# The same clock may be a little behind on the bastion.
BACKDATE: Final = 60

# What sshd's principals lines, and so hoopjump, can hold.
_PRINCIPAL: Final = re.compile(r"[A-Za-z0-9._@:|+-]+\Z")
_TOKEN_ID: Final = re.compile(r"[!-~]{1,128}\Z")


class Issuing:
    """Issues certificates as configured; without a ``token_signer`` none has a token in it."""

    def __init__(
        self,
        settings: CertificateSection,
        authority: Authority,
        token: TokenSection | None,
        token_signer: TokenSigner | None,
    ) -> None:
        self._settings = settings
        self._authority = authority
        self._token = token
        self._token_signer = token_signer

    def specify(self, verified: VerifiedToken, key: PublicKey, now: float, *, embed: bool) -> CertificateSpec:
        """What certificate the owner of the token gets; raises :class:`RefusedError`.

        A token that is bound to a key of its owner's (``cnf`` of RFC 7800: DPoP, TLS, a certificate of ours) is worth
        nothing to whoever stole it, and stays so: nobody proves that key here.
        """
        if "cnf" in verified.claims:
            raise RefusedError(Reason.TOKEN_MISPLACED, f"iss {verified.issuer[:128]!a}, with `cnf`")
        if not _PRINCIPAL.match(verified.user):
            raise RefusedError(Reason.USER_NOT_PRINCIPAL, f"user {verified.user[:128]!a}")
        moment = int(now)
        # Leeway lets a token in, it does not make a certificate last longer.
        ends = min(moment + self._settings.longest, verified.expires, verified.ends)
        if ends <= now:
            raise RefusedError(
                Reason.TOKEN_EXPIRED, f"ended {moment_text(verified.expires)}, now {moment_text(moment)}"
            )
        extensions = dict.fromkeys(self._settings.extensions, b"")
        if embed:
            extensions[EXTENSION] = encode_string(self._bound_token(verified, key, moment, ends))
        return CertificateSpec(
            public_key=key.blob,
            key_id=self._key_id(verified),
            principals=(verified.user,),
            valid_after=moment - BACKDATE,
            valid_before=ends,
            # A revocation list names certificates by serial, and 0 means that there is none.
            serial=secrets.randbelow(2**64 - 1) + 1,
            extensions=tuple(sorted(extensions.items())),
        )

    def issue(self, spec: CertificateSpec) -> Certificate:
        """The certificate; may wait for an agent. Raises :class:`hoopjump.errors.HoopjumpError`."""
        return issue_checked(spec, self._authority)

    def _key_id(self, verified: VerifiedToken) -> str:
        token_id = verified.token_id
        if self._settings.key_id == "user" or token_id is None or not _TOKEN_ID.match(token_id):
            return verified.user
        return f"{verified.user} jti={token_id}"

    def _bound_token(self, verified: VerifiedToken, key: PublicKey, now: int, ends: int) -> bytes:
        """A token for the bastion alone, of no use without the certificate's key (RFC 7800 section 3.1, RFC 9449 6.1).

        What stood in the provider's is copied; the provider's own token must never be in a certificate, which is no
        secret.
        """
        if self._token is None or self._token_signer is None:
            raise RefusedError(Reason.EMBEDDING_OFF)
        original: dict[str, Any] = {
            "iss": verified.issuer,
            "sub": verified.subject,
            "jti": verified.token_id,
            "exp": verified.expires,
        }
        token = self._token_signer.sign(
            {
                "iss": self._token.issuer,
                "aud": self._token.audience,
                "sub": verified.user,
                "iat": now,
                "exp": ends,
                "jti": secrets.token_urlsafe(16),
                "cnf": {"jkt": key_thumbprint(key)},
                "groups": list(verified.groups),
                "orig": {name: value for name, value in original.items() if value is not None},
            }
        )
        if len(token) > TOKEN_LIMIT:
            raise RefusedError(Reason.TOKEN_TOO_LARGE, f"with its binding it would have {len(token)} bytes")
        return token
