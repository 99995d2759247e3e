"""A login from its begin to its end: tokens, then a certificate, each only where it is needed."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal, Protocol

from hoopjump.decision.certificate import Certificate, CertificateError, read_certificate
from hoopjump.identity import agent, certificate, code_flow, device_flow, private_files
from hoopjump.identity.errors import IdentityError
from hoopjump.identity.http import Http
from hoopjump.identity.keys import find_key
from hoopjump.identity.provider import discover
from hoopjump.identity.settings import LoginSettings
from hoopjump.identity.state import MARGIN, Places, State
from hoopjump.identity.store import open_store, read_tokens, write_tokens
from hoopjump.identity.tokens import Client, OAuthError, Tokens

# A certificate ends with its token; one for the token's last minutes is hardly worth the asking.
_FRESH: Final = 600

How = Literal["browser", "device"]


class Prompt(Protocol):
    """Brings what a person must do before their eyes."""

    def can_browse(self) -> bool:
        """Whether there is a browser on this machine."""

    def page(self, url: str) -> None:
        """Open this page of this machine in a browser."""

    def invitation(self, invitation: device_flow.Invitation) -> None:
        """Show a code to type elsewhere."""


@dataclass(frozen=True, slots=True)
class Login:
    """Who is logged in; ``certificate`` is None without hoopjump-ca."""

    tokens: Tokens
    certificate: Certificate | None


@dataclass(frozen=True, slots=True)
class Manner:
    """How to log in. ``how`` is None where either will do; ``if_needed`` gets only what is missing or about to end."""

    prompt: Prompt
    how: How | None = None
    if_needed: bool = False
    wait: Callable[[float], None] = time.sleep


def log_in(settings: LoginSettings, places: Places, manner: Manner) -> Login:
    """Log in; raises :class:`IdentityError`."""
    private_files.make_directory(places.directory)
    # Several ssh that begin at once ask a person once, and use a refresh token once (RFC 9700 section 4.14.2).
    with private_files.alone(places.lock):
        if manner.if_needed:
            state = State.read(places)
            login = current(settings, places) if state is not None and state.holds(places, time.time()) else None
            if login is not None:
                return login
        if settings.ca_url is not None and settings.keep == "agent":
            # Before somebody logs in for nothing.
            agent.check()
        http = Http(settings.ca_file, allow_http=settings.allow_http)
        tokens = _tokens(settings, places, manner, http)
        issued = None
        if settings.ca_url is not None:
            key = find_key(settings)
            issued = certificate.ask(http, settings, tokens, key)
            certificate.keep(settings, issued, key)
        _remember(settings, places, tokens, issued)
        return Login(tokens, issued.certificate if issued else None)


def _tokens(settings: LoginSettings, places: Places, manner: Manner, http: Http) -> Tokens:
    store = open_store(settings, places)
    kept = read_tokens(store, settings) if manner.if_needed else None
    now = time.time()
    if kept is not None and kept.ends(settings) > now + _FRESH:
        return kept
    try:
        client = Client(http, discover(http, settings.issuer), settings)
    except IdentityError as error:
        # A token that still holds is as good while its provider is away.
        if error.code == "provider-unreachable" and kept is not None and kept.ends(settings) > now + MARGIN:
            return kept
        raise
    if kept is not None:
        refreshed = _refreshed(client, kept)
        if refreshed is not None:
            # At once: the old refresh token may be good for nothing from now on.
            write_tokens(store, refreshed)
            kept = refreshed
        if kept.ends(settings) > now + MARGIN:
            return kept
    tokens = _interactively(client, manner)
    write_tokens(store, tokens)
    return tokens


def _refreshed(client: Client, kept: Tokens) -> Tokens | None:
    """The tokens anew, None when they cannot be had without a person."""
    if kept.refresh_token is None:
        return None
    try:
        return client.refresh(kept)
    except OAuthError:
        return None


def _interactively(client: Client, manner: Manner) -> Tokens:
    provider, how = client.provider, manner.how
    if how is None:
        here = manner.prompt.can_browse() or provider.device_endpoint is None
        how = "browser" if here and provider.authorization_endpoint else "device"
    if how == "browser":
        return code_flow.log_in(client, manner.prompt.page)
    return device_flow.log_in(client, manner.prompt.invitation, manner.wait)


def _remember(settings: LoginSettings, places: Places, tokens: Tokens, issued: certificate.Issued | None) -> None:
    ends = tokens.ends(settings)
    if issued is None:
        State(ends, places.digest(), "", "", "", False).write(places)
        return
    in_agent = settings.keep == "agent"
    State(
        ends=min(ends, issued.certificate.valid_before),
        digest=places.digest(),
        certificate=str(settings.certificate),
        certificate_digest=hashlib.sha256(settings.certificate.read_bytes()).hexdigest(),
        key="" if in_agent else str(settings.public_key),
        agent=in_agent,
    ).write(places)


def current(settings: LoginSettings, places: Places) -> Login | None:
    """Who is logged in as far as this machine knows, None when nobody is. Raises :class:`IdentityError`."""
    tokens = read_tokens(open_store(settings, places), settings)
    return Login(tokens, _certificate(settings)) if tokens is not None else None


def _certificate(settings: LoginSettings) -> Certificate | None:
    if settings.ca_url is None:
        return None
    try:
        return read_certificate(settings.certificate.read_bytes())
    except (OSError, CertificateError):
        return None


def in_agent(settings: LoginSettings) -> bool:
    """Whether the agent holds the certificate."""
    try:
        return agent.holds(settings.certificate.read_bytes())
    except OSError:
        return False


@dataclass(frozen=True, slots=True)
class Farewell:
    """What a logout did. ``unrevoked`` says why the provider was not told, "" when it was or there was nothing."""

    had_tokens: bool
    had_certificate: bool
    unrevoked: str


def log_out(settings: LoginSettings, places: Places) -> Farewell:
    """Forget tokens and certificate here, whatever the provider says, and have it forget the tokens."""
    private_files.make_directory(places.directory)
    with private_files.alone(places.lock):
        store = open_store(settings, places)
        try:
            tokens = read_tokens(store, settings)
        except IdentityError as error:
            # Whatever others may have read must go all the more.
            tokens, unread = None, error.message
        else:
            unread = ""
        store.forget()
        state = _last(places)
        places.state.unlink(missing_ok=True)
        had_certificate = certificate.forget(state) if state is not None else False
        unrevoked = unread or (_revoke(settings, tokens) if tokens is not None else "")
        return Farewell(tokens is not None or bool(unread), had_certificate, unrevoked)


def _last(places: Places) -> State | None:
    try:
        return State.read(places)
    except IdentityError:
        return None


def _revoke(settings: LoginSettings, tokens: Tokens) -> str:
    http = Http(settings.ca_file, allow_http=settings.allow_http)
    try:
        if Client(http, discover(http, settings.issuer), settings).revoke(tokens):
            return ""
    except IdentityError as error:
        return error.message
    return f"{settings.issuer} has no way to revoke tokens (RFC 7009)"
