"""What all tests share: root's private view of the machine, and bastions."""

from __future__ import annotations

import grp
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from hoopjump.dev import accounts, programs
from hoopjump.dev.bastion import Bastion

# What a test cannot have is a reason to skip on a developer's machine, and a failure where this is set (CI).
REQUIRED = os.environ.get("HOOPJUMP_TEST_SYSTEM") == "1"

_no_view: list[str] = []


def pytest_configure() -> None:
    """Root's tests run in a private view of the machine, before anything of it has been touched."""
    # Configurations that others may write are refused.
    os.umask(0o022)
    if os.geteuid() != 0:
        if REQUIRED:
            raise pytest.UsageError("HOOPJUMP_TEST_SYSTEM=1 wants root")
        return
    try:
        accounts.enter(programs.CHECKOUT)
    except accounts.PrivateViewError as error:
        if REQUIRED:
            raise pytest.UsageError(str(error)) from error
        _no_view.append(str(error))


def need_bastion() -> None:
    """Skip where no bastion can be built."""
    if _no_view:
        pytest.skip(_no_view[0])
    try:
        programs.sshd()
    except programs.ProgramMissingError as error:
        if REQUIRED or "HOOPJUMP_SSHD" in os.environ:
            pytest.fail(str(error))
        pytest.skip(str(error))


def need_terminals() -> None:
    """Skip where sshd can give nobody a terminal: one that is not root's must have the group tty from the start.

    sshpty.c pty_setowner().
    """
    near, far = os.openpty()
    given = os.geteuid() == 0 or os.fstat(far).st_gid == grp.getgrnam("tty").gr_gid
    os.close(near)
    os.close(far)
    if not given:
        pytest.skip("needs a /dev/pts that gives terminals to the group tty (mount -t devpts -o gid=5,mode=620)")


@pytest.fixture
def private_view() -> None:
    """For tests that need root's accounts and uids."""
    if os.geteuid() != 0:
        pytest.skip("needs root")
    need_bastion()


@pytest.fixture(scope="session")
def bastion() -> Iterator[Bastion]:
    """A bastion with the configuration that everybody starts with; tests that change it want :func:`new_bastion`."""
    need_bastion()
    with Bastion() as running:
        yield running


@pytest.fixture
def new_bastion() -> Iterator[Callable[..., Bastion]]:
    """Starts bastions of a test's own; takes what :class:`Bastion` takes."""
    need_bastion()
    with ExitStack() as stack:

        def start(**arguments: Any) -> Bastion:
            return stack.enter_context(Bastion(**arguments))

        yield start
