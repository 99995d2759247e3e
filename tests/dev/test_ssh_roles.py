"""Roles of type ssh: a second, real sshd behind the gateway."""

from __future__ import annotations

import hashlib
import os
import pwd
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pexpect
import pytest

from hoopjump.dev.gateway import RoleSpec, Setup, UserSpec, in_thread
from hoopjump.dev.private_sshd import Sshd
from hoopjump.dev.services import free_port, wait_for
from tests.conftest import need_bastion, need_terminals
from tests.dev.conftest import Scene
from tests.dev.yard import Authority, Client, interrupts_and_ends, keygen, without_farewell

SFTP_SERVER = "/usr/lib/openssh/sftp-server"


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[int, Path]]:
    """A private sshd that lets us in as ourselves; its port, and the key it knows."""
    need_bastion()
    directory = tmp_path_factory.mktemp("target")
    for name in ("host", "client"):
        keygen("-t", "ed25519", "-N", "", "-f", directory / name)
    port = free_port()
    server = Sshd(
        "sshd",
        directory / "sshd_config",
        directory / "log",
        ports=(port,),
        host_key=directory / "host",
        lines=(
            f"AuthorizedKeysFile {directory}/client.pub",
            "StrictModes no",
            "PermitRootLogin prohibit-password",
            "AcceptEnv *",
        ),
    )
    server.start()
    yield port, directory / "client"
    server.stop()


@pytest.fixture
def scene(target: tuple[int, Path], tmp_path: Path) -> Iterator[Scene]:
    """A gateway with the roles web1, and down1 (where nothing listens) and strange1 (which does not know the key)."""
    port, key = target
    me = pwd.getpwuid(os.geteuid()).pw_name
    other = tmp_path / "other"
    keygen("-t", "ed25519", "-N", "", "-f", other)
    roles = (
        RoleSpec.ssh("web1", host="127.0.0.1", port=port, user=me, key=key.read_text()),
        RoleSpec.ssh("down1", host="127.0.0.1", port=1, user=me, key=key.read_text()),
        RoleSpec.ssh("strange1", host="127.0.0.1", port=port, user=me, key=other.read_text()),
    )
    authority = Authority(tmp_path)
    with in_thread(Setup((UserSpec("alice@x.io"),), roles, (authority.line,))) as (gateway, ready):
        yield Scene(gateway, authority, Client(ready, tmp_path), authority.sign())


@pytest.mark.parametrize("status", [0, 1, 7, 255])
def test_command_runs_on_the_target(scene: Scene, status: int) -> None:
    """Stdout, stderr and exit status are relayed, and the server waits for the client to close."""
    done = scene.client.run(scene.key, "web1", f"echo out; echo err >&2; exit {status}")
    assert (done.returncode, done.stdout, done.stderr) == (status, b"out\n", b"err\n")
    row = scene.gateway.store.sessions[-1]
    assert (row.verb, row.exit_code, row.connection) == ("connect", status, "web1")


def test_signal_is_relayed(scene: Scene) -> None:
    """A command that a signal ended gives 255 at the client."""
    assert scene.client.run(scene.key, "web1", "kill -9 $$").returncode == 255


def test_input_may_come_late_and_in_any_amount(scene: Scene) -> None:
    """No window here: the input is a stream."""
    client = scene.client.start(scene.key, "web1", "echo ready; sha256sum")
    assert client.stdout is not None
    assert client.stdout.readline() == b"ready\n"
    data = os.urandom(5_000_000)
    out = client.communicate(data, timeout=60)[0]
    assert out == f"{hashlib.sha256(data).hexdigest()}  -\n".encode()


def test_output_is_never_cut(scene: Scene, tmp_path: Path) -> None:
    """Also for a reader who is slow to begin."""
    argv = scene.client.command(scene.key, "web1", "head -c 20000000 /dev/zero")
    reader = f"sleep 0.5; cat >{tmp_path}/out"
    with subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE) as client:
        subprocess.run(["sh", "-c", reader], stdin=client.stdout, check=True)
    assert ((tmp_path / "out").stat().st_size, client.returncode) == (20_000_000, 0)


def test_input_that_ended_is_the_command(scene: Scene) -> None:
    """Without a command, what was piped within 100 ms becomes one."""
    done = scene.client.run(scene.key, "web1", stdin=b"echo piped; exit 5\n")
    assert (done.returncode, done.stdout) == (5, b"piped\n")


def test_input_that_goes_on_is_typed_into_a_shell(scene: Scene) -> None:
    """Nothing of it is lost."""
    client = scene.client.start(scene.key, "web1")
    assert client.stdin is not None
    client.stdin.write(b"echo early\n")
    client.stdin.flush()
    assert client.stdout is not None
    assert client.stdout.readline() == b"early\n"
    assert client.communicate(b"echo late\nexit 6\n", timeout=30)[0] == b"late\n"
    assert client.returncode == 6


def test_terminal_on_the_target(scene: Scene) -> None:
    """With size, TERM, resizing and Ctrl-C."""
    need_terminals()
    argv = scene.client.command(scene.key, "web1", options=("-tt",))
    environment = os.environ | {"TERM": "vt220"}
    terminal = pexpect.spawn(argv[0], argv[1:], env=environment, dimensions=(30, 100), timeout=20, encoding="utf-8")
    terminal.sendline("PS1=; stty -echo; echo 'st'art $TERM $(stty size)")
    terminal.expect("start vt220 30 100\r\n")
    terminal.setwinsize(44, 133)
    terminal.sendline("until [ \"$(stty size)\" = '44 133' ]; do :; done; echo 're'sized")
    terminal.expect("resized")
    interrupts_and_ends(terminal)


def test_environment_requests_are_refused(scene: Scene) -> None:
    """Although the target would take them."""
    done = scene.client.run(scene.key, "web1", "echo [$X]", options=("-o", "SetEnv=X=1"))
    assert done.stdout == b"[]\n"


def test_sftp_needs_the_servers_path(scene: Scene, tmp_path: Path) -> None:
    """As the remote command, after the role's name; then files go both ways."""
    source = tmp_path / "source"
    source.write_bytes(os.urandom(3_000_000))
    argv = scene.client.command(scene.key)
    argv[0] = "sftp"
    port = argv.index("-p")
    argv[port] = "-P"
    batch = tmp_path / "batch"
    batch.write_text(f"put {source} {tmp_path}/there\nget {tmp_path}/there {tmp_path}/back\n")
    host = argv.pop()
    subprocess.run([*argv, "-b", batch, "-s", f"web1 {SFTP_SERVER}", host], check=True, capture_output=True, timeout=60)
    assert (tmp_path / "back").read_bytes() == source.read_bytes()


def test_rsync_through_the_role(scene: Scene, tmp_path: Path) -> None:
    """The role's name stands before the remote rsync."""
    if shutil.which("rsync") is None:
        pytest.skip("rsync is missing")
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree" / "file").write_bytes(os.urandom(1_000_000))
    *shell, host = scene.client.command(scene.key)
    argv = [
        "rsync",
        "-a",
        "-e",
        " ".join(shell),
        "--rsync-path",
        "web1 rsync",
        f"{tmp_path}/tree/",
        f"{host}:{tmp_path}/copy/",
    ]
    subprocess.run(argv, check=True, capture_output=True, timeout=60)
    assert (tmp_path / "copy" / "file").read_bytes() == (tmp_path / "tree" / "file").read_bytes()


@pytest.mark.parametrize(
    ("role", "text"),
    [
        ("down1", b"cannot connect to target server: connection refused"),
        ("strange1", b"authentication failed against target server"),
    ],
)
def test_unreachable_target_is_told(scene: Scene, role: str, text: bytes) -> None:
    """The few errors that are recognised have sentences of their own."""
    done = scene.client.run(scene.key, role, "true")
    assert done.returncode in (1, 255)
    assert without_farewell(done.stderr) == b"hoop: " + text + b"\r\n"
    assert scene.gateway.store.sessions[-1].exit_code == 254


def test_client_that_goes_ends_the_relay(scene: Scene) -> None:
    """The target sees its connection end."""
    client = scene.client.start(scene.key, "web1", "echo $$; sleep 60")
    assert client.stdout is not None
    assert re.fullmatch(rb"\d+\n", client.stdout.readline())
    client.kill()
    client.communicate()
    row = scene.gateway.store.sessions[-1]
    wait_for(lambda: row.status == "done", what="the row to be closed")
