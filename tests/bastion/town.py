"""A bastion that looks at tokens: of an identity provider, and of a hoopjump-ca, whose are bound to keys."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from hoopjump.decision.keys import read_public_key
from hoopjump.decision.presented import key_thumbprint
from hoopjump.dev.bastion import Bastion
from hoopjump.dev.identities import Identity, keygen
from hoopjump.dev.place import Place
from hoopjump.dev.services import wait_for
from tests.conftest import need_bastion
from tests.keys.provider import Provider, TokenKey

AUDIENCE: Final = "hoopjump"
CA: Final = "https://ca.example.com"


class Files:
    """What an administrator has written: the CA's keys, and for each issuer a list of tokens that are revoked."""

    def __init__(self, directory: Path) -> None:
        self.keys = directory / "binding.jwks"
        self.ca_file = directory / "provider-ca.pem"
        self.revoked = directory / "revoked"
        self.revoked_of_ca = directory / "revoked-of-ca"

    def write(self, idp: Provider, binding: TokenKey) -> None:
        """Nothing is revoked yet."""
        self.publish(binding)
        self.ca_file.write_bytes(idp.ca_file.read_bytes())
        for path in (self.revoked, self.revoked_of_ca):
            path.write_text("")
        for path in (self.keys, self.ca_file, self.revoked, self.revoked_of_ca):
            path.chmod(0o644)

    def publish(self, *keys: TokenKey) -> None:
        """Have these be the CA's."""
        self.keys.write_text(json.dumps({"keys": [key.jwk for key in keys]}))

    def issuers(self, idp: Provider) -> list[dict[str, Any]]:
        """Both, configured: the provider's keys are discovered over TLS, those of the CA are in a file."""
        own = {"user_claim": "email", "user_attribute": "email", "revoked": str(self.revoked)}
        bound = {"issuer": CA, "audiences": [AUDIENCE], "keys": f"file:{self.keys}", "revoked": str(self.revoked_of_ca)}
        return [
            idp.section(**own, ca_file=str(self.ca_file)),
            {**bound, "bound": True, "user_attribute": "email", "leeway": 0},
        ]


class Town:
    """A bastion that asks for tokens, and the people in front of it."""

    def __init__(self, bastion: Bastion, idp: Provider, binding: TokenKey, files: Files) -> None:
        self.bastion = bastion
        self.idp = idp
        self.binding = binding
        self.files = files

    def token(self, user: str = "alice", **changes: Any) -> str:
        """A token of the provider's own."""
        return self.idp.token(**{"email": self.bastion.email(user), "sub": f"auth0|{user}", **changes}).decode()

    def bound(self, jkt: str, user: str = "alice", **changes: Any) -> str:
        """A token of hoopjump-ca, bound to a key."""
        claims = self.idp.claims(iss=CA, sub=self.bastion.email(user), cnf={"jkt": jkt})
        return self.binding.sign({**claims, **changes}).decode()

    def certificate(self, user: str = "alice", *, owner: str | None = None, **changes: Any) -> Identity:
        """A certificate with a token in it, bound to its own key, of ``owner``'s (the user's) unless told otherwise."""
        identity = self.bastion.certificate(user)
        jkt = changes.pop("jkt", None) or key_thumbprint(read_public_key(identity.public.read_bytes()))
        return self.embed(identity, user, changes.pop("token", None) or self.bound(jkt, owner or user, **changes))

    def embed(self, identity: Identity, user: str, token: str) -> Identity:
        """The certificate once more, with a token in it."""
        ca, name = str(self.bastion.user_ca.key), self.bastion.email(user)
        extension = f"extension:jwt@hoopjump={token}"
        keygen("-q", "-s", ca, "-I", "x", "-n", name, "-V", "-1m:+1h", "-O", extension, str(identity.public))
        return identity

    def ssh(self, *command: str, identity: Identity | None = None, token: str | None = None) -> Any:
        """A session; ``token`` is sent in the environment."""
        sent: dict[str, Any] = (
            {"options": ("-o", "SendEnv=HOOPJUMP_TOKEN"), "env": {"HOOPJUMP_TOKEN": token}} if token is not None else {}
        )
        return self.bastion.ssh(*command, identity=identity or self.bastion.certificate(), **sent)


@contextmanager
def opened(idp: Provider, binding: TokenKey, **uses: str) -> Iterator[Town]:
    """A running one, which has the keys of both; ``uses`` are where tokens are asked for."""
    need_bastion()
    with tempfile.TemporaryDirectory(dir=Place.here().parent) as name:
        directory = Path(name)
        directory.chmod(0o755)
        files = Files(directory)
        files.write(idp, binding)
        with Bastion(settings={"tokens": {**uses, "issuer": files.issuers(idp)}}) as bastion:
            bastion.gateway.faults(early_close=False)
            there = [f"keys of {issuer} are there" for issuer in (idp.issuer, CA)]
            wait_for(lambda: all(line in bastion.daemon_log() for line in there), 30, "the first keys")
            yield Town(bastion, idp, binding, files)


def refused(done: Any, code: str) -> str:
    """What was said to somebody who was refused for this reason."""
    said: str = done.stderr.decode()
    assert done.returncode not in (0, 255), said
    assert done.stdout == b""
    assert f"({code}, ref " in said
    return said


def no_forward(done: Any) -> None:
    """Sshd let somebody in, and opened no channel to the gateway."""
    assert done.returncode == 255
    assert done.stdout == b""
    assert b"administratively prohibited" in done.stderr
