"""What the check refuses in sshd's configuration: each rule with the opening that it closes."""

from __future__ import annotations

import pytest

from hoopjump.findings import Finding, Level
from hoopjump.sshd.rules import check_administrator, check_login
from hoopjump.sshd.versions import Version
from tests.sshd.blocks import CA_FILE, RELEASES, effective, expected

V = Version(9, 9)


def bad(version: Version = V, **changes: str | None) -> list[Finding]:
    """What is not as it should be after these changes."""
    findings = check_login(effective(version, **changes), expected(version))
    return [finding for finding in findings if finding.level is not Level.OK]


@pytest.mark.parametrize(
    ("keyword", "value"),
    [
        ("AuthenticationMethods", "any"),
        ("AuthenticationMethods", "publickey password"),
        ("AuthenticationMethods", "publickey,keyboard-interactive"),
        ("PubkeyAcceptedAlgorithms", "ssh-ed25519-cert-v01@openssh.com,ssh-ed25519"),
        ("AuthorizedKeysFile", ".ssh/authorized_keys"),
        ("AuthorizedKeysCommand", "/usr/bin/keys"),
        ("AuthorizedPrincipalsFile", "/etc/ssh/principals/%u"),
        ("TrustedUserCAKeys", "/etc/ssh/ca.pub"),
        ("TrustedUserCAKeys", None),
        ("AuthorizedPrincipalsCommandUser", "root"),
        ("AuthorizedPrincipalsCommandUser", "hoopjump"),
        ("ExposeAuthInfo", "no"),
        ("ForceCommand", "none"),
        ("ForceCommand", "/usr/lib/hoopjump/hook session"),
        ("ForceCommand", "exec /usr/lib/hoopjump/other session"),
        ("ForceCommand", "exec /usr/lib/hoopjump/hook session --socket=/tmp/x"),
        ("AllowTcpForwarding", "yes"),
        ("AllowTcpForwarding", "remote"),
        ("PermitOpen", "any"),
        ("PermitOpen", "gateway.x.io:12222 10.0.0.1:22"),
        ("PermitOpen", "gateway.x.io:*"),
        ("PermitListen", "any"),
        ("GatewayPorts", "clientspecified"),
        ("AllowStreamLocalForwarding", "yes"),
        ("AllowAgentForwarding", "yes"),
        ("X11Forwarding", "yes"),
        ("PermitTunnel", "point-to-point"),
        ("PermitUserRC", "yes"),
        ("PermitUserEnvironment", "yes"),
        ("PermitUserEnvironment", "HOOPJUMP_*"),
        ("ChrootDirectory", "/srv"),
        ("DisableForwarding", "yes"),
        ("AcceptEnv", "*"),
        ("AcceptEnv", "SSH_*"),
        ("AcceptEnv", "LANG S?H_USER_AUTH"),
        ("AcceptEnv", "LD_*"),
        ("AcceptEnv", "BASH_ENV"),
    ],
)
def test_an_opening_is_a_failure_with_the_next_step(keyword: str, value: str | None) -> None:
    """Exactly one finding, which names the keyword and a cure."""
    findings = bad(V, **{keyword: value})
    assert [finding.level for finding in findings] == [Level.FAILURE]
    assert findings[0].name == keyword
    assert findings[0].hint


@pytest.mark.parametrize(
    ("keyword", "value", "name"),
    [
        ("RevokedKeys", "none", "RevokedKeys"),
        ("AllowTcpForwarding", "no", "AllowTcpForwarding"),
        ("PermitOpen", "none", "PermitOpen"),
        ("AcceptEnv", "LANG LC_*", "AcceptEnv"),
        ("Subsystem", None, "Subsystem"),
        ("MaxStartups", "10:30:100", "MaxStartups"),
        ("LoginGraceTime", "121", "LoginGraceTime"),
        ("LoginGraceTime", "0", "LoginGraceTime"),
        ("PerSourcePenaltyExemptList", "none", "PerSourcePenalties"),
    ],
)
def test_what_costs_only_comfort_is_a_warning(keyword: str, value: str | None, name: str) -> None:
    """The check still passes."""
    findings = bad(V, **{keyword: value})
    assert [(finding.level, finding.name) for finding in findings] == [(Level.WARNING, name)]


def test_penalties_matter_from_9_8_on() -> None:
    """Before, there are none."""
    assert bad(Version(9, 7), PerSourcePenaltyExemptList="none") == []
    assert bad(Version(9, 8), PerSourcePenalties="no", PerSourcePenaltyExemptList="none") == []


PRINCIPALS = "/usr/lib/hoopjump/hook principals --user=%u --key-id=%i --serial=%s --ca=%F --cert=%k"


@pytest.mark.parametrize("version", [v for v in RELEASES if v < Version(9, 4)], ids=str)
def test_a_token_that_this_release_does_not_know_is_found(version: Version) -> None:
    """`sshd -t` accepts it, and every connection would drop."""
    findings = bad(version, AuthorizedPrincipalsCommand=f"{PRINCIPALS} --connection=%C")
    assert [finding.level for finding in findings] == [Level.FAILURE]
    assert "does not know %C and would drop every connection" in findings[0].text


@pytest.mark.parametrize(
    ("command", "text"),
    [
        (PRINCIPALS.replace(" --ca=%F", ""), "lacks --ca=%F"),
        (PRINCIPALS.replace("--key-id=%i", "%i"), "lacks --key-id=%i"),
        (f"{PRINCIPALS} --connection=%C --extra=%z", "does not know %z"),
        ("none", "the hook is not asked"),
        ("/usr/bin/opkssh verify %u %k %t", "the hook is not asked"),
    ],
)
def test_a_command_that_is_not_ours_is_found(command: str, text: str) -> None:
    """Missing options, options without a name in front, unknown tokens, other programs."""
    findings = [finding for finding in bad(AuthorizedPrincipalsCommand=command) if finding.level is Level.FAILURE]
    assert text in findings[0].text


def test_the_include_bug_of_8_2_is_named_where_the_block_has_no_effect() -> None:
    """The commonest reason there."""
    old, new = (bad(version, AuthorizedPrincipalsCommand="none")[0].hint for version in (Version(8, 3), Version(8, 4)))
    assert "put the block into the main file" in old
    assert "main file" not in new


def test_keywords_are_compared_without_case() -> None:
    """OpenSSH prints them in lower case up to 10.3, and as in the manual from 10.4 on."""
    printed = effective(Version(10, 5))
    assert printed.one("FORCECOMMAND") == printed.one("forcecommand") == "exec /usr/lib/hoopjump/hook session"


def test_an_administrator_without_the_block_is_left_alone() -> None:
    """Nothing of ours applies."""
    untouched = effective(V, ForceCommand="none", AuthorizedPrincipalsCommand="none", TrustedUserCAKeys="none")
    findings = list(check_administrator(untouched, effective(V), "root"))
    assert [finding.level for finding in findings] == [Level.OK]


@pytest.mark.parametrize("keyword", ["ForceCommand", "AuthorizedPrincipalsCommand"])
def test_an_administrator_with_a_hook_is_a_failure(keyword: str) -> None:
    """A broken daemon would lock out whoever could mend it."""
    changes = {"ForceCommand": "none", "AuthorizedPrincipalsCommand": "none", "TrustedUserCAKeys": "none"}
    del changes[keyword]
    findings = list(check_administrator(effective(V, **changes), effective(V), "root"))
    assert [finding.level for finding in findings] == [Level.FAILURE]
    assert "nobody could log in to repair it" in findings[0].text


def test_an_administrators_account_that_the_users_ca_opens_is_a_failure() -> None:
    """TrustedUserCAKeys outside the Match block lets any certificate with the principal root in."""
    changes = {"ForceCommand": "none", "AuthorizedPrincipalsCommand": "none", "TrustedUserCAKeys": CA_FILE}
    findings = list(check_administrator(effective(V, **changes), effective(V), "root"))
    assert [finding.level for finding in findings] == [Level.FAILURE]
    assert "open this account too" in findings[0].text
