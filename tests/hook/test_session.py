"""The ForceCommand: refuse, become a program, let choose."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

import pexpect
import pytest

from hoopjump.decision.reasons import Reason
from hoopjump.dev.services import wait_for
from tests.hook.conftest import Hook, gone, program, spool
from tests.hook.fake_daemon import Step, answer, drop, frame, send, silent

REFUSAL = answer(("outcome", "refuse"), ("exit", "77"), ("text", "no"))

SHOW = """
import json, os, sys
files = sorted(int(fd) for fd in os.listdir("/proc/self/fd"))
json.dump([sys.argv[1:], dict(os.environ), files[:-1]], sys.stdout)
"""


def becoming(*argv: str, env: tuple[str, ...] = (), notice: tuple[str, ...] = ()) -> Step:
    """The daemon's answer that has the hook become a program."""
    return answer(
        ("outcome", "exec"),
        *[("argv", word) for word in argv],
        *[("env", item) for item in env],
        *[("notice", line) for line in notice],
    )


def test_session_tells_what_sshd_and_the_client_say(hook: Hook) -> None:
    """The named variables go over as bytes, our own prefix as a list, and nothing else of the environment."""
    auth = hook.directory / "sshauth"
    auth.write_bytes(b"publickey ssh-ed25519-cert-v01@openssh.com AAAA\n")
    auth.chmod(0o600)
    env = {
        "SSH_ORIGINAL_COMMAND": "mybash echo \udcff\n'x'",
        "SSH_USER_AUTH": str(auth),
        "SSH_TTY": "/dev/pts/7",
        "SSH_CONNECTION": "192.0.2.9 40000 192.0.2.1 22",
        "TERM": "xterm",
        "HOOP_RESOURCE": "web1",
        "HOOPJUMP_STDIN": "wait",
        "HOOPJUMP_TOKEN": "head.claims.signature",
        "HOOPJUMP_A": "1=2",
        "HOOPJUMP_B": "",
        "SECRET": "s",
        "LD_PRELOAD": "",
    }
    with hook.serving(REFUSAL) as daemon:
        hook.run("session", env=env)
    (question,) = daemon.questions
    assert question[:3] == [("v", b"1"), ("verb", b"session"), ("stage", b"plan")]
    assert question[-2:] == [("env", b"HOOPJUMP_A=1=2"), ("env", b"HOOPJUMP_B=")]
    assert dict(question[3:-2]) == {
        "command": b"mybash echo \xff\n'x'",
        "user-auth": auth.read_bytes(),
        "tty": b"/dev/pts/7",
        "connection": b"192.0.2.9 40000 192.0.2.1 22",
        "term": b"xterm",
        "resource": b"web1",
        "stdin": b"wait",
        "token": b"head.claims.signature",
        "concealed": b"1",
        "relay": b"1",
    }


def test_shell_request_has_no_command(hook: Hook) -> None:
    """A command that is absent and one that is empty are told apart."""
    with hook.serving(REFUSAL, REFUSAL) as daemon:
        hook.run("session")
        hook.run("session", env={"SSH_ORIGINAL_COMMAND": ""})
    assert "command" not in dict(daemon.questions[0])
    assert dict(daemon.questions[1])["command"] == b""


@pytest.mark.parametrize("flaw", ["wide mode", "link", "directory", "fifo", "missing", "endless"])
def test_user_auth_file_that_sshd_did_not_make_is_left_out(hook: Hook, flaw: str) -> None:
    """The daemon refuses a session without one; the log says what was wrong."""
    auth = hook.directory / "auth"
    real = hook.directory / "real"
    real.write_bytes(b"publickey x\n")
    real.chmod(0o600)
    if flaw == "wide mode":
        auth.write_bytes(b"publickey x\n")
        auth.chmod(0o640)
    elif flaw == "link":
        auth.symlink_to(real)
    elif flaw == "directory":
        auth.mkdir(mode=0o600)
    elif flaw == "fifo":
        os.mkfifo(auth, 0o600)
    elif flaw == "endless":
        auth.touch(0o600)
        os.truncate(auth, 1 << 40)
    with hook.serving(REFUSAL) as daemon:
        hook.run("session", env={"SSH_USER_AUTH": str(auth)})
    assert "user-auth" not in dict(daemon.questions[0])
    assert "SSH_USER_AUTH cannot be used" in hook.logged()[0]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_user_auth_file_of_another_user_is_left_out(hook: Hook) -> None:
    """Whoever owns the file could have written it."""
    auth = hook.directory / "auth"
    auth.touch(0o600)
    os.chown(auth, 12345, 12345)
    with hook.serving(REFUSAL) as daemon:
        hook.run("session", env={"SSH_USER_AUTH": str(auth)})
    assert "user-auth" not in dict(daemon.questions[0])


def test_refusal_is_shown_and_its_status_exited_with(hook: Hook) -> None:
    """Sentences to stderr, lists to stdout."""
    steps = answer(("outcome", "refuse"), ("exit", "64"), ("text", "a"), ("text", "b"), ("stdout", "c"), ("ref", "x"))
    with hook.serving(steps):
        done = hook.run("session")
    assert (done.returncode, done.stdout, done.stderr) == (64, b"c\n", b"a\nb\n")


def test_text_cannot_command_a_terminal(hook: Hook) -> None:
    """Control characters, direction marks and broken UTF-8 are replaced, in either stream; other text stays."""
    nasty = b"\x1b]0;x\x07 \xc2\x9b31m \xe2\x80\xae gr\xc3\xbc\xc3\x9f \xff\r\n\tx"
    with hook.serving(answer(("outcome", "refuse"), ("exit", "77"), ("text", nasty), ("stdout", nasty))):
        done = hook.run("session")
    assert done.stderr == "?]0;x? ?31m ? gr\u00fc\u00df \ufffd??\tx\n".encode()
    assert done.stdout == done.stderr


@pytest.mark.parametrize(
    ("step", "status"), [(None, 69), (silent, 75), (drop, 75)], ids=["absent", "silent", "dropping"]
)
def test_daemon_that_does_not_answer_is_told_with_a_reference(hook: Hook, step: Step | None, status: int) -> None:
    """The reference that the user reads stands in the log too."""
    if step is None:
        done = hook.run("session")
    else:
        with hook.serving(step, step):
            done = hook.run("session")
    assert (done.returncode, done.stdout) == (status, b"")
    sentence = b"hoopjump: the bastion's service does not answer; please try again (ref "
    assert done.stderr.startswith(sentence)
    reference = done.stderr[len(sentence) :].rstrip(b")\n").decode()
    assert reference in hook.logged()[0]


@pytest.mark.parametrize(
    "data",
    [
        b"\x00\x00\x00\x05hello",
        frame(("outcome", "line"), ("line", "alice")),
        frame(("outcome", "refuse"), ("text", "x")),
        frame(("outcome", "refuse"), ("exit", "256")),
        frame(("outcome", "refuse"), ("exit", "-1")),
        frame(("outcome", "run"), ("argv", "/bin/true"), ("output-buffer", "1")),
        frame(("outcome", "exec"), ("env", "A=b")),
        frame(("outcome", "exec"), ("argv", "sh")),
        frame(("outcome", "exec"), ("argv", "/bin/sh"), ("env", "A")),
        frame(("outcome", "exec"), ("argv", "/bin/sh"), ("env", "=b")),
        frame(("outcome", "refuse"), ("exit", "77"), version="5"),
        frame(("outcome", "spool"), ("stdin", "some")),
    ],
    ids=lambda data: repr(data[4:60]),
)
def test_answer_that_breaks_the_protocol_ends_in_a_sentence(hook: Hook, data: bytes) -> None:
    """Exit 69, the sentence of the reason `protocol`, a reference, and nothing run."""
    with hook.serving(send(data)):
        done = hook.run("session")
    assert done.returncode == Reason.PROTOCOL.value.exit_status
    assert done.stderr.startswith(f"hoopjump: {Reason.PROTOCOL.sentence()} (protocol, ref ".encode())
    assert b"Traceback" not in done.stderr


@pytest.mark.parametrize("step", [becoming("/bin/cat"), spool("none"), answer(("outcome", "choose"), ("prompt", ">"))])
def test_input_that_was_gathered_is_never_left_behind(hook: Hook, step: Step) -> None:
    """Once the input is ours, only a program that gets it may follow, or a refusal."""
    with hook.serving(spool("wait"), step):
        done = hook.run("session", input=b"select 1;")
    assert (done.returncode, done.stdout) == (Reason.PROTOCOL.value.exit_status, b"")


def test_sentences_of_the_hook_are_those_of_the_reasons(hook: Hook) -> None:
    """The hook imports nothing of ours, so that its copies are compared here."""
    source = hook.file.read_text()
    for reason in (Reason.PROTOCOL, Reason.INTERNAL, Reason.COMMAND_TOO_LONG):
        assert f'"{reason.sentence()}"' in source
        assert f'"{reason.code}")' in source
    assert f'"{Reason.INPUT_TOO_LARGE.sentence(limit="%d")}"' in source


def test_command_too_long_for_a_question_is_refused(hook: Hook) -> None:
    """Nothing is cut off."""
    done = hook.run("session", env={f"HOOPJUMP_{n}": "x" * 100000 for n in range(3)})
    assert done.returncode == Reason.COMMAND_TOO_LONG.value.exit_status
    assert Reason.COMMAND_TOO_LONG.sentence().encode() in done.stderr


def test_exec_leaves_nothing_of_ours(hook: Hook) -> None:
    """The argv and the environment are exactly as told, and only the three descriptors are open."""
    env = ("A=b=c", "LC_CTYPE=C.UTF-8")
    with hook.serving(becoming(sys.executable, "-ISc", SHOW, "a b", "", "-x", env=env, notice=("hi\x1b",))):
        done = hook.run("session", env={"SSH_TTY": "/dev/pts/0", "HOOPJUMP_X": "1"})
    assert json.loads(done.stdout) == [["a b", "", "-x"], {"A": "b=c", "LC_CTYPE": "C.UTF-8"}, [0, 1, 2]]
    assert done.stderr == b"hi?\n"


@pytest.mark.parametrize("spooled", [False, True], ids=["exec", "spooled"])
def test_program_finds_every_signal_as_a_fresh_one_does(hook: Hook, spooled: bool) -> None:
    """The interpreter ignores SIGPIPE; the program does not."""
    argv = ("/bin/grep", "-E", "Sig(Ign|Blk|Cgt)", "/proc/self/status")
    with hook.serving(*([spool("none"), program(*argv)] if spooled else [becoming(*argv)])):
        done = hook.run("session")
    assert {int(line.split()[1], 16) for line in done.stdout.splitlines()[:2]} == {0}


def test_exec_keeps_the_process_and_its_input(hook: Hook) -> None:
    """Nothing is read from stdin, and the process sshd waits for is the program."""
    with hook.serving(becoming("/bin/sh", "-c", "cat; echo $$; exit 3")):
        session = hook.start()
        out, _ = session.communicate(b"input\n", timeout=30)
    assert out == f"input\n{session.pid}\n".encode()
    assert session.returncode == 3


@pytest.mark.parametrize("steps", [[becoming("/no/such/ssh")], [spool("none"), program("/no/such/ssh")]])
def test_program_that_cannot_be_started_ends_in_a_sentence(hook: Hook, steps: list[Step]) -> None:
    """The log names it, the user reads a reference."""
    with hook.serving(*steps):
        done = hook.run("session")
    assert done.returncode == Reason.INTERNAL.value.exit_status
    assert done.stderr.startswith(f"hoopjump: {Reason.INTERNAL.sentence()} (internal, ref ".encode())
    assert "cannot start /no/such/ssh: No such file or directory" in hook.logged()[-1]


CHOICE = answer(("outcome", "choose"), ("text", "1 pgdemo"), ("text", "2 mybash"), ("prompt", "role: "))


def test_choice_typed_on_a_terminal_is_told_and_the_rest_of_the_input_left(hook: Hook) -> None:
    """The line goes over as `choice`; what follows it is the program's."""
    steps = [CHOICE, CHOICE, becoming("/bin/sh", "-c", "read line; echo got $line; exit 4")]
    with hook.serving(*steps) as daemon:
        terminal = pexpect.spawn(hook.argv("session")[0], hook.argv("session")[1:], env={}, timeout=30)
        terminal.expect_exact("1 pgdemo\r\n2 mybash\r\nrole: ")
        terminal.sendline("bogus")
        terminal.expect_exact("role: ")
        terminal.send("mybash\nrest\n")
        terminal.expect_exact("got rest")
        terminal.expect(pexpect.EOF)
        terminal.close()
    assert terminal.exitstatus == 4
    assert [dict(question).get("choice") for question in daemon.questions] == [None, b"bogus", b"mybash"]


def test_input_after_a_choice_belongs_to_the_program(hook: Hook) -> None:
    """Not a byte more than the line is read, from a pipe either."""
    with hook.serving(CHOICE, becoming("/bin/cat")):
        done = hook.run("session", input=b"pgdemo\nselect 1;\n")
    assert done.stdout == b"select 1;\n"


def test_end_of_input_at_a_choice_is_a_usage_error(hook: Hook) -> None:
    """Exit 64, and no question without an answer."""
    with hook.serving(CHOICE):
        done = hook.run("session")
    assert done.returncode == 64
    assert done.stderr.endswith(b"hoopjump: nothing was chosen\n")


def test_interrupt_at_a_choice_ends_the_session(hook: Hook) -> None:
    """Ctrl-C: status 130, no traceback."""
    with hook.serving(CHOICE):
        terminal = pexpect.spawn(hook.argv("session")[0], hook.argv("session")[1:], env={}, timeout=30)
        terminal.expect_exact("role: ")
        terminal.sendintr()
        terminal.expect(pexpect.EOF)
        terminal.close()
    assert terminal.exitstatus == 130
    assert "Traceback" not in repr(terminal.before)


def test_daemon_that_never_stops_asking_is_given_up(hook: Hook) -> None:
    """A bound on questions ends the session in a sentence."""
    with hook.serving(*[CHOICE] * 100):
        done = hook.run("session", input=b"x\n" * 100)
    assert done.returncode == Reason.PROTOCOL.value.exit_status


def test_unknown_verb_is_a_usage_error(hook: Hook) -> None:
    """With one line of usage."""
    done = hook.run("sessions")
    assert done.returncode == 64
    assert done.stderr.startswith(b"hoopjump: usage: hook ")


def test_session_ends_when_its_program_is_gone(hook: Hook) -> None:
    """An exec'ed program is the session: killed, the session is killed."""
    with hook.serving(becoming("/bin/sleep", "60")):
        session = hook.start()
        wait_for(lambda: Path(f"/proc/{session.pid}/comm").read_text() == "sleep\n")
        session.terminate()
        session.communicate(timeout=30)
    assert session.returncode == -15
    assert gone(session.pid)


def test_socket_name_of_any_bytes_is_used(hook: Hook) -> None:
    """A path that is not text names its socket all the same."""
    with tempfile.TemporaryDirectory(prefix="h") as place:
        path = os.fsencode(place) + b"/\xff"
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(path)
            listener.listen()
            argv: list[bytes | str] = [*hook.argv("principals")[:-1], b"--socket=" + path, "--user=u"]
            asking = subprocess.Popen(argv, env={}, stdout=subprocess.PIPE)
            link, _ = listener.accept()
            with link:
                link.recv(4096)
                link.sendall(frame(("outcome", "line"), ("line", "alice")))
            assert asking.communicate(timeout=30)[0] == b"alice\n"
