"""What a provider says about itself (OpenID Connect Discovery 1.0, RFC 8414), and its keys."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

from hoopjump.decision.jwk import KeySet, KeySetError, parse_key_set
from hoopjump.identity.errors import IdentityError
from hoopjump.identity.http import Http

WELL_KNOWN: Final = "/.well-known/openid-configuration"


@dataclass(frozen=True, slots=True)
class Provider:
    """A provider's endpoints, None where it has none.

    ``scopes`` are those that it names, None when it names none; ``names_itself`` means that its redirects carry ``iss``
    (RFC 9207); ``basic`` that clients authenticate with HTTP Basic.
    """

    issuer: str
    token_endpoint: str
    key_set: str
    authorization_endpoint: str | None
    device_endpoint: str | None
    revocation_endpoint: str | None
    scopes: frozenset[str] | None
    names_itself: bool
    basic: bool


def discover(http: Http, issuer: str) -> Provider:
    """Ask a provider about itself; raises :class:`IdentityError`."""
    reply = http.get(issuer.rstrip("/") + WELL_KNOWN)
    members = reply.members
    if reply.status != 200 or members is None:
        raise IdentityError(
            "provider-malformed",
            f"{issuer}{WELL_KNOWN} answers with {reply.status} and no description of a provider",
            "compare the issuer with what the provider's documentation says",
        )
    # Section 4.3: identical, else one provider speaks in another's name.
    if members.get("issuer") != issuer:
        raise IdentityError(
            "answer-forged",
            f"the provider at {issuer} calls itself {str(members.get('issuer'))[:200]!a}",
            "the issuer must be written exactly as the provider writes it, to the last slash",
        )
    methods = _names(members, "token_endpoint_auth_methods_supported") or frozenset({"client_secret_basic"})
    challenges = _names(members, "code_challenge_methods_supported")
    if challenges is not None and "S256" not in challenges:
        raise IdentityError("provider-unfit", f"{issuer} does not know PKCE with S256 (RFC 7636)")
    return Provider(
        issuer=issuer,
        token_endpoint=_needed(members, "token_endpoint"),
        key_set=_needed(members, "jwks_uri"),
        authorization_endpoint=_endpoint(members, "authorization_endpoint"),
        device_endpoint=_endpoint(members, "device_authorization_endpoint"),
        revocation_endpoint=_endpoint(members, "revocation_endpoint"),
        scopes=_names(members, "scopes_supported"),
        names_itself=members.get("authorization_response_iss_parameter_supported") is True,
        basic="client_secret_basic" in methods,
    )


def fetch_keys(http: Http, provider: Provider) -> KeySet:
    """The provider's keys of this moment; raises :class:`IdentityError`."""
    reply = http.get(provider.key_set)
    if reply.status != 200:
        raise IdentityError("provider-malformed", f"the keys of {provider.issuer} cannot be had ({reply.status})")
    try:
        return parse_key_set(reply.body)
    except KeySetError as error:
        raise IdentityError("provider-malformed", f"{provider.issuer}: {error}") from error


def _endpoint(members: Mapping[str, Any], name: str) -> str | None:
    value = members.get(name)
    if value is None:
        return None
    try:
        usable = type(value) is str and value.isascii() and value.isprintable() and bool(urlsplit(value).hostname)
    except ValueError:
        usable = False
    if not usable or urlsplit(value).username is not None or urlsplit(value).fragment:
        raise IdentityError("provider-malformed", f"the provider's {name} is not a URL")
    # A browser is sent there too: no scheme of its own making, and in clear only where the issuer itself is.
    if urlsplit(value).scheme not in ("https", urlsplit(str(members["issuer"])).scheme):
        raise IdentityError("provider-unfit", f"the provider's {name} is not a https URL")
    return str(value)


def _needed(members: Mapping[str, Any], name: str) -> str:
    value = _endpoint(members, name)
    if value is None:
        raise IdentityError("provider-malformed", f"the provider does not say where its {name} is")
    return value


def _names(members: Mapping[str, Any], name: str) -> frozenset[str] | None:
    value = members.get(name)
    if type(value) is not list or not all(type(item) is str for item in value):
        return None
    return frozenset(value)
