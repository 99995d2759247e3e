"""The systemd unit of hoopjump-ca: valid, and with hardly any rights."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from hoopjump.ca.main import DRAIN_SECONDS
from hoopjump.ca.settings import CertificateSection, ServerSection, TokenSection
from hoopjump.config.sections import TrustSection
from hoopjump.dev import programs
from tests.sshd.test_units import unit

NAME = "hoopjump-ca.service"


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The unit with a program that is there."""
    if not shutil.which("systemd-analyze"):
        pytest.skip("systemd-analyze is not installed")
    path = tmp_path / NAME
    path.write_text((programs.CHECKOUT / "systemd" / NAME).read_text().replace("/usr/bin/hoopjump-ca", "/bin/true"))
    return path


def test_systemd_finds_no_fault_with_the_unit(copy: Path) -> None:
    """`systemd-analyze verify`."""
    answer = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", copy], capture_output=True, text=True, check=False
    )
    assert (answer.returncode, answer.stderr) == (0, "")


def test_systemd_calls_it_well_confined(copy: Path) -> None:
    """`systemd-analyze security`: an exposure of at most 2.0 of 10."""
    answer = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", "--threshold=20", copy],
        capture_output=True,
        text=True,
        check=False,
    )
    if "unrecognized option" in answer.stderr:
        pytest.skip("this systemd cannot judge a unit offline")
    assert answer.returncode == 0, answer.stdout


def test_it_has_a_user_of_its_own_and_no_capability() -> None:
    """Neither root nor the daemon's user, whose API key it must not reach."""
    service = unit(NAME)["Service"]
    assert service["User"] == ["hoopjump-ca"]
    assert service["CapabilityBoundingSet"] == service["AmbientCapabilities"] == [""]
    assert service["NoNewPrivileges"] == ["yes"]


def test_its_credentials_are_those_that_the_configuration_names() -> None:
    """By default both keys come from systemd."""
    names = {value.partition(":")[0] for value in unit(NAME)["Service"]["LoadCredential"]}
    token_key = TokenSection.model_fields["key"].default
    assert {f"credential:{name}" for name in names} == {CertificateSection().ca_key, token_key}


def test_its_key_is_not_made_over_the_list_of_trusted_ones() -> None:
    """On a bastion `hoopjump ca create` would have to replace, with FILE.pub, what `hoopjump gateway sync` wrote."""
    (file,) = (
        Path(path)
        for name, _, path in (value.partition(":") for value in unit(NAME)["Service"]["LoadCredential"])
        if name == "user-ca"
    )
    assert file.with_name(f"{file.name}.pub") != TrustSection.model_fields["user_cas"].default
    assert f"# hoopjump ca create {file} " in (programs.CHECKOUT / "docs" / "ca.md").read_text()


def test_dropped_keys_outlast_a_restart_of_the_machine() -> None:
    """The directory that the service uses by default is made, and writable in spite of ProtectSystem=strict."""
    default = ServerSection.model_fields["keys_dir"].default
    assert [Path("/var/lib", name) for name in unit(NAME)["Service"]["StateDirectory"]] == [default]


def test_it_is_given_the_time_to_finish() -> None:
    """Systemd kills later than the service gives up by itself."""
    assert float(unit(NAME)["Service"]["TimeoutStopSec"][0].removesuffix("s")) > 2 * DRAIN_SECONDS
