"""The end of a login: tokens and certificate are forgotten, here and at the provider."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from hoopjump.atomic import alone
from hoopjump.identity import certificate, private_files
from hoopjump.identity.errors import IdentityError
from hoopjump.identity.http import Http
from hoopjump.identity.provider import discover
from hoopjump.identity.settings import LoginSettings
from hoopjump.identity.state import Places, State
from hoopjump.identity.store import Store, all_stores, check_reach, read_tokens
from hoopjump.identity.tokens import Client, Tokens


@dataclass(frozen=True, slots=True)
class Farewell:
    """What a logout did. ``unrevoked`` says why the provider was not told, "" when it was or there was nothing."""

    had_tokens: bool
    had_certificate: bool
    unrevoked: str


def log_out(settings: LoginSettings, places: Places, say: Callable[[str], None]) -> Farewell:
    """Forget tokens and certificate here, whatever the provider says, and have it forget the tokens.

    Raises :class:`IdentityError` when tokens could not be forgotten; all else is forgotten by then.
    """
    private_files.make_directory(places.directory)
    with alone(places.lock):
        state = State.last(places)
        places.state.unlink(missing_ok=True)
        had_certificate = certificate.forget(state) if state is not None else False
        had_tokens, unrevoked = False, ""
        try:
            for store in all_stores(settings, places, say):
                tokens, unread = _take(store, settings)
                had_tokens = had_tokens or tokens is not None or bool(unread)
                unrevoked = unrevoked or unread or (_revoke(settings, tokens) if tokens is not None else "")
            check_reach(store, state)
        except IdentityError as error:
            raise IdentityError(error.code, f"not all is forgotten: {error.message}", error.hint) from error
        return Farewell(had_tokens, had_certificate, unrevoked)


def _take(store: Store, settings: LoginSettings) -> tuple[Tokens | None, str]:
    """What a store had and has no more; or why it was not read, though it had something."""
    try:
        tokens, unread = read_tokens(store, settings), ""
    except IdentityError as error:
        # Whatever others may have read must go all the more.
        tokens, unread = None, error.message
    store.forget()
    return tokens, unread


def _revoke(settings: LoginSettings, tokens: Tokens) -> str:
    http = Http(settings.ca_file, allow_http=settings.allow_http)
    try:
        if Client(http, discover(http, settings.issuer), settings).revoke(tokens):
            return ""
    except IdentityError as error:
        return error.message
    return f"{settings.issuer} has no way to revoke tokens (RFC 7009)"
