"""An ordinary user's bastion, and the demonstration: root's tests become that user for it."""

from __future__ import annotations

import os
import subprocess

from hoopjump.dev import accounts, programs

USER = "alice"


def as_user(*arguments: str, timeout: float = 240) -> subprocess.CompletedProcess[str]:
    """Run our Python as an ordinary user of the private view."""
    uid, gid = accounts.ids(USER)
    checkout = programs.reachable(programs.CHECKOUT)
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(accounts.home(USER)),
        "USER": USER,
        "LOGNAME": USER,
        "LC_ALL": "C.UTF-8",
        "PYTHONPATH": str(checkout),
        "PYTHONDONTWRITEBYTECODE": "1",
        **{name: value for name, value in os.environ.items() if name in ("HOOPJUMP_SSHD", "HOOPJUMP_SSH")},
    }
    return subprocess.run(
        [str(programs.python()), *arguments],
        cwd=checkout,
        env=environment,
        user=uid,
        group=gid,
        extra_groups=[],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )


def test_both_ways_in_work_for_an_ordinary_user(private_view: None) -> None:
    """Without root sshd, daemon and sessions share one uid, and a user gets in all the same."""
    done = as_user("-m", "pytest", "-p", "no:cacheprovider", "tests/bastion/test_ways_in.py")
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_demonstration_works_for_an_ordinary_user(private_view: None) -> None:
    """`./dev demo` shows all it promises, and says what rootless cannot tell apart."""
    done = as_user("-m", "hoopjump.dev", "demo")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "share one uid" in done.stdout
    assert "unexpected" not in done.stdout


def test_the_demonstration_works_for_root(private_view: None) -> None:
    """`./dev demo` as root: no escape sequences where there is no terminal, and each refusal with its log line."""
    done = subprocess.run(
        [str(programs.python()), "-m", "hoopjump.dev", "demo"],
        cwd=programs.CHECKOUT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "\x1b" not in done.stdout
    assert "did you mean 'pgdemo'?" in done.stdout
    for reason in ("cert-expired", "user-unknown", "user-inactive", "role-unknown"):
        assert f"reason={reason}" in done.stdout
    assert done.stdout.count("  log: ") == 5
