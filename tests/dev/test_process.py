"""The gateway as a process: one call starts it, and what tests and the demo want of it works."""

from __future__ import annotations

import json
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from hoopjump.dev.gateway import Gateway, RoleSpec, UserSpec
from tests.dev.yard import Authority, Client, without_farewell


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    """The trusted CA."""
    return Authority(tmp_path)


@pytest.fixture
def gateway(tmp_path: Path, authority: Authority) -> Iterator[Gateway]:
    """A gateway with Alice and the role mybash."""
    with Gateway.start(
        tmp_path / "gateway",
        users=[UserSpec("alice@x.io", groups=("dev",))],
        roles=[RoleSpec("mybash")],
        trusted_cas=[authority.line],
    ) as gateway:
        yield gateway


@pytest.fixture
def client(gateway: Gateway, tmp_path: Path) -> Client:
    """A client that knows its host key."""
    client = Client(gateway.ready, tmp_path)
    client.known_hosts.write_text(gateway.host_key_line + "\n")
    return client


def test_it_says_what_it_is(gateway: Gateway) -> None:
    """The first line of its log; and it listens on loopback only."""
    assert gateway.log().splitlines()[0].startswith("hoopjump dev gateway: a stand-in for tests and for trying out")
    assert gateway.api_url.startswith("http://127.0.0.1:")
    listening = [line.split()[1] for line in Path("/proc/net/tcp").read_text().splitlines() if line.split()[3] == "0A"]
    ours = [int(gateway.api_url.rpartition(":")[2]), gateway.ssh_port]
    assert all(f"0100007F:{port:04X}" in listening and f"00000000:{port:04X}" not in listening for port in ours)


def test_its_files_are_private(gateway: Gateway) -> None:
    """State, keys and description are readable by their owner only."""
    files = [path for path in gateway.directory.iterdir() if path.name != "gateway.log"]
    assert {path.name for path in files} == {"setup.json", "state.json", "ready.json"}
    assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {0o600}


def test_users_and_roles_can_be_changed(gateway: Gateway, client: Client, authority: Authority) -> None:
    """While it runs."""
    key = authority.sign()
    gateway.add_role(RoleSpec("second", variables={"X": "1"}))
    assert client.run(key, "second", "echo $X").stdout == b"1\n"
    gateway.set_user("alice@x.io", status="inactive")
    assert b"user is not active" in client.run(key, "second", "true").stderr
    gateway.set_user("alice@x.io", status="active", email="alicia@x.io")
    gateway.add_user(UserSpec("bob@x.io"))
    assert client.run(authority.sign("bob@x.io"), "second", "echo $X", login="bob@x.io").stdout == b"1\n"
    gateway.remove_role("second")
    done = client.run(authority.sign("bob@x.io"), "second", "true", login="bob@x.io")
    assert without_farewell(done.stderr) == b'hoop: connection "second" not found\r\n'


def test_restart_keeps_ports_keys_and_state(gateway: Gateway, client: Client, authority: Authority) -> None:
    """So that what was configured for it still holds."""
    before = gateway.ready
    gateway.stop()
    with pytest.raises(requests.ConnectionError):
        gateway.call("GET", "/api/healthz")
    gateway.run()
    assert gateway.ready == before
    assert gateway.call("GET", "/api/users/alice@x.io", key=gateway.auditor_key).status_code == 200
    assert client.run(authority.sign(), "mybash", "echo in").stdout == b"in\n"


def test_trust_is_replaced(gateway: Gateway, client: Client, tmp_path: Path) -> None:
    """By other CAs."""
    other = Authority(tmp_path, "other")
    gateway.trust([other.line])
    assert client.run(other.sign(), "mybash", "echo in").stdout == b"in\n"


def test_faults_of_the_api(gateway: Gateway) -> None:
    """Down, garbage, an error status, slow; they leave /dev alone, so that they can be taken back."""
    gateway.faults(api_down=True)
    with pytest.raises(requests.ConnectionError):
        gateway.call("GET", "/api/healthz")
    gateway.faults(api_down=False, api_garbage=True)
    with pytest.raises(requests.JSONDecodeError):
        gateway.call("GET", "/api/healthz").json()
    gateway.faults(api_garbage=False, api_status=500)
    assert gateway.call("GET", "/api/healthz").status_code == 500
    gateway.faults(api_status=0, api_delay=0.5)
    assert gateway.call("GET", "/api/healthz").elapsed.total_seconds() >= 0.5
    gateway.faults(api_delay=0)
    assert gateway.call("GET", "/api/healthz").json() == {"liveness": "OK"}


def test_unknown_fault_is_an_error(gateway: Gateway) -> None:
    """With the known ones named."""
    with pytest.raises(RuntimeError, match="unknown fault 'early_clos'; known: early_close"):
        gateway.faults(early_clos=True)


def test_faults_are_for_its_admin_key(gateway: Gateway) -> None:
    """An auditor's key, or none, changes nothing."""
    assert gateway.call("POST", "/dev/faults", {"api_down": True}, key=gateway.auditor_key).status_code == 403
    assert requests.post(f"{gateway.api_url}/dev/faults", json={"api_down": True}, timeout=5).status_code == 401


def test_session_rows_are_there_soon_after_the_end(gateway: Gateway, client: Client, authority: Authority) -> None:
    """With verb and exit code, the newest first."""
    key = authority.sign()
    client.run(key, "mybash", "exit 3")
    client.run(key, "mybash", "exit 4")
    rows = gateway.sessions(user="alice@x.io", connection="mybash")
    assert [(row["verb"], row["status"], row["exit_code"]) for row in rows] == [
        ("exec", "done", 4),
        ("exec", "done", 3),
    ]


def test_bad_description_is_one_sentence(tmp_path: Path) -> None:
    """No traceback."""
    description = tmp_path / "setup.json"
    description.write_text(json.dumps({"users": [{"mail": "alice@x.io"}]}))
    command = [sys.executable, "-m", "hoopjump.dev.gateway", "--setup", str(description)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("hoopjump dev gateway: ")
    assert done.stderr.count("\n") == 1
