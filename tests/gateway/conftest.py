"""The stand-in gateways: one that replays, once a test, and the embedded one, once a module."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from hoopjump.cli.main import main
from hoopjump.gateway.client import GatewayClient
from tests.gateway.bastion import Bastion, Run
from tests.gateway.replay import KEY, Replay, replay, section
from tests.gateway.site import Site, embedded


@pytest.fixture
def gateway() -> Iterator[Replay]:
    """A server without any answers; a test plays transcripts into it."""
    with replay() as scene:
        yield scene


@pytest.fixture
def client(gateway: Replay) -> Iterator[GatewayClient]:
    """A client of that server."""
    made = GatewayClient(section(gateway.url), KEY)
    yield made
    made.close()


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """One embedded gateway; each test puts its configuration back."""
    with embedded(tmp_path_factory.mktemp("gateway")) as made:
        yield made


@pytest.fixture
def bastion(tmp_path: Path, running: Site) -> Iterator[Bastion]:
    """A bastion that was never synchronised; the gateway is as it was afterwards."""
    made = Bastion(tmp_path, running)
    before = made.misc()
    yield made
    if made.misc() != before:
        made.admin().put("serverconfig", "misc", body=before)


@pytest.fixture
def run(bastion: Bastion, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run the command; exit status, stdout, stderr. Neither key is ever in them."""
    monkeypatch.setenv("NO_COLOR", "1")

    def command(*words: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as exit_:
            main(["--config", str(bastion.config), "gateway", *words])
        out, err = capsys.readouterr()
        for key in (bastion.gateway.api_key, bastion.gateway.admin_key, "PRIVATE KEY"):
            assert key not in out + err
        code = exit_.value.code
        return (code if isinstance(code, int) else 0), out, err

    return command
