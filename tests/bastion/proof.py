"""Proof that somebody got nowhere: no command ran, not a byte of the gateway's came back, nobody was connected to."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

from hoopjump.decision.certificate import read_certificate
from hoopjump.dev import accounts, programs
from hoopjump.dev.bastion import Bastion
from hoopjump.dev.identities import Identity
from hoopjump.dev.services import wait_for
from tests.bastion.below import newest_row

REFUSAL = re.compile(rb"\(([a-z-]+), ref ([a-z2-7]{8})\)")


@dataclass(frozen=True, slots=True)
class Attempts:
    """What each way in came to: a command through ForceCommand, one through a jump, a bare forward to the gateway."""

    session: CompletedProcess[bytes]
    jump: CompletedProcess[bytes]
    pipe: CompletedProcess[bytes]

    @property
    def all(self) -> tuple[CompletedProcess[bytes], ...]:
        """The three of them."""
        return self.session, self.jump, self.pipe


def no_access(bastion: Bastion, *, options: Sequence[str] = (), **client: Any) -> Attempts:
    """Try every way in and prove that none leads anywhere; ``client`` as for :meth:`Bastion.ssh`."""
    mark, row = new_mark(bastion), newest_row(bastion)
    attempts = Attempts(
        session=bastion.ssh("mybash", f"touch {mark}", options=options, **client),
        jump=bastion.jump("mybash", f"touch {mark}", options=options, **client),
        pipe=bastion.ssh(options=("-W", gateway_address(bastion), *options), **client),
    )
    assert not mark.exists()
    assert newest_row(bastion) == row
    for attempt in attempts.all:
        assert attempt.returncode not in (0, None)
        assert attempt.stdout == b""
    return attempts


def new_mark(bastion: Bastion) -> Path:
    """A file that is not there, in a directory where every uid could make it."""
    ground = Path(tempfile.mkdtemp(dir=bastion.directory / "client"))
    ground.chmod(0o777)
    return ground / "mark"


def gateway_address(bastion: Bastion) -> str:
    """HOST:PORT of the gateway's SSH server, as clients may ask for it."""
    return f"{bastion.gateway.ready.ssh_host}:{bastion.gateway.ssh_port}"


def serial_of(identity: Identity) -> str:
    """The serial of a certificate, as audit events name it."""
    assert identity.certificate is not None
    return str(read_certificate(identity.certificate.read_bytes()).serial)


def events_of(bastion: Bastion, identity: Identity) -> list[dict[str, Any]]:
    """The audit events that name a certificate."""
    serial = serial_of(identity)
    return [event for event in bastion.audit() if event.get("certificate", {}).get("serial") == serial]


def told(done: CompletedProcess[bytes]) -> tuple[str, str]:
    """The reason's code and the reference that a user reads."""
    found = REFUSAL.search(done.stderr)
    assert found, done.stderr
    return found[1].decode(), found[2].decode()


def assert_logged(bastion: Bastion, ref: str, reason: str) -> None:
    """An audit event and a log line of the daemon carry the reference that the user has read, and the reason."""
    event = bastion.wait_for_event(ref=ref)
    assert event["reason"] == reason
    line = wait_for(lambda: bastion.find_log(rf"ref={ref}\b"), 5, f"a log line with {ref}")
    assert line is not None
    assert f"reason={reason}" in line


def assert_held(bastion: Bastion, identity: Identity, sentence: str, reason: str, account: str | None = None) -> None:
    """Every way in comes to nothing, and the session tells why, with a reference that stands in the log."""
    attempts = no_access(bastion, identity=identity, account=account)
    assert attempts.session.returncode == 77
    assert sentence.encode() in attempts.session.stderr
    code, ref = told(attempts.session)
    assert code == reason
    assert_logged(bastion, ref, reason)
    for attempt in (attempts.jump, attempts.pipe):
        assert b"administratively prohibited" in attempt.stderr
    assert {(event["kind"], event["reason"]) for event in events_of(bastion, identity)} >= {
        ("held", reason),
        ("session-refused", reason),
    }


@contextmanager
def bystander(path: Path | None = None) -> Iterator[socket.socket]:
    """A server beside the gateway, on a TCP port of 127.0.0.1 or a Unix socket: nobody may ever be connected to it."""
    with socket.socket(socket.AF_INET if path is None else socket.AF_UNIX) as listener:
        listener.bind(("127.0.0.1", 0) if path is None else str(path))
        if path is not None:
            path.chmod(0o666)
        listener.listen()
        listener.setblocking(False)
        yield listener
        try:
            listener.accept()
        except BlockingIOError:
            return
    raise AssertionError("somebody was connected")


@contextmanager
def agent(directory: Path, *keys: Path) -> Iterator[Path]:
    """The socket of a real ssh-agent that holds some keys, each with the certificate beside it."""
    path = directory / "agent"
    with subprocess.Popen(["ssh-agent", "-D", "-a", str(path)], stdout=subprocess.DEVNULL) as process:
        try:
            wait_for(path.exists, what="the agent")
            environment = {**os.environ, "SSH_AUTH_SOCK": str(path)}
            subprocess.run(["ssh-add", "-q", *map(str, keys)], env=environment, check=True)
            yield path
        finally:
            process.terminate()


def hoopjump(
    *arguments: str, config: Path | None = None, account: str | None = None, status: int = 0
) -> CompletedProcess[str]:
    """Run our command line, which must exit with ``status``; as an account of the private view, if one is named."""
    options = ["--config", str(config)] if config else []
    as_account: dict[str, Any] = {}
    if account is not None:
        uid, gid = accounts.ids(account)
        as_account = {"user": uid, "group": gid, "extra_groups": []}
    done = subprocess.run(
        [str(programs.python()), "-m", "hoopjump.cli.main", *options, *arguments],
        cwd=programs.reachable(programs.CHECKOUT),
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
        **as_account,
    )
    assert done.returncode == status, done.stderr
    return done
