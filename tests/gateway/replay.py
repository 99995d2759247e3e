"""A tiny HTTP server that stands in for the gateway: it replays recorded answers, or misbehaves as a test asks."""

from __future__ import annotations

import json
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

from hoopjump.config import GatewaySection
from tests.serving import Server

TRANSCRIPTS = Path(__file__).parent / "transcripts"
KEY = "hpk_0123456789abcdefghijklmnopqrstuvwxyzABCDEFG"


def transcript(name: str) -> dict[str, Any]:
    """One recorded exchange with a real gateway: ``request`` and ``response``."""
    data: dict[str, Any] = json.loads((TRANSCRIPTS / f"{name}.json").read_text())
    return data


def body(name: str) -> Any:
    """The recorded answer's body."""
    return transcript(name)["response"]["body"]


@dataclass
class Request:
    """What arrived."""

    method: str
    path: str
    headers: dict[str, str]
    body: Any = None


Handler = Callable[[BaseHTTPRequestHandler], None]


@dataclass
class Replay:
    """Answers by path (with query, or without); whatever has no answer is the gateway's own unknown route."""

    url: str = ""
    routes: dict[str, Handler] = field(default_factory=dict)
    requests: list[Request] = field(default_factory=list)

    def play(self, *names: str) -> None:
        """Answer as recorded in these transcripts."""
        for name in names:
            exchange = transcript(name)
            response = exchange["response"]
            self.answer(exchange["request"]["path"], response["body"], response["status"], response["headers"])

    def answer(
        self, path: str, body: Any, status: int = 200, headers: dict[str, str] | None = None, method: str = "GET"
    ) -> None:
        """Answer one path; bytes and text go out as they are, all else as JSON."""
        content = body if isinstance(body, bytes) else (body if isinstance(body, str) else json.dumps(body)).encode()

        def reply(handler: BaseHTTPRequestHandler) -> None:
            handler.send_response(status)
            for name, value in (headers or {"Content-Type": "application/json; charset=utf-8"}).items():
                handler.send_header(name, value)
            handler.send_header("Content-Length", str(len(content)))
            handler.end_headers()
            handler.wfile.write(content)

        self.routes[path if method == "GET" else f"{method} {path}"] = reply

    def paths(self) -> list[str]:
        """The paths asked for, in order."""
        return [request.path for request in self.requests]


@contextmanager
def replay(context: ssl.SSLContext | None = None) -> Iterator[Replay]:
    """Run the server on a free loopback port, with TLS if a context is given."""
    scene = Replay()

    class _Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _serve(self) -> None:
            length = int(self.headers.get("Content-Length", "0"))
            content = json.loads(self.rfile.read(length)) if length else None
            scene.requests.append(Request(self.command, self.path, dict(self.headers.items()), content))
            prefix = "" if self.command == "GET" else f"{self.command} "
            for key in (prefix + self.path, prefix + self.path.partition("?")[0]):
                if key in scene.routes:
                    scene.routes[key](self)
                    return
            self.send_response(404)
            self.send_header("Content-Type", "text/plain")
            self.send_header("Content-Length", "18")
            self.end_headers()
            self.wfile.write(b"404 page not found")

        do_GET = do_PUT = do_POST = _serve  # noqa: N815 - the names that http.server asks for

    with Server(_Handler, context) as server:
        scene.url = server.url
        yield scene


def section(url: str, **settings: Any) -> GatewaySection:
    """A ``[gateway]`` section with short timeouts and no cache, unless a test says otherwise."""
    given: dict[str, Any] = {"connect_timeout": 0.5, "read_timeout": 0.5, "cache": 0.0, **settings}
    return GatewaySection(api_url=url, ssh_host="gateway.test", **given)
