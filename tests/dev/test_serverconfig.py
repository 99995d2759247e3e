"""What a change of configuration does to the SSH server: who is cut off, what comes up again, what does not."""

from __future__ import annotations

import base64
import copy
import socket
import subprocess
from pathlib import Path
from typing import Any

import pytest
import requests

from hoopjump.dev.services import wait_for
from tests.dev.conftest import Scene
from tests.dev.yard import Authority, Client, keygen, without_farewell


def put(scene: Scene, misc: dict[str, Any]) -> requests.Response:
    """Replace the configuration."""
    return requests.put(
        f"{scene.client.ready.api_url}/api/serverconfig/misc",
        json=misc,
        headers={"Authorization": f"Bearer {scene.client.ready.admin_key}"},
        timeout=20,
    )


def misc_of(scene: Scene) -> dict[str, Any]:
    """A copy of the stored configuration."""
    return copy.deepcopy(scene.gateway.store.misc)


def live_session(scene: Scene) -> subprocess.Popen[bytes]:
    """A session that has begun."""
    client = scene.client.start(scene.key, "mybash", "echo begun; sleep 60")
    assert client.stdout is not None
    assert client.stdout.readline() == b"begun\n"
    return client


def test_same_configuration_keeps_live_sessions(scene: Scene) -> None:
    """A PUT that changes nothing."""
    client = live_session(scene)
    assert put(scene, misc_of(scene)).status_code == 200
    assert scene.gateway.store.sessions[-1].status == "open"
    assert client.poll() is None
    client.kill()
    client.communicate()


def test_added_authority_ends_live_sessions(scene: Scene, tmp_path: Path) -> None:
    """Although nothing was taken away; then both CAs are good."""
    client = live_session(scene)
    second = Authority(tmp_path, "second")
    misc = misc_of(scene)
    misc["ssh_server_config"]["trusted_cas"].append(second.line)
    assert put(scene, misc).status_code == 200
    stderr = client.communicate(timeout=10)[1]
    assert client.returncode == 255
    assert without_farewell(stderr) == b"hoop: cannot connect to target server\r\n"
    for key in (scene.key, second.sign()):
        assert scene.client.run(key, "mybash", "echo in").stdout == b"in\n"


def test_removed_authority_is_refused_at_once(scene: Scene, tmp_path: Path) -> None:
    """No certificate of it gets in any more."""
    misc = misc_of(scene)
    misc["ssh_server_config"]["trusted_cas"] = [Authority(tmp_path, "second").line]
    assert put(scene, misc).status_code == 200
    assert b"Permission denied" in scene.client.run(scene.key, "mybash", "true").stderr


def test_failed_start_leaves_the_server_down(scene: Scene) -> None:
    """Nothing is saved, and the stored configuration put again answers 200 and starts nothing; a change does."""
    stored = misc_of(scene)
    bad = misc_of(scene)
    bad["ssh_server_config"]["trusted_cas"].append("garbage")
    assert put(scene, bad).status_code == 500
    assert scene.gateway.store.misc == stored
    assert put(scene, stored).status_code == 200
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", scene.client.ready.ssh_port))
    changed = misc_of(scene)
    changed["ssh_server_config"]["trusted_cas"] = changed["ssh_server_config"]["trusted_cas"] * 2
    assert put(scene, changed).status_code == 200
    assert scene.client.run(scene.key, "mybash", "echo in").stdout == b"in\n"


def test_clearing_the_address_and_setting_it_again_also_starts_it(scene: Scene) -> None:
    """The other way out."""
    stored = misc_of(scene)
    cleared = misc_of(scene)
    cleared["ssh_server_config"]["listen_address"] = ""
    assert put(scene, cleared).status_code == 200
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", scene.client.ready.ssh_port))
    assert put(scene, stored).status_code == 200
    assert scene.client.run(scene.key, "mybash", "echo in").stdout == b"in\n"


def test_busy_port_is_a_failed_start(scene: Scene) -> None:
    """500 with the address in it."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        misc = misc_of(scene)
        misc["ssh_server_config"]["listen_address"] = address = f"127.0.0.1:{other.getsockname()[1]}"
        answer = put(scene, misc)
    assert answer.status_code == 500
    assert answer.json()["message"].startswith(
        f"failed handling ssh server startup: failed listening to address {address}"
    )


def test_host_key_that_is_put_is_served(scene: Scene, tmp_path: Path) -> None:
    """An sshd's key, in OpenSSH's format."""
    key = tmp_path / "host"
    keygen("-t", "ed25519", "-N", "", "-f", key)
    misc = misc_of(scene)
    misc["ssh_server_config"]["hosts_key"] = base64.b64encode(key.read_bytes()).decode()
    assert put(scene, misc).status_code == 200
    scene.client.trust_host_key(key.with_suffix(".pub").read_text().strip())
    assert scene.client.run(scene.key, "mybash", "echo in").stdout == b"in\n"


@pytest.mark.parametrize("kind", [("rsa", ""), ("ecdsa", ""), ("ed25519", "a passphrase"), ("text", "")])
def test_other_host_keys_are_a_failed_start(scene: Scene, tmp_path: Path, kind: tuple[str, str]) -> None:
    """Unencrypted Ed25519 only."""
    key = tmp_path / "host"
    if kind[0] == "text":
        key.write_text("no key")
    else:
        keygen("-t", kind[0], "-N", kind[1], "-f", key)
    misc = misc_of(scene)
    misc["ssh_server_config"]["hosts_key"] = base64.b64encode(key.read_bytes()).decode()
    assert put(scene, misc).status_code == 500


def test_omitted_host_key_is_rotated(scene: Scene, tmp_path: Path) -> None:
    """Clients that are strict about it no longer get in."""
    misc = misc_of(scene)
    misc["ssh_server_config"]["hosts_key"] = ""
    assert put(scene, misc).status_code == 200
    client = Client(scene.client.ready, tmp_path)
    assert b"Host key verification failed" in client.run(scene.key, "mybash", "true").stderr


def test_kill_ends_the_session_and_its_process(scene: Scene) -> None:
    """The client reads the one sentence; the row says 254."""
    client = live_session(scene)
    row = scene.gateway.store.sessions[-1]
    url = f"{scene.client.ready.api_url}/api/sessions/{row.id}/kill"
    headers = {"Authorization": f"Bearer {scene.client.ready.admin_key}"}
    assert requests.post(url, headers=headers, timeout=5).status_code == 204
    stderr = client.communicate(timeout=10)[1]
    assert (client.returncode, without_farewell(stderr)) == (255, b"hoop: cannot connect to target server\r\n")
    wait_for(lambda: row.exit_code == 254, what="the row")


def test_deactivated_user_stays_in_live_sessions(scene: Scene) -> None:
    """New logins are refused, the session goes on."""
    client = live_session(scene)
    next(user for user in scene.gateway.store.users if user.email == "alice@x.io").status = "inactive"
    done = scene.client.run(scene.key, "mybash", "true")
    assert without_farewell(done.stderr) == b'hoop: user is not active (status="inactive")\r\n'
    assert client.poll() is None
    client.kill()
    client.communicate()
