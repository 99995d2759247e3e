"""`hoopjump krl`: what sshd would refuse afterwards, asked of the real ssh-keygen."""

from __future__ import annotations

import fcntl
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.conftest import Run, keygen


def issue(hoopjump: Run, place: Path, name: str, *options: str) -> Path:
    """A certificate of the user's key."""
    target = place / f"{name}-cert.pub"
    said = hoopjump(
        *("cert", "issue", "--ca", place / "ca", "--principal", "alice", "--out", target),
        *(*options, place / "user.pub"),
    )
    assert said.status == 0, said.err
    return target


def revoked(krl: Path, certificate: Path) -> bool:
    """Whether ssh-keygen takes a certificate for revoked."""
    answer = keygen("-Q", "-f", krl, certificate)
    assert ("REVOKED" in answer.stdout) is (answer.returncode != 0), answer
    return answer.returncode != 0


@pytest.fixture
def krl(hoopjump: Run, place: Path) -> Path:
    """A list that revokes nothing yet."""
    said = hoopjump("krl", "create", place / "list")
    assert (said.status, said.out) == (0, f"{place}/list\n"), said.err
    return place / "list"


def test_a_new_list_is_no_empty_file_and_revokes_nobody(krl: Path, hoopjump: Run, place: Path) -> None:
    """An empty file would be taken for a list of no keys; this one is a list."""
    assert krl.read_bytes().startswith(b"SSHKRL\n\0")
    assert stat.S_IMODE(krl.stat().st_mode) == 0o644
    assert not revoked(krl, issue(hoopjump, place, "a"))


def test_by_certificate_by_key_id_and_by_serial(krl: Path, hoopjump: Run, place: Path) -> None:
    """Each hits its certificate and leaves the others."""
    one = issue(hoopjump, place, "one", "--serial", "1", "--key-id", "one")
    two = issue(hoopjump, place, "two", "--serial", "2", "--key-id", "two of us")
    nine = issue(hoopjump, place, "nine", "--serial", "9", "--key-id", "nine")
    other = issue(hoopjump, place, "other", "--serial", "20", "--key-id", "other")
    assert hoopjump("krl", "add", krl, "--certificate", one).status == 0
    assert [revoked(krl, each) for each in (one, two, nine, other)] == [True, False, False, False]
    assert hoopjump("krl", "add", krl, "--key-id", "two of us").status == 0
    assert [revoked(krl, each) for each in (one, two, nine, other)] == [True, True, False, False]
    assert hoopjump("krl", "add", krl, "--serial", "8-10", "--ca", place / "ca.pub").status == 0
    assert [revoked(krl, each) for each in (one, two, nine, other)] == [True, True, True, False]
    shown = hoopjump("krl", "show", krl).out.splitlines()
    ca = keygen("-l", "-f", place / "ca.pub").stdout.split()[1]
    assert shown == [
        f"CA key ssh-ed25519 {ca}:",
        "  serial: 1",
        "  serial: 8-10",
        "Wildcard CA:",
        "  id: two of us",
    ]


def test_without_a_ca_a_serial_is_revoked_under_every_ca(krl: Path, hoopjump: Run, place: Path) -> None:
    """And with one, under that one only."""
    hoopjump("ca", "create", place / "ca2", "--no-passphrase")
    hoopjump(
        *("cert", "issue", "--ca", place / "ca2", "--principal", "alice", "--serial", "5"),
        *("--out", place / "theirs", place / "user.pub"),
    )
    ours = issue(hoopjump, place, "ours", "--serial", "5")
    assert hoopjump("krl", "add", krl, "--serial", "5", "--ca", place / "ca.pub").status == 0
    assert [revoked(krl, each) for each in (ours, place / "theirs")] == [True, False]
    assert hoopjump("krl", "add", krl, "--serial", "5").status == 0
    assert [revoked(krl, each) for each in (ours, place / "theirs")] == [True, True]


def test_a_certificate_without_serial_is_revoked_by_its_key_id_and_that_is_said(
    krl: Path, hoopjump: Run, place: Path
) -> None:
    """All certificates of that key ID go with it."""
    zero = issue(hoopjump, place, "zero", "--serial", "0", "--key-id", "alice")
    said = hoopjump("krl", "add", krl, "--certificate", zero)
    assert said.status == 0
    assert "every certificate of its CA with its key ID is revoked" in said.err
    assert revoked(krl, zero)


@pytest.mark.parametrize("key_id", ["bob#1", " bob", "bob ", "bob\nserial: 1", "bob\t", ""])
def test_a_key_id_that_the_list_would_read_as_another_is_refused(
    key_id: str, krl: Path, hoopjump: Run, place: Path
) -> None:
    """`bob#1` would revoke `bob`: ssh-keygen cuts a line at `#` and at blanks."""
    before = krl.read_bytes()
    bob = issue(hoopjump, place, "bob", "--key-id", "bob")
    said = hoopjump("krl", "add", krl, "--key-id", key_id)
    assert said.status == 1
    assert "cannot be written in a revocation list" in said.err
    assert krl.read_bytes() == before
    assert not revoked(krl, bob)


@pytest.mark.parametrize("serial", ["0", "x", "1-", "-1", "5-2", "5-5", "0x10", "18446744073709551616", "1;2"])
def test_what_is_no_serial_is_refused(serial: str, krl: Path, hoopjump: Run) -> None:
    """Before ssh-keygen gets to read it in its own way (octal, hexadecimal)."""
    assert hoopjump("krl", "add", krl, f"--serial={serial}").status == 1


def test_nothing_to_revoke_is_usage(krl: Path, hoopjump: Run) -> None:
    """A forgotten option is not a revocation."""
    assert hoopjump("krl", "add", krl).status == 2


@pytest.mark.parametrize("content", [b"", b"SSHKRL\n\0\0\0", b"nonsense"])
def test_a_damaged_list_is_told_and_left_as_it_is(content: bytes, hoopjump: Run, tmp_path: Path) -> None:
    """Also an empty one: adding to it must not look as if it had held something."""
    file = tmp_path / "list"
    file.write_bytes(content)
    for verb in (("show", file), ("add", file, "--serial", "1")):
        said = hoopjump("krl", *verb)
        assert said.status == 1
        assert "Traceback" not in said.err
    assert file.read_bytes() == content
    assert sorted(path.name for path in tmp_path.iterdir()) == [".list.lock", "list"]


def test_a_list_is_replaced_whole_and_keeps_its_mode(krl: Path, hoopjump: Run) -> None:
    """A reader has the old file or the new one; nothing is left beside it."""
    krl.chmod(0o640)
    descriptor = os.open(krl, os.O_RDONLY)
    before = krl.read_bytes()
    assert hoopjump("krl", "add", krl, "--serial", "3").status == 0
    assert os.read(descriptor, 65536) == before
    os.close(descriptor)
    assert krl.read_bytes() != before
    assert stat.S_IMODE(krl.stat().st_mode) == 0o640
    assert not [path for path in krl.parent.iterdir() if path.name.startswith(".krl")]


def test_nobody_who_can_only_read_holds_up_a_revocation(krl: Path) -> None:
    """The right to read is enough to hold a lock for ever (flock(2)), and everybody may read list and directory."""
    argv = [sys.executable, "-m", "hoopjump.cli.main", "krl", "add", str(krl), "--serial", "3"]
    held = [os.open(path, os.O_RDONLY) for path in (krl, krl.parent)]
    try:
        for descriptor in held:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        done = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)
    finally:
        for descriptor in held:
            os.close(descriptor)
    assert done.returncode == 0, done.stderr
    assert stat.S_IMODE((krl.parent / ".list.lock").stat().st_mode) == 0o600


def test_a_list_that_is_there_is_not_made_anew_unasked(krl: Path, hoopjump: Run) -> None:
    """It would revoke nothing any more; --force says so."""
    assert hoopjump("krl", "add", krl, "--serial", "3").status == 0
    before = krl.read_bytes()
    assert hoopjump("krl", "create", krl).status == 1
    assert krl.read_bytes() == before
    assert hoopjump("krl", "create", krl, "--force").status == 0
    assert hoopjump("krl", "show", krl).out == ""
