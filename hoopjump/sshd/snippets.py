"""The block of sshd_config, from one source for all versions of OpenSSH.

Sources: sshd_config(5) of 8.2 to 10.5, servconf.c (which keywords a Match block may hold), auth2-pubkey.c (the tokens
of AuthorizedPrincipalsCommand; an unknown one drops every connection at login, and ``sshd -t`` does not see it).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from string import Template
from typing import Final

from hoopjump.errors import HoopjumpError
from hoopjump.sshd.versions import Version, parse

HOOK: Final = "/usr/lib/hoopjump/hook"
DEFAULT_MATCH: Final = "User hoop"

# What a client may send, each by its name (ref: session.c do_setup_env applies AcceptEnv values before its own).
ACCEPTED_ENVIRONMENT: Final = ("HOOP_RESOURCE", "HOOPJUMP_STDIN", "HOOPJUMP_TOKEN")

_ALGORITHMS: Final = (
    "ssh-ed25519-cert-v01@openssh.com",
    "ecdsa-sha2-nistp256-cert-v01@openssh.com",
    "ecdsa-sha2-nistp384-cert-v01@openssh.com",
    "ecdsa-sha2-nistp521-cert-v01@openssh.com",
    "sk-ssh-ed25519-cert-v01@openssh.com",
    "sk-ecdsa-sha2-nistp256-cert-v01@openssh.com",
    "rsa-sha2-512-cert-v01@openssh.com",
    "rsa-sha2-256-cert-v01@openssh.com",
)

_GUARD: Final = re.compile(r"\[(?:\?(?P<name>[a-z]+)|(?P<first>[\d.]*?)\.\.(?P<last>[\d.]*))\] (?P<rest>.*)\Z")
# sshd splits the hook's command at white space, 8.2 ends it at `#`, and the account's shell reads ForceCommand.
_PLAIN_WORD: Final = re.compile(r"[A-Za-z0-9/._@:=+,\[\]-]+\Z")
_MATCH: Final = re.compile(r"[A-Za-z0-9/._@:=+,*?!\[\] -]+\Z")


class SnippetError(HoopjumpError):
    """A value cannot stand in sshd's configuration."""


def render(
    version: Version,
    *,
    ca_file: Path | str,
    forward_targets: Sequence[str],
    match: str = DEFAULT_MATCH,
    hook: str = HOOK,
    hook_user: str = "hoopjump-hook",
    socket: Path | str | None = None,
    krl: Path | str | None = None,
    accept_env: Sequence[str] = ACCEPTED_ENVIRONMENT,
    exempt: Sequence[str] = (),
) -> str:
    """The block for one version of OpenSSH, ending in a newline.

    ``hook`` is the command of the hook: one absolute path, or several plain words with an absolute path first
    (``/usr/bin/python3 -ISE /src/hook.py``); ``socket`` is handed to it where it is not the usual one.
    ``forward_targets`` are ``host:port``; none means no forwarding at all. ``exempt`` are addresses for
    PerSourcePenaltyExemptList, which is printed as a comment, since it is no setting of a Match block.

    Raises :class:`SnippetError` for a value that sshd or a shell would read as something else.
    """
    words = hook.split(" ")
    if not words[0].startswith("/"):
        raise SnippetError(f"the hook {hook!r} must be an absolute path")
    for word in (
        *words,
        hook_user,
        str(ca_file),
        *forward_targets,
        *accept_env,
        *exempt,
        str(socket or "/"),
        str(krl or "/"),
    ):
        _plain(word)
    if not _MATCH.match(match):
        raise SnippetError(f"the Match criteria {match!r} hold characters that sshd would misread")
    values = {
        "version": str(version),
        "match": match,
        "hook": hook,
        "hook_options": f" --socket={socket}" if socket else "",
        "hook_user": hook_user,
        "ca_file": str(ca_file),
        "krl": str(krl) if krl else "",
        "forward": " ".join(forward_targets),
        "noforward": "" if forward_targets else "yes",
        "algorithms": ",".join(_ALGORITHMS),
        "accept_env": " ".join(accept_env),
        "exempt": ",".join(exempt) if exempt else "192.0.2.0/24,2001:db8::/32",
    }
    return "".join(f"{line}\n" for line in _lines(_source(), version, values))


def _plain(word: str) -> None:
    if not _PLAIN_WORD.match(word):
        raise SnippetError(
            f"{word!r} cannot stand in sshd's configuration", "letters, digits and / . _ @ : = + , - [ ] are safe there"
        )


def _source() -> str:
    packaged = resources.files("hoopjump.sshd").joinpath("hoopjump.conf.in")
    if packaged.is_file():
        return packaged.read_text(encoding="utf-8")
    return (Path(__file__).parents[2] / "sshd_snippets" / "hoopjump.conf.in").read_text(encoding="utf-8")


def _lines(source: str, version: Version, values: Mapping[str, str]) -> list[str]:
    # What stands above the first #! explains the source; it is not part of the block.
    body = source.split("\n#!\n", 1)[1].splitlines()
    chosen = []
    for line in body:
        if line.startswith("#!"):
            continue
        guard = _GUARD.match(line)
        if guard and not _applies(guard, version, values):
            continue
        chosen.append(Template(guard["rest"] if guard else line).substitute(values))
    return chosen


def _applies(guard: re.Match[str], version: Version, values: Mapping[str, str]) -> bool:
    if guard["name"]:
        return bool(values[guard["name"]])
    first, last = guard["first"], guard["last"]
    return (not first or version >= parse(first)) and (not last or version <= parse(last))
