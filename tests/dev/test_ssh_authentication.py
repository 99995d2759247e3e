"""The certificate SSH server: who gets in, as whom, and what the others are told."""

from __future__ import annotations

import base64
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from hoopjump.dev.gateway import Setup, in_thread
from tests.dev.conftest import SETUP_ROLES, SETUP_USERS, Scene
from tests.dev.yard import Authority, Client, keygen, without_farewell

DENIED = b"alice@x.io@127.0.0.1: Permission denied (publickey).\r\n"
WHO = "echo $HOOP_USER_EMAIL"


def test_banner_is_the_one_of_a_go_server(shared_scene: Scene) -> None:
    """A TCP client reads `SSH-2.0-Go`."""
    with socket.create_connection(("127.0.0.1", shared_scene.client.ready.ssh_port)) as connection:
        assert connection.makefile("rb").readline() == b"SSH-2.0-Go\r\n"


@pytest.mark.parametrize("kind", ["ed25519", "ecdsa", "rsa"])
def test_certificates_of_every_kind_of_key_get_in(shared_scene: Scene, kind: str) -> None:
    """The command runs as the certificate's user."""
    done = shared_scene.client.run(shared_scene.authority.sign(kind=kind), "mybash", WHO)
    assert (done.returncode, done.stdout) == (0, b"alice@x.io\n")


def test_certificate_of_an_rsa_authority_gets_in(tmp_path: Path) -> None:
    """A CA line may carry options and a comment, and be of RSA."""
    key = tmp_path / "rsa_ca"
    keygen("-t", "rsa", "-b", "2048", "-N", "", "-f", key)
    authority = Authority(tmp_path)
    authority.key = key
    line = f'cert-authority,principals="x" {key.with_suffix(".pub").read_text().strip()}'
    with in_thread(Setup(SETUP_USERS, SETUP_ROLES, (line,))) as (_, ready):
        assert Client(ready, tmp_path).run(authority.sign(), "mybash", WHO).stdout == b"alice@x.io\n"


@pytest.mark.parametrize(
    ("principals", "options", "extra"),
    [
        ("alice@x.io", (), {"validity": "-2h:-1h"}),
        ("alice@x.io", (), {"validity": "+1h:+2h"}),
        ("alice@x.io", (), {"host": True}),
        ("bob@x.io", (), {}),
        ("", (), {}),
        ("alice@x.io", ("force-command=true",), {}),
        ("alice@x.io", ("critical:unheard-of",), {}),
    ],
    ids=[
        "expired",
        "not-yet-valid",
        "host",
        "login-not-a-principal",
        "no-principals",
        "force-command",
        "unknown-option",
    ],
)
def test_bad_certificate_is_denied_without_a_reason(
    shared_scene: Scene, principals: str, options: tuple[str, ...], extra: dict[str, object]
) -> None:
    """All of them look alike: permission denied, exit 255."""
    key = shared_scene.authority.sign(principals, *options, **extra)  # type: ignore[arg-type]
    done = shared_scene.client.run(key, "mybash", "true")
    assert (done.returncode, done.stdout, done.stderr) == (255, b"", DENIED)


def test_certificate_of_a_foreign_authority_is_denied(shared_scene: Scene, tmp_path: Path) -> None:
    """Only listed CAs count."""
    done = shared_scene.client.run(Authority(tmp_path, "foreign").sign(), "mybash", "true")
    assert (done.returncode, done.stderr) == (255, DENIED)


def test_plain_key_is_denied(shared_scene: Scene, tmp_path: Path) -> None:
    """A key without a certificate is nobody's."""
    key = tmp_path / "plain"
    keygen("-t", "ed25519", "-N", "", "-f", key)
    done = shared_scene.client.run(key, "mybash", "true")
    assert (done.returncode, done.stderr) == (255, DENIED)


def test_stolen_certificate_does_not_help_another_key(shared_scene: Scene, tmp_path: Path) -> None:
    """A certificate is public; without its private key it is nothing."""
    key = tmp_path / "thief"
    keygen("-t", "ed25519", "-N", "", "-f", key)
    stolen = Path(f"{shared_scene.key}-cert.pub")
    done = shared_scene.client.run(key, "mybash", "true", options=("-o", f"CertificateFile={stolen}"))
    assert done.returncode == 255
    assert done.stdout == b""


def test_sixth_failed_key_ends_the_connection(shared_scene: Scene, tmp_path: Path) -> None:
    """A good certificate that is offered seventh is not looked at."""
    options = []
    for number in range(6):
        key = tmp_path / f"k{number}"
        keygen("-t", "ed25519", "-N", "", "-f", key)
        options += ["-i", str(key)]
    command = shared_scene.client.command(shared_scene.key, "mybash", "echo in")
    place = command.index("-i")
    done = subprocess.run([*command[:place], *options, *command[place:]], capture_output=True, check=False, timeout=30)
    assert done.returncode == 255
    assert b"oo many authentication failures" in done.stderr


def test_source_address_is_not_enforced(shared_scene: Scene) -> None:
    """A certificate pinned to a foreign address logs in all the same."""
    key = shared_scene.authority.sign("alice@x.io", "source-address=192.0.2.1/32")
    assert shared_scene.client.run(key, "mybash", WHO).stdout == b"alice@x.io\n"


def test_first_principal_that_is_anybody_wins_over_the_login_name(shared_scene: Scene) -> None:
    """A certificate for nobody, alice and bob, used as bob, runs as alice."""
    key = shared_scene.authority.sign("nobody,alice@x.io,bob@x.io")
    assert shared_scene.client.run(key, "mybash", WHO, login="bob@x.io").stdout == b"alice@x.io\n"


def test_unknown_user_is_told_so_on_the_first_channel(shared_scene: Scene) -> None:
    """The handshake succeeds; the sentence comes on stderr with CRLF."""
    key = shared_scene.authority.sign("nobody@x.io")
    done = shared_scene.client.run(key, "mybash", "true", login="nobody@x.io")
    assert done.returncode in (1, 255)
    expected = b"hoop: unable to authenticate, certificate attribute does not match any user\r\n"
    assert without_farewell(done.stderr) == expected


def test_inactive_user_is_told_so_on_the_first_channel(shared_scene: Scene) -> None:
    """The status is named."""
    key = shared_scene.authority.sign("dave@x.io")
    done = shared_scene.client.run(key, "mybash", "true", login="dave@x.io")
    assert without_farewell(done.stderr) == b'hoop: user is not active (status="inactive")\r\n'


def test_unknown_user_is_told_so_on_a_forward(shared_scene: Scene) -> None:
    """A first direct-tcpip channel is refused with the same text."""
    key = shared_scene.authority.sign("nobody@x.io")
    done = shared_scene.client.run(key, login="nobody@x.io", options=("-W", "mybash:1"), stdin=b"")
    assert b"administratively prohibited: hoop: unable to authenticate, certificate attribute" in done.stderr


@pytest.mark.parametrize(
    ("mapping", "principals", "key_id", "login", "email"),
    [
        (("principal", "email"), "olga@x.io", "x", "olga@x.io", b"olga@x.io"),
        (("principal", "subject"), "auth0|5f1c", "x", "auth0|5f1c", b"olga@x.io"),
        (("principal", "user_id"), "11111111-2222-4333-8444-555555555555", "x", "", b"alice@x.io"),
        (("key_id", "email"), "", "olga@x.io", "whoever", b"olga@x.io"),
        (("key_id", "subject"), "anna", "auth0|5f1c", "anna", b"olga@x.io"),
        (("key_id", "user_id"), "", "11111111-2222-4333-8444-555555555555".upper(), "root", b"alice@x.io"),
    ],
)
def test_every_pair_of_attributes_finds_its_user(
    tmp_path: Path, mapping: tuple[str, str], principals: str, key_id: str, login: str, email: bytes
) -> None:
    """Principal or key ID, against e-mail, subject or internal id; a UUID in either case."""
    authority = Authority(tmp_path)
    with in_thread(Setup(SETUP_USERS, SETUP_ROLES, (authority.line,), mapping)) as (_, ready):
        key = authority.sign(principals, key_id=key_id)
        done = Client(ready, tmp_path).run(key, "mybash", WHO, login=login or principals)
        assert done.stdout == email + b"\n", done.stderr


def test_login_ends_when_the_certificate_does(scene: Scene) -> None:
    """Open channels see the one sentence, and ssh ends with 255; the row says 254."""
    # Where a login takes long, the certificate has to last longer.
    for seconds in (3, 15):
        end = time.strftime("%Y%m%d%H%M%SZ", time.gmtime(time.time() + seconds))
        key = scene.authority.sign(validity=f"20200101000000Z:{end}")
        done = scene.client.run(key, "mybash", "echo begun; sleep 60")
        if done.stdout:
            break
    assert (done.returncode, done.stdout) == (255, b"begun\n")
    assert without_farewell(done.stderr) == b"hoop: cannot connect to target server\r\n"
    assert scene.gateway.store.sessions[-1].exit_code == 254


@pytest.fixture
def idle(shared_scene: Scene) -> Iterator[socket.socket]:
    """A TCP connection that says nothing."""
    with socket.create_connection(("127.0.0.1", shared_scene.client.ready.ssh_port)) as connection:
        yield connection


def test_idle_connection_holds_up_all_logins(shared_scene: Scene, idle: socket.socket) -> None:
    """The server completes one handshake before it accepts the next connection."""
    waiting = shared_scene.client.start(shared_scene.key, "mybash", "echo in")
    with pytest.raises(subprocess.TimeoutExpired):
        waiting.wait(1)
    idle.close()
    assert waiting.communicate(timeout=20)[0] == b"in\n"


def test_host_key_is_the_configured_one(shared_scene: Scene, tmp_path: Path) -> None:
    """The client checks it strictly, so another one in known_hosts is refused."""
    pem = base64.b64decode(shared_scene.gateway.store.misc["ssh_server_config"]["hosts_key"])
    assert pem.startswith(b"-----BEGIN OPENSSH PRIVATE KEY-----")
    client = Client(shared_scene.client.ready, tmp_path)
    client.trust_host_key(shared_scene.authority.line)
    assert b"Host key verification failed" in client.run(shared_scene.key, "mybash", "true").stderr
