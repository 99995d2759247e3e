"""Another sshd or ssh in place of the machine's."""

from __future__ import annotations

from pathlib import Path

import pytest

from hoopjump.dev import programs


@pytest.fixture
def build(tmp_path: Path) -> Path:
    """What `make` leaves of OpenSSH 9.8 to 9.9, one program beside the other."""
    for name in ("sshd", "sshd-session", "ssh"):
        (tmp_path / name).write_text("#!/bin/sh\necho OpenSSH_9.9p2 >&2\n")
        (tmp_path / name).chmod(0o755)
    return tmp_path


def test_another_sshd_comes_with_its_helpers(build: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Compiled-in paths would start those of another build, or none; and from 9.8 on there are penalties."""
    monkeypatch.setenv("HOOPJUMP_SSHD", str(build / "sshd"))
    assert programs.sshd() == build / "sshd"
    assert programs.sshd_helpers() == {"SshdSessionPath": build / "sshd-session"}
    assert programs.sshd_lenience() == ("PerSourcePenaltyExemptList 127.0.0.1",)


def test_another_ssh(build: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is used instead of the one on PATH; an empty variable is none."""
    monkeypatch.setenv("HOOPJUMP_SSH", "")
    usual = programs.ssh()
    monkeypatch.setenv("HOOPJUMP_SSH", str(build / "ssh"))
    assert programs.ssh() == build / "ssh" != usual


@pytest.mark.parametrize("value", ["sshd", "/nonexistent/sshd", "/etc/passwd"])
def test_what_is_no_program_is_not_passed_over(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The machine's own sshd would be tested in its name."""
    monkeypatch.setenv("HOOPJUMP_SSHD", value)
    with pytest.raises(programs.ProgramMissingError, match="HOOPJUMP_SSHD"):
        programs.sshd()
