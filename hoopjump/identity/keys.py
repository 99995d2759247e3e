"""The SSH key that is certified: a file that is there or is made, or a new one that the ssh-agent alone holds."""

from __future__ import annotations

import getpass
import shutil
import socket
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Protocol

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from hoopjump.decision.keys import read_public_key
from hoopjump.decision.possession import NAMESPACE
from hoopjump.decision.wire import FormatError
from hoopjump.identity import agent, private_files
from hoopjump.identity.errors import IdentityError
from hoopjump.identity.settings import LoginSettings

PUBLIC: Final = 0o644
_KEY_LIMIT: Final = 64 * 1024
_TOUCH_SECONDS: Final = 120
# How long the agent holds a new key that is not certified yet.
_UNCERTIFIED_SECONDS: Final = 120


class Key(Protocol):
    """A key to certify."""

    @property
    def line(self) -> str:
        """The public key, as ssh writes it."""

    def sign(self, text: bytes) -> str:
        """An SSH signature (PROTOCOL.sshsig) over ``text`` in our namespace; raises :class:`IdentityError`."""

    def keep(self, certificate: bytes, ends: int) -> None:
        """Take the certificate (its blob), which ends at ``ends``, to where the key is."""


@dataclass(frozen=True, slots=True)
class FileKey:
    """A key by its file; what signs may be the file, the agent, or a device that it names."""

    path: Path
    line: str

    def sign(self, text: bytes) -> str:
        """Sign with ``ssh-keygen``, which asks the person for what it needs."""
        return _sign(self.path, self.line, text)

    def keep(self, certificate: bytes, ends: int) -> None:
        """Nothing: ssh finds the certificate beside the key."""


@dataclass(frozen=True, slots=True)
class AgentKey:
    """A new Ed25519 key, in memory and in the agent."""

    public: Path
    line: str
    private: Ed25519PrivateKey = field(repr=False)

    def sign(self, text: bytes) -> str:
        """Sign with ``ssh-keygen``, which asks the agent."""
        self._add(_UNCERTIFIED_SECONDS)
        try:
            return _sign(self.public, self.line, text)
        finally:
            agent.remove(self.line.encode())

    def keep(self, certificate: bytes, ends: int) -> None:
        """Give it to the agent with its certificate, until that ends."""
        self._add(ends - int(time.time()), certificate)

    def _add(self, seconds: int, certificate: bytes | None = None) -> None:
        seed = self.private.private_bytes_raw()
        public = self.private.public_key().public_bytes_raw()
        agent.add_ed25519(seed, public, seconds, "hoopjump login", certificate)


def find_key(settings: LoginSettings) -> Key:
    """The key to certify, made when there is none; raises :class:`IdentityError`."""
    if settings.keep == "agent":
        return _new_agent_key(settings)
    if not settings.key.exists() and not settings.public_key.exists():
        _make(settings)
    return FileKey(settings.key if settings.key.exists() else settings.public_key, _read_line(settings))


def _new_agent_key(settings: LoginSettings) -> AgentKey:
    if settings.key.exists():
        raise IdentityError(
            "key-unusable",
            f'{settings.key} is a private key, and keep = "agent" makes new ones',
            'name another `key`, or set keep = "file"',
        )
    private = Ed25519PrivateKey.generate()
    line = _line(private)
    _make_directory(settings.directory)
    # ssh finds the agent's key by this file.
    private_files.write(settings.public_key, f"{line}\n".encode(), PUBLIC)
    return AgentKey(settings.public_key, line, private)


def _make(settings: LoginSettings) -> None:
    private = Ed25519PrivateKey.generate()
    _make_directory(settings.directory)
    private_files.write(settings.public_key, f"{_line(private)}\n".encode(), PUBLIC)
    private_files.write(settings.key, private.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()))


def _make_directory(path: Path) -> None:
    path.mkdir(mode=0o700, parents=True, exist_ok=True)


def _line(private: Ed25519PrivateKey) -> str:
    public = private.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()
    return f"{public} {getpass.getuser()}@{socket.gethostname()}"


def _read_line(settings: LoginSettings) -> str:
    path = settings.public_key
    if not path.exists():
        raise IdentityError(
            "key-unusable", f"{path} is missing", f"ssh-keygen -y -f {settings.key} prints what belongs there"
        )
    with path.open("rb") as file:
        data = file.read(_KEY_LIMIT)
    try:
        read_public_key(data)
        return data.decode("ascii").strip()
    except (FormatError, UnicodeDecodeError) as error:
        raise IdentityError("key-unusable", f"{path}: {error}") from error


def _sign(path: Path, line: str, text: bytes) -> str:
    program = shutil.which("ssh-keygen")
    if program is None:
        raise IdentityError("key-unusable", "ssh-keygen is missing", "install OpenSSH's client")
    # A device wants to be touched, and ssh-keygen says so on stderr; of other keys there is nothing to say.
    device = line.startswith("sk-")
    argv = [program, "-Y", "sign", *([] if device else ["-q"]), "-n", NAMESPACE, "-f", str(path)]
    try:
        done = subprocess.run(
            argv,
            input=text,
            stdout=subprocess.PIPE,
            stderr=None if device else subprocess.PIPE,
            timeout=_TOUCH_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise IdentityError("key-unusable", f"{path}: nobody has unlocked the key in time") from error
    if done.returncode != 0:
        said = (done.stderr or b"").decode(errors="replace").strip().splitlines()
        raise IdentityError("key-unusable", f"{path} cannot sign: {said[-1] if said else 'ssh-keygen failed'}")
    return done.stdout.decode("ascii")
