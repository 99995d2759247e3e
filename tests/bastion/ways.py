"""The two ways in, and a client of either: run to its end, started and left running, or typed at."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from subprocess import CompletedProcess
from typing import Any, Final

import pexpect

from hoopjump.dev.bastion import Bastion
from tests.conftest import need_terminals

FORCE_COMMAND: Final = "force-command"
JUMP: Final = "jump"
WAYS: Final = (FORCE_COMMAND, JUMP)

PROMPT: Final = r"[$#] "
TYPING_SECONDS: Final = 20


def run(bastion: Bastion, way: str, *arguments: str, **rest: Any) -> CompletedProcess[bytes]:
    """A client that runs to its end; ``rest`` as for :meth:`Bastion.ssh`."""
    return (bastion.jump if way == JUMP else bastion.ssh)(*arguments, **rest)


def command(bastion: Bastion, way: str, *arguments: str, options: tuple[str, ...] = (), **rest: Any) -> list[str]:
    """The argv of a client; ``rest`` as for :meth:`Bastion.ssh_command`."""
    if way == JUMP:
        return bastion.ssh_command(*arguments, options=("-J", "bastion", *options), host="gateway", **rest)
    return bastion.ssh_command(*arguments, options=options, **rest)


@contextmanager
def started(argv: list[str], **rest: Any) -> Iterator[subprocess.Popen[bytes]]:
    """A client with pipes that is killed in the end; ``rest`` as for :class:`subprocess.Popen`."""
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    process: subprocess.Popen[bytes] = subprocess.Popen(argv, **(pipes | rest))
    with process:
        try:
            yield process
        finally:
            process.kill()


@contextmanager
def typed(argv: list[str], **environment: str) -> Iterator[pexpect.spawn[str]]:
    """A client at a terminal of 24 lines and 80 columns, whose input never ends by itself."""
    if "-t" in argv:
        need_terminals()
    child = pexpect.spawn(
        argv[0],
        argv[1:],
        timeout=TYPING_SECONDS,
        encoding="utf-8",
        codec_errors="replace",
        dimensions=(24, 80),
        env={**os.environ, "TERM": "xterm", **environment},
    )
    try:
        yield child
    finally:
        child.close(force=True)


def status_of(child: pexpect.spawn[str]) -> int | None:
    """The exit status of a typed client, which must end now; what it still says is in ``child.before``."""
    child.expect(pexpect.EOF)
    child.close()
    return child.exitstatus
