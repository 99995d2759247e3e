"""The private view's ``/dev/log``: what the hook tells the system log, kept in memory."""

from __future__ import annotations

import errno
import socket
import threading
from pathlib import Path
from typing import Final

DEVICE: Final = Path("/dev/log")


class SystemLog:
    """Receives datagrams on ``/dev/log`` as long as the process lives; there is one of it (:func:`listen`)."""

    def __init__(self) -> None:
        self._lines: list[str] = []
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(DEVICE))
        DEVICE.chmod(0o666)
        threading.Thread(target=self._receive, name="syslog", daemon=True).start()

    def lines(self) -> list[str]:
        """All messages so far, each with its ``<priority>``."""
        return list(self._lines)

    def _receive(self) -> None:
        while True:
            self._lines.append(self._socket.recv(65536).decode("utf-8", "replace").rstrip("\n\0"))


_listening: list[SystemLog] = []


def listen() -> SystemLog | None:
    """The log of this private view, opened when it is first asked for; None when another process of it has it."""
    if not _listening:
        try:
            _listening.append(SystemLog())
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise
            return None
    return _listening[0]
