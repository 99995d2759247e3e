"""Ending processes: asked first, then made to; each through a pidfd, so that never a stranger is hit."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import signal
from collections.abc import Iterable

from hoopjump.daemon import processes
from hoopjump.daemon.processes import Handle, Process, ProcessGoneError

log = logging.getLogger(__name__)


class Endings:
    """Processes that were told to end, and the moments at which those that have not are killed."""

    def __init__(self) -> None:
        self._due: dict[int, list[Handle]] = {}
        self._timers: dict[int, asyncio.TimerHandle] = {}
        self._numbers = itertools.count()

    def end(self, asked: Iterable[Process], killed: Iterable[Process], seconds: float) -> None:
        """Send SIGTERM to the first (and SIGCONT, for a stopped process hears nothing), SIGKILL to all later.

        A process that has ended already is passed over.
        """
        asked = list(asked)
        handles = _hold([*asked, *killed])
        for handle in handles:
            if handle.process in asked:
                _send(handle, signal.SIGTERM)
                _send(handle, signal.SIGCONT)
        if handles:
            number = next(self._numbers)
            self._due[number] = handles
            self._timers[number] = asyncio.get_running_loop().call_later(seconds, self._kill, number)

    def finish(self) -> None:
        """Kill at once whatever is still given time."""
        for number in list(self._due):
            self._kill(number)

    def _kill(self, number: int) -> None:
        self._timers.pop(number).cancel()
        for handle in self._due.pop(number):
            for below in _hold(processes.descendants(handle.process)):
                _send(below, signal.SIGKILL)
                below.close()
            _send(handle, signal.SIGKILL)
            handle.close()


def _hold(wanted: Iterable[Process]) -> list[Handle]:
    handles = []
    for process in dict.fromkeys(wanted):
        with contextlib.suppress(ProcessGoneError):
            handles.append(Handle.open(process))
    return handles


def _send(handle: Handle, number: signal.Signals) -> None:
    try:
        handle.send(number)
    except PermissionError:
        log.error(  # noqa: TRY400 - the trace would say nothing
            "cannot send %s to process %d: give the daemon CAP_KILL (AmbientCapabilities=)",
            number.name,
            handle.process.pid,
        )
