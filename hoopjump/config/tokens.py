"""Tokens: where they are asked for, and whose are believed (docs/tokens.md)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Final, Literal, Self

from pydantic import AfterValidator, Field, field_validator, model_validator

from hoopjump.config.credentials import SECRET_REFERENCE
from hoopjump.config.fault import misfit
from hoopjump.config.kinds import HIDDEN, AbsolutePath, Count, Name, Section, is_url
from hoopjump.decision.token_policy import (
    ALGORITHMS,
    FOREIGN_TYPES,
    HMAC_ALGORITHM,
    USUAL_TYPES,
    IssuerPolicy,
    claim_path,
)

DISCOVERY: Final = "discovery"
SECRET: Final = "secret:"  # noqa: S105  # the form of a reference, no secret
FILE: Final = "file:"


def _claim(value: str) -> str:
    claim_path(value)
    return value


Claim = Annotated[Name, AfterValidator(_claim)]
Use = Literal["never", "optional", "required"]


class TokenIssuerSection(Section):
    """An issuer of tokens that is trusted; a table for each. How tokens are judged is in [tokens](tokens.md)."""

    issuer: Name = Field(description="Name of the issuer, exactly as in the claim `iss`.")
    audiences: tuple[Name, ...] = Field(description="For whom a token must be: one of these is in `aud`.", min_length=1)
    algorithms: tuple[str, ...] | None = Field(
        default=None,
        description="What may sign: some of EdDSA, ES256, ES384, RS256, RS384, RS512, PS256, which all may unless set; "
        "with a shared secret HS256 and nothing else.",
    )
    keys: Annotated[str, HIDDEN] = Field(
        default=DISCOVERY,
        description="Where its keys are: `discovery` (OpenID Connect Discovery), `https://…` (a key set), `file:/PATH` "
        "(a key set), `secret:credential:NAME` or `secret:file:/PATH` (a shared secret of at least 32 bytes).",
    )
    user_claim: Claim = Field(
        default="sub", description="Claim that names the user: a name, a path with dots, or a URL."
    )
    user_attribute: Literal["email", "subject"] = Field(
        default="subject", description="User attribute of the gateway that the user claim must be equal to."
    )
    groups_claim: Claim | None = Field(default=None, description="Claim that holds the groups, named like the user's.")
    required: tuple[Claim, ...] = Field(default=(), description="Claims that must be there.")
    types: tuple[Name, ...] = Field(
        default=tuple(sorted(USUAL_TYPES, reverse=True)),
        description="Values of the header `typ` that are taken; `jwt` also stands for none.",
    )
    leeway: int = Field(default=30, ge=0, le=600, description="Seconds by which clocks may differ.")
    longest_age: Count | None = Field(default=None, description="Seconds since `iat` after which none holds.")
    kept: int = Field(
        default=3600,
        ge=0,
        le=7 * 86400,
        description="Seconds for which keys are used when the provider can no longer be asked for them.",
    )
    revoked: AbsolutePath | None = Field(
        default=None,
        description="File of the `jti`s of tokens that are refused, one a line; looked at for every token. hoopjumpd "
        "also ends the logins that they have let in.",
    )
    ca_file: AbsolutePath | None = Field(
        default=None, description="PEM file of the CAs that may sign the provider's TLS certificate."
    )
    allow_http: bool = Field(default=False, description="Take keys over plain http: whoever is between may sign.")
    allow_private: bool = Field(
        default=False,
        description="Ask for keys at loopback, private, link-local and other addresses that are not public.",
    )
    bound: bool = Field(
        default=False,
        description="Tokens of a hoopjump-ca: taken only inside a certificate, and only when bound to its key (`cnf`).",
    )
    hand_on: bool = Field(
        default=False,
        description="The gateway's own identity provider: a session's token of this issuer may be handed on to the "
        "gateway, where the client is hoop ([handing over](handoff.md)).",
    )

    @property
    def secret(self) -> str | None:
        """The reference of the shared secret, if there is one."""
        return self.keys.removeprefix(SECRET) if self.keys.startswith(SECRET) else None

    def policy(self) -> IssuerPolicy:
        """What its tokens must be like."""
        usual = ALGORITHMS if self.secret is None else {HMAC_ALGORITHM}
        return IssuerPolicy(
            issuer=self.issuer,
            audiences=frozenset(self.audiences),
            algorithms=frozenset(self.algorithms or usual),
            user_claim=self.user_claim,
            groups_claim=self.groups_claim,
            required=self.required,
            types=frozenset(self.types),
            leeway=self.leeway,
            longest_age=self.longest_age,
        )

    @field_validator("algorithms")
    @classmethod
    def _known_algorithms(cls, value: tuple[str, ...] | None) -> tuple[str, ...] | None:
        known = {*ALGORITHMS, HMAC_ALGORITHM}
        if value is not None and (not value or not known.issuperset(value)):
            raise ValueError(f"must be some of {', '.join(sorted(known))}")
        return value

    @field_validator("keys")
    @classmethod
    def _known_source(cls, value: str) -> str:
        known = value == DISCOVERY or value.startswith((f"{FILE}/", "https://", "http://"))
        if not known and not (value.startswith(SECRET) and SECRET_REFERENCE.match(value.removeprefix(SECRET))):
            raise ValueError(
                "must be discovery, https://…, file:/PATH, secret:credential:NAME or secret:file:/PATH "
                "(secrets never stand in this file)"
            )
        return value

    @field_validator("types")
    @classmethod
    def _types(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        types = tuple(name.lower().removeprefix("application/") for name in value)
        if not types or not FOREIGN_TYPES.isdisjoint(types):
            raise ValueError(f"cannot be empty, nor include {', '.join(sorted(FOREIGN_TYPES))}")
        return types

    @model_validator(mode="after")
    def _goes_together(self) -> Self:
        if self.secret is None:
            if HMAC_ALGORITHM in (self.algorithms or ()):
                raise misfit('HS256 goes with a shared secret (`keys = "secret:…"`) and nothing else', "algorithms")
        elif self.algorithms not in (None, (HMAC_ALGORITHM,)):
            raise misfit("a shared secret goes with HS256 and nothing else", "algorithms")
        if self.hand_on and self.bound:
            raise misfit("a token that is bound to a key is never handed on", "hand_on")
        if self.keys == DISCOVERY:
            self._check_url("issuer", self.issuer)
        elif self.keys.startswith("http"):
            self._check_url("keys", self.keys)
        if self.ca_file is not None and (self.secret is not None or self.keys.startswith(FILE)):
            raise misfit("these keys come over no network, so no CA signs for them", "ca_file")
        return self

    def _check_url(self, key: str, url: str) -> None:
        """OpenID Connect Discovery 1.0 section 3: an issuer has neither query nor fragment; nor do we take a user."""
        if not is_url(url, "https", "http"):
            raise misfit("must be a https URL without user, for the keys are asked for there", key)
        if url.startswith("http:") and not self.allow_http:
            raise misfit("plain http lets whoever is between sign tokens; use https, or set allow_http", key)
        if key == "issuer" and "?" in url:
            raise misfit("an issuer whose keys are discovered has no query", key)


def issuer_names(issuers: Sequence[TokenIssuerSection]) -> set[str]:
    """Their names, each of which must be another, in a section's ``issuer``; raises what its validators may raise."""
    names: set[str] = set()
    for number, issuer in enumerate(issuers):
        if issuer.issuer in names:
            raise misfit("another issuer has the same name", "issuer", number, "issuer")
        names.add(issuer.issuer)
    return names


class TokensSection(Section):
    """Tokens of an identity provider, besides the certificate. How they are judged is in [tokens](tokens.md)."""

    session: Use = Field(
        default="never",
        description="Whether a session needs a token: in the certificate, or in the environment as HOOPJUMP_TOKEN.",
    )
    forward: Use = Field(
        default="never",
        description="Whether a login that forwards (`ssh -J`) needs a token, which can only be in the certificate.",
    )
    issuer: tuple[TokenIssuerSection, ...] = Field(default=(), description="The issuers that are trusted.")

    @model_validator(mode="after")
    def _goes_together(self) -> Self:
        issuer_names(self.issuer)
        if self.session != "never" and not self.issuer:
            raise misfit("tokens are to be taken, and there is no [[tokens.issuer]] whose they could be", "session")
        if self.forward != "never" and not any(issuer.bound for issuer in self.issuer):
            raise misfit("only a bound token counts, and no [[tokens.issuer]] is bound", "forward")
        return self
