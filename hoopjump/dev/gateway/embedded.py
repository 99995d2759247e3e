"""The gateway as an object: on the running event loop, or in a thread of its own."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from aiohttp import web

from hoopjump.dev.gateway import rest_config, rest_dev, rest_people, rest_roles, rest_sessions
from hoopjump.dev.gateway.certificates import new_host_key, read_host_key
from hoopjump.dev.gateway.faults import Faults
from hoopjump.dev.gateway.model import Store
from hoopjump.dev.gateway.rest import new_app
from hoopjump.dev.gateway.setup import Setup, apply
from hoopjump.dev.gateway.ssh_server import SshServer

NOTICE = "hoopjump dev gateway: a stand-in for tests and for trying out, on loopback only. It is not a Hoop gateway."
_KEYS = {"dev-admin": "admin", "dev-auditor": "auditor"}


@dataclass(frozen=True, slots=True)
class Ready:
    """Where a gateway listens, and the keys made for it; ``host_key`` as in a .pub file."""

    api_url: str
    ssh_host: str
    ssh_port: int
    admin_key: str
    auditor_key: str
    host_key: str

    def to_json(self) -> dict[str, object]:
        """For the ready file."""
        return asdict(self)


class EmbeddedGateway:
    """A gateway on the running event loop; ``faults`` may be set at any time."""

    def __init__(self, setup: Setup | None = None, path: Path | None = None) -> None:
        fresh = path is None or not path.exists()
        self.store = Store(path)
        self.faults = Faults()
        self.ssh = SshServer(self.store, self.faults)
        self._runner: web.AppRunner | None = None
        if fresh:
            apply(self.store, setup or Setup())

    async def start(self, api_port: int = 0, ssh_port: int = 0, keys: dict[str, str] | None = None) -> Ready:
        """Listen; ports of 0 are chosen (the SSH port of a kept state stays). Raises :class:`StartError`."""
        app = new_app(self.store, self.faults)
        app[rest_config.SSH_SERVER] = self.ssh
        for module in (rest_people, rest_roles, rest_sessions, rest_config, rest_dev):
            module.add_routes(app)
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", api_port).start()
        bound_api: int = self._runner.addresses[0][1]
        config = self.store.misc["ssh_server_config"]
        bound_ssh = 0
        host_key = ""
        if config:
            config["hosts_key"] = config["hosts_key"] or new_host_key()
            if ssh_port:
                config["listen_address"] = f"127.0.0.1:{ssh_port}"
            bound_ssh = await self.ssh.start(config)
            config["listen_address"] = f"127.0.0.1:{bound_ssh}"
            host_key = read_host_key(config["hosts_key"]).export_public_key().decode().strip()
        values = {name: self._make_key(name, group, (keys or {}).get(name)) for name, group in _KEYS.items()}
        self.store.save()
        return Ready(
            api_url=f"http://127.0.0.1:{bound_api}",
            ssh_host="127.0.0.1",
            ssh_port=bound_ssh,
            admin_key=values["dev-admin"],
            auditor_key=values["dev-auditor"],
            host_key=host_key,
        )

    def _make_key(self, name: str, group: str, value: str | None) -> str:
        self.store.api_keys = [key for key in self.store.api_keys if key.name != name]
        return self.store.add_api_key(name, [group], "hoopjump dev", value)[1]

    async def stop(self) -> None:
        """Close everything."""
        await self.ssh.stop()
        if self._runner is not None:
            await self._runner.cleanup()


@contextmanager
def in_thread(setup: Setup | None = None, path: Path | None = None) -> Iterator[tuple[EmbeddedGateway, Ready]]:
    """A gateway in a thread, for tests that set ``faults`` or look into ``store``."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="hoopjump-dev-gateway", daemon=True)
    thread.start()

    async def start() -> tuple[EmbeddedGateway, Ready]:
        gateway = EmbeddedGateway(setup, path)
        return gateway, await gateway.start()

    try:
        gateway, ready = asyncio.run_coroutine_threadsafe(start(), loop).result(10)
        try:
            yield gateway, ready
        finally:
            asyncio.run_coroutine_threadsafe(gateway.stop(), loop).result(10)
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
