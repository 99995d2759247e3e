"""What a provider may answer: ID tokens, descriptions of itself, refreshed tokens."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from hoopjump.identity.errors import IdentityError
from hoopjump.identity.login import Manner, log_in
from tests.hostile.tokens import forge
from tests.identity.attempts import accepted, refused
from tests.identity.conftest import Laptop, Somebody
from tests.identity.fake_provider import FakeProvider


@pytest.mark.parametrize(
    ("claims", "code"),
    [
        ({"nonce": "another"}, "answer-forged"),
        ({"nonce": forge.DROP}, "answer-forged"),
        ({"nonce": 5}, "answer-forged"),
        ({"aud": "another-client"}, "token-refused"),
        ({"aud": ["hoopjump", "another-client"]}, "token-refused"),
        ({"aud": ["hoopjump", "another-client"], "azp": "another-client"}, "token-refused"),
        ({"azp": "another-client"}, "token-refused"),
        ({"iss": "https://evil.example.com"}, "token-refused"),
        ({"exp": 1000}, "token-refused"),
        ({"iat": forge.DROP}, "token-refused"),
        ({"sub": forge.DROP}, "token-refused"),
        ({"at_hash": "AAAAAAAAAAAAAAAAAAAAAA"}, "answer-forged"),
    ],
)
def test_an_id_token_that_is_not_for_this_login_is_refused(
    laptop: Laptop, fake: FakeProvider, claims: Mapping[str, object], code: str
) -> None:
    """OpenID Connect Core 1.0 section 3.1.3.7; and it is stored nowhere."""
    fake.claims = claims
    assert refused(laptop, fake).code == code


def test_several_audiences_are_taken_with_us_as_the_party(laptop: Laptop, fake: FakeProvider) -> None:
    """The claim azp says for whom it was issued."""
    fake.claims = {"aud": ["hoopjump", "another"], "azp": "hoopjump"}
    assert accepted(laptop, fake) == "u-1"


def test_unsigned_and_wrongly_signed_id_tokens_are_refused(laptop: Laptop, fake: FakeProvider) -> None:
    """Alg none, HMAC with the public key, a key that is not in the set, another typ."""
    unsigned = forge.segment('{"alg":"none"}') + b"." + forge.segment(forge.text({"iss": fake.issuer})) + b"."
    fake.answer = {"id_token": unsigned.decode()}
    assert "alg" in refused(laptop, fake).message
    fake.answer = {"id_token": forge.token({"iss": fake.issuer}, algorithm="HS256", secret=forge.pem("p256")).decode()}
    assert refused(laptop, fake).code == "token-refused"
    fake.answer, fake.key = {}, "stranger"
    assert refused(laptop, fake).code == "token-refused"
    fake.key, fake.header = "p256", {"typ": "logout+jwt"}
    assert refused(laptop, fake).code == "token-refused"


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        ({"token_type": "DPoP"}, "provider-unfit"),
        ({"token_type": forge.DROP}, "provider-unfit"),
        ({"id_token": forge.DROP}, "provider-malformed"),
        ({"access_token": forge.DROP}, "provider-malformed"),
        ({"access_token": "a\nb"}, "provider-malformed"),
        ({"refresh_token": ["x"]}, "provider-malformed"),
    ],
)
def test_answers_that_mean_nothing_are_refused(
    laptop: Laptop, fake: FakeProvider, answer: Mapping[str, object], code: str
) -> None:
    """RFC 6749 section 5.1."""
    fake.answer = answer
    assert refused(laptop, fake).code == code


def test_an_address_that_is_not_verified_names_nobody(laptop: Laptop, fake: FakeProvider) -> None:
    """Where the e-mail address is the user."""
    fake.claims = {"email_verified": False}
    assert refused(laptop, fake, user_claim="email").code == "token-refused"


@pytest.mark.parametrize(
    ("metadata", "code"),
    [
        ({"issuer": "https://evil.example.com"}, "answer-forged"),
        ({"issuer": forge.DROP}, "answer-forged"),
        ({"token_endpoint": forge.DROP}, "provider-malformed"),
        ({"token_endpoint": "not a URL"}, "provider-malformed"),
        ({"token_endpoint": "ftp://127.0.0.1/token"}, "provider-unfit"),
        ({"authorization_endpoint": "javascript://127.0.0.1/%0aalert(1)"}, "provider-unfit"),
        ({"jwks_uri": 5}, "provider-malformed"),
        ({"code_challenge_methods_supported": ["plain"]}, "provider-unfit"),
    ],
)
def test_a_provider_that_describes_itself_wrongly_is_refused(
    laptop: Laptop, fake: FakeProvider, metadata: Mapping[str, object], code: str
) -> None:
    """OpenID Connect Discovery 1.0 section 4.3, RFC 7636."""
    fake.metadata = metadata
    assert refused(laptop, fake).code == code


def test_a_slash_makes_another_issuer(laptop: Laptop, fake: FakeProvider) -> None:
    """Names are compared as they are written."""
    laptop.configure(fake.issuer + "/")
    with pytest.raises(IdentityError) as error:
        log_in(laptop.settings, laptop.places, Manner(Somebody()))
    assert error.value.code == "answer-forged"


def test_a_provider_that_is_not_there_is_said_so(laptop: Laptop) -> None:
    """One line, with a stable code for scripts, exit status 1."""
    laptop.configure("http://127.0.0.1:1")
    said = laptop.hoopjump("login", "--json", "--device")
    assert said.status == 1
    assert '"reason": "provider-unreachable"' in said.out
    assert "Traceback" not in said.err


def renew(laptop: Laptop, somebody: Somebody) -> str:
    login = log_in(laptop.settings, laptop.places, Manner(somebody, if_needed=True))
    somebody.finish()
    return login.tokens.user(laptop.settings)


def test_a_refreshed_token_of_somebody_else_is_refused(laptop: Laptop, fake: FakeProvider) -> None:
    """OpenID Connect Core 1.0 section 12.2."""
    fake.life = 120
    accepted(laptop, fake)
    laptop.places.state.unlink()
    fake.claims = {"sub": "u-2"}
    with pytest.raises(IdentityError) as error:
        renew(laptop, Somebody())
    assert error.value.code == "answer-forged"


def test_a_refused_refresh_asks_the_person(laptop: Laptop, fake: FakeProvider) -> None:
    """A refresh token that somebody else has used, for example, once the ID token has ended."""
    fake.life = 40
    accepted(laptop, fake)
    fake.tokens()
    somebody = Somebody()
    fake.life = 3600
    assert renew(laptop, somebody) == "u-1"
    assert len(somebody.pages) == 1


def test_a_refresh_without_a_new_id_token_keeps_the_old_one(laptop: Laptop, fake: FakeProvider) -> None:
    """And the new refresh token, since the old one is good for nothing."""
    fake.life = 300
    accepted(laptop, fake)
    laptop.places.state.unlink()
    before = laptop.stored()
    fake.answer = {"id_token": forge.DROP}
    somebody = Somebody()
    assert renew(laptop, somebody) == "u-1"
    assert somebody.pages == []
    assert laptop.stored()["id_token"] == before["id_token"]
    assert laptop.stored()["refresh_token"] == "refresh-2"
