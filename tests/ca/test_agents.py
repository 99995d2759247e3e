"""A CA key that an agent holds: the real ssh-agent, and agents that are not what they should be."""

from __future__ import annotations

import base64
import contextlib
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hoopjump.agent import AgentError
from hoopjump.ca.agent import AgentSigner
from hoopjump.ca.settings import CertificateSection
from hoopjump.decision.certificate import verify_ca_signature
from hoopjump.decision.keys import read_public_key
from hoopjump.dev.services import wait_for
from tests.ca.yard import Yard, ssh_key
from tests.decision.forge import Ed25519, Rsa, blob, string


@contextlib.contextmanager
def ssh_agent(path: Path, *keys: Path) -> Iterator[subprocess.Popen[bytes]]:
    """The real one, with some keys; it ends with the block."""
    path.unlink(missing_ok=True)
    with subprocess.Popen(["ssh-agent", "-D", "-a", path], stdout=subprocess.DEVNULL) as process:
        try:
            wait_for(path.is_socket, what="the agent's socket")
            for key in keys:
                subprocess.run(["ssh-add", "-q", key], env={"SSH_AUTH_SOCK": str(path), "PATH": "/usr/bin"}, check=True)
            yield process
        finally:
            process.terminate()


@contextlib.contextmanager
def fake_agent(path: Path, answer: Callable[[bytes], bytes]) -> Iterator[None]:
    """Answers each message with what ``answer`` gives, length included; an empty answer closes the connection."""
    path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(str(path))
    listener.listen()

    def serve() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection, contextlib.suppress(OSError), connection.makefile("rb") as stream:
                size = int.from_bytes(stream.read(4), "big")
                connection.sendall(answer(stream.read(size)))

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join()


def held(yard_directory: Path, ca: Path) -> dict[str, str]:
    """The section of ca.toml for an agent that holds ``ca``."""
    agent = f'ca_key = "agent:{yard_directory}/agent"\nca_public_key = "{ca}.pub"\nagent_timeout = 5.0'
    return {"[certificate]": agent}


@pytest.mark.parametrize("options", [("-t", "ed25519"), ("-t", "rsa", "-b", "2048"), ("-t", "ecdsa")])
def test_the_real_agent_signs(tmp_path: Path, options: tuple[str, ...]) -> None:
    """All kinds of CA keys, RSA with SHA-512; the one named, whatever else it holds."""
    ca, other = ssh_key(tmp_path, "ca", *options), ssh_key(tmp_path, "other")
    key = read_public_key(ca.with_suffix(".pub").read_bytes())
    with ssh_agent(tmp_path / "agent", other, ca):
        signer = AgentSigner(tmp_path / "agent", key, 5.0)
        signer.check()
        assert signer.public_key == key.blob
        if options[1] == "rsa":
            assert signer.sign(b"data").startswith(string("rsa-sha2-512"))
        signer.sign(b"data")


def test_certificates_of_a_key_that_only_the_agent_has(new_yard: Callable[..., Yard], tmp_path: Path) -> None:
    """It may come later, go, and come back; nothing but the answers shows it."""
    ca = ssh_key(tmp_path, "agents-ca")
    authority = read_public_key(ca.with_suffix(".pub").read_bytes())
    yard = new_yard(held(tmp_path, ca))
    assert yard.certify(yard.key()).outcome == (503, "ca-unavailable")
    for _ in range(2):
        with ssh_agent(tmp_path / "agent", ca):
            certificate = yard.certify(yard.key(), embed_token=True).certificate
            assert certificate.ca == authority
            assert verify_ca_signature(certificate)
        assert yard.certify(yard.key()).outcome == (503, "ca-unavailable")
    assert (yard.ask("GET", "/healthz").status, yard.ask("GET", "/healthz").body) == (
        503,
        b"the CA key cannot be used\n",
    )
    refused = [event for event in yard.events() if event["kind"] == "certificate-refused"]
    assert len(refused) == 3
    assert all(str(tmp_path / "agent") in event["detail"] for event in refused)


def test_a_key_that_the_agent_lacks(tmp_path: Path) -> None:
    """Said in words."""
    ca, other = ssh_key(tmp_path, "ca"), ssh_key(tmp_path, "other")
    signer = AgentSigner(tmp_path / "agent", read_public_key(ca.with_suffix(".pub").read_bytes()), 5.0)
    with ssh_agent(tmp_path / "agent", other):
        with pytest.raises(AgentError, match="the agent does not hold the CA key"):
            signer.check()
        with pytest.raises(AgentError, match="the agent refuses to sign"):
            signer.sign(b"data")


def public_line(key: Ed25519) -> str:
    """The content of its .pub file."""
    return f"ssh-ed25519 {base64.b64encode(blob(key)).decode()}\n"


def signed(key: Ed25519 | Rsa, data: bytes) -> bytes:
    return string(b"\x0e" + string(key.sign(data)))


def test_an_agent_that_signs_something_else_gets_nobody_a_certificate(
    new_yard: Callable[..., Yard], tmp_path: Path
) -> None:
    """A signature is looked at before it is handed out: other data, another key, an old algorithm, remains of one."""
    right = Ed25519()
    (tmp_path / "agents-ca.pub").write_text(public_line(right))
    yard = new_yard(held(tmp_path, tmp_path / "agents-ca"))
    answers: dict[str, Callable[[bytes], bytes]] = {
        "signed something else": lambda _: signed(right, b"something else"),
        "or with another key": lambda message: signed(Ed25519(), message[-600:-4]),
        "cannot be read": lambda _: string(b"\x0e" + string(b"")),
        "not accepted from a key": lambda _: signed(Rsa(algorithm="ssh-rsa"), b"x"),
        "refuses to sign (message 5)": lambda _: string(b"\x05"),
        "closed the connection": lambda _: b"",
        "answer has 4294967295 bytes": lambda _: b"\xff\xff\xff\xff",
        "answer has 0 bytes": lambda _: string(b""),
        "refuses to sign (message 12)": lambda _: string(b"\x0c\0\0\0\0"),
    }
    for number, (detail, answer) in enumerate(answers.items()):
        with fake_agent(tmp_path / "agent", answer):
            refused = yard.certify(yard.key(f"user{number}"))
        assert refused.outcome == (503, "ca-unavailable"), detail
        assert detail in yard.events()[-1]["detail"]
    assert not any(event["kind"] == "certificate-issued" for event in yard.events())


def test_a_slow_agent_is_waited_for_no_longer_than_configured(tmp_path: Path) -> None:
    """One that answers a byte now and then gains no time by it."""
    ended = threading.Event()
    ca = ssh_key(tmp_path, "ca")

    def answer(_: bytes) -> bytes:
        ended.wait(20)
        return b""

    with fake_agent(tmp_path / "agent", answer):
        signer = AgentSigner(tmp_path / "agent", read_public_key(ca.with_suffix(".pub").read_bytes()), 0.2)
        with pytest.raises(AgentError, match="timed out"):
            signer.sign(b"data")
        ended.set()


def test_which_key_must_be_said_of_an_agent() -> None:
    """An agent may hold many."""
    with pytest.raises(ValueError, match="say which with ca_public_key"):
        CertificateSection(ca_key="agent:/run/agent")
