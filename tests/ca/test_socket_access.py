"""Who may connect to the Unix socket: nginx, once it was let in as docs/ca.md has it, and nobody else."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from hoopjump.dev import accounts, programs
from hoopjump.dev.services import wait_for
from tests.ca.nginx import Nginx
from tests.ca.yard import Yard
from tests.sshd.test_units import unit

WEB = "www-data"
SERVICE = unit("hoopjump-ca.service")["Service"]
(USER,), (GROUP,), (UMASK,) = SERVICE["User"], SERVICE["Group"], SERVICE["UMask"]


@pytest.fixture
def yard(private_view: None) -> Iterator[Yard]:
    """A hoopjump-ca with the rights that the unit gives it."""
    with tempfile.TemporaryDirectory(dir=accounts.PLACE) as place:
        directory = Path(place)
        # As RuntimeDirectoryMode= has it.
        directory.chmod(int(SERVICE["RuntimeDirectoryMode"][0], 8))
        made = Yard(directory, unix=True)
        for path in (directory, *directory.iterdir()):
            os.chown(path, *accounts.ids(USER))
        made.service.argv = (
            *("setpriv", f"--reuid={USER}", f"--regid={GROUP}", "--clear-groups"),
            *("sh", "-c", f'umask {UMASK}; exec "$@"', "sh"),
            *made.service.argv,
        )
        with made:
            yield made


@pytest.fixture
def groups(private_view: None) -> Iterator[Path]:
    """The private view's /etc/group, which is as before afterwards."""
    file = Path("/etc/group")
    before = file.read_bytes()
    yield file
    file.write_bytes(before)


def documented() -> list[str]:
    """The command of docs/ca.md that lets nginx in, and those that tell nginx."""
    text = (programs.CHECKOUT / "docs" / "ca.md").read_text()
    (block,) = (
        block for block in re.findall(r"^```console\n(.*?)^```$", text, re.MULTILINE | re.DOTALL) if WEB in block
    )
    return [line.removeprefix("# ") for line in block.splitlines()]


def let_in(groups: Path, directory: Path) -> str:
    """Do as documented; what is left to be done. usermod works on copies: it cannot replace files of the view."""
    command, left = documented()
    etc = directory / "etc"
    etc.mkdir()
    for name in ("passwd", "group", "shadow"):
        (etc / name).write_bytes((groups.parent / name).read_bytes())
    subprocess.run([*command.split(), "--prefix", directory], check=True, capture_output=True)
    groups.write_bytes((etc / "group").read_bytes())
    return left


def as_user(user: str, *argv: str | Path) -> subprocess.CompletedProcess[str]:
    """A command of an account's, with all its groups."""
    options = (f"--reuid={user}", f"--regid={user}", "--init-groups")
    return subprocess.run(["setpriv", *options, *argv], capture_output=True, text=True, check=False)


def test_nginx_gets_in_as_documented(yard: Yard, groups: Path, tmp_path: Path) -> None:
    """Its workers are www-data's; before they are told they are kept out, and then it takes no restart."""
    with Nginx(yard, user=WEB) as nginx:
        assert nginx.ask("GET", "/healthz").status == 502
        assert "Permission denied" in nginx.log.read_text()
        assert let_in(groups, tmp_path) == "nginx -t && systemctl reload nginx"
        assert nginx.test().returncode == 0
        os.kill(nginx.service.pid, signal.SIGHUP)
        body = yard.body(yard.key())
        # For a moment there are workers of before.
        wait_for(lambda: nginx.post(body, source="127.0.0.2").status == 200, 60, "workers with the new group")
    assert yard.events()[-1]["source"] == "127.0.0.2"


def test_nobody_else_gets_in_and_nginx_no_further(yard: Yard, groups: Path, tmp_path: Path) -> None:
    """Whoever connects says whose request it is. The group opens the socket, and no key and no audit trail."""
    assert yard.unix is not None
    ask = ("curl", "-sS", "--max-time", "60", "--unix-socket", yard.unix, "http://localhost/healthz")
    yard.post(yard.body(yard.key()), {"X-Real-IP": "192.0.2.1"})
    for user in (WEB, "hoopjump", "hoopjump-hook", "alice"):
        refused = as_user(user, *ask)
        assert (refused.returncode, refused.stdout) == (7, ""), user
    let_in(groups, tmp_path)
    assert as_user(WEB, *ask).stdout == "ok\n"
    for secret in (yard.audit, yard.ca, yard.directory / "bound", yard.directory / "tls.key"):
        assert as_user(USER, "cat", secret).returncode == 0
        assert "Permission denied" in as_user(WEB, "cat", secret).stderr
    assert as_user(WEB, "rm", yard.unix).returncode != 0


def test_the_unit_makes_the_directory_of_the_documented_socket() -> None:
    """And all the world may look into it: the socket itself says who may connect."""
    text = (programs.CHECKOUT / "docs" / "ca.md").read_text()
    places = set(re.findall(r"unix:(/[a-z./-]+\.sock)", text))
    assert places == {f"/run/{SERVICE['RuntimeDirectory'][0]}/ca.sock"}
    assert SERVICE["RuntimeDirectoryMode"] == ["0755"]
    assert (USER, GROUP) == ("hoopjump-ca", "hoopjump-ca")
