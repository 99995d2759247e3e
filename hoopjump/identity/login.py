"""A login from its begin to its end: tokens, then a certificate, each only where it is needed."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal, Protocol

from hoopjump.atomic import alone
from hoopjump.decision.certificate import Certificate, CertificateError, read_certificate
from hoopjump.identity import agent, certificate, code_flow, device_flow, private_files
from hoopjump.identity.errors import IdentityError
from hoopjump.identity.http import Http
from hoopjump.identity.keys import find_key
from hoopjump.identity.provider import discover
from hoopjump.identity.settings import LoginSettings
from hoopjump.identity.state import MARGIN, Places, State
from hoopjump.identity.store import Store, check_reach, open_store, read_tokens, write_tokens
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

    def say(self, text: str) -> None:
        """Show what is waited for."""


@dataclass(frozen=True, slots=True)
class Login:
    """Who is logged in; ``certificate`` is None without hoopjump-ca, ``store`` names where the tokens are."""

    tokens: Tokens
    certificate: Certificate | None
    store: str


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
    with alone(places.lock):
        store = open_store(settings, places, manner.prompt.say)
        if manner.if_needed:
            state = State.read(places)
            tokens = read_tokens(store, settings) if state is not None and state.holds(places, time.time()) else None
            if tokens is not None:
                return Login(tokens, _certificate(settings), store.name)
        # Before somebody logs in for nothing.
        store.check()
        if settings.ca_url is not None and settings.keep == "agent":
            agent.check()
        http = Http(settings.ca_file, allow_http=settings.allow_http)
        tokens = _tokens(settings, store, manner, http)
        issued = None
        if settings.ca_url is not None:
            key = find_key(settings)
            issued = certificate.ask(http, settings, tokens, key)
            certificate.keep(settings, issued, key)
        _remember(settings, places, store, tokens, issued)
        return Login(tokens, issued.certificate if issued else None, store.name)


def _tokens(settings: LoginSettings, store: Store, manner: Manner, http: Http) -> Tokens:
    kept = read_tokens(store, settings) if manner.if_needed else None
    now = time.time()
    if kept is not None and kept.ends(settings) > now + _FRESH:
        return kept
    try:
        client = Client(http, discover(http, settings.issuer), settings)
        refreshed = _refreshed(client, kept) if kept is not None else None
    except IdentityError as error:
        # A token that still holds is as good while its provider is away.
        if error.code == "provider-unreachable" and kept is not None and kept.ends(settings) > now + MARGIN:
            return kept
        raise
    if refreshed is not None:
        # At once: the old refresh token may be good for nothing from now on.
        write_tokens(store, refreshed)
        kept = refreshed
    if kept is not None and kept.ends(settings) > now + MARGIN:
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


def _remember(
    settings: LoginSettings, places: Places, store: Store, tokens: Tokens, issued: certificate.Issued | None
) -> None:
    ends = tokens.ends(settings)
    if issued is None:
        State(ends, places.digest(), store.name, "", "", "", False).write(places)
        return
    in_agent = settings.keep == "agent"
    State(
        ends=min(ends, issued.certificate.valid_before),
        digest=places.digest(),
        store=store.name,
        certificate=str(settings.certificate),
        certificate_digest=hashlib.sha256(settings.certificate.read_bytes()).hexdigest(),
        key="" if in_agent else str(settings.public_key),
        agent=in_agent,
    ).write(places)


def current(settings: LoginSettings, places: Places, say: Callable[[str], None]) -> Login | None:
    """Who is logged in as far as this machine knows, None when nobody is. Raises :class:`IdentityError`."""
    store = open_store(settings, places, say)
    tokens = read_tokens(store, settings)
    if tokens is None:
        check_reach(store, State.last(places))
        return None
    return Login(tokens, _certificate(settings), store.name)


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
