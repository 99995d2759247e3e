"""Secrets, which stand in a configuration file by reference only.

``credential:NAME`` is one of systemd's ``$CREDENTIALS_DIRECTORY``, ``file:/path`` a file (mode 0600 or stricter; owned
by the reader or root, unless root reads).
"""

from __future__ import annotations

import os
import pwd
import re
import stat
from pathlib import Path
from typing import Annotated, Final

from pydantic import AfterValidator

from hoopjump.config.fault import ConfigError
from hoopjump.config.kinds import HIDDEN

# systemd hands them to the service alone; where they come from, by the names in the units.
_COMMANDS: Final = "in a shell: --api-key file:/etc/hoopjump/gateway-api-key --handoff-ca /etc/hoopjump/handoff-ca.pub"
_TRIAL: Final = "in a shell: by systemd-run with LoadCredential=, as docs/ca.md has it"
_ANYWHERE: Final = "the service alone gets them; elsewhere name a file: file:/PATH"
_ELSEWHERE: Final = {
    "gateway-api-key": _COMMANDS,
    "handoff-ca": _COMMANDS,
    "user-ca": _TRIAL,
    "token-key": _TRIAL,
}

SECRET_LIMIT: Final = 64 * 1024
SECRET_REFERENCE: Final = re.compile(r"(credential:[A-Za-z0-9._-]+|file:/[^\0]+)\Z")


def _secret_reference(value: str) -> str:
    if not SECRET_REFERENCE.match(value):
        raise ValueError("must be credential:NAME or file:/PATH (secrets never stand in this file)")
    return value


SecretReference = Annotated[str, AfterValidator(_secret_reference), HIDDEN]


def secret_path(reference: str) -> Path:
    """The file behind a reference; raises :class:`ConfigError` where there are no credentials."""
    kind, _, rest = reference.partition(":")
    if kind == "credential":
        directory = os.environ.get("CREDENTIALS_DIRECTORY")
        if not directory:
            raise ConfigError(f"{reference}: there are no systemd credentials here", _ELSEWHERE.get(rest, _ANYWHERE))
        return Path(directory) / rest
    return Path(rest)


def _own_name() -> str:
    uid = os.geteuid()
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"uid {uid}"


def read_secret(reference: str) -> str:
    """The secret behind a reference, without a final newline.

    Raises :class:`ConfigError` when it is missing, too large, not text, or may be read by others.
    """
    path = secret_path(reference)
    kind = reference.partition(":")[0]
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOCTTY | os.O_NONBLOCK)
    except OSError as error:
        denied = kind == "file" and isinstance(error, PermissionError)
        hint = f"chown {_own_name()} {path}, or name it by credential:NAME" if denied else ""
        raise ConfigError(f"{reference}: {error.strerror}", hint) from error
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise ConfigError(f"{reference}: not a regular file")
        # Root reads what belongs to the daemon's user, too: the command line works with the daemon's own files.
        strange = os.geteuid() != 0 and status.st_uid not in (0, os.geteuid())
        if kind == "file" and (strange or status.st_mode & 0o077):
            owners = f"must belong to {_own_name()} or root and" if strange else "must"
            raise ConfigError(
                f"{reference}: {owners} be readable by nobody else",
                f"chown {_own_name()} {path}; chmod 0600 {path}" if strange else f"chmod 0600 {path}",
            )
        data = os.read(descriptor, SECRET_LIMIT + 1)
    finally:
        os.close(descriptor)
    if len(data) > SECRET_LIMIT:
        raise ConfigError(f"{reference}: larger than {SECRET_LIMIT} bytes")
    try:
        return data.decode().removesuffix("\n")
    except UnicodeDecodeError as error:
        raise ConfigError(f"{reference}: not text") from error
