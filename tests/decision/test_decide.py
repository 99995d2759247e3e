"""Login attempts: what is decided, what sshd gets to read, and what the trace says."""

from __future__ import annotations

from dataclasses import replace

import pytest

from hoopjump.decision.certificate import FOREVER, CertificateError, parse_certificate
from hoopjump.decision.decide import decide, wanted_lookups
from hoopjump.decision.moments import moment_text
from hoopjump.decision.reasons import Reason
from hoopjump.decision.values import (
    Access,
    Accounts,
    Ambiguous,
    Answer,
    CertAttribute,
    Found,
    LoginRequest,
    Lookup,
    Missing,
    Policy,
    Unavailable,
    User,
    UserAttribute,
    Verdict,
)
from tests.decision.forge import CA, Ed25519, Forged, Rsa, Signer, blob, options, string

NOW = 1500
ALICE = User("auth0|1", "alice@x.io", "active", ("dev",), user_id="0f8fad5b-d9cb-469f-a165-70867728950e")
BOB = User("auth0|2", "bob@x.io", "active")
POLICY = Policy(
    trusted_cas=frozenset({blob(CA)}),
    cert_attribute="principal",
    user_attribute="email",
    accounts=Accounts(shared=frozenset({"hoop"})),
    forward_targets=("192.0.2.10:12222",),
    max_login=100_000,
)
HOOP = LoginRequest("hoop")
DIRECTORY: dict[Lookup, Answer] = {
    Lookup("email", "alice@x.io"): Found(ALICE),
    Lookup("email", "alice2@x.io"): Found(ALICE),
    Lookup("email", "bob@x.io"): Found(BOB),
    Lookup("email", "nobody@x.io"): Missing(),
    Lookup("email", "twins@x.io"): Ambiguous(),
    Lookup("email", "down@x.io"): Unavailable("connection refused"),
    Lookup("email", "slow@x.io"): Unavailable("no answer in 1.2 s", slow=True),
}


def login(
    forged: Forged | None = None,
    *,
    request: LoginRequest = HOOP,
    answers: dict[Lookup, Answer] | None = None,
    policy: Policy = POLICY,
    now: int = NOW,
) -> Verdict:
    certificate = parse_certificate((forged or Forged()).blob)
    known = DIRECTORY if answers is None else answers
    return decide(request, certificate, known, policy, now)


def principals(*names: str) -> bytes:
    return b"".join(map(string, names))


def failed(verdict: Verdict) -> list[str]:
    return [check.name for check in verdict.trace if not check.passed]


def test_a_good_certificate_gets_what_it_permits() -> None:
    """pty, and forwarding to the gateway only, for the certificate's principal."""
    verdict = login()
    assert verdict.access is Access.ALLOW
    assert verdict.line == 'restrict,pty,port-forwarding,permitopen="192.0.2.10:12222" alice@x.io'
    assert (verdict.reason, verdict.user, verdict.identity) == (Reason.ALLOWED, ALICE, "alice@x.io")
    assert failed(verdict) == []


@pytest.mark.parametrize(
    ("extensions", "line"),
    [
        (b"", "restrict alice@x.io"),
        (options(("permit-pty", b"")), "restrict,pty alice@x.io"),
        (
            options(("permit-port-forwarding", b"")),
            'restrict,port-forwarding,permitopen="192.0.2.10:12222" alice@x.io',
        ),
        (
            options(("permit-X11-forwarding", b""), ("permit-agent-forwarding", b""), ("permit-user-rc", b"")),
            "restrict alice@x.io",
        ),
    ],
)
def test_the_line_grants_no_more_than_the_certificate(extensions: bytes, line: str) -> None:
    """Without permit-pty no pty, without permit-port-forwarding no forwarding; agent, X11 and rc never."""
    assert login(Forged(extensions=extensions)).line == line


def test_every_forward_target_stands_in_the_line() -> None:
    """As sshd compares the text of a target, a gateway may be listed under several names."""
    targets = ("gw.x.io:12222", "[2001:db8::1]:12222")
    line = login(policy=replace(POLICY, forward_targets=targets)).line
    assert line == (
        'restrict,pty,port-forwarding,permitopen="gw.x.io:12222",permitopen="[2001:db8::1]:12222" alice@x.io'
    )


def test_without_a_forward_target_there_is_no_forwarding() -> None:
    """port-forwarding without permitopen would open every target."""
    assert login(policy=replace(POLICY, forward_targets=())).line == "restrict,pty alice@x.io"


@pytest.mark.parametrize(
    "target",
    ["gw", "gw:*", "*:22", 'gw:1" x', "gw:22,pty", "gw:22\n", "a b:22", "#:22", ":22", "gw:0", "gw:022", "gw:65536"],
)
def test_a_target_that_could_open_more_is_no_policy(target: str) -> None:
    """Wildcards, quotes, commas and white space never reach the line."""
    with pytest.raises(ValueError, match="HOST:PORT"):
        replace(POLICY, forward_targets=(target,))


@pytest.mark.parametrize(
    ("verdict", "granted"),
    [
        (login(), 'restrict, pty, port-forwarding, permitopen="192.0.2.10:12222"'),
        (login(Forged(principals=principals("nobody@x.io"))), "restrict, pty"),
        (login(now=NOW + 100_000_000), "none"),
    ],
    ids=["allowed", "held", "denied"],
)
def test_the_trace_tells_what_was_granted(verdict: Verdict, granted: str) -> None:
    """Not what the certificate would have permitted to somebody who may go on."""
    assert [check.detail for check in verdict.trace if check.name == "grants"] == [granted]


# What is wrong with the certificate: denied, and sshd gets no line.

DENIED: dict[str, tuple[Forged, Reason]] = {
    "foreign-ca": (Forged(ca=Ed25519()), Reason.CERT_UNTRUSTED_CA),
    "names-our-ca-signed-by-another": (
        Forged(signature=Ed25519().sign(Forged().signed)),
        Reason.CERT_BAD_SIGNATURE,
    ),
    "host": (Forged(type=2), Reason.CERT_NOT_USER),
    "not-yet-valid": (Forged(valid_after=NOW + 1), Reason.CERT_NOT_YET_VALID),
    "expired": (Forged(valid_before=NOW - 1), Reason.CERT_EXPIRED),
    "never-valid": (Forged(valid_after=NOW, valid_before=NOW), Reason.CERT_EXPIRED),
    "no-principals": (Forged(principals=b""), Reason.CERT_NO_PRINCIPALS),
    "empty-principal": (Forged(principals=principals("")), Reason.CERT_UNSAFE_PRINCIPAL),
    "force-command": (
        Forged(critical=options(("force-command", string("id")))),
        Reason.CERT_UNKNOWN_OPTION,
    ),
    "verify-required": (Forged(critical=options(("verify-required", b""))), Reason.CERT_UNKNOWN_OPTION),
    "unknown-option": (Forged(critical=options(("new@x.io", b""))), Reason.CERT_UNKNOWN_OPTION),
    "option-with-empty-name": (Forged(critical=options(("", b""))), Reason.CERT_UNKNOWN_OPTION),
    "source-address-in-capitals": (
        Forged(critical=options(("Source-Address", string("0.0.0.0/0")))),
        Reason.CERT_UNKNOWN_OPTION,
    ),
    "weak-key": (Forged(key=Rsa(1024)), Reason.CERT_WEAK_KEY),
}


@pytest.mark.parametrize("name", DENIED)
def test_a_faulty_certificate_is_denied(name: str) -> None:
    """No line, no user, the reason of its own, and only the certificate's rule failed."""
    forged, reason = DENIED[name]
    verdict = login(forged)
    assert (verdict.access, verdict.reason) == (Access.DENY, reason)
    assert (verdict.line, verdict.deadline, verdict.user, verdict.identity) == (None, None, None, None)
    assert verdict.sentence == reason.sentence()


def test_a_certificate_that_cannot_be_read_is_denied() -> None:
    """The parser's error becomes the trace; the user is told nothing of it."""
    verdict = decide(HOOP, CertificateError("key ID", "is cut off"), {}, POLICY, NOW)
    assert (verdict.access, verdict.reason, verdict.line) == (Access.DENY, Reason.CERT_MALFORMED, None)
    assert [(check.name, check.detail) for check in verdict.trace] == [("certificate-format", "key ID: is cut off")]


def test_a_weak_authority_is_denied() -> None:
    """An RSA authority of 1024 bits is refused even when somebody trusts it."""
    weak = Rsa(1024)
    policy = replace(POLICY, trusted_cas=frozenset({blob(weak)}))
    assert login(Forged(ca=weak), policy=policy).reason is Reason.CERT_WEAK_KEY


def test_each_of_several_authorities_is_trusted() -> None:
    """Key types may be mixed; without any nobody is trusted."""
    cas: list[Signer] = [Ed25519(), Rsa(2048)]
    policy = replace(POLICY, trusted_cas=frozenset(map(blob, cas)))
    assert [login(Forged(ca=ca), policy=policy).access for ca in cas] == [Access.ALLOW] * 2
    assert login(Forged(), policy=policy).reason is Reason.CERT_UNTRUSTED_CA
    assert login(policy=replace(POLICY, trusted_cas=frozenset())).reason is Reason.CERT_UNTRUSTED_CA


@pytest.mark.parametrize(
    ("now", "reason"),
    [
        (999, Reason.CERT_NOT_YET_VALID),
        (1000, Reason.ALLOWED),
        (1999, Reason.ALLOWED),
        (2000, Reason.CERT_EXPIRED),
    ],
)
def test_a_certificate_is_valid_from_its_first_second_to_before_its_last(now: int, reason: Reason) -> None:
    """A certificate ending this second is expired (sshkey.c sshkey_cert_check_authority)."""
    assert login(now=now).reason is reason


@pytest.mark.parametrize(
    ("valid_before", "max_login", "deadline"),
    [(2000, 100_000, 2000), (FOREVER, 60, NOW + 60), (NOW + 60, 60, NOW + 60), (FOREVER, 2**70, FOREVER)],
)
def test_a_login_ends_with_the_certificate_or_after_the_longest_login(
    valid_before: int, max_login: int, deadline: int
) -> None:
    """The deadline is the earlier of the two, for a held login as well."""
    policy = replace(POLICY, max_login=max_login)
    assert login(Forged(valid_before=valid_before), policy=policy).deadline == deadline
    assert login(Forged(valid_before=valid_before), policy=policy, answers={}).deadline == deadline


def test_the_trace_tells_times_in_utc() -> None:
    """An administrator reads dates; what no calendar reaches stands as it is."""
    details = {check.name: check.detail for check in login(Forged(valid_before=FOREVER), now=NOW).trace}
    assert details["not-expired"] == f"valid to forever, now {moment_text(NOW)}"
    assert moment_text(1_800_000_000) == "2027-01-15 08:00:00 UTC"
    assert moment_text(2**64 - 2) == f"{2**64 - 2} s after 1970"


def test_everything_that_can_be_checked_stands_in_the_trace() -> None:
    """The first failed rule decides, and those after it are still told."""
    forged = Forged(type=2, valid_before=1, principals=principals("nobody@x.io"))
    verdict = login(forged, request=LoginRequest("root"))
    assert verdict.reason is Reason.CERT_NOT_USER
    assert failed(verdict) == ["user-certificate", "not-expired", "user-known", "user-active", "account"]
    assert [check.name for check in verdict.trace] == [check.name for check in login().trace]


@pytest.mark.parametrize(
    ("names", "line"),
    [
        (("alice smith", "alice@x.io"), "restrict alice@x.io"),
        (("bob,pty", "al#ice", 'a"b', "\nroot", "alice@x.io"), "restrict alice@x.io"),
        (("auth0|1", "alice@x.io"), "restrict auth0|1"),
    ],
)
def test_the_printed_principal_is_the_first_that_sshd_reads_as_it_stands(names: tuple[str, ...], line: str) -> None:
    """A principal that could be read as options, a comment or another line is never printed."""
    answers: dict[Lookup, Answer] = {Lookup("email", name): Missing() for name in names}
    answers[Lookup("email", "alice@x.io")] = Found(ALICE)
    assert login(Forged(principals=principals(*names), extensions=b""), answers=answers).line == line


@pytest.mark.parametrize(
    "name", ["a b", "a,b", "a#b", "a\tb", "a\nb", 'a"b', "ä", "a\\b", "alice@x.io\n", "\u202ealice"]
)
def test_a_certificate_with_no_printable_principal_is_denied(name: str) -> None:
    """There is no line that sshd could match with it."""
    assert login(Forged(principals=principals(name))).reason is Reason.CERT_UNSAFE_PRINCIPAL


# source-address


@pytest.mark.parametrize(
    ("listed", "source", "allowed"),
    [
        ("10.0.0.0/8", "10.1.2.3", True),
        ("10.0.0.0/8", "11.1.2.3", False),
        ("192.0.2.1", "192.0.2.1", True),
        ("192.0.2.1", "192.0.2.2", False),
        ("192.0.2.1,2001:db8::/32", "2001:db8::5", True),
        ("2001:db8::/32", "2001:db9::5", False),
        ("10.0.0.0/8", "::ffff:10.1.2.3", True),
        ("::/0", "10.1.2.3", False),
        ("0.0.0.0/0", "2001:db8::5", False),
        ("0.0.0.0/0", "10.1.2.3", True),
        ("10.0.0.0/8", "UNKNOWN", False),
        ("10.0.0.0/8", "", False),
        ("10.0.0.0/8", None, True),
    ],
)
def test_source_address_binds_a_certificate_to_networks(listed: str, source: str | None, allowed: bool) -> None:
    """Elsewhere it is refused; where the address is not known here, sshd decides."""
    forged = Forged(critical=options(("source-address", string(listed))))
    verdict = login(forged, request=LoginRequest("hoop", source))
    assert verdict.reason is (Reason.ALLOWED if allowed else Reason.CERT_SOURCE_ADDRESS)


@pytest.mark.parametrize(
    "listed",
    [
        "",
        ",",
        "10.0.0.1,",
        "10.0.0.1/8",
        "10.0.0.0/33",
        "10.0.0.0/",
        "10.0.0.0/-1",
        "10.0.0.0/8 ",
        " 10.0.0.0/8",
        "!10.0.0.0/8",
        "10.*",
        "localhost",
        "::1%lo",
        "2001:db8::/129",
        "2001:db8::1/32",
        "10.0.0.0/8,any",
        "0x0a000001",
        "1" * 60,
        "\u0661.0.0.1",
    ],
)
@pytest.mark.parametrize("source", [None, "10.0.0.1"])
def test_a_source_address_that_does_not_parse_is_a_refusal(listed: str, source: str | None) -> None:
    """As in sshd, a bad list lets nobody in, also where the address is not known."""
    forged = Forged(critical=options(("source-address", string(listed))))
    assert login(forged, request=LoginRequest("hoop", source)).reason is Reason.CERT_SOURCE_ADDRESS


# A good certificate whose owner may not go on: held, with a terminal to read the reason on and nothing else.


def held(verdict: Verdict, reason: Reason, principal: str = "alice@x.io") -> bool:
    return (verdict.access, verdict.reason, verdict.line) == (Access.HOLD, reason, f"restrict,pty {principal}")


def test_an_unknown_user_is_held_and_told() -> None:
    """The sentence names the value that nobody has."""
    verdict = login(Forged(principals=principals("nobody@x.io")))
    assert held(verdict, Reason.USER_UNKNOWN, "nobody@x.io")
    assert verdict.sentence == "The gateway does not know a user 'nobody@x.io'."


@pytest.mark.parametrize("status", ["inactive", "invited", "reviewing", "Active", ""])
def test_a_user_who_is_not_active_is_held(status: str) -> None:
    """Only `active` passes at the gateway."""
    verdict = login(answers={Lookup("email", "alice@x.io"): Found(replace(ALICE, status=status))})
    assert held(verdict, Reason.USER_INACTIVE)
    assert f"(status: {status})" in verdict.sentence


def test_what_the_gateway_or_the_certificate_says_cannot_write_to_the_terminal() -> None:
    """Control and direction characters in values are escaped in sentence and trace, and long values are cut."""
    evil = "\x1b]0;x\x07\u202e\n" + "a" * 500
    status = login(answers={Lookup("email", "alice@x.io"): Found(replace(ALICE, status=evil, email=evil))})
    name = login(
        Forged(principals=principals("ok", evil)),
        answers={Lookup("email", "ok"): Missing(), Lookup("email", evil): Missing()},
    )
    account = login(request=LoginRequest(evil))
    failure = login(answers={Lookup("email", "alice@x.io"): Unavailable(evil)})
    for verdict in (status, name, account, failure):
        assert verdict.access is Access.HOLD
        for text in (verdict.sentence, *(check.detail for check in verdict.trace)):
            assert text.isprintable()
            assert len(text) < 700


def test_principals_of_two_users_are_refused_not_guessed() -> None:
    """The gateway would take the first; a certificate for two people is for nobody."""
    for names in (("alice@x.io", "bob@x.io"), ("bob@x.io", "nobody@x.io", "alice@x.io")):
        verdict = login(Forged(principals=principals(*names)))
        assert held(verdict, Reason.USER_AMBIGUOUS, names[0])
        assert (verdict.user, verdict.identity) == (None, None)


def test_two_principals_of_one_user_are_one_user() -> None:
    """The same subject twice is no doubt."""
    verdict = login(Forged(principals=principals("alice2@x.io", "alice@x.io")))
    assert (verdict.access, verdict.user, verdict.identity) == (Access.ALLOW, ALICE, "alice2@x.io")


def test_principals_that_are_nobody_are_passed_over() -> None:
    """The user is the one that is somebody, and the identity is that principal."""
    verdict = login(Forged(principals=principals("nobody@x.io", "alice@x.io")))
    assert (verdict.access, verdict.user, verdict.identity) == (Access.ALLOW, ALICE, "alice@x.io")


def test_a_value_that_several_users_have_is_refused() -> None:
    """Also beside one that is clear."""
    assert held(login(Forged(principals=principals("twins@x.io"))), Reason.USER_AMBIGUOUS, "twins@x.io")
    assert held(login(Forged(principals=principals("alice@x.io", "twins@x.io"))), Reason.USER_AMBIGUOUS)


@pytest.mark.parametrize(
    ("names", "reason"),
    [
        (("down@x.io",), Reason.GATEWAY_UNAVAILABLE),
        (("slow@x.io",), Reason.GATEWAY_SLOW),
        (("slow@x.io", "down@x.io"), Reason.GATEWAY_UNAVAILABLE),
        (("alice@x.io", "down@x.io"), Reason.GATEWAY_UNAVAILABLE),
        (("alice@x.io", "slow@x.io"), Reason.GATEWAY_SLOW),
        (("alice@x.io", "bob@x.io", "slow@x.io"), Reason.GATEWAY_SLOW),
        (("nobody@x.io", "down@x.io"), Reason.GATEWAY_UNAVAILABLE),
        (("alice@x.io", "never-asked@x.io"), Reason.GATEWAY_UNAVAILABLE),
    ],
)
def test_without_every_answer_nobody_is_guessed(names: tuple[str, ...], reason: Reason) -> None:
    """One missing answer holds the login, though another principal is known: it might be somebody else."""
    verdict = login(Forged(principals=principals(*names)))
    assert held(verdict, reason, names[0])
    assert verdict.user is None


@pytest.mark.parametrize(
    ("account", "accounts", "allowed"),
    [
        ("hoop", Accounts(shared=frozenset({"hoop"})), True),
        ("hoop+web1", Accounts(shared=frozenset({"hoop"})), True),
        ("hoop", Accounts(), False),
        ("hoop", Accounts(own=True), False),
        ("alice@x.io", Accounts(own=True), True),
        ("alice", Accounts(own=True), True),
        ("alice+web1", Accounts(own=True), True),
        ("auth0|1", Accounts(own=True), True),
        ("alice", Accounts(), False),
        ("Alice", Accounts(own=True), False),
        ("bob", Accounts(own=True), False),
        ("deploy", Accounts(map={"alice@x.io": frozenset({"deploy"})}), True),
        ("deploy", Accounts(map={"auth0|1": frozenset({"deploy"})}), True),
        ("deploy", Accounts(map={"bob@x.io": frozenset({"deploy"})}), False),
        ("root", Accounts(shared=frozenset({"root"}), map={"alice@x.io": frozenset({"root"})}), False),
        ("root+web1", Accounts(shared=frozenset({"root"})), False),
        ("", Accounts(shared=frozenset({""})), False),
        ("+web1", Accounts(shared=frozenset({""})), False),
    ],
)
def test_an_account_is_shared_own_or_mapped(account: str, accounts: Accounts, allowed: bool) -> None:
    """Anything else holds the login, and root is nobody's."""
    verdict = login(request=LoginRequest(account), policy=replace(POLICY, accounts=accounts))
    if allowed:
        assert verdict.access is Access.ALLOW
    else:
        assert held(verdict, Reason.ACCOUNT_NOT_ALLOWED)
        assert verdict.user == ALICE


def test_a_user_without_email_does_not_own_the_nameless_account() -> None:
    """An empty attribute gives no account."""
    nobody = User("auth0|3", "", "active")
    policy = replace(POLICY, accounts=Accounts(own=True))
    answers: dict[Lookup, Answer] = {Lookup("email", "alice@x.io"): Found(nobody)}
    assert held(login(request=LoginRequest(""), policy=policy, answers=answers), Reason.ACCOUNT_NOT_ALLOWED)


# The configured attributes


@pytest.mark.parametrize("cert_attribute", ["principal", "key_id"])
@pytest.mark.parametrize(
    ("user_attribute", "value"),
    [("email", "alice@x.io"), ("subject", "auth0|1"), ("user_id", "0f8fad5b-d9cb-469f-a165-70867728950e")],
)
def test_each_certificate_attribute_with_each_user_attribute(
    cert_attribute: CertAttribute, user_attribute: UserAttribute, value: str
) -> None:
    """The configured part of the certificate is looked up in the configured attribute, and nothing else is."""
    policy = replace(POLICY, cert_attribute=cert_attribute, user_attribute=user_attribute)
    forged = (
        Forged(principals=principals(value), key_id=b"bob@x.io")
        if cert_attribute == "principal"
        else Forged(principals=principals("bob@x.io"), key_id=value.encode())
    )
    lookup = Lookup(user_attribute, value)
    assert wanted_lookups(parse_certificate(forged.blob), policy) == (lookup,)
    verdict = login(forged, policy=policy, answers={lookup: Found(ALICE)})
    assert (verdict.access, verdict.user, verdict.identity) == (Access.ALLOW, ALICE, value)
    assert verdict.line is not None
    assert verdict.line.split()[-1] == (value if cert_attribute == "principal" else "bob@x.io")


def test_a_key_id_may_hold_what_a_principal_may_not() -> None:
    """It is looked up only; the line carries the principal."""
    policy = replace(POLICY, cert_attribute="key_id", user_attribute="subject")
    lookup = Lookup("subject", "Alice Smith, #1")
    forged = Forged(key_id=b"Alice Smith, #1", extensions=b"")
    assert login(forged, policy=policy, answers={lookup: Found(ALICE)}).line == "restrict alice@x.io"


def test_an_empty_key_id_says_nothing_about_who() -> None:
    """Nothing is looked up and the login is held."""
    policy = replace(POLICY, cert_attribute="key_id")
    forged = Forged(key_id=b"")
    assert wanted_lookups(parse_certificate(forged.blob), policy) == ()
    assert held(login(forged, policy=policy), Reason.CERT_NO_IDENTITY)


def test_each_principal_is_looked_up_once_in_order() -> None:
    """Repeated and empty ones are left out."""
    certificate = parse_certificate(Forged(principals=principals("b", "a", "", "b")).blob)
    assert wanted_lookups(certificate, POLICY) == (Lookup("email", "b"), Lookup("email", "a"))


@pytest.mark.parametrize("forged", [Forged(ca=Ed25519()), Forged(type=2)], ids=["foreign-ca", "host"])
def test_a_foreign_certificate_causes_no_lookup(forged: Forged) -> None:
    """Whoever presents one makes the gateway no work."""
    assert wanted_lookups(parse_certificate(forged.blob), POLICY) == ()
