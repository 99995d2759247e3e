"""Logging in on another device (RFC 8628): a code to type there, and asking until it was."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

from hoopjump.identity.errors import IdentityError
from hoopjump.identity.settings import OFFLINE
from hoopjump.identity.tokens import Client, OAuthError, Tokens, refusal

GRANT: Final = "urn:ietf:params:oauth:grant-type:device_code"
USUAL_INTERVAL: Final = 5  # section 3.2
SLOWER: Final = 5  # section 3.5

_LONGEST_INTERVAL: Final = 60


@dataclass(frozen=True, slots=True)
class Invitation:
    """What the person needs: a page, the code to type there, and the page with the code in it, if there is one.

    ``seconds`` is how long it holds.
    """

    page: str
    code: str
    page_with_code: str | None
    seconds: int


def log_in(client: Client, show: Callable[[Invitation], None], wait: Callable[[float], None] = time.sleep) -> Tokens:
    """Have somebody log in elsewhere; raises :class:`IdentityError`."""
    endpoint = client.provider.device_endpoint
    if endpoint is None:
        raise IdentityError("provider-unfit", "the provider has no device flow (RFC 8628)", "log in with a browser")
    wishes = client.wishes()
    if OFFLINE in wishes["scope"].split():
        wishes["prompt"] = "consent"
    reply = client.post(endpoint, wishes)
    if reply.status != 200 or reply.members is None:
        raise refusal(reply, client.provider)
    members = reply.members
    device_code = members.get("device_code")
    if type(device_code) is not str or not device_code:
        raise IdentityError("provider-malformed", "the provider gave no device code")
    invitation = _invitation(members, client.settings.timeout)
    given = members.get("interval")
    interval: float = given if type(given) is int and 0 < given <= _LONGEST_INTERVAL else USUAL_INTERVAL
    show(invitation)
    deadline = time.monotonic() + invitation.seconds
    fields = {"grant_type": GRANT, "device_code": device_code}
    last: IdentityError | None = None
    while time.monotonic() < deadline:
        wait(interval)
        try:
            answer = client.ask_for_tokens(fields)
        except IdentityError as error:
            interval, last = _next_interval(interval, error), error
        else:
            return client.accept(answer, nonce=None)
    if last is not None and last.code == "provider-unreachable":
        # Whoever typed the code in time is not to be told that nobody did.
        raise last
    raise _late(invitation.seconds)


def _next_interval(interval: float, error: IdentityError) -> float:
    """Seconds to wait before the next question (section 3.5); raises the error where there is nothing to wait for."""
    kind = error.error if isinstance(error, OAuthError) else error.code
    match kind:
        case "authorization_pending":
            return interval
        case "slow_down":
            return interval + SLOWER
        case "provider-unreachable":
            return min(2 * interval, _LONGEST_INTERVAL)
        case "expired_token":
            raise _late() from error
    raise error


def _late(seconds: int | None = None) -> IdentityError:
    within = "in time" if seconds is None else f"within {seconds} s"
    return IdentityError("login-late", f"nobody has typed the code {within}", "start again")


def _invitation(members: Mapping[str, Any], most: int) -> Invitation:
    page, code = members.get("verification_uri"), members.get("user_code")
    whole, seconds = members.get("verification_uri_complete"), members.get("expires_in")
    if not _is_page(page) or type(code) is not str or not 0 < len(code) <= 64 or not code.isprintable():
        raise IdentityError("provider-malformed", "the provider gave no page or no code to type there")
    if type(seconds) is not int or seconds <= 0:
        raise IdentityError("provider-malformed", "the provider does not say how long its code holds")
    return Invitation(str(page), code, str(whole) if _is_page(whole) else None, min(seconds, most))


def _is_page(value: object) -> bool:
    """Whether this can be shown and opened: a web address, and nothing that moves a cursor."""
    if type(value) is not str or not value.isascii() or not value.isprintable() or " " in value:
        return False
    try:
        return urlsplit(value).scheme in ("https", "http") and bool(urlsplit(value).hostname)
    except ValueError:
        return False
