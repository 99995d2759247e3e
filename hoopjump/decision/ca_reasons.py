"""Why hoopjump-ca issues no certificate, in words; :class:`hoopjump.decision.reasons.Reason` has them too."""

from __future__ import annotations

from typing import Final

from hoopjump.decision.explanation import EX_TEMPFAIL, EX_UNAVAILABLE, Explanation

REQUEST_MALFORMED: Final = Explanation(
    "request-malformed",
    "The request for a certificate cannot be understood.",
    "docs/ca.md has its form",
)
REQUEST_TOO_LARGE: Final = Explanation(
    "request-too-large",
    "The request for a certificate is larger than 64 kB.",
    "docs/ca.md has its form",
)
PUBLIC_KEY_MALFORMED: Final = Explanation(
    "public-key-malformed",
    "The public key cannot be read.",
    "send the line of an OpenSSH .pub file; DSA keys and unknown types are not certified",
)
PUBLIC_KEY_CERTIFICATE: Final = Explanation(
    "public-key-certificate",
    "This is a certificate already; a plain public key is needed.",
    "send the .pub file that the certificate was made for",
)
PUBLIC_KEY_WEAK: Final = Explanation(
    "public-key-weak",
    "The public key is too weak.",
    "make an Ed25519 key (ssh-keygen -t ed25519), or RSA of at least 2048 bits",
)
PROOF_MALFORMED: Final = Explanation(
    "proof-malformed",
    "The proof that you hold the private key cannot be read.",
    "make it with `ssh-keygen -Y sign -n hoopjump-ca@hoopjump`",
)
PROOF_STALE: Final = Explanation(
    "proof-stale",
    "The proof that you hold the private key was not made just now.",
    "compare the clocks of client and server; they may differ by 60 seconds",
)
PROOF_OTHER_KEY: Final = Explanation(
    "proof-other-key",
    "The proof was made with another key than the one to be certified.",
    "sign with the private key of the public key that is sent",
)
PROOF_OTHER_PURPOSE: Final = Explanation(
    "proof-other-purpose",
    "The signature was made for another purpose.",
    "its namespace must be hoopjump-ca@hoopjump",
)
PROOF_BAD_SIGNATURE: Final = Explanation(
    "proof-bad-signature",
    "The proof is not for this token, this service and this moment.",
    "sign the statement of docs/ca.md anew; the service's URL in it must be the one it is configured with",
)
PROOF_UNTOUCHED: Final = Explanation(
    "proof-untouched",
    "The security key was not touched for the proof.",
    "sshd asks for a touch as well; make a key without no-touch-required",
)
PROOF_REPLAYED: Final = Explanation(
    "proof-replayed",
    "The proof has been used before.",
    "make a new one for every request; if you did not use it, somebody else did",
)
USER_NOT_PRINCIPAL: Final = Explanation(
    "user-not-principal",
    "Your name cannot stand in a certificate: allowed are letters, digits and . _ @ : | + -",
    "choose another user_claim for the issuer, such as email",
)
EMBEDDING_OFF: Final = Explanation(
    "embedding-off",
    "This service puts no tokens into certificates.",
    "set [token] in ca.toml, or ask without embed_token",
)
TOO_MANY_REQUESTS: Final = Explanation(
    "too-many-requests",
    "Too many requests; please wait a minute.",
    "see [limits] in ca.toml",
    EX_TEMPFAIL,
)
CA_UNAVAILABLE: Final = Explanation(
    "ca-unavailable",
    "No certificates can be issued just now; please try again shortly.",
    "see the log of hoopjump-ca; is the agent that holds the CA key there?",
    EX_UNAVAILABLE,
)
