"""How long keys are believed, and when their provider is asked again."""

from __future__ import annotations

import pytest

from hoopjump.decision.jwk import KeySet
from hoopjump.keys.freshness import Moment, Standing, asked, confirmed, elapsed, failed, lifetime, resumed

NO_KEYS = KeySet.of()


@pytest.mark.parametrize(
    ("cache_control", "age", "seconds"),
    [
        (None, None, 600),
        ("max-age=900", None, 900),
        ("public, Max-Age=900, must-revalidate", None, 900),
        ('max-age="900"', None, 900),
        ("max-age=900", "300", 600),
        ("max-age=900", "nonsense", 900),
        ("max-age=1", None, 60),
        ("max-age=0", None, 60),
        ("max-age=900", "9999", 60),
        ("max-age=86400", None, 3600),
        ("max-age=99999999999999999999", None, 600),
        ("no-store", None, 60),
        ("no-cache, max-age=900", None, 60),
        ("x-max-age=900", None, 600),
        ("max-age=-1", None, 600),
        ("", None, 600),
    ],
)
def test_headers_say_how_long_within_a_floor_and_a_ceiling(
    cache_control: str | None, age: str | None, seconds: float
) -> None:
    """A provider can neither have itself asked all the time, nor have a key believed for days."""
    assert lifetime(cache_control, age) == seconds


def test_keys_are_asked_for_again_before_they_are_stale() -> None:
    """So that no login waits for them."""
    standing = confirmed(Standing(), 1000, NO_KEYS, None, 600)
    assert (standing.due_at, standing.fresh_until) == (1480, 1600)


def test_keys_are_kept_from_the_first_failure_on() -> None:
    """A provider that is down costs nobody a login before the limit, and everybody after it."""
    standing = confirmed(Standing(), 1000, NO_KEYS, None, 600)
    assert standing.believed_until(3600) == 1600 + 3600
    for moment in (1480, 1500, 2000):
        standing = failed(standing, moment, "down")
        assert standing.believed_until(3600) == 1480 + 3600
    assert confirmed(standing, 2100, None, None, 600).believed_until(3600) == 2700 + 3600


def test_a_failure_that_comes_late_gives_no_more_time() -> None:
    """Of a machine that slept, or of a service that was not there to ask."""
    standing = failed(confirmed(Standing(), 1000, NO_KEYS, None, 600), 1600 + 3599, "down")
    assert standing.believed_until(3600) == 1600 + 3600


def test_keys_of_an_earlier_process_are_as_old_as_they_are() -> None:
    """And their provider is asked at once."""
    standing = resumed(NO_KEYS, b"", age=1000, fresh_for=600, failed_after=None, now=50)
    assert (standing.confirmed_at, standing.due_at, standing.believed_until(3600)) == (-950, 50, -350 + 3600)
    standing = resumed(NO_KEYS, b"", age=1000, fresh_for=600, failed_after=480, now=50)
    assert failed(standing, 50, "down").believed_until(3600) == -950 + 480 + 3600


@pytest.mark.parametrize(
    ("then", "now", "seconds"),
    [
        (Moment(9000, 100), Moment(9030, 130), 30),
        (Moment(9000, 100), Moment(9000, 100), 0),
        # Set back, set forward.
        (Moment(9000, 100), Moment(9005, 130), 30),
        (Moment(9000, 100), Moment(9900, 130), 900),
        (Moment(9000, 100), Moment(8999, 130), None),
        # Rebooted: a minute off, or set back since by an hour, of which the machine has been up for a half.
        (Moment(9000, 100), Moment(9060, 20), 60),
        (Moment(9000, 5000), Moment(9010, 1800), 1800),
        (Moment(9000, -40), Moment(9010, 20), 60),
    ],
)
def test_of_two_clocks_the_one_that_proves_more_counts(then: Moment, now: Moment, seconds: float | None) -> None:
    """One can be set, the other begins anew; neither makes keys younger."""
    assert elapsed(then, now) == seconds


def test_without_keys_nothing_is_believed() -> None:
    """Not even for the time that keys are kept."""
    assert failed(Standing(), 10, "down").believed_until(3600) == 0


def test_a_provider_that_is_down_is_asked_less_and_less_often() -> None:
    """From ten seconds to five minutes."""
    standing, pauses = Standing(), []
    for _ in range(8):
        standing = failed(standing, 0, "down")
        pauses.append(standing.due_at)
    assert pauses == [10, 20, 40, 80, 160, 300, 300, 300]


def test_an_unknown_key_is_a_reason_to_ask_every_ten_seconds_only() -> None:
    """Whoever sends made-up names cannot have the provider flooded."""
    assert Standing().may_ask(0)
    standing = asked(Standing(), 100)
    assert not standing.may_ask(109.9)
    assert standing.may_ask(110)
    # Whatever came of it.
    assert not failed(standing, 101, "down").may_ask(109)
    assert not confirmed(standing, 101, NO_KEYS, None, 600).may_ask(109)
