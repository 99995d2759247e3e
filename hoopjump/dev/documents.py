"""The documents that are made from the program: ``python -m hoopjump.dev.documents`` writes them into ``docs/``.

A test compares what is there with what would be written, so a document cannot say something else than the program.
"""

from __future__ import annotations

import importlib
import inspect
import types
from collections.abc import Callable, Iterator
from enum import Enum
from pathlib import Path
from typing import Any, Final, Literal, Union, get_args, get_origin

import click
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from hoopjump.ca.settings import CaConfig
from hoopjump.cli.main import COMMANDS
from hoopjump.cli.main import hoopjump as program
from hoopjump.config import Config
from hoopjump.config.written import written
from hoopjump.decision.reasons import Reason
from hoopjump.dev import programs
from hoopjump.identity.settings import LoginSettings

DOCS: Final = programs.CHECKOUT / "docs"

_CONFIGURATION: Final = """# Configuration

hoopjump reads one TOML file, `/etc/hoopjump/hoopjump.toml`, or the one named with `--config`. It is read strictly: an
unknown key, a bad value, or one of another kind (`"30"` for `30`) is an error with file, line and what is wanted.
Secrets stand in it by reference only: `credential:NAME` is a systemd credential of the daemon (`LoadCredential=`),
`file:/PATH` a file that belongs to its reader or to root and that nobody else can read. The file itself must belong to
root or to its reader, and nobody else may be able to write it.

Two keys have no default; this is a whole configuration:

```toml
[gateway]
api_url = "https://hoop.example.com"
ssh_host = "hoop.example.com"
```

The daemon reads the file when it starts: `systemctl restart hoopjumpd` loses no login. The file of `trust.user_cas` is
looked at anew for every login. Nobody is let in while the daemon cannot start, so try a changed file first: every
command of `hoopjump` reads it in the same strict way, `hoopjump --config NEW keys list` for one.

`audit.file` grows without bound. Rotate it by renaming (logrotate's default); the daemon needs no signal. `hoopjump
explain` also looks into the file before, if that is named `.1` and not compressed (`delaycompress`).
"""

_REASONS: Final = """# Reasons

Every refusal has a reason with a stable code. The user reads its sentence (with `{…}` filled in) and a reference; the
log and the audit trail have code and reference; `hoopjump explain REFERENCE` shows the rest. The exit status is that
of the ssh command in a refused session (sysexits.h). Who was let in has the reason `allowed`.
"""

_GROUPS: Final = {
    Reason.CERT_MALFORMED: """
## The certificate is wrong

Denied at authentication. sshd shows the user nothing but `Permission denied (publickey)`, and ssh exits with 255; the
sentence is in the log.
""",
    Reason.CERT_NO_IDENTITY: """
## The certificate is good, and its owner may not go on

The login is let in to nothing, neither session nor forward, and the session hook says why. It is not denied, since from
OpenSSH 9.8 on a denial counts against the source address, and tells the user nothing.
""",
    Reason.LOGIN_UNKNOWN: """
## The session is refused

sshd drops what a subsystem says on standard error, so sftp, and scp from OpenSSH 9.0 on, are refused in their own
protocol. sftp (from 8.9 on) and `scp -r` to the bastion show the sentence; other copies show what kind of failure it
is: `Operation unsupported` where no transfer can be, `No connection` where something is down, else `Permission denied`.
The sentence is in the log; `scp -O` and `ssh` show it.
""",
    Reason.TOKEN_MALFORMED: """
## The token is refused

Whoever verifies a token says which rule it breaks: the login or session that came with it, `hoopjump token verify`, or
hoopjump-ca; [tokens](tokens.md) has the rules. The log has a detail as well, and never any part of a signature.
""",
    Reason.CLIENT_TOKEN_MISSING: """
## The session is not handed to the gateway's own client

Where the client of a resource role is `hoop`; [handing over](handoff.md) has what it takes and why.
""",
    Reason.REQUEST_MALFORMED: """
## hoopjump-ca issues no certificate

Answered as JSON with `reason`, `sentence` and `ref`; [hoopjump-ca](ca.md) has the HTTP status of each. A token that is
refused has a reason of the list above.
""",
    Reason.PEER_NOT_ALLOWED: """
## The machinery
""",
}

_CLI: Final = """# Command line

`hoopjump` is the administrator's tool; of its users, who need none of it, `login`, `logout` and `whoami` are
([logging in](login.md)). Answers go to stdout, everything said about them to stderr. Exit status: 0 done, 1 failed or
refused, 2 wrong usage or configuration. Colour only on a terminal, and not where `NO_COLOR` is set.
`HOOPJUMP_DEBUG=1` adds a traceback to an unforeseen error.
"""


_CA_CONFIGURATION: Final = """
# hoopjump-ca

[hoopjump-ca](ca.md) reads a file of its own, `/etc/hoopjump/ca.toml`, or the one named with `--config`, by the same
rules. It reads it when it starts; `hoopjump-ca --config NEW --check` tries a changed one first, and wants its
credentials for that ([step 4](ca.md#setting-it-up)).
"""

_CA_ISSUERS: Final = """
## [[issuer]] of ca.toml

An issuer whose tokens get certificates; a table for each, at least one. The keys are those of `[[tokens.issuer]]`
above. The user claim is the principal, `user_attribute` does not matter, and no issuer can be `bound`.
"""

_LOGIN_CONFIGURATION: Final = """
# hoopjump login

[`hoopjump login`](login.md), `logout` and `whoami` read a file of their user's, `~/.config/hoopjump/login.toml`, or the
one named with `--settings`, by the same rules.
"""


def configuration() -> str:
    """docs/configuration.md, from the descriptions in the models of our configuration files."""
    parts = [_CONFIGURATION]
    for name, field in Config.model_fields.items():
        parts += _section(f"[{name}]", field.annotation)
    parts.append(_CA_CONFIGURATION)
    for name, field in CaConfig.model_fields.items():
        if not _is_tables(field.annotation):
            parts += _section(f"[{name}] of ca.toml", _model_of(field.annotation))
    parts.append(_CA_ISSUERS)
    parts.append(_LOGIN_CONFIGURATION)
    parts += _section("login.toml", LoginSettings)
    return "".join(parts)


def _model_of(annotation: Any) -> Any:  # noqa: ANN401 - an annotation may be anything
    """The section, also of one that may be absent."""
    return next((one for one in get_args(annotation) if one is not type(None)), annotation)


def _section(header: str, section: Any) -> Iterator[str]:  # noqa: ANN401 - an annotation may be anything
    assert isinstance(section, type)
    assert issubclass(section, BaseModel)
    yield f"\n## {header}\n\n{inspect.getdoc(section)}\n\n| key | value | default | meaning |\n|---|---|---|---|\n"
    tables = {name: field for name, field in section.model_fields.items() if _is_tables(field.annotation)}
    yield from (_row(key, value) for key, value in section.model_fields.items() if key not in tables)
    for name, field in tables.items():
        yield from _section(f"[[{header[1:-1]}.{name}]]", get_args(field.annotation)[0])


def _is_tables(annotation: Any) -> bool:  # noqa: ANN401 - an annotation may be anything
    element = next(iter(get_args(annotation)), None)
    return get_origin(annotation) is tuple and isinstance(element, type) and issubclass(element, BaseModel)


def _row(key: str, field: FieldInfo) -> str:
    if field.is_required():
        default = "none; must be given"
    else:
        value = field.get_default(call_default_factory=True)
        default = "not set" if value is None else f"`{written(value)}`"
    return f"| `{key}` | {_kind(field.annotation)} | {default} | {field.description} |\n"


def _kind(annotation: Any) -> str:  # noqa: ANN401 - an annotation may be anything
    """What a person may write for a type."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        return ", ".join(f'`"{choice}"`' for choice in arguments)
    if origin in (Union, types.UnionType):
        return _kind(next(argument for argument in arguments if argument is not type(None)))
    if hasattr(annotation, "__metadata__"):
        return _kind(arguments[0])
    names: dict[object, str] = {bool: "true, false", int: "integer", float: "number", str: "text", Path: "path"}
    if annotation in names:
        return names[annotation]
    if origin is dict:
        kind = _kind(arguments[1])
        return "table of lists" if kind == "list of text" else f"table of {kind}"
    return {tuple: "list of text"}[origin or annotation]


def reasons() -> str:
    """docs/reasons.md, from :mod:`hoopjump.decision.reasons`."""
    parts = [_REASONS]
    for reason in Reason:
        if reason is Reason.ALLOWED:
            continue
        if reason in _GROUPS:
            parts.append(f"{_GROUPS[reason]}\n| code | sentence | next step | exit |\n|---|---|---|---|\n")
        value = reason.value
        parts.append(f"| `{value.code}` | {_cell(value.sentence)} | {_cell(value.hint)} | {value.exit_status} |\n")
    return "".join(parts)


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def command_line() -> str:
    """docs/cli.md, from the help of every command."""
    parts = [_CLI]
    for path, command in _commands():
        parts.append(f"\n## {path}\n\n```text\n{_help(path, command)}\n```\n")
    return "".join(parts)


def _commands() -> Iterator[tuple[str, click.Command]]:
    yield "hoopjump", program
    for name, (module, _) in COMMANDS.items():
        command = getattr(importlib.import_module(f"hoopjump.cli.{module}"), name)
        assert isinstance(command, click.Command)
        yield f"hoopjump {name}", command
        if isinstance(command, click.Group):
            for verb, below in sorted(command.commands.items()):
                yield f"hoopjump {name} {verb}", below


def _help(path: str, command: click.Command) -> str:
    context = click.Context(command, info_name=path, terminal_width=100, max_content_width=100)
    context.help_option_names = ["-h", "--help"]
    return "\n".join(line.rstrip() for line in command.get_help(context).splitlines())


class Document(Enum):
    """A made document: its name in ``docs/``, and what makes it."""

    CONFIGURATION = ("configuration.md", configuration)
    REASONS = ("reasons.md", reasons)
    COMMAND_LINE = ("cli.md", command_line)

    def __init__(self, file: str, make: Callable[[], str]) -> None:
        self.file = file
        self.make = make


def main() -> None:
    """Write all of them."""
    for document in Document:
        (DOCS / document.file).write_text(document.make(), encoding="utf-8")
        print(f"docs/{document.file}")


if __name__ == "__main__":
    main()
