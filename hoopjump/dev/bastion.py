"""A whole bastion of its own on loopback: a real sshd, hoopjumpd, the hook, and the embedded gateway behind them.

As root, inside the private view of :mod:`hoopjump.dev.accounts`, it is built as an administrator would: sshd runs as
root, the daemon as ``hoopjump`` with CAP_KILL and nothing else, the hook as ``hoopjump-hook``, sessions as ``hoop``,
``alice`` and so on, and ``admin`` is an administrator whom hoopjump does not concern. As an ordinary user everything
runs under that user's uid (``sshd.rootless``).

Everything lies in one temporary directory and ends with the context manager.
"""

from __future__ import annotations

import json
import os
import pwd
import re
import shutil
import socket
import subprocess
import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

from hoopjump.dev import accounts, programs, syslog
from hoopjump.dev.backend import Backend
from hoopjump.dev.clients import Clients
from hoopjump.dev.identities import Workshop
from hoopjump.dev.services import Service, ServiceError, answers, free_port, minimal_environment, wait_for
from hoopjump.dev.settings import Settings, as_toml
from hoopjump.sshd import snippets, versions

ADMINISTRATOR: Final = "admin"
HOOK_PYTHON: Final = "/usr/bin/python3"  # as the hook's first line has it


@dataclass(frozen=True, slots=True)
class Place:
    """Who is who, and where sshd believes files: different for root and for an ordinary user."""

    rootless: bool
    account: str
    hook_user: str
    daemon_user: str
    parent: Path | None
    match: str

    @classmethod
    def here(cls) -> Place:
        """The place of this process; root must be in a private view (:func:`accounts.enter`)."""
        if os.geteuid() != 0:
            try:
                own = pwd.getpwuid(os.geteuid())
            except KeyError:
                raise ServiceError(f"uid {os.geteuid()} has no account; sshd lets in users with one only") from None
            if own.pw_shell.endswith(("/nologin", "/false")):
                raise ServiceError(f"the shell of {own.pw_name} is {own.pw_shell}; sshd starts every session with it")
            return cls(True, own.pw_name, own.pw_name, own.pw_name, None, f"User {own.pw_name}")
        if not accounts.inside():
            raise accounts.PrivateViewError("a bastion of root's needs the private view (accounts.enter)")
        users = ",".join(
            account.name for account in accounts.ACCOUNTS if account.login and account.name != ADMINISTRATOR
        )
        return cls(False, "hoop", "hoopjump-hook", "hoopjump", accounts.PLACE, f"User {users}")


class Bastion(Clients):
    """A running bastion; use it as a context manager.

    ``settings`` are sections of ``hoopjump.toml`` over those that the bastion needs, ``sshd_lines`` stand before its
    Match block, ``mapping`` is the gateway's (certificate attribute, user attribute), ``variants`` are names of
    further ports (:attr:`ports`) that have the lines of :meth:`variant` in place of our block, ``gateway_options`` go
    to :meth:`Backend.start`.
    """

    def __init__(
        self,
        *,
        settings: Settings | None = None,
        sshd_lines: Sequence[str] = (),
        mapping: tuple[str, str] = ("principal", "email"),
        variants: Sequence[str] = (),
        **gateway_options: Any,  # noqa: ANN401 - passed on
    ) -> None:
        self.place = Place.here()
        self._settings = settings or {}
        self._sshd_lines = tuple(sshd_lines)
        self._mapping = mapping
        self._variants = tuple(variants)
        self._gateway_options = gateway_options

    # -- Life --------------------------------------------------------------------------------------------------------

    def __enter__(self) -> Self:
        self.directory = Path(tempfile.mkdtemp(prefix="bastion-", dir=self.place.parent))
        try:
            self._build()
        except BaseException:
            self._close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._close()

    def _build(self) -> None:
        self.directory.chmod(0o700 if self.place.rootless else 0o755)
        for name in ("etc", "lib", "client", "log"):
            (self.directory / name).mkdir(mode=0o755)
        for name in ("run", "audit", "secrets", "keysets"):
            self._daemons_directory(self.directory / name, 0o755 if name == "run" else 0o700)
        self.workshop = Workshop(self.directory / "keys")
        self.user_ca = self.workshop.key("user_ca")
        self.handoff_ca = self.workshop.key("handoff_ca")
        self.host_key = self.workshop.key("host_key")
        shutil.copy(self.user_ca.public, self.directory / "etc" / "user_ca.pub")
        self._start_gateway()
        self._secret("gateway-api-key", self.gateway.auditor_key)
        self._secret("handoff-ca", self.handoff_ca.key.read_text())
        self._write_config()
        self._install_hook()
        self._system_log = None if self.place.rootless else syslog.listen()
        self._syslog_before = len(self._system_log.lines()) if self._system_log else 0
        self._start_daemon()
        self._start_sshd()

    def _close(self) -> None:
        for name in ("_sshd", "_daemon"):
            service = getattr(self, name, None)
            if service is not None:
                service.stop()
        if hasattr(self, "_listener"):
            self._listener.close()
        if hasattr(self, "_notified"):
            self._notified.close()
        if hasattr(self, "backend"):
            self.backend.stop()
        shutil.rmtree(self.directory)

    # -- The gateway -------------------------------------------------------------------------------------------------

    def _start_gateway(self) -> None:
        self.backend = Backend(self.directory / "backend", self.workshop)
        authorities = [identity.public.read_text() for identity in (self.user_ca, self.handoff_ca)]
        self.gateway = self.backend.start(authorities, self._mapping, **self._gateway_options)

    # -- The daemon --------------------------------------------------------------------------------------------------

    def _daemons_directory(self, path: Path, mode: int) -> None:
        path.mkdir()
        self._give_to_daemon(path)
        path.chmod(mode)

    def _give_to_daemon(self, path: Path) -> None:
        if not self.place.rootless:
            os.chown(path, *accounts.ids(self.place.daemon_user))

    def _secret(self, name: str, text: str) -> None:
        path = self.directory / "secrets" / name
        path.touch(mode=0o600)
        path.write_text(text)
        self._give_to_daemon(path)

    def _write_config(self) -> None:
        shared = [self.place.account]
        config: dict[str, dict[str, object]] = {
            "daemon": {
                "socket": str(self.socket),
                "state_dir": str(self.directory / "run"),
                "keys_dir": str(self.directory / "keysets"),
            },
            "sshd": {"rootless": self.place.rootless, "hook_user": self.place.hook_user},
            "trust": {"user_cas": str(self.directory / "etc" / "user_ca.pub")},
            "accounts": {"shared": shared, "own": True},
            "gateway": {
                "api_url": self.gateway.api_url,
                "api_key": f"file:{self.directory}/secrets/gateway-api-key",
                "ssh_host": self.gateway.ready.ssh_host,
                "ssh_port": self.gateway.ssh_port,
                "known_hosts": str(self.directory / "etc" / "gateway_known_hosts"),
                "cert_attribute": self._mapping[0],
                "user_attribute": self._mapping[1],
            },
            "handoff": {
                "ca_key": f"file:{self.directory}/secrets/handoff-ca",
                "ssh": str(programs.ssh()),
                "relay": self.hook,
            },
            "audit": {"file": str(self.directory / "audit" / "audit.jsonl"), "log": "stderr"},
        }
        for section, values in self._settings.items():
            config.setdefault(section, {}).update(values)
        (self.directory / "etc" / "gateway_known_hosts").write_text(f"{self.gateway.host_key_line}\n")
        self.config.write_text(as_toml(config))
        # Whatever the umask is: nobody reads a configuration that others may write.
        self.config.chmod(0o644)

    @property
    def config(self) -> Path:
        """The daemon's configuration file."""
        return self.directory / "etc" / "hoopjump.toml"

    @property
    def socket(self) -> Path:
        """The daemon's socket; the bastion holds it open as systemd would, so it outlives a daemon."""
        return self.directory / "run" / "hoopjumpd.sock"

    def _start_daemon(self) -> None:
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.bind(str(self.socket))
        self.socket.chmod(0o666)
        self._listener.listen(1024)
        self._notified = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        notify = self.directory / "etc" / "notify"
        self._notified.bind(str(notify))
        notify.chmod(0o666)
        # What systemd does before it starts a service with a socket (sd_listen_fds(3)): the socket as descriptor 3.
        launcher = (
            "import os, sys; os.dup2(int(sys.argv[1]), 3); "
            "os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS='1'); os.execv(sys.argv[2], sys.argv[2:])"
        )
        program = [str(programs.python()), "-m", "hoopjump.daemon", "--config", str(self.config)]
        argv = [str(programs.python()), "-ISc", launcher, str(self._listener.fileno()), *self._as_daemon(program)]
        environment = minimal_environment(
            NOTIFY_SOCKET=str(notify),
            PYTHONPATH=str(programs.reachable(programs.CHECKOUT)),
            PYTHONDONTWRITEBYTECODE="1",
        )
        self._daemon = Service(
            "hoopjumpd",
            argv,
            self.directory / "log" / "hoopjumpd.log",
            ready=self._daemon_is_ready,
            environment=environment,
            pass_fds=(self._listener.fileno(),),
        )
        self._daemon.start()

    def _as_daemon(self, program: Sequence[str]) -> list[str]:
        """The program as systemd/hoopjumpd.service runs it: a user of its own, one capability, its share."""
        if self.place.rootless:
            return list(program)
        uid, gid = accounts.ids(self.place.daemon_user)
        limits = [f"--{kind}=-all,+kill" for kind in ("inh-caps", "ambient-caps", "bounding-set")]
        setpriv = str(programs.find("setpriv"))
        identity = [f"--reuid={uid}", f"--regid={gid}", "--clear-groups"]
        # CPUWeight=500 is five shares to the one of all of sshd's processes. Without systemd each of those is a group
        # of its own (sched(7), autogroup), as much as the daemon's, unless that has a nice value as a group.
        share = 'echo -20 >/proc/self/autogroup; exec nice -n-7 "$@"'
        command = [setpriv, *identity, *limits, "--no-new-privs", *program]
        return [str(programs.find("sh")), "-c", share, "sh", *command]

    def _daemon_is_ready(self) -> bool:
        try:
            return b"READY=1" in self._notified.recv(4096)
        except BlockingIOError:
            return False

    @property
    def daemon(self) -> Service:
        """The daemon's process."""
        return self._daemon

    def stop_daemon(self) -> None:
        """Stop the daemon and close its socket: nobody answers, nobody is started."""
        self._daemon.stop()
        self._listener.close()
        self._notified.close()
        self.socket.unlink(missing_ok=True)
        (self.directory / "etc" / "notify").unlink()

    def start_daemon(self) -> None:
        """Start the daemon again after :meth:`stop_daemon`."""
        self._start_daemon()

    def restart_daemon(self) -> None:
        """Restart the daemon as ``systemctl restart`` does; its socket stays open."""
        self._daemon.stop()
        self._daemon.start()

    def kill_daemon(self) -> None:
        """Kill the daemon (SIGKILL) and start it again; its socket stays open."""
        self._daemon.crash()
        self._daemon.start()

    # -- sshd --------------------------------------------------------------------------------------------------------

    @property
    def hook(self) -> str:
        """The command of the hook. An ordinary user's file is none that sshd would start; its interpreter is."""
        path = self.directory / "lib" / "hook"
        return f"{HOOK_PYTHON} -ISE {path}" if self.place.rootless else str(path)

    def _install_hook(self) -> None:
        path = self.directory / "lib" / "hook"
        shutil.copyfile(programs.CHECKOUT / "hoopjump" / "hook.py", path)
        path.chmod(0o755)
        if not self.place.rootless:
            compile_it = [HOOK_PYTHON, "-ISm", "py_compile", str(path)]
            subprocess.run(compile_it, check=True, env=minimal_environment())

    def variant(self, name: str) -> Sequence[str]:
        """The sshd_config lines of a further port, for those who compare; raises :class:`KeyError`."""
        raise KeyError(name)

    def _start_sshd(self) -> None:
        self.port = free_port()
        self.ports = {name: free_port() for name in self._variants}
        keys = self.directory / "etc" / "admin_keys"
        keys.write_text(self.workshop.key("admin").public.read_text())
        block = snippets.render(
            versions.installed(programs.sshd()),
            ca_file=self.directory / "etc" / "user_ca.pub",
            forward_targets=[f"{self.gateway.ready.ssh_host}:{self.gateway.ssh_port}"],
            match=f"{self.place.match} LocalPort {self.port}" if self.ports else self.place.match,
            hook=self.hook,
            hook_user=self.place.hook_user,
            socket=self.socket,
        )
        lines = [
            *(f"ListenAddress 127.0.0.1:{port}" for port in (self.port, *self.ports.values())),
            f"HostKey {self.host_key.key}",
            "PidFile none",
            # No PAM configuration of the machine takes part.
            "UsePAM no",
            "PasswordAuthentication no",
            "KbdInteractiveAuthentication no",
            f"AuthorizedKeysFile {keys}",
            # Everything here comes from one address.
            "MaxStartups 500",
            # Hundreds of clients at once take a while on a small machine.
            "LoginGraceTime 120",
            "LogLevel VERBOSE",
            # As Debian's own sshd_config has it.
            "Subsystem sftp /usr/lib/openssh/sftp-server",
            *(f"{keyword} {path}" for keyword, path in programs.sshd_helpers().items()),
            *self._sshd_lines,
            *programs.sshd_lenience(),
        ]
        config = self.directory / "etc" / "sshd_config"
        for name, port in self.ports.items():
            lines += [f"Match {self.place.match} LocalPort {port}", *self.variant(name), "Match all"]
        config.write_text("\n".join(lines) + "\n" + block)
        self._sshd = Service(
            "sshd",
            [str(programs.sshd()), "-D", "-e", "-f", str(config)],
            self.directory / "log" / "sshd.log",
            ready=lambda: answers(self.port).startswith(b"SSH-"),
            environment=minimal_environment(),
        )
        self._sshd.start()

    @property
    def sshd(self) -> Service:
        """The listening sshd."""
        return self._sshd

    @property
    def account(self) -> str:
        """The account that clients log in to unless told otherwise."""
        return self.place.account

    # -- What was written --------------------------------------------------------------------------------------------

    def audit(self) -> list[dict[str, Any]]:
        """All audit events so far."""
        path = self.directory / "audit" / "audit.jsonl"
        if not path.exists():
            return []
        # The last line may be half written.
        return [json.loads(line) for line in path.read_text().splitlines(keepends=True) if line.endswith("\n")]

    def sshd_log(self) -> str:
        """What sshd has logged."""
        return self._sshd.log.read_text(errors="replace")

    def daemon_log(self) -> str:
        """What the daemon has logged."""
        return self._daemon.log.read_text(errors="replace")

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
