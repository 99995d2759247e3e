"""A bastion without hoopjump, for comparison: what the tests of spooling survive must be seen to be there."""

from __future__ import annotations

import os
import pwd
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hoopjump.dev.bastion import Bastion
from hoopjump.dev.private_sshd import Sshd
from hoopjump.dev.services import free_port

NESTED = 'exec {ssh} gateway "$SSH_ORIGINAL_COMMAND"'
"""What everybody writes first."""

NAIVE_SPOOL = 'cat >{directory}/spool && {ssh} gateway "$SSH_ORIGINAL_COMMAND" <{directory}/spool'
"""The next attempt: the whole input first, whoever is still there."""


@contextmanager
def without_hoopjump(bastion: Bastion, directory: Path, force_command: str) -> Iterator[list[str]]:
    """A client of an sshd with this ForceCommand, whose inner ssh has a user's key; what to run comes last."""
    port, keys = free_port(), directory / "keys"
    keys.write_text(bastion.workshop.key("nested").public.read_text())
    inner = f"/usr/bin/ssh -F {bastion.client_config(bastion.certificate())}"
    service = Sshd(
        "sshd without hoopjump",
        directory / "sshd_config",
        directory / "log",
        ports=(port,),
        host_key=bastion.host_key.key,
        lines=(
            f"AuthorizedKeysFile {keys}",
            "StrictModes no",
            f"ForceCommand {force_command.format(ssh=inner, directory=directory)}",
        ),
    )
    service.start()
    account = pwd.getpwuid(os.geteuid()).pw_name
    options = ["-o", f"User={account}", "-o", f"HostKeyAlias=[127.0.0.1]:{bastion.port}", "-p", str(port)]
    try:
        yield bastion.ssh_command(identity=bastion.workshop.key("nested"), options=options)
    finally:
        service.stop()
