"""Where an issuer's keys come from, as its table of the configuration says."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from hoopjump.config import ConfigError, TokenIssuerSection, read_secret
from hoopjump.config.tokens import DISCOVERY, FILE
from hoopjump.decision.jose import TokenError, parse_object
from hoopjump.decision.jwk import SET_LIMIT, KeySet, KeySetError, parse_key_set
from hoopjump.decision.reasons import printable
from hoopjump.decision.token_policy import SharedSecret
from hoopjump.keys import files
from hoopjump.keys.fetch import FetchError, Way, check_url, fetch
from hoopjump.keys.freshness import LIFETIME_FLOOR, Validator, lifetime

WELL_KNOWN: Final = "/.well-known/openid-configuration"


@dataclass(frozen=True, slots=True)
class Loaded:
    """Keys, or None where they are what ``validator`` named; believed as fresh for ``seconds``.

    ``body`` is what they were read from, where that came over a network.
    """

    keys: KeySet | None
    validator: Validator | None
    seconds: float
    body: bytes = b""


def shared_secret(section: TokenIssuerSection) -> SharedSecret | None:
    """The secret shared with an issuer, if that is how it signs; raises :class:`ConfigError`."""
    if section.secret is None:
        return None
    try:
        return SharedSecret(read_secret(section.secret).encode())
    except ValueError as error:
        raise ConfigError(f"{section.secret}: {error}") from error


def load_keys(section: TokenIssuerSection, validator: Validator | None) -> Loaded:
    """The keys of an issuer, as they are now; raises :class:`HoopjumpError`. Blocks."""
    if section.keys.startswith(FILE):
        return Loaded(_parse(_read(Path(section.keys.removeprefix(FILE)))), None, LIFETIME_FLOOR)
    way = Way(section.ca_file, section.allow_http, section.allow_private)
    url = _discover(section.issuer, way) if section.keys == DISCOVERY else section.keys
    known = validator if validator is not None and validator.url == url else None
    document = fetch(url, way, known.etag if known else None)
    if document.body is None and known is not None:
        told = document.cache_control or known.cache_control
        return Loaded(None, replace(known, cache_control=told), lifetime(told, document.age))
    body = document.body or b""
    fresh = Validator(url, document.etag, document.cache_control) if document.etag else None
    return Loaded(_parse(body, url), fresh, lifetime(document.cache_control, document.age), body)


def _discover(issuer: str, way: Way) -> str:
    """OpenID Connect Discovery 1.0 sections 4.1 and 4.3: where the keys are, said by the issuer itself."""
    url = issuer.removesuffix("/") + WELL_KNOWN
    document = fetch(url, way)
    try:
        members = parse_object(document.body or b"")
    except TokenError as error:
        raise FetchError(f"{url}: not a provider's configuration: {error.detail}") from error
    named, keys = members.get("issuer"), members.get("jwks_uri")
    if named != issuer:
        raise FetchError(
            f"{url}: is the configuration of {printable(str(named))!a}, not of {issuer!a}",
            "`issuer` must be the provider's own name for itself, letter by letter",
        )
    if type(keys) is not str:
        raise FetchError(f"{url}: does not say where the keys are (jwks_uri)")
    check_url(keys, way)
    return keys


def _parse(data: bytes, url: str = "") -> KeySet:
    """A set of a file, or of a provider, who may have taken all its keys back: as a failure, that would keep them."""
    try:
        return parse_key_set(data, empty=bool(url))
    except KeySetError as error:
        raise FetchError(f"{url}: {error}" if url else str(error)) from error


def _read(path: Path) -> bytes:
    """Whoever may write a key set signs as everybody."""
    try:
        return files.read(path, SET_LIMIT)[0]
    except OSError as error:
        raise FetchError(f"{path}: {error.strerror}") from error
