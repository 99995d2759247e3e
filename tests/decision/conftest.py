"""Keys and certificates that ssh-keygen made."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.decision.forge import KEYGEN, FidoEcdsa, FidoEd25519, blob, keygen

GENERATED = {
    "ed25519": ("-t", "ed25519"),
    "ecdsa256": ("-t", "ecdsa", "-b", "256"),
    "ecdsa384": ("-t", "ecdsa", "-b", "384"),
    "ecdsa521": ("-t", "ecdsa", "-b", "521"),
    "rsa": ("-t", "rsa", "-b", "2048"),
}
KINDS = (*GENERATED, "sk-ed25519", "sk-ecdsa")


@dataclass
class Keys:
    """Key files by kind, and certificates of them by a CA file."""

    directory: Path

    def public(self, kind: str) -> Path:
        return self.directory / f"{kind}.pub"

    def issue(self, kind: str, *arguments: str, ca: str = "ed25519", name: str = "issued") -> Path:
        """Have ssh-keygen sign a copy of a key; the certificate's file."""
        copy = self.directory / f"{name}.pub"
        copy.write_bytes(self.public(kind).read_bytes())
        keygen("-q", "-s", self.directory / ca, *arguments, copy, cwd=self.directory)
        return self.directory / f"{name}-cert.pub"


@pytest.fixture(scope="session")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Keys:
    """One key of each kind; FIDO keys are public halves made here, which is all that signing them takes."""
    if KEYGEN is None:
        pytest.skip("ssh-keygen is not installed")
    directory = tmp_path_factory.mktemp("keys")
    for kind, arguments in GENERATED.items():
        keygen("-q", "-N", "", "-C", kind, *arguments, "-f", directory / kind, cwd=directory)
    for kind, key in (("sk-ed25519", FidoEd25519()), ("sk-ecdsa", FidoEcdsa())):
        encoded = base64.b64encode(blob(key)).decode()
        (directory / f"{kind}.pub").write_text(f"{key.type} {encoded} {kind}\n")
    return Keys(directory)
