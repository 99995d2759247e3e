"""Which client goes to the gateway: what goes together in the configuration, and what does not."""

from __future__ import annotations

import pytest

from hoopjump import config
from hoopjump.config import ConfigError

GATEWAY = '[gateway]\napi_url = "https://gw.example.com"\nssh_host = "gw.example.com"\n'
TOKENS = '[tokens]\nsession = "optional"\n[[tokens.issuer]]\nissuer = "https://idp.example.com"\naudiences = ["hoop"]\n'
GRPC = '[handoff]\ngrpc_url = "grpcs://gw.example.com:8443"\n'


def test_ssh_is_the_client_unless_a_role_says_otherwise() -> None:
    """By role, over the one for all."""
    text = GATEWAY + TOKENS + "hand_on = true\n" + GRPC + "[handoff.roles]\nmybash = 'hoop'\n"
    handoff = config.parse(text, "f").handoff
    assert (handoff.client_of("mybash"), handoff.client_of("pgdemo")) == ("hoop", "ssh")
    turned = text.replace("mybash = 'hoop'", "mybash = 'ssh'").replace("[handoff]\n", "[handoff]\nclient = 'hoop'\n")
    handoff = config.parse(turned, "f").handoff
    assert (handoff.client_of("mybash"), handoff.client_of("pgdemo")) == ("ssh", "hoop")
    assert config.parse(GATEWAY, "f").handoff.client_of("mybash") == "ssh"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            GATEWAY + TOKENS + "hand_on = true\n[handoff]\nclient = 'hoop'\n",
            "f:10: `handoff.grpc_url`: the client hoop needs it",
        ),
        (
            GATEWAY + GRPC + "client = 'hoop'\n",
            "f:4: `handoff`: the client hoop needs tokens of sessions (tokens.session) and an issuer whose tokens the "
            "gateway takes (hand_on)",
        ),
        (
            GATEWAY + GRPC.replace("grpcs", "grpc"),
            'f:5: `handoff.grpc_url = "grpc://gw.example.com:8443"`: '
            "the user's token would cross a network in clear; use grpcs://",
        ),
        (
            GATEWAY.replace("https", "http") + TOKENS + "hand_on = true\n" + GRPC + "client = 'hoop'\n",
            'f:2: `gateway.api_url = "http://gw.example.com"`: '
            "the user's token would cross a network in clear; use https",
        ),
        (
            GATEWAY + TOKENS + "hand_on = true\nbound = true\n",
            'f:9: `tokens.issuer[0].hand_on = true` (issuer "https://idp.example.com"): '
            "a token that is bound to a key is never handed on",
        ),
    ],
)
def test_what_would_fail_or_give_a_token_away_is_refused_at_the_start(text: str, message: str) -> None:
    """With the line to look at."""
    with pytest.raises(ConfigError) as caught:
        config.parse(text, "f")
    assert caught.value.message == message


def test_plain_text_is_for_loopback() -> None:
    """Where nobody is between."""
    text = GATEWAY + GRPC.replace("grpcs://gw.example.com", "grpc://127.0.0.1")
    assert config.parse(text, "f").handoff.grpc_url == "grpc://127.0.0.1:8443"
