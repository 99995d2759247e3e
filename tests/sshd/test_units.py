"""The systemd units: valid, and with no more rights than the daemon needs."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from hoopjump.config import DaemonSection, GatewaySection, HandoffSection, SshdSection
from hoopjump.dev import programs

UNITS = programs.CHECKOUT / "systemd"


def unit(name: str) -> dict[str, dict[str, list[str]]]:
    """Sections, keys and their values in order; a key may come more than once."""
    sections: dict[str, dict[str, list[str]]] = {}
    current: dict[str, list[str]] = {}
    for line in (UNITS / name).read_text().splitlines():
        if line.startswith("["):
            current = sections.setdefault(line.strip("[]"), {})
        elif line and not line.startswith("#"):
            key, _, value = line.partition("=")
            current.setdefault(key, []).append(value)
    return sections


def test_systemd_finds_no_fault_with_the_units(tmp_path: Path) -> None:
    """`systemd-analyze verify`, with a program in place of the daemon that is there."""
    if not shutil.which("systemd-analyze"):
        pytest.skip("systemd-analyze is not installed")
    for name in ("hoopjumpd.service", "hoopjumpd.socket"):
        (tmp_path / name).write_text((UNITS / name).read_text().replace("/usr/bin/hoopjumpd", "/bin/true"))
    answer = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", tmp_path / "hoopjumpd.socket", tmp_path / "hoopjumpd.service"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (answer.returncode, answer.stderr) == (0, "")


def test_the_daemon_has_one_capability_and_no_root() -> None:
    """CAP_KILL ends a login whose time has come; there is no other."""
    service = unit("hoopjumpd.service")["Service"]
    assert service["User"] == ["hoopjump"]
    assert service["CapabilityBoundingSet"] == service["AmbientCapabilities"] == ["CAP_KILL"]
    assert service["NoNewPrivileges"] == ["yes"]


def test_the_daemon_sees_roots_processes() -> None:
    """With ProtectProc= or a PID namespace no login could be told from another."""
    service = unit("hoopjumpd.service")["Service"]
    assert service["ProtectProc"] == ["default"]
    assert service["ProcSubset"] == ["all"]
    assert "PrivatePIDs" not in service


def test_the_daemon_has_its_share_of_the_machine() -> None:
    """Hundreds of logins at once: processor before those who wait for it, room in the queue, descriptors."""
    service = unit("hoopjumpd.service")["Service"]
    assert int(service["CPUWeight"][0]) > 100  # systemd.resource-control(5): everybody's default
    assert int(service["LimitNOFILE"][0]) >= 65536
    assert int(service["TasksMax"][0]) >= DaemonSection.model_fields["gateway_threads"].default * 2
    assert int(unit("hoopjumpd.socket")["Socket"]["Backlog"][0]) >= 1024


def test_the_login_table_outlives_a_restart() -> None:
    """The directory is kept, and everybody can pass through it to the socket."""
    service = unit("hoopjumpd.service")["Service"]
    assert service["RuntimeDirectory"] == ["hoopjump"]
    assert service["RuntimeDirectoryPreserve"] == ["yes"]
    assert service["RuntimeDirectoryMode"] == ["0755"]


def test_dropped_keys_outlast_a_restart_of_the_machine() -> None:
    """The directory that the daemon uses by default is made, and writable in spite of ProtectSystem=strict."""
    service = unit("hoopjumpd.service")["Service"]
    assert [Path("/var/lib", name) for name in service["StateDirectory"]] == [DaemonSection().keys_dir]


def test_the_socket_is_everybodys_and_the_configurations() -> None:
    """Mode 0666 in a directory of 0755, at the path that daemon and hook use by default."""
    socket = unit("hoopjumpd.socket")["Socket"]
    assert socket["ListenStream"] == [str(DaemonSection().socket)]
    assert socket["SocketMode"] == ["0666"]
    assert socket["DirectoryMode"] == ["0755"]
    assert socket["Backlog"] == ["4096"]


def test_the_credentials_are_those_that_the_configuration_names() -> None:
    """By default both secrets come from systemd."""
    names = {value.partition(":")[0] for value in unit("hoopjumpd.service")["Service"]["LoadCredential"]}
    api_key = GatewaySection.model_fields["api_key"].default
    handoff = HandoffSection.model_fields["ca_key"].default
    assert {f"credential:{name}" for name in names} == {api_key, handoff}


def test_users_and_directories_are_made_as_the_configuration_expects(tmp_path: Path) -> None:
    """The daemon's user is not the hook's, and the login account's home is root's."""
    if not (shutil.which("systemd-sysusers") and shutil.which("systemd-tmpfiles")):
        pytest.skip("systemd-sysusers is not installed")
    (tmp_path / "etc").mkdir()
    subprocess.run(["systemd-sysusers", f"--root={tmp_path}", UNITS / "sysusers.conf"], check=True, capture_output=True)
    users = {line.split(":")[0]: line.split(":") for line in (tmp_path / "etc" / "passwd").read_text().splitlines()}
    assert {"hoopjump", "hoopjump-ca", "hoop", SshdSection().hook_user} == set(users)
    assert users["hoop"][5:] == ["/var/lib/hoop", "/bin/sh"]
    assert len({entry[2] for entry in users.values()}) == 4


def test_the_units_name_documents_where_the_readme_installs_them() -> None:
    """README.md in /usr/share/doc/hoopjump, and docs below it."""
    for service in UNITS.glob("*.service"):
        for url in unit(service.name)["Unit"]["Documentation"]:
            assert (programs.CHECKOUT / url.removeprefix("file:///usr/share/doc/hoopjump/")).is_file()
