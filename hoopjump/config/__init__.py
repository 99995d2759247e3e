"""The configuration: one TOML file, read strictly.

An unknown key or a bad value is a :class:`ConfigError` with the file, the line and, for a mistyped key, the nearest
valid name. Secrets stand in it by reference only (:mod:`hoopjump.config.credentials`).
"""

from __future__ import annotations

from pathlib import Path
from typing import Final, Self

from pydantic import model_validator

from hoopjump.config.credentials import SecretReference, read_secret
from hoopjump.config.fault import ConfigError, misfit
from hoopjump.config.kinds import Section
from hoopjump.config.reading import load_as, parse_as
from hoopjump.config.sections import (
    AccountsSection,
    AuditSection,
    DaemonSection,
    GatewaySection,
    HandoffSection,
    SessionSection,
    SshdSection,
    TrustSection,
)
from hoopjump.config.tokens import TokenIssuerSection, TokensSection

DEFAULT_PATH: Final = Path("/etc/hoopjump/hoopjump.toml")

__all__ = [
    "DEFAULT_PATH",
    "AccountsSection",
    "AuditSection",
    "Config",
    "ConfigError",
    "DaemonSection",
    "GatewaySection",
    "HandoffSection",
    "SecretReference",
    "SessionSection",
    "SshdSection",
    "TokenIssuerSection",
    "TokensSection",
    "TrustSection",
    "load",
    "load_as",
    "parse",
    "parse_as",
    "read_secret",
]


class Config(Section):
    """The whole configuration file."""

    daemon: DaemonSection = DaemonSection()
    sshd: SshdSection = SshdSection()
    trust: TrustSection = TrustSection()
    accounts: AccountsSection = AccountsSection()
    gateway: GatewaySection
    handoff: HandoffSection = HandoffSection()
    session: SessionSection = SessionSection()
    tokens: TokensSection = TokensSection()
    audit: AuditSection = AuditSection()

    @model_validator(mode="after")
    def _goes_together(self) -> Self:
        if self.handoff.uses_hoop:
            if self.tokens.session == "never" or not any(issuer.hand_on for issuer in self.tokens.issuer):
                raise misfit(
                    "the client hoop needs tokens of sessions (tokens.session) and an issuer whose tokens the gateway "
                    "takes (hand_on)",
                    "handoff",
                )
            if self.gateway.in_clear:
                raise misfit("the user's token would cross a network in clear; use https", "gateway", "api_url")
        return self


def load(path: Path) -> Config:
    """Read and check hoopjump's configuration file. Raises :class:`ConfigError`."""
    return load_as(Config, path)


def parse(text: str, name: str) -> Config:
    """Check the text of hoopjump's configuration file; ``name`` is what errors call it."""
    return parse_as(Config, text, name)
