"""An sshd on loopback, the unmodified one."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from hoopjump.dev import programs
from hoopjump.dev.services import Service, answers, minimal_environment


class Sshd(Service):
    """Listens on ``ports`` of 127.0.0.1 once it is started.

    ``lines`` go into the file ``config`` before those that every private sshd needs, for of two values sshd takes the
    first; ``block`` ends the file.
    """

    def __init__(
        self,
        name: str,
        config: Path,
        log: Path,
        *,
        ports: Sequence[int],
        host_key: Path,
        lines: Sequence[str],
        block: str = "",
    ) -> None:
        usual = [
            *(f"ListenAddress 127.0.0.1:{port}" for port in ports),
            f"HostKey {host_key}",
            "PidFile none",
            # No PAM configuration of the machine takes part.
            "UsePAM no",
            # Everything here comes from one address.
            "MaxStartups 500",
            *programs.sshd_lenience(),
            *(f"{keyword} {path}" for keyword, path in programs.sshd_helpers().items()),
        ]
        config.write_text("\n".join([*lines, *usual]) + "\n" + block)
        super().__init__(
            name,
            [str(programs.sshd()), "-D", "-e", "-f", str(config)],
            log,
            ready=lambda: answers(ports[0]).startswith(b"SSH-"),
            environment=minimal_environment(),
        )
