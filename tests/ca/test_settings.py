"""ca.toml is read as strictly as hoopjump.toml."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from hoopjump.ca.authority import TokenSigner, open_authority
from hoopjump.ca.listening import ListenError, listen, tls_context
from hoopjump.ca.settings import CaConfig, CertificateSection, ServerSection
from hoopjump.config import ConfigError, parse_as
from tests.ca.yard import ssh_key, tls_pair

GOOD = """[server]
url = "https://ca.example.com"
listen = "unix:/run/hoopjump-ca/ca.sock"
[[issuer]]
issuer = "https://idp.example.com"
audiences = ["hoopjump-ca"]
[token]
issuer = "https://ca.example.com"
audience = "bastion"
"""


def test_the_smallest_configuration() -> None:
    """Where, and whose tokens."""
    config = parse_as(CaConfig, GOOD.partition("[token]")[0], "ca.toml")
    assert (config.certificate.longest, config.certificate.extensions) == (
        28800,
        ("permit-port-forwarding", "permit-pty"),
    )
    assert config.token is None
    assert config.server.unix_path == Path("/run/hoopjump-ca/ca.sock")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            'https://ca.example.com"\nlisten',
            'http://ca.example.com"\nlisten',
            "f:2: `server.url`: must be https://HOST",
        ),
        (
            'https://ca.example.com"\nlisten',
            'https://ca.example.com/"\nlisten',
            "f:2: `server.url`: must be https://HOST",
        ),
        ("unix:/run/hoopjump-ca/ca.sock", r"unix:/run/\u0000x", "f:3: `server.listen`: must be ADDRESS:PORT"),
        ("unix:/run/hoopjump-ca/ca.sock", "8443", "f:3: `server.listen`: must be ADDRESS:PORT"),
        ("unix:/run/hoopjump-ca/ca.sock", "localhost:8443", "f:3: `server.listen`: must be ADDRESS:PORT"),
        ("unix:/run/hoopjump-ca/ca.sock", "[::]:0", "f:3: `server.listen`: must be ADDRESS:PORT"),
        ("unix:/run/hoopjump-ca/ca.sock", "[::]:8443", "f:3: `server.listen`: without a Unix socket, tls_cert"),
        ("[[issuer]]", 'tls_key = "file:/k"\n[[issuer]]', "f:3: `server.listen`: behind a proxy the TLS is"),
        ("[token]", '[certificate]\nca_key = "agent:/a"\n[token]', "f:8: `certificate.ca_key`: an agent may hold"),
        ("[token]", '[certificate]\nca_key = "secret"\n[token]', "f:8: `certificate.ca_key`: must be credential:"),
        ("[token]", '[certificate]\nextensions = ["permit-x"]\n[token]', "f:8: `certificate.extensions`: must be"),
        ("[token]", '[certificate]\nextensions = ["jwt@hoopjump"]\n[token]', "f:8: `certificate.extensions`: must"),
        ('[token]\nissuer = "https://ca.', '[token]\nissuer = "https://idp.', "f:8: `token.issuer`: tokens of"),
        ("[token]", "bound = true\n[token]", "f:7: `issuer[0].bound`: a certificate is not issued for"),
        ("unix:/run/hoopjump-ca/ca.sock", "999.0.0.1:80", "f:3: `server.listen`: must be ADDRESS:PORT"),
        ("[[issuer]]", "[[isuer]]", "f: unknown key `isuer`"),
    ],
)
def test_faults_are_told_with_their_line(old: str, new: str, message: str) -> None:
    """What is wrong by itself, and what does not go together."""
    assert old in GOOD
    with pytest.raises(ConfigError) as caught:
        parse_as(CaConfig, GOOD.replace(old, new), "f")
    told = re.sub(r" = [^`]*`( [(]issuer [^)]*[)])?", "`", caught.value.message)
    assert told.startswith(message)


def test_keys_that_cannot_be_used(tmp_path: Path) -> None:
    """Said before anybody asks for a certificate."""
    good, weak = ssh_key(tmp_path, "ca"), ssh_key(tmp_path, "weak", "-t", "rsa", "-b", "1024")
    (tmp_path / "none").touch(mode=0o600)
    with pytest.raises(ConfigError, match="cannot be read"):
        open_authority(CertificateSection(ca_key=f"file:{tmp_path}/none"))
    with pytest.raises(ConfigError, match="1024 bits is too weak for a CA"):
        open_authority(CertificateSection(ca_key=f"file:{weak}"))
    with pytest.raises(ConfigError, match="is not the key of"):
        open_authority(CertificateSection(ca_key=f"file:{good}", ca_public_key=weak.with_suffix(".pub")))
    with pytest.raises(ConfigError, match="not an OpenSSH public key"):
        open_authority(CertificateSection(ca_key="agent:/nowhere", ca_public_key=good))
    with pytest.raises(ConfigError, match="No such file"):
        open_authority(CertificateSection(ca_key="agent:/nowhere", ca_public_key=tmp_path / "x.pub"))
    with pytest.raises(ConfigError, match="not an unencrypted Ed25519 key in PEM"):
        TokenSigner.open(f"file:{tls_pair(tmp_path)}")
    good.chmod(0o644)
    with pytest.raises(ConfigError, match="readable by nobody else"):
        open_authority(CertificateSection(ca_key=f"file:{good}"))


def test_tls_files_that_cannot_be_used(tmp_path: Path) -> None:
    """A key that others may read, and one that is not the certificate's."""
    key = tls_pair(tmp_path)
    other = tls_pair(tmp_path, "other")

    def server(tls_key: Path) -> ServerSection:
        return ServerSection(
            url="https://ca.example.com",
            listen="127.0.0.1:8443",
            tls_certificate=tmp_path / "tls.pem",
            tls_key=f"file:{tls_key}",
        )

    assert tls_context(server(key)) is not None
    with pytest.raises(ConfigError, match=r"other\.key: "):
        tls_context(server(other))
    key.chmod(0o640)
    with pytest.raises(ConfigError, match="readable by nobody else"):
        tls_context(server(key))


def test_a_socket_replaces_an_old_one_and_no_file(tmp_path: Path) -> None:
    """A file of somebody's is never removed."""
    path = tmp_path / "ca.sock"
    settings = ServerSection(url="https://ca.example.com", listen=f"unix:{path}")
    with listen(settings), listen(settings) as second:
        assert second.getsockname().endswith("ca.sock.new")
    path.unlink()
    path.write_text("precious")
    with pytest.raises(ListenError, match="is there and is no socket"):
        listen(settings)
    assert path.read_text() == "precious"
