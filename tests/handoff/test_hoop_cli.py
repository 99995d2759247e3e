"""The start of the gateway's own client: what it is told, and where the token stands."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hoopjump.decision.session import Verb
from hoopjump.handoff.hoop_cli import Endpoint, Start, is_text, preamble, serves, start
from hoopjump.handoff.ssh import HandoffError

TOKEN = b"eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJhIn0.c2ln"
ENDPOINT = Endpoint("https://gw.example.com", "grpcs://gw.example.com:8443")


def begun(
    role: str = "mybash",
    verb: Verb = "exec",
    *,
    endpoint: Endpoint = ENDPOINT,
    token: bytes = TOKEN,
    term: bytes | None = None,
) -> Start:
    hoop = Path("/usr/lib/hoopjump/hoop")
    return start(hoop, role, verb, endpoint=endpoint, token=token, term=term, ref="abcd2345")


def test_the_token_stands_in_the_environment_alone() -> None:
    """Everybody can read argument lists; what is printed of a start shows no token either."""
    made = begun()
    assert made.environment[b"HOOP_TOKEN"] == TOKEN
    assert not any(TOKEN in word for word in made.argv)
    assert TOKEN.decode() not in repr(made)


def test_the_gateway_is_the_configured_one() -> None:
    """All three variables, without which the client would read a file of its own."""
    environment = begun().environment
    assert environment[b"HOOP_APIURL"] == b"https://gw.example.com"
    assert environment[b"HOOP_GRPCURL"] == b"grpcs://gw.example.com:8443"
    assert environment[b"HOOP_DISABLE_VERSION_CHECK"] == b"true"
    assert b"HOOP_TLSCA" not in environment


def test_authorities_go_as_text_that_the_account_need_not_be_able_to_read() -> None:
    """HOOP_TLSCA takes base64, HOOP_TLSSERVERNAME the name."""
    environment = begun(endpoint=Endpoint("https://a", "grpcs://a:1", b"PEM\n", "gw.internal")).environment
    scheme, _, text = environment[b"HOOP_TLSCA"].partition(b"://")
    assert (scheme, base64.b64decode(text)) == (b"base64", b"PEM\n")
    assert environment[b"HOOP_TLSSERVERNAME"] == b"gw.internal"


def test_a_role_that_looks_like_an_option_is_none() -> None:
    """Whatever its name begins with."""
    assert begun("-f.etc.passwd").argv[-2:] == [b"--", b"-f.etc.passwd"]


def test_a_commands_row_has_our_mark() -> None:
    """By it the exit status is found; a terminal's client takes none."""
    made = begun()
    assert made.argv[1:] == [b"exec", b"-s", b"--correlation-id", b"hoopjump-abcd2345", b"--", b"mybash"]
    assert made.correlation == "hoopjump-abcd2345"
    assert begun(verb="connect").correlation is None


def test_a_terminal_is_asked_nothing_and_its_type_goes_to_the_role() -> None:
    """TERM=dumb for the client; -e for the role, where it can be a TERM."""
    made = begun(verb="connect", term=b"xterm-256color")
    assert made.environment[b"TERM"] == b"dumb"
    assert made.argv[1:] == [b"connect", b"-s", b"-e", b"TERM=xterm-256color", b"--", b"mybash"]
    for bad in (b"", b"a,PATH=/tmp", b"-x", b"a b", b"\xff"):
        assert begun(verb="connect", term=bad).argv[1:] == [b"connect", b"-s", b"--", b"mybash"]


@pytest.mark.parametrize("token", [b"", b"a\0b", b"a b", b"a\nHOOP_APIURL=http://x"])
def test_what_is_no_token_is_not_handed_on(token: bytes) -> None:
    """It has been verified before; this is for those who come without."""
    with pytest.raises(HandoffError):
        begun(token=token)


@pytest.mark.parametrize(
    ("protocol", "verb", "carried"),
    [
        ("command-line", "connect", True),
        ("command-line", "exec", True),
        ("postgres", "exec", True),
        ("mysql", "exec", True),
        ("postgres", "connect", False),
        ("ssh", "connect", False),
        ("ssh", "exec", False),
        ("tcp", "exec", False),
        ("mcpproxy", "connect", False),
    ],
)
def test_only_what_needs_no_listener_on_the_bastion_is_carried(protocol: str, verb: Verb, carried: bool) -> None:
    """For other types the client opens a port, or starts programs."""
    assert serves(protocol, verb) is carried


def test_the_command_stands_before_the_input_as_a_line() -> None:
    """Without a command the input is everything."""
    assert preamble(b"ls -l") == b"ls -l\n"
    assert preamble(None) == b""


@given(st.binary() | st.text().map(str.encode))
def test_text_is_utf_8_without_nul(data: bytes) -> None:
    """That is what the gateway's database takes."""
    assert is_text(data) == (b"\0" not in data and data.decode("utf-8", "replace").encode() == data)
