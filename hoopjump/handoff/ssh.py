"""How the system's ssh goes to the gateway: its configuration file, arguments and environment.

The configuration is the only one ssh reads (``-F``), so nothing of the account or the machine takes part. Only options
that OpenSSH 8.2 knows stand in it; what has a safe default since (KnownHostsCommand, for one) is left out.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from hoopjump.decision.keys import read_public_key
from hoopjump.decision.wire import FormatError
from hoopjump.errors import HoopjumpError

# sockaddr_un(7): 108 bytes with the final NUL.
SOCKET_PATH_LIMIT: Final = 107
# execve(2), MAX_ARG_STRLEN: 128 KiB a word with the final NUL.
WORD_LIMIT: Final = 128 * 1024 - 1

# ssh_config(5) expands % and $ in some values and knows quotes; a value with any of these is refused, not escaped.
_USER: Final = re.compile(r"[A-Za-z0-9._@:|+][A-Za-z0-9._@:|+-]{0,254}\Z")
_HOST: Final = re.compile(r"[A-Za-z0-9:][A-Za-z0-9.:_-]{0,254}\Z")
_PATH: Final = re.compile(r"/[A-Za-z0-9._/+@:, -]*\Z")
_TERM: Final = re.compile(rb"[A-Za-z0-9][A-Za-z0-9._+-]{0,63}\Z")


class HandoffError(HoopjumpError):
    """A session cannot be handed over; the message is for the log."""


class LoginNameError(HandoffError):
    """The user's name cannot be ssh's login name at the gateway."""


@dataclass(frozen=True, slots=True)
class Destination:
    """The gateway as one session reaches it: ``user`` is the principal of the handoff certificate.

    ``connect_timeout`` is in seconds and ends with the key exchange (ssh_config(5) ConnectTimeout).
    """

    host: str
    port: int
    user: str
    agent_socket: Path
    known_hosts: Path
    connect_timeout: int


def config_text(destination: Destination, relay: str | None = None) -> str:
    """The ssh_config(5) text of one session; raises :class:`HandoffError` for a value that cannot stand in it.

    ``User`` stands here because ssh refuses login names such as ``auth0|1`` as arguments. ``relay`` is the command line
    of the hook, where its verb ``relay`` shall carry the connection.
    """
    if not _USER.match(destination.user):
        raise LoginNameError(f"the login name {destination.user!a} cannot stand in an ssh configuration")
    socket = _path(destination.agent_socket)
    if len(socket.encode()) > SOCKET_PATH_LIMIT:
        raise HandoffError("the path of the agent socket is too long; shorten daemon.state_dir")
    rows = (
        ("HostName", _matching(_HOST, destination.host, "host")),
        ("Port", str(destination.port)),
        ("User", f'"{destination.user}"'),
        # One key, held by the daemon; nothing to ask a person for.
        ("IdentityAgent", f'"{socket}"'),
        ("IdentityFile", "none"),
        ("IdentitiesOnly", "no"),
        ("PreferredAuthentications", "publickey"),
        ("BatchMode", "yes"),
        # One host with one key, pinned.
        ("UserKnownHostsFile", f'"{_path(destination.known_hosts)}"'),
        ("GlobalKnownHostsFile", "/dev/null"),
        ("StrictHostKeyChecking", "yes"),
        ("CheckHostIP", "no"),
        ("VerifyHostKeyDNS", "no"),
        ("UpdateHostKeys", "no"),
        ("CanonicalizeHostname", "no"),
        # The gateway serves every channel of a connection with the first one's resource role.
        ("ControlMaster", "no"),
        ("ControlPath", "none"),
        ("ControlPersist", "no"),
        # Whichever stands first switches the other off.
        ("ProxyCommand", "none" if relay is None else f"{_matching(_PATH, relay, 'relay')} relay %h %p"),
        ("ProxyJump", "none"),
        # Bytes pass as they are, and nothing else passes.
        ("EscapeChar", "none"),
        ("ForwardAgent", "no"),
        ("ForwardX11", "no"),
        ("ClearAllForwardings", "yes"),
        ("Tunnel", "no"),
        ("PermitLocalCommand", "no"),
        ("LogLevel", "ERROR"),
        ("ConnectTimeout", str(destination.connect_timeout)),
        ("ServerAliveInterval", "15"),
        ("ServerAliveCountMax", "4"),
    )
    return "".join(["Host gateway\n", *(f"  {name} {value}\n" for name, value in rows)])


def arguments(ssh: Path, config: Path, command: bytes, *, terminal: bool) -> list[bytes]:
    """The argument list of ssh; the remote command is one word, whatever it holds.

    Raises :class:`HandoffError` for a command that execve(2) cannot carry.
    """
    if not command or b"\0" in command or len(command) > WORD_LIMIT:
        raise HandoffError("the command cannot be an argument")
    pty = b"-tt" if terminal else b"-T"
    return [bytes(ssh), b"-F", bytes(config), pty, b"gateway", b"--", command]


def epilogue(host: str) -> str:
    """What ssh says last, log level or not, when the server closes before it does (clientloop.c quit_message).

    The gateway does so after every exit status, so it means nothing.
    """
    return f"Connection to {host} closed by remote host.\r\n"


def environment(term: bytes | None) -> Mapping[bytes, bytes]:
    """The whole environment of ssh; ``term`` is the user's TERM when there is a terminal."""
    base = {b"PATH": b"/usr/bin:/bin", b"HOME": b"/", b"LANG": b"C.UTF-8"}
    if term is not None:
        base[b"TERM"] = term if _TERM.match(term) else b"dumb"
    return base


def _matching(pattern: re.Pattern[str], value: str, what: str) -> str:
    if not pattern.match(value):
        raise HandoffError(f"the {what} {value!a} cannot stand in an ssh configuration")
    return value


def _path(path: Path) -> str:
    return _matching(_PATH, str(path), "path")


def host_keys(known_hosts: bytes) -> frozenset[bytes]:
    """The blobs of the plain keys in a known_hosts file (sshd(8)); marked lines (``@``) and damaged ones count not."""
    found = set()
    for line in known_hosts.splitlines():
        words = line.split(maxsplit=1)
        if len(words) == 2 and not words[0].startswith((b"#", b"@")):
            with contextlib.suppress(FormatError):
                found.add(read_public_key(words[1]).blob)
    return frozenset(found)
