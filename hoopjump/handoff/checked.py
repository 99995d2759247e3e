"""Issuing followed by reading, as step-ca does it.

A finished certificate is parsed by the same strict parser that judges users' certificates, and every field is compared
with what was to be granted, before anybody gets to use it.
"""

from __future__ import annotations

from hoopjump.decision.certificate import (
    Certificate,
    CertificateError,
    parse_certificate,
    verify_ca_signature,
)
from hoopjump.handoff.issue import CertificateSpec, IssueError, Signer, issue


def issue_checked(spec: CertificateSpec, signer: Signer) -> Certificate:
    """The certificate that ``spec`` describes; raises :class:`IssueError` when it is another, or names nobody."""
    try:
        certificate = parse_certificate(issue(spec, signer))
    except CertificateError as error:
        raise IssueError(f"the certificate cannot be read: {error}") from error
    compared: dict[str, tuple[object, object]] = {
        "type": (certificate.type, spec.kind),
        "key": (certificate.public_key, spec.public_key),
        "authority": (certificate.ca_key, signer.public_key),
        "serial": (certificate.serial, spec.serial),
        "key ID": (certificate.key_id, spec.key_id),
        "principals": (certificate.principals, spec.principals),
        "begin": (certificate.valid_after, spec.valid_after),
        "end": (certificate.valid_before, spec.valid_before),
        "critical options": (certificate.critical_options, spec.critical_options),
        "extensions": (certificate.extensions, spec.extensions),
    }
    for field, (got, want) in compared.items():
        if got != want:
            raise IssueError(f"the certificate has another {field} than was asked for")
    if not certificate.key_id or not certificate.principals or not all(certificate.principals):
        raise IssueError("the certificate would name nobody")
    if not verify_ca_signature(certificate):
        raise IssueError("the certificate's signature is wrong; is the signer's public key its own?")
    return certificate
