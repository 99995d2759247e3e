"""The block of ~/.ssh/config: what ssh makes of it, and that the rest of the file is as it was."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import pytest

from hoopjump.identity import ssh_config
from hoopjump.identity.errors import IdentityError
from hoopjump.identity.login import Manner, log_in
from tests.identity.conftest import Laptop, Somebody
from tests.identity.fake_provider import FakeProvider

COMMAND = ["true"]

# What people have: global values, hosts, a Match, a last Host *, and no newline at the end.
OWN = b"""# mine
ServerAliveInterval 17
Host bastion
\tHostName bastion.example.com
\tUser hoop
Match host *.example.com
    Compression yes
Host *
    IdentityFile ~/.ssh/id_ed25519
    ControlPath ~/.ssh/%C"""


def block(laptop: Laptop, command: list[str] | None = None, **values: object) -> str:
    """What would be installed."""
    usual = {"ca_url": "https://ca.example.com", "hosts": ["bastion", "gw*"]}
    laptop.configure("https://idp.example.com", **{**usual, **values})
    return ssh_config.render(laptop.settings, command or COMMAND)


def effective(path: Path, host: str) -> list[str]:
    """What ssh does for a host."""
    done = subprocess.run(["ssh", "-G", "-F", path, host], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def install(path: Path, text: str) -> None:
    ssh_config.carry_out(ssh_config.plan(path, text))


def test_ssh_takes_key_and_certificate_for_these_hosts_only(laptop: Laptop) -> None:
    """And everything else is as it was, for every host."""
    path = laptop.home / ".ssh" / "config"
    path.write_bytes(OWN)
    path.chmod(0o600)
    hosts = ("bastion", "gw1", "x.example.com", "elsewhere")
    before = {host: effective(path, host) for host in hosts}
    install(path, block(laptop, send_token=True))
    key = laptop.home / ".ssh" / "hoopjump"
    ours = {f"identityfile {key}", f"certificatefile {key}-cert.pub", "sendenv HOOPJUMP_TOKEN"}
    for host in hosts:
        added = set(effective(path, host)) - set(before[host])
        assert added == (ours if host in ("bastion", "gw1") else set())
        assert set(before[host]) <= set(effective(path, host))


def test_a_command_that_fails_leaves_ssh_as_it_was(laptop: Laptop) -> None:
    """Then ssh goes on without the certificate, and its own words follow those of the login."""
    path = laptop.home / ".ssh" / "config"
    install(path, block(laptop, ["false"]))
    assert not any(line.endswith("/.ssh/hoopjump") for line in effective(path, "bastion"))


def test_the_command_runs_for_these_hosts_only(laptop: Laptop, tmp_path: Path) -> None:
    """With its arguments as they are, spaces, percent signs and the shell's own included."""
    path, odd = laptop.home / ".ssh" / "config", tmp_path / "100% odd & more"
    install(path, block(laptop, ["touch", str(odd)]))
    effective(path, "elsewhere")
    assert not odd.exists()
    effective(path, "bastion")
    assert odd.exists()


@pytest.mark.parametrize("own", [b"", OWN, OWN + b"\n", b"\n\n" + OWN, b"Host x\r\n  User y\r\n", b"# \xff\xfe\n"])
def test_a_second_time_changes_nothing_and_the_rest_stays_to_the_byte(laptop: Laptop, own: bytes) -> None:
    """Whatever the rest is; a changed block is put in place of the old one."""
    path = laptop.home / ".ssh" / "config"
    path.write_bytes(own)
    first = block(laptop)
    install(path, first)
    assert path.read_bytes() == first.encode() + (b"\n" + own if own else b"")
    assert not ssh_config.plan(path, first).needed
    second = block(laptop, hosts=["other"])
    install(path, second)
    assert path.read_bytes() == second.encode() + (b"\n" + own if own else b"")


@pytest.mark.parametrize("mode", [0o600, 0o644, 0o640])
def test_the_mode_stays(laptop: Laptop, mode: int) -> None:
    """A new file is for its owner alone."""
    path = laptop.home / ".ssh" / "config"
    install(path, block(laptop))
    assert path.stat().st_mode & 0o777 == 0o600
    path.chmod(mode)
    install(path, block(laptop, hosts=["other"]))
    assert path.stat().st_mode & 0o777 == mode
    assert [entry.name for entry in path.parent.iterdir()] == ["config"]


def test_a_link_stays_a_link(laptop: Laptop) -> None:
    """Many keep the file among their dotfiles."""
    path, real = laptop.home / ".ssh" / "config", laptop.home / "dotfiles"
    real.write_bytes(OWN)
    path.symlink_to(real)
    install(path, block(laptop))
    assert path.is_symlink()
    assert real.read_bytes().endswith(OWN)


@pytest.mark.parametrize("harm", [lambda text: text.replace("# <<< hoopjump login\n", ""), lambda text: text * 2])
def test_a_block_whose_marks_were_changed_is_left_alone(laptop: Laptop, harm: object) -> None:
    """Nobody knows what of it is whose."""
    assert callable(harm)
    path, text = laptop.home / ".ssh" / "config", block(laptop)
    path.write_text(harm(text) + OWN.decode())
    before = path.read_bytes()
    with pytest.raises(IdentityError) as error:
        ssh_config.plan(path, text)
    assert error.value.code == "config-unsafe"
    assert path.read_bytes() == before


def test_a_file_that_changed_meanwhile_is_left_alone(laptop: Laptop) -> None:
    """Between the question and the answer, for example by an editor."""
    path = laptop.home / ".ssh" / "config"
    path.write_bytes(OWN)
    change = ssh_config.plan(path, block(laptop))
    path.write_bytes(OWN + b"\n    User me\n")
    with pytest.raises(IdentityError):
        ssh_config.carry_out(change)
    assert path.read_bytes() == OWN + b"\n    User me\n"


def test_a_name_in_which_ssh_would_put_variables_is_refused(laptop: Laptop) -> None:
    """It would mean another file, or, where there is no such variable, the end of every ssh to these hosts."""
    with pytest.raises(IdentityError) as error:
        block(laptop, key="~/.ssh/${USER}")
    assert error.value.code == "config-unsafe"


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_somebody_elses_file_is_left_alone(laptop: Laptop) -> None:
    """As with sudo: ssh would refuse the file afterwards."""
    path = laptop.home / ".ssh" / "config"
    path.write_bytes(OWN)
    os.chown(path, 12345, 12345)
    with pytest.raises(IdentityError):
        ssh_config.plan(path, block(laptop))


@pytest.mark.parametrize("values", [{"hosts": ["a b"]}, {"hosts": ['a"']}, {"hosts": ["a\nHost *"]}, {"hosts": [""]}])
def test_hosts_that_ssh_would_read_otherwise_are_refused(laptop: Laptop, values: dict[str, object]) -> None:
    """A line of its own would be configuration."""
    laptop.configure("https://idp.example.com", **values)
    said = laptop.hoopjump("login")
    assert said.status == 2
    assert "`hosts[0] = " in said.err


def test_paths_that_ssh_would_read_otherwise_are_refused(laptop: Laptop) -> None:
    """Quotes within quotes mean different things to different releases."""
    with pytest.raises(IdentityError):
        block(laptop, key='~/.ssh/a"b')


def logged_in(laptop: Laptop, fake: FakeProvider) -> None:
    laptop.configure(fake.issuer, ca_url=fake.issuer, hosts=["bastion"])
    log_in(laptop.settings, laptop.places, Manner(Somebody()))


def test_install_shows_the_change_and_makes_it(laptop: Laptop, fake: FakeProvider) -> None:
    """--yes asks nobody; a second time there is nothing to do."""
    logged_in(laptop, fake)
    path = laptop.home / ".ssh" / "config"
    path.write_bytes(OWN)
    plain = laptop.hoopjump("login", "--if-needed")
    assert plain.status == 0
    assert path.read_bytes() == OWN
    said = laptop.hoopjump("login", "--if-needed", "--install", "--yes")
    assert said.status == 0
    assert "+Match host bastion exec" in said.err
    assert "-ServerAliveInterval" not in said.err
    assert path.read_bytes().endswith(b"\n\n" + OWN)
    assert "is as it should be" in laptop.hoopjump("login", "--if-needed", "--install").err


def test_a_plain_login_prints_the_block_until_it_is_there(laptop: Laptop, fake: FakeProvider) -> None:
    """On stdout, ready to be appended elsewhere."""
    laptop.configure(fake.issuer, hosts=["bastion"])
    fake.invitation = {"interval": 1}
    said = laptop.hoopjump("login", "--device")
    assert said.status == 0, said.err
    assert said.out.startswith("# >>> hoopjump login")
    assert "login --quiet --if-needed" in said.out
    laptop.hoopjump("login", "--if-needed", "--install", "--yes")
    assert laptop.hoopjump("login", "--device").out == ""


def test_ssh_loads_nothing_of_the_directory_it_is_started_in(
    laptop: Laptop, fake: FakeProvider, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where `hoopjump` is in no directory of PATH, so that the block names the interpreter."""
    logged_in(laptop, fake)
    monkeypatch.setenv("PATH", str(tmp_path / "nothing"))
    path = laptop.home / ".ssh" / "config"
    assert laptop.hoopjump("login", "--if-needed", "--install", "--yes").status == 0
    found = re.search(r'^Match host bastion exec "(.*)"$', path.read_text(), re.MULTILINE)
    assert found is not None
    assert found[1].startswith(sys.executable)
    cloned = tmp_path / "cloned"
    cloned.mkdir()
    for module in ("click", "json", "hoopjump"):
        (cloned / f"{module}.py").write_text("raise SystemExit(77)\n")
    done = subprocess.run(["/bin/sh", "-c", found[1]], cwd=cloned, capture_output=True, timeout=120, check=False)
    assert (done.returncode, done.stderr) == (0, b"")


def test_install_asks_and_takes_no_for_an_answer(laptop: Laptop, fake: FakeProvider) -> None:
    """Without a terminal there is nobody to ask, and nothing is changed."""
    logged_in(laptop, fake)
    path = laptop.home / ".ssh" / "config"
    assert laptop.hoopjump("login", "--if-needed", "--install").status == 1
    assert not path.exists()
    for typed, changed in ((b"n\n", False), (b"y\n", True)):
        master, slave = pty.openpty()
        os.write(master, typed)
        argv = [sys.executable, "-m", "hoopjump.cli.main", "login", "--if-needed", "--install"]
        done = subprocess.run(argv, stdin=slave, capture_output=True, text=True, timeout=120, check=False)
        os.close(master)
        os.close(slave)
        assert done.returncode == 0, done.stderr
        assert path.exists() is changed


def test_install_without_hosts_is_said_so_before_anybody_logs_in(laptop: Laptop, fake: FakeProvider) -> None:
    """With what to do."""
    laptop.configure(fake.issuer)
    said = laptop.hoopjump("login", "--install", "--yes")
    assert said.status == 1
    assert "--host NAME" in said.err
    assert fake.asked == []
