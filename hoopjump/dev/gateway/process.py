"""The gateway as a process of its own, with everything in place: one call for tests and the demo."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Self
from urllib.parse import quote

import requests

from hoopjump.dev.gateway.embedded import Ready
from hoopjump.dev.gateway.setup import RoleSpec, Setup, UserSpec

START_LIMIT = 20.0


class Gateway:
    """A running stand-in gateway; end it with :meth:`stop`, or use it in a ``with`` statement."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._process: subprocess.Popen[bytes] | None = None
        self._ready: Ready | None = None
        self._http = requests.Session()
        self._http.trust_env = False

    @classmethod
    def start(
        cls,
        directory: Path,
        *,
        users: Sequence[UserSpec] = (),
        roles: Sequence[RoleSpec] = (),
        trusted_cas: Sequence[str] = (),
        mapping: tuple[str, str] = ("principal", "email"),
        attributes: Mapping[str, Sequence[str]] | None = None,
        access_control: bool = False,
    ) -> Self:
        """Start one that keeps its state, its log (``gateway.log``) and its keys in ``directory``."""
        setup = Setup(users, roles, trusted_cas, mapping, attributes or {}, access_control)
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(directory / "setup.json", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            json.dump(setup.to_json(), file)
        gateway = cls(directory)
        gateway.run()
        return gateway

    def run(self) -> None:
        """Start the process (again): a second run has the same ports, keys and state."""
        ready_file = self.directory / "ready.json"
        ports = (0, 0)
        if self._ready is not None:
            ports = (int(self._ready.api_url.rpartition(":")[2]), self._ready.ssh_port)
        began = ready_file.stat().st_mtime_ns if ready_file.exists() else 0
        with (self.directory / "gateway.log").open("ab") as log:
            self._process = subprocess.Popen(
                [
                    sys.executable, "-m", "hoopjump.dev.gateway",
                    "--state", str(self.directory / "state.json"),
                    "--setup", str(self.directory / "setup.json"),
                    "--ready-file", str(ready_file),
                    "--api-port", str(ports[0]),
                    "--ssh-port", str(ports[1]),
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=Path(__file__).parents[3],
                start_new_session=os.geteuid() == 0,
            )  # fmt: skip
        if os.geteuid() == 0:
            # Others have a machine of their own for it; here it would have a share of one with all that asks it.
            with contextlib.suppress(OSError):
                Path(f"/proc/{self._process.pid}/autogroup").write_text("-10")
        limit = time.monotonic() + START_LIMIT
        while not ready_file.exists() or ready_file.stat().st_mtime_ns == began:
            if self._process.poll() is not None or time.monotonic() > limit:
                self.stop()
                raise RuntimeError(f"the gateway did not start: {self.log()[-2000:]}")
            time.sleep(0.02)
        self._ready = Ready(**json.loads(ready_file.read_text(encoding="utf-8")))

    def stop(self) -> None:
        """End the process; :meth:`run` starts it again."""
        if self._process is not None:
            self._process.terminate()
            try:
                self._process.wait(10)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            self._process = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def ready(self) -> Ready:
        """Addresses and keys."""
        if self._ready is None:
            raise RuntimeError("the gateway has not been started")
        return self._ready

    @property
    def pid(self) -> int:
        """The process."""
        if self._process is None:
            raise RuntimeError("the gateway is not running")
        return self._process.pid

    @property
    def api_url(self) -> str:
        """Base URL of the API, without ``/api``."""
        return self.ready.api_url

    @property
    def ssh_port(self) -> int:
        """Port of the SSH server on 127.0.0.1."""
        return self.ready.ssh_port

    @property
    def auditor_key(self) -> str:
        """An API key of group auditor."""
        return self.ready.auditor_key

    @property
    def admin_key(self) -> str:
        """An API key of group admin."""
        return self.ready.admin_key

    @property
    def host_key_line(self) -> str:
        """The SSH server's line for a known_hosts file."""
        key = " ".join(self.ready.host_key.split()[:2])
        return f"[{self.ready.ssh_host}]:{self.ready.ssh_port} {key}"

    def log(self) -> str:
        """What the process wrote."""
        return (self.directory / "gateway.log").read_text(encoding="utf-8", errors="replace")

    def call(self, method: str, path: str, body: object = None, key: str | None = None) -> requests.Response:
        """Call the API (``path`` begins with ``/api`` or ``/dev``) with the admin key, or another."""
        headers = {"Authorization": f"Bearer {key or self.admin_key}"}
        return self._http.request(method, self.api_url + path, json=body, headers=headers, timeout=30)

    def _change(self, method: str, path: str, body: object) -> dict[str, Any]:
        response = self.call(method, path, body)
        if not response.ok:
            raise RuntimeError(f"{method} {path}: {response.status_code} {response.text}")
        answer: dict[str, Any] = response.json() if response.content else {}
        return answer

    def faults(self, **changes: object) -> None:
        """Set faults by name; see :class:`hoopjump.dev.gateway.faults.Faults`."""
        self._change("POST", "/dev/faults", changes)

    def add_user(self, spec: UserSpec) -> str:
        """Add or replace a user (by subject); the internal UUID."""
        return str(self._change("POST", "/dev/users", asdict(spec))["user_id"])

    def set_user(self, user: str, **changes: object) -> None:
        """Change a user (by subject or e-mail): status, groups, email, subject, user_id, name."""
        self._change("PATCH", f"/dev/users/{quote(user, safe='')}", changes)

    def add_role(self, spec: RoleSpec) -> None:
        """Add or replace a role."""
        self._change("POST", "/dev/roles", asdict(spec))

    def remove_role(self, name: str) -> None:
        """Remove a role."""
        self._change("DELETE", f"/api/connections/{name}", None)

    def add_session(
        self,
        email: str,
        role: str,
        *,
        seconds: int,
        exit_code: int,
        verb: str = "connect",
        ago: int = 60,
        correlation: str | None = None,
    ) -> None:
        """Add the row of a session that lasted ``seconds`` and ended so many seconds ``ago``."""
        body = {"email": email, "role": role, "seconds": seconds, "exit_code": exit_code, "verb": verb, "ago": ago}
        self._change("POST", "/dev/sessions", {**body, "correlation_id": correlation})

    def trust(self, authorities: Sequence[str]) -> None:
        """Replace the trusted CAs; every live SSH connection ends."""
        misc = self._change("GET", "/api/serverconfig/misc", None)
        misc["ssh_server_config"]["trusted_cas"] = list(authorities)
        self._change("PUT", "/api/serverconfig/misc", misc)

    def sessions(self, **query: str) -> list[dict[str, Any]]:
        """Session rows, the newest first."""
        text = "&".join(f"{name}={quote(value, safe='')}" for name, value in ({"limit": "100"} | query).items())
        rows: list[dict[str, Any]] = self._change("GET", f"/api/sessions?{text}", None)["data"]
        return rows
