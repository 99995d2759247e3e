"""One question to the daemon, as an administrator asks it (docs/architecture.md, "The wire")."""

from __future__ import annotations

import json
import socket
import struct
from pathlib import Path
from typing import Any, BinaryIO, Final

from hoopjump.daemon.wire import FRAME_LIMIT, Message, Pair, WireError, decode, encode
from hoopjump.decision.reasons import Reason
from hoopjump.errors import HoopjumpError

SECONDS: Final = 5.0


class DaemonError(HoopjumpError):
    """The daemon cannot be reached, or refuses."""


def ask(path: Path, verb: str, *pairs: Pair, seconds: float = SECONDS) -> Any:  # noqa: ANN401  # whatever JSON it has
    """The JSON value of the daemon's answer; raises :class:`DaemonError`."""
    message = _exchange(path, encode([("verb", verb), *pairs]), seconds)
    try:
        outcome, text = message.text("outcome"), message.text("json")
        if outcome == "ok" and text is not None:
            return json.loads(text)
        reason = Reason.from_code(message.text("reason") or "")
        sentence, ref = message.text("text") or reason.sentence(), message.text("ref")
    except (WireError, ValueError, KeyError):
        raise DaemonError("hoopjumpd gave an answer that is none", "upgrade hoopjump and hoopjumpd together") from None
    hint = "run this as root" if reason is Reason.PEER_NOT_ALLOWED else reason.value.hint
    raise DaemonError(f"{sentence} ({reason.code}, ref {ref})", hint)


def _exchange(path: Path, frame: bytes, seconds: float) -> Message:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as link, link.makefile("rb") as stream:
        link.settimeout(seconds)
        try:
            link.connect(str(path))
            link.sendall(frame)
            (length,) = struct.unpack(">I", _receive(stream, 4))
            if not 1 <= length <= FRAME_LIMIT:
                raise DaemonError("hoopjumpd gave an answer that is none")
            return decode(_receive(stream, length))
        except TimeoutError:
            raise DaemonError(f"hoopjumpd did not answer within {seconds:g} s", "systemctl status hoopjumpd") from None
        except WireError as error:
            raise DaemonError(f"hoopjumpd gave an answer that is none: {error}") from error
        except OSError as error:
            raise DaemonError(
                f"{path}: hoopjumpd cannot be reached: {error.strerror or error}", "systemctl status hoopjumpd"
            ) from error


def _receive(stream: BinaryIO, count: int) -> bytes:
    data = stream.read(count)
    if len(data) < count:
        raise DaemonError("hoopjumpd ended the connection without an answer", "journalctl -u hoopjumpd")
    return data
