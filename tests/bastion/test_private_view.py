"""The private view of the machine, and the bastion's end: nothing of them is left, nothing is seen outside."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from hoopjump.daemon.processes import alive, descendants, find
from hoopjump.dev import accounts, programs
from hoopjump.dev.bastion import Bastion
from hoopjump.dev.services import wait_for


def test_accounts_are_known_inside_only(private_view: None) -> None:
    """The accounts are there for everything that we start; the machine's own /etc/passwd is not ours."""
    assert accounts.home("alice").is_dir()
    outside = Path(f"/proc/{os.getppid()}/root/etc/passwd").read_text()
    assert f":{accounts.home('alice')}:" in Path("/etc/passwd").read_text()
    assert f":{accounts.home('alice')}:" not in outside
    assert not Path(f"/proc/{os.getppid()}/root{accounts.PLACE}").exists()


def test_entering_twice_changes_nothing(private_view: None) -> None:
    """A program that is started inside stays in the view it has."""
    mounts = Path("/proc/self/mountinfo").read_text()
    accounts.enter(programs.CHECKOUT)
    assert Path("/proc/self/mountinfo").read_text() == mounts


def test_a_view_can_be_had_in_a_chroot(private_view: None, tmp_path: Path) -> None:
    """A chroot's / is no mount point, so it cannot be made private by its name; the way round it works."""
    for name in ("etc", "run", "dev", "proc", "tmp"):
        (tmp_path / name).mkdir()
    script = (
        "import os, sys\n"
        "from pathlib import Path\n"
        "from hoopjump.dev import accounts\n"
        "accounts._call('unshare', accounts._CLONE_NEWNS)\n"
        f"new = {str(tmp_path)!r}\n"
        "for name in ('usr', 'bin', 'sbin', 'lib', 'lib64', 'dev', 'proc'):\n"
        "    source, target = Path('/') / name, Path(new) / name\n"
        "    if source.is_symlink():\n"
        "        target.symlink_to(source.readlink())\n"
        "    elif source.exists():\n"
        "        target.mkdir(exist_ok=True)\n"
        "        accounts._mount(str(source), str(target), flags=accounts._MS_BIND)\n"
        "for name in ('passwd', 'group', 'shadow'):\n"
        "    (Path(new) / 'etc' / name).write_bytes((Path('/etc') / name).read_bytes())\n"
        "os.chroot(new)\n"
        "os.chdir('/')\n"
        "Path('/tmp/dev').touch()\n"
        "accounts.enter(Path('/tmp'))\n"
        "print(accounts.inside(), os.listdir('/run'), len(os.listdir('/etc')))\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(programs.CHECKOUT)}
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, env=environment, check=False, timeout=60
    )
    assert done.stdout.startswith("True "), done.stderr
    assert done.stdout.rstrip().endswith(" 3")


def test_the_daemon_has_one_capability_and_its_own_account(bastion: Bastion, private_view: None) -> None:
    """The daemon runs as `hoopjump` with CAP_KILL, and cannot come by more."""
    status = dict(
        line.split(":\t", 1)
        for line in Path(f"/proc/{bastion.daemon.pid}/status").read_text().splitlines()
        if "\t" in line
    )
    uid, _ = accounts.ids("hoopjump")
    assert status["Uid"].split() == [str(uid)] * 4
    # capability.h: CAP_KILL is bit 5.
    assert {int(status[name], 16) for name in ("CapPrm", "CapEff", "CapBnd")} == {1 << 5}
    assert status["NoNewPrivs"] == "1"


def test_a_bastion_leaves_nothing_behind(new_bastion: Callable[..., Bastion]) -> None:
    """No process and no file outlives the context manager, a session that still runs included."""
    with Bastion() as running:
        directory = running.directory
        client = subprocess.Popen(
            running.ssh_command("mybash", "sleep 1000", options=("-J", "bastion"), host="gateway"),
            stdin=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        wait_for(lambda: running.gateway.sessions(connection="mybash"), what="the session")
        services = [find(pid) for pid in (running.sshd.pid, running.daemon.pid, running.gateway.pid)]
        started = [child for each in services if each is not None for child in (each, *descendants(each))]
        assert len(started) > len(services)
    wait_for(lambda: not any(alive(process) for process in started), what="the end of every process")
    assert client.wait(10) == 255
    assert not directory.exists()
