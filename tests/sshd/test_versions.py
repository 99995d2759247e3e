"""Reading OpenSSH's version from what its programs say."""

from __future__ import annotations

from pathlib import Path

import pytest

from hoopjump.sshd.versions import Version, VersionError, installed, parse


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ("OpenSSH_9.2p1 Debian-2+deb12u10, OpenSSL 3.0.20", Version(9, 2)),
        ("unknown option -- V\nOpenSSH_8.2p1, OpenSSL 1.1.1f\nusage: sshd [-46DdeiqTt]", Version(8, 2)),
        ("OpenSSH_10.0p2 Debian-7, OpenSSL 3.5.1", Version(10, 0)),
        ("9.2", Version(9, 2)),
        ("10.5p1", Version(10, 5)),
    ],
)
def test_the_version_is_found(text: str, version: Version) -> None:
    """In banners of new sshds, in complaints of old ones, and as people write it."""
    assert parse(text) == version


def test_versions_are_ordered_by_number() -> None:
    """10.0 is later than 9.9."""
    assert Version(9, 9) < Version(10, 0) < Version(10, 5)


@pytest.mark.parametrize("text", ["", "dropbear 2022.83", "9", "9.2.1.x", "8.1", "OpenSSH_7.9p1"])
def test_no_version_or_one_too_old_is_refused(text: str) -> None:
    """Older than 8.2 has other keywords and no SSH_USER_AUTH worth the name."""
    with pytest.raises(VersionError):
        parse(text)


def test_a_program_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    """With what to do."""
    with pytest.raises(VersionError) as error:
        installed(tmp_path / "sshd")
    assert error.value.hint == "install openssh-server"


def test_an_old_sshd_that_refuses_the_option_is_understood(tmp_path: Path) -> None:
    """It names its version on stderr and exits 1."""
    program = tmp_path / "sshd"
    program.write_text("#!/bin/sh\necho 'unknown option -- V' >&2; echo 'OpenSSH_8.4p1 Debian' >&2; exit 1\n")
    program.chmod(0o755)
    assert installed(program) == Version(8, 4)
