"""Session channels: the grammar of commands, what roles do with them, and how sessions end."""

from __future__ import annotations

import asyncio
import hashlib
import os
import re
import signal
import subprocess
import threading
import time
from pathlib import Path
from typing import Any

import pexpect
import pytest

from hoopjump.dev.gateway.model import Session
from hoopjump.dev.services import wait_for
from tests.dev.conftest import Scene
from tests.dev.yard import interrupts_and_ends, without_farewell


def last_row(scene: Scene) -> Session:
    """The newest session row."""
    return scene.gateway.store.sessions[-1]


@pytest.mark.parametrize("status", [0, 1, 7, 255])
def test_exit_status_passes_through(shared_scene: Scene, status: int) -> None:
    """Stdout and stderr stay apart, and the row knows the exit code."""
    done = shared_scene.client.run(shared_scene.key, "mybash", f"echo out; echo err >&2; exit {status}")
    assert (done.returncode, done.stdout, without_farewell(done.stderr)) == (status, b"out\n", b"err\n")
    row = last_row(shared_scene)
    assert (row.verb, row.status, row.exit_code, row.user, row.connection) == (
        "exec",
        "done",
        status,
        "alice@x.io",
        "mybash",
    )


def test_command_is_input_of_the_entrypoint(shared_scene: Scene) -> None:
    """It does not stand in the argv, and piped input follows it."""
    done = shared_scene.client.run(shared_scene.key, "mybash", "tr '\\0' ' ' </proc/$$/cmdline; cat", stdin=b"piped\n")
    assert done.stdout == b"bash piped\n"


def test_process_knows_who_asked(shared_scene: Scene) -> None:
    """The environment names user, role and session, and holds the role's variables."""
    names = "$HOOP_USER_EMAIL $HOOP_USER_ID $HOOP_CONNECTION_NAME $HOOP_SESSION_ID $GREETING"
    done = shared_scene.client.run(shared_scene.key, "other", f"echo {names}")
    expected = f"alice@x.io alice@x.io other {last_row(shared_scene).id} hello from other\n"
    assert done.stdout == expected.encode()


def test_command_is_bytes(shared_scene: Scene) -> None:
    """What is no UTF-8 arrives as it was."""
    command = shared_scene.client.command(shared_scene.key, "mybash", "X")
    done = subprocess.run([*map(str.encode, command[:-1]), b"printf '\xff\xfe'"], capture_output=True, check=False)
    assert done.stdout == b"\xff\xfe"


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (("nosuch",), 'connection "nosuch" not found'),
        ((" mybash",), 'connection "" not found'),
        (("MYBASH",), 'connection "MYBASH" not found'),
        (
            ("mongo",),
            'connection "mongo" (type=mongodb) does not support pty/exec sessions; '
            "must be type ssh, custom, or database (postgres/mysql)",
        ),
    ],
)
def test_unusable_names_are_answered_in_words(shared_scene: Scene, words: tuple[str, ...], text: str) -> None:
    """On stderr with CRLF, exit 1; names are case-sensitive, and a leading space makes the name empty."""
    done = shared_scene.client.run(shared_scene.key, *words)
    assert done.returncode in (1, 255)
    assert without_farewell(done.stderr) == f"hoop: {text}\r\n".encode()


def test_shell_is_refused_in_words(shared_scene: Scene) -> None:
    """A plain `ssh gateway` exits 1."""
    done = shared_scene.client.run(shared_scene.key, options=("-T",))
    text = b'hoop: request type "shell" is not supported; specify a connection name: '
    assert (done.returncode, done.stderr) == (1, text + b"ssh -p <port> <user>@<host> <connection-name>\r\n")


def test_subsystem_is_refused_in_words(shared_scene: Scene) -> None:
    """An sftp gets the hint about scp -O."""
    done = shared_scene.client.run(shared_scene.key, "sftp", options=("-s",))
    text = (
        b'hoop: subsystem "sftp" is not supported; for file transfers use scp legacy mode (add -O flag): scp -O ...\r\n'
    )
    assert (done.returncode, done.stderr) == (1, text)


def test_environment_requests_are_refused(shared_scene: Scene) -> None:
    """SetEnv has no effect."""
    done = shared_scene.client.run(shared_scene.key, "mybash", "echo [$X]", options=("-o", "SetEnv=X=1"))
    assert done.stdout == b"[]\n"


def test_certificate_without_permit_pty_has_no_sessions(shared_scene: Scene) -> None:
    """Not even without a terminal; the client shows it from LogLevel INFO on."""
    key = shared_scene.authority.sign("alice@x.io", "no-pty")
    done = shared_scene.client.run(key, "mybash", "true")
    assert done.returncode == 255
    assert b"administratively prohibited: hoop: cert does not permit pty/exec sessions" in done.stderr


def test_other_channels_are_refused_by_name(shared_scene: Scene) -> None:
    """A forward to a Unix socket is such a channel."""
    control = shared_scene.client.known_hosts.with_name("forward.sock")
    options = ("-N", "-L", f"{control}:/nowhere")
    client = subprocess.Popen(
        shared_scene.client.command(shared_scene.key, options=options), stderr=subprocess.PIPE, stdin=subprocess.DEVNULL
    )
    wait_for(control.exists, what="the forward's socket")
    subprocess.run(["python3", "-c", f"import socket;s=socket.socket(1);s.connect('{control}');s.recv(1)"], check=True)
    client.terminate()
    assert b'hoop: channel type "direct-streamlocal@openssh.com" is not supported' in client.communicate()[1]


def test_remote_forward_is_refused(shared_scene: Scene) -> None:
    """Global requests are answered with false."""
    options = ("-N", "-R", "0:127.0.0.1:9", "-o", "ExitOnForwardFailure=yes")
    done = shared_scene.client.run(shared_scene.key, options=options)
    assert done.returncode == 255
    assert b"remote port forwarding failed" in done.stderr


@pytest.mark.parametrize("terminal", [False, True])
def test_a_command_that_starts_when_its_client_has_gone_ends_at_once(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, terminal: bool
) -> None:
    """Else it would run for as long as the gateway, at its full speed."""
    started, going = asyncio.create_subprocess_exec, threading.Event()
    pids: list[int] = []

    async def late(*argv: str, **more: Any) -> asyncio.subprocess.Process:
        await asyncio.to_thread(going.wait)
        process = await started(*argv, **more)
        pids.append(process.pid)
        return process

    monkeypatch.setattr("asyncio.create_subprocess_exec", late)
    words, options = (["mybash"], ("-tt",)) if terminal else (["mybash", "yes"], ())
    rows = len(scene.gateway.store.sessions)
    with scene.client.start(scene.key, *words, options=options) as client:
        wait_for(lambda: len(scene.gateway.store.sessions) > rows, what="the session")
        client.kill()
    wait_for(lambda: last_row(scene).status == "done", what="the end of the session")
    going.set()
    wait_for(lambda: pids, what="the command")
    wait_for(lambda: not Path(f"/proc/{pids[0]}").exists(), what="the end of the command")


def test_late_input_is_dropped_silently(scene: Scene, tmp_path: Path) -> None:
    """Input that has not ended 100 ms after the exec reply is gone, all of it, exit 0."""
    scene.gateway.faults.early_close = False
    mark = tmp_path / "go on"
    script = f"echo start; until [ -e '{mark}' ]; do sleep 0.01; done; cat; echo end"
    with scene.client.start(scene.key, "mybash", script) as client:
        assert client.stdin is not None
        assert client.stdout is not None
        client.stdin.write(b"early\n")
        client.stdin.flush()
        assert client.stdout.readline() == b"start\n"
        client.stdin.write(b"late\n")
        client.stdin.close()
        mark.touch()
        # Not with communicate(): it passes over what readline() has read ahead.
        assert client.stdout.read() == b"end\n"
        assert client.wait(20) == 0


def test_open_input_costs_a_tenth_of_a_second(shared_scene: Scene) -> None:
    """A closed one costs nothing; events tell when the command was fed."""
    shared_scene.client.run(shared_scene.key, "mybash", "true")
    assert last_row(shared_scene).events[0][0] < 0.09
    client = shared_scene.client.start(shared_scene.key, "mybash", "true")
    client.wait(20)
    assert last_row(shared_scene).events[0][0] >= 0.1


@pytest.mark.parametrize("size", [0, 1, 1_000_000])
def test_input_that_ends_in_time_arrives_whole(shared_scene: Scene, size: int) -> None:
    """Binary is fine."""
    data = os.urandom(size)
    done = shared_scene.client.run(shared_scene.key, "mybash", "sha256sum", stdin=data)
    assert done.stdout == f"{hashlib.sha256(data).hexdigest()}  -\n".encode()


def test_terminal_resizes_and_interrupts(shared_scene: Scene) -> None:
    """An interactive shell: size at the start and later, Ctrl-C, exit status; TERM is not passed on."""
    argv = shared_scene.client.command(shared_scene.key, "mybash", options=("-tt",))
    terminal = pexpect.spawn(argv[0], argv[1:], dimensions=(30, 100), timeout=20, encoding="utf-8")
    terminal.sendline("PS1=; stty -echo; echo 'a'b; stty size")
    terminal.expect("ab\r\n30 100\r\n")
    terminal.setwinsize(44, 133)
    terminal.sendline("until [ \"$(stty size)\" = '44 133' ]; do :; done; echo TERM is [$TERM], 're'sized")
    terminal.expect(r"TERM is \[(dumb)?\], resized")
    interrupts_and_ends(terminal)
    row = last_row(shared_scene)
    assert (row.verb, row.exit_code) == ("connect", 3)


def test_return_is_pressed_once_at_the_start_of_a_terminal(shared_scene: Scene) -> None:
    """To make the prompt appear; so two prompts are there before anything is typed."""
    argv = shared_scene.client.command(shared_scene.key, "mybash", options=("-tt",))
    terminal = pexpect.spawn(argv[0], argv[1:], timeout=20, encoding="utf-8")
    terminal.expect(re.compile(r"[#$] \r\n.*[#$] "))
    terminal.sendline("exit")
    terminal.expect(pexpect.EOF)


def test_terminal_with_a_command_runs_without_one(shared_scene: Scene) -> None:
    """There is no tty, and stderr stays apart."""
    done = shared_scene.client.run(shared_scene.key, "mybash", "tty; echo err >&2", options=("-tt",))
    assert (done.stdout, without_farewell(done.stderr)) == (b"not a tty\n", b"err\n")
    assert last_row(shared_scene).verb == "exec"


def test_command_ended_by_a_signal_counts_as_success(shared_scene: Scene) -> None:
    """The agent has no exit code then, and no code is 0."""
    assert shared_scene.client.run(shared_scene.key, "mybash", "kill -9 $$").returncode == 0


@pytest.mark.parametrize("role", ["noexec", "reviewed"])
def test_most_refusals_are_silent(scene: Scene, role: str) -> None:
    """Access mode and review: nothing but a closed connection, 255."""
    done = scene.client.run(scene.key, role, "echo in")
    assert (done.returncode, done.stdout, without_farewell(done.stderr)) == (255, b"", b"")


def test_silent_refusals_can_be_given_their_one_sentence(scene: Scene) -> None:
    """The real gateway says it sometimes."""
    scene.gateway.faults.refusal_text = True
    done = scene.client.run(scene.key, "noexec", "echo in")
    assert without_farewell(done.stderr) == b"hoop: cannot connect to target server\r\n"


def test_review_leaves_a_row_and_a_pending_review(scene: Scene) -> None:
    """An exec asks for a one-time review, a terminal for a jit one."""
    scene.client.run(scene.key, "reviewed", "echo in")
    scene.client.run(scene.key, "reviewed", options=("-tt",))
    rows = scene.gateway.store.sessions[-2:]
    assert [(row.verb, row.status, row.exit_code) for row in rows] == [("exec", "done", 254), ("connect", "done", 254)]
    assert [(row.review.type, row.review.status) for row in rows if row.review] == [
        ("onetime", "PENDING"),
        ("jit", "PENDING"),
    ]


def test_agent_that_is_offline_takes_five_seconds_to_say(scene: Scene) -> None:
    """And there is no session row."""
    scene.gateway.faults.agent_offline = ["mybash"]
    began = time.monotonic()
    done = scene.client.run(scene.key, "mybash", "echo in")
    assert time.monotonic() - began >= 5
    assert without_farewell(done.stderr) == b"hoop: session timed out waiting for the target server\r\n"
    assert scene.gateway.store.sessions == []


def test_lost_exit_status_is_255_and_in_the_row(scene: Scene) -> None:
    """With the fault on every second session, the row still knows; also without the early close."""
    scene.gateway.faults.lose_exit_status = 2
    scene.gateway.faults.early_close = False
    statuses = [scene.client.run(scene.key, "mybash", "echo out; exit 3") for _ in range(4)]
    assert [done.returncode for done in statuses] == [3, 255, 3, 255]
    assert {done.stdout for done in statuses} == {b"out\n"}
    assert {row.exit_code for row in scene.gateway.store.sessions} == {3}


def test_server_closes_first_unless_told_otherwise(scene: Scene) -> None:
    """With the fault off, the client closes, and never says `closed by remote host`."""
    scene.gateway.faults.early_close = False
    for _ in range(5):
        assert scene.client.run(scene.key, "mybash", "echo out").stderr == b""


def test_process_is_killed_when_the_client_goes(scene: Scene, tmp_path: Path) -> None:
    """And the row is closed."""
    mark = tmp_path / "pid"
    client = scene.client.start(scene.key, "mybash", f"echo $$ >{mark}.new; mv {mark}.new {mark}; exec sleep 60")
    wait_for(mark.exists, what="the command to run")
    pid = int(mark.read_text())
    client.send_signal(signal.SIGKILL)
    client.communicate()
    wait_for(lambda: not Path(f"/proc/{pid}/status").exists(), what="the process to be gone")
    wait_for(lambda: last_row(scene).status == "done", what="the row to be closed")


def test_later_channel_is_served_by_the_first_ones_role(scene: Scene, tmp_path: Path) -> None:
    """The first channel fixes the role for the whole connection."""
    master = ("-o", "ControlMaster=auto", "-o", f"ControlPath={tmp_path}/mux")
    first = scene.client.start(scene.key, "mybash", "sleep 60", options=master)
    wait_for((tmp_path / "mux").exists, what="the multiplexer")
    wait_for(lambda: bool(scene.gateway.store.sessions), what="the first session")
    second = scene.client.run(scene.key, "other", "echo [$GREETING] $HOOP_CONNECTION_NAME", options=master)
    assert second.stdout == b"[] mybash\n"
    first.kill()
    first.communicate()


def test_killed_server_hangs_or_refuses_as_told(scene: Scene) -> None:
    """The faults ssh_down and ssh_hang."""
    scene.gateway.faults.ssh_down = True
    assert scene.client.run(scene.key, "mybash", "true").returncode == 255
    scene.gateway.faults.ssh_down = False
    scene.gateway.faults.ssh_hang = True
    done = scene.client.run(scene.key, "mybash", "true", options=("-o", "ConnectTimeout=1"))
    assert (done.returncode, done.stdout) == (255, b"")
