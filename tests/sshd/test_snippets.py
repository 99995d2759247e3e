"""The block for sshd: right for every release, and closed to values that would be read as something else."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from hoopjump.dev import programs
from hoopjump.sshd.rules import check_login
from hoopjump.sshd.snippets import SnippetError, render
from hoopjump.sshd.versions import Version, installed
from tests.conftest import need_bastion
from tests.sshd.blocks import RELEASES, block, effective, expected, settings

# The first release that knows a keyword, or the last (release notes of OpenSSH).
SINCE = {
    "PubkeyAcceptedAlgorithms": Version(8, 5),
    "LogVerbose": Version(8, 5),
    "RequiredRSASize": Version(9, 1),
    "ChannelTimeout": Version(9, 2),
    "UnusedConnectionTimeout": Version(9, 2),
}


@pytest.mark.parametrize("version", RELEASES, ids=str)
def test_a_release_gets_the_keywords_it_knows(version: Version) -> None:
    """An unknown keyword would keep sshd from starting; a keyword twice would be a mistake of ours."""
    keywords = [line.split()[0] for line in settings(block(version))]
    for keyword, since in SINCE.items():
        assert (keyword in keywords) is (version >= since), keyword
    assert ("PubkeyAcceptedKeyTypes" in keywords) is (version < Version(8, 5))
    assert len(keywords) == len(set(keywords))


@pytest.mark.parametrize("version", RELEASES, ids=str)
def test_the_connection_is_handed_over_where_its_token_is_known(version: Version) -> None:
    """%C before 9.4 would drop every connection that offers a trusted certificate, and `sshd -t` would not say so."""
    assert ("--connection=%C" in block(version)) is (version >= Version(9, 4))


@pytest.mark.parametrize("version", RELEASES, ids=str)
def test_the_hook_is_named_before_the_keys_command_is_turned_off(version: Version) -> None:
    """Up to 9.3 sshd passes over an AuthorizedPrincipalsCommand below an AuthorizedKeysCommand (servconf.c)."""
    keywords = [line.split()[0] for line in settings(block(version))]
    assert keywords.index("AuthorizedPrincipalsCommand") < keywords.index("AuthorizedKeysCommand")


@pytest.mark.parametrize("version", RELEASES, ids=str)
def test_every_setting_belongs_to_the_match_block(version: Version) -> None:
    """So no login of anybody else changes."""
    lines = settings(block(version))
    assert lines[0] == "Match User hoop"
    assert not [line for line in lines[1:] if line.startswith("Match")]


@pytest.mark.parametrize("version", RELEASES, ids=str)
def test_no_line_carries_a_comment_behind_its_value(version: Version) -> None:
    """ForceCommand and AuthorizedPrincipalsCommand would take it as part of the command."""
    assert not [line for line in settings(block(version)) if "#" in line]


@pytest.mark.parametrize("version", RELEASES, ids=str)
def test_the_block_is_right_by_the_rules_of_the_check(version: Version) -> None:
    """`sshd render` and `sshd check` agree, without a warning."""
    findings = check_login(effective(version), expected(version))
    assert [finding for finding in findings if finding.level.value != "ok"] == []


def test_8_2_and_8_3_are_told_to_use_the_main_file() -> None:
    """They pass over Match blocks of included files in silence."""
    for version in RELEASES:
        assert ("at the end of the main file, /etc/ssh/sshd_config." in block(version)) is (version < Version(8, 4))


def test_penalties_are_explained_from_9_8_on_with_the_addresses_given() -> None:
    """The list is a global setting, so it is a comment."""
    assert "PerSourcePenalt" not in block(Version(9, 7))
    text = block(Version(9, 8), exempt=["198.51.100.7", "2001:db8::/48"])
    assert "#   PerSourcePenaltyExemptList 198.51.100.7,2001:db8::/48\n" in text


def test_forwarding_is_closed_without_a_target() -> None:
    """An empty PermitOpen would be an error, and none at all would open everything."""
    lines = settings(block(Version(9, 2), forward_targets=()))
    assert "AllowTcpForwarding no" in lines
    assert "PermitOpen none" in lines


def test_values_reach_both_hooks() -> None:
    """Another socket, another command, a revocation list."""
    lines = settings(
        block(
            Version(9, 4),
            hook="/usr/bin/python3 -ISE /src/hook.py",
            socket="/run/x/sock",
            krl="/etc/hoopjump/revoked.krl",
            hook_user="asker",
            match="User a,b LocalPort 2222",
        )
    )
    assert lines[0] == "Match User a,b LocalPort 2222"
    assert "RevokedKeys /etc/hoopjump/revoked.krl" in lines
    assert "ForceCommand exec /usr/bin/python3 -ISE /src/hook.py session --socket=/run/x/sock" in lines
    assert (
        "AuthorizedPrincipalsCommand /usr/bin/python3 -ISE /src/hook.py principals --socket=/run/x/sock "
        "--user=%u --key-id=%i --serial=%s --ca=%F --cert=%k --connection=%C"
    ) in lines
    assert "AuthorizedPrincipalsCommandUser asker" in lines


@pytest.mark.parametrize(
    "values",
    [
        {"hook": "hook"},
        {"hook": "/usr/lib/my hook;id"},
        {"hook": "/usr/lib/$(id)"},
        {"hook": "/usr/lib/hook  twice"},
        {"hook": "/usr/lib/%u/hook"},
        {"ca_file": "/etc/a b"},
        {"ca_file": "/etc/x\nPermitRootLogin yes"},
        {"krl": "/etc/#"},
        {"socket": '/run/"x"'},
        {"hook_user": "root\n"},
        {"match": "User hoop\nPermitRootLogin yes"},
        {"match": "User hoop # all"},
        {"match": ""},
        {"forward_targets": ["any thing"]},
        {"accept_env": ["SSH_*"]},
        {"exempt": ["1.2.3.4\nPort 23"]},
    ],
)
def test_a_value_that_would_be_read_as_something_else_is_refused(values: dict[str, str]) -> None:
    """Spaces, quotes, `#`, line ends, and what a shell or sshd would expand."""
    with pytest.raises(SnippetError):
        block(Version(9, 2), **values)


def test_the_installed_sshd_accepts_the_block(tmp_path: Path) -> None:
    """`sshd -T -C` gives back what the block says, for its accounts and for nobody else."""
    need_bastion()
    program = programs.sshd()
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", tmp_path / "key"], check=True)
    (tmp_path / "sshd_config").write_text(
        f"HostKey {tmp_path}/key\n"
        + render(installed(program), ca_file="/etc/hoopjump/user_ca.pub", forward_targets=["192.0.2.10:12222"])
    )

    def asked(user: str) -> str:
        criteria = f"user={user},host=x,addr=192.0.2.1,laddr=127.0.0.1,lport=22"
        answer = subprocess.run(
            [program, "-T", "-f", tmp_path / "sshd_config", "-C", criteria], capture_output=True, text=True, check=False
        )
        assert (answer.returncode, answer.stderr) == (0, "")
        return answer.stdout.lower()

    assert "forcecommand exec /usr/lib/hoopjump/hook session\n" in asked("hoop")
    assert "permitopen 192.0.2.10:12222\n" in asked("hoop")
    assert "hoopjump" not in asked("root")


def test_the_source_is_packaged_with_the_program() -> None:
    """A wheel has the one source beside the module."""
    text = (programs.CHECKOUT / "pyproject.toml").read_text()
    assert '"sshd_snippets/hoopjump.conf.in" = "hoopjump/sshd/hoopjump.conf.in"' in text
