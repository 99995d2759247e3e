"""What systemd gives a service: the socket it listens on for us, and an ear for how we are; without a library.

See sd_listen_fds(3) and sd_notify(3). Without systemd the daemon makes its socket itself.
"""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import MutableMapping
from pathlib import Path
from typing import Final

from hoopjump.errors import HoopjumpError

FIRST_DESCRIPTOR: Final = 3  # SD_LISTEN_FDS_START
BACKLOG: Final = 1024


class SocketError(HoopjumpError):
    """There is no socket to listen on."""


def listener(path: Path, environment: MutableMapping[str, str]) -> socket.socket:
    """The socket that systemd handed over, or one bound at ``path``; raises :class:`SocketError`."""
    handed = _handed_over(environment)
    return bind(path) if handed is None else handed


def _handed_over(environment: MutableMapping[str, str]) -> socket.socket | None:
    pid, count = environment.pop("LISTEN_PID", ""), environment.pop("LISTEN_FDS", "")
    environment.pop("LISTEN_FDNAMES", None)
    if pid != str(os.getpid()) or not count:
        return None
    if count != "1":
        raise SocketError(f"systemd handed over {count} sockets instead of one", "name one ListenStream= only")
    connection = socket.socket(fileno=FIRST_DESCRIPTOR)
    connection.set_inheritable(False)
    listening = connection.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
    if (connection.family, connection.type, listening) != (socket.AF_UNIX, socket.SOCK_STREAM, 1):
        raise SocketError("systemd handed over something else than a listening Unix stream socket")
    return connection


def bind(path: Path) -> socket.socket:
    """A listening socket of mode 0666 in a directory of mode 0755 (made when missing); a stale one is replaced.

    It appears under its name listening and with its mode, never in between. Raises :class:`SocketError`.
    """
    fresh = path.with_name(f"{path.name}.new")
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        _make_room(path)
        fresh.unlink(missing_ok=True)
        before = os.umask(0o111)
        try:
            connection.bind(str(fresh))
        finally:
            os.umask(before)
        connection.listen(BACKLOG)
        fresh.replace(path)
    except OSError as error:
        connection.close()
        raise SocketError(
            f"{path}: {error.strerror or error}", "set daemon.socket to a path that can be made"
        ) from error
    except SocketError:
        connection.close()
        raise
    return connection


def _make_room(path: Path) -> None:
    if path.exists() and not path.is_socket():
        raise SocketError(f"{path}: is there and is no socket", "set daemon.socket to another path")
    if _answers(path):
        raise SocketError(f"{path}: another daemon is listening there")


def _answers(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)
        try:
            probe.connect(str(path))
        except BlockingIOError:
            return True
        except OSError:
            return False
    return True


def notify(state: str, environment: MutableMapping[str, str]) -> None:
    """Tell systemd something (``READY=1``, ``STOPPING=1``); nobody listening is fine."""
    address = environment.get("NOTIFY_SOCKET", "")
    if address[:1] not in ("/", "@"):
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as ear, contextlib.suppress(OSError):
        ear.connect("\0" + address[1:] if address[0] == "@" else address)
        ear.sendall(state.encode())
