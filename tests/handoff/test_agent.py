"""The agent answers for one certificate, once, for one authentication at the gateway."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from hoopjump.agent import FAILURE, SUCCESS
from hoopjump.decision.keys import parse_public_key, parse_signature, verify_signature
from hoopjump.decision.wire import Reader, encode_string
from hoopjump.handoff.agent import Agent, Conversation
from hoopjump.handoff.delegation import Handoff
from hoopjump.handoff.issue import PrivateKeySigner

Make = Callable[..., Handoff]
SESSION = b"\x11" * 32
HOST = PrivateKeySigner(Ed25519PrivateKey.generate())
OTHER_HOST = PrivateKeySigner(Ed25519PrivateKey.generate())


def strings(*values: bytes) -> bytes:
    return b"".join(encode_string(value) for value in values)


def request(made: Handoff, **changes: bytes) -> bytes:
    """The data that ssh wants signed (RFC 4252 section 7)."""
    part = {
        "session": SESSION,
        "number": b"\x32",
        "user": b"alice@x.io",
        "service": b"ssh-connection",
        "method": b"publickey",
        "flag": b"\x01",
        "algorithm": b"ssh-ed25519-cert-v01@openssh.com",
        "key": made.certificate.blob,
        "tail": b"",
    } | changes
    head = strings(part["session"]) + part["number"] + strings(part["user"], part["service"], part["method"])
    return head + part["flag"] + strings(part["algorithm"], part["key"]) + part["tail"]


def sign_request(blob: bytes, data: bytes) -> bytes:
    return b"\x0d" + strings(blob, data) + bytes(4)


def bind(
    host: PrivateKeySigner = HOST, session: bytes = SESSION, forwarding: int = 0, signed: bytes = SESSION
) -> bytes:
    name = b"session-bind@openssh.com"
    return b"\x1b" + strings(name, host.public_key, session, host.sign(signed)) + bytes([forwarding])


def conversation(made: Handoff) -> Conversation:
    return Conversation(Agent(made, frozenset({HOST.public_key})))


def test_it_shows_the_certificate_only(handoff: Make) -> None:
    """The list of identities is the certificate; the plain key is not offered."""
    made = handoff()
    reader = Reader(conversation(made).answer(b"\x0b").message)
    assert (reader.byte("type"), reader.uint32("count")) == (12, 1)
    assert reader.string("key") == made.certificate.blob


@pytest.mark.parametrize("bound", [False, True])
def test_it_signs_the_authentication_at_the_gateway(handoff: Make, bound: bool) -> None:
    """The signature over the authentication request verifies with the certified key; older ssh do not bind."""
    made = handoff()
    talk = conversation(made)
    if bound:
        assert talk.answer(bind()).message == bytes([SUCCESS])
    answer = talk.answer(sign_request(made.certificate.blob, request(made)))
    assert answer.signed
    reader = Reader(answer.message)
    assert reader.byte("type") == 14
    key = parse_public_key(made.certificate.public_key)
    assert verify_signature(key, parse_signature(key, reader.string("signature")), request(made))


def test_it_signs_a_host_bound_request_for_the_gateway_only(handoff: Make) -> None:
    """In publickey-hostbound-v00@openssh.com the host key stands in the signed data, and must be the gateway's."""
    for host, granted in ((HOST, True), (OTHER_HOST, False)):
        made = handoff()
        data = request(made, method=b"publickey-hostbound-v00@openssh.com", tail=strings(host.public_key))
        answer = conversation(made).answer(sign_request(made.certificate.blob, data))
        assert answer.signed is granted


def test_it_signs_once(handoff: Make) -> None:
    """After the signature the key is gone, for other connections too, and no identity is shown."""
    made = handoff()
    agent = Agent(made, frozenset({HOST.public_key}))
    wanted = sign_request(made.certificate.blob, request(made))
    assert Conversation(agent).answer(wanted).signed
    again = Conversation(agent)
    assert again.answer(wanted).message == bytes([FAILURE])
    assert again.answer(b"\x0b").message == b"\x0c" + bytes(4)


@pytest.mark.parametrize(
    "changes",
    [
        {"number": b"\x33"},
        {"user": b"bob@x.io"},
        {"user": b""},
        {"service": b"ssh-userauth"},
        {"method": b"hostbased"},
        {"method": b"publickey-hostbound-v00@openssh.com"},
        {"flag": b"\x00"},
        {"algorithm": b"ssh-ed25519"},
        {"key": b"another key"},
        {"session": b""},
        {"tail": b"\x00"},
    ],
    ids=" ".join,
)
def test_other_data_are_not_signed(handoff: Make, changes: dict[str, bytes]) -> None:
    """One field that is not as it must be, and nothing is signed; the log is told why."""
    made = handoff()
    answer = conversation(made).answer(sign_request(made.certificate.blob, request(made, **changes)))
    assert (answer.message, answer.signed) == (bytes([FAILURE]), False)
    assert answer.refused


@pytest.mark.parametrize("data", [b"", b"\0\0\0\1", b"SSHSIG" + bytes(64), b"\xff" * 100])
def test_what_is_no_request_is_not_signed(handoff: Make, data: bytes) -> None:
    """Arbitrary data, such as a file to be signed, are refused."""
    made = handoff()
    assert conversation(made).answer(sign_request(made.certificate.blob, data)).message == bytes([FAILURE])


def test_the_plain_key_signs_nothing(handoff: Make) -> None:
    """The key without its certificate cannot be used."""
    made = handoff()
    data = request(made, key=made.certificate.public_key, algorithm=b"ssh-ed25519")
    assert conversation(made).answer(sign_request(made.certificate.public_key, data)).message == bytes([FAILURE])


@pytest.mark.parametrize(
    "message",
    [
        bind(OTHER_HOST),
        bind(forwarding=1),
        bind(signed=b"another session"),
        bind(session=b"", signed=b""),
        bind()[:-1],
        bind() + b"\0",
    ],
    ids=["foreign host", "forwarded", "unsigned", "empty", "short", "long"],
)
def test_a_connection_bound_wrongly_gets_no_signature(handoff: Make, message: bytes) -> None:
    """A binding that fails bars the connection: ssh itself would go on without it."""
    made = handoff()
    talk = conversation(made)
    assert talk.answer(message).message == bytes([FAILURE])
    assert not talk.answer(sign_request(made.certificate.blob, request(made))).signed


def test_a_bound_connection_signs_for_its_session_only(handoff: Make) -> None:
    """A request of another session than the bound one is refused."""
    made = handoff()
    talk = conversation(made)
    talk.answer(bind())
    assert not talk.answer(sign_request(made.certificate.blob, request(made, session=b"\x22" * 32))).signed


def test_a_connection_is_bound_once(handoff: Make) -> None:
    """A second binding fails and bars the connection."""
    made = handoff()
    talk = conversation(made)
    talk.answer(bind())
    assert talk.answer(bind(session=b"\x22" * 32, signed=b"\x22" * 32)).message == bytes([FAILURE])
    assert not talk.answer(sign_request(made.certificate.blob, request(made))).signed


@pytest.mark.parametrize(
    "message",
    [b"", b"\x09", b"\x0b\0", b"\x0d", b"\x11" + bytes(40), b"\x1b" + strings(b"query"), b"\x1b\xff", b"\xff"],
)
def test_everything_else_fails(handoff: Make, message: bytes) -> None:
    """Adding, removing, locking, other extensions, damaged messages: failure, and the agent goes on."""
    made = handoff()
    talk = conversation(made)
    assert talk.answer(message).message == bytes([FAILURE])
    assert talk.answer(b"\x0b").message[0] == 12
