"""`hoopjump sshd check` on a running bastion with a real sshd."""

from __future__ import annotations

import json
import os
import pwd
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from hoopjump.dev import programs
from hoopjump.dev.bastion import Bastion
from tests.cli.conftest import Run, Said, hoopjump

__all__ = ["hoopjump"]


@pytest.fixture
def check(bastion: Bastion, hoopjump: Run, tmp_path: Path) -> Callable[..., Said]:
    """Checks the bastion, after changes to a copy of its sshd_config."""
    administrator = "daemon" if bastion.place.rootless else "root"

    def run(*options: str, change: Callable[[str], str] = str) -> Said:
        config = tmp_path / "sshd_config"
        config.write_text(change((bastion.directory / "etc" / "sshd_config").read_text()))
        return hoopjump(
            *("--config", bastion.config, "sshd", "check", "--config-file", config, "--sshd", programs.sshd()),
            *("--user", bastion.place.account, "--admin", administrator, *options),
        )

    return run


def test_a_bastion_as_we_set_it_up_is_right(check: Callable[..., Said]) -> None:
    """No failure, and the daemon answers."""
    said = check()
    assert (said.status, said.err) == (0, ""), said.out
    assert "FAIL" not in said.out
    assert "ok    hook run: denies an empty certificate, in silence\n" in said.out
    assert "ok    hoopjumpd: answers on " in said.out


def test_json_has_every_finding(check: Callable[..., Said]) -> None:
    """Level, name, text and hint of each."""
    data = json.loads(check("--json").out)
    assert {tuple(sorted(finding)) for finding in data["findings"]} == {("hint", "level", "name", "text")}
    assert {"ok"} <= {finding["level"] for finding in data["findings"]} <= {"ok", "warning"}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda text: text.replace("ForceCommand", "#ForceCommand"), "ForceCommand: none: sessions do not go"),
        (lambda text: text.replace("AcceptEnv HOOP", "AcceptEnv SSH_* HOOP"), "AcceptEnv: SSH_* lets a client set"),
        (lambda text: text.replace("PermitOpen ", "PermitOpen 127.0.0.1:22 "), "users may reach more than the gateway"),
        (lambda text: text.split("\nMatch ")[0] + "\n", "the hook is not asked for this login"),
    ],
)
def test_a_hole_in_the_block_fails_the_check(
    change: Callable[[str], str], said: str, check: Callable[..., Said]
) -> None:
    """Exit 1, the rule and the cure."""
    found = check(change=change)
    assert found.status == 1
    assert any(line.startswith("FAIL") and said in line for line in found.out.splitlines())
    assert "hint: " in found.out


def test_a_block_for_everybody_fails_for_the_administrator(check: Callable[..., Said]) -> None:
    """Whoever would have to mend a broken daemon must get in without it."""

    def everybody(text: str) -> str:
        head, block = text.split("\nMatch ", 1)
        return f"{head}\nMatch all\n{block.split(chr(10), 1)[1]}"

    found = check(change=everybody)
    assert found.status == 1
    assert "nobody could log in to repair it" in found.out


def test_a_configuration_that_sshd_refuses_is_told_in_sshds_words(check: Callable[..., Said]) -> None:
    """One line, no traceback."""
    found = check(change=lambda text: "Nonsense yes\n" + text)
    assert found.status == 1
    assert found.err.startswith("hoopjump: sshd does not accept its configuration: ")
    assert "Nonsense" in found.err


def test_the_check_changes_nothing(bastion: Bastion, check: Callable[..., Said]) -> None:
    """Files of the bastion have the same names and contents before and after; only the log has grown."""

    def state() -> dict[str, bytes]:
        etc = bastion.directory / "etc"
        return {str(path): path.read_bytes() for path in sorted(etc.rglob("*")) if path.is_file()}

    before = state()
    check()
    assert state() == before


def test_a_daemon_that_does_not_answer_is_a_failure(new_bastion: Callable[..., Bastion], hoopjump: Run) -> None:
    """Every login would be denied."""
    bastion = new_bastion()
    bastion.stop_daemon()
    said = hoopjump(
        *("--config", bastion.config, "sshd", "check", "--sshd", programs.sshd(), "--admin", "daemon"),
        *("--config-file", bastion.directory / "etc" / "sshd_config", "--user", bastion.place.account),
    )
    bastion.start_daemon()
    assert said.status == 1
    assert "FAIL  hoopjumpd: " in said.out


@pytest.mark.usefixtures("private_view")
def test_a_hook_that_others_can_replace_fails_the_check(new_bastion: Callable[..., Bastion], hoopjump: Run) -> None:
    """Mode, owner, and the directory above; sshd itself only says so in its log at a login."""
    bastion = new_bastion()
    hook = bastion.directory / "lib" / "hook"
    command = (
        *("--config", bastion.config, "sshd", "check", "--sshd", programs.sshd()),
        *("--config-file", bastion.directory / "etc" / "sshd_config", "--user", bastion.place.account),
    )
    assert hoopjump(*command).status == 0
    hook.chmod(0o775)
    assert f"hook file: {hook} is writable by others (mode 0775)" in hoopjump(*command).out
    hook.chmod(0o755)
    hook.parent.chmod(0o777)
    assert f"hook file: {hook.parent} is writable by others (mode 0777)" in hoopjump(*command).out
    hook.parent.chmod(0o755)
    os.chown(hook, pwd.getpwnam("nobody").pw_uid, -1)
    said = hoopjump(*command)
    assert said.status == 1
    assert "sshd would not run it" in said.out


def test_files_of_ours_that_others_can_replace_fail_the_check(
    new_bastion: Callable[..., Bastion], hoopjump: Run
) -> None:
    """Whoever reads its configuration looks at the file alone; here each directory above is looked at."""
    bastion = new_bastion()
    place = bastion.directory / "etc"
    place.chmod(0o777)
    said = hoopjump(
        *("--config", bastion.config, "sshd", "check", "--sshd", programs.sshd(), "--admin", "daemon"),
        *("--config-file", place / "sshd_config", "--user", bastion.place.account),
    )
    assert said.status == 1
    for rule in ("configuration", "gateway.known_hosts"):
        assert f"FAIL  {rule}: {place} is writable by others (mode 0777); whoever writes there " in said.out
    assert "ok    handoff.ssh: " in said.out
    assert "ok    handoff.relay: " in said.out


def test_render_prints_the_block_of_the_configuration(bastion: Bastion, hoopjump: Run) -> None:
    """For the sshd that is there, with the socket of this bastion."""
    said = hoopjump(
        *("--config", bastion.config, "sshd", "render", "--sshd", programs.sshd()),
        *("--match", bastion.place.match, "--hook", bastion.hook),
    )
    assert (said.status, said.err) == (0, "")
    block = (bastion.directory / "etc" / "sshd_config").read_text()
    assert said.out.split("Match ", 1)[1].strip() in block
    refused = hoopjump("--config", bastion.config, "sshd", "render", "--version", "9.2")
    assert refused.status == 1
    assert "hint: say which they are: --match" in refused.err


def test_render_needs_no_sshd_when_the_release_is_named(hoopjump: Run, tmp_path: Path) -> None:
    """So a block can be made elsewhere."""
    config = tmp_path / "hoopjump.toml"
    config.write_text('[gateway]\napi_url = "https://gateway.x.io"\nssh_host = "2001:db8::1"\n')
    said = hoopjump("--config", config, "sshd", "render", "--version", "10.2", "--exempt", "198.51.100.0/24")
    assert said.status == 0
    assert "    PermitOpen [2001:db8::1]:12222\n" in said.out
    assert "PerSourcePenaltyExemptList 198.51.100.0/24\n" in said.out
    assert hoopjump("--config", config, "sshd", "render", "--version", "8.0").status == 1
    assert hoopjump("--config", config, "sshd", "render", "--version", "9.8", "--exempt", "office").status == 2


def test_without_an_sshd_the_way_out_is_named(hoopjump: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No traceback where none is installed."""
    config = tmp_path / "hoopjump.toml"
    config.write_text('[gateway]\napi_url = "https://gateway.x.io"\nssh_host = "gw"\n')
    monkeypatch.setattr(shutil, "which", lambda *_, **__: None)
    said = hoopjump("--config", config, "sshd", "render")
    assert said.status == 1
    assert said.err == (
        "hoopjump: no sshd is installed\nhoopjump: hint: name one with --sshd, or its release with --version\n"
    )
