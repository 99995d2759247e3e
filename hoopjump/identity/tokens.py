"""Tokens from a provider: asked for at its token endpoint, looked at before anything is believed."""

from __future__ import annotations

import hashlib
import hmac
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import quote_plus

from hoopjump.config import read_secret
from hoopjump.decision.jose import TokenError, encode_segment, parse_header, parse_segment
from hoopjump.decision.reasons import printable
from hoopjump.decision.token import verify
from hoopjump.decision.token_policy import ALGORITHMS, IssuerPolicy, TrustedIssuer, claim_path, follow, trust
from hoopjump.identity.errors import IdentityError
from hoopjump.identity.http import Http, Reply
from hoopjump.identity.provider import Provider, fetch_keys
from hoopjump.identity.settings import OFFLINE, LoginSettings

LONGEST_LIFE: Final = 366 * 86400

_FIELDS: Final = ("id_token", "access_token", "refresh_token", "access_ends", "issuer", "client_id")


class OAuthError(IdentityError):
    """The provider refuses; ``error`` is its code (RFC 6749 section 5.2, RFC 8628 section 3.5)."""

    def __init__(self, error: str, message: str, hint: str = "") -> None:
        super().__init__("provider-refused", message, hint)
        self.error = error


@dataclass(frozen=True, slots=True)
class Tokens:
    """What a login brought. ``access_ends`` is Unix seconds, None when the provider did not say."""

    issuer: str
    client_id: str
    id_token: str = field(repr=False)
    access_token: str = field(repr=False)
    refresh_token: str | None = field(repr=False)
    access_ends: int | None

    @property
    def claims(self) -> Mapping[str, Any]:
        """The claims of the ID token, which was verified when it came."""
        return parse_segment(self.id_token.split(".")[1].encode())

    def chosen(self, settings: LoginSettings) -> str:
        """The token that hoopjump-ca and the bastion take."""
        return self.access_token if settings.token == "access" else self.id_token  # noqa: S105 - a kind

    def ends(self, settings: LoginSettings) -> int:
        """When the chosen token ends, in Unix seconds; now, when nobody knows."""
        if settings.token == "access":  # noqa: S105 - a kind
            return self.access_ends if self.access_ends is not None else int(time.time())
        return int(self.claims["exp"])

    def user(self, settings: LoginSettings) -> str:
        """Who it is, by the configured claim."""
        return str(follow(self.claims, claim_path(settings.user_claim)) or self.claims["sub"])

    def groups(self, settings: LoginSettings) -> tuple[str, ...]:
        """The groups, by the configured claim."""
        value = follow(self.claims, claim_path(settings.groups_claim))
        names = value if type(value) is list else [value]
        return tuple(name for name in names if type(name) is str)

    def members(self) -> dict[str, str | int | None]:
        """What is stored of it, for :meth:`read`."""
        return {name: getattr(self, name) for name in _FIELDS}

    @classmethod
    def read(cls, members: Mapping[str, Any]) -> Tokens | None:
        """The stored tokens; None when this is something else."""
        kinds = {"refresh_token": (str, type(None)), "access_ends": (int, type(None))}
        values: dict[str, Any] = {name: members.get(name) for name in _FIELDS}
        if any(type(value) not in kinds.get(name, (str,)) for name, value in values.items()):
            return None
        tokens = cls(**values)
        try:
            return tokens if type(tokens.claims.get("exp")) is int and "sub" in tokens.claims else None
        except (TokenError, IndexError, UnicodeEncodeError):
            return None


class Client:
    """We, as the provider knows us."""

    def __init__(self, http: Http, provider: Provider, settings: LoginSettings) -> None:
        self.http: Final = http
        self.provider: Final = provider
        self.settings: Final = settings
        self._secret = read_secret(settings.client_secret) if settings.client_secret else None

    def scope(self) -> str:
        """The scopes to ask for."""
        known = self.provider.scopes
        return " ".join(name for name in self.settings.scopes if name != OFFLINE or known is None or name in known)

    def wishes(self) -> dict[str, str]:
        """Parameters of every request that asks for tokens anew."""
        named = {"audience": self.settings.audience, "resource": self.settings.resource}
        return {"scope": self.scope(), **{name: value for name, value in named.items() if value is not None}}

    def post(self, url: str, fields: Mapping[str, str]) -> Reply:
        """POST a form as this client (RFC 6749 section 2.3.1)."""
        login, own = None, {"client_id": self.settings.client_id}
        if self._secret is not None and self.provider.basic:
            # Both parts are form-encoded first.
            login = quote_plus(self.settings.client_id), quote_plus(self._secret)
        elif self._secret is not None:
            own["client_secret"] = self._secret
        return self.http.post_form(url, {**fields, **own}, login)

    def ask_for_tokens(self, fields: Mapping[str, str]) -> Mapping[str, Any]:
        """The answer of the token endpoint; raises :class:`OAuthError` for a refusal."""
        reply = self.post(self.provider.token_endpoint, fields)
        if reply.status != 200 or reply.members is None:
            raise refusal(reply, self.provider)
        return reply.members

    def accept(self, members: Mapping[str, Any], *, nonce: str | None, before: Tokens | None = None) -> Tokens:
        """Tokens of an answer, once the ID token has been verified; raises :class:`IdentityError`.

        ``nonce`` is what the ID token must hold (code flow); ``before`` are the tokens that were refreshed, whose user
        it must be (OpenID Connect Core 1.0 section 12.2), and whose ID and refresh token hold on when no new ones came.
        """
        kind = members.get("token_type")
        if type(kind) is not str or kind.lower() != "bearer":
            raise IdentityError("provider-unfit", "the provider gives tokens of a kind other than Bearer")
        texts = {name: members.get(name) for name in ("id_token", "access_token", "refresh_token")}
        if before is not None:
            texts |= {name: getattr(before, name) for name in ("id_token", "refresh_token") if texts[name] is None}
        for name, text in texts.items():
            if text is None and name == "refresh_token":
                continue
            if type(text) is not str or not text or not text.isascii() or not text.isprintable():
                raise IdentityError("provider-malformed", f"the provider's answer has no usable {name}")
        tokens = Tokens(
            issuer=self.settings.issuer,
            client_id=self.settings.client_id,
            id_token=str(texts["id_token"]),
            access_token=str(texts["access_token"]),
            refresh_token=texts["refresh_token"],
            access_ends=_ends(members.get("expires_in")),
        )
        if before is None or tokens.id_token != before.id_token:
            self._verify(tokens, nonce, before)
        return tokens

    def _verify(self, tokens: Tokens, nonce: str | None, before: Tokens | None) -> None:
        """OpenID Connect Core 1.0 sections 3.1.3.7 and 12.2."""
        policy = IssuerPolicy(
            issuer=self.provider.issuer,
            audiences=frozenset({self.settings.client_id}),
            algorithms=ALGORITHMS,
            user_claim=self.settings.user_claim,
            groups_claim=self.settings.groups_claim,
            required=("iat",),
            types=frozenset({"jwt"}),
        )
        data = tokens.id_token.encode()
        try:
            issuers = trust(TrustedIssuer(policy, fetch_keys(self.http, self.provider)))
            claims = verify(data, issuers, time.time()).claims
            algorithm = parse_header(data.split(b".")[0]).algorithm
        except TokenError as error:
            raise IdentityError(
                "token-refused",
                f"the ID token of {self.provider.issuer} is refused: {error.reason.value.sentence} ({error})",
                error.reason.value.hint,
            ) from error
        party, several = claims.get("azp"), type(claims["aud"]) is list and len(claims["aud"]) > 1
        if party != self.settings.client_id and (party is not None or several):
            raise IdentityError("token-refused", "the ID token was issued to another client (azp)")
        given = claims.get("nonce")
        if nonce is not None and not (type(given) is str and hmac.compare_digest(given.encode(), nonce.encode())):
            raise IdentityError("answer-forged", "the ID token belongs to another login (nonce)")
        if "at_hash" in claims and claims["at_hash"] != half_hash(tokens.access_token, algorithm):
            raise IdentityError("answer-forged", "the access token is not the one that the ID token names (at_hash)")
        if before is not None and claims["sub"] != before.claims["sub"]:
            raise IdentityError("answer-forged", "the refreshed token names somebody else")

    def refresh(self, tokens: Tokens) -> Tokens:
        """New tokens for a refresh token; raises :class:`OAuthError` when it is no longer taken."""
        assert tokens.refresh_token is not None
        fields = {"grant_type": "refresh_token", "refresh_token": tokens.refresh_token}
        if self.settings.resource is not None:
            fields["resource"] = self.settings.resource
        return self.accept(self.ask_for_tokens(fields), nonce=None, before=tokens)

    def revoke(self, tokens: Tokens) -> bool:
        """Have the provider forget the tokens (RFC 7009); False when it cannot. Raises :class:`IdentityError`."""
        url = self.provider.revocation_endpoint
        if url is None:
            return False
        given = {"refresh_token": tokens.refresh_token, "access_token": tokens.access_token}
        for kind, token in given.items():
            if token is not None:
                reply = self.post(url, {"token": token, "token_type_hint": kind})
                # RFC 7009 section 2.2.1: a kind that cannot be revoked is no failure.
                if reply.status != 200 and (reply.members or {}).get("error") != "unsupported_token_type":
                    raise refusal(reply, self.provider)
        return True


def refusal(reply: Reply, provider: Provider) -> IdentityError:
    """The error in an answer (RFC 6749 section 5.2)."""
    error = (reply.members or {}).get("error")
    if type(error) is not str:
        return IdentityError("provider-malformed", f"{provider.issuer} answers with {reply.status} and no reason")
    return OAuthError(error, f"{provider.issuer} refuses: {described(reply.members or {})}")


def described(members: Mapping[str, Any]) -> str:
    """``error`` and ``error_description``, bounded and on one line, so that nothing in them passes for ours."""
    error, text = printable(str(members.get("error")), 64), members.get("error_description")
    return f"{error} ({printable(text, 300)})" if type(text) is str and text else error


def half_hash(token: str, algorithm: str) -> str:
    """``at_hash`` (OpenID Connect Core 1.0 section 3.1.3.6); Ed25519 has SHA-512."""
    digest = {"256": hashlib.sha256, "384": hashlib.sha384}.get(algorithm[-3:], hashlib.sha512)(token.encode()).digest()
    return encode_segment(digest[: len(digest) // 2]).decode()


def _ends(seconds: object) -> int | None:
    # Some providers write the number as text.
    if type(seconds) is str and seconds.isascii() and seconds.isdigit() and len(seconds) < 10:
        seconds = int(seconds)
    return int(time.time()) + min(seconds, LONGEST_LIFE) if type(seconds) is int and seconds >= 0 else None
