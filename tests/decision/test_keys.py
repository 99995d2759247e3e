"""Public keys as text, as authorities and keys are configured."""

from __future__ import annotations

import base64

import pytest

from hoopjump.decision.keys import KEY_TEXT_LIMIT, fingerprint, read_public_key
from hoopjump.decision.wire import FormatError
from tests.decision.conftest import KINDS, Keys
from tests.decision.forge import CA, Forged, Rsa, blob, keygen

TEXT = base64.b64encode(blob(CA))


@pytest.mark.parametrize("kind", KINDS)
def test_a_public_key_has_the_size_and_fingerprint_that_ssh_keygen_tells(keys: Keys, kind: str) -> None:
    """Every kind, as `ssh-keygen -l` prints it."""
    key = read_public_key(keys.public(kind).read_bytes())
    bits, print_, *_ = keygen("-l", "-f", keys.public(kind), cwd=keys.directory).split()
    assert (str(key.bits), fingerprint(key.blob)) == (bits, print_)
    assert keys.public(kind).read_text().startswith(f"{key.type} ")


def test_a_bare_key_is_read() -> None:
    """Base64 alone is enough: the type is in it."""
    assert read_public_key(TEXT).blob == blob(CA)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"", "is empty"),
        (b"ssh-rsa " + TEXT, "the line says"),
        (b"ssh-ed25519 " + TEXT + b"\nssh-ed25519 " + TEXT, "more than one line"),
        (b'cert-authority,principals="a" ssh-ed25519 ' + TEXT, "not base64"),
        (b"ssh-ed25519 " + base64.b64encode(blob(CA) + b"x"), "unexpected bytes"),
        (base64.b64encode(Forged().blob), "is not supported"),
        (b"x" * (KEY_TEXT_LIMIT + 1), "longer than"),
    ],
)
def test_text_that_is_no_public_key_is_refused(text: bytes, message: str) -> None:
    """Options, certificates, a second key and an endless file included."""
    with pytest.raises(FormatError, match=message):
        read_public_key(text)


def test_the_largest_key_fits_its_bound() -> None:
    """RSA of 4096 bits is far below the bound of the text."""
    key = read_public_key(base64.b64encode(blob(Rsa(4096))))
    assert key.bits == 4096
