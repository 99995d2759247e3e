"""`hoopjump login`, `logout`, `whoami`: at the identity provider, and certificates for it.

``login --if-needed`` runs before every ssh, so that nothing but the standard library is loaded until there is
something to do.
"""

from __future__ import annotations

import importlib
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, TypeVar

import click

from hoopjump.identity.state import Places, State, default_settings

Command = TypeVar("Command", bound=Callable[..., Any])

# Options that stand in for keys of login.toml: option and key.
OPTIONS: Final = {
    "issuer": "issuer",
    "client_id": "client_id",
    "ca_url": "ca_url",
    "audience": "audience",
    "scope": "scopes",
    "host": "hosts",
}


_EXAMPLE: Final = """What is not in login.toml can be given as an option:

\b
  hoopjump login --issuer https://idp.example.com --client-id hoopjump \\
      --ca-url https://ca.example.com --host bastion.example.com --install
"""


def _identity(command: Command) -> Command:
    """The options that say who is meant."""
    options = (
        click.option(
            "--settings",
            type=click.Path(path_type=Path, dir_okay=False),
            metavar="FILE",
            help="Settings of the login.  [default: ~/.config/hoopjump/login.toml]",
        ),
        click.option("--issuer", metavar="URL", help="The identity provider."),
        click.option("--client-id", metavar="NAME", help="What the provider calls `hoopjump login`."),
    )
    for option in reversed(options):
        command = option(command)
    return command


def _places(given: dict[str, Any]) -> Places:
    settings: Path = given.pop("settings") or default_settings()
    options = {key: given[name] for name, key in OPTIONS.items() if given.get(name)}
    return Places.of(settings, options)


def _steps() -> Any:  # noqa: ANN401 - a module
    return importlib.import_module("hoopjump.cli.login_steps")


@click.command(epilog=_EXAMPLE)
@_identity
@click.option("--ca-url", metavar="URL", help="The hoopjump-ca that gives certificates.")
@click.option("--scope", multiple=True, help="What is asked of the provider; may be repeated.")
@click.option("--audience", metavar="NAME", help="For whom the access token is to be.")
@click.option("--host", multiple=True, help="For ssh to which host; may be repeated.")
@click.option("--device", is_flag=True, help="Log in on another device, with a code.")
@click.option("--browser", metavar="COMMAND", help="Opens the login page.  [default: $BROWSER, or the desktop's]")
@click.option("--if-needed", is_flag=True, help="Do nothing while token and certificate hold for another minute.")
@click.option("--quiet", is_flag=True, help="Say nothing unless you must do something.")
@click.option("--install", is_flag=True, help="Have ssh log in by itself: write the block into ~/.ssh/config.")
@click.option("--ssh-config", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE", help="Another file.")
@click.option("--yes", is_flag=True, help="With --install: do not ask.")
@click.option("--token", "show_token", is_flag=True, help="Print the token, for HOOPJUMP_TOKEN.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def login(if_needed: bool, quiet: bool, **given: Any) -> None:  # noqa: ANN401 - click's options
    """Log in at your identity provider, and get a certificate for ssh.

    A browser opens; without one there is a code to type on another device. Tokens go to the system's keyring, or to a
    file that only you can read; the certificate lies beside its key, where ssh finds it. On stdout is the block that
    ~/.ssh/config lacks: with it, ssh logs in when it must.
    """
    places = _places(given)
    wishes = {name: value for name, value in given.items() if name not in OPTIONS}
    if if_needed and not (wishes["install"] or wishes["show_token"] or wishes["as_json"]):
        state = State.read(places)
        if state is not None and state.holds(places, time.time()):
            return
    _steps().login(places, _steps().Wishes(if_needed=if_needed, quiet=quiet, **wishes))


@click.command(epilog="Example: hoopjump logout")
@_identity
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def logout(as_json: bool, **given: Any) -> None:  # noqa: ANN401 - click's options
    """Forget tokens and certificate, here and at the provider.

    Exit status 0 also when nobody was logged in. Connections that are open go on until the certificate's end; the
    bastion's administrator can end them (`hoopjump logins end`).
    """
    _steps().logout(_places(given), as_json)


@click.command(epilog="Example: hoopjump whoami")
@_identity
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def whoami(as_json: bool, **given: Any) -> None:  # noqa: ANN401 - click's options
    """Show who is logged in here, for how long, and in which groups.

    Nobody is asked: what is shown is what the provider said when you logged in. Exit status 1 when nobody is logged in
    or the login has ended.
    """
    _steps().whoami(_places(given), as_json)
