"""The command line, run in this process, and keys to run it with."""

from __future__ import annotations

import io
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from hoopjump.cli.main import main


@dataclass(frozen=True, slots=True)
class Said:
    """What a person got: exit status, stdout, stderr."""

    status: int
    out: str
    err: str


Run = Callable[..., Said]


@pytest.fixture
def hoopjump(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs `hoopjump` with arguments, and bytes for its stdin."""

    def run(*arguments: str | Path, stdin: bytes = b"") -> Said:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        with pytest.raises(SystemExit) as ended:
            main([str(argument) for argument in arguments])
        out, err = capfd.readouterr()
        assert isinstance(ended.value.code, int)
        return Said(ended.value.code, out, err)

    return run


def keygen(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """The real ssh-keygen."""
    return subprocess.run(["ssh-keygen", *map(str, arguments)], capture_output=True, text=True, check=False)


@pytest.fixture
def place(tmp_path: Path, hoopjump: Run) -> Path:
    """A directory with a CA (``ca``) and a key of a user (``user.pub``)."""
    assert hoopjump("ca", "create", tmp_path / "ca", "--no-passphrase").status == 0
    assert keygen("-q", "-t", "ed25519", "-N", "", "-C", "user@laptop", "-f", tmp_path / "user").returncode == 0
    return tmp_path
