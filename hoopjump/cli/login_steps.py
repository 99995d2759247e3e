"""What `hoopjump login`, `logout` and `whoami` do when there is something to do."""

from __future__ import annotations

import contextlib
import shutil
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import click

from hoopjump.cli import browser, output
from hoopjump.cli.login import OPTIONS
from hoopjump.decision.moments import moment_text
from hoopjump.errors import HoopjumpError
from hoopjump.identity import ssh_config
from hoopjump.identity.device_flow import Invitation
from hoopjump.identity.errors import IdentityError
from hoopjump.identity.login import Login, Manner, current, in_agent, log_in
from hoopjump.identity.logout import log_out
from hoopjump.identity.settings import LoginSettings, read_settings
from hoopjump.identity.state import Places, default_settings

# Directories that are on everybody's PATH.
_EVERYWHERE: Final = tuple(map(Path, ("/bin", "/usr/bin", "/usr/local/bin")))


class _Prompt:
    """What a person must do goes to stderr, quiet or not."""

    def __init__(self, named: str | None) -> None:
        self._browser = named

    def can_browse(self) -> bool:
        """Whether a browser of a desktop, or one that was named, can be started."""
        return browser.can_browse(self._browser)

    def page(self, url: str) -> None:
        """Open the page, and say where it is, since browsers fail silently."""
        output.say(f"log in here, in a browser on this machine: {url}")
        browser.open_page(self._browser, url)

    def invitation(self, invitation: Invitation) -> None:
        """Show where to type what."""
        code = output.shown(invitation.code)
        output.say(f"log in on any device: open {invitation.page} and type {code}")
        if invitation.page_with_code:
            output.say(f"or open {invitation.page_with_code} and compare: it must show {code}")
        output.say(
            f"the code holds for {invitation.seconds // 60 or 1} min; type it only if you have started this login"
        )

    def say(self, text: str) -> None:
        """Say what is waited for."""
        output.say(text)


@dataclass(frozen=True, slots=True)
class Wishes:
    """The options of `hoopjump login` that are no settings."""

    if_needed: bool
    quiet: bool
    device: bool
    browser: str | None
    install: bool
    ssh_config: Path | None
    yes: bool
    show_token: bool
    as_json: bool


def login(places: Places, wishes: Wishes) -> None:
    """Log in, and say so."""
    if wishes.install + wishes.show_token + wishes.as_json > 1:
        raise click.UsageError("--install, --token and --json go one at a time")
    with _told(wishes.as_json):
        settings = read_settings(places.settings, places.options)
        block = _block(settings, places, needed=wishes.install)
        manner = Manner(_Prompt(wishes.browser), "device" if wishes.device else None, wishes.if_needed)
        done = log_in(settings, places, manner)
    if not wishes.quiet:
        _tell(settings, places, done)
    if wishes.show_token:
        output.result(done.tokens.chosen(settings))
    elif wishes.as_json:
        output.result_json({**_members(settings, done), "ssh_config": block})
    elif block is not None and (wishes.install or not wishes.quiet):
        path = wishes.ssh_config or Path.home() / ".ssh" / "config"
        change = ssh_config.plan(path, block)
        if wishes.install:
            _install(change, wishes)
        elif change.needed:
            output.say(f"ssh logs in by itself with this in {path}; `hoopjump login --install` puts it there:")
            output.result(block.rstrip("\n"))


def logout(places: Places, as_json: bool) -> None:
    """Log out, and say so."""
    with _told(as_json):
        settings = read_settings(places.settings, places.options)
        done = log_out(settings, places, output.say)
    if as_json:
        output.result_json(
            {
                "tokens_forgotten": done.had_tokens,
                "certificate_removed": done.had_certificate,
                "revoked": done.had_tokens and not done.unrevoked,
            }
        )
    else:
        output.say("logged out" if done.had_tokens or done.had_certificate else "nobody was logged in")
    if done.unrevoked:
        output.warn(
            f"the provider was not told: {output.shown(done.unrevoked)}",
            "tokens that somebody else has are good until they end; your account at the provider may end them",
        )


def whoami(places: Places, as_json: bool) -> None:
    """Say who is logged in."""
    with _told(as_json):
        settings = read_settings(places.settings, places.options)
        found = current(settings, places, output.say)
        if found is None:
            raise IdentityError("login-needed", "nobody is logged in here", "hoopjump login")
    members = _members(settings, found)
    lacking = None if members["valid"] else _lacking(members)
    if as_json:
        said = {} if lacking is None else {"reason": lacking.code, "sentence": lacking.message}
        output.result_json({**members, **said})
    else:
        for label, value in _lines(members):
            output.result(f"{label:12} {output.shown(value)}")
    if lacking is not None:
        raise lacking


@contextlib.contextmanager
def _told(as_json: bool) -> Iterator[None]:
    """A failure is also said in JSON, to whoever reads that."""
    try:
        yield
    except (HoopjumpError, OSError) as fault:
        error = fault if isinstance(fault, HoopjumpError) else _unusable(fault)
        if as_json:
            code = error.code if isinstance(error, IdentityError) else "settings-wrong"
            output.result_json({"valid": False, "reason": code, "sentence": error.message})
        raise error from fault


def _unusable(error: OSError) -> IdentityError:
    place = f"{error.filename}: " if error.filename else ""
    return IdentityError("file-unusable", f"{place}{error.strerror or error}", "see docs/login.md, what is kept where")


def _lacking(members: Mapping[str, Any]) -> IdentityError:
    """What a login that is not valid lacks."""
    certificate = members["certificate"]
    if time.time() >= members["token_ends"]:
        sentence = "the login has ended"
    elif certificate is None:
        sentence = "the login has no certificate"
    else:
        sentence = "the certificate does not hold just now"
    return IdentityError("login-needed", sentence, "`hoopjump login --if-needed` gets what is missing")


def _members(settings: LoginSettings, login: Login) -> dict[str, Any]:
    now, ends = time.time(), login.tokens.ends(settings)
    certificate = login.certificate
    described = None
    if certificate is not None:
        described = {
            "file": str(settings.certificate),
            "principals": list(certificate.principals),
            "serial": str(certificate.serial),
            "ends": certificate.valid_before,
            "valid": certificate.valid_after <= now < certificate.valid_before,
            "in_agent": in_agent(settings),
        }
    return {
        "valid": now < ends and (settings.ca_url is None or (described is not None and bool(described["valid"]))),
        "user": login.tokens.user(settings),
        "subject": login.tokens.claims["sub"],
        "email": login.tokens.claims.get("email"),
        "groups": list(login.tokens.groups(settings)),
        "issuer": settings.issuer,
        "token": settings.token,
        "token_ends": ends,
        "renewable": login.tokens.refresh_token is not None,
        "store": login.store,
        "certificate": described,
    }


def _lines(members: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    email = members["email"]
    yield "user", f"{members['user']} ({email})" if email and email != members["user"] else members["user"]
    yield "provider", members["issuer"]
    yield "groups", ", ".join(members["groups"]) or "(none)"
    renewed = ", renewed without you" if members["renewable"] else ""
    yield "token", f"to {moment_text(members['token_ends'])}{renewed}"
    certificate = members["certificate"]
    if certificate is not None:
        yield "certificate", f"to {moment_text(certificate['ends'])} for {', '.join(certificate['principals'])}"
        yield "", f"{certificate['file']}{', in the agent' if certificate['in_agent'] else ''}"


def _tell(settings: LoginSettings, places: Places, login: Login) -> None:
    user, ends = output.shown(login.tokens.user(settings)), moment_text(login.tokens.ends(settings))
    output.say(f"logged in as {user} at {settings.issuer}; the token holds to {ends}")
    if settings.store == "auto" and login.store == "file":
        output.say(f"there is no keyring here: tokens are kept in {places.tokens}, which only you can read")
    if login.certificate is not None:
        named = ", ".join(output.shown(name) for name in login.certificate.principals[:3])
        ends = moment_text(login.certificate.valid_before)
        output.say(f"certificate for {named} in {settings.certificate}, valid to {ends}")


def _block(settings: LoginSettings, places: Places, *, needed: bool) -> str | None:
    """The block of ssh's configuration; None without hosts, which is an error where it is ``needed``."""
    if not settings.hosts and not needed:
        return None
    found = shutil.which("hoopjump")
    if found is None:
        # ssh starts it wherever the person is: no module of that directory is to be loaded.
        command = [sys.executable, "-P", "-m", "hoopjump.cli.main"]
    else:
        # A program of the person's own may be on the PATH of a terminal, and not on that of a desktop's ssh.
        command = ["hoopjump" if Path(found).parent in _EVERYWHERE else found]
    command += ["login", "--quiet", "--if-needed"]
    if places.settings != default_settings():
        command += ["--settings", str(places.settings.absolute())]
    for option, key in OPTIONS.items():
        given = places.options.get(key, ())
        for value in [given] if isinstance(given, str) else given:
            command += [f"--{option.replace('_', '-')}", value]
    return ssh_config.render(settings, command)


def _install(change: ssh_config.Change, wishes: Wishes) -> None:
    if not change.needed:
        output.say(f"{change.path} is as it should be")
        return
    for line in change.diff().splitlines():
        print(output.shown(line), file=sys.stderr)
    if not wishes.yes:
        if not sys.stdin.isatty():
            raise HoopjumpError(f"{change.path} was not changed: there is nobody to ask", "--yes changes it unasked")
        if not click.confirm("hoopjump: change it so?", err=True):
            output.say(f"{change.path} was not changed")
            return
    ssh_config.carry_out(change)
    output.say(f"{change.path} changed")
