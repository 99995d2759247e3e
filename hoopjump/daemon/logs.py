"""The daemon's log: one line a record on standard error, printable ASCII whatever a value holds.

Under systemd the journal takes the lines, with a priority in front of each (sd-daemon(3)).
"""

from __future__ import annotations

import logging
import sys
from typing import Final

from hoopjump.audit.events import escaped
from hoopjump.audit.sinks import CRITICAL, ERROR, INFO, WARNING

_PRIORITIES: Final = {
    logging.CRITICAL: CRITICAL,
    logging.ERROR: ERROR,
    logging.WARNING: WARNING,
    logging.INFO: INFO,
}
_DEBUG: Final = 7


class LineFormatter(logging.Formatter):
    """One line a record; a trace of the stack, which is for the log only, stands escaped at its end."""

    def __init__(self, *, prefixes: bool) -> None:
        super().__init__()
        self._prefixes = prefixes

    def format(self, record: logging.LogRecord) -> str:
        """The line, without its end."""
        text = escaped(record.getMessage())[1:-1].replace('\\"', '"')
        if record.exc_info:
            text += f" trace={escaped(self.formatException(record.exc_info))}"
        if self._prefixes:
            return f"<{_PRIORITIES.get(record.levelno, _DEBUG)}>{text}"
        return f"{record.levelname.lower()}: {text}"


def configure(*, journal: bool) -> None:
    """Send all records of priority info and above to standard error."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(LineFormatter(prefixes=journal))
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    # urllib3 would log each connection and, at debug, each path with a user's name in it.
    logging.getLogger("urllib3").setLevel(logging.ERROR)
