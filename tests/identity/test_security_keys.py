"""FIDO keys (``sk-``), as OpenSSH handles them: its own security key in software does what a device would do."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pexpect
import pytest

from hoopjump.decision.certificate import read_certificate
from hoopjump.dev import programs
from hoopjump.dev.backend import DOMAIN
from tests.conftest import REQUIRED
from tests.identity.conftest import Laptop, Site, browser
from tests.identity.plain_ssh import configured, installed, ssh

KINDS = ("ed25519-sk", "ecdsa-sk")
PIN = "1234"  # the key in software asks for one, and takes any


@pytest.fixture
def device(monkeypatch: pytest.MonkeyPatch) -> Path:
    """A security key that is plugged in: the library that stands in for it."""
    try:
        found = programs.find("sk-dummy.so", "usr/lib/openssh/regress/misc/sk-dummy/sk-dummy.so")
    except programs.ProgramMissingError as error:
        if REQUIRED:
            pytest.fail(str(error))
        pytest.skip(f"no security key in software: {error}")
    monkeypatch.setenv("SSH_SK_PROVIDER", str(found))
    return found


def made(laptop: Laptop, kind: str, *options: str) -> Path:
    """A key on the device, and its two files."""
    key = laptop.home / ".ssh" / "sk"
    argv = ["ssh-keygen", "-q", "-t", kind, "-N", "", *options, "-f", str(key)]
    subprocess.run(argv, check=True, stdin=subprocess.DEVNULL, capture_output=True, start_new_session=True)
    return key


def told(laptop: Laptop, site: Site, device: Path) -> Path:
    """The settings for the key ``sk``, and ssh's configuration; ssh itself reads no SSH_SK_PROVIDER."""
    path = configured(laptop, site, key="~/.ssh/sk")
    with path.open("a") as file:
        file.write(f"Match all\n    SecurityKeyProvider {device}\n")
    return path


def login(*options: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """`hoopjump login` where there is no terminal, not even the one that these tests run on."""
    return subprocess.run(
        [sys.executable, "-m", "hoopjump.cli.main", "login", "--browser", browser(), *options],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        start_new_session=True,
        env={**os.environ, **environment},
    )


@pytest.mark.parametrize("kind", KINDS)
def test_a_certificate_for_a_security_key_opens_the_bastion(
    laptop: Laptop, site: Site, device: Path, kind: str
) -> None:
    """The person is told to touch it, and nothing but the certificate is new on disk."""
    key = made(laptop, kind)
    before = key.read_bytes(), key.with_suffix(".pub").read_bytes()
    path = told(laptop, site, device)
    said = laptop.hoopjump("login", "--browser", browser(), "--install", "--yes", "--ssh-config", path)
    assert said.status == 0, said.err
    assert "Confirm user presence for key" in said.err
    assert (key.read_bytes(), key.with_suffix(".pub").read_bytes()) == before
    assert sorted(file.name for file in key.parent.iterdir()) == ["config", "sk", "sk-cert.pub", "sk.pub"]
    certificate = read_certificate(laptop.settings.certificate.read_bytes())
    assert (certificate.key_type, certificate.principals) == (
        "sk-ssh-ed25519-cert-v01@openssh.com"
        if kind == "ed25519-sk"
        else "sk-ecdsa-sha2-nistp256-cert-v01@openssh.com",
        (f"alice@{DOMAIN}",),
    )
    done = ssh(path, "bastion", "mybash", "echo hello")
    assert (done.returncode, done.stdout) == (0, "hello\n"), done.stderr


@contextmanager
def agent_with(key: Path, device: Path, socket: Path) -> Iterator[None]:
    """A real ssh-agent that holds the key and may load the library."""
    argv = ["ssh-agent", "-D", "-P", str(device.resolve()), "-a", str(socket)]
    with subprocess.Popen(argv, stdout=subprocess.PIPE) as process:
        try:
            # It says where it listens once it does.
            assert process.stdout is not None
            process.stdout.readline()
            subprocess.run(
                ["ssh-add", "-q", key], env={**os.environ, "SSH_AUTH_SOCK": str(socket)}, check=True, timeout=60
            )
            yield
        finally:
            process.terminate()


@pytest.mark.parametrize("kind", KINDS)
def test_a_security_key_in_the_agent_is_used(
    laptop: Laptop, site: Site, device: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """Its public key is enough on disk."""
    key = made(laptop, kind)
    path = told(laptop, site, device)
    with agent_with(key, device, tmp_path / "agent"):
        key.unlink()
        monkeypatch.setenv("SSH_AUTH_SOCK", str(tmp_path / "agent"))
        installed(laptop, path)
        done = ssh(path, "-o", "IdentityAgent=SSH_AUTH_SOCK", "bastion", "mybash", "echo hello")
    assert (done.returncode, done.stdout) == (0, "hello\n"), done.stderr


@pytest.mark.parametrize("kind", KINDS)
def test_a_key_that_wants_no_touch_gets_no_certificate(laptop: Laptop, site: Site, device: Path, kind: str) -> None:
    """Whoever has the laptop's files could use it without anybody's hand."""
    made(laptop, kind, "-O", "no-touch-required")
    told(laptop, site, device)
    said = laptop.hoopjump("login", "--browser", browser())
    assert said.status == 1
    assert "The security key was not touched for the proof. (proof-untouched)" in said.err
    assert not laptop.settings.certificate.exists()


def test_sshd_wants_a_touch_whatever_a_certificate_says(laptop: Laptop, site: Site, device: Path) -> None:
    """What sshd is told of a login lacks no-touch-required, so the certificate's is void (sshd(8))."""
    path = told(laptop, site, device)

    def tried(*options: str) -> subprocess.CompletedProcess[str]:
        key = made(laptop, "ed25519-sk", *options)
        argv: list[str | Path] = ["ssh-keygen", "-q", "-s", site.bastion.user_ca.key, "-I", "x", "-V", "+1h"]
        argv += ["-n", f"alice@{DOMAIN}", "-O", "no-touch-required", key.with_suffix(".pub")]
        subprocess.run(argv, check=True)
        done = ssh(path, "-i", str(key), "bastion", "mybash", "echo hello")
        for file in key.parent.glob("sk*"):
            file.unlink()
        return done

    touched, untouched = tried(), tried("-O", "no-touch-required")
    assert touched.stdout == "hello\n", touched.stderr
    assert (untouched.returncode, untouched.stdout) == (255, "")
    assert "Permission denied" in untouched.stderr


def test_a_pin_is_asked_for_on_the_terminal(laptop: Laptop, site: Site, device: Path) -> None:
    """Also where ssh has started the login, and where a desktop has no ssh-askpass."""
    made(laptop, "ed25519-sk", "-O", "verify-required")
    path = told(laptop, site, device)
    said = login("--install", "--yes", "--ssh-config", str(path))
    assert said.returncode == 0, said.stderr
    assert laptop.hoopjump("logout").status == 0
    environment = {**os.environ, "BROWSER": f"{browser()} %s", "DISPLAY": ":none", "SSH_ASKPASS": "/nonexistent"}
    terminal = pexpect.spawn(
        str(programs.ssh()),
        ["-F", str(path), "-o", "BatchMode=no", "bastion", "mybash", "echo hello"],
        env=environment,
        timeout=90,
    )
    try:
        terminal.expect("Enter PIN for ED25519-SK key")
        terminal.waitnoecho()
        terminal.sendline(PIN)
        terminal.expect_exact("hello")
        terminal.expect(pexpect.EOF)
    finally:
        terminal.close()
    assert terminal.exitstatus == 0
    assert laptop.settings.certificate.exists()


def test_without_a_terminal_nothing_else_is_taken_for_the_pin(laptop: Laptop, site: Site, device: Path) -> None:
    """What is signed least of all: it would be no proof any more, and a device counts wrong PINs."""
    made(laptop, "ecdsa-sk", "-O", "verify-required")
    told(laptop, site, device)
    said = login()
    assert said.returncode == 0, said.stderr
    assert "Enter PIN" in said.stderr
    assert laptop.settings.certificate.exists()


def test_a_device_that_is_not_plugged_in_is_said_so(laptop: Laptop, site: Site, device: Path) -> None:
    """ssh-keygen says what it misses, and the login what to look for."""
    made(laptop, "ed25519-sk")
    told(laptop, site, device)
    said = login(SSH_SK_PROVIDER="internal")
    assert said.returncode == 1
    assert "device not found" in said.stderr
    assert "hint: is the device plugged in?" in said.stderr
    assert not laptop.settings.certificate.exists()
