"""Behind a real nginx that is configured as docs/ca.md has it."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from types import SimpleNamespace

import pytest

from hoopjump.dev.services import free_port, wait_for
from tests.ca.nginx import Nginx, answered, has_ipv6
from tests.ca.yard import Yard
from tests.cli.conftest import hoopjump
from tests.identity.conftest import Laptop, fake, laptop
from tests.identity.fake_provider import FakeProvider

__all__ = ["fake", "hoopjump", "laptop"]

FORGED = "203.0.113.66"


@pytest.fixture
def new_front() -> Iterator[Callable[..., Nginx]]:
    """Starts an nginx of a test's own; takes what :class:`Nginx` takes."""
    with ExitStack() as stack:
        yield lambda *arguments, **options: stack.enter_context(Nginx(*arguments, **options))


def test_nginx_finds_no_fault_with_the_configuration(front: SimpleNamespace) -> None:
    """`nginx -t`, without a warning."""
    said = front.nginx.test()
    assert said.returncode == 0, said.stderr
    assert "[warn]" not in said.stderr
    assert "test is successful" in said.stderr


# -- Who is asking ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("source", ["127.0.0.2", "::1"])
def test_a_certificate_and_the_true_address_in_its_audit_line(front: SimpleNamespace, source: str) -> None:
    """Whatever the client says of itself."""
    if ":" in source and not has_ipv6():
        pytest.skip("this machine has no IPv6")
    yard, connection = front.yard, front.nginx.connection(source)
    body = json.dumps(yard.body(yard.key(), yard.token(jti=f"t-{source}"))).encode()
    connection.putrequest("POST", "/ssh/certificates")
    for name in ("X-Real-IP", "x-real-ip", "X-REAL-IP", "X_Real_IP", "X-Forwarded-For", "Forwarded", "Client-IP"):
        connection.putheader(name, FORGED)
    connection.putheader("Content-Length", str(len(body)))
    connection.endheaders(body)
    response = connection.getresponse()
    assert (response.status, "certificate" in json.loads(response.read())) == (200, True)
    connection.close()
    (line,) = (event for event in yard.events() if event.get("token_id") == f"t-{source}")
    assert (line["kind"], line["source"]) == ("certificate-issued", source)
    assert FORGED not in yard.audit.read_text() + yard.log.read_text()


def test_limits_count_for_each_true_address(new_yard: Callable[..., Yard], new_front: Callable[..., Nginx]) -> None:
    """A forged address does not help who is over the limit, and costs nobody else theirs."""
    nginx = new_front(new_yard({"[limits]": "per_source = 3"}, unix=True))

    def ask(source: str, forged: str) -> tuple[int, str]:
        return nginx.post(b"{}", {"X-Real-IP": forged, "X-Forwarded-For": forged}, source).outcome

    mine = [ask("127.0.0.2", f"198.51.100.{number}") for number in range(12)]
    assert mine[:3] == [(400, "request-malformed")] * 3
    assert mine[-1] == (429, "too-many-requests")
    assert ask("127.0.0.3", "127.0.0.2") == (400, "request-malformed")
    assert nginx.post(b"{}", source="127.0.0.2").headers["Retry-After"] == "60"


# -- What can be reached ------------------------------------------------------------------------------------------


def test_health_can_be_seen_and_the_numbers_from_this_machine_only(front: SimpleNamespace) -> None:
    """And nothing else."""
    assert (front.nginx.ask("GET", "/healthz").status, front.nginx.ask("GET", "/healthz").body) == (200, b"ok\n")
    assert front.nginx.ask("GET", "/ssh/certificates").status == 405
    assert "hoopjump_ca_certificates_total" in front.nginx.metrics()
    assert front.nginx.ask("GET", "/").status == front.nginx.ask("GET", "/index.html").status == 404


@pytest.mark.parametrize(
    "target",
    [
        "/metrics",
        "//metrics",
        "/metrics/",
        "/metrics?x",
        "/%6detrics",
        "/METRICS",
        "/healthz/../metrics",
        "/healthz/%2e%2e/metrics",
        "/healthz/..%2fmetrics",
        "/healthz?/../../metrics",
        "/healthz#/../metrics",
        "/healthz;/../metrics",
        "/healthz%00/../metrics",
        "/healthz%0d%0a/metrics",
        "/ssh/certificates/../../metrics",
        "http://127.0.0.1/metrics",
        "http://unix:/metrics",
    ],
)
def test_the_numbers_are_not_to_be_had_from_outside(front: SimpleNamespace, target: str) -> None:
    """By any spelling of their path, also on the port that is not for them under its other name."""
    for host in ("ca.example.com", f"127.0.0.1:{front.nginx.numbers}"):
        head = f"GET {target} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
        answer = front.nginx.say(head.encode())
        assert answer.startswith(b"HTTP/1.1 ")
        assert b"hoopjump_ca_" not in answer


# -- Large, slow and many ------------------------------------------------------------------------------------------


def test_a_body_that_is_too_large_is_refused_by_the_one_who_knows_why(front: SimpleNamespace) -> None:
    """Up to nginx's limit; beyond it by nginx itself. A token is never written to nginx's disk."""
    assert front.nginx.post(b"x" * (64 * 1024)).outcome == (400, "request-malformed")
    assert front.nginx.post(b"x" * (64 * 1024 + 1)).outcome == (400, "request-too-large")
    head = b"POST /ssh/certificates HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
    chunked = head + b"Transfer-Encoding: chunked\r\n\r\n" + b"1000\r\n%s\r\n" % (b"x" * 4096) * 20 + b"0\r\n\r\n"
    assert b"request-too-large" in front.nginx.say(chunked)
    assert front.nginx.post(b"x" * (128 * 1024)).outcome == (400, "request-too-large")
    beyond = front.nginx.post(b"x" * (128 * 1024 + 1))
    assert (beyond.status, beyond.headers["Content-Type"]) == (413, "text/html")
    assert "temporary file" not in front.nginx.log.read_text()


def test_slow_clients_of_one_address_are_nginx_s(front: SimpleNamespace) -> None:
    """Hoopjump-ca sees nothing of them; beyond the limit they are refused, and others are not."""
    yard, nginx = front.yard, front.nginx
    with ExitStack() as stack:
        slow = [stack.enter_context(nginx.connect("127.0.0.5")) for _ in range(32)]
        for connection in slow:
            connection.sendall(b"POST /ssh/certificates HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n{")
        wait_for(lambda: nginx.ask("GET", "/healthz", source="127.0.0.5").status == 429, 60, "the limit")
        assert nginx.post(yard.body(yard.key()), source="127.0.0.6").status == 200
        wait_for(lambda: "\nhoopjump_ca_connections 1\n" in nginx.metrics(), 60, "none but the one that asks")
    wait_for(lambda: nginx.ask("GET", "/healthz", source="127.0.0.5").status == 200, 60, "room again")


def test_many_requests_on_one_connection(front: SimpleNamespace) -> None:
    """The connection is kept, though each gets another one behind nginx."""
    connection = front.nginx.connection("127.0.0.7")
    socket_ = connection.sock
    body = json.dumps(front.yard.body(front.yard.key())).encode()
    outcomes = [answered(connection, "POST", "/ssh/certificates", body).status for _ in range(2)]
    assert (outcomes, answered(connection, "GET", "/healthz").body) == ([200, 403], b"ok\n")
    assert connection.sock is socket_
    connection.close()


def test_an_nginx_that_speaks_http_1_1_to_us(new_yard: Callable[..., Yard], new_front: Callable[..., Nginx]) -> None:
    """By default it speaks 1.0; releases from 1.29.7 on speak 1.1, and would keep the connection."""
    yard = new_yard(unix=True)
    nginx = new_front(yard, more="    proxy_http_version 1.1;\n    proxy_set_header Connection '';")
    for _ in range(3):
        assert nginx.post(yard.body(yard.key(), yard.token())).status == 200
    wait_for(lambda: "\nhoopjump_ca_connections 1\n" in nginx.metrics(), 60, "the end of those connections")


# -- Away and back ------------------------------------------------------------------------------------------


def test_a_login_while_hoopjump_ca_is_away_and_after(
    new_yard: Callable[..., Yard], new_front: Callable[..., Nginx], laptop: Laptop, fake: FakeProvider
) -> None:
    """`hoopjump login` takes nginx's page for what it is; once the service is back, the same nginx is good again."""
    port = free_port()
    url = f"https://localhost:{port}"
    issuer = f'issuer = "{fake.issuer}"\naudiences = ["hoopjump"]\nkeys = "discovery"\nuser_claim = "email"\n'
    yard = new_yard(
        {"[server]": f'url = "{url}"', "[[issuer]]": f"{issuer}allow_http = true\nallow_private = true"}, unix=True
    )
    nginx = new_front(yard, port=port)
    fake.invitation = {"interval": 1}
    laptop.configure(fake.issuer, ca_url=url, ca_file=str(yard.directory / "tls.pem"))
    yard.service.stop()
    page = nginx.ask("GET", "/healthz")
    assert (page.status, page.headers["Content-Type"]) == (502, "text/html")
    said = laptop.hoopjump("login", "--device", "--quiet")
    assert said.status == 1
    assert f"{url}/ssh/certificates is away or overrun: status 502" in said.err
    assert "try again in a minute" in said.err
    yard.service.start()
    assert laptop.hoopjump("login", "--device", "--quiet").status == 0
    assert laptop.settings.certificate.exists()
    assert yard.events()[-1]["source"] == "127.0.0.1"


def test_a_service_that_was_killed_leaves_a_socket_that_is_no_obstacle(
    new_yard: Callable[..., Yard], new_front: Callable[..., Nginx]
) -> None:
    """Nobody listens on it; the next one takes its place."""
    yard = new_yard(unix=True)
    nginx = new_front(yard)
    yard.service.kill()
    assert yard.unix is not None
    with socket.socket(socket.AF_UNIX) as left, pytest.raises(ConnectionRefusedError):
        left.connect(str(yard.unix))
    assert nginx.ask("GET", "/healthz").status == 502
    yard.service.start()
    assert nginx.ask("GET", "/healthz").status == 200
