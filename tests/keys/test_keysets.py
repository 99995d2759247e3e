"""Keys are kept fresh, kept a while when their provider is down, and gone when they are taken out or dropped."""

from __future__ import annotations

import json
import logging
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from hoopjump.config import ConfigError, TokenIssuerSection
from hoopjump.decision.jose import TokenError
from hoopjump.dev.services import wait_for
from hoopjump.errors import HoopjumpError
from hoopjump.keys.dropped import DroppedKeys
from hoopjump.keys.keysets import KeySets
from tests.keys.provider import DISCOVERY, JWKS, Answer, Provider, TokenKey


class Clock:
    """A steady clock that stands until it is told to go on."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def keysets(idp: Provider, clock: Clock, tmp_path: Path) -> KeySets:
    return make(idp, clock, tmp_path)


def make(idp: Provider, clock: Clock, directory: Path, **changes: Any) -> KeySets:
    section = TokenIssuerSection.model_validate(idp.section(**changes))
    return KeySets([section], DroppedKeys(directory), clock=clock)


def refusal(keysets: KeySets, token: bytes, *, known: bool = False) -> str:
    """The code with which a token is refused."""
    with pytest.raises(TokenError) as caught:
        (keysets.verify_known if known else keysets.verify)(token, time.time())
    return caught.value.reason.code


# -- Where keys come from --------------------------------------------------------------------------------------------


def test_keys_are_discovered(keysets: KeySets, idp: Provider) -> None:
    """By nothing but the issuer's name."""
    assert keysets.verify(idp.token(), time.time()).user == "auth0|alice"
    assert [path for path, _ in idp.requests] == [DISCOVERY, JWKS]


@pytest.mark.parametrize(
    "named", ["https://idp.example.com", "{issuer}/", "HTTPS://127.0.0.1:{port}", None, 7, ["{issuer}"]]
)
def test_configuration_of_an_issuer_of_another_name_is_refused(keysets: KeySets, idp: Provider, named: Any) -> None:
    """OpenID Connect Discovery 1.0 section 4.3: exactly the name, not one that means the same."""
    told = named.format(issuer=idp.issuer, port=idp.port) if isinstance(named, str) else named
    body = json.dumps({"issuer": told, "jwks_uri": idp.issuer + JWKS}).encode()
    idp.answers[DISCOVERY] = lambda: Answer(200, body)
    assert refusal(keysets, idp.token()) == "token-keys-unavailable"
    assert "is the configuration of" in keysets.rows()[0]["fault"]
    assert idp.asked() == 0


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"<html>",
        b'{"issuer": "@"}',
        b'{"issuer": "@", "jwks_uri": 7}',
        b'{"issuer": "@", "jwks_uri": "http://127.0.0.1/jwks"}',
        b'{"issuer": "@", "jwks_uri": "file:///etc/passwd"}',
        b'{"issuer": "@", "jwks_uri": "/jwks"}',
        b'{"issuer": "x", "issuer": "@", "jwks_uri": "@/jwks"}',
    ],
)
def test_configuration_that_leads_to_no_keys_is_refused(keysets: KeySets, idp: Provider, body: bytes) -> None:
    """Plain http too, where the issuer itself is asked over TLS."""
    idp.answers[DISCOVERY] = lambda: Answer(200, body.replace(b"@", idp.issuer.encode()))
    assert refusal(keysets, idp.token()) == "token-keys-unavailable"


def test_keys_may_be_at_an_address_of_their_own(idp: Provider, clock: Clock, tmp_path: Path) -> None:
    """`keys = "https://…"`: then nothing is discovered."""
    keysets = make(idp, clock, tmp_path, keys=idp.issuer + JWKS)
    keysets.verify(idp.token(), time.time())
    assert [path for path, _ in idp.requests] == [JWKS]


def test_keys_may_be_in_a_file_that_nobody_else_writes(idp: Provider, clock: Clock, tmp_path: Path) -> None:
    """Whoever writes there signs as everybody."""
    path = tmp_path / "jwks"
    path.write_bytes(idp.answer(JWKS).body)
    path.chmod(0o644)
    changes = {"keys": f"file:{path}", "ca_file": None}
    assert make(idp, clock, tmp_path, **changes).verify(idp.token(), time.time()).issuer == idp.issuer
    path.chmod(0o666)
    keysets = make(idp, clock, tmp_path, **changes)
    assert refusal(keysets, idp.token()) == "token-keys-unavailable"
    assert "can be written by others" in keysets.rows()[0]["fault"]


def test_a_shared_secret_is_read_once_and_is_no_key_set(idp: Provider, clock: Clock, tmp_path: Path) -> None:
    """Nothing is asked for it; one that is too short stops the start."""
    path = tmp_path / "secret"
    path.touch(mode=0o600)
    path.write_text("x" * 32 + "\n")
    changes = {"keys": f"secret:file:{path}", "ca_file": None}
    keysets = make(idp, clock, tmp_path, **changes)
    assert refusal(keysets, idp.token()) == "token-wrong-algorithm"
    keysets.refresh(idp.issuer)
    assert keysets.rows()[0]["state"] == "secret"
    assert idp.requests == []
    path.write_text("x" * 31)
    with pytest.raises(ConfigError, match="at least 32 bytes"):
        make(idp, clock, tmp_path, **changes)


def test_a_private_address_is_refused_unless_allowed(idp: Provider, clock: Clock, tmp_path: Path) -> None:
    """The default."""
    keysets = make(idp, clock, tmp_path, allow_private=False)
    assert refusal(keysets, idp.token()) == "token-keys-unavailable"
    assert "is no public address" in keysets.rows()[0]["fault"]
    assert idp.requests == []


@pytest.mark.parametrize("body", [b"{}", b"\x00", b'{"keys": ["x"]}', b'{"keys": [' + b"{}," * 100 + b"{}]}"])
def test_what_is_no_key_set_is_a_failure(keysets: KeySets, idp: Provider, body: bytes) -> None:
    """More than a hundred keys included."""
    idp.answers[JWKS] = lambda: Answer(200, body)
    assert refusal(keysets, idp.token()) == "token-keys-unavailable"


# -- Refreshing ------------------------------------------------------------------------------------------------------


def test_an_unknown_key_is_asked_for_at_once_and_not_again_for_ten_seconds(
    keysets: KeySets, idp: Provider, clock: Clock
) -> None:
    """A provider may rotate its keys at any time; whoever makes names up gets nothing asked."""
    keysets.verify(idp.token(), time.time())
    fresh = TokenKey("second")
    idp.keys.append(fresh)
    clock.now += 10
    assert keysets.verify(idp.token(fresh), time.time()).user == "auth0|alice"
    assert idp.asked() == 2
    for number in range(50):
        assert refusal(keysets, idp.token(TokenKey(f"made-up-{number}"))) == "token-key-unknown"
    assert idp.asked() == 2
    clock.now += 9.9
    assert refusal(keysets, idp.token(TokenKey("made-up"))) == "token-key-unknown"
    assert idp.asked() == 2
    clock.now += 0.1
    assert refusal(keysets, idp.token(TokenKey("made-up"))) == "token-key-unknown"
    assert idp.asked() == 3


def test_a_flood_of_unknown_keys_is_one_question(keysets: KeySets, idp: Provider, clock: Clock) -> None:
    """All who come while it is being asked wait for that answer."""
    keysets.verify(idp.token(), time.time())
    fresh = TokenKey("second")
    idp.keys.append(fresh)
    clock.now += 10
    seen: list[str] = []
    threads = [
        threading.Thread(target=lambda: seen.append(keysets.verify(idp.token(fresh), time.time()).user))
        for _ in range(20)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(seen), idp.asked()) == (20, 2)


def test_keys_change_while_logins_go_on(keysets: KeySets, idp: Provider, clock: Clock) -> None:
    """A provider that publishes a key, signs with it, and takes the old one out: none wrong, none refused."""
    wrong: list[str] = []

    def log_in(key: TokenKey) -> None:
        for _ in range(10):
            try:
                keysets.verify(idp.token(key), time.time())
            except TokenError as error:
                wrong.append(error.reason.code)

    old = idp.key
    for number in range(5):
        fresh = TokenKey(f"number-{number}")
        idp.keys[:] = [fresh, old]
        clock.now += 10
        threads = [threading.Thread(target=log_in, args=(key,)) for key in (old, fresh) * 3]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        idp.keys[:] = [fresh]
        keysets.refresh(idp.issuer)
        assert refusal(keysets, idp.token(old), known=True) == "token-key-unknown"
        old = fresh
    assert wrong == []


def test_a_bad_signature_or_claim_asks_for_nothing(keysets: KeySets, idp: Provider, clock: Clock) -> None:
    """Only a key that is not known can be one that has come since."""
    keysets.verify(idp.token(), time.time())
    clock.now += 100
    assert refusal(keysets, idp.token(TokenKey("first"))) == "token-bad-signature"
    assert refusal(keysets, idp.token(aud="else")) == "token-wrong-audience"
    assert refusal(keysets, idp.token(iss="https://else.example.com")) == "token-wrong-issuer"
    assert idp.asked() == 1


def test_a_key_taken_out_of_the_set_verifies_nothing_after_the_next_refresh(keysets: KeySets, idp: Provider) -> None:
    """Nor do tokens that were verified with it before."""
    token = idp.token()
    keysets.verify(token, time.time())
    idp.keys[:] = [TokenKey("second")]
    assert keysets.verify_known(token, time.time()).user == "auth0|alice"
    keysets.refresh(idp.issuer)
    assert refusal(keysets, token, known=True) == "token-key-unknown"
    assert keysets.verify_known(idp.token(), time.time()).user == "auth0|alice"


def test_a_set_without_keys_takes_all_of_them_back(keysets: KeySets, idp: Provider) -> None:
    """What a provider publishes in an emergency is no failure, after which the old keys would be kept."""
    token = idp.token()
    keysets.verify(token, time.time())
    signer, idp.keys[:] = idp.key, []
    keysets.refresh(idp.issuer)
    assert refusal(keysets, token, known=True) == "token-key-unknown"
    idp.keys.append(signer)
    keysets.refresh(idp.issuer)
    assert keysets.verify_known(token, time.time()).user == "auth0|alice"


@pytest.mark.parametrize("change", ["renamed", "two of a name", "other use"])
def test_what_a_changed_set_refuses_is_refused_also_where_it_was_verified_before(
    keysets: KeySets, idp: Provider, change: str
) -> None:
    """The key is still there, but no token may name it as it did."""
    token = idp.token()
    keysets.verify(token, time.time())
    renamed = {**idp.key.jwk, "kid": "renamed"}
    keys, code = {
        "renamed": ([renamed, TokenKey("second").jwk], "token-key-unknown"),
        "two of a name": ([idp.key.jwk, TokenKey("first").jwk], "token-key-repeated"),
        "other use": ([{**idp.key.jwk, "use": "enc"}], "token-key-unfit"),
    }[change]
    idp.answers[JWKS] = lambda: Answer(200, json.dumps({"keys": keys}).encode())
    keysets.refresh(idp.issuer)
    assert refusal(keysets, token, known=True) == code


def test_a_key_with_an_endless_name_is_unfit(keysets: KeySets, idp: Provider) -> None:
    """It would have to stand in lists and answers that others need."""
    idp.keys.append(TokenKey("x" * 256))
    assert refusal(keysets, idp.token(idp.keys[1])) == "token-key-unknown"
    assert keysets.verify_known(idp.token(), time.time()).user == "auth0|alice"
    assert [key["flaw"] for key in keysets.rows()[0]["keys"]] == [None, "`kid` is longer than 255 characters"]
    idp.keys[1].kid = "x" * 255
    keysets.refresh(idp.issuer)
    assert keysets.verify_known(idp.token(idp.keys[1]), time.time()).user == "auth0|alice"


def test_an_unchanged_answer_without_a_lifetime_has_the_last_one(keysets: KeySets, idp: Provider) -> None:
    """RFC 9111 section 3.2: a 304 changes those headers that it has."""
    idp.headers = {"ETag": '"one"', "Cache-Control": "max-age=100"}
    keysets.verify(idp.token(), time.time())
    idp.headers = {"ETag": '"one"'}
    for _ in range(2):
        keysets.refresh(idp.issuer)
        assert idp.requests[-1][1]["If-None-Match"] == '"one"'
        assert keysets.rows()[0]["refresh_in"] == 80


def test_a_set_that_has_not_changed_is_not_sent_again(keysets: KeySets, idp: Provider) -> None:
    """ETag, and the token that was verified stays verified."""
    idp.headers = {"ETag": '"one"', "Cache-Control": "max-age=300"}
    token = idp.token()
    keysets.verify(token, time.time())
    keysets.refresh(idp.issuer)
    assert idp.requests[-1][1]["If-None-Match"] == '"one"'
    assert keysets.verify_known(token, time.time()).user == "auth0|alice"
    idp.keys[:] = [TokenKey("second")]
    idp.headers = {"ETag": '"two"'}
    keysets.refresh(idp.issuer)
    assert refusal(keysets, token, known=True) == "token-key-unknown"


def test_a_set_in_another_order_has_not_changed(
    keysets: KeySets, idp: Provider, caplog: pytest.LogCaptureFixture
) -> None:
    """Some providers shuffle theirs; nothing that was verified is forgotten for it."""
    caplog.set_level(logging.INFO)
    idp.keys.append(TokenKey("second"))
    token = idp.token()
    first = keysets.verify(token, time.time())
    idp.keys.reverse()
    keysets.refresh(idp.issuer)
    assert keysets.verify_known(token, time.time()) is first
    assert "have changed" not in caplog.text


def test_keys_are_kept_for_an_hour_while_the_provider_is_down_and_then_refused_loudly(
    keysets: KeySets, idp: Provider, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    """A provider's bad hour is nobody's bad hour; a longer one is told in the log and at the login."""
    token = idp.token(exp=int(time.time()) + 86400)
    keysets.verify(token, time.time())
    idp.down = True
    clock.now += 240
    keysets.refresh(idp.issuer)
    assert keysets.rows()[0]["state"] == "kept"
    clock.now += 3599
    assert keysets.verify_known(token, time.time()).user == "auth0|alice"
    clock.now += 1
    assert refusal(keysets, token, known=True) == "token-keys-unavailable"
    assert [record.levelname for record in caplog.records if "too old" in record.message] == ["ERROR"]
    assert "token-keys-unavailable" in caplog.text
    assert keysets.rows()[0]["state"] == "refused"
    idp.down = False
    assert keysets.verify(token, time.time()).user == "auth0|alice"
    assert keysets.rows()[0]["state"] == "fresh"


def test_how_long_keys_are_kept_is_configured(idp: Provider, clock: Clock, tmp_path: Path) -> None:
    """Also not at all."""
    keysets = make(idp, clock, tmp_path, kept=0)
    token = idp.token()
    keysets.verify(token, time.time())
    idp.down = True
    keysets.refresh(idp.issuer)
    assert refusal(keysets, token, known=True) == "token-keys-unavailable"


def test_keys_that_nobody_refreshes_are_refused_in_the_end(keysets: KeySets, idp: Provider, clock: Clock) -> None:
    """Whatever keeps the refresh from running."""
    token = idp.token(exp=int(time.time()) + 86400)
    keysets.verify(token, time.time())
    clock.now += 300 + 3600
    assert refusal(keysets, token, known=True) == "token-keys-unavailable"


def test_keys_are_refreshed_in_the_background(idp: Provider, clock: Clock, tmp_path: Path) -> None:
    """Before they are due, without a token that asks for it."""
    idp.headers = {"Cache-Control": "max-age=100"}
    keysets = make(idp, clock, tmp_path)
    keysets.start(20)
    try:
        assert idp.asked() == 1
        token = idp.token()
        assert keysets.verify_known(token, time.time()).user == "auth0|alice"
        idp.keys[:] = [TokenKey("second")]
        clock.now += 80
        # The thread sleeps by the real clock; an administrator's refresh stands for its waking up.
        keysets.refresh(idp.issuer)
        wait_for(lambda: idp.asked() >= 2)
        assert refusal(keysets, token, known=True) == "token-key-unknown"
    finally:
        keysets.stop()


def test_the_background_refresh_comes_by_itself(idp: Provider, monkeypatch: pytest.MonkeyPatch) -> None:
    """On the real clock, with keys that are stale at once."""
    monkeypatch.setattr("hoopjump.keys.sources.lifetime", lambda *_: 0.1)
    section = TokenIssuerSection.model_validate(idp.section())
    keysets = KeySets([section])
    keysets.start(20)
    try:
        wait_for(lambda: idp.asked() >= 3)
    finally:
        keysets.stop()


def test_the_start_does_not_wait_for_a_provider_that_is_down(idp: Provider) -> None:
    """Its failure is told, and the others' tokens are verified."""
    idp.down = True
    keysets = KeySets([TokenIssuerSection.model_validate(idp.section())])
    keysets.start(60)
    keysets.stop()
    assert keysets.rows()[0]["fault"] is not None


# -- Dropping --------------------------------------------------------------------------------------------------------


def test_a_dropped_key_verifies_nothing_from_then_on(keysets: KeySets, idp: Provider, clock: Clock) -> None:
    """At once, with all that it has verified, and though the provider goes on publishing it."""
    token, other = idp.token(), TokenKey("second")
    idp.keys.append(other)
    keysets.verify(token, time.time())
    assert keysets.drop("first") == [idp.issuer]
    assert refusal(keysets, token) == "token-key-dropped"
    assert keysets.verify(idp.token(other), time.time()).user == "auth0|alice"
    clock.now += 100
    keysets.refresh(idp.issuer)
    assert refusal(keysets, token) == "token-key-dropped"


def test_a_dropped_key_does_not_come_back_under_another_name(keysets: KeySets, idp: Provider) -> None:
    """It is known by its thumbprint too."""
    keysets.verify(idp.token(), time.time())
    keysets.drop("first")
    idp.key.kid = "renamed"
    keysets.refresh(idp.issuer)
    assert refusal(keysets, idp.token()) == "token-key-dropped"


def test_a_key_can_be_dropped_by_its_thumbprint(keysets: KeySets, idp: Provider) -> None:
    """Some have no name."""
    keysets.verify(idp.token(), time.time())
    assert keysets.drop(idp.key.thumbprint) == [idp.issuer]
    assert keysets.rows()[0]["keys"][0]["dropped"] is True


def test_a_drop_outlives_the_daemon(keysets: KeySets, idp: Provider, clock: Clock, tmp_path: Path) -> None:
    """It stands in a file that only the daemon reads and writes."""
    keysets.verify(idp.token(), time.time())
    keysets.drop("first")
    assert (tmp_path / "dropped-keys.json").stat().st_mode & 0o777 == 0o600
    assert refusal(make(idp, clock, tmp_path), idp.token()) == "token-key-dropped"


def test_a_drop_can_be_taken_back(keysets: KeySets, idp: Provider) -> None:
    """By the same name."""
    token = idp.token()
    keysets.verify(token, time.time())
    keysets.drop("first")
    assert keysets.restore("first") == [idp.issuer]
    assert keysets.verify(token, time.time()).user == "auth0|alice"
    assert keysets.restore("first") == []


def test_a_key_that_nobody_has_cannot_be_dropped(keysets: KeySets, idp: Provider) -> None:
    """Nothing is remembered of a slip."""
    keysets.verify(idp.token(), time.time())
    assert keysets.drop("firts") == []
    assert keysets.verify(idp.token(), time.time()).user == "auth0|alice"


@pytest.mark.parametrize("text", ["", "{", "7", "[7]", '[{"issuer": "x"}]'])
def test_a_file_of_dropped_keys_that_is_damaged_stops_the_start(
    idp: Provider, clock: Clock, tmp_path: Path, text: str
) -> None:
    """Else a stolen key would be back."""
    (tmp_path / "dropped-keys.json").write_text(text)
    with pytest.raises(HoopjumpError, match="not a list of dropped keys") as caught:
        make(idp, clock, tmp_path)
    assert "hoopjump keys drop" in caught.value.hint


# -- What is shown ---------------------------------------------------------------------------------------------------


def test_rows_say_what_is_known_and_when_it_changes(keysets: KeySets, idp: Provider, clock: Clock) -> None:
    """For `hoopjump keys list`."""
    keysets.verify(idp.token(), time.time())
    clock.now += 40
    (row,) = keysets.rows()
    assert (row["issuer"], row["state"], row["age"], row["refresh_in"]) == (idp.issuer, "fresh", 40, 200)
    assert row["refused_in"] == 300 + 3600 - 40
    assert row["keys"] == [
        {
            "kid": "first",
            "kind": "P-256",
            "thumbprint": idp.key.thumbprint,
            "algorithms": ["ES256"],
            "flaw": None,
            "dropped": False,
            "in_set": True,
        }
    ]


def test_no_token_gets_into_the_log(keysets: KeySets, idp: Provider, caplog: pytest.LogCaptureFixture) -> None:
    """Whatever becomes of it."""
    caplog.set_level(logging.DEBUG)
    tokens = [idp.token(), idp.token(TokenKey("made-up")), idp.token(exp=1)]
    keysets.verify(tokens[0], time.time())
    for token in tokens[1:]:
        refusal(keysets, token)
    for token in tokens:
        assert token.rpartition(b".")[2].decode() not in caplog.text
