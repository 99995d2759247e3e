"""The files that sshd relies on: who could change them, and whether they hold what they should."""

from __future__ import annotations

import os
import pwd
import subprocess
import tempfile
from pathlib import Path

import pytest

from hoopjump.findings import Level
from hoopjump.sshd.host import check_account, check_processes_visible, check_unlocked
from hoopjump.sshd.paths import (
    check_ca_file,
    check_file,
    check_hook,
    check_keys_directory,
    check_readable,
    check_revocation_list,
    check_secrets,
    unsafe,
)

OWNERS = frozenset({0, os.getuid()})


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A file of ours below directories of ours; only /tmp itself is open to others, and sticky."""
    made = tmp_path / "a" / "b" / "file"
    made.parent.mkdir(parents=True)
    made.write_text("")
    for place in (made, made.parent, made.parent.parent):
        place.chmod(0o755)
    return made


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o660])
def test_a_secret_that_others_may_read_is_found(file: Path, mode: int) -> None:
    """Systemd hands it on all the same; one that is not there is no fault of this machine's."""
    missing = file.with_name("missing")
    file.chmod(0o600)
    assert (check_secrets([missing, file], OWNERS).level, check_secrets([], OWNERS).level) == (Level.OK, Level.OK)
    file.chmod(mode)
    found = check_secrets([missing, file], OWNERS)
    assert (found.level, f"mode {mode:04o}" in found.text) == (Level.FAILURE, True)
    assert f"chmod 0600 {file}" in found.hint
    file.chmod(0o600)
    assert check_secrets([file], OWNERS - {os.getuid()} | {12345}).level is Level.FAILURE


def test_a_file_that_is_missing_is_told_as_such(file: Path) -> None:
    """And who makes it."""
    missing = file.with_name("known_hosts")
    found = check_file("gateway.known_hosts", missing, OWNERS, "can be the gateway")
    assert (found.level, found.text) == (Level.FAILURE, f"{missing}: is not there")
    assert found.hint == "hoopjump gateway sync writes it"


def test_a_file_of_the_owner_below_their_directories_is_safe(file: Path) -> None:
    """A sticky directory above is let pass where sshd does not look itself, and not for its hook."""
    assert unsafe(file, OWNERS, sticky=True) == ""
    if any(place.stat().st_mode & 0o022 for place in file.parents):
        assert "is writable by others" in unsafe(file, OWNERS)


@pytest.mark.parametrize("mode", [0o775, 0o757, 0o777])
@pytest.mark.parametrize("above", [0, 1, 2])
def test_a_file_or_directory_that_others_can_write_is_found(above: int, mode: int, file: Path) -> None:
    """Up to every directory above."""
    place = (file, *file.parents)[above]
    place.chmod(mode)
    assert unsafe(file, OWNERS, sticky=True) == f"{place} is writable by others (mode {mode:04o})"


def test_a_link_is_judged_by_what_it_points_to(file: Path, tmp_path: Path) -> None:
    """As sshd judges it."""
    link = tmp_path / "link"
    link.symlink_to(file)
    assert unsafe(link, OWNERS, sticky=True) == ""
    file.parent.chmod(0o777)
    assert str(file.parent) in unsafe(link, OWNERS, sticky=True)


def test_a_foreign_owner_a_directory_and_nothing_are_found(file: Path) -> None:
    """Each in words."""
    assert "belongs to uid" in unsafe(file, frozenset({4711}), sticky=True)
    assert "not a regular file" in unsafe(file.parent, OWNERS, sticky=True)
    assert "No such file" in unsafe(file.with_name("absent"), OWNERS, sticky=True)


KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAINdamAGCsQq31Uv+08lkBzoO4XLz2qYjJa8CGmj3B1Ea ca"


@pytest.mark.parametrize(
    ("content", "level", "text"),
    [
        (f"{KEY}\n", Level.OK, ": 1"),
        (f"# ours\n\n{KEY}\n  # theirs\n{KEY}", Level.OK, ": 2"),
        ("", Level.FAILURE, "holds no key"),
        ("# nothing\n", Level.FAILURE, "holds no key"),
        (f"{KEY}\nssh-ed25519 AAAA\n{KEY}\n", Level.FAILURE, ":2: "),
        (f'cert-authority,principals="x" {KEY}\n', Level.FAILURE, ":1: "),
    ],
)
def test_the_ca_file_must_parse_as_a_whole(content: str, level: Level, text: str, file: Path) -> None:
    """Sshd stops at the first line that is no key, and says nothing."""
    file.write_text(content)
    finding = check_ca_file(file, OWNERS)
    assert finding.level is level
    assert text in finding.text


def test_a_ca_file_that_others_can_write_is_a_failure(file: Path) -> None:
    """Sshd takes it at any mode."""
    file.write_text(KEY)
    file.chmod(0o666)
    assert "whoever writes there can be anybody" in check_ca_file(file, OWNERS).text


def test_the_next_step_of_a_ca_file_that_is_not_there_is_to_get_it(file: Path) -> None:
    """No mode of it can be changed."""
    finding = check_ca_file(file.with_name("absent"), OWNERS)
    assert (finding.level, finding.hint) == (Level.FAILURE, "hoopjump gateway sync writes it")


def test_an_empty_or_damaged_revocation_list_is_a_failure(file: Path) -> None:
    """The one revokes nothing, the other refuses everybody."""
    assert "is empty and revokes nothing" in check_revocation_list(file, OWNERS).text
    file.write_bytes(b"SSHKRL\n\0\0")
    assert "would refuse everybody" in check_revocation_list(file, OWNERS).text
    assert "No such file" in check_revocation_list(file.with_name("absent"), OWNERS).text
    file.unlink()
    subprocess.run(["ssh-keygen", "-q", "-k", "-f", file], check=True)
    file.chmod(0o644)
    assert check_revocation_list(file, OWNERS).level is Level.OK


def test_a_hook_that_others_can_write_is_not_run(file: Path) -> None:
    """Neither as sshd's program nor as the script behind an interpreter."""
    mark = file.parent.parent / "ran"
    file.write_text(f"#!/bin/sh\ntouch {mark}\n")
    file.chmod(0o777)
    for words in ([str(file), "principals"], ["/bin/sh", str(file), "principals"]):
        findings = list(check_hook(words, "hoop", "nobody", rootless=True))
        assert [finding.level for finding in findings] == [Level.FAILURE]
    assert not mark.exists()


def user() -> str:
    """Who may run the hook of these tests."""
    return subprocess.run(["id", "-un"], capture_output=True, text=True, check=True).stdout.strip()


@pytest.mark.parametrize(
    ("script", "text"),
    [
        ("echo restrict alice", "it let an empty certificate in"),
        ("exit 1", "exit status 1"),
        ("echo Traceback >&2", "exit status 0: Traceback"),
        ("exec sleep 60", "no answer within"),
    ],
)
def test_a_hook_that_misbehaves_is_found(script: str, text: str, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A principals line for nothing, a status that makes sshd log the certificate, noise, no answer."""
    monkeypatch.setattr("hoopjump.sshd.paths.HOOK_SECONDS", 1.0)
    file.write_text(f"{script}\n")
    findings = list(check_hook(["/bin/sh", str(file), "principals"], "hoop", user(), rootless=True))
    assert findings[-1].level is Level.FAILURE
    assert text in findings[-1].text


def test_the_hook_runs_with_an_empty_certificate_and_hardly_any_environment(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As sshd would start it: tokens replaced, / as directory, nothing of the caller's environment."""
    seen = file.parent / "seen"
    seen.touch()
    seen.chmod(0o666)
    monkeypatch.setenv("SECRET", "x")
    file.write_text(f'{{ printf "%s\\n" "$@"; pwd; env; }} > {seen}\n')
    words = ["/bin/sh", str(file), "principals", "--user=%u", "--cert=%k", "--connection=%C"]
    findings = list(check_hook(words, "hoop", user(), rootless=True))
    assert findings[-1].level is Level.OK, findings
    lines = seen.read_text().splitlines()
    assert lines[:5] == ["principals", "--user=hoop", "--cert=", "--connection=", "/"]
    assert {line.split("=")[0] for line in lines[5:]} <= {"PATH", "USER", "LOGNAME", "HOME", "PWD", "SHLVL", "_"}


def test_a_missing_hook_user_is_told_with_the_command_that_makes_it() -> None:
    """Sshd would deny everybody, and `sshd -t` would not mind."""
    findings = list(check_hook(["/bin/true", "principals"], "hoop", "no-such-user", rootless=False))
    assert findings[-1].text == "there is no user no-such-user"
    assert findings[-1].hint.startswith("useradd --system")


@pytest.mark.parametrize(
    ("mounts", "unit", "level", "text"),
    [
        ("proc /proc proc rw,nosuid 0 0\n", None, Level.OK, "visible"),
        ("proc /proc proc rw,hidepid=0 0 0\n", "default", Level.OK, "visible"),
        ("proc /proc proc rw,hidepid=off 0 0\n", "", Level.OK, "visible"),
        ("proc /proc proc rw,hidepid=2 0 0\n", None, Level.FAILURE, "hidepid=2"),
        ("proc /proc proc rw,hidepid=invisible 0 0\n", None, Level.FAILURE, "hidepid=invisible"),
        ("proc /proc proc rw,gid=27,hidepid=ptraceable 0 0\n", None, Level.WARNING, "for all but group 27"),
        ("proc /srv/proc proc rw,hidepid=2 0 0\n", None, Level.OK, "visible"),
        ("proc /proc proc rw 0 0\n", "invisible", Level.FAILURE, "ProtectProc=invisible"),
    ],
)
def test_hidden_processes_are_found_and_the_cure_is_named(
    mounts: str, unit: str | None, level: Level, text: str
) -> None:
    """The daemon tells logins apart by root's sshd processes."""
    finding = check_processes_visible(mounts, unit)
    assert finding.level is level
    assert text in finding.text
    assert bool(finding.hint) is (level is not Level.OK)


def test_an_account_that_is_missing_or_root_is_a_failure() -> None:
    """And one whose shell cannot start the hook."""
    assert check_account("no-such-account", rootless=False).level is Level.FAILURE
    assert check_account("root", rootless=False).text == "is root"
    assert "cannot start the hook" in check_account("daemon", rootless=False).text


@pytest.mark.parametrize(("password", "level"), [("!*", Level.FAILURE), ("!", Level.FAILURE), ("*", Level.OK)])
def test_a_locked_account_is_found_where_pam_is_not_used(password: str, level: Level) -> None:
    """systemd-sysusers and useradd lock the accounts that they make."""
    assert check_unlocked("hoop", f"root:*:1::::::\nhoop:{password}:1::::::\n").level is level
    assert check_unlocked("alice", f"hoop:{password}:1::::::\n").level is Level.OK


def test_what_the_daemon_cannot_read_is_a_failure() -> None:
    """Root can read all of it, so the look is the daemon's."""
    if os.geteuid() != 0:
        pytest.skip("needs root")
    with tempfile.TemporaryDirectory() as place:
        Path(place).chmod(0o755)
        look_as_nobody(Path(place) / "file")


def look_as_nobody(file: Path) -> None:
    """At a file that is good, absent, and closed."""
    file.touch(0o644)
    (good,) = check_readable("nobody", [file])
    assert (good.level, good.text) == (Level.OK, "nobody can read all 1")
    absent = file.with_name("absent")
    (finding,) = check_readable("nobody", [file, absent])
    assert (finding.level, finding.text) == (Level.FAILURE, f"{absent}: is not there")
    file.chmod(0o600)
    (finding,) = check_readable("nobody", [file])
    assert (finding.text, finding.hint) == (f"{file}: nobody cannot read it", f"chmod a+r {file}")
    (finding,) = check_readable("nobody-of-this-name", [file])
    assert finding.level is Level.FAILURE


def test_the_directory_of_keys_must_be_the_daemons_alone(tmp_path: Path) -> None:
    """Else nothing in it is believed; without it a drop ends with the daemon."""
    me, place = pwd.getpwuid(os.getuid()).pw_name, tmp_path / "keys"
    missing = check_keys_directory(place, me)
    assert (missing.level, "outlast a restart" in missing.text) == (Level.WARNING, True)
    assert "StateDirectory=" in missing.hint
    place.mkdir(mode=0o755)
    assert check_keys_directory(place, me).level is Level.OK
    other = next(entry.pw_name for entry in pwd.getpwall() if entry.pw_uid != os.getuid())
    for user in (other, "nobody-of-this-name"):
        assert f"is not {user}'s alone" in check_keys_directory(place, user).text
    place.chmod(0o775)
    assert check_keys_directory(place, me).level is Level.FAILURE
    place.rmdir()
    place.touch(mode=0o600)
    assert check_keys_directory(place, me).level is Level.FAILURE
