"""``python -m hoopjump.dev.gateway``: the stand-in gateway as a process."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import sys
import tomllib
from pathlib import Path

from hoopjump.dev.gateway.certificates import StartError
from hoopjump.dev.gateway.embedded import NOTICE, EmbeddedGateway, Ready
from hoopjump.dev.gateway.setup import Setup


def main() -> int:
    """Serve until SIGTERM or SIGINT."""
    parser = argparse.ArgumentParser(prog="python -m hoopjump.dev.gateway", description=NOTICE)
    parser.add_argument("--state", default="memory", help="file that keeps users, roles and configuration, or `memory`")
    parser.add_argument("--setup", type=Path, help="JSON or TOML file of users, roles, trusted_cas and mapping")
    parser.add_argument("--api-port", type=int, default=0, help="port of the API, 0 to choose one")
    parser.add_argument("--ssh-port", type=int, default=0, help="port of the SSH server, 0 to choose one")
    parser.add_argument("--ready-file", type=Path, help="file to write addresses and keys to, when all is listening")
    arguments = parser.parse_args()
    print(NOTICE, flush=True)
    try:
        return asyncio.run(_serve(arguments))
    except (StartError, OSError, ValueError, TypeError) as error:
        print(f"hoopjump dev gateway: {error}", file=sys.stderr)
        return 1


async def _serve(arguments: argparse.Namespace) -> int:
    gateway = EmbeddedGateway(
        _read_setup(arguments.setup) if arguments.setup else None,
        None if arguments.state == "memory" else Path(arguments.state),
    )
    ended = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, ended.set)
    ready = await gateway.start(arguments.api_port, arguments.ssh_port, _kept_keys(arguments.ready_file))
    print(f"hoopjump dev gateway: API {ready.api_url}, SSH {ready.ssh_host}:{ready.ssh_port}", flush=True)
    if arguments.ready_file:
        _write_ready(arguments.ready_file, ready)
    await ended.wait()
    await gateway.stop()
    return 0


def _read_setup(path: Path) -> Setup:
    text = path.read_text(encoding="utf-8")
    return Setup.from_json(tomllib.loads(text) if path.suffix == ".toml" else json.loads(text))


def _kept_keys(path: Path | None) -> dict[str, str]:
    """The keys of an earlier run, so that a restart leaves those who hold them in peace."""
    if path is None or not path.exists():
        return {}
    old = json.loads(path.read_text(encoding="utf-8"))
    return {"dev-admin": str(old["admin_key"]), "dev-auditor": str(old["auditor_key"])}


def _write_ready(path: Path, ready: Ready) -> None:
    temporary = path.with_name(path.name + ".new")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        json.dump(ready.to_json(), file)
    temporary.replace(path)


if __name__ == "__main__":
    sys.exit(main())
