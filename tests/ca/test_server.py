"""The network side: slow and greedy clients, floods, a renewed certificate, and an end that cuts nobody off."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import ssl
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from hoopjump.ca.main import main
from hoopjump.ca.server import Server
from hoopjump.decision.wire import Reader
from hoopjump.dev.services import ServiceError, wait_for
from tests.ca.test_agents import fake_agent, held, public_line, signed
from tests.ca.yard import Yard, tls_pair
from tests.decision.forge import Ed25519, blob


def raw(yard: Yard) -> ssl.SSLSocket:
    """A TLS connection, with nothing said on it yet."""
    context = ssl.create_default_context(cafile=str(yard.directory / "tls.pem"))
    return context.wrap_socket(socket.create_connection(("127.0.0.1", yard.port), 20), server_hostname="localhost")


def closed(connection: socket.socket) -> bool:
    """Whether the service ends the connection, within the test's patience, without having answered."""
    connection.settimeout(20)
    try:
        return connection.recv(1) == b""
    except ConnectionError:
        return True


SLOW = {"[server]": "request_time = 1.0"}


def test_clients_that_take_their_time_are_closed(new_yard: Callable[..., Yard]) -> None:
    """Without a handshake, with half a header, with half a body: each connection has its end."""
    yard = new_yard(SLOW)
    silent = socket.create_connection(("127.0.0.1", yard.port), 20)
    header, body = raw(yard), raw(yard)
    header.sendall(b"POST /ssh/certificates HTTP/1.1\r\nHost: x\r\nX-")
    body.sendall(b"POST /ssh/certificates HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n{")
    for connection in (silent, header, body):
        with connection:
            assert closed(connection)
    assert yard.certify(yard.key()).status == 200


def test_a_huge_body_is_refused_before_it_has_been_sent(yard: Yard) -> None:
    """By its announced length; by what comes, where none is announced."""
    with raw(yard) as connection:
        connection.sendall(b"POST /ssh/certificates HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000000\r\n\r\n{")
        assert b"request-too-large" in connection.recv(65536)
    with raw(yard) as connection:
        connection.sendall(b"POST /ssh/certificates HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
        answer = b""
        with contextlib.suppress(OSError):
            while b"request-too-large" not in answer:
                connection.sendall(b"1000\r\n" + b"x" * 4096 + b"\r\n")
                connection.setblocking(False)
                with contextlib.suppress(ssl.SSLWantReadError):
                    answer += connection.recv(65536)
                connection.settimeout(20)
    assert yard.certify(yard.key()).status == 200


@pytest.mark.parametrize("flood", [b"ZZ\r\n", b"0\r\n" + b"a: b\r\n" * 200], ids=["no chunk", "trailers"])
def test_a_flood_behind_what_is_no_body_takes_up_no_memory(new_yard: Callable[..., Yard], flood: bytes) -> None:
    """As many connections as one source may have, each with megabytes, and without a token."""
    yard = new_yard()
    head = b"POST /ssh/certificates HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n"
    before = memory(yard)

    def attack(_: int) -> bool:
        with raw(yard) as connection, contextlib.suppress(OSError):
            connection.sendall(head)
            connection.sendall(flood)
            for _ in range(80):
                connection.sendall(b"a" * 100_000)
            return False
        return True

    with ThreadPoolExecutor(32) as attackers:
        assert all(attackers.map(attack, range(32)))
    assert memory(yard) - before < 60_000
    assert yard.certify(yard.key()).status == 200


def memory(yard: Yard) -> int:
    """The most that the service has taken up so far, in kB."""
    status = Path(f"/proc/{yard.service.pid}/status").read_text()
    return int(next(line for line in status.splitlines() if line.startswith("VmHWM")).split()[1])


def test_what_is_no_http_gets_no_traceback(yard: Yard) -> None:
    """Neither the client nor the log."""
    before = yard.log.read_text()
    for said in (
        b"\0" * 100 + b"\r\n\r\n",
        b"GET\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + b"a" * 9000,
    ):
        with raw(yard) as connection:
            connection.sendall(said)
            with contextlib.suppress(ConnectionError):
                answer = connection.recv(65536)
                assert answer == b"" or answer.startswith(b"HTTP/1.0 400") or answer.startswith(b"HTTP/1.1 400")
                assert b"Traceback" not in answer
                assert b"aiohttp" not in answer
                assert b"aaaa" not in answer
    with socket.create_connection(("127.0.0.1", yard.port)) as connection:
        connection.sendall(b"GET /healthz HTTP/1.0\r\n\r\n")
        assert closed(connection)
    assert "Traceback" not in yard.log.read_text().removeprefix(before)


def test_a_flood_of_one_source_is_held_off(new_yard: Callable[..., Yard]) -> None:
    """Beyond its limit it is refused, whatever it asks, and one line tells of it."""
    yard = new_yard({"[limits]": "per_source = 5"})
    outcomes = [yard.post(b"{}").outcome for _ in range(20)]
    assert set(outcomes[:5]) == {(400, "request-malformed")}
    assert outcomes[-1] == (429, "too-many-requests")
    refused = yard.post(b"{}")
    assert refused.headers["Retry-After"] == "60"
    told = [event for event in yard.events() if event.get("reason") == "too-many-requests"]
    assert len(told) == 1
    assert yard.ask("GET", "/healthz").status == 200


def test_a_request_that_is_sent_again_uses_up_nobodys_limit(new_yard: Callable[..., Yard]) -> None:
    """Whoever has overheard one could otherwise keep its user from every further certificate."""
    yard = new_yard({"[limits]": "per_user = 2"})
    body = yard.body(yard.key())
    assert yard.post(body).status == 200
    for _ in range(5):
        assert yard.post(body).outcome == (403, "proof-replayed")
    assert yard.certify(yard.key("second")).status == 200


def test_one_user_gets_so_many_certificates(new_yard: Callable[..., Yard]) -> None:
    """The limit is the user's alone, from wherever they ask; what was no proof does not count."""
    yard = new_yard({"[limits]": "per_user = 2"})
    for _ in range(3):
        assert yard.certify(yard.key(), proof="x").status == 400
    assert [yard.certify(yard.key()).status for _ in range(3)] == [200, 200, 429]
    assert yard.certify(yard.key(), yard.token(email="bob@example.com")).status == 200
    assert yard.events()[-2]["user"] == "alice@example.com"


def test_connections_of_one_source_are_bounded(new_yard: Callable[..., Yard]) -> None:
    """Those beyond are closed; once the others are gone there is room again."""
    yard = new_yard({"[server]": "connections_per_source = 2"})
    with raw(yard), raw(yard):
        third = socket.create_connection(("127.0.0.1", yard.port), 20)
        with third:
            assert closed(third)

    def again() -> bool:
        with contextlib.suppress(OSError):
            return yard.ask("GET", "/healthz").status == 200
        return False

    wait_for(again, what="room for another connection")


def test_connections_beyond_the_bound_wait(new_yard: Callable[..., Yard]) -> None:
    """And are served when others have gone."""
    yard = new_yard({"[server]": "connections = 1"})
    with ThreadPoolExecutor(1) as pool:
        with raw(yard):
            waiting = pool.submit(yard.ask, "GET", "/healthz")
            with pytest.raises(TimeoutError):
                waiting.result(0.3)
        assert waiting.result(20).status == 200


def test_sigterm_lets_what_was_begun_be_answered(new_yard: Callable[..., Yard], tmp_path: Path) -> None:
    """A certificate that waits for its agent is still handed out; nobody new is let in."""
    asked, go = threading.Event(), threading.Event()
    key = Ed25519()
    (tmp_path / "agents-ca.pub").write_text(public_line(key))
    yard = new_yard(held(tmp_path, tmp_path / "agents-ca"))

    def answer(message: bytes) -> bytes:
        asked.set()
        go.wait(20)
        request = Reader(message)
        request.byte("message type")
        request.string("key")
        return signed(key, request.string("data"))

    with fake_agent(tmp_path / "agent", answer), ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(yard.certify, yard.key())
        assert asked.wait(20)
        pid = yard.service.pid
        os.kill(pid, signal.SIGTERM)

        def refused() -> bool:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", yard.port), 1):
                return False
            return True

        wait_for(refused, what="the port to be closed")
        assert not waiting.done()
        go.set()
        assert waiting.result(20).certificate.ca_key == blob(key)

    def ended() -> bool:
        with contextlib.suppress(ServiceError):
            return not yard.service.pid
        return True

    wait_for(ended, what="the end")
    assert "hoopjump-ca has stopped" in yard.log.read_text()


def test_a_connection_that_comes_at_the_very_end_is_no_fault() -> None:
    """Nobody takes it any more, and nobody complains."""
    complaints: list[dict[str, Any]] = []

    async def answer(_: web.BaseRequest) -> web.Response:
        raise NotImplementedError

    async def serve() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))
        listener = socket.create_server(("127.0.0.1", 0))
        server = Server(listener, answer, tls=None, connections=2, per_source=2, seconds=20)
        server.start()
        await asyncio.sleep(0)
        with socket.create_connection(listener.getsockname()):
            # The loop has seen it; what it does about it comes after us.
            await asyncio.sleep(0)
            await server.stop(1)
        await asyncio.sleep(0)

    asyncio.run(serve())
    assert complaints == []


def test_sighup_takes_up_a_renewed_certificate(new_yard: Callable[..., Yard]) -> None:
    """One that is broken changes nothing."""
    yard = new_yard()

    def served() -> str:
        return ssl.get_server_certificate(("127.0.0.1", yard.port), timeout=20)

    old = served()
    (yard.directory / "tls.pem").write_text("broken")
    os.kill(yard.service.pid, signal.SIGHUP)
    wait_for(lambda: "stays as it was" in yard.log.read_text(), what="the complaint")
    assert served() == old
    tls_pair(yard.directory)
    os.kill(yard.service.pid, signal.SIGHUP)
    wait_for(lambda: "has been read again" in yard.log.read_text(), what="the new certificate")
    assert served() == (yard.directory / "tls.pem").read_text()
    assert yard.certify(yard.key()).status == 200


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_old_tls_is_not_spoken(yard: Yard) -> None:
    """TLS 1.2 at least."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
    with socket.create_connection(("127.0.0.1", yard.port)) as plain, pytest.raises(OSError, match=r"closed|reset"):
        context.wrap_socket(plain)


def test_check_reads_everything_and_says_what_is_wrong(yard: Yard, capsys: pytest.CaptureFixture[str]) -> None:
    """So that a changed file can be tried before it counts."""
    main(["--config", str(yard.config), "--check"])
    assert capsys.readouterr().out.startswith(f"{yard.config}: good; CA key SHA256:")
    broken = yard.directory / "broken.toml"
    broken.write_text(yard.config.read_text().replace("ca_key", "ca_kye"))
    with pytest.raises(SystemExit) as ended:
        main(["--config", str(broken), "--check"])
    assert ended.value.code == 2
    line = next(n for n, text in enumerate(broken.read_text().splitlines(), 1) if "ca_kye" in text)
    assert capsys.readouterr().err == (
        f"hoopjump-ca: {broken}:{line}: unknown key `certificate.ca_kye`\nhoopjump-ca: hint: did you mean `ca_key`?\n"
    )
