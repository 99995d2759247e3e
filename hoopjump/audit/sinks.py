"""Where audit events go: a file of JSON lines, and the log."""

from __future__ import annotations

import contextlib
import os
import re
import sys
from collections import deque
from pathlib import Path
from typing import Final, TextIO

from hoopjump.audit.events import MOMENTS, Audit, AuditError, Event, Kind, escaped
from hoopjump.decision.moments import moment_text

LINE_LIMIT: Final = 1024 * 1024

# sd-daemon(3): a line that starts with <N> gets priority N in the journal.
CRITICAL: Final = 2
ERROR: Final = 3
WARNING: Final = 4
NOTICE: Final = 5
INFO: Final = 6

_PLAIN: Final = re.compile(r"[A-Za-z0-9._@:/+|,-]+\Z")
_PRIORITY: Final = {
    Kind.DENIED: NOTICE,
    Kind.HELD: NOTICE,
    Kind.SESSION_REFUSED: NOTICE,
    Kind.LOGIN_CUT: NOTICE,
    Kind.CERTIFICATE_REFUSED: NOTICE,
    Kind.HANDOFF_REFUSED: WARNING,
    Kind.CALL_REFUSED: WARNING,
    Kind.FAULT: ERROR,
}


class FileSink:
    """One JSON object a line, each event one appending write, mode 0640.

    The file is opened anew when its path names another file (rotation by renaming) or none.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor: int | None = None
        self._torn = False

    def write(self, event: Event) -> None:
        """Append the event; raises :class:`OSError`."""
        line = event.to_json().encode() + b"\n"
        descriptor = self._current()
        if self._torn:
            line = b"\n" + line
        while line:
            written = os.write(descriptor, line)
            line = line[written:]
            # A disk that fills up in mid-line must not spoil the line after it.
            self._torn = bool(line)

    def complain(self, message: str) -> None:
        """Nothing: an event is all this file takes."""

    def close(self) -> None:
        """Close the file; a later event opens it again."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def _current(self) -> int:
        if self._descriptor is not None:
            ours = os.fstat(self._descriptor)
            try:
                there = self._path.stat()
            except FileNotFoundError:
                there = None
            if there is not None and (there.st_dev, there.st_ino) == (ours.st_dev, ours.st_ino):
                return self._descriptor
            self.close()
        self._descriptor = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o640)
        self._torn = False
        return self._descriptor


class LogSink:
    """The daemon's log: one readable line an event, ``kind ref=… reason=… …``, values escaped.

    ``prefixes`` puts the priority before each line as journald reads it from a service's standard error.
    """

    def __init__(self, stream: TextIO, *, prefixes: bool) -> None:
        self._stream = stream
        self._prefixes = prefixes

    def write(self, event: Event) -> None:
        """Write the event's line; raises :class:`OSError`."""
        self._line(_PRIORITY.get(event.kind, INFO), log_line(event))

    def complain(self, message: str) -> None:
        """Write a line of priority critical; nobody is left to tell when that fails too."""
        with contextlib.suppress(OSError):
            self._line(CRITICAL, escaped(message)[1:-1])

    def _line(self, priority: int, text: str) -> None:
        prefix = f"<{priority}>" if self._prefixes else ""
        try:
            self._stream.write(f"{prefix}{text}\n")
            self._stream.flush()
        except ValueError as error:  # a closed stream
            raise OSError(str(error)) from error


def open_audit(file: Path | None, *, journal: bool) -> Audit:
    """A service's trail: its log on stderr, with the journal's prefixes or without, and the file, if there is one."""
    log = LogSink(sys.stderr, prefixes=journal)
    return Audit([log] if file is None else [log, FileSink(file)])


def log_line(event: Event) -> str:
    """The event as one line of printable ASCII; the trace is left to the file.

    A value stands bare when it is made of ``A-Za-z0-9._@:/+|,-``, else as JSON; moments are told in UTC.
    """
    parts = [event.kind.value, f"ref={_word('ref', event.ref)}"]
    for name, value in event.fields.items():
        if name == "trace":
            continue
        if isinstance(value, dict):
            parts += [f"{name}.{key}={_word(key, item)}" for key, item in value.items()]
        else:
            parts.append(f"{name}={_word(name, value)}")
    return " ".join(parts)


def _word(name: str, value: object) -> str:
    if name in MOMENTS and isinstance(value, int):
        value = moment_text(value)
    if isinstance(value, list) and all(isinstance(item, str) and _PLAIN.match(item) for item in value):
        return ",".join(value)
    if isinstance(value, str) and _PLAIN.match(value):
        return value
    return escaped(value)


def find(path: Path, ref: str, limit: int = 200) -> list[Event]:
    """The newest ``limit`` events with a reference, oldest first; the rotated file is asked when this one has none.

    Reads line by line, so that memory stays bounded; lines that are no events are passed over. Raises
    :class:`AuditError` when the file cannot be read.
    """
    for candidate in (path, path.with_name(f"{path.name}.1")):
        try:
            found = _find_in(candidate, ref, limit)
        except FileNotFoundError:
            continue
        except OSError as error:
            raise AuditError(f"{candidate}: {error.strerror}") from error
        if found:
            return found
    return []


def _find_in(path: Path, ref: str, limit: int) -> list[Event]:
    needle = f'"ref":{escaped(ref)}'.encode()
    found: deque[Event] = deque(maxlen=limit)
    with path.open("rb") as file:
        while line := file.readline(LINE_LIMIT):
            if needle in line:
                with contextlib.suppress(AuditError):
                    event = Event.from_json(line)
                    if event.ref == ref:
                        found.append(event)
    return list(found)
