"""File transfer and git through ForceCommand to a host behind the gateway, each program as it is.

An alias in the user's ssh configuration names the resource role (`SetEnv HOOP_RESOURCE=web1`), or the login name does.
"""

from __future__ import annotations

import os
import random
import subprocess
from pathlib import Path
from typing import Final

import pytest

from hoopjump.dev.bastion import Bastion

DATA: Final = random.Random(3).randbytes(3_000_000) + bytes(range(256))


class Far:
    """A directory on the host behind the gateway, and programs that reach it by the alias ``web1``."""

    def __init__(self, ground: Path, config: Path) -> None:
        self.config = config
        self.directory = ground / "far"
        self.near = ground / "near"
        self.near.mkdir()
        self.run("ssh", "-F", str(config), "web1", f"mkdir {self.directory} && chmod 777 {self.directory}")
        (self.near / "file").write_bytes(DATA)

    def run(self, *argv: str, input: str = "") -> str:
        """Run a program that must succeed; what it prints."""
        environment = {
            **os.environ,
            "GIT_SSH_COMMAND": f"ssh -F {self.config}",
            "HOME": str(self.near),
            "GIT_CONFIG_NOSYSTEM": "1",
        }
        done = subprocess.run(
            argv, input=input, capture_output=True, text=True, timeout=60, check=False, env=environment, cwd=self.near
        )
        assert done.returncode == 0, done.stderr
        return done.stdout


@pytest.fixture(params=["resource", "login-name"])
def far(request: pytest.FixtureRequest, bastion: Bastion, web1: str, common_ground: Path) -> Far:
    """Both ways to name the role that leave the command alone."""
    login = request.param == "login-name"
    if login and bastion.place.rootless:
        pytest.skip("needs accounts with a role in their names")
    hosts = bastion.client_config(bastion.certificate(), account=f"alice+{web1}" if login else None).read_text()
    config = common_ground / "ssh_config"
    named = "" if login else f"Host {web1}\n  SetEnv HOOP_RESOURCE={web1}\n"
    config.write_text(named + hosts.replace("Host bastion\n", f"Host bastion {web1}\n"))
    return Far(common_ground, config)


def test_a_command_is_whole(far: Far) -> None:
    """All of the command goes to the host; its first word is no role's name."""
    assert far.run("ssh", "-F", str(far.config), "web1", "echo $((6 * 7)); id -un >/dev/null").strip() == "42"


@pytest.mark.parametrize("options", [(), ("-O",)], ids=["sftp", "legacy"])
def test_scp_copies_both_ways(far: Far, options: tuple[str, ...]) -> None:
    """`scp`, by the SFTP protocol and (-O) by its own."""
    scp = ("scp", "-q", *options, "-F", str(far.config))
    far.run(*scp, "file", f"web1:{far.directory}/copy")
    assert (far.directory / "copy").read_bytes() == DATA
    far.run(*scp, f"web1:{far.directory}/copy", "back")
    assert (far.near / "back").read_bytes() == DATA


def test_scp_copies_directories(far: Far) -> None:
    """`scp -r`, with a name that a shell would take apart."""
    (far.near / "tree" / "a b").mkdir(parents=True)
    (far.near / "tree" / "a b" / "file").write_bytes(DATA[:1000])
    far.run("scp", "-q", "-r", "-F", str(far.config), "tree", f"web1:{far.directory}/")
    assert (far.directory / "tree" / "a b" / "file").read_bytes() == DATA[:1000]


def test_sftp_puts_and_gets(far: Far) -> None:
    """`sftp` in a batch: the sftp subsystem becomes the host's own sftp-server."""
    batch = f"cd {far.directory}\nput file copy\nls -l\nget copy back\nrename copy other\n"
    said = far.run("sftp", "-q", "-b", "-", "-F", str(far.config), "web1", input=batch)
    assert "copy" in said
    assert (far.near / "back").read_bytes() == DATA
    assert (far.directory / "other").read_bytes() == DATA


def test_rsync_synchronises_both_ways(far: Far) -> None:
    """`rsync`, whose two ends talk to each other all the time."""
    for number in range(30):
        (far.near / "many").mkdir(exist_ok=True)
        (far.near / "many" / str(number)).write_bytes(DATA[number * 1000 : number * 3000])
    rsync = ("rsync", "-a", "-e", f"ssh -F {far.config}")
    far.run(*rsync, "many/", f"web1:{far.directory}/many/")
    (far.near / "many" / "7").write_bytes(b"changed")
    (far.near / "many" / "8").unlink()
    far.run(*rsync, "--delete", "many/", f"web1:{far.directory}/many/")
    far.run(*rsync, f"web1:{far.directory}/many/", "returned/")
    for directory in (far.directory / "many", far.near / "returned"):
        found = {path.name: path.read_bytes() for path in directory.iterdir()}
        assert found == {path.name: path.read_bytes() for path in (far.near / "many").iterdir()}


def test_git_clones_fetches_and_pushes(far: Far) -> None:
    """`git`, which speaks first at neither end."""
    url = f"web1:{far.directory}/project.git"
    git = ("git", "-c", "user.name=Alice", "-c", "user.email=alice@example.com", "-c", "init.defaultBranch=main")
    far.run("ssh", "-F", str(far.config), "web1", f"git init -q --bare -b main {far.directory}/project.git")
    far.run(*git, "clone", "-q", url, "mine")
    (far.near / "mine" / "file").write_bytes(DATA)
    far.run(*git, "-C", "mine", "checkout", "-q", "-B", "main")
    far.run(*git, "-C", "mine", "add", "file")
    far.run(*git, "-C", "mine", "commit", "-q", "-m", "A file")
    far.run(*git, "-C", "mine", "push", "-q", "origin", "main")
    far.run(*git, "clone", "-q", url, "yours")
    assert (far.near / "yours" / "file").read_bytes() == DATA
    (far.near / "mine" / "file").write_bytes(b"changed")
    far.run(*git, "-C", "mine", "commit", "-q", "-a", "-m", "A change")
    far.run(*git, "-C", "mine", "push", "-q", "origin", "main")
    far.run(*git, "-C", "yours", "pull", "-q", "--ff-only")
    assert (far.near / "yours" / "file").read_bytes() == b"changed"


def test_a_status_passes_through(far: Far) -> None:
    """A program that fails there fails here, with the same status."""
    for status in (0, 1, 7, 255):
        done = subprocess.run(
            ["ssh", "-F", str(far.config), "web1", f"exit {status}"], stdin=subprocess.DEVNULL, check=False
        )
        assert done.returncode == status


LEGIBLE: Final = {
    "scp -O": ["scp", "-O", "-F", "{config}", "{config}", "bastion:x"],
    "rsync": ["rsync", "-e", "ssh -F {config}", "{config}", "bastion:x"],
    "git": ["git", "clone", "-q", "bastion:x", "{ground}/x"],
    # OpenSSH prints the text of a refusal in SFTP where it asks for a path's real name.
    "sftp": ["sftp", "-F", "{config}", "bastion"],
    "scp -r": ["scp", "-r", "-F", "{config}", "{ground}", "bastion:x"],
}
# Where it asks for anything else, it prints what the status code means.
TERSE: Final = {
    "scp to": ["scp", "-F", "{config}", "{config}", "bastion:x"],
    "scp from": ["scp", "-F", "{config}", "bastion:x", "{ground}/x"],
    "scp from many": ["scp", "-F", "{config}", "bastion:x*", "{ground}"],
}


def refused(bastion: Bastion, ground: Path, argv: list[str], **environment: str) -> str:
    """Run a program that must fail at the bastion itself; what it says."""
    config = bastion.client_config(bastion.certificate())
    done = subprocess.run(
        [word.format(config=config, ground=ground) for word in argv],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**os.environ, "GIT_SSH_COMMAND": f"ssh -F {config}", **environment},
    )
    assert done.returncode != 0
    return done.stderr


def last_refusal(bastion: Bastion) -> object:
    """The reason of the newest refused session in the audit trail."""
    return [event["reason"] for event in bastion.audit() if event["kind"] == "session-refused"][-1]


@pytest.mark.parametrize("program", LEGIBLE)
def test_a_transfer_without_a_role_is_told_how(bastion: Bastion, common_ground: Path, program: str) -> None:
    """Straight to the bastion there is no role to guess: the user reads how to name one."""
    assert "HOOP_RESOURCE" in refused(bastion, common_ground, LEGIBLE[program])


@pytest.mark.parametrize("program", TERSE)
def test_a_copy_without_a_role_fails_as_what_cannot_be(bastion: Bastion, common_ground: Path, program: str) -> None:
    """The client says what kind of failure it is, and names no missing file; the audit trail has the reason."""
    said = refused(bastion, common_ground, TERSE[program])
    assert "Operation unsupported" in said
    assert last_refusal(bastion) == "role-missing-for-tool"


@pytest.mark.parametrize("program", LEGIBLE)
def test_a_transfer_to_a_command_line_role_is_told_why_not(bastion: Bastion, common_ground: Path, program: str) -> None:
    """A command-line role cannot carry a file transfer; that is said before anything hangs."""
    said = refused(bastion, common_ground, LEGIBLE[program], HOOP_RESOURCE="mybash")
    assert "role-no-file-transfer" in said


@pytest.mark.parametrize("program", TERSE)
def test_a_copy_to_a_command_line_role_fails_as_what_cannot_be(
    bastion: Bastion, common_ground: Path, program: str
) -> None:
    """The same for a role that cannot carry it."""
    said = refused(bastion, common_ground, TERSE[program], HOOP_RESOURCE="mybash")
    assert "Operation unsupported" in said
    assert last_refusal(bastion) == "role-no-file-transfer"
