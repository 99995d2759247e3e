"""What a refused user reads: a sentence with a reason and a reference, and what is found by the reference."""

from __future__ import annotations

import re
import subprocess
from dataclasses import dataclass

from hoopjump.decision.reasons import Reason
from hoopjump.dev import programs
from hoopjump.dev.bastion import Bastion

_REFUSAL = re.compile(r"^hoopjump: (.+) \(([a-z-]+), ref ([a-z2-7]{8})\)\r?$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Told:
    """One refusal as a user reads it."""

    sentence: str
    code: str
    ref: str

    @property
    def reason(self) -> Reason:
        """The reason of the code; its exit status is what the user's ssh must end with."""
        return Reason.from_code(self.code)


def told(stderr: bytes | str) -> Told:
    """The one refusal in what a client wrote; nothing of ours may look like a program's trace."""
    text = stderr if isinstance(stderr, str) else stderr.decode()
    assert "Traceback" not in text
    found = _REFUSAL.findall(text)
    assert len(found) == 1, text
    return Told(*found[0])


def explained(bastion: Bastion, ref: str) -> str:
    """What `hoopjump explain REF` says; it must find something."""
    done = subprocess.run(
        [str(programs.python()), "-m", "hoopjump.cli.main", "--config", str(bastion.config), "explain", ref],
        cwd=programs.CHECKOUT,
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"(ref {ref})" in done.stdout
    return done.stdout
