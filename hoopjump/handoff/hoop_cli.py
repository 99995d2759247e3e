"""How the gateway's own client, ``hoop``, goes to the gateway with the user's token: its arguments and environment.

The client takes a connection from HOOP_APIURL, HOOP_GRPCURL and HOOP_TOKEN when all three are set, and then reads no
file (its client/config). It is right for roles of the command line, and for commands on databases:

- for other types ``hoop connect`` opens a port that every user of the machine can reach, or starts programs there;
- ``hoop exec`` sends its input, which the gateway keeps as text: UTF-8 without NUL, or it fails.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from hoopjump.decision.session import Verb
from hoopjump.handoff.ssh import HandoffError

_EXECUTES: Final = frozenset({"command-line", "postgres", "mysql"})
_TOKEN: Final = re.compile(rb"[A-Za-z0-9_.-]+\Z")
# The client splits the value of -e at commas.
_TERM: Final = re.compile(rb"[A-Za-z0-9][A-Za-z0-9._+-]{0,63}\Z")


@dataclass(frozen=True, slots=True)
class Endpoint:
    """The gateway as the client reaches it; ``authorities`` is PEM text of the CAs that sign its TLS certificate."""

    api_url: str
    grpc_url: str
    authorities: bytes | None = None
    tls_server_name: str | None = None


@dataclass(frozen=True, slots=True)
class Start:
    """What to start: all of ``environment`` is the client's, which has the token nowhere else.

    ``correlation`` is what the gateway's row of the session is marked with, if it is.
    """

    argv: list[bytes]
    environment: Mapping[bytes, bytes] = field(repr=False)
    correlation: str | None


def serves(protocol: str, verb: Verb) -> bool:
    """Whether the client can carry such a session; ``protocol`` is that of the resource role."""
    return protocol == "command-line" if verb == "connect" else protocol in _EXECUTES


def is_text(data: bytes) -> bool:
    """Whether the gateway can keep this as the input of a session."""
    try:
        return "\0" not in data.decode()
    except UnicodeDecodeError:
        return False


def preamble(command: bytes | None) -> bytes:
    """What stands before the user's own input: the command, as a line, like the gateway's SSH server puts it."""
    return b"" if command is None else command + b"\n"


def start(
    hoop: Path, role: str, verb: Verb, *, endpoint: Endpoint, token: bytes, term: bytes | None, ref: str
) -> Start:
    """The client for one session; ``term`` is the user's TERM where there is a terminal, ``ref`` the session's.

    The client itself runs with ``TERM=dumb``: else it asks the terminal for its colours and waits for up to 10 s. The
    user's TERM goes to the role. Raises :class:`HandoffError` for what is no token.
    """
    if not _TOKEN.match(token):
        raise HandoffError("the token has characters that none has")
    argv = [bytes(hoop), verb.encode(), b"-s"]
    correlation = f"hoopjump-{ref}" if verb == "exec" else None
    if correlation is not None:
        argv += [b"--correlation-id", correlation.encode()]
    if verb == "connect" and term is not None and _TERM.match(term):
        argv += [b"-e", b"TERM=" + term]
    # Whatever the name of a role begins with, it is no option.
    argv += [b"--", role.encode()]
    environment = {
        b"PATH": b"/usr/bin:/bin",
        b"HOME": b"/",
        b"LANG": b"C.UTF-8",
        b"TERM": b"dumb",
        b"HOOP_APIURL": endpoint.api_url.encode(),
        b"HOOP_GRPCURL": endpoint.grpc_url.encode(),
        b"HOOP_DISABLE_VERSION_CHECK": b"true",
        b"HOOP_TOKEN": token,
    }
    if endpoint.authorities is not None:
        environment[b"HOOP_TLSCA"] = b"base64://" + base64.b64encode(endpoint.authorities)
    if endpoint.tls_server_name is not None:
        environment[b"HOOP_TLSSERVERNAME"] = endpoint.tls_server_name.encode()
    return Start(argv, environment, correlation)
