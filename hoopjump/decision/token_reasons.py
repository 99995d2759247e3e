"""Why a token is refused, in words; :class:`hoopjump.decision.reasons.Reason` has them as TOKEN_*."""

from __future__ import annotations

from typing import Final

from hoopjump.decision.explanation import EX_UNAVAILABLE, Explanation

MALFORMED: Final = Explanation(
    "token-malformed",
    "The token is not three parts of base64url with dots between them.",
    "send the token alone, whole, without `Bearer`, spaces or `=`",
)
NOT_CANONICAL: Final = Explanation(
    "token-not-canonical",
    "A part of the token is not encoded in the one way that counts.",
    "the token was altered or badly made; get a new one",
)
TOO_LARGE: Final = Explanation(
    "token-too-large",
    "The token is larger than 16 kB.",
    "have the issuer put fewer claims (groups, most often) into it",
)
TOO_DEEP: Final = Explanation(
    "token-too-deep",
    "The token's claims are nested too deeply.",
    "have the issuer put simpler claims into it",
)
NOT_JSON: Final = Explanation(
    "token-not-json",
    "The token does not hold JSON.",
    "header and claims must be JSON objects in UTF-8; look at it with `hoopjump token inspect`",
)
DUPLICATE_NAME: Final = Explanation(
    "token-duplicate-name",
    "The token says something twice.",
    "its JSON has two members of one name; the issuer must not make such tokens",
)
HEADER_MALFORMED: Final = Explanation(
    "token-header-malformed",
    "The token's header cannot be understood.",
    "`alg` must be there, and `alg`, `kid` and `typ` be text",
)
ALGORITHM_NONE: Final = Explanation(
    "token-algorithm-none",
    "The token is not signed.",
    "its `alg` is none; no issuer is allowed that",
)
WRONG_ALGORITHM: Final = Explanation(
    "token-wrong-algorithm",
    "The token is signed with an algorithm that its issuer is not allowed.",
    "compare its `alg` with the algorithms configured for the issuer",
)
HMAC_WITH_KEY_SET: Final = Explanation(
    "token-hmac-with-key-set",
    "The token is signed with a shared secret, but its issuer has public keys.",
    "whoever made it may have used a public key as the secret",
)
WRONG_TYPE: Final = Explanation(
    "token-wrong-type",
    "This kind of token does not say who you are.",
    "see its `typ` and the types configured for the issuer; logout, security-event and DPoP tokens are never taken",
)
CRITICAL: Final = Explanation(
    "token-critical",
    "The token asks for an extension that is not supported.",
    "no `crit` header is supported",
)
KEY_UNNAMED: Final = Explanation(
    "token-key-unnamed",
    "The token does not say which of its issuer's keys signed it.",
    "the issuer has several keys, so the header needs a `kid`",
)
KEY_UNKNOWN: Final = Explanation(
    "token-key-unknown",
    "The token is signed with a key that its issuer does not have.",
    "try once more in 10 seconds, when the issuer is asked for its keys again; then compare its `kid` with them",
)
KEY_REPEATED: Final = Explanation(
    "token-key-repeated",
    "The token's key has a name that several keys have.",
    "the issuer's key set has its `kid` more than once",
)
KEY_UNFIT: Final = Explanation(
    "token-key-unfit",
    "The token's key is not for this use.",
    "see type, `use`, `key_ops` and `alg` of the key in the issuer's key set",
)
KEY_WEAK: Final = Explanation(
    "token-key-weak",
    "The token's key is too weak.",
    "the issuer needs RSA of at least 2048 bits, ECDSA or Ed25519",
)
BAD_SIGNATURE: Final = Explanation(
    "token-bad-signature",
    "The token's signature is wrong.",
    "it was altered, or signed with another key of the same name",
)
ISSUER_MISSING: Final = Explanation(
    "token-issuer-missing",
    "The token does not name its issuer.",
    "it needs `iss`",
)
WRONG_ISSUER: Final = Explanation(
    "token-wrong-issuer",
    "The token's issuer is not trusted here.",
    "compare its `iss`, letter by letter, with the configured issuers",
)
AUDIENCE_MISSING: Final = Explanation(
    "token-audience-missing",
    "The token does not say whom it is for.",
    "it needs `aud`",
)
WRONG_AUDIENCE: Final = Explanation(
    "token-wrong-audience",
    "The token is for somebody else.",
    "compare its `aud` with the audiences configured for the issuer",
)
SUBJECT_MISSING: Final = Explanation(
    "token-subject-missing",
    "The token does not say whom it is about.",
    "it needs `sub`",
)
EXPIRY_MISSING: Final = Explanation(
    "token-expiry-missing",
    "The token does not say when it ends.",
    "it needs `exp`",
)
DATE_MALFORMED: Final = Explanation(
    "token-date-malformed",
    "A date in the token is not one.",
    "`exp`, `nbf` and `iat` must be whole seconds since 1970, as integers",
)
NOT_YET_VALID: Final = Explanation(
    "token-not-yet-valid",
    "The token is not valid yet.",
    "compare the clocks of the issuer and of this machine",
)
EXPIRED: Final = Explanation(
    "token-expired",
    "The token has expired.",
    "get a new one; `hoopjump login` does",
)
ISSUED_IN_FUTURE: Final = Explanation(
    "token-issued-in-future",
    "The token was issued in the future.",
    "compare the clocks of the issuer and of this machine",
)
TOO_OLD: Final = Explanation(
    "token-too-old",
    "The token was issued too long ago.",
    "get a new one, or see the longest age configured for the issuer",
)
REVOKED: Final = Explanation(
    "token-revoked",
    "The token has been revoked.",
    "get a new one; `hoopjump login` does",
)
TOO_MANY: Final = Explanation(
    "token-too-many",
    "Too many different tokens have come over this connection; please log in again.",
    "a login ends with the first of its tokens, so all of them are kept: send the same one, or open a new connection",
)
CLAIM_MISSING: Final = Explanation(
    "token-claim-missing",
    "The token lacks a claim that is required here.",
    "compare it with the claims required of the issuer",
)
CLAIM_MALFORMED: Final = Explanation(
    "token-claim-malformed",
    "A claim of the token does not have the form it must have.",
    "see the detail in the log; names are text, lists hold text",
)
USER_MISSING: Final = Explanation(
    "token-user-missing",
    "The token does not name a user.",
    "the claim configured for the user is not in it",
)
EMAIL_UNVERIFIED: Final = Explanation(
    "token-email-unverified",
    "The e-mail address in the token is not verified.",
    "have the provider verify the address, or know users by `sub`",
)
KEY_DROPPED: Final = Explanation(
    "token-key-dropped",
    "The token was signed with a key that is no longer taken here.",
    "get a new one; `hoopjump keys list` shows which keys an administrator has dropped",
)
KEYS_UNAVAILABLE: Final = Explanation(
    "token-keys-unavailable",
    "The keys of the token's issuer cannot be had just now; please try again.",
    "`hoopjump keys list` shows why; they are asked for again all the time",
    EX_UNAVAILABLE,
)
REQUIRED: Final = Explanation(
    "token-required",
    "A token of your identity provider is needed here.",
    "have hoopjump login put one into the certificate (embed_token = true), or send one in HOOPJUMP_TOKEN "
    "(ssh -o SendEnv=HOOPJUMP_TOKEN)",
)
MISPLACED: Final = Explanation(
    "token-misplaced",
    "The token is bound to a key, and counts only inside that key's certificate.",
    "send the identity provider's own token in HOOPJUMP_TOKEN, not the one of a certificate",
)
NOT_FOR_CERTIFICATES: Final = Explanation(
    "token-not-for-certificates",
    "The token in the certificate is of an issuer whose tokens must never be in one.",
    "a certificate is public: whoever saw it has this token, so have it ended; only issuers with `bound` may embed",
)
UNBOUND: Final = Explanation(
    "token-unbound",
    "The token in the certificate is not bound to a key.",
    "it needs `cnf` with the thumbprint `jkt` of the certificate's key (RFC 7800, RFC 7638)",
)
OTHER_KEY: Final = Explanation(
    "token-other-key",
    "The token in the certificate is bound to another key.",
    "the token was taken from another certificate; have this one issued again",
)
OTHER_USER: Final = Explanation(
    "token-other-user",
    "The token and the certificate are not of the same person.",
    "the log has both names; the claim and the attribute compared are user_claim and user_attribute of the issuer",
)
