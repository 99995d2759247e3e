"""How much input a session may gather: all of it lies in the bastion's memory until the session ends."""

from __future__ import annotations

from typing import Final

from hoopjump.daemon import processes
from hoopjump.daemon.processes import Process
from hoopjump.decision.values import User

# So many whole inputs for all sessions of a user.
WHOLE_INPUTS: Final = 8
LEAST_INPUT: Final = 1024 * 1024


class Gathering:
    """Knows the processes that gather input, or have gathered it and run."""

    def __init__(self) -> None:
        self._gathering: dict[str, set[Process]] = {}

    def limit(self, user: User, process: Process, whole: int) -> int:
        """How many bytes one more session of a user may gather, of ``whole`` for those with few.

        ``process`` counts from now on, until it ends.
        """
        others = {one for one in self._gathering.get(user.subject, ()) if one != process and processes.alive(one)}
        self._gathering[user.subject] = others | {process}
        return min(whole, max(LEAST_INPUT, WHOLE_INPUTS * whole // (len(others) + 1)))
