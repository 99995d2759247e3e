"""Which resource role a session gets, through a real ssh: what the gateway would refuse silently is said beforehand.

The gateway of these tests controls access: ``dev`` may see all roles but ``vaultdb``, which is for ``ops``.
"""

from __future__ import annotations

import dataclasses
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from hoopjump.dev.backend import PEOPLE
from hoopjump.dev.bastion import Bastion
from hoopjump.dev.gateway import RoleSpec, UserSpec
from tests.bastion.below import newest_row
from tests.bastion.told import Told, explained, told
from tests.bastion.ways import PROMPT, status_of, typed
from tests.conftest import need_bastion

HIDDEN: Final = "vaultdb"
ROLES: Final = (
    RoleSpec("pgdemo", type="database", subtype="postgres"),
    RoleSpec("commands-only", connect=False),
    RoleSpec("terminals-only", exec=False),
    RoleSpec("asks-first", review=("chiefs",)),
    RoleSpec("far-away"),
    RoleSpec("mongo", type="database", subtype="mongodb"),
)
CUT: Final = "the gateway cut your last long session after five minutes"


@pytest.fixture(scope="module")
def site() -> Iterator[Bastion]:
    """A bastion before a gateway with one role of each kind."""
    need_bastion()
    people = (*PEOPLE, UserSpec("olga@example.com", groups=("ops",)), UserSpec("nina@example.com"))
    with Bastion(users=people, access_control=True) as running:
        for role in (RoleSpec("mybash"), *ROLES):
            running.gateway.add_role(running.backend.role(_for(role, "dev")))
        running.gateway.add_role(running.backend.role(_for(RoleSpec(HIDDEN), "ops")))
        running.gateway.faults(agent_offline=["far-away"])
        yield running


def _for(role: RoleSpec, group: str) -> RoleSpec:
    return dataclasses.replace(role, groups=(group,))


def refused(site: Bastion, *words: str, user: str = "alice") -> Told:
    """A session that is refused before anything reaches the gateway; the status is the reason's, the event is found."""
    row = newest_row(site)
    done = site.ssh(*words, identity=site.certificate(user))
    refusal = told(done.stderr)
    assert (done.returncode, done.stdout) == (refusal.reason.value.exit_status, b"")
    assert newest_row(site) == row
    assert refusal.code in explained(site, refusal.ref)
    return refusal


def refused_terminal(site: Bastion, role: str) -> Told:
    """The same for a session on a terminal."""
    row = newest_row(site)
    with typed(site.ssh_command(role, options=("-t",))) as child:
        status = status_of(child)
        refusal = told(str(child.before))
    assert status == refusal.reason.value.exit_status
    assert newest_row(site) == row
    return refusal


# -- Which role ------------------------------------------------------------------------------------------------------


def test_a_mistyped_role_is_answered_with_the_right_one(site: Bastion) -> None:
    """The nearest name that the user may see is suggested."""
    refusal = refused(site, "pgdmo", "SELECT 1")
    assert refusal.code == "role-unknown"
    assert refusal.sentence == "no such resource role 'pgdmo'; did you mean 'pgdemo'?"
    assert refused_terminal(site, "pgdmo").sentence == refusal.sentence


def test_a_role_that_one_may_not_see_reads_like_one_that_is_not_there(site: Bastion) -> None:
    """Access control hides it: the same words and status, and it is suggested to nobody who cannot see it."""
    hidden = refused(site, HIDDEN, "true")
    absent = refused(site, "unheard", "true")
    assert hidden.code == absent.code == "role-unknown"
    assert hidden.sentence.replace(HIDDEN, "unheard") == absent.sentence == "no such resource role 'unheard'"
    assert refused(site, "vaultdx", "true").sentence == "no such resource role 'vaultdx'"
    assert refused(site, "vaultdx", "true", user="olga").sentence.endswith(f"; did you mean '{HIDDEN}'?")
    assert site.ssh(HIDDEN, "echo in", identity=site.certificate("olga")).stdout == b"in\n"


def test_a_user_without_groups_sees_no_role(site: Bastion) -> None:
    """With access control on, nobody's friend is everybody's stranger."""
    assert refused(site, "mybash", "true", user="nina").sentence == "no such resource role 'mybash'"
    done = site.ssh(identity=site.certificate("nina"))
    assert (done.returncode, done.stdout) == (64, b"There is no resource role that you may use.\n")


@pytest.mark.parametrize("name", ["x", "-oProxyCommand", "a;b", "$(id)", "ä-rolle", "a" * 255])
def test_a_word_that_can_be_no_role_is_told_so(site: Bastion, name: str) -> None:
    """Nothing of it goes anywhere."""
    done = site.ssh("--", name, "true") if name.startswith("-") else site.ssh(name, "true")
    assert (done.returncode, told(done.stderr).code) == (64, "role-malformed")


# -- What it allows --------------------------------------------------------------------------------------------------


def test_an_access_mode_that_is_disabled_is_named(site: Bastion) -> None:
    """A role may allow terminals and no commands, or commands and no terminals; the other way works."""
    refusal = refused(site, "terminals-only", "true")
    assert refusal.code == "role-mode-disabled"
    assert refusal.sentence == "The resource role 'terminals-only' does not allow exec sessions."
    with typed(site.ssh_command("terminals-only", options=("-t",))) as child:
        child.expect(PROMPT)
        child.sendline("exit 7")
        assert status_of(child) == 7
    refusal = refused_terminal(site, "commands-only")
    assert refusal.sentence == "The resource role 'commands-only' does not allow connect sessions."
    assert site.ssh("commands-only", "echo in").stdout == b"in\n"


def test_a_role_that_needs_an_approval_says_where_to_ask(site: Bastion) -> None:
    """Over SSH nobody can be asked; the hint names who can."""
    done = site.ssh("asks-first", "true")
    assert (done.returncode, told(done.stderr).code) == (77, "role-review-required")
    assert b"hint: ask for access in the gateway's web application" in done.stderr
    assert refused_terminal(site, "asks-first").code == "role-review-required"


def test_a_role_whose_agent_is_offline_is_unavailable(site: Bastion) -> None:
    """69: it is nobody's fault here, and may be there again soon."""
    assert refused(site, "far-away", "true").code == "role-offline"
    assert refused_terminal(site, "far-away").code == "role-offline"


def test_a_role_that_has_no_sessions_says_its_type(site: Bastion) -> None:
    """The gateway's SSH server does not serve it."""
    refusal = refused(site, "mongo", "db.stats()")
    assert refusal.code == "role-type-unsupported"
    assert refusal.sentence == "The resource role 'mongo' (type database/mongodb) cannot be used over SSH."


TOOLS: Final = {
    "scp": ("scp", "-F", "{config}", "here", "mybash:there"),
    "scp-legacy": ("scp", "-O", "-F", "{config}", "here", "mybash:there"),
    "scp-from": ("scp", "-F", "{config}", "mybash:there", "here"),
    "sftp": ("sftp", "-b", "/dev/null", "-F", "{config}", "mybash"),
    "rsync": ("rsync", "-e", "ssh -F {config}", "here", "mybash:there"),
    "git": ("git", "-c", "core.sshCommand=ssh -F {config}", "clone", "mybash:there", "cloned"),
}


@pytest.mark.parametrize("words", TOOLS.values(), ids=list(TOOLS))
def test_a_file_transfer_needs_a_host(site: Bastion, words: tuple[str, ...], tmp_path: Path) -> None:
    """A command line takes its input whole, so no tool that answers can run on it: refused, with the reason."""
    config = tmp_path / "config"
    hosts = site.client_config(site.certificate()).read_text().replace("Host bastion\n", "Host bastion mybash\n")
    config.write_text("Host mybash\n  SetEnv HOOP_RESOURCE=mybash\n" + hosts)
    (tmp_path / "here").write_text("content\n")
    row = newest_row(site)
    done = subprocess.run(
        [word.format(config=config) for word in words],
        cwd=tmp_path,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
        timeout=60,
        env={**os.environ, "HOME": str(tmp_path)},
    )
    assert done.returncode != 0
    assert newest_row(site) == row
    event = [event for event in site.audit() if event["kind"] == "session-refused"][-1]
    assert event["reason"] == "role-no-file-transfer"
    by_sftp = words[0] in ("scp", "sftp") and "-O" not in words
    assert event["sentence"].startswith(f"{'sftp' if by_sftp else words[0]} needs a resource role of type ssh")
    # sshd passes on nothing that a subsystem says on stderr (session.c do_exec_no_pty); tests/bastion/test_transfer.py
    # has what is told instead.
    if not by_sftp:
        assert told(done.stderr).sentence == event["sentence"]


# -- No role named ---------------------------------------------------------------------------------------------------


def test_without_a_role_and_a_terminal_the_list_is_the_output(site: Bastion) -> None:
    """`ssh bastion` in a script: the roles on stdout, 64, and how to go on."""
    done = site.ssh()
    assert done.returncode == 64
    assert told(done.stderr).code == "role-missing"
    head, *rows = done.stdout.decode().splitlines()
    assert head.split() == ["RESOURCE", "ROLE", "TYPE", "STATE", "HOW"]
    listed = {row.split()[0]: row for row in rows}
    assert set(listed) == {"mybash", *(role.name for role in ROLES)}
    assert "needs approval" in listed["asks-first"]
    assert "offline" in listed["far-away"]
    assert "ssh -t BASTION mybash; ssh BASTION mybash COMMAND" in listed["mybash"]
    assert "echo 'SELECT 1' | ssh BASTION pgdemo" in listed["pgdemo"]
    assert "not over SSH" in listed["mongo"]


@pytest.mark.parametrize("answer", ["mybash", "myb"])
def test_on_a_terminal_a_role_is_chosen_from_the_list(site: Bastion, answer: str) -> None:
    """By its name, or as much of it as is needed; then it is a terminal like any other."""
    with typed(site.ssh_command(options=("-t",))) as child:
        child.expect("resource role: ")
        assert HIDDEN not in str(child.before)
        assert "commands-only" in str(child.before)
        child.sendline(answer)
        child.expect(PROMPT)
        child.sendline("echo at $HOOP_CONNECTION_NAME; stty size; exit 7")
        child.expect("at mybash")
        child.expect(r"24 80\b")
        assert status_of(child) == 7


@pytest.mark.parametrize(
    ("answer", "status", "code"),
    [
        ("pgdmo", 77, "role-unknown"),
        (HIDDEN, 77, "role-unknown"),
        ("", 64, "role-missing"),
        ("far", 69, "role-offline"),
    ],
)
def test_a_choice_that_is_none_is_refused(site: Bastion, answer: str, status: int, code: str) -> None:
    """The same rules as for a role that was named."""
    with typed(site.ssh_command(options=("-t",))) as child:
        child.expect("resource role: ")
        child.sendline(answer)
        assert status_of(child) == status
        assert told(str(child.before)).code == code
        assert f"did you mean '{HIDDEN}'" not in str(child.before)


def test_leaving_the_list_is_no_fault(site: Bastion) -> None:
    """Ctrl-D ends the session with 64, Ctrl-C as ever."""
    with typed(site.ssh_command(options=("-t",))) as child:
        child.expect("resource role: ")
        child.sendeof()
        assert status_of(child) == 64
        assert "Traceback" not in str(child.before)
    with typed(site.ssh_command(options=("-t",))) as child:
        child.expect("resource role: ")
        child.sendintr()
        assert status_of(child) == 130
        assert "Traceback" not in str(child.before)


# -- What else is said -----------------------------------------------------------------------------------------------


def test_who_was_cut_at_five_minutes_is_told_so(site: Bastion) -> None:
    """The gateway's own login of this user has run out, as an earlier session shows; only terminals live so long."""
    site.gateway.add_user(UserSpec("cut@example.com", groups=("dev",)))
    identity = site.certificate("cut")
    for shown in (False, True):
        with typed(site.ssh_command("mybash", identity=identity, options=("-t",))) as child:
            child.expect(PROMPT)
            assert (CUT in str(child.before)) == shown
            child.sendline("exit")
            assert status_of(child) == 0
        site.gateway.add_session("cut@example.com", "mybash", seconds=300, exit_code=254)
    assert CUT.encode() not in site.ssh("mybash", "true", identity=identity).stderr


def test_a_login_that_ends_soon_says_when(site: Bastion) -> None:
    """Within ten minutes of the certificate's end, in each kind of session, and on stderr alone."""
    notice = r"hoopjump: this login ends in \d+ min \d+ s \(at \d\d:\d\d:\d\d UTC\), with all its sessions"
    identity = site.workshop.certificate((site.email("alice"),), valid="-1m:+5m")
    done = site.ssh("mybash", "echo in", identity=identity)
    assert done.stdout == b"in\n"
    assert len(re.findall(notice, done.stderr.decode())) == 1
    with typed(site.ssh_command("mybash", identity=identity, options=("-t",))) as child:
        child.expect(notice)
        child.expect(PROMPT)
        child.sendline("exit")
        assert status_of(child) == 0
    assert b"this login ends" not in site.ssh("mybash", "true").stderr
