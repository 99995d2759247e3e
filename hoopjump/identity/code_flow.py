"""Logging in with a browser: the authorization code flow with PKCE (RFC 6749, 7636, 8252, 9207)."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable, Mapping
from urllib.parse import urlencode

from hoopjump.decision.jose import encode_segment
from hoopjump.identity.errors import IdentityError
from hoopjump.identity.loopback import Loopback
from hoopjump.identity.settings import OFFLINE
from hoopjump.identity.tokens import Client, OAuthError, Tokens, described


def log_in(client: Client, show: Callable[[str], None]) -> Tokens:
    """Have somebody log in; ``show`` brings a URL of this machine before their eyes. Raises :class:`IdentityError`."""
    endpoint = client.provider.authorization_endpoint
    if endpoint is None:
        raise IdentityError("provider-unfit", "the provider has no login page", "try --device")
    verifier, nonce = secrets.token_urlsafe(48), secrets.token_urlsafe(32)
    with Loopback() as loopback:
        wishes = client.wishes()
        parameters = {
            "response_type": "code",
            "client_id": client.settings.client_id,
            "redirect_uri": loopback.redirect_uri,
            "state": loopback.state,
            "nonce": nonce,
            "code_challenge": encode_segment(hashlib.sha256(verifier.encode()).digest()).decode(),
            "code_challenge_method": "S256",
            **wishes,
        }
        if OFFLINE in wishes["scope"].split():
            # OpenID Connect Core 1.0 section 11: without consent there is no refresh token.
            parameters["prompt"] = "consent"
        show(loopback.page(f"{endpoint}{'&' if '?' in endpoint else '?'}{urlencode(parameters)}"))
        answer = loopback.wait(client.settings.timeout)
        code = _code(answer, client)
        members = client.ask_for_tokens(
            {
                "grant_type": "authorization_code",
                "code": code,
                "redirect_uri": loopback.redirect_uri,
                "code_verifier": verifier,
            }
        )
    return client.accept(members, nonce=nonce)


def _code(answer: Mapping[str, str], client: Client) -> str:
    """The code in a redirect whose state was right."""
    issuer = answer.get("iss")
    # RFC 9207 section 2.4, against mix-up: another provider must not get this one's code.
    if issuer != client.provider.issuer and (issuer is not None or client.provider.names_itself):
        raise IdentityError(
            "answer-forged",
            f"the browser came back from another provider: {(issuer or 'none')[:200]!a}",
            "start again; if it stays, tell those who run the provider",
        )
    if "error" in answer:
        raise OAuthError(answer["error"], f"{client.provider.issuer} refuses: {described(answer)}")
    code = answer.get("code")
    if not code:
        raise IdentityError("provider-malformed", "the browser came back without a code")
    return code
