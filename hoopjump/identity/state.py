"""What is remembered of the last login, without its secrets, so that the next ssh need not wait.

Loads nothing but the standard library: ``hoopjump login --if-needed`` runs before every ssh.
"""

from __future__ import annotations

import hashlib
import importlib
import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Final

from hoopjump.identity import private_files
from hoopjump.identity.errors import IdentityError

MARGIN: Final = 60
"""Seconds for which a login must still hold, else it is renewed."""


def default_settings() -> Path:
    """Where the settings stand unless told otherwise (XDG Base Directory Specification)."""
    return _xdg("XDG_CONFIG_HOME", ".config") / "hoopjump" / "login.toml"


def _xdg(variable: str, usual: str) -> Path:
    given = os.environ.get(variable, "")
    return Path(given) if given.startswith("/") else Path.home() / usual


@dataclass(frozen=True, slots=True)
class Places:
    """Where one identity's files are: the same for the same settings file, issuer and client."""

    settings: Path
    options: Mapping[str, Any]
    directory: Path
    name: str

    @classmethod
    def of(cls, settings: Path, options: Mapping[str, Any]) -> Places:
        """The places for a settings file, and options over it."""
        told = json.dumps([str(settings.absolute()), options.get("issuer"), options.get("client_id")])
        directory = _xdg("XDG_STATE_HOME", ".local/state") / "hoopjump"
        return cls(settings, options, directory, f"login-{hashlib.sha256(told.encode()).hexdigest()[:16]}")

    @property
    def state(self) -> Path:
        """The file of :class:`State`."""
        return self.directory / f"{self.name}.state"

    @property
    def tokens(self) -> Path:
        """The file of the tokens, where they are kept in one."""
        return self.directory / f"{self.name}.tokens"

    @property
    def lock(self) -> Path:
        """The lock of whoever logs in."""
        return self.directory / f"{self.name}.lock"

    def digest(self) -> str:
        """Of the settings as they are now: the file, and the options."""
        try:
            text = self.settings.read_bytes()
        except FileNotFoundError:
            text = b""
        told = json.dumps(self.options, sort_keys=True).encode()
        return hashlib.sha256(hashlib.sha256(text).digest() + told).hexdigest()


@dataclass(frozen=True, slots=True)
class State:
    """The last login: ``ends`` is when the first of token and certificate ends (Unix seconds).

    ``digest`` is :meth:`Places.digest` of then, ``store`` where the tokens are: "keyring" or "file". ``certificate`` is
    a file, "" without hoopjump-ca, with the SHA-256 of its content; ``key`` the private key's file, "" when ``agent``
    holds it.
    """

    ends: int
    digest: str
    store: str
    certificate: str
    certificate_digest: str
    key: str
    agent: bool

    def write(self, places: Places) -> None:
        """Remember it."""
        private_files.write(places.state, json.dumps(asdict(self)).encode())

    @classmethod
    def read(cls, places: Places) -> State | None:
        """The last login's, None when there is none that can be read."""
        data = private_files.read(places.state)
        try:
            values = json.loads(data) if data else None
        except ValueError:
            return None
        wanted = {field.name: field.type for field in fields(cls)}
        if not isinstance(values, dict) or values.keys() != wanted.keys():
            return None
        if any(type(values[name]).__name__ != kind for name, kind in wanted.items()):
            return None
        return cls(**values)

    @classmethod
    def last(cls, places: Places) -> State | None:
        """As :meth:`read`, and None also when it is not to be believed."""
        try:
            return cls.read(places)
        except IdentityError:
            return None

    def holds(self, places: Places, now: float) -> bool:
        """Whether nothing need be done: everything is there, unchanged, and holds for :data:`MARGIN` seconds."""
        if now + MARGIN >= self.ends or self.digest != places.digest():
            return False
        if not self.certificate:
            return True
        try:
            line = Path(self.certificate).read_bytes()
        except OSError:
            return False
        if hashlib.sha256(line).hexdigest() != self.certificate_digest:
            return False
        if self.agent:
            # The only way that needs sockets; without them ssh waits for a tenth less.
            return bool(importlib.import_module("hoopjump.identity.agent").holds(line))
        return Path(self.key).exists()
