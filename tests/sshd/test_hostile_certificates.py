"""Hostile certificates, offered to a real sshd as a second opinion: what it takes and we do not is listed."""

from __future__ import annotations

import asyncio
import os
import pwd
from collections.abc import Iterator

import asyncssh
import pytest

from hoopjump.dev.private_sshd import Sshd
from hoopjump.dev.services import free_port
from tests.decision.forge import KEYGEN, blob, keygen
from tests.hostile.certificates.forge import PRINCIPAL, TRUSTED, Fresh, kind_of, line
from tests.hostile.certificates.stricter import STRICTER
from tests.hostile.certificates.table import HOSTILE

RSA_TYPE, RSA_ALGORITHM = b"ssh-rsa-cert-v01@openssh.com", b"rsa-sha2-512-cert-v01@openssh.com"


class Offered(asyncssh.SSHKeyPair):
    """A certificate that is offered, and whose key nobody here has: asked to sign, it is as good as taken."""

    def __init__(self, raw: bytes) -> None:
        kind = kind_of(raw)
        # The type of the key no longer names an algorithm (RFC 8332): SHA-1.
        algorithm = RSA_ALGORITHM if kind == RSA_TYPE else kind
        super().__init__(algorithm, algorithm, [b"ssh-ed25519"], [], raw, None)
        self.taken = False

    def set_sig_algorithm(self, sig_algorithm: bytes) -> None:
        """Leave the algorithm what the certificate says."""

    def sign(self, data: bytes) -> bytes:
        """What sshd refuses at last."""
        self.taken = True
        return bytes(64)


class Client(asyncssh.SSHClient):
    """Offers one after the other, until one is taken: sshd keeps its conditions for the rest of the connection."""

    def __init__(self, waiting: list[Offered]) -> None:
        self._waiting = waiting
        self._last: Offered | None = None

    def public_key_auth_requested(self) -> Offered | None:
        """The next."""
        if not self._waiting or (self._last and self._last.taken):
            return None
        self._last = self._waiting.pop()
        return self._last


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """An sshd that trusts the authorities of the table, and lets their certificates of one principal in."""
    if KEYGEN is None:
        pytest.skip("ssh-keygen is not installed")
    directory, port = tmp_path_factory.mktemp("sshd"), free_port()
    keygen("-q", "-t", "ed25519", "-N", "", "-f", directory / "host", cwd=directory)
    (directory / "cas").write_bytes(b"".join(line(blob(ca)) for ca in TRUSTED))
    (directory / "principals").write_text(f"{PRINCIPAL}\n")
    service = Sshd(
        "sshd",
        directory / "sshd_config",
        directory / "log",
        ports=(port,),
        host_key=directory / "host",
        lines=(
            f"TrustedUserCAKeys {directory / 'cas'}",
            f"AuthorizedPrincipalsFile {directory / 'principals'}",
            "AuthorizedKeysFile none",
            "AuthenticationMethods publickey",
            "PermitRootLogin prohibit-password",
            "StrictModes no",
            "LoginGraceTime 600",
            "MaxAuthTries 10000",
        ),
    )
    service.start()
    yield port
    service.stop()


async def offer_all(port: int, offers: list[Offered]) -> None:
    """Offer each once."""
    account, waiting = pwd.getpwuid(os.geteuid()).pw_name, offers[::-1]
    while waiting:
        with pytest.raises(asyncssh.PermissionDenied):
            await asyncssh.connect(
                *("127.0.0.1", port),
                client_factory=lambda: Client(waiting),
                config=None,
                username=account,
                known_hosts=None,
                preferred_auth="publickey",
                agent_path=None,
                client_keys=None,
                login_timeout=280,
            )


def test_sshd_takes_nothing_hostile_but_where_we_are_stricter(port: int) -> None:
    """Each is offered; sshd asks for a signature of those it would let in."""
    offers = {name: Offered(hostile.blob) for name, hostile in HOSTILE.items()}
    good = [Offered(Fresh(ca=ca).blob) for ca in TRUSTED]
    asyncio.run(offer_all(port, [*offers.values(), *good]))
    assert all(offer.taken for offer in good)
    taken = {name for name, offer in offers.items() if offer.taken}
    assert taken <= set(STRICTER)
