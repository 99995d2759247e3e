"""Every refusal hoopjump can give: one list, from which the user's sentence, the journal and the documents are made.

A reason has a stable code (scripts and log searches may rely on it), one sentence for the person refused, a hint for
whoever can mend it, and the exit status (sysexits.h) of the session hook. Sentences take their values by name, so
that nothing but what a sentence asks for can reach the user.
"""

from __future__ import annotations

from enum import Enum

from hoopjump.decision import ca_reasons, client_reasons, token_reasons
from hoopjump.decision.explanation import EX_TEMPFAIL, EX_UNAVAILABLE, EX_USAGE, Explanation


class Reason(Enum):
    """A stable reason code with its explanation; ``Reason.CERT_EXPIRED.value.code == "cert-expired"``."""

    ALLOWED = Explanation("allowed", "Access granted.", "")

    # The certificate itself: denied at authentication (sshd shows the user nothing but "Permission denied").
    CERT_MALFORMED = Explanation(
        "cert-malformed",
        "The certificate cannot be read.",
        "run `hoopjump cert inspect` on it and have it issued again",
    )
    CERT_UNTRUSTED_CA = Explanation(
        "cert-untrusted-ca",
        "The certificate was signed by an authority that this bastion does not trust.",
        "compare `ssh-keygen -L` with the keys in trust.user_cas",
    )
    CERT_BAD_SIGNATURE = Explanation(
        "cert-bad-signature",
        "The certificate's signature is wrong.",
        "the certificate was altered or damaged; have it issued again",
    )
    CERT_WEAK_KEY = Explanation(
        "cert-weak-key",
        "The certificate's key is too weak.",
        "use Ed25519, or RSA of at least 2048 bits",
    )
    CERT_NOT_USER = Explanation(
        "cert-not-user",
        "This is a host certificate; a user certificate is needed.",
        "issue it without ssh-keygen's -h",
    )
    CERT_NOT_YET_VALID = Explanation(
        "cert-not-yet-valid",
        "The certificate is not valid yet.",
        "compare the clocks of the issuer and of the bastion",
    )
    CERT_EXPIRED = Explanation(
        "cert-expired",
        "The certificate has expired.",
        "get a new certificate",
    )
    CERT_NO_PRINCIPALS = Explanation(
        "cert-no-principals",
        "The certificate names no principal.",
        "issue it with at least one principal (ssh-keygen -n)",
    )
    CERT_UNSAFE_PRINCIPAL = Explanation(
        "cert-unsafe-principal",
        "No principal of the certificate can be used: allowed are letters, digits and . _ @ : | + -",
        "issue it with a principal of those characters, 512 of them at most",
    )
    CERT_UNKNOWN_OPTION = Explanation(
        "cert-unknown-option",
        "The certificate carries a critical option that is not supported.",
        "only source-address is supported; the gateway refuses force-command and all others",
    )
    CERT_SOURCE_ADDRESS = Explanation(
        "cert-source-address",
        "The certificate may not be used from this address.",
        "see the critical option source-address of the certificate",
    )

    # A good certificate whose owner may not go on: let in to nothing, and told why by the session hook.
    CERT_NO_IDENTITY = Explanation(
        "cert-no-identity",
        "The certificate does not say who you are.",
        "the attribute in gateway.cert_attribute is empty in this certificate",
    )
    USER_UNKNOWN = Explanation(
        "user-unknown",
        "The gateway does not know a user '{identity}'.",
        "create the user at the gateway, or correct the certificate's principal or key ID",
    )
    USER_INACTIVE = Explanation(
        "user-inactive",
        "Your account at the gateway is not active (status: {status}).",
        "an administrator of the gateway can activate it",
    )
    USER_AMBIGUOUS = Explanation(
        "user-ambiguous",
        "The certificate stands for more than one user of the gateway.",
        "issue certificates with one principal, and give every user an e-mail address of their own",
    )
    ACCOUNT_NOT_ALLOWED = Explanation(
        "account-not-allowed",
        "You may not log in to the account '{account}' on this bastion.",
        "see [accounts] in the configuration",
    )
    GATEWAY_UNAVAILABLE = Explanation(
        "gateway-unavailable",
        "The gateway cannot be reached just now; please try again shortly.",
        "run `hoopjump gateway check` on the bastion",
        EX_UNAVAILABLE,
    )
    GATEWAY_SLOW = Explanation(
        "gateway-slow",
        "The gateway did not answer in time; please try again.",
        "run `hoopjump gateway check` on the bastion",
        EX_TEMPFAIL,
    )

    GATEWAY_HOST_KEY_UNKNOWN = Explanation(
        "gateway-host-key-unknown",
        "The bastion does not know the gateway's host key.",
        "run `hoopjump gateway sync` on the bastion",
        EX_UNAVAILABLE,
    )

    # The session: a login that is real asks for something.
    LOGIN_UNKNOWN = Explanation(
        "login-unknown",
        "This session does not belong to a login that hoopjump has admitted.",
        "the session hook is started by sshd only; see docs/threat-model.md",
    )
    LOGIN_MISMATCH = Explanation(
        "login-mismatch",
        "The certificate of this session is not the one this connection was admitted with.",
        "offer one certificate only (IdentitiesOnly yes)",
    )
    LOGIN_ENDED = Explanation(
        "login-ended",
        "This login has ended; please log in again.",
        "the certificate, or the longest time a login may last, has run out",
    )
    NO_PTY_PERMISSION = Explanation(
        "no-pty-permission",
        "Your certificate lacks permit-pty, which the gateway wants for every session, with or without a terminal.",
        "issue the certificate with the extension permit-pty",
    )
    IDENTITY_UNUSABLE = Explanation(
        "identity-unusable",
        "The name in your certificate cannot be a login name at the gateway.",
        "ssh takes letters, digits and ._@:|+- ; with gateway.cert_attribute key_id the name is not the login name",
    )
    ROLE_MISSING = Explanation(
        "role-missing",
        "Name the resource role you want to use.",
        "ssh bastion ROLE [COMMAND]",
        EX_USAGE,
    )
    ROLE_MISSING_FOR_TOOL = Explanation(
        "role-missing-for-tool",
        "{tool} cannot name a resource role in its command; set HOOP_RESOURCE for it.",
        "in ~/.ssh/config: Host ROLE, HostName BASTION, SetEnv HOOP_RESOURCE=ROLE; then use the host ROLE",
        EX_USAGE,
    )
    ROLE_MALFORMED = Explanation(
        "role-malformed",
        "That is not a name of a resource role (3 to 254 of A-Z a-z 0-9 _ . -, no dash in front).",
        "ssh bastion ROLE [COMMAND]",
        EX_USAGE,
    )
    ROLE_UNKNOWN = Explanation(
        "role-unknown",
        "no such resource role '{role}'{suggestion}",
        "`ssh bastion` alone lists the roles that you may use",
    )
    ROLE_MODE_DISABLED = Explanation(
        "role-mode-disabled",
        "The resource role '{role}' does not allow {verb} sessions.",
        "an administrator of the gateway can enable the access mode",
    )
    ROLE_REVIEW_REQUIRED = Explanation(
        "role-review-required",
        "The resource role '{role}' needs an approval, which cannot be asked for over SSH.",
        "ask for access in the gateway's web application or with its command line",
    )
    ROLE_OFFLINE = Explanation(
        "role-offline",
        "The agent of the resource role '{role}' is offline.",
        "start the agent, or wait for it",
        EX_UNAVAILABLE,
    )
    ROLE_TYPE_UNSUPPORTED = Explanation(
        "role-type-unsupported",
        "The resource role '{role}' (type {type}) cannot be used over SSH.",
        "use the gateway's own client for it",
    )
    ROLE_NO_FILE_TRANSFER = Explanation(
        "role-no-file-transfer",
        "{tool} needs a resource role of type ssh; '{role}' is not one (its input is sent whole, before it starts).",
        "use a resource role of type ssh",
    )
    INPUT_TOO_LARGE = Explanation(
        "input-too-large",
        "The input is larger than {limit} bytes, the most that can be sent whole; nothing was run.",
        "use a resource role of type ssh for large input, or raise session.stdin_limit",
    )
    COMMAND_TOO_LONG = Explanation(
        "command-too-long",
        "The command is too long.",
        "send it as input instead",
        EX_USAGE,
    )

    COMMAND_MALFORMED = Explanation(
        "command-malformed",
        "The command contains a NUL byte.",
        "send it as input instead",
        EX_USAGE,
    )

    # The token: proof of who somebody is, beside the certificate or for one.
    TOKEN_MALFORMED = token_reasons.MALFORMED
    TOKEN_NOT_CANONICAL = token_reasons.NOT_CANONICAL
    TOKEN_TOO_LARGE = token_reasons.TOO_LARGE
    TOKEN_TOO_DEEP = token_reasons.TOO_DEEP
    TOKEN_NOT_JSON = token_reasons.NOT_JSON
    TOKEN_DUPLICATE_NAME = token_reasons.DUPLICATE_NAME
    TOKEN_HEADER_MALFORMED = token_reasons.HEADER_MALFORMED
    TOKEN_ALGORITHM_NONE = token_reasons.ALGORITHM_NONE
    TOKEN_WRONG_ALGORITHM = token_reasons.WRONG_ALGORITHM
    TOKEN_HMAC_WITH_KEY_SET = token_reasons.HMAC_WITH_KEY_SET
    TOKEN_WRONG_TYPE = token_reasons.WRONG_TYPE
    TOKEN_CRITICAL = token_reasons.CRITICAL
    TOKEN_KEY_UNNAMED = token_reasons.KEY_UNNAMED
    TOKEN_KEY_UNKNOWN = token_reasons.KEY_UNKNOWN
    TOKEN_KEY_REPEATED = token_reasons.KEY_REPEATED
    TOKEN_KEY_UNFIT = token_reasons.KEY_UNFIT
    TOKEN_KEY_WEAK = token_reasons.KEY_WEAK
    TOKEN_BAD_SIGNATURE = token_reasons.BAD_SIGNATURE
    TOKEN_ISSUER_MISSING = token_reasons.ISSUER_MISSING
    TOKEN_WRONG_ISSUER = token_reasons.WRONG_ISSUER
    TOKEN_AUDIENCE_MISSING = token_reasons.AUDIENCE_MISSING
    TOKEN_WRONG_AUDIENCE = token_reasons.WRONG_AUDIENCE
    TOKEN_SUBJECT_MISSING = token_reasons.SUBJECT_MISSING
    TOKEN_EXPIRY_MISSING = token_reasons.EXPIRY_MISSING
    TOKEN_DATE_MALFORMED = token_reasons.DATE_MALFORMED
    TOKEN_NOT_YET_VALID = token_reasons.NOT_YET_VALID
    TOKEN_EXPIRED = token_reasons.EXPIRED
    TOKEN_ISSUED_IN_FUTURE = token_reasons.ISSUED_IN_FUTURE
    TOKEN_TOO_OLD = token_reasons.TOO_OLD
    TOKEN_REVOKED = token_reasons.REVOKED
    TOKEN_TOO_MANY = token_reasons.TOO_MANY
    TOKEN_CLAIM_MISSING = token_reasons.CLAIM_MISSING
    TOKEN_CLAIM_MALFORMED = token_reasons.CLAIM_MALFORMED
    TOKEN_USER_MISSING = token_reasons.USER_MISSING
    TOKEN_EMAIL_UNVERIFIED = token_reasons.EMAIL_UNVERIFIED
    TOKEN_KEY_DROPPED = token_reasons.KEY_DROPPED
    TOKEN_KEYS_UNAVAILABLE = token_reasons.KEYS_UNAVAILABLE
    TOKEN_REQUIRED = token_reasons.REQUIRED
    TOKEN_MISPLACED = token_reasons.MISPLACED
    TOKEN_NOT_FOR_CERTIFICATES = token_reasons.NOT_FOR_CERTIFICATES
    TOKEN_UNBOUND = token_reasons.UNBOUND
    TOKEN_OTHER_KEY = token_reasons.OTHER_KEY
    TOKEN_OTHER_USER = token_reasons.OTHER_USER

    # The gateway's own client, which is handed the user's token.
    CLIENT_TOKEN_MISSING = client_reasons.TOKEN_MISSING
    CLIENT_TOKEN_NOT_TAKEN = client_reasons.TOKEN_NOT_TAKEN
    CLIENT_UNSUPPORTED = client_reasons.UNSUPPORTED
    CLIENT_UNUSABLE = client_reasons.UNUSABLE
    COMMAND_NOT_TEXT = client_reasons.COMMAND_NOT_TEXT
    INPUT_NOT_TEXT = client_reasons.INPUT_NOT_TEXT

    # A certificate for a token: hoopjump-ca refuses to issue it.
    REQUEST_MALFORMED = ca_reasons.REQUEST_MALFORMED
    REQUEST_TOO_LARGE = ca_reasons.REQUEST_TOO_LARGE
    PUBLIC_KEY_MALFORMED = ca_reasons.PUBLIC_KEY_MALFORMED
    PUBLIC_KEY_CERTIFICATE = ca_reasons.PUBLIC_KEY_CERTIFICATE
    PUBLIC_KEY_WEAK = ca_reasons.PUBLIC_KEY_WEAK
    PROOF_MALFORMED = ca_reasons.PROOF_MALFORMED
    PROOF_STALE = ca_reasons.PROOF_STALE
    PROOF_OTHER_KEY = ca_reasons.PROOF_OTHER_KEY
    PROOF_OTHER_PURPOSE = ca_reasons.PROOF_OTHER_PURPOSE
    PROOF_BAD_SIGNATURE = ca_reasons.PROOF_BAD_SIGNATURE
    PROOF_UNTOUCHED = ca_reasons.PROOF_UNTOUCHED
    PROOF_REPLAYED = ca_reasons.PROOF_REPLAYED
    USER_NOT_PRINCIPAL = ca_reasons.USER_NOT_PRINCIPAL
    EMBEDDING_OFF = ca_reasons.EMBEDDING_OFF
    TOO_MANY_REQUESTS = ca_reasons.TOO_MANY_REQUESTS
    CA_UNAVAILABLE = ca_reasons.CA_UNAVAILABLE

    # The machinery.
    PEER_NOT_ALLOWED = Explanation(
        "peer-not-allowed",
        "This request is not allowed from here.",
        "see docs/threat-model.md, who may say what",
    )
    BUSY = Explanation(
        "busy",
        "The bastion is busy; please try again.",
        "see daemon.calls_per_uid",
        EX_TEMPFAIL,
    )
    PROTOCOL = Explanation(
        "protocol",
        "The bastion's parts do not understand each other.",
        "hook and daemon are more than one version apart; upgrade both",
        EX_UNAVAILABLE,
    )
    INTERNAL = Explanation(
        "internal",
        "Something went wrong on the bastion.",
        "find the reference in the log and report it",
        EX_UNAVAILABLE,
    )

    @property
    def code(self) -> str:
        """The stable code, as it stands in logs."""
        return self.value.code

    def sentence(self, **values: str) -> str:
        """The sentence with its values filled in; raises :class:`KeyError` when one is missing."""
        return self.value.sentence.format(**values)

    @classmethod
    def from_code(cls, code: str) -> Reason:
        """The reason of a code; raises :class:`KeyError` for an unknown one."""
        for reason in cls:
            if reason.code == code:
                return reason
        raise KeyError(code)


def printable(value: str, longest: int = 128) -> str:
    """A value from outside as it may stand in a sentence, on a terminal or in a log: escaped, and cut when long."""
    shown = "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in value[:longest])
    return shown if len(value) <= longest else shown + "..."
