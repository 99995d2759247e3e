"""`hoopjump sshd`: the block of configuration for the sshd in front, and the proof that it has it."""

from __future__ import annotations

import ipaddress
import shutil
from pathlib import Path
from typing import Final

import click

from hoopjump.cli import daemon_socket, output
from hoopjump.config import Config, DaemonSection, load
from hoopjump.errors import HoopjumpError
from hoopjump.findings import Finding, failure, ok
from hoopjump.sshd.check import check as findings_of
from hoopjump.sshd.check import forward_targets
from hoopjump.sshd.effective import UNKNOWN_CLIENT, Connection
from hoopjump.sshd.snippets import HOOK, render
from hoopjump.sshd.versions import installed, parse

_USUAL_SOCKET: Final = DaemonSection().socket
_SSHD_OPTION = click.option(
    "--sshd", "program", type=click.Path(path_type=Path), help="The sshd to ask.  [default: the installed one]"
)


@click.group()
def sshd() -> None:
    """The sshd in front: its block of configuration, and the proof of it."""


@sshd.command("render", epilog="Example: hoopjump sshd render > /etc/ssh/sshd_config.d/50-hoopjump.conf")
@click.option("--version", "release", metavar="X.Y", help="OpenSSH release.  [default: that of the installed sshd]")
@_SSHD_OPTION
@click.option("--match", metavar="CRITERIA", help="Which logins are hoopjump's.  [default: User and the accounts]")
@click.option("--hook", default=HOOK, show_default=True, help="The command of the hook.")
@click.option("--krl", type=click.Path(path_type=Path), help="Revocation list (hoopjump krl), for RevokedKeys.")
@click.option("--exempt", multiple=True, metavar="ADDRESS", help="Shared address, for PerSourcePenaltyExemptList.")
@click.pass_context
def render_(  # noqa: PLR0917  # click hands every option over by its name
    ctx: click.Context,
    release: str | None,
    program: Path | None,
    match: str | None,
    hook: str,
    krl: Path | None,
    exempt: tuple[str, ...],
) -> None:
    """Print the block for sshd's configuration."""
    config = load(ctx.obj["config"])
    version = (
        parse(release)
        if release
        else installed(_program(program, "name one with --sshd, or its release with --version"))
    )
    for address in exempt:
        try:
            ipaddress.ip_network(address)
        except ValueError:
            raise click.UsageError(f"--exempt: {address!a} is no address or network") from None
    block = render(
        version,
        ca_file=config.trust.user_cas,
        forward_targets=forward_targets(config),
        match=match or _match(config),
        hook=hook,
        hook_user=config.sshd.hook_user,
        socket=config.daemon.socket if config.daemon.socket != _USUAL_SOCKET else None,
        krl=krl,
        exempt=exempt,
    )
    output.result(block.rstrip("\n"))


def _match(config: Config) -> str:
    accounts = dict.fromkeys(
        (*config.accounts.shared, *(name for names in config.accounts.map.values() for name in names))
    )
    if config.accounts.own:
        raise HoopjumpError(
            "with accounts.own the names of the accounts are not known", "say which they are: --match 'Group hoopusers'"
        )
    if not accounts:
        raise HoopjumpError("no account is configured", "see [accounts], or give --match")
    return f"User {','.join(accounts)}"


def _program(given: Path | None, hint: str) -> Path:
    if given:
        return given
    found = shutil.which("sshd", path="/usr/sbin:/usr/local/sbin:/sbin")
    if not found:
        raise HoopjumpError("no sshd is installed", hint)
    return Path(found)


@sshd.command("check", epilog="Example: hoopjump sshd check")
@click.option("--user", "users", multiple=True, metavar="NAME", help="A hoopjump account.  [default: the shared ones]")
@click.option(
    "--admin",
    "administrators",
    multiple=True,
    default=("root",),
    show_default=True,
    metavar="NAME",
    help="An account that must be left alone.",
)
@click.option("--config-file", type=click.Path(path_type=Path), metavar="FILE", help="sshd_config, if not the usual.")
@_SSHD_OPTION
@click.option("--addr", default=UNKNOWN_CLIENT, show_default=True, help="Client address to ask for (Match Address).")
@click.option("--laddr", default="127.0.0.1", show_default=True, help="Local address (Match LocalAddress).")
@click.option("--lport", default=22, show_default=True, help="Local port (Match LocalPort).")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_context
def check_(  # noqa: PLR0917  # click hands every option over by its name
    ctx: click.Context,
    users: tuple[str, ...],
    administrators: tuple[str, ...],
    config_file: Path | None,
    program: Path | None,
    addr: str,
    laddr: str,
    lport: int,
    as_json: bool,
) -> None:
    """Prove that sshd is set up for hoopjump.

    And that administrators' logins are left alone. It changes nothing: it asks `sshd -T -C` for both, looks at hook, CA
    keys, revocation list, accounts and hoopjump's own files, and runs the hook. Run it as root. Exit status 0 when
    nothing is wrong (there may be warnings), 1 when something is.
    """
    config = load(ctx.obj["config"])
    sshd_program = _program(program, "name one with --sshd")

    def connection(name: str) -> Connection:
        return Connection(name, address=addr, local_address=laddr, local_port=lport)

    version = installed(sshd_program)
    findings = list(
        findings_of(
            config,
            ctx.obj["config"],
            version,
            sshd=sshd_program,
            config_file=config_file,
            logins=[connection(name) for name in users or config.accounts.shared],
            administrators=[connection(name) for name in administrators],
        )
    )
    findings.append(_daemon(config))
    ctx.exit(output.findings(findings, {"openssh": str(version)}, as_json))


def _daemon(config: Config) -> Finding:
    try:
        daemon_socket.ask(config.daemon.socket, "ping")
    except daemon_socket.DaemonError as error:
        return failure("hoopjumpd", error.message, error.hint)
    return ok("hoopjumpd", f"answers on {config.daemon.socket}")
