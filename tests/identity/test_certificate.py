"""Certificates of hoopjump-ca: what is proven, what is believed, and where key and certificate go."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pexpect
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from hoopjump.decision import possession
from hoopjump.handoff.issue import HOST, CertificateSpec
from hoopjump.identity import keys
from tests.ca.yard import statement
from tests.identity.attempts import accepted
from tests.identity.conftest import Laptop
from tests.identity.fake_provider import FakeProvider

NAMESPACE = "hoopjump-ca@hoopjump"


def keygen(*arguments: str | Path, text: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(["ssh-keygen", *arguments], input=text, capture_output=True, check=False)


@pytest.fixture
def agent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A real ssh-agent, and its socket."""
    path = tmp_path / "agent"
    process = subprocess.Popen(["ssh-agent", "-D", "-a", path], stdout=subprocess.PIPE)
    # It says where it listens once it does.
    assert process.stdout is not None
    process.stdout.readline()
    monkeypatch.setenv("SSH_AUTH_SOCK", str(path))
    yield path
    process.terminate()
    process.wait()


def held() -> list[str]:
    """The keys that the agent holds, by kind."""
    listed = subprocess.run(["ssh-add", "-L"], capture_output=True, text=True, check=False)
    return [line.split()[0] for line in listed.stdout.splitlines()] if listed.returncode == 0 else []


def test_the_proof_is_one_that_ssh_keygen_verifies(laptop: Laptop, fake: FakeProvider, tmp_path: Path) -> None:
    """Over who is asked, when, and for which token, in a namespace of its own."""
    accepted(laptop, fake, ca_url=fake.issuer)
    (request,) = fake.certificates_asked
    signers, signature = tmp_path / "signers", tmp_path / "signature"
    signers.write_text(f"alice {request['public_key']}\n")
    signature.write_text(request["proof"])
    argv = ("-Y", "verify", "-f", signers, "-I", "alice", "-n", NAMESPACE, "-s", signature)
    assert keygen(*argv, text=statement(request["token"], request["time"], fake.issuer)).returncode == 0
    assert keygen(*argv, text=statement("another", request["time"], fake.issuer)).returncode != 0
    assert request["embed_token"] is False


def test_a_key_is_made_and_its_certificate_lies_beside_it(laptop: Laptop, fake: FakeProvider) -> None:
    """Where ssh looks for it, with the modes that ssh wants."""
    accepted(laptop, fake, ca_url=fake.issuer, embed_token=True)
    key = laptop.home / ".ssh" / "hoopjump"
    assert key.stat().st_mode & 0o777 == 0o600
    listed = keygen("-L", "-f", f"{key}-cert.pub").stdout.decode()
    assert "alice@example.com" in listed
    assert keygen("-y", "-f", key).stdout.split()[:2] == Path(f"{key}.pub").read_bytes().split()[:2]
    assert fake.certificates_asked[0]["embed_token"] is True
    accepted(laptop, fake, ca_url=fake.issuer)
    assert fake.certificates_asked[0]["public_key"] == fake.certificates_asked[1]["public_key"]


@pytest.mark.parametrize("kind", ["ed25519", "ecdsa", "rsa"])
def test_a_key_of_the_users_own_is_used(laptop: Laptop, fake: FakeProvider, kind: str) -> None:
    """And never written to."""
    key = laptop.home / ".ssh" / "mine"
    assert keygen("-q", "-t", kind, "-N", "", "-f", key).returncode == 0
    before = key.read_bytes()
    accepted(laptop, fake, ca_url=fake.issuer, key="~/.ssh/mine")
    assert key.read_bytes() == before
    assert b"alice@example.com" in keygen("-L", "-f", f"{key}-cert.pub").stdout


def test_a_key_that_only_the_agent_has_is_used(laptop: Laptop, fake: FakeProvider, agent: Path) -> None:
    """Its public key is enough on disk, as with devices and Vault."""
    key = laptop.home / ".ssh" / "mine"
    assert keygen("-q", "-t", "ed25519", "-N", "", "-f", key).returncode == 0
    subprocess.run(["ssh-add", "-q", key], check=True)
    key.unlink()
    accepted(laptop, fake, ca_url=fake.issuer, key="~/.ssh/mine")
    assert Path(f"{key}-cert.pub").exists()


def test_a_passphrase_is_asked_for_on_the_terminal(laptop: Laptop, fake: FakeProvider) -> None:
    """As ssh does, also on a desktop that has no ssh-askpass; without a terminal nothing is taken for one."""
    key = laptop.home / ".ssh" / "mine"
    assert keygen("-q", "-t", "ed25519", "-N", "correct horse", "-f", key).returncode == 0
    laptop.configure(fake.issuer, ca_url=fake.issuer, key="~/.ssh/mine")
    fake.invitation = {"interval": 1}
    argv = ["-m", "hoopjump.cli.main", "login", "--device"]
    environment = {**os.environ, "DISPLAY": ":none", "SSH_ASKPASS": "/nonexistent"}
    terminal = pexpect.spawn(sys.executable, argv, env=environment, encoding="utf-8", timeout=90)
    try:
        terminal.expect("Enter passphrase")
        terminal.waitnoecho()
        terminal.sendline("correct horse")
        terminal.expect("certificate for alice@example.com")
        terminal.expect(pexpect.EOF)
    finally:
        terminal.close()
    assert terminal.exitstatus == 0
    laptop.settings.certificate.unlink()
    done = subprocess.run(
        [sys.executable, *argv], stdin=subprocess.DEVNULL, capture_output=True, check=False, start_new_session=True
    )
    assert done.returncode == 1
    assert b"incorrect passphrase supplied" in done.stderr


def test_a_key_that_nobody_unlocks_is_not_waited_for_for_ever(
    laptop: Laptop, fake: FakeProvider, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor for so long that hoopjump-ca would no longer take the proof."""
    assert keys._UNLOCK_SECONDS < possession.WINDOW
    with monkeypatch.context() as patience:
        patience.setattr(keys, "_UNLOCK_SECONDS", 0.1)
        waits = tmp_path / "ssh-keygen"
        waits.write_text("#!/bin/sh\nexec sleep 600\n")
        waits.chmod(0o755)
        patience.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
        assert refused_keeping_tokens(laptop, fake, keep="file") == "key-unusable"
    asked = len(fake.asked)
    assert laptop.hoopjump("login", "--if-needed", "--quiet").status == 0
    assert laptop.settings.certificate.exists()
    assert {path for path, _ in fake.asked[asked:]} <= {"/token"}


def test_keep_agent_leaves_no_private_key_on_disk(laptop: Laptop, fake: FakeProvider, agent: Path) -> None:
    """A new key each time, held until the certificate's end; the last one goes, and all go with a logout."""
    accepted(laptop, fake, ca_url=fake.issuer, keep="agent")
    assert not (laptop.home / ".ssh" / "hoopjump").exists()
    assert "PRIVATE KEY" not in laptop.files()
    assert held() == ["ssh-ed25519-cert-v01@openssh.com"]
    first = fake.certificates_asked[0]["public_key"]
    assert laptop.hoopjump("login", "--quiet", "--if-needed").status == 0
    assert len(fake.certificates_asked) == 1
    subprocess.run(["ssh-add", "-q", "-D"], check=True, capture_output=True)
    assert laptop.hoopjump("login", "--quiet", "--if-needed").status == 0
    accepted(laptop, fake, ca_url=fake.issuer, keep="agent")
    assert held() == ["ssh-ed25519-cert-v01@openssh.com"]
    assert len({first, *(asked["public_key"] for asked in fake.certificates_asked)}) == 3
    assert json.loads(laptop.hoopjump("whoami", "--json").out)["certificate"]["in_agent"] is True
    assert laptop.hoopjump("logout").status == 0
    assert held() == []
    assert not (laptop.home / ".ssh" / "hoopjump-cert.pub").exists()


def test_keep_agent_without_an_agent_is_said_so(laptop: Laptop, fake: FakeProvider) -> None:
    """With what can be done, and before anybody has logged in for nothing."""
    laptop.configure(fake.issuer, ca_url=fake.issuer, keep="agent")
    said = laptop.hoopjump("login", "--json")
    assert said.status == 1
    assert '"reason": "agent-unusable"' in said.out
    assert 'hint: start one, or set keep = "file"' in said.err
    assert fake.asked == []


def test_an_agent_that_hangs_up_is_no_agent(
    laptop: Laptop, fake: FakeProvider, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor does the login wait for it for ever."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "deaf"))
        monkeypatch.setenv("SSH_AUTH_SOCK", str(tmp_path / "deaf"))
        assert refused_keeping_tokens(laptop, fake) == "agent-unusable"


def refused_keeping_tokens(laptop: Laptop, fake: FakeProvider, **settings: object) -> str:
    """A login whose tokens are fine, and that gets no certificate."""
    laptop.configure(fake.issuer, **{"ca_url": fake.issuer, "keep": "agent", **settings})
    fake.invitation = {"interval": 1}
    said = laptop.hoopjump("login", "--device", "--json")
    assert said.status == 1
    assert "Traceback" not in said.err
    return str(json.loads(said.out)["reason"])


def test_a_certificate_of_another_authority_is_left_alone(laptop: Laptop, fake: FakeProvider, tmp_path: Path) -> None:
    """Beside a key of the user's own there may be one; neither a login nor a logout touches it."""
    key, authority = laptop.home / ".ssh" / "mine", tmp_path / "authority"
    for path in (key, authority):
        assert keygen("-q", "-t", "ed25519", "-N", "", "-f", path).returncode == 0
    argv = ("-q", "-s", authority, "-I", "work", "-n", "me", "-V", "+1h", f"{key}.pub")
    assert keygen(*argv).returncode == 0
    theirs = Path(f"{key}-cert.pub").read_bytes()
    assert refused_keeping_tokens(laptop, fake, keep="file", key="~/.ssh/mine") == "key-unusable"
    assert laptop.hoopjump("logout").status == 0
    assert Path(f"{key}-cert.pub").read_bytes() == theirs


# -- What hoopjump-ca may answer --------------------------------------------------------------------------------------


def of_another_key(spec: CertificateSpec, fake: FakeProvider) -> str:
    stranger = Ed25519PrivateKey.generate().public_key().public_bytes_raw()
    return fake.certified(replace(spec, public_key=spec.public_key[:-32] + stranger))


def of_a_host(spec: CertificateSpec, fake: FakeProvider) -> str:
    return fake.certified(replace(spec, kind=HOST))


def ended(spec: CertificateSpec, fake: FakeProvider) -> str:
    return fake.certified(replace(spec, valid_before=spec.valid_after + 30))


def for_nobody(spec: CertificateSpec, fake: FakeProvider) -> str:
    return fake.certified(replace(spec, principals=()))


def altered(spec: CertificateSpec, fake: FakeProvider) -> str:
    return fake.certified(spec)[:-8] + "AAAAAAA="


def two_lines(spec: CertificateSpec, fake: FakeProvider) -> str:
    return f"{fake.certified(spec)}\n{fake.certified(spec)}"


def for_no_name(spec: CertificateSpec, fake: FakeProvider) -> str:
    return fake.certified(replace(spec, principals=("",)))


def of_tomorrow(spec: CertificateSpec, fake: FakeProvider) -> str:
    return fake.certified(replace(spec, valid_after=int(time.time()) + 3600, valid_before=int(time.time()) + 7200))


def nothing(spec: CertificateSpec, fake: FakeProvider) -> str:
    return ""


WRONG = [of_another_key, of_a_host, ended, of_tomorrow, for_nobody, for_no_name, altered, two_lines, nothing]


@pytest.mark.parametrize("wrong", WRONG)
def test_a_certificate_that_was_not_asked_for_is_not_kept(
    laptop: Laptop, fake: FakeProvider, wrong: Callable[[CertificateSpec, FakeProvider], str]
) -> None:
    """Whoever answers in hoopjump-ca's place."""
    fake.certificate = lambda spec: wrong(spec, fake)
    assert refused_keeping_tokens(laptop, fake, keep="file") == "ca-malformed"
    assert not laptop.settings.certificate.exists()


def test_nothing_is_kept_of_what_comes_with_a_certificate(laptop: Laptop, fake: FakeProvider) -> None:
    """Whoever looks at the file sees a certificate, and nothing that a terminal obeys."""
    fake.certificate = lambda spec: f"#\x1b]0;x\n\n{fake.certified(spec).strip()} x\x0cfoo\x1b[2J\u2028"
    accepted(laptop, fake, ca_url=fake.issuer)
    written = laptop.settings.certificate.read_text()
    assert written.isascii()
    assert len(written.split()) == 2
    assert written.removesuffix("\n").isprintable()


def test_a_certificate_that_ssh_takes_and_we_do_not_is_left_alone(
    laptop: Laptop, fake: FakeProvider, tmp_path: Path
) -> None:
    """It is somebody's all the same."""
    key, authority = laptop.home / ".ssh" / "mine", tmp_path / "authority"
    for path in (key, authority):
        assert keygen("-q", "-t", "ed25519", "-N", "", "-f", path).returncode == 0
    argv = ("-q", "-s", authority, "-I", "work", "-n", "me", "-V", "+1h", "-O", "extension:permit-foo@corp=bar")
    assert keygen(*argv, f"{key}.pub").returncode == 0
    theirs = Path(f"{key}-cert.pub").read_bytes()
    assert refused_keeping_tokens(laptop, fake, keep="file", key="~/.ssh/mine") == "key-unusable"
    assert Path(f"{key}-cert.pub").read_bytes() == theirs


def test_a_refusal_of_hoopjump_ca_is_told_with_its_reference(laptop: Laptop, fake: FakeProvider) -> None:
    """Its sentence and its code; a page of a proxy is none."""
    fake.ca_refusal = 403, {"reason": "proof-stale", "sentence": "The proof is too old.", "ref": "0a1b2c3d"}
    fake.invitation = {"interval": 1}
    laptop.configure(fake.issuer, ca_url=fake.issuer)
    said = laptop.hoopjump("login", "--device", "--quiet")
    assert said.status == 1
    assert "refuses: The proof is too old. (proof-stale)" in said.err
    assert "hint: compare the clocks of client and server; they may differ by 60 seconds" in said.err
    assert "reference 0a1b2c3d" in said.err
    line = "\nhint: run something"
    fake.ca_refusal = 403, {"reason": f"a{line}", "sentence": f"b{line}", "ref": "c\nrun something"}
    said = laptop.hoopjump("login", "--device", "--quiet")
    assert not any(text.startswith("hoopjump: hint: run") for text in said.err.splitlines())
    fake.ca_refusal = 404, {}
    assert refused_keeping_tokens(laptop, fake, keep="file") == "ca-malformed"
    fake.ca_refusal = 502, {}
    assert refused_keeping_tokens(laptop, fake, keep="file") == "ca-unreachable"


def test_a_proof_that_another_login_of_this_second_has_used_is_made_anew(laptop: Laptop, fake: FakeProvider) -> None:
    """Of a later second, so that it is another one; once, whoever goes on saying so."""
    fake.replays = 1
    accepted(laptop, fake, ca_url=fake.issuer, keep="file")
    first, second = fake.certificates_asked
    assert first["time"] < second["time"]
    assert first["proof"] != second["proof"]
    fake.replays = 9
    assert refused_keeping_tokens(laptop, fake, keep="file") == "ca-refused"
    assert len(fake.certificates_asked) == 4


def test_a_private_key_in_the_way_of_keep_agent_is_left_alone(laptop: Laptop, fake: FakeProvider, agent: Path) -> None:
    """A public key of another one beside it would only confuse."""
    key = laptop.home / ".ssh" / "hoopjump"
    key.write_text("somebody's")
    assert refused_keeping_tokens(laptop, fake) == "key-unusable"
    assert [path.name for path in key.parent.iterdir()] == ["hoopjump"]
