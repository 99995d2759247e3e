"""Issuers of tokens are configured in an array of tables, and combinations that let too much in are refused."""

from __future__ import annotations

import pytest

from hoopjump import config
from hoopjump.config import ConfigError

GATEWAY = '[gateway]\napi_url = "https://gw.example.com"\nssh_host = "gw.example.com"\n'
FIRST = '[[tokens.issuer]]\nissuer = "https://idp.example.com"\naudiences = ["hoopjump"]\n'
SECOND = '[[tokens.issuer]]\nissuer = "https://ca.example.com"\naudiences = ["hoopjump"]\n'


def read(text: str) -> config.TokensSection:
    """The token part of a configuration."""
    return config.parse(GATEWAY + text, "f").tokens


def test_without_issuers_no_token_is_asked_for() -> None:
    """As before there were any."""
    assert (read("").session, read("").forward, read("").issuer) == ("never", "never", ())


def test_smallest_issuer_has_the_documented_defaults() -> None:
    """A name and an audience are enough."""
    (issuer,) = read(FIRST).issuer
    assert (issuer.keys, issuer.user_claim, issuer.user_attribute, issuer.kept) == ("discovery", "sub", "subject", 3600)
    policy = issuer.policy()
    assert "HS256" not in policy.algorithms
    assert {"ES256", "RS256", "EdDSA"} < policy.algorithms
    assert policy.types == {"jwt", "at+jwt"}


def test_a_shared_secret_means_hs256() -> None:
    """And nothing else."""
    (issuer,) = read(FIRST + 'keys = "secret:file:/etc/hoopjump/secret"\n').issuer
    assert issuer.secret == "file:/etc/hoopjump/secret"
    assert issuer.policy().algorithms == {"HS256"}


IN_FIRST = '(issuer "https://idp.example.com")'
IN_SECOND = '(issuer "https://ca.example.com")'


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (FIRST + SECOND + 'user_clam = "sub"\n', f"f:10: unknown key `tokens.issuer[1].user_clam` {IN_SECOND}"),
        (FIRST + '[[tokens.issuer]]\nissuer = "x"\n', 'f:7: `tokens.issuer[1].audiences` (issuer "x") is missing'),
        (
            FIRST + SECOND + 'leeway = "30"\n',
            f'f:10: `tokens.issuer[1].leeway = "30"` {IN_SECOND}: must be a whole number, without quotes and without a '
            "point",
        ),
        (
            FIRST + 'algorithms = ["ES256"]\n\n' + SECOND + 'algorithms = ["none"]\n',
            f'f:12: `tokens.issuer[1].algorithms = ["none"]` {IN_SECOND}: must be some of ES256, ES384, EdDSA, HS256, '
            "PS256, RS256, RS384, RS512",
        ),
        (
            FIRST + 'algorithms = ["HS256"]\n',
            f'f:7: `tokens.issuer[0].algorithms = ["HS256"]` {IN_FIRST}: HS256 goes with a shared secret (`keys = '
            '"secret:…"`) and nothing else',
        ),
        (
            FIRST + 'keys = "secret:file:/s"\nalgorithms = ["HS256", "RS256"]\n',
            f'f:8: `tokens.issuer[0].algorithms = ["HS256", "RS256"]` {IN_FIRST}: a shared secret goes with HS256 and '
            "nothing else",
        ),
        (
            FIRST + SECOND.replace("https", "http"),
            'f:8: `tokens.issuer[1].issuer = "http://ca.example.com"`: plain http lets whoever is between sign tokens; '
            "use https, or set allow_http",
        ),
        (
            FIRST + 'keys = "http://idp.example.com/jwks"\n',
            f"f:7: `tokens.issuer[0].keys` {IN_FIRST}: plain http lets whoever is between sign tokens; use https, or "
            "set allow_http",
        ),
        (
            FIRST + "ca_file = '/ca.pem'\nkeys = 'file:/jwks'\n",
            f'f:7: `tokens.issuer[0].ca_file = "/ca.pem"` {IN_FIRST}: these keys come over no network, so no CA signs '
            "for them",
        ),
        (
            FIRST + 'types = ["logout+jwt"]\n',
            f'f:7: `tokens.issuer[0].types = ["logout+jwt"]` {IN_FIRST}: cannot be empty, nor include dpop+jwt, '
            "logout+jwt, secevent+jwt",
        ),
        (
            FIRST + FIRST,
            'f:8: `tokens.issuer[1].issuer = "https://idp.example.com"`: another issuer has the same name',
        ),
        (
            '[tokens]\nsession = "required"\n',
            'f:5: `tokens.session = "required"`: tokens are to be taken, and there is no [[tokens.issuer]] whose they '
            "could be",
        ),
        (
            '[tokens]\nforward = "optional"\n' + FIRST,
            'f:5: `tokens.forward = "optional"`: only a bound token counts, and no [[tokens.issuer]] is bound',
        ),
    ],
)
def test_fault_is_told_with_its_line_in_the_right_table(text: str, message: str) -> None:
    """Also where several tables have the same keys."""
    with pytest.raises(ConfigError) as caught:
        read(text)
    assert caught.value.message == message


@pytest.mark.parametrize(
    "url",
    ["idp.example.com", "https://", "https://a@idp.example.com", "https://idp/#x", "https://idp/?a=b", "https://i:x/"],
)
def test_issuer_whose_keys_are_discovered_is_a_plain_url(url: str) -> None:
    """OpenID Connect Discovery 1.0 section 3."""
    with pytest.raises(ConfigError, match=r"f:5: `tokens\.issuer\[0\]\.issuer[ `]"):
        read(FIRST.replace("https://idp.example.com", url))


@pytest.mark.parametrize("keys", ["", "ftp://x", "file:jwks", "secret:", "secret:0123456789abcdef0123456789abcdef"])
def test_keys_come_from_a_known_place_and_are_not_repeated(keys: str) -> None:
    """A secret that was pasted in does not go on into a log."""
    with pytest.raises(ConfigError, match=r"f:7: `tokens\.issuer\[0\]\.keys` .*: must be discovery") as caught:
        read(FIRST + f'keys = "{keys}"\n')
    assert "0123" not in caught.value.message + caught.value.hint
