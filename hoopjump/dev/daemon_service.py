"""hoopjumpd on a private bastion, run as systemd would run it."""

from __future__ import annotations

import socket
from collections.abc import Sequence
from pathlib import Path

from hoopjump.dev import accounts, programs
from hoopjump.dev.place import Place
from hoopjump.dev.services import Service, minimal_environment

# What systemd does before it starts a service with a socket (sd_listen_fds(3)): the socket as descriptor 3.
_LAUNCHER = (
    "import os, sys; os.dup2(int(sys.argv[1]), 3); "
    "os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS='1'); os.execv(sys.argv[2], sys.argv[2:])"
)


class DaemonService(Service):
    """The daemon; its socket at ``path`` is open from the beginning, outlives the process, and ends with :meth:`close`.

    ``notify`` is the path of the socket that the daemon tells its state to (sd_notify(3)).
    """

    def __init__(self, place: Place, config: Path, path: Path, notify: Path, log: Path) -> None:
        self._path = path
        self._notify = notify
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.bind(str(path))
        path.chmod(0o666)
        self._listener.listen(1024)
        self._notified = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self._notified.bind(str(notify))
        notify.chmod(0o666)
        python, listener = str(programs.python()), self._listener.fileno()
        program = _as_daemon(place, [python, "-m", "hoopjump.daemon", "--config", str(config)])
        super().__init__(
            "hoopjumpd",
            [python, "-ISc", _LAUNCHER, str(listener), *program],
            log,
            ready=self._is_ready,
            environment=minimal_environment(
                NOTIFY_SOCKET=str(notify),
                PYTHONPATH=str(programs.reachable(programs.CHECKOUT)),
                PYTHONDONTWRITEBYTECODE="1",
            ),
            pass_fds=(listener,),
        )

    def _is_ready(self) -> bool:
        try:
            return b"READY=1" in self._notified.recv(4096)
        except BlockingIOError:
            return False

    def close(self) -> None:
        """Stop the daemon and close its socket: nobody answers, nobody is started."""
        self.stop()
        self._listener.close()
        self._notified.close()
        self._path.unlink(missing_ok=True)
        self._notify.unlink(missing_ok=True)


def _as_daemon(place: Place, program: Sequence[str]) -> list[str]:
    """The program as systemd/hoopjumpd.service runs it: a user of its own, one capability, its share."""
    if place.rootless:
        return list(program)
    uid, gid = accounts.ids(place.daemon_user)
    limits = [f"--{kind}=-all,+kill" for kind in ("inh-caps", "ambient-caps", "bounding-set")]
    setpriv = str(programs.find("setpriv"))
    identity = [f"--reuid={uid}", f"--regid={gid}", "--clear-groups"]
    # CPUWeight=500 is five shares to the one of all of sshd's processes. Without systemd each of those is a group of
    # its own (sched(7), autogroup), as much as the daemon's, unless that has a nice value as a group.
    share = 'echo -20 >/proc/self/autogroup; exec nice -n-7 "$@"'
    command = [setpriv, *identity, *limits, "--no-new-privs", *program]
    return [str(programs.find("sh")), "-c", share, "sh", *command]
