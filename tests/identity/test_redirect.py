"""What a page in the browser, a neighbour on the machine and another provider may try with the redirect."""

from __future__ import annotations

import os
import socket
import subprocess
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from urllib.parse import parse_qs, parse_qsl, urlsplit

import pytest
import requests

from hoopjump.identity import loopback
from tests.hostile.tokens import forge
from tests.identity.attempts import accepted, refused
from tests.identity.conftest import Laptop, Somebody
from tests.identity.fake_provider import FakeProvider, Form

NOBODY = 65534


def test_what_is_asked_is_what_the_rules_say(laptop: Laptop, fake: FakeProvider) -> None:
    """PKCE with S256, state and nonce of 256 bits, a loopback address with a port of the moment."""
    seen: list[Form] = []
    usual = fake.authorize
    fake.authorize = lambda form: seen.append(form) or usual(form)  # type: ignore[func-returns-value, method-assign]
    assert accepted(laptop, fake) == "u-1"
    (form,) = seen
    assert (form["response_type"], form["code_challenge_method"], form["prompt"]) == ("code", "S256", "consent")
    assert len(form["state"]) == len(form["nonce"]) == len(form["code_challenge"]) == 43
    assert urlsplit(form["redirect_uri"]).hostname == "127.0.0.1"
    (asked,) = fake.asks("/token")
    assert len(asked["code_verifier"]) == 64
    assert asked["redirect_uri"] == form["redirect_uri"]


@dataclass(slots=True)
class Browser:
    """Opens the page, and calls what is given with the right redirect before it follows it."""

    before: Callable[[str], object]
    statuses: list[int] = field(default_factory=list)

    def __call__(self, url: str) -> None:
        page = requests.get(url, allow_redirects=False, timeout=30)
        redirect = requests.get(page.headers["Location"], allow_redirects=False, timeout=30).headers["Location"]
        self.before(redirect)
        self.statuses.append(requests.get(redirect, timeout=30).status_code)


def test_answers_with_another_state_are_passed_over(laptop: Laptop, fake: FakeProvider) -> None:
    """Any page can send the browser here; only the answer to this login ends it."""
    got: list[int] = []

    def forge_answers(right: str) -> None:
        callback = right.partition("?")[0]
        state = parse_qs(urlsplit(right).query)["state"][0]
        for query in (
            "?code=evil&state=x",
            "?code=evil",
            "",
            f"?code=evil&state={state}&state={state}",
            f"?code=evil&state={state[:-1]}",
            "?" + "&".join(f"a{number}=1" for number in range(50)),
        ):
            got.append(requests.get(callback + query, timeout=30).status_code)

    assert accepted(laptop, fake, Somebody(act=Browser(forge_answers))) == "u-1"
    assert got == [400] * 6


def test_a_second_answer_is_too_late(laptop: Laptop, fake: FakeProvider) -> None:
    """The first with the right state counts; who comes later changes nothing."""
    slow: list[int] = []

    def twice(right: str) -> None:
        slow.append(requests.get(right, timeout=30).status_code)
        try:
            slow.append(requests.get(right.replace("code=", "code=evil"), timeout=30).status_code)
        except requests.ConnectionError:
            slow.append(410)  # the listener is gone already

    def act(url: str) -> None:
        page = requests.get(url, allow_redirects=False, timeout=30)
        twice(requests.get(page.headers["Location"], allow_redirects=False, timeout=30).headers["Location"])

    assert accepted(laptop, fake, Somebody(act=act)) == "u-1"
    assert slow == [200, 410]
    assert len(fake.asks("/token")) == 1


def test_only_this_machines_name_is_answered(laptop: Laptop, fake: FakeProvider) -> None:
    """A page whose name leads to 127.0.0.1 (DNS rebinding) learns nothing, nor does one ask for other paths or so."""
    got: list[int] = []

    def knock(right: str) -> None:
        callback = right.partition("?")[0]
        got.append(requests.get(right, headers={"Host": "evil.example.com"}, timeout=30).status_code)
        got.append(requests.get(f"{callback}/more", timeout=30).status_code)
        got.append(requests.get(callback.replace("/callback", "/login/guessed"), timeout=30).status_code)
        got.append(requests.post(right, timeout=30).status_code)

    assert accepted(laptop, fake, Somebody(act=Browser(knock))) == "u-1"
    assert got == [400, 404, 404, 501]


def test_a_page_that_was_opened_twice_ends_the_login(laptop: Laptop, fake: FakeProvider) -> None:
    """A neighbour who saw the address in the process list was there first, or after: neither may be the one."""

    def both(url: str) -> None:
        assert requests.get(url, allow_redirects=False, timeout=30).status_code == 302
        assert requests.get(url, allow_redirects=False, timeout=30).status_code == 410

    assert refused(laptop, fake, Somebody(act=both)).code == "answer-forged"


ASK = """
import socket, sys
from urllib.parse import urlsplit
place = urlsplit(sys.argv[1])
family, host = (socket.AF_INET6, "::ffff:127.0.0.1") if sys.argv[2] == "6" else (socket.AF_INET, "127.0.0.1")
with socket.socket(family) as connection:
    connection.connect((host, place.port))
    try:
        connection.sendall(f"GET {place.path} HTTP/1.1\\r\\nHost: {place.netloc}\\r\\n\\r\\n".encode())
        print(connection.recv(1000))
    except ConnectionError:
        print(b"")
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, for another uid")
@pytest.mark.parametrize("family", ["4", "6"])
def test_a_neighbour_who_knows_the_page_gets_no_answer(laptop: Laptop, fake: FakeProvider, family: str) -> None:
    """He may have read its address in the process list; the login goes on as if he had not come."""
    got: dict[int, bytes] = {}

    class Raced(Somebody):
        def page(self, url: str) -> None:
            for uid in (NOBODY, os.geteuid()):
                argv = ["/usr/bin/python3", "-I", "-c", ASK, url if uid == NOBODY else f"{url}x", family]
                got[uid] = subprocess.run(argv, user=uid, capture_output=True, check=True, cwd="/").stdout
            super().page(url)

    assert accepted(laptop, fake, Raced()) == "u-1"
    assert got[NOBODY] == b"b''\n"
    assert b"404" in got[os.geteuid()]


HANG_UP = """
import socket, struct, sys
from urllib.parse import urlsplit
place = urlsplit(sys.argv[1])
request = f"GET {place.path} HTTP/1.1\\r\\nHost: {place.netloc}\\r\\n\\r\\n".encode()
if sys.argv[2] == "unread":
    request += b"X-A: " + bytes(8 << 20)
for number in range(20):
    connection = socket.create_connection(("127.0.0.1", place.port))
    if sys.argv[2] == "reset":
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.setblocking(sys.argv[2] != "unread")
    try:
        connection.send(request)
        if sys.argv[2] == "half":
            connection.shutdown(socket.SHUT_WR)
    except OSError:
        pass
    connection.close()
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, for another uid")
@pytest.mark.parametrize("way", ["close", "reset", "half", "unread"])
def test_a_neighbour_who_hangs_up_at_once_is_not_taken_for_root(laptop: Laptop, fake: FakeProvider, way: str) -> None:
    """The kernel no longer says whose a socket is that nobody holds; what it has sent is not listened to."""

    class Raced(Somebody):
        def page(self, url: str) -> None:
            argv = ["/usr/bin/python3", "-I", "-c", HANG_UP, url, way]
            subprocess.run(argv, user=NOBODY, check=True, cwd="/")
            super().page(url)

    assert accepted(laptop, fake, Raced()) == "u-1"


def test_the_browser_has_its_page_before_the_login_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else the program may have ended, and the browser shows that it cannot connect."""
    shown: list[int] = []
    usual = loopback._Handler._show

    def slowly(self: loopback._Handler, status: int, what: str) -> None:
        time.sleep(0.3)
        usual(self, status, what)
        shown.append(status)

    monkeypatch.setattr(loopback._Handler, "_show", slowly)
    with loopback.Loopback() as listening:
        answer = f"{listening.redirect_uri}?error=access_denied&state={listening.state}"
        browser = threading.Thread(target=lambda: requests.get(answer, timeout=30), daemon=True)
        browser.start()
        assert listening.wait(60)["error"] == "access_denied"
        assert shown == [200]
        browser.join()


def test_idle_connections_do_not_hold_up_the_login(laptop: Laptop, fake: FakeProvider) -> None:
    """Browsers open more than they use."""
    held: list[socket.socket] = []

    def crowd(right: str) -> None:
        port = urlsplit(right).port
        held.extend(socket.create_connection(("127.0.0.1", port or 0)) for _ in range(10))

    assert accepted(laptop, fake, Somebody(act=Browser(crowd))) == "u-1"
    for connection in held:
        connection.close()


@pytest.mark.parametrize("iss", ["https://evil.example.com", None])
def test_an_answer_of_another_provider_is_refused(laptop: Laptop, fake: FakeProvider, iss: str | None) -> None:
    """Mix-up (RFC 9207): the code goes to no token endpoint."""
    changes = {"iss": forge.DROP if iss is None else iss}
    fake.redirect = lambda right: {key: str(value) for key, value in forge.changed(right, changes).items()}
    assert refused(laptop, fake).code == "answer-forged"
    assert fake.asks("/token") == []


def test_a_provider_that_never_names_itself_may_leave_it_out(laptop: Laptop, fake: FakeProvider) -> None:
    """But must not name another one."""
    fake.metadata = {"authorization_response_iss_parameter_supported": forge.DROP}
    fake.redirect = lambda right: {key: value for key, value in right.items() if key != "iss"}
    assert accepted(laptop, fake) == "u-1"


def test_a_provider_that_never_names_itself_must_not_name_another(laptop: Laptop, fake: FakeProvider) -> None:
    """A wrong name is wrong, announced or not."""
    fake.metadata = {"authorization_response_iss_parameter_supported": False}
    fake.redirect = lambda right: {**right, "iss": "https://evil.example.com"}
    assert refused(laptop, fake).code == "answer-forged"


def test_a_code_of_somebody_elses_login_is_refused(laptop: Laptop, fake: FakeProvider) -> None:
    """Injected with the right state: it belongs to another code verifier."""
    form = {"redirect_uri": "http://127.0.0.1:1/callback", "state": "s", "nonce": "n", "code_challenge": "other"}
    stolen = dict(parse_qsl(urlsplit(fake.authorize(form)).query))["code"]
    fake.redirect = lambda right: {**right, "code": stolen}
    error = refused(laptop, fake)
    assert error.code == "provider-refused"
    assert "invalid_grant" in error.message


def test_an_error_of_the_provider_is_told(laptop: Laptop, fake: FakeProvider) -> None:
    """In one line, and nothing in it moves the cursor."""
    fake.redirect = lambda right: {
        "error": "access_denied",
        "error_description": "no\x1b[2J\nhint: run something",
        "state": right["state"],
        "iss": right["iss"],
    }
    laptop.configure(fake.issuer)
    error = refused(laptop, fake)
    assert error.code == "provider-refused"
    assert "access_denied" in error.message
    assert error.message.isprintable()
