"""The gateway's user mapping and ours: which value of a certificate is which user, through both ways in."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from subprocess import CompletedProcess
from typing import Final

import pytest

from hoopjump.dev.bastion import Bastion
from hoopjump.dev.gateway import UserSpec
from hoopjump.dev.identities import Identity
from hoopjump.dev.place import Place
from tests.bastion.below import newest_row
from tests.bastion.proof import assert_logged, events_of, told
from tests.bastion.ways import FORCE_COMMAND, JUMP, WAYS, run
from tests.conftest import need_bastion

ALICE: Final = {
    "email": "alice@example.com",
    "subject": "auth0|alice",
    "user_id": "3f1c8a52-6a0e-4d0b-9b6e-0d6f2f3b7a10",
}
BOB: Final = {
    "email": "bob@example.com",
    "subject": "auth0|bob",
    "user_id": "9d2e7b64-1c53-4f7a-8e21-5b0a4c9d8e33",
}
USERS: Final = [UserSpec(**ALICE), UserSpec(**BOB)]
WHO: Final = "echo $HOOP_USER_EMAIL"

MAPPINGS: Final = [
    (certificate, user) for certificate in ("principal", "key_id") for user in ("email", "subject", "user_id")
]


@dataclass(frozen=True, slots=True)
class Mapped:
    """A bastion and a gateway that both take ``certificate`` (principal, key_id) for ``user`` (an attribute)."""

    bastion: Bastion
    certificate: str
    user: str

    def identity(self, named: str, elsewhere: str) -> Identity:
        """A certificate with one value where the mapping looks, and another in the other attribute."""
        if self.certificate == "principal":
            return self.bastion.certificate(principals=(named,), key_id=elsewhere)
        return self.bastion.certificate(principals=(elsewhere,), key_id=named)


@pytest.fixture(scope="module", params=MAPPINGS, ids="-".join)
def mapped(request: pytest.FixtureRequest) -> Iterator[Mapped]:
    """A bastion for each mapping; the UUIDs stand in a directory file, as an administrator keeps it."""
    need_bastion()
    certificate, user = request.param
    with tempfile.TemporaryDirectory(dir=Place.here().parent) as directory:
        Path(directory).chmod(0o755)
        file = Path(directory) / "people.csv"
        rows = [",".join((person["subject"], person["user_id"], person["email"])) for person in (ALICE, BOB)]
        file.write_text("\n".join(["subject,user_id,email", *rows]) + "\n")
        settings = {"gateway": {"directory_file": str(file)}} if user == "user_id" else {}
        with Bastion(mapping=(certificate, user), settings=settings, users=USERS) as bastion:
            # What the gateway loses by closing early is lost to the users of a jump.
            bastion.gateway.faults(early_close=False)
            yield Mapped(bastion, certificate, user)


@pytest.mark.parametrize("way", WAYS)
def test_a_certificate_is_the_user_whom_its_attribute_names(mapped: Mapped, way: str) -> None:
    """The session runs as that user at the gateway, whatever stands in the certificate's other attribute."""
    bastion = mapped.bastion
    identity = mapped.identity(ALICE[mapped.user], elsewhere=BOB[mapped.user])
    done = run(bastion, way, "mybash", WHO, identity=identity)
    assert (done.returncode, done.stdout) == (0, b"alice@example.com\n"), done.stderr
    row = bastion.gateway.sessions(limit="1")[0]
    assert (row["user"], row["user_id"]) == (ALICE["email"], ALICE["subject"])
    admitted = next(event for event in events_of(bastion, identity) if event["kind"] == "admitted")
    opened = bastion.wait_for_event(kind="login-opened", login=admitted["ref"])
    assert (opened["user"], opened["subject"]) == (ALICE["email"], ALICE["subject"])


@pytest.mark.parametrize("way", WAYS)
def test_another_attribute_of_the_user_names_nobody(mapped: Mapped, way: str) -> None:
    """A value counts in the attribute of the mapping only: somebody's address is nobody's subject."""
    bastion = mapped.bastion
    other = next(name for name in ALICE if name != mapped.user)
    row = newest_row(bastion)
    done = run(bastion, way, "mybash", WHO, identity=mapped.identity(ALICE[other], elsewhere=ALICE[mapped.user]))
    assert_nobody(bastion, way, done, row)


@pytest.mark.parametrize("way", WAYS)
def test_case_counts(mapped: Mapped, way: str) -> None:
    """Addresses and subjects are compared as they stand; a UUID is the same in either case, as at the gateway."""
    bastion = mapped.bastion
    row = newest_row(bastion)
    identity = mapped.identity(ALICE[mapped.user].upper(), elsewhere=BOB[mapped.user])
    done = run(bastion, way, "mybash", WHO, identity=identity)
    if mapped.user == "user_id":
        assert (done.returncode, done.stdout) == (0, b"alice@example.com\n"), done.stderr
    else:
        assert_nobody(bastion, way, done, row)


def assert_nobody(bastion: Bastion, way: str, done: CompletedProcess[bytes], row: str) -> None:
    assert done.stdout == b""
    assert newest_row(bastion) == row
    if way == FORCE_COMMAND:
        assert done.returncode == 77
        code, ref = told(done)
        assert code == "user-unknown"
        assert_logged(bastion, ref, code)
    else:
        assert way == JUMP
        assert done.returncode == 255
        assert b"administratively prohibited" in done.stderr
