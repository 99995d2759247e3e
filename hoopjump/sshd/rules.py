"""Which configuration of sshd is right: for a login through hoopjump, and for an administrator's beside it.

Pure: looks at an :class:`~hoopjump.sshd.effective.Effective` and nothing else. Sources: sshd_config(5), auth2-pubkey.c
(order of the checks, tokens), auth2-pubkeyfile.c, session.c (environment, what runs before ForceCommand).
"""

from __future__ import annotations

import fnmatch
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from hoopjump.findings import Finding, failure, ok, warning
from hoopjump.sshd.effective import Effective
from hoopjump.sshd.snippets import ACCEPTED_ENVIRONMENT
from hoopjump.sshd.versions import Version

_RENDER: Final = "compare the block of `hoopjump sshd render`"

# Keyword, the only right value, and what another one would open.
_FIXED: Final = (
    ("AuthorizedKeysFile", "none", "a CA key in a file of the user's own would bypass the hook"),
    ("AuthorizedKeysCommand", "none", "it is asked as well, and could let in what the hook refuses"),
    ("AuthorizedPrincipalsFile", "none", "where it names a principal, the hook is not asked"),
    ("ExposeAuthInfo", "yes", "the session hook does not see the certificate"),
    ("PermitListen", "none", "users could listen on the bastion (ssh -R)"),
    ("GatewayPorts", "no", "forwards could listen on public addresses"),
    ("AllowStreamLocalForwarding", "no", "users could reach the bastion's Unix sockets"),
    ("AllowAgentForwarding", "no", "agents could be forwarded to the bastion"),
    ("X11Forwarding", "no", "displays could be forwarded to the bastion"),
    ("PermitTunnel", "no", "users could open network tunnels"),
    ("PermitUserRC", "no", "a file of the user's own would run before the hook"),
    ("PermitUserEnvironment", "no", "files of the user's own could set the session's environment"),
    ("DisableForwarding", "no", "ProxyJump cannot work"),
    ("ChrootDirectory", "none", "the session hook cannot be found in there"),
    ("PermitTTY", "yes", "terminals cannot work"),
)

# What sshd sets for a session only when it applies, and what interpreters and shells take orders from: with a pattern
# in AcceptEnv that covers one of them a client sets it itself (session.c do_setup_env).
_DANGEROUS: Final = (
    "SSH_ORIGINAL_COMMAND",
    "SSH_USER_AUTH",
    "SSH_TTY",
    "SSH_CONNECTION",
    "LD_PRELOAD",
    "LD_LIBRARY_PATH",
    "LD_AUDIT",
    "BASH_ENV",
    "ENV",
    "PYTHONPATH",
    "PATH",
)

_OPTIONS: Final = ("--user=%u", "--key-id=%i", "--serial=%s", "--ca=%F", "--cert=%k")
_TOKENS: Final = frozenset("%FfhiKksTtUu")
_TOKENS_9_4: Final = frozenset("CD")


@dataclass(frozen=True, slots=True)
class Expected:
    """What the configuration of hoopjump asks of sshd's."""

    version: Version
    ca_file: str
    hook_user: str
    forward_targets: Sequence[str]
    login_grace: float


def hook_words(effective: Effective) -> list[str]:
    """The command that sshd runs as AuthorizedPrincipalsCommand, in words; empty when there is none."""
    command = effective.one("AuthorizedPrincipalsCommand")
    return [] if command == "none" else command.split()


def check_login(effective: Effective, expected: Expected) -> Iterator[Finding]:
    """The findings for a login that hoopjump is to decide."""
    yield from _check_hooks(effective, expected)
    yield from _check_authentication(effective, expected)
    for keyword, right, harm in _FIXED:
        found = effective.one(keyword)
        if found.lower() == right:
            yield ok(keyword, found)
        else:
            yield failure(keyword, f"{found}: {harm}", f"{keyword} {right}; {_RENDER}")
    yield _check_forwarding(effective, expected)
    yield _check_environment(effective)
    yield from _check_whole_sshd(effective, expected)


def _check_hooks(effective: Effective, expected: Expected) -> Iterator[Finding]:
    words = hook_words(effective)
    if "principals" not in words:
        hint = _RENDER
        if expected.version < Version(8, 4):
            hint = "OpenSSH 8.2 and 8.3 pass over Match blocks in included files: put the block into the main file"
        yield failure("AuthorizedPrincipalsCommand", "the hook is not asked for this login", hint)
        return
    missing = [option for option in _OPTIONS if option not in words]
    known = _TOKENS | (_TOKENS_9_4 if expected.version >= Version(9, 4) else frozenset())
    unknown = sorted({f"%{token}" for word in words for token in _tokens(word)} - {f"%{token}" for token in known})
    if missing:
        yield failure("AuthorizedPrincipalsCommand", f"lacks {' '.join(missing)}", _RENDER)
    elif unknown:
        text = f"OpenSSH {expected.version} does not know {' '.join(unknown)} and would drop every connection"
        yield failure("AuthorizedPrincipalsCommand", text, _RENDER)
    elif expected.version >= Version(9, 4) and "--connection=%C" not in words:
        text = "the client's address is not handed over"
        yield warning("AuthorizedPrincipalsCommand", text, "add --connection=%C")
    else:
        yield ok("AuthorizedPrincipalsCommand", words[0])
    user = effective.one("AuthorizedPrincipalsCommandUser")
    if user == expected.hook_user:
        yield ok("AuthorizedPrincipalsCommandUser", user)
    else:
        text = f"{user}, but sshd.hook_user of hoopjump's configuration is {expected.hook_user}"
        yield failure("AuthorizedPrincipalsCommandUser", text, _RENDER)
    at = words.index("principals")
    # The hook's own options stand behind its verb; %-tokens stand in the principals command only.
    shared = [word for word in words[at + 1 :] if "%" not in word]
    wanted = " ".join(["exec", *words[:at], "session", *shared])
    forced = effective.one("ForceCommand")
    if forced == wanted:
        yield ok("ForceCommand", forced)
    else:
        yield failure("ForceCommand", f"{forced}: sessions do not go to hoopjump", f"ForceCommand {wanted}")


def _tokens(word: str) -> Iterator[str]:
    pieces = iter(word)
    for char in pieces:
        if char == "%":
            yield next(pieces, "")


def _check_authentication(effective: Effective, expected: Expected) -> Iterator[Finding]:
    methods = effective.one("AuthenticationMethods")
    if {part for alternative in methods.split() for part in alternative.split(",")} == {"publickey"}:
        yield ok("AuthenticationMethods", methods)
    else:
        text = f"{methods}: other ways in than certificates are open"
        yield failure("AuthenticationMethods", text, "AuthenticationMethods publickey")
    algorithms = effective.one("PubkeyAcceptedAlgorithms", "PubkeyAcceptedKeyTypes").split(",")
    plain = [name for name in algorithms if not name.endswith("-cert-v01@openssh.com")]
    if plain:
        yield failure("PubkeyAcceptedAlgorithms", f"plain keys are accepted ({plain[0]})", _RENDER)
    else:
        yield ok("PubkeyAcceptedAlgorithms", f"{len(algorithms)}, all for certificates")
    cas = effective.one("TrustedUserCAKeys")
    if cas == expected.ca_file:
        yield ok("TrustedUserCAKeys", cas)
    else:
        text = f"{cas}, but trust.user_cas of hoopjump's configuration is {expected.ca_file}"
        yield failure("TrustedUserCAKeys", text, f"TrustedUserCAKeys {expected.ca_file}")
    if effective.one("RevokedKeys") == "none":
        hint = "hoopjump krl create FILE, and RevokedKeys FILE in the block"
        yield warning("RevokedKeys", "there is no revocation list, so no certificate can be taken back", hint)


def _check_forwarding(effective: Effective, expected: Expected) -> Finding:
    allowed = effective.one("AllowTcpForwarding").lower()
    targets = set(effective.one("PermitOpen").split())
    if allowed == "no":
        return warning("AllowTcpForwarding", "no: ProxyJump cannot work", "AllowTcpForwarding local")
    if allowed != "local":
        return failure("AllowTcpForwarding", f"{allowed}: users may forward to the bastion", _RENDER)
    beyond = targets - set(expected.forward_targets)
    if beyond - {"none"}:
        return failure("PermitOpen", f"{' '.join(sorted(beyond))}: users may reach more than the gateway", _RENDER)
    if not targets & set(expected.forward_targets):
        wanted = " ".join(expected.forward_targets)
        return warning("PermitOpen", f"{' '.join(sorted(targets))}: ProxyJump cannot work", f"PermitOpen {wanted}")
    return ok("PermitOpen", " ".join(sorted(targets)))


def _check_environment(effective: Effective) -> Finding:
    patterns = [pattern for line in effective.all("AcceptEnv") for pattern in line.split()]
    for pattern in patterns:
        covered = [name for name in _DANGEROUS if fnmatch.fnmatchcase(name, pattern)]
        if covered:
            return failure("AcceptEnv", f"{pattern} lets a client set {covered[0]}", _RENDER)
    missing = [name for name in ACCEPTED_ENVIRONMENT if not any(fnmatch.fnmatchcase(name, item) for item in patterns)]
    if missing:
        return warning("AcceptEnv", f"{' '.join(missing)} does not come through", f"AcceptEnv {' '.join(missing)}")
    return ok("AcceptEnv", " ".join(patterns))


def _check_whole_sshd(effective: Effective, expected: Expected) -> Iterator[Finding]:
    subsystems = [line.split()[0] for line in effective.all("Subsystem") if line]
    if "sftp" not in subsystems:
        hint = "Subsystem sftp /usr/lib/openssh/sftp-server, once for the whole sshd"
        yield warning("Subsystem", "scp and sftp to resource roles of type ssh cannot work", hint)
    start = effective.one("MaxStartups").partition(":")[0]
    if start.isdigit() and int(start) <= 10:
        text = f"from {start} unauthenticated connections on, sshd refuses some: a burst of logins will see it"
        yield warning("MaxStartups", text, "MaxStartups 200:30:400")
    yield from _check_grace(effective, expected)
    penalties = effective.one("PerSourcePenalties").lower()
    if expected.version >= Version(9, 8) and penalties not in ("none", "no"):
        exempt = effective.one("PerSourcePenaltyExemptList")
        if exempt == "none":
            text = "while hoopjump is down, a few denied logins shut out everybody behind the same address"
            yield warning("PerSourcePenalties", text, "name shared addresses in PerSourcePenaltyExemptList")
        else:
            yield ok("PerSourcePenalties", f"exempt: {exempt}")


def _check_grace(effective: Effective, expected: Expected) -> Iterator[Finding]:
    """`sshd -T` prints LoginGraceTime in seconds; 0 is no limit."""
    grace = effective.one("LoginGraceTime")
    if not grace.isdigit():
        return
    if 0 < int(grace) <= expected.login_grace:
        yield ok("LoginGraceTime", f"{grace} s")
        return
    text = (
        f"{grace if int(grace) else 'no limit'}, but sshd.login_grace is {expected.login_grace:g}: "
        "who takes longer to authenticate is let in by sshd and known to hoopjump no more"
    )
    hint = f"set sshd.login_grace to {grace}" if int(grace) else f"LoginGraceTime {expected.login_grace:g}"
    yield warning("LoginGraceTime", text, hint)


def check_administrator(effective: Effective, login: Effective, name: str) -> Iterator[Finding]:
    """The findings for an account that hoopjump must leave alone, beside the configuration of a hoopjump login."""
    rule = f"administrator {name}"
    hooks = [
        keyword
        for keyword in ("AuthorizedPrincipalsCommand", "ForceCommand")
        if effective.one(keyword) != "none" and effective.one(keyword) == login.one(keyword)
    ]
    cas = effective.one("TrustedUserCAKeys")
    if hooks:
        text = f"{' and '.join(hooks)} of hoopjump apply: without the daemon nobody could log in to repair it"
        yield failure(rule, text, "narrow the Match line; a block without one applies to everybody")
    elif cas != "none" and cas == login.one("TrustedUserCAKeys"):
        text = f"the CAs in {cas} open this account too, past the hook"
        yield failure(rule, text, "name TrustedUserCAKeys inside the Match block only")
    else:
        yield ok(rule, "not touched by hoopjump's block")
