"""Sessions that act at the gateway with the user's own token, by the gateway's own client (a stand-in, here)."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hoopjump.daemon import processes
from hoopjump.decision.keys import read_public_key
from hoopjump.decision.presented import key_thumbprint
from hoopjump.dev import accounts, hoop_client, programs
from hoopjump.dev.bastion import Bastion
from hoopjump.dev.place import Place
from hoopjump.dev.services import wait_for
from tests.bastion.town import CA, Files, Town, refused
from tests.bastion.ways import status_of, typed
from tests.cli.conftest import Run, hoopjump
from tests.conftest import need_bastion
from tests.keys.provider import TokenKey, provider

__all__ = ["hoopjump"]

SEND = ("-o", "SendEnv=HOOPJUMP_TOKEN")


@pytest.fixture(scope="module")
def place() -> Iterator[Path]:
    """A directory that every account can reach."""
    need_bastion()
    with tempfile.TemporaryDirectory(dir=Place.here().parent) as name:
        directory = Path(name)
        directory.chmod(0o755)
        yield directory


@pytest.fixture(scope="module")
def hoop(place: Path) -> Path:
    """The stand-in."""
    return hoop_client.install(place / "client")


@pytest.fixture(scope="module")
def town(place: Path, hoop: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    """A bastion where ``mybash`` and ``web1`` are reached with the user's token, and other roles by ssh."""
    binding = TokenKey("binding")
    with (
        provider(tmp_path_factory.mktemp("provider")) as idp,
        provider(tmp_path_factory.mktemp("other")) as other,
    ):
        files = Files(place)
        files.write(idp, binding)
        ca_file = place / "other-ca.pem"
        ca_file.write_bytes(other.ca_file.read_bytes())
        own, bound = files.issuers(idp)
        foreign = other.section(user_claim="email", user_attribute="email", ca_file=str(ca_file))
        configured: dict[str, dict[str, Any]] = {
            "tokens": {"session": "optional", "issuer": [{**own, "hand_on": True}, bound, foreign]},
            "handoff": {"hoop": str(hoop), "grpc_url": "grpc://127.0.0.1:1"},
            "handoff.roles": {"mybash": "hoop", "web1": "hoop"},
        }
        with Bastion(settings=configured) as bastion:
            there = [f"keys of {issuer} are there" for issuer in (idp.issuer, other.issuer, CA)]
            wait_for(lambda: all(line in bastion.daemon_log() for line in there), 30, "the first keys")
            made = Town(bastion, idp, binding, files)
            made.other = other  # type: ignore[attr-defined]
            yield made


def run(town: Town, *command: str, user: str = "alice", **more: Any) -> subprocess.CompletedProcess[bytes]:
    """A session with the user's token."""
    options = {"options": SEND, "env": {"HOOPJUMP_TOKEN": town.token(user)}}
    return town.bastion.ssh(*command, identity=town.bastion.certificate(user), **{**options, **more})


# -- Commands --------------------------------------------------------------------------------------------------------


def test_output_and_status_are_exactly_the_commands(town: Town) -> None:
    """Neither a newline nor a remark of the client's is added, on either output."""
    done = run(town, "mybash", "printf out; printf err >&2; exit 3")
    assert (done.returncode, done.stdout, done.stderr) == (3, b"out", b"err")


def test_nobody_acts_at_the_gateway_as_another(town: Town) -> None:
    """An address that has moved to another account of the provider's: the gateway would take them for that one."""
    done = run(town, "mybash", "echo in", env={"HOOPJUMP_TOKEN": town.token("alice", sub="auth0|bob")})
    said = refused(done, "token-other-user")
    assert "bob" not in said
    event = town.bastion.wait_for_event(kind="session-refused", reason="token-other-user")
    assert event["detail"] == "the token's subject is auth0|bob, the user's auth0|alice"


def test_input_follows_the_command(town: Town) -> None:
    """As with ssh: a line with the command, then what was piped in; text in any script."""
    text = "grüße\n" * 20000
    done = run(town, "mybash", "cat", input=text.encode())
    assert (done.returncode, done.stdout) == (0, text.encode()), done.stderr


def test_input_alone_is_the_script(town: Town) -> None:
    """Without a command the input is what runs."""
    done = run(town, "mybash", input=b"echo from input; exit 4\n")
    assert (done.returncode, done.stdout) == (4, b"from input\n"), done.stderr


def test_binary_output_comes_back_whole(town: Town) -> None:
    """Only input has to be text; what looks like the begin of a remark is output all the same."""
    done = run(town, "mybash", r"printf '\377\0\033[;m'; head -c 100000 /dev/zero; printf '\033[;mtrap\033[0m\n'")
    assert done.returncode == 0
    assert done.stdout == b"\xff\0\x1b[;m" + bytes(100000) + b"\x1b[;mtrap\x1b[0m\n"


@pytest.mark.parametrize("data", [b"cat\n\xff\xfe\n", b"cat\n\0\n"])
def test_binary_input_is_refused_before_anything_runs(town: Town, common_ground: Path, data: bytes) -> None:
    """The gateway would fail on it without a reason that anybody understands."""
    done = run(town, "mybash", f"touch {common_ground}/ran", input=data)
    assert (done.returncode, done.stdout) == (os.EX_DATAERR, b"")
    assert b"not UTF-8 text" in done.stderr
    assert b"(input-not-text, ref " in done.stderr
    assert not (common_ground / "ran").exists()


def test_binary_command_is_refused(town: Town) -> None:
    """A command is input too."""
    done = run(town, "mybash", os.fsdecode(b"echo \xff"))
    assert (done.returncode, done.stdout) == (os.EX_DATAERR, b"")
    assert b"(command-not-text, ref " in done.stderr


def test_errors_that_the_client_prints_on_stdout_come_on_stderr(town: Town) -> None:
    """What the command wrote stays on stdout; the error is one's own, without escapes, and no status of the command."""
    done = run(town, "mybash", "printf begun; : '#killed'")
    assert (done.returncode, done.stdout) == (255, b"begun")
    said = done.stderr.splitlines()
    assert said[:2] == [
        b"hoop: rpc error: code = Unknown desc = Access to connection has been denied",
        b"hoop:   Reason: not today",
    ]
    assert b"(status-unknown, ref " in said[2]


def test_a_connection_that_breaks_is_told_and_no_status_made_of_it(town: Town) -> None:
    """The client ends with 1, as a command might; whether this one did its work is not known."""
    done = run(town, "mybash", "echo begun; : '#gone'")
    assert (done.returncode, done.stdout) == (255, b"begun\n")
    assert done.stderr.startswith(b"hoop: rpc error: code = Unavailable desc = error reading from server: EOF\n")
    assert b"(status-unknown, ref " in done.stderr


def test_a_command_that_a_signal_ended(town: Town) -> None:
    """It is said by which."""
    done = run(town, "mybash", "echo begun; kill -9 $$")
    assert (done.returncode, done.stdout) == (255, b"begun\n")
    assert done.stderr.startswith(b"hoop: failed executing command, reason=signal: killed\n")


def test_a_failed_commands_status_is_its_own_when_the_gateway_closes_early(town: Town) -> None:
    """The client ends with 1, and says on stdout which status it was."""
    done = run(town, "mybash", "printf out; printf err >&2; exit 3 # '#overtaken'")
    assert (done.returncode, done.stdout, done.stderr) == (3, b"out", b"err")


def test_a_lost_status_is_never_passed_off_as_one(town: Town) -> None:
    """The client ends with 1 when the gateway closes early; the gateway is asked, and here it does not know."""
    done = run(town, "mybash", "echo whole; : '#overtaken'")
    assert (done.returncode, done.stdout) == (255, b"whole\n")
    assert done.stderr.startswith(b"hoopjump: ")
    assert b"(status-unknown, ref " in done.stderr


def test_a_lost_status_is_found_by_the_sessions_own_mark(town: Town, common_ground: Path) -> None:
    """Of two commands of one user at once, each has the status of its own row, and nothing is said."""
    go = common_ground / "go"
    command = f"until [ -e {go} ]; do sleep 0.05; done; echo whole; : '#overtaken'"
    argv = town.bastion.ssh_command("mybash", command, identity=town.bastion.certificate(), options=SEND)
    env = {**os.environ, "HOOPJUMP_TOKEN": town.token()}
    pipes: dict[str, Any] = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    before = marks(town)

    def begun() -> list[str] | None:
        new = marks(town) - before
        return sorted(new) if len(new) == 2 else None

    with subprocess.Popen(argv, env=env, **pipes) as one, subprocess.Popen(argv, env=env, **pipes) as other:
        for mark, status in zip(wait_for(begun, 60, "both sessions") or (), (0, 4), strict=True):
            # They last as long as it takes us.
            more: dict[str, Any] = {"seconds": 60, "ago": -60, "verb": "exec", "correlation": mark}
            town.bastion.gateway.add_session(town.bastion.email("alice"), "mybash", exit_code=status, **more)
        go.touch()
        ended = [(*client.communicate(timeout=60), client.returncode) for client in (one, other)]
    assert sorted(ended, key=lambda end: end[2]) == [(b"whole\n", b"", 0), (b"whole\n", b"", 4)]


def marks(town: Town) -> set[str]:
    """Those of all sessions so far."""
    return {f"hoopjump-{event['ref']}" for event in town.bastion.audit() if event["kind"] == "session-started"}


def test_other_roles_still_go_by_ssh(town: Town) -> None:
    """By configuration, role by role: without a token too."""
    done = town.ssh("pgdemo", "select 1")
    assert b"client-" not in done.stderr


# -- Terminals -------------------------------------------------------------------------------------------------------


def test_a_terminal_has_the_users_type_and_no_question_of_the_clients(town: Town) -> None:
    """The client runs with TERM=dumb, else it asks the terminal for its colours; the role gets the user's."""
    argv = town.bastion.ssh_command("mybash", identity=town.bastion.certificate(), options=(*SEND, "-t"))
    env = {"HOOPJUMP_TOKEN": town.token(), "TERM": "xterm-256color"}
    with typed(["env", *(f"{name}={value}" for name, value in env.items()), *argv]) as child:
        child.expect("this session ends at")
        child.expect(r"\$ ")
        child.sendline("echo type $TERM")
        child.expect("type xterm-256color")
        child.sendline("exit 7")
        assert status_of(child) == 7


# -- Which token -----------------------------------------------------------------------------------------------------


def test_without_a_token_nothing_is_handed_on(town: Town) -> None:
    """The user is told how to send one."""
    said = refused(town.ssh("mybash", "echo hello"), "client-token-missing")
    assert "SendEnv=HOOPJUMP_TOKEN" in said


def test_the_token_in_a_certificate_is_never_handed_on(town: Town) -> None:
    """It is the bastion's own; the session goes no further, although the token is good."""
    refused(town.ssh("mybash", "echo hello", identity=town.certificate()), "client-token-missing")


def test_a_bound_token_in_the_environment_is_refused(town: Town) -> None:
    """Whoever takes it out of a certificate gains nothing."""
    identity = town.bastion.certificate()
    bound = town.bound(key_thumbprint(read_public_key(identity.public.read_bytes())))
    refused(town.ssh("mybash", "echo hello", identity=identity, token=bound), "token-misplaced")


def test_a_token_of_an_issuer_that_the_gateway_does_not_take_stays_here(town: Town) -> None:
    """Trusted for the bastion is not trusted with the way on."""
    token = town.other.token(email=town.bastion.email("alice")).decode()  # type: ignore[attr-defined]
    refused(town.ssh("mybash", "echo hello", token=token), "client-token-not-taken")


def test_somebody_elses_token_is_refused(town: Town) -> None:
    """Token and certificate are of one person, or nobody goes on."""
    refused(town.ssh("mybash", "echo hello", token=town.token("bob")), "token-other-user")


def test_roles_that_the_client_would_open_a_port_for_are_refused(town: Town) -> None:
    """For type ssh it starts a listener and a program of the machine's own."""
    town.bastion.backend.ssh_target("web1")
    refused(run(town, "web1", "true"), "client-unsupported")


# -- Where it goes ---------------------------------------------------------------------------------------------------

# As the account, which on a shared one is what another user's processes would be: everything of every process that the
# kernel lets it see, looked through for the token.
THIEF = """
import os, sys
token = os.fsencode(sys.stdin.readline().strip())
looked, refused = 0, 0
for pid in filter(str.isdigit, os.listdir("/proc")):
    if int(pid) == os.getpid():
        continue
    for name in ("environ", "cmdline", "mem", "fd"):
        path = f"/proc/{pid}/{name}"
        try:
            if name == "fd":
                os.listdir(path)
                continue
            if name == "mem":
                os.close(os.open(path, os.O_RDONLY))
                continue
            found = token in open(path, "rb").read()
        except OSError:
            refused += int(pid) in map(int, sys.argv[1:])
            continue
        looked += 1
        if found:
            print("stolen from", path)
print("refused", refused)
"""


def below(directory: Path) -> int:
    """The pid of the client that a command in it has told."""
    return int(wait_for(lambda: (directory / "pid").exists() and (directory / "pid").read_text(), 30, "the client"))


def parent(pid: int) -> int:
    """The parent of a process."""
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def test_another_process_of_the_account_cannot_read_the_token(
    town: Town, private_view: None, common_ground: Path
) -> None:
    """Neither the client's environment nor the hook's, nor their memory; nor does it stand in any argument list.

    A process that anybody could look into shows that the thief does look.
    """
    token = town.token()
    go = common_ground / "go"
    command = f"echo $HOOP_CLIENT_PID > {common_ground}/pid.new; mv {common_ground}/pid.new {common_ground}/pid; "
    command += f"until [ -e {go} ]; do sleep 0.05; done"
    argv = town.bastion.ssh_command("mybash", command, identity=town.bastion.certificate(), options=SEND)
    uid, gid = accounts.ids(town.bastion.place.account)
    same: dict[str, Any] = {"user": uid, "group": gid, "extra_groups": []}
    with (
        # The user's own client, outside of the bastion, is not the account's.
        subprocess.Popen(argv, env={**os.environ, "HOOPJUMP_TOKEN": token}, stdin=subprocess.DEVNULL) as client,
        subprocess.Popen(["/bin/cat"], env={"HOOP_TOKEN": token}, stdin=subprocess.PIPE, **same) as careless,
    ):
        try:
            pid = below(common_ground)
            assert token.encode() in Path(f"/proc/{pid}/environ").read_bytes()  # root may
            words = ["/usr/bin/python3", "-c", THIEF, str(pid), str(parent(pid))]
            thief = subprocess.run(words, input=token, capture_output=True, text=True, check=True, timeout=60, **same)
        finally:
            go.touch()
            careless.communicate(timeout=60)
        assert client.wait(60) == 0
    # environ, mem and fd of two processes.
    assert thief.stdout == f"stolen from /proc/{careless.pid}/environ\nrefused 6\n"


def test_the_client_does_not_outlive_its_hook(town: Town, common_ground: Path) -> None:
    """SIGKILL cannot be handled; the kernel ends what has the token (PR_SET_PDEATHSIG), unreadable as it is."""
    command = (
        f"echo $HOOP_CLIENT_PID > {common_ground}/pid.new; mv {common_ground}/pid.new {common_ground}/pid; sleep 60"
    )
    argv = town.bastion.ssh_command("mybash", command, identity=town.bastion.certificate(), options=SEND)
    with subprocess.Popen(argv, env={**os.environ, "HOOPJUMP_TOKEN": town.token()}, stdin=subprocess.DEVNULL) as client:
        held = processes.find(below(common_ground))
        assert held is not None
        os.kill(parent(held.pid), signal.SIGKILL)
        assert client.wait(60) != 0
        wait_for(lambda: not processes.alive(held), 30, "the end of the client")


def test_the_token_is_in_no_log_and_no_file(town: Town) -> None:
    """Neither the daemon's log nor the audit trail, nor anything that a session leaves on the disk."""
    token = town.token()
    assert town.ssh("mybash", "echo hello", token=token).returncode == 0
    signature = token.rpartition(".")[2].encode()
    for path in town.bastion.directory.rglob("*"):
        # A login's file goes with it.
        with contextlib.suppress(FileNotFoundError):
            if path.is_file() and "backend" not in path.parts:
                assert signature not in path.read_bytes(), path
    assert "hoop" in [event.get("client") for event in town.bastion.audit()]


def test_a_client_that_can_be_read_gets_no_token(town: Town, hoop: Path) -> None:
    """Its process could be read by all of the account's; the log says what to do."""
    mode = hoop.stat().st_mode
    hoop.chmod(0o755)
    try:
        said = refused(run(town, "mybash", "echo hello"), "client-unusable")
    finally:
        hoop.chmod(mode)
    assert str(hoop) not in said
    assert run(town, "mybash", "echo hello").stdout == b"hello\n"


def test_the_login_ends_with_the_token(town: Town) -> None:
    """No session acts with a token that has ended."""
    now = int(time.time())
    done = town.ssh("mybash", "echo hello", token=town.token(exp=now + 120))
    assert (done.returncode, done.stdout) == (0, b"hello\n")
    assert b"this login ends in" in done.stderr


def test_the_check_looks_at_the_client_and_all_above_it(town: Town, hoop: Path, hoopjump: Run) -> None:
    """Whoever can put another file in its place would be handed the tokens of all others."""
    command = (
        *("--config", town.bastion.config, "sshd", "check", "--sshd", programs.sshd(), "--admin", "daemon"),
        *("--config-file", town.bastion.directory / "etc" / "sshd_config", "--user", town.bastion.place.account),
    )
    assert f"ok    handoff.hoop: {hoop}" in hoopjump(*command).out
    mode = hoop.parent.stat().st_mode
    hoop.parent.chmod(0o777)
    try:
        said = hoopjump(*command)
    finally:
        hoop.parent.chmod(mode)
    assert said.status == 1
    assert f"FAIL  handoff.hoop: {hoop.parent} is writable by others (mode 0777); whoever writes there " in said.out
