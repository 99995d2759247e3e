"""What a private bastion has written: the audit trail, and the logs of sshd, the daemon and the hook."""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

from hoopjump.dev.daemon_service import DaemonService
from hoopjump.dev.services import Service, wait_for
from hoopjump.dev.syslog import SystemLog


class Records:
    """What :class:`hoopjump.dev.bastion.Bastion` has to read; the attributes are the running bastion's."""

    directory: Path
    sshd: Service
    daemon: DaemonService
    _system_log: SystemLog | None
    _syslog_before: int

    def audit(self) -> list[dict[str, Any]]:
        """All audit events so far."""
        path = self.directory / "audit" / "audit.jsonl"
        if not path.exists():
            return []
        # The last line may be half written.
        return [json.loads(line) for line in path.read_text().splitlines(keepends=True) if line.endswith("\n")]

    def sshd_log(self) -> str:
        """What sshd has logged."""
        return self.sshd.log.read_text(errors="replace")

    def daemon_log(self) -> str:
        """What the daemon has logged."""
        return self.daemon.log.read_text(errors="replace")

    def hook_log(self) -> str:
        """What the hook has told the system log since the bastion started.

        Empty when rootless, and when another process of the same private view has the log.
        """
        lines = self._system_log.lines()[self._syslog_before :] if self._system_log else []
        return "".join(f"{line}\n" for line in lines)

    def log(self) -> str:
        """Everything logged by sshd, the daemon and the hook."""
        return self.sshd_log() + self.daemon_log() + self.hook_log()

    def find_log(self, pattern: str, since: str = "") -> str | None:
        """The first log line that a regular expression is found in, among those beyond ``since`` (:meth:`log`)."""
        fresh = Counter(self.log().splitlines()) - Counter(since.splitlines())
        return next((line for line in fresh if re.search(pattern, line)), None)

    def wait_for_event(self, seconds: float = 10, **fields: object) -> dict[str, Any]:
        """The first audit event with these values, once there is one; raises :class:`TimeoutError`."""

        def found() -> dict[str, Any] | None:
            wanted = (event for event in self.audit() if all(event.get(key) == fields[key] for key in fields))
            return next(wanted, None)

        event = wait_for(found, seconds, f"an audit event {fields}")
        assert event is not None
        return event
