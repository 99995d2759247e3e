"""What the tests of the stand-in gateway share: a CA, certificates made by ssh-keygen, and the ssh client."""

from __future__ import annotations

import hashlib
import re
import subprocess
from pathlib import Path

import pexpect

from hoopjump.dev.gateway import Ready

USERS = "alice@x.io", "bob@x.io"


def keygen(*arguments: object) -> None:
    """Run ssh-keygen."""
    subprocess.run(
        ["ssh-keygen", "-q", *map(str, arguments)], check=True, stdin=subprocess.DEVNULL, capture_output=True
    )


def interrupts_and_ends(terminal: pexpect.spawn[str]) -> None:
    """Ctrl-C ends what runs in a shell, and not the shell; its exit status comes through."""
    terminal.sendline("echo 'sle'eps; sleep 60; echo woke")
    terminal.expect("sleeps")
    terminal.send("\x03")
    terminal.sendline("echo status $?; exit 3")
    terminal.expect("status 130")
    terminal.expect(pexpect.EOF)
    terminal.wait()
    assert terminal.exitstatus == 3


class Authority:
    """A CA and the certificates it signs."""

    def __init__(self, directory: Path, name: str = "ca") -> None:
        self.directory = directory
        self.key = directory / name
        keygen("-t", "ed25519", "-N", "", "-C", name, "-f", self.key)
        self.line = self.key.with_suffix(".pub").read_text().strip()
        self._made = 0

    def sign(
        self,
        principals: str = "alice@x.io",
        *options: str,
        validity: str = "-5m:+1h",
        key_id: str = "some key id",
        kind: str = "ed25519",
        host: bool = False,
    ) -> Path:
        """A key with a certificate; returns the private key's path."""
        self._made += 1
        key = self.directory / f"{self.key.name}-{self._made}"
        keygen("-t", kind, "-N", "", "-f", key)
        extras = [word for option in options for word in ("-O", option)]
        names = ["-n", principals] if principals else []
        keygen("-s", self.key, "-I", key_id, "-V", validity, *names, *extras, *(["-h"] if host else []), f"{key}.pub")
        return key


class Client:
    """The OpenSSH client, set to use one key and nothing of the machine's configuration."""

    def __init__(self, ready: Ready, directory: Path) -> None:
        self.ready = ready
        self.known_hosts = directory / "known_hosts"
        self.trust_host_key(ready.host_key)

    def trust_host_key(self, key: str) -> None:
        """Expect this host key from now on."""
        self.known_hosts.write_text(f"[127.0.0.1]:{self.ready.ssh_port} {key}\n")

    def command(self, key: Path, *words: str, login: str = "alice@x.io", options: tuple[str, ...] = ()) -> list[str]:
        """The argv of an ssh."""
        config = key.with_name(f"{key.name}-{hashlib.sha256(login.encode()).hexdigest()[:8]}.conf")
        if not config.exists():
            config.write_text(f"User {login}\n")
        return [
            "ssh", "-F", str(config), "-p", str(self.ready.ssh_port), "-i", str(key),
            "-o", "IdentitiesOnly=yes", "-o", "BatchMode=yes", "-o", f"UserKnownHostsFile={self.known_hosts}",
            "-o", "StrictHostKeyChecking=yes", *options, "127.0.0.1", *words,
        ]  # fmt: skip

    def run(
        self,
        key: Path,
        *words: str,
        login: str = "alice@x.io",
        options: tuple[str, ...] = (),
        stdin: bytes | None = None,
    ) -> subprocess.CompletedProcess[bytes]:
        """Run an ssh to its end; without ``stdin`` its input is /dev/null."""
        return subprocess.run(
            self.command(key, *words, login=login, options=options),
            input=stdin,
            stdin=subprocess.DEVNULL if stdin is None else None,
            capture_output=True,
            timeout=60,
            check=False,
        )

    def start(self, key: Path, *words: str, options: tuple[str, ...] = ()) -> subprocess.Popen[bytes]:
        """Start an ssh with pipes."""
        return subprocess.Popen(
            self.command(key, *words, options=options),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )


def without_farewell(stderr: bytes) -> bytes:
    """What ssh wrote but for its remarks that the server closed first: whether they come is a race."""
    remarks = re.compile(rb"Connection to \S+ closed.*|client_loop: send disconnect: .*")
    return b"".join(line for line in stderr.splitlines(keepends=True) if not remarks.match(line))
