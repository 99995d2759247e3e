"""Files for one other account."""

from __future__ import annotations

import os
import stat
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from hoopjump.daemon.readable import readable_by
from hoopjump.dev import accounts


@pytest.fixture
def file() -> Iterator[Path]:
    """A file of ours with a word in it, in a directory that everybody may enter."""
    with tempfile.TemporaryDirectory() as directory:
        Path(directory).chmod(0o755)
        path = Path(directory) / "file"
        path.write_text("word")
        path.chmod(0o600)
        yield path


def give(path: Path, uid: int) -> None:
    """Make a file readable for an account."""
    descriptor = os.open(path, os.O_WRONLY)
    try:
        readable_by(descriptor, uid)
    finally:
        os.close(descriptor)


def reads(path: Path, uid: int) -> bool:
    """Whether an account can read the file."""
    done = subprocess.run(["cat", path], user=uid, group=uid, extra_groups=[], capture_output=True, check=False)
    assert (done.returncode == 0) == (done.stdout == b"word")
    return done.returncode == 0


def test_a_file_is_for_one_account_alone(file: Path, private_view: None) -> None:
    """That account reads it; others do not, and it can neither write it nor pass it on."""
    hoop, alice = (accounts.ids(name)[0] for name in ("hoop", "alice"))
    give(file, hoop)
    assert (reads(file, hoop), reads(file, alice)) == (True, False)
    for attempt in (f"echo more >> {file}", f"chmod 0644 {file}"):
        done = subprocess.run(["sh", "-c", attempt], user=hoop, extra_groups=[], capture_output=True, check=False)
        assert done.returncode != 0
    assert file.read_text() == "word"


def test_a_file_of_ones_own_stays_ones_own(file: Path) -> None:
    """Where daemon and sessions share a uid."""
    file.chmod(0o644)
    give(file, os.geteuid())
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_without_acls_everybody_may_read(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Some file systems have none, and ssh must be able to read its configuration."""

    def refuse(*_: object) -> None:
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr("os.setxattr", refuse)
    give(file, os.geteuid() + 1)
    assert stat.S_IMODE(file.stat().st_mode) == 0o644


def test_a_file_that_cannot_be_given_is_given_to_nobody(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full file system, for one, is no file system without ACLs."""

    def refuse(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.setxattr", refuse)
    with pytest.raises(OSError, match="No space left"):
        give(file, os.geteuid() + 1)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
