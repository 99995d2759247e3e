"""A whole bastion of its own on loopback: a real sshd, hoopjumpd, the hook, and the embedded gateway behind them.

As root, inside the private view of :mod:`hoopjump.dev.accounts`, it is built as an administrator would: sshd runs as
root, the daemon as ``hoopjump`` with CAP_KILL and nothing else, the hook as ``hoopjump-hook``, sessions as ``hoop``,
``alice`` and so on, and ``admin`` is an administrator whom hoopjump does not concern. As an ordinary user everything
runs under that user's uid (``sshd.rootless``).

Everything lies in one temporary directory and ends with the context manager.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final, Self

from hoopjump.dev import programs, syslog
from hoopjump.dev.backend import Backend
from hoopjump.dev.clients import Clients
from hoopjump.dev.daemon_service import DaemonService
from hoopjump.dev.identities import Workshop
from hoopjump.dev.place import Place
from hoopjump.dev.private_sshd import Sshd
from hoopjump.dev.records import Records
from hoopjump.dev.services import free_port, minimal_environment
from hoopjump.dev.settings import Settings, as_toml
from hoopjump.sshd import snippets, versions

HOOK_PYTHON: Final = "/usr/bin/python3"  # as the hook's first line has it


class Bastion(Clients, Records):
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
        self._ending = ExitStack()
        self._ending.callback(shutil.rmtree, self.directory)
        try:
            self._build()
        except BaseException:
            self._ending.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._ending.close()

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
        self.start_daemon()
        self._start_sshd()

    # -- The gateway -------------------------------------------------------------------------------------------------

    def _start_gateway(self) -> None:
        self.backend = Backend(self.directory / "backend", self.workshop)
        authorities = [identity.public.read_text() for identity in (self.user_ca, self.handoff_ca)]
        self._ending.callback(self.backend.stop)
        self.gateway = self.backend.start(authorities, self._mapping, **self._gateway_options)

    # -- The daemon --------------------------------------------------------------------------------------------------

    def _daemons_directory(self, path: Path, mode: int) -> None:
        path.mkdir()
        self.place.give_to_daemon(path)
        path.chmod(mode)

    def _secret(self, name: str, text: str) -> None:
        path = self.directory / "secrets" / name
        path.touch(mode=0o600)
        path.write_text(text)
        self.place.give_to_daemon(path)

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

    def start_daemon(self) -> None:
        """Start the daemon, with a new socket."""
        etc, log = self.directory / "etc", self.directory / "log"
        self.daemon = DaemonService(self.place, self.config, self.socket, etc / "notify", log / "hoopjumpd.log")
        self._ending.callback(self.daemon.close)
        self.daemon.start()

    def stop_daemon(self) -> None:
        """Stop the daemon and close its socket: nobody answers, nobody is started."""
        self.daemon.close()

    def restart_daemon(self) -> None:
        """Restart the daemon as ``systemctl restart`` does; its socket stays open."""
        self.daemon.stop()
        self.daemon.start()

    def kill_daemon(self) -> None:
        """Kill the daemon (SIGKILL) and start it again; its socket stays open."""
        self.daemon.crash()
        self.daemon.start()

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
            "PasswordAuthentication no",
            "KbdInteractiveAuthentication no",
            f"AuthorizedKeysFile {keys}",
            # Hundreds of clients at once take a while on a small machine.
            "LoginGraceTime 120",
            "LogLevel VERBOSE",
            # As Debian's own sshd_config has it.
            "Subsystem sftp /usr/lib/openssh/sftp-server",
            *self._sshd_lines,
        ]
        for name, port in self.ports.items():
            lines += [f"Match {self.place.match} LocalPort {port}", *self.variant(name), "Match all"]
        self.sshd = Sshd(
            "sshd",
            self.directory / "etc" / "sshd_config",
            self.directory / "log" / "sshd.log",
            ports=(self.port, *self.ports.values()),
            host_key=self.host_key.key,
            lines=lines,
            block=block,
        )
        self._ending.callback(self.sshd.stop)
        self.sshd.start()

    @property
    def account(self) -> str:
        """The account that clients log in to unless told otherwise."""
        return self.place.account
