"""What ``hoopjump login`` is told: ``~/.config/hoopjump/login.toml``, and options over it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from hoopjump.config import ConfigError, SecretReference, load_as
from hoopjump.config.fault import misfit
from hoopjump.config.kinds import Name, Section, TextPath, is_url
from hoopjump.config.reading import check_as
from hoopjump.config.tokens import Claim

OFFLINE: Final = "offline_access"

_HOST_CHARACTERS: Final = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_*?:")


def _in_home(value: Path) -> Path:
    try:
        path = value.expanduser()
    except RuntimeError:  # ~ of somebody who is not there
        path = value
    if not path.is_absolute() or not str(path).isprintable():
        raise ValueError("must be an absolute path, or begin with ~/")
    return path


def _host(value: str) -> str:
    if not value or not _HOST_CHARACTERS.issuperset(value):
        raise ValueError("must be a host's name, or a pattern with * and ?")
    return value


HomePath = Annotated[TextPath, AfterValidator(_in_home)]
Host = Annotated[str, AfterValidator(_host)]


class LoginSettings(Section):
    """How `hoopjump login` logs in. Options of the command replace single values."""

    issuer: str = Field(description="Name of the identity provider, which is its URL, exactly as in the claim `iss`.")
    client_id: Name = Field(description="The name under which the provider knows `hoopjump login`.")
    client_secret: SecretReference | None = Field(
        default=None, description="Secret of the client, by reference, for the providers that insist on one."
    )
    scopes: tuple[str, ...] = Field(
        default=("openid", "email", "profile", OFFLINE),
        description="What is asked for. offline_access, which brings a refresh token, is left out where the provider "
        "says that it does not know it.",
    )
    audience: Name | None = Field(default=None, description="Sent as `audience`, as Auth0 and others want it.")
    resource: Name | None = Field(
        default=None, description="Sent as `resource` (RFC 8707): for whom access tokens are."
    )
    token: Literal["id", "access"] = Field(
        default="id", description="Which token hoopjump-ca and the bastion take: the ID token, or the access token."
    )
    user_claim: Claim = Field(default="sub", description="Claim of the ID token that names the user.")
    groups_claim: Claim = Field(default="groups", description="Claim of the ID token that holds the groups.")
    ca_url: str | None = Field(
        default=None, description="URL of hoopjump-ca, exactly as it calls itself. Without it there is no certificate."
    )
    embed_token: bool = Field(
        default=False, description="Have hoopjump-ca put a token of its own, bound to the key, into the certificate."
    )
    key: HomePath = Field(
        default=Path("~/.ssh/hoopjump"),
        validate_default=True,
        description="The SSH key; it is made when there is none. Its certificate lies beside it as KEY-cert.pub.",
    )
    keep: Literal["file", "agent"] = Field(
        default="file",
        description="Where the key is: in its file, or a new one each time in the running ssh-agent alone.",
    )
    store: Literal["auto", "keyring", "file"] = Field(
        default="auto",
        description="Where tokens are kept: the system's keyring, a file that nobody else can read, or auto: the "
        "keyring where there is one.",
    )
    hosts: tuple[Host, ...] = Field(
        default=(), description="What you type after ssh when the login is wanted: the bastion, the gateway."
    )
    send_token: bool = Field(default=False, description="Have ssh send HOOPJUMP_TOKEN to these hosts, when it is set.")
    ca_file: HomePath | None = Field(
        default=None, description="PEM file of the CAs that may sign the TLS certificates of provider and hoopjump-ca."
    )
    allow_http: bool = Field(default=False, description="Talk plain http: whoever is between can log in as you.")
    timeout: int = Field(default=300, ge=10, le=3600, description="Seconds that you have to log in.")

    @property
    def directory(self) -> Path:
        """Where key and certificate lie."""
        return self.key.parent

    @property
    def public_key(self) -> Path:
        """The public key's file."""
        return self.key.with_name(f"{self.key.name}.pub")

    @property
    def certificate(self) -> Path:
        """The certificate's file, where ssh looks for it."""
        return self.key.with_name(f"{self.key.name}-cert.pub")

    @model_validator(mode="after")
    def _goes_together(self) -> Self:
        self._check_url("issuer", self.issuer)
        if self.ca_url is not None:
            self._check_url("ca_url", self.ca_url)
            if self.ca_url.endswith("/"):
                raise misfit("must be written without a slash at the end", "ca_url")
        if "openid" not in self.scopes:
            raise misfit("must include openid, or there is no ID token", "scopes")
        for scope in self.scopes:
            if not scope or not scope.isascii() or not scope.isprintable() or not {" ", '"', "\\"}.isdisjoint(scope):
                raise misfit("a scope is a word (RFC 6749 section 3.3)", "scopes")
        if self.embed_token and self.ca_url is None:
            raise misfit("only hoopjump-ca embeds tokens, so it goes with ca_url", "embed_token")
        return self

    def _check_url(self, key: str, url: str) -> None:
        """OpenID Connect Discovery 1.0 section 3; what is no URL, or in clear without leave, is refused."""
        if not is_url(url, "https", "http") or "?" in url:
            raise misfit("must be a https URL without user, query and fragment", key)
        if url.startswith("http:") and not self.allow_http:
            raise misfit("plain http lets whoever is between log in as you; use https, or set allow_http", key)


def read_settings(path: Path, options: Mapping[str, Any]) -> LoginSettings:
    """The settings of a file with ``options`` (keys and values of the model) in place of its values.

    The file may be missing when the options say enough. Raises :class:`ConfigError`.
    """
    values: dict[str, Any] = dict(options)
    if path.exists():
        values = load_as(LoginSettings, path).model_dump(exclude_unset=True) | values
    elif not {"issuer", "client_id"} <= values.keys():
        raise ConfigError(f"{path} is not there", "write it, or give --issuer URL and --client-id NAME")
    return check_as(LoginSettings, values, "", "options")
