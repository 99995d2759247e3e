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
from typing import Final

from hoopjump.decision.addresses import address_in, parse_address_list
from hoopjump.decision.certificate import (
    Certificate,
    CertificateError,
    CertificateType,
    fingerprint,
    verify_ca_signature,
)
from hoopjump.decision.moments import moment_text
from hoopjump.decision.owner import Identity, owner_rules
from hoopjump.decision.presented import token_rules
from hoopjump.decision.reasons import Reason
from hoopjump.decision.rules import Rule, first_failed, rule
from hoopjump.decision.values import (
    Access,
    Answer,
    Check,
    LoginRequest,
    Lookup,
    Policy,
    Presented,
    RefusedToken,
    Token,
    Verdict,
)

RSA_SMALLEST: Final = 2048

# sshd cuts a principals line at `#` and splits it at its last space (auth2-pubkeyfile.c): print nothing that could
# say something else there. The hook passes on lines of at most 2048 characters, options included.
_SAFE_PRINCIPAL: Final = re.compile(r"[A-Za-z0-9._@:|+-]{1,512}\Z")


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


def wants_token(certificate: Certificate, policy: Policy) -> bool:
    """Whether the certificate's token must be verified before :func:`decide`; a stranger's causes no traffic either."""
    trusted = certificate.ca_key in policy.trusted_cas and certificate.type is CertificateType.USER
    return policy.tokens and trusted


def decide(  # noqa: PLR0917 - the facts of a login, all of them
    request: LoginRequest,
    certificate: Certificate | CertificateError,
    answers: Mapping[Lookup, Answer],
    policy: Policy,
    now: int,
    embedded: Presented = None,
) -> Verdict:
    """Decide a login attempt.

    ``answers`` holds the directory's answer to each of :func:`wanted_lookups`; a missing one counts as unavailable.
    ``embedded`` is the certificate's token, as it stands where tokens are looked at. ``now`` is in Unix seconds.
    """
    if isinstance(certificate, CertificateError):
        fault = Check("certificate-format", False, str(certificate))
        return Verdict(Access.DENY, Reason.CERT_MALFORMED, Reason.CERT_MALFORMED.sentence(), (fault,))

    own = _check_certificate(request, certificate, policy, now)
    whose = Identity(_lookups(certificate, policy), answers)
    presented = embedded if policy.tokens else None
    token = presented if isinstance(presented, Token) else None
    owner = whose.rules() + owner_rules(request, whose.user, policy)
    owner += token_rules("certificate", presented, whose.user)
    ends = (certificate.valid_before, now + policy.max_login, *((token.ends,) if token else ()))
    deadline = min(ends)
    denied, held = first_failed(own), first_failed(owner)
    grants = _grants(certificate, policy, token)
    if denied is not None:
        grants = []
    elif held is not None:
        # A terminal, for ssh -t gives up where it gets none, and what the hook says would not be read.
        grants = [grant for grant in grants if grant in ("restrict", "pty")]
    trace = (
        Check("certificate-format", True, f"{certificate.key_type}, {len(certificate.blob)} bytes"),
        *(item.check for item in own + owner),
        *_forward_token(policy, presented),
        Check("grants", True, ", ".join(grants) or "none"),
        Check("deadline", True, moment_text(deadline)),
    )

    if denied is not None:
        return Verdict(Access.DENY, denied.reason, denied.sentence, trace)
    line = f"{','.join(grants)} {_safe_principal(certificate)}"
    if held is not None:
        return Verdict(Access.HOLD, held.reason, held.sentence, trace, line, deadline, whose.user, whose.value)
    sentence = Reason.ALLOWED.sentence()
    return Verdict(Access.ALLOW, Reason.ALLOWED, sentence, trace, line, deadline, whose.user, whose.value, token)


def _forward_token(policy: Policy, presented: Presented) -> tuple[Check, ...]:
    """Nobody is refused for want of it: whether a login will forward is not known before it does."""
    if policy.forward_use == "never":
        return ()
    found = {Token: "in the certificate", RefusedToken: "refused"}.get(type(presented), "none in the certificate")
    missing = policy.forward_use == "required" and not isinstance(presented, Token)
    detail = f"{policy.forward_use}; {found}"
    return (Check("token-forward", not missing, f"{detail}: no forwards" if missing else detail),)


def _check_certificate(request: LoginRequest, certificate: Certificate, policy: Policy, now: int) -> tuple[Rule, ...]:
    """The certificate itself, in the order of auth2-pubkey.c user_cert_trusted_ca and what it calls."""
    unknown = [name for name, _ in certificate.critical_options if name != "source-address"]
    weak = [
        f"{what} has {key.bits} bits"
        for what, key in (("the certified key", certificate.key), ("the authority's key", certificate.ca))
        if key.type == "ssh-rsa" and key.bits < RSA_SMALLEST
    ]
    principal = _safe_principal(certificate)
    return (
        # TrustedUserCAKeys of sshd_config(5); sshd has looked too, but may serve others with other authorities.
        rule(
            "trusted-authority",
            certificate.ca_key in policy.trusted_cas,
            Reason.CERT_UNTRUSTED_CA,
            f"{certificate.ca.type} {fingerprint(certificate.ca_key)}",
        ),
        # sshkey.c cert_parse: verified as part of reading
        rule(
            "authority-signature",
            verify_ca_signature(certificate),
            Reason.CERT_BAD_SIGNATURE,
            certificate.signature_algorithm,
        ),
        # sshd_config(5) RequiredRSASize is 1024 by default; NIST SP 800-57 part 1 asks for 2048.
        rule("key-strength", not weak, Reason.CERT_WEAK_KEY, "; ".join(weak) or f"{certificate.key.bits} bits"),
        # sshkey.c sshkey_cert_check_authority, down to the principals
        rule(
            "user-certificate",
            certificate.type is CertificateType.USER,
            Reason.CERT_NOT_USER,
            certificate.type.name.lower(),
        ),
        rule(
            "begun",
            now >= certificate.valid_after,
            Reason.CERT_NOT_YET_VALID,
            f"valid from {moment_text(certificate.valid_after)}, now {moment_text(now)}",
        ),
        # The end is exclusive.
        rule(
            "not-expired",
            now < certificate.valid_before,
            Reason.CERT_EXPIRED,
            f"valid to {moment_text(certificate.valid_before)}, now {moment_text(now)}",
        ),
        rule(
            "principals-present",
            bool(certificate.principals),
            Reason.CERT_NO_PRINCIPALS,
            str(len(certificate.principals)),
        ),
        rule("principal-printable", principal is not None, Reason.CERT_UNSAFE_PRINCIPAL, principal or "none"),
        # auth-options.c cert_option_list; the gateway refuses force-command and verify-required as well.
        rule(
            "critical-options",
            not unknown,
            Reason.CERT_UNKNOWN_OPTION,
            ", ".join(ascii(name[:64]) for name in unknown) or "none but source-address",
        ),
        _check_source_address(request, certificate),
    )


def _check_source_address(request: LoginRequest, certificate: Certificate) -> Rule:
    """auth-options.c: the list must be well-formed; auth.c auth_authorise_keyopts: the client must be in it.

    Without the client's address only the form is checked, and sshd, which has it, checks the rest.
    """
    name, reason, listed = "source-address", Reason.CERT_SOURCE_ADDRESS, certificate.source_address
    if listed is None:
        return rule(name, True, reason, "not restricted")
    try:
        networks = parse_address_list(listed)
    except ValueError as error:
        return rule(name, False, reason, str(error))
    if request.source is None:
        return rule(name, True, reason, f"{listed}; the client's address is not known here")
    return rule(name, address_in(request.source, networks), reason, f"{request.source} in {listed}")


def _safe_principal(certificate: Certificate) -> str | None:
    return next((name for name in certificate.principals if _SAFE_PRINCIPAL.match(name)), None)


def _grants(certificate: Certificate, policy: Policy, token: Token | None) -> list[str]:
    """The options of the principals line; sshd ANDs them with the certificate's (auth-options.c sshauthopt_merge).

    ``port-forwarding`` without ``permitopen`` would open every target, so it is not given without one. Where forwards
    need a token it is not given without that either.
    """
    grants = ["restrict"]
    if certificate.permits("permit-pty"):
        grants.append("pty")
    lacking = policy.forward_use == "required" and token is None
    if certificate.permits("permit-port-forwarding") and policy.forward_targets and not lacking:
        grants.append("port-forwarding")
        grants += [f'permitopen="{target}"' for target in policy.forward_targets]
    return grants
