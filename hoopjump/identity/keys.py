"""The SSH key that is certified: a file that is there or is made, or a new one that the ssh-agent alone holds."""

from __future__ import annotations

import contextlib
import getpass
import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
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
# For a passphrase, a PIN or a touch; hoopjump-ca takes no proof that is older than 60 s.
_UNLOCK_SECONDS: Final = 50
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
    # What ssh-keygen says goes into our sentence; of a device it says at once that it waits for a touch.
    device = line.startswith("sk-")
    with tempfile.TemporaryDirectory(prefix="hoopjump-") as directory, _terminal() as terminal:
        # On stdin, the statement's first line would be taken for passphrase or PIN where there is no terminal.
        statement = Path(directory, "statement")
        statement.write_bytes(text)
        argv = [program, "-q", "-Y", "sign", "-n", NAMESPACE, "-f", str(path), str(statement)]
        status, said = _run(argv, terminal, None if device else subprocess.PIPE)
        if status is None:
            hint = "a device blinks while it waits for a touch" if device else "ssh-add has the agent keep it unlocked"
            raise IdentityError("key-unusable", f"{path}: nobody has unlocked the key within {_UNLOCK_SECONDS} s", hint)
        if status == 0:
            return statement.with_name("statement.sig").read_text("ascii")
    if device:
        raise IdentityError("key-unusable", f"{path} cannot sign; see above", "is the device plugged in?")
    lines = said.decode(errors="replace").strip().splitlines()
    raise IdentityError("key-unusable", f"{path} cannot sign: {lines[-1] if lines else 'ssh-keygen failed'}")


@contextlib.contextmanager
def _terminal() -> Iterator[int]:
    """Where passphrases and PINs are typed: the terminal, also where ssh has started us; ssh-askpass without one."""
    try:
        terminal = os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY)
    except OSError:
        terminal = os.open(os.devnull, os.O_RDONLY)
    try:
        yield terminal
    finally:
        os.close(terminal)


def _run(argv: list[str], stdin: int, stderr: int | None) -> tuple[int | None, bytes]:
    """Exit status, None when there was none in time, and what was said on ``stderr`` if that is a pipe."""
    with subprocess.Popen(argv, stdin=stdin, stdout=subprocess.DEVNULL, stderr=stderr) as process:
        try:
            _, said = process.communicate(timeout=_UNLOCK_SECONDS)
        except subprocess.TimeoutExpired:
            # With this signal it gives the terminal its echo back; a stopped one does not hear it.
            process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(1)
            process.kill()
            return None, b""
        return process.returncode, said or b""
