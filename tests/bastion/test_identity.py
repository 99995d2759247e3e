"""Nobody becomes somebody else: stolen certificates, hooks started by hand, rewritten files, other logins' agents."""

from __future__ import annotations

import asyncio
import json
import os
import shlex
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import asyncssh
import pytest

from hoopjump.dev import accounts
from hoopjump.dev.bastion import Bastion
from hoopjump.dev.identities import Identity
from hoopjump.dev.place import Place
from hoopjump.dev.services import wait_for
from tests.bastion.below import newest_row
from tests.bastion.proof import assert_logged, events_of, hoopjump, new_mark, told
from tests.bastion.ways import started
from tests.conftest import need_bastion

# Whoever comes from here gets a shell in place of the session hook: what one would have who has broken out of it.
BROKEN_OUT: Final = ("-b", "127.0.0.2")
BREAK_OUT: Final = ("Match Address 127.0.0.2", 'ForceCommand exec /bin/sh -c "$SSH_ORIGINAL_COMMAND"', "Match all")

WHO: Final = "echo $HOOP_USER_EMAIL"

# Asks an agent for its identities (RFC 9987) and prints how many bytes it answers.
ASK_AGENT: Final = r"""
import socket
agent = socket.socket(socket.AF_UNIX)
agent.connect({path!r})
try:
    agent.sendall(b"\0\0\0\1\x0b")
    print(len(agent.recv(100)))
except ConnectionError:
    print(0)
"""


@pytest.fixture(scope="module")
def gate() -> Iterator[Path]:
    """While this file is there, no session's ssh starts; it lies beside the program that waits for it."""
    need_bastion()
    with tempfile.TemporaryDirectory(dir=Place.here().parent) as directory:
        Path(directory).chmod(0o755)
        path = Path(directory) / "gate"
        program = Path(directory) / "ssh"
        program.write_text(f'#!/bin/sh\nwhile [ -e {path} ]; do sleep 0.02; done\nexec ssh "$@"\n')
        program.chmod(0o755)
        yield path


@pytest.fixture(scope="module")
def weak(gate: Path) -> Iterator[Bastion]:
    """A bastion whose session hook can be broken out of."""
    with Bastion(sshd_lines=BREAK_OUT, settings={"handoff": {"ssh": str(gate.with_name("ssh"))}}) as running:
        running.gateway.faults(early_close=False)
        yield running


@pytest.fixture
def stolen(weak: Bastion) -> Path:
    """The text of a certificate of alice's that bob has come by; every account can read it."""
    identity = weak.certificate("alice")
    assert identity.certificate is not None
    path = new_mark(weak)
    path.write_bytes(identity.certificate.read_bytes())
    path.chmod(0o644)
    return path


def broken_out(bastion: Bastion, script: str, identity: Identity, **client: Any) -> subprocess.CompletedProcess[bytes]:
    """Run a shell script below bob's own login, with the login account's uid."""
    return bastion.ssh(script, identity=identity, options=BROKEN_OUT, **client)


def hook_command(bastion: Bastion) -> str:
    """The session hook as sshd starts it."""
    return f"{bastion.hook} session --socket={bastion.socket}"


# -- A certificate without its key ------------------------------------------------------------------------------------


class Forger(asyncssh.SSHKeyPair):
    """Shows one certificate, and signs with another's key."""

    def __init__(self, certificate: Path, key: Path) -> None:
        self._signer = asyncssh.read_private_key(str(key))
        shown = asyncssh.read_certificate(str(certificate))
        algorithm = b"ssh-ed25519-cert-v01@openssh.com"
        super().__init__(algorithm, b"ssh-ed25519", (b"ssh-ed25519",), (algorithm,), shown.public_data, b"")

    def set_sig_algorithm(self, sig_algorithm: bytes) -> None:
        """There is one only, and the certificate's algorithm stays."""

    def sign(self, data: bytes) -> bytes:
        """A good signature of the wrong key."""
        return self._signer.sign(data, b"ssh-ed25519")


def test_a_stolen_certificate_alone_is_denied(weak: Bastion, stolen: Path) -> None:
    """Shown without its key, or signed with another: no login, nothing runs; the trail says that none came of it."""
    mine = weak.certificate("bob")
    row, before = newest_row(weak), len(weak.audit())
    done = weak.ssh("mybash", "true", identity=Identity(mine.key, stolen), options=("-o", "IdentityFile=none"))
    assert (done.returncode, done.stdout) == (255, b"")

    async def forge() -> None:
        with pytest.raises(asyncssh.PermissionDenied):
            await asyncssh.connect(
                "127.0.0.1",
                weak.port,
                username=weak.account,
                client_keys=[Forger(stolen, mine.key)],
                known_hosts=None,
                agent_path=None,
            )

    asyncio.run(forge())
    admitted = [event for event in weak.audit()[before:] if event["kind"] == "admitted"]
    assert {event["user"] for event in admitted} == {"alice@example.com"}
    assert len(admitted) == 2
    for event in admitted:
        weak.wait_for_event(kind="forgotten", ref=event["ref"])
    assert {event["kind"] for event in weak.audit()[before:]} == {"admitted", "forgotten"}
    assert newest_row(weak) == row


@pytest.mark.parametrize("forged", [False, True], ids=["shown", "signed"])
def test_a_stolen_certificate_before_ones_own_changes_nothing(weak: Bastion, stolen: Path, forged: bool) -> None:
    """Who first offers alice's certificate and then logs in with their own is bob, to us and to the gateway."""
    mine = weak.certificate("bob")
    if forged:
        text = asyncio.run(log_in(weak, [Forger(stolen, mine.key), (str(mine.key), str(mine.certificate))]))
    else:
        # The configuration's CertificateFile comes after that of the command line.
        done = weak.ssh("mybash", WHO, identity=mine, options=("-o", f"CertificateFile={stolen}"))
        assert done.returncode == 0, done.stderr
        text = done.stdout.decode()
    assert text == "bob@example.com\n"
    assert "admitted" in {event["kind"] for event in events_of(weak, Identity(mine.key, stolen))}
    login = next(event["ref"] for event in events_of(weak, mine) if event["kind"] == "admitted")
    events = [event for event in weak.audit() if event.get("login") == login]
    assert {event.get("user") for event in events} == {"bob@example.com"}
    assert {"login-opened", "session-started"} <= {event["kind"] for event in events}
    monitor = next(event["pid"] for event in events if event["kind"] == "login-opened")
    opened = [event for event in weak.audit() if event["kind"] == "login-opened" and event["pid"] == monitor]
    assert [event["user"] for event in opened] == ["bob@example.com"]


async def log_in(bastion: Bastion, keys: list[Any]) -> str:
    """Log in with the first of the keys that is taken; who one is at the gateway."""
    async with asyncssh.connect(
        "127.0.0.1", bastion.port, username=bastion.account, client_keys=keys, known_hosts=None, agent_path=None
    ) as connection:
        done = await connection.run(f"mybash {WHO}", stdin=asyncssh.DEVNULL)
        return str(done.stdout)


def test_while_a_stolen_certificate_is_shown_nobody_is_logged_in(weak: Bastion, stolen: Path) -> None:
    """A connection that stays in authentication is listed as admitted, never as open."""

    class Waiting(Forger):
        def sign(self, data: bytes) -> bytes:
            rows = json.loads(hoopjump("logins", "list", "--json", config=weak.config).stdout)
            seen.extend(row["state"] for row in rows if row["user"] == "alice@example.com")
            return super().sign(data)

    seen: list[str] = []
    with pytest.raises(asyncssh.PermissionDenied):
        asyncio.run(log_in(weak, [Waiting(stolen, weak.certificate("bob").key)]))
    assert seen == ["admitted"]


# -- The session hook, started by hand --------------------------------------------------------------------------------


def by_hand(bastion: Bastion, certificate: Path, line: str = "mybash touch {mark}", **process: Any) -> str:
    """Start the session hook outside of every login, with a certificate in SSH_USER_AUTH; the reference it tells."""
    mark, row = new_mark(bastion), newest_row(bastion)
    auth = new_mark(bastion)
    auth.write_text(f"publickey {' '.join(certificate.read_text().split()[:2])}\n")
    auth.chmod(0o644)
    environment = {
        "PATH": os.environ["PATH"],
        "SSH_USER_AUTH": str(auth),
        "SSH_ORIGINAL_COMMAND": line.format(mark=mark),
        "SSH_CONNECTION": "127.0.0.1 1 127.0.0.1 2",
    }
    done = subprocess.run(
        shlex.split(hook_command(bastion)),
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=30,
        check=False,
        **process,
    )
    assert (done.returncode, done.stdout) == (77, b"")
    code, ref = told(done)
    assert code == "login-unknown"
    assert not mark.exists()
    assert newest_row(bastion) == row
    return ref


def test_a_session_hook_started_by_hand_gets_nothing(weak: Bastion, stolen: Path) -> None:
    """Below no login of ours: refused, whatever certificate it shows, also while its owner is logged in."""
    with started(weak.ssh_command(options=("-N",))):
        weak.wait_for_event(kind="login-opened", user="alice@example.com")
        assert_logged(weak, by_hand(weak, stolen), "login-unknown")


@pytest.mark.parametrize("account", ["hoop", "bob", "admin", "hoopjump-hook"])
def test_no_account_gets_a_session_by_hand(weak: Bastion, stolen: Path, private_view: None, account: str) -> None:
    """Not the login account's uid either: what counts is the login that a process is below."""
    uid, gid = accounts.ids(account)
    assert_logged(weak, by_hand(weak, stolen, user=uid, group=gid, extra_groups=[]), "login-unknown")


def test_an_administrators_login_is_none_of_ours(weak: Bastion, stolen: Path, private_view: None) -> None:
    """Below a real sshd that nobody was admitted on, the session hook is refused."""
    auth = f"publickey {' '.join(stolen.read_text().split()[:2])}"
    stolen.write_text(f"{auth}\n")
    script = f"SSH_USER_AUTH={stolen} SSH_ORIGINAL_COMMAND='mybash id' exec {hook_command(weak)}"
    done = weak.ssh(script, account="admin", identity=weak.workshop.key("admin"))
    assert (done.returncode, done.stdout) == (77, b"")
    code, ref = told(done)
    assert code == "login-unknown"
    assert_logged(weak, ref, code)


def login_of(bastion: Bastion, identity: Identity) -> str | None:
    """The reference of the login that a certificate was admitted for."""
    return next((str(event["ref"]) for event in events_of(bastion, identity) if event["kind"] == "admitted"), None)


# -- SSH_USER_AUTH, rewritten -----------------------------------------------------------------------------------------

REWRITES: Final = {
    "replaced": 'printf "publickey %s\\n" "$(cut -d" " -f1,2 {stolen})" > $SSH_USER_AUTH',
    "added": 'printf "publickey %s\\n" "$(cut -d" " -f1,2 {stolen})" >> $SSH_USER_AUTH',
    "in-front": 'own=$(cat $SSH_USER_AUTH); printf "publickey %s\\n%s\\n" "$(cut -d" " -f1,2 {stolen})" "$own" '
    "> $SSH_USER_AUTH",
    "emptied": ": > $SSH_USER_AUTH",
    "elsewhere": 'printf "publickey %s\\n" "$(cut -d" " -f1,2 {stolen})" > {mark}.auth; SSH_USER_AUTH={mark}.auth',
    "missing": "unset SSH_USER_AUTH",
}


@pytest.mark.parametrize("how", REWRITES)
def test_a_rewritten_user_auth_file_is_refused(weak: Bastion, stolen: Path, how: str) -> None:
    """Whoever runs programs below their own login may write the file; another certificate in it is not theirs."""
    mine, mark, row = weak.certificate("bob"), new_mark(weak), newest_row(weak)
    rewrite = REWRITES[how].format(stolen=stolen, mark=mark)
    script = f"{rewrite}; export SSH_ORIGINAL_COMMAND='mybash touch {mark}'; exec {hook_command(weak)}"
    done = broken_out(weak, script, mine)
    assert (done.returncode, done.stdout) == (77, b""), done.stderr
    code, ref = told(done)
    assert code == "login-mismatch"
    assert_logged(weak, ref, code)
    assert weak.wait_for_event(ref=ref)["login"] == login_of(weak, mine)
    assert not mark.exists()
    assert newest_row(weak) == row


def test_below_ones_own_login_one_is_oneself(weak: Bastion) -> None:
    """With the file as sshd wrote it, a hook started by hand below one's own login is a session of one's own."""
    script = f'export SSH_ORIGINAL_COMMAND="mybash {WHO.replace("$", chr(92) + "$")}"; exec {hook_command(weak)}'
    done = broken_out(weak, script, weak.certificate("bob"))
    assert (done.returncode, done.stdout) == (0, b"bob@example.com\n"), done.stderr


def test_a_file_rewritten_from_outside_ends_sessions_and_opens_none(
    weak: Bastion, stolen: Path, private_view: None
) -> None:
    """A process of the shared account's uid rewrites a live connection's file: its next session is refused."""
    mine, control = weak.certificate("bob"), new_mark(weak)
    master = weak.ssh_command(options=("-M", "-N", "-S", str(control)), identity=mine)
    with started(master):
        wait_for(control.exists, what="the control socket")
        done = weak.ssh("mybash", WHO, identity=mine, options=("-S", str(control)))
        assert done.stdout == b"bob@example.com\n", done.stderr
        own = Path(str(mine.certificate)).read_text().split()[1]
        (file,) = [path for path in Path("/tmp").glob("sshauth.*") if own in path.read_text()]
        uid, gid = accounts.ids(weak.account)
        overwrite = f"printf 'publickey %s\\n' \"$(cut -d' ' -f1,2 {stolen})\" > {file}"
        subprocess.run(["/bin/sh", "-c", overwrite], user=uid, group=gid, extra_groups=[], check=True)
        row = newest_row(weak)
        done = weak.ssh("mybash", WHO, identity=mine, options=("-S", str(control)))
        assert (done.returncode, done.stdout) == (77, b"")
        assert told(done)[0] == "login-mismatch"
        assert newest_row(weak) == row


# -- Another login's agent --------------------------------------------------------------------------------------------


@pytest.fixture
def agent_of_alice(weak: Bastion, gate: Path) -> Iterator[Path]:
    """The agent's socket of a session of alice's that has not asked it yet; then the session goes on, as alice's."""
    directory = weak.directory / "run" / "agents"
    wait_for(lambda: not list(directory.iterdir()), what="the end of earlier agents")
    gate.touch()
    with started(weak.ssh_command("mybash", WHO)) as client:
        try:
            (path,) = wait_for(lambda: list(directory.glob("*/s")), what="the agent")
            yield path
        finally:
            gate.unlink()
        out, err = client.communicate(timeout=30)
        assert (client.returncode, out) == (0, b"alice@example.com\n"), err


def assert_refused(bastion: Bastion, before: int) -> None:
    """The agent has said nothing, and the trail has the attempt."""
    event = wait_for(
        lambda: next((each for each in bastion.audit()[before:] if each["kind"] == "handoff-refused"), None),
        what="the refusal",
    )
    assert event is not None
    assert event["detail"] == "the peer is not of this login"
    assert event["user"] == "alice@example.com"


@pytest.mark.parametrize("user", ["bob", "alice"])
def test_another_login_gets_nothing_from_an_agent(weak: Bastion, agent_of_alice: Path, user: str) -> None:
    """Below a login of its own with the same uid, it has come by the name of the socket. Not even alice's other one."""
    before = len(weak.audit())
    ask = f"/usr/bin/python3 -c {shlex.quote(ASK_AGENT.format(path=str(agent_of_alice)))}"
    done = broken_out(weak, ask, weak.certificate(user))
    assert (done.returncode, done.stdout) == (0, b"0\n"), done.stderr
    assert_refused(weak, before)


@pytest.mark.parametrize("account", ["hoop", "bob", "admin"])
def test_a_process_below_no_login_gets_nothing_from_an_agent(
    weak: Bastion, agent_of_alice: Path, private_view: None, account: str
) -> None:
    """Neither the login account's uid nor another one's is enough."""
    before = len(weak.audit())
    uid, gid = accounts.ids(account)
    done = subprocess.run(
        ["/usr/bin/python3", "-c", ASK_AGENT.format(path=str(agent_of_alice))],
        user=uid,
        group=gid,
        extra_groups=[],
        capture_output=True,
        timeout=30,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, b"0\n"), done.stderr
    assert_refused(weak, before)


def test_the_names_of_agents_are_not_to_be_seen(weak: Bastion, agent_of_alice: Path, private_view: None) -> None:
    """Other accounts cannot list where the sockets are."""
    done = broken_out(weak, f"ls {agent_of_alice.parents[1]}", weak.certificate("bob"))
    assert done.returncode != 0
    assert done.stdout == b""
