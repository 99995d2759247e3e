"""Where the browser comes back to: a listener on 127.0.0.1 for one login (RFC 8252 section 7.3).

The browser is first sent to a page of ours, once. The provider's address, with the state in it, so stands in nobody's
process list. Somebody else on this machine may read the address of our page there, but gets no answer.
"""

from __future__ import annotations

import hmac
import secrets
import threading
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final, Self
from urllib.parse import parse_qsl, urlsplit

from hoopjump.identity.errors import IdentityError
from hoopjump.identity.neighbours import is_foreign

CALLBACK: Final = "/callback"

# A browser may hold connections open that it never uses.
_CONNECTION_SECONDS: Final = 20
_MOST_CONNECTIONS: Final = 32
_URL_LIMIT: Final = 16 * 1024


class Loopback:
    """Listens from the start; use it as a context manager. ``state`` is what the right redirect carries."""

    def __init__(self) -> None:
        self.state: Final = secrets.token_urlsafe(32)
        self._ticket = secrets.token_urlsafe(32)
        self._destination = ""
        self._lock = threading.Lock()
        self._done = threading.Event()
        self._started = False
        self._over = False
        self._answer: Mapping[str, str] | None = None
        self._server = _Server(("127.0.0.1", 0), self._reply, self._replied)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.1,), daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    @property
    def _origin(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    @property
    def redirect_uri(self) -> str:
        """Where the provider is to send the browser."""
        return self._origin + CALLBACK

    def page(self, destination: str) -> str:
        """The address to open in a browser; it leads to ``destination``, once."""
        self._destination = destination
        return f"{self._origin}/login/{self._ticket}"

    def wait(self, seconds: float) -> Mapping[str, str]:
        """The parameters of the first redirect with our state; raises :class:`IdentityError` when there is none."""
        if not self._done.wait(seconds):
            raise IdentityError("login-late", f"nobody has logged in within {seconds:g} s", "start again")
        if self._answer is None:
            raise IdentityError(
                "answer-forged",
                "the login page was opened twice, and the second one may not have been you",
                "start again; `--device` needs no page on this machine",
            )
        return self._answer

    def _reply(self, host: str | None, target: str) -> tuple[int, str]:
        """Status, and a place to go to or a sentence to show."""
        # A name that leads here is no name of ours: a page elsewhere would be talking (DNS rebinding).
        if host is None or f"http://{host}" != self._origin or len(target) > _URL_LIMIT:
            return 400, "This is not for this address."
        parts = urlsplit(target)
        if parts.path.startswith("/login/"):
            return self._start(parts.path.removeprefix("/login/"))
        if parts.path != CALLBACK:
            return 404, "There is nothing here."
        try:
            pairs = parse_qsl(parts.query, keep_blank_values=True, strict_parsing=True, max_num_fields=20)
        except ValueError:
            return 400, "This is not the answer of a login."
        values = dict(pairs)
        if len(values) != len(pairs) or not hmac.compare_digest(values.get("state", "").encode(), self.state.encode()):
            return 400, "This is not the answer of the login that is under way."
        with self._lock:
            if self._over:
                return 410, "This login is over."
            self._answer, self._over = values, True
        return 200, "Your answer has arrived. Go back to the terminal; this page can be closed."

    def _start(self, ticket: str) -> tuple[int, str]:
        if not hmac.compare_digest(ticket.encode(), self._ticket.encode()):
            return 404, "There is nothing here."
        with self._lock:
            if self._over:
                return 410, "This login is over."
            if self._started:
                self._over = True
                return 410, "This page was opened before. The login has been stopped; start it again."
            self._started = True
        return 302, self._destination

    def _replied(self, status: int) -> None:
        """What ends a login is told the browser before the program goes on, and maybe ends."""
        if status in (200, 410):
            self._done.set()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    # Threads that wait for a browser's idle connection must not hold up the end.
    block_on_close = False

    def __init__(
        self,
        address: tuple[str, int],
        reply: Callable[[str | None, str], tuple[int, str]],
        replied: Callable[[int], None],
    ) -> None:
        self.reply, self.replied = reply, replied
        self._free = threading.BoundedSemaphore(_MOST_CONNECTIONS)
        super().__init__(address, _Handler)

    def process_request(self, request: Any, client_address: Any) -> None:  # noqa: ANN401 - a socket; host and port
        foreign = is_foreign(request, client_address[1])
        if not foreign and self._free.acquire(blocking=False):
            super().process_request(request, client_address)
        else:
            self.shutdown_request(request)

    def process_request_thread(self, request: object, client_address: object) -> None:
        try:
            super().process_request_thread(request, client_address)  # type: ignore[arg-type]
        finally:
            self._free.release()

    def handle_error(self, request: object, client_address: object) -> None:
        """A browser that goes away is no news."""


class _Handler(BaseHTTPRequestHandler):
    timeout = _CONNECTION_SECONDS
    server: _Server

    def do_GET(self) -> None:
        status, what = self.server.reply(self.headers.get("Host"), self.path)
        try:
            self._show(status, what)
        finally:
            self.server.replied(status)

    def _show(self, status: int, what: str) -> None:
        page = f"<!doctype html><meta charset=utf-8><title>hoopjump</title><p>{what}</p>\n" if status != 302 else ""
        body = page.encode()
        self.send_response_only(status)
        if status == 302:
            self.send_header("Location", what)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
        self.send_header("Referrer-Policy", "no-referrer")
        self.send_header("X-Content-Type-Options", "nosniff")
        self.send_header("Cache-Control", "no-store")
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body)
        self.close_connection = True

    def log_message(self, format: str, *args: object) -> None:
        """Nothing: the requests hold codes."""
