"""Who may log in: every check of a login attempt, in order.

Two groups. What is wrong with the certificate itself denies at authentication. When the certificate is good and its
owner may still not go on (unknown, inactive, not for this account, gateway unreachable), the login is held: let in to
nothing and told why by the session hook, because a denial would cost the source address a penalty (sshd_config(5)
PerSourcePenalties) and tell the user nothing.

Every check that can be made is made and stands in the trace, also after the one that decided; the reason is the first
that failed. Left out, since sshd makes them itself before or after it asks: possession of the key, and RevokedKeys.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from hoopjump.decision.addresses import address_in, parse_address_list
from hoopjump.decision.certificate import (
    FOREVER,
    Certificate,
    CertificateError,
    CertificateType,
    fingerprint,
    verify_ca_signature,
)
from hoopjump.decision.reasons import Reason
from hoopjump.decision.request import split_account
from hoopjump.decision.values import (
    Access,
    Accounts,
    Ambiguous,
    Answer,
    Check,
    Found,
    LoginRequest,
    Lookup,
    Missing,
    Policy,
    Unavailable,
    User,
    Verdict,
)

RSA_SMALLEST: Final = 2048

# sshd cuts a principals line at `#` and splits it at its last space (auth2-pubkeyfile.c): print nothing that could
# say something else there.
_SAFE_PRINCIPAL: Final = re.compile(r"[A-Za-z0-9._@:|+-]+\Z")

Step = tuple[Check, Reason, str]


def wanted_lookups(certificate: Certificate, policy: Policy) -> tuple[Lookup, ...]:
    """What the directory must be asked before :func:`decide`: each value of the configured attribute, once.

    Nothing for a certificate of a foreign authority or a host: whoever offers one shall cause no traffic.
    """
    if certificate.ca_key not in policy.trusted_cas or certificate.type is not CertificateType.USER:
        return ()
    return _lookups(certificate, policy)


def _lookups(certificate: Certificate, policy: Policy) -> tuple[Lookup, ...]:
    values = certificate.principals if policy.cert_attribute == "principal" else (certificate.key_id,)
    return tuple(Lookup(policy.user_attribute, value) for value in dict.fromkeys(values) if value)


def decide(
    request: LoginRequest,
    certificate: Certificate | CertificateError,
    answers: Mapping[Lookup, Answer],
    policy: Policy,
    now: int,
) -> Verdict:
    """Decide a login attempt.

    ``answers`` holds the directory's answer to each of :func:`wanted_lookups`; a missing one counts as unavailable.
    ``now`` is in Unix seconds.
    """
    if isinstance(certificate, CertificateError):
        fault = Check("certificate-format", False, str(certificate))
        return Verdict(Access.DENY, Reason.CERT_MALFORMED, Reason.CERT_MALFORMED.sentence(), (fault,))

    own = _check_certificate(request, certificate, policy, now)
    whose = _Identity(_lookups(certificate, policy), answers)
    owner = whose.check() + _check_owner(request, whose.user, policy)
    deadline = min(certificate.valid_before, now + policy.max_login)
    grants = _grants(certificate, policy)
    trace = (
        Check("certificate-format", True, f"{certificate.key_type}, {len(certificate.blob)} bytes"),
        *(check for check, _, _ in own + owner),
        Check("grants", True, ", ".join(grants)),
        Check("deadline", True, str(deadline)),
    )

    fault_of_certificate = _first_failed(own)
    if fault_of_certificate is not None:
        _, reason, sentence = fault_of_certificate
        return Verdict(Access.DENY, reason, sentence, trace)
    principal = _safe_principal(certificate)
    fault_of_owner = _first_failed(owner)
    if fault_of_owner is not None:
        _, reason, sentence = fault_of_owner
        line = f"restrict {principal}"
        return Verdict(Access.HOLD, reason, sentence, trace, line, deadline, whose.user, whose.value)
    line = f"{','.join(grants)} {principal}"
    sentence = Reason.ALLOWED.sentence()
    return Verdict(Access.ALLOW, Reason.ALLOWED, sentence, trace, line, deadline, whose.user, whose.value)


def _first_failed(steps: list[Step]) -> Step | None:
    return next((step for step in steps if not step[0].passed), None)


def _step(name: str, passed: bool, reason: Reason, detail: str, **values: str) -> Step:
    return Check(name, passed, detail), reason, reason.sentence(**values)


def _check_certificate(request: LoginRequest, certificate: Certificate, policy: Policy, now: int) -> list[Step]:
    """The certificate itself, in the order of auth2-pubkey.c user_cert_trusted_ca and what it calls."""
    unknown = [name for name, _ in certificate.critical_options if name != "source-address"]
    weak = [
        f"{what} has {key.bits} bits"
        for what, key in (("the certified key", certificate.key), ("the authority's key", certificate.ca))
        if key.type == "ssh-rsa" and key.bits < RSA_SMALLEST
    ]
    principal = _safe_principal(certificate)
    return [
        # TrustedUserCAKeys of sshd_config(5); sshd has looked too, but may serve others with other authorities.
        _step(
            "trusted-authority",
            certificate.ca_key in policy.trusted_cas,
            Reason.CERT_UNTRUSTED_CA,
            f"{certificate.ca.type} {fingerprint(certificate.ca_key)}",
        ),
        # sshkey.c cert_parse: verified as part of reading
        _step(
            "authority-signature",
            verify_ca_signature(certificate),
            Reason.CERT_BAD_SIGNATURE,
            certificate.signature_algorithm,
        ),
        # sshd_config(5) RequiredRSASize is 1024 by default; NIST SP 800-57 part 1 asks for 2048.
        _step("key-strength", not weak, Reason.CERT_WEAK_KEY, "; ".join(weak) or f"{certificate.key.bits} bits"),
        # sshkey.c sshkey_cert_check_authority, down to the principals
        _step(
            "user-certificate",
            certificate.type is CertificateType.USER,
            Reason.CERT_NOT_USER,
            certificate.type.name.lower(),
        ),
        _step(
            "begun",
            now >= certificate.valid_after,
            Reason.CERT_NOT_YET_VALID,
            f"valid after {certificate.valid_after}, now {now}",
        ),
        # The end is exclusive.
        _step(
            "not-expired",
            now < certificate.valid_before,
            Reason.CERT_EXPIRED,
            f"valid before {certificate.valid_before if certificate.valid_before != FOREVER else 'ever'}, now {now}",
        ),
        _step(
            "principals-present",
            bool(certificate.principals),
            Reason.CERT_NO_PRINCIPALS,
            str(len(certificate.principals)),
        ),
        _step("principal-printable", principal is not None, Reason.CERT_UNSAFE_PRINCIPAL, principal or "none"),
        # auth-options.c cert_option_list; the gateway refuses force-command and verify-required as well.
        _step(
            "critical-options",
            not unknown,
            Reason.CERT_UNKNOWN_OPTION,
            ", ".join(ascii(name[:64]) for name in unknown) or "none but source-address",
        ),
        _check_source_address(request, certificate),
    ]


def _check_source_address(request: LoginRequest, certificate: Certificate) -> Step:
    """auth-options.c: the list must be well-formed; auth.c auth_authorise_keyopts: the client must be in it.

    Without the client's address only the form is checked, and sshd, which has it, checks the rest.
    """
    name, reason, listed = "source-address", Reason.CERT_SOURCE_ADDRESS, certificate.source_address
    if listed is None:
        return _step(name, True, reason, "not restricted")
    try:
        networks = parse_address_list(listed)
    except ValueError as error:
        return _step(name, False, reason, str(error))
    if request.source is None:
        return _step(name, True, reason, f"{listed}; the client's address is not known here")
    return _step(name, address_in(request.source, networks), reason, f"{request.source} in {listed}")


def _safe_principal(certificate: Certificate) -> str | None:
    return next((name for name in certificate.principals if _SAFE_PRINCIPAL.match(name)), None)


@dataclass(frozen=True, slots=True)
class _Found:
    value: str
    user: User


class _Identity:
    """Whom the certificate's values stand for. The gateway takes the first principal that is anybody; we want one."""

    def __init__(self, lookups: tuple[Lookup, ...], answers: Mapping[Lookup, Answer]) -> None:
        self._values = tuple(lookup.value for lookup in lookups)
        replies = [(lookup, answers.get(lookup, Unavailable("not asked"))) for lookup in lookups]
        self._failed = [answer for _, answer in replies if isinstance(answer, Unavailable)]
        self._ambiguous = [lookup.value for lookup, answer in replies if isinstance(answer, Ambiguous)]
        self._missing = [lookup.value for lookup, answer in replies if isinstance(answer, Missing)]
        self._found = [_Found(lookup.value, answer.user) for lookup, answer in replies if isinstance(answer, Found)]

    @property
    def _subjects(self) -> list[str]:
        return list(dict.fromkeys(found.user.subject for found in self._found))

    @property
    def user(self) -> User | None:
        """The user, when every value has its answer and there is just one."""
        sure = not self._failed and not self._ambiguous and len(self._subjects) == 1
        return self._found[0].user if sure else None

    @property
    def value(self) -> str | None:
        """The first value that stands for :attr:`user`."""
        return self._found[0].value if self.user is not None else None

    def check(self) -> list[Step]:
        slow = bool(self._failed) and all(answer.slow for answer in self._failed)
        ambiguous = self._ambiguous or len(self._subjects) > 1
        shown = ", ".join(map(printable, self._values))
        return [
            _step("identity-present", bool(self._values), Reason.CERT_NO_IDENTITY, shown or "none"),
            _step(
                "directory-answered",
                not self._failed,
                Reason.GATEWAY_SLOW if slow else Reason.GATEWAY_UNAVAILABLE,
                "; ".join(dict.fromkeys(printable(answer.detail) for answer in self._failed))
                or f"{len(self._values)} asked",
            ),
            _step(
                "one-user",
                not ambiguous,
                Reason.USER_AMBIGUOUS,
                ", ".join(map(printable, self._ambiguous + self._subjects)) or "none",
            ),
            _step(
                "user-known",
                bool(self._found) or bool(self._ambiguous),
                Reason.USER_UNKNOWN,
                ", ".join(f"{printable(found.value)} is {printable(found.user.subject)}" for found in self._found)
                or f"nobody is {shown}",
                identity=shown,
            ),
        ]


def _check_owner(request: LoginRequest, user: User | None, policy: Policy) -> list[Step]:
    account, _ = split_account(request.account)
    status = printable(user.status) if user else "unknown"
    allowed = user is not None and account_allowed(account, user, policy.accounts)
    return [
        _step(
            "user-active",
            user is not None and user.active,
            Reason.USER_INACTIVE,
            status,
            status=status,
        ),
        _step(
            "account",
            allowed,
            Reason.ACCOUNT_NOT_ALLOWED,
            f"{printable(account)} for {printable(user.email) if user else 'an unknown user'}",
            account=printable(account),
        ),
    ]


def account_allowed(account: str, user: User, accounts: Accounts) -> bool:
    """Whether a user may log in to an account: shared, their own, or mapped. Nobody gets ``root`` this way."""
    if account in ("", "root"):
        return False
    if account in accounts.shared:
        return True
    if accounts.own and account in (user.email, user.email.partition("@")[0], user.subject):
        return True
    return any(account in accounts.map.get(name, frozenset()) for name in (user.email, user.subject))


def _grants(certificate: Certificate, policy: Policy) -> list[str]:
    """The options of the principals line; sshd ANDs them with the certificate's (auth-options.c sshauthopt_merge).

    ``port-forwarding`` without ``permitopen`` would open every target, so it is not given without one.
    """
    grants = ["restrict"]
    if certificate.permits("permit-pty"):
        grants.append("pty")
    if certificate.permits("permit-port-forwarding") and policy.forward_targets:
        grants.append("port-forwarding")
        grants += [f'permitopen="{target}"' for target in policy.forward_targets]
    return grants


def printable(value: str, longest: int = 128) -> str:
    """A value from outside as it may stand on a terminal or in a line of the log: escaped and cut."""
    shown = "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in value[:longest])
    return shown if len(value) <= longest else shown + "…"
