"""`hoopjump ca create`: the key file and its passphrase."""

from __future__ import annotations

import stat
import sys
from pathlib import Path

import pexpect
import pytest

from hoopjump.cli.signing_key import KINDS
from tests.cli.conftest import Run, keygen


@pytest.mark.parametrize("kind", KINDS)
def test_ssh_keygen_reads_a_new_ca_key(kind: str, hoopjump: Run, tmp_path: Path) -> None:
    """Every kind: the private file yields the public one, and only its owner may read it."""
    said = hoopjump("ca", "create", tmp_path / "ca", "--type", kind, "--no-passphrase", "--comment", "test CA")
    assert (said.status, said.out) == (0, f"{tmp_path}/ca.pub\n")
    assert stat.S_IMODE((tmp_path / "ca").stat().st_mode) == 0o600
    public = (tmp_path / "ca.pub").read_text()
    assert public.endswith(" test CA\n")
    assert keygen("-y", "-f", tmp_path / "ca").stdout.split()[:2] == public.split()[:2]
    assert keygen("-l", "-f", tmp_path / "ca.pub").stdout.split()[1] in said.err


def test_nothing_is_overwritten_without_force(hoopjump: Run, tmp_path: Path) -> None:
    """Neither half of a pair, be it a dangling link; with --force both."""
    for name in ("ca", "ca.pub"):
        (tmp_path / name).symlink_to(tmp_path / "nowhere")
        said = hoopjump("ca", "create", tmp_path / "ca", "--no-passphrase")
        assert said.status == 1
        assert said.err == f"hoopjump: {tmp_path}/{name}: is there already\nhoopjump: hint: --force replaces it\n"
        (tmp_path / name).unlink()
    assert list(tmp_path.iterdir()) == []
    assert hoopjump("ca", "create", tmp_path / "ca", "--no-passphrase").status == 0
    before = (tmp_path / "ca").read_text()
    assert hoopjump("ca", "create", tmp_path / "ca", "--no-passphrase", "--force").status == 0
    assert (tmp_path / "ca").read_text() != before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["ca", "ca.pub"]


def test_a_passphrase_is_asked_for_twice_and_locks_the_key(place: Path) -> None:
    """`cert issue` asks for it again; a wrong one is a sentence, and none of them is shown."""
    command = f"{sys.executable} -m hoopjump.cli.main"
    making = pexpect.spawn(f"{command} ca create {place}/locked", encoding="utf-8", timeout=30)
    for _ in range(2):
        making.expect(":")
        making.sendline("correct horse")
    making.expect(pexpect.EOF)
    making.close()
    assert making.exitstatus == 0
    assert "correct horse" not in (making.before or "")
    assert keygen("-y", "-P", "", "-f", place / "locked").returncode != 0
    assert keygen("-y", "-P", "correct horse", "-f", place / "locked").returncode == 0
    for passphrase, status in (("wrong", 1), ("correct horse", 0)):
        issuing = pexpect.spawn(
            f"{command} cert issue --ca {place}/locked --principal a {place}/user.pub", encoding="utf-8", timeout=30
        )
        issuing.expect("Passphrase of .*:")
        issuing.sendline(passphrase)
        issuing.expect(pexpect.EOF)
        issuing.close()
        assert issuing.exitstatus == status, issuing.before
        assert ("the passphrase is wrong" in (issuing.before or "")) is bool(status)


def test_the_public_key_of_a_ca_signs_nothing(hoopjump: Run, place: Path) -> None:
    """It is not told to be closed to others."""
    said = hoopjump("cert", "issue", "--ca", place / "ca.pub", "--principal", "a", place / "user.pub")
    assert (said.status, "this is a public key" in said.err, "chmod" in said.err) == (1, True, False)


def test_a_ca_key_that_others_may_read_is_refused(hoopjump: Run, place: Path) -> None:
    """As ssh-keygen refuses it."""
    (place / "ca").chmod(0o640)
    said = hoopjump("cert", "issue", "--ca", place / "ca", "--principal", "a", place / "user.pub")
    assert said.status == 1
    assert "others may read this private key" in said.err
    assert not (place / "user-cert.pub").exists()
