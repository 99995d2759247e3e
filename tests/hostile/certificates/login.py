"""What becomes of a login with a certificate of the table, or with any other bytes."""

from __future__ import annotations

from hoopjump.decision.certificate import Certificate, CertificateError, parse_certificate
from hoopjump.decision.decide import decide, wanted_lookups
from hoopjump.decision.values import Accounts, Answer, Found, LoginRequest, Lookup, Missing, Policy, User, Verdict
from tests.decision.forge import blob
from tests.hostile.certificates.forge import CLIENT, NOW, PRINCIPAL, TRUSTED

POLICY = Policy(
    trusted_cas=frozenset(map(blob, TRUSTED)),
    cert_attribute="principal",
    user_attribute="email",
    accounts=Accounts(shared=frozenset({"hoop"})),
    forward_targets=("192.0.2.10:12222", "[2001:db8::1]:12222"),
    max_login=100_000,
)
USERS = {name: User(f"auth0|{name}", name, "active") for name in (PRINCIPAL, "bob@x.io")}


def login(raw: bytes) -> Verdict:
    """From the usual client, of one of two users."""
    certificate: Certificate | CertificateError
    answers: dict[Lookup, Answer] = {}
    try:
        certificate = parse_certificate(raw)
    except CertificateError as error:
        certificate = error
    else:
        assert certificate.blob == raw
        for lookup in wanted_lookups(certificate, POLICY):
            user = USERS.get(lookup.value)
            answers[lookup] = Found(user) if user else Missing()
    return decide(LoginRequest("hoop", CLIENT), certificate, answers, POLICY, NOW)
