"""TLS as other programs see it, and the request that docs/ca.md has for a shell."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hoopjump.dev import programs
from tests.ca.nginx import Nginx
from tests.ca.test_certificates import listed
from tests.ca.yard import EMAIL, HOST, Yard


def handshake(port: int, directory: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """The real `openssl s_client`, which would itself take what is old and weak."""
    trust = ("-CAfile", str(directory / "tls.pem"), "-verify_return_error", "-verify_hostname", HOST)
    argv = ["openssl", "s_client", "-connect", f"127.0.0.1:{port}", "-servername", HOST, *trust, *options]
    return subprocess.run(argv, input="", capture_output=True, text=True, check=False, timeout=60)


@pytest.fixture(params=["of its own", "nginx"])
def server(request: pytest.FixtureRequest, new_yard: Callable[..., Yard]) -> Iterator[tuple[int, Path]]:
    """Port, and directory with the certificate."""
    yard = new_yard(unix=request.param == "nginx")
    if yard.unix is None:
        yield yard.port, yard.directory
    else:
        with Nginx(yard) as nginx:
            yield nginx.port, yard.directory


def test_only_tls_1_2_and_1_3_are_spoken(server: tuple[int, Path]) -> None:
    """Whoever asks for less gets an alert or, of asyncio, the end of the connection; the client itself would go on."""
    for version in ("1", "1_1"):
        refused = handshake(*server, f"-tls{version}", "-cipher", "ALL@SECLEVEL=0")
        assert refused.returncode != 0
        assert re.search("alert protocol version|unexpected eof", refused.stderr), refused.stderr
    for version in ("1_2", "1_3"):
        spoken = handshake(*server, f"-tls{version}")
        assert spoken.returncode == 0, spoken.stderr
        assert f"New, TLSv{version.replace('_', '.')}, Cipher is " in spoken.stdout
        assert "Verification: OK" in spoken.stdout


def test_the_documented_request_runs_in_a_shell(new_yard: Callable[..., Yard], tmp_path: Path) -> None:
    """With ssh-keygen, jq and curl, whose configuration tells where the documented host is."""
    text = (programs.CHECKOUT / "docs" / "ca.md").read_text()
    (script,) = (
        block for block in re.findall(r"^```sh\n(.*?)^```$", text, re.MULTILINE | re.DOTALL) if "curl" in block
    )
    yard = new_yard({"[server]": f'url = "https://{HOST}:8443"'})
    home = tmp_path / "home"
    (home / ".ssh").mkdir(parents=True, mode=0o700)
    yard.key("id_ed25519").rename(home / ".ssh" / "id_ed25519")
    (tmp_path / "id_ed25519.pub").rename(home / ".ssh" / "id_ed25519.pub")
    (home / ".curlrc").write_text(f"cacert = {tmp_path}/tls.pem\nconnect-to = {HOST}:8443:127.0.0.1:{yard.port}\n")

    def run(token: str) -> str:
        (home / "token").write_text(f"{token}\n")
        environment = {"PATH": os.environ["PATH"], "HOME": str(home)}
        done = subprocess.run(
            ["sh", "-eu", "-c", script],
            cwd=home,
            env=environment,
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        )
        assert done.stderr == ""
        return done.stdout

    assert json.loads(run("x.y.z"))["reason"] == "token-malformed"
    assert run(yard.token()) == ""
    assert listed(tmp_path, (home / ".ssh" / "id_ed25519-cert.pub").read_text())["Principals"] == EMAIL
