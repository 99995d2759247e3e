"""A real nginx in front of a hoopjump-ca, with the configuration of docs/ca.md."""

from __future__ import annotations

import http.client
import json
import os
import re
import socket
import ssl
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import pytest

from hoopjump.dev import programs
from hoopjump.dev.services import Service, free_port, listening, minimal_environment
from tests.ca.yard import HOST, Answered, Yard, trusting
from tests.conftest import REQUIRED


def documented() -> str:
    """The configuration, as it stands in docs/ca.md."""
    text = (programs.CHECKOUT / "docs" / "ca.md").read_text()
    (block,) = re.findall(r"^```nginx\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    return str(block)


def program() -> Path:
    """The unmodified nginx; a test without one is skipped."""
    try:
        return programs.find("nginx", "usr/sbin/nginx")
    except programs.ProgramMissingError as error:
        if REQUIRED:
            pytest.fail(str(error))
        pytest.skip(str(error))


def has_ipv6() -> bool:
    """Whether there is a loopback of that kind."""
    try:
        with socket.create_server(("::1", 0), family=socket.AF_INET6):
            return True
    except OSError:
        return False


class Nginx:
    """One in front of ``yard``; use it as a context manager.

    Of the documented configuration only addresses and paths are changed. ``more`` stands before it, and ``user`` is
    whom its workers run as where root starts them.
    """

    def __init__(self, yard: Yard, *, user: str = "root", more: str = "", port: int = 0) -> None:
        self.directory = yard.directory / "nginx"
        self.directory.mkdir()
        self.port = port or free_port()
        self.numbers = free_port()
        self.log = self.directory / "nginx.log"
        self._tls = trusting(yard.directory)
        places = {
            "listen 443 ssl;": f"listen 127.0.0.1:{self.port} ssl;",
            "listen [::]:443 ssl;": f"listen [::1]:{self.port} ssl;" if has_ipv6() else "",
            "listen 127.0.0.1:9443;": f"listen 127.0.0.1:{self.numbers};",
            "/etc/nginx/hoopjump-ca.pem": f"{yard.directory}/tls.pem",
            "/etc/nginx/hoopjump-ca.key": f"{yard.directory}/tls.key",
            "/run/hoopjump-ca/ca.sock": str(yard.unix),
        }
        text = documented()
        for there, here in places.items():
            assert there in text, there
            text = text.replace(there, here)
        (self.directory / "hoopjump-ca.conf").write_text(text)
        temporary = "\n".join(
            f"    {name}_temp_path {self.directory}/{name};"
            for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        )
        self.config = self.directory / "nginx.conf"
        self.config.write_text(
            f"{f'user {user};' if os.geteuid() == 0 else ''}\n"
            f"daemon off;\npid {self.directory}/pid;\nerror_log stderr info;\nworker_processes 1;\n"
            f"events {{ worker_connections 1024; }}\n"
            f"http {{\n    access_log off;\n{temporary}\n{more}\n    include {self.directory}/hoopjump-ca.conf;\n}}\n"
        )
        self.argv = [str(program()), "-e", "stderr", "-p", str(self.directory), "-c", str(self.config)]
        self.service = Service(
            "nginx",
            self.argv,
            self.log,
            ready=lambda: listening(self.port) and listening(self.numbers),
            environment=minimal_environment(),
        )

    def __enter__(self) -> Self:
        self.service.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.service.stop()

    def test(self) -> subprocess.CompletedProcess[str]:
        """`nginx -t`."""
        return subprocess.run([*self.argv, "-t"], capture_output=True, text=True, check=False)

    # -- Asking ------------------------------------------------------------------------------------------------------

    def connect(self, source: str = "127.0.0.1") -> ssl.SSLSocket:
        """A TLS connection from one of the loopback addresses, with nothing said on it yet."""
        host = "::1" if ":" in source else "127.0.0.1"
        plain = socket.create_connection((host, self.port), 60, (source, 0))
        return self._tls.wrap_socket(plain, server_hostname=HOST)

    def say(self, data: bytes, source: str = "127.0.0.1") -> bytes:
        """All that is answered to these bytes, until nginx ends the connection."""
        with self.connect(source) as connection:
            connection.sendall(data)
            answer = b""
            while part := connection.recv(65536):
                answer += part
            return answer

    def connection(self, source: str = "127.0.0.1") -> http.client.HTTPConnection:
        """An HTTP client, connected."""
        connection = http.client.HTTPConnection(HOST, timeout=60)
        connection.sock = self.connect(source)
        return connection

    def ask(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        source: str = "127.0.0.1",
    ) -> Answered:
        """One request on a connection of its own."""
        connection = self.connection(source)
        try:
            return answered(connection, method, path, body, headers)
        finally:
            connection.close()

    def post(
        self, body: Mapping[str, Any] | bytes, headers: Mapping[str, str] | None = None, source: str = "127.0.0.1"
    ) -> Answered:
        """Ask for a certificate."""
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        return self.ask("POST", "/ssh/certificates", data, headers, source)

    def metrics(self) -> str:
        """What Prometheus reads on this machine."""
        connection = http.client.HTTPConnection("127.0.0.1", self.numbers, timeout=60)
        try:
            read = answered(connection, "GET", "/metrics")
        finally:
            connection.close()
        assert read.status == 200, read
        return read.body.decode()


def answered(
    connection: http.client.HTTPConnection,
    method: str,
    path: str,
    body: bytes | None = None,
    headers: Mapping[str, str] | None = None,
) -> Answered:
    """One request on a connection that may be used for others."""
    connection.request(method, path, body, dict(headers or {}))
    response = connection.getresponse()
    return Answered(response.status, response.read(), dict(response.getheaders()))
