"""``hoopjump-ca``: reads its configuration, listens, answers until it is told to stop."""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import signal
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from hoopjump import __version__
from hoopjump.audit.sinks import open_audit
from hoopjump.ca.authority import TokenSigner, open_authority
from hoopjump.ca.issuing import Issuing
from hoopjump.ca.limits import Buckets, UsedProofs
from hoopjump.ca.listening import listen, tls_context
from hoopjump.ca.metrics import Metrics
from hoopjump.ca.server import Server
from hoopjump.ca.service import Limits, Service
from hoopjump.ca.settings import DEFAULT_PATH, CaConfig
from hoopjump.ca.web import Site
from hoopjump.config import ConfigError, load_as
from hoopjump.daemon import program, systemd
from hoopjump.decision.keys import fingerprint
from hoopjump.keys.dropped import DroppedKeys
from hoopjump.keys.kept import KeptSets
from hoopjump.keys.keysets import KeySets

# More than an agent may take; twice that, as aiohttp counts it, is less than the unit's TimeoutStopSec=.
DRAIN_SECONDS: Final = 15.0
# A provider that is slow is waited for by those who need it.
FIRST_KEYS_SECONDS: Final = 3.0

log = logging.getLogger("hoopjump.ca")


class CertificateService:
    """All parts, put together. Raises :class:`HoopjumpError` for what they cannot work with."""

    def __init__(self, config: CaConfig) -> None:
        self._config = config
        self._authority = open_authority(config.certificate)
        signer = TokenSigner.open(config.token.key) if config.token is not None else None
        self._issuing = Issuing(config.certificate, self._authority, config.token, signer)
        self._tls = tls_context(config.server)
        directory = config.server.keys_dir
        self._keys = KeySets(config.issuer, DroppedKeys(directory), KeptSets(directory))

    @property
    def authority(self) -> str:
        """Fingerprint of the CA key."""
        return fingerprint(self._authority.public_key)

    async def serve(self) -> None:
        """Answer until SIGTERM or SIGINT, then finish what has been begun."""
        config, loop = self._config, asyncio.get_running_loop()
        stop = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
        metrics = Metrics(lambda: server.connections)
        limits = Limits(
            sources=Buckets(config.limits.per_source, time.monotonic),
            users=Buckets(config.limits.per_user, time.monotonic),
            told=Buckets(1, time.monotonic),
            proofs=UsedProofs(time.time()),
        )
        service = Service(
            url=config.server.url,
            keys=self._keys,
            issuing=self._issuing,
            authority=self._authority,
            limits=limits,
            audit=open_audit(config.audit.file, journal=config.audit.log == "journal"),
            metrics=metrics,
        )
        behind_proxy = config.server.unix_path is not None
        site = Site(service, metrics, config.server.source_header if behind_proxy else None)
        server = Server(
            listen(config.server),
            site.handle,
            tls=self._tls,
            connections=config.server.connections,
            per_source=config.server.connections_per_source,
            seconds=config.server.request_time,
        )
        loop.add_signal_handler(signal.SIGHUP, self._reload, server)
        await asyncio.to_thread(self._keys.start, FIRST_KEYS_SECONDS)
        accepting = server.start()
        # Whoever can accept nothing more had better be started anew.
        accepting.add_done_callback(lambda _: stop.set())
        systemd.notify("READY=1", os.environ)
        log.info("hoopjump-ca %s is ready, CA key %s, at %s", __version__, self.authority, config.server.listen)
        await stop.wait()
        failed = accepting.done()
        systemd.notify("STOPPING=1", os.environ)
        await server.stop(DRAIN_SECONDS)
        service.stop()
        self._keys.stop()
        if failed:
            accepting.result()
        log.info("hoopjump-ca has stopped")

    def _reload(self, server: Server) -> None:
        """Take up a renewed TLS certificate; one that cannot be used changes nothing."""
        try:
            server.tls = tls_context(self._config.server)
        except ConfigError as error:
            log.error("the TLS certificate stays as it was: %s", error.message)  # noqa: TRY400
        else:
            log.info("the TLS certificate has been read again")


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the service; exits with 0, 1 (cannot work here) or 2 (bad usage or configuration)."""
    parser = argparse.ArgumentParser(
        prog="hoopjump-ca",
        description="Issues SSH certificates to those who have a token of their identity provider.",
        epilog="Try a changed configuration first: hoopjump-ca --config NEW --check",
    )
    parser.add_argument("--config", type=Path, default=DEFAULT_PATH, help="configuration file (%(default)s)")
    parser.add_argument("--check", action="store_true", help="read configuration, keys and certificate, and end")
    parser.add_argument("--version", action="version", version=f"hoopjump-ca {__version__}")
    options = parser.parse_args(arguments)
    with program.telling("hoopjump-ca"):
        config = load_as(CaConfig, options.config)
        service = CertificateService(config)
        if options.check:
            print(f"{options.config}: good; CA key {service.authority}")
            return
        program.prepare(journal=config.audit.log == "journal")
        asyncio.run(service.serve())
    program.leave()


if __name__ == "__main__":
    main()
