"""What is rationed and what is remembered: right to the moment, and bounded in memory."""

from __future__ import annotations

import pytest

from hoopjump.ca.limits import Buckets, UsedProofs, neighbourhood, plain_address
from hoopjump.ca.refusal import RefusedError, http_status
from hoopjump.decision.reasons import Reason


class Clock:
    """Stands still."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_a_bucket_empties_and_fills_again() -> None:
    """So many at once, and as many again over a minute; each name has its own."""
    clock = Clock()
    buckets = Buckets(60, clock)
    assert sum(buckets.take("a") for _ in range(100)) == 60
    assert buckets.take("b")
    clock.now += 1.0
    assert [buckets.take("a"), buckets.take("a")] == [True, False]
    clock.now += 3600
    assert sum(buckets.take("a") for _ in range(100)) == 60


def test_names_are_forgotten_and_never_too_many() -> None:
    """Who asked longest ago is forgotten; whoever goes on asking is not."""
    clock = Clock()
    buckets = Buckets(1, clock, remembered=10)
    assert buckets.take("greedy")
    for number in range(1000):
        buckets.take(f"n{number}")
        assert not buckets.take("greedy")
    assert len(buckets) == 10


@pytest.mark.parametrize(
    ("source", "counted"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2:ffff::", "2001:db8:1:2::/64"),
    ],
)
def test_what_counts_as_one_source(source: str, counted: str) -> None:
    """An IPv6 subscriber has a /64 and more addresses in it than anybody could remember."""
    assert neighbourhood(source) == counted


@pytest.mark.parametrize("source", ["", "localhost", "192.0.2.7, 192.0.2.8", "192.0.2.7:80", "1"])
def test_what_is_no_source(source: str) -> None:
    """A list, as X-Forwarded-For has it, says nothing about who is asking."""
    with pytest.raises(ValueError, match="does not appear"):
        neighbourhood(source)


def test_a_proof_is_remembered_as_long_as_it_could_be_used() -> None:
    """From a minute ahead of our clock to a minute after."""
    proofs = UsedProofs(0)
    proofs.use(b"a", 1060, 1000.0, 60)
    for now in (1000.0, 1060.0, 1120.0):
        with pytest.raises(RefusedError, match="proof-replayed"):
            proofs.use(b"a", 1060, now, 60)


def test_used_proofs_are_never_forgotten_early() -> None:
    """Where there is no room, the next one is refused; later there is."""
    proofs = UsedProofs(0, remembered=2)
    for name in (b"a", b"b"):
        proofs.use(name, 1000, 1000.0, 60)
    with pytest.raises(RefusedError, match="too many proofs"):
        proofs.use(b"c", 1000, 1000.0, 60)
    with pytest.raises(RefusedError, match="proof-replayed"):
        proofs.use(b"a", 1000, 1000.0, 60)
    proofs.use(b"c", 1121, 1121.0, 60)


def test_every_refusal_of_a_token_is_unauthorized() -> None:
    """And a provider that cannot be reached is no fault of the client's."""
    tokens = [reason for reason in Reason if reason.code.startswith("token-")]
    statuses = {reason: http_status(reason) for reason in tokens}
    assert statuses.pop(Reason.TOKEN_KEYS_UNAVAILABLE) == 503
    assert set(statuses.values()) == {401}


@pytest.mark.parametrize(
    ("source", "plain"),
    [("::ffff:192.0.2.7", "192.0.2.7"), ("192.0.2.7", "192.0.2.7"), ("2001:DB8:0::7", "2001:db8::7")],
)
def test_log_and_audit_trail_have_the_address_as_people_write_it(source: str, plain: str) -> None:
    """A socket for both kinds shows IPv4 ones in IPv6's clothes."""
    assert plain_address(source) == plain
